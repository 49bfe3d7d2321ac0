"""Cheap reads of the API server through `kubectl proxy`, so that watching a promotion does not slow it down."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dev.demo.kube import Kube

Object = dict[str, Any]
SLIPWAY = "/apis/slipway.dev/v1alpha1"


@dataclass(frozen=True)
class Reader:
    """The API server behind a local address."""

    url: str

    def get(self, path: str) -> Object | None:
        """The object or list at a path of the API; None if there is none."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                found: Object = json.loads(answer.read())
                return found
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def text(self, path: str) -> str:
        """The text at a path of the API."""
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return str(answer.read().decode())


@contextmanager
def reader(kube: Kube) -> Iterator[Reader]:
    """A reader for as long as the block lasts."""
    command = kube.command(["kubectl", "proxy", "--port=0"])
    with subprocess.Popen(command, env=kube.environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        address = process.stdout.readline().strip().rsplit(" ", 1)[-1]
        try:
            yield Reader(f"http://{address}")
        finally:
            process.terminate()
