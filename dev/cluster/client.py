"""A small client of the local API server: JSON over HTTPS with the administrator's certificate."""

import http.client
import json
import ssl
import time
from typing import Any

from keys import PKI
from say import Trouble

MISSING, TAKEN = 404, 409


class Refused(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text[:300]}")
        self.code = code


class Client:
    def __init__(self, port: int) -> None:
        self.port = port
        self._tls = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
        self._tls.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")

    def call(self, method: str, path: str, body: Any = None, kind: str = "application/json") -> Any:
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self._tls)
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": kind, "User-Agent": "slipway-cluster"})
            answer = connection.getresponse()
            content = answer.read().decode()
        finally:
            connection.close()
        if answer.status >= 400:
            raise Refused(answer.status, content)
        return json.loads(content) if content.startswith("{") else content

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def create(self, path: str, body: dict[str, Any]) -> None:
        """Create, or leave what is there."""
        try:
            self.call("POST", path, body)
        except Refused as refused:
            if refused.code != TAKEN:
                raise

    def patch(self, path: str, operations: list[dict[str, Any]]) -> None:
        self.call("PATCH", path, operations, "application/json-patch+json")

    def ready(self) -> bool:
        try:
            return self.get("/readyz") == "ok"
        except (OSError, Refused, http.client.HTTPException):
            return False

    def await_ready(self, seconds: float, alive) -> None:
        until = time.monotonic() + seconds
        while not self.ready():
            alive()
            if time.monotonic() > until:
                raise Trouble(f"the API server is not ready after {seconds:.0f} s")
            time.sleep(0.1)
