"""Decides from which hosts and addresses evaluation data may be read, and opens connections to those only.

Whoever writes a policy chooses the address, and the fetch runs inside the cluster: without a check it would read what
its author cannot reach. A name is resolved once, every address that it has is checked, and the connection goes to one
of those: a name that means something else a moment later gains nothing. Host header and TLS keep the name.
"""

import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from slipway.api.tasks import DataAccess

from .outcome import Refused

# Never, not even for a host that the platform allows: whoever answers for its name could lead it there.
NEVER: Mapping[IPv4Network | IPv6Network, str] = {
    ip_network(cidr): kind
    for kind, cidrs in {
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),
        "a loopback address": ("127.0.0.0/8", "::1/128"),
        "an unspecified address": ("0.0.0.0/8", "::/128"),
        "a multicast or reserved address": ("224.0.0.0/3", "ff00::/8"),
        "a cloud's metadata service": (
            "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32", "fd00:ec2::/32", "fd20:ce::254/128",
        ),
    }.items()
    for cidr in cidrs
}  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")

Resolve = Callable[[str], tuple[str, ...]]
_IP = IPv4Address | IPv6Address


def _resolved(name: str) -> tuple[str, ...]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(one[4][0]) for one in found))


def _cluster_addresses() -> frozenset[str]:
    """Kubernetes tells every pod the address of its API server."""
    return frozenset(filter(None, [os.environ.get("KUBERNETES_SERVICE_HOST")]))


@dataclass(frozen=True)
class Network:
    """What data may be read from."""

    access: DataAccess
    resolve: Resolve = _resolved
    cluster: frozenset[str] = frozenset()  # addresses of the cluster itself
    never: Mapping[IPv4Network | IPv6Network, str] = field(default_factory=lambda: NEVER)

    def addresses(self, host: str) -> tuple[str, ...]:
        """The addresses of a host; Refused if it, or one of them, is not allowed."""
        name = host.strip("[]").rstrip(".").lower()
        listed = any(_matches(name, entry.lower()) for entry in self.access.allowed_hosts)
        if _ip(name):
            found: tuple[str, ...] = (name,)
            if listed:
                return found
        else:
            if not listed and (why := _of_the_cluster(name)):
                raise _denied(name, why)
            # With a dot at the end, a name is not tried as a name of the pod's namespace or cluster.
            found = self.resolve(name if listed else f"{name}.")
        for address in found:
            if why := self._objection(address, listed):
                raise _denied(name, f"it has the address {address}, {why}" if address != name else f"it is {why}")
        return found

    def _objection(self, address: str, listed: bool) -> str:
        given = _ip(address)
        for one in (given, *_inside(given)) if given else ():
            for never, kind in self.never.items():
                if one in never:
                    return kind
            if not listed and str(one) in self.cluster:
                return "the cluster's API server"
            for cidr in self.access.denied_cidrs:
                if not listed and one in cidr:
                    return f"in the denied range {cidr}"
        return "" if given else "which is no IP address"


def network_of(access: DataAccess) -> Network:
    """The network of this pod under the platform's rules."""
    return Network(access, cluster=_cluster_addresses())


def session(network: Network) -> requests.Session:
    """An HTTP client that connects to allowed addresses only, without proxy and without .netrc."""
    found = requests.Session()
    found.trust_env = False
    found.verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
    pools = _pools(network)
    for scheme in ("http://", "https://"):
        adapter = HTTPAdapter()
        adapter.poolmanager.pool_classes_by_scheme = pools
        found.mount(scheme, adapter)
    return found


def _pools(network: Network) -> dict[str, type[HTTPConnectionPool]]:
    class Connection(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, network)

    class TLSConnection(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _connected(self, network)

    class Pool(HTTPConnectionPool):
        ConnectionCls = Connection

    class TLSPool(HTTPSConnectionPool):
        ConnectionCls = TLSConnection

    return {"http": Pool, "https": TLSPool}


def _connected(connection: HTTPConnection, network: Network) -> socket.socket:
    """A socket to the first allowed address that answers."""
    try:
        addresses = network.addresses(connection.host)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except UnicodeError as error:
        raise Refused("DataUnreadable", f"{connection.host[:253]!r} is no host name") from error
    failure: OSError = OSError("the name has no address")
    for address in addresses:
        try:
            found = create_connection(
                (address, connection.port), connection.timeout, socket_options=connection.socket_options
            )
        except OSError as error:
            failure = error
        else:
            sys.audit("http.client.connect", connection, connection.host, connection.port)
            return found
    raise NewConnectionError(connection, f"Failed to establish a new connection: {failure}") from failure


def _denied(name: str, why: str) -> Refused:
    return Refused(
        "DataAddressDenied",
        f"data is not read from {name[:253]}: {why}. The platform's setting data.allowedHosts can allow the host.",
    )


def _matches(name: str, entry: str) -> bool:
    """Whether a host is the one of the entry, or below it if that begins with `*.`."""
    return name.endswith(entry[1:]) if entry.startswith("*.") else name == entry.strip("[]")


def _of_the_cluster(name: str) -> str:
    if "." not in name:
        return "it has no dot, so it would be a name of the cluster"
    if name.endswith((".cluster.local", ".svc")) or ".svc." in name or name == "kubernetes.default":
        return "it is a name of the cluster"
    return "it is a name of the pod itself" if name.endswith(".localhost") else ""


def _ip(text: str) -> _IP | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _inside(address: _IP | None) -> tuple[_IP, ...]:
    """The IPv4 addresses that an IPv6 address stands for."""
    if not isinstance(address, IPv6Address):
        return ()
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(one for one in found if one is not None)
