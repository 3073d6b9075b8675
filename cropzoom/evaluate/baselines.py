"""What a cropper has to be compared with: the right box, and boxes placed without looking."""

from __future__ import annotations

import random
from collections.abc import Callable

from PIL import Image

from cropzoom.geometry import Box, Crop


class FixedCropper:
    """A cropper that looks its boxes up instead of at the picture. For measurements and tests.

    Args:
        box_for: gives the box for a question.
    """

    def __init__(self, box_for: Callable[[str], Box]) -> None:
        self._box_for = box_for

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return the one box for the question, with full confidence."""
        return [Crop(self._box_for(question), 1.0)]


def oracle_box(region: Box, width: int, height: int) -> Box:
    """Return what a perfect cropper would show: key and value, with the context nano adds.

    Args:
        region: around key and value.
        width, height: of the picture, px.
    """
    return region.expand(1.25, pad_x=16 / width, pad_y=16 / height)


def centre_box(like: Box) -> Box:
    """Return a box of the same size in the middle of the picture."""
    x0, y0 = (1 - like.width) / 2, (1 - like.height) / 2
    return Box(x0, y0, x0 + like.width, y0 + like.height)


def random_box(like: Box, generator: random.Random) -> Box:
    """Return a box of the same size anywhere in the picture, all places equally likely."""
    x0 = generator.uniform(0, 1 - like.width)
    y0 = generator.uniform(0, 1 - like.height)
    return Box(x0, y0, min(1.0, x0 + like.width), min(1.0, y0 + like.height))
