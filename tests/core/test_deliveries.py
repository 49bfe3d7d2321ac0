"""A delivery counts when it was signed with the secret, as MLflow signs, and not long ago."""

from dataclasses import dataclass, replace

import pytest
from slipway.core.deliveries import ID, SIGNATURE, TIMESTAMP, WINDOW_SECONDS, Delivery, read, signature_of

SECRET, BODY, NOW = "a secret of both of them", b'{"entity": "model_version_alias"}', 1_772_816_400
NUMBER = "0b0d5f7e-6b7b-4b29-9a55-4ad0a3b4e0f1"
GENUINE = Delivery(NUMBER, str(NOW), signature_of(SECRET, NUMBER, str(NOW), BODY), BODY)


def test_the_signature_is_the_one_of_mlflow() -> None:
    """As `_generate_hmac_signature` of MLflow 3.17.2 computes it; tests/adapters/test_webhooks.py has real ones."""
    assert GENUINE.signature == "v1,ea2gPQuV+xcRxwGVUtNfKxSte9z94//gXB1OLFxZIlA="


def test_what_was_signed_with_the_secret_is_genuine() -> None:
    assert GENUINE.is_signed(SECRET) and not GENUINE.is_late(NOW)


@pytest.mark.parametrize(
    ("because", "delivery", "secret"),
    [
        ("another secret", GENUINE, "another secret of theirs"),
        ("no secret is known", GENUINE, ""),
        ("another body", replace(GENUINE, body=BODY + b" "), SECRET),
        ("another time", replace(GENUINE, timestamp=str(NOW + 1)), SECRET),
        ("another delivery", replace(GENUINE, id=NUMBER.replace("0b", "0c")), SECRET),
        ("signed with the empty secret", replace(GENUINE, signature=signature_of("", NUMBER, str(NOW), BODY)), ""),
    ],
)
def test_what_was_not_is_forged(because: str, delivery: Delivery, secret: str) -> None:
    assert not delivery.is_signed(secret), because


@pytest.mark.parametrize(
    ("because", "after", "want"),
    [
        ("a try after ten seconds", 10, False),
        ("at the end of the window", WINDOW_SECONDS, False),
        ("after it", WINDOW_SECONDS + 1, True),
        ("the registry's clock is ahead", -WINDOW_SECONDS, False),
        ("from the future", -WINDOW_SECONDS - 1, True),
    ],
)
def test_how_late_it_may_come(because: str, after: int, want: bool) -> None:
    assert GENUINE.is_late(NOW + after) is want, because


@dataclass(frozen=True)
class Case:
    """Headers that differ from those of a delivery."""

    because: str
    header: str
    value: str | None


HEADERS = {ID: GENUINE.id, TIMESTAMP: GENUINE.timestamp, SIGNATURE: GENUINE.signature}
MALFORMED = [
    Case("no id", ID, None),
    Case("an id with a dot would let the signed text be read in two ways", ID, "00000000.1"),
    Case("an id without an end", ID, "a" * 65),
    Case("no time", TIMESTAMP, None),
    Case("a time that is none", TIMESTAMP, "-1"),
    Case("digits that are not ASCII", TIMESTAMP, "١٢٣"),
    Case("a time without an end", TIMESTAMP, "9" * 13),
    Case("not signed: the webhook has no secret", SIGNATURE, None),
    Case("another version of signatures", SIGNATURE, GENUINE.signature.replace("v1", "v2")),
    Case("no base64 of 32 bytes", SIGNATURE, "v1,AAAA"),
]


def test_a_delivery_is_read_as_it_came() -> None:
    assert read(HEADERS, BODY) == GENUINE


@pytest.mark.parametrize("case", MALFORMED, ids=lambda case: case.because)
def test_a_request_that_can_be_no_delivery(case: Case) -> None:
    headers = {key: value for key, value in HEADERS.items() if key != case.header}
    assert read(headers if case.value is None else {**headers, case.header: case.value}, BODY) is None, case.because
