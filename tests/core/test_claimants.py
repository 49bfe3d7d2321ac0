"""Claims: what versions ask for, by whom and since when, whether a spec or the registry's labels say so."""

from typing import Any

import pytest
from slipway.api.modelledger import Following, ModelLedgerSpec, Request, RolledBack, Shown
from slipway.api.modelversion import ModelVersion
from slipway.core.claimants import Claim, claims_of
from slipway.core.ledger import retry_hash
from slipway.core.registry import Labels

from tests.worlds import STAMP, model, model_seen, serves, version

LATER = "2026-03-06T17:30:00Z"
FOLLOWS = model({"promotion": {"source": "Registry"}})


def staged(number: int, stage: str, by: str = "", at: str = "", deleted: str | None = None) -> ModelVersion:
    """A version of which the API server tells who set its stage, and when."""
    found = version(number, stage)
    meta = {"staged_by": by, "staged_at": at, "deletion_timestamp": deleted}
    return found.model_copy(update={"metadata": found.metadata.model_copy(update=meta)})


def rolled_back(number: int) -> dict[str, Any]:
    return {"rolled_back": (RolledBack(version=number, at=STAMP, by="eve", retry=retry_hash(version(number))),)}


def following(**said: Any) -> dict[str, Any]:
    return {"following": Following(shown=(Shown(version=1, by="Both"),), **said)}


@pytest.mark.parametrize(
    ("versions", "ledger", "want"),
    [
        pytest.param(
            (staged(1, "Production", "argocd-controller", LATER),),
            None,
            [Claim(1, "Production", "argocd-controller", LATER)],
            id="who set the stage and when, as far as the API server tells",
        ),
        pytest.param(
            (version(1), version(3), version(2, "Staging"), version(4, "None")),
            None,
            [Claim(3, "Production", "unknown", ""), Claim(2, "Staging", "unknown", ""), Claim(1, "Production", "unknown", "")],
            id="the highest number first, and none that asks for nothing",
        ),
        pytest.param(
            (version(1), version(2)),
            serves(1, **rolled_back(2)),
            [Claim(1, "Production", "unknown", "")],
            id="what was rolled back claims nothing by itself",
        ),
        pytest.param(
            (version(1, "Archived"),),
            serves(1, against_stage=True),
            [Claim(1, "Production", "unknown", "")],
            id="what a rollback returned to keeps its claim against its stage",
        ),
        pytest.param(
            (staged(1, "Production", deleted=LATER), staged(2, "Archived", deleted=LATER)),
            None,
            [Claim(2, "Archived", "unknown", "")],
            id="what is being deleted does not claim Production",
        ),
    ],
)  # fmt: skip
def test_where_the_cluster_decides(
    versions: tuple[ModelVersion, ...], ledger: ModelLedgerSpec | None, want: list[Claim]
) -> None:
    seen = model_seen(versions, ledger)
    assert list(claims_of(seen, seen.ledger or ModelLedgerSpec())) == want


SERVED, ASKED = Labels("Production", ("champion",), {}), Labels("Production", (), {})
CHAMPION = Claim(1, "Production", "unknown", "")


@pytest.mark.parametrize(
    ("labels", "ledger", "want"),
    [
        pytest.param(
            {1: SERVED, 2: ASKED, 3: Labels("Staging", (), {})},
            serves(1, **following(request=Request(version=2, at=LATER))),
            [Claim(2, "Production", "unknown", LATER), Claim(3, "Staging", "unknown", ""), CHAMPION],
            id="the request first, whatever its number",
        ),
        pytest.param(
            {1: SERVED, 2: ASKED},
            serves(1, **following()),
            [CHAMPION],
            id="a label that was answered, or was there before, asks for nothing",
        ),
        pytest.param(
            {1: SERVED, 2: ASKED, 3: Labels("None", ("champion",), {})},
            serves(1, **following(request=Request(version=2, at=LATER, against=3))),
            [CHAMPION],
            id="labels that contradict each other claim nothing",
        ),
        pytest.param(
            {1: Labels("Archived", (), {})},
            serves(1, **following(archived="Asked")),
            [Claim(1, "Archived", "unknown", "")],
            id="the champion that somebody archived",
        ),
    ],
)
def test_where_the_registry_decides(labels: dict[int, Labels], ledger: ModelLedgerSpec, want: list[Claim]) -> None:
    """The stages of the specs say nothing: each is Production."""
    seen = model_seen(tuple(version(number) for number in (1, 2, 3)), ledger, of=FOLLOWS, labels=labels)
    assert list(claims_of(seen, ledger)) == want
