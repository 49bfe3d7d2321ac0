"""Variables of a model's code: what of them is evidence, what pods follow, and what is told when the code fails."""

from typing import Any

import pytest
from slipway.api.registeredmodel import RegisteredModel
from slipway.core import lifecycle
from slipway.core.pods import Trouble
from slipway.core.reasons import Reason
from slipway.core.revisions import revision_of
from slipway.resources import serving

from tests.core.test_lifecycle import after, at_validation, conditions, jobs_of
from tests.worlds import digest, job, model, version

TEST_KEY = {"secretKeyRef": {"name": "openai", "key": "test"}}
KEY = {"name": "API_KEY", "secretKeyRef": {"name": "openai", "key": "production"}}
TRACEBACK = "openai.AuthenticationError: incorrect API key: sk-hush\n"
SAID = "slipway-error: AuthenticationError: incorrect API key: ***\n"


def given(*env: dict[str, Any]) -> RegisteredModel:
    """A model with these variables."""
    return model({"serving": {"pod": {"env": env}}} if env else {})


@pytest.mark.parametrize(
    ("env", "evidence", "pods"),
    [
        pytest.param([], "same", "same", id="none"),
        pytest.param([KEY], "same", "other", id="one that the scoring steps do not have"),
        pytest.param([KEY | {"validation": TEST_KEY}], "other", "other", id="one that they have"),
    ],
)
def test_what_the_scoring_steps_have_is_part_of_the_evidence(
    env: list[dict[str, Any]], evidence: str, pods: str
) -> None:
    proven, bare = version(1, status={"digest": digest("a")}), model()
    same = revision_of(given(*env), proven, ()) == revision_of(bare, proven, ())
    assert ("same" if same else "other") == evidence
    same = serving.inputs(given(*env), digest("a")) == serving.inputs(bare, digest("a"))
    assert ("same" if same else "other") == pods


def test_another_order_or_another_key_in_production_moves_no_evidence() -> None:
    proven = version(1, status={"digest": digest("a")})
    region = {"name": "REGION", "value": "eu-1", "validation": {"value": "eu-1"}}
    test = KEY | {"validation": TEST_KEY}
    known = revision_of(given(test, region), proven, ())
    assert revision_of(given(region, test), proven, ()) == known
    other = test | {"secretKeyRef": {"name": "openai", "key": "rotated"}}
    assert revision_of(given(other, region | {"value": "eu-2"}), proven, ()) == known
    assert revision_of(given(test, region | {"validation": {"value": "eu-2"}}), proven, ()) != known


@pytest.mark.parametrize(
    ("env", "log", "told"),
    [
        pytest.param([], TRACEBACK, "sk-hush", id="no variables, the log's end"),
        pytest.param([KEY], TRACEBACK, "sk-hush", id="a Secret that the scoring steps do not have"),
        pytest.param(
            [KEY | {"validation": TEST_KEY}], TRACEBACK + SAID, "incorrect API key: ***", id="score's own line"
        ),
        pytest.param([KEY | {"validation": TEST_KEY}], TRACEBACK, "not shown, since", id="no line of score's"),
    ],
)
def test_of_the_log_of_code_with_a_secret_only_what_score_says_is_told(env: Any, log: str, told: str) -> None:
    seen, asked = at_validation(version(1), given(*env))
    (name,) = jobs_of(asked)
    trouble = Trouble(Reason.PredictionFailed, "Step 'score-candidate' ended with code 11.", "score-candidate")
    ended = {name: job(name, "Failed", trouble=trouble, log=log)}
    decision = lifecycle.decide(after(seen, asked, jobs=ended))
    assert conditions(decision)["Validated"] == ("False", "PredictionFailed")
    assert decision.status is not None
    (said,) = [one["message"] for one in decision.status["conditions"] if one["type"] == "Validated"]
    assert told in said
    assert ("sk-hush" in str(decision.status)) == (told == "sk-hush")
