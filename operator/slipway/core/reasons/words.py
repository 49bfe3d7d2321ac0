"""What is told of a reason."""

from typing import Literal, NamedTuple

Outlook = Literal["Fine", "Moving", "Retrying", "Stuck"]


class Words(NamedTuple):
    """What happens next without anybody's help, what the reason means, and what a person does.

    Fine: nothing is wrong. Moving: work is under way. Retrying: a cause outside the model, tried again within limits.
    Stuck: it stays so until somebody changes something.
    """

    outlook: Outlook
    meaning: str
    remedy: str = ""
