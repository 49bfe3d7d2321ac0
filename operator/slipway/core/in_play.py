"""Of which versions the registry is told."""

from ..api.meta import Meta
from ..api.modelledger import TOLD, ModelLedgerSpec, Served
from ..api.modelversion import ModelVersion, ModelVersionSpec
from ..resources import naming
from .observed import ModelSeen


def in_play(seen: ModelSeen, ledger: ModelLedgerSpec) -> list[ModelVersion]:
    """Versions of which the registry is told: the champion, then those that ask for Production, then the newest."""
    asking = [one for one in (*seen.versions, *_undeclared(seen, ledger)) if _is_of_interest(seen, ledger, one)]

    def first(one: ModelVersion) -> tuple[bool, bool, bool, int]:
        stage, number = seen.stage(one, ledger), one.spec.version
        return number != ledger.champion, stage == "None", stage != "Production", -number

    return sorted(asking, key=first)[:TOLD]


def _is_of_interest(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    number = version.spec.version
    return seen.stage(version, ledger) != "None" or _has_served(seen, ledger, version) or waited(seen, number)


def _undeclared(seen: ModelSeen, ledger: ModelLedgerSpec) -> list[ModelVersion]:
    """Versions without an object, since none is made for what cannot be followed: the registry is told why."""
    if not seen.by_registry or seen.labelled_by or seen.known is None:
        return []
    request = ledger.following.request if ledger.following else None
    asked = {request.version, request.against} if request else set()
    there = {one.spec.version for one in seen.versions} | seen.unreadable.keys() | seen.told_by.keys()
    meta = seen.model.metadata
    return [
        ModelVersion(
            metadata=Meta(name=naming.version(meta.name, number), namespace=meta.namespace),
            spec=ModelVersionSpec(model=meta.name, version=number),
        )
        for number in seen.known.labels.keys() - there
        if number in asked or waited(seen, number)
    ]


def waited(seen: ModelSeen, number: int) -> bool:
    """Whether the registry was told that a version waits; it is told, too, once it does not."""
    labels = seen.known.labels.get(number) if seen.known else None
    return labels is not None and labels.tags.get(prefix_of(seen) + "state", "").startswith("Waiting")


def prefix_of(seen: ModelSeen) -> str:
    """What the names of our tags begin with."""
    return f"slipway.dev/{seen.platform.cluster_name}/{seen.model.metadata.namespace}/"


def has_a_say(version: ModelVersion, ledger: ModelLedgerSpec) -> bool:
    """Whether its model may tell the registry of a version, as far as the version itself and the ledger show."""
    asked = {version.spec.stage, version.status.stage} - {None, "None"}
    number = version.spec.version
    served = number == ledger.champion or any(one.version == number for one in ledger.history)
    return bool(asked) or served or was_adopted(ledger, version)


def _has_served(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    champion = version.spec.version == ledger.champion
    return champion or was_adopted(ledger, version) or bool(times(seen, ledger, version))


def was_adopted(ledger: ModelLedgerSpec, version: ModelVersion) -> bool:
    """Whether an adopted Deployment is said to run it."""
    return ledger.adopted is not None and ledger.adopted.version == version.spec.version


def times(seen: ModelSeen, ledger: ModelLedgerSpec, version: ModelVersion) -> list[Served]:
    """The times for which a version had the traffic; not those of other files that had its number before."""
    released, number = seen.release(ledger, version), version.spec.version
    its = {version.status.digest, released.digest if released else None}
    return [one for one in ledger.history if one.version == number and one.digest in its]
