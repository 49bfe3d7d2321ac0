"""MLflow's registry as somebody sees it who only ever opens MLflow: labels that are moved, and what they say then."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from . import manifests
from .console import Broken, Console
from .kube import Kube
from .manifests import MLFLOW, MODELS

SECONDS = 60  # within which MLflow has been read, or says what Slipway has written
TAGS = f"slipway.dev/{manifests.CLUSTER}/{MODELS}"
Ask = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Registry:
    """The registered model of the story."""

    kube: Kube
    console: Console
    name: str

    def move(self, *calls: str) -> None:
        """Let MLflow's own client do something, and show it; `client` and `name` are there."""
        lines = ["from mlflow import MlflowClient", "", f"client, name = MlflowClient(), {self.name!r}", *calls]
        self.console.say("in Python, by MLflow's client:")
        self.console.block("\n".join(lines))
        with self.kube.forwarded(MLFLOW, "mlflow", manifests.MLFLOW_PORT) as uri:
            environment = self.kube.environment | {"MLFLOW_TRACKING_URI": uri, "PYTHONWARNINGS": "ignore"}
            Kube(environment).run(sys.executable, "-c", "\n".join(lines))

    def forget(self, *versions: int) -> None:
        """No label of an earlier demo asks for any of these versions: it may have been ended in its middle."""
        with self._asked() as ask:
            stages = {one: ask("model-versions/get", version=str(one)).get("current_stage") for one in versions}
            named = str(ask("registered-models/alias", alias="champion").get("version", ""))
        calls = [
            f'client.transition_model_version_stage(name, "{one}", "None")'
            for one, stage in stages.items()
            if stage == "Production"
        ]
        if named in map(str, versions):
            calls.append('client.delete_registered_model_alias(name, "champion")')
        if calls:
            self.console.say("an earlier demo has left labels; they are taken back")
            self.move(*calls)

    def serves(self, champion: int, archived: int | None = None) -> None:
        """Stage and alias say what is served."""
        with self._asked() as ask:

            def right() -> tuple[bool, str]:
                stage = ask("model-versions/get", version=str(champion)).get("current_stage")
                alias = ask("registered-models/alias", alias="champion").get("version")
                before = ask("model-versions/get", version=str(archived)).get("current_stage") if archived else None
                seen = f"version {champion} is in stage {stage}, alias champion -> version {alias}"
                seen += f", version {archived} is in stage {before}" if archived else ""
                return (stage, alias) == ("Production", str(champion)) and before in (None, "Archived"), seen

            self._says(f"version {champion} is the champion", right)

    def took_back(self, version: int, because: str) -> str:
        """The stage that a refused version has now; a tag of it has the words of `because`."""
        stage = ""
        with self._asked() as ask:

            def right() -> tuple[bool, str]:
                nonlocal stage
                found = ask("model-versions/get", version=str(version))
                stage, tags = (
                    str(found.get("current_stage")),
                    {one["key"]: one["value"] for one in found.get("tags", [])},
                )
                why = tags.get(f"{TAGS}/reason", "")
                seen = f"version {version} is in stage {stage}; its tag {TAGS}/reason: {why or 'none'}"
                return stage != "Production" and because in why, seen

            self._says(f"version {version} is out of Production, and why", right)
        return stage

    @contextmanager
    def _asked(self) -> Iterator[Ask]:
        """A way to ask for a version; by REST, since importing MLflow's client takes longer than the whole step."""
        with self.kube.forwarded(MLFLOW, "mlflow", manifests.MLFLOW_PORT) as uri:

            def ask(path: str, **what: str) -> dict[str, Any]:
                params = {"name": self.name, **what}
                reply = httpx.get(f"{uri}/api/2.0/mlflow/{path}", params=params, timeout=10, trust_env=False)
                return dict(reply.json().get("model_version", {}))

            yield ask

    def _says(self, what: str, right: Callable[[], tuple[bool, str]]) -> None:
        """Wait until MLflow says so, and show what it says."""
        seen = ""

        def so() -> bool:
            nonlocal seen
            try:
                holds, seen = right()
            except (httpx.HTTPError, ValueError) as error:
                holds, seen = False, f"it gives no answer: {error}"
            return holds

        try:
            self.kube.wait("MLflow's labels", SECONDS, so)
        except Broken as late:
            raise Broken(f"MLflow should say that {what}, but {seen}") from late
        self.console.say(f"MLflow: {seen}")
