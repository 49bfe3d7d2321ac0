"""What stands between Slipway and an MLflow server: a proxy in front of it, and one on the way out."""

import http.client
import os
import select
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from tests.certificates import Certificate

LINGER_SECONDS = 1.0  # for a client that does not look
HOP = {"host", "connection", "keep-alive", "transfer-encoding", "proxy-connection", "content-length", "server", "date"}


@dataclass
class Door:
    """A proxy that runs, and whom it lets in."""

    uri: str = ""
    token: str = ""  # that it asks for; "": none
    requests: list[str] = field(default_factory=list)  # method and path, or where a tunnel led
    tokens: list[str] = field(default_factory=list)  # those that it took, in their order
    instead: tuple[int, bytes] | None = None  # what it says by itself, leading nowhere
    good: int = 0  # requests that it still leads on before it says that

    def cut(self, after: int = 0) -> None:
        """Nobody is there any more, once so many good requests were answered: connections are closed unheard."""
        self.instead, self.good = (0, b""), after

    def mend(self) -> None:
        """Somebody is there again."""
        self.instead = None

    def takes(self, token: str) -> None:
        """From now on it takes this token, and no other."""
        self.token = token

    @contextmanager
    def saying(self, status: int, body: bytes, after: int = 0) -> Iterator[None]:
        """Meanwhile, and after so many good requests, it answers by itself: nobody gets through."""
        self.instead, self.good = (status, body), after
        try:
            yield
        finally:
            self.instead = None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    door: Door
    upstream = ""

    def forward(self) -> None:
        self.door.requests.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.door.token:
            if self.headers.get("Authorization") != f"Bearer {self.door.token}":
                self.answer(401, [], b"who are you?")
                return
            self.door.tokens.append(self.door.token)
        if self.door.instead is not None:
            self.door.good -= 1
            if self.door.good < 0 and not self.door.instead[0]:
                self.close_connection = True
                return
            if self.door.good < 0:
                self.answer(self.door.instead[0], [("Content-Type", "text/html")], self.door.instead[1])
                return
        target = urlsplit(self.path if "//" in self.path else self.upstream)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        if self.door.token:
            del headers["Authorization"]
        asked = (
            self.path if "//" not in self.path else f"{target.path or '/'}{f'?{target.query}' if target.query else ''}"
        )
        connection = http.client.HTTPConnection(target.hostname or "", target.port or 80, timeout=60)
        with suppress(OSError):
            connection.request(self.command, asked, body, headers)
            found = connection.getresponse()
            kept = [(name, value) for name, value in found.getheaders() if name.lower() not in HOP]
            self.answer(found.status, kept, found.read())
        connection.close()

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = forward  # noqa: N815 - so names them the standard library

    def do_CONNECT(self) -> None:
        self.door.requests.append(f"CONNECT {self.path}")
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as far:
            self.send_response(200)
            self.end_headers()
            near = self.connection
            while ready := select.select([near, far], [], [], 60)[0]:
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        self.close_connection = True
                        return
                    (far if one is near else near).sendall(data)

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in [*headers, ("Content-Length", str(len(body)))]:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None: ...


class _Lingering(ThreadingHTTPServer):
    """Closes a connection once its client has seen that: with bytes that nobody has read, closing takes back what was
    said last, such as the alert that refuses a certificate."""

    def shutdown_request(self, request: Any) -> None:
        with suppress(OSError), socket.socket(fileno=os.dup(request.fileno())) as raw:
            raw.shutdown(socket.SHUT_WR)
            raw.settimeout(LINGER_SECONDS)
            while raw.recv(65536):
                pass
        super().shutdown_request(request)


@contextmanager
def before(upstream: str) -> Iterator[Door]:
    """A proxy before a server, in plain text."""
    with _running(Door(), upstream) as door:
        yield door


@contextmanager
def in_front_of(upstream: str, shows: Certificate, wants: Certificate | None = None) -> Iterator[Door]:
    """A proxy that speaks TLS before a server; with `wants`, only with whom shows that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as pair:
        pair.write(shows.public + shows.private)
        pair.flush()
        context.load_cert_chain(pair.name)
    if wants is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=wants.public)
    with _running(Door(), upstream, context) as door:
        yield door


@contextmanager
def on_the_way() -> Iterator[Door]:
    """A proxy that leads wherever it is asked to, without looking into TLS."""
    with _running(Door()) as door:
        yield door


@contextmanager
def _running(door: Door, upstream: str = "", context: ssl.SSLContext | None = None) -> Iterator[Door]:
    handler = type("Handler", (_Handler,), {"door": door, "upstream": upstream})
    server = _Lingering(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    door.uri = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
