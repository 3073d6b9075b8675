"""What may be added to a request: the options' budgets, and limits of the server's.

Budgets are spent turn by turn, earlier turns first, so that what a turn becomes does not depend on
what follows it; within a turn, the surest crops of all its images come first. A server's limit
counts the whole request: what the caller's own parts leave over is spent in the same order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cropzoom.options import ZoomOptions
from cropzoom.report import Reason


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes in one request, the caller's own parts included; None for no limit.

    Args:
        pictures: how many.
        pixels: of all pictures together.
        body_bytes: size of the body.
    """

    pictures: int | None = None
    pixels: int | None = None
    body_bytes: int | None = None

    def lowered(self, other: Limits) -> Limits:
        """Return the lower of each."""
        return Limits(
            _lower(self.pictures, other.pictures),
            _lower(self.pixels, other.pixels),
            _lower(self.body_bytes, other.body_bytes),
        )


@dataclass(frozen=True, slots=True)
class Cost:
    """What a crop adds.

    Args:
        pixels: of the crop.
        bytes: of its part, as sent.
        pictures: 1, or 0 for a crop that is put on a picture which goes out anyway.
    """

    pixels: int
    bytes: int
    pictures: int = 1


class Budget:
    """What is left to add to one request.

    Args:
        options: the budgets.
        limits: the server's; of pixels, what the caller's own pictures leave over.
        pictures: how many the caller's request has.
        body: the caller's request; measured only where its size matters.
    """

    def __init__(
        self, options: ZoomOptions, limits: Limits, pictures: int, body: Mapping[str, Any]
    ) -> None:
        self._pictures = options.max_added_pictures
        self._pixels = options.max_added_pixels
        self._bytes = options.max_added_bytes
        self._limits = limits
        self._room = None if limits.pictures is None else limits.pictures - pictures
        self._pixel_room = limits.pixels
        most = _lower(options.max_body_bytes, limits.body_bytes)
        self._body_room = None if most is None else most - body_bytes(body)

    @property
    def full(self) -> bool:
        """Whether the server takes no more pictures, and that alone."""
        return self._room is not None and self._room < 1

    def spend(self, cost: Cost) -> tuple[Reason, str] | None:
        """Take what a crop costs; return the reason why not where too little is left."""
        if self._room is not None and self._room < cost.pictures:
            return Reason.LIMIT, (
                f"the server takes {self._limits.pictures} pictures in a request, as it said"
            )
        if self._pixel_room is not None and self._pixel_room < cost.pixels:
            return Reason.LIMIT, "the server's model has no room for more pixels, as it said"
        if self._body_room is not None and self._body_room < cost.bytes:
            return Reason.LIMIT, "the request's body would become larger than it may be"
        for left, needed, name in (
            (self._pictures, cost.pictures, "max_added_pictures"),
            (self._pixels, cost.pixels, "max_added_pixels"),
            (self._bytes, cost.bytes, "max_added_bytes"),
        ):
            if left < needed:
                return Reason.BUDGET, f"{name} is spent on other crops of this request"
        self._pictures -= cost.pictures
        self._pixels -= cost.pixels
        self._bytes -= cost.bytes
        if self._room is not None:
            self._room -= cost.pictures
        if self._pixel_room is not None:
            self._pixel_room -= cost.pixels
        if self._body_room is not None:
            self._body_room -= cost.bytes
        return None


def body_bytes(body: Mapping[str, Any]) -> int:
    """Return the size of a body as JSON."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=repr, skipkeys=True)
    return len(text.encode("utf-8", "surrogatepass"))


def _lower(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
