"""The cluster's fixed facts: addresses, ports and nodes."""

from dataclasses import dataclass

# Ranges and ports that container engines, minikube and a second Kubernetes on the machine do not take by default.
BRIDGE = "slipway0"
GATEWAY = "10.213.0.1"  # the bridge's address: how pods reach the API server and DNS
POD_CIDR = "10.213.0.0/16"
FIRST_POD_ADDRESS = "10.213.1.0"
SERVICE_CIDR = "10.214.0.0/16"
API_SERVICE_ADDRESS = "10.214.0.1"
CONTEXT = "slipway-local"


@dataclass(frozen=True)
class Ports:
    """Of the control plane; without root they are others, so that both forms can run on one machine."""

    api: int
    etcd: int
    etcd_peer: int
    controllers: int


NODE_PORTS = Ports(api=26443, etcd=22379, etcd_peer=22380, controllers=22357)
ALONE_PORTS = Ports(api=27443, etcd=23379, etcd_peer=23380, controllers=23357)
SCHEDULER_PORT = 22359
PROXY_HEALTH_PORT, PROXY_METRICS_PORT = 22356, 22349


@dataclass(frozen=True)
class Node:
    name: str
    pool: str
    port: int  # the kubelet's; its health port is the next one
    gpus: int = 0

    @property
    def cgroup(self) -> str:
        return f"slipway-{self.name}"


NODES = (
    Node("cpu-0", "cpu", 22250),
    Node("cpu-1", "cpu", 22260),
    Node("gpu-0", "gpu", 22270, gpus=1),
)
