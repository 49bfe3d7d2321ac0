"""The webhooks of an MLflow server: ours is made, kept as it should be, tried, and removed."""

from collections.abc import Mapping
from typing import Any

from ..core.registry import Silent
from ..core.webhooks import Subscription, Trial
from .errors import NotFound, Rejected, Unauthorized, Unreachable
from .mlflow_answers import Foreign, ServerFault
from .mlflow_formats import records
from .mlflow_http import API, Client, Pages, Request

WEBHOOKS = f"{API}/webhooks"
PAGE = 100
RELEASE = 3  # of MLflow, that brought them
# What moves a label, or lets a version go on that waited. There is no event for stages.
EVENTS: tuple[tuple[str, str], ...] = (
    ("MODEL_VERSION_ALIAS", "CREATED"),
    ("MODEL_VERSION_ALIAS", "DELETED"),
    ("MODEL_VERSION", "CREATED"),
    ("REGISTERED_MODEL", "CREATED"),
)
_EVENTS = [{"entity": entity, "action": action} for entity, action in EVENTS]


class Webhooks:
    """The webhooks of one server. What MLflow refuses is an answer; `Unreachable` is raised."""

    def __init__(self, http: Client) -> None:
        self._http = http

    async def subscribe(self, wanted: Subscription) -> Trial | Silent:
        """The webhook is there as it is wanted, and what became of a delivery on trial; or why it cannot be.

        Requests: GET webhooks, POST webhooks or PATCH webhooks/<id> where something differs, POST webhooks/<id>/test.
        """
        try:
            first, *more = await self._named(wanted.name) or [{}]
            for one in more:
                await self._remove(one)
            changed = not _is_so(first, wanted)
            number = await self._set(str(first.get("webhook_id", "")), wanted) if changed else str(first["webhook_id"])
            trial = await self._try(number)
            if trial.unsigned and not changed:  # somebody gave it another secret
                await self._set(number, wanted)
                trial = await self._try(number)
            return trial
        except Rejected as error:
            return await self._older(error) or _refused(error)
        except ServerFault as error:
            return _failed(error)

    async def unsubscribe(self, name: str) -> Silent | None:
        """None of that name is there; or why it cannot be removed. GET webhooks, DELETE webhooks/<id>."""
        try:
            for one in await self._named(name):
                await self._remove(one)
        except Rejected as error:
            return None if await self._older(error) else _refused(error)
        except ServerFault as error:
            return _failed(error)
        return None

    async def _older(self, error: Rejected) -> Silent | None:
        """That this release of MLflow has no webhooks, if it says so itself: its 404 could be any proxy's."""
        if not isinstance(error, Foreign) or not await self._http.is_before(RELEASE):
            return None
        who = f"the MLflow at {self._http.where} is older than release {RELEASE}"
        said = f"{who} and sends no webhooks: upgrade it, or remove spec.webhook; sweeps go on without"
        return Silent("WebhookRefused", said, False)

    async def _named(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        token, pages = "", Pages(self._http.where)
        while True:
            query = {"max_results": str(PAGE)} | ({"page_token": token} if token else {})
            answer = await self._http.document(Request("webhooks/list", "list its webhooks", WEBHOOKS, query=query))
            found += [one for one in records(answer.get("webhooks")) if one.get("name") == name]
            token = pages.next(str(answer.get("next_page_token") or ""))
            if not token:
                return found

    async def _set(self, number: str, wanted: Subscription) -> str:
        """Make it, or make it so; its id."""
        document: Mapping[str, object] = {
            "name": wanted.name,
            "url": wanted.url,
            "description": wanted.description,
            "secret": wanted.secret,
            "status": "ACTIVE",
            "events": _EVENTS,
        }
        method, path = ("PATCH", f"{WEBHOOKS}/{number}") if number else ("POST", WEBHOOKS)
        purpose = f"send webhooks to {wanted.url}"
        answer = await self._http.document(Request("webhooks/set", purpose, path, method=method, document=document))
        webhook = answer.get("webhook")
        found = webhook.get("webhook_id") if isinstance(webhook, dict) else None
        if not isinstance(found, str):
            raise Rejected(f'what answers at {self._http.where} is not the MLflow REST API: JSON without "webhook"')
        return found

    async def _try(self, number: str) -> Trial:
        """What became of a delivery on trial; MLflow answers once it has given up, which takes some ten seconds."""
        event = {"event": _EVENTS[0]}
        request = Request("webhooks/test", "try a webhook", f"{WEBHOOKS}/{number}/test", method="POST", document=event)
        try:
            answer = await self._http.document(request)
        except ServerFault:
            raise
        except Unreachable as error:
            return Trial(None, str(error))
        result = answer.get("result")
        found = result if isinstance(result, dict) else {}
        status = found.get("response_status")
        return Trial(status if isinstance(status, int) else None, str(found.get("error_message") or ""))

    async def _remove(self, found: Mapping[str, object]) -> None:
        path = f"{WEBHOOKS}/{found.get('webhook_id')}"
        try:
            await self._http.document(Request("webhooks/delete", "remove a webhook", path, method="DELETE"))
        except NotFound:
            return


def _is_so(found: Mapping[str, object], wanted: Subscription) -> bool:
    """Whether MLflow tells of it as it is wanted; the description tells of the secret."""
    events = {(str(one.get("entity")), str(one.get("action"))) for one in records(found.get("events"))}
    told = (found.get("url"), found.get("description"), found.get("status"))
    return told == (wanted.url, wanted.description, "ACTIVE") and events == set(EVENTS)


def _refused(error: Rejected) -> Silent:
    reason = "WebhookForbidden" if isinstance(error, Unauthorized) else "WebhookRefused"
    return Silent(reason, str(error), False)


def _failed(error: ServerFault) -> Silent:
    """MLflow's own error is that it cannot decrypt a secret, of ours or of another webhook; a proxy's is silence."""
    if "INTERNAL_ERROR" not in str(error):
        raise error
    return Silent("WebhookKeyLost", str(error), False)
