"""Show regions of a picture: the rest dimmed, each region outlined."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw

from cropzoom.geometry import Box
from cropzoom.images import ImageSource, load_image

OUTLINE = (220, 30, 60)
_DIMMED = 0.55


def highlight(source: ImageSource, boxes: Sequence[Box]) -> Image.Image:
    """Return a picture with regions shown, as it was where there are none.

    Args:
        source: bytes of a file, a path, or a PIL image; left as it is.
        boxes: the regions, best first; of overlapping outlines, the best is on top.

    Returns:
        RGB, upright, in full size.

    Raises:
        ImageError: the picture can't be read.
    """
    picture = load_image(source)
    if not boxes:
        return picture
    shown = Image.eval(picture, lambda level: round(255 - (255 - level) * _DIMMED))
    edges = [box.to_pixels(*picture.size) for box in boxes]
    for edge in edges:
        shown.paste(picture.crop(edge), edge[:2])
    draw = ImageDraw.Draw(shown)
    thick = max(2, max(picture.size) // 300)
    for left, top, right, bottom in reversed(edges):
        # Around the region, so that it covers nothing of it.
        around = (left - thick, top - thick, right - 1 + thick, bottom - 1 + thick)
        draw.rectangle(around, outline=OUTLINE, width=thick)
    return shown
