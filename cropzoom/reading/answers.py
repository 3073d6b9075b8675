"""Telling whether an answer is right, whatever its spacing, case and typography."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_SAME = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u201c": '"',
        "\u201d": '"',
        "\u2010": "-",
        "\u2011": "-",
        "\u2012": "-",
        "\u2013": "-",
        "\u2014": "-",
        "\u2212": "-",
        "\u00d7": "x",
    }
)
_EDGES = " \t\n.,;:!?'\"()[]{}*_|"


def normalise(text: str) -> str:
    """Return `text` folded for comparison: no case, no spaces, plain dashes and quotes.

    Spaces go altogether because readers drop and invent them. Signs inside the text stay, since
    `1.50` and `150` differ; punctuation at its ends goes.
    """
    folded = unicodedata.normalize("NFKC", text).translate(_SAME).casefold()
    return re.sub(r"\s+", "", folded.strip(_EDGES))


def is_exact(reply: str, answers: Iterable[str]) -> bool:
    """Tell whether `reply` is one of `answers` and nothing more, after `normalise`."""
    folded = normalise(reply)
    return bool(folded) and any(folded == normalise(answer) for answer in answers)


def is_contained(reply: str, answers: Iterable[str]) -> bool:
    """Tell whether one of `answers` stands in `reply` as words of its own.

    For models that answer in sentences. Letters and digits next to the match disqualify it:
    `40` is not in `The total is 140.20`.
    """
    return any(find_answer(answer, reply) is not None for answer in answers)


def find_answer(answer: str, text: str) -> tuple[float, float] | None:
    """Tell where `answer` first stands in `text` as words of its own (see `is_contained`).

    Returns:
        Start and end as shares of the text's length, 0 <= start < end <= 1; None where it doesn't.
    """
    folded = " ".join(unicodedata.normalize("NFKC", text).translate(_SAME).casefold().split())
    characters = normalise(answer)
    if not characters:
        return None
    spaced = r"\s*".join(map(re.escape, characters))
    # A number must not go on: neither digits nor ".5" after it, nor "1," before it.
    before, after = r"(?<!\w)(?<!\d[.,])", r"(?!\w)(?![.,]\d)"
    match = re.search(before + spaced + after, folded)
    return None if match is None else (match.start() / len(folded), match.end() / len(folded))
