from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cropzoom.data.row import BadRow
from cropzoom.data.sources import inside
from cropzoom.data.test_set import load_test
from cropzoom.errors import DataError
from cropzoom.geometry import Box


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
    found = load_test(path)
    first, second = found.rows
    assert first.id == "7"
    assert first.answers == ("Ann", "ann")
    assert first.box == Box(0.1, 0.2, 0.3, 0.4)
    assert first.value == Box(0.2, 0.2, 0.3, 0.4)
    assert (first.key, first.image_id, first.category) == ("Name", "page 1", "people")
    assert first.options == {"A": "Ann"}
    assert first.picture() == (tmp_path / "a.png").resolve()
    assert (second.id, second.answers, second.box) == ("line 2", ("now",), None)
    assert second.image_id == str((tmp_path / "a.png").resolve())
    assert not found.problems
    assert load_test(tmp_path).rows[0].id == "7"  # the folder that holds it


@pytest.mark.parametrize(
    ("line", "kind", "said"),
    [
        ("{", "malformed row", "not JSON"),
        ("[1]", "malformed row", "not a JSON object"),
        ({"image": "a.png", "answer": "x"}, "malformed row", "question"),
        ({"image": "a.png", "question": "q", "answer": 5}, "malformed row", "answers=5"),
        ({"image": "a.png", "question": "q", "answers": [1.5]}, "malformed row", "answers="),
        ({"image": "b.png", "question": "q", "answer": "x"}, "no image", "b.png"),
        ({"question": "q", "answer": "x"}, "no image", "None"),
        ({"image": "../x.png", "question": "q", "answer": "x"}, "no image", "outside"),
        ({"image": "/etc/hostname", "question": "q", "answer": "x"}, "no image", "outside"),
        (
            {"image": "a.png", "question": "q", "answer": "x", "box": [0, 0, 5, 5]},
            "malformed row",
            "box=",
        ),
        (
            {"image": "a.png", "question": "q", "answer": "x", "box": [0.1, 0.2]},
            "malformed row",
            "box=",
        ),
        (
            {"image": "a.png", "question": "q", "answer": "x", "options": ["a"]},
            "malformed row",
            "options=",
        ),
    ],
)
def test_what_cannot_be_asked_is_listed(tmp_path: Path, line: object, kind: str, said: str) -> None:
    good = {"image": "a.png", "question": "q", "answer": "x"}
    found = load_test(write(tmp_path, good, line, good))
    assert len(found.rows) == 2
    (problem,) = found.problems
    assert (problem.row, problem.kind) == ("line 2", kind)
    assert said in problem.detail


def test_nothing_to_ask(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no line that can be asked, for it is empty"):
        load_test(write(tmp_path))
    with pytest.raises(DataError, match="not JSON"):
        load_test(write(tmp_path, "oops"))
    with pytest.raises(DataError, match="can't read"):
        load_test(tmp_path / "none.jsonl")
    write(tmp_path)
    (tmp_path / "more.jsonl").touch()
    with pytest.raises(DataError, match="holds 2; name the file"):
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


@given(st.text(max_size=20))
def test_names_stay_inside(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    try:
        assert inside(folder, name).is_relative_to(folder.resolve())
    except BadRow as bad:
        assert bad.kind == "no image"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "secret").write_text("x")
    (folder / "link.png").symlink_to(tmp_path / "secret")
    with pytest.raises(BadRow, match="outside"):
        inside(folder, "link.png")
