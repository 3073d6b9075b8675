"""What the client tests share: a cropper with a fixed answer, pictures and bodies."""

from __future__ import annotations

import base64
import io
import json
import threading
import zlib
from typing import Any

import numpy as np
from PIL import Image

from cropzoom.geometry import Box, Crop
from cropzoom.options import ZoomOptions

BOX = Box(0.25, 0.5, 0.75, 0.75)
QUESTION = "What is the total?"
# No enlarging, so that a crop's pixels can be compared with the source's.
OPTIONS = ZoomOptions(min_crop_side=0)


class FixedCropper:
    """Always proposes the same box, and keeps the questions."""

    def __init__(self, confidence: float = 0.9, box: Box = BOX) -> None:
        self.questions: list[str] = []
        self._crop = Crop(box, confidence)
        self._lock = threading.Lock()

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        with self._lock:
            self.questions.append(question)
        return [self._crop]


class PlacesCropper(FixedCropper):
    """Proposes a place of its own for each question."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        super().predict(image, question, k)
        return [Crop(place_of(question), 0.9)]


def place_of(question: str) -> Box:
    """Return where `PlacesCropper` sees the answer to a question."""
    row = zlib.crc32(question.encode("utf-8", "surrogatepass")) % 76
    return Box(0.25, row / 100, 0.75, row / 100 + 0.25)


class BrokenCropper:
    """Always fails."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        raise RuntimeError("out of paper")


def picture(seed: int = 0, size: tuple[int, int] = (160, 120)) -> Image.Image:
    """Return noise, each seed its own."""
    pixels = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png(seed: int = 0) -> bytes:
    """Return `picture(seed)` as a PNG file."""
    buffer = io.BytesIO()
    picture(seed).save(buffer, "PNG")
    return buffer.getvalue()


def uri(seed: int = 0) -> str:
    """Return `picture(seed)` as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png(seed)).decode()


def uri_of(image: Image.Image) -> str:
    """Return a picture as a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def chat_image(url: str | None = None, **detail: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url or uri(), **detail}}


def chat_text(text: str = QUESTION) -> dict[str, Any]:
    return {"type": "text", "text": text}


def response_image(url: str | None = None, **detail: str) -> dict[str, Any]:
    return {"type": "input_image", "image_url": url or uri(), **detail}


def response_text(text: str = QUESTION) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def crop_of(seed: int = 0, box: Box = BOX) -> str:
    """Return the mark that `marked` puts where it finds this crop."""
    return f"<crop of {seed} at {box.to_text()}>"


def marked(body: Any, *seeds: int, boxes: tuple[Box, ...] = (BOX,)) -> Any:
    """Return a body with every crop of the pictures of these seeds replaced by `crop_of(seed)`.

    A crop counts only if its pixels are exactly those cut out of the picture by hand.
    """
    wanted = {}
    for seed in seeds or (0,):
        image = picture(seed)
        for box in boxes:
            wanted[image.crop(box.to_pixels(*image.size)).tobytes()] = crop_of(seed, box)

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, list):
            return [walk(item) for item in value]
        if isinstance(value, str) and value.startswith("data:image/") and ";base64," in value:
            try:
                with Image.open(io.BytesIO(base64.b64decode(value.partition(",")[2]))) as image:
                    return wanted.get(image.convert("RGB").tobytes(), value)
            except (OSError, ValueError):
                return value
        return value

    return walk(body)


def frozen(value: Any) -> str:
    """Return a value as text, to compare before and after."""
    return json.dumps(value)
