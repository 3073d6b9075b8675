"""What rewards that look at crops share: each box is cut once, and no-crop values are kept."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
from PIL import Image
from torch import Tensor

from cropzoom.data.row import Row
from cropzoom.errors import OptionsError, TrainingError
from cropzoom.geometry import Box
from cropzoom.images import cut_crop
from cropzoom.options import ZoomOptions

_PRODUCT = ZoomOptions()
# How far a float32 in [0, 1] may be off after a few operations.
_FLOAT32 = 2.0**-22


class Look(NamedTuple):
    """What a target model is shown of a row.

    Attributes:
        row: the question and its answers.
        image: the whole picture, upright RGB; one object for all looks at a row.
        box: of the crop; None: there is no crop.
    """

    row: Row
    image: Image.Image
    box: Box | None


class CropReward(ABC):
    """A reward that looks at pictures. Subclasses say what one look is worth.

    Boxes of a row that cover the same pixels are looked at once. Crops are cut as the product cuts
    them for a request.

    Args:
        gain: subtract what the row is worth without a crop; computed once a row and kept.
        margin: how much less than the worst alternative an invalid (NaN) box earns, > 0; only
            where rewards have no lower bound.
        min_crop_side: a crop whose longer side is shorter is enlarged to it; px, 0 for never.
        max_crop_side: a crop whose longer side is longer is shrunk to it; px.

    Raises:
        OptionsError: an option is out of range.

    Attributes:
        name: for logs and command lines.
        least: what the worst look is worth, and so an invalid box; None: there is no bound. Then
            an invalid box earns `margin` less than the least of no crop and the valid boxes of its
            group, as any constant would be more than some valid boxes earn.
    """

    name: str
    least: ClassVar[float | None] = 0.0

    def __init__(
        self,
        *,
        gain: bool = False,
        margin: float = 1.0,
        min_crop_side: int = _PRODUCT.min_crop_side,
        max_crop_side: int = _PRODUCT.max_crop_side,
    ) -> None:
        if not (margin > 0 and math.isfinite(margin)):
            raise OptionsError(f"margin={margin} must be a number above 0")
        if not 0 <= min_crop_side <= max_crop_side or max_crop_side < 1:
            raise OptionsError(
                f"min_crop_side={min_crop_side} and max_crop_side={max_crop_side} "
                "must be whole numbers with 0 <= min <= max and max >= 1"
            )
        self.gain = gain
        self.margin = margin
        self.min_crop_side = min_crop_side
        self.max_crop_side = max_crop_side
        self._without: dict[tuple[str, str, str, tuple[str, ...]], float] = {}

    @abstractmethod
    def worth(self, looks: Sequence[Look]) -> list[float]:
        """Tell what each look is worth; NaN where that could not be found out."""

    def crop(self, look: Look) -> Image.Image:
        """Cut the crop of a look that has one."""
        assert look.box is not None
        return cut_crop(
            look.image, look.box, min_side=self.min_crop_side, max_side=self.max_crop_side
        )

    def pictures(self, look: Look) -> tuple[Image.Image, ...]:
        """Return what the target is shown: the whole picture, and the crop if there is one."""
        return (look.image,) if look.box is None else (look.image, self.crop(look))

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        """Rows (B) and boxes (B, G, 4), fractions, NaN where invalid -> (B, G) float32, CPU.

        Raises:
            TrainingError: a box is out of order or outside the image, or a row has no answers.
            ImageError: a picture can't be read.
        """
        if boxes.dim() != 3 or len(boxes) != len(rows) or boxes.shape[2] != 4:
            raise TrainingError(
                f"boxes have shape {tuple(boxes.shape)}; needs (B, G, 4) with B = {len(rows)} rows"
            )
        looks: list[Look] = []
        places: list[list[int | None]] = []  # in `looks`, for each box of each row
        fresh: dict[int, int] = {}  # rows whose no-crop value is asked for -> place in `looks`
        for number, (row, group) in enumerate(zip(rows, boxes.tolist(), strict=True)):
            if not row.answers or not all(answer.strip() for answer in row.answers):
                raise TrainingError(
                    f"row {row.id!r} has no answer, or an empty one; drop it from the data"
                )
            image = row.load()
            known: dict[tuple[int, int, int, int], int] = {}
            placed: list[int | None] = []
            for corners in group:
                if not all(map(math.isfinite, corners)):
                    placed.append(None)
                    continue
                try:
                    box = _box(corners, *image.size)
                except ValueError as error:
                    raise TrainingError(f"row {row.id!r}: {error}") from error
                pixels = box.to_pixels(*image.size)
                if pixels not in known:
                    known[pixels] = len(looks)
                    looks.append(Look(row, image, box))
                placed.append(known[pixels])
            places.append(placed)
            needed = self.gain or (self.least is None and None in placed)
            if needed and _key(row) not in self._without:
                fresh[number] = len(looks)
                looks.append(Look(row, image, None))
        values = self.worth(looks) if looks else []
        # A value that could not be found out is asked for again the next time.
        for number, place in fresh.items():
            if math.isfinite(values[place]):
                self._without[_key(rows[number])] = values[place]
        result = torch.full(boxes.shape[:2], math.nan)
        for number, (row, placed) in enumerate(zip(rows, places, strict=True)):
            without = self._without.get(_key(row), math.nan)
            valid = [values[place] for place in placed if place is not None]
            lost = self._invalid(without, valid) if None in placed else math.nan
            earned = [lost if place is None else values[place] for place in placed]
            base = without if self.gain else 0.0
            result[number] = torch.tensor([value - base for value in earned])
        return result

    def _invalid(self, without: float, valid: Sequence[float]) -> float:
        if self.least is not None:
            return self.least
        known = [value for value in (without, *valid) if math.isfinite(value)]
        return min(known) - self.margin if known else math.nan


def _box(corners: Sequence[float], width: int, height: int) -> Box:
    """Make a box of float32 numbers.

    They miss whole pixels by more than `Box.to_pixels` lets pass, so that a box made of these would
    grow by one on its way through a tensor: those that are meant are put back.
    """
    exact = []
    for value, size in zip(corners, (width, height, width, height), strict=True):
        nearest = round(value * size)
        exact.append(nearest / size if abs(value * size - nearest) < _FLOAT32 * size else value)
    return Box(*exact)


def _key(row: Row) -> tuple[str, str, str, tuple[str, ...]]:
    # An id is unique in its dataset only.
    return row.source, row.id, row.question, row.answers
