"""Images as croppers take them."""

from __future__ import annotations

from PIL import Image

from cropzoom.errors import ImageError
from cropzoom.images import is_plain, load_image


def readable(image: Image.Image) -> Image.Image:
    """Return an image as RGB or 8-bit grey, upright, on white; itself where it is that already.

    Raises:
        ImageError: it is not a readable PIL image.
    """
    if not isinstance(image, Image.Image):
        raise ImageError(
            f"predict takes a PIL image, not {type(image).__name__}; "
            "open it with cropzoom.images.load_image"
        )
    return image if is_plain(image) else load_image(image, max_pixels=image.width * image.height)
