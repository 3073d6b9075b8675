"""Images and prompts as Idefics3 and SmolVLM take them, without torch or transformers.

An image is enlarged or shrunk to a longest edge, stretched to whole tiles, cut into them row by
row, and seen once more as a whole, squashed into one tile. In the prompt, each tile is a run of
image tokens after a tag that says where it lies. The same numbers and strings as those of
transformers' `Idefics3ImageProcessorPil` and `Idefics3Processor` (5.23), and SmolVLM's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

Floats = npt.NDArray[np.float32]

IMAGE = "<image>"
FAKE = "<fake_token_around_image>"
GLOBAL = "<global-img>"
MOST_TILES = 6
"""Tiles in a row or column, at most: there are no tags for more."""


def tag(row: int, column: int) -> str:
    """Return the tag of a tile; row and column count from 0."""
    return f"<row_{row + 1}_col_{column + 1}>"


@dataclass(frozen=True)
class TileSpec:
    """How an image becomes tiles.

    Args:
        longest_edge: px that every image's longer side is brought to.
        tile: side of a tile in px.
        split: whether images are cut into tiles; else the whole is squashed into one.
        resample: Pillow's number of the filter (1 is Lanczos).
        rescale: factor on the grey levels 0 to 255, before mean and std.
        mean, std: of each colour channel.
    """

    longest_edge: int
    tile: int
    split: bool
    resample: int
    rescale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @cached_property
    def table(self) -> Floats:
        """(3, 256) float32: what each grey level of each channel becomes."""
        # In the reference's order of operations and precisions, to the bit.
        levels = (np.arange(256, dtype=np.float64) * self.rescale).astype(np.float32)
        mean, std = (np.array(i, np.float32)[:, None] for i in (self.mean, self.std))
        table: Floats = (levels - mean) / std
        return table


class Layout(NamedTuple):
    """Sizes (width, height) in px an image passes through, and the tiles it becomes.

    Attributes:
        first: after its longer side is brought to the longest edge.
        second: after it is stretched to whole tiles.
        rows, columns: of tiles; 0 and 0 where one tile holds it all.
    """

    first: tuple[int, int]
    second: tuple[int, int]
    rows: int
    columns: int

    @property
    def tiles(self) -> int:
        """How many, with the one that shows the whole."""
        return self.rows * self.columns + 1


def layout(size: tuple[int, int], spec: TileSpec, longest_edge: int | None = None) -> Layout:
    """Lay out an image of `size` (width, height); `longest_edge` instead of the spec's."""
    width, height = size
    longest = longest_edge or spec.longest_edge
    aspect = width / height
    if width >= height:
        width, height = longest, int(longest / aspect)
        height += height % 2
    else:
        width, height = int(longest * aspect), longest
        width += width % 2
    first = max(1, width), max(1, height)
    if not spec.split:
        return Layout(first, (spec.tile, spec.tile), 0, 0)
    width, height = first
    aspect = width / height
    if width >= height:
        width = _whole(width, spec.tile)
        height = _whole(int(width / aspect), spec.tile)
    else:
        height = _whole(height, spec.tile)
        width = _whole(int(height * aspect), spec.tile)
    columns, rows = width // spec.tile, height // spec.tile
    if rows == columns == 1:
        rows = columns = 0
    return Layout(first, (width, height), rows, columns)


def tiles(image: Image.Image, spec: TileSpec, longest_edge: int | None = None) -> Floats:
    """Cut an image into tiles.

    Args:
        image: RGB or L, upright.
        spec: the manifest's.
        longest_edge: px, instead of the spec's.

    Returns:
        (N, 3, T, T) float32: row by row, the whole image last.
    """
    plan, side = layout(image.size, spec, longest_edge), spec.tile
    filter_ = Image.Resampling(spec.resample)
    whole = image.convert("RGB").resize(plan.first, filter_).resize(plan.second, filter_)
    cut = np.asarray(whole)[None]
    if plan.rows:
        grid = cut.reshape(plan.rows, side, plan.columns, side, 3).swapaxes(1, 2)
        squashed = np.asarray(whole.resize((side, side), filter_))
        cut = np.concatenate((grid.reshape(-1, side, side, 3), squashed[None]))
    pixels = np.empty((len(cut), 3, side, side), np.float32)
    for channel in range(3):
        pixels[:, channel] = spec.table[channel][cut[..., channel]]
    return pixels


def image_text(plan: Layout, tokens: int) -> str:
    """Return what stands for an image in a prompt; `tokens` image tokens a tile."""
    run = IMAGE * tokens
    text = ""
    for row in range(plan.rows):
        text += "".join(FAKE + tag(row, column) + run for column in range(plan.columns)) + "\n"
    if plan.rows:
        text += "\n"
    return f"{text}{FAKE}{GLOBAL}{run}{FAKE}"


def _whole(side: int, tile: int) -> int:
    return math.ceil(side / tile) * tile
