"""Pictures without a word on them."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from .canvas import Canvas


def draw_scene(rng: random.Random, canvas: Canvas) -> None:
    """Cloudy noise under shapes, or things in front of things: stand-ins for nature."""
    if rng.random() < 0.5:
        _clouds(rng, canvas)
    else:
        _leaves(rng, canvas)
    if rng.random() < 0.5:
        canvas.image.paste(canvas.image.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 4))))


def _noise(rng: random.Random, width: int, height: int, finest: int = 2) -> Image.Image:
    """Noise of all sizes down to `finest` px, over all greys."""
    draw = np.random.default_rng(rng.getrandbits(32))
    scene = np.zeros((height, width), np.float32)
    cell, weight = max(width, height), 1.0
    while cell >= finest:
        coarse = draw.standard_normal((height // cell + 2, width // cell + 2)).astype(np.float32)
        cloud = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        scene += weight * np.asarray(cloud)
        cell, weight = cell // 2, weight * rng.uniform(0.5, 0.9)
    scene = (scene - scene.min()) / (float(np.ptp(scene)) + 1e-6) * 255
    return Image.fromarray(scene.astype(np.uint8))


def _clouds(rng: random.Random, canvas: Canvas) -> None:
    width, height = canvas.image.size
    canvas.image.paste(_noise(rng, width, height))
    for _ in range(rng.randint(0, 25)):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        w, h = (width * rng.uniform(0.01, 0.4) for _ in range(2))
        shape: Any = rng.choice([canvas.draw.ellipse, canvas.draw.rectangle, canvas.draw.line])
        shape((x, y, x + w, y + h), fill=rng.randint(0, 255))


def _leaves(rng: random.Random, canvas: Canvas) -> None:
    """Shapes of sizes by a power law that hide one another, with texture; their edges have the
    statistics of photographs ("dead leaves", Lee, Mumford & Huang 2001)."""
    width, height = canvas.image.size
    base = rng.randint(0, 255)
    canvas.image.paste(base, (0, 0, width, height))
    smallest, largest = rng.uniform(2, 8), max(width, height) * rng.uniform(0.2, 0.5)
    spread, sides = rng.uniform(10, 90), rng.choice([0, 0, 3, 4, 6])
    for _ in range(rng.randint(150, 900)):
        # Density falls with the cube of the radius.
        low, high = smallest**-2, largest**-2
        radius = (low + rng.random() * (high - low)) ** -0.5
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        grey = round(min(255, max(0, rng.gauss(base, spread))))
        if not sides:
            flat = rng.uniform(0.4, 1)
            canvas.draw.ellipse(
                (x - radius, y - radius * flat, x + radius, y + radius * flat), grey
            )
        else:
            turns = sorted(rng.uniform(0, 2 * math.pi) for _ in range(sides))
            corners = [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns]
            canvas.draw.polygon(corners, grey)
    texture = _noise(rng, width, height, rng.choice([2, 2, 4, 8]))
    mixed = Image.blend(canvas.image.convert("L"), texture, rng.uniform(0.1, 0.5))
    canvas.image.paste(mixed)
