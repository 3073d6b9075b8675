"""How a `pointer` cropper's image is prepared and its output read, as its manifest says."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise

from cropzoom.cropper.strict_json import Section

_SCRIPT = re.compile(r"[a-z][a-z-]{0,30}")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How an image becomes the model's input.

    Args:
        longest_edge: px that a longer image is shrunk to.
        multiple: the padded sides are multiples of this, in px.
        pad_value: grey level of the padding, 0 to 255.
        max_upscale: factor by which a small image may be enlarged; 1 for never.
        max_aspect: an image more elongated than this is not looked at.
    """

    longest_edge: int
    multiple: int
    pad_value: int
    max_upscale: float
    max_aspect: float


@dataclass(frozen=True, slots=True)
class QuestionSpec:
    """How a question becomes the model's input.

    Args:
        max_words: that the model takes.
        meanings: whether it is told what they mean.
        scripts: that it can read, as Unicode names them; None: not told.
    """

    max_words: int
    meanings: bool
    scripts: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How the model's output becomes boxes; lengths in px of the model's input.

    Args:
        cell: side of a cell.
        edge: distances from a cell's centre that an edge of the box may have, ascending.
        quantile: of each edge's distribution; above 0.5 a box is rather too large than too small.
            Of no account with a `price`.
        scale: the box is grown by this about its centre.
        pad_px: and then by this on each side.
        temperature: the logits are divided by it before the confidence is taken.
        join: probability, as a share of the first box's, from which a second box that reaches back
            is joined to it (see `point`); None for never.
        price: of area in chance, where boxes are chosen by the chance that they hold the answer
            (see `hold`), as since 0.5; None for a box at the edges' quantile.
        centre: worth of a box's middle in the answer, beside a `price` (see `hold`).
    """

    cell: int
    edge: tuple[float, ...]
    quantile: float
    scale: float
    pad_px: float
    temperature: float
    join: float | None = None
    price: float | None = None
    centre: float = 0.0


@dataclass(frozen=True, slots=True)
class CellSpec:
    """How the output of a vision-language model becomes boxes; lengths in fractions of the image.

    Args:
        subcells: cells along each side of what one image token shows.
        edge: distances from a cell's centre that an edge of the box may have, ascending.
        quantile: of each edge's distribution; above 0.5 a box is rather too large than too small.
        temperature: the logits are divided by it before the confidence is taken.
    """

    subcells: int
    edge: tuple[float, ...]
    quantile: float
    temperature: float


def image_spec(section: Section) -> ImageSpec:
    """Read and check `image`."""
    if section.take("mode") != "L":
        raise section.error("mode", "must be 'L'; upgrade cropzoom")
    spec = ImageSpec(
        longest_edge=section.integer("longest_edge", 16, 16384),
        multiple=section.integer("multiple", 1, 1024),
        pad_value=section.integer("pad_value", 0, 255),
        max_upscale=section.number("max_upscale", 1, 16, default=1.0),
        max_aspect=section.number("max_aspect", 1, math.inf, default=math.inf),
    )
    section.finish()
    return spec


def question_spec(section: Section) -> QuestionSpec:
    """Read and check `question`."""
    encoding = section.take("encoding")
    if encoding not in ("phoc", "phoc+meaning"):
        raise section.error("encoding", "must be 'phoc' or 'phoc+meaning'; upgrade cropzoom")
    scripts: tuple[str, ...] | None = None
    if "scripts" in section:
        given = section.take("scripts")
        if not isinstance(given, list) or not 1 <= len(given) <= 100:
            raise section.error("scripts", "must be a list of 1 to 100 names")
        if not all(isinstance(name, str) and _SCRIPT.fullmatch(name) for name in given):
            raise section.error("scripts", "must hold names of scripts, such as 'latin'")
        scripts = tuple(given)
    spec = QuestionSpec(section.integer("max_words", 1, 1024), encoding == "phoc+meaning", scripts)
    section.finish()
    return spec


def decode_spec(bins: Section, decode: Section) -> DecodeSpec:
    """Read and check `bins` and `decode` of a net like nano."""
    spec = DecodeSpec(
        cell=bins.integer("cell", 1, 1024),
        edge=_edge(bins, 65536),
        quantile=decode.number("quantile", 0.01, 0.999, default=0.5 if "price" in decode else None),
        scale=decode.number("scale", 1, 16),
        pad_px=decode.number("pad_px", 0, 4096),
        temperature=decode.number("temperature", 0.01, 100),
        join=decode.number("join", 0.01, 100) if "join" in decode else None,
        price=decode.number("price", 0.001, 1000) if "price" in decode else None,
        centre=decode.number("centre", 0, 1000, default=0.0),
    )
    bins.finish()
    decode.finish()
    return spec


def cell_spec(bins: Section, decode: Section) -> CellSpec:
    """Read and check `bins` and `decode` of a vision-language model."""
    spec = CellSpec(
        subcells=bins.integer("subcells", 1, 16),
        edge=_edge(bins, 1),
        quantile=decode.number("quantile", 0.01, 0.999),
        temperature=decode.number("temperature", 0.01, 100),
    )
    bins.finish()
    decode.finish()
    return spec


def _edge(bins: Section, most: int) -> tuple[float, ...]:
    edge = bins.take("edge")
    numbers = isinstance(edge, list) and all(type(value) in (int, float) for value in edge)
    if not numbers or not 2 <= len(edge) <= 1024:
        raise bins.error("edge", "must be a list of 2 to 1024 numbers")
    # `not (... < ...)` throughout: JSON's NaN compares false.
    rising = all(low < high for low, high in pairwise(edge))
    if not (edge[0] > 0 and edge[-1] <= most and rising):
        raise bins.error("edge", f"must ascend, from above 0 to at most {most}")
    return tuple(float(value) for value in edge)
