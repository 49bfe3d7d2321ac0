"""Brings the evaluation data into the pod, checks it, and parts the target from the features."""

import json
import time
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import numpy
import pandas
import requests

from slipway.api.tasks import DATA as CLAIM
from slipway.api.tasks import DATA_BYTES, DATA_CREDENTIALS, FEATURES, TRUTH, DataSource

from . import tree
from .outcome import Refused, at, say, secret
from .store import DATA, EXTENSION, StoreClient, tag

_TIMEOUT = (5, 20)
_PAUSES = (0.5, 1.0, 2.0)
_S3_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_DISTRUST = "The certificate of its authority belongs into the ConfigMap that the chart's caBundle names."


def bring(source: DataSource, store: StoreClient, max_bytes: int = DATA_BYTES) -> None:
    """Fetch the data, check it, and write the features and the truth into their folders."""
    truth = at(TRUTH)
    file = truth / "fetched"  # beside the truth, where no model's code can read it
    extension = _fetch(source, store, file, max_bytes)
    digest = "sha256:" + tree.sha256_of(file)
    if source.digest and digest != source.digest:
        raise Refused("DigestMismatch", f"the data has the digest {digest}, but {source.digest} was expected")
    frame = _read(file, extension)
    _check(frame, source.target)
    frame.drop(columns=[source.target]).to_parquet(at(FEATURES) / "data.parquet")
    frame[[source.target]].reset_index(drop=True).to_parquet(truth / "target.parquet")
    (truth / "facts.json").write_text(json.dumps({"data_digest": digest, "rows": len(frame)}))
    file.unlink()
    say(f"data: {len(frame)} rows, {len(frame.columns) - 1} features, {digest}")


def _fetch(source: DataSource, store: StoreClient, file: Path, max_bytes: int) -> str:
    url = urlsplit(source.uri)
    extension = PurePosixPath(url.path).suffix
    if url.scheme == "store":
        return _from_store(source, store, file, max_bytes)
    if url.scheme in ("http", "https"):
        _from_http(source.uri, file, max_bytes)
    elif url.scheme == "s3":
        _from_s3(source, url.netloc, url.path.lstrip("/"), file, max_bytes)
    elif url.scheme == "pvc":
        _from_claim(url.path, file, max_bytes)
    else:
        raise Refused("DataUnreadable", f"data cannot be read from {url.scheme}: addresses")
    return extension


def _from_store(source: DataSource, store: StoreClient, file: Path, max_bytes: int) -> str:
    if not source.digest:
        raise Refused("DataUnreadable", "data in the artifact store is addressed by its digest, and none is given")
    manifest = store.manifest(DATA, tag(source.digest))
    if manifest is None:
        raise Refused("ArtifactMissing", f"the store has no data {source.digest}")
    store.pull(
        DATA, manifest["layers"][0], lambda stream: _write(file, iter(lambda: stream.read(tree.CHUNK), b""), max_bytes)
    )
    return str((manifest.get("annotations") or {}).get(EXTENSION, ""))


def _from_http(uri: str, file: Path, max_bytes: int) -> None:
    for pause in (*_PAUSES, None):
        try:
            with requests.get(uri, stream=True, timeout=_TIMEOUT) as answer:
                if answer.status_code < 500 and answer.status_code != 429:
                    if answer.status_code != 200:
                        raise Refused("DataUnreadable", f"{uri} answers HTTP {answer.status_code}")
                    return _write(file, answer.iter_content(tree.CHUNK), max_bytes)
                error: Exception = requests.HTTPError(f"HTTP {answer.status_code}")
        except requests.exceptions.SSLError as failed:
            raise Refused("DataUnreachable", f"{uri} cannot be read: {failed}. {_DISTRUST}") from failed
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as failed:
            error = failed
        except requests.RequestException as failed:
            raise Refused("DataUnreadable", f"{uri} cannot be read: {failed}") from failed
        if pause is None:
            raise Refused("DataUnreachable", f"no answer from {uri}: {error}") from error
        time.sleep(pause)
    return None


def _from_s3(source: DataSource, bucket: str, key: str, file: Path, max_bytes: int) -> None:
    import boto3  # noqa: PLC0415 - 0.3 s that only this kind of data costs
    from botocore import UNSIGNED  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError, SSLError  # noqa: PLC0415

    key_id, key_secret = (secret(DATA_CREDENTIALS, name) for name in _S3_KEYS)
    if at(DATA_CREDENTIALS).is_dir() and not (key_id and key_secret):
        raise Refused("DataUnreadable", f"the Secret for {source.uri} has not both {' and '.join(_S3_KEYS)}")
    config: dict[str, Any] = {"connect_timeout": 5, "read_timeout": 20, "retries": {"total_max_attempts": 3}}
    if not key_id:
        config["signature_version"] = UNSIGNED  # a public bucket; never a role that the node happens to have
    try:
        client = boto3.client(
            "s3",
            endpoint_url=source.endpoint,
            region_name="us-east-1",
            aws_access_key_id=key_id or None,
            aws_secret_access_key=key_secret or None,
            config=Config(**config),
        )
        body = client.get_object(Bucket=bucket, Key=key)["Body"]
        _write(file, body.iter_chunks(tree.CHUNK), max_bytes)
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        reason = "DataUnreachable" if status >= 500 else "DataUnreadable"
        raise Refused(reason, f"{source.uri} cannot be read: {error}") from error
    except SSLError as error:
        raise Refused("DataUnreachable", f"{source.uri} cannot be read: {error}. {_DISTRUST}") from error
    except (ParamValidationError, ValueError) as error:  # a bucket or an endpoint that can be none
        raise Refused("DataUnreadable", f"{source.uri} cannot be read: {error}") from error
    except BotoCoreError as error:
        raise Refused("DataUnreachable", f"no answer for {source.uri}: {error}") from error


def _from_claim(path: str, file: Path, max_bytes: int) -> None:
    top = at(CLAIM).resolve()
    found = (top / path.lstrip("/")).resolve()
    if not found.is_relative_to(top) or not found.is_file():
        raise Refused("DataUnreadable", f"the volume has no file {path}")
    try:
        with found.open("rb") as content:
            _write(file, iter(lambda: content.read(tree.CHUNK), b""), max_bytes)
    except OSError as error:
        raise Refused("DataUnreadable", f"{path} on the volume cannot be read: {error.strerror}") from error


def _write(file: Path, chunks: Iterable[bytes], max_bytes: int) -> None:
    written = 0
    with file.open("wb") as content:
        for chunk in chunks:
            written += len(chunk)
            if written > max_bytes:
                raise Refused("DataTooLarge", f"the data is larger than {max_bytes} bytes")
            content.write(chunk)


def _read(file: Path, extension: str) -> pandas.DataFrame:
    reader = {".parquet": pandas.read_parquet, ".csv": pandas.read_csv}.get(extension.lower())
    if reader is None:
        raise Refused("DataUnreadable", f"data ends in .parquet or .csv, not in {extension[:20]!r}")
    try:
        return reader(file)
    except pandas.errors.EmptyDataError as error:
        raise Refused("DataEmpty", "the data has no rows") from error
    except (ValueError, TypeError, OSError, KeyError) as error:  # pyarrow's and pandas' errors are ValueErrors
        raise Refused("DataUnreadable", f"the data is not readable as {extension[1:]}: {error}") from error


def _check(frame: pandas.DataFrame, target: str) -> None:
    names = [str(name) for name in frame.columns]
    if names.count(target) != 1:
        present = ", ".join(names[:50]) + (", …" if len(names) > 50 else "")
        raise Refused("DataColumnMissing", f"the data has no one column {target!r}; it has: {present}")
    if frame.empty:
        raise Refused("DataEmpty", "the data has no rows")
    values = frame[target]
    wrong = values.isna()
    if pandas.api.types.is_float_dtype(values.dtype):
        wrong = wrong | ~numpy.isfinite(values.fillna(0))
    if wrong.any():
        raise Refused("DataInvalid", f"{int(wrong.sum())} rows have no finite value in the target {target!r}")
