"""What a camera, a scanner or a chat program does to a page, with the boxes taken along."""

from __future__ import annotations

import io
import math
import random
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Canvas, Rect
from .scenery import draw_scene


def scaled(box: Rect, x: float, y: float) -> Rect:
    return (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def mapped(canvas: Canvas, image: Image.Image, change: Callable[[Rect], Rect]) -> Canvas:
    words = [replace(word, box=change(word.box)) for word in canvas.words]
    fields = [
        replace(f, key_box=change(f.key_box), value_box=change(f.value_box)) for f in canvas.fields
    ]
    return Canvas(image, words, fields)


def shrunk(canvas: Canvas, width: int, height: int) -> Canvas:
    if canvas.image.size == (width, height):
        return canvas
    x, y = width / canvas.image.width, height / canvas.image.height
    image = canvas.image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return mapped(canvas, image, lambda box: scaled(box, x, y))


def damage(rng: random.Random, canvas: Canvas, paper: int) -> Canvas:
    image = canvas.image
    if rng.random() < 0.2:
        angle = rng.gauss(0, 0.7)
        image = image.rotate(angle, Image.Resampling.BILINEAR, fillcolor=paper)
        turn, (cx, cy) = math.radians(angle), (image.width / 2, image.height / 2)
        cos, sin = math.cos(turn), math.sin(turn)

        def rotated(box: Rect) -> Rect:
            corners = [(box[0], box[1]), (box[2], box[1]), (box[2], box[3]), (box[0], box[3])]
            xs = [cx + (x - cx) * cos + (y - cy) * sin for x, y in corners]
            ys = [cy - (x - cx) * sin + (y - cy) * cos for x, y in corners]
            return (min(xs), min(ys), max(xs), max(ys))

        canvas = mapped(canvas, image, rotated)
    if rng.random() < 0.2:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.35:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(
            0, rng.uniform(1, 12), (image.height, image.width)
        )
        image = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=rng.randint(30, 90))
        image = Image.open(buffer).convert("L")
    canvas.image = image
    return canvas


Corners = tuple[tuple[float, float], ...]
"""Four points: upper left, upper right, lower right, lower left, px."""


def homography(source: Corners, target: Corners) -> np.ndarray:
    """The (3, 3) projective map that takes four points to four points."""
    rows, sides = [], []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        sides += [u, v]
    return np.append(np.linalg.solve(np.array(rows), np.array(sides)), 1.0).reshape(3, 3)


def corners_of(width: float, height: float) -> Corners:
    """The corners of a picture."""
    return ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))


def project(matrix: np.ndarray, box: Rect) -> Rect:
    """The upright box round a box seen through a projective map."""
    x0, y0, x1, y1 = box
    points = matrix @ np.array([[x0, x1, x1, x0], [y0, y0, y1, y1], [1.0, 1.0, 1.0, 1.0]])
    xs, ys = points[0] / points[2], points[1] / points[2]
    return (float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max()))


def in_perspective(canvas: Canvas, corners: Corners, behind: Image.Image) -> Canvas:
    """The picture with its corners moved, before another picture of its size."""
    width, height = canvas.image.size
    matrix = homography(corners_of(width, height), corners)
    back = np.linalg.inv(matrix)
    data = tuple((back / back[2, 2]).reshape(-1)[:8])
    how = (Image.Transform.PERSPECTIVE, data, Image.Resampling.BICUBIC)
    seen = canvas.image.transform((width, height), *how)
    mask = Image.new("L", (width, height), 255).transform((width, height), *how)
    image = Image.composite(seen, behind, mask)
    return mapped(canvas, image, lambda box: project(matrix, box))


def inside(canvas: Canvas) -> Canvas:
    """Without the words and fields that the picture does not show whole."""
    width, height = canvas.image.size

    def shown(box: Rect) -> bool:
        return box[0] >= -1 and box[1] >= -1 and box[2] <= width + 1 and box[3] <= height + 1

    words = [word for word in canvas.words if shown(word.box)]
    fields = [f for f in canvas.fields if shown(f.key_box) and shown(f.value_box)]
    return Canvas(canvas.image, words, fields)


LEGIBLE = 7.0
"""Damage leaves text that was larger at least this size, px."""


def photograph(rng: random.Random, canvas: Canvas, text: float) -> Canvas:
    """The page held before a camera: on a table or close by, a little aslant, unevenly lit."""
    width, height = canvas.image.size
    behind = Image.new("L", (width, height), rng.randint(0, 255))
    if rng.random() < 0.6:
        draw_scene(rng, Canvas(behind))
    # Above 0 the background shows, and the text shrinks.
    near = rng.uniform(-0.01, max(0.0, min(0.09, (1 - LEGIBLE / text) / 2)))
    lean = rng.uniform(0.0, 0.035)
    corners = []
    for x, y in corners_of(1.0, 1.0):
        dx = near + rng.uniform(-lean, lean)
        dy = near + rng.uniform(-lean, lean)
        corners.append(((x + dx * (1 - 2 * x)) * width, (y + dy * (1 - 2 * y)) * height))
    canvas = in_perspective(canvas, tuple(corners), behind)
    canvas.image = lit(rng, canvas.image)
    return inside(canvas)


def lit(rng: random.Random, image: Image.Image) -> Image.Image:
    """Uneven light: a smooth gain between two thirds and a little over one."""
    low = rng.uniform(0.55, 0.9)
    cells = np.array([[rng.uniform(low, 1.05) for _ in range(3)] for _ in range(3)], np.float32)
    gain = Image.fromarray(cells).resize(image.size, Image.Resampling.BICUBIC)
    shaded = np.asarray(image, np.float32) * np.asarray(gain)
    return Image.fromarray(np.clip(shaded, 0, 255).astype(np.uint8))


def resampled(rng: random.Random, canvas: Canvas, text: float) -> Canvas:
    """Shrunk and enlarged again, as what is sent on is, as far as text of `text` px allows."""
    width, height = canvas.image.size
    share = max(min(1.0, 1.2 * LEGIBLE / text), rng.uniform(0.5, 0.95))
    small = canvas.image.resize(
        (max(1, round(width * share)), max(1, round(height * share))), Image.Resampling.BILINEAR
    )
    canvas.image = small.resize((width, height), Image.Resampling.BICUBIC)
    return canvas


def squeezed(rng: random.Random, canvas: Canvas) -> Canvas:
    """Compressed as hard as a messenger does."""
    buffer = io.BytesIO()
    canvas.image.save(buffer, "JPEG", quality=rng.randint(14, 35))
    canvas.image = Image.open(buffer).convert("L")
    return canvas
