"""Rows loaded from data sets, checked, and split by picture. Pictures are fetched when used.

Nothing is dropped in silence: a record that can't be a row is skipped, and counted with its id
and the reason (`Rows.skipped`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

from PIL import Image

from cropzoom.errors import DataError, ImageError
from cropzoom.images import ImageSource, OpenedImage, read_bytes

from .columns import (
    ColumnMap,
    Layout,
    Units,
    answers_of,
    box_of,
    name_of,
    options_of,
    question_of,
    records_of,
)
from .row import BadRow, Problem, Row
from .sources import Source, open_source
from .writing import write_lines

_log = logging.getLogger("cropzoom.data")


@dataclass
class Skipped:
    """Records that could not be rows.

    Args:
        rows: each of them.
    """

    rows: list[Problem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many by kind, the most frequent first."""
        return dict(Counter(problem.kind for problem in self.rows).most_common())

    def save(self, path: str | Path) -> None:
        """Write one JSON object a line: id, reason, detail."""
        write_lines(
            path, ({"id": one.row, "reason": one.kind, "detail": one.detail} for one in self.rows)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return "none skipped"
        counts = ", ".join(f"{count} {kind}" for kind, count in self.counts.items())
        first = self.rows[0]
        return f"{len(self.rows)} skipped ({counts}); the first is {first.row!r}: {first.detail}"


class Rows(Sequence[Row]):
    """Rows of one data set or several (`+`), and what the sources had besides."""

    def __init__(self, rows: Iterable[Row], skipped: Skipped | None = None) -> None:
        self._rows = list(rows)
        self.skipped = Skipped() if skipped is None else skipped

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, key: int) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> Rows: ...
    def __getitem__(self, key: int | slice) -> Row | Rows:
        """Return a row, or a part of the rows."""
        if isinstance(key, slice):
            return Rows(self._rows[key], self.skipped)
        return self._rows[key]

    def __add__(self, other: Rows) -> Rows:
        """Return the rows of both, for training on several data sets."""
        return Rows(self._rows + other._rows, Skipped(self.skipped.rows + other.skipped.rows))

    def select(self, numbers: Iterable[int]) -> Rows:
        """Return the rows of these numbers, in this order."""
        return Rows([self._rows[number] for number in numbers], self.skipped)


def load_rows(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    preset: str | None = None,
    split: str = "train",
    config: str | None = None,
    columns: ColumnMap | None = None,
    image_folder: str | os.PathLike[str] | None = None,
    box_units: Units = "fractions",
    box_layout: Layout = "xyxy",
    boxes: Literal["ignore", "read", "need"] = "read",
    evaluation: bool = False,
    check_images: Literal["none", "header", "decode"] = "header",
    limit: int | None = None,
    name: str | None = None,
) -> Rows:
    """Load questions about pictures. An id that comes again is numbered: "7", "7#2", ...

    Args:
        source: one of

            - a preset's name: "textvqa", "docvqa", "infographicvqa", "stvqa", ... (`PRESETS`);
            - what `save_rows` or `cropzoom label` wrote: a folder with rows.jsonl;
            - a JSONL file, whose images are paths inside `image_folder`;
            - a parquet file, several, or a pattern such as "data/train-*.parquet";
            - a folder of `datasets.save_to_disk`, or any that `datasets.load_dataset` reads;
            - "owner/name" on the Hugging Face hub.
        preset: use this preset's files and columns with `source`, a local copy of its repository
            or another one of the same form on the hub.
        split: as for `datasets`, such as "train" or "train[:1000]". Not for JSONL and parquet.
        config: of a hub data set that has several.
        columns: names of the columns, where they differ from the roles' (`ColumnMap`).
        image_folder: paths to images are relative to it, and may not leave it, not even through
            a symbolic link. The source's own folder by default.
        box_units: of the box column; pixels are those of the upright image.
        box_layout: "xyxy" two corners; "xywh" the upper left corner, width and height.
        boxes: "read" those that there are; "need" them, skipping rows without, which supervised
            learning can't use; "ignore" the box column, whatever is in it.
        evaluation: keep rows without answers, and read `value`, `key`, `options`, `category` and
            `cycle` as well; image ids tell pictures apart, not what a split must keep together.
        check_images: "header" looks at each file's header, which finds files that are missing, no
            images, or too large; "decode" also finds truncated ones, at the price of decoding
            all; "none" only looks whether a JSONL file's paths exist. Trainers stand a truncated
            one.
        limit: load at most so many rows.
        name: the rows' `source`, where no column gives it; the source's own name by default.

    Returns:
        At least one row. `Rows.skipped` tells what was left out and why; it is also logged.

    Raises:
        DataError: the source or a column is missing, or no record can be a row.
        MissingDependencyError: `datasets` is needed and not installed.
    """
    opened = open_source(
        source,
        preset=preset,
        split=split,
        config=config,
        columns=columns,
        folder=image_folder,
        answered=not evaluation,
    )
    reader = _Reader(
        opened,
        opened.box_form or (box_units, box_layout),
        boxes,
        evaluation,
        check_images,
        name or opened.name,
    )
    skipped = Skipped()
    rows: list[Row] = []
    counts: Counter[str] = Counter()
    for number, record in opened.records():
        if limit is not None and len(rows) >= limit:
            break
        try:
            if isinstance(record, BadRow):
                raise record
            entries = list(records_of(record, opened.columns))
            image, size = reader.picture(number)
        except BadRow as bad:
            skipped.rows.append(Problem(str(number), bad.kind, bad.detail))
            continue
        for place, entry in enumerate(entries):
            row_id = str(number) if len(entries) == 1 else f"{number}.{place}"
            if limit is not None and len(rows) >= limit:
                break
            try:
                row_id = name_of(entry.get("id")) or row_id
                before = counts[row_id]
                unique = f"{row_id}#{before + 1}" if before else row_id
                rows.append(reader.row(unique, image, size, entry))
                counts[row_id] += 1
            except BadRow as bad:
                skipped.rows.append(Problem(row_id, bad.kind, bad.detail))
    if not rows:
        raise DataError(
            f"{opened.name} has no row to use: {skipped}. "
            "Check the split, the columns (ROLE=NAME) and the image folder"
        )
    if skipped.rows:
        _log.warning("%s: %d rows, %s", opened.name, len(rows), skipped)
    return Rows(rows, skipped)


@dataclass(frozen=True)
class _Reader:
    """Makes rows of records, see `load_rows`."""

    source: Source
    box_form: tuple[Units, Layout]
    boxes: Literal["ignore", "read", "need"]
    evaluation: bool
    check_images: Literal["none", "header", "decode"]
    name: str

    def picture(
        self, number: int
    ) -> tuple[ImageSource | Callable[[], ImageSource], tuple[int, int] | None]:
        """Return a record's picture, and its upright size if boxes need it.

        Raises:
            BadRow: it is missing or broken, as far as it is looked at.
        """
        sized = self.box_form[0] == "pixels" and "box" in self.source.columns
        fetch = partial(self.source.image, number)
        if self.source.lazy and self.check_images == "none" and not sized:
            return fetch, None
        image = fetch()
        size = _look(image, self.check_images, size=sized)
        return fetch if self.source.lazy else image, size

    def row(
        self,
        row_id: str,
        image: ImageSource | Callable[[], ImageSource],
        size: tuple[int, int] | None,
        entry: Mapping[str, Any],
    ) -> Row:
        """Make a row of the roles' values.

        Raises:
            BadRow: a value is missing, or of another form.
        """
        answers = answers_of(entry.get("answers"))
        if not answers and not self.evaluation:
            raise BadRow("no answers", repr(entry.get("answers"))[:80])
        box = None if self.boxes == "ignore" else box_of(entry.get("box"), *self.box_form, size)
        row = Row(
            id=row_id,
            image=image,
            question=question_of(entry["question"]),
            answers=answers,
            box=box,
            image_id=name_of(entry.get("image_id")),
            source=name_of(entry.get("source")) or self.name,
        )
        if self.boxes == "need" and box is None:
            raise BadRow("no box", "null")
        if not self.evaluation:
            return row
        texts = {role: str(entry.get(role) or "") for role in ("key", "category", "source")}
        return replace(
            row,
            value=box_of(entry.get("value"), *self.box_form, size),
            options=options_of(entry.get("options")),
            key=texts["key"],
            category=texts["category"] or texts["source"],
            cycle="" if entry.get("cycle") is None else str(entry["cycle"]),
        )


def split_rows(rows: Rows, parts: Mapping[str, float], seed: int = 0) -> dict[str, Rows]:
    """Split rows into parts that have no picture in common.

    Each source is split by itself, so that all parts have the same mix. The same rows give the
    same parts whatever their order. Rows without an image id are told apart by the bytes of their
    pictures, which are read for that; that the same picture stands in two sources under two image
    ids is not noticed.

    Args:
        rows: to split.
        parts: shares by name, such as {"train": 0.9, "validation": 0.1}; they sum to 1. A part
            gets its share of rows up to the size of one picture's group.
        seed: another one gives another split.

    Returns:
        The parts by name, each in the order of `rows`.

    Raises:
        DataError: the shares don't sum to 1, or a part would be empty.
        ImageError: a picture that has no image id can't be read.
    """
    if not parts or any(not share > 0 for share in parts.values()):
        raise DataError(f"parts={dict(parts)} must be shares above 0")
    if abs(sum(parts.values()) - 1) > 1e-6:
        raise DataError(f"parts={dict(parts)} must sum to 1, not {sum(parts.values()):g}")
    groups: dict[tuple[str, ...], list[int]] = {}
    for number, row in enumerate(rows):
        known = (row.source, row.image_id) if row.image_id else (_digest(row),)
        groups.setdefault(known, []).append(number)
    strata: dict[str, list[tuple[str, list[int]]]] = {}
    for key, members in groups.items():
        source = min(rows[number].source for number in members)
        order = hashlib.sha256(json.dumps([seed, *key]).encode()).hexdigest()
        strata.setdefault(source, []).append((order, members))
    chosen: dict[str, list[int]] = {part: [] for part in parts}
    for stratum in strata.values():
        total = sum(len(members) for _, members in stratum)
        done = 0
        for _, members in sorted(stratum):
            # The middle of the group decides, so that rounding favours no part.
            middle = (done + len(members) / 2) / total
            done += len(members)
            chosen[_part_at(middle, parts)] += members
    for part, numbers in chosen.items():
        if not numbers:
            raise DataError(
                f"part {part!r} would be empty: {len(groups)} pictures are too few for "
                f"shares of {dict(parts)}"
            )
    return {part: rows.select(sorted(numbers)) for part, numbers in chosen.items()}


def _look(image: ImageSource, check: str, *, size: bool) -> tuple[int, int] | None:
    """Check a picture, and return its upright size if asked to.

    Raises:
        BadRow: it is broken, as far as `check` looks.
    """
    if check == "none" and not size:
        return None
    try:
        opened = OpenedImage(image)
        if check == "decode":
            opened.full()
        return opened.size if size else None
    except ImageError as error:
        raise BadRow("broken image", str(error)) from error


def _digest(row: Row) -> str:
    try:
        image = row.picture()
    except BadRow as error:
        raise ImageError(f"the picture of row {row.id!r}: {error}") from error
    if isinstance(image, Image.Image):
        return hashlib.sha256(repr((image.size, image.mode)).encode() + image.tobytes()).hexdigest()
    return hashlib.sha256(read_bytes(image)).hexdigest()


def _part_at(share: float, parts: Mapping[str, float]) -> str:
    upto = 0.0
    for part, size in parts.items():
        upto += size
        if share < upto:
            return part
    return part
