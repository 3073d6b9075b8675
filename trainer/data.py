"""Rows for training: loaded lazily from data sets, checked, and split by image.

Nothing is dropped in silence: a record that can't be a row is skipped, and counted with its id
and the reason (`Rows.skipped`).
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, overload

from PIL import Image

from cropzoom.errors import DataError, ImageError
from cropzoom.images import ImageSource, OpenedImage, read_bytes

from .columns import (
    BadRow,
    ColumnMap,
    Layout,
    Units,
    answers_of,
    box_of,
    name_of,
    question_of,
    records_of,
)
from .rows import VqaRow
from .sources import Pictures, open_source
from .writing import write_lines

_log = logging.getLogger("cropzoom.trainer")


@dataclass
class Skipped:
    """Records that could not be rows.

    Args:
        rows: (id, reason, detail) of each.
    """

    rows: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """How many by reason, the most frequent first."""
        return dict(Counter(reason for _, reason, _ in self.rows).most_common())

    def save(self, path: str | Path) -> None:
        """Write one JSON object a line: id, reason, detail."""
        write_lines(
            path, ({"id": row, "reason": why, "detail": what} for row, why, what in self.rows)
        )

    def __len__(self) -> int:
        return len(self.rows)

    def __str__(self) -> str:
        if not self.rows:
            return "none skipped"
        counts = ", ".join(f"{count} {reason}" for reason, count in self.counts.items())
        row, _, detail = self.rows[0]
        return f"{len(self.rows)} skipped ({counts}); the first is {row!r}: {detail}"


class Rows(Sequence[VqaRow]):
    """Rows of one data set or several (`+`). Pictures are fetched when a row is, and not decoded.

    Args:
        heads: the rows without their pictures (`image` is empty).
        places: for each row, the source and the record in it that has the picture.
        skipped: what the sources had besides.
    """

    def __init__(
        self, heads: list[VqaRow], places: list[tuple[Pictures, int]], skipped: Skipped
    ) -> None:
        self.heads, self._places, self.skipped = heads, places, skipped

    @classmethod
    def of(cls, rows: Sequence[VqaRow]) -> Rows:
        """Wrap rows that are at hand."""
        given = _Given([row.image for row in rows])
        heads = [replace(row, image=b"") for row in rows]
        return cls(heads, [(given, number) for number in range(len(rows))], Skipped())

    def __len__(self) -> int:
        return len(self.heads)

    @overload
    def __getitem__(self, key: int) -> VqaRow: ...
    @overload
    def __getitem__(self, key: slice) -> Rows: ...
    def __getitem__(self, key: int | slice) -> VqaRow | Rows:
        """Return a row, with its picture's bytes or path, or a part of the rows.

        Raises:
            ImageError: the picture's file is gone.
        """
        if isinstance(key, slice):
            return self.select(range(len(self))[key])
        pictures, number = self._places[key]
        try:
            return replace(self.heads[key], image=pictures.image(number))
        except BadRow as error:
            raise ImageError(f"the picture of row {self.heads[key].id!r}: {error}") from error

    def __add__(self, other: Rows) -> Rows:
        """Return the rows of both, for training on several data sets."""
        skipped = Skipped(self.skipped.rows + other.skipped.rows)
        return Rows(self.heads + other.heads, self._places + other._places, skipped)

    def select(self, numbers: Iterable[int]) -> Rows:
        """Return the rows of these numbers, in this order."""
        chosen = list(numbers)
        return Rows(
            [self.heads[number] for number in chosen],
            [self._places[number] for number in chosen],
            self.skipped,
        )


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
    check_images: Literal["none", "header", "decode"] = "header",
    limit: int | None = None,
    name: str | None = None,
) -> Rows:
    """Load questions about pictures.

    Args:
        source: one of

            - a preset's name: "textvqa", "docvqa", "infographicvqa" or "stvqa";
            - what `save_rows` or `cropzoom label` wrote: a folder with rows.jsonl;
            - a JSONL file, whose images are paths inside `image_folder`;
            - a parquet file, several, or a pattern such as "data/train-*.parquet";
            - a folder of `datasets.save_to_disk`, or any that `datasets.load_dataset` reads;
            - "owner/name" on the Hugging Face hub.
        preset: use this preset's files and columns with `source`, a local copy of its repository.
        split: as for `datasets`, such as "train" or "train[:1000]". Not for JSONL and parquet.
        config: of a hub data set that has several.
        columns: names of the columns, where they differ from the roles' (`ColumnMap`).
        image_folder: paths to images are relative to it, and may not leave it, not even through
            a symbolic link. The source's own folder by default.
        box_units: of the box column; pixels are those of the upright image.
        box_layout: "xyxy" two corners; "xywh" the upper left corner, width and height.
        boxes: "read" those that there are; "need" them, skipping rows without, which supervised
            learning can't use; "ignore" the box column, whatever is in it.
        check_images: "header" looks at each file's header, which finds files that are missing, no
            images, or too large; "decode" also finds truncated ones, at the price of decoding
            all; "none" only looks whether paths exist. Trainers stand a truncated one.
        limit: load at most so many rows.
        name: the rows' `source`, where no column gives it; the source's own name by default.

    Returns:
        At least one row. `Rows.skipped` tells what was left out and why; it is also logged.

    Raises:
        DataError: the source or a column is missing, or no record can be a row.
        MissingDependencyError: `datasets` is needed and not installed.
    """
    opened = open_source(
        source, preset=preset, split=split, config=config, columns=columns, folder=image_folder
    )
    skipped = Skipped()
    rows = Rows([], [], skipped)
    seen: set[str] = set()
    for number, record in opened.records():
        position = str(number)
        if limit is not None and len(rows) >= limit:
            break
        try:
            if isinstance(record, BadRow):
                raise record
            entries = list(records_of(record, opened.columns))
            picture = opened.image(number)
            size = _look(
                picture, check_images, size=box_units == "pixels" and "box" in opened.columns
            )
        except BadRow as bad:
            skipped.rows.append((position, bad.reason, bad.detail))
            continue
        for place, entry in enumerate(entries):
            row_id = position if len(entries) == 1 else f"{position}.{place}"
            if limit is not None and len(rows) >= limit:
                break
            try:
                row_id = name_of(entry.get("id")) or row_id
                head = VqaRow(
                    id=row_id,
                    image=b"",
                    question=question_of(entry["question"]),
                    answers=answers_of(entry["answers"]),
                    box=None
                    if boxes == "ignore"
                    else box_of(entry.get("box"), box_units, box_layout, size),
                    image_id=name_of(entry.get("image_id")),
                    source=name_of(entry.get("source")) or name or opened.name,
                )
                if boxes == "need" and head.box is None:
                    raise BadRow("no box", "null")
                if row_id in seen:
                    raise BadRow("id used before", repr(row_id))
            except BadRow as bad:
                skipped.rows.append((row_id, bad.reason, bad.detail))
                continue
            seen.add(row_id)
            rows.heads.append(head)
            rows._places.append((opened, number))
    if not rows.heads:
        raise DataError(
            f"{opened.name} has no row to use: {skipped}. "
            "Check the split, the columns (ROLE=NAME) and the image folder"
        )
    if skipped.rows:
        _log.warning("%s: %d rows, %s", opened.name, len(rows), skipped)
    return rows


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
    for number, head in enumerate(rows.heads):
        known = head.source, head.image_id
        groups.setdefault(known if head.image_id else (_digest(rows[number].image),), []).append(
            number
        )
    strata: dict[str, list[tuple[str, list[int]]]] = {}
    for key, members in groups.items():
        source = min(rows.heads[number].source for number in members)
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


class _Given:
    """Pictures at hand, as a source."""

    def __init__(self, images: list[ImageSource]) -> None:
        self._images = images

    def image(self, number: int) -> ImageSource:
        return self._images[number]


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


def _digest(image: ImageSource) -> str:
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
