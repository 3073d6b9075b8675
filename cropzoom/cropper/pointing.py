"""From cell and edge logits to boxes: what every cropper of kind `pointer` does at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cropzoom.geometry import Box, Crop

Floats = npt.NDArray[np.floating]
Doubles = npt.NDArray[np.float64]
Finish = Callable[[float, float, float, float], Box]
"""Makes the box of left, top, right and bottom, which may lie outside the image."""
_Sides: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class CellLogits:
    """What a model says of one question; lengths in a unit of the caller's.

    Attributes:
        cells: (rows, columns) logits.
        absent: logit of "nothing here answers"; -inf where a model has none.
        edges: (4, K, rows, columns) logits of the distances from a cell's centre to the left, top,
            right and bottom.
        xs, ys: (columns,) and (rows,): centres of the cells.
        reach: K distances, ascending.
    """

    cells: Floats
    absent: float
    edges: Floats
    xs: Floats
    ys: Floats
    reach: Sequence[float]

    def chances(self, temperature: float = 1.0) -> Doubles:
        """Softmax over all cells and "absent"; returns the cells' shares, (rows, columns)."""
        logits = self.cells.astype(np.float64) / temperature
        absent = self.absent / temperature
        top = max(float(logits.max()), absent)
        weights: Doubles = np.exp(logits - top)
        weights /= weights.sum() + np.exp(absent - top)
        return weights

    def inside(self, box: _Sides) -> npt.NDArray[np.bool_]:
        """Which cells' centres lie in a box, (rows, columns)."""
        x0, y0, x1, y1 = box
        return np.outer((self.ys >= y0) & (self.ys <= y1), (self.xs >= x0) & (self.xs <= x1))


def point(
    logits: CellLogits,
    finish: Finish,
    k: int,
    *,
    quantile: float,
    temperature: float,
    join: float | None = None,
) -> list[Crop]:
    """Turn a model's output into at most `k` boxes, best first.

    The best cell is found in two steps: the 3x3 neighbourhood with the most probability, then the
    likeliest cell in it; so one sharp stray cell does not win over a broad peak. Each edge lies at
    the `quantile` of its distance. The confidence is the probability, at `temperature`, of the
    cells whose centres are inside that box; what the model puts on "absent" is missing from it.
    For the next box, cells inside earlier ones count as empty.

    A box that points at a key may end before a value far away from it, to which the model points as
    well. So the best cell outside the box has a box, too, and the two become the one around both
    where the second holds at least `join` times the probability that the first one does, and
    reaches back to the first one's cell.

    Args:
        logits: the output.
        finish: makes the boxes.
        k: most boxes.
        quantile: of each edge's distribution, in (0, 1).
        temperature: > 0; divides the logits before the confidence is taken.
        join: > 0; None for never.
    """
    xs, ys, reach = logits.xs, logits.ys, logits.reach

    def box_at(row: int, column: int) -> _Sides:
        left, top, right, bottom = (
            reach[_at_quantile(logit, quantile)]
            for logit in logits.edges[:, :, row, column].astype(np.float64)
        )
        x, y = float(xs[column]), float(ys[row])
        return x - left, y - top, x + right, y + bottom

    chance, mass = logits.chances(), logits.chances(temperature)
    crops: list[Crop] = []
    for _ in range(k):
        row, column = peak(chance)
        if chance[row, column] <= 0:
            break
        box = box_at(row, column)
        held = logits.inside(box)
        rest = np.where(held, 0.0, chance)
        other = peak(rest)
        if join is not None and rest[other] > 0:
            second = box_at(*other)
            back = second[0] <= xs[column] <= second[2] and second[1] <= ys[row] <= second[3]
            if back and rest[logits.inside(second)].sum() >= join * chance[held].sum():
                low, high = np.minimum(box, second), np.maximum(box, second)
                box = float(low[0]), float(low[1]), float(high[2]), float(high[3])
                held = logits.inside(box)
        confidence = min(1.0, float(mass[held].sum()))
        chance[held] = mass[held] = 0.0
        crops.append(Crop(finish(*box), confidence))
    return crops


def peak(chance: Doubles) -> tuple[int, int]:
    """The likeliest cell of the 3x3 neighbourhood that holds the most."""
    rows, columns = chance.shape
    padded = np.pad(chance, 1)
    sums = sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    row, column = np.unravel_index(np.argmax(sums), chance.shape)
    top, left = max(0, row - 1), max(0, column - 1)
    near = chance[top : row + 2, left : column + 2]
    i, j = np.unravel_index(np.argmax(near), near.shape)
    return int(top + i), int(left + j)


def _at_quantile(logits: Doubles, quantile: float) -> int:
    """The first distance up to which lies at least `quantile` of the probability."""
    weights = np.exp(logits - logits.max())
    shares = np.cumsum(weights) / weights.sum()
    return min(int(np.searchsorted(shares, quantile)), len(shares) - 1)
