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
