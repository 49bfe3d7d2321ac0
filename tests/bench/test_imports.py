"""The measurement of an import, with a small model: its programs run, its figures are there, and nothing is left."""

import sys
import tempfile
from pathlib import Path

import pytest

from bench import imports
from bench.imports import Amounts, Ran
from tests.runner.pods import program


@pytest.fixture
def programs() -> Path:
    if not program("registry").exists():
        pytest.skip(f"{program('registry')} is not there: build the distribution registry")
    return program("registry").parent


@pytest.mark.long
def test_a_small_model_is_imported_on_both_sides(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    figures = {one.what: one for one in imports.measure(Amounts(megabytes=50, rounds=1), programs).figures}

    (ratio,) = figures["time of an import, by Slipway against by hand"].values
    assert ratio > 0
    (memory,) = figures["memory of an import"].values
    assert 10 < memory < 300, "the program of the import, and not its files"
    assert figures["memory of an import"].at_most == 300
    assert figures["files without a line of progress while it runs"].values == (0,)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_told_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^no room .* --megabytes"):
        imports._room(tmp_path, Amounts(megabytes=10**9))


def test_a_program_that_fails_ends_the_measurement_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nthe store is away"):
        imports.run([sys.executable, "-c", "import sys; print('the store is away', file=sys.stderr); sys.exit(3)"],
                     tmp_path, {})  # fmt: skip


@pytest.mark.parametrize(
    ("log", "untold", "silence"),
    [
        ([(1.0, "1/6 files, 0.1 MB, 1 s: MLmodel"), (7.0, "2/6 files, 9 MB, 7 s: a")], 4, 6),
        ([(2.0, "pushed sha256:0: 9 MB, 1 s")], 6, 8),
        ([(10.0, "1/6 files, 0.1 MB, 1 s: MLmodel")], 6, 10),  # told when all was over
    ],
)
def test_progress_is_what_was_told_before_the_end(log: list[tuple[float, str]], untold: int, silence: float) -> None:
    ran = Ran(10.0, 40.0, tuple(log))
    assert imports._untold(ran) == untold
    assert ran.silence_seconds == silence
