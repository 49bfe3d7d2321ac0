"""The connection of an import to the registry: its credential, certificates, proxy and patience.

The credential is read from its mount for every request, so that a short-lived one is taken up while the import runs.
"""

import time
from typing import Any

import requests
from requests.auth import HTTPBasicAuth

from slipway.api.tasks import CREDENTIALS, RegistryAccess

from .outcome import trusted
from .pod import Pod

LOOK_SECONDS = 0.5  # between two looks whether the kubelet has brought another credential


class Mounted:
    """What is mounted now: a username and a password, or a token."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def read(self) -> tuple[str, str, str]:
        """Username, password and token."""
        username, password, token = (self._pod.secret(CREDENTIALS, name) for name in ("username", "password", "token"))
        return username, password, token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """The request with the credential."""
        username, password, token = self.read()
        if username:
            signed: requests.PreparedRequest = HTTPBasicAuth(username.encode(), password.encode())(request)
            return signed
        if token:
            request.headers["Authorization"] = f"Bearer {token}"
        return request


class RegistrySession:
    """Requests of one import."""

    def __init__(self, access: RegistryAccess, pod: Pod) -> None:
        self._pod, self._mounted, self._accepted = pod, Mounted(pod), False
        self._authorities, self._bundle = "", ""
        mount, self._session = pod.at(CREDENTIALS), requests.Session()
        self._session.auth = self._mounted
        self._session.proxies = {"http": access.proxy, "https": access.proxy} if access.proxy else {}
        if (mount / "tls.crt").is_file():
            self._session.cert = (str(mount / "tls.crt"), str(mount / "tls.key"))
        self._always: dict[str, Any] = {
            "timeout": (access.connect_seconds, access.answer_seconds),
            "allow_redirects": False,  # one could lead the credential, or what is taken for a model, elsewhere
        }

    @property
    def by_password(self) -> bool:
        """Whether it is a user's, as of MLflow's basic-auth app."""
        return bool(self._mounted.read()[0])

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """The answer; a credential that was good and is refused now has ended, and the next one is waited for."""
        sent = self._mounted.read()
        answer = self._answer(method, url, options)
        if answer.status_code == 401 and self._accepted and self._was_renewed(sent):
            answer.close()
            answer = self._answer(method, url, options)
        self._accepted = self._accepted or answer.status_code < 400
        return answer

    def _answer(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        return self._session.request(method, url, **{**self._always, "verify": self._trusted(), **options})

    def _trusted(self) -> str | bool:
        """Those authorities that the operator trusts, too: the registry's own beside all others."""
        now = self._pod.secret(CREDENTIALS, "ca.crt")
        if now != self._authorities:
            self._authorities, self._bundle = now, trusted(now) if now else ""
        return self._bundle or True

    def _was_renewed(self, sent: tuple[str, str, str]) -> bool:
        until = time.monotonic() + self._pod.renewal_seconds
        while self._mounted.read() == sent:
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_SECONDS)
        return True
