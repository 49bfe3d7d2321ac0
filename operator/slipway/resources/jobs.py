"""Jobs: the import beside the operator, and the validation chain in the user's namespace."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..api import names, tasks
from ..api.meta import Meta
from ..api.modelversion import ModelVersion
from ..api.registeredmodel import RegisteredModel
from ..api.validation import Data
from . import naming, serving
from .platform import Environment, Manifest, Platform, PoolSettings
from .pods import container, placed, scratch, variables

IMPORT_SECONDS = 3600  # an import that takes longer is stuck
KEPT_SECONDS = 3600  # a finished Job stays for a person to look at
ENDING_SECONDS = 5  # for the rehearsed server, once nobody asks it any more


def _job(meta: dict[str, Any], labels: dict[str, str], seconds: int, pod: dict[str, Any]) -> Manifest:
    """A Job with one attempt: whether to try again is the operator's decision, since it knows why it failed."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {**meta, "labels": labels},
        "spec": {
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {"restartPolicy": "Never", "activeDeadlineSeconds": seconds, **pod},
            },
        },
    }


def import_job(
    platform: Platform, version: ModelVersion, name: str, task: tasks.ImportTask, purpose: str, with_credentials: bool
) -> Manifest:
    """The import: the only pod that holds the registry's credential; it runs no model code."""
    labels = naming.labels(
        version.spec.model,
        version.spec.version,
        **{names.PURPOSE: purpose, names.OWNER_NAMESPACE: version.metadata.namespace},
    )
    mounts, volumes = {"tmp": "/tmp", "files": tasks.IMPORT}, scratch(platform, "tmp", "files")
    if with_credentials:
        mounts["credentials"] = tasks.CREDENTIALS
        volumes.append({"name": "credentials", "secret": {"secretName": name}})
    mounts, volumes = _pushing(platform, mounts, volumes)
    sizes = platform.imports.resources or None
    step = container(platform, "import", "import_", task, mounts, ("credentials", "push"), sizes)
    pool = placed(platform, None, {"containers": [step], "volumes": volumes})
    return _job({"name": name, "namespace": platform.namespace}, labels, IMPORT_SECONDS, pool)


def environment_job(platform: Platform, version: ModelVersion, name: str, task: tasks.EnvironmentTask) -> Manifest:
    """The only pod that asks a package index: it has that one's credential, and runs neither model nor packages."""
    facts = {names.PURPOSE: "environment", names.OWNER_NAMESPACE: version.metadata.namespace}
    labels = naming.labels(version.spec.model, version.spec.version, **facts)
    mounts, volumes = {"tmp": "/tmp", "packages": tasks.IMPORT}, scratch(platform, "tmp", "packages")
    if secret := platform.environments.secret:
        mounts["index"] = tasks.INDEX
        volumes.append({"name": "index", "secret": {"secretName": secret}})
    mounts, volumes = _pushing(platform, mounts, volumes)
    sizes = platform.environments.resources or None
    step = container(platform, "environment", "rebuild", task, mounts, ("index", "push"), sizes)
    pool = placed(platform, None, {"containers": [step], "volumes": volumes})
    return _job({"name": name, "namespace": platform.namespace}, labels, IMPORT_SECONDS, pool)


def _pushing(
    platform: Platform, mounts: dict[str, str], volumes: list[dict[str, Any]]
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The same, with the store's password where it asks for one."""
    if not platform.store.push_secret:
        return mounts, volumes
    items = [{"key": key, "path": key} for key in ("username", "password")]
    push = {"name": "push", "secret": {"secretName": platform.store.push_secret, "items": items}}
    return {**mounts, "push": tasks.PUSH}, [*volumes, push]


def import_secret(platform: Platform, name: str, job_uid: str, files: Mapping[str, str]) -> Manifest:
    """The credential of one import; it is gone with its Job."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": platform.namespace,
            "labels": {names.MANAGED_BY: names.MANAGER},
            "ownerReferences": [{"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job_uid}],
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(files.items())},
    }


@dataclass(frozen=True)
class Comparison:
    """One validation: what is compared with what, and where."""

    name: str
    model: RegisteredModel
    fetch: tasks.FetchTask
    judge: tasks.JudgeTask
    data: Data | None
    pool: PoolSettings
    timeout_seconds: int


# The packages of each side, where the image has others: their volume, and where it is mounted.
_PACKAGES = {
    "candidate": ("environment", tasks.ENVIRONMENT),
    "champion": ("champion-environment", tasks.CHAMPION_ENVIRONMENT),
}


def _with_packages(comparison: Comparison) -> list[str]:
    """The volumes of packages that a validation needs."""
    fetch = comparison.fetch
    needed = {"candidate": fetch.candidate_environment, "champion": fetch.champion_environment}
    return [_PACKAGES[who][0] for who, digest in needed.items() if digest]


def _score(platform: Platform, comparison: Comparison, who: str, folder: str, predictions: str) -> dict[str, Any]:
    features = tasks.FEATURES if comparison.data else None
    mounts = {who: folder, f"{who}-predictions": predictions, f"{who}-tmp": "/tmp"}
    volume, place = _PACKAGES[who]
    inside = place if volume in _with_packages(comparison) else ""
    if inside:
        mounts[volume] = inside
    if features:
        mounts["features"] = features
    secrets = tuple(one.name for one in comparison.model.variables if one.validation and one.validation.secret_key_ref)
    task = tasks.ScoreTask(model=folder, features=features, predictions=predictions, secrets=secrets or None)
    resources = comparison.pool.resources or None
    read = (who, "features", volume)
    fetch = comparison.fetch
    platform = platform.on({"candidate": fetch.candidate_python, "champion": fetch.champion_python}[who])
    step = container(platform, f"score-{who}", "score", task, mounts, read, resources, inside)
    step["env"] += variables(comparison.model.variables, validation=True)
    return step


def _rehearsed(platform: Platform, version: ModelVersion, comparison: Comparison) -> dict[str, Any]:
    """The server of the candidate, as its serving pods have it, beside the judge: a native sidecar.

    It sees neither data nor predictions, and has no probes: whether it answers is for the judge to find out.
    """
    fetch, model = comparison.fetch, comparison.model
    mounts = {"candidate": tasks.CANDIDATE, "serve-tmp": "/tmp"}
    mounts |= {"environment": tasks.ENVIRONMENT} if fetch.candidate_environment else {}
    sizes = serving.sizes(model, comparison.pool) or comparison.pool.resources
    runs_in = Environment(fetch.candidate_environment, fetch.candidate_python)
    step = serving.server(platform, tasks.SERVER, version.spec.version, mounts, model, sizes, runs_in, True)
    return step | {"restartPolicy": "Always"}


def _without_devices(resources: dict[str, dict[str, str | int]]) -> dict[str, dict[str, str | int]]:
    """The judge runs beside the server and computes on no device: one that both reserved would be two."""
    kept = {kind: {name: size for name, size in those.items() if "/" not in name} for kind, those in resources.items()}
    return {kind: those for kind, those in kept.items() if those}


def _volumes(platform: Platform, comparison: Comparison, champion: bool) -> list[dict[str, Any]]:
    found = scratch(
        platform, "tmp", "truth", "features", "candidate", "candidate-predictions", "candidate-tmp", "serve-tmp"
    )
    if champion:
        found += scratch(platform, "champion", "champion-predictions", "champion-tmp")
    found += scratch(platform, *_with_packages(comparison))
    if comparison.data and comparison.data.uri.startswith("pvc://"):
        claim = comparison.data.uri.removeprefix("pvc://").split("/", 1)[0]
        found.append({"name": "data", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
    if comparison.data and comparison.data.secret_ref:
        found.append({"name": "data-credentials", "secret": {"secretName": comparison.data.secret_ref.name}})
    return found


def validation_job(platform: Platform, version: ModelVersion, comparison: Comparison) -> Manifest:
    """The chain fetch → score-champion → score-candidate → judge; each step sees only what it needs.

    Model code runs in the two score steps, which see features and their own predictions, never the truth; and in the
    server that the judge asks, which sees what it is asked.
    """
    champion = comparison.fetch.champion_digest is not None
    volumes = _volumes(platform, comparison, champion)
    present = {volume["name"] for volume in volumes}
    wanted = {
        "tmp": "/tmp",
        "candidate": tasks.CANDIDATE,
        "champion": tasks.CHAMPION,
        **dict(_PACKAGES.values()),
        "features": tasks.FEATURES,
        "truth": tasks.TRUTH,
        "data": tasks.DATA,
        "data-credentials": tasks.DATA_CREDENTIALS,
    }
    mounts = {volume: path for volume, path in wanted.items() if volume in present}
    # Every step carries the pool's resources: a pod's claim is the largest of its steps, and a quota asks each for one.
    sizes = comparison.pool.resources or None
    steps = [container(platform, "fetch", "fetch", comparison.fetch, mounts, ("data", "data-credentials"), sizes)]
    if champion:
        steps.append(_score(platform, comparison, "champion", tasks.CHAMPION, tasks.CHAMPION_PREDICTIONS))
    steps.append(_score(platform, comparison, "candidate", tasks.CANDIDATE, tasks.CANDIDATE_PREDICTIONS))
    steps.append(_rehearsed(platform, version, comparison))
    read = {"truth": tasks.TRUTH, "candidate-predictions": tasks.CANDIDATE_PREDICTIONS}
    read |= {"candidate": tasks.CANDIDATE, "features": tasks.FEATURES}
    if champion:
        read["champion-predictions"] = tasks.CHAMPION_PREDICTIONS
    beside = _without_devices(comparison.pool.resources) or None
    judge = container(platform, "judge", "judge", comparison.judge, {"tmp": "/tmp", **read}, tuple(read), beside)
    spec = {"initContainers": steps, "containers": [judge], "volumes": volumes}
    pod = placed(platform, comparison.pool, spec | {"terminationGracePeriodSeconds": ENDING_SECONDS})
    facts = {names.PURPOSE: "validate", names.POOL: comparison.pool.name}
    labels = naming.labels(version.spec.model, version.spec.version, **facts)
    meta = _owned(version.metadata, comparison.name)
    return _job(meta, labels, comparison.timeout_seconds, pod)


def _owned(meta: Meta, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": meta.namespace, "ownerReferences": naming.owner("ModelVersion", meta)}
