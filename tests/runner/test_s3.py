"""Data in a real S3 store: it comes with the right credentials, and whatever keeps it away has words of its own."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas
import pytest
from slipway.api.tasks import DATA_CREDENTIALS, FEATURES, TRUTH, DataSource, FetchTask

from tests.runner.pods import HERE, Ended, Pod, StoreOnDisk
from tests.runner.test_fetch import FRAME, csv, parquet, pushed
from tests.s3 import ID, KEY, client_of, running_s3

WRONG_KEY = "a-wrong-key-of-this-test"
PRIVATE, PUBLIC = "months", "samples"
BOTH = {"AWS_ACCESS_KEY_ID": ID, "AWS_SECRET_ACCESS_KEY": KEY}


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an S3 store."""
    with running_s3(tmp_path_factory.mktemp("s3")) as url:
        _fill(url)
        yield url


def _fill(url: str) -> None:
    """The same data in two buckets, one of which everybody may read."""
    client = client_of(url, PRIVATE, PUBLIC)
    for bucket in (PRIVATE, PUBLIC):
        client.put_object(Bucket=bucket, Key="2013/holdout.parquet", Body=parquet())
        client.put_object(Bucket=bucket, Key="2013/hold+out-ü.csv", Body=csv())
    everybody = {"Effect": "Allow", "Principal": "*", "Action": "s3:GetObject", "Resource": f"arn:aws:s3:::{PUBLIC}/*"}
    client.put_bucket_policy(Bucket=PUBLIC, Policy=json.dumps({"Version": "2012-10-17", "Statement": [everybody]}))


@dataclass(frozen=True)
class Fetch:
    """The fetch as a process in a pod, whose model is there in any case."""

    pod: Pod
    store: StoreOnDisk
    model: Path

    def __call__(self, uri: str, endpoint: str, given: dict[str, str] | None) -> Ended:
        """`given` is the Secret that the pod mounts; None where none is named."""
        for name, value in (given or {}).items():
            (self.pod.at(DATA_CREDENTIALS) / name).write_text(value)
        source = DataSource(uri=uri, endpoint=endpoint, targets=("air_time",), access=HERE)
        digest = pushed(self.store, self.model)
        task = FetchTask(store=self.store.store, candidate_digest=digest, data=source, check_environment=False)
        return self.pod.run("fetch", task)


@pytest.fixture
def fetch(pod: Pod, store: StoreOnDisk, flights: Path) -> Fetch:
    return Fetch(pod, store, flights)


@pytest.mark.parametrize(
    ("uri", "given"),
    [
        pytest.param(f"s3://{PRIVATE}/2013/holdout.parquet", BOTH, id="with credentials"),
        pytest.param(f"s3://{PRIVATE}/2013/hold+out-ü.csv", BOTH, id="whatever its name is"),
        pytest.param(f"s3://{PUBLIC}/2013/holdout.parquet", None, id="public, without credentials"),
    ],
)
def test_data_comes(fetch: Fetch, pod: Pod, s3: str, uri: str, given: dict[str, str] | None) -> None:
    ended = fetch(uri, s3, given)
    assert (ended.code, ended.termination) == (0, {}), ended.stderr
    (file,) = pod.at(FEATURES).iterdir()
    features = pandas.read_parquet(file) if file.suffix == ".parquet" else pandas.read_csv(file)
    pandas.testing.assert_frame_equal(features, FRAME[["distance", "hour"]])
    assert pandas.read_parquet(pod.at(TRUTH) / "target.parquet")["air_time"].tolist() == [10.0, 20.0, 30.0]


@dataclass(frozen=True)
class Case:
    """One thing that is wrong, and what a person is told."""

    name: str
    says: str
    uri: str = f"s3://{PRIVATE}/2013/holdout.parquet"
    given: dict[str, str] | None = field(default_factory=BOTH.copy)
    endpoint: str = ""  # "" for the store
    reason: str = "DataUnreadable"


CASES = [
    Case("wrong key", "SignatureDoesNotMatch", given=BOTH | {"AWS_SECRET_ACCESS_KEY": WRONG_KEY}),
    Case("unknown id", "No user exists", given=BOTH | {"AWS_ACCESS_KEY_ID": "nobody"}),
    Case("no credentials", "AccessDenied", given=None),
    Case("half of a Secret", "AWS_SECRET_ACCESS_KEY", given={"AWS_ACCESS_KEY_ID": ID}),
    Case("a Secret of something else", "AWS_ACCESS_KEY_ID", given={"username": ID, "password": KEY}),
    Case("missing bucket", "NoSuchBucket", uri="s3://years/2013/holdout.parquet"),
    Case("missing object", "NoSuchKey", uri=f"s3://{PRIVATE}/2014/holdout.parquet"),
    Case("no bucket's name", "Invalid bucket name", uri="s3://months!/2013/holdout.parquet"),
    Case("no endpoint", "Invalid endpoint", endpoint="http://no_host!"),
    Case("nobody listens", "Could not connect", endpoint="http://127.0.0.1:1", reason="DataUnreachable"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_keeps_the_data_away_is_said_without_a_secret(fetch: Fetch, s3: str, case: Case) -> None:
    ended = fetch(case.uri, case.endpoint or s3, case.given)
    assert (ended.code, ended.reason) == (1, case.reason), ended.stderr
    assert case.says in ended.message
    assert case.uri in ended.message
    said = ended.stdout + ended.stderr + ended.message
    assert KEY not in said
    assert WRONG_KEY not in said
