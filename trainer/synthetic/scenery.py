"""Pictures without a word on them."""

from __future__ import annotations

import random

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Canvas


def draw_scene(rng: random.Random, canvas: Canvas) -> None:
    """Cloudy noise of all sizes under shapes with soft and hard edges: a stand-in for nature."""
    width, height = canvas.image.size
    draw = np.random.default_rng(rng.getrandbits(32))
    scene = np.zeros((height, width), np.float32)
    cell, weight = max(width, height), 1.0
    while cell >= 2:
        coarse = draw.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
        cloud = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        scene += weight * np.asarray(cloud)
        cell, weight = cell // 2, weight * rng.uniform(0.5, 0.9)
    scene = (scene - scene.min()) / (float(np.ptp(scene)) + 1e-6) * 255
    canvas.image.paste(Image.fromarray(scene.astype(np.uint8)))
    for _ in range(rng.randint(0, 25)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = (width * rng.uniform(0.01, 0.4) for _ in range(2))
        shape = rng.choice([canvas.draw.ellipse, canvas.draw.rectangle, canvas.draw.line])
        shape((x, y, x + w, y + h), fill=rng.randint(0, 255))
    if rng.random() < 0.5:
        canvas.image.paste(canvas.image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4))))
