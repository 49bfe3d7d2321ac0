"""A page about a validation for whoever opens the run in MLflow: gates with their numbers, and what differs.

MLflow shows HTML among its artifacts in a frame of its own. All that models and people have said is escaped.
"""

from collections.abc import Iterable, Sequence
from html import escape

from ..api.facts import Changes, Difference
from ..api.modelversion import GateResult
from .changes import direction

STYLE = (
    "body{font-family:sans-serif;margin:1.5em;max-width:60em}table{border-collapse:collapse;margin:.5em 0 1.5em}"
    "td,th{border:1px solid #ccc;padding:.3em .7em;text-align:left;vertical-align:top;overflow-wrap:anywhere}"
    "th{background:#f4f4f4}"
)
HTML = '<!doctype html><html><head><meta charset="utf-8"><style>{style}</style></head><body>\n{body}\n</body></html>\n'
QUESTIONS = {
    "params": "Which hyperparameters differ",
    "metrics": "Metrics of the training runs",
    "data": "Data",
    "code": "Code",
    "training": "Size and duration of training",
    "preprocessing": "Preprocessing: flavors, files and columns",
    "environment": "Environment: Python and packages",
}


def page(title: str, outcome: str, gates: Sequence[GateResult], changes: Changes | None) -> str:
    """The page as HTML, complete in itself."""
    champion = f"version {changes.against}" if changes and changes.against else "champion"
    rows = [(one.name, one.result, _number(one.candidate), _number(one.champion), one.message) for one in gates]
    parts = [
        f"<h1>{_text(title)}</h1><p>{_text(outcome)}</p>",
        "<h2>Gates</h2>",
        _table(("gate", "result", "this version", champion, "in words"), rows) if rows else "<p>No gates are set.</p>",
        "<h2>What changed</h2>",
        f"<p>{_text(changes.summary if changes else 'It was not known yet how the version was made.')}</p>",
    ]
    if changes is not None and changes.against is not None:
        for name, question in QUESTIONS.items():
            differing: Sequence[Difference] | None = getattr(changes, name)
            parts += [f"<h3>{_text(question)}</h3>", _differences(differing, champion, changes.more.get(name, 0))]
    return HTML.format(style=STYLE, body="\n".join(parts))


def _differences(differing: Sequence[Difference] | None, champion: str, more: int) -> str:
    if differing is None:
        return "<p>Not known of both versions.</p>"
    if not differing:
        return "<p>The same.</p>"
    rows = [(one.name, one.champion or "–", one.candidate or "–", direction(one)) for one in differing]
    note = f"<p>And {more} more.</p>" if more else ""
    return _table(("", champion, "this version", ""), rows) + note


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["".join(f"<th>{_text(cell)}</th>" for cell in head)]
    lines += ["".join(f"<td>{_text(cell)}</td>" for cell in row) for row in rows]
    return f"<table>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>"


def _text(text: str) -> str:
    return escape("".join(one if one.isprintable() else " " for one in text), quote=True)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.6g}"
