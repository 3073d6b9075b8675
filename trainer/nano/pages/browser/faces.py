"""Font families of one split as CSS: the files of `fonts.py`, grouped, with weight and slant."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import ImageFont

from ..fonts import Split, find_fonts

FONT_URL = "http://fonts.invalid/"
"""What follows is a path on this machine; the browser's only source of anything."""

# What most printed matter and most screens are set in, or drawn to look like it.
_COMMON = {
    *("Liberation Sans", "Liberation Serif", "Liberation Sans Narrow", "Arimo", "Tinos", "Carlito"),
    *("Caladea", "Roboto", "Roboto Condensed", "Open Sans", "Inter", "Lato", "DejaVu Sans"),
    *("DejaVu Serif", "Noto Sans", "Noto Serif", "Cantarell", "Nimbus Sans", "Nimbus Roman"),
    *("Nimbus Sans Narrow", "FreeSans", "Karla", "Andika", "P052", "CMU Serif", "Roboto Slab"),
}
_ORNATE = {
    *("Breip", "Domestic Manners", "El Abogado Loco", "It wasn't me", "Junkyard", "Lobster Two"),
    *("Penguin Attack", "Rufscript", "Z003", "Comfortaa", "Junicode Two Beta", "EB Garamond SC"),
}
# Dingbats, and keys of a keyboard, under the codes of letters.
_NO_LETTERS = {"D050000L", "Linux Biolinum Keyboard O"}
_WEIGHTS = {  # the first that a face's name contains
    **{"extralight": 200, "ultralight": 200, "hairline": 200, "thin": 200},
    **{"semibold": 600, "demi": 600, "extrabold": 800, "bold": 700, "medium": 500},
    **{"black": 900, "heavy": 900, "light": 300},
}


@dataclass(frozen=True)
class Face:
    """One font file of a family."""

    path: str
    weight: int
    italic: bool


@lru_cache(maxsize=16)
def families(
    split: Split, folders: tuple[str, ...] = (), letters: str = ""
) -> dict[str, tuple[Face, ...]]:
    """Faces by family, of families that have an upright face of normal weight.

    A script's own Noto file is left out: its Latin letters are Noto Sans's.
    """
    found: dict[str, list[Face]] = {}
    for path in sorted(
        find_fonts(split, folders, letters), key=lambda path: (len(Path(path).stem), path)
    ):
        family, style = (str(part or "") for part in ImageFont.truetype(path, 16).getname())
        if re.match(r"Noto (Sans|Serif) (?!Display|Mono)", family) or family in _NO_LETTERS:
            continue
        # Some files name their face in one place only.
        name = re.sub("[^a-z]", "", f"{style} {Path(path).stem}".lower())
        weight = next((w for word, w in _WEIGHTS.items() if word in name), 400)
        italic = any(word in name for word in ("italic", "oblique", "slant"))
        for width in ("cond", "expanded"):
            if width in name and width not in family.lower():
                family += f" {width}"
        faces = found.setdefault(family, [])
        if all((face.weight, face.italic) != (weight, italic) for face in faces):
            faces.append(Face(path, weight, italic))
    return {
        family: tuple(faces)
        for family, faces in sorted(found.items())
        if any(not face.italic and face.weight <= 500 for face in faces)
    }


def draw_family(rng: random.Random, split: Split, kind: str = "body", letters: str = "") -> str:
    """A family for body text, for a "head" (any, the ornate ones too), or a "mono" one.

    It can write `letters` besides Latin.

    Returns:
        A family's name; empty when the machine has no font of the split.
    """
    names = list(families(split, (), letters))
    mono = [n for n in names if re.search("Mono|Code|Courier|Cousine|Hack|Inconsolata", n)]
    plain = [n for n in names if n not in _ORNATE and n not in mono]
    common = [n for n in plain if n in _COMMON]
    if kind == "mono":
        chosen = mono
    elif kind == "head" and rng.random() < 0.15:
        chosen = names
    else:
        chosen = common if rng.random() < 0.6 else plain
    return rng.choice(chosen or names or [""])


def font_css(family: str, split: Split) -> str:
    """`@font-face` rules of a family's upright and slanted faces."""
    rules = []
    for face in families(split).get(family, ()):
        weight = "100 900" if "[wght]" in Path(face.path).name else str(face.weight)
        slant = "italic" if face.italic else "normal"
        rules.append(
            f"@font-face{{font-family:'{_css_name(family)}';font-weight:{weight};"
            f"font-style:{slant};src:url('{FONT_URL}{face.path.lstrip('/')}')}}"
        )
    return "\n".join(rules)


def _css_name(family: str) -> str:
    return family.replace("'", "")


def css_family(family: str, generic: str = "sans-serif") -> str:
    """The value of `font-family`."""
    return f"'{_css_name(family)}',{generic}" if family else generic
