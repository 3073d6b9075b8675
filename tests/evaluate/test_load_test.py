from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cropzoom.data.columns import ColumnMap
from cropzoom.data.test_set import load_test
from cropzoom.errors import DataError
from cropzoom.geometry import Box

OUTSIDE = "image outside the folder"


def write(folder: Path, *lines: object) -> Path:
    (folder / "a.png").write_bytes(b"not looked at yet")
    path = folder / "questions.jsonl"
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text), encoding="utf-8")
    return path


def test_a_file_of_questions(tmp_path: Path) -> None:
    full = {
        "id": 7,
        "image": "a.png",
        "question": "Who?",
        "answers": ["Ann", " ", "ann"],
        "box": [0.1, 0.2, 0.3, 0.4],
        "value": [0.2, 0.2, 0.3, 0.4],
        "key": "Name",
        "options": {"A": "Ann"},
        "image_id": "page 1",
        "category": "people",
    }
    path = write(tmp_path, full, {"image": "a.png", "question": "When?", "answer": "now"}, "")
    test = load_test(path)
    first, second = test.rows
    assert first.id == "7"
    assert first.answers == ("Ann", "ann")
    assert first.box == Box(0.1, 0.2, 0.3, 0.4)
    assert first.value == Box(0.2, 0.2, 0.3, 0.4)
    assert (first.key, first.image_id, first.category) == ("Name", "page 1", "people")
    assert first.options == {"A": "Ann"}
    assert first.picture() == str((tmp_path / "a.png").resolve())
    assert (second.id, second.answers, second.box) == ("2", ("now",), None)
    assert second.image_id == "" and second.category == ""
    assert not test.problems
    assert load_test(tmp_path).rows[0].id == "7"  # the folder that holds it


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("{", "bad line", "Expecting"),
        ("[1]", "bad line", "not a JSON object"),
        ({"image": "a.png", "answer": "x"}, "no question", "None"),
        ({"image": "a.png", "question": "q", "answer": 5}, "answers are not text", "5"),
        ({"image": "a.png", "question": "q", "answers": [1.5]}, "answers are not text", "[1.5]"),
        ({"image": "b.png", "question": "q", "answer": "x"}, "missing image", "b.png"),
        ({"question": "q", "answer": "x"}, "no image", "None"),
        ({"image": "../x.png", "question": "q", "answer": "x"}, OUTSIDE, "leaves"),
        ({"image": "/etc/hostname", "question": "q", "answer": "x"}, OUTSIDE, "leaves"),
        (
            {"image": "a.png", "question": "q", "answer": "x", "box": [0, 0, 5, 5]},
            "bad box",
            "outside",
        ),
        ({"image": "a.png", "question": "q", "answer": "x", "value": [0.1]}, "bad box", "[0.1]"),
        ({"image": "a.png", "question": "q", "answer": "x", "options": ["a"]}, "bad options", "a"),
    ],
)
def test_what_cannot_be_asked_is_listed(tmp_path: Path, line: object, kind: str, said: str) -> None:
    good = {"image": "a.png", "question": "q", "answer": "x"}
    test = load_test(write(tmp_path, good, line, good))
    assert len(test.rows) == 2
    (problem,) = test.problems
    assert (problem.row, problem.kind) == ("2", kind)
    assert said in problem.detail


def test_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no JSON object on any line"):
        load_test(write(tmp_path))
    with pytest.raises(DataError, match="no JSON object on any line"):
        load_test(write(tmp_path, "oops"))
    with pytest.raises(DataError, match="can't read"):
        load_test(tmp_path / "none.jsonl")
    write(tmp_path)
    (tmp_path / "more.jsonl").touch()
    with pytest.raises(DataError, match="holds 2 JSONL files; name the file"):
        load_test(tmp_path)


def test_ids_that_come_again_are_numbered(tmp_path: Path) -> None:
    line = {"id": "x", "image": "a.png", "question": "q", "answer": "a"}
    rows = load_test(write(tmp_path, line, line, line)).rows
    assert [row.id for row in rows] == ["x", "x#2", "x#3"]


@settings(max_examples=60)
@given(st.binary(max_size=60))
def test_any_bytes_give_rows_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError):
        load_test(path)


def test_rows_without_answers_stay(tmp_path: Path) -> None:
    rows = load_test(write(tmp_path, {"image": "a.png", "question": "q"})).rows
    assert [row.answers for row in rows] == [()]


def test_columns_and_pictures_of_another_name(tmp_path: Path) -> None:
    path = write(tmp_path, {"page": "a.png", "text": "q", "truth": "x"})
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "a.png").write_bytes(b"")
    columns = ColumnMap(image="page", question="text", answers="truth")
    row = load_test(path, columns=columns, image_folder=tmp_path / "pages").rows[0]
    assert (row.question, row.answers) == ("q", ("x",))
    assert row.picture() == str((tmp_path / "pages" / "a.png").resolve())


def test_parquet_too(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    picture = {"bytes": b"picture", "path": None}
    columns = {"image": [picture], "question": ["q"], "answers": [["x"]]}
    datasets.Dataset.from_dict(columns).to_parquet(str(tmp_path / "d.parquet"))
    test = load_test(tmp_path / "d.parquet")
    assert test.rows[0].picture() == b"picture" and test.rows[0].source == "d"
    assert test.identity != load_test(tmp_path / "d.parquet", split="train[:1]").identity
