"""Two targets of the operator's events: one that stumbles twice and then takes them, and one that is always away.

They are there for all tests of this folder: whatever is shown here is shown while nobody takes the events of one.
"""

import base64
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dev.demo import manifests
from dev.demo.kube import Kube
from dev.demo.manifests import SYSTEM

from .pods import server, service

NAME, PORT = "listener", 8080
REFUSED = "dev.slipway.modelversion.refused"
_HOST = f"{NAME}.{SYSTEM}.svc"
EVENTS = {
    "allowedHosts": [_HOST],
    "targets": [
        {"name": "listener", "url": f"http://{_HOST}:{PORT}/hook", "secretName": NAME, "types": [REFUSED]},
        {"name": "away", "url": f"http://{_HOST}:9/", "secretName": NAME},
    ],
}
PROGRAM = """
import http.server, json
class Listener(http.server.BaseHTTPRequestHandler):
    tries = 0
    def do_POST(self):
        Listener.tries += 1
        status = 503 if Listener.tries <= 2 else 204
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        print(json.dumps({"status": status, "headers": dict(self.headers), "body": body}), flush=True)
        self.send_response(status)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Listener).serve_forever()
"""


@dataclass(frozen=True)
class Delivery:
    """One try to hand over an event, and how the listener answered."""

    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def id(self) -> str:
        """The same for each try, and for each operator that tells it."""
        return self.headers["webhook-id"]

    @property
    def event(self) -> Mapping[str, Any]:
        """The CloudEvent."""
        return dict(json.loads(self.body))

    def is_signed_with(self, secret: str) -> bool:
        """Whether one of its signatures is that of the secret, by Standard Webhooks."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = f"{self.id}.{self.headers['webhook-timestamp']}.{self.body}"
        mine = base64.b64encode(hmac.digest(key, content.encode(), "sha256")).decode()
        return f"v1,{mine}" in self.headers["webhook-signature"].split()


def start(kube: Kube, image: str) -> None:
    """The listener with a memory of nothing; the Secret is there before the operator, whose pod has it as a file."""
    kube.run("kubectl", "delete", "pod", NAME, "-n", SYSTEM, "--ignore-not-found")
    secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    here = {"name": NAME, "namespace": SYSTEM}
    kube.apply(
        manifests.namespace(SYSTEM),
        {"apiVersion": "v1", "kind": "Secret", "metadata": here, "stringData": {"secret": secret}},
    )
    for one in (server(NAME, image, ["python", "-c", PROGRAM], PORT), service(NAME, PORT)):
        kube.apply(one | {"metadata": one["metadata"] | here})


def secret(kube: Kube) -> str:
    """What signs the events for both targets."""
    found = kube.get("secret", SYSTEM, NAME)
    assert found is not None
    return base64.b64decode(found["data"]["secret"]).decode()


def deliveries(kube: Kube) -> list[Delivery]:
    """All that the listener was ever handed, in its order."""
    said = kube.run("kubectl", "logs", NAME, "-n", SYSTEM)
    return [Delivery(**json.loads(line)) for line in said.splitlines()]
