"""The import of a model that lies in a bucket: read with the bucket's own credential, and as untrusted as any other.

One contract for each kind of store, over a real one.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from azure.storage.blob import generate_container_sas
from slipway.api.tasks import CREDENTIALS, Bucket, ImportTask
from slipway.runner import bucket, tree
from slipway.runner.outcome import Refused

from tests import azurite
from tests.ports import free_port
from tests.runner.buckets import KINDS, Given, Kind
from tests.runner.pods import Answer, Ended, Pod, StoreOnDisk, answering, wait_until
from tests.runner.test_import_holds import Line

MODELS, PUBLIC = "models", "samples"
ODD = "team air/näme 100%/m+1"
FILES = {
    "MLmodel": b"flavors: {python_function: {}}\n",
    "model.bin": b"x" * 6_000_000,
    "code/ü b.py": b"pass\n",
    "code/50%25 #?&.txt": b"odd",
    "code/(-": b"ends oddly",
    "empty": b"",
    "packed.bin": b"said to be packed",
}


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kind]:
    """A store of each kind, with the model in a bucket, and in one that everybody may read."""
    with KINDS[request.param](tmp_path_factory.mktemp(request.param)) as found:
        for bucket in (MODELS, PUBLIC):
            found.make(bucket, public=bucket == PUBLIC)
            for path, content in FILES.items():
                found.put(bucket, f"{ODD}/{path}", content, encoding="gzip" * (path == "packed.bin"))
        found.put(MODELS, f"{ODD}x/MLmodel", b"of another model, whose name begins the same")
        found.put(MODELS, "team air/notes/read.me", b"no model")
        yield found


@pytest.fixture(scope="module")
def digest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of the model's files."""
    folder = tmp_path_factory.mktemp("model")
    for path, content in FILES.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_bytes(content)
    return tree.digest(tree.scan(folder))


CONNECTION = "AZURE_STORAGE_CONNECTION_STRING"


def signature(may: str = "rl", hours: int = 1) -> str:
    """A shared access signature for the bucket, as somebody makes one by hand."""
    until = datetime.now(UTC) + timedelta(hours=hours)
    return generate_container_sas(azurite.ACCOUNT, MODELS, azurite.KEY, permission=may, expiry=until)


@dataclass(frozen=True)
class Import:
    """The import as a process in a pod; MLflow is not there, and not needed."""

    pod: Pod
    store: StoreOnDisk
    endpoint: str
    region: str

    def __call__(self, source: str, given: Given) -> Ended:
        for name, value in given.items():
            (self.pod.at(CREDENTIALS) / name).write_text(value)
        how = Bucket(endpoint=self.endpoint, region=self.region)
        nobody = f"http://127.0.0.1:{free_port()}"
        task = ImportTask(
            registry_uri=nobody, source=source, bucket=how, model_name="m", version=1, store=self.store.store
        )
        ended = self.pod.run("import_", task)
        said = ended.stdout + ended.stderr + ended.message
        assert not [value for name, value in given.items() if name != "AWS_ACCESS_KEY_ID" and value in said]
        assert azurite.KEY not in said and "sig=" not in said.replace("sig=***", "")
        return ended


@pytest.mark.parametrize("scheme", [0, 1])
def test_a_model_comes_from_its_bucket(pod: Pod, store: StoreOnDisk, kind: Kind, digest: str, scheme: int) -> None:
    name = list(kind.schemes)[scheme]
    ended = Import(pod, store, kind.url, kind.region)(kind.at(MODELS, ODD, name), kind.right)
    assert ended.termination.get("digest") == digest, ended.stderr


def test_the_store_says_which_region_it_is(pod: Pod, store: StoreOnDisk, kind: Kind, digest: str) -> None:
    ended = Import(pod, store, kind.url, "us-west-2")(kind.at(MODELS, ODD), kind.right)
    assert ended.termination.get("digest") == digest, ended.stderr


def test_a_public_bucket_is_read_without_a_credential(pod: Pod, store: StoreOnDisk, kind: Kind, digest: str) -> None:
    ended = Import(pod, store, kind.url, kind.region)(kind.at(PUBLIC, ODD), {})
    assert ended.termination.get("digest") == digest, ended.stderr


@pytest.mark.long
def test_it_goes_on_where_it_broke_off(tmp_path: Path, store: StoreOnDisk, kind: Kind, digest: str) -> None:
    pod = Pod(tmp_path, patience_seconds=60)
    with Line(kind.port).open() as line, ThreadPoolExecutor(1) as pool:
        line.cut_after(3_000_000)
        imports = Import(pod, store, line.url + kind.path, kind.region)
        running = pool.submit(imports, kind.at(MODELS, ODD), kind.right)
        wait_until(lambda: line.cut_off or running.done(), "the cut", 120)
        line.mend()
        ended = running.result()
    assert ended.termination.get("digest") == digest, ended.stderr
    assert "again in" in ended.stderr
    assert line.carried < 7_000_000, "what had come was not asked for again"


@dataclass(frozen=True)
class Case:
    name: str
    reason: str
    says: Callable[[Kind], str]
    bucket: str = MODELS
    path: str = ODD
    credential: str = "right"
    endpoint: str = ""


CASES = [
    Case("wrong key", "RegistryUnauthorized", lambda kind: "artifactRoots", credential="wrong"),
    Case("no key", "RegistryUnauthorized", lambda kind: "artifactRoots", credential="none"),
    Case("no such bucket", "ArtifactMissing", lambda kind: kind.missing, "nowhere", "m"),
    Case("nothing there", "ArtifactMissing", lambda kind: "no MLmodel file", path="nothing"),
    Case("no model", "ArtifactMissing", lambda kind: "no MLmodel file", path="team air/notes"),
    Case("outside", "ArtifactForbidden", lambda kind: "no folder of a bucket", path="team air/../secrets"),
    Case("nobody there", "RegistryUnreachable", lambda kind: f"the {kind.noun} of", endpoint="http://127.0.0.1:1"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_keeps_a_model_in_its_bucket_is_said(pod: Pod, store: StoreOnDisk, kind: Kind, case: Case) -> None:
    given = {"right": kind.right, "wrong": kind.wrong, "none": {}}[case.credential]
    source = kind.at(case.bucket, case.path)
    ended = Import(pod, store, case.endpoint or kind.url, kind.region)(source, given)
    assert (ended.code, ended.reason) == (1, case.reason), ended.stderr
    assert case.says(kind) in ended.message and source in ended.message


SOURCES = {"s3": "s3://models/team", "azure": "wasbs://models@flights.blob.core.windows.net/team"}
LISTS = {
    "s3": "<ListBucketResult><Name>models</Name><IsTruncated>true</IsTruncated>"
    "<NextContinuationToken>again</NextContinuationToken></ListBucketResult>",
    "azure": '<EnumerationResults ServiceEndpoint="http://here/" ContainerName="models"><Blobs/>'
    "<NextMarker>again</NextMarker></EnumerationResults>",
}
OWN_WORD = {
    "s3": ({}, b"<Error><Code>NoSuchBucket</Code></Error>"),
    "azure": ({"x-ms-error-code": "ContainerNotFound"}, b"<Error><Code>ContainerNotFound</Code></Error>"),
}
HTML = b"<html><head><title>back soon</title></head><body>by and by</body></html>"
OTHERS = [
    (404, HTML, "RegistryUnreachable"),
    (404, b"default backend - 404", "RegistryUnreachable"),
    (200, b"<!doctype html><meta charset=utf-8><p>back soon<br>", "RegistryUnreachable"),
    (200, HTML, "RegistryUnreachable"),
    (302, b"", "RegistryUnreachable"),
    (308, b"", "RegistryUnreachable"),
    (412, b"", "RegistryUnreachable"),
    (416, b"", "RegistryUnreachable"),
    (429, b"", "RegistryUnreachable"),
    (500, HTML, "RegistryUnreachable"),
    (503, b"", "RegistryUnreachable"),
    (401, b"", "RegistryUnauthorized"),
    (403, HTML, "RegistryUnauthorized"),
]


def refused(name: str, pod: Pod, asked: str, answer: Answer) -> Refused:
    """What is made of an answer to whoever asks for the list, or for one of the files."""
    with answering(lambda path, headers: answer) as url:
        impatient = replace(pod.inside, registry_patience_seconds=0)
        found = bucket.Bucket(SOURCES[name], Bucket(endpoint=url, region="us-east-1"), impatient)
        with pytest.raises(Refused) as raised:
            if asked == "list":
                found.files(found.root)
            else:
                found.download(f"{found.root}/model.bin", pod.root / "model.bin", 1000, 500)
    return raised.value


@pytest.mark.parametrize("asked", ["list", "file"])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("status", "body", "reason"), OTHERS)
def test_only_the_stores_own_word_says_that_files_are_missing(
    pod: Pod, name: str, asked: str, status: int, body: bytes, reason: str
) -> None:
    answer = status, {"Content-Type": "text/html", "Location": "/elsewhere"}, body
    assert refused(name, pod, asked, answer).reason == reason


@pytest.mark.parametrize("asked", ["list", "file"])
@pytest.mark.parametrize("name", KINDS)
def test_and_that_word_is_believed(pod: Pod, name: str, asked: str) -> None:
    headers, body = OWN_WORD[name]
    assert (
        refused(name, pod, asked, (404, {"Content-Type": "application/xml", **headers}, body)).reason
        == "ArtifactMissing"
    )


@pytest.mark.parametrize("name", KINDS)
def test_a_list_that_does_not_end_is_given_up(pod: Pod, name: str) -> None:
    said = refused(name, pod, "list", (200, {"Content-Type": "application/xml"}, LISTS[name].encode()))
    assert said.reason == "RegistryUnreachable" and "without an end" in str(said)


class TestAzure:
    """What only a container has."""

    @pytest.fixture(scope="class")
    def url(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
        with azurite.running_azurite(tmp_path_factory.mktemp("container")) as url:
            client = azurite.client_of(url)
            client.create_container(MODELS)
            for path, content in {"MLmodel": FILES["MLmodel"], "code/a.py": b"pass\n"}.items():
                client.get_blob_client(MODELS, f"m/{path}").upload_blob(content)
            # As a data lake lists its folders.
            client.get_blob_client(MODELS, "m/code").upload_blob(b"", metadata={"hdi_isfolder": "true"})
            yield url

    @pytest.mark.parametrize(
        ("given", "reason", "says"),
        [
            ({CONNECTION: f"DefaultEndpointsProtocol=https;AccountName=flights;AccountKey={azurite.KEY}"}, "", ""),
            ({CONNECTION: f"BlobEndpoint=https://elsewhere.example;SharedAccessSignature={signature()}"}, "", ""),
            ({"AZURE_STORAGE_SAS_TOKEN": signature()}, "", ""),
            ({"AZURE_STORAGE_SAS_TOKEN": f"?{signature()}"}, "", ""),
            ({"AZURE_STORAGE_SAS_TOKEN": signature("r")}, "RegistryUnauthorized", "list and read that folder"),
            ({"AZURE_STORAGE_SAS_TOKEN": signature(hours=-1)}, "RegistryUnauthorized", "list and read that folder"),
            ({CONNECTION: f"AccountName=trains;AccountKey={azurite.KEY}"}, "RegistryUnauthorized", "another account"),
            ({CONNECTION: "UseDevelopmentStorage=true"}, "RegistryUnauthorized", "neither AccountKey nor Shared"),
            ({"AZURE_STORAGE_ACCESS_KEY": "no base64, is it"}, "RegistryUnauthorized", "no base64"),
        ],
    )
    def test_a_credential_is_any_that_mlflow_takes_and_its_endpoint_is_the_roots(
        self, pod: Pod, store: StoreOnDisk, url: str, given: Given, reason: str, says: str
    ) -> None:
        ended = Import(pod, store, url, "")("wasbs://models@flights.blob.core.windows.net/m", given)
        assert (ended.code, ended.reason) == (1 if reason else 0, reason), ended.stderr
        assert says in ended.message

    def test_a_folder_of_a_data_lake_is_no_file(self, pod: Pod, store: StoreOnDisk, url: str) -> None:
        given = {"AZURE_STORAGE_ACCESS_KEY": azurite.KEY}
        ended = Import(pod, store, url, "")("abfss://models@flights.dfs.core.windows.net/m", given)
        assert ended.code == 0 and "2/2 files" in ended.stderr, ended.stderr
