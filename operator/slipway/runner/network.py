"""Opens connections for evaluation data, to hosts and addresses that the platform's rules allow.

The fetch runs inside the cluster, and whoever writes a policy chooses the address: each connection is checked, at
redirects too. Host header and TLS keep the name.
"""

import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from slipway.api.addresses import NEVER, Addresses, Denied, Resolve
from slipway.api.tasks import DataAccess

from .outcome import Refused


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
        try:
            return Addresses(self.access, self.cluster, self.never).of(host, self.resolve)
        except Denied as denied:
            raise Refused(
                "DataAddressDenied",
                f"data is not read from {denied}. The platform's setting data.allowedHosts can allow the host.",
            ) from None


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
