"""From a request's bytes to a conversation that may hold pictures, and back."""

from __future__ import annotations

import json
from typing import Any

from cropzoom.clients.dialects import Endpoint


def conversation(raw: bytes, endpoint: Endpoint | None) -> dict[str, Any] | None:
    """Return a body that may hold pictures, None for any other."""
    # Cheap, and right for whatever clients really send.
    if endpoint is None or b"image" not in raw:
        return None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def encoded(body: dict[str, Any]) -> bytes:
    """Return a body as bytes.

    Raises:
        ValueError: it holds a number that JSON has no form for.
    """
    try:
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8")
    except UnicodeEncodeError:
        # Half a surrogate pair, which only an escape can say.
        return json.dumps(body, separators=(",", ":"), allow_nan=False).encode("ascii")
