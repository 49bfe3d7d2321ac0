"""The operator's own token for registries, as the kubelet keeps it in the pod: for one audience, and soon over.

Protocol: https://kubernetes.io/docs/concepts/storage/projected-volumes/#serviceaccounttoken
"""

import base64
import json
from pathlib import Path

from .errors import Rejected

TOKEN = Path("/run/slipway/token/token")  # where the chart mounts it
OF_THE_API_SERVER = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class TokenUnusable(Rejected):
    """There is no such token, or it is one that must not leave the cluster."""


def own_token(token: Path = TOKEN, of_the_api_server: Path = OF_THE_API_SERVER) -> str:
    """The token as it is now; `TokenUnusable` where there is none, or where the API server would take it, too."""
    try:
        found = token.read_text().strip()
    except OSError:
        raise TokenUnusable("The operator has no token for registries.") from None
    audiences = _audiences(found)
    if not audiences:
        raise TokenUnusable("The operator's token for registries names no audience.")
    taken = audiences & _audiences(of_the_api_server.read_text() if of_the_api_server.is_file() else "")
    if taken:
        raise TokenUnusable(f"The API server itself takes tokens for the audience {', '.join(sorted(taken))}.")
    return found


def _audiences(token: str) -> set[str]:
    """Whom a token is for, which is all that is read of it."""
    try:
        part = token.split(".")[1]
        said = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))).get("aud", ())
    except (IndexError, ValueError, AttributeError):
        return set()
    return {said} if isinstance(said, str) else {str(one) for one in said or ()}
