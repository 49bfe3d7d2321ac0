"""Every way in which the outside world can say no.

AdapterError
├── Unreachable   no answer, or a server's error: ask again later
├── Rejected      it understood and refused: wait for a change
│   ├── Unauthorized   the credential is wrong or missing
│   │   └── Forbidden  it is known, and lacks a permission that the message names
│   ├── NotFound       it does not exist
│   ├── Occupied       something of that name is there, and it is not ours
│   ├── Expired        what the question goes on from is forgotten: ask from the beginning
│   └── TakenInHand    a person has broken the glass: the object is theirs for now
├── Conflict      somebody else wrote first: observe again
└── NotActing     this operator does not hold the Lease: it writes nothing
"""


class AdapterError(Exception):
    """The outside world said no; the message is for a person and holds no secret."""


class Unreachable(AdapterError):
    """No answer, or a server's error: ask again later."""


class Rejected(AdapterError):
    """It understood and refused: asking again without a change is of no use."""


class Unauthorized(Rejected):
    """The credential is wrong, missing, or may not do this."""


class Forbidden(Unauthorized):
    """The credential is known, and lacks a permission that the message names."""


class NotFound(Rejected):
    """It does not exist."""


class Occupied(Rejected):
    """Something of that name is there, and it is not ours."""


class TakenInHand(Rejected):
    """A person has broken the glass: the object is theirs for now."""


class Expired(Rejected):
    """What the question goes on from is forgotten: ask from the beginning."""


class Conflict(AdapterError):
    """Somebody else wrote first: observe again."""


class NotActing(AdapterError):
    """This operator does not hold the Lease: it writes nothing."""
