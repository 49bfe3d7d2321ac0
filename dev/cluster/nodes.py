"""The nodes: for each a containerd and a kubelet with their own folders, ports, control group and certificate."""

import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cgroups
import daemons
import keys
import network
from client import Client, Refused
from layout import GATEWAY, NODES, Node
from paths import BIN, STATE, write
from say import Trouble

FOLDER = STATE / "node"
PAUSE_IMAGE = "localhost/pause:1"
GPU = "nvidia.com/gpu"
_SOCKET_PATH_LIMIT = 108 - len(".ttrpc") - 1


def socket(node: Node) -> Path:
    return FOLDER / node.name / "containerd.sock"


def ctr_command(node: Node, *arguments: str) -> list[str]:
    return [str(BIN / "ctr"), "--address", str(socket(node)), "--namespace", "k8s.io", *arguments]


def ctr(node: Node, *arguments: str, timeout: float | None = None) -> subprocess.CompletedProcess[str]:
    command = ctr_command(node, *arguments)
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)


def start_runtimes() -> None:
    """Start containerd for each node; it needs no API server."""
    for node in NODES:
        if len(str(socket(node))) > _SOCKET_PATH_LIMIT:
            raise Trouble(f"{socket(node)} is too long for a socket: set SLIPWAY_CACHE to a shorter folder")
        socket(node).unlink(missing_ok=True)
        write(FOLDER / node.name / "containerd.toml", _containerd(node))
        daemons.start(f"containerd-{node.name}", "containerd", "-c", f"node/{node.name}/containerd.toml")
    until = time.monotonic() + 15
    while not all(socket(node).exists() for node in NODES):
        for node in NODES:
            daemons.check(f"containerd-{node.name}")
        if time.monotonic() > until:
            raise Trouble(f"containerd made no socket within 15 s; logs: {daemons.LOGS}")
        time.sleep(0.05)


def _containerd(node: Node) -> str:
    folder = FOLDER / node.name
    return f"""version = 3
root = "{folder}/containerd/root"
state = "{folder}/containerd/state"
[grpc]
  address = "{socket(node)}"
# Its socket is one path for the whole machine: of daemons that start at once, some find it in use and end.
[plugins.'io.containerd.nri.v1.nri']
  disable = true
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "{PAUSE_IMAGE}"
[plugins.'io.containerd.cri.v1.runtime']
  # Lowering oom_score_adj takes CAP_SYS_RESOURCE, which a root user inside a container often has not.
  restrict_oom_score_adj = true
  # Below our own folder, so that `down` finds every mount.
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
  Root = "{folder}/runc"
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "{network.CNI}"
"""


def start_kubelets(api_port: int) -> None:
    for node in NODES:
        cgroups.prepare(node)
        write(FOLDER / node.name / "kubelet.json", json.dumps(_kubelet(node)))
        daemons.start(
            f"kubelet-{node.name}",
            "kubelet",
            f"--config=node/{node.name}/kubelet.json",
            f"--kubeconfig={keys.component(node.name, api_port)}",
            f"--hostname-override={node.name}",
            f"--node-ip={GATEWAY}",
            f"--root-dir={FOLDER / node.name / 'kubelet'}",
            f"--node-labels=pool={node.pool}",
        )


def _kubelet(node: Node) -> dict[str, Any]:
    taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}] if node.gpus else []
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failSwapOn": False,
        # Its chains in iptables would outlive it.
        "makeIPTablesUtilChains": False,
        "containerRuntimeEndpoint": f"unix://{socket(node)}",
        "address": GATEWAY,
        "port": node.port,
        "healthzPort": node.port + 1,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(keys.PKI / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(keys.PKI / f"{node.name}.crt"),
        "tlsPrivateKeyFile": str(keys.PKI / f"{node.name}.key"),
        "clusterDNS": [GATEWAY],
        "clusterDomain": "cluster.local",
        "podLogsDir": str(FOLDER / node.name / "pods-log"),
        "registerWithTaints": taints,
        # Images cannot be pulled again: they are loaded. So none is collected, and the disk may fill up.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"imagefs.available": "1%", "nodefs.available": "1%", "memory.available": "100Mi"},
    }


def await_ready(client: Client, since: float, seconds: float = 40) -> None:
    """Until each kubelet has reported after `since`, is ready and its node takes pods."""
    until = time.monotonic() + seconds
    waiting = [node.name for node in NODES]
    while waiting:
        for node in NODES:
            daemons.check(f"kubelet-{node.name}")
        if time.monotonic() > until:
            raise Trouble(f"not ready after {seconds:.0f} s: {', '.join(waiting)}; logs: {daemons.LOGS}")
        time.sleep(0.1)
        waiting = [node.name for node in NODES if not _is_ready(client, node, since)]
    for node in NODES:
        if node.gpus:
            _advertise(client, node)


def _advertise(client: Client, node: Node) -> None:
    """An extended resource stays across the kubelet's status updates, as a device plugin's would."""
    operations = [
        {"op": "add", "path": f"/status/{place}/nvidia.com~1gpu", "value": str(node.gpus)}
        for place in ("capacity", "allocatable")
    ]
    client.patch(f"/api/v1/nodes/{node.name}/status", operations)


def _is_ready(client: Client, node: Node, since: float) -> bool:
    try:
        seen = client.get(f"/api/v1/nodes/{node.name}")
    except (Refused, OSError):
        return False
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(since))
    conditions = {one["type"]: one for one in seen["status"].get("conditions", [])}
    ready = conditions.get("Ready", {})
    taints = {taint["key"] for taint in seen["spec"].get("taints", [])}
    fresh = ready.get("lastHeartbeatTime") or ""
    return ready.get("status") == "True" and fresh >= stamp and taints <= {GPU}


def healthy(client: Client) -> bool:
    try:
        items = client.get("/api/v1/nodes")["items"]
    except (Refused, OSError):
        return False
    ready = {
        item["metadata"]["name"]
        for item in items
        for condition in item["status"].get("conditions", [])
        if condition["type"] == "Ready" and condition["status"] == "True"
    }
    return ready >= {node.name for node in NODES}


def end_containers() -> None:
    """By their runtime while it runs; what is left is ended with its control group."""
    with ThreadPoolExecutor(len(NODES)) as pool:
        list(pool.map(_end_containers, [node for node in NODES if daemons.running(f"containerd-{node.name}")]))


def _end_containers(node: Node) -> None:
    try:
        tasks = ctr(node, "tasks", "ls", "-q", timeout=5).stdout.split()
        if tasks:
            ctr(node, "tasks", "delete", "--force", *tasks, timeout=20)
    except subprocess.TimeoutExpired:
        pass


def _mounts() -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return sorted((point for point in points if Path(point).is_relative_to(STATE)), reverse=True)


def unmount() -> None:
    for point in _mounts():
        subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)


def remove_links() -> None:
    """The kubelet names every log a second time, in a folder that cannot be configured."""
    links = Path("/var/log/containers")
    for link in links.iterdir() if links.is_dir() else ():
        if link.is_symlink() and link.readlink().is_relative_to(STATE):
            link.unlink(missing_ok=True)


def left() -> list[str]:
    return [f"mount {point}" for point in _mounts()]


def is_root() -> bool:
    return os.geteuid() == 0
