"""Pages that a tiny VLM can read in a crop only: small two-digit values behind large letters.

A page is 256x256 px with six to nine entries at random places. An entry is a bold letter of 22 px
(its key) and, to its right, a two-digit value of 13 px. Squashed to 64x64 px, which is all that the
readers see of a page, the letters can be told apart and the digits can't. The question about an
entry is its key and an equals sign ("K="), the answer its value ("27").

All fonts come with Pillow or matplotlib, so the same seed gives the same page on every machine
with the same versions of these.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from cropzoom.data.row import Row
from cropzoom.geometry import Box

PAGE = 256
KEYS = "ACEFHJKLMNPRTVXZ"
KEY_SIZE = 22
VALUE_SIZE = 13
# Px of paper round an entry in the crop that counts as right, and between any two entries.
MARGIN = 4
# None is Pillow's own font (Aileron).
VALUE_FONTS = (None, "DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf")
_KEY_FONT = "DejaVuSans-Bold.ttf"

Pixels = tuple[float, float, float, float]


@dataclass(frozen=True)
class Entry:
    """One key with its value. Boxes are (left, top, right, bottom) in px, exact to the ink."""

    key: str
    value: str
    key_box: Pixels
    value_box: Pixels

    @property
    def box(self) -> Pixels:
        """Key and value together, px."""
        return (
            min(self.key_box[0], self.value_box[0]),
            min(self.key_box[1], self.value_box[1]),
            max(self.key_box[2], self.value_box[2]),
            max(self.key_box[3], self.value_box[3]),
        )

    @property
    def right_crop(self) -> Pixels:
        """The entry with `MARGIN` px of paper on each side, cut at the page's edge, px."""
        left, top, right, bottom = self.box
        return (
            max(0, left - MARGIN),
            max(0, top - MARGIN),
            min(PAGE, right + MARGIN),
            min(PAGE, bottom + MARGIN),
        )


@dataclass(frozen=True)
class Page:
    """A page (RGB, 256x256 px) and what stands on it, in no order."""

    image: Image.Image
    entries: tuple[Entry, ...]


def to_box(pixels: Pixels) -> Box:
    """Turn px of a page into fractions."""
    return Box.from_pixels(*pixels, PAGE, PAGE)


def draw_page(stream: str, index: int) -> Page:
    """Draw one page.

    Args:
        stream: which sequence of pages; two of them have no page in common but by chance.
        index: which page of the sequence; the same two give the same page.
    """
    rng = random.Random(f"{stream}/{index}")
    paper = rng.randint(225, 255)
    image = Image.new("RGB", (PAGE, PAGE), (paper,) * 3)
    font = rng.choice(VALUE_FONTS)
    entries: list[Entry] = []
    for key in rng.sample(KEYS, rng.randint(6, 9)):
        value = f"{rng.randrange(100):02}"
        key_stamp, value_stamp = _stamp(_KEY_FONT, KEY_SIZE, key), _stamp(font, VALUE_SIZE, value)
        gap = rng.randint(5, 11)
        drop = rng.randint(0, key_stamp.height - value_stamp.height)
        width, height = key_stamp.width + gap + value_stamp.width, key_stamp.height
        x, y = _free_place(rng, width, height, entries)
        value_at = x + key_stamp.width + gap, y + drop
        for stamp, at in ((key_stamp, (x, y)), (value_stamp, value_at)):
            image.paste((rng.randint(0, 70),) * 3, at, stamp)
        entries.append(
            Entry(key, value, _extent(key_stamp, (x, y)), _extent(value_stamp, value_at))
        )
    return Page(image, tuple(entries))


def row_of(page: Page, entry: Entry, name: str) -> Row:
    """Ask about an entry; the row's box is its right crop, `name` that of the page."""
    return Row(
        id=f"{name}/{entry.key}",
        image=page.image,
        question=f"{entry.key}=",
        answers=(entry.value,),
        box=to_box(entry.right_crop),
        image_id=name,
    )


def _free_place(rng: random.Random, width: int, height: int, taken: list[Entry]) -> tuple[int, int]:
    # Nine entries fill a fifth of a page: a free place is found in a few tries.
    while True:
        x, y = rng.randint(2, PAGE - 2 - width), rng.randint(2, PAGE - 2 - height)
        if not any(
            x - MARGIN < right
            and left < x + width + MARGIN
            and y - MARGIN < bottom
            and top < y + height + MARGIN
            for left, top, right, bottom in (entry.box for entry in taken)
        ):
            return x, y


def _extent(stamp: Image.Image, at: tuple[int, int]) -> Pixels:
    return at[0], at[1], at[0] + stamp.width, at[1] + stamp.height


@lru_cache(maxsize=1024)
def _stamp(font: str | None, size: int, text: str) -> Image.Image:
    """Return a text's ink as a mask (L), cut to the ink: so an entry's box is exact."""
    mask = Image.new("L", (4 * size, 3 * size))
    ImageDraw.Draw(mask).text((size, size), text, font=_font(font, size), fill=255)
    return mask.crop(mask.getbbox())


@lru_cache(maxsize=16)
def _font(name: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if name is None:
        return ImageFont.load_default(size)
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
