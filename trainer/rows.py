"""A question about a picture: what every part of the trainer passes along."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from cropzoom.geometry import Box
from cropzoom.images import ImageSource, load_image


@dataclass(frozen=True)
class VqaRow:
    """One question with its answers, and where the answer stands if that is known.

    Args:
        id: unique in its dataset and the same in every run; seeds of rollouts are made from it.
        image: bytes of a file, a path, or a PIL image; decoded by `load` only.
        question: as asked, case kept.
        answers: all that count as right, at least one; none is lower-cased or dropped.
        box: where to look, in fractions of the upright image; None where it is not known.
        image_id: the same for all rows about one picture, so that a split keeps them together.
        source: the dataset, for stratified splits.
    """

    id: str
    image: ImageSource
    question: str
    answers: tuple[str, ...]
    box: Box | None = None
    image_id: str = ""
    source: str = ""

    def load(self) -> Image.Image:
        """Decode the picture: upright RGB.

        Raises:
            ImageError: it is missing, broken or over the pixel limit.
        """
        return load_image(self.image)
