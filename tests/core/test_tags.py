"""What is kept of a version's tags in the registry: whatever a Slipway writes, and nothing that others make up."""

from slipway.api.modelledger import Served
from slipway.core.labels import wanted
from slipway.core.snapshot import SERVED_KEPT, TAG_LIMIT, WRITERS, kept_tags

from tests.worlds import STAMP, model_seen, serves, version


def test_every_tag_that_is_written_is_kept() -> None:
    changes = {"against": 1, "summary": "max_depth 8 → 12"}
    champion = version(2, status={"digest": "sha256:" + "2" * 64, "changes": changes})
    served = Served(version=2, digest="sha256:" + "2" * 64, since=STAMP)
    ledger = serves(2, 1, history=(served,))
    one = wanted(model_seen((champion,), ledger), ledger, champion)
    assert one is not None and len(one.write.all_tags) == 4
    assert kept_tags(one.write.all_tags) == one.write.all_tags


def test_tags_that_nobody_writes_take_no_memory() -> None:
    made_up = {f"slipway.dev/x{number}": "y" * 1000 for number in range(20_000)}
    made_up |= {"team": "air", "slipway.dev/test/ml/mine": "x", "slipway.dev/test/ml/more/state": "x"}
    assert kept_tags(made_up) == {}


def test_of_however_many_clusters_tags_are_made_up_a_bounded_number_is_kept() -> None:
    words = ("state", "reason", "digest", "changes", *(f"served {number}" for number in range(100)))
    made_up = {f"slipway.dev/c{n}/ml/{word}": "y" * 2000 for n in range(100) for word in words}
    kept = kept_tags(made_up)
    assert len(kept) == WRITERS * (4 + SERVED_KEPT)
    assert {len(value) for value in kept.values()} == {TAG_LIMIT}
