"""The chart's store: imports push with a password, pods read by name, nobody lists, and nothing is deleted online."""

import base64
import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from slipway.api.tasks import CANDIDATE, PUSH, FetchTask, Store
from slipway.runner import collect, tree
from slipway.runner.fetch import fetch
from slipway.runner.outcome import Refused
from slipway.runner.store import DATA, EXTENSION, MODELS, TITLE, StoreClient, blob_of, tag
from slipway.runner.store_reader import Reader
from slipway.runner.volume import Volume

from tests.chart.helm import one, rendered
from tests.ports import free_port
from tests.runner.pods import OPERATOR, Answer, Pod, answering, answers, program, running

ABSENT = "sha256:" + "0" * 64


@dataclass
class ChartStore:
    """The two containers of the store's pod, as processes on one folder."""

    folder: Path
    secret: dict[str, str]
    push: str = ""
    read: str = ""

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def volume(self) -> Path:
        return self.folder / "volume"

    @contextlib.contextmanager
    def up(self, **values: Any) -> Iterator["ChartStore"]:
        """Run both with the chart's configuration; only addresses and paths are this machine's."""
        found = yaml.safe_load(one(rendered({"store": values}), "ConfigMap", "slipway-store")["data"]["config.yaml"])
        pushing, reading = free_port(), free_port()
        self.push, self.read = f"http://127.0.0.1:{pushing}", f"http://127.0.0.1:{reading}"
        found["http"]["addr"] = f"127.0.0.1:{pushing}"
        found["storage"]["filesystem"]["rootdirectory"] = str(self.volume)
        found["auth"]["htpasswd"]["path"] = str(self.folder / "htpasswd")
        self.config.write_text(yaml.safe_dump(found))
        (self.folder / "htpasswd").write_text(self.secret["htpasswd"])
        quiet = {**os.environ, "OTEL_TRACES_EXPORTER": "none", "PYTHONPATH": str(OPERATOR)}
        reader = [sys.executable, "-m", "slipway.runner.store_reader", "--root", str(self.volume)]
        reader += ["--address", "127.0.0.1", "--port", str(reading)]
        registry = [str(program("registry")), "serve", str(self.config)]
        with (
            running(registry, self.folder / "registry.log", lambda: answers(self.push), quiet),
            running(reader, self.folder / "reader.log", lambda: answers(self.read), quiet),
        ):
            yield self

    def for_imports(self, pod: Pod, **changes: str) -> StoreClient:
        """What an import sees; with changes, one whose Secret says something else."""
        for name in ("username", "password"):
            (pod.at(PUSH) / name).write_text((self.secret | changes)[name])
        return StoreClient(Store(url=self.push), pod.inside)


@pytest.fixture
def stopped(tmp_path: Path) -> ChartStore:
    if not program("registry").exists():
        pytest.skip(f"{program('registry')} is not there: build the distribution registry")
    folder = tmp_path / "store"
    (folder / "volume").mkdir(parents=True)
    data = one(rendered(), "Secret", "slipway-store-push")["data"]
    return ChartStore(folder, {name: base64.b64decode(value).decode() for name, value in data.items()})


@pytest.fixture
def store(stopped: ChartStore) -> Iterator[ChartStore]:
    with stopped.up():
        yield stopped


def model(folder: Path, text: str) -> tuple[Path, str]:
    """A model, which its files' text makes different from others, and its digest."""
    made = folder / text
    (made / "data").mkdir(parents=True)
    (made / "MLmodel").write_text(f"flavors: {{}}  # {text}\n")
    (made / "data" / "shared").write_bytes(b"x" * 100_000)
    return made, tree.digest(tree.scan(made))


def pushed(client: StoreClient, made: tuple[Path, str]) -> str:
    folder, digest = made
    layer = blob_of(lambda: tree.pack(folder, tree.scan(folder)))
    client.push(MODELS, tag(digest), layer, {TITLE: "model.tar"}, image=True)
    return digest


def pushed_data(client: StoreClient, content: bytes) -> str:
    blob = blob_of(lambda: iter([content]))
    client.push(DATA, tag(blob.digest), blob, {TITLE: "h.csv", EXTENSION: ".csv"}, image=False)
    return blob.digest


def fetched(pod: Pod, store: ChartStore, digest: str) -> str:
    """The reason why a pod does not get a model; "" where it does."""
    task = FetchTask(store=Store(url=store.read), candidate_digest=digest, check_environment=False)
    try:
        fetch(task, pod.inside)
    except Refused as refused:
        return refused.reason
    assert tree.digest(tree.scan(pod.at(CANDIDATE))) == digest
    return ""


def test_what_an_import_pushes_a_pod_reads_without_a_password(pod: Pod, store: ChartStore, tmp_path: Path) -> None:
    client = store.for_imports(pod)
    made = model(tmp_path, "first")
    assert not client.push(MODELS, "twice", blob_of(lambda: iter([b"content"])), {TITLE: "f"}, image=False)
    assert client.push(MODELS, "twice", blob_of(lambda: iter([b"content"])), {TITLE: "f"}, image=False)
    digest = pushed(client, made)
    for name in ("username", "password"):
        (pod.at(PUSH) / name).unlink()
    assert fetched(pod, store, digest) == ""
    assert fetched(pod, store, ABSENT) == "ArtifactMissing"


def test_nobody_pushes_without_the_password(pod: Pod, store: ChartStore, tmp_path: Path) -> None:
    made = model(tmp_path, "first")
    for client in (StoreClient(Store(url=store.push)), store.for_imports(pod, password="gues5-of-somebody")):
        with pytest.raises(Refused) as refused:
            pushed(client, made)
        assert refused.value.reason == "StoreUnauthorized"
        assert "gues5-of-somebody" not in str(refused.value)


def test_a_new_password_is_taken_up_by_the_running_store(pod: Pod, store: ChartStore, tmp_path: Path) -> None:
    other = one(rendered(), "Secret", "slipway-store-push")["data"]
    store.secret = {name: base64.b64decode(value).decode() for name, value in other.items()}
    (store.folder / "htpasswd").write_text(store.secret["htpasswd"])
    assert fetched(pod, store, pushed(store.for_imports(pod), model(tmp_path, "first"))) == ""


def test_not_even_who_knows_the_password_deletes_content(pod: Pod, store: ChartStore, tmp_path: Path) -> None:
    client = store.for_imports(pod)
    digest = pushed(client, model(tmp_path, "first"))
    manifest = client.manifest(MODELS, tag(digest))
    assert manifest is not None
    known = (store.secret["username"], store.secret["password"])
    where = f"/v2/slipway/{MODELS}"
    found = requests.get(f"{store.read}{where}/manifests/{tag(digest)}", timeout=5).headers["Docker-Content-Digest"]
    named, layer = f"{where}/manifests/{tag(digest)}", f"{where}/blobs/{manifest['layers'][0]['digest']}"
    for path, auth, status in (
        (f"{where}/manifests/{found}", known, 405),
        (layer, known, 405),
        (f"{where}/manifests/{found}", None, 401),
        (layer, None, 401),
        (named, None, 401),  # with the password, the registry would forget the name, and keep what it named
    ):
        assert requests.delete(store.push + path, auth=auth, timeout=5).status_code == status, path
    assert fetched(pod, store, digest) == ""


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_reader_says_what_the_registry_says_of_one_name(
    pod: Pod, store: ChartStore, tmp_path: Path, method: str
) -> None:
    client = store.for_imports(pod)
    digest = pushed(client, model(tmp_path, "first"))
    manifest = client.manifest(MODELS, tag(digest))
    assert manifest is not None
    known = (store.secret["username"], store.secret["password"])
    where = f"/v2/slipway/{MODELS}"
    by_tag = requests.get(f"{store.read}{where}/manifests/{tag(digest)}", timeout=5)
    for path in (
        f"{where}/manifests/{tag(digest)}",
        f"{where}/manifests/{by_tag.headers['Docker-Content-Digest']}",
        f"{where}/blobs/{manifest['layers'][0]['digest']}",
        f"{where}/blobs/{manifest['config']['digest']}",
    ):
        accept = {"Accept": manifest["mediaType"]}
        ours, theirs = (
            requests.request(method, url + path, auth=auth, headers=accept, timeout=5)
            for url, auth in ((store.read, None), (store.push, known))
        )
        assert (ours.status_code, ours.content) == (200, theirs.content), path
        for name in ("Content-Length", "Docker-Content-Digest", "Content-Type"):
            assert ours.headers[name] == theirs.headers[name], path


def test_the_reader_lists_nothing_and_takes_nothing(pod: Pod, store: ChartStore, tmp_path: Path) -> None:
    digest = pushed(store.for_imports(pod), model(tmp_path, "first"))
    data = pushed_data(store.for_imports(pod), b"a,b\n1,2\n")
    (store.folder / "outside").write_text("not of the store")
    models, blobs = f"/v2/slipway/{MODELS}", f"/v2/slipway/{MODELS}/blobs"
    for path in (
        "/v2/_catalog", "/v2/_catalog?n=1", "/v2/_catalog?n=1&last=a", f"{models}/tags/list", f"{models}/tags/list?n=5",
        f"{models}/referrers/{digest}", "/docker/registry/v2/", "/v2/../outside", "/v2/%2e%2e/outside",
        f"{models}/manifests/", f"{models}/manifests/..", f"{models}/manifests/../../tags", f"{models}/manifests/_x/y",
        f"{models}/manifests/{tag(ABSENT)}", f"{models}/manifests/{ABSENT}", f"{blobs}/{ABSENT}", f"{blobs}/{tag(digest)}",
        f"{blobs}/uploads/", "/v2/slipway/_uploads/manifests/x", f"/v2/../slipway/{MODELS}/manifests/{tag(digest)}",
        f"/v2/{'a/' * 200}manifests/x", f"/v2/slipway/{DATA}/manifests/{tag(digest)}", f"{blobs}/{data}",
    ):  # fmt: skip
        asked = requests.Request("GET", store.read).prepare()
        asked.url = store.read + path  # as it stands: the client would tidy it
        with requests.Session() as session:
            answer = session.send(asked, timeout=5)
        assert answer.status_code == 404, path
        assert "not of the store" not in answer.text
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in (f"{blobs}/uploads/", f"{models}/manifests/{tag(digest)}", f"{blobs}/{data}"):
            assert requests.request(method, store.read + path, data=b"x" * 70_000, timeout=5).status_code == 405
    assert fetched(pod, store, digest) == ""


def test_the_reader_turns_away_whom_it_has_no_room_for_and_takes_them_later(tmp_path: Path) -> None:
    with Reader(("127.0.0.1", 0), tmp_path, connections=1) as reader:
        threading.Thread(target=reader.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        url = f"http://127.0.0.1:{reader.server_port}/v2/"
        with requests.Session() as first:
            assert first.get(url, timeout=5).ok  # and the connection stays open
            with pytest.raises(requests.ConnectionError):
                requests.get(url, timeout=5)
        assert StoreClient(Store(url=url.removesuffix("/v2/"))).manifest(MODELS, "none") is None
        reader.shutdown()


def test_the_password_goes_to_no_other_address_that_an_answer_names(pod: Pod, tmp_path: Path) -> None:
    (pod.at(PUSH) / "username").write_text("slipway")
    (pod.at(PUSH) / "password").write_text("s3cr3t-of-the-store")
    heard: list[str] = []

    def other(path: str, headers: dict[str, str]) -> Answer:
        heard.append(headers.get("authorization", "none"))
        return 404, {}, b""

    with answering(other) as elsewhere:

        def moved(path: str, headers: dict[str, str]) -> Answer:
            assert headers["authorization"].startswith("Basic ")
            return 307, {"Location": f"{elsewhere}/there"}, b""

        with answering(moved) as url:
            assert StoreClient(Store(url=url), pod.inside).manifest(MODELS, "any") is None
            session = StoreClient(Store(url=url), pod.inside)._session
            session.get(elsewhere, timeout=5)  # as for an upload that the store wants elsewhere
    assert heard == ["none", "none"]


def garbage_collected(store: ChartStore) -> None:
    done = subprocess.run(
        [str(program("registry")), "garbage-collect", str(store.config)],
        env={**os.environ, "OTEL_TRACES_EXPORTER": "none"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def listed(folder: Path, name: str, *digests: str) -> str:
    """A list for the collection, as the page's command makes it."""
    (folder / name).write_text("".join(f"{digest}\n" for digest in digests))
    return str(folder / name)


def test_nothing_is_pushed_while_the_store_is_read_only_and_pods_read_on(
    pod: Pod, stopped: ChartStore, tmp_path: Path
) -> None:
    made = model(tmp_path, "first")
    with stopped.up() as store:
        digest = pushed(store.for_imports(pod), made)
    with stopped.up(readOnly=True) as store:
        for again in (made, model(tmp_path, "second")):  # also what is there already: an import must not end now
            with pytest.raises(Refused) as refused:
                pushed(store.for_imports(pod), again)
            assert refused.value.reason == "StoreReadOnly"
        assert fetched(pod, store, digest) == ""


def test_collecting_removes_what_no_cluster_names_and_nothing_else(
    pod: Pod, stopped: ChartStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with stopped.up() as store:
        client = store.for_imports(pod)
        ours, theirs, old = (pushed(client, model(tmp_path, name)) for name in ("ours", "theirs", "old"))
        data, old_data = pushed_data(client, b"a\n1\n"), pushed_data(client, b"a\n2\n")
        renamed = blob_of(lambda: iter([b"a\n1\n"]))  # the same data under another name: its first manifest is untagged
        client.push(DATA, tag(data), renamed, {TITLE: "other.csv", EXTENSION: ".csv"}, image=False)
        client.push(MODELS, "by-hand", blob_of(lambda: iter([b"of somebody"])), {TITLE: "f"}, image=False)
        gone = client.manifest(MODELS, tag(old))
        kept = client.manifest(MODELS, tag(ours))
    assert gone and kept
    lists = [listed(tmp_path, "a.txt", ours, data, ABSENT), listed(tmp_path, "b.txt", theirs)]
    volume = ["--root", str(stopped.volume)]
    with stopped.up(readOnly=True) as store:
        assert collect.main([*volume, *lists, "--delete"]) == 0
        assert fetched(pod, store, old) == "", "what was pushed within a day stays"
        volume += ["--new-hours", "0"]
        assert collect.main([*volume, *lists]) == 0
        assert f"would remove slipway/{MODELS}:{tag(old)}" in capsys.readouterr().out
        assert fetched(pod, store, old) == "", "it only said so"

        assert collect.main([*volume, *lists, "--delete"]) == 0
        said = capsys.readouterr().out
        assert f"slipway/{MODELS}: 2 kept as named, 0 kept as new, 1 not of Slipway, 1 removed" in said
        assert f"slipway/{DATA}: 1 kept as named, 0 kept as new, 0 not of Slipway, 1 removed" in said
        garbage_collected(store)
        assert [fetched(pod, store, digest) for digest in (ours, theirs, old)] == ["", "", "ArtifactMissing"]
        assert collect.main([*volume, *lists, "--delete"]) == 0, "again, with nothing left to do"

    left = Volume(stopped.volume)
    assert not left.blob(gone["layers"][0]["digest"]).exists(), "its space is free"
    assert left.blob(kept["layers"][0]["digest"]).exists()
    assert (left.blob(data).exists(), left.blob(old_data).exists()) == (True, False)
    assert not left.untagged(f"slipway/{DATA}")
    with stopped.up() as store:
        client = store.for_imports(pod)
        assert client.manifest(MODELS, "by-hand")
        assert client.manifest(DATA, tag(data))
        assert pushed(client, (tmp_path / "old", old)) == old, "what is needed after all is imported again"
        assert fetched(pod, store, old) == ""


def test_all_of_one_kind_may_go(pod: Pod, stopped: ChartStore, tmp_path: Path) -> None:
    with stopped.up() as store:
        digest = pushed(store.for_imports(pod), model(tmp_path, "first"))
        data = pushed_data(store.for_imports(pod), b"a\n1\n")
    assert (
        collect.main(["--root", str(stopped.volume), "--new-hours", "0", "--delete", listed(tmp_path, "l", digest)])
        == 0
    )
    garbage_collected(stopped)
    assert not Volume(stopped.volume).blob(data).exists()
    with stopped.up() as store:
        assert fetched(pod, store, digest) == ""
        assert pushed_data(store.for_imports(pod), b"a\n1\n") == data


WRONG_LISTS: list[tuple[list[str], str]] = [
    ([], "there is no list"),
    (["missing"], "cannot be read"),
    ([""], "is empty"),
    (["{digest}\n", ""], "is empty"),
    (["{digest}"], "cut off"),
    (["{digest}\nsha256:abc\n"], "line 2: 'sha256:abc' is no digest"),
    (["error: the server could not find the requested resource\n"], "line 1: 'error: the server"),
    (["\n"], "line 1: '' is no digest"),
    (["{digest}\n", f"{ABSENT}\n"], "names nothing that is in this store"),
]


def test_a_list_that_looks_wrong_ends_the_collection_before_it_began(
    pod: Pod, store: ChartStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    client = store.for_imports(pod)
    digest, other = (pushed(client, model(tmp_path, name)) for name in ("first", "second"))
    for lists, says in WRONG_LISTS:
        paths = [tmp_path / f"list-{number}" for number in range(len(lists))]
        for path, text in zip(paths, lists, strict=True):
            path.unlink(missing_ok=True)
            if text != "missing":
                path.write_text(text.format(digest=digest))
        words = ["--root", str(store.volume), "--new-hours", "0", "--delete", *map(str, paths)]
        assert collect.main(words) == 1, says
        assert says in capsys.readouterr().err
    assert [fetched(pod, store, one) for one in (digest, other)] == ["", ""]


def test_another_volume_is_not_collected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect.main(["--root", str(tmp_path), "--delete", listed(tmp_path, "l", ABSENT)]) == 1
    assert "is it the store's?" in capsys.readouterr().err
