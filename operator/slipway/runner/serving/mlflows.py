"""MLflow's way to answer `/invocations`: its own parsing, schema enforcement, prediction and texts, in a thread.

MLflow's application (`mlflow.pyfunc.scoring_server.init`) wraps the same function into layers that cost a millisecond a
request; what they answer is repeated here: the exceptions of MLflow as JSON, 500 otherwise; and by whoever asks, 504 in
MLflow's words when it takes too long.
"""

import traceback
from dataclasses import dataclass
from typing import Any

from .replies import JSON, TEXT, Reply
from .threads import in_thread

LATE = b"Request processing time exceeded limit"


@dataclass(frozen=True)
class MLflows:
    """A model as MLflow's scoring application asks it."""

    model: Any

    def answer(self, body: bytes, content_type: str = JSON) -> Reply:
        """MLflow's answer; of an unknown exception, the traceback is in the log and nowhere else."""
        from mlflow.exceptions import MlflowException  # noqa: PLC0415 - what it imports takes seconds
        from mlflow.pyfunc.scoring_server import invocations  # noqa: PLC0415

        try:
            said = invocations(body, content_type, self.model, self.model.metadata.get_input_schema())
        except MlflowException as error:
            return Reply(error.get_http_status_code(), error.serialize_as_json().encode())
        except Exception:  # noqa: BLE001 - whatever the model raises outside of its prediction
            traceback.print_exc()
            return Reply(500, b"Internal Server Error", TEXT)
        return Reply(said.status, said.response.encode(), TEXT if said.mimetype == "text/plain" else said.mimetype)

    async def take(self, body: bytes, content_type: str = JSON) -> Reply:
        """The answer, while the event loop goes on."""
        return await in_thread(self.answer, body, content_type)
