"""What else lies in a model and says what it needs: a project's lock, constraints, wheels; and what is hostile in it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from slipway.api.tasks import CANDIDATE_PREDICTIONS, ScoreTask

from tests.ports import free_port
from tests.runner.indexes import PackageIndex, serving, wheel
from tests.runner.pods import Pod
from tests.runner.test_rebuild import World, world
from tests.runner.test_score import model_of

__all__ = ["world"]

UV = str(Path(sys.executable).with_name("uv"))
PROJECT = (
    '[project]\nname = "flights-trainer"\nversion = "0.1.0"\nrequires-python = ">=3.10"\ndependencies = {needs}\n{more}'
)


def locked(world: World, *needs: str, more: str = "") -> tuple[str, str]:
    """The lock that uv makes of a project that needs this, and what it exports, as MLflow has it do."""
    folder = world.folder / f"project-{len(list(world.folder.iterdir()))}"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT.format(needs=json.dumps(needs), more=more))
    indexes = ["--index", world.private.url, "--default-index", world.public.url, "--cache-dir", str(folder / "cache")]
    options = ["-q", "--python", sys.executable, "--no-python-downloads"]
    subprocess.run([UV, "lock", *options, *indexes], cwd=folder, check=True)
    export = ["export", "--frozen", "--no-hashes", "--no-dev", "--no-header", "--no-annotate", "--no-emit-project"]
    found = subprocess.run([UV, *export, *options], cwd=folder, capture_output=True, text=True, check=True).stdout
    world.private.asked.clear()
    world.public.asked.clear()
    return (folder / "uv.lock").read_text(), found


def version(world: World, digest: str, environment: str, module: str) -> str:
    """The version of a module in the packages."""
    return (world.fetched(digest, environment) / f"{module}.py").read_text()


@pytest.mark.parametrize("exported", [True, False], ids=["with requirements.txt", "alone"])
def test_a_projects_lock_says_which_versions(world: World, exported: bool) -> None:
    lock, requirements = locked(
        world, "airline-features", "flights<3; python_version>'3'", "torch; sys_platform=='win32'"
    )
    wheel(world.private.folder, "shared-lib", "1.5")
    digest = world.model(lock=lock, **({"requirements": requirements} if exported else {}))
    ended = world.rebuild(digest)
    assert (ended.code, ended.termination["packages"]) == (0, 3), ended.stderr
    assert "'1.0'" in version(world, digest, ended.termination["digest"], "shared_lib"), "though there is a later one"


def test_a_lock_names_no_place_to_get_a_package_from(world: World) -> None:
    with serving(world.private.folder) as theirs:
        lock, requirements = locked(world, "airline-features")
        lock = lock.replace(world.private.url, theirs.url).replace(
            world.private.url.removesuffix("simple/"), theirs.url
        )
        ended = world.rebuild(world.model(lock=lock, requirements=f"--extra-index-url {theirs.url}\n{requirements}"))
        assert ended.code == 0, ended.stderr
        assert not theirs.asked


@pytest.mark.parametrize("exported", [True, False], ids=["with requirements.txt", "alone"])
def test_another_file_than_the_lock_knows_is_refused(world: World, exported: bool) -> None:
    lock, requirements = locked(world, "flights==2.0")
    wheel(world.public.folder, "flights", "2.0", ("shared-lib",), {"more.py": ""})
    ended = world.rebuild(world.model(lock=lock, **({"requirements": requirements} if exported else {})))
    assert (ended.code, ended.reason) == (1, "IndexRejected"), ended.stderr
    assert ended.message.startswith("flights==2.0: an index has other files than the hashes"), ended.message


def test_a_lock_that_is_not_of_these_requirements_is_left_out_and_said(world: World) -> None:
    lock, _ = locked(world, "airline-features")
    wheel(world.private.folder, "shared-lib", "1.5")
    digest = world.model(lock=lock, requirements="airline-features\nshared-lib==1.5\n")
    ended = world.rebuild(digest)
    assert ended.code == 0, ended.stderr
    assert "uv.lock was left out: shared-lib==1.5 is needed, and it has ==1.0" in ended.termination["notes"]


ENTRY = '[[package]]\nname = "mine"\nversion = "1.0"\nsource = {{ {source} }}\n'
ROOT = (
    '[[package]]\nname = "root"\nversion = "1"\nsource = {{ virtual = "." }}\ndependencies = [{{ name = "{needs}" }}]\n'
)


@pytest.mark.parametrize(
    ("lock", "says"),
    [
        (ROOT.format(needs="mine") + ENTRY.format(source='git = "https://example.com/mine?rev=1#2"'), "'mine of git': no name"),
        (ROOT.format(needs="mine") + ENTRY.format(source='url = "https://example.com/x.whl"'), "'mine of url': no name"),
        (ROOT.format(needs="mine") + ENTRY.format(source='path = "../mine.whl"'), "'mine of path': no name"),
        (ROOT.format(needs="mine") + ENTRY.format(source='editable = "mine"'), "'mine of editable': no name"),
        (ENTRY.format(source='editable = "mine"'), "'uv.lock of no project': no name"),
        ("package = 5", "uv.lock is no lock of a uv project"),
        ("[", "uv.lock is no lock of a uv project"),
        (ROOT.format(needs="mine") + ENTRY.format(source='registry = "x"').replace("1.0", "1 --index-url x"), "mine was not found"),
        ("#" * 17_000_000, "uv.lock is larger than"),
    ],
)  # fmt: skip
def test_what_no_index_can_answer_is_named(world: World, lock: str, says: str) -> None:
    ended = world.rebuild(world.model(lock=lock))
    assert (ended.code, ended.reason) == (1, "EnvironmentNotReproducible"), ended.stderr
    assert ended.message.startswith(says), ended.message


def test_constraints_that_mlflow_wrote_bound_the_versions(world: World) -> None:
    wheel(world.private.folder, "shared-lib", "1.5")
    digest = world.model(
        requirements="airline-features\n-c constraints.txt\n", constraints="shared-lib<1.5\nunheard-of<3\n"
    )
    ended = world.rebuild(digest)
    assert ended.code == 0, ended.stderr
    assert "'1.0'" in version(world, digest, ended.termination["digest"], "shared_lib")


def test_a_wheel_of_the_model_is_taken_with_what_it_needs(world: World, tmp_path: Path) -> None:
    mine = wheel(tmp_path, "mine", "1.0", ("shared-lib",))
    wheel(world.public.folder, "mine", "9.0")
    digest = world.model(
        {f"code/{mine.name}": mine}, requirements=f"./code/{mine.name} ; python_version > '3'\nflights==2.0\n"
    )
    ended = world.rebuild(digest)
    assert (ended.code, ended.termination["packages"]) == (0, 3), ended.stderr
    assert "'1.0'" in version(world, digest, ended.termination["digest"], "mine")
    assert "mine" not in world.public.projects() | world.private.projects(), "no name of a model's wheel is looked up"
    wheel(tmp_path, "mine", "1.0", ("shared-lib",), {"mine.py": "VERSION = 'changed'\n"})
    digest = world.model(
        {f"code/{mine.name}": mine}, requirements=f"./code/{mine.name} ; python_version > '3'\nflights==2.0\n"
    )
    changed = world.rebuild(digest)
    assert changed.termination["digest"] != ended.termination["digest"], "it counts by what is in it"


def test_a_model_whose_packages_all_lie_in_it_needs_no_index_to_have_them(world: World, tmp_path: Path) -> None:
    """As `mlflow.models.add_libraries_to_model` writes one."""
    both = [wheel(tmp_path, "mine", "1.0", ("others",)), wheel(tmp_path, "others", "2.0")]
    wheels = {f"wheels/{one.name}": one for one in both}
    ended = world.rebuild(world.model(wheels, requirements="\n".join(wheels)))
    assert (ended.code, ended.termination["packages"]) == (0, 2), ended.stderr
    assert not world.private.asked and not world.public.asked


def test_an_older_python_and_another_machine_have_other_wheels(world: World, tmp_path: Path) -> None:
    mine = wheel(tmp_path, "mine", "1.0")
    for tags in ("cp36-cp36m-manylinux2014_x86_64", "py3-none-win_amd64"):
        name = f"mine-1.0-{tags}.whl"
        ended = world.rebuild(world.model({f"code/{name}": mine}, requirements=f"code/{name}\n"))
        assert ended.reason == "EnvironmentNotReproducible", ended.stderr
        assert ended.message == f"code/{name}: a wheel for another Python or machine: {tags}"


HIDDEN = "Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n{}\nRequires-Dist: x @ EVIL/x-1-py3-none-any.whl\n"


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        (HIDDEN.format("Summary: asks for another"), "it needs x from a URL"),
        (HIDDEN.format(""), "it needs x from a URL"),
        (HIDDEN.format("Requires-Dist: a\n  b"), "names a requirement that is none"),
        ("\0" * 2_000_000, "it has no metadata"),
    ],
)
def test_a_wheel_of_the_model_asks_nobody_but_the_indexes(
    world: World, evil: PackageIndex, tmp_path: Path, metadata: str, says: str
) -> None:
    said = metadata.replace("EVIL", evil.url)
    mine = wheel(tmp_path, "mine", "1.0", files={"mine-1.0.dist-info/METADATA": said})
    ended = world.rebuild(world.model({f"code/{mine.name}": mine}, requirements=f"code/{mine.name}\n"))
    assert (ended.code, ended.reason) == (1, "EnvironmentNotReproducible"), ended.stderr
    assert says in ended.message and not evil.asked, ended.message


def test_a_wheel_of_the_model_that_unpacks_to_too_much_is_not_unpacked(world: World, tmp_path: Path) -> None:
    mine = wheel(tmp_path, "mine", "1.0", files={"zeros": "0" * 3_000_000})
    ended = world.rebuild(world.model({mine.name: mine}, requirements=f"{mine.name}\n"), max_bytes=2_000_000)
    assert (ended.reason, "unpacked them" in ended.stderr) == ("ArtifactTooLarge", False), ended.stderr


@pytest.fixture
def evil(tmp_path: Path) -> Iterator[PackageIndex]:
    """An index that a model names, and the platform does not; it has a package of the platform's in another version."""
    folder = tmp_path / "evil"
    folder.mkdir()
    wheel(folder, "flights", "2.0", files={"evil.py": ""})
    with serving(folder) as index:
        yield index


TAKEN = [
    "--index-url EVIL\nflights==2.0", "-i EVIL\nflights==2.0", "--extra-index-url=EVIL\nflights==2.0", "-f EVIL\nflights==2.0",
    "--find-links EVIL\n--trusted-host *\n--pre\n--no-binary :all:\nflights==2.0", "--index-url ${EVIL_INDEX}\nflights==2.0",
    "flights==2.0 \\\n  --index-url EVIL", "flights==2.0 --hash=sha256:00 --config-settings=x=y --global-option=z",
    "flights==2.0 # @ EVIL", "\ufeffflights==2.0", "flights==2.0\n" * 5_000,
]  # fmt: skip
REFUSED = [
    ("flights @ EVIL/files/flights-2.0-py3-none-any.whl", "'flights from a URL'"),
    ("flights@git+EVIL", "'flights from a URL'"),
    ("EVIL/files/flights-2.0-py3-none-any.whl", "'http://…'"),
    ("git+EVIL#egg=flights", "'git+http://…'"),
    ("-e EVIL", "'-e http://…'"), ("--editable=.", "'--editable=.'"), ("-e\\\n.", "'-e .'"),
    ("-r EVIL", "'-r http://…'"), ("-rmore.txt", "'-rmore.txt'"), ("-c EVIL", "'-c http://…'"), ("-c constraints.txt", "'-c constraints"),
    ("flights==${VERSION}", "'flights==${VERSION}'"), ("$FLIGHTS", "'$FLIGHTS'"), ("flights==2.0; os_name == $(id)", "'flights==2.0; os_name"),
    ("./code", "'./code'"), ("file:///etc/passwd", "'file://…'"), ("/code/flights-2.0-py3-none-any.whl", "'/code/flights-2.0"),
    ("../flights-2.0-py3-none-any.whl", "'../flights-2.0"), ("code/flights-2.0-py3-none-any.whl", "code/flights-2.0-py3-none-any.whl: the requirements name it"),
    ("flights\0==2.0", "'flights"), ("x" * 1_100_000, "requirements.txt is larger than"),
]  # fmt: skip


@pytest.mark.parametrize("requirements", TAKEN, ids=range(len(TAKEN)))
def test_what_a_hostile_file_says_of_places_is_heard_by_nobody(
    world: World, evil: PackageIndex, requirements: str
) -> None:
    ended = world.of(requirements.replace("EVIL", evil.url))
    assert (ended.code, ended.termination.get("packages")) == (0, 2), ended.stderr
    assert not evil.asked


@pytest.mark.parametrize(("requirements", "says"), REFUSED, ids=range(len(REFUSED)))
def test_what_a_hostile_file_wants_from_elsewhere_is_refused_by_name(
    world: World, evil: PackageIndex, requirements: str, says: str
) -> None:
    ended = world.of(requirements.replace("EVIL", evil.url))
    assert (ended.code, ended.reason) == (1, "EnvironmentNotReproducible"), ended.stderr
    assert ended.message.startswith(says), ended.message
    assert not (evil.asked or world.public.asked or world.private.asked)


def test_a_package_of_an_index_asks_nobody_but_the_indexes(world: World, evil: PackageIndex) -> None:
    wheel(world.public.folder, "asks-for-more", "1.0", (f"x @ {evil.url}x-1-py3-none-any.whl",))
    ended = world.of("asks-for-more==1.0\n")
    assert (ended.reason, evil.asked) == ("EnvironmentNotReproducible", []), ended.stderr
    assert "asks-for-more==1.0" in ended.message


def test_packages_for_other_machines_only_are_named_with_these(world: World) -> None:
    wheel(world.public.folder, "office-tools", "1.0").rename(
        world.public.folder / "office_tools-1.0-py3-none-win_amd64.whl"
    )
    ended = world.of("office-tools==1.0\n")
    assert ended.reason == "EnvironmentNotReproducible", ended.stderr
    assert ended.message.startswith("office-tools==1.0 has no wheels with a matching platform tag"), ended.message
    assert "win_amd64" in ended.message


def test_versions_that_contradict_each_other_are_named(world: World) -> None:
    ended = world.of("needs-old==1.0\nflights==2.0\nshared-lib>1\n")
    assert ended.reason == "EnvironmentNotReproducible", ended.stderr
    assert "needs-old" in ended.message and "shared-lib" in ended.message, ended.message


def test_a_version_that_was_yanked_is_taken_where_it_is_named_and_said(world: World) -> None:
    name = wheel(world.public.folder, "withdrawn", "1.0").name
    world.public.yanked[name] = "wrong on Tuesdays"
    ended = world.of("withdrawn==1.0\n")
    assert ended.code == 0, ended.stderr
    assert "withdrawn==1.0" in ended.termination["notes"] and "wrong on Tuesdays" in ended.termination["notes"]
    assert world.of("withdrawn==1.0\n").termination == ended.termination, "it is said again of the next model"
    ended = world.of("withdrawn>=1\n")
    assert (ended.reason, "yanked" in ended.message) == ("EnvironmentNotReproducible", True), ended.stderr


@pytest.mark.parametrize(
    ("wheels", "requirements", "packages", "says"),
    [
        (("torch-2.5.0+cpu",), "torch==2.5.0", 1, "torch==2.5.0+cpu taken, for pods without a GPU"),
        (("torch-2.5.0+cpu", "torch-2.5.0+cu124"), "torch==2.5.0", 1, "torch==2.5.0+cpu taken, for pods without a GPU"),
        (("torch-2.5.0+cpu", "torchvision-0.20"), "torch==2.5.0\ntorchvision==0.20", 3, ""),
        (("torch-2.4.0+cpu",), "torch==2.5.0", 2, ""),
    ],
)  # fmt: skip
def test_torch_is_taken_for_a_cpu_where_an_index_has_that(
    world: World, wheels: tuple[str, ...], requirements: str, packages: int, says: str
) -> None:
    wheel(world.public.folder, "torch", "2.5.0", ("nvidia-nccl-cu12",))
    for one in wheels:
        name, _, number = one.partition("-")
        wheel(world.public.folder, name, number, () if number.endswith("cpu") else ("nvidia-nccl-cu12",))
    ended = world.of(requirements + f"\nshared-lib!={free_port()}\n")
    assert (ended.code, ended.termination.get("packages")) == (0, packages + 1), ended.stderr
    assert ended.termination["notes"] == says


def test_a_system_library_that_is_missing_is_named_at_the_end_of_the_log(pod: Pod, tmp_path: Path) -> None:
    model = model_of(tmp_path / "model", load="import ctypes; ctypes.CDLL('libGL-of-nobody.so.1')")
    ended = pod.run("score", ScoreTask(model=str(model), features=None, predictions=str(pod.at(CANDIDATE_PREDICTIONS))))
    last = ended.stderr.strip().splitlines()[-1]
    assert (ended.code, "libGL-of-nobody.so.1: cannot open shared object file" in last) == (10, True), last
