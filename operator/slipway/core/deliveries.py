"""Whether a delivery of a registry is genuine: signed with the secret that both know, and not long ago.

The signature is MLflow's (mlflow/webhooks/delivery.py): `v1,` and the base64 of an HMAC-SHA256, under the secret's
UTF-8 bytes, over `<delivery id>.<timestamp>.<body>`. What a delivery says beside that is not believed; the name of a
model in it only says where to look first.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

WINDOW_SECONDS = 300  # between the clocks of the registry and of this process; it tries again for some ten seconds
SECRET_LENGTH = 16  # characters, at least: a short one can be guessed from a single delivery
ID, TIMESTAMP, SIGNATURE = "X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"
_FORMS = {ID: re.compile(r"[0-9A-Za-z-]{8,64}"), TIMESTAMP: re.compile(r"[0-9]{1,12}"),
          SIGNATURE: re.compile(r"v1,[0-9A-Za-z+/]{43}=")}  # fmt: skip
_NOBODY = "a secret that nobody has"  # so that it takes as long where there is none


@dataclass(frozen=True)
class Delivery:
    """What came, as it came."""

    id: str
    timestamp: str  # seconds since 1970
    signature: str
    body: bytes

    def is_signed(self, secret: str) -> bool:
        """Whether somebody made it who knows the secret; with an empty one, nobody has. It takes constant time."""
        signed = hmac.compare_digest(
            signature_of(secret or _NOBODY, self.id, self.timestamp, self.body), self.signature
        )
        return signed and bool(secret)

    @property
    def model(self) -> str:
        """The registered model that it says to be about; "" where it names none."""
        try:
            said = json.loads(self.body)
        except (ValueError, RecursionError):
            return ""
        data = said.get("data") if isinstance(said, dict) else None
        name = data.get("name") if isinstance(data, dict) else None
        return name if isinstance(name, str) else ""

    def is_late(self, now: float) -> bool:
        """Whether it was made too long before `now` (Unix time), or after it."""
        return abs(now - int(self.timestamp)) > WINDOW_SECONDS


def read(headers: Mapping[str, str], body: bytes) -> Delivery | None:
    """The delivery; None for a request that can be none."""
    found = {name: headers.get(name, "") for name in _FORMS}
    if not all(form.fullmatch(found[name]) for name, form in _FORMS.items()):
        return None
    return Delivery(found[ID], found[TIMESTAMP], found[SIGNATURE], body)


def signature_of(secret: str, delivery_id: str, timestamp: str, body: bytes) -> str:
    """What the signature's header says of such a delivery."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()
