"""Starts Azurite, an Azure Blob store over a folder, on a free port of this machine; installs it if it is not there yet."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.storage.blob import BlobServiceClient

from tests.ports import free_port
from tests.runner.pods import OPERATOR, program, running

ACCOUNT, KEY = "flights", base64.b64encode(b"the-right-key-of-this-test").decode()


@contextmanager
def running_azurite(folder: Path) -> Iterator[str]:
    """The URL of the account's Blob service; it takes ACCOUNT and KEY."""
    if not (shutil.which("node") and shutil.which("npm")):
        give_up = pytest.fail if os.environ.get("SLIPWAY_REQUIRE_CLUSTER") else pytest.skip
        give_up("Azurite cannot be had: node and npm are missing; as root: apt-get install nodejs npm")
    subprocess.run([sys.executable, OPERATOR.parent / "dev/cluster", "build", "azurite"], check=True)
    port = free_port()
    command = [str(program("azurite")), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder)]
    environment = {"AZURITE_ACCOUNTS": f"{ACCOUNT}:{KEY}", "PATH": os.environ["PATH"]}
    url = f"http://127.0.0.1:{port}/{ACCOUNT}"
    with running([*command, "--silent"], folder / "log", lambda: _answers(url), environment):
        yield url


def client_of(url: str) -> Any:
    """A client of the account."""
    return BlobServiceClient(url, credential={"account_name": ACCOUNT, "account_key": KEY})


def _answers(url: str) -> bool:
    try:
        return "Azurite" in requests.get(url, timeout=5).headers.get("Server", "")
    except requests.RequestException:
        return False
