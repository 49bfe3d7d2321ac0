"""Our line in a version's description says what has become of it; all other lines are people's."""

import html
import re
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.api.modelversion import ModelVersion
from slipway.core.description import DESCRIPTION_LIMIT, described, escaped, line, lines
from slipway.core.labels import wanted
from slipway.core.ledger import EMPTY

from tests.worlds import STAMP, digest, model_seen, serves, version

OURS = "**Slipway test/ml:** serving."
OLD = "**Slipway test/ml:** refused."
THEIRS = "**Slipway prod/ml:** serving."


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    before: str
    after: str


CASES = [
    Case("none", "it is the whole description", "", OURS),
    Case("a person's", "it comes last, in a paragraph of its own", "Tuned.", f"Tuned.\n\n{OURS}"),
    Case("ours", "once is enough", OURS, OURS),
    Case("an old one", "it is replaced where it stands", f"Tuned.\n{OLD}\r\nBy Ada.", f"Tuned.\n{OURS}\nBy Ada."),
    Case("two of ours", "one was pasted", f"{OLD}\nTuned.\n{OLD}", f"{OURS}\nTuned."),
    Case("another cluster's", "that one is its own", THEIRS, f"{THEIRS}\n\n{OURS}"),
    Case("a quote of ours", "it does not begin the line", f"> {OLD}", f"> {OLD}\n\n{OURS}"),
    Case("spaces", "a person's spaces are a person's", "  Tuned. \n\n", f"  Tuned. \n\n\n{OURS}"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_line_takes_its_place(case: Case) -> None:
    after = described(case.before, OURS)
    assert after == case.after, case.because
    assert described(after, OURS) == after, "writing twice is writing once"
    assert OURS in lines(after)


def test_our_line_is_found_however_many_others_look_like_it() -> None:
    others = "\n".join(f"**Slipway c{number}/ml:** serving." for number in range(150))
    after = described(others, OURS)
    assert len(after) < DESCRIPTION_LIMIT and OURS in lines(after)


def test_of_a_description_that_no_database_takes_no_more_is_read_than_one_would_take() -> None:
    assert sum(map(len, lines("\n".join(f"**Slipway c{number}/ml:** x" for number in range(100_000))))) <= 5000


@given(st.text(), st.text(alphabet=st.characters(blacklist_characters="\n")))
def test_no_line_of_a_person_is_touched(text: str, said: str) -> None:
    ours = f"**Slipway test/ml:** {escaped(said)}"
    kept = [one for one in text.split("\n") if not one.startswith("**Slipway test/ml:**")]
    after = described(text, ours).split("\n")
    assert [one for one in after if one and one != ours] == [one for one in kept if one]
    assert after.count(ours) == 1 and described("\n".join(after), ours) == "\n".join(after)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("[here](javascript:alert(1))", r"\[here\]\(javascript&#58;alert\(1\)\)"),
        ("<script>\n**Slipway x/y:** serving", r"&lt;script&gt; \*\*Slipway x/y&#58;\*\* serving"),
        ("root_mean_squared_error is 14.2", r"root\_mean\_squared\_error is 14.2"),
        ("see https://evil.example/a.b", "see https&#58;//evil&#46;example/a&#46;b"),
        ("see www.evil.example.", "see www&#46;evil&#46;example."),
        ("mail ada@evil.example", "mail ada&#64;evil&#46;example"),
        ("mailto:ada@evil", "mailto&#58;ada&#64;evil"),
        ("xmpp:a@b/c tel:+1", "xmpp&#58;a&#64;b/c tel&#58;+1"),
        ("since 2026-03-06T17:00:00Z: must be 1.000%.", "since 2026-03-06T17:00:00Z: must be 1.000%."),
        ("error: it is 14.2, the champion's is 12.1.", "error: it is 14.2, the champion's is 12.1."),
        ("&#58; &lt;b&gt;", r"&amp;\#58; &amp;lt;b&amp;gt;"),
    ],
)
def test_what_models_say_is_shown_letter_for_letter_and_links_nowhere(said: str, shown: str) -> None:
    assert escaped(said) == shown
    assert html.unescape(re.sub(r"\\(.)", r"\1", shown)) == " ".join(said.split())


LINKS = re.compile(r"[a-z]:\S|:/|@|www\.\S|[\w-]\.[a-z]", re.IGNORECASE)
MARKUP = re.compile(r"[<>]|(?<!\\)[`*_{}\[\]()#|~!$]|&(?!(amp|lt|gt|#\d\d);)")


@given(st.text(st.sampled_from("htpswww.:/@evil_~*<>[]()&#;-1 \t")) | st.text())
def test_nothing_that_is_said_links_or_is_markup(said: str) -> None:
    shown = escaped(said)
    found = LINKS.search(shown) or MARKUP.search(re.sub(r"&#\d\d;", "", shown))
    assert found is None, f"{shown} shows more than letters"


@pytest.mark.parametrize("letter", ["<", "a.", "_", "@", "é"])
def test_a_line_is_never_longer_than_what_is_read_of_it(letter: str) -> None:
    ours = line(model_seen((), EMPTY), seen_version(2), letter * 900)
    assert lines(ours) == (ours,)


def seen_version(number: int, outcome: str = "Failed", experiment: str = "7") -> ModelVersion:
    """A version that was validated, and whose run is known."""
    said = "error: root_mean_squared_error is 14.2, the champion's is 12.1: must be lower by at least 1.000%."
    conditions = [
        {"type": kind, "status": status, "reason": "GateFailed", "message": said, "lastTransitionTime": STAMP}
        for kind, status in (("Validated", "False"), ("Stalled", "True"))
    ]
    return version(
        number,
        status={
            "observedGeneration": 1,
            "conditions": conditions if outcome == "Failed" else [],
            "resolved": {"source": "models:/m-1", "mlmodelDigest": digest("f"), "runId": "run 1"},
            "facts": {"experiment": experiment} if experiment else None,
            "validation": {"key": "k", "outcome": outcome, "revision": "0123456789", "gates": [
                {"name": "error", "result": outcome}
            ]},
        },
    )  # fmt: skip


def test_a_refusal_is_told_with_both_numbers_and_a_link_to_the_report() -> None:
    refused = seen_version(2)
    seen = model_seen((version(1), refused), serves(1))
    one = wanted(seen, serves(1), refused)
    assert one is not None
    said = one.write.line
    assert said.startswith("**Slipway test/ml:** refused, GateFailed.")
    assert "is 14.2" in said and "is 12.1" in said and "kubectl" not in said and "status" not in said
    link = "(#/experiments/7/runs/run%201/artifacts/slipway/test/ml/flights-v2-0123456789.html)"
    assert said.endswith(f" [Report]{link}")
    assert lines(f"Tuned.\n\n{said}") == (said,)


def test_what_serves_says_since_when_and_a_link_needs_an_experiment() -> None:
    champion = seen_version(1, "Passed", experiment="")
    one = wanted(model_seen((champion,), serves(1)), serves(1), champion)
    assert one is not None
    assert one.write.line == f"**Slipway test/ml:** serving since {STAMP}."
    assert line(model_seen((), EMPTY), champion, "x" * 9000).count("x") < 1000, "it is bounded"
