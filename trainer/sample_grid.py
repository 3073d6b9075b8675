"""Sampled boxes drawn on their pictures: what numbers hide is often plain to see."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps
from torch import Tensor

from cropzoom.data.row import Row
from cropzoom.files import write_whole

_TILE, _CAPTION = 256, 28
_BEST, _OTHER, _TRUTH = (20, 150, 60), (220, 120, 40), (40, 90, 220)


def grid(rows: Sequence[Row], boxes: Tensor, rewards: Tensor) -> Image.Image:
    """Draw each row's sampled boxes on its picture.

    Green is the sample with the highest reward, orange the others, blue the known box.

    Args:
        rows: N of them.
        boxes: (N, G, 4), NaN where a sample made none.
        rewards: (N, G), NaN where there is none.

    Returns:
        Up to four tiles in a line, each with its question and the range of its rewards.
    """
    columns = min(4, len(rows))
    lines = math.ceil(len(rows) / columns)
    sheet = Image.new("RGB", (columns * _TILE, lines * (_TILE + _CAPTION)), "white")
    for number, row in enumerate(rows):
        left, top = number % columns * _TILE, number // columns * (_TILE + _CAPTION)
        sheet.paste(_tile(row, boxes[number], rewards[number]), (left, top))
    return sheet


def save_grid(sheet: Image.Image, folder: Path, step: int) -> Path:
    """Write the sheet as `step-000120.png`."""
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    return write_whole(folder / f"step-{step:06d}.png", buffer.getvalue())


def _tile(row: Row, boxes: Tensor, rewards: Tensor) -> Image.Image:
    tile = Image.new("RGB", (_TILE, _TILE + _CAPTION), "white")
    picture = ImageOps.contain(row.load(), (_TILE, _TILE))
    draw = ImageDraw.Draw(picture)
    order = sorted(range(len(boxes)), key=lambda g: _number(rewards[g]))
    for place, sample in enumerate(order):
        best = place == len(order) - 1
        _outline(draw, boxes[sample].tolist(), picture.size, _BEST if best else _OTHER, 1 + best)
    if row.box is not None:
        corners = [row.box.x0, row.box.y0, row.box.x1, row.box.y1]
        _outline(draw, corners, picture.size, _TRUTH, 1)
    tile.paste(picture, (0, _CAPTION))
    finite = [value for value in rewards.tolist() if math.isfinite(value)]
    scores = f"{min(finite):.3g} to {max(finite):.3g}" if finite else "no reward"
    caption = ImageDraw.Draw(tile)
    # The built-in font knows Latin-1 only.
    question = row.question.encode("latin-1", "replace").decode("latin-1")
    caption.text((2, 1), question[:42], fill="black")
    caption.text((2, 14), scores, fill="black")
    return tile


def _outline(
    draw: ImageDraw.ImageDraw,
    corners: Sequence[float],
    size: tuple[int, int],
    colour: tuple[int, int, int],
    width: int,
) -> None:
    if all(map(math.isfinite, corners)):
        x0, y0, x1, y1 = (
            round(value * (side - 1)) for value, side in zip(corners, (*size, *size), strict=True)
        )
        draw.rectangle((x0, y0, x1, y1), outline=colour, width=width)


def _number(reward: Tensor) -> float:
    value = float(reward)
    return value if math.isfinite(value) else -math.inf
