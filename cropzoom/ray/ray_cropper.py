"""`Cropper`, for Ray Data's `map_batches`: pictures and questions in, boxes out.

Nothing here needs Ray.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from PIL import Image

from cropzoom import cropper as croppers
from cropzoom.errors import ImageError, OptionsError
from cropzoom.files import read_inside
from cropzoom.images import ImageSource, decode_data_uri
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason
from cropzoom.zoom import Zoom, Zoomed

Source = str | os.PathLike[str] | croppers.Cropper
"""What `load_cropper` takes, or an object with its `predict` that pickles."""

_COLUMNS: dict[str, Any] = {
    "boxes": pa.list_(pa.list_(pa.float64())),
    "pixels": pa.list_(pa.list_(pa.int32())),
    "confidence": pa.list_(pa.float64()),
    "reason": pa.string(),
    "detail": pa.string(),
    "images": pa.list_(pa.binary()),
}
_MOST_DETAIL = 500


class Cropper:
    """A callable class for `ray.data.Dataset.map_batches`: one model an actor, columns added.

    Takes batches of the formats "pyarrow" and "numpy" and gives them back with the columns

    - `crop_boxes`: [x0, y0, x1, y1] of each crop, in fractions of the upright picture, best first;
    - `crop_pixels`: [left, top, right, bottom] of each in its pixels, right and bottom exclusive;
    - `crop_confidence`: of each, in [0, 1];
    - `crop_reason`: why there is none, a `Reason`; null exactly where there are crops;
    - `crop_detail`: the reason in a sentence;
    - `crop_images`, with `pictures`: each crop as a PNG's or JPEG's bytes.

    The image column may hold a picture's bytes, a path, a data URI, what `datasets` writes
    (`{"bytes", "path"}`), or pixels as `ray.data.read_images` gives them. The question column
    holds a text, or a list of texts for several crops of one page.

    Args:
        cropper: what `load_cropper` takes, or an object with its `predict` that pickles.
        options: which crops are worth having; None for the defaults. All that a cropper proposes
            come with `ZoomOptions(min_confidence=0, max_area=1)`. There is no deadline.
        image: name of the image column.
        question: name of the question column.
        roots: folders that paths in rows may lead into, links followed; relative ones start there.
            None: no file is read. They must be there on all nodes.
        max_bytes: most bytes of a picture's file, however it comes.
        pictures: whether the crops come as files, too.
        device: "cpu", "cuda" (raises where it can't be had), or "auto".
        threads: of one prediction. As many actors as cores are faster than threads.
        prefix: of the new columns' names.

    Raises:
        CropperError, MissingDependencyError, OptionsError: as `load_cropper`.
    """

    def __init__(
        self,
        cropper: Source = "nano",
        *,
        options: ZoomOptions | None = None,
        image: str = "image",
        question: str = "question",
        roots: Sequence[str | os.PathLike[str]] = (),
        max_bytes: int = 20_000_000,
        pictures: bool = False,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        threads: int = 1,
        prefix: str = "crop_",
    ) -> None:
        if isinstance(cropper, (str, os.PathLike)):
            cropper = croppers.load_cropper(cropper, device=device, threads=threads)
        # Nobody asks twice, and nobody waits.
        self._zoom = Zoom(cropper, replace(options or ZoomOptions(), cache_size=0, deadline=None))
        self._image, self._question = image, question
        self._roots = tuple(Path(root).resolve() for root in roots)
        self._max_bytes, self._pictures = max_bytes, pictures
        self.columns = new_columns(prefix, pictures)

    def __call__(self, batch: Any) -> Any:
        """Return a batch, a `pyarrow.Table` or a dict of numpy arrays, with the new columns.

        Raises:
            OptionsError: it is of another format, lacks a column, or has one of the new ones.
        """
        table = isinstance(batch, pa.Table)
        if not table and not isinstance(batch, Mapping):
            raise OptionsError(
                f"a batch of type {type(batch).__name__}; "
                "call map_batches with batch_format='pyarrow' or 'numpy'"
            )
        names = batch.column_names if table else list(batch)
        check_columns(names, (self._image, self._question), list(self.columns.values()))
        rows = [
            self._row(image, question)
            for image, question in zip(
                _values(batch[self._image]), _values(batch[self._question]), strict=True
            )
        ]
        if table:
            for role, name in self.columns.items():
                column = pa.array([row[role] for row in rows], _COLUMNS[role])
                batch = batch.append_column(name, column)
            return batch
        return {
            **batch,
            **{name: _objects([row[role] for row in rows]) for role, name in self.columns.items()},
        }

    def _row(self, image: Any, question: Any) -> dict[str, Any]:
        """Return the new values of a row; whatever is wrong with it is one of them."""
        crops: list[Zoomed] = []
        size: tuple[int, int] | None = None
        reason: Reason | None
        try:
            picture = self._picture(image)
            crops, report = self._zoom.crops(picture, _questions(question))
            size, reason, detail = report.size, report.reason, report.detail
        except _NoPicture as error:
            reason, detail = error.reason, str(error)
        except ImageError as error:
            reason, detail = Reason.BROKEN_IMAGE, str(error)
        except Exception as error:
            reason, detail = Reason.ERROR, f"{type(error).__name__}: {error}"
        boxes = [item.crop.box for item in crops]
        return {
            "boxes": [[box.x0, box.y0, box.x1, box.y1] for box in boxes],
            "pixels": [list(box.to_pixels(*size)) for box in boxes] if size else [],
            "confidence": [float(item.crop.confidence) for item in crops],
            "reason": None if reason is None else reason.value,
            "detail": _as_text(detail) if reason is not None else None,
            "images": [item.image.data for item in crops] if self._pictures else [],
        }

    def _picture(self, value: Any) -> ImageSource:
        if isinstance(value, Mapping):
            data = value.get("bytes")
            value = value.get("path") if data is None else data
        if value is None:
            raise _NoPicture(Reason.NO_IMAGE, "the row has no image")
        if isinstance(value, Image.Image):
            return value
        if isinstance(value, np.ndarray):
            if value.dtype != np.uint8 or value.ndim not in (2, 3):
                raise ImageError(
                    f"pixels of the type {value.dtype} and the shape {value.shape}; give uint8, "
                    "height x width or height x width x channels"
                )
            return Image.fromarray(value.squeeze())
        if isinstance(value, str):
            value = self._data(value)
        if not isinstance(value, (bytes, bytearray, memoryview)):
            raise _NoPicture(
                Reason.UNSUPPORTED_INPUT,
                f"an image of the type {type(value).__name__}; give bytes, a path or a data URI",
            )
        if len(value) > self._max_bytes:
            raise ImageError(
                f"the image has {len(value):,} bytes, the most is {self._max_bytes:,}; "
                "shrink it, or raise max_bytes"
            )
        return bytes(value)

    def _data(self, name: str) -> bytes:
        """Return what a data URI holds, or a file below the roots."""
        start = name[:8].lower()
        if start.startswith("data:"):
            return decode_data_uri(name)
        if start.startswith(("http://", "https://")):
            raise _NoPicture(
                Reason.REMOTE_URL, "the image is an address, and none is contacted; download it"
            )
        if not self._roots:
            raise _NoPicture(
                Reason.UNSUPPORTED_INPUT,
                "the image is a path, and no file may be read; give roots=[FOLDER]",
            )
        for root in self._roots:
            data = read_inside(root, name, self._max_bytes)
            if data is not None:
                return data
        raise ImageError(f"there is no file {name[:200]!r} under the roots")


def new_columns(prefix: str, pictures: bool) -> dict[str, str]:
    """Return the names of the new columns by what they hold."""
    return {role: prefix + role for role in _COLUMNS if pictures or role != "images"}


def check_columns(names: Sequence[str], needed: Sequence[str], new: Sequence[str]) -> None:
    """Check that what is needed is there, and what is new is not.

    Raises:
        OptionsError: it is otherwise.
    """
    missing = [name for name in needed if name not in names]
    if missing:
        raise OptionsError(
            f"there is no column {', '.join(map(repr, missing))}; there are {', '.join(names)}"
        )
    taken = [name for name in new if name in names]
    if taken:
        raise OptionsError(
            f"the column {taken[0]!r} is there already; choose another prefix for the new ones"
        )


class _NoPicture(Exception):
    """A row has no picture that may be looked at."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def _values(column: Any) -> Iterator[Any]:
    """Yield a column's values one at a time, so that no second copy of all pictures is made."""
    for value in column:
        yield value.as_py() if isinstance(value, pa.Scalar) else value


def _questions(value: Any) -> str | list[str]:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple, np.ndarray)):
        return [text for text in value if isinstance(text, str)]
    return ""


def _objects(values: list[Any]) -> Any:
    column = np.empty(len(values), dtype=object)
    for number, value in enumerate(values):
        column[number] = value
    return column


def _as_text(detail: str) -> str:
    """Return what a column of texts can hold: file names may have halves of characters."""
    return detail[:_MOST_DETAIL].encode("utf-8", "replace").decode("utf-8")
