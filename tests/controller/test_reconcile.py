"""A pass over a model: it acts until nothing more is wanted, and tells people once, whatever the registry does."""

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from slipway.adapters.cluster import MODEL
from slipway.adapters.errors import Conflict, Unreachable
from slipway.controller import reconcile
from slipway.controller.cache import Cache
from slipway.controller.queue import Key
from slipway.controller.reconcile import Reconciler
from slipway.controller.registries import Reached
from slipway.controller.telemetry import Telemetry
from slipway.core import promotion
from slipway.core.decision import Decision, Event
from slipway.core.observed import ModelSeen
from slipway.core.registry import Labels, Write

from tests.worlds import REGISTRY, fleet, model, model_seen, proven, serves, version

KEY = Key("model", "ml", "flights")
UP = fleet(1, model())
NOTHING_SAID = Labels("None", (), {})


@dataclass
class Stage:
    """A world that changes as the pass acts on it; plays the observer, the applier, the registries and the client."""

    answers: asyncio.Event = field(default_factory=asyncio.Event)  # the registry, when this is set
    heard: asyncio.Event = field(default_factory=asyncio.Event)  # people were told
    fails: bool = False
    conflicts: bool = False  # the API server, about the status
    moved: bool = False
    labels: Labels = NOTHING_SAID
    told: list[dict[str, Any]] = field(default_factory=list)
    news: list[str] = field(default_factory=list)

    def seen(self) -> ModelSeen:
        if not self.moved:
            return model_seen((proven(1),), fleets=(UP,))
        return model_seen((version(1),), serves(1), (UP,), labels={1: self.labels})

    async def model(self, _namespace: str, _name: str) -> ModelSeen:
        return self.seen()

    async def objects(self, _decision: Decision) -> None:
        self.moved = True

    async def of(self, _model: object) -> Reached:
        return Reached(REGISTRY, cast(Any, self), {})

    async def write(self, _name: str, write: Write) -> None:
        await self.answers.wait()
        if self.fails:
            raise Unreachable("no answer")
        self.labels = Labels(write.stage or "None", (write.alias or "",), write.tags)

    async def status(self, _found: object, status: dict[str, Any]) -> bool:
        if self.conflicts:
            self.heard.set()
            raise Conflict("somebody else has written it")
        self.told.append(status)
        self.heard.set()
        return True

    async def events(self, _about: object, events: tuple[Event, ...]) -> None:
        self.news += [event.reason for event in events]

    async def passed(self) -> float | None:
        """One pass."""
        cache, me = Cache(), cast(Any, self)
        meta = {"name": "flights", "namespace": "ml", "uid": "model-uid", "resourceVersion": "1"}
        cache.put(MODEL, {"apiVersion": "slipway.dev/v1alpha1", "kind": "RegisteredModel", "metadata": meta})
        return await Reconciler(cache, me, me, me, Telemetry())(KEY)

    def synced(self) -> list[str]:
        """What the statuses said of the registry's labels."""
        return [status["versions"][0]["synced"]["reason"] for status in self.told]


async def test_a_release_is_told_once_when_the_registry_says_it_too() -> None:
    stage = Stage()
    stage.answers.set()
    await stage.passed()
    assert stage.synced() == ["LabelsWritten"]
    assert stage.told[0]["champion"]["version"] == 1
    assert stage.news == ["Serving"]
    assert stage.labels.stage == "Production"


async def test_a_slow_registry_does_not_keep_the_truth_from_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LABELS_SECONDS", 0.01)
    stage = Stage()
    running = asyncio.create_task(stage.passed())
    await asyncio.wait_for(stage.heard.wait(), 10)
    assert (stage.told[0]["champion"]["version"], stage.synced()) == (1, ["LabelsPending"])
    assert stage.labels == NOTHING_SAID, "it was told before the registry had answered"
    stage.answers.set()
    await running
    assert stage.labels.stage == "Production", "and the write was not given up"


async def test_a_registry_that_fails_is_told_of_and_asked_again() -> None:
    stage = Stage(fails=True)
    stage.answers.set()
    with pytest.raises(Unreachable):
        await stage.passed()
    assert stage.synced() == ["LabelsPending"]


async def test_a_registry_that_forgets_what_it_is_told_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    stage.answers.set()
    decided = promotion.decide
    looks: list[int] = []

    def forgetful(seen: ModelSeen) -> Decision:
        looks.append(1)
        stage.labels = NOTHING_SAID
        return decided(stage.seen() if stage.moved else seen)

    monkeypatch.setattr(promotion, "decide", forgetful)
    assert await stage.passed() == 1.0
    assert len(looks) == reconcile.LOOKS
    assert stage.synced() == ["LabelsPending"]


async def test_a_pass_ends_after_its_last_write_to_the_registry_even_where_it_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconcile, "LABELS_SECONDS", 0.01)
    stage = Stage(conflicts=True)
    running = asyncio.create_task(stage.passed())
    await asyncio.wait_for(stage.heard.wait(), 10)
    assert not running.done(), "the next pass could write before this one's late write"
    stage.answers.set()
    with pytest.raises(Conflict):
        await running
    assert stage.labels.stage == "Production"
