from pathlib import Path

import pytest
from unseen_wordings import Outcome, holds, interval, trials

from cropzoom.cropper.nano.phoc import split_words
from cropzoom.geometry import Box


def test_trials_have_the_answer_and_none_of_the_words(tmp_path: Path) -> None:
    wordings = tmp_path / "wordings.tsv"
    wordings.write_text("# comment\ntotal\tWhat must be settled?\nplate\tno such thing?\n", "utf-8")
    asked = trials(8, 2, 1, wordings)
    assert asked
    for trial in asked:
        assert trial.field.value_kind == trial.concept
        page = {w for word in trial.page.words for w in split_words(word.text)}
        assert not page & {"what", "must", "settled"}


def test_a_px_may_be_missing() -> None:
    box = Box(0.1, 0.1, 0.5, 0.5)
    assert holds(box, (9.5, 10.0, 50.0, 50.5), 100, 100)
    assert not holds(box, (8.0, 10.0, 50.0, 50.0), 100, 100)


def test_interval_holds_its_mean() -> None:
    results = [Outcome(str(i % 10), "total", i % 4 == 0, False, 0.1) for i in range(40)]
    mean, low, high = interval(results, lambda outcome: outcome.whole)
    assert mean == pytest.approx(0.25)
    assert low <= mean <= high
