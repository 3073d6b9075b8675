"""Prompts as plain strings, where a token marks the place of each image: "<image>What is this?"

Such a string may be a question alone or a whole conversation rendered with a chat template. A crop
needs a marker of its own, spelled as the model spells it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What chat templates write for whose turn it is, where that is no special token.
_ROLE = r"(?:system|user|human|assistant|model|gpt)"
_ROLE_BEFORE = re.compile(rf"^\s*{_ROLE}\s*(?::|\n|$)", re.IGNORECASE)
_ROLE_AFTER = re.compile(rf"(?:^|\n)\s*{_ROLE}\s*:?\s*$|\s{_ROLE}\s*:\s*$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Markers:
    """How a model's prompts are spelled.

    Args:
        image: the token that stands for an image.
        special: the tokenizer's special tokens.
        edges: special tokens that begin, end or pad a text, so they belong to no image.
    """

    image: str
    special: tuple[str, ...]
    edges: tuple[str, ...] = ()

    def count(self, prompt: str) -> int:
        """Return how many images a prompt has a place for."""
        return prompt.count(self.image)

    def question(self, prompt: str) -> str:
        """Return the text that was last asked, without special tokens and names of roles."""
        tokens = sorted({self.image, *self.special}, key=len, reverse=True)
        pieces = re.split("|".join(map(re.escape, tokens)), prompt)
        for piece in reversed(pieces):
            # Most prompts end with the name of the one whose turn it is.
            text = _ROLE_BEFORE.sub("", _ROLE_AFTER.sub("", piece)).strip()
            if text:
                return text
        return ""

    def insert(self, prompt: str, crops: Sequence[int], label: str | None) -> str:
        """Return a prompt with places for crops, each right after the place of its image.

        Args:
            prompt: has as many image tokens as `crops` has numbers.
            crops: how many crops each image has.
            label: text before each crop.
        """
        pieces = prompt.split(self.image)
        unit = [self.image] * len(crops)
        for number in range(len(crops)):
            before, after = self._wrapping(pieces[number], pieces[number + 1])
            added = f"{label or ''}{before}{self.image}{after}" * crops[number]
            # Behind what closes the image: the next piece starts with that.
            unit[number] += after + added
            pieces[number + 1] = pieces[number + 1][len(after) :]
        return "".join([*(a + b for a, b in zip(pieces, unit, strict=False)), pieces[-1]])

    def _wrapping(self, before: str, after: str) -> tuple[str, str]:
        """Return the special tokens between which an image token stands, if between two."""
        around = [token for token in self.special if token != self.image and token]
        opening = next((token for token in around if before.endswith(token)), "")
        closing = next((token for token in around if after.startswith(token)), "")
        if opening and closing and not {opening, closing} & set(self.edges):
            return opening, closing
        return "", ""
