"""Puts models and versions into the cluster, with the past that the operator would have given them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.api import SLIPWAY, Api, Object, for_each
from bench.proven import Past, digest
from bench.registry import Registered
from bench.simulation import REGISTRY, SYSTEM

API_VERSION = "slipway.dev/v1alpha1"
PLURALS = {"ControllerRevision": "controllerrevisions", "Service": "services", "ModelLedger": "modelledgers"}


@dataclass(frozen=True)
class Place:
    """A namespace of the cluster, seen by a person and by the operator."""

    namespace: str
    person: Api
    operator: Api

    def ours(self, plural: str, name: str = "", sub: str = "") -> str:
        """Path of our own resources here."""
        parts = (SLIPWAY, "namespaces", self.namespace, plural, name, sub)
        return "/".join(part for part in parts if part)

    async def put(self, manifest: Object) -> None:
        """An object as the operator applies it."""
        version, name = manifest["apiVersion"], manifest["metadata"]["name"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        path = f"{root}/namespaces/{self.namespace}/{PLURALS[manifest['kind']]}"
        if (
            manifest["kind"] == "ControllerRevision" or manifest["kind"] == "ModelLedger"
        ):  # never written again, and there are thousands
            await self.operator.create(path, manifest)
        else:
            await self.operator.apply(f"{path}/{name}", manifest)

    async def tell(self, found: Object, plural: str, status: Object) -> None:
        """A status as the operator writes it."""
        meta = {key: found["metadata"][key] for key in ("name", "namespace", "uid")}
        body = {"apiVersion": API_VERSION, "kind": found["kind"], "metadata": meta, "status": status}
        await self.operator.apply(self.ours(plural, meta["name"], "status"), body)


def registry(uri: str) -> dict[str, Any]:
    """The ModelRegistry of all models, beside the operator, as installations have it."""
    return {
        "apiVersion": API_VERSION,
        "kind": "ModelRegistry",
        "metadata": {"name": REGISTRY, "namespace": SYSTEM},
        "spec": {
            "backend": {"mlflow": {"uri": uri}},
            "allowedNamespaces": {"selector": {"matchLabels": {"registry": REGISTRY}}},
        },
    }


def namespace(name: str) -> dict[str, Any]:
    """A namespace of models, which may use the registry."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"registry": REGISTRY, "slipway.dev/models": "true"}},
    }


def model(name: str, keep_warm: str = "") -> Object:
    """A RegisteredModel with one serving pod."""
    spec = {"rollout": {"keepWarm": keep_warm}} if keep_warm else {}
    return {"apiVersion": API_VERSION, "kind": "RegisteredModel", "metadata": {"name": name}, "spec": spec}


def version(of: str, number: int) -> Object:
    """A ModelVersion that asks for Production, as each promotion adds one to a repository of manifests."""
    spec = {"model": of, "version": number, "stage": "Production"}
    meta = {"name": f"{of}-v{number}"}
    return {"apiVersion": API_VERSION, "kind": "ModelVersion", "metadata": meta, "spec": spec}


async def proven(place: Place, past: Past, names: list[str]) -> None:
    """One version each of models that do not exist yet; imported and validated."""

    async def one(name: str) -> None:
        created = await place.person.create(place.ours("modelversions"), version(name, 1))
        await place.tell(created, "modelversions", past.proven(created))

    await for_each(names, one)


async def served(place: Place, past: Past, names: dict[str, str], versions: int) -> list[Registered]:
    """Models by name and keepWarm, with versions that were promoted one after the other; what the registry says."""
    told: list[Registered] = []

    async def one(name: str) -> None:
        parent = await place.person.create(place.ours("registeredmodels"), model(name, names[name]))
        path = place.ours("modelversions")
        every = [await place.person.create(path, version(name, number)) for number in range(1, versions + 1)]
        found = past.served(parent, every)
        for manifest in found.objects:
            await place.put(manifest)
        await place.tell(parent, "registeredmodels", found.model)
        for created, status in zip(every, found.versions, strict=True):
            await place.tell(created, "modelversions", status)
        for number in range(1, versions + 1):
            write = found.registry.get(number)
            stage = "Production" if number == versions else "Archived"
            aliases = (write.alias,) if write and write.alias else ()
            source = f"models:/m-{digest(name, number)[7:39]}"
            tags, line = (dict(write.all_tags), write.line) if write else ({}, "")
            told.append(Registered(name, number, source, stage, aliases, tags, line))

    await for_each(names, one)
    return told


def unproven(names: list[str]) -> Iterator[Registered]:
    """What the registry says of versions that were never promoted."""
    return (Registered(name, 1, f"models:/m-{digest(name, 1)[7:39]}") for name in names)
