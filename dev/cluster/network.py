"""The nodes' network: one bridge for all pods, DNS on its address, Services by kube-proxy; and its removal."""

import json
import subprocess
from pathlib import Path

import daemons
import keys
from layout import (
    BRIDGE,
    FIRST_POD_ADDRESS,
    GATEWAY,
    POD_CIDR,
    PROXY_HEALTH_PORT,
    PROXY_METRICS_PORT,
)
from paths import STATE, write

CNI = STATE / "cni"
_ADDRESSES = STATE / "cni-addresses"
# kube-proxy's two, and ours for what leaves the machine. The CNI plugin's own masquerading would leave
# chains behind for every container that ends without being deleted.
_MASQUERADE = "slipway"
_TABLES = (("ip", "kube-proxy"), ("ip6", "kube-proxy"), ("ip", _MASQUERADE))
# Each kubelet and each containerd takes several; the default of 128 is used up by three nodes and some pods.
_INOTIFY_INSTANCES = 1024


def _run(*command: str, check: bool = True, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=check, text=True, capture_output=True, input=text)


def prepare() -> None:
    """Bridge, routing and the CNI configuration."""
    if not _bridge().exists():
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
    prefix = POD_CIDR.partition("/")[2]
    _run("ip", "addr", "replace", f"{GATEWAY}/{prefix}", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    _kernel("net/ipv4/ip_forward", "1")
    # A pod that calls a Service whose pod is on the same bridge: the answer must pass the address translation.
    _run("modprobe", "br_netfilter", check=False)
    _kernel("net/bridge/bridge-nf-call-iptables", "1")
    instances = Path("/proc/sys/fs/inotify/max_user_instances")
    if int(instances.read_text()) < _INOTIFY_INSTANCES:
        _kernel("fs/inotify/max_user_instances", str(_INOTIFY_INSTANCES))
    _delete_table("ip", _MASQUERADE)
    rules = f"""table ip {_MASQUERADE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat;
    ip saddr {POD_CIDR} oifname != "{BRIDGE}" masquerade
  }}
}}
"""
    _run("nft", "-f", "-", text=rules)
    ranges = [[{"subnet": POD_CIDR, "gateway": GATEWAY, "rangeStart": FIRST_POD_ADDRESS}]]
    addresses = {
        "type": "host-local",
        "dataDir": str(_ADDRESSES),
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": BRIDGE, "isGateway": True, "hairpinMode": True, "ipam": addresses}
    configuration = {"cniVersion": "1.0.0", "name": "slipway", "plugins": [bridge]}
    write(CNI / "10-bridge.conflist", json.dumps(configuration))


def _kernel(name: str, value: str) -> None:
    path = Path("/proc/sys") / name
    if path.exists() and path.read_text().strip() != value:
        path.write_text(value)


def start(api_port: int) -> None:
    """DNS and the Service proxy; one of each is enough for nodes that share a kernel."""
    corefile = f""".:53 {{
    bind {GATEWAY}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {keys.component("dns", api_port)}
    }}
    forward . /etc/resolv.conf
    cache 5
}}
"""
    write(STATE / "Corefile", corefile)
    daemons.start("coredns", "coredns", "-conf", "Corefile")
    proxy = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_CIDR,
        "clientConnection": {"kubeconfig": keys.component("proxy", api_port)},
        "conntrack": {"maxPerCore": 0},
        "healthzBindAddress": f"127.0.0.1:{PROXY_HEALTH_PORT}",
        "metricsBindAddress": f"127.0.0.1:{PROXY_METRICS_PORT}",
        "hostnameOverride": "cpu-0",
    }
    write(STATE / "proxy.json", json.dumps(proxy))
    daemons.start("kube-proxy", "kube-proxy", "--config", "proxy.json")


def remove() -> None:
    for family, name in _TABLES:
        _delete_table(family, name)
    if _bridge().exists():
        _run("ip", "link", "delete", BRIDGE, check=False)
    for lease in _ADDRESSES.rglob("*"):
        if lease.is_file():
            lease.unlink()


def missing() -> bool:
    return not _bridge().exists()


def left() -> list[str]:
    found = [f"bridge {BRIDGE}"] if _bridge().exists() else []
    tables = _run("nft", "list", "tables", check=False).stdout.splitlines()
    return found + [f"nft table {family} {name}" for family, name in _TABLES if f"table {family} {name}" in tables]


def _bridge() -> Path:
    return Path("/sys/class/net") / BRIDGE


def _delete_table(family: str, name: str) -> None:
    _run("nft", "delete", "table", family, name, check=False)
