"""Golden manifests: what is asked of Kubernetes, word for word. `make golden` writes them anew; the diff is reviewed."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from slipway.api import tasks
from slipway.api.connection import CABundle, ConfigMapKeyRef
from slipway.api.modelledger import Adopted, Hold, ModelLedger, RolledBack
from slipway.api.scoring import Scoring
from slipway.api.validation import Data
from slipway.resources import jobs, serving
from slipway.resources.platform import (
    Environment,
    EnvironmentSettings,
    ImportSettings,
    IndexSettings,
    Platform,
    PoolSettings,
    StoreSettings,
    Toleration,
)

from tests.worlds import PLATFORM, STAMP, digest, model, serves, version


class Plain(yaml.SafeDumper):
    """YAML without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


GOLDEN = Path(__file__).parent / "golden"
GPU = PoolSettings(
    name="gpu",
    node_selector={"pool": "gpu"},
    tolerations=(Toleration(key="nvidia.com/gpu", operator="Exists", effect="NoSchedule"),),
    runtime_class_name="gvisor",
    host_users=False,
    resources={"limits": {"nvidia.com/gpu": "1"}},
    serving_resources={"limits": {"nvidia.com/gpu": "1"}},
)
STORE = tasks.Store(url=PLATFORM.store.url)


def _comparison(data: Data | None, champion: str | None) -> jobs.Comparison:
    source = tasks.DataSource(uri=data.uri, targets=data.columns) if data else None
    fetch = tasks.FetchTask(store=STORE, candidate_digest=digest("b"), champion_digest=champion, data=source)
    judge = tasks.JudgeTask(
        revision="r1", candidate_digest=digest("b"), champion_digest=champion, with_data=bool(data),
        served=tasks.Served(model="flights", version=2),
    )  # fmt: skip
    return jobs.Comparison("flights-v2-validate-0123456789-1", model(), fetch, judge, data, GPU, 1800)


def import_job() -> Any:
    task = tasks.ImportTask(
        registry_uri="http://mlflow:5000", source="models:/m-1", model_name="flights", version=1,
        mlmodel_digest=digest("f"), store=STORE,
    )  # fmt: skip
    store = StoreSettings(url="http://store:5000", push_url="http://store:5001", push_secret="store-push")
    platform = PLATFORM.model_copy(update={"store": store})
    name = "flights-v1-import-0123456789-1"
    return jobs.import_job(platform, version(1), name, task, "import", with_credentials=True)


def _with_indexes() -> Platform:
    index = IndexSettings(name="team", url="https://packages.example.com/simple")
    store = StoreSettings(url="http://store:5000", push_url="http://store:5001", push_secret="store-push")
    environments = EnvironmentSettings(indexes=(index,), secret="index", proxy="http://proxy:3128")
    return PLATFORM.model_copy(update={"store": store, "environments": environments})


def environment_job() -> Any:
    indexes = (tasks.Index(name="team", url="https://packages.example.com/simple"),)
    task = tasks.EnvironmentTask(digest=digest("a"), indexes=indexes, max_bytes=8 << 30, store=STORE)
    return jobs.environment_job(_with_indexes(), version(1), "flights-v1-environment-0123456789-1", task)


def validation_in_other_packages() -> Any:
    comparison = _comparison(None, digest("a"))
    packages = {"candidate_environment": digest("e"), "champion_environment": digest("f")}
    fetch = comparison.fetch.model_copy(update=packages)
    return jobs.validation_job(PLATFORM, version(2), replace(comparison, fetch=fetch))


def deployment_in_other_packages() -> Any:
    template = serving.pod_template(PLATFORM, model(), 1, digest("a"), PLATFORM.pools[0], Environment(digest("e")))
    return serving.deployment(model(), 1, template, 2)


def deployment_on_another_python() -> Any:
    runs_in = Environment(digest("e"), "3.13")
    template = serving.pod_template(_with_pythons(), model(), 1, digest("a"), PLATFORM.pools[0], runs_in)
    return serving.deployment(model(), 1, template, 2)


def validation_on_other_pythons() -> Any:
    comparison = _comparison(None, digest("a"))
    pythons = {"candidate_python": "3.13", "champion_python": "3.9"}
    return jobs.validation_job(
        _with_pythons(), version(2), replace(comparison, fetch=comparison.fetch.model_copy(update=pythons))
    )


def _with_pythons() -> Platform:
    return PLATFORM.model_copy(update={"runtimes": {"3.9": "runner-3.9:1", "3.13": "runner-3.13:1"}})


def import_secret() -> Any:
    return jobs.import_secret(PLATFORM, "flights-v1-import-0123456789-1", "uid", {"username": "u", "password": "p"})


def validation_on_a_gpu() -> Any:
    data = Data(uri="store:mlflow-artifacts:/1/h.parquet"[6:], target="air_time")
    return jobs.validation_job(PLATFORM, version(2), _comparison(data, digest("a")))


def validation_with_data_on_a_claim() -> Any:
    return jobs.validation_job(PLATFORM, version(2), _comparison(Data(uri="pvc://data/h.parquet", target="y"), None))


def validation_without_data() -> Any:
    return jobs.validation_job(PLATFORM, version(2), _comparison(None, None))


def deployment() -> Any:
    extras = {"labels": {"team": "air"}, "priorityClassName": "serving"}
    of = model({"serving": {"resources": {"requests": {"cpu": "500m"}, "limits": {"memory": "2Gi"}}, "pod": extras}})
    template = serving.pod_template(PLATFORM, of, 1, digest("a"), PLATFORM.pools[0])
    return serving.deployment(of, 1, template, 2)


KEYS = (
    {"name": "API_KEY", "secretKeyRef": {"name": "openai", "key": "production"},
     "validation": {"secretKeyRef": {"name": "openai", "key": "test"}}},
    {"name": "BASE_URL", "value": "https://models.example.com"},
    {"name": "OMP_NUM_THREADS", "value": "1"},
)  # fmt: skip
WITH_VARIABLES = model({"serving": {"pod": {"env": KEYS}}})


def deployment_with_variables() -> Any:
    template = serving.pod_template(PLATFORM, WITH_VARIABLES, 1, digest("a"), PLATFORM.pools[0])
    return serving.deployment(WITH_VARIABLES, 1, template, 2)


def validation_with_variables() -> Any:
    comparison = replace(_comparison(None, digest("a")), model=WITH_VARIABLES)
    return jobs.validation_job(PLATFORM, version(2), comparison)


def service() -> Any:
    return serving.service(model(), 2)


def service_of_what_was_adopted() -> Any:
    old = Adopted(deployment="old-flights", selector={"app": "old-flights"}, port=5001, serving=True)
    return serving.service(model(), None, old)


def record() -> Any:
    template = serving.pod_template(PLATFORM, model(), 1, digest("a"), PLATFORM.pools[0])
    rendered = serving.Rendered(1, digest("a"), serving.inputs(model(), digest("a")), 3, template)
    return serving.controller_revision(model(), rendered)


def ledger() -> Any:
    back = RolledBack(version=3, at=STAMP, by="alice", reason="slow for JFK")
    hold = Hold(at=STAMP, by="alice", reason="slow for JFK")
    return serving.ledger(model(), serves(2, 1, rolled_back=(back,), hold=hold), "41")


BUILDERS = [
    import_job, import_secret, environment_job, validation_on_a_gpu, validation_in_other_packages,
    deployment_in_other_packages, deployment_on_another_python, validation_on_other_pythons,
    validation_with_data_on_a_claim, validation_without_data,
    deployment, deployment_with_variables, validation_with_variables, service, service_of_what_was_adopted, record, ledger,
]  # fmt: skip


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
def test_manifest(build: Callable[[], Any]) -> None:
    path = GOLDEN / f"{build.__name__}.yaml"
    text = yaml.dump(build(), Dumper=Plain, sort_keys=False, width=120)
    if os.environ.get("GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text, "the manifest changed: look at the diff, then run `make golden`"


@pytest.mark.parametrize("build", [validation_on_a_gpu, deployment, import_job], ids=lambda build: build.__name__)
def test_every_pod_passes_the_restricted_standard(build: Callable[[], Any]) -> None:
    spec = build()["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})


def test_a_ledger_is_read_as_it_was_written() -> None:
    made = ledger()
    assert ModelLedger.model_validate(made).spec.wire() == made["spec"]
    assert made["metadata"]["resourceVersion"] == "41"
    assert "resourceVersion" not in serving.ledger(model(), serves(1), "")["metadata"]


def with_bounds(**bounds: Any) -> Any:
    return model({"serving": {"runtime": {"scoring": bounds}}})


def pods_with_bounds(**bounds: Any) -> Any:
    return serving.pod_template(PLATFORM, with_bounds(**bounds), 1, digest("a"), PLATFORM.pools[0])["spec"]


@pytest.mark.parametrize(
    ("bounds", "ending"),
    [
        ({}, 85),
        ({"maxQueue": 64}, 85),
        ({"requestTimeout": "5s"}, 30),
        ({"requestTimeout": "10m"}, 625),
        ({"gracePeriod": "30s"}, 100),
    ],
    ids=str,
)
def test_a_pod_that_ends_has_time_for_its_clients_to_go_and_for_a_request_in_flight(
    bounds: dict[str, Any], ending: int
) -> None:
    pod = pods_with_bounds(**bounds)
    variables = {one["name"]: one.get("value") for one in pod["containers"][0]["env"]}
    assert pod["terminationGracePeriodSeconds"] == ending
    assert json.loads(variables.get(tasks.SCORING, "{}")) == bounds
    chosen = Scoring.model_validate(bounds)
    drain = int(variables["SLIPWAY_DRAIN_SECONDS"] or 0)
    assert serving.FORGET_SECONDS + drain + chosen.answering_seconds < ending


@pytest.mark.parametrize("build", [import_job, validation_on_a_gpu, deployment], ids=lambda build: build.__name__)
def test_every_empty_volume_has_a_limit_that_follows_the_platforms(
    build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def limits() -> dict[str, str]:
        volumes = build()["spec"]["template"]["spec"]["volumes"]
        return {one["name"]: one["emptyDir"]["sizeLimit"] for one in volumes if "emptyDir" in one}

    assert limits()["tmp"] == "1Gi"
    assert not {"model", "candidate", "files"} & {name for name, size in limits().items() if size == "1Gi"}
    small = {"imports": ImportSettings(max_model_size="100Mi"), "scratch_size": "412Mi"}
    monkeypatch.setattr(f"{__name__}.PLATFORM", PLATFORM.model_copy(update=small))
    expected = {"tmp": "412Mi", "model": "512Mi", "candidate": "512Mi", "champion": "512Mi", "files": "4608Mi"}
    assert all(size == expected[name] for name, size in limits().items() if name in expected)


def test_only_what_runs_no_model_holds_the_stores_password() -> None:
    holding = [build.__name__ for build in BUILDERS if "store-push" in str(build())]
    assert holding == ["import_job", "environment_job"]
    pod = import_job()["spec"]["template"]["spec"]
    (volume,) = [one for one in pod["volumes"] if one["name"] == "push"]
    assert [item["key"] for item in volume["secret"]["items"]] == ["username", "password"]
    (mount,) = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "push"]
    assert mount == {"name": "push", "mountPath": tasks.PUSH, "readOnly": True}
    assert "store-push" not in str(pod["containers"][0]["env"])


def test_only_the_models_code_has_its_variables_and_unproven_code_what_is_marked_for_it() -> None:
    def having(build: Callable[[], Any]) -> dict[str, list[str]]:
        spec = build()["spec"]["template"]["spec"]
        return {
            one["name"]: [str(each) for each in one["env"] if "openai" in str(each) or each["name"] == "BASE_URL"]
            for one in [*spec.get("initContainers", []), *spec["containers"]]
        }

    served, proven = having(deployment_with_variables), having(validation_with_variables)
    assert [len(one) for one in served.values()] == [0, 2], served
    assert "'production'" in served["serve"][0] and "'test'" not in str(served)
    assert {step: len(one) for step, one in proven.items() if one} == {
        "score-champion": 1, "score-candidate": 1, "serve-candidate": 1,
    }  # fmt: skip
    assert "'test'" in str(proven) and "'production'" not in str(proven)


def test_a_variable_of_the_models_owner_takes_the_place_of_ours() -> None:
    (serve,) = deployment_with_variables()["spec"]["template"]["spec"]["containers"]
    names = [one["name"] for one in serve["env"]]
    assert len(names) == len(set(names))
    assert [one["value"] for one in serve["env"] if one["name"] == "OMP_NUM_THREADS"] == ["1"]


def test_a_record_is_named_by_what_it_holds() -> None:
    made = record()
    ending = made["metadata"]["name"].rpartition("-")[2]
    assert ending == serving.template_hash(made["data"]["template"])


def test_neither_image_nor_default_is_part_of_what_a_version_runs_from() -> None:
    inputs = serving.inputs(model(), digest("a"))
    spelled_out = model({"serving": {"scaling": {"fixed": {"replicas": 5}}, "runtime": {"scoring": {}}}})
    assert serving.inputs(spelled_out, digest("a")) == inputs
    assert serving.inputs(with_bounds(maxQueue=0, requestTimeout="60s"), digest("a")) == inputs
    assert serving.inputs(with_bounds(maxQueue=1), digest("a")) != inputs
    assert serving.inputs(model(refresh="1"), digest("a")) != inputs
    assert PLATFORM.runner_image not in inputs


@pytest.mark.parametrize("build", [import_job, validation_on_a_gpu, deployment], ids=lambda build: build.__name__)
def test_every_container_sees_the_platforms_authorities_once_they_are_named(
    build: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = build()
    assert "authorities" not in str(without)
    named = CABundle(config_map_key_ref=ConfigMapKeyRef(name="company", key="ca.pem"))
    monkeypatch.setattr(f"{__name__}.PLATFORM", PLATFORM.model_copy(update={"ca_bundle": named}))
    found = build()
    pod = found["spec"]["template"]["spec"]
    volume = next(one for one in pod["volumes"] if one["name"] == "authorities")["configMap"]
    assert (volume["name"], volume["items"]) == ("company", [{"key": "ca.pem", "path": "ca.crt"}])
    assert volume["optional"], "a namespace without them works with what everybody trusts"
    mount = {"name": "authorities", "mountPath": tasks.AUTHORITIES, "readOnly": True}
    assert all(mount in one["volumeMounts"] for one in [*pod.get("initContainers", []), *pod["containers"]])
