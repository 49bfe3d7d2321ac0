"""The store's door for pods: hands out a manifest or a blob to whoever knows its name; lists nothing, takes nothing.

It reads the registry's volume itself, mounted read-only, and speaks the part of the OCI distribution specification that
a pull needs. The registry cannot be set up to keep its catalog to itself.
"""

import argparse
import json
import re
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .volume import ROOT, Volume, is_digest

PORT = 5000
CONNECTIONS = 256
_IDLE_SECONDS = 30  # a connection that moves no byte for so long is closed
_MANIFEST_BYTES = 4 * 1024 * 1024  # as the registry itself bounds them

_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_ASKED = re.compile(
    rf"/v2/(?P<repository>{_PART}(?:/{_PART})*)/(?P<kind>manifests|blobs)/(?P<reference>sha256:[0-9a-f]{{64}}|{_TAG})"
)


class Reader(ThreadingHTTPServer):
    """The server: a thread for each connection, up to a bound; past it, callers are turned away and come back."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], root: Path, connections: int = CONNECTIONS) -> None:
        super().__init__(address, _Answer)
        self.root, self.volume = root, Volume(root)
        self._free = threading.BoundedSemaphore(connections)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Take a connection, if there is room."""
        if not self._free.acquire(blocking=False):
            return self.shutdown_request(request)
        try:
            return super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that goes away is no trouble; anything else is logged."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server: Reader

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path in ("/", "/v2/", "/v2"):
            return self._ready()
        asked = _ASKED.fullmatch(path)
        if not asked or len(asked["repository"]) > 255:
            return self._refuse(404, "UNSUPPORTED", "this door knows manifests and blobs by their names, and no lists")
        if asked["kind"] == "manifests":
            return self._manifest(asked["repository"], asked["reference"])
        return self._blob(asked["repository"], asked["reference"])

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.close_connection = True  # what it sends is not read
        self._refuse(405, "UNSUPPORTED", "this door is for reading: imports push to the store's other port")

    def do_POST(self) -> None:
        self.do_PUT()

    def do_PATCH(self) -> None:
        self.do_PUT()

    def do_DELETE(self) -> None:
        self.do_PUT()

    def _ready(self) -> None:
        if self.server.root.is_dir():
            return self._send(200, "application/json", b"{}")
        return self._refuse(503, "UNAVAILABLE", "the volume is not there")

    def _manifest(self, repository: str, reference: str) -> None:
        digest = self.server.volume.manifest(repository, reference)
        file = self.server.volume.blob(digest) if digest else None
        if digest is None or file is None or not file.is_file() or file.stat().st_size > _MANIFEST_BYTES:
            return self._refuse(404, "MANIFEST_UNKNOWN", f"{repository} has no manifest {reference}")
        content = file.read_bytes()
        try:
            kind = str(json.loads(content)["mediaType"])
        except (ValueError, KeyError, TypeError):
            return self._refuse(404, "MANIFEST_UNKNOWN", f"the manifest {reference} in {repository} is damaged")
        return self._send(200, kind, content, digest)

    def _blob(self, repository: str, digest: str) -> None:
        volume = self.server.volume
        if not is_digest(digest) or not volume.holds(repository, digest):
            return self._refuse(404, "BLOB_UNKNOWN", f"{repository} has no blob {digest}")
        try:
            file = volume.blob(digest).open("rb")
        except FileNotFoundError:
            return self._refuse(404, "BLOB_UNKNOWN", f"the volume has lost the blob {digest}")
        with file:
            file.seek(0, 2)
            self._head(200, "application/octet-stream", file.tell(), digest)
            file.seek(0)
            if self.command != "HEAD":
                self.connection.sendfile(file)
        return None

    def _refuse(self, status: int, code: str, message: str) -> None:
        self._send(status, "application/json", json.dumps({"errors": [{"code": code, "message": message}]}).encode())

    def _send(self, status: int, kind: str, content: bytes, digest: str = "") -> None:
        self._head(status, kind, len(content), digest)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: int, kind: str, size: int, digest: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(size))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.send_header("X-Content-Type-Options", "nosniff")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_request(self, code: Any = "-", size: Any = "-") -> None:
        """Probes and pulls are not worth a line each."""


def main() -> None:
    """The whole program: serve until told to end."""
    options = argparse.ArgumentParser(prog="store_reader", description=__doc__)
    options.add_argument("--root", type=Path, default=Path(ROOT), help="where the registry's volume is mounted")
    options.add_argument("--address", default="", help="address to listen on; default: all")
    options.add_argument("--port", type=int, default=PORT)
    given = options.parse_args()
    # As a container's first process it would otherwise not hear the signal; cut downloads are taken up again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Reader((given.address, given.port), given.root).serve_forever()


if __name__ == "__main__":
    main()
