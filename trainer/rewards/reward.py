"""What a reward is to the trainers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from cropzoom.data.row import Row


class Reward(Protocol):
    """What crops are worth. Called without gradients; never part of the policy.

    A box may be NaN: the action made none. Equal boxes of one row must be worth the same, and
    should be computed once.
    """

    name: str

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        """Rows (B) and boxes (B, G, 4), fractions -> (B, G) float32, on the CPU."""
        ...
