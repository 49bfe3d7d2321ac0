"""What the demo applies is what the resource types accept, and what Pod Security admits."""

from slipway.api.modelregistry import ModelRegistry
from slipway.api.modelversion import ModelVersion
from slipway.api.registeredmodel import RegisteredModel

from dev.demo import manifests
from dev.demo.install import Images, Story, _values
from dev.demo.progress import condition, told

DIGEST = "sha256:" + "a" * 64


def test_the_objects_are_of_the_api() -> None:
    model = RegisteredModel(
        **manifests.registered_model("Flight air time", "runs:/1/holdout.parquet", DIGEST, "air_time")
    )
    gate = model.spec.validation.gates[0].metric
    assert gate is not None and gate.threshold == manifests.THRESHOLD and not gate.greater_is_better
    assert model.spec.promotion.source == "Cluster"
    labels = RegisteredModel(**manifests.registered_model("a", "runs:/1/a.parquet", DIGEST, "y", by_labels=True))
    assert labels.spec.promotion.source == "Registry"
    registry = ModelRegistry(**manifests.model_registry())
    assert registry.spec.backend.mlflow is not None
    version = ModelVersion(**manifests.model_version(3))
    assert (version.metadata.name, version.spec.stage) == ("flights-v3", "Production")


def test_pods_keep_to_the_restricted_profile() -> None:
    deployment = next(one for one in manifests.mlflow("image") if one["kind"] == "Deployment")
    for pod in (deployment["spec"]["template"]["spec"], manifests.load_pod("image", "pass")["spec"]):
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["seccompProfile"]
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["allowPrivilegeEscalation"] is False


def test_mlflow_takes_the_names_by_which_it_is_called() -> None:
    deployment = next(one for one in manifests.mlflow("image") if one["kind"] == "Deployment")
    command = deployment["spec"]["template"]["spec"]["containers"][0]["command"]
    hosts = command[command.index("--allowed-hosts") + 1].split(",")
    assert {"mlflow.mlflow.svc.cluster.local:*", "127.0.0.1:*", "localhost:*"} <= set(hosts)


def test_pools_follow_the_labels_of_the_nodes() -> None:
    def node(**labels: str) -> dict[str, object]:
        return {"metadata": {"name": "one", "labels": labels}}

    plain = _values(Images(operator="a/b:1", runner="c:2", store="d:3"), [node()])
    assert plain["image"] == {"repository": "a/b", "tag": "1"}
    assert [pool["name"] for pool in plain["pools"]] == ["cpu"] and not plain["pools"][0]["nodeSelector"]
    both = _values(Images(), [node(pool="cpu"), node(pool="gpu")])
    assert [pool["name"] for pool in both["pools"]] == ["cpu", "gpu"]


def test_a_sample_is_the_first_rows_with_their_answers() -> None:
    request = {"dataframe_split": {"columns": ["a"], "data": [[1], [2], [3]]}}
    predictions = {"1": [1.0, 2.0, 3.0], "2": [0.0, 0.0, 0.0]}
    story = Story("m", 1, 2, 3, {}, {}, request, predictions)
    body, answers = story.sample(2, 1)
    assert body["dataframe_split"] == {"columns": ["a"], "data": [[1], [2]]}
    assert answers == {"1": [1.0, 2.0]}


def test_a_condition_is_told_in_one_line() -> None:
    found = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "GateFailed", "message": "no"}]}}
    assert told(found, "Ready") == "Ready=False GateFailed: no"
    assert told(found, "Synced") == "Synced not judged yet"
    assert condition({}, "Ready") == {}
