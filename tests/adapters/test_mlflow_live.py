"""What only a real MLflow can show: its client's models, its passwords, its host check, its disk and its end."""

import sqlite3
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import mlflow as client
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression
from slipway.adapters.errors import Rejected, Unauthorized, Unreachable
from slipway.adapters.mlflow import MLflowRegistry
from slipway.adapters.ports import Connection
from slipway.api.facts import Facts
from slipway.api.modelregistry import Stages
from slipway.core import claims
from slipway.core.registry import Absent, Entry, Labels, RegistryModel, Write

from tests.adapters.conftest import PATIENT
from tests.adapters.registry_shelf import MLMODEL, PASSWORD, MLflowShelf
from tests.controller.registry_world import PLACE, STATE, World
from tests.memory_registry import Model
from tests.mlflow_server import MLflowServer, running_mlflow, talking_to
from tests.ports import free_port
from tests.worlds import serves


class TestSources:
    @pytest.fixture
    def notebook(self, mlflow_server: MLflowServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """This process is a notebook of a data scientist."""
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.setenv("GIT_PYTHON_REFRESH", "quiet")
        with talking_to(mlflow_server.uri, "notebook"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

    @pytest.mark.usefixtures("notebook")
    async def test_a_model_logged_with_the_client(self, mlflow: MLflowShelf, name: str) -> None:
        with client.start_run() as run:
            info = client.sklearn.log_model(
                LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]),
                name="m",
                input_example=np.array([[0.5]]),
                pip_requirements=["mlflow==3.17.2"],
                registered_model_name=name,
            )
        client.register_model(f"runs:/{run.info.run_id}/m", name)
        first, second = await mlflow.registry.resolve(name, 1), await mlflow.registry.resolve(name, 2)
        assert isinstance(first, Entry) and isinstance(second, Entry)
        assert set(first.flavors) == {"python_function", "sklearn"} and first.mlflow_version == "3.17.2"
        assert first.size_bytes is not None and first.size_bytes > 100
        assert (first.model_id, first.run_id, first.source) == (
            info.model_id,
            run.info.run_id,
            f"models:/{info.model_id}",
        )
        assert second == replace(first, version=2, source=second.source, created=second.created)
        assert 0 < first.created < second.created

    @pytest.mark.usefixtures("notebook")
    async def test_how_a_model_was_made_as_teams_log_it(self, mlflow: MLflowShelf, name: str) -> None:
        frame = pd.DataFrame({"distance": [1.0, 2.0, 3.0], "minutes": [1.0, 2.0, 3.0]})
        with client.start_run() as run:
            client.log_params({"max_depth": 6, "layers": {"hidden": [64, 32]}, "api_key": "hush"})
            client.log_metrics({"rmse": 5.25, "r2": float("nan")})
            client.set_tags({"team": "air", "mlflow.source.git.commit": "c" * 40})
            data = client.data.from_pandas(frame, source="s3://flights/train.parquet", name="flights")
            client.log_input(data, context="training")
            client.xgboost.log_model(
                xgboost.XGBRegressor(n_estimators=2).fit(frame[["distance"]], frame["minutes"]),
                name="m",
                signature=infer_signature(frame[["distance"]], frame["minutes"]),
                pip_requirements=["mlflow==3.17.2", "xgboost-cpu>=3"],
                registered_model_name=name,
            )
        facts = await mlflow.registry.facts(name, 1)
        assert isinstance(facts, Facts)
        assert facts.params == {"api_key": "(hidden)", "layers": "{'hidden': [64, 32]}", "max_depth": "6"}
        assert facts.metrics == {"r2": "nan", "rmse": "5.25"} and facts.tags == {"team": "air"}
        assert facts.data == {"flights (training)": data.digest} and facts.commit == "c" * 40
        assert facts.inputs == {"distance": "double"} and set((facts.outputs or {}).values()) == {"double"}
        assert facts.packages == {"mlflow": "==3.17.2", "xgboost-cpu": ">=3"}
        assert facts.python is not None and facts.python.startswith("3.") and facts.duration_seconds is not None
        assert {"MLmodel", "model.ubj", "requirements.txt"} <= set(facts.files or {})
        assert (facts.experiment, facts.unread, facts.rest) == (run.info.experiment_id, (), {})

    async def test_a_folder_in_a_run_is_a_model(self, mlflow: MLflowShelf, name: str) -> None:
        server = mlflow.server
        info = server.post("runs/create", experiment_id="0")["run"]["info"]
        server.upload(info["artifact_uri"], "m/MLmodel", MLMODEL)
        server.post("registered-models/create", name=name)
        source = f"{info['artifact_uri']}/m"
        server.post("model-versions/create", name=name, source=source, run_id=info["run_id"])
        entry = await mlflow.registry.resolve(name, 1)
        assert isinstance(entry, Entry)
        assert (entry.source, entry.model_id, entry.run_id) == (source, None, info["run_id"])

    @pytest.mark.usefixtures("notebook")
    async def test_a_copy_of_a_copy_is_what_was_copied_first(self, mlflow: MLflowShelf, name: str) -> None:
        """Also when the version in the middle is deleted: the client loads the copy all the same."""
        model = mlflow.log(Model(MLMODEL))
        notebook = client.MlflowClient()
        first = mlflow.register(name, model)
        second = notebook.copy_model_version(f"models:/{name}/{first}", f"{name} (copy)")
        third = notebook.copy_model_version(f"models:/{second.name}/{second.version}", f"{name} (production)")
        entry = await mlflow.registry.resolve(third.name, 1)
        assert isinstance(entry, Entry)
        lies = f"mlflow-artifacts:/0/models/{model.model_id}/artifacts"
        assert (entry.source, entry.location, entry.model_id) == (lies, lies, model.model_id)
        assert entry.via == (second.name, name)
        mlflow.delete(second.name, 1)
        again = await mlflow.registry.resolve(third.name, 1)
        assert again == replace(entry, via=(second.name, ""))

    async def test_a_source_in_a_run_is_the_runs_folder_or_the_model_that_it_logged(
        self, mlflow: MLflowShelf, name: str
    ) -> None:
        server, logged = mlflow.server, mlflow.log(Model(MLMODEL))
        info = server.get("runs/get", run_id=str(logged.run_id))["run"]["info"]
        folder = "models (1)/näme 100%"
        server.upload(info["artifact_uri"], f"{folder}/MLmodel", MLMODEL)
        server.post("registered-models/create", name=name)
        for below in (folder, "m"):
            source = f"runs:/{logged.run_id}/{below}"
            server.post("model-versions/create", name=name, source=source, run_id=logged.run_id)
        of_run, of_model = await mlflow.registry.resolve(name, 1), await mlflow.registry.resolve(name, 2)
        assert isinstance(of_run, Entry) and isinstance(of_model, Entry)
        assert (of_run.location, of_run.model_id) == (f"{info['artifact_uri']}/{folder}", None)
        assert of_model.location == f"mlflow-artifacts:/0/models/{logged.model_id}/artifacts"
        assert of_model.model_id == logged.model_id

    @pytest.mark.parametrize("form", ["runs:/{run}/{below}", "{root}/{below}"])
    @pytest.mark.parametrize(
        ("below", "reason", "says"),
        [
            ("model.pkl", "ModelInvalid", "is a single file"),
            ("notes", "ArtifactMissing", "has only read.me"),
            ("nowhere", "ArtifactMissing", "deleted or never uploaded"),
        ],
    )
    async def test_what_no_client_can_load_is_refused_at_once(
        self, mlflow: MLflowShelf, name: str, form: str, below: str, reason: str, says: str
    ) -> None:
        server = mlflow.server
        info = server.post("runs/create", experiment_id="0")["run"]["info"]
        server.upload(info["artifact_uri"], "model.pkl", b"a pickle")
        server.upload(info["artifact_uri"], "notes/read.me", b"nothing")
        source = form.format(run=info["run_id"], root=info["artifact_uri"], below=below)
        server.post("registered-models/create", name=name)
        server.post("model-versions/create", name=name, source=source, run_id=info["run_id"])
        absent = await mlflow.registry.resolve(name, 1)
        assert isinstance(absent, Absent) and absent.reason == reason
        assert says in absent.message and "register a new version" in absent.message

    async def test_an_mlmodel_that_claims_another_models_id_does_not_get_it(
        self, mlflow: MLflowShelf, name: str
    ) -> None:
        good = mlflow.log(Model(MLMODEL))
        bad = mlflow.log(Model(MLMODEL + f"model_id: {good.model_id}\n".encode()))
        entry = await mlflow.registry.resolve(name, mlflow.register(name, bad))
        assert isinstance(entry, Entry)
        assert entry.model_id == bad.model_id


class TestWrites:
    async def test_only_what_differs_is_written(
        self, mlflow_server: MLflowServer, mlflow: MLflowShelf, name: str
    ) -> None:
        calls: list[tuple[str, str]] = []
        registry = MLflowRegistry(Connection(mlflow_server.uri), lambda what, result, _: calls.append((what, result)))
        version = mlflow.register(name, mlflow.log(Model(MLMODEL)))
        write = Write(version, "Production", alias="champion", tags={"a": "1", "b": "2"})
        await registry.write(name, write)
        first = calls.copy()
        calls.clear()
        await registry.write(name, replace(write, tags={"a": "1", "b": "3"}))
        await registry.close()
        assert first == [
            ("model-versions/get", "ok"),
            ("model-versions/transition-stage", "ok"),
            ("registered-models/alias", "ok"),
            ("model-versions/set-tag", "ok"),
            ("model-versions/set-tag", "ok"),
        ]
        assert calls == [("model-versions/get", "ok"), ("model-versions/set-tag", "ok")]

    async def test_versions_that_mlflow_archives_for_another_are_dated_with_it(
        self, mlflow: MLflowShelf, name: str
    ) -> None:
        for _ in range(3):
            mlflow.register(name, mlflow.log(Model(MLMODEL)))
        for number in ("1", "2"):
            asked = {"name": name, "version": number, "stage": "Production", "archive_existing_versions": True}
            mlflow.server.post("model-versions/transition-stage", **asked)
        one, two, three = [await mlflow.registry.labels(name, number) for number in (1, 2, 3)]
        assert isinstance(one, Labels) and isinstance(two, Labels) and isinstance(three, Labels)
        assert (one.stage, two.stage) == ("Archived", "Production") and one.moved == two.moved > three.moved == 0

    @pytest.mark.parametrize("then", ["nothing", "deleted", "deleted, and another is registered"])
    async def test_the_champion_is_retired_if_it_was_archived_alone_and_not_for_a_version_that_is_gone(
        self, mlflow: MLflowShelf, name: str, then: str
    ) -> None:
        world = World(connect=MLflowRegistry)
        world.registry(mlflow.server.uri)
        world.model("flights", name=name)
        ledger = serves(1)

        async def follow() -> str:
            nonlocal ledger
            await world.sweep()
            seen = world.sweeper.model(PLACE, name)
            assert isinstance(seen, RegistryModel)
            ledger = claims.follow(ledger, seen, Stages(), "0a", datetime.fromisoformat(seen.read_at))
            assert ledger.following is not None and ledger.following.request is None
            return ledger.following.archived

        def register() -> None:
            mlflow.register(name, mlflow.log(Model(MLMODEL)))

        def enter(version: str, stage: str, archive: bool) -> None:
            asked = {"name": name, "version": version, "stage": stage, "archive_existing_versions": archive}
            mlflow.server.post("model-versions/transition-stage", **asked)

        for _ in range(2):
            register()
        enter("1", "Production", False)
        mlflow.server.post("registered-models/alias", name=name, alias="champion", version="1")
        await follow()
        if then == "nothing":
            enter("1", "Archived", False)
        else:
            enter("2", "Production", True)
            mlflow.server.delete("model-versions/delete", name=name, version="2")
        if then.endswith("registered"):
            register()
        said = [await follow() for _ in range(3)]
        await world.registries.close()
        assert said == (["Seen", "Asked", "Asked"] if then == "nothing" else ["Aside"] * 3)

    async def test_a_run_outside_the_servers_store_keeps_nothing(self, mlflow: MLflowShelf, tmp_path: Path) -> None:
        name = f"elsewhere {tmp_path}"
        experiment = mlflow.server.post("experiments/create", name=name, artifact_location="s3://bucket/x")
        run = mlflow.server.post("runs/create", experiment_id=experiment["experiment_id"])["run"]["info"]["run_id"]
        with pytest.raises(Rejected, match="not proxied by the server"):
            await mlflow.registry.keep(run, "report.json", b"{}")


class TestGuarded:
    async def test_the_right_password_opens(self, guarded: MLflowShelf, name: str) -> None:
        assert await guarded.registry.server_version() == "3.17.2"
        version = guarded.register(name, guarded.log(Model(MLMODEL)))
        await guarded.registry.write(name, Write(version, "Staging", alias="challenger"))
        assert await guarded.registry.labels(name, version) == Labels("Staging", ("challenger",), {})

    @pytest.mark.parametrize(
        ("credential", "says"),
        [
            ({"username": "admin", "password": "wr0ng-s3cret"}, "refused the username and password"),
            ({"username": "nobody", "password": "wr0ng-s3cret"}, "refused the username and password"),
            ({"token": "wr0ng-s3cret"}, "refused the bearer token"),
            ({}, "none is configured"),
        ],
    )
    async def test_a_wrong_credential_is_unauthorized_and_not_repeated(
        self, guarded_server: MLflowServer, credential: dict[str, str], says: str
    ) -> None:
        connection = Connection(guarded_server.uri, **credential)
        registry = MLflowRegistry(connection)
        for call in (registry.server_version(), registry.labels("m", 1), registry.write("m", Write(1, "Staging"))):
            with pytest.raises(Unauthorized, match=says) as caught:
                await call
            assert "wr0ng-s3cret" not in f"{caught.getrepr(style='native')}{connection!r}{registry!r}"
        await registry.close()

    async def test_a_reader_may_read_and_is_told_what_it_may_not(self, guarded: MLflowShelf, name: str) -> None:
        version = guarded.register(name, guarded.log(Model(MLMODEL)))
        guarded.server.post("users/create", username="reader", password="reader's password")
        reader = MLflowRegistry(Connection(guarded.where, username="reader", password="reader's password"))
        assert isinstance(await reader.labels(name, version), Labels)
        with pytest.raises(Unauthorized, match="does not allow this credential to move version 1"):
            await reader.write(name, Write(version, "Staging"))
        swept = await reader.sweep(None, frozenset({name}))
        assert [model.name for model in swept.models] == [name] and swept.complete
        await reader.close()

    async def rights(self, server: MLflowServer, user: str, *names: str) -> dict[str, str]:
        registry = MLflowRegistry(Connection(server.uri, username=user, password="a long password"), patience=PATIENT)
        found = await registry.rights(frozenset(names))
        await registry.close()
        assert found is not None and found.user == user
        return dict(found.levels)

    async def test_what_a_credential_may_do_is_told_without_a_write(self, guarded: MLflowShelf, name: str) -> None:
        guarded.register(name, guarded.log(Model(MLMODEL)))
        server, other = guarded.server, f"{name} more"
        for user in ("plain", "editor", "one", "kept out"):
            server.post("users/create", username=user, password="a long password")
        server.grant("editor", "registered_model", "*", "EDIT")
        server.grant("one", "registered_model", name, "MANAGE")
        server.grant("kept out", "registered_model", name, "DENY")
        assert await self.rights(server, "plain", name, other) == {name: "READ", other: "READ"}
        assert await self.rights(server, "editor", name, other) == {name: "EDIT", other: "EDIT"}
        assert await self.rights(server, "one", name, other) == {name: "MANAGE", other: "READ"}
        assert await self.rights(server, "kept out", name, other) == {name: "DENY", other: "READ"}
        administrator = await guarded.registry.rights(frozenset({name}))
        assert administrator is not None and administrator.levels == {name: "MANAGE"}

    async def test_models_whose_grants_are_alike_cost_one_question(self, guarded: MLflowShelf, name: str) -> None:
        server, names = guarded.server, [f"{name} {number}" for number in range(40)]
        server.post("users/create", username=f"of {name}", password="a long password")
        for one in names[:30]:
            server.grant(f"of {name}", "registered_model", one, "EDIT")
        calls: list[str] = []
        connection = Connection(server.uri, username=f"of {name}", password="a long password")
        registry = MLflowRegistry(connection, lambda what, _, __: calls.append(what), PATIENT)
        found = await registry.rights(frozenset(names))
        await registry.close()
        assert found is not None and len(calls) == 5, "two of models, and one of experiments"
        assert [found.levels[one] for one in names] == ["EDIT"] * 30 + ["READ"] * 10

    async def test_a_server_without_passwords_tells_nothing(self, mlflow: MLflowShelf, name: str) -> None:
        assert await mlflow.registry.rights(frozenset({name})) is None

    async def test_a_host_name_that_mlflow_refuses_is_told_with_the_remedy(self, guarded_server: MLflowServer) -> None:
        uri = guarded_server.uri.replace("localhost", "127.0.0.1")
        registry = MLflowRegistry(Connection(uri, username="admin", password=PASSWORD))
        with pytest.raises(Unauthorized, match=f"--allowed-hosts that covers {uri.removeprefix('http://')}"):
            await registry.server_version()
        await registry.close()

    async def test_a_file_missing_in_a_far_store_is_absent_not_unreachable(
        self, guarded: MLflowShelf, mlflow_server: MLflowServer, name: str
    ) -> None:
        version = guarded.register(name, guarded.log(Model(MLMODEL)))
        assert isinstance(await guarded.registry.resolve(name, version), Entry)
        for file in (mlflow_server.artifacts / "far").rglob("MLmodel"):
            file.unlink()
        absent = await guarded.registry.resolve(name, version)
        assert isinstance(absent, Absent) and absent.reason == "ArtifactMissing"


class TestAddress:
    async def test_nobody_there_is_unreachable_at_once(self) -> None:
        registry = MLflowRegistry(Connection(f"http://127.0.0.1:{free_port()}"))
        started = time.monotonic()
        with pytest.raises(Unreachable, match="no connection to the MLflow at"):
            await registry.resolve("m", 1)
        assert time.monotonic() - started < 3
        await registry.close()

    async def test_a_server_that_goes_and_comes_back(self, mlflow_server: MLflowServer, mlflow: MLflowShelf) -> None:
        """The pool's open connections do not outlive their server, and a closed registry opens again."""
        await mlflow.registry.server_version()
        await mlflow.registry.close()
        assert await mlflow.registry.server_version()

    async def test_a_wrong_path_below_the_right_server_is_rejected_not_absent(
        self, mlflow_server: MLflowServer
    ) -> None:
        registry = MLflowRegistry(Connection(f"{mlflow_server.uri}/wrong"))
        with pytest.raises(Rejected, match='not the MLflow REST API: 404, a page titled "404 Not Found"'):
            await registry.resolve("m", 1)
        await registry.close()


class TestManyModels:
    MODELS, VERSIONS = 200, 10

    def stored(self, server: MLflowServer, name: str, versions: range, at: int) -> None:
        """The versions are in the server's database, as it would have written them at that time (milliseconds)."""
        with sqlite3.connect(server.directory / "mlflow.db") as database:
            database.execute(
                "INSERT INTO registered_models (name, creation_time, last_updated_time) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET last_updated_time = excluded.last_updated_time",
                (name, at, at),
            )
            database.executemany(
                "INSERT INTO model_versions (name, version, creation_time, last_updated_time, current_stage, source, "
                "status) VALUES (?, ?, ?, ?, 'None', 'models:/m', 'READY')",
                [(name, version, at, at) for version in versions],
            )

    @pytest.fixture(scope="class")
    def full(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MLflowServer]:
        """A server of its own with 200 models of 10 versions, written into its database."""
        with running_mlflow(tmp_path_factory.mktemp("full")) as server:
            for number in range(self.MODELS):
                self.stored(server, f"model-{number:03}", range(1, self.VERSIONS + 1), 1000)
            yield server

    async def test_a_tick_costs_at_most_three_requests(self, full: MLflowServer) -> None:
        """Also the one after a promotion, and after more versions at once than a page holds."""
        calls: Counter[str] = Counter()
        registry = MLflowRegistry(Connection(full.uri), lambda what, _, __: calls.update([what]), PATIENT)
        world = World(connect=lambda _: registry)
        world.registry()
        for number in range(self.MODELS):
            world.model(f"model-{number:03}")

        async def tick(after_seconds: float = 30.0) -> Counter[str]:
            calls.clear()
            self.woken = {key.name for key in await world.sweep(after_seconds) if key.reconciler == "model"}
            return calls.copy()

        first = await tick()
        assert len(self.woken) == self.MODELS
        state = world.sweeper.registry(PLACE)
        assert state is not None and (state.models, state.versions) == (self.MODELS, self.MODELS * self.VERSIONS)
        assert await tick() == {"registered-models/search": 1, "model-versions/search": 1} and not self.woken
        await registry.write("model-007", Write(3, "Production", alias="champion", tags={STATE: "Serving"}))
        assert (await tick()).total() <= 3 and self.woken == {"model-007"}
        self.stored(full, "model-100", range(self.VERSIONS + 1, 131), int(time.time() * 1000))
        quick = await tick()
        assert quick == {"registered-models/search": 1, "model-versions/search": 2} and self.woken == {"model-100"}
        assert await tick() == {"registered-models/search": 1, "model-versions/search": 1} and not self.woken
        full.delete("model-versions/delete", name="model-100", version="5")
        doubted, removed = await tick(), await tick()
        assert doubted == removed == {
            "registered-models/search": 1, "model-versions/search": 1, "model-versions/search-whole": 1,
        }  # fmt: skip
        whole = await tick(600)
        await registry.close()
        seen = world.sweeper.model(PLACE, "model-100")
        assert isinstance(seen, RegistryModel) and 5 not in seen.labels and len(seen.labels) == 129
        # Counted apart: 200 names in URLs of 3,000 bytes, and the version of the server, which takes two.
        assert whole == first == {
            "registered-models/search": 2, "model-versions/search": 1, "model-versions/search-whole": 3, "version": 1,
            "users": 1,
        }  # fmt: skip
