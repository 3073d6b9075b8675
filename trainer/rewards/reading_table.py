"""What an OCR engine reads on a page at several sizes, kept in a file: crops are looked up in it.

Reading a crop takes a second, and GRPO looks at thousands. A crop that is shown at `side` px shows
its text as large as the page would at some size of its own; so its text is that of the page's lines
at the nearest size that was read, whose middle lies between the crop's upper and lower edge, and of
these the characters that lie between its sides, all taken to be equally wide.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from cropzoom.errors import OptionsError, TrainingError
from cropzoom.geometry import Box
from cropzoom.reading.ocr import Line, OcrReader
from cropzoom.reading.standin import Page


class ReadingTable:
    """Lines of pages at a ladder of sizes; what is missing is read, and added to the file.

    Args:
        side: px of the longest side at which the target sees any picture, at least 16.
        path: JSON lines, one for each page and size; None: nothing is kept beyond this object.
            Several processes may add to one file.
        steps: sizes, from `side` on; at least 1.
        ratio: of each size to the one before, above 1.
        reader: finds and reads lines; None: one is made.

    Raises:
        OptionsError: an argument is out of range.
        TrainingError: the file is no table of lines.
    """

    def __init__(
        self,
        side: int,
        path: str | Path | None = None,
        *,
        steps: int = 5,
        ratio: float = 1.3,
        reader: OcrReader | None = None,
    ) -> None:
        if side < 16 or steps < 1 or not ratio > 1:
            raise OptionsError(
                f"a table of readings can't have side={side}, steps={steps}, ratio={ratio}; needs "
                "side >= 16, steps >= 1, ratio > 1"
            )
        self.side = side
        self.sides = tuple(round(side * ratio**step) for step in range(steps))
        self._path = None if path is None else Path(path)
        self._reader = reader or OcrReader()
        self._lines: dict[tuple[str, int], tuple[Line, ...]] = {}
        if self._path is not None and self._path.exists():
            self._load(self._path)

    def read(self, image: Image.Image, box: Box | None = None) -> Page:
        """Return what is read on a page (upright), or in a crop of it, shown at `side` px.

        Boxes of lines are fractions of the page, or of the crop.
        """
        if box is None:
            return Page(*_fitted(image, self.side), self._at(image, self.side))
        share = max(box.width * image.width, box.height * image.height) / max(image.size)
        size = min(self.sides, key=lambda one: abs(math.log(one * share / self.side)))
        lines = [
            Line(text, _within(line.box, box), line.confidence)
            for line in self._at(image, size)
            if box.y0 <= line.box.centre[1] <= box.y1 and (text := _shown(line, box))
        ]
        zoom = self.side / share / max(image.size)
        width, height = (
            max(1, round(length * part * zoom))
            for length, part in zip(image.size, (box.width, box.height), strict=True)
        )
        return Page(width, height, tuple(lines))

    def fill(self, image: Image.Image) -> None:
        """Read a page at every size."""
        for size in self.sides:
            self._at(image, size)

    def _at(self, image: Image.Image, size: int) -> tuple[Line, ...]:
        rgb = image.convert("RGB")
        name = hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()[:24]
        if (name, size) not in self._lines:
            seen = rgb.resize(_fitted(rgb, size), Image.Resampling.LANCZOS)
            lines = tuple(self._reader.read(seen))
            self._lines[name, size] = lines
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                # One write: those of several processes don't mix.
                with self._path.open("ab", buffering=0) as file:
                    file.write(_entry(name, size, lines).encode())
        return self._lines[name, size]

    def _load(self, path: Path) -> None:
        for number, text in enumerate(path.read_text("utf-8").splitlines(), 1):
            try:
                entry = json.loads(text)
                lines = tuple(
                    Line(words, Box(*corners), confidence)
                    for words, corners, confidence in entry["lines"]
                )
                self._lines[entry["page"], entry["side"]] = lines
            except (ValueError, TypeError, KeyError) as error:
                raise TrainingError(
                    f"{path}:{number} is no line of a table of readings ({error}); delete it, or "
                    "choose another file"
                ) from error


def _entry(name: str, size: int, lines: Sequence[Line]) -> str:
    rows = [
        [line.text, [round(value, 6) for value in _corners(line.box)], round(line.confidence, 4)]
        for line in lines
    ]
    return json.dumps({"page": name, "side": size, "lines": rows}, ensure_ascii=False) + "\n"


def _corners(box: Box) -> tuple[float, float, float, float]:
    return box.x0, box.y0, box.x1, box.y1


def _fitted(image: Image.Image, side: int) -> tuple[int, int]:
    zoom = side / max(image.size)
    return max(1, round(image.width * zoom)), max(1, round(image.height * zoom))


def _shown(line: Line, crop: Box) -> str:
    """The characters whose middles lie between the crop's sides."""
    step = line.box.width / max(1, len(line.text))
    middles = (line.box.x0 + (number + 0.5) * step for number in range(len(line.text)))
    kept = (c for c, x in zip(line.text, middles, strict=True) if crop.x0 <= x <= crop.x1)
    return "".join(kept).strip()


def _within(line: Box, crop: Box) -> Box:
    """A line's box in fractions of the crop, as far as it lies in it."""
    xs = [min(1.0, max(0.0, (x - crop.x0) / crop.width)) for x in (line.x0, line.x1)]
    ys = [min(1.0, max(0.0, (y - crop.y0) / crop.height)) for y in (line.y0, line.y1)]
    return Box.ordered(xs[0], ys[0], xs[1], ys[1], min_side=1e-4)
