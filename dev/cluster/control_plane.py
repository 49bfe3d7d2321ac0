"""etcd, kube-apiserver, kube-controller-manager and, where there are nodes, kube-scheduler."""

import json

import daemons
import keys
from client import Client
from layout import ALONE_PORTS, GATEWAY, NODE_PORTS, SCHEDULER_PORT, SERVICE_CIDR, Ports
from paths import KUBECONFIG, STATE, write

AUDIT_LOG = STATE / "log" / "audit.log"
# The defaults (20 requests a second) would make every measured figure the controller-manager's.
_UNTHROTTLED = ("--kube-api-qps=500", "--kube-api-burst=1000")
# Who asked for what: requests are counted per client by it. What moves traffic or proves a version comes with the
# object, so that the order of the two can be told afterwards.
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "omitManagedFields": True,
    "rules": [
        {
            "level": "RequestResponse",
            "verbs": ["create", "update", "patch"],
            "resources": [
                {"group": "", "resources": ["services"]},
                {"group": "apps", "resources": ["deployments"]},
                {"group": "batch", "resources": ["jobs", "jobs/status"]},
                {"group": "slipway.dev", "resources": ["modelversions/status"]},
            ],
        },
        {"level": "Metadata"},
    ],
}


def ports(alone: bool) -> Ports:
    return ALONE_PORTS if alone else NODE_PORTS


def start(alone: bool) -> Client:
    """Start it and wait until it answers; `alone` is without nodes, on the loopback address only."""
    chosen = ports(alone)
    keys.ensure()
    keys.kubeconfig("admin", KUBECONFIG, chosen.api)
    _etcd(chosen)
    _api_server(chosen, alone)
    client = Client(chosen.api)

    def alive() -> None:
        daemons.check("etcd")
        daemons.check("kube-apiserver")

    client.await_ready(60, alive)
    _controllers(chosen, alone)
    return client


def _etcd(chosen: Ports) -> None:
    here, peers = f"http://127.0.0.1:{chosen.etcd}", f"http://127.0.0.1:{chosen.etcd_peer}"
    daemons.start(
        "etcd",
        "etcd",
        "--data-dir=etcd",
        f"--listen-client-urls={here}",
        f"--advertise-client-urls={here}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        # A cluster that can be made anew in seconds need not survive a power cut.
        "--unsafe-no-fsync",
    )


def _api_server(chosen: Ports, alone: bool) -> None:
    write(STATE / "audit-policy.json", json.dumps(_AUDIT))
    if alone:
        # The endpoint of the `kubernetes` Service may not be a loopback address; nobody needs it without pods.
        address = ("--bind-address=127.0.0.1", "--endpoint-reconciler-type=none")
    else:
        address = (f"--advertise-address={GATEWAY}",)
    daemons.start(
        "kube-apiserver",
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{chosen.etcd}",
        "--service-account-key-file=pki/sa.pub",
        "--service-account-signing-key-file=pki/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--tls-cert-file=pki/apiserver.crt",
        "--tls-private-key-file=pki/apiserver.key",
        "--client-ca-file=pki/ca.crt",
        "--authorization-mode=Node,RBAC",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        f"--secure-port={chosen.api}",
        *address,
        "--allow-privileged=true",
        "--kubelet-client-certificate=pki/admin.crt",
        "--kubelet-client-key=pki/admin.key",
        "--kubelet-preferred-address-types=InternalIP",
        "--audit-policy-file=audit-policy.json",
        f"--audit-log-path={AUDIT_LOG}",
        "--audit-log-maxsize=100",
        "--audit-log-maxbackup=1",
        "--shutdown-delay-duration=0s",
    )


def _controllers(chosen: Ports, alone: bool) -> None:
    daemons.start(
        "kube-controller-manager",
        "kube-controller-manager",
        *_UNTHROTTLED,
        f"--kubeconfig={keys.component('controllers', chosen.api)}",
        "--bind-address=127.0.0.1",
        f"--secure-port={chosen.controllers}",
        "--service-account-private-key-file=pki/sa.key",
        "--root-ca-file=pki/ca.crt",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        # After a restart the nodes lose their "unreachable" taint at the next look.
        "--node-monitor-period=1s",
    )
    if not alone:
        daemons.start(
            "kube-scheduler",
            "kube-scheduler",
            *_UNTHROTTLED,
            f"--kubeconfig={keys.component('scheduler', chosen.api)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={SCHEDULER_PORT}",
            "--leader-elect=false",
        )
