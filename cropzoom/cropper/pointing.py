"""From cell and edge logits to boxes: what every cropper of kind `pointer` does at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cropzoom.geometry import Box, Crop

Floats = npt.NDArray[np.floating]
_Doubles = npt.NDArray[np.float64]
_Sides: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Pointing:
    """What a model says of one picture, and in which unit.

    Attributes:
        cells: (rows, columns) logits.
        absent: logit of "nothing here answers"; -inf where a model has none.
        edges: (4, K, rows, columns) logits of the distances from a cell's centre to the left, top,
            right and bottom.
        xs, ys: (columns,) and (rows,): centres of the cells, in a unit of the caller's.
        size: width and height of the picture, in that unit.
        reach: K distances, ascending, in that unit.
        temperature: > 0; divides the logits before the confidence is taken.
        finish: makes the box of left, top, right and bottom in that unit, which may lie outside
            the image.
    """

    cells: Floats
    absent: float
    edges: Floats
    xs: Floats
    ys: Floats
    size: tuple[float, float]
    reach: Sequence[float]
    temperature: float
    finish: Callable[[float, float, float, float], Box]

    def chances(self) -> tuple[_Doubles, _Doubles]:
        """Share of each cell, as the model gives it and as it is believed; both (rows, columns)."""
        logits, t = self.cells.astype(np.float64), self.temperature
        return _softmax_with(logits, self.absent), _softmax_with(logits / t, self.absent / t)

    def inside(self, box: _Sides) -> npt.NDArray[np.bool_]:
        """Cells whose centres a box has, (rows, columns)."""
        x0, y0, x1, y1 = box
        across, down = (self.xs >= x0) & (self.xs <= x1), (self.ys >= y0) & (self.ys <= y1)
        return np.outer(down, across)


def point(model: Pointing, k: int, quantile: float, join: float | None = None) -> list[Crop]:
    """Turn a model's output into at most `k` boxes, best first.

    The best cell is found in two steps: the 3x3 neighbourhood with the most probability, then the
    likeliest cell in it; so one sharp stray cell does not win over a broad peak. Each edge lies at
    the `quantile` of its distance. The confidence is the probability, at the temperature, of the
    cells whose centres are inside that box; what the model puts on "absent" is missing from it.
    For the next box, cells inside earlier ones count as empty.

    A box that points at a key may end before a value far away from it, to which the model points as
    well. So the best cell outside the box has a box, too, and the two become the one around both
    where the second holds at least `join` times the probability that the first one does, and
    reaches back to the first one's cell.

    Args:
        model: what it says.
        k: most boxes.
        quantile: of each edge's distribution, in (0, 1).
        join: > 0; None for never.
    """
    xs, ys = model.xs, model.ys

    def box_at(row: int, column: int) -> _Sides:
        left, top, right, bottom = (
            model.reach[_at_quantile(logit, quantile)]
            for logit in model.edges[:, :, row, column].astype(np.float64)
        )
        x, y = float(xs[column]), float(ys[row])
        return x - left, y - top, x + right, y + bottom

    chance, mass = model.chances()
    crops: list[Crop] = []
    for _ in range(k):
        row, column = _peak(chance)
        if chance[row, column] <= 0:
            break
        box = box_at(row, column)
        held = model.inside(box)
        rest = np.where(held, 0.0, chance)
        other = _peak(rest)
        if join is not None and rest[other] > 0:
            second = box_at(*other)
            back = second[0] <= xs[column] <= second[2] and second[1] <= ys[row] <= second[3]
            if back and rest[model.inside(second)].sum() >= join * chance[held].sum():
                low, high = np.minimum(box, second), np.maximum(box, second)
                box = float(low[0]), float(low[1]), float(high[2]), float(high[3])
                held = model.inside(box)
        confidence = min(1.0, float(mass[held].sum()))
        chance[held] = mass[held] = 0.0
        crops.append(Crop(model.finish(*box), confidence))
    return crops


def hold(model: Pointing, k: int, price: float) -> list[Crop]:
    """Turn a model's output into at most `k` boxes that hold the whole answer, best first.

    Each cell tells, with its own probability, how far it is to the four edges of the answer if the
    answer is there. So the chance that a box holds the answer is a sum over cells; of the boxes
    that single cells suggest, small and ample ones, and of those round any two of them, the one is
    taken whose chance, as a share of what all cells have, less `price` times its share of the
    picture is highest. A label and a value far away from it, both pointed at, end up in one box
    where the row between them is cheap. The confidence is that chance at the temperature; what the
    model puts on "absent" is missing from it.

    Args:
        model: what it says.
        k: most boxes.
        price: > 0; chance that a box must win for each picture's worth of area.
    """
    chance, mass = model.chances()
    size, whole, apart = model.size, float(chance.sum()), np.asarray(model.reach, np.float64)
    crops: list[Crop] = []
    for _ in range(k):
        if chance.max() <= 1e-9 * whole:
            break
        best = _likeliest(chance)
        at_x, at_y = (
            centres[at].astype(np.float64)
            for centres, at in ((model.xs, best[1]), (model.ys, best[0]))
        )
        within = _cumulated(model.edges[:, :, best[0], best[1]].astype(np.float64))
        boxes = _pairs(_suggestions(within[:, :, :_SUGGESTING], at_x, at_y, apart, price, size))
        holds = _chances(boxes, within, at_x, at_y, apart)
        likely = chance[best]
        sides = np.clip(boxes, 0.0, [*size, *size])
        area = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1]) / (size[0] * size[1])
        chosen = int(np.argmax(holds @ likely / likely.sum() - price * area))
        x0, y0, x1, y1 = boxes[chosen].tolist()
        confidence = min(1.0, float(holds[chosen] @ mass[best]))
        crops.append(Crop(model.finish(x0, y0, x1, y1), confidence))
        held = model.inside((x0, y0, x1, y1))
        chance[held] = mass[held] = 0.0
    return crops


_LOOKED_AT, _SUGGESTING = 24, 6
"""Cells whose answers a box may hold, and of those the ones that suggest boxes."""
_AMPLE = (1.0, 4.0, 16.0)
"""Suggestions are made at these times the price: from ample to tight."""


def _likeliest(chance: _Doubles) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the likeliest cells; first the peak, as `_peak` has it."""
    count = min(_LOOKED_AT, chance.size)
    order = np.argsort(-chance, axis=None, kind="stable")[:count]
    peak = int(np.ravel_multi_index(_peak(chance), chance.shape))
    order = np.concatenate([[peak], order[order != peak]])[:count]
    rows, columns = np.unravel_index(order, chance.shape)
    return rows, columns


def _cumulated(logits: _Doubles) -> _Doubles:
    """(4, K, M) logits -> chance that an edge is at most so far away."""
    weights = np.exp(logits - logits.max(1, keepdims=True))
    shares: _Doubles = np.cumsum(weights / weights.sum(1, keepdims=True), 1)
    return shares


def _suggestions(
    within: _Doubles,
    xs: _Doubles,
    ys: _Doubles,
    reach: _Doubles,
    price: float,
    size: tuple[float, float],
) -> _Doubles:
    """For each cell the boxes that are best at several prices if the answer is there, (N, 4)."""
    boxes = []
    for cell in range(within.shape[2]):
        left, top, right, bottom = within[:, :, cell]
        across, down = _spans(left, right, reach), _spans(top, bottom, reach)
        wide = np.minimum(across.extent, size[0]) / size[0]
        area = wide[:, None] * np.minimum(down.extent, size[1]) / size[1]
        holds = across.chance[:, None] * down.chance
        for factor in _AMPLE:
            i, j = np.unravel_index(np.argmax(holds - factor * price * area), holds.shape)
            x, y = xs[cell], ys[cell]
            boxes.append((x - across.low[i], y - down.low[j], x + across.high[i], y + down.high[j]))
    return np.unique(np.array(boxes), axis=0)


class _Spans(NamedTuple):
    """Pairs of distances, to the left and to the right or up and down, and their chance."""

    low: _Doubles
    high: _Doubles
    extent: _Doubles
    chance: _Doubles


def _spans(low: _Doubles, high: _Doubles, reach: _Doubles) -> _Spans:
    """The pairs that are worth looking at: none is both shorter and likelier than one of them."""
    extent = (reach[:, None] + reach).reshape(-1)
    chance = (low[:, None] * high).reshape(-1)
    order = np.lexsort((-chance, extent))
    best = np.maximum.accumulate(chance[order])
    kept = order[np.concatenate([[True], best[1:] > best[:-1]])]
    first, second = np.divmod(kept, len(reach))
    return _Spans(reach[first], reach[second], extent[kept], chance[kept])


def _pairs(boxes: _Doubles) -> _Doubles:
    """Boxes and the boxes round any two of them, (N, 4), each once."""
    first, second = np.triu_indices(len(boxes))
    low = np.minimum(boxes[first, :2], boxes[second, :2])
    high = np.maximum(boxes[first, 2:], boxes[second, 2:])
    return np.unique(np.concatenate([low, high], 1), axis=0)


def _chances(
    boxes: _Doubles, within: _Doubles, xs: _Doubles, ys: _Doubles, reach: _Doubles
) -> _Doubles:
    """Chance that each box holds the answer of each cell if it is there, (N, M)."""
    distance = np.stack(
        [
            xs - boxes[:, 0:1],
            ys - boxes[:, 1:2],
            boxes[:, 2:3] - xs,
            boxes[:, 3:4] - ys,
        ]
    )
    step = np.searchsorted(reach, distance + 1e-6, side="right") - 1
    side, cell = np.ogrid[:4, : len(xs)]
    share = within[side[:, :, None], np.maximum(step, 0), cell[None]]
    holds: _Doubles = np.where(step >= 0, share, 0.0).prod(0)
    return holds


def _softmax_with(logits: _Doubles, absent: float) -> _Doubles:
    """Softmax over all cells and "absent"; returns the cells' shares."""
    top = max(float(logits.max()), absent)
    weights: _Doubles = np.exp(logits - top)
    weights /= weights.sum() + np.exp(absent - top)
    return weights


def _peak(chance: _Doubles) -> tuple[int, int]:
    """The likeliest cell of the 3x3 neighbourhood that holds the most."""
    rows, columns = chance.shape
    padded = np.pad(chance, 1)
    sums = sum(padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3))
    row, column = np.unravel_index(np.argmax(sums), chance.shape)
    top, left = max(0, row - 1), max(0, column - 1)
    near = chance[top : row + 2, left : column + 2]
    i, j = np.unravel_index(np.argmax(near), near.shape)
    return int(top + i), int(left + j)


def _at_quantile(logits: _Doubles, quantile: float) -> int:
    """The first distance up to which lies at least `quantile` of the probability."""
    weights = np.exp(logits - logits.max())
    shares = np.cumsum(weights) / weights.sum()
    return min(int(np.searchsorted(shares, quantile)), len(shares) - 1)
