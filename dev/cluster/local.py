"""The cluster made of processes on this machine: up, down, health."""

import json
import shutil
import subprocess
import time

import cgroups
import client
import control_plane
import daemons
import keys
import network
import nodes
import packages
import programs
import scratch
import volumes
from paths import KUBECONFIG, STATE, write
from say import Trouble, say, step

_MODE = STATE / "mode.json"
_LAST = ("kube-apiserver", "etcd")


def _expected(alone: bool) -> list[str]:
    control = ["etcd", "kube-apiserver", "kube-controller-manager"]
    if alone:
        return control
    each = [f"{program}-{node.name}" for node in nodes.NODES for program in ("containerd", "kubelet")]
    return [*control, "kube-scheduler", "coredns", "kube-proxy", *each]


def healthy(alone: bool) -> bool:
    """Whether exactly this form of the cluster runs and answers."""
    if not keys.PKI.is_dir() or not KUBECONFIG.exists() or _mode() != alone:
        return False
    if not all(daemons.running(name) for name in _expected(alone)):
        return False
    here = client.Client(control_plane.ports(alone).api)
    return here.ready() and (alone or (not network.missing() and nodes.healthy(here)))


def _mode() -> bool | None:
    try:
        return bool(json.loads(_MODE.read_text())["alone"])
    except (OSError, ValueError, KeyError):
        return None


def up(alone: bool) -> None:
    if healthy(alone):
        say("the local cluster is running")
        if not alone:
            volumes.recycle(client.Client(control_plane.ports(alone).api))
        return
    packages.ensure(packages.FOR_CONTROL_PLANE if alone else packages.FOR_NODES)
    programs.ensure((*programs.CONTROL_PLANE, *programs.CLIENTS, *(() if alone else programs.NODES)))
    if daemons.names() or daemons.strays():
        say("what runs of the local cluster is incomplete: stopping it")
        stop()
    with step("starting " + ("a control plane without nodes" if alone else "the local cluster")):
        write(_MODE, json.dumps({"alone": alone}))
        _start(alone)


def _start(alone: bool) -> None:
    if not alone:
        # Before etcd: they take as long as the API server does.
        nodes.unmount()
        network.prepare()
        nodes.start_runtimes()
    since = time.time()
    here = control_plane.start(alone)
    if alone:
        return
    port = control_plane.ports(alone).api
    nodes.start_kubelets(port)
    network.start(port)
    scratch.load_pause()
    volumes.ensure(here)
    nodes.await_ready(here, since)
    daemons.check("coredns")
    daemons.check("kube-proxy")


def stop() -> list[str]:
    """Stop everything that `up` started; returns what could not be removed.

    The order matters: kubelets would restart containers, containers outlive their runtime, and an API server
    without its etcd waits a minute.
    """
    every = daemons.names()
    daemons.stop(*[name for name in every if name.startswith("kubelet-")], seconds=3)
    if nodes.is_root():
        nodes.end_containers()
    daemons.stop(*[name for name in every if not name.startswith("kubelet-") and name not in _LAST])
    daemons.stop("kube-apiserver")
    daemons.stop("etcd")
    daemons.sweep()
    if nodes.is_root():
        cgroups.remove()
        nodes.unmount()
        nodes.remove_links()
        if shutil.which("nft"):
            network.remove()
    return left()


def left() -> list[str]:
    found = [f"process {pid} ({name})" for pid, name in daemons.strays().items()]
    if nodes.is_root():
        found += nodes.left() + cgroups.left()
        if shutil.which("nft"):
            found += network.left()
    return found


def down(purge: bool) -> None:
    with step("stopping the local cluster"):
        found = stop()
    if found:
        raise Trouble("left behind: " + "; ".join(found))
    if purge and STATE.exists():
        with step("removing its state"):
            # A mount that survived would be emptied with the folder.
            subprocess.run(["rm", "-rf", "--one-file-system", str(STATE)], check=True)
            KUBECONFIG.unlink(missing_ok=True)


def recycle() -> None:
    if not healthy(alone=False):
        raise Trouble("the local cluster is not running")
    volumes.recycle(client.Client(control_plane.ports(alone=False).api))


def status() -> list[str]:
    alone = _mode()
    if alone is None:
        return ["no local cluster"]
    lines = [f"{name}: {'running' if daemons.running(name) else 'not running'}" for name in _expected(alone)]
    return [*lines, "healthy" if healthy(alone) else "not healthy"]
