"""Who may use a registry, with which client; the API server is asked rarely, and a client closes after its last call."""

import asyncio
import base64
from typing import Any

import pytest
from slipway.adapters.cluster import CONFIG_MAP, NAMESPACE, SECRET, Kind
from slipway.adapters.errors import Unauthorized, Unreachable
from slipway.adapters.own_token import TokenUnusable
from slipway.adapters.ports import Connection
from slipway.api.modelregistry import ModelRegistry
from slipway.api.registeredmodel import RegisteredModel
from slipway.controller.registries import ANEW_SECONDS, NAMESPACE_SECONDS, Reached
from slipway.core.registry import Silent

from tests.controller.registry_world import PLACE, World
from tests.memory_registry import MemoryRegistry

BASIC = {"auth": {"basic": {"secretRef": {"name": "credential"}}}}
ALLOWED = {"selector": {"matchLabels": {"slipway.dev/models": "true"}}}


@pytest.fixture
def world() -> World:
    """A registry with a password."""
    world = World(connect=lambda _: MemoryRegistry())
    world.registry(mlflow=BASIC)
    world.api.secret(username="slipway", password="one")
    return world


def model(namespace: str = "ml", **source: Any) -> RegisteredModel:
    meta = {"name": "flights", "namespace": namespace, "uid": "u", "creationTimestamp": "2026-03-06T16:00:00Z"}
    return RegisteredModel.model_validate({"metadata": meta, "spec": {"source": source}})


async def reached(world: World, anew: bool = False) -> Reached:
    resource = world.registries.resource(PLACE)
    assert isinstance(resource, ModelRegistry)
    found = await world.registries.reach(resource, anew)
    assert isinstance(found, Reached)
    return found


AZURE = "wasbs://models@team.blob.core.windows.net"
ROOTS = [
    {"prefix": "s3://models/air", "secretRef": {"name": "bucket"}},
    {"prefix": "s3://models/public"},
    {"prefix": "s3://models/fraud", "secretRef": {"name": "bucket"}, "models": ["fraud-*"]},
    {"prefix": "s3://models/lost", "secretRef": {"name": "lost"}},
    {"prefix": f"{AZURE}/air", "secretRef": {"name": "azure"}},
    {"prefix": f"{AZURE}/wrong", "secretRef": {"name": "bucket"}},
]
KEYS = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}


class TestBuckets:
    @pytest.mark.parametrize(
        ("location", "name", "keys"),
        [
            ("s3://models/air/m", "flights", KEYS),
            ("s3://models/public/m", "flights", {}),
            ("s3://models/elsewhere/m", "flights", {}),
            ("s3://models/fraud/m", "fraud-eu", KEYS),
            ("s3://models/fraud/m", "flights", {}),
            ("mlflow-artifacts:/1/m", "flights", {}),
        ],
    )
    async def test_a_buckets_secret_is_for_its_models_and_what_lies_in_its_root(
        self, world: World, location: str, name: str, keys: dict[str, str]
    ) -> None:
        world.registry(mlflow=BASIC | {"artifactRoots": ROOTS})
        world.api.secret("bucket", **KEYS)
        found = await world.registries.with_bucket(await reached(world), location, name)
        assert isinstance(found, Reached)
        assert found.files == {"username": "slipway", "password": "one", **keys}

    @pytest.mark.parametrize(
        ("held", "taken"),
        [
            (("AZURE_STORAGE_ACCESS_KEY",), "AZURE_STORAGE_ACCESS_KEY"),
            (("AZURE_STORAGE_SAS_TOKEN", "AWS_ACCESS_KEY_ID"), "AZURE_STORAGE_SAS_TOKEN"),
            (("AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"), "AZURE_STORAGE_CONNECTION_STRING"),
        ],
    )
    async def test_of_the_credentials_for_azure_one_is_taken_as_mlflow_would(
        self, world: World, held: tuple[str, ...], taken: str
    ) -> None:
        world.registry(mlflow=BASIC | {"artifactRoots": ROOTS})
        world.api.secret("azure", **{key: f"the value of {key}" for key in held})
        found = await world.registries.with_bucket(await reached(world), f"{AZURE}/air/m", "flights")
        assert isinstance(found, Reached)
        assert found.files == {"username": "slipway", "password": "one", taken: f"the value of {taken}"}

    async def test_a_secret_without_any_of_them_is_told_with_all_that_would_do(self, world: World) -> None:
        world.registry(mlflow=BASIC | {"artifactRoots": ROOTS})
        world.api.secret("bucket", **KEYS)
        found = await world.registries.with_bucket(await reached(world), f"{AZURE}/wrong/m", "flights")
        assert isinstance(found, Silent) and found.reason == "SecretNotFound"
        assert "AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCESS_KEY or AZURE_STORAGE_SAS_TOKEN" in found.message

    async def test_one_that_cannot_be_read_is_told_with_its_root(self, world: World) -> None:
        world.registry(mlflow=BASIC | {"artifactRoots": ROOTS})
        found = await world.registries.with_bucket(await reached(world), "s3://models/lost/m", "flights")
        assert isinstance(found, Silent) and found.reason == "SecretNotFound"
        assert "s3://models/lost" in found.message


class TestClient:
    @pytest.mark.parametrize("uri", ["http://mlflow:5000", "http://mlflow:5000/"])
    async def test_passes_do_not_ask_the_api_server(self, world: World, uri: str) -> None:
        world.registry(uri, mlflow=BASIC)
        clients = {id((await reached(world)).client) for _ in range(5)}
        assert len(clients) == 1 and world.api.asked == ["Secret ml/credential"]
        assert world.clients[0][0] == Connection("http://mlflow:5000", "slipway", "one")

    async def test_a_rotated_credential_makes_another_client_and_tells(self, world: World) -> None:
        told: list[tuple[str, str]] = []
        world.registries.listen(told.append)
        first = await reached(world)
        world.api.secret(username="slipway", password="two")
        world.now += ANEW_SECONDS
        second = await reached(world, anew=True)
        assert second.files["password"] == "two" and second.client is not first.client
        assert first.client.closed and not second.client.closed and told == [PLACE]  # type: ignore[attr-defined]

    async def test_many_who_find_the_credential_refused_read_it_once(self, world: World) -> None:
        await reached(world)
        world.api.secret(username="slipway", password="two")
        world.now += ANEW_SECONDS
        found = await asyncio.gather(*(reached(world, anew=True) for _ in range(20)))
        assert len({id(one.client) for one in found}) == 1 and len(world.clients) == 2
        assert world.api.asked == ["Secret ml/credential"] * 2

    async def test_a_secret_that_is_missing_is_told_and_not_asked_for_in_every_pass(self, world: World) -> None:
        world.api.objects.clear()
        for _ in range(3):
            found = await world.registries.of(model())
            assert isinstance(found, Silent) and found.reason == "SecretNotFound"
        assert len(world.api.asked) == 1
        world.api.secret(username="slipway", password="one")
        world.now += ANEW_SECONDS
        assert await reached(world, anew=True)

    @pytest.mark.parametrize(
        ("labels", "data", "says"),
        [
            ({}, {"username": "", "password": ""}, "lacks the label slipway.dev/registry"),
            ({"slipway.dev/registry": ""}, {"username": ""}, "lacks the key password"),
            ({"slipway.dev/registry": ""}, {"username": "", "password": "//4="}, "holds bytes that are no text"),
        ],
    )
    async def test_a_secret_that_cannot_be_used_says_why(
        self, world: World, labels: dict[str, str], data: dict[str, str], says: str
    ) -> None:
        world.api.put(Kind("v1", "Secret", "secrets"), "ml", "credential", labels, data=data)
        found = await world.registries.of(model())
        assert isinstance(found, Silent) and says in found.message

    async def test_an_api_server_that_is_silent_is_no_missing_secret(self, world: World) -> None:
        world.api.refuses = Unreachable("HTTP 500")
        with pytest.raises(Unreachable):
            await world.registries.of(model())
        world.api.refuses = None
        assert isinstance(await world.registries.of(model()), Reached)

    async def test_certificates_come_from_a_config_map(self, world: World) -> None:
        world.registry(mlflow={"caBundle": {"configMapKeyRef": {"name": "ca", "key": "ca.pem"}}})
        found = await world.registries.of(model())
        assert isinstance(found, Silent) and "ca" in found.message
        world.api.put(CONFIG_MAP, "ml", "ca", {}, data={"ca.pem": "PEM"})
        world.now += ANEW_SECONDS
        assert (await reached(world, anew=True)).files == {"ca.crt": "PEM"}

    async def test_a_certificate_of_our_own_is_shown_beside_the_credential(self, world: World) -> None:
        world.registry("https://mlflow", mlflow=BASIC | {"clientCertificate": {"secretRef": {"name": "ours"}}})
        found = await world.registries.of(model())
        assert isinstance(found, Silent) and '"ours" not found' in found.message
        data = {key: base64.b64encode(key.encode()).decode() for key in ("tls.crt", "tls.key")}
        world.api.put(SECRET, "ml", "ours", {"slipway.dev/registry": ""}, data=data, type="kubernetes.io/tls")
        world.now += ANEW_SECONDS
        assert (await reached(world, anew=True)).files == {
            "username": "slipway", "password": "one", "tls.crt": "tls.crt", "tls.key": "tls.key",
        }  # fmt: skip
        assert "tls" not in repr(world.clients[-1][0]), "a key is nobody's business"

    async def test_the_operators_own_token_is_read_anew_at_each_sweep(self, world: World) -> None:
        world.registry(mlflow={"auth": {"serviceAccountToken": {}}})
        for token in ("first", "second"):
            world.token = token
            world.now += ANEW_SECONDS
            assert (await reached(world, anew=True)).files == {"token": token}
        world.token = TokenUnusable("The operator has no token for registries.")
        world.now += ANEW_SECONDS
        resource = world.registries.resource(PLACE)
        assert isinstance(resource, ModelRegistry)
        found = await world.registries.reach(resource, anew=True)
        assert found == Silent("TokenUnusable", "The operator has no token for registries.", False)

    async def test_the_operators_own_token_goes_where_the_platforms_registries_are(self, world: World) -> None:
        world.registry(namespace="team", mlflow={"auth": {"serviceAccountToken": {}}})
        resource = world.registries.resource(("team", "mlflow"))
        assert isinstance(resource, ModelRegistry)
        found = await world.registries.reach(resource)
        assert isinstance(found, Silent) and found.reason == "TokenUnusable"
        assert found.message.startswith("The operator's token is shown to ModelRegistries in ml, platform only")
        assert world.clients == []

    async def test_proxy_and_patience_are_the_registrys(self, world: World) -> None:
        world.registry(mlflow={"proxy": "http://proxy:3128/", "timeouts": {"connect": "9s"}})
        await reached(world)
        connection = world.clients[-1][0]
        assert (connection.proxy, connection.connect_seconds, connection.answer_seconds) == ("http://proxy:3128", 9, 10)

    async def test_a_registry_that_is_gone_gives_its_client_back(self, world: World) -> None:
        client = (await reached(world)).client
        await world.registries.forget(PLACE)
        assert client.closed  # type: ignore[attr-defined]


class TestAllowed:
    async def test_its_own_namespace_always_may(self, world: World) -> None:
        assert isinstance(await world.registries.of(model()), Reached)

    async def test_another_namespace_may_not_unless_it_is_selected(self, world: World) -> None:
        world.api.put(NAMESPACE, "", "team", {"slipway.dev/models": "true"})
        elsewhere = model("team", registryRef={"name": "mlflow", "namespace": "ml"})
        refused = await world.registries.of(elsewhere)
        assert refused == Silent("RegistryNotAllowed", "ModelRegistry ml/mlflow does not allow namespace team.", False)
        world.registry(mlflow=BASIC, allowedNamespaces=ALLOWED)
        assert isinstance(await world.registries.of(elsewhere), Reached)

    @pytest.mark.parametrize(
        ("names", "name", "may"),
        [
            (["fraud-*"], "fraud-cards", True),
            (["fraud-*", "churn"], "churn", True),
            (["fraud-*"], "churn", False),
            (["fraud-*"], "my-fraud-cards", False),
            (["churn"], "Churn", False),
            (["a[b]?"], "a[b]?", True),
            (["a[b]?"], "abc", False),
            (["*"], "anything / at all", True),
        ],
    )
    async def test_it_may_use_the_models_that_the_patterns_name(
        self, world: World, names: list[str], name: str, may: bool
    ) -> None:
        world.api.put(NAMESPACE, "", "team", {"slipway.dev/models": "true"})
        world.registry(mlflow=BASIC, allowedNamespaces={**ALLOWED, "models": names})
        found = await world.registries.of(model("team", name=name))
        assert isinstance(found, Reached) is may
        if isinstance(found, Silent):
            assert found.reason == "RegistryNotAllowed" and f'"{name}"' in found.message and names[0] in found.message
        assert isinstance(await world.registries.of(model(name=name)), Reached), "the registry's own namespace may all"

    async def test_labels_of_a_watched_namespace_are_asked_of_nobody(self, world: World) -> None:
        world.registry(mlflow=BASIC, allowedNamespaces=ALLOWED)
        meta = {"name": "team", "uid": "n", "resourceVersion": "90", "labels": {"slipway.dev/models": "true"}}
        world.cache.put(NAMESPACE, {"metadata": meta})
        assert isinstance(await world.registries.of(model("team")), Reached)
        world.cache.put(NAMESPACE, {"metadata": meta | {"labels": {}, "resourceVersion": "91"}})
        assert isinstance(await world.registries.of(model("team")), Silent)
        assert world.api.asked == ["Secret ml/credential"]

    async def test_labels_of_another_namespace_are_asked_for_once_a_minute(self, world: World) -> None:
        world.registry(mlflow=BASIC, allowedNamespaces=ALLOWED)
        world.api.put(NAMESPACE, "", "team", {"slipway.dev/models": "true"})
        for _ in range(5):
            assert isinstance(await world.registries.of(model("team")), Reached)
        assert world.api.asked.count("Namespace /team") == 1
        world.now += NAMESPACE_SECONDS
        world.api.put(NAMESPACE, "", "team", {})
        assert isinstance(await world.registries.of(model("team")), Silent)

    async def test_an_operator_that_may_not_read_namespaces_allows_none(self, world: World) -> None:
        world.registry(allowedNamespaces=ALLOWED)
        world.api.refuses = Unauthorized("namespaces is forbidden")
        assert isinstance(await world.registries.of(model("team")), Silent)


class TestWhich:
    @pytest.mark.parametrize(
        ("source", "place"),
        [
            ({}, ("ml", "mlflow")),
            ({"registryRef": {"name": "own"}}, ("team", "own")),
            ({"registryRef": {"name": "theirs", "namespace": "x"}}, ("x", "theirs")),
        ],
    )
    def test_the_registry_of_a_model(self, world: World, source: dict[str, Any], place: tuple[str, str]) -> None:
        found = {"metadata": {"name": "flights", "namespace": "team"}, "spec": {"source": source}}
        assert world.registries.place(found) == place

    async def test_one_that_is_not_there_is_told(self, world: World) -> None:
        found = await world.registries.of(model(registryRef={"name": "gone"}))
        assert found == Silent("RegistryNotFound", "There is no ModelRegistry ml/gone.", False)

    async def test_one_that_cannot_be_read_is_told(self, world: World) -> None:
        world.registry("no uri")
        found = await world.registries.of(model())
        assert isinstance(found, Silent) and found.reason == "InvalidSpec" and "uri" in found.message


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ({"Production": {"stage": "Staging"}}, "Staging and Production must not have the same stage"),
        (
            {"Archived": {"stage": "Archived", "alias": "champion"}},
            "Production and Archived must not have the same alia",
        ),
        ({"Production": {"stage": "None", "alias": "champion"}, "Archived": {"stage": "None"}}, ""),
        ({"Production": {}}, "Production needs a stage or an alias"),
        ({"Production": {"stage": "None"}}, "Production needs a stage or an alias"),
    ],
)
def test_a_registry_that_was_stored_with_stages_that_no_label_tells_apart_is_not_used_and_says_so(
    stages: dict[str, Any], says: str
) -> None:
    world = World(connect=lambda _: MemoryRegistry())
    world.registry(stages=stages)
    found = world.registries.resource(PLACE)
    if says:
        assert isinstance(found, Silent) and (found.reason, found.retry) == ("InvalidSpec", False)
        assert found.message.startswith("ModelRegistry ml/mlflow cannot be read: spec.stages") and says in found.message
    else:
        assert isinstance(found, ModelRegistry)
