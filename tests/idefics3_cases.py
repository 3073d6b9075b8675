"""Images, settings and prompts on which our Idefics3 preprocessing is held against the real one."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

TEMPLATE = (
    "<|im_start|>User:<image>{}\nOutline the region in the image that would help answer this "
    "question.<end_of_utterance>\nAssistant:"
)
PROMPTS = ["What is the total?", "", " 12 Zürich\n\n[3, 4].", "日本語 🙂"]
_USUAL: dict[str, Any] = {
    "longest_edge": 64,
    "tile": 16,
    "split": True,
    "resample": 1,
    "rescale": 1 / 255,
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "image_tokens": 4,
}
_OTHER = {"mean": (0.48, 0.46, 0.41), "std": (0.27, 0.26, 0.28), "resample": 3}
CASES: list[dict[str, Any]] = [
    {"size": (1, 1), "settings": _USUAL},
    {"size": (37, 90), "settings": _USUAL},
    {"size": (700, 3), "settings": _USUAL},
    {"size": (50, 31), "settings": _USUAL | _OTHER | {"longest_edge": 32}},
    {"size": (50, 31), "settings": _USUAL | _OTHER | {"longest_edge": 16}},
    {"size": (80, 60), "settings": _USUAL | {"split": False}},
]


def picture(width: int, height: int) -> Image.Image:
    """A slope in red, another in green, a chequerboard in blue."""
    y, x = np.mgrid[:height, :width]
    red = x * 255 // max(1, width - 1)
    green = y * 255 // max(1, height - 1)
    blue = (x // 5 + y // 5) % 2 * 200
    return Image.fromarray(np.stack([red, green, blue], -1).astype(np.uint8))
