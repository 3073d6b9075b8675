"""Rows on disk: rows.jsonl and a folder of pictures. A file appears when all of it is written."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image

from cropzoom.files import write_whole
from cropzoom.geometry import Box
from cropzoom.images import ImageSource, OpenedImage, load_image, read_bytes

from .row import Row

ROWS_FILE = "rows.jsonl"


def save_rows(rows: Iterable[Row], folder: str | os.PathLike[str]) -> Path:
    """Write rows as a folder that `load_rows` reads: rows.jsonl, and the pictures in images/.

    Pictures are copied byte by byte and named by their content, so that each is there once.

    Returns:
        The path of rows.jsonl, which appears when all is written.

    Raises:
        ImageError: a picture can't be read.
        DataError: the folder can't be written.
    """
    folder = Path(folder)
    entries = ((row, store_image(row.picture(), folder)) for row in rows)
    return write_lines(folder / ROWS_FILE, (row_entry(row, image) for row, image in entries))


def row_entry(row: Row, image: str) -> dict[str, object]:
    """Return a row as written in JSONL; its box in fractions, its image a path in the folder."""
    return {
        "id": row.id,
        "image": image,
        "question": row.question,
        "answers": list(row.answers),
        "box": box_entry(row.box),
        "image_id": row.image_id,
        "source": row.source,
    }


def box_entry(box: Box | None) -> list[float] | None:
    """Return a box as written in JSONL: [x0, y0, x1, y1] in fractions, or null."""
    return None if box is None else [box.x0, box.y0, box.x1, box.y1]


def store_image(image: ImageSource, folder: Path) -> str:
    """Put a picture's file into `folder`/images, named by its content.

    Returns:
        The path inside `folder`, with forward slashes.

    Raises:
        ImageError: it can't be read.
        DataError: the folder can't be written.
    """
    if isinstance(image, Image.Image):
        buffer = io.BytesIO()
        load_image(image).save(buffer, "PNG")
        data = buffer.getvalue()
    else:
        data = read_bytes(image)
    kind = (OpenedImage(data).format or "img").lower()
    suffix = {"jpeg": "jpg", "mpo": "jpg", "tiff": "tif", "jpeg2000": "jp2"}.get(kind, kind)
    name = f"images/{hashlib.sha256(data).hexdigest()[:32]}.{suffix}"
    if not (folder / name).exists():
        write_whole(folder / name, data)
    return name


def write_lines(path: str | Path, entries: Iterable[Mapping[str, object]]) -> Path:
    """Write JSON objects, one a line; the file appears when all are written.

    Raises:
        DataError: it can't be written.
    """
    write_whole(path, "".join(json.dumps(entry) + "\n" for entry in entries).encode())
    return Path(path)
