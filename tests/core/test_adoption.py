"""What versions are compared with while a Deployment serves that was adopted."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from slipway.api.modelledger import Adopted, ModelLedgerSpec
from slipway.api.modelversion import ModelVersion
from slipway.core import adoption
from slipway.core.adoption import Opponent

from tests.worlds import STAMP, digest, model_seen, serves, version

OLD = Adopted(deployment="old-flights", selector={"app": "old-flights"}, port=5001, version=1, serving=True)


def told(digest: str | None = None, **conditions: tuple[str, str]) -> ModelVersion:
    """Version 1, with these conditions."""
    there = [
        {"type": kind, "status": status, "reason": reason, "lastTransitionTime": STAMP}
        for kind, (status, reason) in conditions.items()
    ]
    status: Mapping[str, Any] = {"observedGeneration": 1, "digest": digest, "conditions": there}
    return version(1, "None", status)


def adopted(**changes: Any) -> ModelLedgerSpec:
    return ModelLedgerSpec(model_uid="model-uid", since=STAMP, adopted=OLD.model_copy(update=changes))


IMPORTED = told(digest("a"), Resolved=("True", "Registered"), Imported=("True", "Imported"))
COMING = told(Resolved=("True", "Registered"), Imported=("False", "ImportRunning"))
REFUSED = told(
    Resolved=("True", "Registered"), Imported=("False", "UnsafeArtifact"), Stalled=("True", "UnsafeArtifact")
)
UNREGISTERED = told(Resolved=("False", "RegistryUnauthorized"), Stalled=("True", "RegistryUnauthorized"))


class Case(NamedTuple):
    name: str
    because: str
    ledger: ModelLedgerSpec
    runs: ModelVersion | None
    want: Opponent | None
    of: int = 2


CASES = [
    Case("nothing serves", "there is nothing to compare with", ModelLedgerSpec(), None, Opponent()),
    Case("a version serves", "it is the champion", serves(1), IMPORTED, Opponent(digest("a"), 1)),
    Case("it runs nobody knows what", "no number is made up", adopted(version=None), IMPORTED, Opponent()),
    Case("it runs a version", "its files are known", adopted(), IMPORTED, Opponent(digest("a"), 1)),
    Case("it runs a version that is on its way", "it is waited for", adopted(), COMING, None),
    Case("it runs a version that was not made yet", "it is about to be", adopted(), None, None),
    Case("it runs a version that is refused", "waiting would be for ever", adopted(), REFUSED, Opponent()),
    Case("the registry refuses the credential", "it may answer again", adopted(), UNREGISTERED, None),
    Case("it runs this one", "nothing gains on itself", adopted(), IMPORTED, Opponent(), of=1),
    Case("it serves no more", "and nothing else does", adopted(serving=False), IMPORTED, Opponent()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_version_is_compared_with(case: Case) -> None:
    found = version(case.of)
    seen = model_seen(tuple(one for one in (case.runs, found) if one is not None), case.ledger)
    assert adoption.opponent(seen, case.ledger, found) == case.want, case.because
