"""A control plane of the test's own: etcd and kube-apiserver, which a test may kill and start again."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import CERT_NONE, SSLContext, create_default_context
from typing import Any

from tests.ports import free_port

TOKEN = "admin-of-this-test"
START_SECONDS = 90


def until(what: str, check: Callable[[], Any], seconds: float = 60) -> Any:
    """The first true answer of `check`; AssertionError if there is none in time."""
    deadline = time.monotonic() + seconds
    while True:
        answer = check()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}; the last answer was {answer!r}"
        time.sleep(0.1)


class ControlPlane:
    """Real programs on free ports of 127.0.0.1, with all their state in one folder."""

    def __init__(self, programs: Path, folder: Path, flags: tuple[str, ...] = ()) -> None:
        self.programs, self.folder = programs, folder
        self._flags = flags  # more of the API server's; of a flag that is given twice, the last one counts
        self.etcd, self.peer, self.api = free_port(), free_port(), free_port()
        self.kubeconfig = folder / "kubeconfig"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._prepare()

    def _prepare(self) -> None:
        subprocess.run(
            ["openssl", "genrsa", "-out", str(self.folder / "sa.key"), "2048"], check=True, capture_output=True
        )
        (self.folder / "tokens.csv").write_text(f"{TOKEN},admin,admin,system:masters\n")
        self.kubeconfig.write_text(self.config(TOKEN))

    def config(self, token: str) -> str:
        """A kubeconfig (YAML) for the holder of a token."""
        return json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [
                    {"name": "c", "cluster": {"server": self.url, "insecure-skip-tls-verify": True}},
                ],
                "users": [{"name": "u", "user": {"token": token}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )

    @property
    def url(self) -> str:
        """Where the API server answers."""
        return f"https://127.0.0.1:{self.api}"

    def start(self) -> None:
        """Both run, and the API server is ready."""
        if "etcd" not in self._running:
            here, peers = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{self.peer}"
            self._spawn(
                "etcd", "--data-dir=etcd", "--unsafe-no-fsync", f"--listen-client-urls={here}",
                f"--advertise-client-urls={here}", f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}", f"--initial-cluster=default={peers}",
            )  # fmt: skip
        self._spawn(
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.etcd}", f"--secure-port={self.api}",
            "--bind-address=127.0.0.1", "--endpoint-reconciler-type=none", "--cert-dir=certs",
            "--token-auth-file=tokens.csv", "--authorization-mode=RBAC", "--service-account-key-file=sa.key",
            "--service-account-signing-key-file=sa.key", "--service-account-issuer=https://kubernetes.default.svc",
            "--service-cluster-ip-range=10.97.0.0/24", "--disable-admission-plugins=ServiceAccount",
            "--allow-privileged=true",
            *self._flags,
        )  # fmt: skip
        until("the API server is ready", self._ready, START_SECONDS)

    def kill(self, program: str = "kube-apiserver") -> None:
        """The program is gone, without a chance to say goodbye."""
        process = self._running.pop(program)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def stop(self) -> None:
        """Neither runs, and nothing is left of them but files."""
        for program in list(self._running)[::-1]:
            self.kill(program)

    def _spawn(self, program: str, *flags: str) -> None:
        with (self.folder / f"{program}.log").open("ab") as log:
            self._running[program] = subprocess.Popen(
                [str(self.programs / program), *flags], cwd=self.folder, stdout=log, stderr=log
            )

    def _ready(self) -> bool:
        dead = [name for name, process in self._running.items() if process.poll() is not None]
        assert not dead, f"{dead[0]} ended: {(self.folder / f'{dead[0]}.log').read_text()[-2000:]}"
        try:
            request = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(request, context=_trusting(), timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _trusting() -> SSLContext:
    """The certificate is the API server's own, made a second ago, on the loopback address."""
    context = create_default_context()
    context.check_hostname, context.verify_mode = False, CERT_NONE
    return context


class Operator:
    """`python -m slipway` as a process."""

    def __init__(self, folder: Path, kubeconfig: Path, config: dict[str, Any], **environment: str) -> None:
        self.port = free_port()
        self.log = folder / "operator.log"
        self._config = folder / "config.yaml"
        self._config.write_text(json.dumps(config))
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(Path(__file__).parents[2] / "operator"),
            "SLIPWAY_CONFIG": str(self._config),
            "SLIPWAY_NAMESPACE": "slipway-system",
            "SLIPWAY_LISTEN_PORT": str(self.port),
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, python: str, *program: str, seconds: float = 30) -> None:
        """It runs and says that it is ready; `program` is what runs it, if not Python itself."""
        command = [python, *(program or ("-m", "slipway"))]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        until("the operator is ready", lambda: self.get("readyz") == (200, "ok"), seconds)

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of one of its own pages; (0, "") while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except (urllib.error.URLError, OSError):
            assert self._process is None or self._process.poll() is None, self.log.read_text()[-3000:]
            return 0, ""

    @property
    def pid(self) -> int:
        """Its process, while it runs."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def acts(self) -> bool:
        """Whether it says that it holds the Lease."""
        return "slipway_leader 1.0" in self.get("metrics")[1]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def ended(self, seconds: float) -> int:
        """Its exit code, once it has ended; TimeoutExpired if it has not by then."""
        assert self._process is not None
        code = self._process.wait(timeout=seconds)
        self._process = None
        return code

    def stop(self) -> int:
        """Its exit code after SIGTERM."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(timeout=45)
        self._process = None
        return code


@contextmanager
def running(operator: Operator, python: str) -> Iterator[Operator]:
    """The operator, until the end of the block."""
    operator.start(python)
    try:
        yield operator
    finally:
        operator.stop()
