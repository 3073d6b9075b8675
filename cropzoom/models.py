"""What a named model sees of a picture, and what the picture costs in tokens.

The rules are data, in `models.json`: each has a pattern for names, a way of resizing, its numbers,
and the page or config they are from with the date it was read. `sight` applies them.

What a million tokens cost is in `prices.json`, likewise; `price_of` looks it up.

Tokens are those of the picture alone, as the provider bills them or as the open model's processor
lays them out, without the few tokens of the message around it.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cropzoom.cropper.smolvlm.idefics3 import TileSpec, layout

Size = tuple[int, int]
_Seen = tuple[Size | None, int]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one family of models takes pictures.

    Args:
        family: for people.
        pattern: regular expression, searched for in a lower-case model name.
        way: name of the resizing, a key of this module's table.
        numbers: what the way needs.
        source: address of the page or config that says so.
        date: when it was read, YYYY-MM-DD.
        known: False for the guess that stands for models of no known family.
        note: what of it the provider does not say itself, and where that is from; empty where the
            source says it all.
    """

    family: str
    pattern: str
    way: str
    numbers: Mapping[str, Any]
    source: str
    date: str
    known: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a model sees of one picture.

    Args:
        given: (width, height) in px of the picture as sent.
        size: (width, height) in px at which the model sees it; None where nobody has said.
        tokens: what it costs.
        rule: where this is from.
    """

    given: Size
    size: Size | None
    tokens: int
    rule: Rule

    @property
    def full(self) -> bool:
        """Whether the model sees the picture in full: no pixel lost, but for rounding."""
        if self.size is None:
            return False
        return all(seen >= 0.97 * side for seen, side in zip(self.size, self.given, strict=True))


def sight(model: str | None, size: Size, detail: str | None = None) -> Sight:
    """Return what a model sees of a picture.

    Args:
        model: name as in a request, with or without a provider's prefix; None: unknown.
        size: (width, height) of the picture in px, each >= 1.
        detail: "low", "high", "original", "auto" (OpenAI); "low", "medium", "high", "ultra_high"
            (Google's media resolution, with or without its prefix). Others' pictures have none.
    """
    rule = rule_for(model)
    level = (detail or "auto").lower().removeprefix("media_resolution_")
    seen, tokens = _WAYS[rule.way](size, level, rule.numbers)
    return Sight(size, seen, tokens, rule)


@lru_cache(maxsize=512)
def rule_for(model: str | None) -> Rule:
    """Return the rule of a model's family; its `known` is False where none fits the name."""
    name = (model or "").lower()
    # The last rule fits every name.
    return next(rule for rule in rules() if re.search(rule.pattern, name))


@lru_cache(maxsize=1)
def rules() -> tuple[Rule, ...]:
    """Return all rules, in the order in which names are tried."""
    text = (Path(__file__).parent / "models.json").read_text(encoding="utf-8")
    return tuple(Rule(**row) for row in json.loads(text))


@dataclass(frozen=True, slots=True)
class Price:
    """What a provider asks for, below any surcharge for long prompts, without any discount.

    Args:
        pattern: regular expression, searched for in a lower-case model name.
        prompt, completion: dollars per million tokens; pictures count as prompt.
        source: address of the page or table that says so.
        date: when it was read, YYYY-MM-DD.
    """

    pattern: str
    prompt: float
    completion: float
    source: str
    date: str


@lru_cache(maxsize=512)
def price_of(model: str | None) -> Price | None:
    """Return what a model's tokens cost, None where that is not known; `prices.json` has them."""
    name = (model or "").lower()
    return next((price for price in prices() if re.search(price.pattern, name)), None)


@lru_cache(maxsize=1)
def prices() -> tuple[Price, ...]:
    """Return all prices, in the order in which names are tried."""
    text = (Path(__file__).parent / "prices.json").read_text(encoding="utf-8")
    return tuple(Price(**row) for row in json.loads(text))


def _within(size: Size, side: int) -> Size:
    """Shrink to a longest side, keeping the shape."""
    scale = min(1.0, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _cover(size: Size, side: int) -> tuple[int, int]:
    """Return how many squares of a side cover a picture, across and down."""
    return math.ceil(size[0] / side), math.ceil(size[1] / side)


def _tiles(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """OpenAI's tiles of 512 px: fit 2048 px, shrink the shorter side to 768 px, count tiles."""
    if detail == "low":
        return _within(size, 512), numbers["base"]
    width, height = _within(size, 2048)
    scale = min(1.0, 768 / min(width, height))
    seen = max(1, round(width * scale)), max(1, round(height * scale))
    across, down = _cover(seen, 512)
    return seen, numbers["base"] + numbers["tile"] * across * down


def _patches(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """OpenAI's patches of 32 px: shrink into a budget of patches, times a multiplier."""
    if detail == "low":
        seen = _within(size, 512)
    else:
        limits = numbers["limits"]
        budget, side = limits[detail if detail in limits else numbers["auto"]]
        seen = _in_patches(size if side is None else _within(size, side), budget)
    across, down = _cover(seen, 32)
    tokens = across * down * numbers["multiplier"]
    # Published figures are rounded; what the newer models were measured to bill is rounded up.
    return seen, math.ceil(round(tokens, 6)) if numbers.get("up") else round(tokens)


def _in_patches(size: Size, budget: int | None) -> Size:
    across, down = _cover(size, 32)
    if budget is None or across * down <= budget:
        return size
    scale = math.sqrt(32**2 * budget / (size[0] * size[1]))
    wide, high = size[0] * scale / 32, size[1] * scale / 32
    # Whole patches along the side that would spill over.
    scale *= min(max(1, math.floor(side)) / side for side in (wide, high))
    return max(1, int(size[0] * scale)), max(1, int(size[1] * scale))


def _claude(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """Anthropic's patches of 28 px: the largest size of that shape within two limits."""
    edge: int = numbers["edge"]
    most: int = numbers["tokens"]

    def too_large(width: int, height: int) -> bool:
        across, down = _cover((width, height), 28)
        return max(across, down) * 28 > edge or across * down > most

    seen = size
    if too_large(*size):
        long, aspect = max(size), max(size) / min(size)
        first_too_large = bisect_left(
            range(1, long), True, key=lambda side: too_large(side, max(1, round(side / aspect)))
        )
        long = max(1, first_too_large)
        short = max(1, round(long / aspect))
        seen = (long, short) if size[0] >= size[1] else (short, long)
    across, down = _cover(seen, 28)
    return seen, across * down


def _gemini_tiles(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """Google's tiles, each seen at 768 px, as the rough formula of its guide has it."""
    if detail in numbers["levels"]:
        return None, numbers["levels"][detail]
    if max(size) <= 384:
        return size, 258
    unit = max(numbers["least"], math.floor(min(size) / 1.5))
    if "most" in numbers:
        unit = min(unit, numbers["most"])
    across, down = _cover(size, unit)
    scale = min(1.0, 768 / unit)
    return (round(size[0] * scale), round(size[1] * scale)), 258 * across * down


def _levels(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """As many tokens for every picture of a level."""
    levels = numbers["levels"]
    return None, levels.get(detail, levels[numbers["auto"]])


def _multiples(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """Qwen-VL: sides rounded to multiples, the area brought between two bounds."""
    unit, least, most = numbers["unit"], numbers["least"], numbers["most"]
    width, height = (round(side / unit) * unit for side in size)
    area = size[0] * size[1]
    if width * height > most:
        shrink = math.sqrt(area / most)
        width, height = (max(unit, math.floor(side / shrink / unit) * unit) for side in size)
    elif width * height < least:
        grow = math.sqrt(least / area)
        width, height = (math.ceil(side * grow / unit) * unit for side in size)
    return (width, height), width * height // unit**2


def _idefics(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """Idefics3 and SmolVLM: a longest edge, tiles, and the whole once more."""
    spec = TileSpec(numbers["edge"], numbers["tile"], True, 1, 1.0, (), ())
    place = layout(size, spec)
    per_tile = numbers["tokens"]
    # Each row ends with a line break, each tile has a tag and a mark around it.
    rows = place.rows * (place.columns * (per_tile + 2) + 1)
    return place.first, per_tile + 3 + rows


def _square(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """LLaVA 1.5: one square, into which servers either fit a picture or cut its ends off."""
    scale = numbers["side"] / max(size)
    return (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))), numbers["tokens"]


def _anyres(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """LLaVA-NeXT and OneVision: the best grid of squares, without its padding, and the whole."""
    side, grid = numbers["side"], numbers["grid"]
    width, height = size

    def fitness(shape: list[int]) -> tuple[int, int]:
        across, down = shape[1] * side, shape[0] * side
        scale = min(across / width, down / height)
        useful = min(int(width * scale) * int(height * scale), width * height)
        return useful, useful - across * down

    rows, columns = max(numbers["shapes"], key=fitness)
    wide, high = grid * columns, grid * rows
    if width / height > wide / high:
        high -= (high - int(round(height * (wide / width), 7))) // 2 * 2
    else:
        wide -= (wide - int(round(width * (high / height), 7))) // 2 * 2
    scale = min(columns * side / width, rows * side / height)
    seen = max(1, round(width * scale)), max(1, round(height * scale))
    if "most" in numbers:
        ratio = math.sqrt(wide * high / (numbers["most"] * grid**2))
        if ratio > 1.1:
            wide, high = int(wide // ratio), int(high // ratio)
    # A row ends with a token of its own.
    return seen, (wide + 1) * high + grid * grid


def _canvas(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """Llama: the canvas of tiles that takes the picture with the least resizing."""
    side: int = numbers["side"]
    most: int = numbers["most"]
    shapes = [(w, h) for w in range(1, most + 1) for h in range(1, most + 1) if w * h <= most]

    def scale_of(shape: tuple[int, int]) -> float:
        return min(shape[0] * side / size[0], shape[1] * side / size[1])

    fits = [shape for shape in shapes if scale_of(shape) >= 1]
    scale = min(map(scale_of, fits)) if fits else max(map(scale_of, shapes))
    best = (shape for shape in shapes if scale_of(shape) == scale)
    columns, rows = min(best, key=lambda shape: shape[0] * shape[1])
    seen = tuple(max(1, math.floor(length * min(scale, 1.0))) for length in size)
    tokens = numbers["tokens"]
    if numbers.get("attended"):
        return (seen[0], seen[1]), tokens * columns * rows
    tiles = rows * columns * (tokens + 1) if rows * columns > 1 else 0
    return (seen[0], seen[1]), tiles + tokens + 3


def _pixtral(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """Pixtral and Mistral: a longest edge, patches, and a token at the end of each row."""
    ratio = max(size) / numbers["edge"]
    width, height = (max(1, math.floor(side / max(ratio, 1.0))) for side in size)
    across, down = _cover((width, height), numbers["patch"])
    return (width, height), (across + 1) * down


def _area(size: Size, detail: str, numbers: Mapping[str, Any]) -> _Seen:
    """No known family: a token for so many pixels, up to a bound, which is a guess."""
    return None, min(numbers["most"], max(1, math.ceil(size[0] * size[1] / numbers["pixels"])))


_WAYS: Mapping[str, Callable[[Size, str, Mapping[str, Any]], _Seen]] = {
    "tiles": _tiles,
    "patches": _patches,
    "claude": _claude,
    "gemini_tiles": _gemini_tiles,
    "levels": _levels,
    "multiples": _multiples,
    "idefics": _idefics,
    "square": _square,
    "anyres": _anyres,
    "canvas": _canvas,
    "pixtral": _pixtral,
    "area": _area,
}
