"""A status has at most 16 KiB, whatever was read and said."""

import json
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from slipway.api.modelversion import ModelVersionStatus
from slipway.core.changes import Side, between
from slipway.core.facts import bounded
from slipway.core.statuses import LIMIT_BYTES, fit

from tests.core.test_facts import hostile
from tests.worlds import STAMP, digest

LETTERS = st.sampled_from(["a", "ü", "數", "😀", '"', "\n"])
GATES = 64


def long(limit: int, letter: str) -> str:
    return letter * limit


@cache
def worst_facts(letter: str) -> dict[str, Any]:
    """Of a run that logs as much as it can, compared with another one."""
    facts, others = bounded(hostile(letter)), bounded(hostile("b"))
    return {"facts": facts.wire(), "changes": between(2**31 - 1, Side(others, None), Side(facts, None)).wire()}


def worst(letter: str, failed: int) -> dict[str, Any]:
    """Everything at its bound, said in one letter."""
    attempt = {
        "key": "k" * 64, "attempt": 100, "outcome": "Failed", "reason": "r" * 128, "message": long(2048, letter),
        "startedAt": STAMP, "finishedAt": STAMP, "digest": digest("a"),
    }  # fmt: skip
    gates = [
        {
            "name": f"{number:063}", "result": "Failed" if number < failed else "Passed", "metric": long(128, letter),
            "candidate": -1.2345678901234567e-100, "champion": -1.2345678901234567e-100, "message": long(512, letter),
        }
        for number in range(GATES)
    ]  # fmt: skip
    kinds = ("Ready", "Reconciling", "Stalled", "Resolved", "Imported", "Validated", "Released", "Synced")
    conditions = [
        {"type": one, "status": "Unknown", "reason": "r" * 128, "message": long(2048, letter),
         "lastTransitionTime": STAMP, "observedGeneration": 2**31}
        for one in kinds
    ]  # fmt: skip
    resolved = {
        "registry": "0" * 16, "source": long(2048 // len(letter.encode()), letter),
        "via": [long(128 // len(letter.encode()), letter)] * 8, "modelId": "m" * 256,
        "runId": "r" * 256, "mlmodelDigest": digest("b"), "mlflowVersion": "v" * 64,
        "flavors": [f"{number:064}" for number in range(32)], "sizeBytes": 2**53,
    }  # fmt: skip
    validation = {key: value for key, value in attempt.items() if key != "digest"} | {
        "revision": "v" * 64, "championVersion": 2**31 - 1, "championDigest": digest("c"), "dataDigest": digest("d"),
        "rows": 2**53, "gates": gates, "pool": "p" * 63, "environment": digest("e"), "python": "3.11",
    }  # fmt: skip
    return {
        **worst_facts(letter),
        "observedGeneration": 2**31, "conditions": conditions, "resolved": resolved, "stage": "Production", "digest": digest("a"),
        "environment": attempt | {"sizeBytes": 2**53, "packages": 2**31, "image": "i" * 512, "notes": long(1000, letter)},
        "serving": True, "imported": attempt | {"sizeBytes": 2**53}, "data": attempt, "validation": validation,
        "url": "u" * 512, "lastHandledRetry": long(256, letter), "refusedAt": STAMP,
    }  # fmt: skip


@given(letter=LETTERS, failed=st.integers(0, GATES))
def test_the_worst_status_fits_and_can_be_read(letter: str, failed: int) -> None:
    status = worst(letter, failed)
    assert set(status) == {field.alias for field in ModelVersionStatus.model_fields.values()}, "every field is in it"
    found = fit(status)
    assert len(json.dumps(found, ensure_ascii=False, separators=(",", ":")).encode()) <= LIMIT_BYTES
    ModelVersionStatus.model_validate(found)


@given(letter=LETTERS, failed=st.integers(0, GATES))
def test_what_programs_read_is_whole_and_the_gates_that_failed_are_the_last_to_go(letter: str, failed: int) -> None:
    status = worst(letter, failed)
    found = fit(status)
    for name in ("digest", "resolved", "lastHandledRetry", "observedGeneration"):
        assert found[name] == status[name]
    assert found["validation"]["outcome"] == "Failed"
    results = [gate["result"] for gate in found["validation"]["gates"]]
    assert results == sorted(results), "failed gates come first"
    assert "Passed" not in results or results.count("Failed") == failed


def test_a_status_that_fits_is_left_alone() -> None:
    status = {"conditions": [{"type": "Ready", "message": "m" * 2048}], "validation": {"gates": [{"result": "Passed"}]}}
    assert fit(status) is status
