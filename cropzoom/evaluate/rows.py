"""What is asked: rows with a picture, a question and its right answers; and local files of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cropzoom.errors import DataError
from cropzoom.evaluate.metrics import Harness, MetricName
from cropzoom.geometry import Box
from cropzoom.images import ImageSource

_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A question about a picture.

    Args:
        id: unique in its set and the same in every run: answers are found again by it.
        image: fetches the picture, undecoded; called when the question is asked. Raises
            ImageError or BadRow where there is none.
        question: as sent, with the benchmark's instructions; the cropper gets it, too.
        answers: all that count as right; empty where they are not published.
        asked: the question without instructions, for people to read.
        box: where to look (key and value); None where it is not known.
        value: around the answer alone; None where it is not known.
        key: what the page itself calls the thing asked for; only the OCR stand-in gets it.
        options: of a multiple-choice question, texts by letter.
        image_id: the same for all rows about one picture; empty to tell pictures by their bytes.
        category: for the breakdown.
        cycle: which rotation of the options (HR-Bench).
    """

    id: str
    image: Callable[[], ImageSource]
    question: str
    answers: tuple[str, ...] = ()
    asked: str = ""
    box: Box | None = None
    value: Box | None = None
    key: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    image_id: str = ""
    category: str = ""
    cycle: str = ""


@dataclass(frozen=True)
class Problem:
    """Something that can't be asked, or was not answered.

    Args:
        row: id of the row, or where it stands.
        kind: one of a few, to be counted: "malformed row", "no image", "broken image",
            "no answers", "request failed".
        detail: what is wrong.
    """

    row: str
    kind: str
    detail: str


@dataclass(frozen=True)
class TestSet:
    """Rows, and how their answers are scored.

    Args:
        name: for reports.
        identity: changes with whatever changes what is asked; answers to another are not mixed in.
        rows: what can be asked.
        problems: what can't.
        metric: how replies are scored.
        harness: whose metric and prompt.
        submission: the two fields' names in the challenge's own submission file; None without one.
    """

    __test__ = False  # for pytest, which takes the name for a test's

    name: str
    identity: str
    rows: Sequence[Row]
    problems: Sequence[Problem]
    metric: MetricName
    harness: Harness = "lmms-eval"
    submission: tuple[str, str] | None = None


class BadRow(Exception):
    """A record that can't be asked about.

    Args:
        kind: as in `Problem`.
        detail: what is wrong.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind, self.detail = kind, detail


def load_file(path: str | os.PathLike[str], *, metric: MetricName = "contained") -> TestSet:
    """Load questions from a JSONL file, or from a folder that holds one.

    A line is an object with `image` (a path inside the file's folder), `question`, and `answers`
    (a list) or `answer`. Optional are `id`, `image_id`, `box` and `value` (four numbers, corners in
    fractions of the image), `key`, `options` (texts by letter) and `category`, as in `Row`. What
    `cropzoom label` and the trainer write is of this form.

    Args:
        path: the file or the folder.
        metric: how replies are scored.

    Raises:
        DataError: there is no such file, or it has no line that can be asked.
    """
    file = _only_file(Path(path))
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"can't read {file}: {error.strerror}") from error
    rows: list[Row] = []
    problems: list[Problem] = []
    # By "\n" alone: a string may hold other line ends, unescaped.
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(_row(line, f"line {number}", file.parent))
        except BadRow as bad:
            problems.append(Problem(f"line {number}", bad.kind, bad.detail))
    if not rows:
        said = f": {problems[0].detail} (line 1)" if problems else ", for it is empty"
        raise DataError(f"{file} has no line that can be asked{said}")
    identity = f"{file.name} {hashlib.sha256(content).hexdigest()[:16]}"
    return TestSet(str(path), identity, unique(rows), problems, metric)


def unique(rows: Iterable[Row]) -> list[Row]:
    """Number the ids that come again: answers are found by them."""
    counts: Counter[str] = Counter()
    found = []
    for row in rows:
        counts[row.id] += 1
        again = counts[row.id]
        found.append(row if again == 1 else replace(row, id=f"{row.id}#{again}"))
    return found


def inside(folder: Path, name: object) -> Path:
    """Return the path of a file inside a folder; names in data are not to be trusted.

    Raises:
        BadRow: it is missing, or not in the folder.
    """
    if not isinstance(name, str) or not name:
        raise BadRow("no image", f"{name!r} is no path")
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise BadRow("no image", f"{name[:200]!r} is outside {folder}")
        if not path.is_file():
            raise BadRow("no image", f"there is no file {path}")
    except (OSError, ValueError, RuntimeError) as error:
        # ValueError: a name no file system takes; RuntimeError: links in a circle.
        raise BadRow("no image", f"{name[:80]!r}: {error}") from error
    return path


def text_of(value: object, name: str) -> str:
    """Return a text that must not be blank.

    Raises:
        BadRow: it is something else.
    """
    if not isinstance(value, str) or not value.strip():
        raise BadRow("malformed row", f"{name}={_shown(value)} must be text")
    return value


def answers_of(value: object) -> tuple[str, ...]:
    """Return the answers as given, repetitions kept (they are votes), blank ones left out.

    Raises:
        BadRow: one is not text.
    """
    given = [value] if isinstance(value, str) else [] if value is None else value
    if not isinstance(given, (list, tuple)) or not all(isinstance(text, str) for text in given):
        # A number would lose its form: 1.50 becomes 1.5.
        raise BadRow("malformed row", f"answers={_shown(value)} must be text or a list of texts")
    return tuple(text for text in given if text.strip())


def _only_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    files = sorted(file for file in path.iterdir() if file.suffix in _LINES)
    if len(files) != 1:
        raise DataError(
            f"{path} must hold one JSONL file, and it holds {len(files)}; name the file itself"
        )
    return files[0]


def _row(line: bytes, place: str, folder: Path) -> Row:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow("malformed row", f"not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise BadRow("malformed row", "not a JSON object")
    question = text_of(entry.get("question"), "question")
    path = inside(folder, entry.get("image"))
    options = entry.get("options") or {}
    if not isinstance(options, dict) or not all(isinstance(text, str) for text in options.values()):
        raise BadRow("malformed row", f"options={_shown(options)} must be texts by letter")
    name = entry.get("id")
    return Row(
        id=place if name is None else str(name),
        image=lambda: path,
        question=question,
        asked=question,
        answers=answers_of(entry.get("answers", entry.get("answer"))),
        box=_box(entry.get("box"), "box"),
        value=_box(entry.get("value"), "value"),
        key=str(entry.get("key") or ""),
        options=options,
        image_id=str(entry.get("image_id") or path),
        category=str(entry.get("category") or entry.get("source") or ""),
    )


def _box(value: Any, name: str) -> Box | None:
    if value is None:
        return None
    try:
        x0, y0, x1, y1 = value
        return Box(x0, y0, x1, y1)
    except (TypeError, ValueError) as error:
        raise BadRow(
            "malformed row",
            f"{name}={_shown(value)} must be [x0, y0, x1, y1] in fractions of the image",
        ) from error


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
