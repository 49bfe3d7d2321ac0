"""Decides to which hosts and addresses Slipway connects for somebody else: the rules for evaluation data and events.

Whoever gives an address may name what only the cluster reaches. So a name is resolved once, every address that it has
is checked, and the connection goes to one of those: a name that means something else a moment later gains nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from .tasks import DataAccess

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


class Denied(Exception):
    """A host that is not connected to; says which and why."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name[:253]}: {why}")


@dataclass(frozen=True)
class Addresses:
    """What may be connected to."""

    access: DataAccess
    cluster: frozenset[str] = frozenset()  # addresses of the cluster itself
    never: Mapping[IPv4Network | IPv6Network, str] = field(default_factory=lambda: NEVER)

    def lists(self, host: str) -> bool:
        """Whether the platform allows the host by its name."""
        return any(_matches(_plain(host), entry.lower()) for entry in self.access.allowed_hosts)

    def of(self, host: str, resolve: Resolve) -> tuple[str, ...]:
        """The addresses of a host, as `resolve` tells them; Denied if it, or one of them, is not allowed."""
        name, listed = _plain(host), self.lists(host)
        if _ip(name):
            found: tuple[str, ...] = (name,)
            if listed:
                return found
        else:
            if not listed and (why := _of_the_cluster(name)):
                raise Denied(name, why)
            # With a dot at the end, a name is not tried as a name of the pod's namespace or cluster.
            found = resolve(name if listed else f"{name}.")
        for address in found:
            if why := self._objection(address, listed):
                raise Denied(name, f"it has the address {address}, {why}" if address != name else f"it is {why}")
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


def _plain(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()


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
