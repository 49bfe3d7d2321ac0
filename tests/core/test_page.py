"""The page beside a report: whoever opens the run in MLflow reads the gates and what differs."""

from slipway.api.modelversion import GateResult
from slipway.core.facts import Logged
from slipway.core.page import page

from tests.core.test_changes import changes
from tests.core.test_facts import hostile

GATES = (
    GateResult(name="error", result="Failed", metric="rmse", candidate=14.25, champion=12.5, message="rmse is 14.25"),
)


def test_it_tells_the_numbers_and_what_differs() -> None:
    found = changes(Logged(params={"max_depth": "6"}, data={}), Logged(params={"max_depth": "8"}, data={}))
    text = page("flights, version 2", "refused", GATES, found)
    assert "<td>14.25</td><td>12.5</td>" in text
    assert "<tr><td>max_depth</td><td>6</td><td>8</td><td>raised</td></tr>" in text
    assert "<h3>Data</h3>\n<p>The same.</p>" in text and "<h3>Code</h3>\n<p>Not known of both versions.</p>" in text


def test_nothing_that_a_model_says_is_markup_and_the_page_is_small() -> None:
    found = changes(Logged(params={}), Logged(params={"<script>alert(1)</script>": '"><img src=x>'}))
    text = page("<b>", "<i>", (GATES[0].model_copy(update={"message": "<a href=x>"}),), found)
    assert not any(tag in text for tag in ("<script", "<img", "<b>", "<i>", "<a "))
    assert len(page("t", "o", GATES * 64, changes(Logged(params={}, inputs={}), hostile("<"))).encode()) < 128 * 1024


def test_what_is_not_known_yet_and_what_nobody_asked_is_said() -> None:
    text = page("t", "o", (), None)
    assert "No gates are set." in text and "not known yet" in text
