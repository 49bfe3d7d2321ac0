"""Evaluation data from elsewhere than the registry, and validation on a GPU node: each proven by a validation."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import boto3
import pytest

from dev.demo import install, manifests, traffic
from dev.demo.kube import Object
from tests.certificates import self_signed

from .conftest import World, places_of
from .making import TARGET
from .place import Place, model_version
from .pods import server, service

FILE = "holdout.parquet"


@dataclass(frozen=True)
class Case:
    """Where the data is."""

    name: str
    because: str
    uri: str  # "" for a file in MLflow
    file: str = FILE
    pool: str = ""
    reached: Mapping[str, object] = field(default_factory=dict)  # how, where the address does not say it


S3_IMAGE, S3_PORT = os.environ.get("S3_IMAGE", "localhost/versitygw:1"), 7070
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "flights", "AWS_SECRET_ACCESS_KEY": "a key of the tests"}
IN_S3 = {"endpoint": f"http://objects:{S3_PORT}", "secretRef": {"name": "objects"}}
CASES = [
    Case("by-http", "any web server will do", f"http://files:8000/{FILE}"),
    Case("by-https", "the namespace has the certificate of its authority", f"https://vault:8443/{FILE}"),
    Case("by-claim", "data that is too big to copy lies on a volume", f"pvc://data/deep/{FILE}"),
    Case("by-s3", "any store that speaks S3", f"s3://months/deep/{FILE}", reached=IN_S3),
    Case("by-csv", "not everybody writes parquet", "", file="holdout.csv"),
    Case("on-a-gpu", "the pool's node selector, toleration and device are the platform's affair", "", pool="gpu"),
]


@pytest.fixture(scope="module")
def proven(world: World) -> Iterator[Place]:
    """All cases, applied at once, with what they need."""
    with places_of(world.kube) as make:
        place = make("data")
        content = base64.b64encode(world.made.data[FILE].content).decode()
        config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "files"}, "binaryData": {FILE: content}}
        place.apply(
            config,
            *web(world.images.runner),
            *vault(place, world.images.runner),
            *volume(world.images.runner),
            *objects(),
        )
        place.kubectl("wait", "job/fill", "--for=condition=Complete", "--timeout=60s")
        place.kubectl("wait", "pod/files", "pod/vault", "--for=condition=Ready", "--timeout=60s")
        put_into_s3(place, world.made.data[FILE].content)
        for case in CASES:
            if case.pool and not has_gpu(world):
                continue
            data = world.made.data[case.file]
            policy = world.policy(case.file)
            policy["data"] = {"uri": case.uri or data.uri, "digest": data.digest, "target": TARGET, **case.reached}
            policy |= {"pool": {"name": case.pool}} if case.pool else {}
            place.apply(
                world.declared(place, case.name, "good", validation=policy), model_version(case.name, 1, "Staging")
            )
        yield place


def has_gpu(world: World) -> bool:
    """Whether a node of the cluster offers one."""
    return "nvidia.com/gpu" in world.kube.run(
        "kubectl", "get", "nodes", "-o", "jsonpath={.items[*].status.allocatable}"
    )


def mounted(name: str, path: str) -> Object:
    """A volume's place in a container."""
    return {"name": name, "mountPath": path}


FILES = {"name": "files", "configMap": {"name": "files"}}


def web(image: str) -> list[Object]:
    """A web server with the file."""
    command = ["python", "-m", "http.server", "8000", "--directory", "/files"]
    pod = server(
        "files", image, command, 8000, container={"volumeMounts": [mounted("files", "/files")]}, volumes=[FILES]
    )
    return [pod, service("files", 8000)]


SPEAK_TLS = """
import functools, http.server, ssl
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory="/files")
server = http.server.ThreadingHTTPServer(("", 8443), handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""


def vault(place: Place, image: str) -> list[Object]:
    """A web server whose certificate nobody knows, and that certificate where the chart's caBundle looks for it."""
    shown = self_signed("vault")
    keys = {"tls.crt": shown.public, "tls.key": shown.private}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault"}, "stringData": keys}
    mounts = {"volumeMounts": [mounted("files", "/files"), mounted("tls", "/tls")]}
    volumes = [FILES, {"name": "tls", "secret": {"secretName": "vault"}}]
    pod = server("vault", image, ["python", "-c", SPEAK_TLS], 8443, container=mounts, volumes=volumes)
    return [secret, pod, service("vault", 8443), manifests.authorities(place.namespace, shown.public)]


def volume(image: str) -> list[Object]:
    """A claim, and a Job that puts the file on it."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    command = ["sh", "-c", f"mkdir -p /data/deep && cp /files/{FILE} /data/deep/"]
    mounts = [mounted("files", "/files"), mounted("data", "/data")]
    data = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    pod = server(
        "fill", image, command, 1, container={"volumeMounts": mounts, "readinessProbe": None}, volumes=[FILES, data]
    )
    template = {"metadata": {"labels": {"app": "fill"}}, "spec": pod["spec"] | {"restartPolicy": "Never"}}
    spec = {"backoffLimit": 0, "template": template}
    return [claim, {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "fill"}, "spec": spec}]


def objects() -> list[Object]:
    """An S3 store, empty, and the credentials for it, which versions read and the store itself."""
    subprocess.run([sys.executable, install.REPOSITORY / "dev/cluster", "s3"], check=True)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "objects"}, "stringData": CREDENTIALS}
    store = {
        "command": None,  # the image's own
        "args": ["--port", f":{S3_PORT}", "posix", "/data"],
        "env": [
            {
                "name": f"ROOT_{name.removeprefix('AWS_')}",
                "valueFrom": {"secretKeyRef": {"name": "objects", "key": name}},
            }
            for name in CREDENTIALS
        ],
        "volumeMounts": [mounted("data", "/data")],
    }
    pod = server("objects", S3_IMAGE, [], S3_PORT, container=store, volumes=[{"name": "data", "emptyDir": {}}])
    return [secret, pod, service("objects", S3_PORT)]


def put_into_s3(place: Place, content: bytes) -> None:
    """The file, by the store's own protocol."""
    place.kubectl("wait", "pod/objects", "--for=condition=Ready", "--timeout=60s")
    with place.kube.forwarded(place.namespace, "objects", S3_PORT) as url:
        assert traffic.connects("127.0.0.1", int(url.rsplit(":", 1)[1]), seconds=30)
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            **{name.lower(): value for name, value in CREDENTIALS.items()},
        )
        client.create_bucket(Bucket="months")
        client.put_object(Bucket="months", Key=f"deep/{FILE}", Body=content)


def passed(place: Place, name: str) -> Object:
    """The version, once it passed its gates."""
    return place.until(f"{name}-v1", "Validated", "True", "GatesPassed", 150)


@pytest.mark.parametrize("case", [one for one in CASES if not one.pool], ids=lambda case: case.name)
def test_data_is_judged_on_wherever_it_lies(world: World, proven: Place, case: Case) -> None:
    record = passed(proven, case.name)["status"]["validation"]
    assert record["rows"] == 300
    assert record["dataDigest"] == world.made.data[case.file].digest
    assert record["gates"][0]["candidate"] == pytest.approx(world.made.errors["good"], rel=1e-6)


def test_a_version_of_the_gpu_pool_is_judged_on_a_gpu_node_and_reserves_one_device(world: World, proven: Place) -> None:
    if not has_gpu(world):
        pytest.skip("no node of this cluster offers nvidia.com/gpu")
    assert passed(proven, "on-a-gpu")["status"]["validation"]["pool"] == "gpu"
    (pod,) = proven.every("pods", model="on-a-gpu", purpose="validate")
    node = world.kube.get("node", "", pod["spec"]["nodeName"]) or {}
    assert node["metadata"]["labels"]["pool"] == "gpu"
    (judge,) = pod["spec"]["containers"]
    steps = pod["spec"]["initContainers"]
    assert {step["resources"]["limits"]["nvidia.com/gpu"] for step in steps} == {"1"}
    assert not judge.get("resources"), "it runs beside the server, which has the device"
