"""Asks the candidate's server as a client will, before it serves: it must answer, and with what was predicted.

The server is the container that a serving pod has, beside the judge's; here runs no code of the model. Everything that
it says is taken for hostile.
"""

import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NoReturn

from pyarrow import parquet

from slipway.api.report import Rehearsal
from slipway.api.tasks import ABOUT, CANDIDATE, FEATURES, JudgeTask, Served

from . import questions, typed
from .answers import Compared, NoAnswer, parsed, per_row, typical, words
from .asking import Answer, Asker, Gone, Unanswered
from .outcome import Refused, say
from .pod import Pod
from .questions import V2, Question
from .serving import signature

FAILED, DIFFER, NOT_READY = "RehearsalFailed", "AnswersDiffer", "ServerNotReady"
BATCHES = (1, 7, 100)
FIRST_ROWS = 1000  # of the data, among which those without a missing value are looked for
TOGETHER, ROUNDS = 16, 4
ANSWER_BYTES, A_ROW_BYTES = 1024 * 1024, 64 * 1024
FILE_BYTES = 64 * 1024 * 1024  # of the input example: a serving pod takes no larger body
START_SECONDS = 60.0  # for as many threads to begin, on a busy node
BUSY = (429, 503)  # a server with too much to do says so, and is asked again


@dataclass(frozen=True)
class Bounds:
    """How long is waited."""

    start_seconds: float = 600.0  # as a serving pod may take
    request_seconds: float = 60.0  # that the server has for an answer
    late_seconds: float = 5.0  # beyond these, for it to say that they are over
    asking_seconds: float = 180.0  # for all formats and batches: a slow model is asked less
    pause_seconds: float = 0.2


BOUNDS = Bounds()
EXAMPLE = "serving_input_example.json"


def rehearse(task: JudgeTask, pod: Pod, predicted: tuple[Any, ...], bounds: Bounds = BOUNDS) -> Rehearsal | None:
    """What the candidate's server answered; Refused where that is not what a client needs. None: nobody is to ask."""
    if task.served is None:
        return None
    model = pod.at(CANDIDATE)
    served, longest = task.served, task.served.max_body_bytes or FILE_BYTES
    bounds = replace(bounds, request_seconds=served.request_seconds or bounds.request_seconds)
    patience = bounds.request_seconds + bounds.late_seconds
    stage = _Stage(Asker(served.port, patience), bounds, predicted, bool(served.is_quiet))
    example = _bounded(model / EXAMPLE, longest)
    ready = stage.comes_up(example)
    note = "" if example is not None else "It has no input example"
    if example is None and (model / EXAMPLE).is_file():
        note = "Its input example is longer than its server takes"
    if task.with_data:
        rows = _rows(pod, _schema(model), _path(served), longest)
        note = f"Its data was not asked: {words(rows.encode())}" if isinstance(rows, str) else note
        if not isinstance(rows, str):
            stage.asks(rows)
            note = stage.note or note
    fast, why = stage.fast_way()
    found = Rehearsal(
        formats=tuple(stage.formats), rows=len(stage.asked), at_once=stage.at_once, exact=stage.compared.exact,
        example=example is not None, ready_seconds=round(ready, 3), fast_way=fast, fast_way_reason=why, note=note,
    )  # fmt: skip
    say(f"the server was ready after {ready:.1f} s; {found.rows} rows were asked as {', '.join(found.formats)}")
    return found


class _Stage:
    """The server, and what it has answered so far."""

    def __init__(self, asker: Asker, bounds: Bounds, predicted: tuple[Any, ...], is_quiet: bool) -> None:
        self._asker, self._bounds, self._predicted, self._is_quiet = asker, bounds, predicted, is_quiet
        self.formats: dict[str, None] = {}
        self.asked: set[int] = set()
        self.at_once, self.note = 1, ""
        self.compared = Compared(typical(predicted[:FIRST_ROWS]))
        # V2 has columns: what one row lacks it fills with what nobody predicted.
        self._is_even = len({_shape(one) for one in predicted[:FIRST_ROWS]}) < 2

    def comes_up(self, example: bytes | None) -> float:
        """Wait until it answers its example: the seconds that took."""
        began, why = time.monotonic(), "listens on no port"
        while (waited := time.monotonic() - began) < self._bounds.start_seconds:
            try:
                answer = self._asker.ask("GET", "/ping")
                if answer.status == 200:
                    break
                why = f"answers {answer.status} to /ping: {words(answer.body)}"
            except Gone:
                pass
            except Unanswered as error:
                why = f"{error} to /ping"
            time.sleep(self._bounds.pause_seconds)
        else:
            self._refuse(NOT_READY, "", f"{why}, {waited:.0f} s after it was started")
        if example is not None:
            asked = "its own input example"
            answer = self._ask(asked, Question(asked, (), example))
            try:
                parsed(answer.body)
            except NoAnswer as error:
                self._failed(asked, f"answered {error}")
        return time.monotonic() - began

    def asks(self, rows: questions.Rows) -> None:
        """Batches in every format, then rows at the same time."""
        until, alone = time.monotonic() + self._bounds.asking_seconds, 0.001
        batches = [*(rows.whole[:size] for size in BATCHES), rows.gaps[: BATCHES[1]]]
        for batch in filter(None, dict.fromkeys(batches)):
            if alone * len(batch) > self._bounds.request_seconds / 2:
                self.note = f"It was not asked for {len(batch)} rows at once: one takes it {alone:.1f} s"
                continue
            for question in rows.questions(batch):
                if question.form == V2 and not self._is_even:
                    continue
                if time.monotonic() > until:
                    self.note = f"It was not asked in every way: that took more than {self._bounds.asking_seconds:g} s"
                    break
                seconds = self._compare(question)
                alone = max(alone, seconds) if len(question.rows) == 1 else alone
        first = (next(rows.questions((row,)), None) for row in islice(rows.whole or rows.gaps, TOGETHER))
        one_each = [one for one in first if one]
        # Those that wait for each other must not be late by that alone.
        together = min(TOGETHER, int(self._bounds.request_seconds / 2 / alone))
        if one_each and together > 1:
            self._at_once(one_each, together, until)

    def _compare(self, question: Question) -> float:
        asked = f"{len(question.rows)} {'row' if len(question.rows) == 1 else 'rows'} as {question.form}"
        answer = self._ask(asked, question)
        try:
            found = per_row(question.form, answer.body, len(question.rows))
        except NoAnswer as error:
            self._failed(asked, f"answered {error}")
        if wrong := self._other(question, found):
            self._refuse(DIFFER, f"asked for {asked}, ", f"answered {wrong}")
        self.formats[question.form] = None
        self.asked |= {*question.rows}
        return answer.seconds

    def _other(self, question: Question, found: list[Any]) -> str:
        """What it answered where something else was predicted; "" if nowhere."""
        for row, said in zip(question.rows, found, strict=True):
            due = self._predicted[row]
            if not self.compared.same(said, due, question.form):
                return f"{_shown(said)} for row {row}, and {_shown(due)} was predicted in the scoring step"
        return ""

    def _at_once(self, one_each: list[Question], together: int, until: float) -> None:
        """Each row has its own answer, whoever else asks."""
        barrier, mixed = threading.Barrier(together), f"{together} rows at the same time"

        def ask(question: Question) -> str:
            barrier.wait(START_SECONDS)
            answer = self._ask(mixed, question)
            return self._other(question, per_row(question.form, answer.body, 1))

        with ThreadPoolExecutor(together) as pool:
            for start in range(ROUNDS):
                chosen = [*islice(cycle(one_each), start, start + together)]
                try:
                    wrong = [one for one in pool.map(ask, chosen) if one]
                except NoAnswer as error:
                    self._failed(mixed, f"answered {error}")
                if wrong:
                    self._refuse(DIFFER, f"asked for {mixed}, ", f"answered {wrong[0]}: does the model keep state?")
                self.at_once = together
                if time.monotonic() > until:
                    return

    def _ask(self, asked: str, question: Question) -> Answer:
        """The answer, which has to be a good one."""
        limit = ANSWER_BYTES + A_ROW_BYTES * len(question.rows) + 4 * len(question.body)
        until = time.monotonic() + self._bounds.request_seconds + self._bounds.late_seconds
        while True:
            try:
                answer = self._asker.ask("POST", question.path, question.body, question.kind, limit)
            except Unanswered as error:
                self._failed(asked, str(error))
            if answer.status == 200:
                return answer
            if answer.status not in BUSY or time.monotonic() > until:
                self._failed(asked, f"answered {answer.status}: {words(answer.body)}")
            time.sleep(self._bounds.pause_seconds)

    def fast_way(self) -> tuple[bool | None, str]:
        """Whether the fast way is on, and why not, as the server has it."""
        try:
            said = parsed(self._asker.ask("GET", ABOUT).body)
        except (Unanswered, NoAnswer):
            return None, ""
        known = said if isinstance(said, dict) else {}
        fast, why = known.get("fastWay"), known.get("why")
        told = isinstance(why, str) and not self._is_quiet
        return fast if isinstance(fast, bool) else None, words(str(why).encode(), 200) if told else ""

    def _refuse(self, reason: str, asked: str, why: str) -> NoReturn:
        if self._is_quiet:
            why = "did not answer as it should; what it said is not shown, since the model has Secrets"
        raise Refused(reason, f"{asked}the model's server {why}")

    def _failed(self, asked: str, why: str) -> NoReturn:
        self._refuse(FAILED, f"asked for {asked}, ", why)


def _shape(prediction: Any) -> tuple[Any, ...]:
    if isinstance(prediction, dict):
        return (dict, *sorted(prediction))
    return (list, len(prediction)) if isinstance(prediction, list) else ()


def _shown(value: Any) -> str:
    try:
        return words(json.dumps(value).encode(), 60)
    except RecursionError:
        return "lists in lists"


def _path(served: Served) -> str:
    return f"/v2/models/{served.model}/versions/{served.version}/infer"


def _bounded(file: Path, longest: int = FILE_BYTES) -> bytes | None:
    """The file of the model; None if it is not there, or larger than a client can send it."""
    return file.read_bytes() if file.is_file() and file.stat().st_size <= longest else None


def _schema(model: Path) -> signature.Schema | None:
    known = signature.read(model) if _bounded(model / "MLmodel") else None
    return known.inputs if known else None


def _rows(pod: Pod, schema: signature.Schema | None, path: str, longest: int) -> questions.Rows | str:
    """The first rows of what was scored, as they were scored; in words, why they cannot be asked."""
    text = pod.at(FEATURES) / "data.csv"
    try:
        if not text.exists():
            batches: Iterable[Any] = parquet.ParquetFile(pod.at(FEATURES) / "data.parquet").iter_batches(FIRST_ROWS)
            found = next(iter(batches)).to_pandas()
        elif schema is None:  # what a column is depends on all of its rows
            return "no signature tells the types of a CSV"
        else:
            found = typed.of_csv(text, schema, FIRST_ROWS)
        return questions.of(typed.typed(found, schema), schema, path, longest)
    except typed.DoesNotFit as error:
        return str(error)
