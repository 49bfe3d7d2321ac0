"""Requests that come while others are answered are answered together, each as it would be alone."""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy
import pytest
import requests
from sklearn.ensemble import RandomForestRegressor
from slipway.runner.serving.batches import Batches, prove, together
from slipway.runner.serving.fast import FastWay, columns_of, fast_way, probes
from slipway.runner.serving.native import NotNative
from slipway.runner.serving.rows import Columns, Table

from tests.runner.test_serve import serving
from tests.runner.ways import DOUBLES, NAMES, TARGET, by_mlflow, linear, saved

COLUMNS = Columns(("float64",) * 3, NAMES)


def body(*rows: Sequence[Any]) -> bytes:
    return json.dumps({"dataframe_split": {"columns": list(NAMES), "data": [list(row) for row in rows]}}).encode()


def doubled(table: Table) -> Any:
    return table[:, 0] * 2


async def threaded(work: Callable[[Sequence[Table]], Any], tables: Sequence[Table]) -> Any:
    return await asyncio.to_thread(work, tables)


class Counted:
    """A model that notes how many rows it is asked at once."""

    def __init__(self, predict: Callable[[Table], Any] = doubled) -> None:
        self.asked: list[int] = []
        self._predict = predict

    def __call__(self, table: Table) -> Any:
        self.asked.append(len(table))
        return self._predict(table)


def asked(predict: Callable[[Table], Any], bodies: Sequence[bytes], max_rows: int = 100) -> list[bytes | None]:
    async def all_at_once() -> list[bytes | None]:
        batches = Batches(FastWay(COLUMNS, predict), max_rows, threaded)
        return await asyncio.gather(*(batches.take(one) for one in bodies))

    return asyncio.run(all_at_once())


def test_what_comes_together_is_predicted_at_once_and_each_gets_its_own() -> None:
    model = Counted()
    bodies = [body((one, 0, 0), *[(one + 0.5, 0, 0)] * (one % 3)) for one in range(20)]
    answers = asked(model, bodies)
    assert answers == [FastWay(COLUMNS, doubled).answer(one) for one in bodies]
    assert model.asked == [sum(1 + one % 3 for one in range(20))]


def test_a_batch_has_so_many_rows_and_a_request_with_more_is_one_by_itself() -> None:
    model = Counted()
    asked(model, [body(*[(1, 2, 3)] * rows) for rows in (2, 2, 9, 1, 3, 1)], max_rows=4)
    assert model.asked == [4, 9, 4, 1]


def test_what_is_for_mlflow_to_answer_is_nobody_elses_concern() -> None:
    answers = asked(Counted(), [body((1, 0, 0)), b"{", body((None, 0, 0)), body((2, 0, 0))])
    assert answers == [b'{"predictions": [2.0]}', None, None, b'{"predictions": [4.0]}']


@pytest.mark.parametrize("found", [ValueError("no"), "text", numpy.zeros(1)], ids=["error", "no array", "too few"])
def test_a_batch_that_fails_is_answered_by_mlflow_one_by_one(found: Any) -> None:
    def predict(table: Table) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    assert asked(predict, [body((1, 0, 0)), body((2, 0, 0))]) == [None, None]


def test_who_goes_away_takes_nobody_along() -> None:
    async def one_goes() -> bytes | None:
        batches = Batches(FastWay(COLUMNS, doubled), 10, threaded)
        gone, stays = (asyncio.create_task(batches.take(body((n, 0, 0)))) for n in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        found = await stays
        assert await batches.take(body((3, 0, 0))) == b'{"predictions": [6.0]}', "and it goes on"
        return found

    assert asyncio.run(one_goes()) == b'{"predictions": [4.0]}'


def test_forests_may_be_asked_together_and_linear_algebra_may_not(tmp_path: Path) -> None:
    for name, model in (
        ("forest", RandomForestRegressor(10, random_state=1).fit(DOUBLES, TARGET)),
        ("line", linear(DOUBLES)),
    ):
        pyfunc = saved(model, DOUBLES, tmp_path / name)
        way = fast_way(pyfunc, by_mlflow(pyfunc))
        bodies = list(probes(columns_of(pyfunc.metadata.get_input_schema())))
        tables = [table for one in bodies if (table := way.columns.read(one)) is not None]
        same = together(way, tables) == [way.answer(one) for one in bodies if way.columns.read(one) is not None]
        if same:
            prove(way, bodies)
        else:
            with pytest.raises(NotNative, match="among others it answers otherwise than alone"):
                prove(way, bodies)
        assert same == (name == "forest")


def test_a_pod_answers_together_where_that_is_asked_for_and_proven(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    saved(RandomForestRegressor(20, random_state=1).fit(DOUBLES, TARGET), DOUBLES, tmp_path / "forest")
    with (
        serving(tmp_path / "pod", tmp_path / "forest", 3, SLIPWAY_SCORING='{"batching": {}}') as server,
        ThreadPoolExecutor(16) as clients,
    ):
        assert "batching is on: 256 rows at a time" in server.log.read_text()
        rows = DOUBLES.to_numpy().tolist()

        def ask(row: list[float]) -> str:
            asked = {"dataframe_split": {"columns": list(NAMES), "data": [row]}}
            return requests.post(f"{server.url}/invocations", json=asked, timeout=60).text

        alone = [ask(row) for row in rows]
        assert list(clients.map(ask, rows * 4)) == alone * 4
        empty = requests.post(f"{server.url}/invocations", json={"dataframe_split": {"columns": []}}, timeout=60)
        assert empty.status_code == 400, "errors are MLflow's own"


def test_a_pod_that_cannot_answer_together_says_so_where_a_rehearsal_reads_it(tmp_path: Path) -> None:
    (tmp_path / "pod").mkdir()
    saved(linear(DOUBLES), DOUBLES, tmp_path / "line")
    with serving(tmp_path / "pod", tmp_path / "line", 3, SLIPWAY_SCORING='{"batching": {}}') as server:
        told = requests.get(f"{server.url}/slipway", timeout=60).json()
    assert told["fastWay"] is True
    assert told["why"].startswith("batching is off: among others it answers otherwise than alone")
