from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.errors import DataError
from cropzoom.evaluate.answer_file import Outcome, ResultFile, Setting

SETTING = Setting(
    data="set 1",
    scoring="exact lmms-eval",
    options={"max_crops": 1, "label": None},
    targets={"t": "1"},
    croppers={"none": "none"},
)
ANSWER = Outcome(
    row="7",
    target="t",
    cropper="nano",
    image="p",
    reply="fourteen\n“14”\u2028",
    score=1.0,
    milliseconds=12.5,
    boxes=((0.1, 0.2, 0.3, 0.4), (0.5, 0.5, 0.75, 0.75)),
    confidences=(0.9, 0.5),
    crop_pixels=100,
    prompt_tokens=7,
)


def test_answers_come_back_as_they_went(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    failed = Outcome(row="8", target="t", cropper="none", failure="request failed", detail="x")
    with ResultFile(path, SETTING) as results:
        results.add_outcome(ANSWER)
        results.add_outcome(failed)
    with ResultFile(path, SETTING) as results:
        assert results.outcomes == {ANSWER.key: ANSWER, failed.key: failed}
    # the setting, two answers, and no second setting since it is the same
    assert len(path.read_text(encoding="utf-8").split("\n")) == 3 + 1


def test_the_last_answer_counts(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "a", SETTING) as results:
        results.add_outcome(replace(ANSWER, reply=None, score=None, failure="request failed"))
        results.add_outcome(ANSWER)
    with ResultFile(tmp_path / "a", SETTING) as results:
        assert results.outcomes[ANSWER.key] == ANSWER


@given(st.integers(1, 400))
def test_a_torn_last_line_is_repaired(tmp_path_factory: pytest.TempPathFactory, kept: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "answers.jsonl"
    with ResultFile(path, SETTING) as results:
        results.add_outcome(ANSWER)
    whole = path.read_bytes()
    with ResultFile(path, SETTING) as results:
        results.add_outcome(replace(ANSWER, row="8"))
    added = path.read_bytes()[len(whole) :]
    torn = added[: min(kept, len(added) - 1)]
    path.write_bytes(whole + torn)
    with ResultFile(path, SETTING) as results:
        assert list(results.outcomes) == [ANSWER.key]
        results.add_outcome(replace(ANSWER, row="9"))
    with ResultFile(path, SETTING) as results:
        assert [key[0] for key in results.outcomes] == ["7", "9"]


def test_a_torn_first_line_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_bytes(b'{"kind": "sett')
    with ResultFile(path, SETTING) as results:
        results.add_outcome(ANSWER)
    with ResultFile(path, SETTING) as results:
        assert list(results.outcomes) == [ANSWER.key]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"data": "set 2"}, "data 'set 1', and now it is 'set 2'"),
        ({"scoring": "anls lmms-eval"}, "scoring"),
        ({"options": {"max_crops": 2, "label": None}}, "options"),
        ({"targets": {"t": "2"}}, "another 't' among its targets"),
        ({"croppers": {"none": "other"}}, "another 'none' among its croppers"),
    ],
)
def test_answers_of_another_setting_are_not_mixed_in(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    path = tmp_path / "answers.jsonl"
    ResultFile(path, SETTING).__exit__(None, None, None)
    with pytest.raises(DataError, match=said) as error:
        ResultFile(path, replace(SETTING, **change))
    assert "--out" in str(error.value)


def test_targets_and_croppers_may_be_added(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with ResultFile(path, SETTING) as results:
        results.add_outcome(ANSWER)
    more = replace(SETTING, targets={"u": "9"}, croppers={"nano": "n"})
    with ResultFile(path, more) as results:
        assert list(results.outcomes) == [ANSWER.key]
    with pytest.raises(DataError, match="another 'u'"):
        ResultFile(path, replace(SETTING, targets={"u": "10"}))


@pytest.mark.parametrize("line", ["{", "[]", '{"kind": "outcome"}', '{"row": 1}', "null"])
def test_a_broken_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "answers.jsonl"
    ResultFile(path, SETTING).__exit__(None, None, None)
    with path.open("a") as file:
        file.write(line + "\n")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"answers\.jsonl.* line 2"):
        ResultFile(path, SETTING)
    assert path.read_bytes() == before


def test_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"kind": "setting", "schema": 99}) + "\n")
    with pytest.raises(DataError, match="schema 99"):
        ResultFile(path, SETTING)


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with ResultFile(tmp_path / "a", SETTING), pytest.raises(DataError, match="another process"):
        ResultFile(tmp_path / "a", SETTING)
    with ResultFile(tmp_path / "a", SETTING):
        pass  # and free again


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="can't write"):
        ResultFile(tmp_path / "file" / "a", SETTING)
