"""From an image as its file has it to what people see: upright, RGB, on white, 8 bits deep."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_STRIP_PIXELS = 1 << 20


def upright_rgb(image: Image.Image, *, own: bool) -> Image.Image:
    """Return an upright RGB image without metadata; a new one, unless the image is our own."""
    # Some readers, TIFF's among them, turn the pixels themselves, and say so once they have.
    image.load()
    orientation = orientation_of(image)
    if image.mode.startswith("I") or image.mode == "F":
        rgb = _to_8_bits(image)
    elif image.has_transparency_data:
        # A plain conversion to RGB would show what lies hidden under transparent pixels.
        rgb = Image.new("RGB", image.size, "white")
        for strip in strips(image.size):
            layer = image.crop(strip).convert("RGBA")
            rgb.paste(layer, strip, layer.getchannel("A"))
    elif image.mode == "RGB" and own:
        # A copy of a large photograph takes as long as a prediction's preprocessing.
        rgb = image
    else:
        rgb = image.convert("RGB")
    return turned(rgb, orientation)


def orientation_of(image: Image.Image) -> int:
    """Return an image's orientation, 1 where its tag is missing or makes no sense."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in _TURNS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Apply an EXIF orientation to an image of our own, and drop its metadata."""
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    image.info.clear()
    return image


def strips(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Cut an image into boxes of full width, so that what is made of each takes little memory."""
    width, height = size
    rows = max(1, _STRIP_PIXELS // max(1, width))
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _to_8_bits(image: Image.Image) -> Image.Image:
    """Scale deep grey to 8 bits by the range its depth implies, else by its own range."""
    low, high = 0.0, 65535.0
    if not image.mode.startswith("I;16"):
        extremes = [
            (float(grey.min()), float(grey.max()))
            for grey in (_grey(image, strip) for strip in strips(image.size))
        ]
        low, high = min(low for low, _ in extremes), max(high for _, high in extremes)
        if low >= 0 and high <= 255 and high > 1:
            low, high = 0.0, 255.0
        elif image.mode == "I" and low >= 0 and high <= 65535:
            low, high = 0.0, 65535.0
        elif image.mode == "F" and low >= 0 and high <= 1:
            low, high = 0.0, 1.0
    rgb = Image.new("RGB", image.size)
    for strip in strips(image.size):
        scaled = (_grey(image, strip) - low) * (255.0 / max(high - low, 1e-9))
        rgb.paste(Image.fromarray(np.rint(scaled).astype(np.uint8)).convert("RGB"), strip)
    return rgb


def _grey(image: Image.Image, strip: tuple[int, int, int, int]) -> npt.NDArray[np.float32]:
    grey = np.asarray(image.crop(strip)).astype(np.float32)
    if np.isfinite(grey).all():
        return grey
    return np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
