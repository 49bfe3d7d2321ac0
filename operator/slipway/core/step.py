"""A Step: what one rule of the lifecycle says, wants and remembers."""

from dataclasses import dataclass
from typing import Any

from ..resources.platform import Manifest
from .conditions import Verdict
from .decision import Document, Retire


@dataclass(frozen=True)
class Step:
    """What one rule says: its verdict, what it wants, and what the status should remember."""

    verdict: Verdict
    remember: dict[str, Any] | None = None  # fields of the version's status
    ensure: tuple[Manifest, ...] = ()
    retire: tuple[Retire, ...] = ()
    documents: tuple[Document, ...] = ()
    again_seconds: float | None = None
