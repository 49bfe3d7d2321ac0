"""Answers for a model that runs in packages of its own: MLflow's scoring application behind a Unix socket.

One file on the standard library and the environment's mlflow (1.30 or later), since it imports nothing of Slipway. The
application is that of its own MLflow, so that answers and errors are what this MLflow gives.

A request is a line of JSON (`method`, `path`, `query`, `headers`, `size` in bytes) and a body; an answer is a line of
JSON (`status`, `headers`, `size`) and a body. A connection carries one request after the other.
"""

import asyncio
import io
import json
import os
import socketserver
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

_OF_TWO = {"dataframe_split": "pandas-split", "dataframe_records": "pandas-records"}
_NO_PARAMS = b'{"error_code": "BAD_REQUEST", "message": "MLflow 1, which this model needs, knows no params"}'
_LENGTH = "content-length"  # of what was answered before it was put into other words

Answer = tuple[int, list[list[str]], bytes]
Ask = Callable[[dict[str, Any], bytes], Answer]


def application(folder: str) -> Any:
    """MLflow's scoring application for the model: of Flask or of FastAPI, by its version."""
    from mlflow.pyfunc import load_model, scoring_server  # noqa: PLC0415 - whose failure is the model's to load

    load = getattr(scoring_server, "load_model_with_mlflow_config", load_model)
    return scoring_server.init(load(folder))


def asker(app: Any) -> Ask:
    """A function that asks the application, whichever of Python's two protocols it speaks."""
    if not asyncio.iscoroutinefunction(type(app).__call__):
        return lambda asked, body: _by_wsgi(app, asked, body)
    loop = asyncio.new_event_loop()
    threading.Thread(target=_forever, args=(loop,), daemon=True).start()
    return lambda asked, body: asyncio.run_coroutine_threadsafe(_by_asgi(app, asked, body), loop).result()


def _forever(loop: asyncio.AbstractEventLoop) -> None:
    """The loop ends where a model calls `sys.exit`: then the process does, as it was told to."""
    try:
        loop.run_forever()
    except SystemExit as end:
        _leave(end)
    finally:
        os._exit(1)


def _leave(end: SystemExit) -> None:
    print("the model has called sys.exit", file=sys.stderr, flush=True)
    os._exit(end.code if isinstance(end.code, int) else 1)


def with_words_of_two(ask: Ask) -> Ask:
    """MLflow 1 with the words of MLflow 2 besides its own: a request in these is answered in these."""

    def asked(head: dict[str, Any], body: bytes) -> Answer:
        kind = next((value for name, value in head["headers"] if name.lower() == "content-type"), "")
        if head["path"] != "/invocations" or not kind.startswith("application/json"):
            return ask(head, body)
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        if isinstance(said, dict) and "params" in said:
            return 400, [["content-type", "application/json"]], _NO_PARAMS
        for word, form in _OF_TWO.items():
            if isinstance(said, dict) and word in said:
                headers = [["content-type", "application/json; format=" + form]]
                status, found, content = ask({**head, "headers": headers}, json.dumps(said[word]).encode())
                found = [one for one in found if one[0].lower() != _LENGTH]
                return status, found, b'{"predictions": ' + content + b"}" if status == 200 else content
        return ask(head, body)

    return asked


def _by_wsgi(app: Any, asked: dict[str, Any], body: bytes) -> Answer:
    """PEP 3333."""
    environ = {
        "REQUEST_METHOD": asked["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(asked["path"], "latin-1"),
        "QUERY_STRING": asked["query"],
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in asked["headers"]:
        key = name.upper().replace("-", "_")
        environ.setdefault(key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else "HTTP_" + key, value)
    begun: list[Any] = []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
        begun[:] = [int(status.split(" ", 1)[0]), [list(one) for one in headers]]

    parts = app(environ, start)
    try:
        content = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    return begun[0], begun[1], content


async def _by_asgi(app: Any, asked: dict[str, Any], body: bytes) -> Answer:
    """ASGI 3."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": asked["method"],
        "scheme": "http",
        "path": unquote(asked["path"]),
        "raw_path": asked["path"].encode("latin-1"),
        "query_string": asked["query"].encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in asked["headers"]],
        "client": None,
        "server": None,
    }
    pending = [{"type": "http.request", "body": body, "more_body": False}]
    status: int = 500
    headers: list[list[str]] = []
    content: list[bytes] = []

    async def receive() -> dict[str, Any]:
        if pending:
            return pending.pop()
        await asyncio.sleep(3600)  # nobody goes away before the answer
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = [[one.decode("latin-1"), two.decode("latin-1")] for one, two in message.get("headers", [])]
        else:
            content.append(message.get("body", b""))

    await app(scope, receive, send)
    return status, headers, b"".join(content)


class Connection(socketserver.StreamRequestHandler):
    """One caller, until it goes away."""

    server: "Server"

    def handle(self) -> None:
        """Answer one request after the other."""
        while line := self.rfile.readline():
            asked = json.loads(line)
            body = self.rfile.read(asked["size"])
            try:
                status, headers, content = self.server.ask(asked, body)
            except SystemExit as end:
                _leave(end)
                raise
            except Exception:  # noqa: BLE001 - whatever the application lets out
                traceback.print_exc()
                status, headers, content = (
                    500,
                    [["content-type", "text/plain; charset=utf-8"]],
                    b"Internal Server Error",
                )
            head = {"status": status, "headers": headers, "size": len(content)}
            self.wfile.write(json.dumps(head).encode() + b"\n" + content)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """A thread for each connection; the caller bounds how many there are."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, path: str, ask: Ask) -> None:
        self.ask = ask
        super().__init__(path, Connection)


def main() -> None:
    """Load the model, then listen: a socket that is there answers."""
    folder, path = sys.argv[1:]
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    app = application(folder)
    import mlflow  # noqa: PLC0415 - which the application has loaded

    ask = asker(app)
    Server(path, with_words_of_two(ask) if mlflow.__version__.startswith("1.") else ask).serve_forever()


if __name__ == "__main__":
    main()
