"""A registry to test against, real or in memory, and what a person with a notebook does to it."""

import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.ports import Registry
from slipway.core.registry import Labels
from slipway.core.snapshot import Snapshot, Watermark

from tests.memory_registry import MemoryRegistry, Model
from tests.mlflow_server import MLflowServer

MLMODEL = b"""\
flavors:
  python_function: {loader_module: mlflow.sklearn, python_version: 3.11.7}
  sklearn: {sklearn_version: 1.9.1}
mlflow_version: 3.10
model_size_bytes: 2049
signature:
  inputs: '[{"type": "double", "name": "distance"}]'
"""
PASSWORD = "correct horse: battery"  # ASCII: MLflow's artifact routes know no other
LARGE = 50_000  # bytes of one model, where the tests have the bound so low
NUMBERS = itertools.count(1)


class Shelf(Protocol):
    """A registry, and what a person with a notebook does to it."""

    @property
    def registry(self) -> Registry: ...

    @property
    def where(self) -> str:
        """What a message must name."""

    def log(self, model: Model) -> Model:
        """The model is logged, and has a model id and a run id; it is not registered yet."""

    def register(self, name: str, model: Model) -> int:
        """The logged model is the newest version of `name`."""

    def delete(self, name: str, version: int) -> None: ...

    def delete_model(self, name: str) -> None: ...

    def lose_files(self, name: str, version: int) -> None: ...

    def kept(self, run_id: str, path: str) -> bytes: ...

    def describe(self, name: str, version: int, text: str) -> None: ...

    def description(self, name: str, version: int) -> str: ...

    def swell(self, name: str) -> None:
        """Somebody sets tags of the model: it is larger than LARGE."""

    def shrink(self, name: str) -> None:
        """They are gone."""


@dataclass(frozen=True)
class MemoryShelf:
    registry: MemoryRegistry
    where: str = "memory"

    def log(self, model: Model) -> Model:
        number = next(NUMBERS)
        self.registry.runs.add(f"{number:032x}")
        return Model(**{**vars(model), "model_id": f"m-{number:032x}", "run_id": f"{number:032x}"})

    def register(self, name: str, model: Model) -> int:
        return self.registry.register(name, model)

    def delete(self, name: str, version: int) -> None:
        self.registry.delete(name, version)

    def delete_model(self, name: str) -> None:
        self.registry.delete_model(name)

    def lose_files(self, name: str, version: int) -> None:
        self.registry.lose_files(name, version)

    def kept(self, run_id: str, path: str) -> bytes:
        return self.registry.kept[run_id, path]

    def describe(self, name: str, version: int, text: str) -> None:
        self.registry.describe(name, version, text)

    def description(self, name: str, version: int) -> str:
        return self.registry.descriptions.get((name, version), "")

    def swell(self, name: str) -> None:
        self.registry.too_large |= {name}

    def shrink(self, name: str) -> None:
        self.registry.too_large -= {name}


@dataclass(frozen=True)
class MLflowShelf:
    registry: MLflowRegistry
    server: MLflowServer

    @property
    def where(self) -> str:
        return self.server.uri

    def log(self, model: Model) -> Model:
        run_id = self.server.post("runs/create", experiment_id="0")["run"]["info"]["run_id"]
        made = self.server.post("logged-models", experiment_id="0", name="m", source_run_id=run_id)
        info = made["model"]["info"]
        rows = {key: [{"key": k, "value": v} for k, v in getattr(model, key).items()] for key in ("params", "tags")}
        metrics = [
            {"key": k, "value": "NaN" if v != v else v, "timestamp": 1, "step": 0} for k, v in model.metrics.items()
        ]
        self.server.post("runs/log-batch", run_id=run_id, metrics=metrics, **rows)
        for file, content in (("MLmodel", model.mlmodel), ("requirements.txt", model.requirements)):
            if content is not None:
                self.server.upload(info["artifact_uri"], file, content)
        return Model(**{**vars(model), "model_id": info["model_id"], "run_id": run_id})

    def register(self, name: str, model: Model) -> int:
        with suppress(AssertionError):  # it exists
            self.server.post("registered-models/create", name=name)
        source = f"models:/{model.model_id}"
        ids = {"run_id": model.run_id, "model_id": model.model_id}
        made = self.server.post("model-versions/create", name=name, source=source, **ids)
        return int(made["model_version"]["version"])

    def delete(self, name: str, version: int) -> None:
        self.server.delete("model-versions/delete", name=name, version=str(version))

    def delete_model(self, name: str) -> None:
        self.server.delete("registered-models/delete", name=name)

    def lose_files(self, name: str, version: int) -> None:
        uri = self.server.get("model-versions/get-download-uri", name=name, version=str(version))["artifact_uri"]
        for file in self.server.file(uri, "").iterdir():
            file.unlink()

    def kept(self, run_id: str, path: str) -> bytes:
        uri = self.server.get("runs/get", run_id=run_id)["run"]["info"]["artifact_uri"]
        return self.server.file(uri, path).read_bytes()

    def describe(self, name: str, version: int, text: str) -> None:
        self.server.patch("model-versions/update", name=name, version=str(version), description=text)

    def description(self, name: str, version: int) -> str:
        found = self.server.get("model-versions/get", name=name, version=str(version))["model_version"]
        return str(found.get("description") or "")

    def swell(self, name: str) -> None:
        self.server.post("registered-models/set-tag", name=name, key="notes", value="x" * LARGE)

    def shrink(self, name: str) -> None:
        self.server.post("registered-models/set-tag", name=name, key="notes", value="")


@dataclass
class Reader:
    """Somebody who sweeps again and again, as the operator does."""

    shelf: Shelf
    wanted: frozenset[str]
    snapshot: Snapshot = field(default_factory=Snapshot)
    watermark: Watermark | None = None
    counted: int = 0

    async def tick(self) -> frozenset[str]:
        """One sweep and what it asks to be read whole; the names of which something else is known."""
        swept = await self.shelf.registry.sweep(self.watermark, self.wanted)
        self.watermark, self.counted = swept.watermark, swept.counted
        self.snapshot, changed = self.snapshot.after(swept, self.wanted)
        if swept.broken_off is None and self.snapshot.unread:
            read = await self.shelf.registry.versions(self.snapshot.unread)
            self.snapshot, more = self.snapshot.after(read, self.wanted)
            changed |= more
        return changed

    def labels(self, name: str) -> dict[int, Labels]:
        return dict(self.snapshot.labels(name) or {})
