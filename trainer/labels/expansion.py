"""The room that a label leaves around the answer (CropVLM, section on supervised learning)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from cropzoom.geometry import Box

# CropVLM: a teacher draws close around the answer, and a policy must learn to leave room. The
# smallest fifth of the boxes grows most.
PAPER_FACTORS = (45.0, 10.0, 4.0, 2.0, 1.0)


def enlarge(box: Box, factor: float) -> Box:
    """Grow a box to `factor` times its area, at most the whole image; none of that is lost.

    Both sides grow alike about the centre. A side that reaches the image's own stops there, and
    the other takes over; where the box would stick out it is shifted inside.

    Args:
        box: to grow.
        factor: on the area, 1 or more.

    Raises:
        ValueError: the factor is out of range.
    """
    if not 1 <= factor < math.inf:
        raise ValueError(f"factor={factor} must be 1 or more")
    area, side = min(1.0, box.area * factor), math.sqrt(factor)
    width, height = box.width * side, box.height * side
    if width > 1:
        width, height = 1.0, area
    elif height > 1:
        width, height = area, 1.0
    return box.expand(
        pad_x=max(0.0, width - box.width) / 2, pad_y=max(0.0, height - box.height) / 2
    )


def expand_by_quantile(boxes: Sequence[Box], factors: Sequence[float] = PAPER_FACTORS) -> list[Box]:
    """Enlarge boxes by a factor that depends on where their area stands among all.

    With five factors, the smallest fifth gets the first, the largest fifth the last. Equal areas
    get the same factor, that of the middle of their ranks.

    Args:
        boxes: of the whole data set.
        factors: on the area, each 1 or more.

    Returns:
        The enlarged boxes in the same order.
    """
    areas = np.array([box.area for box in boxes])
    order = np.sort(areas)
    below = np.searchsorted(order, areas, side="left")
    upto = np.searchsorted(order, areas, side="right")
    rank = (below + upto) / 2 / max(1, len(boxes))  # in (0, 1): middles of ranks
    steps = np.minimum((rank * len(factors)).astype(int), len(factors) - 1)
    return [enlarge(box, factors[step]) for box, step in zip(boxes, steps, strict=True)]
