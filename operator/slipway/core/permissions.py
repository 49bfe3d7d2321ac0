"""What a credential needs in the registry, and what of it is missing: MLflow's permissions by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from .registry import Rights


@dataclass(frozen=True)
class Use:
    """A RegisteredModel that names the registry."""

    name: str  # of the registered model
    follows: bool = False  # the registry's labels say what is promoted
    drifted: bool = False  # its labels were moved by hand


# What each permission is for, in the order in which MLflow's levels hold one another.
NEEDS = {"READ": "to see versions", "EDIT": "to set stages, aliases and tags", "MANAGE": "to take an alias away"}
ON_EXPERIMENTS = "READ on experiments (to import files, and to see how versions were made)"
NO_REPORTS = "Reports of validations are not kept in MLflow: that takes EDIT on experiments."
LEVELS = ("DENY", "NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE")
NAMED = 5  # models in a message


def missing(rights: Rights, uses: Sequence[Use], with_alias: bool) -> str:
    """Each permission that is missing, and where; "" if none is. `with_alias`: Production has one."""
    found = []
    for level, purpose in NEEDS.items():
        on = sorted(
            {one.name for one in uses if _needs(one, with_alias, level) and not _holds(rights, one.name, level)}
        )
        if on:
            more = f" and {len(on) - NAMED} more" if len(on) > NAMED else ""
            found.append(f"{level} on {', '.join(on[:NAMED])}{more} ({purpose})")
    if uses and not _is_enough(rights.experiments, "READ"):
        found.append(ON_EXPERIMENTS)
    return f'The user "{rights.user}" lacks {"; ".join(found)}.' if found else ""


def held(rights: Rights) -> str:
    """What is said of a user who lacks nothing that is needed."""
    said = f'The user "{rights.user}" may do all that is needed.'
    return said if _is_enough(rights.experiments, "EDIT") else f"{said} {NO_REPORTS}"


def _needs(use: Use, with_alias: bool, level: str) -> bool:
    """An alias is taken away only where labels are requests, from what may not serve."""
    return level != "MANAGE" or (use.follows and with_alias)


def _holds(rights: Rights, name: str, level: str) -> bool:
    """Whether the user has it, as far as is known."""
    return _is_enough(rights.levels.get(name, level), level)


def _is_enough(has: str, level: str) -> bool:
    """Whether one of MLflow's levels holds another; one that is not known is not missing."""
    return has not in LEVELS or LEVELS.index(has) >= LEVELS.index(level)
