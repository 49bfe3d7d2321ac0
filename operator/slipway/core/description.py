"""Our line in the description of a version: what has become of it, for whoever only opens the registry.

All other lines are people's, and stay as they are.
"""

import re
from urllib.parse import quote

from ..api.modelversion import ModelVersion
from ..resources.platform import Platform
from .conditions import clipped
from .observed import ModelSeen

TEXT_LIMIT = 600  # characters of what is said, before it is escaped
SHOWN_LIMIT = 1200  # once it is
LINE_LIMIT = 2000  # of a line that is believed to be ours
DESCRIPTION_LIMIT = 5000  # that MLflow's databases take
_OURS = re.compile(r"\*\*Slipway ([^\s*]{1,200}):\*\*")
_SPECIAL = re.compile(
    r"[\\`*_{}\[\]()#|~!$]"  # Markdown
    r"|[<>&]"  # HTML
    r"|@|:(?=/)|(?<=[^\W\d]|[+.-]):(?=\S)"  # what makes an address, which many show as a link unasked
    r"|(?<=[^\W\d])\.(?=\S)|(?<=[\w-])\.(?=[^\W\d])"
)
_NAMED = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "&#64;", ":": "&#58;", ".": "&#46;"}


def line(seen: ModelSeen, version: ModelVersion, said: str) -> str:
    """The line about a version, with a link to its report where there is one.

    The link begins at the page that shows it, since people may know MLflow under another address than the operator.
    """
    prefix = f"**Slipway {seen.platform.cluster_name}/{seen.model.metadata.namespace}:**"
    return f"{prefix} {escaped(said)}{_link(seen, version)}"


def escaped(text: str) -> str:
    """What models and people have said, as Markdown that shows it letter for letter, and links nowhere."""
    plain = "".join(one if one.isprintable() else " " for one in clipped(text, TEXT_LIMIT))
    said = " ".join(plain.split())
    while len(shown := _SPECIAL.sub(_letter, said)) > SHOWN_LIMIT:
        said = clipped(said, len(said) * 9 // 10)
    return shown


def _letter(found: re.Match[str]) -> str:
    return _NAMED.get(found[0], f"\\{found[0]}")


def lines(description: object) -> tuple[str, ...]:
    """The lines that are Slipway's, of whichever cluster; beyond what databases take, none is ever written."""
    if not isinstance(description, str) or "**Slipway " not in description:
        return ()
    found = (one.rstrip("\r") for one in description[:DESCRIPTION_LIMIT].split("\n") if _OURS.match(one))
    return tuple(one[:LINE_LIMIT] for one in found)


def described(description: str, ours: str) -> str:
    """The description with our line in the place of the one that was there, or at its end."""
    match = _begins(ours)
    kept: list[str] = []
    placed = False
    for one in description.split("\n") if description else []:
        if not one.startswith(match[0]):
            kept.append(one)
        elif not placed:
            kept.append(ours)
            placed = True
    if not placed:
        kept += [*([""] if kept and kept[-1].strip() else []), ours]
    return "\n".join(kept)


def writer(ours: str) -> str:
    """The cluster and the namespace that a line of ours is of."""
    return _begins(ours)[1]


def _begins(ours: str) -> re.Match[str]:
    match = _OURS.match(ours)
    assert match is not None
    return match


def report_path(platform: Platform, version: ModelVersion, revision: str, ending: str = "html") -> str:
    """Where a report lies among the artifacts of the run that made the version."""
    meta = version.metadata  # several namespaces may prove the same version
    return f"slipway/{platform.cluster_name}/{meta.namespace}/{meta.name}-{revision}.{ending}"


def _link(seen: ModelSeen, version: ModelVersion) -> str:
    status = version.status
    proof, pinned, facts = status.validation, status.resolved, status.facts
    if proof is None or pinned is None or not pinned.run_id or facts is None or not facts.experiment:
        return ""
    if proof.rows is None and not proof.gates and proof.outcome != "Passed":  # it came to no report
        return ""
    path = quote(report_path(seen.platform, version, proof.revision))
    run = f"#/experiments/{quote(facts.experiment, safe='')}/runs/{quote(pinned.run_id, safe='')}"
    return f" [Report]({run}/artifacts/{path})"
