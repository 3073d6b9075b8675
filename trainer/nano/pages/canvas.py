"""A grey page that remembers what was written on it and where."""

from __future__ import annotations

from dataclasses import dataclass, field

from PIL import Image, ImageDraw

from .fonts import Font

Rect = tuple[float, float, float, float]
"""Left, top, right, bottom in px."""


@dataclass(frozen=True)
class Word:
    """One written word and its box, px; `centres` are its characters', as shares of the width."""

    text: str
    box: Rect
    centres: tuple[float, ...]


@dataclass(frozen=True)
class Field:
    """Something that can be asked for: a key, its value, and where both stand (px).

    `kind` says how: "pair" (key beside or above its value), "cell" (row and column of a table;
    `key` is the row's name, `column` the column's), "contents" (a heading and its page number),
    "after" (a phrase and the words after it on the line), "under" (as "pair", below the heading
    `column` that tells it from the same key elsewhere), "whole" (a text without a key, such as a
    title; both boxes are its own), "fact" (a sentence's beginning and what it tells), "reverse" (a
    field asked for by its value). `questions` fit this field alone, besides the general forms.
    """

    key: str
    value: str
    key_box: Rect
    value_box: Rect
    kind: str
    value_kind: str = "word"
    column: str | None = None
    questions: tuple[str, ...] = ()


@dataclass
class Canvas:
    """A picture in the making. Coordinates are px; y is the baseline of a text."""

    image: Image.Image
    words: list[Word] = field(default_factory=list)
    fields: list[Field] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.draw = ImageDraw.Draw(self.image)

    def text(self, x: float, y: float, text: str, font: Font, ink: int) -> Rect:
        """Write a text with its baseline at y; returns its box."""
        self.draw.text((x, y), text, fill=ink, font=font.pil, anchor="ls")
        offset = 0
        for part in text.split(" "):
            if part:
                left = x + (font.length(text[:offset]) if offset else 0.0)
                box = (left, y + font.top, left + font.length(part), y + font.bottom)
                self.words.append(Word(part, box, font.centres(part)))
            offset += len(part) + 1
        return (x, y + font.top, x + font.length(text), y + font.bottom)


def union(*boxes: Rect) -> Rect:
    """The smallest box round all."""
    return (
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    )
