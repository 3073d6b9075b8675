"""This machine's fonts that can write Latin text, in training and held-out families."""

from __future__ import annotations

import os
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from PIL import ImageFont

Split = Literal["train", "heldout"]

_SYSTEM_FOLDERS = {
    "linux": ["/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"],
    "darwin": ["/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"],
    "win32": [os.environ.get("WINDIR", "C:/Windows") + "/Fonts"],
}
_MUST_HAVE = "ABGQRagqry0123456789:.,$%-/"
_NOT_TEXT = ("emoji", "symbol", "dingbat", "math", "braille", "ocr", "stix", "barcode")
HELDOUT_SHARE = 0.15


@dataclass(frozen=True)
class Font:
    """A font at one size. `top` and `bottom` are the ink's extent round the baseline, px."""

    pil: ImageFont.FreeTypeFont | ImageFont.ImageFont
    size: int
    top: float
    bottom: float

    def length(self, text: str) -> float:
        """Advance width of a text, px."""
        return float(self.pil.getlength(text))

    def centres(self, word: str) -> tuple[float, ...]:
        """The middle of each character, as a share of the word's width (kerning left aside)."""
        advances = [_advance(self.pil, character) for character in word]
        total, before, middles = sum(advances) or 1.0, 0.0, []
        for advance in advances:
            middles.append((before + advance / 2) / total)
            before += advance
        return tuple(middles)


@lru_cache(maxsize=200_000)
def _advance(font: ImageFont.FreeTypeFont | ImageFont.ImageFont, character: str) -> float:
    return float(font.getlength(character))


@lru_cache(maxsize=4096)
def load_font(path: str | None, size: int) -> Font:
    """A font file at a size in px; None is Pillow's own font, which is always there."""
    if path is None:
        pil = ImageFont.load_default(size)
    else:
        pil = ImageFont.truetype(path, size, layout_engine=ImageFont.Layout.BASIC)
    _, top, _, bottom = pil.getbbox("Hgx", anchor="ls")
    return Font(pil, size, float(top), float(bottom))


def _writes_latin(path: str) -> bool:
    try:
        font = ImageFont.truetype(path, 16, layout_engine=ImageFont.Layout.BASIC)
        missing = bytes(font.getmask("\uffff"))
        masks = {bytes(font.getmask(c)) for c in _MUST_HAVE}
    except (OSError, ValueError):
        return False
    return len(masks) > 0.9 * len(_MUST_HAVE) and missing not in masks


def _family(path: str) -> str:
    try:
        return str(ImageFont.truetype(path, 16).getname()[0])
    except OSError:
        return Path(path).stem


@lru_cache(maxsize=8192)
def _writes(path: str, letters: str) -> bool:
    font = ImageFont.truetype(path, 16, layout_engine=ImageFont.Layout.BASIC)
    missing = bytes(font.getmask("\uffff"))
    masks = {bytes(font.getmask(c)) for c in letters}
    return missing not in masks and len(masks) > 0.7 * len(letters)


@lru_cache(maxsize=16)
def find_fonts(split: Split, folders: tuple[str, ...] = (), letters: str = "") -> tuple[str, ...]:
    """Paths of usable font files of one split, sorted by path.

    A family belongs to one split only, by the hash of its name, so that a held-out page shows no
    sibling of a font that was trained on. One script's Noto files count as one family each.

    Args:
        split: which part.
        folders: where to look; the system's font folders when empty.
        letters: of another script, which the fonts must be able to write besides Latin.
    """
    if letters:
        return tuple(path for path in find_fonts(split, folders) if _writes(path, letters))
    roots = folders or tuple(_SYSTEM_FOLDERS.get(sys.platform, _SYSTEM_FOLDERS["linux"]))
    paths = sorted(
        str(path)
        for root in roots
        for path in Path(root).expanduser().rglob("*")
        if path.suffix.lower() in (".ttf", ".otf")
        and not any(word in path.name.lower() for word in _NOT_TEXT)
    )
    chosen = []
    for path in paths:
        family = _family(path)
        # Near-twins (Liberation and Arimo, Roboto and its unhinted build) share a first word or a
        # metric-compatible design; the split is by the first word, which keeps most together.
        share = zlib.crc32(family.split()[0].lower().encode()) / 2**32
        if (share < HELDOUT_SHARE) == (split == "heldout") and _writes_latin(path):
            chosen.append(path)
    return tuple(chosen)
