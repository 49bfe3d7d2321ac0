"""The documents say what is so: links lead somewhere, YAML is valid, commands exist, nothing of one machine is in them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import yaml
from slipway.api.base import API_VERSION
from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.core.reasons import Reason
from slipway.settings import VARIABLES, ConfigFile

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
KINDS: dict[str, Any] = {one.__name__: one for one in (ModelRegistry, RegisteredModel, ModelVersion)}
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
MACHINE = re.compile(r"(?<![\w.])(?:/root|/home/\w|/Users/\w|/work/main|/work/shared|/tmp/\w|/workspace)\b")


class Block(NamedTuple):
    """A fenced block of a page, or a whole example."""

    where: str
    text: str


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have on the usual hosts."""
    words = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", one).lower() for one in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in words}


def blocks(language: str) -> Iterator[Block]:
    for page in PAGES:
        for count, (kind, text) in enumerate(FENCE.findall(page.read_text()), start=1):
            if kind == language:
                yield Block(f"{name(page)}, block {count}", text)


def ours() -> list[Block]:
    """YAML that speaks of Slipway's kinds: in pages and in examples."""
    examples = [Block(name(one), one.read_text()) for one in sorted((ROOT / "examples").glob("*.yaml"))]
    return [*(one for one in blocks("yaml") if API_VERSION in one.text), *examples]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_inside_the_tree_lead_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(CODE.sub("", prose(page))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("block", ours(), ids=lambda block: block.where)
def test_yaml_of_ours_is_valid(block: Block) -> None:
    documents = [one for one in yaml.safe_load_all(block.text) if one]
    assert documents
    for one in documents:
        KINDS[one["kind"]].model_validate(one)
        assert one["apiVersion"] == API_VERSION
        assert list(unknown(one, schema(one["kind"]), one["kind"])) == []
        if one["kind"] == "ModelVersion":
            assert one["metadata"]["name"] == f"{one['spec']['model']}-v{one['spec']['version']}"


@pytest.mark.parametrize("block", [*blocks("yaml")], ids=lambda block: block.where)
def test_yaml_can_be_read(block: Block) -> None:
    for one in yaml.safe_load_all(block.text):
        assert {"apiVersion", "kind", "metadata"} <= set(one)


def schema(kind: str) -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "crds" / f"{KINDS[kind].plural}.slipway.dev.yaml").read_text())
    found: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def unknown(value: Any, expected: dict[str, Any], path: str) -> Iterator[str]:
    """Fields that the API server would drop."""
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from unknown(one, expected.get("items", {}), f"{path}[{number}]")
    if isinstance(value, dict) and "properties" in expected and not path.endswith(".metadata"):
        for key, one in value.items():
            if key not in expected["properties"]:
                yield f"{path}.{key}"
            yield from unknown(one, expected["properties"].get(key, {}), f"{path}.{key}")


def test_every_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    missing = {
        f"{name(page)}: make {target}"
        for page in PAGES
        for text in [*(one for _, one in FENCE.findall(page.read_text())), *CODE.findall(prose(page))]
        for target in MAKE.findall(text)
        if target not in targets
    }
    assert missing == set()


def test_every_setting_and_reason_is_in_the_reference() -> None:
    settings, reasons = ((ROOT / "docs" / "reference" / page).read_text() for page in ("settings.md", "reasons.md"))
    fields = [field.alias or own for own, field in ConfigFile.model_fields.items()]
    assert [one for one in (*VARIABLES, *fields) if f"`{one}`" not in settings] == []
    assert [one.value for one in Reason if f"| `{one.value}` |" not in reasons] == []


def test_reasons_that_pages_name_are_in_the_catalogue() -> None:
    """A reason that was renamed is found here; other words of that shape are named below."""
    others = {"RollbackImpossible", "ReadOnlyMany", "RuntimeDefault"}
    shape = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
    kinds = {*KINDS, "MetricThreshold"}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {word for page in pages for word in shape.findall(prose(page))}
    assert named - set(Reason.__members__) - kinds - others == set()


def test_every_direct_dependency_has_its_line() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    lines = [line for file in (ROOT / "requirements").glob("*.in") for line in file.read_text().splitlines()]
    wanted = {re.split(r"[=<>~!\[; ]", line)[0] for line in lines if line and line[0] not in "#-"}
    described = {one.lower() for one in re.findall(r"^\| ([\w.-]+) \|", text, re.MULTILINE)}
    assert {one for one in wanted if one.lower() not in described} == set()
    assert described - {one.lower() for one in wanted} - {"package"} == set()


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "adr"
    index = (folder / "README.md").read_text()
    pages = sorted(page.name for page in folder.glob("0*.md"))
    assert [page for page in pages if f"]({page})" not in index] == []
    assert [int(page[:4]) for page in pages] == list(range(1, len(pages) + 1)), "numbers are given once, without gaps"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_page_speaks_of_one_machine(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert [f"{number}: {line}" for number, line in enumerate(lines, start=1) if MACHINE.search(line)] == []
