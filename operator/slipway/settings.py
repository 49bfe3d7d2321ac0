"""The only reader of the environment: what the operator is told by its Deployment and its ConfigMap."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from .api.base import Duration, seconds
from .resources.platform import Platform


class ConfigFile(Platform):
    """The file that SLIPWAY_CONFIG names: what the platform team decided, and how hard the operator works."""

    namespace: Annotated[str, Field(description="The operator's own namespace, unless SLIPWAY_NAMESPACE says it.")] = ""
    concurrency: Annotated[int, Field(ge=1, le=64, description="Objects that are worked on at the same time.")] = 8
    relist_interval: Annotated[Duration, Field(description="Time between two complete lists.")] = "10m"


class Settings(ConfigFile):
    """Everything that can be set."""

    watch_namespaces: tuple[str, ...] = ()
    lease: str = "slipway"
    identity: str = ""
    log_format: Literal["json", "text"] = "text"
    log_level: str = "INFO"
    port: int = 8080
    webhook_port: int = 0
    webhook_url: str = ""
    address: str = ""
    event_secrets: Path = Path("/etc/slipway-events")
    api_server: str = ""

    @property
    def relist_seconds(self) -> int:
        """Seconds between two complete lists of everything that is watched."""
        return seconds(self.relist_interval)

    @property
    def receiver(self) -> str:
        """Where another operator reaches this one's receiver, such as `10.0.0.7:8081`; "" if there is none."""
        if not (self.webhook_port and self.address):
            return ""
        return f"{f'[{self.address}]' if ':' in self.address else self.address}:{self.webhook_port}"


VARIABLES: dict[str, str] = {
    "SLIPWAY_CONFIG": "Path of the configuration file (YAML), which must name the cluster.",
    "SLIPWAY_NAMESPACE": "The operator's own namespace, where imports run.",
    "SLIPWAY_WATCH_NAMESPACES": "Namespaces to work in, separated by commas; empty: the whole cluster.",
    "SLIPWAY_LEASE": "Name of the Lease in that namespace, by which one of several operators acts; default: slipway.",
    "SLIPWAY_IDENTITY": "Who holds it, unlike anybody else; default: the host's name and a random number.",
    "SLIPWAY_LOG_FORMAT": "json or text; default: text on a terminal, otherwise json.",
    "SLIPWAY_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR.",
    "SLIPWAY_LISTEN_PORT": "Port of /metrics, /healthz and /readyz.",
    "SLIPWAY_WEBHOOK_PORT": "Port of the receiver of registries' webhooks; without it, there is none.",
    "SLIPWAY_WEBHOOK_URL": "Base URL at which registries reach that receiver.",
    "SLIPWAY_ADDRESS": "IP address at which another operator reaches this one's receiver.",
    "SLIPWAY_EVENT_SECRETS": "Folder in which each event target has a folder of its name, with the file `secret`; "
    "default: /etc/slipway-events.",
    "KUBERNETES_SERVICE_HOST": "Address of the API server, to which no event is sent; set by Kubernetes.",
}


class SettingsError(Exception):
    """The settings cannot be used; the message names the setting and what is wrong with it."""


def load(environment: Mapping[str, str] | None = None, on_terminal: bool = False) -> Settings:
    """The settings of this process; SettingsError names every mistake at once."""
    given = os.environ if environment is None else environment
    path = given.get("SLIPWAY_CONFIG", "")
    found = _file(Path(path)) if path else {}
    direct = {
        "namespace": given.get("SLIPWAY_NAMESPACE"),
        "lease": given.get("SLIPWAY_LEASE"),
        "identity": given.get("SLIPWAY_IDENTITY"),
        "log_format": given.get("SLIPWAY_LOG_FORMAT") or ("text" if on_terminal else "json"),
        "log_level": given.get("SLIPWAY_LOG_LEVEL"),
        "port": given.get("SLIPWAY_LISTEN_PORT"),
        "webhook_port": given.get("SLIPWAY_WEBHOOK_PORT"),
        "webhook_url": given.get("SLIPWAY_WEBHOOK_URL"),
        "address": given.get("SLIPWAY_ADDRESS"),
        "event_secrets": given.get("SLIPWAY_EVENT_SECRETS"),
        "api_server": given.get("KUBERNETES_SERVICE_HOST"),
    }
    found |= {key: value for key, value in direct.items() if value}
    found.setdefault("namespace", "slipway-system")
    watched = given.get("SLIPWAY_WATCH_NAMESPACES", "")
    found["watch_namespaces"] = tuple(part.strip() for part in watched.split(",") if part.strip())
    try:
        return Settings.model_validate(found)
    except ValidationError as error:
        wrong = "; ".join(_said(".".join(str(part) for part in one["loc"]), one) for one in error.errors())
        raise SettingsError(f"the settings cannot be used: {wrong}") from None


def _said(field: str, error: ErrorDetails) -> str:
    if field == "clusterName" and error["type"] in ("missing", "string_too_short"):
        return "clusterName is not set; give this cluster a name of its own, such as prod: the registry's tags carry it"
    return f"{field}: {error['msg']}"


def _file(path: Path) -> dict[str, object]:
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise SettingsError(f"SLIPWAY_CONFIG={path} cannot be read: {error}") from None
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise SettingsError(f"SLIPWAY_CONFIG={path} holds no mapping")
    known = {field.alias or name for name, field in ConfigFile.model_fields.items()}
    unknown = sorted(set(found) - known)
    if unknown:
        raise SettingsError(f"SLIPWAY_CONFIG={path} has unknown settings: {', '.join(unknown)}")
    return found
