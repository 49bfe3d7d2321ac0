"""How a version was made takes no more room than a status has for it, and hides what is secret."""

import json
import time
from dataclasses import dataclass
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slipway.api.facts import Facts
from slipway.core.facts import ROOM, Logged, bounded

LIMIT_BYTES = 6 * 1024
TEXT = st.text(max_size=120)
LISTS = st.none() | st.dictionaries(TEXT, TEXT, max_size=12)
LOGGED = st.builds(
    Logged,
    params=LISTS,
    metrics=st.none() | st.dictionaries(TEXT, st.floats(), max_size=12),
    tags=LISTS,
    data=LISTS,
    inputs=LISTS,
    outputs=LISTS,
    files=LISTS,
    packages=LISTS,
    python=st.none() | TEXT,
    commit=st.none() | TEXT,
    trained_by=st.none() | TEXT,
)


def size(facts: Facts) -> int:
    return len(json.dumps(facts.wire(), ensure_ascii=False, separators=(",", ":")).encode())


@cache
def hostile(letter: str) -> Logged:
    """Everything is too much: in one letter."""
    many = {f"{number:04}{letter * 6000}": letter * 6000 for number in range(300)}
    metrics = {f"{number:04}{letter * 250}": -1.2345678901234567e-300 for number in range(300)}
    long = letter * 6000
    return Logged(**dict.fromkeys(ROOM, many) | {"metrics": metrics}, python=long, commit=long, trained_by=long)  # type: ignore[arg-type]


@given(LOGGED)
def test_whatever_a_run_holds_takes_little_room_and_can_be_read(logged: Logged) -> None:
    found = bounded(logged)
    assert size(found) <= LIMIT_BYTES
    assert Facts.model_validate(json.loads(json.dumps(found.wire()))) == found
    assert bounded(logged) == found


@pytest.mark.parametrize("letter", ["a", "ü", "數", "😀", '"', "\n", "\ud800"])
def test_a_hostile_run_takes_little_room_and_what_was_left_out_is_counted(letter: str) -> None:
    found = bounded(hostile(letter))
    assert size(found) <= LIMIT_BYTES
    assert set(found.rest) == set(ROOM)
    for name in ROOM:
        kept = getattr(found, name)
        assert len(kept) + found.rest[name].count == 300, name


@dataclass(frozen=True)
class Case:
    name: str
    because: str
    key: str
    value: str
    shown: str


CASES = [
    Case("number", "it is what people compare", "max_depth", "6", "6"),
    Case("text", "spaces and lines are one", "layers", "64,\n  32", "64, 32"),
    Case("password", "a status is read by more people than a run", "db_password", "hush", "(hidden)"),
    Case("key", "so are all its names", "AWS_SECRET_ACCESS_KEY", "hush", "(hidden)"),
    Case("token", "a token is a credential", "hf.token", "hush", "(hidden)"),
    Case("tokens", "a count of tokens is none", "max_tokens", "512", "512"),
    Case("author", "nor is a name", "author", "Ada", "Ada"),
    Case("address", "its user is one", "source", "postgres://me:hush@db/flights", "postgres://***@db/flights"),
]


SECRETS = (
    "pwd", "DB_PWD", "dbPassword", "db_pass", "passphrase", "pass_phrase", "credentials", "gcp.credential",
    "account_key", "AccountKey", "storageKey", "shared-key", "API_KEY", "apikey", "private key", "signing_key",
    "sas", "SAS_TOKEN", "blobSas", "dsn", "SENTRY_DSN", "hftoken", "HF_TOKEN", "authToken", "token2",
    "access_token_value", "connection string", "ConnectionString", "CONN_STR", "client_secret", "basic.auth",
)  # fmt: skip
NO_SECRETS = (
    "tokenizer", "max_tokens", "n_tokens", "maxTokens", "token_type", "tokens_per_second", "detokenize",
    "num_passes", "bypass", "passthrough", "pass_rate", "low_pass", "key", "sort_key", "monkey", "author", "dsname",
    "sassafras", "kansas", "connections", "string", "account",
)  # fmt: skip


@pytest.mark.parametrize("key", SECRETS)
def test_a_name_of_a_secret_hides_what_it_holds(key: str) -> None:
    found = bounded(Logged(params={key: "hush"}, tags={key: "hush"}))
    assert (found.params, found.tags) == ({key: "(hidden)"}, {key: "(hidden)"})


@pytest.mark.parametrize("key", NO_SECRETS)
def test_a_name_that_only_sounds_like_one_hides_nothing(key: str) -> None:
    assert bounded(Logged(params={key: "512"})).params == {key: "512"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgres://me:hu@sh@db/flights", "postgres://***@db/flights"),
        ("postgres://me:hu/sh@db/flights", "postgres://***@db/flights"),
        ("postgres://me:hu//s?h@db/flights", "postgres://***@db/flights"),
        ("s3://data/a,https://me:hush@host/b", "s3://***@host/b"),
        ("git+ssh://git@host/flights", "git+ssh://***@host/flights"),
        ("from https://me:hush@one to https://hush@two", "from https://***@one to https://***@two"),
        ("https://a.example/x?sv=2024&sig=hush", "https://a.example/x?***"),
        ("https://a.example/x?user=a@b.example", "https://a.example/x?***"),
        ("https://a.example?X-Amz-Signature=hush then more", "https://a.example?*** then more"),
        ("Server=db;Password=hush;Port=1", "Server=db;Password=***;Port=1"),
        ("Name=a;AccountKey=hush==;Suffix=b", "Name=a;AccountKey=***;Suffix=b"),
        ("https://a.example/@ada/post", "https://a.example/@ada/post"),
        ("s3://data/flights@2024", "s3://data/flights@2024"),
        ("really? yes", "really? yes"),
        ("ada@a.example", "ada@a.example"),
        ("mlflow#/experiments/7", "mlflow#/experiments/7"),
    ],
)
def test_what_a_value_holds_of_a_credential_is_left_out(value: str, shown: str) -> None:
    found = bounded(Logged(params={"source": value}, data={"train": value}))
    assert (found.params, found.data) == ({"source": shown}, {"train": shown})


@pytest.mark.parametrize("letters", ["//a:", "?", "//", "@", "password=", "a"])
def test_a_hostile_value_costs_little_time(letters: str) -> None:
    value = letters * (8000 // len(letters))
    began = time.process_time()
    bounded(Logged(params={f"{number:02}{value}": value for number in range(20)}))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_said_of_a_parameter(case: Case) -> None:
    assert bounded(Logged(params={case.key: case.value})).params == {case.key: case.shown}, case.because


def test_two_long_texts_that_begin_alike_do_not_look_alike() -> None:
    one, two = (bounded(Logged(params={"layers": "64," * 100 + end})).params for end in ("1", "2"))
    assert one and two and one["layers"][:40] == two["layers"][:40] and one != two


def test_metrics_are_told_to_six_digits_and_what_is_no_number_as_it_is() -> None:
    found = bounded(Logged(metrics={"rmse": 5.23456789, "auc": float("nan"), "loss": float("inf")})).metrics
    assert found == {"auc": "nan", "loss": "inf", "rmse": "5.23457"}


def test_what_is_unknown_is_not_what_is_empty() -> None:
    assert bounded(Logged(params={})).params == {} and bounded(Logged()).params is None
