"""The Open Inference Protocol V2 over MLflow's: a request is said in MLflow's words, and its answer said back.

So both protocols give the same predictions, by whichever way, and the same refusals.
"""

import json
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from .replies import BINARY, JSON, Reply
from .tensors import BadTensor, Tensor, datatype_of, of_values, parameters, read
from .threads import apart

HEADER = b"inference-header-content-length"  # of Triton's binary extension: where the JSON ends
INPUT, OUTPUT = "input-{}", "output-{}"  # names where the signature gives none, as MLServer has them
_OWN = ("binary_data_output", "content_type", "headers", "sequence_id", "sequence_start", "sequence_end", "priority",
        "timeout")  # fmt: skip
_WHOLE = ("INT", "UINT", "BOOL")
INLINE_BYTES = 16 * 1024  # that are read and written on the event loop
_DIGITS = 12

Done = TypeVar("Done")
Invoke = Callable[[bytes], Awaitable[Reply]]  # JSON of MLflow's protocol, and its answer


@dataclass(frozen=True)
class Endpoint:
    """One version of a model, by the protocol's paths."""

    model: str
    version: str
    signature: Any  # MLflow's, or None

    def get(self, path: str) -> Reply | None:
        """What is known without asking the model; None if the path is none of the protocol's."""
        if path == "/v2":
            return _reply({"name": "slipway", "version": "2", "extensions": ["binary_tensor_data"]})
        if path in ("/v2/health/live", "/v2/health/ready"):
            return _reply({path.rpartition("/")[2]: True})
        if (rest := self._rest(path)) is None:
            return _unknown(path, self.model, self.version) if path.startswith("/v2/") else None
        if rest == "/ready":
            return _reply({"name": self.model, "ready": True})
        return _reply(self._metadata()) if not rest else _unknown(path, self.model, self.version)

    async def post(self, path: str, head_bytes: bytes | None, body: bytes, invoke: Invoke) -> Reply | None:
        """Predictions; None if the path is none of the protocol's."""
        if not path.startswith("/v2/"):
            return None
        if self._rest(path) != "/infer":
            return _unknown(path, self.model, self.version)
        try:
            asked, question = await _apart(body, lambda: self._question(body, head_bytes))
            answer = await invoke(question)
            if answer.status != 200:
                return _error(_why(answer.body), answer.status)
            return await _apart(answer.body, lambda: self._said(asked, answer.body))
        except BadTensor as error:
            return _error(str(error))
        except RecursionError:
            return _error("the request has lists in lists without end")

    def _question(self, body: bytes, head_bytes: bytes | None) -> tuple[dict[str, Any], bytes]:
        """What was asked, and the same in MLflow's words."""
        asked, inputs = _parsed(body, head_bytes)
        return asked, json.dumps(self._in_mlflows_words(asked, inputs)).encode()

    def _said(self, asked: dict[str, Any], answer: bytes) -> Reply:
        return _answered(asked, self._outputs(answer), {"model_name": self.model, "model_version": self.version})

    def _rest(self, path: str) -> str | None:
        """What follows the model, and its version if it is named; None if it is another one."""
        for mine in (f"/v2/models/{self.model}/versions/{self.version}", f"/v2/models/{self.model}"):
            if path == mine or path.startswith(f"{mine}/"):
                return path.removeprefix(mine)
        return None

    def _metadata(self) -> dict[str, Any]:
        inputs, outputs = (
            [
                {"name": one.name or named.format(number), "datatype": datatype_of(one), "shape": _shape(one)}
                for number, one in enumerate(schema.inputs if schema else ())
            ]
            for schema, named in ((self._schema("inputs"), INPUT), (self._schema("outputs"), OUTPUT))
        )
        return {"name": self.model, "versions": [self.version], "platform": "mlflow", "inputs": inputs,
                "outputs": outputs}  # fmt: skip

    def _schema(self, which: str) -> Any:
        return getattr(self.signature, which, None)

    def _in_mlflows_words(self, asked: dict[str, Any], inputs: list[Tensor]) -> dict[str, Any]:
        schema = self._schema("inputs")
        said = {**self._data(schema, inputs)}
        params = {key: value for key, value in parameters(asked).items() if key not in _OWN}
        return said | ({"params": params} if params else {})

    def _data(self, schema: Any, inputs: list[Tensor]) -> dict[str, Any]:
        if schema is None or schema.is_tensor_spec():
            unnamed = len(inputs[0].shape) > 1 if schema is None else not schema.has_input_names()
            if len(inputs) == 1 and unnamed:
                return {"inputs": inputs[0].nested()}
            return {"inputs": {one.name: one.nested() for one in inputs}}
        names = schema.input_names() if schema.has_input_names() else [one.name for one in inputs]
        if len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] == len(names) > 1:
            for column in schema.inputs:
                _fits(inputs[0], column)
            return {"dataframe_split": {"columns": names, "data": inputs[0].nested()}}  # one tensor for equal columns
        for one in inputs:
            _is_column(one, schema)
        rows = [list(row) for row in zip(*(one.elements for one in inputs), strict=True)]
        return {"dataframe_split": {"columns": [one.name for one in inputs], "data": rows}}

    def _outputs(self, answer: bytes) -> list[Tensor]:
        said = json.loads(answer)
        predictions = said["predictions"] if isinstance(said, dict) and "predictions" in said else said  # of MLflow 1
        schema = self._schema("outputs")
        specs = {
            one.name or OUTPUT.format(n): datatype_of(one) for n, one in enumerate(schema.inputs if schema else ())
        }
        if isinstance(predictions, dict):  # tensors by name
            columns = {name: one if isinstance(one, list) else [one] for name, one in predictions.items()}
        elif isinstance(predictions, list) and predictions and all(isinstance(one, dict) for one in predictions):
            names = dict.fromkeys(name for one in predictions for name in one)  # a table
            columns = {name: [one.get(name) for one in predictions] for name in names}
        else:
            name = next(iter(specs), OUTPUT.format(0))
            columns = {name: predictions if isinstance(predictions, list) else [predictions]}
        return [of_values(name, values, specs.get(name)) for name, values in columns.items()]


def _is_column(one: Tensor, schema: Any) -> None:
    """A column of a table has one element in each row."""
    if one.shape not in ((len(one.elements),), (len(one.elements), 1)):
        raise BadTensor(f"input {one.name}: its shape must be [rows] or [rows, 1], not {list(one.shape)}")
    column = schema.input_dict().get(one.name) if schema.has_input_names() else None
    if column is not None:
        _fits(one, column)


def _fits(one: Tensor, column: Any) -> None:
    """A broken number is none of a whole column: MLflow would cut off what is behind the point."""
    wanted = datatype_of(column)
    if wanted.startswith(_WHOLE) and one.datatype.startswith("FP"):
        raise BadTensor(f"input {one.name}: it is {one.datatype}, and the model takes {wanted} for {column.name}")


async def _apart(body: bytes, work: Callable[[], Done]) -> Done:
    """What is long is worked on in a thread, while others are answered."""
    return work() if len(body) <= INLINE_BYTES else await apart(work)


def _parsed(body: bytes, header: bytes | None) -> tuple[dict[str, Any], list[Tensor]]:
    if header is not None and (not header.isdigit() or len(header) > _DIGITS or int(header) > len(body)):
        raise BadTensor(f"{HEADER.decode()} must be a number of bytes, {len(body)} at most")
    at = len(body) if header is None else int(header)
    try:
        asked = json.loads(body[:at])
    except (ValueError, RecursionError) as error:
        raise BadTensor(f"the request is no JSON: {error}") from error
    if not isinstance(asked, dict) or not isinstance(asked.get("inputs"), list) or not asked["inputs"]:
        raise BadTensor("the request needs a list of inputs")

    def binary(size: Any) -> bytes:
        nonlocal at
        if type(size) is not int or size < 0 or at + size > len(body):
            raise BadTensor(f"binary_data_size {size} is more than the {len(body) - at} bytes that are left")
        at += size
        return body[at - size : at]

    if not isinstance(asked.get("id", ""), str):
        raise BadTensor("id must be text")
    inputs = [read(one, binary) for one in asked["inputs"]]
    if len({one.name for one in inputs}) < len(inputs):
        raise BadTensor("two inputs have the same name")
    if len({len(one.elements) // max(1, _width(one)) for one in inputs}) > 1:
        raise BadTensor("the inputs have different numbers of rows")
    return asked, inputs


def _width(one: Tensor) -> int:
    width = 1
    for size in one.shape[1:]:
        width *= size
    return width


def _answered(asked: dict[str, Any], outputs: list[Tensor], said: dict[str, Any]) -> Reply:
    said_of = asked.get("outputs") or []
    if not isinstance(said_of, list) or not all(isinstance(one, dict) for one in said_of):
        raise BadTensor("outputs must be a list of outputs with names")
    wanted = {str(one.get("name")): parameters(one) for one in said_of}
    known = {one.name for one in outputs}
    if missing := sorted(wanted.keys() - known):
        raise BadTensor(f"there is no output {missing[0]}: there are {', '.join(sorted(known))}")
    every = bool(parameters(asked).get("binary_data_output"))
    told, tail = list[dict[str, Any]](), b""
    for one in outputs:
        if wanted and one.name not in wanted:
            continue
        shown: dict[str, Any] = {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
        if wanted.get(one.name, {}).get("binary_data", every):
            data = one.binary()
            shown["parameters"], tail = {"binary_data_size": len(data)}, tail + data
        else:
            shown["data"] = [
                None if isinstance(value, float) and not math.isfinite(value) else value for value in one.elements
            ]
        told.append(shown)
    if "id" in asked:
        said["id"] = asked["id"]
    head = json.dumps({**said, "outputs": told}).encode()
    return Reply(200, head + tail, BINARY, len(head)) if tail else Reply(200, head, JSON)


def _shape(column: Any) -> list[int]:
    return list(column.shape) if hasattr(column, "shape") else [-1, 1]


def _why(answer: bytes) -> str:
    """The text of an error in MLflow's words."""
    try:
        said = json.loads(answer)
        return str(said["message"]) if isinstance(said, dict) and "message" in said else answer.decode()
    except ValueError:
        return answer.decode(errors="replace")


def _reply(said: dict[str, Any], status: int = 200) -> Reply:
    return Reply(status, json.dumps(said).encode())


def _error(why: str, status: int = 400) -> Reply:
    return _reply({"error": why}, status)


def _unknown(path: str, model: str, version: str) -> Reply:
    return _error(f"{path} is not here: this is /v2/models/{model}/versions/{version}", 404)
