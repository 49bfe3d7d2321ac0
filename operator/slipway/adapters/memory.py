"""A model registry in memory that behaves as MLflow does, for tests and trying things out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ..core.registry import Absent, Entry, Labels, Write
from .errors import AdapterError, NotFound, Rejected
from .mlflow_formats import Unreadable, digest, read_mlmodel, read_requirements

STAGES = ("None", "Staging", "Production", "Archived")
ALIAS = re.compile(r"[\w-]{1,255}")
RESERVED_ALIAS = re.compile(r"latest|v[0-9]+", re.IGNORECASE)
TAG = re.compile(r"[/\w.\- :]{1,250}")
TAG_LIMIT = 100_000


@dataclass(frozen=True)
class Model:
    """What is logged and then registered: its files and its numbers. A file that is None is missing."""

    mlmodel: bytes | None
    requirements: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    model_id: str | None = None
    run_id: str | None = None


class MemoryRegistry:
    """A `Registry`; `trouble`, when set, is what every call raises."""

    def __init__(self, version: str = "3.17.2") -> None:
        self.trouble: AdapterError | None = None
        self.kept: dict[tuple[str, str], bytes] = {}
        self.runs: set[str] = set()
        self._server_version = version
        self._models: dict[str, dict[int, tuple[Model, Labels]]] = {}
        self._created: dict[str, int] = {}

    def register(self, name: str, model: Model) -> int:
        """The model is the newest version of `name`; returns its number, which is never used again."""
        number = self._created[name] = self._created.get(name, 0) + 1
        self._models.setdefault(name, {})[number] = (model, Labels("None", (), {}))
        if model.run_id:
            self.runs.add(model.run_id)
        return number

    def delete(self, name: str, version: int) -> None:
        """The version is gone, and its labels with it."""
        del self._models[name][version]

    def lose_files(self, name: str, version: int) -> None:
        """The version is registered, and its files are gone."""
        model, labels = self._models[name][version]
        self._models[name][version] = (replace(model, mlmodel=None, requirements=None), labels)

    async def server_version(self) -> str:
        """The version given to the constructor."""
        self._check()
        return self._server_version

    async def resolve(self, name: str, version: int) -> Entry | Absent:
        """What was registered, read from the MLmodel file as the real adapter does."""
        self._check()
        found = self._find(name, version)
        if isinstance(found, Absent):
            return found
        model, _ = found
        shown = f'version {version} of the model "{name}" in memory'
        if model.mlmodel is None:
            return Absent("ArtifactMissing", f"{shown} has no MLmodel file")
        file = "MLmodel"
        try:
            mlmodel = read_mlmodel(model.mlmodel)
            file = "requirements.txt"
            requirements = read_requirements(model.requirements or b"")
        except Unreadable as error:
            return Absent("ModelInvalid", f"{shown} cannot be used, its {file} file {error}")
        return Entry(
            name=name,
            version=version,
            source=f"models:/{model.model_id}" if model.model_id else f"memory:/{name}/{version}",
            model_id=model.model_id,
            run_id=model.run_id,
            mlmodel_digest=digest(model.mlmodel),
            mlflow_version=mlmodel.mlflow_version,
            flavors=mlmodel.flavors,
            size_bytes=mlmodel.size_bytes,
            has_signature=mlmodel.has_signature,
            requirements=requirements,
            params=dict(model.params),
            metrics=dict(model.metrics),
        )

    async def labels(self, name: str, version: int) -> Labels | Absent:
        """The labels as last written."""
        self._check()
        found = self._find(name, version)
        return found if isinstance(found, Absent) else found[1]

    async def write(self, name: str, write: Write) -> None:
        """The labels are as given; the alias has left other versions, and entering a stage archived others."""
        self._check()
        found = self._find(name, write.version)
        if isinstance(found, Absent):
            raise NotFound(found.message)
        if write.stage is not None:
            self._enter(name, write.version, write.stage, write.archive_others)
        if write.alias is not None:
            self._name(name, write.version, write.alias)
        for key, value in write.tags.items():
            if not TAG.fullmatch(key) or len(value) > TAG_LIMIT:
                raise Rejected(f'refused to set the tag "{key[:250]}"')
            labels = self._models[name][write.version][1]
            self._relabel(name, write.version, replace(labels, tags={**labels.tags, key: value}))

    async def keep(self, run_id: str, path: str, content: bytes) -> None:
        """The document is in `kept`, under the run and the path."""
        self._check()
        if not path or {"", ".", ".."} & set(path.split("/")):
            raise Rejected(f'"{path}" is no path inside the artifacts of a run')
        if run_id not in self.runs:
            raise NotFound(f"there is no run {run_id}")
        self.kept[run_id, path] = content

    async def close(self) -> None:
        """Nothing to give back."""

    def _check(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    def _find(self, name: str, version: int) -> tuple[Model, Labels] | Absent:
        if name not in self._models:
            return Absent("VersionNotFound", f'the model "{name}" is not registered in memory (version {version})')
        found = self._models[name].get(version)
        if found is None:
            return Absent("VersionNotFound", f'version {version} of the model "{name}" is not registered in memory')
        return found

    def _enter(self, name: str, version: int, wanted: str, archive_others: bool) -> None:
        stage = next((one for one in STAGES if one.lower() == wanted.lower()), None)
        if stage is None:
            raise Rejected(f'"{wanted}" is no stage: it is one of {", ".join(STAGES)}')
        labels = self._models[name][version][1]
        if labels.stage == stage:
            return
        if archive_others and stage in ("Staging", "Production"):
            for other, (_, theirs) in list(self._models[name].items()):
                if theirs.stage == stage:
                    self._relabel(name, other, replace(theirs, stage="Archived"))
        self._relabel(name, version, replace(labels, stage=stage))

    def _name(self, name: str, version: int, alias: str) -> None:
        if not ALIAS.fullmatch(alias) or RESERVED_ALIAS.fullmatch(alias):
            raise Rejected(f'the alias "{alias}" is reserved or not legal')
        for other, (_, labels) in list(self._models[name].items()):
            aliases = set(labels.aliases) - {alias} | ({alias} if other == version else set())
            self._relabel(name, other, replace(labels, aliases=tuple(sorted(aliases))))

    def _relabel(self, name: str, version: int, labels: Labels) -> None:
        self._models[name][version] = (self._models[name][version][0], labels)
