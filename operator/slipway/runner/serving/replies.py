"""Answers of a serving pod."""

from dataclasses import dataclass

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Reply:
    """Status, body and type of an answer; with tensors as bytes behind its JSON, `head_bytes` says where they begin."""

    status: int
    body: bytes
    media_type: str = JSON
    head_bytes: int | None = None
