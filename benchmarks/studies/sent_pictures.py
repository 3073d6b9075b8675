"""What goes out for a question in a mode, and what a reader that sees so many px makes of it.

For `modes.py`: questions about rendered pages and about receipts, the pictures that are sent, and a
reader that keeps what it read.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image
from study import cropper_name

from cropzoom import rewrite_body
from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.clients.modes import thumbnail as thumbnail_of
from cropzoom.files import write_whole
from cropzoom.geometry import Box, Crop
from cropzoom.images import OpenedImage, decode_data_uri, load_image
from cropzoom.models import sight
from cropzoom.options import ZoomOptions
from cropzoom.reading.answers import is_contained, is_exact
from cropzoom.reading.ocr import Line, OcrReader
from cropzoom.reading.standin import Page, StandIn, pick_answer
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test
from cropzoom.trainer.nano.real_split import Part, read_pictures
from cropzoom.zoom import Zoom

MODEL = "claude-haiku-4-5"
SIDE, SMALL = 1568, 448
RECEIPTS = ("sroie", "softmatic")


@dataclass(frozen=True)
class Asked:
    """A question about a page.

    Args:
        page: its name; answers about one page hang together.
        url: the page, as a request holds it.
        size: of the page in px.
        question: as sent.
        key: what the page itself calls what is asked for; empty where it has no name for it.
        answers: all that are right.
        value: where the answer stands.
    """

    page: str
    url: str
    size: tuple[int, int]
    question: str
    key: str
    answers: tuple[str, ...]
    value: Box


@dataclass(frozen=True)
class Sent:
    """What goes out for a question."""

    urls: tuple[str, ...]
    tokens: int
    confidence: float = 0.0
    boxes: tuple[Box, ...] = ()


class CachedReader(OcrReader):
    """A reader that reads no picture twice, in this run or another.

    Args:
        path: of the file, made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(threads=1)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("create table if not exists pages (key text primary key, lines text)")

    def read(self, image: Image.Image) -> list[Line]:
        """Return the lines of an image."""
        rgb = image.convert("RGB")
        key = hashlib.sha256(repr(rgb.size).encode() + rgb.tobytes()).hexdigest()
        known = self._file.execute("select lines from pages where key = ?", (key,)).fetchone()
        if known is not None:
            return [Line(text, Box(*box), sure) for text, box, sure in json.loads(known[0])]
        lines = super().read(rgb)
        plain = [[line.text, list(asdict(line.box).values()), line.confidence] for line in lines]
        self._file.execute("insert into pages values (?, ?)", (key, json.dumps(plain)))
        return lines


class Remembering:
    """A cropper that is asked once about each page and question."""

    def __init__(self, cropper: Any) -> None:
        self._cropper = cropper
        self._known: dict[bytes, list[Crop]] = {}
        for name in ("longest_edge", "grey", "scripts"):
            if hasattr(cropper, name):
                setattr(self, name, getattr(cropper, name))

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return the first `k` boxes."""
        key = hashlib.sha256(image.tobytes() + question.encode()).digest()
        if key not in self._known:
            self._known[key] = self._cropper.predict(image, question, max(k, 3))
        return self._known[key][:k]


def rendered(pages: int, seed: int, cache: Path) -> list[Asked]:
    """Return the questions of rendered pages."""
    file = cache.with_name(f"rendered-{pages}-{seed}.json")
    if not file.exists():
        asked = []
        for row in rendered_test(pages, seed).rows:
            assert row.value is not None, "rendered rows know their places"
            url, size = image_url(row.picture()), row.load().size
            asked.append(
                Asked(row.image_id, url, size, row.question, row.key, row.answers, row.value)
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, json.dumps([asdict(one) for one in asked]))
    return [
        Asked(
            **{
                **row,
                "size": tuple(row["size"]),
                "answers": tuple(row["answers"]),
                "value": Box(**row["value"]),
            }
        )
        for row in json.loads(file.read_text("utf-8"))
    ]


def receipts(folder: Path, part: Part, most: int | None = None) -> list[Asked]:
    """Return the questions of the receipts of one part, of so many pictures at most."""
    pictures = [
        picture
        for picture in read_pictures(folder, part)
        if picture.source in RECEIPTS and picture.rows
    ]
    pictures = pictures[:most]  # In the order of their names, which are hashes.
    asked = []
    for picture in pictures:
        url, size = image_url(picture.path), load_image(picture.path).size
        for row in picture.rows:
            value = Box.ordered(*row.value, min_side=1e-4)
            asked.append(
                Asked(picture.path.name, url, size, row.question, "", (row.answer,), value)
            )
    return asked


class Bench:
    """Sends questions in each way, and reads what is sent.

    Args:
        cropper: of the crops.
        reader: of all pictures.
    """

    def __init__(self, cropper: Any, reader: OcrReader) -> None:
        self.name = cropper_name(cropper)
        self._zoom = Zoom(Remembering(cropper), ZoomOptions(cache_size=0))
        self._eyes = {
            side: StandIn(side=side, reader=reader, enlarge=False) for side in (SIDE, SMALL)
        }

    def send(self, asked: Asked, options: ZoomOptions | None) -> Sent:
        """Return what goes out; None for the picture as it is."""
        if options is None:
            return Sent((asked.url,), sight(MODEL, asked.size).tokens)
        options = replace(options, question=asked.question, deadline=None, cache_size=0)
        body = {"model": MODEL, "messages": question_messages(asked.url, asked.question)}
        new, done = rewrite_body(body, zoom=self._zoom, options=options, strict=True)
        parts = new["messages"][0]["content"]
        urls = tuple(part["image_url"]["url"] for part in parts if part["type"] == "image_url")
        sure = max((crop.confidence for crop in done.crops), default=0.0)
        return Sent(urls, done.tokens_sent, sure, tuple(crop.box for crop in done.crops))

    def right(self, asked: Asked, urls: Sequence[str], side: int) -> bool:
        """Tell whether the answer is read in pictures that are seen at a side."""
        # Crops come last, and are read first: one that has the answer is enough.
        pages = (self._read(url, side) for url in reversed(urls))
        if asked.key:
            return is_exact(pick_answer(f'"{asked.key}"', [*pages]).text, asked.answers)
        return any(
            is_contained(" ".join(line.text for line in page.lines), asked.answers)
            for page in pages
        )

    def texts(self, urls: Sequence[str], side: int) -> list[str]:
        """Return what is read in pictures that are seen at a side."""
        return ["\n".join(line.text for line in self._read(url, side).lines) for url in urls]

    @lru_cache(maxsize=20_000)  # noqa: B019 (one bench a run)
    def _read(self, url: str, side: int) -> Page:
        return self._eyes[side].read(load_image(decode_data_uri(url)))


def thumbnail_alone(asked: Asked) -> Sent:
    """Return the thumbnail that `replace` would send, without a crop."""
    source = OpenedImage(decode_data_uri(asked.url))
    small = thumbnail_of(source, ZoomOptions().thumbnail_side)
    return Sent((small.data_uri(),), sight(MODEL, (small.width, small.height)).tokens)
