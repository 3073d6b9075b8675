"""Boxes are written within their grammar whatever the logits, and cost few runs of the model."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cropzoom.bench.random_weights import smol_tokenizer
from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar, Walk, decode_box
from cropzoom.geometry import Box

TOKENIZER = smol_tokenizer()
VOCABULARY = TOKENIZER.get_vocab_size()


def encode(text: str) -> list[int]:
    return TOKENIZER.encode(text, add_special_tokens=False).ids


GRAMMAR = BoxGrammar.of_tokenizer(encode, "Assistant:")
ROWS = list(GRAMMAR.tokens)
Model = Callable[[tuple[int, ...]], np.ndarray]


def text_of(tokens: list[int]) -> str:
    return TOKENIZER.decode(tokens)


def constrained(model: Model, temperature: float = 1.0):  # type: ignore[no-untyped-def]
    """Write a box with a model that tells the logits (VOCABULARY,) after any tokens."""
    before: list[int] = []

    def step(tokens: list[int]) -> np.ndarray:
        before.extend(tokens)
        return model(tuple(before))[ROWS]

    return decode_box(GRAMMAR, step, temperature)


def unconstrained(model: Model, most: int = 24) -> list[int]:
    tokens: list[int] = []
    while len(tokens) < most:
        tokens.append(int(model(tuple(tokens)).argmax()))
    return tokens


def random_model(seed: int, scale: float) -> Model:
    return lambda tokens: scale * np.random.default_rng((seed, *tokens)).normal(size=VOCABULARY)


def leaning(corners: tuple[int, int, int, int], strength: float, seed: int) -> Model:
    """A random model that leans towards writing a certain box."""
    wanted = GRAMMAR.write(corners)

    def model(tokens: tuple[int, ...]) -> np.ndarray:
        logits = np.random.default_rng((seed, *tokens)).normal(size=VOCABULARY)
        if len(tokens) < len(wanted):
            logits[wanted[len(tokens)]] += strength
        return logits

    return model


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 3.0, 1e4]))
def test_any_logits_make_a_box(seed: int, scale: float) -> None:
    written = constrained(random_model(seed, scale))
    text = text_of(written.tokens)
    assert text == " [{}, {}, {}, {}].".format(*written.corners)
    assert encode(f"Assistant:{text}")[len(encode("Assistant:")) :] == written.tokens
    assert written.box == Box.from_text(text, repair=True)
    assert 0 <= written.confidence <= 1
    # With the prompt's: one for each corner's first digit, and for what follows it; "10" may go on.
    assert 4 <= written.steps <= 12
    assert written.steps == sum(1 if n < 1 else 3 if n in (10, 100) else 2 for n in written.corners)


@example((98, 10, 100, 0), 4.0, 98)  # the free text has a number above 100
@settings(max_examples=300, deadline=None)
@given(
    st.tuples(*[st.integers(0, 100)] * 4),
    st.sampled_from([2.0, 4.0, 9.0]),
    st.integers(0, 2**32),
)
def test_what_is_a_box_unconstrained_is_the_same_box(
    corners: tuple[int, int, int, int], strength: float, seed: int
) -> None:
    model = leaning(corners, strength, seed)
    free = unconstrained(model)
    written = constrained(model)
    for length in range(12, 21):
        try:
            box = Box.from_text(text_of(free[:length]), repair=True)
        except ValueError:
            continue
        percents = _percents(free[:length])
        if max(percents) > 100:
            continue  # put right in a text, and not to be written in the grammar
        if list(GRAMMAR.write(percents)) == free[:length]:
            assert written.tokens == free[:length]
            assert written.box == box
            return
    # Not a vacuous test: this strong a lean always makes the box.
    assert strength < 9


def _percents(tokens: list[int]) -> list[int]:
    # Not split and int: other white space than blanks may stand before a number.
    return [int(number) for number in re.findall(r"\d+", text_of(tokens))]


def test_order_and_size_are_put_right() -> None:
    written = constrained(leaning((60, 40, 20, 40), 99, 1))
    assert written.corners == (60, 40, 20, 40)
    assert written.box == Box.ordered(0.6, 0.4, 0.2, 0.4)


def test_forced_tokens_ride_along() -> None:
    fed: list[str] = []
    wanted = dict(zip(range(8), ["1", "2", "3", "4", "5", "6", "7", "8"], strict=True))

    def step(tokens: list[int]) -> np.ndarray:
        fed.append(text_of(tokens))
        logits = np.zeros(len(ROWS))
        logits[ROWS.index(encode(wanted[len(fed) - 1])[0])] = 1
        return logits

    written = decode_box(GRAMMAR, step)
    assert fed == [" [", "1", "2, ", "3", "4, ", "5", "6, ", "7"]
    assert text_of(written.tokens) == " [12, 34, 56, 78]."


def test_confidence_by_hand() -> None:
    """First corner: "4" 0.5 or "2" 0.5, then "5" 0.2, "6" 0.6, and "," 0.2; the rest certain."""
    chances = [
        {"4": 0.5, "2": 0.5 - 1e-9},
        {"5": 0.2, "6": 0.6, ",": 0.2},
        {"0": 1.0},
        {"7": 1.0},
        {"7": 1.0},
        {"9": 1.0},
        {"9": 1.0},
    ]

    def step(temperature: float) -> Callable[[list[int]], np.ndarray]:
        turn = iter(chances)

        def logits(tokens: list[int]) -> np.ndarray:
            found = np.full(len(ROWS), -1e4)
            for text, chance in next(turn).items():
                found[ROWS.index(encode(text)[0])] = temperature * math.log(chance)
            return found

        return logits

    for temperature in (1.0, 2.5):
        written = decode_box(GRAMMAR, step(temperature), temperature)
        assert written.corners == (46, 0, 77, 99)
        # In the forties, but for a bare 4: 0.5 * (0.2 + 0.6).
        assert written.confidence == pytest.approx(0.4**0.25)


def test_confidence_falls_with_doubt() -> None:
    sure = constrained(leaning((20, 30, 40, 50), 20, 3)).confidence
    unsure = constrained(leaning((20, 30, 40, 50), 3, 3)).confidence
    assert sure > 0.99 > unsure > 0.1


def test_a_walk_refuses_what_may_not_come() -> None:
    walk = Walk(GRAMMAR)
    with pytest.raises(ValueError, match="can't come here"):
        walk.push(encode("7")[0])
    walk.forced()
    assert set(walk.choices()) == set(encode("0123456789"))
    walk.push(encode("0")[0])
    assert walk.forced() == [*GRAMMAR.separator]


def test_other_tokenizers() -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    def words(*merges: tuple[str, str], digits: bool = True) -> Callable[[str], list[int]]:
        letters = sorted(pre_tokenizers.ByteLevel.alphabet())
        pieces = {piece: n for n, piece in enumerate([*letters, *map("".join, merges)])}
        made = Tokenizer(models.BPE(vocab=pieces, merges=list(merges)))
        steps = [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=digits)]
        if digits:
            steps.insert(0, pre_tokenizers.Digits(individual_digits=True))
        made.pre_tokenizer = pre_tokenizers.Sequence(steps)
        return lambda text: made.encode(text, add_special_tokens=False).ids

    plain = BoxGrammar.of_tokenizer(words(), "x", space=False)
    assert [len(part) for part in (plain.opening, plain.separator, plain.closing)] == [1, 2, 2]
    assert [len(number) for number in plain.numbers] == [1] * 10 + [2] * 90 + [3]
    # Whole numbers as tokens: a number costs one choice.
    whole = BoxGrammar.of_tokenizer(words(("4", "2"), digits=False), "x")
    assert len(whole.numbers[42]) == 1 and len(whole.numbers[43]) == 2
    # A comma that joins the digit before it can't be told apart.
    with pytest.raises(ValueError, match=r"joins|end can't be told"):
        BoxGrammar.of_tokenizer(words(("7", ","), digits=False), "x")
    with pytest.raises(ValueError, match="different numbers"):
        BoxGrammar((1,), ((2,),), (3,), (4,))
    with pytest.raises(ValueError, match="end can't be told"):
        BoxGrammar((1,), tuple((n,) for n in range(9, 110)), (9,), (4,))
