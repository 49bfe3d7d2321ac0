"""The measurement of a validation, with few rows: both sides run, and measure the same."""

import tempfile
from pathlib import Path

import pytest

from bench import validation
from bench.validation import Amounts


@pytest.mark.long
def test_few_rows_are_judged_on_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    figures = {one.what: one for one in validation.measure(Amounts(rows=100, rounds=1)).figures}

    for what in ("time, by Slipway against by hand", "memory, by Slipway against by hand"):
        (ratio,) = figures[what].values
        assert ratio > 0
        assert figures[what].at_most == 1.2
    assert list(tmp_path.iterdir()) == []


def test_two_that_measure_otherwise_end_the_measurement(tmp_path: Path) -> None:
    (tmp_path / "ours").write_text('slipway-report {"candidate": {"metrics": {"max_error": 1.0}}}\n')
    (tmp_path / "theirs").write_text('{"max_error": 1.1}')
    with pytest.raises(SystemExit, match="the two measure otherwise: max_error"):
        validation._agree(tmp_path / "ours", tmp_path / "theirs")
