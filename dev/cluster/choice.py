"""Which cluster is used: the one that was named, else kind, else processes of this machine, else no nodes at all."""

import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import images
import kind
import packages
from layout import CONTEXT
from paths import BIN, CHOICE, KUBECONFIG, write
from say import Trouble

NAMED, KIND, LOCAL, CONTROL_PLANE = "named", "kind", "local", "control-plane"


@dataclass(frozen=True)
class Choice:
    kind: str
    kubeconfig: str
    context: str
    because: str

    @property
    def has_nodes(self) -> bool:
        return self.kind != CONTROL_PLANE


def choose(context: str, control_plane_only: bool) -> Choice:
    """Never the current context of kubectl: a cluster is used only where it was named or made for this."""
    if context:
        file = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
        return Choice(NAMED, file, context, "it was named")
    own = str(KUBECONFIG)
    if control_plane_only:
        return Choice(CONTROL_PLANE, own, CONTEXT, "it was asked for")
    if images.docker_answers():
        return Choice(KIND, str(kind.KUBECONFIG), kind.CONTEXT, "a Docker engine answers")
    if platform.system() != "Linux":
        raise Trouble("no Docker engine answers, and Kubernetes runs as plain processes only on Linux; start Docker")
    if packages.can_install():
        return Choice(LOCAL, own, CONTEXT, "no Docker engine answers, and this is root on a Debian")
    missing = "no Docker engine answers, and nodes need root on Debian or Ubuntu"
    return Choice(CONTROL_PLANE, own, CONTEXT, f"{missing}: whatever needs a running pod is skipped")


def check_named(choice: Choice) -> None:
    config = {**os.environ, "KUBECONFIG": choice.kubeconfig}
    command = [str(BIN / "kubectl"), "--context", choice.context, "--request-timeout=10s", "version", "--output=json"]
    done = subprocess.run(command, env=config, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Trouble(f"the context {choice.context!r} of {choice.kubeconfig} does not answer:\n{done.stderr[-500:]}")


def record(choice: Choice) -> None:
    """For tests and the demo."""
    write(CHOICE, json.dumps(asdict(choice), indent=2) + "\n")


def recorded() -> Choice | None:
    try:
        return Choice(**json.loads(CHOICE.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def forget() -> None:
    CHOICE.unlink(missing_ok=True)
