"""Clients of the registries: one per ModelRegistry, made anew when its spec or its credential changes."""

import asyncio
import base64
import binascii
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from ..adapters.cluster import CONFIG_MAP, NAMESPACE, REGISTRY, SECRET, Cluster, Object
from ..adapters.errors import NotFound, Rejected, Unauthorized
from ..adapters.own_token import TokenUnusable, own_token
from ..adapters.ports import Connection, Registry
from ..api import names
from ..api.base import seconds
from ..api.connection import MLflow
from ..api.modelregistry import ModelRegistry
from ..api.registeredmodel import RegisteredModel
from ..core import allowed, sources
from ..core.reasons import Reason
from ..core.registries import SUSPENDED
from ..core.registry import Silent
from ..resources.platform import Platform
from .cache import Cache, Unreadable
from .identity import Place, registry_place, section

Connect = Callable[[Connection], Registry]
NAMESPACE_SECONDS = 60.0  # for which a namespace's labels are believed where namespaces are not watched
NAMESPACES = 1024
ANEW_SECONDS = 5.0  # a credential is not read more often, however many calls it fails


@dataclass(frozen=True)
class Reached:
    """A registry that may be used: its resource, its client and the credential that an import needs."""

    resource: ModelRegistry
    client: Registry
    files: dict[str, str] = field(repr=False)  # username, password, token, ca.crt, tls.crt, tls.key


@dataclass
class _Known:
    """What is known of one ModelRegistry; one reader at a time asks for its credential."""

    reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    read_at: float = float("-inf")
    backend: MLflow | None = None  # that the answer is about
    connection: Connection | None = None
    client: Registry | None = None
    trouble: Silent | None = None


class Registries:
    """The clients in use. Only `reach(anew=True)`, and the first use of a registry, ask the API server."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        platform: Platform,
        connect: Connect,
        clock: Callable[[], float] = time.monotonic,
        token: Callable[[], str] = own_token,
    ) -> None:
        self._cluster, self._cache, self._platform, self._connect = cluster, cache, platform, connect
        self._clock, self._own_token = clock, token
        self._known: dict[Place, _Known] = {}
        self._labels: dict[str, tuple[float, Mapping[str, str] | None]] = {}  # of namespaces
        self._changed: list[Callable[[Place], None]] = []

    def listen(self, changed: Callable[[Place], None]) -> None:
        """Call this with a registry whose client is another than before."""
        self._changed.append(changed)

    def place(self, model: Object) -> Place | None:
        """Namespace and name of the registry that a RegisteredModel names; None if it names none and has no default."""
        here = model["metadata"].get("namespace", "")
        ref = section(model, "spec", "source", "registryRef")
        default = self._platform.default_registry
        if ref:
            return str(ref.get("namespace") or here), str(ref.get("name", ""))
        return (default.namespace, default.name) if default else None

    async def of(self, model: RegisteredModel) -> Reached | Silent:
        """The registry of a model, or why it may not be used."""
        here = model.metadata.namespace
        place = self.place({"metadata": {"namespace": here}, "spec": {"source": model.spec.source.wire()}})
        if place is None:
            said = "The model names no registry and the operator has no default."
            return Silent(Reason.RegistryNotFound, said, False)
        resource = self.resource(place)
        if isinstance(resource, Silent):
            return resource
        if refused := await self.forbids(resource, here, model.registered_name):
            said = f"ModelRegistry {'/'.join(place)} does not allow namespace {here}"
            more = refused.removeprefix("this namespace")
            return Silent(Reason.RegistryNotAllowed, f"{said}{more}.", False)
        return await self.reach(resource)

    async def forbids(self, resource: ModelRegistry, namespace: str, name: str) -> str:
        """Why a namespace may not use a registered model, whether the registry answers or not; "" if it may."""
        if resource.metadata.namespace == namespace:
            return ""
        return allowed.refuses(resource.spec.allowed_namespaces, await self.namespace(namespace), name)

    async def at(self, place: Place) -> Reached | Silent:
        """The registry of that place."""
        resource = self.resource(place)
        return resource if isinstance(resource, Silent) else await self.reach(resource)

    def resource(self, place: Place) -> ModelRegistry | Silent:
        """The ModelRegistry, or why there is none to use."""
        found = self._cache.value(REGISTRY, *place)
        if isinstance(found, Unreadable):  # stored before a rule of the CRD was there
            return Silent(Reason.InvalidSpec, f"ModelRegistry {'/'.join(place)} cannot be read: {found.why}", False)
        if not isinstance(found, ModelRegistry):
            return Silent(Reason.RegistryNotFound, f"There is no ModelRegistry {'/'.join(place)}.", False)
        return found

    async def reach(self, resource: ModelRegistry, anew: bool = False) -> Reached | Silent:
        """The registry with a client; `anew` reads its credential again, as each sweep and each 401 does."""
        place = registry_place(resource)
        backend = resource.spec.backend.mlflow
        if resource.spec.suspend:
            return SUSPENDED
        if backend is None:
            return Silent(Reason.InvalidSpec, "spec.backend names no server.", False)
        known = self._known.setdefault(place, _Known())
        async with known.reading:
            fresh = known.backend == backend and self._clock() - known.read_at < ANEW_SECONDS
            if known.backend != backend or (anew and not fresh):
                await self._read(place, known, backend)
        if known.trouble is not None:
            return known.trouble
        assert known.client is not None and known.connection is not None
        return Reached(resource, known.client, _files(known.connection))

    async def with_bucket(self, reached: Reached, location: str, name: str) -> Reached | Silent:
        """The registry with what an import of a registered model's files at that location needs besides: a root's
        Secret is for no other location, and for no other model."""
        root, resource = sources.root_of(location, reached.resource), reached.resource
        if root is None or root.secret_ref is None or not sources.is_for(root, name):
            return reached
        try:
            files = await self.secret(resource.metadata.namespace, root.secret_ref.name, *sources.keys_of(root))
        except (NotFound, Unauthorized, Rejected) as error:
            return Silent(Reason.SecretNotFound, f"{root.prefix} cannot be read: {error}", False)
        return replace(reached, files={**reached.files, **files})

    async def forget(self, place: Place) -> None:
        """The ModelRegistry is gone."""
        known = self._known.pop(place, None)
        if known is not None and known.client is not None:
            await known.client.close()

    async def close(self) -> None:
        """Give all connections back."""
        for place in list(self._known):
            await self.forget(place)

    async def _read(self, place: Place, known: _Known, backend: MLflow) -> None:
        """Read the credential; running calls keep the client that they have, which closes after the last of them."""
        try:
            connection = await self._connection(place[0], backend)
        except (NotFound, Unauthorized, Rejected) as error:
            reason = Reason.TokenUnusable if isinstance(error, TokenUnusable) else Reason.SecretNotFound
            known.trouble = Silent(reason, str(error), False)
            known.backend, known.read_at = backend, self._clock()
            return
        known.backend, known.read_at, known.trouble = backend, self._clock(), None
        if known.connection == connection:
            return
        before, first = known.client, known.client is None
        known.connection, known.client = connection, self._connect(connection)
        if before is not None:
            await before.close()
        for changed in self._changed if not first else ():
            changed(place)

    async def namespace(self, name: str) -> dict[str, str]:
        """The labels of a namespace: as watched, or asked for; none where they cannot be read."""
        watched = self._cache.get(NAMESPACE, "", name)
        if watched is not None:
            return dict(watched["metadata"].get("labels") or {})
        at, known = self._labels.get(name, (float("-inf"), None))
        if known is None or self._clock() - at >= NAMESPACE_SECONDS:
            try:
                known = (await self._cluster.get(NAMESPACE, "", name))["metadata"].get("labels") or {}
            except Rejected:  # without rights in the whole cluster, the list of namespaces decides
                known = {}
            if len(self._labels) >= NAMESPACES:
                self._labels.clear()
            self._labels[name] = (self._clock(), known)
        return dict(known)

    async def _connection(self, namespace: str, backend: MLflow) -> Connection:
        auth, certificate = backend.auth, backend.client_certificate
        secret: dict[str, str] = {}
        if auth and auth.basic:
            secret = await self.secret(namespace, auth.basic.secret_ref.name, ("username", "password"))
        elif auth and auth.bearer:
            secret = await self.secret(namespace, auth.bearer.secret_ref.name, ("token",))
        elif auth and auth.service_account_token:
            secret = {"token": self._token_for(namespace)}
        if certificate:
            secret |= await self.secret(namespace, certificate.secret_ref.name, ("tls.crt", "tls.key"))
        return Connection(
            uri=backend.uri.rstrip("/"),
            username=secret.get("username", ""),
            password=secret.get("password", ""),
            token=secret.get("token", ""),
            artifact_hosts=backend.artifact_hosts,
            ca_certificates=await self._authorities(namespace, backend),
            certificate=secret.get("tls.crt", ""),
            key=secret.get("tls.key", ""),
            proxy=(backend.proxy or "").rstrip("/"),
            connect_seconds=float(seconds(backend.timeouts.connect)),
            answer_seconds=float(seconds(backend.timeouts.answer)),
        )

    def _token_for(self, namespace: str) -> str:
        """The operator's own token, which goes where the platform team's registries are and nowhere else."""
        trusted = self._platform.registry_namespaces or (self._platform.namespace,)
        if namespace not in trusted:
            raise TokenUnusable(
                f"The operator's token is shown to ModelRegistries in {', '.join(trusted[:5])} only, and not in "
                f"{namespace}: have the platform team add it to registries.namespaces, or use another `auth`."
            )
        return self._own_token()

    async def _authorities(self, namespace: str, backend: MLflow) -> str:
        if backend.ca_bundle is None:
            return ""
        ref = backend.ca_bundle.config_map_key_ref
        found = await self._cluster.get(CONFIG_MAP, namespace, ref.name)
        certificates = (found.get("data") or {}).get(ref.key, "")
        if not certificates:
            raise Rejected(f"ConfigMap {namespace}/{ref.name} has no such key.")
        return str(certificates)

    async def secret(self, namespace: str, name: str, *choices: tuple[str, ...]) -> dict[str, str]:
        """The texts under keys of a Secret that ModelRegistries may name, the first of these sets that it has whole;
        raises what is wrong with it."""
        found = await self._cluster.get(SECRET, namespace, name)
        if names.REGISTRY_SECRET not in (found["metadata"].get("labels") or {}):
            raise Rejected(f"Secret {namespace}/{name} lacks the label {names.REGISTRY_SECRET}.")
        data = found.get("data") or {}
        missing = [[key for key in wanted if key not in data] for wanted in choices]
        if all(missing):
            lacks = " or ".join(" and ".join(keys) for keys in missing)
            raise Rejected(f"Secret {namespace}/{name} lacks the key {lacks}.")
        try:
            return {key: base64.b64decode(data[key]).decode() for key in choices[missing.index([])]}
        except (binascii.Error, UnicodeDecodeError):
            raise Rejected(f"Secret {namespace}/{name} holds bytes that are no text.") from None


def _files(connection: Connection) -> dict[str, str]:
    found = {
        "username": connection.username,
        "password": connection.password,
        "token": connection.token,
        "ca.crt": connection.ca_certificates,
        "tls.crt": connection.certificate,
        "tls.key": connection.key,
    }
    return {key: value for key, value in found.items() if value}
