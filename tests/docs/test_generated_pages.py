"""Reference pages are made from what they describe, and one that is out of date is found."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev.generate.schema import Incomplete
from dev.generate.values import page
from tests.pages import ROOT

VALUES = """\
# The operator's own image.
image:
  repository: slipway-operator
  tag: ""        # default: the chart's appVersion

# Node pools: `{name: …}`,
# by name.
pools:
  - name: cpu
    nodeSelector: {}   # a|b
  # - name: gpu

watch:
  # Where it works.
  namespaces: []
"""


def test_the_comments_of_values_are_what_the_page_says() -> None:
    rows = [line for line in page(VALUES).splitlines() if line.startswith("| `")]
    assert rows == [
        "| `image` |  | The operator's own image. |",
        "| `image.repository` | `slipway-operator` |  |",
        '| `image.tag` | `""` | default: the chart\'s appVersion |',
        "| `pools` | `[{name: cpu, nodeSelector: {}}]` | Node pools: `{name: …}`, by name. |",
        "| `pools[].name` | `cpu` |  |",
        "| `pools[].nodeSelector` | `{}` | a\\|b |",
        "| `watch.namespaces` | `[]` | Where it works. |",
    ]


def test_a_value_of_which_nothing_is_said_is_named() -> None:
    with pytest.raises(Incomplete, match=r"watch\.namespaces has no comment"):
        page(VALUES.replace("  # Where it works.\n", ""))


@dataclass(frozen=True)
class Change:
    """An edit of one file, and the page that it makes out of date."""

    file: str
    before: str
    after: str
    page: str


CHANGES = [
    Change("charts/slipway/values.yaml", "# How many objects", "# Objects", "values.md"),
    Change("operator/slipway/controller/telemetry.py", "How long a pass takes.", "How long it takes.", "metrics.md"),
    Change("operator/slipway/core/reasons/validation.py", "Every gate passed.", "All passed.", "reasons.md"),
    Change("operator/slipway/settings.py", "Path of the configuration file", "The file", "settings.md"),
    Change("operator/slipway/api/modelversion.py", "One version of a model", "A version", "resources.md"),
]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What is generated, and what it is generated from."""
    for folder in ("crds", "charts", "dev/generate", "docs/reference", "operator"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def checked(clone: Path) -> tuple[int, list[str]]:
    """Exit status and words of the check."""
    words = [sys.executable, str(clone / "dev" / "generate"), "--check"]
    done = subprocess.run(words, cwd=clone, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr.splitlines()


def test_what_is_current_passes_the_check(clone: Path) -> None:
    assert checked(clone) == (0, [])


def test_the_check_names_every_page_that_is_out_of_date_or_left_over(clone: Path) -> None:
    for change in CHANGES:
        file = clone / change.file
        assert change.before in file.read_text()
        file.write_text(file.read_text().replace(change.before, change.after))
    (clone / "docs" / "reference" / "old.md").write_text("# Old\n")
    code, said = checked(clone)
    assert code == 1
    assert {f"out of date: docs/reference/{change.page}" for change in CHANGES} <= set(said)
    assert "not generated any more: docs/reference/old.md" in said
