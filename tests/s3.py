"""Starts versitygw, an S3 store over a folder, on a free port of this machine; builds it if it is not there yet."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from tests.ports import free_port
from tests.runner.pods import OPERATOR, answers, program, running

ID, KEY = "flights", "the-right-key-of-this-test"
# Not the one that programs ask for first: a store may lie in any region.
REGION = "eu-central-1"


@contextmanager
def running_s3(folder: Path) -> Iterator[str]:
    """Its URL; it takes ID and KEY, and lies in REGION."""
    subprocess.run([sys.executable, OPERATOR.parent / "dev/cluster", "build", "versitygw"], check=True)
    address = f"127.0.0.1:{free_port()}"
    (folder / "buckets").mkdir()
    command = [str(program("versitygw")), "--port", address, "--region", REGION, "--health", "/healthy"]
    environment = {"ROOT_ACCESS_KEY_ID": ID, "ROOT_SECRET_ACCESS_KEY": KEY}
    url = f"http://{address}"
    with running(
        [*command, "posix", str(folder / "buckets")], folder / "log", lambda: answers(f"{url}/healthy"), environment
    ):
        yield url


def client_of(url: str, *buckets: str) -> Any:
    """A client of the store, in which these buckets were made."""
    client = boto3.client("s3", endpoint_url=url, region_name=REGION, aws_access_key_id=ID, aws_secret_access_key=KEY)
    for bucket in buckets:
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return client
