"""What holds of every decision about a model, in whatever world."""

import json
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from slipway.api.modelledger import LIMIT_BYTES, SELECTOR_BYTES, Adopted, ModelLedgerSpec
from slipway.api.modelversion import ModelVersion
from slipway.core import ledger as ledgers
from slipway.core import promotion
from slipway.core.commands import Command, command
from slipway.core.observed import ModelSeen
from slipway.core.registry import Silent

from tests.worlds import (
    NOW,
    applied,
    deleted,
    ledger_after,
    model,
    model_seen,
    pods_of,
    proven,
    refused,
    release,
    routed,
    serves,
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
    asked = model(rollback=draw(st.sampled_from(["", "now", "to=1", "to=3, by=eve"])))
    ledger = serves(champion, predecessor if predecessor != champion else None) if champion else None
    digest = ledger.serving.digest if ledger and ledger.serving else ""
    of = tuple(_version(*one, draw(st.sampled_from([digest, "z"]))) for one in draw(versions))
    numbers = sorted(draw(st.sets(st.integers(1, 4))))
    pods = tuple(pods_of(number, asked, draw(st.booleans())) for number in numbers)
    registry = draw(st.sampled_from([None, Silent("RegistryUnreachable", "no answer")]))
    seen = model_seen(of, ledger, pods, asked)
    return replace(seen, registry=registry) if registry else seen


@given(worlds())
def test_the_same_world_gets_the_same_decision(seen: ModelSeen) -> None:
    assert promotion.decide(seen) == promotion.decide(seen)


@given(worlds())
def test_the_route_is_that_of_the_ledger(seen: ModelSeen) -> None:
    decision = promotion.decide(seen)
    ledger = ledger_after(decision) or seen.ledger
    if ledger is not None and ledger.since:
        assert routed(decision) == str(ledger.champion or "none")
    else:
        assert routed(decision) == ""


@given(worlds())
def test_traffic_moves_only_to_what_is_proven_and_ready(seen: ModelSeen) -> None:
    before, after = seen.ledger or ledgers.EMPTY, ledger_after(promotion.decide(seen))
    if after is None or after.champion in (None, before.champion):
        return
    assert seen.pods[after.champion].ready > 0
    if before.release(after.champion):
        return
    of = seen.version(after.champion)
    proof = of.status.validation if of else None
    champion = before.serving.digest if before.serving else ""
    assert seen.pods[after.champion].complete
    assert proof is not None and (proof.champion_digest or "") == champion


@given(worlds())
def test_the_champion_and_its_pods_are_never_retired_while_it_has_the_traffic(seen: ModelSeen) -> None:
    decision = promotion.decide(seen)
    ledger = ledger_after(decision) or seen.ledger
    gone = {one.name for one in deleted(decision) if one.kind == "Deployment"}
    assert f"flights-v{seen.route}" not in gone
    assert ledger is None or f"flights-v{ledger.champion}" not in gone


@given(worlds())
def test_silence_of_the_registry_moves_nothing_that_its_word_would_not(seen: ModelSeen) -> None:
    silent = replace(seen, registry=Silent("RegistryUnreachable", "no answer"), labels=None)
    spoken, unspoken = promotion.decide(seen), promotion.decide(silent)

    def serving(manifests: list) -> list:  # type: ignore[type-arg]
        return [one for one in manifests if one["kind"] != "ModelLedger"]

    assert serving(applied(unspoken)) == serving(applied(spoken))
    assert deleted(unspoken) == deleted(spoken)
    after = [ledger_after(one) or seen.ledger or ledgers.EMPTY for one in (spoken, unspoken)]
    without = [one.model_copy(update={"told": (), "model_uid": ""}) for one in after]
    assert without[0] == without[1]


@given(st.text(max_size=300))
def test_any_text_is_a_command_or_none_and_never_twice(text: str) -> None:
    found = command(text, "")
    assert (found is None) == (text == "")
    assert found is None or command(text, found.hash) is None


texts = st.sampled_from(["x" * 400, '"' * 400, "\u00e9" * 400, "\x01" * 400, "\U0001f6eb" * 400, ""])


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["move", "back", "told"]), texts, texts), min_size=1, max_size=60))
def test_a_ledger_never_outgrows_its_bound_nor_forgets_who_serves(steps: list[tuple[str, str, str]]) -> None:
    high = 2_147_480_000
    selector = {"l" * 40 + str(one): "v" * 8 for one in range(6)}
    adopted = Adopted(deployment="d" * 253, selector=selector, port=65535)
    assert len(json.dumps(selector)) <= SELECTOR_BYTES
    ledger = ModelLedgerSpec(model_uid="u" * 64, adopted=adopted)
    for number, (step, by, reason) in enumerate(steps, high):
        if step == "move" or ledger.champion is None or ledger.predecessor is None:
            to = release(1).model_copy(
                update={"version": number, "environment": "sha256:" + "e" * 64, "python": "3.13"}
            )
            ledger = ledgers.move(ledger, to, 8, NOW)
        elif step == "back":
            to = ledger.release(ledger.predecessor)  # type: ignore[assignment]
            seen = replace(model_seen(()), ledger=ledger)
            ledger = ledgers.go_back(seen, ledger, to, Command("0" * 10, by=by, reason=reason))
        else:
            told = {"state": "S" * 16, "stage": "Production", "alias": "0" * 10}
            ledger = ledgers.tell(ledger, [ledgers.Told(version=high + one, **told) for one in range(40)])
        size = len(json.dumps(ledger.wire(), ensure_ascii=False).encode())
        assert size <= LIMIT_BYTES
        assert ledger.serving is not None
        assert ledger.predecessor is None or ledger.release(ledger.predecessor) is not None
        ModelLedgerSpec.model_validate(ledger.wire())
