"""What a program's log and its message may tell."""

import pytest
from slipway.runner.outcome import scrubbed

AZURE = "wasbs://models@flights.blob.core.windows.net/m"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("no answer from https://me:hush@mlflow/", "no answer from https://***@mlflow/"),
        ("no answer from https://hush@mlflow/", "no answer from https://***@mlflow/"),
        (f"the container of {AZURE}", f"the container of {AZURE}"),
        ("wasbs://me:hush@flights/m", "wasbs://***@flights/m"),
        ("abfss://:hush@flights/m", "abfss://***@flights/m"),
        ("GET /a.csv?X-Signature=hush (again)", "GET /a.csv?*** (again)"),
        ("GET /m/code/(-?sv=1&sig=hush%2B%3D&sp=r (again)", "GET /m/code/(-?sv=1&sig=***&sp=r (again)"),
        ("what, a-key-of-ours?", "what, ***?"),
    ],
)
def test_credentials_are_left_out_wherever_they_stand(said: str, told: str) -> None:
    assert scrubbed(said, ("a-key-of-ours",)) == told
