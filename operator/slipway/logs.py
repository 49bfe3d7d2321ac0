"""Logs: one JSON object per line in a cluster, readable lines on a terminal."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

_ABOUT = "slipway_about"  # of a record; `name` alone is the logger's


def about(kind: str, namespace: str, name: str, reason: str = "") -> dict[str, Any]:
    """The object that a line is about: `log.info("…", extra=about("ModelVersion", "ml", "flights-v3", "GateFailed"))`.

    The fields are for filters; a message says what it is about in its own words, too.
    """
    fields = {"kind": kind, "namespace": namespace, "name": name, "reason": reason}
    return {_ABOUT: {key: str(value) for key, value in fields.items() if value}}


class JsonLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON: time (RFC 3339), level, logger, message, what it is about, and a traceback if any."""
        found = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        found |= getattr(record, _ABOUT, {})
        if record.exc_info:
            found["exception"] = self.formatException(record.exc_info)
        return json.dumps(found)


def configure(form: str, level: str) -> None:
    """All records go to standard error in the chosen form; kopf speaks up only when something is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("kopf", "aiohttp", "asyncio"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
