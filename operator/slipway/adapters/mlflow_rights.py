"""Asks an MLflow server what our credential may do there; nothing is tried out.

MLflow's basic-auth app answers three questions about whoever asks: who it is, which grants it has, and what follows for
one resource. A server without that app has none of the routes, and a proxy may let nobody at them: then nothing is
known. Protocol: `mlflow/server/auth/routes.py`, as of MLflow 3.17; older servers have not all of it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..core.registry import Rights
from .errors import Rejected
from .mlflow_formats import records
from .mlflow_http import API, Client, Request

API3 = "api/3.0/mlflow"
ALL = "*"
MODEL, VERSION, EXPERIMENT = "registered_model", "registered_model_version", "experiment"
# MLflow's levels, each with all that is in those before it.
LEVELS = ("DENY", "NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
QUESTIONS = 32  # at most, of one asking; models whose grants are alike cost one


class AllRights:
    """The rights of one credential on one MLflow server."""

    def __init__(self, http: Client) -> None:
        self._http = http

    async def __call__(self, names: frozenset[str]) -> Rights | None:
        """The level of each model and of experiments, as far as known; None where the server does not say who asks.

        GET users/current, users/current/permissions, users/permissions/get.
        """
        try:
            user = (await self._get(f"{API}/users/current", "say who asks")).get("user")
            if not isinstance(user, Mapping) or not isinstance(user.get("username"), str):
                return None
            if user.get("is_admin") is True:
                return Rights(user["username"], dict.fromkeys(names, "MANAGE"), "MANAGE")
            granted = await self._get(f"{API3}/users/current/permissions", "list our permissions")
            grants = list(records(granted.get("permissions")))
            levels = await self._levels(user["username"], names, grants)
            return Rights(user["username"], levels, await self._on_experiments(user["username"], grants))
        except Rejected:
            return None

    async def _on_experiments(self, user: str, grants: list[dict[str, Any]]) -> str:
        """The level on all; "" where some are granted by themselves: which of them are needed, only runs could say."""
        if any(one.get("resource_type") == EXPERIMENT and one.get("resource_pattern") != ALL for one in grants):
            return ""
        try:
            return await self._level(user, EXPERIMENT, ALL)
        except Rejected:  # an older server
            return ""

    async def _levels(self, user: str, names: frozenset[str], grants: list[dict[str, Any]]) -> dict[str, str]:
        """Models that are granted the same are of one level: one of them is asked about."""
        alike: dict[tuple[str, ...], list[str]] = {}
        for name in sorted(names):
            alike.setdefault(tuple(sorted(_own(grants, name))), []).append(name)
        levels: dict[str, str] = {}
        apart = any(one.get("resource_type") == VERSION for one in grants)  # versions have grants beside their models'
        tier = await self._level(user, VERSION, ALL) if apart else ""
        for own, group in list(alike.items())[:QUESTIONS]:
            level = await self._level(user, MODEL, group[0] if own else ALL)
            levels |= dict.fromkeys(group, min(level, tier or level, key=_rank))
        return levels

    async def _level(self, user: str, kind: str, of: str) -> str:
        query = {"username": user, "resource_type": kind, "resource_id": of}
        found = await self._get(f"{API3}/users/permissions/get", "tell our permission", query)
        return str(found.get("permission"))

    async def _get(self, path: str, purpose: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        return await self._http.document(Request("users", purpose, path, query=query or {}))


def _own(grants: list[dict[str, Any]], name: str) -> Iterator[str]:
    """What is granted on the model by its name."""
    for one in grants:
        if (one.get("resource_type"), one.get("resource_pattern")) == (MODEL, name):
            yield str(one.get("permission"))


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else 0
