"""What MLflow's documents say about how a version was made; pure, and trusts none of them."""

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from .mlflow_formats import Unreadable, load_yaml, records

ENTRIES = 5000  # of any list that are looked at
MLFLOW = "mlflow."  # begins the tags that MLflow sets itself
CONTEXT = "mlflow.data.context"
SIGNATURE_LIMIT = 2**20  # characters: ten times as many cost the operator half a gigabyte to parse
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]{0,200})\s*(\[[^\]]{0,200}\])?\s*(.*)")
_CONDA = re.compile(r"([a-z0-9][\w.-]{0,200})\s*([=<>!~].*)?", re.IGNORECASE)


def of_run(run: Mapping[str, Any]) -> dict[str, Any]:
    """What `runs/get` says of the run."""
    info, data, inputs = (mapping(run.get(key)) for key in ("info", "data", "inputs"))
    tags = _pairs(data.get("tags"))
    began, ended = _milliseconds(info.get("start_time")), _milliseconds(info.get("end_time"))
    experiment = info.get("experiment_id")
    return {
        "params": _pairs(data.get("params")),
        "metrics": _metrics(data.get("metrics")),
        "tags": {key: value for key, value in tags.items() if not key.startswith(MLFLOW)},
        "data": _datasets(inputs.get("dataset_inputs")),
        "commit": tags.get("mlflow.source.git.commit"),
        "trained_by": tags.get("mlflow.user"),
        "trained_at": _moment(began),
        "duration_seconds": (ended - began) // 1000 if began and ended and ended >= began else None,
        "experiment": experiment if isinstance(experiment, str) else None,
    }


def of_logged_model(made: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """What the logged model knows better than its run, which may have logged others too; or all, where no run tells."""
    info, data = mapping(made.get("info")), mapping(made.get("data"))
    params = _pairs(data.get("params"))
    metrics = run.get("metrics") or {}
    finite = {key for key, value in metrics.items() if math.isfinite(value)}
    own = {
        k: v for k, v in _metrics(data.get("metrics")).items() if k in finite or k not in metrics
    }  # NaN reads 0 here
    found: dict[str, Any] = {"params": params | (run.get("params") or {}), "metrics": {**metrics, **own}}
    if "tags" not in run:
        tags = _pairs(info.get("tags"))
        experiment = info.get("experiment_id")
        found |= {
            "tags": {key: value for key, value in tags.items() if not key.startswith(MLFLOW)},
            "trained_by": tags.get("mlflow.user"),
            "experiment": experiment if isinstance(experiment, str) else None,
        }
    return found


def of_mlmodel(content: bytes) -> dict[str, Any]:
    """Python and the signature, as an MLmodel file says."""
    try:
        document = load_yaml(content)
    except Unreadable:
        return {}
    document = mapping(document)
    function = mapping(mapping(document.get("flavors")).get("python_function"))
    signature = document.get("signature")
    found: dict[str, Any] = {"python": _text(function.get("python_version"))}
    if isinstance(signature, Mapping):
        texts = [signature.get(key) for key in ("inputs", "outputs")]
        if sum(len(text) for text in texts if isinstance(text, str)) <= SIGNATURE_LIMIT:
            found["inputs"], found["outputs"] = map(_columns, texts)
    return found


def _columns(text: object) -> dict[str, str]:
    """Types by column, of a schema as MLflow writes it into a signature."""
    try:
        schema = json.loads(text) if isinstance(text, str) else []
    except (ValueError, RecursionError):
        return {}
    found = {}
    for number, column in enumerate(list(records(schema))[:ENTRIES]):
        optional = "?" if column.get("required") is False else ""
        found[str(column.get("name", number))] = _type(column) + optional
    return found


def _type(column: Mapping[str, Any]) -> str:
    kind = column.get("type")
    if kind == "tensor":
        spec = mapping(column.get("tensor-spec"))
        return f"{spec.get('dtype')}{json.dumps(spec.get('shape'))}"
    if isinstance(kind, str) and kind not in ("array", "object", "map"):
        return kind
    parts = {key: value for key, value in column.items() if key not in ("name", "required")}
    return json.dumps(parts, separators=(",", ":"), sort_keys=True)[:4000]


def of_requirements(content: bytes, _: Mapping[str, Any]) -> dict[str, Any]:
    """Packages, by a requirements.txt."""
    lines = content.decode("utf-8", "replace").splitlines()[:ENTRIES]
    return {"packages": _packages(lines)}


def of_conda(content: bytes, before: Mapping[str, Any]) -> dict[str, Any]:
    """Packages and Python, by a conda.yaml."""
    try:
        listed = mapping(load_yaml(content)).get("dependencies")
    except Unreadable:
        return {}
    packages: dict[str, str] = {}
    for one in (listed if isinstance(listed, list) else [])[:ENTRIES]:
        if isinstance(one, Mapping):
            pip = one.get("pip")
            packages |= _packages([line for line in pip if isinstance(line, str)] if isinstance(pip, list) else [])
        elif isinstance(one, str) and (match := _CONDA.fullmatch(one.strip())):
            packages[_normal(match[1])] = (match[2] or "").strip()
    python = packages.pop("python", "").lstrip("=")
    packages.pop("pip", None)
    return {"packages": packages, "python": before.get("python") or python or None}


def _packages(lines: list[str]) -> dict[str, str]:
    """What each line of a requirements file asks for; options may hold credentials, and are left out."""
    found = {}
    for line in lines[:ENTRIES]:
        text = re.split(r"\s#|^#", line.strip(), maxsplit=1)[0].split(";")[0].strip()
        match = _REQUIREMENT.fullmatch(text[:1000])
        if match is not None:
            wanted = re.split(r"[?#]", match[3], maxsplit=1)[0]
            found[_normal(match[1])] = (match[2] or "") + re.sub(r"\s*([=<>!~]=?=?)\s*", r"\1", wanted)
    return found


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _datasets(inputs: object) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in list(records(inputs))[:ENTRIES]:
        dataset, context = mapping(one.get("dataset")), _pairs(one.get("tags")).get(CONTEXT, "")
        name = f"{dataset.get('name')}{f' ({context})' if context else ''}"
        digest = str(dataset.get("digest", ""))
        found[name] = f"{found[name]}, {digest}" if name in found and digest not in found[name] else digest
    return found


def _metrics(rows: object) -> dict[str, float]:
    found = {}
    for row in list(records(rows))[:ENTRIES]:
        try:
            found[str(row.get("key"))] = float(row.get("value", 0.0))
        except (TypeError, ValueError):
            continue
    return found


def _pairs(rows: object) -> dict[str, str]:
    """Key and value of each row."""
    return {str(row.get("key")): str(row.get("value", "")) for row in list(records(rows))[:ENTRIES]}


def mapping(value: object) -> dict[str, Any]:
    """The JSON object; an empty one where it is none."""
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _milliseconds(value: object) -> int:
    """int64 is a number in MLflow's JSON, and a string in protobuf's."""
    return int(value) if isinstance(value, int | str) and re.fullmatch(r"[0-9]{1,13}", str(value)) else 0


def _moment(milliseconds: int) -> str | None:
    if not 0 < milliseconds < 7_000_000_000_000:
        return None
    return datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
