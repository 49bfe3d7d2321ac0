"""The catalogue knows every word that a program or an adapter says, and tells a person what to do."""

import re
from pathlib import Path

import pytest
from slipway.core.reasons import Reason, cluster, imports, reason_named, registry, rollout, validation

SOURCE = Path(__file__).parents[2] / "operator" / "slipway"
SAYS = re.compile(r'(?:Refused|Problem|Absent|Silent)\(\s*(?:reason=)?"([A-Z][A-Za-z]+)"')


def said() -> set[str]:
    """Every reason that is spelled out in a program or an adapter."""
    files = [*SOURCE.glob("runner/*.py"), *SOURCE.glob("adapters/*.py")]
    return {word for file in files for word in SAYS.findall(file.read_text())}


def test_every_word_that_is_said_is_in_the_catalogue() -> None:
    words = said()
    assert len(words) > 15, "the pattern no longer finds them"
    assert words - set(Reason.__members__) == set()


@pytest.mark.parametrize("reason", [one for one in Reason if one.outlook in ("Stuck", "Retrying")])
def test_every_failure_says_what_to_do(reason: Reason) -> None:
    assert reason.meaning.endswith(".") and reason.remedy.endswith(".")


def test_each_reason_has_its_words_in_one_subject_and_no_words_lack_a_reason() -> None:
    told = [word for subject in (registry, imports, validation, cluster, rollout) for word in subject.WORDS]
    assert sorted(told) == sorted(Reason.__members__)


def test_a_word_that_nobody_knows_is_an_internal_error() -> None:
    assert reason_named("Nonsense") is Reason.InternalError
