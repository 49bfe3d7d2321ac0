"""A Step: what one rule of the lifecycle says, wants and remembers."""

from dataclasses import dataclass
from typing import Any

from .conditions import Verdict
from .decision import Act, Document


@dataclass(frozen=True)
class Step:
    """What one rule says: its verdict, what it wants, and what the status should remember."""

    verdict: Verdict
    remember: dict[str, Any] | None = None  # fields of the version's status
    acts: tuple[Act, ...] = ()
    documents: tuple[Document, ...] = ()
    again_seconds: float | None = None
    queue: str = ""  # in which it waits or works: `import`, or `validate <pool>`
