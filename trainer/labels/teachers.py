"""Teachers: they know the answer, and say where to look for it.

`GridTeacher` tries all boxes of a grid with a reward, `OcrTeacher` finds the answer's text; a
vision-language model that draws boxes is in `vlm_teacher.py`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from PIL import Image

from cropzoom.data.row import Row
from cropzoom.errors import DataError
from cropzoom.geometry import Box
from cropzoom.reading.answers import find_answer, normalise
from cropzoom.reading.ocr import Line

from ..rewards.reward import Reward

# Answers in running text seldom go on over more lines.
_MOST_LINES = 4
# A word of the question counts half in a line beside the answer's.
_BESIDE = 0.5


class NoBox(Exception):
    """A teacher has no box for a row: the row is dropped and counted.

    Args:
        reason: one of a few, to be counted.
        detail: what happened.
        suspicious: many in a row mean that the teacher doesn't work.
        again: nothing was said about the row; it is worth another try.
    """

    def __init__(
        self, reason: str, detail: str, *, suspicious: bool = False, again: bool = False
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail, self.suspicious, self.again = reason, detail, suspicious, again


class Teacher(Protocol):
    """Proposes boxes.

    Attributes:
        name: "vlm", "grid" or "ocr".
        workers: threads that may ask at the same time.
        arguments: what its boxes depend on, ready for JSON.
    """

    name: str
    workers: int
    arguments: dict[str, Any]

    def propose(self, row: Row, image: Image.Image) -> Box:
        """Return where to look for the answer.

        Args:
            row: with its answers.
            image: its picture, upright RGB.

        Raises:
            NoBox: it doesn't know.
            LabelError: it can't know any: labelling must stop.
        """


def answers_by_votes(row: Row) -> list[str]:
    """Return the distinct answers, those that most people gave first, longer ones before shorter.

    Answers that `normalise` makes the same count as one, in the form that came first.
    """
    votes = Counter(normalise(answer) for answer in row.answers)
    forms = {normalise(answer): answer for answer in reversed(row.answers)}
    order = sorted(votes, key=lambda answer: (-votes[answer], -len(answer), answer))
    return [forms[answer] for answer in order if answer]


class GridTeacher:
    """Exhaustive search with a reward (CropVLM, Appendix E): the best box of a grid.

    The edges of the boxes are the lines of a grid, so `cells` of 5 give 225 boxes. Equal rewards
    are decided for the smaller box, then for the upper and the left one. A row whose boxes are all
    worth the same has no label: any choice would be noise.

    Args:
        reward: what a box is worth.
        cells: along each side of the image, 2 to 20.
        max_area: boxes that cover more of the image are not tried, in (0, 1].
        batch: boxes per call of the reward.
        tolerance: rewards that differ by no more count as equal; for noise of floating point.

    Raises:
        DataError: an argument is out of range.
    """

    name = "grid"
    workers = 1

    def __init__(
        self,
        reward: Reward,
        *,
        cells: int = 5,
        max_area: float = 1.0,
        batch: int = 64,
        tolerance: float = 1e-5,
    ) -> None:
        if not (2 <= cells <= 20 and 1 / cells**2 <= max_area <= 1 and batch >= 1):
            raise DataError(
                f"cells={cells} must be 2 to 20, max_area={max_area} at least one cell and at "
                f"most 1, batch={batch} at least 1"
            )
        self._reward, self._batch, self._tolerance = reward, batch, tolerance
        self.boxes = grid_boxes(cells, max_area)
        self.arguments = {"reward": reward.name, "cells": cells, "max_area": max_area}

    def propose(self, row: Row, image: Image.Image) -> Box:
        """Return the box with the highest reward."""
        decoded = replace(row, image=image)
        boxes = torch.tensor([[box.x0, box.y0, box.x1, box.y1] for box in self.boxes])
        parts = [self._reward([decoded], part[None])[0] for part in torch.split(boxes, self._batch)]
        worth = torch.cat(parts).double()
        finite = worth.isfinite()
        if not finite.any():
            raise NoBox("reward not finite", f"for each of {len(worth)} boxes")
        worth[~finite] = -torch.inf
        best = worth.max()
        if best - worth[finite].min() <= self._tolerance:
            raise NoBox("all boxes equal", f"each of {len(worth)} is worth {best:.4g}")
        # The boxes are in order of size: the first of the best is the smallest.
        return self.boxes[int((worth >= best - self._tolerance).nonzero()[0])]


def grid_boxes(cells: int, max_area: float = 1.0) -> list[Box]:
    """Return all boxes between the lines of a grid, the smallest first, then from top left."""
    spans = [(low, high) for low in range(cells) for high in range(low + 1, cells + 1)]
    corners = [
        ((x1 - x0) * (y1 - y0), y0, x0, y1, x1)
        for x0, x1 in spans
        for y0, y1 in spans
        if (x1 - x0) * (y1 - y0) <= max_area * cells**2 + 1e-9
    ]
    return [
        Box(x0 / cells, y0 / cells, x1 / cells, y1 / cells) for _, y0, x0, y1, x1 in sorted(corners)
    ]


class Reader(Protocol):
    """Reads the lines of a picture, as `cropzoom.reading.ocr.OcrReader` does."""

    def read(self, image: Image.Image) -> list[Line]:
        """Return the lines with their boxes."""


@dataclass(frozen=True)
class _Place:
    """Where an answer stands: its box, and the lines that it is in."""

    box: Box
    lines: tuple[Line, ...]
    exact: bool


class OcrTeacher:
    """Finds the answer by reading the picture (OCR): for text-rich data, without any model.

    An answer is looked for as a line of its own and inside a line (then the box is the part of the
    line in proportion to its characters); failing both, over several adjacent lines. Answers that
    more people gave are tried first. Among several places, the one wins whose line, or the lines
    beside it, have more words of the question, rare words of the page counting more; then lines
    that hold nothing but the answer. It knows nothing of meaning: answers that are not on the page
    in the same words (yes, no, counts, sums) are failures, or now and then a false place.

    Args:
        reader: what reads.
    """

    name = "ocr"
    workers = 1

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.arguments: dict[str, Any] = {}
        # Questions about one picture come one after another.
        self._last: tuple[str, list[Line]] = ("", [])

    def propose(self, row: Row, image: Image.Image) -> Box:
        """Return the box of the answer's text."""
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).hexdigest()
        if self._last[0] != digest:
            self._last = digest, self._reader.read(image)
        lines = self._last[1]
        if not lines:
            raise NoBox("no text found", "the picture has no readable text")
        for answer in answers_by_votes(row):
            places = _within_lines(answer, lines, image.size) or _over_lines(
                answer, lines, image.height / image.width
            )
            if places:
                scores = _question_scores(row.question, answer, places, lines)
                best = max(range(len(places)), key=lambda n: (scores[n], places[n].exact, -n))
                return places[best].box
        raise NoBox("answer not found", f"{row.answers[0][:60]!r} is in none of {len(lines)} lines")


def _within_lines(answer: str, lines: Sequence[Line], size: tuple[int, int]) -> list[_Place]:
    places = []
    for line in lines:
        exact = normalise(line.text) == normalise(answer)
        place = (0.0, 1.0) if exact else find_answer(answer, line.text)
        if place is None:
            continue
        box = line.box
        # Text that runs upwards has no part from left to right.
        if not exact and box.height * size[1] <= 1.5 * box.width * size[0]:
            start, end = place
            left = box.x0 + box.width * start
            box = Box.ordered(left, box.y0, box.x0 + box.width * end, box.y1, min_side=1e-4)
        places.append(_Place(box, (line,), exact))
    return places


def _over_lines(answer: str, lines: Sequence[Line], aspect: float) -> list[_Place]:
    """Find an answer that begins in one line and ends in a later one."""
    places = []
    for run in _runs(answer, lines, aspect):
        texts = [line.text for line in run]
        if find_answer(answer, " ".join(texts)) is None:
            continue
        box = Box(
            min(line.box.x0 for line in run),
            min(line.box.y0 for line in run),
            max(line.box.x1 for line in run),
            max(line.box.y1 for line in run),
        )
        places.append(_Place(box, run, exact=False))
    return places


def _runs(answer: str, lines: Sequence[Line], aspect: float) -> Iterator[tuple[Line, ...]]:
    """Yield runs of 2 to 4 lines, each to the right of the one before, or below it.

    The letters of the answer end the first, fill those between, and begin the last.
    """
    letters = _letters(answer)
    texts = {id(line): _letters(line.text) for line in lines}
    # A run so far, and the letters that are still to come.
    runs: list[tuple[tuple[Line, ...], str]] = [
        ((line,), letters[end:])
        for line in lines
        for end in range(1, len(letters))
        if texts[id(line)].endswith(letters[:end])
    ]
    while runs:
        run, rest = runs.pop()
        for line in lines if len(run) < _MOST_LINES else ():
            text = texts[id(line)]
            if text and _follows(run[-1].box, line.box, aspect):
                if text.startswith(rest):
                    yield (*run, line)
                elif rest.startswith(text):
                    runs.append(((*run, line), rest[len(text) :]))


def _letters(text: str) -> str:
    """Return letters and digits alone: readers and people differ in the signs at a line's end."""
    return "".join(filter(str.isalnum, normalise(text)))


def _follows(one: Box, two: Box, aspect: float) -> bool:
    """Tell whether text may go on from one line's box in another's."""
    height = min(one.height, two.height)
    if _same_row(one, two):
        letter = height * aspect  # in fractions of the image's width
        return one.x1 - letter / 2 <= two.x0 <= one.x1 + 3 * letter
    below = one.centre[1] < two.y0 + height / 2 and two.y0 - one.y1 <= height
    return below and two.y0 > one.y0 and min(one.x1, two.x1) > max(one.x0, two.x0)


def _same_row(one: Box, two: Box) -> bool:
    overlap = min(one.y1, two.y1) - max(one.y0, two.y0)
    return overlap > min(one.height, two.height) / 2


def _beside(one: Box, two: Box) -> bool:
    """Tell whether a line stands in the row of another, or right above or below it."""
    if _same_row(one, two):
        return True
    gap = max(one.y0, two.y0) - min(one.y1, two.y1)
    across = min(one.x1, two.x1) > max(one.x0, two.x0)
    return across and gap <= 1.5 * min(one.height, two.height)


def _question_scores(
    question: str, answer: str, places: Sequence[_Place], lines: Sequence[Line]
) -> list[float]:
    """Weigh each place by the words of the question in its lines and, by half, beside them."""
    # Without spaces, as readers drop them; so words are looked for as parts.
    texts = {id(line): normalise(line.text) for line in lines}
    words = {normalise(word) for word in question.split()} - {normalise(answer)}
    rarity = {}
    for word in words:
        pages = sum(word in text for text in texts.values())
        if len(word) > 2 and pages:
            rarity[word] = 1 / pages
    scores = []
    for place in places:
        inside = {id(line) for line in place.lines}
        near = [line for line in lines if any(_beside(line.box, own.box) for own in place.lines)]
        score = 0.0
        for word, weight in rarity.items():
            if any(word in texts[line] for line in inside):
                score += weight
            elif any(word in texts[id(line)] for line in near):
                score += weight * _BESIDE
        scores.append(score)
    return scores
