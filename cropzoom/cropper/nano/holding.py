"""Boxes that hold the whole answer: how nano's logits become boxes since 0.5."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cropzoom.cropper.pointing import CellLogits, Doubles, Finish, peak
from cropzoom.geometry import Crop


def hold(
    logits: CellLogits,
    size: tuple[float, float],
    finish: Finish,
    k: int,
    *,
    price: float,
    temperature: float,
    centre: float = 0.0,
) -> list[Crop]:
    """Turn a model's output into at most `k` boxes that hold the whole answer, best first.

    Each cell tells, with its own probability, how far it is to the four edges of the answer if the
    answer is there. So the chance that a box holds the answer is a sum over cells, and so is the
    chance that the box's own centre lies in the answer. Looked at are the boxes that single cells
    suggest, small and ample ones, those round any two of them, and with a `centre` each of them
    grown so that its middle comes to where the best cell expects the answer's. The box is taken
    whose chance of holding, as a share of what all cells have, plus `centre` times that of the
    centre, less `price` times its share of the picture is highest. A label and a value far away
    from it, both pointed at, end up in one box where the row between them is cheap. The confidence
    is the chance of holding at `temperature`; what the model puts on "absent" is missing from it.

    Args:
        logits: the output.
        size: width and height of the picture, in the unit of `logits`.
        finish: makes the boxes.
        k: most boxes.
        price: > 0; chance that a box must win for each picture's worth of area.
        temperature: > 0; divides the logits before the confidence is taken.
        centre: >= 0; what it is worth that a box's middle lies in the answer, against holding it.
    """
    chance, mass = logits.chances(), logits.chances(temperature)
    whole, reach = float(chance.sum()), np.asarray(logits.reach, np.float64)
    crops: list[Crop] = []
    for _ in range(k):
        if chance.max() <= 1e-9 * whole:
            break
        best = _likeliest(chance)
        at_x, at_y = (own.astype(np.float64) for own in (logits.xs[best[1]], logits.ys[best[0]]))
        within = _cumulated(logits.edges[:, :, best[0], best[1]].astype(np.float64))
        boxes = _pairs(_suggestions(within[:, :, :_SUGGESTING], at_x, at_y, reach, price, size))
        if centre:
            middle = _middle(within[:, :, 0], float(at_x[0]), float(at_y[0]), reach)
            boxes = np.concatenate([boxes, *_centred(boxes, middle)])
        share = chance[best] / chance[best].sum()
        holds = _chances(boxes, within, at_x, at_y, reach)
        sides = np.clip(boxes, 0.0, [*size, *size])
        area = (sides[:, 2] - sides[:, 0]) * (sides[:, 3] - sides[:, 1]) / (size[0] * size[1])
        worth = holds @ share - price * area
        if centre:
            worth += centre * (_central(sides, within, at_x, at_y, reach) @ share)
        chosen = int(np.argmax(worth))
        x0, y0, x1, y1 = boxes[chosen].tolist()
        confidence = min(1.0, float(holds[chosen] @ mass[best]))
        crops.append(Crop(finish(x0, y0, x1, y1), confidence))
        held = logits.inside((x0, y0, x1, y1))
        chance[held] = mass[held] = 0.0
    return crops


_LOOKED_AT, _SUGGESTING = 24, 6
"""Cells whose answers a box may hold, and of those the ones that suggest boxes."""
_AMPLE = (1.0, 4.0, 16.0)
"""Suggestions are made at these times the price: from ample to tight."""


def _likeliest(chance: Doubles) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns of the likeliest cells; first the peak, as `peak` has it."""
    count = min(_LOOKED_AT, chance.size)
    order = np.argsort(-chance, axis=None, kind="stable")[:count]
    first = int(np.ravel_multi_index(peak(chance), chance.shape))
    order = np.concatenate([[first], order[order != first]])[:count]
    rows, columns = np.unravel_index(order, chance.shape)
    return rows, columns


def _cumulated(logits: Doubles) -> Doubles:
    """(4, K, M) logits -> chance that an edge is at most so far away."""
    weights = np.exp(logits - logits.max(1, keepdims=True))
    shares: Doubles = np.cumsum(weights / weights.sum(1, keepdims=True), 1)
    return shares


def _suggestions(
    within: Doubles,
    xs: Doubles,
    ys: Doubles,
    reach: Doubles,
    price: float,
    size: tuple[float, float],
) -> Doubles:
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

    low: Doubles
    high: Doubles
    extent: Doubles
    chance: Doubles


def _spans(low: Doubles, high: Doubles, reach: Doubles) -> _Spans:
    """The pairs that are worth looking at: none is both shorter and likelier than one of them."""
    extent = (reach[:, None] + reach).reshape(-1)
    chance = (low[:, None] * high).reshape(-1)
    order = np.lexsort((-chance, extent))
    best = np.maximum.accumulate(chance[order])
    kept = order[np.concatenate([[True], best[1:] > best[:-1]])]
    first, second = np.divmod(kept, len(reach))
    return _Spans(reach[first], reach[second], extent[kept], chance[kept])


def _pairs(boxes: Doubles) -> Doubles:
    """Boxes and the boxes round any two of them, (N, 4), each once."""
    first, second = np.triu_indices(len(boxes))
    low = np.minimum(boxes[first, :2], boxes[second, :2])
    high = np.maximum(boxes[first, 2:], boxes[second, 2:])
    return np.unique(np.concatenate([low, high], 1), axis=0)


def _chances(boxes: Doubles, within: Doubles, xs: Doubles, ys: Doubles, reach: Doubles) -> Doubles:
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
    holds: Doubles = np.where(step >= 0, share, 0.0).prod(0)
    return holds


def _middle(within: Doubles, x: float, y: float, reach: Doubles) -> tuple[float, float]:
    """Of the answer as a cell expects it: between the medians of its edges."""
    half = np.minimum((within < 0.5).sum(1), len(reach) - 1)
    left, top, right, bottom = reach[half]
    return x + float(right - left) / 2, y + float(bottom - top) / 2


def _centred(boxes: Doubles, middle: tuple[float, float]) -> tuple[Doubles, Doubles]:
    """The boxes grown until `middle` is theirs: up and down, and on all sides; (N, 4) each."""
    x, y = middle
    wide = np.maximum(x - boxes[:, 0], boxes[:, 2] - x)
    high = np.maximum(y - boxes[:, 1], boxes[:, 3] - y)
    upright = np.stack([boxes[:, 0], y - high, boxes[:, 2], y + high], 1)
    return upright, np.stack([x - wide, y - high, x + wide, y + high], 1)


def _central(boxes: Doubles, within: Doubles, xs: Doubles, ys: Doubles, reach: Doubles) -> Doubles:
    """Chance that each box's middle lies in the answer of each cell if it is there, (N, M)."""
    x, y = (boxes[:, 0:1] + boxes[:, 2:3]) / 2, (boxes[:, 1:2] + boxes[:, 3:4]) / 2
    short = np.stack([xs - x, ys - y, x - xs, y - ys])
    step = np.searchsorted(reach, short, side="left")
    shorter = np.concatenate([np.zeros_like(within[:, :1]), within], 1)
    side, cell = np.ogrid[:4, : len(xs)]
    central: Doubles = (1.0 - shorter[side[:, :, None], step, cell[None]]).prod(0)
    return central
