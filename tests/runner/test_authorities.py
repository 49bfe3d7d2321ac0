"""Data behind a certificate that only the platform team's own authority vouches for."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway.api.tasks import AUTHORITIES, DATA_CREDENTIALS, TRUTH, DataSource, FetchTask
from slipway.runner import tree
from slipway.runner.store import MODELS, TITLE, StoreClient, blob_of, tag

from tests.certificates import Certificate, self_signed
from tests.runner.pods import HERE, Pod, StoreOnDisk, answering

ROWS = b"air_time,distance\n10,100\n20,200\n"


@pytest.fixture
def shown() -> Certificate:
    """What the server shows."""
    return self_signed("127.0.0.1")


@pytest.fixture
def url(shown: Certificate, tmp_path: Path) -> Iterator[str]:
    """A web server, and an S3 store, that keep the data."""
    (tmp_path / "server.pem").write_text(shown.private + shown.public)
    with answering(lambda path, headers: (200, {}, ROWS), tmp_path / "server.pem") as found:
        yield found


@pytest.fixture
def task(store: StoreOnDisk, flights: Path) -> FetchTask:
    files = tree.scan(flights)
    name = tag(tree.digest(files))
    StoreClient(store.store).push(
        MODELS, name, blob_of(lambda: tree.pack(flights, files)), {TITLE: "model.tar"}, image=True
    )
    return FetchTask(store=store.store, candidate_digest=tree.digest(files))


def at(url: str, kind: str, pod: Pod) -> DataSource:
    """The data by the web or from S3."""
    if kind == "https":
        return DataSource(uri=f"{url}/d.csv", targets=("air_time",), access=HERE)
    for name, value in {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "key"}.items():
        (pod.at(DATA_CREDENTIALS) / name).write_text(value)
    return DataSource(uri="s3://bucket/d.csv", endpoint=url, targets=("air_time",), access=HERE)


@pytest.mark.parametrize("kind", ["https", "s3"])
def test_it_is_read_where_the_namespace_has_the_authority_and_refused_with_advice_where_not(
    pod: Pod, task: FetchTask, url: str, shown: Certificate, kind: str
) -> None:
    task = task.model_copy(update={"data": at(url, kind, pod)})

    refused = pod.run("fetch", task)
    assert (refused.code, refused.reason) == (1, "DataUnreachable")
    assert "caBundle" in refused.message and "self-signed" in refused.message

    (pod.at(AUTHORITIES) / "ca.crt").write_text(shown.public)
    ended = pod.run("fetch", task)
    assert ended.code == 0, ended.stderr
    assert (pod.at(TRUTH) / "target.parquet").exists()
