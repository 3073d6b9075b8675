"""Any image as an address that a request can hold."""

from __future__ import annotations

import base64
import io
from typing import Any

from PIL import Image

from cropzoom.images import Encoded, ImageSource, decode_data_uri, load_image, read_bytes

# What the API takes as it is. Anything else is sent as PNG.
_SIGNATURES = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"))


def image_url(image: ImageSource) -> str:
    """Return an image as an address that the API takes; files are not re-encoded if they can go."""
    if isinstance(image, str) and image[:8].lower().startswith(("http://", "https://", "data:")):
        return image
    if not isinstance(image, Image.Image):
        image = read_bytes(image)
        mime = _mime(image)
        if mime is not None:
            return Encoded(image, mime, 0, 0).data_uri()
    upright = load_image(image)
    buffer = io.BytesIO()
    upright.save(buffer, "PNG")
    return Encoded(buffer.getvalue(), "image/png", *upright.size).data_uri()


def question_messages(url: str, question: str) -> list[dict[str, Any]]:
    """Return the messages of a question about a picture, for chat completions."""
    return [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": question},
            ],
        }
    ]


def is_data(address: str) -> bool:
    """Tell whether an address holds its file."""
    return address[:5].lower() == "data:"


def media_and_base64(address: str) -> tuple[str, str]:
    """Return the media type and the base64 of the file that a data URI holds.

    Raises:
        ImageError: the URI is malformed.
    """
    media = address.partition(",")[0][5:].partition(";")[0].strip().lower()
    return media, base64.b64encode(decode_data_uri(address)).decode("ascii")


def _mime(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    kinds = (kind for signature, kind in _SIGNATURES if data.startswith(signature))
    kind = next(kinds, None)
    return None if kind is None else f"image/{kind}"
