"""What the answers of an MLflow server mean, and the sentences that tell a person."""

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from .errors import AdapterError, Forbidden, NotFound, Rejected, Unauthorized, Unreachable
from .mlflow_permissions import is_free, needed
from .ports import Connection

REFUSED_CERTIFICATE = re.compile(r"_ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED)")  # as OpenSSL spells alerts
BUSY = frozenset({408, 429})
GATEWAY = frozenset({502, 503, 504})
PART_BYTES = 64 * 1024  # of JSON that is decoded at once
SHORTEST_SECRET = 4  # replacing a shorter one would spell it out by what is missing


class Faltered(Unreachable):
    """No connection, or one that broke: a second try may succeed."""


class ServerFault(Faltered):
    """It answered with a server's error (5xx)."""


class GatewayFault(ServerFault):
    """The word of whatever stands before a server that is not there (502, 503, 504)."""


class Foreign(Rejected):
    """The answer is none of MLflow's."""


class Unknown(Unauthorized):
    """It does not know the credential (401): that may have ended, and be renewed."""


class TooLarge(Rejected):
    """The answer is larger than what may be read; `beginning` is how it begins."""

    beginning: bytes = b""


@dataclass(frozen=True)
class Patience:
    """How long to wait; `total_seconds` holds for a call with its second try and the whole body."""

    connect_seconds: float = 3.0
    total_seconds: float = 10.0
    pause_seconds: float = 0.2  # before the second try, give or take a half


@dataclass(frozen=True)
class Reply:
    """An answer, whatever it says."""

    status: int
    content_type: str
    body: bytes
    location: str = ""

    def document(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is something else."""
        try:
            value = _parsed(self.body)
        except (ValueError, RecursionError):
            return None
        return value if isinstance(value, dict) else None

    def found(self, hidden: Callable[[str], str]) -> str:
        """What a person would see there: MLflow's own message, a page's title, or a text's beginning.

        Secrets are `hidden` before it is shortened: half a one would not be found afterwards.
        """
        message = (self.document() or {}).get("message")
        if isinstance(message, str) and message:
            return _short(hidden(message))
        text = hidden(self.body[:4096].decode("utf-8", "replace"))
        title = re.search(r"<title[^>]*>([^<]*)", text, re.IGNORECASE)
        if title:
            return f'a page titled "{_short(title[1])}"'
        kind = self.content_type or "no content type"
        return f'{kind}, "{_short(text)}"' if text.strip() else f"{kind}, empty"


def _parsed(body: bytes) -> Any:
    """JSON, quickly; what only Python takes, such as NaN, slowly."""
    try:
        return _in_parts(body)
    except msgspec.DecodeError:
        return json.loads(body)


def _in_parts(text: bytes | msgspec.Raw) -> Any:
    """JSON, a row of a long list at a time: one call of the decoder lets no other thread run until it ends."""
    view = memoryview(text)
    match bytes(view[:1]) if len(view) > PART_BYTES else b"":
        case b"{":
            members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
            return {key: _in_parts(value) for key, value in members.items()}
        case b"[":
            return [_in_parts(value) for value in msgspec.json.decode(text, type=list[msgspec.Raw])]
    return msgspec.json.decode(text)


class Answers:
    """Turns what came from one server into one of our errors."""

    def __init__(self, connection: Connection, patience: Patience) -> None:
        self._connection = connection
        self._patience = patience
        self.where = shown(connection.uri)

    def too_large(self, purpose: str, limit_bytes: int, beginning: bytes) -> TooLarge:
        """The answer is larger than it may be, and begins so."""
        said = f"the MLflow at {self.where} answered with more than {limit_bytes} bytes when asked to {purpose}"
        error = TooLarge(self._hidden(said))
        error.beginning = beginning
        return error

    def not_mlflow(self, reply: Reply) -> AdapterError:
        """Something else answers at this address."""
        return self.error(
            Foreign,
            f"what answers at {self.where} is not the MLflow REST API: {reply.status}, {reply.found(self._hidden)}; "
            "correct the registry's uri: MLflow's own address, with the path of --static-prefix if it has one",
        )

    def refusal(self, operation: str, method: str, purpose: str, reply: Reply) -> AdapterError:
        """What an answer other than 2xx means."""
        who, status = f"the MLflow at {self.where}", reply.status
        if status >= 500:
            fault = GatewayFault if status in GATEWAY else ServerFault
            return self.error(fault, f"{who} failed to {purpose}: {status}, {reply.found(self._hidden)}")
        if status in BUSY:
            return self.error(Unreachable, f"{who} is too busy to {purpose}: {status}, {reply.found(self._hidden)}")
        if status == 401:
            return self.error(Unknown, self._unauthorized(who))
        if status == 403 and b"Invalid Host header" in reply.body:
            host = URL(self._connection.uri).authority
            return self.error(
                Unauthorized,
                f"{who} refuses requests to this host name (Invalid Host header): start MLflow with --allowed-hosts "
                f"that covers {host}; the list replaces MLflow's own, so name localhost:* too if something uses it",
            )
        if status == 403:
            said = f"{who} does not allow this credential to {purpose}: {reply.found(self._hidden)}"
            return self._forbidden(operation, method, said)
        if 300 <= status < 400:
            return self.error(
                Foreign,
                f"what answers at {self.where} redirects to {shown(reply.location)}, and redirects are not followed: "
                "set the registry's uri to MLflow's own address",
            )
        code = (reply.document() or {}).get("error_code")
        if code is None:  # also a proxy's 404: never to be read as "does not exist"
            return self.not_mlflow(reply)
        error = NotFound if status == 404 and code == "RESOURCE_DOES_NOT_EXIST" else Rejected
        return self.error(error, f"{who} refused to {purpose}: {reply.found(self._hidden)}")

    def _forbidden(self, operation: str, method: str, said: str) -> AdapterError:
        """With a password it is MLflow's basic-auth app that refuses; it does so, too, where it knows no such path."""
        if self._connection.username and is_free(operation):
            advice = "MLflow refuses that to nobody: has the registry's uri the path of MLflow's --static-prefix?"
            return self.error(Unauthorized, f"{said}; {advice}")
        if self._connection.username and (permission := needed(operation, method)):
            return self.error(Forbidden, f"{said}; with MLflow's basic-auth app that takes {permission}")
        return self.error(Unauthorized, said)

    def _unauthorized(self, who: str) -> str:
        if self._connection.token:
            return f"{who} refused the bearer token (401): it is wrong or has expired"
        if self._connection.username:
            ascii_only = (
                "" if self._connection.password.isascii() else "; its artifact routes take ASCII passwords only"
            )
            return f"{who} refused the username and password (401){ascii_only}"
        return f"{who} asks for a credential (401) and none is configured: set auth in the registry's backend"

    def broken(self, error: Exception) -> AdapterError:
        """What it means that there is no answer at all."""
        if (told := self._certificates(error) or self._proxy(error)) is not None:
            return told
        who = f"the MLflow at {self.where}"
        match error:
            case aiohttp.ClientSSLError():
                return self.error(Unreachable, f"no TLS connection with {who}: is it served by https?")
            case aiohttp.ClientConnectorDNSError():
                return self.error(Faltered, f"the host name of {self.where} is not known")
            case aiohttp.ClientConnectorError():
                reason = error.os_error.strerror or type(error.os_error).__name__
                return self.error(Faltered, f"no connection to {who}: {reason}")
            case aiohttp.ServerTimeoutError():
                seconds = self._patience.connect_seconds
                return self.error(Faltered, f"no connection to {who} within {seconds:g} seconds")
            case aiohttp.ClientResponseError():
                return self.error(Rejected, f"what answers at {self.where} does not speak HTTP")
            case aiohttp.ClientError() | OSError():
                return self.error(Faltered, f"{who} broke the connection off")
            case _:
                return self.error(Rejected, f"{self.where} is no valid URI of an MLflow server")

    def _certificates(self, error: Exception) -> AdapterError | None:
        """What is wrong with theirs, or what they say of ours."""
        who = f"the MLflow at {self.where}"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason = getattr(error.certificate_error, "verify_message", "") or "not valid for this host"
            text = f"the certificate of {who} is not trusted ({reason}): its authority belongs into caBundle"
            return self.error(Unreachable, text)
        refused = REFUSED_CERTIFICATE.search(str(error)) if isinstance(error, aiohttp.ClientOSError) else None
        if refused is None:
            return None
        ours = "our client certificate" if self._connection.certificate else "us without a client certificate"
        return self.error(Unauthorized, f"{who} refused {ours} ({refused[1].replace('_', ' ').lower()})")

    def _proxy(self, error: Exception) -> AdapterError | None:
        """What a proxy on the way says, or that it is not there."""
        proxy = shown(self._connection.proxy)
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            reason = error.os_error.strerror or type(error.os_error).__name__
            return self.error(Faltered, f"no connection to the proxy {proxy} on the way to {self.where}: {reason}")
        if isinstance(error, aiohttp.ClientHttpProxyError):
            kind = Faltered if error.status >= 500 else Rejected
            said = f"the proxy {proxy} does not lead to {self.where}: {error.status}, {error.message}"
            return self.error(kind, said)
        return None

    def error(self, kind: type[AdapterError], message: str) -> AdapterError:
        """The error, without our credential even if the server repeated it."""
        return kind(self._hidden(message))

    def _hidden(self, message: str) -> str:
        connection = self._connection
        for secret in (basic(connection), connection.token.strip(), connection.password, connection.password.strip()):
            if len(secret) >= SHORTEST_SECRET:
                message = message.replace(secret, "***")
        return message


def basic(connection: Connection) -> str:
    return base64.b64encode(f"{connection.username}:{connection.password}".encode()).decode()


def label(error: AdapterError) -> str:
    """The label under which metrics count an error."""
    kinds = ((Unauthorized, "unauthorized"), (NotFound, "not_found"), (Unreachable, "unreachable"))
    return next((label for kind, label in kinds if isinstance(error, kind)), "rejected")


def shown(uri: str) -> str:
    """An address for a message: without user, password, query and fragment."""
    return re.sub(r"//[^/@]*@", "//", re.split(r"[?#]", uri, maxsplit=1)[0]).rstrip("/")


def _short(text: str, limit: int = 300) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
