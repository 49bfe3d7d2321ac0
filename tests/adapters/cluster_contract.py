"""What the operator takes for granted of an API server: each case holds of a real one, and of the one in memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from slipway.adapters.cluster import (
    CONFIG_MAP,
    DEPLOYMENT,
    DISCOVERY,
    EVENT,
    JOB,
    LEASE,
    LEDGER,
    MODEL,
    RECORD,
    SECRET,
    SERVICE,
    VERSION,
    Kind,
    Object,
)
from slipway.adapters.errors import Conflict, NotFound, Rejected, Unreachable
from slipway.api import names

Manifest = dict[str, Any]
Apply = Callable[[Manifest, str], Awaitable[Object]]
OURS = {names.MANAGED_BY: names.MANAGER}
DIGEST = f"sha256:{'a' * 64}"


@dataclass(frozen=True)
class World:
    """A cluster as the operator reaches it, and a namespace of the test's own."""

    cluster: Any  # Cluster or FakeCluster
    namespace: str
    as_another: Apply  # the same apply, by another field manager

    def made(self, kind: Kind, name: str, **content: Any) -> Manifest:
        """A manifest in this namespace, with labels of ours."""
        meta = {"name": name, "namespace": self.namespace, "labels": OURS}
        return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": meta, **content}

    def model(self, **spec: Any) -> Manifest:
        return self.made(MODEL, "flights", spec=spec)

    def version(self, number: int = 1, stage: str = "Staging") -> Manifest:
        return self.made(VERSION, f"flights-v{number}", spec={"model": "flights", "version": number, "stage": stage})

    def deployment(self, image: str = "runner:1", **pod: Any) -> Manifest:
        container = {"name": "serve", "image": image, "env": [{"name": "HOME", "value": "/tmp"}]}
        template = {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [container], **pod}}
        spec = {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "template": template}
        return self.made(DEPLOYMENT, "flights-v1", spec=spec)

    def job(self, image: str = "runner:1") -> Manifest:
        pod = {"restartPolicy": "Never", "containers": [{"name": "import", "image": image}]}
        return self.made(JOB, "flights-v1-import-0123456789-1", spec={"template": {"spec": pod}})

    def record(self, **data: str) -> Manifest:
        return self.made(RECORD, "flights-v1-0123456789", revision=1, data=data)

    def config_map(self, name: str = "settings", **data: str) -> Manifest:
        return self.made(CONFIG_MAP, name, data=data)

    def lease(self, holder: str) -> Manifest:
        return self.made(LEASE, "slipway", spec={"holderIdentity": holder, "leaseDurationSeconds": 15})

    def ledger(self, champion: int) -> Manifest:
        release = {"version": champion, "digest": DIGEST, "record": "0123456789", "since": "2026-03-06T17:00:00Z"}
        return self.made(LEDGER, "flights", spec={"format": 1, "champion": champion, "released": [release]})

    def event(self, uid: str, reason: str) -> Manifest:
        meta = {"generateName": "flights-v1.", "namespace": self.namespace}
        about = {"kind": "Job", "namespace": self.namespace, "name": "flights-v1", "uid": uid}
        return {
            "apiVersion": "v1", "kind": "Event", "metadata": meta, "involvedObject": about, "reason": reason,
            "type": "Normal", "message": "m",
        }  # fmt: skip


def status(manifest: Manifest, *types: str) -> Manifest:
    """A manifest of a status with these conditions."""
    conditions = [
        {"type": one, "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-03-06T17:00:00Z"}
        for one in types
    ]
    return {key: manifest[key] for key in ("apiVersion", "kind", "metadata")} | {"status": {"conditions": conditions}}


def naming(manifest: Manifest, **meta: str) -> Manifest:
    """A manifest that names the very object that it is about."""
    return manifest | {"metadata": manifest["metadata"] | meta}


def conditions(found: Object) -> list[str]:
    return [one["type"] for one in found["status"]["conditions"]]


def is_untold(found: Object) -> bool:
    """Whether the status is what the CRD says while nobody has written one."""
    said = [one["reason"] for one in found["status"]["conditions"]]
    return (found["status"]["observedGeneration"], said) == (-1, ["Pending"])


def number(found: Object) -> int:
    return int(found["metadata"]["resourceVersion"])


class ClusterContract:
    """Run by whoever provides the fixture `world`."""

    async def test_what_is_not_there_is_not_found_and_its_name_is_told(self, world: World) -> None:
        with pytest.raises(NotFound, match="flights"):
            await world.cluster.get(MODEL, world.namespace, "flights")

    async def test_an_apply_makes_what_is_not_there(self, world: World) -> None:
        made = await world.cluster.apply(world.version())
        assert (made["apiVersion"], made["kind"]) == (VERSION.api_version, "ModelVersion")
        assert made["metadata"]["uid"]
        assert made["metadata"]["creationTimestamp"]
        assert made["metadata"]["generation"] == 1
        assert made["spec"]["stage"] == "Staging"
        assert await world.cluster.get(VERSION, world.namespace, "flights-v1") == made

    async def test_an_apply_of_the_same_writes_nothing(self, world: World) -> None:
        first = await world.cluster.apply(world.deployment())
        assert number(await world.cluster.apply(world.deployment())) == number(first)

    async def test_resource_versions_grow_and_generations_count_what_is_wanted(self, world: World) -> None:
        first = await world.cluster.apply(world.deployment())
        labelled = world.deployment()
        labelled["metadata"] = labelled["metadata"] | {"labels": OURS | {"team": "a"}}
        second = await world.cluster.apply(labelled)
        third = await world.cluster.apply(world.deployment("runner:2"))
        assert number(first) < number(second) < number(third)
        assert [one["metadata"]["generation"] for one in (first, second, third)] == [1, 1, 2]
        elsewhere = await world.cluster.apply(world.config_map(a="1"))
        assert number(elsewhere) > number(third), "they grow over all kinds"

    async def test_services_config_maps_and_leases_have_no_generation(self, world: World) -> None:
        spec = {"selector": {"app": "a"}, "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]}
        service = await world.cluster.apply(world.made(SERVICE, "flights", spec=spec))
        others = await world.cluster.apply(world.config_map(a="1")), await world.cluster.create(world.lease("me"))
        for one in (service, *others):
            assert "generation" not in one["metadata"]

    async def test_what_is_no_longer_applied_is_gone(self, world: World) -> None:
        await world.cluster.apply(world.config_map(a="1", b="2") | {"immutable": False})
        found = await world.cluster.apply(world.config_map(a="1"))
        assert found["data"] == {"a": "1"}
        assert "immutable" not in found
        await world.cluster.apply(world.deployment(nodeSelector={"pool": "gpu", "zone": "a"}))
        found = await world.cluster.apply(world.deployment(nodeSelector={"zone": "a"}))
        assert found["spec"]["template"]["spec"]["nodeSelector"] == {"zone": "a"}

    async def test_what_others_applied_stays(self, world: World) -> None:
        await world.cluster.apply(world.config_map(a="1"))
        theirs = world.config_map(b="2")
        theirs["metadata"] = theirs["metadata"] | {"labels": {}, "annotations": {"note": "x"}}
        await world.as_another(theirs, "")
        found = await world.cluster.apply(world.config_map(c="3"))
        assert found["data"] == {"b": "2", "c": "3"}
        assert found["metadata"]["annotations"]["note"] == "x"

    async def test_what_two_applied_stays_until_neither_does(self, world: World) -> None:
        await world.cluster.apply(world.config_map(a="1", b="1"))
        await world.as_another(world.config_map(b="1"), "")
        assert (await world.cluster.apply(world.config_map(a="1")))["data"] == {"a": "1", "b": "1"}

    async def test_an_apply_takes_over_what_another_says_otherwise(self, world: World) -> None:
        await world.as_another(world.config_map(a="theirs", b="theirs"), "")
        assert (await world.cluster.apply(world.config_map(a="ours")))["data"] == {"a": "ours", "b": "theirs"}
        assert (await world.as_another(world.config_map(b="theirs"), ""))["data"] == {"a": "ours", "b": "theirs"}

    async def test_without_force_it_takes_nothing_over_and_is_a_conflict(self, world: World) -> None:
        await world.as_another(world.config_map(a="theirs"), "")
        with pytest.raises(Conflict):
            await world.cluster.apply(world.config_map(a="ours", b="ours"), by=DISCOVERY, force=False)
        found = await world.cluster.get(CONFIG_MAP, world.namespace, "settings")
        assert found["data"] == {"a": "theirs"}
        added = await world.cluster.apply(world.config_map(a="theirs", b="ours"), by=DISCOVERY, force=False)
        assert added["data"] == {"a": "theirs", "b": "ours"}

    async def test_defaults_belong_to_nobody_so_that_another_may_say_otherwise(self, world: World) -> None:
        made = await world.cluster.apply(world.model(source={"name": "Flights"}), by=DISCOVERY, force=False)
        assert made["spec"]["suspend"] is False
        asked = world.model(suspend=True)
        found = await world.cluster.apply(asked, by="somebody", force=False)
        assert (found["spec"]["suspend"], found["spec"]["source"]["name"]) == (True, "Flights")

    async def test_what_another_took_over_does_not_go_with_us(self, world: World) -> None:
        await world.cluster.apply(world.config_map(a="ours", b="ours"))
        await world.as_another(world.config_map(a="theirs"), "")
        assert (await world.cluster.apply(world.config_map(b="ours")))["data"] == {"a": "theirs", "b": "ours"}

    async def test_entries_of_lists_are_merged_by_their_key(self, world: World) -> None:
        await world.cluster.apply(world.deployment())
        sidecar = world.deployment()
        sidecar["spec"] = {
            "selector": sidecar["spec"]["selector"],
            "template": {
                "metadata": {"labels": {"app": "a"}},
                "spec": {
                    "containers": [
                        {"name": "proxy", "image": "proxy:1"},
                        {"name": "serve", "env": [{"name": "ZONE", "value": "a"}]},
                    ]
                },
            },
        }
        await world.as_another(sidecar, "")
        found = await world.cluster.apply(world.deployment("runner:2"))
        containers = {one["name"]: one for one in found["spec"]["template"]["spec"]["containers"]}
        assert {name: one["image"] for name, one in containers.items()} == {"serve": "runner:2", "proxy": "proxy:1"}
        assert {one["name"] for one in containers["serve"]["env"]} == {"HOME", "ZONE"}

    async def test_lists_without_a_key_are_replaced_as_a_whole(self, world: World) -> None:
        taints = [{"key": key, "operator": "Exists"} for key in ("a", "b")]
        await world.cluster.apply(world.deployment(tolerations=taints))
        found = await world.cluster.apply(world.deployment(tolerations=taints[1:]))
        assert [one["key"] for one in found["spec"]["template"]["spec"]["tolerations"]] == ["b"]

    async def test_a_status_is_written_by_itself(self, world: World) -> None:
        before = await world.cluster.apply(world.version())
        beside = status(world.version(), "Ready") | {"spec": {"model": "trains", "version": 9, "stage": "None"}}
        after = await world.cluster.apply(beside, "status")
        assert after["spec"] == before["spec"]
        assert after["metadata"]["generation"] == 1
        assert number(after) > number(before)
        assert conditions(await world.cluster.apply(world.version(stage="Production"))) == ["Ready"]
        main = await world.cluster.apply(status(world.model(), "Ready") | {"spec": {}})
        assert is_untold(main)

    async def test_a_status_of_what_is_gone_is_not_written(self, world: World) -> None:
        with pytest.raises(NotFound):
            await world.cluster.apply(status(world.version(), "Ready"), "status")

    async def test_conditions_are_in_the_order_in_which_they_were_applied_and_go(self, world: World) -> None:
        await world.cluster.apply(world.version())
        for wanted in (["Ready", "Stalled"], ["Imported", "Ready"], ["Ready"]):
            assert conditions(await world.cluster.apply(status(world.version(), *wanted), "status")) == wanted

    async def test_a_condition_of_another_stays(self, world: World) -> None:
        await world.cluster.apply(world.version())
        await world.cluster.apply(status(world.version(), "Ready", "Stalled"), "status")
        await world.as_another(status(world.version(), "Approved"), "status")
        found = await world.cluster.apply(status(world.version(), "Ready"), "status")
        assert sorted(conditions(found)) == ["Approved", "Ready"]

    async def test_an_apply_of_what_was_seen_before_somebody_changed_it_is_a_conflict(self, world: World) -> None:
        first = await world.cluster.apply(world.version())
        await world.cluster.apply(world.version(stage="Production"))
        stale = first["metadata"]["resourceVersion"]
        with pytest.raises(Conflict):
            await world.cluster.apply(naming(status(world.version(), "Ready"), resourceVersion=stale), "status")
        with pytest.raises(Conflict):
            await world.cluster.apply(naming(world.version(), resourceVersion=stale))
        made = await world.cluster.apply(naming(world.version(2), resourceVersion=stale))
        assert made["metadata"]["generation"] == 1, "what is not there was not changed by anybody"

    async def test_a_uid_does_not_keep_a_status_from_an_object_that_was_made_again(self, world: World) -> None:
        await world.cluster.apply(world.version())
        written = await world.cluster.apply(naming(status(world.version(), "Ready"), uid="another"), "status")
        assert conditions(written) == ["Ready"], "only a resource version does"
        with pytest.raises(Rejected, match="immutable"):
            await world.cluster.apply(naming(world.version(), uid="another"))
        with pytest.raises(Conflict):
            await world.cluster.apply(naming(world.version(2), uid="another"))

    async def test_what_no_schema_has_is_rejected(self, world: World) -> None:
        """The API server calls it an error of its own (500), which would be asked again for ever."""
        await world.cluster.apply(world.version())
        for wrong, sub in (
            (world.model(colour="blue"), ""),
            (world.model(rollout={"colour": "blue"}), ""),
            (world.model(suspend="yes"), ""),
            (status(world.version(), "Ready") | {"status": {"colour": "blue"}}, "status"),
        ):
            with pytest.raises(Rejected, match="failed to create typed patch object"):
                await world.cluster.apply(wrong, sub)

    async def test_what_nobody_says_is_as_the_schema_has_it(self, world: World) -> None:
        assert is_untold(await world.cluster.apply(world.version()))
        found = await world.cluster.apply(world.model(rollout={"historyLimit": 3}))
        assert found["spec"]["rollout"]["historyLimit"] == 3
        assert found["spec"]["rollout"]["keepWarm"] == "1h"
        assert found["spec"]["suspend"] is False
        found = await world.cluster.apply(world.model(suspend=True))
        assert (found["spec"]["suspend"], found["spec"]["rollout"]["historyLimit"]) == (True, 5)

    async def test_what_never_changes_is_rejected_when_it_would(self, world: World) -> None:
        await world.cluster.apply(world.record(a="1"))
        with pytest.raises(Rejected, match="immutable"):
            await world.cluster.apply(world.record(a="2"))
        await world.cluster.apply(world.job())
        with pytest.raises(Rejected, match="immutable"):
            await world.cluster.apply(world.job("runner:2"))
        await world.cluster.apply(world.deployment())
        other = world.deployment()
        other["spec"] |= {"selector": {"matchLabels": {"app": "a", "b": "c"}}}
        other["spec"]["template"]["metadata"] = {"labels": {"app": "a", "b": "c"}}
        with pytest.raises(Rejected, match="immutable"):
            await world.cluster.apply(other)

    async def test_an_update_replaces_just_the_one_that_was_seen(self, world: World) -> None:
        first = await world.cluster.create(world.ledger(1))
        second = await world.cluster.update({**first, "spec": world.ledger(2)["spec"]})
        assert second["spec"]["champion"] == 2
        assert second["metadata"]["generation"] == 2
        assert second["metadata"]["uid"] == first["metadata"]["uid"]
        with pytest.raises(Conflict):
            await world.cluster.update({**first, "spec": world.ledger(3)["spec"]})
        assert (await world.cluster.get(LEDGER, world.namespace, "flights"))["spec"]["champion"] == 2

    async def test_an_update_leaves_nothing_of_what_was_there(self, world: World) -> None:
        first = await world.cluster.create(world.lease("her"))
        kept = {
            "name": "slipway",
            "namespace": world.namespace,
            "resourceVersion": first["metadata"]["resourceVersion"],
        }
        found = await world.cluster.update({**first, "metadata": kept, "spec": {"holderIdentity": ""}})
        assert "labels" not in found["metadata"]
        assert found["spec"].get("leaseDurationSeconds") is None

    async def test_an_update_of_the_same_writes_nothing(self, world: World) -> None:
        first = await world.cluster.create(world.lease("me"))
        assert number(await world.cluster.update(first)) == number(first)

    @pytest.mark.parametrize("what", ["ledger", "lease"])
    async def test_an_update_must_say_what_was_seen(self, world: World, what: str) -> None:
        manifest = world.ledger(1) if what == "ledger" else world.lease("me")
        await world.cluster.create(manifest)
        with pytest.raises(Rejected, match="resourceVersion"):
            await world.cluster.update(manifest)

    async def test_an_update_leaves_the_status(self, world: World) -> None:
        await world.cluster.apply(world.version())
        found = await world.cluster.apply(status(world.version(), "Ready"), "status")
        changed = {key: value for key, value in found.items() if key != "status"}
        changed["spec"] = found["spec"] | {"stage": "Production"}
        after = await world.cluster.update(changed)
        assert (after["spec"]["stage"], conditions(after)) == ("Production", ["Ready"])

    async def test_an_update_of_what_is_gone_is_not_found(self, world: World) -> None:
        first = await world.cluster.create(world.ledger(1))
        await world.cluster.delete(LEDGER, world.namespace, "flights", first["metadata"]["uid"])
        with pytest.raises(NotFound):
            await world.cluster.update(first)

    async def test_a_create_of_what_is_there_is_a_conflict(self, world: World) -> None:
        await world.cluster.create(world.ledger(1))
        with pytest.raises(Conflict, match="already exists"):
            await world.cluster.create(world.ledger(2))

    async def test_a_create_has_no_status_and_no_resource_version(self, world: World) -> None:
        found = await world.cluster.create(world.version() | {"status": status(world.version(), "Ready")["status"]})
        assert is_untold(found)
        with pytest.raises(Unreachable, match="resourceVersion"):
            await world.cluster.create(naming(world.version(2), resourceVersion=found["metadata"]["resourceVersion"]))

    async def test_a_name_can_be_left_to_the_api_server(self, world: World) -> None:
        made = [await world.cluster.create(world.event("u", "A")) for _ in range(2)]
        called = {one["metadata"]["name"] for one in made}
        assert len(called) == 2
        assert all(name.startswith("flights-v1.") for name in called)

    async def test_what_is_deleted_is_gone_and_to_delete_it_again_is_no_error(self, world: World) -> None:
        there = await world.cluster.apply(world.config_map(a="1"))
        for _ in range(2):
            await world.cluster.delete(CONFIG_MAP, world.namespace, "settings", there["metadata"]["uid"])
        with pytest.raises(NotFound):
            await world.cluster.get(CONFIG_MAP, world.namespace, "settings")

    async def test_another_object_of_that_name_is_not_deleted(self, world: World) -> None:
        await world.cluster.apply(world.config_map(a="1"))
        with pytest.raises(Conflict, match=r"UID in (the )?precondition"):
            await world.cluster.delete(CONFIG_MAP, world.namespace, "settings", "of-another-time")
        assert await world.cluster.get(CONFIG_MAP, world.namespace, "settings")

    async def test_what_is_made_again_is_another_and_owned_by_nobody_before(self, world: World) -> None:
        first = await world.cluster.apply(world.config_map(a="1"))
        await world.cluster.delete(CONFIG_MAP, world.namespace, "settings", first["metadata"]["uid"])
        second = await world.as_another(world.config_map(a="1"), "")
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        assert number(second) > number(first)
        assert (await world.cluster.apply(world.config_map(b="2")))["data"] == {"a": "1", "b": "2"}

    async def test_a_list_has_what_concerns_the_operator(self, world: World) -> None:
        ours = await world.cluster.apply(world.deployment())
        strange = world.deployment()
        strange["metadata"] = {"name": "strange", "namespace": world.namespace, "labels": {"app": "a"}}
        await world.cluster.apply(strange)
        assert await world.cluster.every(DEPLOYMENT, world.namespace) == [ours], "with apiVersion and kind, too"
        everywhere = await world.cluster.every(DEPLOYMENT)
        assert ours["metadata"]["uid"] in {one["metadata"]["uid"] for one in everywhere}
        assert await world.cluster.every(DEPLOYMENT, "elsewhere") == []

    async def test_who_is_in_a_list_can_be_told_without_reading_them(self, world: World) -> None:
        ours = await world.cluster.apply(world.deployment())
        assert [one async for page in world.cluster.heads(SERVICE, world.namespace) for one in page] == [], "none yet"
        ((one,),) = [page async for page in world.cluster.heads(DEPLOYMENT, world.namespace)]
        known = ("name", "namespace", "uid", "resourceVersion")
        assert one == {"metadata": {key: ours["metadata"][key] for key in known}}

    async def test_an_object_of_a_list_can_be_asked_for_by_its_name(self, world: World) -> None:
        ours = await world.cluster.apply(world.deployment())
        name = ours["metadata"]["name"]
        assert await world.cluster.every(DEPLOYMENT, world.namespace, f"metadata.name={name}") == [ours]
        assert await world.cluster.every(DEPLOYMENT, world.namespace, "metadata.name=other") == []

    async def test_a_list_is_in_the_order_of_names(self, world: World) -> None:
        for name in ("b", "a", "c"):
            await world.cluster.apply(world.config_map(name, x="1"))
        found = [one["metadata"]["name"] for one in await world.cluster.every(CONFIG_MAP, world.namespace)]
        assert [name for name in found if len(name) == 1] == ["a", "b", "c"]

    async def test_events_are_found_by_what_they_are_about(self, world: World) -> None:
        for uid, reason in (("u1", "FailedCreate"), ("u2", "FailedCreate"), ("u1", "Created")):
            await world.cluster.create(world.event(uid, reason))
        (found,) = await world.cluster.every(EVENT, world.namespace, "involvedObject.uid=u1,reason=FailedCreate")
        assert (found["involvedObject"]["uid"], found["reason"]) == ("u1", "FailedCreate")

    async def test_the_log_of_a_pod_that_is_gone_is_empty(self, world: World) -> None:
        assert await world.cluster.log(world.namespace, "gone", "judge") == ""

    async def test_an_answer_is_nobodys_but_the_callers(self, world: World) -> None:
        found = await world.cluster.apply(world.made(SECRET, "login", data={"a": "MQ=="}))
        found["data"]["a"] = "changed"
        assert (await world.cluster.get(SECRET, world.namespace, "login"))["data"] == {"a": "MQ=="}
