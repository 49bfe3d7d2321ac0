"""The import of a model that lies in a bucket: read with the bucket's own credential, and as untrusted as any other."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import pytest
from slipway.api.tasks import CREDENTIALS, Bucket, ImportTask
from slipway.runner import bucket as program
from slipway.runner import tree
from slipway.runner.outcome import Refused

from tests.mlflow_server import free_port
from tests.runner.pods import Ended, Pod, StoreOnDisk, answering, wait_until
from tests.runner.test_import_holds import Line
from tests.runner.test_s3 import BOTH, WRONG_KEY, s3
from tests.s3 import ID, KEY, REGION

__all__ = ["s3"]

MODELS = "models"
ODD = "team air/näme 100%/m+1"


@pytest.fixture(scope="module")
def bucket(s3: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A bucket with one model, and the folder that it was made from."""
    folder = tmp_path_factory.mktemp("model")
    for name, content in {
        "MLmodel": b"flavors: {python_function: {}}\n",
        "model.bin": b"x" * 6_000_000,
        "code/ü b.py": b"pass\n",
        "code/50%25 #?&.txt": b"odd",
        "empty": b"",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
    client: Any = boto3.client(
        "s3", endpoint_url=s3, region_name=REGION, aws_access_key_id=ID, aws_secret_access_key=KEY
    )
    client.create_bucket(Bucket=MODELS, CreateBucketConfiguration={"LocationConstraint": REGION})
    for file in tree.scan(folder):
        client.put_object(Bucket=MODELS, Key=f"{ODD}/{file.path}", Body=(folder / file.path).read_bytes())
    client.put_object(Bucket=MODELS, Key=f"{ODD}x/MLmodel", Body=b"of another model, whose name begins the same")
    client.put_object(Bucket=MODELS, Key="team air/notes/read.me", Body=b"no model")
    yield folder


@dataclass(frozen=True)
class Import:
    """The import as a process in a pod; MLflow is not there, and not needed."""

    pod: Pod
    store: StoreOnDisk
    endpoint: str

    def __call__(self, source: str, given: dict[str, str], region: str = REGION) -> Ended:
        for name, value in given.items():
            (self.pod.at(CREDENTIALS) / name).write_text(value)
        how = Bucket(endpoint=self.endpoint, region=region)
        nobody = f"http://127.0.0.1:{free_port()}"
        task = ImportTask(
            registry_uri=nobody, source=source, bucket=how, model_name="m", version=1, store=self.store.store
        )
        return self.pod.run("import_", task)


@pytest.mark.parametrize(
    ("scheme", "region"),
    [("s3", REGION), ("gs", REGION), pytest.param("s3", "us-west-2", id="the store says which region it is")],
)
def test_a_model_comes_from_its_bucket(
    pod: Pod, store: StoreOnDisk, s3: str, bucket: Path, scheme: str, region: str
) -> None:
    ended = Import(pod, store, s3)(f"{scheme}://{MODELS}/{ODD}", BOTH, region)
    assert ended.termination.get("digest") == tree.digest(tree.scan(bucket)), ended.stderr
    assert KEY not in ended.stderr + ended.message


def test_it_goes_on_where_it_broke_off(tmp_path: Path, store: StoreOnDisk, s3: str, bucket: Path) -> None:
    pod = Pod(tmp_path, patience_seconds=60)
    with Line(int(s3.rpartition(":")[2])).open() as line, ThreadPoolExecutor(1) as pool:
        line.cut_after(3_000_000)
        running = pool.submit(Import(pod, store, line.url), f"s3://{MODELS}/{ODD}", BOTH)
        wait_until(lambda: line.cut_off or running.done(), "the cut", 120)
        line.mend()
        ended = running.result()
    assert ended.termination.get("digest") == tree.digest(tree.scan(bucket)), ended.stderr
    assert "again in" in ended.stderr
    assert line.carried < 7_000_000, "what had come was not asked for again"


@dataclass(frozen=True)
class Case:
    name: str
    reason: str
    says: str
    source: str = f"s3://{MODELS}/{ODD}"
    given: dict[str, str] = field(default_factory=BOTH.copy)
    endpoint: str = ""


CASES = [
    Case("wrong key", "RegistryUnauthorized", "artifactRoots", given=BOTH | {"AWS_SECRET_ACCESS_KEY": WRONG_KEY}),
    Case("no key", "RegistryUnauthorized", "artifactRoots", given={}),
    Case("no such bucket", "ArtifactMissing", "NoSuchBucket", "s3://nowhere/m"),
    Case("nothing there", "ArtifactMissing", "no MLmodel file", f"s3://{MODELS}/nothing"),
    Case("no model", "ArtifactMissing", "no MLmodel file", f"s3://{MODELS}/team air/notes"),
    Case("outside", "ArtifactForbidden", "no folder of a bucket", f"s3://{MODELS}/team air/../secrets"),
    Case("nobody there", "RegistryUnreachable", "the bucket of", endpoint="http://127.0.0.1:1"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_keeps_a_model_in_its_bucket_is_said(
    pod: Pod, store: StoreOnDisk, s3: str, bucket: Path, case: Case
) -> None:
    ended = Import(pod, store, case.endpoint or s3)(case.source, case.given)
    assert (ended.code, ended.reason) == (1, case.reason), ended.stderr
    assert case.says in ended.message
    said = ended.stdout + ended.stderr + ended.message
    assert KEY not in said and WRONG_KEY not in said


LISTED = "<ListBucketResult><Name>models</Name><IsTruncated>true</IsTruncated>{}</ListBucketResult>"
AGAIN = LISTED.format("<NextContinuationToken>again</NextContinuationToken>").encode()


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (404, b"<html><title>404 Not Found</title></html>", "RegistryUnreachable"),
        (404, b"default backend - 404", "RegistryUnreachable"),
        (200, b"<!doctype html><meta charset=utf-8><p>back soon<br>", "RegistryUnreachable"),
        (200, b"<html><body>back soon</body></html>", "RegistryUnreachable"),
        (302, b"", "RegistryUnreachable"),
        (308, b"", "RegistryUnreachable"),
        (200, AGAIN, "RegistryUnreachable"),
        (404, b"<Error><Code>NoSuchBucket</Code></Error>", "ArtifactMissing"),
    ],
)
def test_only_the_stores_own_word_says_that_files_are_missing(pod: Pod, status: int, body: bytes, reason: str) -> None:
    with answering(lambda path, headers: (status, {}, body)) as url:
        found = program.Bucket("s3://models/team", Bucket(endpoint=url, region=REGION), pod.inside)
        with pytest.raises(Refused) as refused:
            found.files(found.root)
    assert refused.value.reason == reason, refused.value
