"""An environment that is rebuilt: what is taken, from where, what is refused, and that nothing of it runs."""

import contextlib
import io
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from slipway.api.tasks import CANDIDATE, ENVIRONMENT, INDEX, EnvironmentTask, FetchTask, Index
from slipway.runner import tree
from slipway.runner.outcome import Refused
from slipway.runner.rebuild import rebuild
from slipway.runner.store import ENVIRONMENTS, PYTHON, TITLE, StoreClient, blob_of, tag

from tests.ports import free_port
from tests.runner.indexes import PackageIndex, serving, wheel
from tests.runner.pods import Ended, Pod, StoreOnDisk
from tests.runner.test_fetch import pushed

LIMIT = 50_000_000
MINOR = ".".join(platform.python_version_tuple()[:2])
SPY = "import pathlib, sys\npathlib.Path(sys.prefix, 'it-ran').write_text('yes')\n"


@dataclass
class World:
    """A store, two indexes of the platform, and a pod with a model."""

    pod: Pod
    store: StoreOnDisk
    private: PackageIndex
    public: PackageIndex
    folder: Path

    def model(self, wheels: dict[str, Path] | None = None, **files: str) -> str:
        """The digest of a model with these files, by their names up to the dot, and wheels; it is in the store."""
        names = {
            "requirements": "requirements.txt",
            "conda": "conda.yaml",
            "python": "python_env.yaml",
            "lock": "uv.lock",
            "constraints": "constraints.txt",
        }
        folder = self.folder / f"model-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        (folder / "MLmodel").write_text(f"flavors: {{}}  # {folder}\n")
        for name, text in files.items():
            (folder / names[name]).write_text(text)
        for path, file in (wheels or {}).items():
            (folder / path).parent.mkdir(exist_ok=True)
            shutil.copy(file, folder / path)
        return pushed(self.store, folder)

    def rebuild(
        self, digest: str, max_bytes: int = LIMIT, indexes: tuple[Index, ...] | None = None, **chosen: Any
    ) -> Ended:
        """How the program ended."""
        both = (Index(name="private", url=self.private.url), Index(name="public", url=self.public.url))
        task = EnvironmentTask(
            digest=digest,
            indexes=both if indexes is None else indexes,
            max_bytes=max_bytes,
            store=self.store.store,
            **chosen,
        )
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                result = rebuild(task, self.pod.inside)
        except Refused as refused:
            return Ended(1, {"reason": refused.reason, "message": str(refused)}, "", said.getvalue())
        return Ended(0, result.wire(), "", said.getvalue())

    def of(self, requirements: str) -> Ended:
        """How it ended for a model with this requirements.txt."""
        return self.rebuild(self.model(requirements=requirements))

    def tags(self) -> list[str]:
        """Tags of locks, and of what was asked for."""
        folder = self.store.folder / "docker/registry/v2/repositories/slipway/environments/_manifests/tags"
        return [one.name for one in folder.iterdir() if one.name.startswith(("lock-", "asked-"))]

    def fetched(self, digest: str, environment: str) -> Path:
        """The environment in a pod, beside its model."""
        task = FetchTask(store=self.store.store, candidate_digest=digest, candidate_environment=environment)
        ended = self.pod.run("fetch", task)
        assert ended.code == 0, ended.stderr
        assert tree.scan(self.pod.at(CANDIDATE))
        return self.pod.at(ENVIRONMENT)


@pytest.fixture
def world(pod: Pod, store: StoreOnDisk, tmp_path: Path) -> Iterator[World]:
    folders = [tmp_path / name for name in ("private", "public", "models")]
    for folder in folders:
        folder.mkdir()
    private, public, models = folders
    # Versions that no other test of this store asks for: what was locked once is known.
    wheel(private, "airline-features", f"1.{free_port()}", ("shared-lib>=1",))
    wheel(private, "shared-lib", "1.0")
    wheel(public, "shared-lib", "9.0")
    wheel(public, "flights", "2.0", ("shared-lib", "nvidia-nccl-cu12"), {"flights-spy.pth": f"exec({SPY!r})\n"})
    wheel(public, "flights", "3.0", ("shared-lib", "absent-lib"))
    wheel(public, "needs-old", "1.0", ("shared-lib<1",))
    wheel(public, "nvidia-nccl-cu12", "2.0")
    wheel(public, "torch", "2.0", ("nvidia-nccl-cu12",))
    with serving(private) as one, serving(public) as two:
        yield World(pod, store, one, two, models)


def test_packages_are_taken_and_lie_in_a_pod_with_their_byte_code(world: World) -> None:
    digest = world.model(requirements="flights==2.0\n")
    ended = world.rebuild(digest)
    assert (ended.code, ended.termination["packages"]) == (0, 2), ended.stderr
    folder = world.fetched(digest, ended.termination["digest"])
    assert (folder / "flights.py").is_file()
    assert list(folder.glob("__pycache__/flights.*.pyc"))
    assert not list(Path(sys.prefix).glob("it-ran")), "a .pth file is code, and no interpreter has read it"
    assert not (folder / "nvidia_nccl_cu12.py").exists(), "a CPU does without it"


def test_what_loads_the_libraries_of_a_gpu_keeps_them(world: World) -> None:
    ended = world.of("torch==2.0\n")
    assert ended.termination["packages"] == 2, ended.stderr


def test_a_program_runs_in_these_packages_and_in_none_of_the_image(world: World) -> None:
    digest = world.model(requirements="flights==2.0\n")
    folder = world.fetched(digest, world.rebuild(digest).termination["digest"])
    asked = world.folder / "asked.py"
    asked.write_text(
        "import json, flights, sys, subprocess\n"
        "try:\n    import numpy\nexcept ImportError as error:\n    numpy = None\n"
        "ask = 'import flights, importlib.util as found; print(flights.__file__, found.find_spec(\\'numpy\\'))'\n"
        "child = subprocess.run([sys.executable, '-c', ask], capture_output=True)\n"
        "print(json.dumps([flights.VERSION, flights.__file__, numpy is None, child.stdout.decode().strip(), sys.argv]))\n"
    )
    command = [sys.executable, "-m", "slipway.runner.inside", str(folder), str(asked), "more"]
    said = subprocess.run(command, env=world.pod.environment(), capture_output=True, text=True, check=True, cwd="/")
    version, place, alone, of_child, arguments = json.loads(said.stdout)
    assert (version, place, alone) == ("2.0", str(folder / "flights.py"), True)
    assert (of_child, arguments) == (f"{place} None", [str(asked), "more"]), "nor do the processes that it starts"


def test_an_image_that_has_what_is_needed_is_used_and_no_index_is_asked(world: World) -> None:
    ended = world.of("pandas>=1\n")
    assert (ended.code, ended.termination) == (0, {"packages": 0, "sizeBytes": 0, "notes": ""}), ended.stderr
    assert not (world.private.asked or world.public.asked)


def test_each_package_comes_from_the_first_index_that_has_it(world: World) -> None:
    digest = world.model(requirements="airline-features\nshared-lib\n")
    folder = world.fetched(digest, world.rebuild(digest).termination["digest"])
    assert "1.0" in (folder / "shared_lib.py").read_text(), "though the public index has a later one"
    assert world.public.projects() == set(), "no name of a private index is looked up on a public one"


def test_the_same_requirements_get_the_same_packages_without_asking_anybody(world: World) -> None:
    first = world.of("airline-features\n")
    wheel(world.private.folder, "shared-lib", "1.5")
    world.private.asked.clear()
    again = world.of("airline-features\n")
    assert first.termination["digest"] == again.termination["digest"]
    assert not world.private.asked


def test_other_requirements_with_the_same_lock_share_the_environment(world: World) -> None:
    first = world.of("airline-features\n")
    again = world.of("airline-features\nshared-lib==1.0\n")
    assert first.termination["digest"] == again.termination["digest"]
    assert "has the same lock" in again.stderr and "unpacked" not in again.stderr


def test_what_the_files_say_of_where_packages_come_from_decides_nothing(world: World) -> None:
    nobody = f"http://127.0.0.1:{free_port()}/simple"
    ended = world.of(
        f"--index-url {nobody}\n--extra-index-url {nobody}\n--trusted-host x\n--find-links /x\nflights==2.0\n"
    )
    assert ended.code == 0, ended.stderr
    assert "--index-url" in ended.termination["notes"]


@pytest.mark.parametrize(
    ("requirements", "says"),
    [
        ("nobody-has-this==1\n", "nobody-has-this was not found"),
        ("flights==9\n", "there is no version of flights==9"),
        ("flights==3.0\n", "absent-lib was not found"),
        ("needs-old==1.0\nshared-lib==1.0\n", "all versions of needs-old depend on shared-lib<1"),
        ("flights @ https://example.com/flights.whl\n", "'flights from a URL': no name and version"),
        ("-e git+https://example.com/mine\n", "'-e git+https://…': no name and version"),
        ("-r more.txt\n", "'-r more.txt': no name"),
    ],
)
def test_what_cannot_be_had_is_named_first(world: World, requirements: str, says: str) -> None:
    ended = world.of(requirements)
    assert (ended.code, ended.reason) == (1, "EnvironmentNotReproducible"), ended.stderr
    assert ended.message.startswith(says), ended.message


def test_a_package_that_would_have_to_be_built_is_named(world: World) -> None:
    (world.public.folder / "sources-only-1.0.tar.gz").write_bytes(b"")
    world.public._link = lambda file: f'<a href="/files/{file.name}">{file.name}</a>'  # type: ignore[method-assign]
    answer = world.public.answer
    page = b'<a href="/files/sources-only-1.0.tar.gz">sources-only-1.0.tar.gz</a>'
    world.public.answer = lambda path: (200, page) if "sources-only" in path else answer(path)  # type: ignore[method-assign]
    ended = world.of("sources-only==1.0\n")
    assert (ended.reason, "no usable wheels" in ended.message) == ("EnvironmentNotReproducible", True), ended.stderr
    assert ended.message.startswith("sources-only==1.0")


@pytest.mark.parametrize("refuses", [True, None])
def test_a_model_that_states_nothing_is_refused_where_the_platform_says_so(world: World, refuses: bool | None) -> None:
    ended = world.rebuild(world.model(), refuse_unstated=refuses)
    assert (ended.code, ended.reason) == ((1, "EnvironmentUnstated") if refuses else (0, "")), ended.stderr
    assert not world.private.asked and not world.public.asked


def test_another_python_is_refused_by_name(world: World) -> None:
    ended = world.rebuild(world.model(requirements="flights==2.0\n", python="python: 3.6.1\n"))
    assert ended.reason == "EnvironmentNotReproducible"
    assert ended.message.startswith(f"python 3.6.1 wanted, {MINOR}")
    assert ended.message.endswith(f"there are images for {MINOR}")


ANOTHER = "python: 3.99.1\n"  # that no machine has


def test_another_python_that_has_an_image_is_for_that_image_to_bring(world: World) -> None:
    digest = world.model(requirements="flights==2.0\n", python=ANOTHER)
    ended = world.rebuild(digest, pythons=("3.6", "3.99"))
    assert (ended.code, ended.termination["python"]) == (0, "3.99"), ended.stderr
    assert "digest" not in ended.termination and not world.public.asked


def test_an_image_that_has_another_python_than_the_platform_says_is_named(world: World) -> None:
    digest = world.model(requirements="flights==2.0\n", python=ANOTHER)
    ended = world.rebuild(digest, python="3.99", pythons=("3.99",))
    assert ended.reason == "EnvironmentNotReproducible"
    assert ended.message.startswith(f"the image that runtimes names for Python 3.99 has {MINOR}")


def test_a_model_may_run_on_the_nearest_python_and_it_is_said(world: World) -> None:
    digest = world.model(requirements="flights==2.0\n", python="python: 3.9.7\n")
    ended = world.rebuild(digest, pythons=("3.99",), python_minor="Nearest")
    assert (ended.code, ended.termination["packages"]) == (0, 2), ended.stderr
    assert ended.termination["notes"].startswith(f"python 3.9.7 wanted, {MINOR}")
    assert "python" not in ended.termination, "it is the runner image's own"
    chosen = world.rebuild(digest, python=MINOR, pythons=(MINOR,), python_minor="Nearest")
    assert (chosen.termination["python"], "nearest" in chosen.termination["notes"]) == (MINOR, True), chosen.stderr
    of_the_image = world.rebuild(world.model(requirements="pandas>=1\n", python=ANOTHER), python_minor="Nearest")
    assert "digest" not in of_the_image.termination and "nearest" in of_the_image.termination["notes"]


def test_conda_alone_says_enough(world: World) -> None:
    conda = {
        "dependencies": [f"python={MINOR}.4", "pip<=24", "flights=2.0=py311_0", {"pip": ["airline-features"]}],
        "name": "mlflow-env",
    }
    ended = world.rebuild(world.model(conda=json.dumps(conda)))
    assert (ended.code, ended.termination.get("packages")) == (0, 3), ended.stderr
    assert "flights==2.0 of conda was taken from the package index" in ended.termination["notes"]


@pytest.mark.parametrize("status", [503, 401, 403])
def test_an_index_that_does_not_answer_tells_nothing_of_the_packages(world: World, status: int) -> None:
    world.private.status = status
    ended = world.of(f"flights==2.0\nsome-other-{status}\n")
    assert (ended.code, ended.reason) == (1, "IndexUnreachable"), ended.stderr
    assert "private" in ended.message or world.private.url in ended.message, ended.message


def test_an_index_where_nobody_listens_is_unreachable(world: World) -> None:
    nobody = Index(name="away", url=f"http://127.0.0.1:{free_port()}/simple")
    ended = world.rebuild(world.model(requirements="flights==2.0\n"), indexes=(nobody,))
    assert ended.reason == "IndexUnreachable", ended.stderr


def test_other_bytes_under_a_hash_are_refused(world: World) -> None:
    world.public.swapped["flights-2.0-py3-none-any.whl"] = wheel(world.folder, "flights", "2.0").read_bytes()
    ended = world.of("flights==2.0\nneeds-nothing-else>=0; python_version < '3'\n")
    assert (ended.reason, "flights" in ended.message) == ("IndexRejected", True), ended.stderr


def test_a_credential_is_for_its_index_and_stands_in_no_log(world: World) -> None:
    world.private.password = "s3cr3t of the team"
    folder = world.pod.at(INDEX)
    (folder / "private.username").write_text("team")
    (folder / "private.password").write_text(world.private.password)
    for requirements in ("airline-features\n", "airline-features\nnobody-has-this\n"):
        digest, index = world.model(requirements=requirements), Index(name="private", url=world.private.url)
        task = EnvironmentTask(digest=digest, indexes=(index,), max_bytes=LIMIT, store=world.store.store)
        ended = world.pod.run("rebuild", task)
        assert ended.code == ("nobody" in requirements), ended.stderr
        assert world.private.password not in ended.stdout + ended.stderr + json.dumps(ended.termination)


def test_more_than_is_allowed_is_told_with_its_size(world: World) -> None:
    ended = world.rebuild(world.model(requirements="airline-features\nflights==2.0\n"), max_bytes=1000)
    assert ended.reason == "ArtifactTooLarge", ended.stderr
    assert "3 packages" in ended.message


def test_packages_that_were_swapped_in_the_store_are_noticed(world: World) -> None:
    digest = world.model(requirements="airline-features\n")
    packages = world.rebuild(digest).termination["digest"]
    task = FetchTask(store=world.store.store, candidate_digest=digest, candidate_environment=packages)
    blob = world.store.blob(packages)
    content = blob.read_bytes()
    blob.write_bytes(content.replace(b"VERSION", b"REVISED"))
    ended = world.pod.run("fetch", task)
    assert (ended.code, ended.reason) == (1, "DigestMismatch"), ended.stderr
    blob.write_bytes(content)
    other = world.rebuild(world.model(requirements="torch==2.0\n")).termination["digest"]
    StoreClient(world.store.store).name(ENVIRONMENTS, tag(other), tag(packages))
    ended = world.pod.run("fetch", task)
    assert (ended.code, ended.reason) == (1, "DigestMismatch"), ended.stderr


DATES = "dependencies:\n- x: 2020-13-45\n"
ALIASES = "a: &a [x, x]\nb: &b [*a, *a]\ndependencies: [*b, {pip: [*b]}]\n"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"requirements": "flights; python_version ~= 'abc'\n"}, "\"flights; python_version ~= 'abc'\": no name"),
        ({"requirements": "flights; python_version > '3\"\\n--extra-index-url http://evil\\n#'\n"}, "'flights; python"),
        ({"requirements": "=== 3\nflights==2.0\n"}, "'=== 3': no name"),
        ({"conda": "dependencies: [{pip: 5}, flights=1.2|1.3]\n"}, "'conda: flights=1.2|1.3'"),
        ({"conda": ALIASES}, "'conda: what is no package'"),
        ({"conda": DATES}, "conda.yaml is not YAML"),
        ({"requirements": "flights==2.0\n", "python": "{"}, "python_env.yaml is not YAML"),
    ],
)
def test_files_of_nonsense_are_refused_by_what_is_wrong_with_them(
    world: World, files: dict[str, str], says: str
) -> None:
    ended = world.rebuild(world.model(**files))
    assert (ended.code, ended.reason) == (1, "EnvironmentNotReproducible"), ended.stderr
    assert ended.message.startswith(says), ended.message


def test_notes_hold_no_address_and_fit_into_a_termination_message(world: World) -> None:
    options = "".join(f"--{number}\x01\u00fc --{number}\n" for number in range(200))
    digest = world.model(requirements=f"--index-url=https://u:p@ss/w@h/simple?token=secret\n{options}flights==2.0\n")
    indexes = (Index(name="public", url=world.public.url),)
    ended = world.pod.run(
        "rebuild", EnvironmentTask(digest=digest, indexes=indexes, max_bytes=LIMIT, store=world.store.store)
    )
    assert ended.code == 0, ended.stderr
    assert ended.termination["notes"].startswith("--index-url; --0"), ended.termination["notes"]
    assert "secret" not in ended.stderr + json.dumps(ended.termination)


def test_programs_among_packages_can_be_run(world: World) -> None:
    folder = world.folder / "packages"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "tool").write_text("#!/bin/sh\n")
    (folder / "bin" / "tool").chmod(0o755)
    (folder / "data").write_text("no program")
    tar = io.BytesIO(b"".join(tree.pack(folder, tree.packages(folder))))
    (world.folder / "there").mkdir()
    tree.unpack(tar, world.folder / "there", 10**6, programs=True)
    modes = {one.name: one.stat().st_mode & 0o777 for one in (world.folder / "there").rglob("*") if one.is_file()}
    assert modes["tool"] == 0o755 and not modes["data"] & 0o111


def test_what_is_known_is_measured_by_the_limit_of_now(world: World) -> None:
    digest = world.model(requirements="airline-features\n")
    assert world.rebuild(digest).code == 0
    assert world.rebuild(digest, max_bytes=1000).reason == "ArtifactTooLarge"


def test_packages_of_another_python_are_not_unpacked(world: World) -> None:
    digest = world.model(requirements="airline-features\n")
    packages = world.rebuild(digest).termination["digest"]
    client = StoreClient(world.store.store)
    layer = world.store.blob(packages).read_bytes()
    notes = {TITLE: "environment.tar", PYTHON: "3.6"}
    client.push(ENVIRONMENTS, tag(packages), blob_of(lambda: iter([layer])), notes, image=True)
    task = FetchTask(store=world.store.store, candidate_digest=digest, candidate_environment=packages)
    ended = world.pod.run("fetch", task)
    assert (ended.code, ended.reason) == (1, "EnvironmentNotReproducible"), ended.stderr
    assert ended.message.startswith("its packages are for Python 3.6")
    of_that = task.model_copy(update={"candidate_python": "3.6"})
    assert world.pod.run("fetch", of_that).code == 0, "they are used on an image of that Python"


def test_what_no_pod_would_take_is_made_anew(world: World) -> None:
    digest = world.model(requirements="airline-features\n")
    packages = world.rebuild(digest).termination["digest"]
    client = StoreClient(world.store.store)
    manifest = client.manifest(ENVIRONMENTS, tag(packages))
    assert manifest is not None
    layer = world.store.blob(packages).read_bytes()
    for wrong in ({PYTHON: "3.6"}, {"dev.slipway.digest": "sha256:" + "0" * 64}):
        notes = manifest["annotations"] | wrong
        client.push(ENVIRONMENTS, tag(packages), blob_of(lambda: iter([layer])), notes, image=True)
        for name in world.tags():
            client.name(ENVIRONMENTS, tag(packages), name)
        again = world.rebuild(digest)
        assert (again.termination["digest"], "unpacked" in again.stderr) == (packages, True), again.stderr
        assert world.fetched(digest, packages)
