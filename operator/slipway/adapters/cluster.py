"""The Kubernetes API as the operator uses it: plain dicts in and out, server-side apply, three kinds of errors."""

import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from kubernetes.aio import client, config

from ..api.base import API_VERSION
from .errors import AdapterError, Conflict, Expired, NotActing, NotFound, Rejected, Unauthorized, Unreachable

FIELD_MANAGER = "slipway"
DISCOVERY = "slipway-discovery"  # field manager of what is made where nobody has declared it
TIMEOUT_SECONDS = 15
PAGE = 500
JSON = "application/json"
METADATA = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
LOG_BYTES = 1024 * 1024  # the kubelet cuts the end off what is longer, so few lines are asked for
Object = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """One resource type of the API server."""

    api_version: str
    kind: str
    plural: str
    selector: str = ""  # label selector of the objects that concern the operator

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """URL path of a collection, an object or a subresource."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        parts = [root, f"namespaces/{namespace}" if namespace else "", self.plural, name, sub]
        return "/".join(part for part in parts if part)


OURS = "app.kubernetes.io/managed-by=slipway"
REGISTRY = Kind(API_VERSION, "ModelRegistry", "modelregistries")
MODEL = Kind(API_VERSION, "RegisteredModel", "registeredmodels")
VERSION = Kind(API_VERSION, "ModelVersion", "modelversions")
LEDGER = Kind(API_VERSION, "ModelLedger", "modelledgers")
JOB = Kind("batch/v1", "Job", "jobs", OURS)
POD = Kind("v1", "Pod", "pods", OURS)
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments", OURS)
SERVICE = Kind("v1", "Service", "services", OURS)
RECORD = Kind("apps/v1", "ControllerRevision", "controllerrevisions", OURS)
SECRET = Kind("v1", "Secret", "secrets")
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
NAMESPACE = Kind("v1", "Namespace", "namespaces")
EVENT = Kind("v1", "Event", "events")
LEASE = Kind("coordination.k8s.io/v1", "Lease", "leases")
BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", OURS)
WATCHED = (NAMESPACE, REGISTRY, MODEL, LEDGER, VERSION, JOB, POD, DEPLOYMENT, SERVICE, RECORD, BUDGET)
_KINDS = {(one.api_version, one.kind): one for one in (*WATCHED, SECRET, CONFIG_MAP, EVENT, LEASE)}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The resource type of a manifest."""
    return _KINDS[(manifest["apiVersion"], manifest["kind"])]


class _Meta(msgspec.Struct, rename="camel", omit_defaults=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""


class _Head(msgspec.Struct):
    metadata: _Meta


class _Turn(msgspec.Struct):
    token: str = msgspec.field(default="", name="continue")


class _Whole(msgspec.Struct):
    items: list[Object] | None  # null: there are none
    metadata: _Turn


class _Heads(msgspec.Struct):
    items: list[_Head] | None  # null: there are none, as Kubernetes 1.36 says it of metadata
    metadata: _Turn


class _Plain(client.ApiClient):  # type: ignore[misc]
    """Bodies are plain JSON already: looking at each of their values once more takes longer than sending them."""

    def sanitize_for_serialization(self, obj: Any) -> Any:
        """As it is."""
        return obj


class Cluster:
    """A connection to the API server. Every method raises only errors of `adapters.errors`.

    `may_write` says for how many seconds this process may write: no write begins later, and none lasts longer.
    """

    def __init__(self, api: client.ApiClient, may_write: Callable[[], float] = lambda: math.inf) -> None:
        self._api, self._may_write = api, may_write
        # A process may stand still between its decision to write and the first byte.
        fence = aiohttp.TraceConfig()
        fence.on_request_chunk_sent.append(self._check)
        api.configuration.trace_configs = [fence]

    @classmethod
    async def connect(cls, may_write: Callable[[], float] = lambda: math.inf) -> "Cluster":
        """Connected as the pod's ServiceAccount, or by $KUBECONFIG outside a cluster."""
        settings = client.Configuration()
        settings.client_session_kwargs = {"trust_env": False}  # it reads the whole environment for every request
        try:
            config.load_incluster_config(client_configuration=settings)
        except config.ConfigException:
            await config.load_kube_config(client_configuration=settings)
        return cls(_Plain(settings), may_write)

    async def close(self) -> None:
        """Give the connections back."""
        await self._api.close()

    async def every(self, kind: Kind, namespace: str = "", fields: str = "") -> list[Object]:
        """All objects of a kind that concern the operator."""
        return [one async for page in self.pages(kind, namespace, fields) for one in page]

    async def pages(self, kind: Kind, namespace: str = "", fields: str = "") -> AsyncIterator[list[Object]]:
        """The same, a page at a time; Expired if they were asked for too slowly."""
        said = {"apiVersion": kind.api_version, "kind": kind.kind}  # of a list, its items say nothing
        async for page in self._pages(kind, namespace, fields, JSON, _Whole):
            yield [one | said for one in page]

    async def heads(self, kind: Kind, namespace: str = "") -> AsyncIterator[list[Object]]:
        """Who they are and how new, a page at a time: name, namespace, uid and resourceVersion in their metadata."""
        async for page in self._pages(kind, namespace, "", METADATA, _Heads):
            yield [msgspec.to_builtins(one) for one in page]

    async def _pages(
        self, kind: Kind, namespace: str, fields: str, accept: str, shape: type[_Whole | _Heads]
    ) -> AsyncIterator[list[Any]]:
        query = [("limit", str(PAGE)), ("labelSelector", kind.selector), ("fieldSelector", fields)]
        token = ""
        while True:
            answer = await self._request("GET", kind.path(namespace), [*query, ("continue", token)], accept=accept)
            page: _Whole | _Heads = _decoded(answer, shape)
            yield list(page.items or ())
            token = page.metadata.token
            if not token:
                return

    async def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """One object; NotFound if there is none."""
        return await self._json("GET", kind.path(namespace, name))

    async def apply(
        self, manifest: Mapping[str, Any], sub: str = "", by: str = FIELD_MANAGER, force: bool = True
    ) -> Object:
        """The object after a server-side apply of the manifest: what we say is so, what we do not say is others'.

        Without force, Conflict where somebody else says otherwise.
        """
        meta = manifest["metadata"]
        path = kind_of(manifest).path(meta.get("namespace", ""), meta["name"], sub)
        query = [("fieldManager", by), ("force", "true" if force else "false")]
        return await self._json("PATCH", path, query, manifest, "application/apply-patch+yaml")

    async def update(self, manifest: Mapping[str, Any]) -> Object:
        """The object replaced as a whole; Conflict unless it still has the resource version that the manifest names."""
        meta = manifest["metadata"]
        path = kind_of(manifest).path(meta.get("namespace", ""), meta["name"])
        return await self._json("PUT", path, [("fieldManager", FIELD_MANAGER)], manifest)

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """The object is gone or going, its dependants after it; gone already is success. Conflict if that name has
        another uid by now."""
        options = {"propagationPolicy": "Background", "preconditions": {"uid": uid}}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        try:
            await self._json("DELETE", kind.path(namespace, name), [], body)
        except NotFound:
            return

    async def create(self, manifest: Mapping[str, Any]) -> Object:
        """A new object."""
        return await self._json("POST", kind_of(manifest).path(manifest["metadata"].get("namespace", "")), [], manifest)

    async def log(self, namespace: str, pod: str, container: str, previous: bool = False) -> str:
        """The end of a container's log, or of that of its start before; "" if it is gone."""
        query = [("container", container), ("tailLines", "50"), ("limitBytes", str(LOG_BYTES))]
        query += [("previous", "true")] if previous else []
        try:
            return (await self._request("GET", POD.path(namespace, pod, "log"), query)).decode(errors="replace")
        except Rejected:
            return ""

    def _left(self) -> float:
        left = self._may_write()
        if left <= 0:
            raise NotActing("another operator acts, or may act: this one writes nothing")
        return left

    async def _check(self, *_: Any) -> None:
        """Asked before the first byte of a request with a body: headers are sent along with it."""
        self._left()

    async def _json(
        self, method: str, path: str, query: list[tuple[str, str]] | None = None, body: Any = None, media: str = ""
    ) -> Object:
        content = await self._request(method, path, query, body, media)
        found: Object = _decoded(content, Object) if content else {}
        return found

    async def _request(
        self,
        method: str,
        path: str,
        query: list[tuple[str, str]] | None = None,
        body: Any = None,
        media: str = "",
        accept: str = JSON,
    ) -> bytes:
        headers = {"Accept": accept, "Content-Type": media or JSON}
        given = [(key, value) for key, value in query or [] if value]
        left = math.inf if method == "GET" else self._left()
        try:
            request = await self._api.param_serialize(
                method, path, query_params=given, header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            answer = await self._api.call_api(*request, _request_timeout=min(TIMEOUT_SECONDS, left))
            content: bytes = await answer.response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unreachable(f"the API server does not answer: {type(error).__name__}") from error
        if 200 <= answer.status <= 299:
            return content
        raise _refusal(answer.status, content)


def _decoded(content: bytes, what: Any) -> Any:
    try:
        return msgspec.json.decode(content, type=what)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreachable(f"the API server's answer cannot be read: {error}") from error


def _refusal(status: int, content: bytes) -> AdapterError:
    try:
        message = str(_decoded(content, Object).get("message", ""))
    except Unreachable:
        message = content[:300].decode(errors="replace")
    kinds: dict[int, type[AdapterError]] = {403: Unauthorized, 404: NotFound, 409: Conflict, 410: Expired}
    if status >= 500 and "failed calling webhook" in message:
        return Rejected(f"admission webhook: {message}")  # somebody else's webhook is down: the API server is not
    if status == 500 and message.startswith("failed to create typed patch object"):
        return Rejected(message)  # a field that no schema has, such as one of newer CRDs: no error of the server's own
    if status in (401, 429) or status >= 500:
        return Unreachable(f"HTTP {status}: {message}")
    return kinds.get(status, Rejected)(message or f"HTTP {status}")
