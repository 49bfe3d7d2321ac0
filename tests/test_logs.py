"""The log: JSON in a cluster, with the fields that somebody filters by; readable lines on a terminal."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from slipway import logs


class Said:
    """A log and what it has written."""

    def __init__(self, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", self._stream)
        logs.configure(form, "INFO")
        self.log = logging.getLogger("slipway")

    @property
    def text(self) -> str:
        return self._stream.getvalue()

    @property
    def line(self) -> dict[str, Any]:
        (line,) = self.text.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


@pytest.fixture(autouse=True)
def before() -> Iterator[None]:
    """The logs of the process are as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_line_carries_what_it_is_about(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said("json", monkeypatch)
    said.log.warning("%s was refused", "flights-v3", extra=logs.about("ModelVersion", "ml", "flights-v3", "GateFailed"))
    assert {key: value for key, value in said.line.items() if key != "time"} == {
        "level": "warning",
        "logger": "slipway",
        "message": "flights-v3 was refused",
        "kind": "ModelVersion",
        "namespace": "ml",
        "name": "flights-v3",
        "reason": "GateFailed",
    }


def test_what_is_not_known_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said("json", monkeypatch)
    said.log.info("all is well", extra=logs.about("RegisteredModel", "ml", "flights"))
    assert "reason" not in said.line


def test_a_line_about_nothing_in_particular(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said("json", monkeypatch)
    said.log.info("starting")
    assert said.line.keys() == {"time", "level", "logger", "message"}


def test_a_traceback_stays_on_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said("json", monkeypatch)
    try:
        raise ValueError("what nobody foresaw")
    except ValueError:
        said.log.exception("the pass broke", extra=logs.about("ModelVersion", "ml", "flights-v3", "InternalError"))
    assert "ValueError: what nobody foresaw" in said.line["exception"]
    assert said.line["name"] == "flights-v3"


def test_text_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Said("text", monkeypatch)
    said.log.warning("flights-v3 was refused", extra=logs.about("ModelVersion", "ml", "flights-v3", "GateFailed"))
    assert said.text.endswith("WARNING flights-v3 was refused\n")
