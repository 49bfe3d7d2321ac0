"""What discovery makes of the labels in a registry: RegisteredModels, and versions of them to look at.

It creates what is absent, changes nothing and deletes nothing. No label becomes a stage, and nothing is promoted: that
takes somebody with the verb `promote`.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ..api import names
from ..api.base import API_VERSION
from ..api.modelregistry import Discovery, ModelRegistry, RegistryLabels, Stages
from ..resources import naming
from ..resources.platform import Manifest
from .allowed import lets_in, named
from .conditions import Verdict, failed, passed, sentence, unknown
from .decision import Create, Ref, Refusal
from .observed import ModelSeen
from .reasons import Reason, reason_named
from .registry import Labels
from .snapshot import Labelled

AT_ONCE = 25  # RegisteredModels that are made in one pass
NAMED = 5  # models that a message names


@dataclass(frozen=True)
class Present:
    """A RegisteredModel in the cluster."""

    namespace: str
    name: str
    registered: str  # its name in this registry; "" if it is about another registry
    made: bool = False  # by the discovery of this registry


@dataclass(frozen=True)
class Around:
    """What is in the cluster, where models would be made."""

    models: tuple[Present, ...] = ()
    namespace: Mapping[str, str] = field(default_factory=dict)  # labels of the namespace that discovery names
    served: bool = True  # whether the operator acts in it
    refusals: Mapping[Ref, Refusal] = field(default_factory=dict)


@dataclass(frozen=True)
class Discovered:
    """What discovery wants to be made, and what is told of it; nothing where it is off."""

    acts: tuple[Create, ...] = ()
    verdict: Verdict | None = None
    made: int | None = None  # RegisteredModels that are there


def found(registry: ModelRegistry, listed: Iterable[Labelled]) -> tuple[str, ...]:
    """The registered models that discovery is about: by their names, and by labels of the chosen stages."""
    discovery, allowed = registry.spec.discovery, registry.spec.allowed_namespaces
    if discovery is None:
        return ()
    chosen = _labels(discovery, registry.spec.stages)
    stages, aliases = {one.stage for one in chosen}, {one.alias for one in chosen}
    labelled = (one.name for one in listed if one.stages & stages or one.aliases & aliases)
    ours = {name for name in labelled if named(name, discovery.models)}
    if discovery.namespace != registry.metadata.namespace and allowed and allowed.models:
        ours = {name for name in ours if named(name, allowed.models)}
    return tuple(sorted(ours))


def versions(seen: ModelSeen) -> set[int]:
    """The versions of a model that get a ModelVersion: the highest in each chosen stage, and who has its alias."""
    if seen.known is None or not isinstance(seen.registry, ModelRegistry):
        return set()
    discovery, meta = seen.registry.spec.discovery, seen.model.metadata
    name = seen.model.registered_name
    if discovery is None or discovery.namespace != meta.namespace or not named(name, discovery.models):
        return set()
    wanted: set[int] = set()
    for chosen in _labels(discovery, seen.registry.spec.stages):
        wanted |= highest(seen.known.labels, chosen)
    return wanted


def decide(registry: ModelRegistry, names_found: Sequence[str] | None, around: Around) -> Discovered:
    """The models to make, and what is told; `names_found` is None while nobody knows them."""
    discovery = registry.spec.discovery
    if discovery is None:
        return Discovered()
    made = sum(one.made for one in around.models)
    if why := _forbidden(registry, discovery, around):
        return Discovered(verdict=failed(Reason.DiscoveryNotAllowed, why), made=made)
    if names_found is None:
        return Discovered(verdict=unknown(Reason.Resolving), made=made)
    by_name = _missing(names_found, around)
    taken = {one.name: one for one in around.models if one.namespace == discovery.namespace}
    alone = {name: ones[0] for name, ones in sorted(by_name.items()) if len(ones) == 1 and name not in taken}
    chosen = dict(list(alone.items())[: max(0, discovery.limit - made)])
    acts = [Create(_model(registry, discovery, name, one)) for name, one in chosen.items()]
    acts.sort(key=lambda one: Ref.of(one.manifest) in around.refusals)  # what is refused holds up nobody
    troubles = [*_refused(around), *_collisions(by_name, taken), *_left_out(discovery, len(alone) - len(chosen))]
    summary = _summary(discovery, names_found, around)
    if troubles:
        said = " ".join(text for _, text in troubles)
        verdict = failed(troubles[0][0], f"{said} {summary}")
    else:
        verdict = passed(Reason.ModelsDiscovered, summary)
    return Discovered(tuple(acts[:AT_ONCE]), verdict, made)


def _missing(names_found: Sequence[str], around: Around) -> Mapping[str, list[str]]:
    """The registered models that no RegisteredModel in the cluster is about, by the name that theirs would have."""
    there = {one.registered for one in around.models}
    by_name = defaultdict[str, list[str]](list)
    for one in names_found:
        if one not in there:
            by_name[naming.model(one)].append(one)
    return by_name


def _labels(discovery: Discovery, stages: Stages) -> tuple[RegistryLabels, ...]:
    """The labels of the chosen stages; MLflow's stage None is no label."""
    by_stage = {"Staging": stages.staging, "Production": stages.production}
    return tuple(by_stage[one] for one in discovery.stages)


def highest(labels: Mapping[int, Labels], chosen: RegistryLabels) -> set[int]:
    """Of the versions with these labels, the highest in the stage and the one with the alias."""
    is_label = chosen.stage not in (None, "None")
    in_stage = [number for number, one in labels.items() if is_label and one.stage == chosen.stage]
    return {*sorted(in_stage)[-1:], *(number for number, one in labels.items() if chosen.alias in one.aliases)}


def _forbidden(registry: ModelRegistry, discovery: Discovery, around: Around) -> str:
    """Why nothing may be made in the namespace; "" if something may."""
    if not around.served:
        return (
            f"Slipway does not serve the namespace {discovery.namespace}: it does not exist, lacks the label "
            f"{names.MODELS}=true, or is none of watch.namespaces in the chart."
        )
    own = discovery.namespace == registry.metadata.namespace
    if not own and not lets_in(registry.spec.allowed_namespaces, around.namespace):
        return f"spec.allowedNamespaces does not select the namespace {discovery.namespace}."
    return ""


def _model(registry: ModelRegistry, discovery: Discovery, name: str, registered: str) -> Manifest:
    """Nothing but where it is registered: gates, and who promotes, are for people to say."""
    meta = registry.metadata
    ref = {"name": meta.name, "namespace": meta.namespace}
    marks = {names.DISCOVERED: f"{meta.namespace}/{meta.name}"}
    return {
        "apiVersion": API_VERSION,
        "kind": "RegisteredModel",
        "metadata": {"name": name, "namespace": discovery.namespace, "annotations": marks},
        "spec": {"source": {"registryRef": ref, "name": registered}},
    }


def _refused(around: Around) -> list[tuple[Reason, str]]:
    for one in around.refusals.values():
        return [(reason_named(one.reason), sentence(one.message))]
    return []


def _collisions(by_name: Mapping[str, list[str]], taken: Mapping[str, Present]) -> list[tuple[Reason, str]]:
    """Registered models of which none gets an object, since two would have one name."""
    told = []
    for name, ones in sorted(by_name.items()):
        there = taken.get(name)
        if there is not None:
            about = f'of "{there.registered}"' if there.registered else "of another registry"
            told.append(f"{_quoted(ones)} would be {name}, which is the RegisteredModel {about}")
        elif len(ones) > 1:
            told.append(f"{_quoted(ones)} would all be {name}")
    if not told:
        return []
    more = f"; {len(told) - NAMED} more names are taken" if len(told) > NAMED else ""
    return [(Reason.NamesCollide, f"None of these was made: {'; '.join(told[:NAMED])}{more}.")]


def _left_out(discovery: Discovery, count: int) -> list[tuple[Reason, str]]:
    if not count:
        return []
    said = f"{count} more registered models have labels; spec.discovery.limit is {discovery.limit}."
    return [(Reason.DiscoveryLimited, said)]


def _summary(discovery: Discovery, wanted: Sequence[str], around: Around) -> str:
    made = {one.registered for one in around.models if one.made}
    declared = {one.registered for one in around.models} - made
    there = set(wanted)
    said = (
        f"{len(wanted)} registered models have labels of {' or '.join(discovery.stages)}: {len(made & there)} were "
        f"made in the namespace {discovery.namespace}, {len(declared & there)} are declared."
    )
    if silent := sorted(made - there - {""}):
        said += f" {len(silent)} that were made have such labels no longer, and stay: {_quoted(silent)}."
    return said


def _quoted(ones: Sequence[str]) -> str:
    shown = [f'"{one[:80]}"' for one in ones[:NAMED]]
    more = f" and {len(ones) - NAMED} more" if len(ones) > NAMED else ""
    return (", ".join(shown) if more or len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}") + more
