"""Against golden values from the harnesses' own functions; see make_golden_metrics.py."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.reading import metrics
from cropzoom.reading.metrics import HARNESSES, Harness

GOLDEN = json.loads(Path(__file__).with_name("golden_metrics.json").read_text(encoding="utf-8"))
BOTH = pytest.mark.parametrize(("column", "harness"), [(-2, "lmms-eval"), (-1, "vlmevalkit")])


def test_contractions_are_the_harnesses() -> None:
    spelled = {key: word for key, word in metrics.CONTRACTIONS.items() if key != word}
    found = hashlib.sha256(json.dumps(spelled, sort_keys=True).encode()).hexdigest()
    assert found == GOLDEN["contractions_sha256"]


@BOTH
def test_normalisation(column: int, harness: Harness) -> None:
    wanted = {row[0]: row[column] for row in GOLDEN["normalise"]}
    assert {text: metrics.normalise_vqa(text, harness) for text in wanted} == wanted


@BOTH
def test_vqa(column: int, harness: Harness) -> None:
    for row in GOLDEN["vqa"]:
        found = metrics.vqa_accuracy(row[0], row[1], harness)
        assert found == pytest.approx(row[column], abs=1e-12), row


@BOTH
def test_anls(column: int, harness: Harness) -> None:
    for row in GOLDEN["anls"]:
        assert metrics.anls(row[0], row[1]) == pytest.approx(row[column], abs=1e-12), row


@BOTH
def test_choice(column: int, harness: Harness) -> None:
    for row in GOLDEN["choice"]:
        assert metrics.choice_letter(row[0], row[1], harness) == row[column], row


def test_vstar() -> None:
    for reply, letter in GOLDEN["vstar"]:
        assert metrics.vstar_letter(reply) == letter, reply


@BOTH
def test_cycles(column: int, harness: Harness) -> None:
    for row in GOLDEN["cycles"]:
        assert metrics.cycle_accuracy(row[0], row[1]) == pytest.approx(row[column], abs=1e-12)


def test_the_harnesses_do_differ() -> None:
    # Otherwise the tests above would not tell the two ways apart.
    for name in ("normalise", "vqa", "choice"):
        assert any(row[-2] != row[-1] for row in GOLDEN[name]), name


def test_score_strips_for_lmms_eval_only() -> None:
    # `api/task.py` strips every reply; VLMEvalKit leaves that to the model's wrapper.
    assert metrics.score("anls", " ab ", ["ac"], harness="lmms-eval") == 0.5
    assert metrics.score("anls", " ab ", ["ac"], harness="vlmevalkit") == 0.75
    assert metrics.score("vstar", "C", ["c "]) == 1.0
    assert metrics.score("choice", "red", ["B"], {"A": "red", "B": "blue"}) == 0.0
    assert metrics.score("choice", "blue", ["B"], {"A": "red", "B": "blue"}) == 1.0
    assert metrics.score("choice", "purple", ["B"], {"A": "red", "B": "blue"}) == 0.0
    # V* by VLMEvalKit goes by letter or text, so "Blue" is not B.
    assert metrics.score("vstar", "Blue", ["B"]) == 1.0
    assert metrics.score("vstar", "Blue", ["B"], {"A": "x", "B": "y"}, "vlmevalkit") == 0.0
    assert metrics.score("exact", "Total.", ["total"]) == 1.0
    assert metrics.score("exact", "the total", ["total"]) == 0.0
    assert metrics.score("contained", "the total is 5", ["5"]) == 1.0


@given(st.text(max_size=12), st.text(max_size=12))
def test_levenshtein_is_a_distance(first: str, second: str) -> None:
    found = metrics.levenshtein(first, second)
    assert found == metrics.levenshtein(second, first)
    assert (found == 0) == (first == second)
    assert abs(len(first) - len(second)) <= found <= max(len(first), len(second))


def test_levenshtein_by_hand() -> None:
    assert metrics.levenshtein("kitten", "sitting") == 3
    assert metrics.levenshtein("", "abc") == 3


@given(st.text(max_size=30), st.lists(st.text(max_size=20), min_size=1, max_size=5))
def test_every_score_is_a_share(reply: str, answers: list[str]) -> None:
    options = {"A": "red", "B": answers[0]}
    for metric in metrics.METRICS:
        for harness in HARNESSES:
            assert 0 <= metrics.score(metric, reply, answers, options, harness) <= 1
