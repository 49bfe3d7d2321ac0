"""The cache: never older than what was written, and nothing comes back from the dead."""

from typing import Any

import pytest
from slipway.adapters.cluster import JOB, MODEL, POD, REGISTRY, VERSION, Kind
from slipway.api.modelregistry import ModelRegistry, ModelRegistryStatus
from slipway.api.modelversion import ModelVersion
from slipway.controller.cache import GRAVES, VALUES, Cache, Unreadable


def seen(kind: Kind, name: str, version: int, uid: str = "u", namespace: str = "ml", **labels: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"kind": kind.kind, "metadata": meta | {"managedFields": ["much"]}, "spec": {"model": "flights"}}


@pytest.fixture
def cache() -> Cache:
    return Cache()


def test_an_older_event_does_not_replace_a_newer_write(cache: Cache) -> None:
    assert cache.put(VERSION, seen(VERSION, "flights-v1", 10))
    assert not cache.put(VERSION, seen(VERSION, "flights-v1", 9))
    assert not cache.put(VERSION, seen(VERSION, "flights-v1", 10))
    assert cache.put(VERSION, seen(VERSION, "flights-v1", 11))


def test_a_late_event_does_not_bring_a_deleted_object_back(cache: Cache) -> None:
    cache.put(VERSION, seen(VERSION, "flights-v1", 10))
    assert cache.remove(VERSION, "ml", "flights-v1", version=11)
    assert not cache.put(VERSION, seen(VERSION, "flights-v1", 10))
    assert cache.put(VERSION, seen(VERSION, "flights-v1", 12, uid="another")), (
        "a new object of that name is another one"
    )


def test_an_object_that_lost_its_label_and_got_it_back_is_known_again(cache: Cache) -> None:
    cache.put(VERSION, seen(VERSION, "flights-v1", 10))
    cache.remove(VERSION, "ml", "flights-v1", uid="u", version=11)
    assert cache.put(VERSION, seen(VERSION, "flights-v1", 12))


def test_a_late_event_of_its_predecessor_does_not_replace_an_object(cache: Cache) -> None:
    cache.put(VERSION, seen(VERSION, "flights-v1", 12, uid="new"))
    assert not cache.put(VERSION, seen(VERSION, "flights-v1", 10, uid="old"))
    assert cache.put(VERSION, seen(VERSION, "flights-v1", 13, uid="newer"))


def test_a_late_deletion_does_not_remove_the_successor(cache: Cache) -> None:
    cache.put(VERSION, seen(VERSION, "flights-v1", 12, uid="new"))
    assert not cache.remove(VERSION, "ml", "flights-v1", uid="old")
    assert cache.get(VERSION, "ml", "flights-v1") is not None


def test_an_import_job_belongs_to_the_model_in_the_users_namespace(cache: Cache) -> None:
    labels = {"slipway.dev/model": "flights", "slipway.dev/owner-namespace": "ml"}
    cache.put(JOB, seen(JOB, "flights-v1-import", 1, namespace="slipway-system", **labels))
    cache.put(POD, seen(POD, "stranger", 2, uid="p", namespace="ml"))
    assert [one["metadata"]["name"] for one in cache.family("ml", "flights", JOB)] == ["flights-v1-import"]
    assert cache.family("ml", "flights", POD) == []


def test_whatever_changes_is_told_once_with_what_it_was(cache: Cache) -> None:
    told: list[tuple[str | None, str | None]] = []

    def resource_version(found: dict[str, Any] | None) -> str | None:
        return found["metadata"]["resourceVersion"] if found else None

    cache.listen(lambda change: told.append((resource_version(change.before), resource_version(change.after))))
    cache.put(MODEL, seen(MODEL, "flights", 1))
    cache.put(MODEL, seen(MODEL, "flights", 1))
    cache.put(MODEL, seen(MODEL, "flights", 2))
    cache.remove(MODEL, "ml", "flights")
    assert told == [(None, "1"), ("1", "2"), ("2", None)]


def version(number: int, at: int = 1, **status: Any) -> dict[str, Any]:
    found = seen(VERSION, f"flights-v{number}", at, uid=f"u{number}")
    return found | {"spec": {"model": "flights", "version": number, "stage": "Production"}, "status": status}


def test_a_version_is_given_out_as_it_came(cache: Cache) -> None:
    cache.put(VERSION, version(1, digest="sha256:1", conditions=[]))
    found = cache.get(VERSION, "ml", "flights-v1")
    assert found is not None
    assert (found["spec"]["version"], found["status"]) == (1, {"digest": "sha256:1", "conditions": []})
    assert [one["metadata"]["name"] for one in cache.all(VERSION)] == ["flights-v1"]


def test_an_object_is_parsed_once_per_change(cache: Cache) -> None:
    cache.put(VERSION, version(1))
    first = cache.value(VERSION, "ml", "flights-v1")
    assert isinstance(first, ModelVersion)
    assert cache.values("ml", "flights", VERSION) == [first]
    assert cache.value(VERSION, "ml", "flights-v1") is first
    cache.put(VERSION, version(1, at=2, digest="sha256:" + "1" * 64))
    second = cache.value(VERSION, "ml", "flights-v1")
    assert isinstance(second, ModelVersion) and second.status.digest == "sha256:" + "1" * 64
    cache.remove(VERSION, "ml", "flights-v1")
    assert cache.value(VERSION, "ml", "flights-v1") is None


def test_what_cannot_be_parsed_is_neither_absent_nor_an_error(cache: Cache) -> None:
    cache.put(VERSION, version(1))
    wrong = version(2)
    wrong["spec"]["stage"] = "Elsewhere"
    cache.put(VERSION, wrong)
    one, other = cache.values("ml", "flights", VERSION)
    assert isinstance(one, ModelVersion)
    assert isinstance(other, Unreadable) and other.name == "flights-v2" and "stage" in other.why
    assert cache.value(VERSION, "ml", "flights-v2") is other


def test_of_every_version_the_state_is_known_without_unpacking_it(cache: Cache) -> None:
    ready = {"type": "Ready", "status": "False", "reason": "GateFailed"}
    stalled = {"type": "Stalled", "status": "True", "reason": "GateFailed"}
    cache.put(VERSION, version(1, conditions=[ready, stalled]))
    drifted = {"type": "Synced", "status": "False", "reason": "RegistryDrifted"}
    cache.put(VERSION, version(2))
    cache.put(VERSION, version(3, conditions=[drifted]))
    assert list(cache.briefs()) == [
        ("ml", "flights-v1", "flights", ("False", "GateFailed"), True, {"Stalled"}, False),
        ("ml", "flights-v2", "flights", ("", ""), False, set(), False),
        ("ml", "flights-v3", "flights", ("", ""), False, set(), True),
    ]


def test_nothing_is_left_of_what_came_and_went(cache: Cache) -> None:
    for at in range(1, GRAVES + VALUES):
        cache.put(VERSION, version(at, at))
        cache.value(VERSION, "ml", f"flights-v{at}")
        cache.remove(VERSION, "ml", f"flights-v{at}")
    kept = {name: len(held) for name, held in vars(cache).items() if hasattr(held, "__len__")}
    assert kept["_graves"] == GRAVES
    assert kept["_values"] == kept["_families"] == 0


def test_only_so_many_parsed_objects_are_remembered_but_a_large_model_as_a_whole(cache: Cache) -> None:
    for number in range(VALUES + 10):
        cache.put(MODEL, seen(MODEL, f"m{number}", number + 1, uid=f"m{number}") | {"spec": {}})
        cache.value(MODEL, "ml", f"m{number}")
    first = cache.value(MODEL, "ml", "m0")
    assert first is cache.value(MODEL, "ml", "m0")
    for number in range(1, VALUES + 10):
        cache.put(VERSION, version(number, number))
    large = cache.values("ml", "flights", VERSION)
    again = cache.values("ml", "flights", VERSION)
    assert all(one is other for one, other in zip(large, again, strict=True))


def test_the_largest_model_is_parsed_once_though_other_objects_are_looked_at_between(cache: Cache) -> None:
    for number in range(1, VALUES + 100):
        cache.put(VERSION, seen(VERSION, f"flights-v{number}", number, uid=f"u{number}"))
    cache.put(MODEL, seen(MODEL, "flights", 9999, uid="m"))
    first = cache.values("ml", "flights", VERSION)
    cache.value(MODEL, "ml", "flights")
    again = cache.values("ml", "flights", VERSION)
    assert all(one is other for one, other in zip(first, again, strict=True))


@pytest.mark.parametrize("status", [{"lastSweepTime": "yesterday"}, {"lastSweepTime": "2026-03-06"}, {"models": [7]}])
def test_a_status_that_cannot_be_read_is_a_lost_one(cache: Cache, status: dict[str, Any]) -> None:
    spec = {"backend": {"mlflow": {"uri": "http://mlflow:5000"}}}
    cache.put(REGISTRY, {**seen(REGISTRY, "mlflow", 10), "spec": spec, "status": status})
    value = cache.value(REGISTRY, "ml", "mlflow")
    assert isinstance(value, ModelRegistry)
    assert value.status == ModelRegistryStatus()
