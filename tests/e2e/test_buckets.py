"""Models in buckets, which MLflow does not hand out: found, imported with the bucket's own Secret, and judged."""

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import mlflow
import pytest
from azure.storage.blob import BlobServiceClient
from slipway.runner import tree

from dev.demo import install, traffic
from dev.demo.manifests import SYSTEM, model_registry

from .conftest import World, places_of
from .place import Place, model_version, registered_model
from .test_data import S3_IMAGE, S3_PORT, mounted
from .test_refusals import server, service

BUCKET, FOLDER = "models", "team air/fine"
AZURITE_IMAGE, AZURITE_PORT = os.environ.get("AZURITE_IMAGE", ""), 10000
ID, KEY = "flights", base64.b64encode(b"a key of the tests").decode()
Put = Callable[[str, bytes], Any]


@dataclass(frozen=True)
class Kind:
    """A kind of store, and a pod that runs one."""

    name: str
    prefix: str  # of what lies in the bucket
    image: str
    port: int
    path: str  # of the endpoint
    arguments: list[str]
    environment: dict[str, str]
    secret: dict[str, str]
    fill: Callable[[str], Put]  # a bucket at this URL


def s3(url: str) -> Put:
    keys = {"aws_access_key_id": ID, "aws_secret_access_key": KEY, "region_name": "us-east-1"}
    client: Any = boto3.client("s3", endpoint_url=url, **keys)
    client.create_bucket(Bucket=BUCKET)
    return lambda path, content: client.put_object(Bucket=BUCKET, Key=path, Body=content)


def azure(url: str) -> Put:
    client = BlobServiceClient(f"{url}/{ID}", credential={"account_name": ID, "account_key": KEY})
    container = client.create_container(BUCKET)
    return container.upload_blob


KINDS = [
    Kind(
        "in-s3",
        f"s3://{BUCKET}",
        S3_IMAGE,
        S3_PORT,
        "",
        ["--port", f":{S3_PORT}", "posix", "/data"],
        {"ROOT_ACCESS_KEY_ID": ID, "ROOT_SECRET_ACCESS_KEY": KEY},
        {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": KEY},
        s3,
    ),
    Kind(
        "on-azure",
        f"wasbs://{BUCKET}@{ID}.blob.core.windows.net",
        AZURITE_IMAGE or "localhost/azurite:1",
        AZURITE_PORT,
        f"/{ID}",
        ["--blobHost", "0.0.0.0", "--blobPort", str(AZURITE_PORT), "--location", "/data"],
        {"AZURITE_ACCOUNTS": f"{ID}:{KEY}"},
        {"AZURE_STORAGE_ACCESS_KEY": KEY},
        azure,
    ),
]


# One in each run is enough: what differs between them is seen beside the nodes, too.
@pytest.fixture(
    params=[pytest.param(kind, id=kind.name, marks=() if kind.name == "in-s3" else pytest.mark.long) for kind in KINDS]
)
def kind(request: pytest.FixtureRequest, world: World) -> Kind:
    """A kind whose image the cluster has."""
    found: Kind = request.param
    if found.name == "on-azure" and not AZURITE_IMAGE:
        if json.loads((install.cache() / "cluster.json").read_text())["kind"] != "local":
            pytest.skip("Azurite is loaded into local clusters only: name an image of it in AZURITE_IMAGE")
        subprocess.run([sys.executable, install.REPOSITORY / "dev/cluster", "azurite"], check=True)
    if found.name == "in-s3":
        subprocess.run([sys.executable, install.REPOSITORY / "dev/cluster", "s3"], check=True)
    return found


@pytest.fixture
def place(kind: Kind, world: World) -> Iterator[Place]:
    """A namespace with such a store, and with a ModelRegistry and a Secret that name it."""
    with places_of(world.kube) as make:
        place = make("bucket")
        pod = {
            "command": None,  # the image's own
            "args": kind.arguments,
            "env": [{"name": name, "value": value} for name, value in kind.environment.items()],
            "volumeMounts": [mounted("data", "/data")],
        }
        volumes = [{"name": "data", "emptyDir": {}}]
        place.apply(server(kind.name, kind.image, [], kind.port, container=pod, volumes=volumes))
        place.apply(service(kind.name, kind.port))
        # As a tenant whose ModelRegistry has credentials lets the operator read them.
        place.kubectl("create", "role", "registry", "--verb=get", "--resource=secrets")
        place.kubectl("create", "rolebinding", "registry", "--role=registry", f"--serviceaccount={SYSTEM}:slipway")
        meta = {"name": "bucket", "labels": {"slipway.dev/registry": ""}}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": kind.secret}
        registry = model_registry() | {"metadata": {"name": "mlflow"}}
        registry["spec"]["backend"]["mlflow"]["artifactRoots"] = [
            {
                "prefix": kind.prefix,
                "endpoint": f"http://{kind.name}.{place.namespace}.svc:{kind.port}{kind.path}",
                "secretRef": {"name": "bucket"},
            }
        ]
        place.apply(secret, registry)
        yield place


def test_a_model_in_a_bucket_is_imported_with_its_own_secret_and_judged(
    world: World, place: Place, kind: Kind, tmp_path: Path
) -> None:
    made = world.made
    model = f"models:/{made.models['fine']}"
    files = Path(mlflow.artifacts.download_artifacts(model, dst_path=str(tmp_path), tracking_uri=made.tracking_uri))
    place.kubectl("wait", f"pod/{kind.name}", "--for=condition=Ready", "--timeout=60s")
    with place.kube.forwarded(place.namespace, kind.name, kind.port) as url:
        assert traffic.connects("127.0.0.1", int(url.rsplit(":", 1)[1]), seconds=30)
        put = kind.fill(url)
        for file in tree.scan(files):
            put(f"{FOLDER}/{file.path}", (files / file.path).read_bytes())
    name = f"{place.namespace}-{kind.name}"
    made.client.create_registered_model(name)
    made.registered.add(name)
    made.client.create_model_version(name, f"{kind.prefix}/{FOLDER}", run_id=made.runs["fine"])
    source = {"registryRef": {"name": "mlflow"}, "name": name}
    place.apply(
        registered_model(kind.name, source=source, validation=world.policy()), model_version(kind.name, 1, "Staging")
    )

    found = place.until(f"{kind.name}-v1", "Validated", "True", "GatesPassed", 240)["status"]
    assert found["resolved"]["location"] == f"{kind.prefix}/{FOLDER}"
    assert found["imported"]["attempt"] == 1
    assert found["digest"] == tree.digest(tree.scan(files))
    assert found["validation"]["gates"][0]["candidate"] == pytest.approx(made.errors["fine"], rel=1e-6)
