"""Ports of 127.0.0.1 for the servers of tests."""

import itertools
import os
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_STEP = 997  # between the first ports of processes that were started one after the other


def free_port() -> int:
    """A port on which nothing listens, and that no other test is given.

    It is none of those that the system gives to outgoing connections: one of these could be taken by a connection
    before the server that it is meant for has begun to listen.
    """
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
            return port
    raise AssertionError("no port is free")


def _turns() -> "itertools.cycle[int]":
    above = int(_RANGE.read_text().split()[0]) if _RANGE.is_file() else 30_000
    count = min(above, 30_000) - _LOWEST  # from 30,000 on are those of Services
    begin = os.getpid() * _STEP % count
    return itertools.cycle([*range(_LOWEST + begin, _LOWEST + count), *range(_LOWEST, _LOWEST + begin)])


_ports = _turns()
