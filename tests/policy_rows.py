"""Rows with noise for pictures, for tests of policies: of other sizes, so of other tile counts."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from cropzoom.data.row import Row


def noise_row(seed: int, width: int, height: int, question: str) -> Row:
    """A row whose picture is coloured noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Row(f"noise-{seed}", Image.fromarray(pixels), question, ("?",))


# In tiles of the tiny Idefics3: 2 x 2, 1 x 2 and 2 x 1.
ROWS = (
    noise_row(1, 60, 40, "What?"),
    noise_row(2, 90, 30, "Where is the total due?"),
    noise_row(3, 30, 64, "Which Invoice number"),
)


def uniform(rows: int, group: int, length: int, seed: int = 0) -> Tensor:
    """Uniform numbers (rows, group, length) float64."""
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(rows, group, length, dtype=torch.float64, generator=draw)
