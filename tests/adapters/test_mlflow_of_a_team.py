"""Slipway and MLflow as a team runs it: everything that is asked and written goes through the team's own front door."""

import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from slipway.adapters.errors import AdapterError, Forbidden, Rejected, Unauthorized, Unreachable
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.mlflow_lists import MODELS_PAGE
from slipway.adapters.ports import silence
from slipway.api.tasks import CREDENTIALS, ImportTask, RegistryAccess
from slipway.core.permissions import Use, missing
from slipway.core.registry import Absent, Entry, Labels, Write
from slipway.runner.mlflow_files import MLflow
from slipway.runner.registry_session import RegistrySession

from tests.adapters.conftest import PATIENT
from tests.adapters.registry_shelf import MLMODEL, NUMBERS, MLflowShelf, Reader
from tests.controller.registry_world import PLACE, World
from tests.memory_registry import Model
from tests.runner.conftest import pod, store
from tests.runner.pods import Ended, Pod, StoreOnDisk

pytest.importorskip("psycopg2", reason="MLflow needs psycopg2-binary for PostgreSQL: make venv")
from tests.team_mlflow import AUTHORITY, USER, Team

__all__ = ["pod", "store"]

SECRET = "the first password of slipway"
STATE = "slipway.dev/test/ml/state"
LINE = "**Slipway test/ml:** serves since noon"
PAGE = b"<html><head><title>404 Not Found</title></head></html>"


@pytest.fixture(scope="module", autouse=True)
def ours(team: Team) -> None:
    """A user of ours who may do what the documentation asks for."""
    team.user(USER, SECRET, registered_model="MANAGE", experiment="READ")


@pytest.fixture
async def registry(team: Team) -> AsyncIterator[MLflowRegistry]:
    found = MLflowRegistry(team.connection(SECRET), patience=PATIENT)
    yield found
    await found.close()


@pytest.fixture
def shelf(team: Team, registry: MLflowRegistry) -> MLflowShelf:
    return MLflowShelf(registry, team.server)


@pytest.fixture
def name(shelf: MLflowShelf) -> str:
    """A registered model with two versions."""
    found = f"Flight air time (v{next(NUMBERS)}) & Üb'ung"
    for _ in range(2):
        shelf.register(found, shelf.log(Model(MLMODEL, requirements=b"xgboost-cpu\n")))
    return found


class TestLabels:
    async def test_the_version_of_the_server_is_read_below_its_path(self, registry: MLflowRegistry) -> None:
        assert await registry.server_version() == "3.17.2"

    async def test_models_on_more_than_one_page_are_all_listed(self, team: Team, shelf: MLflowShelf) -> None:
        names = [f"many-{number:03}" for number in range(MODELS_PAGE + 50)]
        team.stored(*names)
        reader = Reader(shelf, frozenset(names))
        await reader.tick()
        assert set(reader.snapshot.models) == set(names) and reader.counted >= len(names)
        assert all(set(reader.labels(one)) == {1} for one in names)

    async def test_a_stage_and_an_alias_that_people_move_are_seen(self, shelf: MLflowShelf, name: str) -> None:
        reader = Reader(shelf, frozenset({name}))
        await reader.tick()
        moved = {"name": name, "version": "1", "stage": "Production", "archive_existing_versions": True}
        shelf.server.post("model-versions/transition-stage", **moved)
        shelf.server.post("registered-models/alias", name=name, alias="champion", version="2")
        await reader.tick()
        first, second = reader.labels(name)[1], reader.labels(name)[2]
        assert (first.stage, first.aliases, second.stage, second.aliases) == ("Production", (), "None", ("champion",))
        assert first.moved > 0

    async def test_what_is_written_back_is_read_again(self, shelf: MLflowShelf, name: str) -> None:
        shelf.describe(name, 1, "Made on a Friday.")
        write = Write(1, "Production", alias="champion", tags={STATE: "Serving since noon"}, line=LINE)
        await shelf.registry.write(name, write)
        reader = Reader(shelf, frozenset({name}))
        await reader.tick()
        found = await shelf.registry.labels(name, 1)
        assert isinstance(found, Labels)
        assert (found.stage, found.aliases, found.tags[STATE]) == ("Production", ("champion",), "Serving since noon")
        assert shelf.description(name, 1) == f"Made on a Friday.\n\n{LINE}"
        assert reader.labels(name)[1].tags[STATE] == "Serving since noon"
        await shelf.registry.write(name, Write(2, "Production", archive=(1,), alias="champion"))
        await shelf.registry.write(name, Write(2, without="champion"))
        await reader.tick()
        assert [reader.labels(name)[one].stage for one in (1, 2)] == ["Archived", "Production"]
        assert not any(one.aliases for one in reader.labels(name).values())

    async def test_a_deleted_version_is_gone(self, shelf: MLflowShelf, name: str) -> None:
        reader = Reader(shelf, frozenset({name}))
        await reader.tick()
        shelf.delete(name, 1)
        for _ in range(2):
            await reader.tick()
        assert set(reader.labels(name)) == {2}
        absent = await shelf.registry.resolve(name, 1)
        assert isinstance(absent, Absent) and absent.reason == "VersionNotFound"


def mounted(pod: Pod, password: str) -> None:
    """The kubelet brings the Secret."""
    for file, content in (("username", USER), ("password", password), ("ca.crt", AUTHORITY.public)):
        (pod.at(CREDENTIALS) / file).write_text(content)


def imported(pod: Pod, team: Team, store: StoreOnDisk, source: str) -> Ended:
    task = ImportTask(registry_uri=team.uri, source=source, model_name="m", version=1, store=store.store)
    return pod.run("import_", task)


class TestFiles:
    async def test_they_are_listed_with_their_sizes_and_imported(
        self, team: Team, shelf: MLflowShelf, name: str, pod: Pod, store: StoreOnDisk
    ) -> None:
        mounted(pod, SECRET)
        entry = await shelf.registry.resolve(name, 1)
        assert isinstance(entry, Entry) and entry.flavors
        files = {"MLmodel": MLMODEL, "requirements.txt": b"xgboost-cpu\n"}
        source = MLflow(team.uri, pod.inside)
        listed = source.files(source.root(entry.source))
        assert {one.path: one.size for one in listed} == {file: len(content) for file, content in files.items()}
        ended = imported(pod, team, store, entry.source)
        assert ended.code == 0, ended.stderr
        assert ended.termination["sizeBytes"] == sum(map(len, files.values()))

    async def test_what_is_lost_in_the_bucket_is_missing(
        self, team: Team, shelf: MLflowShelf, name: str, pod: Pod, store: StoreOnDisk
    ) -> None:
        mounted(pod, SECRET)
        entry = await shelf.registry.resolve(name, 1)
        assert isinstance(entry, Entry)
        shelf.lose_files(name, 1)
        absent = await shelf.registry.resolve(name, 1)
        assert isinstance(absent, Absent) and absent.reason == "ArtifactMissing"
        assert imported(pod, team, store, entry.source).reason == "ArtifactMissing"


@dataclass(frozen=True)
class Lack:
    level: str  # that the user has
    lacks: str  # that is said; "" if nothing is
    because: str


LACKS = [
    Lack("DENY", "READ on {name} (to see versions); EDIT on {name}", "one who was shut out"),
    Lack("READ", "EDIT on {name} (to set stages, aliases and tags); MANAGE on", "a reader"),
    Lack("EDIT", "MANAGE on {name} (to take an alias away)", "one who may do all but delete"),
    Lack("MANAGE", "", "as the documentation asks"),
]


class TestPermissions:
    @pytest.mark.parametrize("case", LACKS, ids=lambda case: case.level)
    async def test_each_that_is_missing_is_named_with_the_user(self, team: Team, name: str, case: Lack) -> None:
        user = f"some {case.level.lower()} of {name}"
        team.user(user, "a long password", experiment="READ")
        team.server.grant(user, "registered_model", name, case.level)
        registry = MLflowRegistry(team.connection("a long password", user), patience=PATIENT)
        rights = await registry.rights(frozenset({name}))
        assert rights is not None
        said = missing(rights, [Use(name, follows=True)], with_alias=True)
        assert said.startswith(f'The user "{user}" lacks {case.lacks.format(name=name)}' if case.lacks else ""), said
        assert bool(said) == bool(case.lacks), case.because
        for asked in (registry.labels(name, 1), registry.write(name, Write(1, "Staging"))):
            try:
                assert not isinstance(await asked, Absent)
            except Unauthorized as error:
                assert "does not allow this credential to" in str(error)
        await registry.close()


@dataclass(frozen=True)
class OnExperiments:
    level: str  # that the user has on all experiments; "": on one of them only
    lacks: str
    because: str


ON_EXPERIMENTS = [
    OnExperiments("NO_PERMISSIONS", "READ on experiments (to import files", "one who sees labels only"),
    OnExperiments("READ", "", "reports are not kept, and that is no fault"),
    OnExperiments("", "", "which one is needed, nobody tells"),
]


class TestExperiments:
    async def user(self, team: Team, case: OnExperiments, name: str) -> MLflowRegistry:
        user = f"{case.level or 'some'} on experiments ({name})"
        team.user(user, "a long password", registered_model="MANAGE")
        if case.level != "NO_PERMISSIONS":  # which is what nobody was granted
            team.server.grant(user, "experiment", "*" if case.level else "7777", case.level or "READ")
        return MLflowRegistry(team.connection("a long password", user), patience=PATIENT)

    @pytest.mark.parametrize("case", ON_EXPERIMENTS, ids=lambda case: case.level or "one")
    async def test_what_is_missing_on_all_of_them_is_named(self, team: Team, name: str, case: OnExperiments) -> None:
        registry = await self.user(team, case, name)
        rights = await registry.rights(frozenset({name}))
        assert rights is not None and rights.experiments == case.level
        said = missing(rights, [Use(name)], with_alias=True)
        assert case.lacks in said and bool(said) == bool(case.lacks), case.because
        await registry.close()

    async def test_who_is_refused_a_file_is_told_which_permission_that_takes(
        self, team: Team, name: str, pod: Pod, store: StoreOnDisk
    ) -> None:
        registry = await self.user(team, ON_EXPERIMENTS[0], name)
        with pytest.raises(Forbidden, match="takes READ on the experiment of the") as refused:
            await registry.resolve(name, 1)
        assert silence(refused.value).reason == "PermissionsMissing"
        await registry.close()

    async def test_a_report_that_may_not_be_kept_names_the_permission(self, team: Team, shelf: MLflowShelf) -> None:
        registry = MLflowRegistry(team.connection(SECRET), patience=PATIENT)
        run = shelf.log(Model(MLMODEL)).run_id
        assert run is not None
        with pytest.raises(Forbidden, match="takes EDIT on the experiment that the files belong to"):
            await registry.keep(run, "slipway/report.json", b"{}")
        await registry.close()


class TestRotation:
    OLD, NEW, WHO = "the old password of it", "the new password of it", "rotated"

    def test_an_import_that_runs_takes_the_new_password_from_its_mount(self, team: Team, pod: Pod, name: str) -> None:
        team.user("importer", self.OLD, registered_model="READ")
        mounted(pod, self.OLD)
        (pod.at(CREDENTIALS) / "username").write_text("importer")
        session = RegistrySession(RegistryAccess(), pod.inside)
        url = f"{team.uri}/api/2.0/mlflow/registered-models/get"
        assert session.request("GET", url, params={"name": name}).status_code == 200
        team.password("importer", self.NEW)
        soon = threading.Timer(0.3, (pod.at(CREDENTIALS) / "password").write_text, [self.NEW])
        soon.start()
        assert session.request("GET", url, params={"name": name}).status_code == 200

    async def test_the_operator_takes_it_from_the_secret_at_the_next_sweep(self, team: Team, name: str) -> None:
        team.user(self.WHO, self.OLD, registered_model="MANAGE")
        world = World(connect=lambda connection: MLflowRegistry(connection, patience=PATIENT))
        auth = {"basic": {"secretRef": {"name": "credential"}}}
        bundle = {"configMapKeyRef": {"name": "authority", "key": "ca.crt"}}
        world.api.objects["ConfigMap", "ml", "authority"] = {"data": {"ca.crt": AUTHORITY.public}}
        world.api.secret(username=self.WHO, password=self.OLD)
        world.registry(team.uri, mlflow={"auth": auth, "caBundle": bundle})
        world.model("flights", name=name)

        async def silent() -> str:
            await world.sweep()
            state = world.sweeper.registry(PLACE)
            assert state is not None
            return state.silence.reason if state.silence else ""

        assert await silent() == ""
        team.password(self.WHO, self.NEW)
        assert await silent() == "RegistryUnauthorized"
        seen = world.sweeper.model(PLACE, name)
        assert not isinstance(seen, Absent) and seen is not None, "a refusal is no absence"
        world.api.secret(username=self.WHO, password=self.NEW)
        assert await silent() == ""
        await world.registries.close()


@dataclass(frozen=True)
class Word:
    status: int
    body: bytes
    because: str
    want: type[AdapterError]


WORDS = [
    Word(404, PAGE, "it does not know the path, while somebody edits its rules", Rejected),
    Word(404, b'{"detail": "Not Found"}', "another service is behind it for a moment", Rejected),
    Word(200, PAGE, "a login page", Rejected),
    Word(408, PAGE, "it has waited long enough", Unreachable),
    Word(502, PAGE, "nobody is behind it", Unreachable),
]


class TestDoor:
    @pytest.mark.parametrize("after", [0, 1, 2])
    @pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{word.status}-{len(word.body)}")
    async def test_what_it_says_by_itself_never_means_gone(
        self, team: Team, shelf: MLflowShelf, name: str, word: Word, after: int
    ) -> None:
        """However far a sweep has come."""
        reader = Reader(shelf, frozenset({name}))
        await reader.tick()
        known = reader.labels(name)
        for _ in range(3):
            with team.door.saying(word.status, word.body, after):
                try:
                    await reader.tick()
                except AdapterError as error:
                    assert isinstance(error, word.want), word.because
        assert reader.labels(name) == known and not reader.snapshot.absent
        for ask in (shelf.registry.labels, shelf.registry.resolve):
            with team.door.saying(word.status, word.body), pytest.raises(word.want):
                await ask(name, 1)

    @pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{word.status}-{len(word.body)}")
    async def test_an_import_waits_and_does_not_call_the_files_missing(
        self, team: Team, shelf: MLflowShelf, name: str, word: Word, pod: Pod, store: StoreOnDisk
    ) -> None:
        mounted(pod, SECRET)
        entry = await shelf.registry.resolve(name, 1)
        assert isinstance(entry, Entry)
        with team.door.saying(word.status, word.body, after=2):
            ended = imported(pod, team, store, entry.source)
        assert ended.reason == "RegistryUnreachable", ended.stderr

    async def test_without_its_authority_nothing_is_asked(self, team: Team) -> None:
        registry = MLflowRegistry(replace(team.connection(SECRET), ca_certificates=""), patience=PATIENT)
        with pytest.raises(Unreachable, match="its authority belongs into caBundle"):
            await registry.server_version()
        await registry.close()

    async def test_without_its_path_nothing_is_allowed_and_the_path_is_named(self, team: Team) -> None:
        registry = MLflowRegistry(replace(team.connection(SECRET), uri=team.door.uri), patience=PATIENT)
        with pytest.raises(Unauthorized, match="does not allow this credential to list models") as refused:
            await registry.sweep(None, frozenset())
        assert not isinstance(refused.value, Forbidden), "no permission helps"
        assert "has the registry's uri the path of MLflow's --static-prefix?" in str(refused.value)
        await registry.close()
