"""The documents say what is so: links lead somewhere, YAML is valid, commands exist, nothing of one machine is in them."""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from slipway.api.base import API_VERSION
from slipway.api.modelledger import ModelLedger
from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel
from slipway.api.report import Measured, Report
from slipway.api.validation import Gate
from slipway.core.gates import evaluate
from slipway.core.lifecycle import LIFECYCLE
from slipway.core.reasons import Reason
from slipway.settings import VARIABLES, ConfigFile

from tests.pages import (
    ALONE,
    FENCE,
    FOLLOWED,
    HEREDOC,
    NOT_RUN,
    PAGES,
    ROOT,
    SHELL,
    Block,
    Step,
    blocks,
    every_block,
    name,
    prints,
    steps,
)

KINDS: dict[str, Any] = {one.__name__: one for one in (ModelRegistry, RegisteredModel, ModelVersion, ModelLedger)}
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#+ +(.+?)\s*$", re.MULTILINE)
MAKE = re.compile(r"\bmake ([a-z][a-z-]*)")
MACHINE = re.compile(r"(?<![\w.])(?:/root|/home/\w|/Users/\w|/work/main|/work/shared|/tmp/\w|/workspace)\b")


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings have on the usual hosts."""
    words = [re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", one).lower() for one in HEADING.findall(prose(page))]
    return {re.sub(r"[^\w\- ]", "", one).replace(" ", "-") for one in words}


def manifests() -> Iterator[Block]:
    """YAML in pages: blocks of it, and what commands apply, with the page's own example values."""
    for page in PAGES:
        values: dict[str, str] = {}
        for block in blocks(page):
            if block.mark == "values":
                values |= block.exports
            if block.language == "yaml" and block.mark != "chart":
                yield block
            if block.language in SHELL:
                for text in HEREDOC.findall(block.text):
                    if "apiVersion:" in text:
                        yield block._replace(text=Template(text).safe_substitute(values))


def ours() -> list[Block]:
    """YAML that speaks of Slipway's kinds: in pages and in examples."""
    examples = [Block(name(one), 0, "yaml", "", one.read_text()) for one in sorted((ROOT / "examples").glob("*.yaml"))]
    return [*(one for one in manifests() if API_VERSION in documents_of(one)), *examples]


def documents_of(block: Block) -> set[str]:
    """The API versions of what is in it."""
    return {one["apiVersion"] for one in yaml.safe_load_all(block.text) if one}


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


@pytest.mark.parametrize("block", manifests(), ids=lambda block: block.where)
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
        for text in [*(one.text for one in blocks(page)), *CODE.findall(prose(page))]
        for target in MAKE.findall(text)
        if target not in targets
    }
    assert missing == set()


# How many blocks of commands no test runs; each says why.
NOT_RUN_BLOCKS = {
    "CONTRIBUTING.md": 1,
    "README.md": 3,
    "SECURITY.md": 2,
    "docs/adoption.md": 1,
    "docs/benchmarks.md": 1,
    "docs/getting-started.md": 1,
    "docs/gitops.md": 2,
    "docs/operating.md": 7,
    "docs/webhooks.md": 4,
}
PAGE_COLUMNS = 100
EVENTS = ROOT / "docs" / "events.md"
READS = re.compile(r"kubectl (get|describe|auth can-i) ")


def commands() -> list[Block]:
    return [block for block in every_block() if block.language in SHELL]


def test_commands_are_in_blocks_that_a_test_runs_or_say_why_not() -> None:
    others = {block.language for block in every_block()} - {*SHELL, "yaml", "text"}
    others -= {block.language for block in blocks(EVENTS)}  # tests/adapters/test_cloudevents.py runs its receiver
    assert others == set(), "commands in a language of another name would be run by nobody"
    marked = [block for block in commands() if block.mark not in ("", "values")]
    assert [block.where for block in marked if not NOT_RUN.fullmatch(block.mark)] == []
    assert Counter(block.page for block in marked) == NOT_RUN_BLOCKS
    assert {block.page for block in commands() if block.is_run} == {*FOLLOWED, *ALONE}


@pytest.mark.parametrize("block", commands(), ids=lambda block: block.where)
def test_commands_can_be_pasted(block: Block) -> None:
    for step in steps(block):
        done = subprocess.run(["bash", "-n"], input=step.command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert "…" not in step.command, "what the reader fills in is a variable, in a block of values"


def test_blocks_fit_on_a_page() -> None:
    wide = {block.where for block in every_block() for line in block.text.splitlines() if len(line) > PAGE_COLUMNS}
    assert wide == set(), "a reader would have to scroll sideways"


@pytest.mark.parametrize("block", [one for one in commands() if one.language == "console"], ids=lambda one: one.where)
def test_what_a_page_shows_is_read_and_can_be_asked_for_again(block: Block) -> None:
    assert steps(block), "a console block begins with `$ `"
    assert [step.command for step in steps(block) if not READS.match(step.command) or not step.printed] == []


@pytest.mark.parametrize(
    ("shown", "said", "same"),
    [
        ("flights-v1   True   3m59s", "flights-v1 True 12s", True),
        ("flights-v1   True   3m59s", "NAME READY AGE\nflights-v1   True   2d4h", True),
        ("flights-v1   True   3m59s", "flights-v1 False 12s", False),
        ("flights-v1   True", "flights-v10 True", False),
        ("error: 94.0725 is over 12", "error: 13.5 is over 12", True),
        ("error: 94.0725 is over 12", "error: 13.5 is over 13", False),
        ("a … z", "a b c z", True),
        ("yes", "no", False),
    ],
)
def test_output_is_compared_but_for_what_differs_from_run_to_run(shown: str, said: str, same: bool) -> None:
    assert prints(Step("", (shown,)), said) is same


def test_the_readme_shows_the_words_of_a_gate_that_was_missed() -> None:
    (policy,) = (one for one in ours() if "kind: RegisteredModel" in one.text and one.page == "docs/getting-started.md")
    gate = Gate.model_validate(yaml.safe_load(policy.text)["spec"]["validation"]["gates"][0])
    shown = next(block.text for block in blocks(ROOT / "README.md") if block.text.startswith("error: "))
    shown = " ".join(shown.split())
    candidate, champion = (float(one) for one in re.findall(r"is (\d+\.\d+)", shown)[1:3])
    (result,) = evaluate([gate], Report.model_construct(
        candidate=Measured.model_construct(metrics={"root_mean_squared_error": candidate}),
        champion=Measured.model_construct(metrics={"root_mean_squared_error": champion}),
    ))  # fmt: skip
    assert shown == f"error: {result.message}. {Reason.GateFailed.remedy}"


ALERTS = re.findall(r"- alert: (\w+)", (ROOT / "charts" / "slipway" / "templates" / "alerts.yaml").read_text())


def test_every_alert_has_its_line_and_its_runbook() -> None:
    assert ALERTS
    lines = re.findall(
        r"^\| \[`(Slipway\w+)`\]\(runbooks.md#(\w+)\) \|", (ROOT / "docs" / "operating.md").read_text(), re.MULTILINE
    )
    assert lines == [(one, one.lower()) for one in ALERTS]
    assert re.findall(r"^## (.+)", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE) == ALERTS


def test_every_setting_and_reason_is_in_the_reference() -> None:
    settings, reasons = ((ROOT / "docs" / "reference" / page).read_text() for page in ("settings.md", "reasons.md"))
    fields = [field.alias or own for own, field in ConfigFile.model_fields.items()]
    assert [one for one in (*VARIABLES, *fields) if f"`{one}`" not in settings] == []
    assert [one.value for one in Reason if f"| `{one.value}` |" not in reasons] == []


def test_reasons_that_pages_name_are_in_the_catalogue() -> None:
    """A reason that was renamed is found here; other words of that shape are named below."""
    others = {"RollbackImpossible", "ReadOnlyMany", "RuntimeDefault", *ALERTS}
    shape = re.compile(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`")
    kinds = {*KINDS, "MetricThreshold"}
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    named = {word for page in pages for word in shape.findall(prose(page))}
    assert named - set(Reason.__members__) - kinds - others == set()


def test_the_picture_names_the_conditions_in_their_order_and_reasons_of_the_catalogue() -> None:
    words = re.findall(r">([A-Z]\w+)</text>", (ROOT / "docs" / "images" / "life.svg").read_text())
    assert [word for word in words if word in LIFECYCLE] == list(LIFECYCLE)
    reasons = [word for word in words if word not in LIFECYCLE]
    assert reasons
    assert set(reasons) <= set(Reason.__members__)


def test_every_direct_dependency_has_its_line() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    lines = [line for file in (ROOT / "requirements").glob("*.in") for line in file.read_text().splitlines()]
    wanted = {re.split(r"[=<>~!\[; ]", line)[0] for line in lines if line and line[0] not in "#-"}
    wanted |= {folder.name for folder in (ROOT / "dev" / "cluster" / "modules").iterdir()}
    described = {one.lower() for one in re.findall(r"^\| ([\w.-]+) \|", text, re.MULTILINE)}
    assert {one for one in wanted if one.lower() not in described} == set()
    assert described - {one.lower() for one in wanted} - {"package", "program"} == set()


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


def test_what_pins_packages_of_nodejs_has_checksums_and_no_address() -> None:
    (found,) = (ROOT / "dev" / "cluster" / "modules").glob("*/package-lock.json")
    packages = json.loads(found.read_text())["packages"]
    assert [name for name, one in packages.items() if name and not one.get("integrity")] == []
    assert "://" not in found.read_text()
