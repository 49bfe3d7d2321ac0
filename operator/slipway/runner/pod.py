"""What a program finds in its pod: the fixed folders, the mounted Secrets, the file for its termination message."""

import base64
import re
from dataclasses import dataclass
from pathlib import Path

from slipway.api.tasks import AZURE_KEYS, CREDENTIALS, DATA_CREDENTIALS, INDEX, PUSH

STORE_PATIENCE_SECONDS = 18.0  # below 30 with the last timeout
RENEWAL_SECONDS = 150.0  # after which a Secret that was changed is changed in its mount, too
REGISTRY_PATIENCE_SECONDS = 300.0  # what has come lies in the pod: another one would begin anew
# Files that hold a secret, by folder.
_SECRETS = {
    CREDENTIALS: ("password", "token", "tls.key", "AWS_SECRET_ACCESS_KEY", *AZURE_KEYS),
    DATA_CREDENTIALS: ("AWS_SECRET_ACCESS_KEY",),
    PUSH: ("password",),
}


@dataclass(frozen=True)
class Pod:
    """The pod that a program runs in. Tests run the programs in folders of their own."""

    root: Path = Path("/")
    termination_log: Path = Path("/dev/termination-log")
    store_patience_seconds: float = STORE_PATIENCE_SECONDS  # a store without progress for so long is unreachable
    renewal_seconds: float = RENEWAL_SECONDS  # a credential that has ended is waited for so long
    registry_patience_seconds: float = REGISTRY_PATIENCE_SECONDS  # likewise

    def at(self, folder: str) -> Path:
        """One of the fixed folders of `slipway.api.tasks`."""
        return self.root / folder.lstrip("/")

    def secret(self, folder: str, name: str) -> str:
        """One file of a mounted Secret, "" if it is not there."""
        path = self.at(folder) / name
        return path.read_text().strip() if path.is_file() else ""

    def secrets(self) -> tuple[str, ...]:
        """Every secret value that is mounted: no log and no message may hold one."""
        found = [self.secret(folder, name) for folder, names in _SECRETS.items() for name in names]
        found += [file.read_text().strip() for file in sorted(self.at(INDEX).glob("*.password"))]
        found += [self._basic(folder) for folder in (CREDENTIALS, PUSH)]
        found += re.findall(r"AccountKey=([^;]+)", self.secret(CREDENTIALS, AZURE_KEYS[0]))
        return tuple(value for value in found if value)

    def _basic(self, folder: str) -> str:
        """What a request shows of a username and a password."""
        username, password = (self.secret(folder, name) for name in ("username", "password"))
        return base64.b64encode(f"{username}:{password}".encode()).decode() if password else ""


THIS_POD = Pod()
