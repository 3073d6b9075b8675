"""Which column of a dataset holds what, and when a record is fit to be a row."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeGuard, get_args

from cropzoom.errors import DataError
from cropzoom.geometry import Box

from .row import BadRow

Units = Literal["fractions", "percent", "thousandths", "pixels"]
Layout = Literal["xyxy", "xywh"]

# What the whole side of an image counts in each unit; a side in pixels is the image's own.
_WHOLE = {"fractions": 1.0, "percent": 100.0, "thousandths": 1000.0}


@dataclass(frozen=True)
class ColumnMap:
    """Names of columns. None: the role's own name, which may be absent if the role is optional.

    A dotted name reaches into a column of lists or of structs: with `qas.question` and
    `qas.answers`, each entry of `qas` becomes a row of its own.

    Args:
        image: a file's bytes, a path inside the image folder, or datasets' {"bytes", "path"}.
        question: text.
        answers: text, or a list of texts.
        box: four numbers (optional).
        id: text or whole number (optional; the record's position by default).
        image_id: the same for all questions about one picture (optional).
        source: name of the dataset that the row is from (optional).
        value, key, options, category, cycle: of `Row`, all optional; read for evaluation only.
    """

    image: str | None = None
    question: str | None = None
    answers: str | None = None
    box: str | None = None
    id: str | None = None
    image_id: str | None = None
    source: str | None = None
    value: str | None = None
    key: str | None = None
    options: str | None = None
    category: str | None = None
    cycle: str | None = None

    @classmethod
    def parse(cls, pairs: Iterable[str]) -> ColumnMap:
        """Make a map from `role=column` texts, as given on a command line.

        Raises:
            DataError: a text has another form, or there is no such role.
        """
        roles = [field.name for field in fields(cls)]
        named: dict[str, str] = {}
        for pair in pairs:
            role, equals, column = (part.strip() for part in pair.partition("="))
            if not (equals and column and role in roles):
                raise DataError(
                    f"column {pair!r} must have the form ROLE=NAME, with ROLE one of "
                    f"{', '.join(roles)}"
                )
            named[role] = column
        return cls(**named)

    @property
    def named(self) -> dict[str, str]:
        """The columns that have a name of their own, by role."""
        return {role: column for role, column in vars(self).items() if column is not None}

    def within(self, columns: Collection[str], *, answered: bool = True) -> dict[str, str]:
        """Return the columns to read by role, given those that there are.

        Args:
            columns: names.
            answered: whether no row can do without answers.

        Raises:
            DataError: one is missing that was named, or that no row can do without.
        """
        needed = ("image", "question", "answers") if answered else ("image", "question")
        by_role = {}
        for field in fields(self):
            named = getattr(self, field.name)
            column = named or field.name
            if column in columns or column.partition(".")[0] in columns:
                by_role[field.name] = column
            elif named or field.name in needed:
                raise DataError(
                    f"there is no column {column!r} for the {field.name}; there are "
                    f"{', '.join(sorted(columns)) or 'none'}. Name it with {field.name}=COLUMN"
                )
        return by_role


def records_of(record: Mapping[str, Any], columns: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Yield the roles' values of one record; several, where the question is a list of them.

    Raises:
        BadRow: lists beside each other have different lengths.
    """
    values = {role: _reach(record, column) for role, column in columns.items()}
    if columns["question"] in record or not _is_list(values["question"]):
        yield values
        return
    head = columns["question"].partition(".")[0] + "."
    beside = {role for role in values if columns[role].startswith(head)}
    count = len(values["question"])
    if any(not _is_list(values[role]) or len(values[role]) != count for role in beside):
        raise BadRow("bad record", f"the columns {head}* are not lists of one length")
    for number in range(count):
        yield {role: value[number] if role in beside else value for role, value in values.items()}


def question_of(value: object) -> str:
    """Return a question as asked.

    Raises:
        BadRow: there is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise BadRow("no question", _shown(value))
    return value


def answers_of(value: object) -> tuple[str, ...]:
    """Return all answers as given, repetitions kept (they are votes), blank ones left out.

    Raises:
        BadRow: one is not text.
    """
    texts = [value] if isinstance(value, str) else [] if value is None else value
    if not _is_list(texts) or not all(isinstance(answer, str) for answer in texts):
        # A number would lose its form: 1.50 becomes 1.5.
        raise BadRow("answers are not text", _shown(value))
    return tuple(answer for answer in texts if answer.strip())


def options_of(value: object) -> dict[str, str]:
    """Return the options of a multiple-choice question, texts by letter; empty where it is none.

    Raises:
        BadRow: something else is given.
    """
    options = {} if value is None else value
    if isinstance(options, dict):  # Arrow fills up what a struct lacks
        options = {letter: text for letter, text in options.items() if text is not None}
    if not isinstance(options, dict) or not all(isinstance(text, str) for text in options.values()):
        raise BadRow("bad options", f"{_shown(value)} must be texts by letter")
    return options


def name_of(value: object) -> str:
    """Return an id or a name as text; empty where there is none.

    Raises:
        BadRow: it is neither text nor a whole number.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise BadRow("bad id", _shown(value))
    return str(value)


def box_of(value: object, units: Units, layout: Layout, size: tuple[int, int] | None) -> Box | None:
    """Return a box in fractions; None where there is none.

    Args:
        value: four numbers, or null.
        units: of the numbers.
        layout: "xyxy" two corners; "xywh" the upper left corner, width and height.
        size: (width, height) of the upright image in px; needed for pixels only.

    Raises:
        BadRow: not four finite numbers, out of order, or outside the image.
    """
    if value is None:
        return None
    if not _is_list(value) or len(value) != 4:
        raise BadRow("bad box", f"{_shown(value)} is not four numbers")
    try:
        x0, y0, x1, y1 = (float(number) for number in value)
    except (TypeError, ValueError, OverflowError):
        raise BadRow("bad box", f"{_shown(value)} is not four numbers") from None
    if layout == "xywh":
        x1, y1 = x0 + x1, y0 + y1
    if not all(map(math.isfinite, (x0, y0, x1, y1))):
        raise BadRow("bad box", f"{_shown(value)} is not finite")
    if not (x0 < x1 and y0 < y1):
        raise BadRow("bad box", f"{_shown(value)} is empty or inverted ({layout})")
    across, down = whole(units, size)
    try:
        return Box(x0 / across, y0 / down, x1 / across, y1 / down)
    except ValueError:
        raise BadRow(
            "bad box", f"{_shown(value)} is outside the image of {across:g}x{down:g} ({units})"
        ) from None


def whole(units: Units, size: tuple[int, int] | None) -> tuple[float, float]:
    """Return what the whole (width, height) of an image counts in `units`.

    Raises:
        DataError: there are no such units.
        ValueError: pixels, without a size.
    """
    if units == "pixels":
        if size is None:
            raise ValueError("boxes in pixels need the size of their image")
        return float(size[0]), float(size[1])
    if units not in _WHOLE:
        raise DataError(f"units={units!r} must be one of {', '.join(get_args(Units))}")
    return _WHOLE[units], _WHOLE[units]


def _reach(record: Mapping[str, Any], column: str) -> Any:
    """Follow a dotted name into a struct, or into each entry of a list of structs."""
    if column in record:
        return record[column]
    head, _, rest = column.partition(".")
    value = record.get(head)
    if _is_list(value):
        return [entry.get(rest) if isinstance(entry, Mapping) else None for entry in value]
    # datasets before 4 turns a list of structs into a struct of lists.
    return value.get(rest) if isinstance(value, Mapping) else None


def _is_list(value: object) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, (list, tuple))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
