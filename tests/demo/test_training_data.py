"""The data are the same each time, and the model carries its preprocessing."""

import pandas as pd
import pytest

from dev.demo import flights, pipeline


@pytest.fixture(scope="module")
def data() -> flights.Flights:
    return flights.load_flights(100)


def test_the_cut_is_the_same_each_time_and_loses_no_flight(data: flights.Flights) -> None:
    assert len(data.training) + len(data.holdout) == 336_776 - 9_430  # less those that never flew
    again = flights.load_flights(100)
    pd.testing.assert_frame_equal(data.holdout, again.holdout)
    assert flights.digest(flights.parquet(data.holdout)) == flights.digest(flights.parquet(again.holdout))


def test_the_request_holds_what_the_model_is_given_and_not_the_target(data: flights.Flights) -> None:
    split = flights.dataframe_split(data.holdout.head(3))["dataframe_split"]
    assert isinstance(split, dict)
    assert split["columns"] == list(flights.COLUMNS) and flights.TARGET not in split["columns"]
    assert len(split["data"]) == 3


def test_a_table_goes_in_and_minutes_come_out(data: flights.Flights) -> None:
    rows = data.training.head(2_000)
    model = pipeline.fit(rows, rows[flights.TARGET], {"n_estimators": 10, "max_depth": 3, "learning_rate": 0.3})
    errors = pipeline.metrics(model, data.holdout)
    assert 0 < errors["mean_absolute_error"] <= errors["root_mean_squared_error"] < 40
