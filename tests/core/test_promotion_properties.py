"""What holds of every decision about a model, in whatever world."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from slipway.api.modelversion import ModelVersion
from slipway.core import promotion
from slipway.core.decision import Decision
from slipway.core.observed import Fleet, ModelSeen
from slipway.core.registry import Silent
from slipway.resources.serving import Traffic

from tests.worlds import (
    fleet,
    model,
    model_seen,
    proven,
    refused,
    serves,
    traffic_after,
    version,
)

versions = st.lists(
    st.tuples(
        st.integers(1, 4), st.sampled_from(["None", "Staging", "Production", "Archived"]), st.sampled_from("pvr")
    ),
    max_size=4,
    unique_by=lambda one: one[0],
)


def _version(number: int, stage: str, kind: str, champion: str) -> ModelVersion:
    if kind == "p":
        return proven(number, stage, champion)
    return version(number, stage) if kind == "v" else refused(number)


@st.composite
def worlds(draw: st.DrawFn) -> ModelSeen:
    champion = draw(st.none() | st.integers(1, 4))
    predecessor = draw(st.none() | st.integers(1, 4)) if champion else None
    asked = model(rollback=draw(st.sampled_from(["", "now"])))
    traffic = serves(champion, predecessor if predecessor != champion else None) if champion else Traffic()
    of = tuple(_version(*one, draw(st.sampled_from([traffic.digest, "z"]))) for one in draw(versions))
    fleets = tuple(
        fleet(number, asked, draw(st.booleans())) for number in sorted(draw(st.sets(st.integers(1, 4)))) if number
    )
    registry = draw(st.sampled_from([None, Silent("RegistryUnreachable", "no answer")]))
    seen = model_seen(of, traffic, fleets, asked)
    return replace(seen, registry=registry) if registry else seen


@given(worlds())
def test_the_same_world_gets_the_same_decision(seen: ModelSeen) -> None:
    assert promotion.decide(seen) == promotion.decide(seen)


@given(worlds())
def test_traffic_moves_only_to_what_is_proven_and_ready(seen: ModelSeen) -> None:
    after = traffic_after(promotion.decide(seen))
    if after is None or after.champion in (None, seen.traffic.champion):
        return
    assert seen.fleets[after.champion].complete
    of = {one.spec.version: one for one in seen.versions}.get(after.champion)
    fresh = of is not None and of.status.validation is not None
    assert after.champion in seen.traffic.history or (
        fresh and of is not None and of.status.validation is not None
        and (of.status.validation.champion_digest or "") == seen.traffic.digest
    )  # fmt: skip


@given(worlds())
def test_the_champion_and_its_pods_are_never_retired_while_it_has_the_traffic(seen: ModelSeen) -> None:
    decision = promotion.decide(seen)
    after = traffic_after(decision)
    if after is None or after.champion is None:
        return
    assert f"flights-v{after.champion}" not in {one.what.name for one in decision.retire}
    assert f"flights-v{seen.traffic.champion}" not in {one.what.name for one in decision.retire}


@given(worlds())
def test_silence_of_the_registry_moves_nothing_that_its_word_would_not(seen: ModelSeen) -> None:
    silent = replace(seen, registry=Silent("RegistryUnreachable", "no answer"), labels={})
    spoken, unspoken = promotion.decide(seen), promotion.decide(silent)
    assert (unspoken.ensure, unspoken.retire, unspoken.scale) == (spoken.ensure, spoken.retire, spoken.scale)


def carried_out(seen: ModelSeen, decision: Decision) -> ModelSeen:
    """The world once the decision was carried out and every Deployment came up."""
    asked = {one["metadata"]["labels"]["slipway.dev/version"] for one in decision.ensure if one["kind"] == "Deployment"}
    gone = {int(one.what.name.split("-v")[1]) for one in decision.retire if one.what.kind == "Deployment"}
    numbers = ({*seen.fleets, *map(int, asked)}) - gone
    fleets: dict[int, Fleet] = {number: fleet(number, seen.model) for number in numbers}
    return replace(
        model_seen(seen.versions, traffic_after(decision) or seen.traffic, tuple(fleets.values()), seen.model),
        registry=seen.registry,
    )


@given(worlds())
def test_repeated_passes_settle(seen: ModelSeen) -> None:
    for _ in range(6):
        decision = promotion.decide(seen)
        before, seen = seen, carried_out(seen, decision)
    assert (seen.traffic, seen.fleets.keys()) == (before.traffic, before.fleets.keys())
    assert not decision.retire
