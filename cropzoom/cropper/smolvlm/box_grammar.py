"""The box grammar: decoding that can only write `[x1, y1, x2, y2].`, whole percents.

What the grammar leaves no choice about (brackets, commas, spaces, and the end of a number that
can have no further digit) is fed along with the next choice instead of costing a run of the model
each: seven or eight runs after the prompt's, and eleven at most. Wherever an unconstrained model
would write a box in these tokens, its every token is among the allowed ones, so the constrained
box is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product

import numpy as np
import numpy.typing as npt

from cropzoom.geometry import Box

Tokens = tuple[int, ...]
Floats = npt.NDArray[np.floating]

LARGEST = 100
"""Coordinates are whole percents, 0 to 100."""


@dataclass(frozen=True)
class BoxGrammar:
    """How a tokenizer writes a box.

    Args:
        opening: tokens of " [" (or "[", where no space comes first).
        numbers: for each of 0 to 100, its tokens.
        separator: tokens of ", ".
        closing: tokens of "].".

    Raises:
        ValueError: a part is empty, or a number can't be told from one that goes on.
    """

    opening: Tokens
    numbers: tuple[Tokens, ...]
    separator: Tokens
    closing: Tokens

    def __post_init__(self) -> None:
        if len(self.numbers) != LARGEST + 1 or len(set(self.numbers)) != LARGEST + 1:
            raise ValueError(f"needs {LARGEST + 1} different numbers")
        if not all((self.opening, self.separator, self.closing, *self.numbers)):
            raise ValueError("a part of the box has no token")
        inside = {token for number in self.numbers for token in number}
        if self.separator[0] in inside or self.closing[0] in inside:
            raise ValueError("a number's end can't be told from its tokens")

    @cached_property
    def tokens(self) -> Tokens:
        """All tokens that a box can be made of, ascending."""
        parts = (self.opening, self.separator, self.closing, *self.numbers)
        return tuple(sorted({token for part in parts for token in part}))

    def write(self, corners: Sequence[int]) -> Tokens:
        """Return the tokens of a box given by its four whole percents."""
        x0, y0, x1, y1 = (self.numbers[corner] for corner in corners)
        comma = self.separator
        return (*self.opening, *x0, *comma, *y0, *comma, *x1, *comma, *y1, *self.closing)

    @classmethod
    def of_tokenizer(
        cls, encode: Callable[[str], Sequence[int]], before: str, *, space: bool = True
    ) -> BoxGrammar:
        """Find out how a tokenizer writes a box.

        Args:
            encode: text -> token ids, without special tokens added.
            before: the text that stands before the box, such as "Assistant:".
            space: whether a space stands between the two.

        Raises:
            ValueError: its tokens of a box are not those of the box's parts, one after another.
        """
        lead = " [" if space else "["
        start = tuple(encode(before))
        # Each part is seen between its neighbours: a tokenizer may join what stands side by side.
        frame = tuple(encode(f"{before}{lead}7, 7, 7, 7]."))
        seven = _middle(encode, before, lead, 7, 7)
        places = [i for i in range(len(frame)) if frame[i : i + len(seven)] == seven]
        if frame[: len(start)] != start or len(places) != 4:
            raise ValueError("the tokenizer joins a box with the text before it")
        first, second, _, last = places
        grammar = cls(
            opening=frame[len(start) : first],
            numbers=tuple(_middle(encode, before, lead, n, 7) for n in range(LARGEST + 1)),
            separator=frame[first + len(seven) : second],
            closing=frame[last + len(seven) :],
        )
        alone = [(n, 7, 7, 7) for n in range(LARGEST + 1)]
        turned = [corners[i:] + corners[:i] for corners in alone for i in range(4)]
        for corners in (*turned, *product((0, 5, 10, 42, 99, 100), repeat=4)):
            text = "{}{}{}, {}, {}, {}].".format(before, lead, *corners)
            if tuple(encode(text)) != start + grammar.write(corners):
                raise ValueError(f"the tokenizer joins parts of {text!r}")
        return grammar


def _middle(
    encode: Callable[[str], Sequence[int]], before: str, lead: str, number: int, other: int
) -> Tokens:
    """Return the tokens of a number inside a box: what differs from a box with one more digit."""
    whole = tuple(encode(f"{before}{lead}{other}, {number}, {other}, {other}]."))
    left = tuple(encode(f"{before}{lead}{other}, "))
    right = tuple(encode(f", {other}, {other}]."))
    return whole[len(left) : len(whole) - len(right)]


class Walk:
    """A box being written: which tokens may come next.

    Attributes:
        values: the whole percents written so far.
        done: whether the box is complete.
    """

    def __init__(self, grammar: BoxGrammar) -> None:
        self.values: list[int] = []
        self.done = False
        self._grammar = grammar
        self._literal = list(grammar.opening)
        self._number: Tokens = ()

    def choices(self) -> dict[int, list[int]]:
        """Return the tokens that may come next and, within a number, the values each leads to."""
        if self.done:
            return {}
        if self._literal:
            return {self._literal[0]: []}
        at = len(self._number)
        found: dict[int, list[int]] = {}
        for value, tokens in enumerate(self._grammar.numbers):
            if tokens[:at] == self._number:
                token = tokens[at] if len(tokens) > at else self._after()[0]
                found.setdefault(token, []).append(value)
        return found

    def push(self, token: int) -> None:
        """Write one of the `choices`."""
        if token not in self.choices():
            raise ValueError(f"token {token} can't come here")
        if self._literal:
            self._literal.pop(0)
        elif token == self._after()[0]:
            self._literal = list(self._after()[1:])
            self.values.append(self._grammar.numbers.index(self._number))
            self._number = ()
        else:
            self._number += (token,)
        self.done = len(self.values) == 4 and not self._literal

    def forced(self) -> list[int]:
        """Write all that leaves no choice, and return it."""
        tokens: list[int] = []
        while len(choices := self.choices()) == 1:
            (token,) = choices
            tokens.append(token)
            self.push(token)
        return tokens

    def _after(self) -> Tokens:
        return self._grammar.separator if len(self.values) < 3 else self._grammar.closing


@dataclass
class Written:
    """A box that was written.

    Attributes:
        tokens: all its tokens.
        corners: x0, y0, x1, y1 in whole percents, as written: in any order.
        confidence: see `decode_box`.
        steps: runs of the model.
    """

    tokens: list[int]
    corners: tuple[int, ...] = ()
    confidence: float = 0.0
    steps: int = 0

    @property
    def box(self) -> Box:
        """The box in fractions of the image, with its corners put right by `Box.ordered`."""
        x0, y0, x1, y1 = (corner / LARGEST for corner in self.corners)
        return Box.ordered(x0, y0, x1, y1)


def decode_box(
    grammar: BoxGrammar, step: Callable[[list[int]], Floats], temperature: float = 1.0
) -> Written:
    """Write a box greedily within the grammar.

    The confidence is the geometric mean, over the four coordinates, of the probability that the
    model gives to the tenth of the image in which it put that coordinate, each given the
    coordinates before it and that a box is written at all. (With digits as tokens, what "4" alone
    would have been is not known once "45" is written, so it is a lower bound.) It says how sure
    the model is of the place, not how exact its edges are, and is calibrated only as far as
    `temperature` was.

    Args:
        grammar: of the model's tokenizer.
        step: feeds tokens and returns the logits that follow, (len(grammar.tokens),), in that
            order. The first call feeds what comes right after the prompt.
        temperature: > 0; divides the logits before the confidence is taken, not the choice.
    """
    walk = Walk(grammar)
    row = {token: index for index, token in enumerate(grammar.tokens)}
    feed = walk.forced()
    written = Written(list(feed))
    # For each coordinate: the probability of what was chosen, and of what else could have been.
    chosen = [1.0] * 4
    others: list[list[tuple[float, list[int]]]] = [[], [], [], []]
    while not walk.done:
        logits = np.asarray(step(feed), np.float64)
        written.steps += 1
        leads = sorted(walk.choices().items())
        scores = logits[[row[token] for token, _ in leads]]
        chances = _softmax(scores / temperature)
        best = int(np.argmax(scores))
        corner = len(walk.values)
        others[corner] += [
            (chosen[corner] * float(chances[index]), values)
            for index, (_, values) in enumerate(leads)
            if index != best
        ]
        chosen[corner] *= float(chances[best])
        walk.push(leads[best][0])
        feed = [leads[best][0], *walk.forced()]
        written.tokens += feed
    confidence = 1.0
    for value, path, rest in zip(walk.values, chosen, others, strict=True):
        near = [mass for mass, values in rest if {v // 10 for v in values} == {value // 10}]
        confidence *= min(1.0, path + sum(near)) ** 0.25
    written.corners = tuple(walk.values)
    written.confidence = confidence
    return written


def _softmax(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    weights: npt.NDArray[np.float64] = np.exp(scores - scores.max())
    weights /= weights.sum()
    return weights
