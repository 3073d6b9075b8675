"""What croppers are compared with: none, random, centre, the oracle, and a training-free rival."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from hashlib import sha256

from PIL import Image

from cropzoom.cropper import Cropper, load_cropper
from cropzoom.data.row import Row
from cropzoom.errors import CropperError
from cropzoom.geometry import Box, Crop
from cropzoom.options import Mode, ZoomOptions
from cropzoom.reading.ocr import OcrReader, require_reader
from cropzoom.reading.standin import Page, pick_answer

# The row being asked in this thread. Croppers that measure by cheating look at it: a real one gets
# no more than picture and question.
asked_row: ContextVar[Row] = ContextVar("cropzoom_asked_row")

THUMBNAIL_SIDE = ZoomOptions().thumbnail_side
_KINDS = (
    "none, thumbnail[:SIDE], random[:AREA|:CROPPER], centre[:AREA|:CROPPER], "
    "oracle, ocr, nano, a folder, or "
)
_BLIND = ("random", "centre")
_NOT_LOOKING = (*_BLIND, "none", "thumbnail", "oracle")


@dataclass(frozen=True)
class NamedCropper:
    """A cropper of an evaluation.

    Args:
        name: as given on the command line.
        cropper: None for no crop.
        identity: changes with what it would propose, as far as that can be told.
        mode: how its crops go out; None for the options' own.
        side: longest side, px, to which the picture is shrunk before it is asked about; None for
            the picture as it is.
    """

    name: str
    cropper: Cropper | None
    identity: str
    mode: Mode | None = None
    side: int | None = None


def oracle_box(region: Box, width: int, height: int) -> Box:
    """Return what a perfect cropper would show: key and value, with the context nano adds.

    Args:
        region: around key and value.
        width, height: of the picture, px.
    """
    return region.expand(1.25, pad_x=16 / width, pad_y=16 / height)


def centre_box(like: Box) -> Box:
    """Return a box of the same size in the middle of the picture."""
    x0, y0 = (1 - like.width) / 2, (1 - like.height) / 2
    return Box(x0, y0, x0 + like.width, y0 + like.height)


def random_box(like: Box, generator: random.Random) -> Box:
    """Return a box of the same size anywhere in the picture, all places equally likely."""
    x0 = generator.uniform(0, 1 - like.width)
    y0 = generator.uniform(0, 1 - like.height)
    return Box(x0, y0, min(1.0, x0 + like.width), min(1.0, y0 + like.height))


class Oracle:
    """Proposes the row's own box, with the context a cropper adds; nothing where there is none."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return the right box, with full confidence."""
        box = asked_row.get().box
        return [] if box is None else [Crop(oracle_box(box, *image.size), 1.0)]


class Blind:
    """Places a box without looking: in the middle, or anywhere.

    Args:
        like: a cropper whose boxes' sizes and confidences are taken, so that areas are equal and
            the same crops are added; or a share of the picture's area, in (0, 1].
        seed: of the places; None puts every box in the middle.
    """

    def __init__(self, like: Cropper | float, seed: int | None = None) -> None:
        self._like = like
        self._seed = seed
        # What is given to the other cropper, so that it says the same: see `Cropper`.
        for name in ("longest_edge", "grey"):
            if hasattr(like, name):
                setattr(self, name, getattr(like, name))

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return a box for each one of the cropper whose sizes are taken."""
        if isinstance(self._like, float):
            side = math.sqrt(self._like)
            crops = [Crop(Box(0, 0, side, side), 1.0)]
        else:
            crops = self._like.predict(image, question, k)
        generator = random.Random(f"{self._seed}:{asked_row.get().id}")
        return [
            Crop(
                centre_box(crop.box) if self._seed is None else random_box(crop.box, generator),
                crop.confidence,
            )
            for crop in crops
        ]


class OcrCropper:
    """The training-free rival: read the whole page, match the question's words to its lines.

    The box goes round the line that has most of the question's words and the value beside or
    below it, with the context the oracle has. Nothing is remembered, so its time is the true one.

    Args:
        reader: the text reader.
    """

    def __init__(self, reader: OcrReader | None = None) -> None:
        self._reader = reader or OcrReader()

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return one box at most, with how well the words fit as its confidence."""
        page = Page(image.width, image.height, tuple(self._reader.read(image)))
        reply = pick_answer(question, [page])
        if not reply.lines:
            return []
        boxes = [line.box for line in reply.lines]
        region = Box(
            min(box.x0 for box in boxes),
            min(box.y0 for box in boxes),
            max(box.x1 for box in boxes),
            max(box.y1 for box in boxes),
        )
        return [Crop(oracle_box(region, *image.size), min(1.0, reply.score))]


def make_croppers(
    names: Sequence[str], *, seed: int = 0, reader: OcrReader | None = None
) -> list[NamedCropper]:
    """Make the croppers to compare.

    Args:
        names: see the command's help. `random` and `centre` without an area take that of the first
            cropper among the names that looks at the picture, of "ocr" only if there is no other.
        seed: of the random places.
        reader: the text reader of "ocr".

    Raises:
        CropperError: a name means nothing, or is given twice; a folder is no cropper's.
        MissingDependencyError: "ocr", and rapidocr is not installed.
    """
    if len(set(names)) != len(names):
        raise CropperError(f"a cropper is given twice: {', '.join(names)}")
    croppers: dict[str, NamedCropper] = {}

    def make(name: str) -> NamedCropper:
        if name not in croppers:
            croppers[name] = _make(name, reader)
        return croppers[name]

    looking = [name for name in names if name.partition(":")[0] not in _NOT_LOOKING]
    looking.sort(key="ocr".__eq__)  # last, for its size takes a second to find
    compared = []
    for name in names:
        kind, _, size = name.partition(":")
        if kind in _BLIND:
            size = size or next(iter(looking), "")
            if not size:
                raise CropperError(
                    f"{name} needs a size, as no other cropper looks at the picture: "
                    f"{kind}:0.03 (share of the area) or {kind}:nano"
                )
            like = _share(size, name) or make(size)
            at = seed if kind == "random" else None
            if isinstance(like, float):
                compared.append(NamedCropper(name, Blind(like, at), f"{kind} {at} {like}"))
            elif like.cropper is None:
                raise CropperError(f"{name}: {size} proposes nothing, so it has no area")
            else:
                identity = f"{kind} {at} {like.identity}"
                compared.append(NamedCropper(name, Blind(like.cropper, at), identity))
        else:
            compared.append(make(name))
    return compared


def in_modes(
    croppers: Sequence[NamedCropper], modes: Sequence[Mode], side: int
) -> list[NamedCropper]:
    """Return each cropper once a mode, beside what they are measured against.

    That is the full picture ("none") and, as none of the modes sends less, the picture shrunk to
    the thumbnail's size without any crop.

    Args:
        croppers: of `make_croppers`.
        modes: at least one.
        side: of the thumbnail, px.
    """
    plain = [one for one in croppers if one.cropper is None]
    names = [one.name for one in plain]
    if "none" not in names:
        plain.insert(0, make_croppers(["none"])[0])
    if not any(one.side for one in plain):
        plain += make_croppers([f"thumbnail:{side}"])
    return plain + [
        replace(one, name=f"{one.name} {mode}", identity=f"{one.identity} {mode}", mode=mode)
        for one in croppers
        if one.cropper is not None
        for mode in modes
    ]


def _make(name: str, reader: OcrReader | None) -> NamedCropper:
    if name == "none":
        return NamedCropper(name, None, "none")
    if name.partition(":")[0] == "thumbnail":
        side = name.partition(":")[2] or str(THUMBNAIL_SIDE)
        if not (side.isdecimal() and 16 <= int(side) <= 8192):
            raise CropperError(f"{name}: the longest side must be 16 to 8192 px")
        return NamedCropper(name, None, f"thumbnail {side}", side=int(side))
    if name == "oracle":
        return NamedCropper(name, Oracle(), "oracle")
    if name == "ocr":
        require_reader()
        return NamedCropper(name, OcrCropper(reader), "ocr")
    try:
        cropper = load_cropper(name)
    except CropperError as error:
        raise CropperError(f"--cropper {name}: {error} (it may be {_KINDS}org/name)") from error
    # The manifest has the files' checksums in it.
    manifest = json.dumps(dataclasses.asdict(cropper.manifest), sort_keys=True, default=str)
    return NamedCropper(name, cropper, sha256(manifest.encode()).hexdigest()[:16])


def _share(text: str, name: str) -> float | None:
    try:
        share = float(text)
    except ValueError:
        return None
    if not 0 < share <= 1:
        raise CropperError(f"{name}: the share of the area must be above 0 and at most 1")
    return share
