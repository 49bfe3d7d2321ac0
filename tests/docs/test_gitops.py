"""The manifests of the GitOps page: they install this chart, and Argo CD understands what our kinds say."""

from dataclasses import dataclass
from typing import Any

import pytest
from slipway.core import lifecycle, promotion
from slipway.core.conditions import Verdict, conditions_after, failed, passed, unknown
from slipway.core.reasons import Reason
from slipway.core.registry import Silent

from dev.generate.crds import KINDS
from tests import worlds
from tests.argocd import documents, health, scripts
from tests.chart.helm import CHART, rendered
from tests.pages import ROOT

HEALTH_OF_OUTLOOK = {"Moving": "Progressing", "Retrying": "Progressing", "Stuck": "Degraded"}


def releases() -> list[Any]:
    """The manifests that install the chart: where it is, and which values it gets."""
    found = []
    for _, one in documents():
        if one["kind"] == "Application" and "helm" in one["spec"]["source"]:
            source = one["spec"]["source"]
            found.append(pytest.param(source["path"], source["helm"]["valuesObject"], id="Argo CD"))
        if one["kind"] == "HelmRelease":
            found.append(pytest.param(one["spec"]["chart"]["spec"]["chart"], one["spec"]["values"], id="Flux"))
    return found


def test_both_tools_install_the_chart() -> None:
    assert [one.id for one in releases()] == ["Argo CD", "Flux"]


@pytest.mark.parametrize(("path", "values"), releases())
def test_the_chart_takes_these_values(path: str, values: dict[str, Any]) -> None:
    assert ROOT / path == CHART
    images = {
        container["image"].rsplit(":", 1)[0]
        for one in rendered(values)
        if one["kind"] == "Deployment"
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert images == {"registry", values["image"]["repository"]}


def object_of(kind: str, status: dict[str, Any] | None, generation: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": kind, "metadata": {"name": "it", "generation": generation}}
    return found | ({"status": status} if status is not None else {})


def status_of(ready: Verdict) -> dict[str, Any]:
    conditions = conditions_after((), {}, ready, worlds.STAMP, 1)
    return {
        "observedGeneration": 1,
        "conditions": [one.model_dump(by_alias=True, exclude_none=True) for one in conditions],
    }


def test_every_kind_has_its_check() -> None:
    assert set(scripts()) == {kind.__name__ for kind in KINDS if "status" in kind.model_fields}


@pytest.mark.parametrize("kind", sorted(scripts()))
@pytest.mark.parametrize("reason", Reason)
def test_whatever_does_not_hold_is_shown_by_its_course(kind: str, reason: Reason) -> None:
    expected = "Suspended" if reason is Reason.Suspended else HEALTH_OF_OUTLOOK.get(reason.outlook, "Progressing")
    assert health(object_of(kind, status_of(failed(reason, "because")))) == (
        expected,
        failed(reason, "because").message,
    )


@dataclass(frozen=True)
class Case:
    """An object, and what Argo CD shows."""

    name: str
    because: str
    found: dict[str, Any]
    want: str


def version(status: dict[str, Any] | None, generation: int = 1) -> dict[str, Any]:
    return object_of("ModelVersion", status, generation)


def decided(model: Any, **seen: Any) -> dict[str, Any]:
    """A version as its reconciler leaves it."""
    decision = lifecycle.decide(worlds.version_seen(worlds.version(1, "Production"), model, **seen))
    assert decision.status
    return version(decision.status)


READY = status_of(passed(Reason.Serving))
SUSPENDED = worlds.model({"suspend": True})
CASES = [
    Case("no status", "it was applied a moment ago", version(None), "Progressing"),
    Case("the API server's default", "nobody has looked at it", version({"observedGeneration": -1}), "Progressing"),
    Case("an older generation", "what it says is of the spec before", version(READY, 2), "Progressing"),
    Case("serves", "that is what was asked for", version(READY), "Healthy"),
    Case("superseded", "it is where it should be", version(status_of(passed(Reason.Superseded))), "Healthy"),
    Case("nobody can tell", "silence is not absence", version(status_of(unknown(Reason.NotRequested))), "Progressing"),
    Case("tried too often", "it does not try again by itself",
         version(status_of(Verdict("False", Reason.Unschedulable, "no node", final=True))), "Degraded"),
    Case("just resolved", "its import begins", decided(worlds.model()), "Progressing"),
    Case("registry away", "it asks again",
         decided(worlds.model(), entry=Silent(Reason.RegistryUnreachable, "no answer")), "Progressing"),
    Case("registry refuses", "somebody must correct the credential",
         decided(worlds.model(), entry=Silent(Reason.RegistryUnauthorized, "401", False)), "Degraded"),
    Case("suspended", "somebody wants it to rest", decided(SUSPENDED), "Suspended"),
    Case("suspended model", "somebody wants it to rest",
         object_of("RegisteredModel", promotion.decide(worlds.model_seen((), of=SUSPENDED)).status), "Suspended"),
    Case("idle model", "nothing was asked for",
         object_of("RegisteredModel", promotion.decide(worlds.model_seen(())).status), "Healthy"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_argo_cd_shows(case: Case) -> None:
    assert health(case.found)[0] == case.want, case.because
