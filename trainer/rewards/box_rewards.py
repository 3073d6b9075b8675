"""Rewards of boxes alone, and sums of rewards."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from cropzoom.data.row import Row
from cropzoom.errors import OptionsError

from .reward import Reward


class ValidBox:
    """1 for a box, 0 where the action made none (NaN)."""

    name = "valid"

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        """Boxes (B, G, 4) -> (B, G) float32."""
        return boxes.isfinite().all(-1).float().cpu()


class AreaPenalty:
    """Minus the share of the image that a box covers beyond `free`; no box counts as all of it.

    Args:
        free: share of the image that costs nothing, in [0, 1).
        weight: of the excess, >= 0.

    Raises:
        OptionsError: an option is out of range.
    """

    name = "area"

    def __init__(self, *, free: float = 0.0, weight: float = 1.0) -> None:
        if not (0 <= free < 1 and weight >= 0):
            raise OptionsError(f"free={free} must be in [0, 1) and weight={weight} at least 0")
        self.free = free
        self.weight = weight

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        """Boxes (B, G, 4) -> (B, G) float32, from -weight (1 - free) to 0."""
        area = ((boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])).float()
        # Free of charge, an invalid box would earn more than a valid one.
        area = torch.where(boxes.isfinite().all(-1), area, 1.0)
        return (-self.weight * (area - self.free).clamp_min(0)).cpu()


class WeightedSum:
    """The sum of rewards, each times its weight.

    Args:
        terms: (weight, reward); at least one. NaN in any of them makes the sum NaN.

    Attributes:
        parts: of the last call, each reward by its name, unweighted, (B, G).

    Raises:
        OptionsError: there are no terms, or two have the same name.
    """

    def __init__(self, terms: Sequence[tuple[float, Reward]]) -> None:
        names = [reward.name for _, reward in terms]
        if not terms or len(set(names)) < len(names):
            raise OptionsError(f"a sum needs rewards with different names, not {names}")
        self.terms = tuple(terms)
        self.parts: dict[str, Tensor] = {}
        # +0.1 and -0.5 bring their own sign.
        self.name = "".join(f"{weight:+g}*{reward.name}" for weight, reward in terms)

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        """Rows (B) and boxes (B, G, 4) -> (B, G) float32."""
        parts = {reward.name: reward(rows, boxes) for _, reward in self.terms}
        total = torch.zeros(boxes.shape[:2])
        for weight, reward in self.terms:
            total = total + weight * parts[reward.name]
        self.parts = parts
        return total
