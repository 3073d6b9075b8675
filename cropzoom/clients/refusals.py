"""What a server refuses because of what was added, and the limits to be learnt from its words."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from cropzoom.clients.budget import Limits

# With these a server has refused for certain: no answer was made, none will be paid for.
_REFUSED = (400, 413, 422)
# With these it may have, if it speaks of images: a gateway that knows no server which takes them.
_REFUSED_IMAGES = (404, 415, 500, 501)
_OF_IMAGES = re.compile(r"image|picture|photo|vision|visual|multi-?modal|mmproj|pixel", re.I)
_OF_BYTES = re.compile(r"body|payload|entity|bytes?\b|request size|[\d.]\s*[kmg]i?b\b", re.I)
# What servers say with a 500 before they have answered anything.
_TOO_MUCH = re.compile(
    r"context (?:size|length|window)|too (?:long|large|big)|exceeds? the maximum|"
    r"out of memory|resource limitations|number of bitmaps",
    re.I,
)
_OF_CONTEXT = re.compile(r"context|token|sequence length|prompt (?:is )?too long", re.I)
_NUMBER = re.compile(r"(\d[\d,_]*(?:\.\d+)?)\s*([kmg]?)(i?)(?:b\b|bytes?\b)?", re.I)
_WORDS = {"one": 1, "single": 1, "two": 2, "three": 3, "four": 4, "five": 5}
# Servers are started anew with other limits: after these seconds one is tried again. What gave no
# reason that is understood may have been chance.
LIFE = 3600.0
_SHORT_LIFE = 300.0
_MOST_WORDS = 4000


@dataclass(frozen=True, slots=True)
class Size:
    """What counts against a server's limits in one request.

    Args:
        pictures: how many.
        pixels: of all pictures whose size is known.
        body_bytes: size of the body.
    """

    pictures: int
    pixels: int
    body_bytes: int


def is_refusal(status: int, words: str) -> bool:
    """Tell whether an answer may be due to what was added, and certainly is no answer.

    Everything else, such as a time-out, may have been answered; sending again would cost twice.
    """
    words = words[:_MOST_WORDS]
    of_images = status in _REFUSED_IMAGES and bool(_OF_IMAGES.search(words))
    return status in _REFUSED or of_images or (status == 500 and bool(_TOO_MUCH.search(words)))


def learnt(status: int, words: str, sent: Size, taken: Size) -> tuple[Limits, float]:
    """Return the limit that explains a refusal, and for how many seconds to keep to it.

    Args:
        status: of the refusal.
        words: of the refusal.
        sent: what was refused.
        taken: what was taken thereafter; a limit is never below it.
    """
    words = words[:_MOST_WORDS]
    if status == 413 or (_OF_BYTES.search(words) and not _says_pictures(words, sent, taken)):
        numbers = (n for n in _sizes(words) if taken.body_bytes <= n < sent.body_bytes)
        return Limits(body_bytes=max(numbers, default=taken.body_bytes)), LIFE
    if _OF_CONTEXT.search(words) and not _says_pictures(words, sent, taken):
        return Limits(pixels=taken.pixels), LIFE
    if _OF_IMAGES.search(words):
        numbers = (n for n in _counts(words) if taken.pictures <= n < sent.pictures)
        return Limits(pictures=max(numbers, default=taken.pictures)), LIFE
    return Limits(pixels=0), _SHORT_LIFE


def _says_pictures(words: str, sent: Size, taken: Size) -> bool:
    numbers = _counts(words)
    return bool(_OF_IMAGES.search(words)) and any(
        taken.pictures <= number < sent.pictures for number in numbers
    )


def _counts(words: str) -> Iterator[int]:
    for match in re.finditer(r"(?<![\d.,])\d{1,4}(?![\d.,]*\d)", words):
        yield int(match[0])
    for word in re.findall(r"[a-z]+", words.lower()):
        if word in _WORDS:
            yield _WORDS[word]


def _sizes(words: str) -> Iterator[int]:
    for match in _NUMBER.finditer(words):
        number = float(match[1].replace(",", "").replace("_", ""))
        power = " kmg".index(match[2].lower() or " ")
        yield int(number * 1024**power)
        yield int(number * 1000**power)


def learnt_of_canvas() -> tuple[Limits, float]:
    """Return what is learnt where a picture with its crops on it is refused, too: no crops."""
    return Limits(pixels=0), LIFE


class LearntLimits:
    """Limits by server and model, as refusals have taught them. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._limits: dict[object, list[tuple[float, Limits]]] = {}

    def of(self, server: object) -> Limits:
        """Return what a server takes, as far as it is known."""
        now = time.monotonic()
        with self._lock:
            lessons = self._limits.get(server)
            if lessons is None:
                return Limits()
            lessons[:] = [lesson for lesson in lessons if lesson[0] > now]
            limits = Limits()
            for _, lesson in lessons:
                limits = limits.lowered(lesson)
            return limits

    def add(self, server: object, limits: Limits, life: float) -> None:
        """Keep to a limit for so many seconds."""
        with self._lock:
            self._limits.setdefault(server, []).append((time.monotonic() + life, limits))
