from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.reading.answers import is_contained, is_exact, normalise


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("16 May 2025", "16May2025"),
        (" gb41 AIRE. ", "GB41 AIRE"),
        ("\u2212\u20ac34.90", "-\u20ac34.90"),
        ("\u201cYes\u201d", "yes"),
        ("2\u00d74", "2x4"),
    ],
)
def test_spacing_case_and_typography_do_not_matter(reply: str, answer: str) -> None:
    assert is_exact(reply, [answer])


@pytest.mark.parametrize(
    ("reply", "answer"),
    [("1.50", "150"), ("47.29", "47.79"), ("", ""), ("-5", "5"), ("total 5", "5")],
)
def test_other_answers_are_not_exact(reply: str, answer: str) -> None:
    assert not is_exact(reply, [answer])


@pytest.mark.parametrize(
    "reply", ["The total is $40.20.", "40.20", "It says 40 .20 pounds", "(40.20)", "40.20, in all"]
)
def test_an_answer_in_a_sentence_counts(reply: str) -> None:
    assert is_contained(reply, ["40.20"])


@pytest.mark.parametrize("reply", ["140.20", "40.205", "1,40.20", "40.20.5", "40.2", "A40.20", ""])
def test_a_part_of_another_number_does_not(reply: str) -> None:
    assert not is_contained(reply, ["40.20"])


def test_an_empty_answer_is_in_nothing() -> None:
    assert not is_contained("anything", ["", " "])


@given(st.text("abcXYZ019.,-$", min_size=1, max_size=12), st.text("abcXYZ019.,-$", max_size=12))
def test_exact_is_equality_but_for_spaces_case_and_ends(answer: str, other: str) -> None:
    core = answer.strip(".,").lower()
    spaced = f" {' '.join(answer.upper())}. "
    assert is_exact(spaced, [answer]) == bool(core)
    assert is_exact(other, [answer]) == (bool(core) and other.strip(".,").lower() == core)
    assert normalise(answer) == core
