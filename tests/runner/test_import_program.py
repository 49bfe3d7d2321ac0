"""The import: what a version is called in the store, and whom it does not trust on the way there."""

import json
import shutil
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slipway.api.tasks import CREDENTIALS, IMPORT, VARIABLE, ImportResult, ImportTask, Problem, Store
from slipway.runner import import_, tree
from slipway.runner.mlflow_files import MLflow
from slipway.runner.outcome import Refused, run
from slipway.runner.pod import Pod as Inside
from slipway.runner.store import DATA, EXTENSION, MODELS, StoreClient, tag

from tests.mlflow_server import MLflowServer, talking_to
from tests.ports import free_port
from tests.runner.pods import Answer, Ended, Pod, StoreOnDisk, answering

SECRET = "s3cr3t-of-the-registry"


@dataclass(frozen=True)
class Logged:
    """A model version that a person logged with MLflow's client."""

    server: MLflowServer
    source: str
    run_id: str
    mlmodel_digest: str
    folder: Path  # its files on the server's disk


@pytest.fixture(scope="session")
def logged(mlflow_server: MLflowServer) -> Logged:
    import mlflow  # noqa: PLC0415 - seconds that most tests here do not need
    from sklearn.linear_model import LinearRegression  # noqa: PLC0415

    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    with talking_to(mlflow_server.uri, "import"):
        with mlflow.start_run() as run:
            mlflow.log_text("air_time,distance\n1,2\n", "holdout.csv")
            mlflow.sklearn.log_model(
                model, name="model", registered_model_name="imported", pip_requirements=["scikit-learn"]
            )
        version = mlflow.MlflowClient().get_model_version("imported", "1")
        location = mlflow.MlflowClient().get_model_version_download_uri("imported", "1")
    folder = mlflow_server.file(location, "")
    digest = "sha256:" + tree.sha256_of(folder / "MLmodel")
    return Logged(mlflow_server, version.source, run.info.run_id, digest, folder)


def task_of(logged: Logged, store: StoreOnDisk, **changes: Any) -> ImportTask:
    task = ImportTask(
        registry_uri=logged.server.uri,
        source=logged.source,
        model_name="imported",
        version=1,
        mlmodel_digest=logged.mlmodel_digest,
        store=store.store,
    )
    return task.model_copy(update=changes)


def test_a_version_and_its_data_are_in_the_store_under_their_digests(
    pod: Pod, logged: Logged, store: StoreOnDisk
) -> None:
    task = task_of(logged, store, data_uri=f"runs:/{logged.run_id}/holdout.csv")

    ended = pod.run("import_", task)

    assert ended.code == 0, ended.stderr
    files = tree.scan(logged.folder)
    assert ended.termination["digest"] == tree.digest(files)
    assert ended.termination["sizeBytes"] == sum(file.size for file in files)
    assert f"{len(files)}/{len(files)} files" in ended.stderr

    client = StoreClient(store.store)
    model = client.manifest(MODELS, tag(tree.digest(files)))
    assert model is not None
    assert store.blob(model["layers"][0]["digest"]).read_bytes() == b"".join(tree.pack(logged.folder, files))
    config = json.loads(store.blob(model["config"]["digest"]).read_text())
    assert config["rootfs"]["diff_ids"] == [model["layers"][0]["digest"]], "a node can mount it as an image"

    data = client.manifest(DATA, tag(ended.termination["dataDigest"]))
    assert data is not None
    assert data["annotations"][EXTENSION] == ".csv"
    assert store.blob(data["layers"][0]["digest"]).read_text() == "air_time,distance\n1,2\n"

    written = store.blob(model["layers"][0]["digest"]).stat().st_mtime_ns
    again = pod.run("import_", task)
    assert again.termination == ended.termination
    assert "in the store already" in again.stderr
    assert store.blob(model["layers"][0]["digest"]).stat().st_mtime_ns == written


@pytest.mark.parametrize("form", ["run", "files"])
def test_older_forms_of_a_source_mean_the_same_files(pod: Pod, logged: Logged, store: StoreOnDisk, form: str) -> None:
    artifacts = logged.folder.relative_to(logged.server.artifacts)
    source = {"run": f"runs:/{logged.run_id}/model", "files": f"mlflow-artifacts:/{artifacts}"}[form]
    ended = pod.run("import_", task_of(logged, store, source=source))
    assert ended.termination.get("digest") == tree.digest(tree.scan(logged.folder)), ended.stderr


OTHER = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("changes", "reason", "says"),
    [
        ({"mlmodel_digest": OTHER}, "DigestMismatch", OTHER),
        ({"expected_digest": OTHER}, "DigestMismatch", OTHER),
        ({"max_bytes": 100}, "ArtifactTooLarge", "at most 100"),
        ({"source": "models:/m-00000000000000000000000000000000"}, "ArtifactMissing", "404"),
        ({"source": "mlflow-artifacts:/nowhere"}, "ArtifactMissing", "MLmodel"),
        ({"source": "file:///run/slipway/registry"}, "ArtifactForbidden", "artifact proxy"),
        ({"source": "mlflow-artifacts://elsewhere.example/1/model"}, "ArtifactForbidden", "artifact proxy"),
        ({"source": "s3://bucket/model"}, "ArtifactForbidden", "artifact proxy"),
        ({"source": "mlflow-artifacts:/1/../../etc"}, "UnsafeArtifact", "leaves its folder"),
        ({"source": None, "data_uri": "mlflow-artifacts:/nowhere.csv"}, "DataUnreadable", "nowhere.csv"),
        ({"registry_uri": f"http://127.0.0.1:{free_port()}"}, "RegistryUnreachable", "no answer"),
        ({"store": Store(url=f"http://127.0.0.1:{free_port()}")}, "StoreUnreachable", "artifact store"),
    ],
)
def test_each_trouble_has_its_reason(
    pod: Pod, logged: Logged, store: StoreOnDisk, changes: dict[str, Any], reason: str, says: str
) -> None:
    ended = pod.run("import_", task_of(logged, store).model_copy(update=changes))
    assert (ended.code, ended.reason) == (1, reason), ended.stderr
    assert says in ended.message
    assert ended.message in ended.stderr


def test_what_is_sent_is_told_of_while_it_goes(capsys: pytest.CaptureFixture[str]) -> None:
    chunks = [b"a" * 300_000, b"b" * 300_000, b"c" * 100_000, b"d" * 400_000]
    sent = import_.told("sent to the store", lambda: iter(chunks), every=500_000)()
    assert (next(sent), next(sent)) == (chunks[0], chunks[1])
    assert next(sent) == chunks[2]
    assert capsys.readouterr().err == "0.6 MB sent to the store\n", "while the rest is still to come"
    assert list(sent) == chunks[3:]
    assert capsys.readouterr().err == "1.1 MB sent to the store\n"


def test_data_that_no_validation_would_take_is_not_imported(
    pod: Pod, logged: Logged, store: StoreOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_, "DATA_BYTES", 10)
    task = task_of(logged, store, data_uri=f"runs:/{logged.run_id}/holdout.csv")
    with pytest.raises(Refused, match="larger than 10 bytes") as refused:
        import_.import_version(task.model_copy(update={"source": None}), pod.inside)
    assert refused.value.reason == "DataTooLarge"


def test_data_that_cannot_be_had_does_not_undo_the_models_import(pod: Pod, logged: Logged, store: StoreOnDisk) -> None:
    result = import_.import_version(task_of(logged, store, data_uri="mlflow-artifacts:/nowhere.csv"), pod.inside)
    assert result.digest is not None and result.data_digest is None
    assert result.data_problem is not None and result.data_problem.reason == "DataUnreadable"


@pytest.mark.parametrize(
    ("size", "reason"), [(10**400, "DataTooLarge"), (float("inf"), "RegistryUnreachable"), (10**30, "DataTooLarge")]
)
def test_data_of_a_size_that_no_clock_can_count_is_refused_before_it_is_asked_for(
    pod: Pod, size: float, reason: str
) -> None:
    entry = {"path": "data.csv", "is_dir": False, "file_size": size}
    with answering(hostile([entry])) as url:
        ended = import_from(pod, url, source=None, data_uri="mlflow-artifacts:/1/data.csv")
    assert (ended.code, ended.reason) == (1, reason), ended.stderr


MLMODEL = b"flavors: {}\n"
TREE = [("MLmodel", len(MLMODEL)), ("model.bin", 4)]


def hostile(listing: list[Any], content: bytes = b"data") -> Callable[[str, dict[str, str]], Answer]:
    """A server that speaks MLflow's artifact proxy, with a listing of its choice."""

    def answer(path: str, _: dict[str, str]) -> Answer:
        if "?path=" in path:
            return 200, {}, json.dumps({"files": listing}).encode()
        return 200, {}, MLMODEL if path.endswith("/MLmodel") else content

    return answer


def import_from(pod: Pod, url: str, **changes: Any) -> Ended:
    task = ImportTask(
        registry_uri=url,
        source="mlflow-artifacts:/1/model",
        model_name="m",
        version=1,
        mlmodel_digest=OTHER,
        store=Store(url="http://127.0.0.1:1"),
    )
    return pod.run("import_", task.model_copy(update=changes))


def listed(*names: str, size: int | None = 4) -> list[Any]:
    return [{"path": "MLmodel", "is_dir": False, "file_size": 12}] + [
        {"path": name, "is_dir": False, "file_size": size} for name in names
    ]


@pytest.mark.parametrize(
    ("listing", "reason"),
    [
        (listed("../../../../escaped"), "UnsafeArtifact"),
        (listed("/etc/passwd"), "UnsafeArtifact"),
        (listed("a/../../escaped"), "UnsafeArtifact"),
        (listed("line\nbreak 4 " + "0" * 64), "UnsafeArtifact"),
        (listed("a", "a/b", size=1), "UnsafeArtifact"),
        ([{"path": "deeper", "is_dir": True}], "UnsafeArtifact"),
        (["MLmodel"], "RegistryUnreachable"),
        (listed("model.bin", size=10**12), "ArtifactTooLarge"),
        (listed("model.bin", size=-(10**12)), "ArtifactTooLarge"),
    ],
)
def test_a_listing_is_not_trusted(pod: Pod, listing: list[Any], reason: str) -> None:
    max_bytes = 400 if reason == "ArtifactTooLarge" else 4000
    with answering(hostile(listing, content=b"x" * 500)) as url:
        ended = import_from(pod, url, max_bytes=max_bytes)
    assert (ended.code, ended.reason) == (1, reason), ended.stderr
    outside = [path for path in pod.root.rglob("*") if path.is_file() and pod.at(IMPORT) not in path.parents]
    assert outside == [pod.root / "termination-log"]


@pytest.mark.parametrize("status", [401, 403, 302])
def test_the_credential_goes_to_the_registry_only_and_into_no_message(pod: Pod, status: int) -> None:
    for name, value in {"username": "importer", "password": SECRET}.items():
        (pod.at(CREDENTIALS) / name).write_text(value)
    elsewhere: list[str] = []

    def other(path: str, headers: dict[str, str]) -> Answer:
        elsewhere.append(path)
        return 200, {}, b"{}"

    with answering(other) as stranger:

        def refuse(path: str, headers: dict[str, str]) -> Answer:
            assert headers["authorization"].startswith("Basic ")
            return status, {"Location": stranger}, f"the password {SECRET} is wrong".encode()

        with answering(refuse) as url:
            ended = import_from(pod, url)
    assert ended.reason == ("RegistryUnreachable" if status == 302 else "RegistryUnauthorized"), ended.stderr
    assert ("READ on the experiment" in ended.message) == (status == 403)
    assert elsewhere == []
    assert SECRET not in ended.stderr + ended.message


@pytest.mark.parametrize("before", ["", "x" * 190, "\U0001f9e8" * 1400, '"' * 1400])
@pytest.mark.parametrize("given", [{"token": SECRET}, {"username": "importer", "password": SECRET}])
def test_what_a_server_repeats_of_a_credential_is_in_no_message(
    pod: Pod, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], given: dict[str, str], before: str
) -> None:
    """Not in that of a model that is refused, nor in that of a good one whose data is."""
    for name, value in given.items():
        (pod.at(CREDENTIALS) / name).write_text(value)
    shown = b64encode(f"importer:{SECRET}".encode()).decode()

    def echo(_: str, headers: dict[str, str]) -> Answer:
        return 403, {}, f"{before}{headers['authorization']}".encode()

    def imported(task: ImportTask, inside: Inside) -> ImportResult:
        try:
            MLflow(task.registry_uri, inside).files("1/model")
        except Refused as refused:
            told = f"{before}{refused} {shown if 'password' in given else SECRET}{before}"
            problem = Problem.model_construct(reason=refused.reason, message=told)
        return ImportResult(digest=OTHER, data_problem=problem)

    with answering(echo) as url:
        ended = import_from(pod, url)
        task = ImportTask(registry_uri=url, model_name="m", version=1, store=Store(url="http://127.0.0.1:1"))
        monkeypatch.setenv(VARIABLE, task.model_dump_json(by_alias=True))
        with pytest.raises(SystemExit):
            run(imported, ImportTask, pod.inside)
    said = pod.log.read_bytes()
    assert len(said) <= 4096
    result = ImportResult.model_validate_json(said)
    assert result.data_problem is not None and result.data_problem.reason == "RegistryUnauthorized"
    everything = ended.message + ended.stderr + said.decode() + capfd.readouterr().err
    assert SECRET[:8] not in everything and shown[:8] not in everything


PAGE = b"<html>Welcome to nginx"


@pytest.mark.parametrize(
    ("status", "body", "because"),
    [
        (200, PAGE, "a login page answers whatever is asked"),
        (404, PAGE, "a proxy does not know the path"),
        (404, b'{"detail": "Not Found"}', "another service does not know the path"),
        (408, PAGE, "a proxy has waited long enough"),
        (502, PAGE, "nobody is behind the proxy"),
    ],
)
def test_only_mlflows_own_word_says_that_files_are_missing(pod: Pod, status: int, body: bytes, because: str) -> None:
    with answering(lambda path, headers: (status, {}, body)) as url:
        assert import_from(pod, url).reason == "RegistryUnreachable", because


def test_a_link_that_leads_nowhere_is_told_from_a_server_that_is_ill(
    pod: Pod, logged: Logged, store: StoreOnDisk
) -> None:
    """MLflow's server fails on it like on anything else, but on nothing else."""
    folder = copied(logged, "linked")
    (folder / "broken").symlink_to("nothing")
    ended = pod.run("import_", task_of(logged, store, source=source_of(logged, folder)))
    assert (ended.code, ended.reason) == (1, "ArtifactMissing"), ended.stderr
    assert "a link that leads nowhere" in ended.message and "linked" in ended.message


ODD = ("a b/ü.txt", "50%.txt", "what?.txt", "plus+and;semi=colon&.txt")


def test_names_of_files_come_as_they_are(pod: Pod, logged: Logged, store: StoreOnDisk) -> None:
    folder = copied(logged, "odd näme 100%/models (1)")
    for name in ODD:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    ended = pod.run("import_", task_of(logged, store, source=source_of(logged, folder)))
    assert ended.termination.get("digest") == tree.digest(tree.scan(folder)), ended.stderr


@pytest.mark.parametrize("name", ["hash#tag", "a%41b"])
def test_a_name_that_mlflow_cannot_hand_out_is_told(pod: Pod, logged: Logged, store: StoreOnDisk, name: str) -> None:
    folder = copied(logged, "unnameable")
    (folder / name).write_text("x")
    ended = pod.run("import_", task_of(logged, store, source=source_of(logged, folder)))
    assert ended.reason == "ArtifactMissing", ended.stderr
    assert name in ended.message and "rename the file" in ended.message


def copied(logged: Logged, name: str) -> Path:
    """A copy of the model's folder on the server's disk."""
    folder = logged.server.artifacts / "copies" / name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(logged.folder, folder)
    return folder


def source_of(logged: Logged, folder: Path) -> str:
    return f"mlflow-artifacts:/{folder.relative_to(logged.server.artifacts)}"
