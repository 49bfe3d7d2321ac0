"""Variables of a model's code, from the RegisteredModel into the pods: what a change of them moves."""

from typing import Any

import pytest

from tests.controller.test_environments import job, rests, serving, steps
from tests.declared import GATED, model, version
from tests.simulation import Simulation

KEY = {"name": "API_KEY", "secretKeyRef": {"name": "openai", "key": "production"}}
TESTED = KEY | {"validation": {"secretKeyRef": {"name": "openai", "key": "test"}}}


@pytest.fixture
def of() -> Simulation:
    """A model that reads a key; a validation has another one."""
    found = Simulation()
    found.start()
    found.cluster.put(model(validation=GATED, serving=given(TESTED)))
    return found


def given(*env: Any) -> dict[str, Any]:
    return {"pod": {"env": list(env)}}


def key_of(container: Any) -> str | None:
    """Which key of the Secret a container has."""
    found = [one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if one["name"] == "API_KEY"]
    return found[0] if found else None


def serves_with(of: Simulation, number: int) -> str | None:
    return key_of(serving(of, number)["spec"]["containers"][0])


def validations(of: Simulation) -> set[str]:
    """The Jobs that there are and that prove something."""
    return {name for kind, _, name in of.cluster.objects if kind == "Job" and "-validate-" in name}


def test_it_is_proven_with_one_key_and_serves_with_the_other(of: Simulation) -> None:
    of.cluster.put(version(1))
    rests(of)
    of.cluster.put(version(2))
    rests(of)
    chain = {name: key_of(step) for name, step in steps(job(of, 2, "validate")).items()}
    unproven = dict.fromkeys(("score-champion", "score-candidate", "serve-candidate"), "test")
    assert chain == {"fetch": None, **unproven, "judge": None}
    assert serves_with(of, 2) == "production"


def test_another_key_replaces_the_pods_of_the_champion_and_proves_nothing_anew(of: Simulation) -> None:
    of.cluster.put(version(1))
    rests(of)
    before = validations(of)
    rotated = TESTED | {"secretKeyRef": {"name": "openai", "key": "rotated"}}
    of.edit("RegisteredModel", "flights", serving=given(rotated))
    rests(of)
    assert (of.route(), serves_with(of, 1)) == ("1", "rotated")
    assert validations(of) == before


@pytest.mark.parametrize(("stage", "anew"), [("Production", 0), ("Staging", 1)])
def test_another_test_key_proves_anew_what_was_not_released(of: Simulation, stage: str, anew: int) -> None:
    of.cluster.put(version(1, stage))
    rests(of)
    before = validations(of)
    other = TESTED | {"validation": {"secretKeyRef": {"name": "openai", "key": "another"}}}
    of.edit("RegisteredModel", "flights", serving=given(other))
    rests(of)
    assert len(validations(of) - before) == anew
