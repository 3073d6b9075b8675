"""Pictures with text, drawn with Pillow's own font."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont


def card(
    lines: Sequence[tuple[int, int, str]], size: tuple[int, int] = (448, 200), text: int = 20
) -> Image.Image:
    """Return a white picture with dark text at the given places (left, top, text)."""
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for x, y, words in lines:
        draw.text((x, y), words, fill=(20, 20, 40), font=ImageFont.load_default(text))
    return image


def data_uri(image: Image.Image) -> str:
    """Return a picture as a PNG in a data URI."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def user(*parts: str | Image.Image) -> list[dict[str, object]]:
    """Return the messages of a chat request with texts and pictures in order."""
    content: list[dict[str, object]] = [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": data_uri(part)}}
        for part in parts
    ]
    return [{"role": "user", "content": content}]
