"""Which scripts a question is written in."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

_MOST = 2000


def readable(question: str, scripts: Collection[str] | None) -> bool:
    """Tell whether a cropper that knows some scripts can read a question.

    Letters of other scripts are let through up to half the number of known ones: a name in Arabic
    within an English question does not make it unreadable. A question without letters is readable.

    Args:
        question: any text; its first 2,000 characters count.
        scripts: as Unicode names them, in any case: "latin", "greek", "cyrillic", "cjk". None: all.
    """
    if scripts is None:
        return True
    known = frozenset(script.upper() for script in scripts)
    ours = others = 0
    for character in unicodedata.normalize("NFKC", question[:_MOST]):
        if not character.isalpha():
            continue
        if _script(character) in known:
            ours += 1
        else:
            others += 1
    return others * 2 <= ours


def _script(letter: str) -> str:
    # "LATIN SMALL LETTER A", "CJK UNIFIED IDEOGRAPH-4E00"; some letters have no name.
    return "LATIN" if letter.isascii() else unicodedata.name(letter, "").partition(" ")[0]
