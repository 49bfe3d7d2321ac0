"""A model that follows MLflow, over a real server: people use MLflow's client, and every answer is read there, too."""

from collections.abc import Callable, Iterator
from typing import Any

import mlflow
import pytest

from tests.adapters.live_world import INTERVAL_SECONDS, LiveWorld, Registered
from tests.adapters.registry_shelf import NUMBERS
from tests.mlflow_server import MLflowServer

FREE = ("None", (), "")
SERVING = ("Production", ("champion",), "Serving")
FOLLOWS = {"source": "Registry"}
DAYS: dict[str, Any] = {"days": ["Friday"], "end": "18:00"}


@pytest.fixture
def flights(mlflow_server: MLflowServer) -> Registered:
    """A registered model with four versions."""
    client = mlflow.MlflowClient(mlflow_server.uri, mlflow_server.uri)
    found = Registered(mlflow_server, client, f"Flight air time (v{next(NUMBERS)}) & Üb'ung")
    found.registers(4)
    return found


@pytest.fixture
def world(flights: Registered, caplog: pytest.LogCaptureFixture) -> Iterator[LiveWorld]:
    """An operator beside it, whose passes never break."""
    found = LiveWorld(flights.server.uri, flights.name)
    yield found
    found.close()
    assert not [one for one in caplog.records if one.exc_info], caplog.text


@pytest.fixture
def serves_one(world: LiveWorld, flights: Registered) -> LiveWorld:
    """It follows MLflow, and version 1 serves by its stage."""
    world.declares(promotion=FOLLOWS)
    flights.moves(1, "Production")
    world.passes()
    assert (world.route(), flights.labels(1)) == ("1", [SERVING])
    return world


class TestRequests:
    def test_both_labels_on_one_version_are_one_request(self, world: LiveWorld, flights: Registered) -> None:
        world.declares(promotion=FOLLOWS)
        flights.moves(2, "Production")
        flights.names(2)
        world.passes()
        assert (world.routes, world.versions()) == (["2"], [2])
        assert flights.labels(1, 2) == [FREE, SERVING]
        world.passes(700)
        assert (world.routes, world.reason(2), flights.labels(2)) == (["2"], "Serving", [SERVING])

    def test_a_stage_and_an_alias_that_name_two_versions_move_nothing_until_they_agree(
        self, serves_one: LiveWorld, flights: Registered
    ) -> None:
        flights.moves(3, "Production")
        flights.names(4)
        serves_one.passes()
        ready = serves_one.condition("RegisteredModel", "flights", "Ready")
        assert (serves_one.route(), ready["reason"]) == ("1", "LabelsConflict")
        assert "version 3 by the stage Production and for version 4 by the alias champion" in ready["message"]
        assert [flights.says(one).stage for one in (1, 3, 4)] == ["Production", "Production", "None"]
        assert flights.says(4).aliases == ("champion",), "nothing is guessed, and nothing put back"
        flights.names(3)
        serves_one.passes()
        assert serves_one.routes == ["1", "3"]
        assert flights.labels(1, 3) == [("Archived", (), "Archived"), SERVING]
        assert flights.labels(4)[0][:2] == FREE[:2]

    def test_a_request_supersedes_one_that_is_on_its_way(self, serves_one: LiveWorld, flights: Registered) -> None:
        serves_one.down.add(2)
        flights.moves(2, "Production", archive_others=True)
        serves_one.passes()
        assert (serves_one.route(), serves_one.reason(2)) == ("1", "RolloutProgressing")
        flights.moves(3, "Production", archive_others=True)
        serves_one.passes()
        assert serves_one.routes == ["1", "3"], "version 2 never had the traffic"
        assert flights.labels(3) == [SERVING]
        assert [flights.says(one).stage for one in (1, 2)] == ["Archived", "Archived"]
        assert [key for key in serves_one.cluster.objects if key[::2] == ("Deployment", "flights-v2")] == []

    def test_a_version_in_staging_is_proven_named_and_not_served(self, world: LiveWorld, flights: Registered) -> None:
        world.declares(promotion=FOLLOWS)
        world.bad.add(3)
        for version in (2, 3):
            flights.moves(version, "Staging")
        world.passes()
        assert world.route() in ("", "none")
        assert flights.labels(2, 3) == [("Staging", ("challenger",), "Validated"), ("Staging", (), "Refused")]
        flights.moves(2, "Production")
        world.passes()
        assert (world.route(), flights.says(2).stage) == ("2", "Production")

    def test_only_archiving_the_champion_retires_it(self, serves_one: LiveWorld, flights: Registered) -> None:
        flights.moves(1, "None")
        flights.client.delete_registered_model_alias(flights.name, "champion")
        serves_one.passes(120)
        assert (serves_one.route(), serves_one.reason(1, "Synced")) == ("1", "Unclaimed")
        flights.moves(1, "Archived")
        serves_one.passes(120)
        assert (serves_one.route(), flights.labels(1)) == ("none", [("Archived", (), "Archived")])
        flights.moves(1, "Production")
        serves_one.passes()
        assert (serves_one.routes, flights.labels(1)) == (["1", "none", "1"], [SERVING])


class TestRefusals:
    def test_a_refused_version_keeps_its_stage_where_the_policy_says_so_and_mlflow_says_why(
        self, world: LiveWorld, flights: Registered
    ) -> None:
        world.declares(promotion={**FOLLOWS, "onRefusal": "Keep"})
        world.bad.add(2)
        flights.moves(1, "Production")
        world.passes()
        flights.moves(2, "Production", archive_others=True)
        world.passes(700)
        assert (world.routes, world.reason(1, "Synced")) == (["1"], "RegistryDrifted")
        said = flights.says(2)
        assert said.labels == ("Production", (), "Refused"), "it stays as people have set it"
        assert "root_mean_squared_error is 99, must be at most 12" in said.why
        assert "must be at most 12" in said.line
        assert flights.says(1).labels == ("Archived", ("champion",), "Serving")
        flights.moves(1, "Production", archive_others=True)
        world.passes()
        assert (world.routes, world.reason(1, "Synced")) == (["1"], "LabelsWritten")
        assert flights.labels(1, 2) == [SERVING, ("Archived", (), "Refused")]

    def test_the_line_of_a_refusal_leads_to_its_report(self, serves_one: LiveWorld, flights: Registered) -> None:
        serves_one.bad.add(2)
        flights.names(2)
        serves_one.passes(120)
        assert flights.labels(1, 2) == [SERVING, ("Archived", (), "Refused")]
        assert flights.keeps_report(2)


@pytest.fixture(params=["Report", "Correct"])
def by_cluster(request: pytest.FixtureRequest, world: LiveWorld) -> tuple[LiveWorld, str]:
    """The cluster says that version 1 serves; what becomes of labels that somebody moves in MLflow."""
    world.declares(promotion={"source": "Cluster", "onDrift": request.param})
    world.declares_version(1)
    return world, request.param


class TestDrift:
    """Where the cluster decides, a label that is moved in MLflow asks for nothing."""

    @pytest.mark.parametrize(
        ("deed", "says", "there"),
        [
            pytest.param(
                lambda f: f.moves(2, "Production", archive_others=True),
                "its stage is Archived, was set to Production and version 2 is in stage Production, too",
                ("Archived", ("champion",), "Production", ()),
                id="stage that archives",
            ),
            pytest.param(
                lambda f: f.names(2),
                "the alias champion is on version 2",
                ("Production", (), "None", ("champion",)),
                id="alias",
            ),
            pytest.param(
                lambda f: f.moves(1, "None"),
                "its stage is None, was set to Production",
                ("None", ("champion",), "None", ()),
                id="stage taken away",
            ),
            pytest.param(
                lambda f: f.client.delete_registered_model_alias(f.name, "champion"),
                "the alias champion is gone",
                ("Production", (), "None", ()),
                id="alias taken away",
            ),
        ],
    )
    def test_it_is_told_of_or_set_back(
        self,
        by_cluster: tuple[LiveWorld, str],
        flights: Registered,
        deed: Callable[[Registered], None],
        says: str,
        there: tuple[str, tuple[str, ...], str, tuple[str, ...]],
    ) -> None:
        world, policy = by_cluster
        assert (world.route(), flights.labels(1)) == ("1", [SERVING])
        deed(flights)
        world.passes(120)
        assert (world.routes, world.versions()) == (["1"], [1]), "nothing that serves has changed"
        synced, first, second = (
            world.condition("ModelVersion", "flights-v1", "Synced"),
            flights.says(1),
            flights.says(2),
        )
        if policy == "Report":
            assert (synced["status"], synced["reason"]) == ("False", "RegistryDrifted")
            assert synced["message"].startswith(f"Version 1 serves. In the registry, {says}. Set the labels back")
            assert (first.stage, first.aliases, second.stage, second.aliases) == there
            flights.moves(1, "Production", archive_others=True)
            flights.names(1)
            world.passes()
        synced = world.condition("ModelVersion", "flights-v1", "Synced")
        assert (synced["status"], flights.labels(1)) == ("True", [SERVING])
        assert (flights.says(2).stage, flights.says(2).aliases) == (
            "Archived" if second.stage != "None" else "None",
            (),
        )

    @pytest.mark.parametrize("policy", ["Report", "Correct"])
    def test_the_cluster_moves_on_and_takes_its_labels_along(
        self, world: LiveWorld, flights: Registered, policy: str
    ) -> None:
        world.declares(promotion={"onDrift": policy})
        world.declares_version(1)
        flights.names(4)
        world.passes()
        world.declares_version(2)
        assert (world.routes, flights.labels(1, 2)) == (["1", "2"], [("Archived", (), "Replaced"), SERVING])
        assert flights.labels(4) == [FREE]


class TestConsent:
    def test_a_promotion_waits_for_an_approval_of_its_own_files_that_holds(
        self, serves_one: LiveWorld, flights: Registered
    ) -> None:
        serves_one.connects(promotion={"approvals": 1})
        flights.moves(2, "Production", archive_others=True)
        serves_one.passes()

        def waits() -> bool:
            said = flights.says(2)
            assert said.state == "Waiting ApprovalMissing" and "kubectl annotate" in said.why and said.line
            return (serves_one.route(), serves_one.reason(2)) == ("1", "ApprovalMissing")

        assert waits()
        asked = serves_one.condition("ModelVersion", "flights-v2", "Ready")["message"]
        value = asked.partition("slipway.dev/approve=")[2].partition("'")[0].replace("<you>", "eve")
        digest, until = (value.partition(f"{key}=")[2].partition(",")[0] for key in ("digest", "until"))
        for wrong in (value.replace(digest, f"sha256:{64 * 'e'}"), value.replace(until, "2026-03-06T16:59:59Z")):
            serves_one.edit("ModelVersion", "flights-v2", annotations={"approve": wrong})
            serves_one.passes()
            assert waits(), wrong
        serves_one.edit("ModelVersion", "flights-v2", annotations={"approve": value})
        serves_one.passes()
        assert serves_one.routes == ["1", "2"]
        assert flights.labels(1, 2) == [("Archived", (), "Archived"), SERVING]
        assert flights.says(2).why == ""

    def test_a_promotion_starts_when_its_window_opens(self, serves_one: LiveWorld, flights: Registered) -> None:
        serves_one.connects(promotion={"windows": [{**DAYS, "start": "17:30"}]})
        flights.names(2)
        serves_one.passes()
        assert (serves_one.route(), flights.says(2).state) == ("1", "Waiting OutsideWindow")
        assert "2026-03-06 at 17:30" in flights.says(2).why
        serves_one.passes(1800)
        assert (serves_one.routes, flights.labels(2)) == (["1", "2"], [SERVING])

    def test_a_promotion_waits_while_rollouts_are_frozen(self, serves_one: LiveWorld, flights: Registered) -> None:
        serves_one.restarts(freeze="a migration")
        flights.moves(2, "Production", archive_others=True)
        serves_one.passes()
        assert (serves_one.route(), flights.says(2).state) == ("1", "Waiting Frozen")
        serves_one.restarts(freeze="")
        serves_one.passes()
        assert (serves_one.routes, flights.labels(2)) == (["1", "2"], [SERVING])


class TestDeletedVersions:
    def test_a_version_that_is_deleted_while_it_serves_serves_on_and_that_is_said_after_a_while(
        self, serves_one: LiveWorld, flights: Registered
    ) -> None:
        flights.deletes(1)
        serves_one.passes(INTERVAL_SECONDS)
        assert serves_one.reason(1) == "RegistryDrifted", "its alias is gone; that it is, one answer does not show"
        serves_one.passes(200)
        assert (serves_one.routes, serves_one.reason(1)) == (["1"], "VersionGone")
        flights.moves(2, "Production")
        serves_one.passes()
        assert (serves_one.routes, flights.labels(2)) == (["1", "2"], [SERVING])


PER_CLUSTER = {
    name: {"stages": {"Production": {"stage": "Production", "alias": f"champion-{name}"}}} for name in ("east", "west")
}


@pytest.fixture
def both(flights: Registered, caplog: pytest.LogCaptureFixture) -> Iterator[tuple[LiveWorld, LiveWorld]]:
    """Two operators with one registry, each with an alias of its own."""
    found = [LiveWorld(flights.server.uri, flights.name, name) for name in PER_CLUSTER]
    for one in found:
        one.connects(**PER_CLUSTER[one.platform.cluster_name])
    yield found[0], found[1]
    for one in found:
        one.close()
    assert not [one for one in caplog.records if one.exc_info], caplog.text


class TestTwoClusters:
    def test_neither_archives_what_serves_in_the_other(
        self, both: tuple[LiveWorld, LiveWorld], flights: Registered
    ) -> None:
        east, west = both
        flights.moves(4, "Staging")  # nobody manages it
        for world, number in ((east, 1), (west, 2), (east, 3)):
            world.declares()
            world.declares_version(number)
            for one in both:
                one.passes(120)
        assert (east.routes, west.routes) == (["1", "3"], ["2"])
        assert flights.labels(1, 2, 3, of="east") == [
            ("Archived", (), "Replaced"),
            ("Production", ("champion-west",), ""),
            ("Production", ("champion-east",), "Serving"),
        ]
        assert flights.labels(1, 2, 4, of="west") == [
            ("Archived", (), ""),
            ("Production", ("champion-west",), "Serving"),
            ("Staging", (), ""),
        ]
        for one in both:
            number = one.champion()
            assert one.condition("ModelVersion", f"flights-v{number}", "Synced")["status"] == "True"

    def test_one_version_that_serves_in_both_says_so_twice(
        self, both: tuple[LiveWorld, LiveWorld], flights: Registered
    ) -> None:
        for one in both:
            one.declares()
            one.declares_version(1)
        for one in both:
            one.passes(120)
        for name in PER_CLUSTER:
            said = flights.says(1, name)
            assert (said.stage, sorted(said.aliases)) == ("Production", ["champion-east", "champion-west"])
            assert said.state.startswith("Serving since") and "serving since" in said.line
            assert said.line.count("\n") == 0

    def test_an_alias_moves_the_traffic_of_its_own_cluster_only(
        self, both: tuple[LiveWorld, LiveWorld], flights: Registered
    ) -> None:
        for one in both:
            name = one.platform.cluster_name
            one.connects(stages={"Production": {"alias": f"champion-{name}"}, "Archived": {}, "Staging": {}})
            one.declares(promotion=FOLLOWS)
            flights.names(1, f"champion-{name}")
            one.passes()
        flights.names(2, "champion-east")
        for one in both:
            one.passes(120)
        assert [one.routes for one in both] == [["1", "2"], ["1"]]
        assert flights.labels(1, 2, of="east") == [
            ("None", ("champion-west",), "Replaced"),
            ("None", ("champion-east",), "Serving"),
        ]
