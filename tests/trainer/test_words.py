"""Questions as vectors: PHOC by hand, folding, and the cut of long prompts."""

import re
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.cropper.nano.phoc import (
    ALPHABET,
    CLASSES,
    MAX_LETTERS,
    MAX_WORDS,
    WORD_DIM,
    character_class,
    encode_question,
    fold,
    phoc,
    question_words,
    split_words,
)


def bits(word: str) -> set[tuple[int, int, str]]:
    """(level, part, character) of every set bit."""
    vector, found, base = phoc(word), set(), 0
    for level in (1, 2, 3, 4, 5):
        for part in range(level):
            for index in range(CLASSES):
                if vector[base + part * CLASSES + index]:
                    found.add((level, part, (ALPHABET + "?")[index]))
        base += level * CLASSES
    return found


def test_phoc_of_a_two_letter_word_by_hand() -> None:
    found = bits("ab")
    # Whole word; then halves: each letter fills one.
    assert {b for b in found if b[0] <= 2} == {(1, 0, "a"), (1, 0, "b"), (2, 0, "a"), (2, 1, "b")}
    # Thirds: "a" spans [0, .5): 2/3 of it in the first third, 1/3 in the second.
    assert {b for b in found if b[0] == 3} == {(3, 0, "a"), (3, 2, "b")}
    # Quarters: "a" lies half in each of the first two.
    assert {b for b in found if b[0] == 4} == {(4, 0, "a"), (4, 1, "a"), (4, 2, "b"), (4, 3, "b")}
    assert phoc("ab")[-1] == 2 / 16


def test_other_characters_share_one_class() -> None:
    assert np.array_equal(phoc("a-b"), phoc("a/b"))
    assert not np.array_equal(phoc("a-b"), phoc("a1b"))


def test_similar_words_are_near() -> None:
    def distance(a: str, b: str) -> float:
        return float(np.abs(phoc(a) - phoc(b)).sum())

    assert distance("total", "totals") < distance("total", "date") / 2


def test_case_diacritics_and_punctuation_fold_away() -> None:
    assert split_words('  "Zürich," (TOTAL): €5.00 — ') == ["zurich", "total", "€5.00"]


def test_greek_and_cyrillic_letters_are_told_apart() -> None:
    def read(text: str) -> str:
        return "".join((ALPHABET + "?")[character_class(c)] for c in fold(text))

    # What looks like a Latin letter counts as it; accents and the two forms of a sigma fold away.
    assert read("ΣΎΝΟΛΟΣ") == read("σύνολος") == "suvolos"
    assert read("СУММА") == "cymma" and read("Їжак") == "ijak"
    for letters in ("αβγδεζηθικλμνξοπρστυφχψω", "абвгдежзийклмнопрстуфхцчшщъыьэюяіїєґ"):
        read_off = read(letters)
        assert "?" not in read_off
        # Few letters may share a class: words stay different.
        assert len(set(read_off)) > 0.75 * len(letters)
    assert not np.array_equal(phoc("дата"), phoc("цена"))
    assert read("漢字") == "??"


def test_a_long_prompt_keeps_its_question() -> None:
    prompt = "You are a helpful assistant. " * 40 + "What is the invoice number of order 4471?"
    words = question_words(prompt)
    assert len(words) == MAX_WORDS
    assert words[-4:] == ["invoice", "number", "order", "4471"]


def test_a_question_of_stop_words_alone_is_kept() -> None:
    assert question_words("is it " * 50) == ["is", "it"] * (MAX_WORDS // 2)


@given(st.text(max_size=300))
def test_any_text_encodes(text: str) -> None:
    words, mask = encode_question(text)
    assert words.shape == (MAX_WORDS, WORD_DIM) and mask.shape == (MAX_WORDS,)
    assert words.dtype == mask.dtype == np.float32
    assert np.isfinite(words).all() and words.min() >= 0 and words.max() <= 2
    count = len(question_words(text))
    assert mask.tolist() == [1.0] * count + [0.0] * (MAX_WORDS - count)
    assert not words[count:].any()


@given(st.text(max_size=120))
def test_words_are_what_the_plain_rule_says(text: str) -> None:
    edges = re.compile(r"^[^\w$€£%#]+|[^\w$€£%#]+$")
    assert split_words(text) == [word for raw in fold(text).split() if (word := edges.sub("", raw))]


@pytest.mark.parametrize(
    "text",
    [
        lambda n: "a" + "." * n + "a",
        lambda n: "." * n,
        lambda n: "a." * (n // 2),
        lambda n: "x" * n,
        lambda n: "a " * (n // 2),
        lambda n: "a" + "\u0301\u0316" * (n // 2),
        lambda n: "\ufdfa" * n,
        lambda n: "\ufdfa " * (n // 2),
        lambda n: " " * n,
        lambda n: "".join(chr(97 + i % 26) + "\u3000" * (i % 3) for i in range(n)),
    ],
)
def test_time_grows_no_faster_than_the_text(text) -> None:
    def seconds(n: int) -> float:
        question, times = text(n), []
        for _ in range(3):
            start = time.process_time()
            encode_question(question)
            times.append(time.process_time() - start)
        return min(times)

    small, large = seconds(10_000), seconds(1_000_000)
    # Linear is 100 times; quadratic would be 10,000 times. The floor swallows the clock's grain.
    assert large < 400 * max(small, 0.0005)


def test_memory_stays_within_bounds_however_many_words_come() -> None:
    encode_question("once")
    tracemalloc.start()
    try:
        for number in range(10_000):
            encode_question(f"w{number}" + "y" * 1_000)
        taken = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert taken < 6_000_000


def test_a_pasted_blob_does_not_hide_the_question() -> None:
    words = question_words("What is the due date? " + "QUJD" * 75_000)
    assert words[:5] == ["what", "is", "the", "due", "date"]
    assert len(words[5]) == MAX_LETTERS


def test_the_sheet_that_is_asked_about_is_not_what_is_asked_for() -> None:
    assert question_words("What is the due date on the invoice?") == [
        "what",
        "is",
        "the",
        "due",
        "date",
    ]
    assert question_words("When is the date of the invoice?")[-1] == "invoice"
    assert question_words("What is the number on the invoice?")[-1] == "invoice"
