"""Clients of the registries: one per ModelRegistry, made anew when its spec or its credential changes."""

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass

from ..adapters.cluster import CONFIG_MAP, NAMESPACE, REGISTRY, SECRET, Cluster
from ..adapters.errors import NotFound, Rejected, Unauthorized
from ..adapters.ports import Connection, Registry
from ..api import names
from ..api.modelregistry import MLflow, ModelRegistry
from ..api.registeredmodel import RegisteredModel
from ..core.reasons import Reason
from ..core.registry import Silent
from ..resources.platform import Platform
from .cache import Cache

Connect = Callable[[Connection], Registry]


@dataclass(frozen=True)
class Reached:
    """A registry that may be used: its resource, its client and the credential that an import needs."""

    resource: ModelRegistry
    client: Registry
    files: dict[str, str]  # username, password, token, ca.crt


class Registries:
    """The clients in use."""

    def __init__(self, cluster: Cluster, cache: Cache, platform: Platform, connect: Connect) -> None:
        self._cluster, self._cache, self._platform, self._connect = cluster, cache, platform, connect
        self._clients: dict[tuple[str, str], tuple[Connection, Registry]] = {}

    async def of(self, model: RegisteredModel) -> Reached | Silent:
        """The registry of a model, or why it may not be used."""
        here, ref = model.metadata.namespace, model.spec.source.registry_ref
        default = self._platform.default_registry
        if ref is None and default is None:
            return Silent(
                Reason.RegistryNotFound, "The model names no registry and the operator has no default.", False
            )
        namespace = (ref.namespace or here) if ref else (default.namespace if default else here)
        name = ref.name if ref else (default.name if default else "")
        found = self._cache.get(REGISTRY, namespace, name)
        if found is None:
            return Silent(Reason.RegistryNotFound, f"There is no ModelRegistry {namespace}/{name}.", False)
        resource = ModelRegistry.model_validate(found)
        if namespace != here and not await self._allows(resource, here):
            said = f"ModelRegistry {namespace}/{name} does not allow namespace {here}."
            return Silent(Reason.RegistryNotAllowed, said, False)
        return await self.reach(resource)

    async def reach(self, resource: ModelRegistry, anew: bool = False) -> Reached | Silent:
        """The registry with a client; `anew` reads its Secret again, as each poll and each 401 does."""
        key = (resource.metadata.namespace, resource.metadata.name)
        backend = resource.spec.backend.mlflow
        if backend is None:
            return Silent(Reason.InvalidSpec, "spec.backend names no server.", False)
        known = self._clients.get(key)
        if known and not anew and known[0].uri == backend.uri:
            return Reached(resource, known[1], _files(known[0]))
        try:
            connection = await self._connection(resource, backend)
        except (NotFound, Unauthorized, Rejected) as error:
            return Silent(Reason.SecretNotFound, f"{error}", False)
        if known and known[0] == connection:
            return Reached(resource, known[1], _files(connection))
        if known:
            await known[1].close()
        client = self._connect(connection)
        self._clients[key] = (connection, client)
        return Reached(resource, client, _files(connection))

    async def close(self) -> None:
        """Give all connections back."""
        for _, client in self._clients.values():
            await client.close()

    async def _allows(self, resource: ModelRegistry, namespace: str) -> bool:
        allowed = resource.spec.allowed_namespaces
        if allowed is None:
            return False
        try:
            labels = (await self._cluster.get(NAMESPACE, "", namespace))["metadata"].get("labels") or {}
        except Rejected:  # an operator without cluster-wide rights cannot read labels: its list of namespaces decides
            return False
        return all(labels.get(key) == value for key, value in allowed.selector.match_labels.items())

    async def _connection(self, resource: ModelRegistry, backend: MLflow) -> Connection:
        namespace, auth, bundle = resource.metadata.namespace, backend.auth, backend.ca_bundle
        secret: dict[str, str] = {}
        member = (auth.basic or auth.bearer) if auth else None
        wanted = ("username", "password") if auth and auth.basic else ("token",)
        if member:
            secret = await self._secret(namespace, member.secret_ref.name, wanted)
        certificates = ""
        if bundle:
            found = await self._cluster.get(CONFIG_MAP, namespace, bundle.config_map_key_ref.name)
            certificates = (found.get("data") or {}).get(bundle.config_map_key_ref.key, "")
            if not certificates:
                raise Rejected(f"ConfigMap {namespace}/{bundle.config_map_key_ref.name} has no such key.")
        return Connection(
            uri=backend.uri.rstrip("/"),
            username=secret.get("username", ""),
            password=secret.get("password", ""),
            token=secret.get("token", ""),
            ca_certificates=certificates,
        )

    async def _secret(self, namespace: str, name: str, wanted: tuple[str, ...]) -> dict[str, str]:
        found = await self._cluster.get(SECRET, namespace, name)
        if names.REGISTRY_SECRET not in (found["metadata"].get("labels") or {}):
            raise Rejected(f"Secret {namespace}/{name} lacks the label {names.REGISTRY_SECRET}.")
        data = found.get("data") or {}
        missing = [key for key in wanted if key not in data]
        if missing:
            raise Rejected(f"Secret {namespace}/{name} lacks the key {' and '.join(missing)}.")
        try:
            return {key: base64.b64decode(data[key]).decode() for key in wanted}
        except (binascii.Error, UnicodeDecodeError):
            raise Rejected(f"Secret {namespace}/{name} holds bytes that are no text.") from None


def _files(connection: Connection) -> dict[str, str]:
    found = {
        "username": connection.username,
        "password": connection.password,
        "token": connection.token,
        "ca.crt": connection.ca_certificates,
    }
    return {key: value for key, value in found.items() if value}
