"""The cache: never older than what was written, and nothing comes back from the dead."""

from typing import Any

import pytest
from slipway.adapters.cluster import JOB, MODEL, POD, VERSION, Kind
from slipway.controller.cache import Cache


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


def test_whatever_changes_is_told_once(cache: Cache) -> None:
    told: list[str] = []
    cache.listen(lambda kind, found: told.append(found["metadata"]["resourceVersion"]))
    cache.put(MODEL, seen(MODEL, "flights", 1))
    cache.put(MODEL, seen(MODEL, "flights", 1))
    cache.put(MODEL, seen(MODEL, "flights", 2))
    cache.remove(MODEL, "ml", "flights")
    assert told == ["1", "2", "2"]


def test_managed_fields_are_not_kept(cache: Cache) -> None:
    cache.put(MODEL, seen(MODEL, "flights", 1))
    found = cache.get(MODEL, "ml", "flights")
    assert found is not None and "managedFields" not in found["metadata"]
