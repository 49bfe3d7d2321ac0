"""The fetch: a pod gets what the digest names or nothing, and the target goes to the judge alone."""

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas
import pytest
from slipway.api.tasks import (
    CANDIDATE,
    CHAMPION,
    DATA_CREDENTIALS,
    FEATURES,
    TRUTH,
    DataSource,
    FetchTask,
    Store,
)
from slipway.api.tasks import DATA as CLAIM
from slipway.runner import data, stated, tree
from slipway.runner.fetch import fetch
from slipway.runner.outcome import Refused
from slipway.runner.store import DATA, EXTENSION, MODELS, TITLE, StoreClient, blob_of, tag

from tests.ports import free_port
from tests.runner.pods import HERE, Answer, Pod, StoreOnDisk, answering

NOWHERE = "sha256:" + "0" * 64
FRAME = pandas.DataFrame({"distance": [100.0, 200.0, 300.0], "hour": [1.0, 2.0, 3.0], "air_time": [10.0, 20.0, 30.0]})


def pushed(store: StoreOnDisk, folder: Path, under: str | None = None) -> str:
    """The tree's digest, after putting it into the store, under that digest's name or another's."""
    files = tree.scan(folder)
    name = tag(under or tree.digest(files))
    StoreClient(store.store).push(
        MODELS, name, blob_of(lambda: tree.pack(folder, files)), {TITLE: "model.tar"}, image=True
    )
    return tree.digest(files)


@pytest.fixture
def other(tmp_path: Path) -> Path:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "MLmodel").write_text(f"flavors: {{}}  # {tmp_path}\n")
    return folder


def test_candidate_and_champion_arrive_as_they_were_imported(
    pod: Pod, store: StoreOnDisk, flights: Path, other: Path
) -> None:
    task = FetchTask(store=store.store, candidate_digest=pushed(store, flights), champion_digest=pushed(store, other))
    for _ in range(2):  # an init container that is started again finds what its first try left
        (pod.at(CANDIDATE) / "left over").write_text("by an earlier try")
        ended = pod.run("fetch", task)
        assert (ended.code, ended.termination) == (0, {}), ended.stderr
        assert tree.scan(pod.at(CANDIDATE)) == tree.scan(flights)
        assert tree.scan(pod.at(CHAMPION)) == tree.scan(other)


def test_bytes_swapped_in_the_store_are_noticed(pod: Pod, store: StoreOnDisk, other: Path) -> None:
    digest = pushed(store, other)
    manifest = StoreClient(store.store).manifest(MODELS, tag(digest))
    assert manifest is not None
    blob = store.blob(manifest["layers"][0]["digest"])
    blob.write_bytes(blob.read_bytes().replace(b"flavors", b"FLAVORS"))
    ended = pod.run("fetch", FetchTask(store=store.store, candidate_digest=digest))
    assert (ended.code, ended.reason) == (1, "DigestMismatch"), ended.stderr


def test_another_model_under_the_tag_is_noticed(pod: Pod, store: StoreOnDisk, flights: Path, other: Path) -> None:
    (other / "MLmodel").write_text("the one that was asked for")
    wanted = tree.digest(tree.scan(other))
    found = pushed(store, flights, under=wanted)
    with pytest.raises(Refused, match=found) as refused:
        fetch(FetchTask(store=store.store, candidate_digest=wanted), pod.inside)
    assert refused.value.reason == "DigestMismatch"
    assert wanted in str(refused.value)


def test_a_link_in_a_layer_is_refused_by_the_program(pod: Pod, store: StoreOnDisk) -> None:
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        link = tarfile.TarInfo("MLmodel")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    digest = "sha256:" + "1" * 64
    StoreClient(store.store).push(
        MODELS, tag(digest), blob_of(lambda: iter([layer.getvalue()])), {TITLE: "model.tar"}, image=True
    )
    with pytest.raises(Refused) as refused:
        fetch(FetchTask(store=store.store, candidate_digest=digest), pod.inside)
    assert refused.value.reason == "UnsafeArtifact"


def test_what_the_store_does_not_have_is_missing(pod: Pod, store: StoreOnDisk) -> None:
    with pytest.raises(Refused) as refused:
        fetch(FetchTask(store=store.store, candidate_digest=NOWHERE), pod.inside)
    assert refused.value.reason == "ArtifactMissing"


@pytest.mark.parametrize("answer", [None, (503, {}, b"")], ids=["nobody listens", "unwell"])
def test_a_store_that_does_not_answer_is_asked_again_and_then_unreachable(pod: Pod, answer: Answer | None) -> None:
    asked: list[str] = []

    def unwell(path: str, _: dict[str, str]) -> Answer:
        asked.append(path)
        return answer or (500, {}, b"")

    with answering(unwell) as url:
        store = Store(url=url if answer else f"http://127.0.0.1:{free_port()}")
        with pytest.raises(Refused) as refused:
            fetch(FetchTask(store=store, candidate_digest=NOWHERE), pod.inside)
    assert refused.value.reason == "StoreUnreachable"
    assert answer is None or len(asked) > 1


def test_a_model_that_this_image_cannot_run_is_refused_unless_it_was_proven_already(
    pod: Pod, store: StoreOnDisk, other: Path
) -> None:
    (other / "requirements.txt").write_text("scikit-learn==0.1\n")
    task = FetchTask(store=store.store, candidate_digest=pushed(store, other))
    with pytest.raises(Refused, match=r"scikit-learn==0\.1 wanted") as refused:
        fetch(task, pod.inside)
    assert refused.value.reason == "EnvironmentNotReproducible"
    fetch(task.model_copy(update={"check_environment": False}), pod.inside)


@pytest.mark.parametrize("refuses", [True, None])
def test_a_model_that_states_nothing_is_refused_where_the_platform_says_so(
    pod: Pod, store: StoreOnDisk, other: Path, refuses: bool | None
) -> None:
    for file in stated.FILES:
        (other / file).unlink(missing_ok=True)
    task = FetchTask(store=store.store, candidate_digest=pushed(store, other), refuse_unstated=refuses)
    with pytest.raises(Refused, match="nothing is stated") if refuses else contextlib.nullcontext():
        fetch(task, pod.inside)


@dataclass(frozen=True)
class Web:
    """The same file, wherever data may lie."""

    content: bytes
    name: str
    store: StoreOnDisk
    pod: Pod

    @contextlib.contextmanager
    def source(self, kind: str) -> Iterator[DataSource]:
        digest = blob_of(lambda: iter([self.content])).digest
        given: dict[str, Any] = {"targets": ("air_time",), "digest": digest, "access": HERE}
        if kind == "store":
            notes = {TITLE: self.name, EXTENSION: Path(self.name).suffix}
            StoreClient(self.store.store).push(
                DATA, tag(digest), blob_of(lambda: iter([self.content])), notes, image=False
            )
            yield DataSource(uri="store:data", **given)
        elif kind == "pvc":
            (self.pod.at(CLAIM) / "months").mkdir()
            (self.pod.at(CLAIM) / "months" / self.name).write_bytes(self.content)
            yield DataSource(uri=f"pvc://flights/months/{self.name}", **given)
        elif kind == "http":
            with answering(lambda path, headers: (200, {}, self.content)) as url:
                yield DataSource(uri=f"{url}/{self.name}?sig=abc", **given)
        else:
            for name, value in {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "key"}.items():
                (self.pod.at(DATA_CREDENTIALS) / name).write_text(value)

            def bucket(path: str, headers: dict[str, str]) -> Answer:
                signed = "Credential=AKIAX/" in headers.get("authorization", "") and path == f"/bucket/{self.name}"
                return (200, {}, self.content) if signed else (403, {}, b"")

            with answering(bucket) as url:
                yield DataSource(uri=f"s3://bucket/{self.name}", endpoint=url, **given)


def parquet(frame: pandas.DataFrame = FRAME) -> bytes:
    content = io.BytesIO()
    frame.to_parquet(content)
    return content.getvalue()


def csv(frame: pandas.DataFrame = FRAME) -> bytes:
    return frame.to_csv(index=False).encode()


@pytest.mark.parametrize("name", ["holdout.parquet", "holdout.csv"])
@pytest.mark.parametrize("kind", ["store", "pvc", "http", "s3"])
def test_data_is_parted_into_features_and_truth(pod: Pod, store: StoreOnDisk, kind: str, name: str) -> None:
    web = Web(parquet() if name.endswith("parquet") else csv(), name, store, pod)
    pod.at(FEATURES), pod.at(TRUTH)
    with web.source(kind) as source:
        data.bring(source, StoreClient(store.store), pod.inside)
    (file,) = pod.at(FEATURES).iterdir()
    features = pandas.read_parquet(file) if file.name == "data.parquet" else pandas.read_csv(file)
    pandas.testing.assert_frame_equal(features, FRAME[["distance", "hour"]])
    assert pandas.read_parquet(pod.at(TRUTH) / "target.parquet")["air_time"].tolist() == [10.0, 20.0, 30.0]
    assert json.loads((pod.at(TRUTH) / "facts.json").read_text()) == {"data_digest": source.digest, "rows": 3}
    assert sorted(path.name for path in pod.at(TRUTH).iterdir()) == ["facts.json", "target.parquet"]
    assert b"air_time" not in file.read_bytes(), "not even its name"


def test_a_csv_stays_as_it_was_written_but_for_the_targets(pod: Pod, store: StoreOnDisk) -> None:
    written = b'zip,east,note,north\n00123,0.1,"a, b",1\n,2e3,NA,0\n'
    (pod.at(CLAIM) / "d.csv").write_bytes(written)
    pod.at(FEATURES), pod.at(TRUTH)
    source = DataSource(uri="pvc://claim/d.csv", targets=("north", "east"), access=HERE)
    data.bring(source, StoreClient(store.store), pod.inside)
    assert (pod.at(FEATURES) / "data.csv").read_bytes() == b'"zip","note"\n"00123","a, b"\n"","NA"\n'
    targets = pandas.read_parquet(pod.at(TRUTH) / "target.parquet")
    assert targets.to_dict("list") == {"north": [1, 0], "east": [0.1, 2000.0]}


def test_a_cell_with_a_line_end_is_one_cell_and_a_class_may_be_called_none(pod: Pod, store: StoreOnDisk) -> None:
    (pod.at(CLAIM) / "d.csv").write_bytes(b'x,y\n"a\rb",None\nc,Mild\n')
    pod.at(FEATURES), pod.at(TRUTH)
    source = DataSource(uri="pvc://claim/d.csv", targets=("y",), access=HERE)
    data.bring(source, StoreClient(store.store), pod.inside)
    assert pandas.read_csv(pod.at(FEATURES) / "data.csv")["x"].tolist() == ["a\rb", "c"]
    assert pandas.read_parquet(pod.at(TRUTH) / "target.parquet")["y"].tolist() == ["None", "Mild"]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ([Decimal("0.5"), Decimal("2")], [0.5, 2.0]),
        (pandas.Categorical(["b", "a"]), ["b", "a"]),
        (pandas.Categorical([2, 1]), [2, 1]),
        (pandas.array([True, False], dtype="boolean"), [True, False]),
        (pandas.array([1, 2], dtype="Int64"), [1, 2]),
        ([True, False], [True, False]),
    ],
)
def test_a_target_of_any_kind_is_numbers_truth_values_or_text(
    pod: Pod, store: StoreOnDisk, values: Any, wanted: list[Any]
) -> None:
    pandas.DataFrame({"x": [1, 2], "air_time": values}).to_parquet(pod.at(CLAIM) / "d.parquet")
    pod.at(FEATURES), pod.at(TRUTH)
    source = DataSource(uri="pvc://claim/d.parquet", targets=("air_time",), access=HERE)
    data.bring(source, StoreClient(store.store), pod.inside)
    assert pandas.read_parquet(pod.at(TRUTH) / "target.parquet")["air_time"].tolist() == wanted


@dataclass(frozen=True)
class Case:
    name: str
    reason: str
    content: bytes = b""
    file: str = "d.parquet"
    digest: str | None = None
    says: str = ""


def with_target(*values: object) -> pandas.DataFrame:
    return pandas.DataFrame({"x": range(len(values)), "air_time": values})


CASES = [
    Case("other bytes", "DigestMismatch", parquet(), digest=NOWHERE, says=NOWHERE),
    Case("not parquet", "DataUnreadable", b"PAR1 but not really"),
    Case("not csv", "DataUnreadable", b'"\xff\xfe\x00', file="d.csv"),
    Case("another format", "DataUnreadable", b"[]", file="d.json", says=".parquet or .csv"),
    Case("no target", "DataColumnMissing", parquet(FRAME[["distance", "hour"]]), says="distance, hour"),
    Case("no rows", "DataEmpty", parquet(FRAME.head(0))),
    Case("no bytes", "DataEmpty", b"", file="d.csv"),
    Case("null", "DataInvalid", parquet(with_target(1.0, None)), says="1 rows"),
    Case("infinity", "DataInvalid", parquet(with_target(1.0, float("inf")))),
    Case("missing label", "DataInvalid", parquet(with_target("a", None))),
    Case("dates", "DataInvalid", parquet(with_target(date(2026, 1, 1), date(2026, 1, 2))), says="of the type date"),
    Case("longer rows", "DataUnreadable", b"x,air_time\n1,2,3\n", file="d.csv"),
    Case("missing label in csv", "DataInvalid", csv(with_target("a", None)), file="d.csv"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_data_that_cannot_judge_is_refused(pod: Pod, case: Case) -> None:
    (pod.at(CLAIM) / case.file).write_bytes(case.content)
    refused = refusal(pod, uri=f"pvc://claim/{case.file}", digest=case.digest)
    assert refused.reason == case.reason, str(refused)
    assert case.says in str(refused)
    assert not (pod.at(FEATURES) / "data.parquet").exists()


def refusal(pod: Pod, max_bytes: int = 10**6, **source: Any) -> Refused:
    pod.at(FEATURES), pod.at(TRUTH)
    with pytest.raises(Refused) as refused:
        data.bring(
            DataSource(targets=("air_time",), access=HERE, **source),
            StoreClient(Store(url="http://127.0.0.1:1")),
            pod.inside,
            max_bytes,
        )
    return refused.value


def test_data_larger_than_the_bound_is_not_read(pod: Pod) -> None:
    (pod.at(CLAIM) / "d.csv").write_bytes(csv())
    assert refusal(pod, max_bytes=10, uri="pvc://claim/d.csv").reason == "DataTooLarge"


@pytest.mark.parametrize("path", ["../../secret.csv", "link.csv", "absent.csv", ""])
def test_a_path_cannot_leave_its_volume(pod: Pod, path: str) -> None:
    (pod.root / "secret.csv").write_bytes(csv())
    (pod.at(CLAIM) / "link.csv").symlink_to(pod.root / "secret.csv")
    assert refusal(pod, uri=f"pvc://claim/{path}").reason == "DataUnreadable"


def test_a_server_that_refuses_and_one_that_is_away_are_told_apart(pod: Pod, store: StoreOnDisk, other: Path) -> None:
    with answering(lambda path, headers: (404, {}, b"")) as url:
        assert refusal(pod, uri=f"{url}/d.csv").reason == "DataUnreadable"
        assert refusal(pod, uri="s3://bucket/d.csv", endpoint=url).reason == "DataUnreadable"

    task = FetchTask(
        store=store.store,
        candidate_digest=pushed(store, other),
        data=DataSource(uri=f"http://127.0.0.1:{free_port()}/d.csv?sig=s3cr3t", targets=("y",), access=HERE),
    )
    ended = pod.run("fetch", task)
    assert ended.reason == "DataUnreachable"
    assert "s3cr3t" not in ended.message + ended.stderr, "the query of a presigned URL is a credential"


@pytest.mark.parametrize(
    ("page", "file", "says"),
    [
        (b"api_key,hunter2\n1,2\n", "d.csv", "the data has 2 columns, and not one that is named 'air_time'"),
        (b"hunter2\n", "d.parquet", "its 8 bytes are something else"),
        (b'hunter2\n1,2,3\n1,2,3,4\n"', "d.csv", "bytes are something else"),
        (b"air_time,hunter2\nhunter2,\n,1\n", "d.csv", "1 rows have no finite value in the target"),
    ],
    ids=["no target", "no parquet", "no csv", "no number"],
)
def test_no_message_repeats_what_a_web_page_says(pod: Pod, page: bytes, file: str, says: str) -> None:
    with answering(lambda path, headers: (200, {}, page)) as url:
        refused = refusal(pod, uri=f"{url}/{file}")
    assert says in str(refused)
    assert "hunter2" not in str(refused)


def test_data_in_the_store_needs_its_digest(pod: Pod) -> None:
    assert refusal(pod, uri="store:data").reason == "DataUnreadable"
