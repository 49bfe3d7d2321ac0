"""A real object store of each kind that imports read, with what a test asks of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.storage.blob import ContentSettings

from tests import azurite, s3

Given = dict[str, str]
WRONG_KEY = "YS13cm9uZy1rZXktb2YtdGhpcy10ZXN0"  # as Azure's keys are written


@dataclass(frozen=True)
class Kind:
    """A running store: how a folder in it is named, and who may read it."""

    noun: str
    url: str
    region: str
    schemes: dict[str, str]  # to what stands before a path
    right: Given
    wrong: Given
    of_mlflow: Given  # what MLflow's client finds in its environment
    missing: str  # its own word for a bucket that is not there
    make: Callable[..., None]  # name, public
    put: Callable[..., None]  # bucket, key, content, encoding

    def at(self, bucket: str, path: str, scheme: str = "") -> str:
        """The address of a folder."""
        before = self.schemes[scheme] if scheme else next(iter(self.schemes.values()))
        return f"{before.format(bucket)}/{path}"

    @property
    def port(self) -> int:
        return int(self.url.removeprefix("http://127.0.0.1:").partition("/")[0])

    @property
    def path(self) -> str:
        """What comes after host and port."""
        return self.url.removeprefix(f"http://127.0.0.1:{self.port}")


@contextmanager
def _s3(folder: Path) -> Iterator[Kind]:
    with s3.running_s3(folder) as url:
        client = s3.client_of(url)

        def make(name: str, public: bool = False) -> None:
            client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": s3.REGION})
            if public:
                what = {
                    "Action": ["s3:GetObject", "s3:ListBucket"],
                    "Resource": [f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"],
                }
                everybody = {"Effect": "Allow", "Principal": "*", **what}
                policy = {"Version": "2012-10-17", "Statement": [everybody]}
                client.put_bucket_policy(Bucket=name, Policy=json.dumps(policy))

        def put(bucket: str, key: str, content: bytes, encoding: str = "") -> None:
            more: Any = {"ContentEncoding": encoding} if encoding else {}
            client.put_object(Bucket=bucket, Key=key, Body=content, **more)

        right = {"AWS_ACCESS_KEY_ID": s3.ID, "AWS_SECRET_ACCESS_KEY": s3.KEY}
        wrong = right | {"AWS_SECRET_ACCESS_KEY": WRONG_KEY}
        schemes = {"s3": "s3://{}", "gs": "gs://{}"}
        of_mlflow = right | {"MLFLOW_S3_ENDPOINT_URL": url, "AWS_DEFAULT_REGION": s3.REGION}
        yield Kind("bucket", url, s3.REGION, schemes, right, wrong, of_mlflow, "NoSuchBucket", make, put)


@contextmanager
def _azure(folder: Path) -> Iterator[Kind]:
    with azurite.running_azurite(folder) as url:
        client = azurite.client_of(url)

        def make(name: str, public: bool = False) -> None:
            client.create_container(name, public_access="container" if public else None)

        def put(bucket: str, key: str, content: bytes, encoding: str = "") -> None:
            settings = ContentSettings(content_encoding=encoding) if encoding else None
            client.get_blob_client(bucket, key).upload_blob(content, content_settings=settings)

        right, wrong = ({"AZURE_STORAGE_ACCESS_KEY": key} for key in (azurite.KEY, WRONG_KEY))
        account = azurite.ACCOUNT
        schemes = {
            "wasbs": f"wasbs://{{}}@{account}.blob.core.windows.net",
            "abfss": f"abfss://{{}}@{account}.dfs.core.windows.net",
        }
        connection = f"AccountName={account};AccountKey={azurite.KEY};BlobEndpoint={url}"
        of_mlflow = {"AZURE_STORAGE_CONNECTION_STRING": connection}
        yield Kind("container", url, "us-east-1", schemes, right, wrong, of_mlflow, "ContainerNotFound", make, put)


KINDS: dict[str, Callable[[Path], Any]] = {"s3": _s3, "azure": _azure}
