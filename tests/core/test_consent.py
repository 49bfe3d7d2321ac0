"""Who agrees to a promotion that a label asks for, and when it may start."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from slipway.api.modelledger import ModelLedgerSpec, RolledBack
from slipway.api.modelregistry import PromotionPolicy
from slipway.core.consent import approved, forbidden, marks, withheld
from slipway.core.observed import ModelSeen
from slipway.core.registry import Silent

from tests.worlds import REGISTRY, digest, model, model_seen, pods_of, proven

FILES, ENVIRONMENT = digest("3"), digest("e")
RIGHT = f"version=3, digest={FILES}, environment={ENVIRONMENT}, until=2026-03-09T00:00:00Z"
EVE, ADA = f"by=eve, {RIGHT}", f"by=ada, {RIGHT}"
WORKDAYS = {"days": ["Monday", "Tuesday", "Wednesday", "Thursday"], "start": "09:00", "end": "16:00"}


def asked(
    policy: dict[str, Any], *approvals: str, started: bool = False, now: str = "2026-03-06T17:00:00"
) -> ModelSeen:
    """Version 3 is proven, and a label asks for it."""
    found = proven(3)
    status = found.status.model_copy(update={"digest": FILES})
    assert status.validation is not None
    status = status.model_copy(update={"validation": status.validation.model_copy(update={"environment": ENVIRONMENT})})
    names = {f"slipway.dev/approve{end}": said for end, said in zip(("", "-2"), approvals, strict=False) if said}
    meta = found.metadata.model_copy(update={"annotations": names})
    found = found.model_copy(update={"status": status, "metadata": meta})
    seen = model_seen((found,), pods=(pods_of(3),) if started else ())
    spec = REGISTRY.spec.model_copy(update={"promotion": PromotionPolicy.model_validate(policy)})
    return replace(
        seen,
        model=model({"promotion": {"source": "Registry"}}),
        registry=REGISTRY.model_copy(update={"spec": spec}),
        now=datetime.fromisoformat(now).replace(tzinfo=UTC),
    )


def why(seen: ModelSeen) -> str:
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0], started=bool(seen.pods))
    return found.reason.value if found else ""


@pytest.mark.parametrize(
    ("needed", "approvals", "missing"),
    [
        pytest.param(0, (), 0, id="none is needed"),
        pytest.param(1, (), 1, id="none is there"),
        pytest.param(1, (EVE,), 0, id="one"),
        pytest.param(1, ("", EVE), 0, id="in the other place"),
        pytest.param(2, (EVE,), 1, id="one of two"),
        pytest.param(2, (EVE, ADA), 0, id="two"),
        pytest.param(2, (EVE, EVE), 1, id="one person twice"),
        pytest.param(1, (EVE.replace("version=3", "version=4"),), 1, id="of another version"),
        pytest.param(1, (EVE.replace(FILES, digest("4")),), 1, id="of other files"),
        pytest.param(1, (EVE.replace(ENVIRONMENT, digest("f")),), 1, id="in another environment"),
        pytest.param(1, (EVE.replace("2026-03-09", "2026-03-06"),), 1, id="expired"),
        pytest.param(1, (EVE.replace(", until=2026-03-09T00:00:00Z", ""),), 1, id="for ever"),
        pytest.param(1, (EVE.replace("2026-03-09T00:00:00Z", "9999-99-99T99:99:99Z"),), 1, id="until no day"),
        pytest.param(1, ("yes",), 1, id="a word"),
        pytest.param(1, (EVE + ", reason=fine",), 1, id="more than is understood"),
    ],
)
def test_an_approval_names_what_is_approved(needed: int, approvals: tuple[str, ...], missing: int) -> None:
    seen = asked({"approvals": needed}, *approvals)
    assert why(seen) == ("ApprovalMissing" if missing else "")
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert found is None or found.message.startswith(f"{missing} approval")


def test_the_message_is_a_command_that_approves_once_a_name_is_filled_in() -> None:
    seen = asked({"approvals": 1})
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert found is not None
    command = found.message.partition("run ")[2]
    assert command.startswith(
        "kubectl annotate --overwrite --namespace=ml mv/flights-v3 'slipway.dev/approve=by=<you>, "
    )
    value = command.partition("slipway.dev/approve=")[2].rstrip("'").replace("<you>", "eve")
    assert why(asked({"approvals": 1}, value)) == ""
    again = withheld(two := asked({"approvals": 2}, EVE), ModelLedgerSpec(), two.versions[0])
    assert again is not None and "eve has approved" in again.message and "slipway.dev/approve-2=by=" in again.message


def test_the_message_names_the_place_that_nobody_has_taken() -> None:
    seen = asked({"approvals": 2}, "", EVE)
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert found is not None and "slipway.dev/approve=by=" in found.message


@pytest.mark.parametrize(("approvals", "missing"), [((), 1), ((EVE,), 0)])
def test_a_model_with_a_secret_of_its_namespace_needs_an_approval_whatever_the_policy_says(
    approvals: tuple[str, ...], missing: int
) -> None:
    data = {"uri": "s3://months/holdout.parquet", "target": "air_time", "secretRef": {"name": "months"}}
    spec = {"promotion": {"source": "Registry"}, "validation": {"modelType": "regressor", "data": data}}
    seen = replace(asked({}, *approvals), model=model(spec))
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert (found is not None) == bool(missing)
    assert found is None or "the Secret months of this namespace" in found.message
    assert found is None or "'slipway.dev/approve=by=<you>, version=3, digest=" in found.message


def test_a_model_with_a_secret_variable_needs_an_approval_too() -> None:
    key = {"name": "openai", "key": "production"}
    spec = {
        "promotion": {"source": "Registry"},
        "serving": {"pod": {"env": [{"name": "API_KEY", "secretKeyRef": key}]}},
    }
    seen = replace(asked({}), model=model(spec))
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert found is not None
    assert "since the model has the Secret openai of this namespace in its variable API_KEY: " in found.message


@pytest.mark.parametrize(
    ("given", "counts"),
    [
        pytest.param((EVE,), (), id="the one that it carried"),
        pytest.param((EVE.replace("03-09", "03-10"),), ("eve",), id="another of the same person"),
        pytest.param((EVE, ADA), ("ada",), id="one beside it"),
    ],
)
def test_no_approval_from_before_a_rollback_lets_a_version_in_again(
    given: tuple[str, ...], counts: tuple[str, ...]
) -> None:
    before = asked({"approvals": 1}, EVE).versions[0]
    out = RolledBack(version=3, at="2026-03-06T16:59:00Z", by="eve", approvals=marks(before))
    seen = asked({"approvals": 2}, *given)
    assert approved(seen, ModelLedgerSpec(rolled_back=(out,)), seen.versions[0], True) == set(counts)


@pytest.mark.parametrize(
    ("now", "opens"),
    [
        pytest.param("2026-03-04T12:00:00", None, id="inside"),
        pytest.param("2026-03-04T08:59:00", "2026-03-04T09:00:00", id="before"),
        pytest.param("2026-03-04T16:00:00", "2026-03-05T09:00:00", id="after"),
        pytest.param("2026-03-06T12:00:00", "2026-03-09T09:00:00", id="on Friday"),
    ],
)
def test_a_rollout_starts_in_a_window_only(now: str, opens: str | None) -> None:
    seen = asked({"windows": [WORKDAYS]}, now=now)
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    if opens is None:
        assert found is None
        return
    at = datetime.fromisoformat(opens).replace(tzinfo=UTC)
    assert found is not None and found.again_seconds == (at - seen.now).total_seconds() + 1
    assert f"again on {at:%A %Y-%m-%d at %H:%M} (Etc/UTC)" in found.message


def test_hours_are_those_of_the_place_and_its_summer_time() -> None:
    berlin = {"windows": [{**WORKDAYS, "timeZone": "Europe/Berlin"}]}
    assert why(asked(berlin, now="2026-03-04T15:30:00")) == "OutsideWindow", "16:30 in winter"
    assert why(asked(berlin, now="2026-07-01T07:30:00")) == "", "09:30 in summer"
    assert why(asked(berlin, now="2026-03-04T07:30:00")) == "OutsideWindow"


@pytest.mark.parametrize("minute", range(0, 180, 10))
def test_an_hour_that_comes_twice_keeps_nobody_awake(minute: int) -> None:
    night = {"windows": [{"days": ["Sunday"], "start": "02:10", "end": "02:20", "timeZone": "Europe/Berlin"}]}
    seen = asked(night, now=f"2026-10-25T{minute // 60:02}:{minute % 60:02}:00")
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert (found is None) == (minute == 10), "the first of the two"
    assert found is None or found.again_seconds is None or found.again_seconds > 60


def test_a_time_zone_that_is_none_opens_never() -> None:
    seen = asked({"windows": [{**WORKDAYS, "timeZone": "Europe/Atlantis"}]}, now="2026-03-04T12:00:00")
    found = withheld(seen, ModelLedgerSpec(), seen.versions[0])
    assert found is not None and "Europe/Atlantis" in found.message


def test_what_has_started_goes_on_but_for_an_approval_that_was_taken_back() -> None:
    late = "2026-03-15T20:00:00"
    policy = {"windows": [WORKDAYS], "approvals": 1}
    assert why(asked(policy, EVE, started=True, now=late)) == ""
    assert why(asked(policy, started=True, now=late)) == "ApprovalMissing"


def test_without_its_registry_nobody_knows_what_is_allowed() -> None:
    seen = replace(asked({}), registry=Silent("RegistryNotFound", "there is no ModelRegistry mlflow"))
    assert why(seen) == "RegistryNotFound"


def test_where_the_cluster_decides_the_verb_promote_is_consent_enough() -> None:
    seen = replace(asked({"approvals": 2, "windows": [WORKDAYS], "namespaces": ["other"]}), model=model())
    assert (why(seen), forbidden(seen)) == ("", "")


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ({}, True),
        ({"namespaces": ["m*"]}, True),
        ({"namespaces": ["prod", "ml-*"]}, False),
        ({"models": ["flights"]}, True),
        ({"models": ["f?ights", "[f]lights"]}, False),
        ({"namespaces": ["ml"], "models": ["trains"]}, False),
    ],
)
def test_labels_promote_only_what_the_owner_of_the_registry_lets_them(policy: dict[str, Any], allowed: bool) -> None:
    assert (forbidden(asked(policy)) == "") == allowed
