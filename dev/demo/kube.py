"""The cluster, by kubectl and helm: apply, read, wait, forward a port."""

import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .console import Broken

Object = dict[str, Any]
POLL_SECONDS = 0.5
_TIED = (
    """exec 3<&0; "$@" 3<&- & child=$!; (read -r _ <&3; kill $child 2>/dev/null) & watch=$!; """
    """wait $child; code=$?; kill $watch 2>/dev/null; exit $code"""
)


def tied(command: Sequence[str]) -> list[str]:
    """The command so that it ends with its standard input, and so with this process, even where that is killed."""
    return ["sh", "-c", _TIED, "sh", *command]


@dataclass(frozen=True)
class Kube:
    """One cluster, and the programs that speak to it."""

    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)

    def run(self, *arguments: str, given: str | None = None, timeout: float = 120) -> str:
        """Run a program to its end and return what it printed; Broken with its last words where it fails."""
        try:
            done = subprocess.run(
                self.command(arguments),
                input=given,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Broken(f"`{' '.join(arguments[:6])}` did not end within {timeout:.0f} s") from error
        if done.returncode:
            raise Broken(f"`{' '.join(arguments[:6])}` failed: {(done.stderr or done.stdout).strip()[-1500:]}")
        return done.stdout

    def command(self, arguments: Sequence[str]) -> list[str]:
        """The command with the program's full path."""
        program = shutil.which(arguments[0], path=self.environment.get("PATH"))
        if not program:
            raise Broken(f"{arguments[0]} is not there: run the demo by `make demo`, which builds it first")
        return [program, *arguments[1:]]

    def apply(self, *objects: Object) -> None:
        """Make these objects so, as `kubectl apply --server-side` does."""
        text = yaml.safe_dump_all(objects, sort_keys=False)
        self.run("kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-", given=text)

    def apply_file(self, path: Path) -> str:
        """`kubectl apply -f`, as a person would do it."""
        return self.run("kubectl", "apply", "-f", str(path)).strip()

    def list(self, kinds: str, namespace: str, selector: str = "") -> list[Object]:
        """Objects of these kinds in a namespace."""
        chosen = ["-l", selector] if selector else []
        found = json.loads(self.run("kubectl", "get", kinds, "-n", namespace, *chosen, "-o", "json"))
        return list(found["items"])

    def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        found = self.run("kubectl", "get", kind, name, "-n", namespace, "--ignore-not-found", "-o", "json")
        return dict(json.loads(found)) if found.strip() else None

    def wait(self, what: str, seconds: float, ready: Callable[[], Any]) -> Any:
        """Ask until the answer is true, and return it; Broken, naming what was waited for, when time is up."""
        ends = time.monotonic() + seconds
        while not (answer := ready()):
            if time.monotonic() > ends:
                raise Broken(f"waited {seconds:.0f} s for {what}")
            time.sleep(POLL_SECONDS)
        return answer

    def rollout(self, namespace: str, deployment: str, seconds: int) -> None:
        """Wait until a Deployment is as it should be."""
        arguments = ("kubectl", "rollout", "status", f"deployment/{deployment}", "-n", namespace)
        self.run(*arguments, f"--timeout={seconds}s", timeout=seconds + 10)

    @contextmanager
    def forwarded(self, namespace: str, service: str, port: int) -> Iterator[str]:
        """A local URL that leads to a Service for as long as the context lasts, over restarts of its pod too; or to a
        pod, as `pod/name`."""
        with socket.socket() as chosen:
            chosen.bind(("127.0.0.1", 0))
            local = chosen.getsockname()[1]
        target = service if "/" in service else f"service/{service}"
        command = self.command(["kubectl", "port-forward", "-n", namespace, target, f"{local}:{port}"])
        over = threading.Event()
        keeper = threading.Thread(target=self._keep, args=(command, over), daemon=True)
        keeper.start()
        try:
            yield f"http://127.0.0.1:{local}"
        finally:
            over.set()
            keeper.join(timeout=10)

    def _keep(self, command: Sequence[str], over: threading.Event) -> None:
        """Run a command again and again until it is over: kubectl ends when the pod that it forwards to does."""
        pipe, silent = subprocess.PIPE, subprocess.DEVNULL
        while not over.is_set():
            process = subprocess.Popen(tied(command), env=self.environment, stdin=pipe, stdout=silent, stderr=silent)
            while process.poll() is None and not over.wait(0.2):
                pass
            assert process.stdin
            process.stdin.close()
            process.wait()
            over.wait(0.3)


def connects(address: str, port: int, seconds: float = 5) -> bool:
    """Whether something listens there that can be reached from here; a new Service takes a moment to be routed."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        try:
            socket.create_connection((address, port), timeout=1).close()
        except OSError:
            time.sleep(0.2)
        else:
            return True
    return False
