"""Croppers whose proposal is known, and pictures to crop."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import numpy as np
from PIL import Image

from cropzoom.geometry import Box, Crop
from cropzoom.options import ZoomOptions
from cropzoom.zoom import Zoom


class FixedCropper:
    """Proposes the same box for any image, and remembers what it was asked."""

    def __init__(self, box: Box | None = None, confidence: float = 0.9) -> None:
        self.box = box or Box(0.25, 0.25, 0.5, 0.625)
        self.confidence = confidence
        self.questions: list[str] = []

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        self.questions.append(question)
        return [Crop(self.box, self.confidence)]


class LookupCropper:
    """Looks its boxes up by the question, instead of at the picture."""

    def __init__(self, box_for: Callable[[str], Box]) -> None:
        self._box_for = box_for

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return [Crop(self._box_for(question), 1.0)]


class BrokenCropper:
    """Fails, as one does whose model file was deleted."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        raise OSError("the model file is gone")


def noise(seed: int, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Return a random RGB picture; same seed, same picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def crop_by_hand(
    source: Image.Image | bytes | str | os.PathLike[str],
    question: str = "What is it?",
    cropper: FixedCropper | None = None,
    options: ZoomOptions | None = None,
) -> Image.Image:
    """Return the first crop that a client wrapped with the same cropper should add."""
    zoomed, _ = Zoom(cropper or FixedCropper(), options).crops(source, question, strict=True)
    return Image.open(io.BytesIO(zoomed[0].image.data))
