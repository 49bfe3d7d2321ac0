"""What the API server refuses is a fact: named by its cause, asked again later and later, at once when it changes."""

import pytest
from slipway.adapters.errors import Occupied, Rejected, TakenInHand, Unauthorized
from slipway.controller.queue import Key
from slipway.controller.refusals import FIRST_SECONDS, Refusals, refusal_of
from slipway.core.decision import Ref, Refusal

KEY = Key("model", "ml", "flights")
PODS = Ref("apps/v1", "Deployment", "ml", "flights-v2")
QUOTA = Refusal(PODS, "QuotaExceeded", "exceeded quota")


class Clock:
    """A clock that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Unauthorized('deployments.apps "a" is forbidden: exceeded quota: compute, requested: pods=1'), "QuotaExceeded"),
        (Unauthorized('deployments.apps "a" is forbidden: User "system:serviceaccount:slipway-system:slipway" cannot patch resource "deployments"'), "OperatorForbidden"),
        (Unauthorized('admission webhook "validate.kyverno.svc" denied the request: label team is missing'), "AdmissionDenied"),
        (Rejected('admission webhook "gatekeeper" denied the request: unsigned image'), "AdmissionDenied"),
        (Unauthorized("pods \"a\" is forbidden: violates PodSecurity \"restricted:latest\""), "AdmissionDenied"),
        (Rejected("ValidatingAdmissionPolicy 'no-friday' with binding 'all' denied request: not today"), "AdmissionDenied"),
        (Rejected('Deployment.apps "a" is invalid: spec.template.spec.containers[0].resources.requests: must be less than'), "InvalidSpec"),
        (TakenInHand("Deployment ml/flights-v2 is in a person's hands: INC-1"), "TakenInHand"),
        (Occupied("a Deployment ml/flights-v2 is there that Slipway did not make"), "NameTaken"),
    ],
)  # fmt: skip
def test_each_cause_has_its_reason_and_the_api_servers_words(error: Rejected, reason: str) -> None:
    found = refusal_of(PODS, error)
    assert (found.reason, found.message) == (reason, f"Deployment flights-v2: {error}")


def test_what_was_refused_is_asked_again_later_and_later() -> None:
    clock = Clock()
    of = Refusals(clock)
    pauses = []
    for _ in range(4):
        of.note(KEY, QUOTA, "manifest")
        pauses.append(of.again_seconds(KEY))
        clock.now += pauses[-1] or 0
        assert of.standing(KEY, PODS, "manifest") is None
    assert pauses == [FIRST_SECONDS * 2**times for times in range(4)]


def test_another_manifest_is_asked_for_at_once() -> None:
    of = Refusals(Clock())
    of.note(KEY, QUOTA, "manifest")
    assert of.standing(KEY, PODS, "manifest") == QUOTA
    assert of.standing(KEY, PODS, "corrected") is None


def test_only_news_wakes_a_second_look() -> None:
    of = Refusals(Clock())
    assert of.note(KEY, QUOTA, "manifest")
    assert not of.note(KEY, QUOTA, "manifest")
    assert not of.keep(KEY, {PODS})
    assert of.keep(KEY, set())
    assert (of.of(KEY), of.again_seconds(KEY)) == ({}, None)
