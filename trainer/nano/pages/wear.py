"""What pockets, printers and lamps do to paper: folds, fading, dots, shadows, glare, stamps."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Grey = npt.NDArray[np.floating[Any]]


def worn(rng: random.Random, image: Image.Image, text: float, paper: int) -> Image.Image:
    """A grey picture after some of it; text of `text` px stays legible to people."""
    grey = np.asarray(image, np.float32)
    if rng.random() < 0.25:
        grey = _faded(rng, grey, paper)
    if rng.random() < 0.15 and text >= 10:
        grey = _dotted(rng, grey, text, paper)
    if rng.random() < 0.2:
        grey = _folded(rng, grey)
    if rng.random() < 0.2:
        grey = _shadowed(rng, grey)
    if rng.random() < 0.12:
        grey = _glaring(rng, grey)
    if rng.random() < 0.12 and text >= 9:
        grey = _faxed(rng, grey)
    seen = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))
    if rng.random() < 0.08:
        _stamped(rng, seen)
    return seen


def _faded(rng: random.Random, grey: Grey, paper: int) -> Grey:
    """Thermal print that pales in stripes or patches."""
    height, width = grey.shape
    low = rng.uniform(0.35, 0.8)
    cells = (
        (1, rng.randint(3, 12)) if rng.random() < 0.5 else (rng.randint(2, 6), rng.randint(2, 4))
    )
    coarse = np.array(
        [[rng.uniform(low, 1.0) for _ in range(cells[1])] for _ in range(cells[0])], np.float32
    )
    keep = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    share: Grey = np.clip(np.asarray(keep), 0.3, 1.0)
    return paper + (grey - paper) * share


def _faxed(rng: random.Random, grey: Grey) -> Grey:
    """Black or white, with specks: what a fax or a copy of a copy leaves."""
    draw = np.random.default_rng(rng.getrandbits(32))
    middle = (float(grey.min()) + float(grey.max())) / 2
    noisy = grey + draw.normal(0.0, rng.uniform(5.0, 40.0), grey.shape).astype(np.float32)
    black: Grey = np.where(noisy < middle + rng.uniform(-35.0, 35.0), 0.0, 255.0)
    specks = draw.random(grey.shape) < rng.choice([0.0, 0.0005, 0.003])
    return np.where(specks, 255.0 - black, black)


def _dotted(rng: random.Random, grey: Grey, text: float, paper: int) -> Grey:
    """A needle printer's rows and columns of dots."""
    height, width = grey.shape
    pitch = max(2.0, text / rng.uniform(7.0, 9.0))
    rows = 0.5 + 0.5 * np.cos(np.arange(height, dtype=np.float32) / pitch * 2 * math.pi)
    keep = np.repeat(rows[:, None], width, 1)
    if rng.random() < 0.5:
        columns = 0.5 + 0.5 * np.cos(np.arange(width, dtype=np.float32) / pitch * 2 * math.pi)
        keep = np.maximum(keep * 0.7 + 0.3, 0.0) * (columns[None, :] * 0.5 + 0.5)
    depth = rng.uniform(0.3, 0.65)
    return paper + (grey - paper) * (1 - depth + depth * keep)


def _folded(rng: random.Random, grey: Grey) -> Grey:
    """Creases across: a light and a dark line, and one side a little darker."""
    height, width = grey.shape
    grey = grey.copy()
    for _ in range(rng.randint(1, 3)):
        across = rng.random() < 0.7
        length = height if across else width
        tilt = rng.uniform(-0.02, 0.02)
        at = np.arange(width if across else height) * tilt + rng.uniform(0.1, 0.9) * length
        along = np.arange(length, dtype=np.float32)[:, None] - at[None, :]
        crease = rng.uniform(8, 45) * np.exp(-((along / rng.uniform(0.7, 2.0)) ** 2))
        side = rng.uniform(0, 14) * np.clip(1 - np.abs(along) / (0.12 * length), 0, 1) * (along > 0)
        change = (rng.choice([-1.0, 1.0]) * crease - side).astype(np.float32)
        grey += change if across else change.T
    return grey


def _shadowed(rng: random.Random, grey: Grey) -> Grey:
    """The shadow of a hand or a telephone: a soft-edged polygon."""
    height, width = grey.shape
    small = Image.new("L", (64, 64), 0)
    x, y = rng.choice([0, 64]), rng.uniform(0, 64)
    points = [(x, y)] + [(rng.uniform(-20, 84), rng.uniform(-20, 84)) for _ in range(4)]
    ImageDraw.Draw(small).polygon(points, fill=255)
    soft = small.filter(ImageFilter.GaussianBlur(rng.uniform(1.5, 8)))
    dark = np.asarray(soft.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 255
    return grey * (1 - rng.uniform(0.15, 0.5) * dark)


def _glaring(rng: random.Random, grey: Grey) -> Grey:
    """A lamp's reflection, which leaves a third of the contrast."""
    height, width = grey.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cx, cy = rng.uniform(0, width), rng.uniform(0, height)
    wide, high = width * rng.uniform(0.08, 0.3), height * rng.uniform(0.03, 0.15)
    light = np.exp(-(((x - cx) / wide) ** 2) - ((y - cy) / high) ** 2) * rng.uniform(0.3, 0.65)
    seen: Grey = grey + (255 - grey) * light
    return seen


def _stamped(rng: random.Random, image: Image.Image) -> None:
    """A round or square rubber stamp, half transparent."""
    draw = ImageDraw.Draw(image)
    side = min(image.size) * rng.uniform(0.08, 0.25)
    x, y = rng.uniform(0, image.width - side), rng.uniform(0, image.height - side)
    ink = rng.randint(70, 160)
    shape = draw.ellipse if rng.random() < 0.6 else draw.rectangle
    shape((x, y, x + side, y + side * rng.uniform(0.4, 1.0)), outline=ink, width=rng.randint(1, 3))
    inner = side * 0.15
    shape((x + inner, y + inner, x + side - inner, y + side * 0.35 + inner), outline=ink)
