"""Package indexes on this machine: folders of wheels, served as PEP 503 says, and wheels of a few lines."""

import base64
import contextlib
import hashlib
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from packaging.utils import canonicalize_name, parse_wheel_filename


def wheel(
    folder: Path, name: str, version: str, needs: tuple[str, ...] = (), files: dict[str, str] | None = None
) -> Path:
    """A wheel of pure Python, with a module of its own name and these files."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    requires = "".join(f"Requires-Dist: {one}\n" for one in needs)
    content = {
        f"{module}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **(files or {}),
    }
    path = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in content.items():
            archive.writestr(inside, text)
        record = "".join(f"{inside},sha256={_hash(text)},{len(text)}\n" for inside, text in content.items())
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return path


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


@dataclass
class PackageIndex:
    """A running index. `status` is answered to everything while it is set; `asked` are the paths, in order."""

    folder: Path
    url: str = ""
    status: int = 0
    password: str = ""
    asked: list[str] = field(default_factory=list)
    swapped: dict[str, bytes] = field(default_factory=dict)  # other bytes for a file than its page promises
    yanked: dict[str, str] = field(default_factory=dict)  # why, by the file's name

    def answer(self, path: str) -> tuple[int, bytes]:
        """The status and the body."""
        self.asked.append(path)
        parts = [unquote(one) for one in path.strip("/").split("/")]
        if self.status:
            return self.status, b"unwell"
        if parts[0] == "files":
            return 200, self.swapped.get(parts[1]) or (self.folder / parts[1]).read_bytes()
        here = [one for one in sorted(self.folder.glob("*.whl")) if parse_wheel_filename(one.name)[0] == parts[-1]]
        if not here:
            return 404, b"no such project"
        return 200, "".join(self._link(one) for one in here).encode()

    def projects(self) -> set[str]:
        """Projects that were asked for."""
        return {str(canonicalize_name(path.split("/")[2])) for path in self.asked if path.startswith("/simple/")}

    def _link(self, file: Path) -> str:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        yanked = f' data-yanked="{self.yanked[file.name]}"' if file.name in self.yanked else ""
        return f'<a href="/files/{quote(file.name)}#sha256={digest}"{yanked}>{file.name}</a>\n'


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[PackageIndex]:
    """An index of the wheels in a folder, while the block runs."""
    found = PackageIndex(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = found.answer(self.path)
            wanted = "Basic " + base64.b64encode(f"team:{found.password}".encode()).decode()
            if found.password and self.headers.get("Authorization") != wanted:
                status, body = 401, b"who are you"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # of whoever has read enough of a wheel
                if self.command == "GET":
                    self.wfile.write(body)

        def do_HEAD(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/simple/"
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
