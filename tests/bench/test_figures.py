"""What a figure says, and what counts as a request."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from bench.figures import figure
from bench.registry import Requests
from bench.whereabouts import by_package


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ((1.0, 2.0), True),
        ((1.0, 2.1), False),  # the worst run decides, not the median
        (2.0, True),
    ],
)
def test_the_worst_run_must_meet_the_bound(values: tuple[float, ...] | float, holds: bool) -> None:
    assert figure("a rollback", values, " s", 2).holds is holds


def test_a_figure_without_a_bound_holds() -> None:
    assert figure("a rollback", 7).holds


def test_several_runs_are_a_range() -> None:
    assert str(figure("a rollback", (0.2, 0.4, 0.3), " s", 1)) == (
        "a rollback: 0.2 to 0.4 s in 3 runs, median 0.3, at most 1: holds"
    )


def test_requests_are_counted_from_a_moment_on(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text('INFO: 127.0.0.1:1 - "GET /version HTTP/1.1" 200 OK\n')
    requests = Requests(SimpleNamespace(directory=tmp_path))  # type: ignore[arg-type]
    with log.open("a") as more:
        more.write('INFO: 127.0.0.1:1 - "GET /api/2.0/mlflow/model-versions/get?name=a&version=1 HTTP/1.1" 200 OK\n')
        more.write('INFO: 127.0.0.1:1 - "GET /api/2.0/mlflow/logged-models/m-' + "0" * 32 + ' HTTP/1.1" 200 OK\n')
        more.write("INFO: started\n")
    assert requests.counted() == {
        "GET /api/2.0/mlflow/model-versions/get": 1,
        "GET /api/2.0/mlflow/logged-models/<id>": 1,
    }


def test_time_is_told_by_package_and_that_of_a_built_in_is_its_callers() -> None:
    here = ("/venv/lib/python3.11/site-packages/kopf/_core/queue.py", 1, "work")
    ours = ("/repo/operator/slipway/core/labels.py", 1, "wish")
    built_in = ("~", 0, "<built-in method len>")
    stats = SimpleNamespace(
        stats={
            here: (1, 1, 2.0, 2.0, {}),
            ours: (1, 1, 1.0, 1.0, {}),
            built_in: (2, 2, 4.0, 4.0, {here: (1, 1, 3.0, 3.0), ours: (1, 1, 1.0, 1.0)}),
        }
    )
    assert by_package(stats) == {"kopf": 5.0, "slipway.core": 2.0}  # type: ignore[arg-type]
