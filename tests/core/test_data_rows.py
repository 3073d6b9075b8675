"""Rows from all kinds of data, what is skipped and why, and splits by picture."""

from __future__ import annotations

import io
import json
import pickle
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

datasets = pytest.importorskip("datasets")
# ruff: noqa: E402

from cropzoom.data.columns import BadRow, ColumnMap, box_of
from cropzoom.data.presets import PRESETS
from cropzoom.data.row import Row
from cropzoom.data.rows import Rows, load_rows, split_rows
from cropzoom.data.writing import save_rows
from cropzoom.errors import CropZoomError, DataError, ImageError
from cropzoom.geometry import Box


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    datasets.disable_progress_bars()


def picture(shade: int = 255, size: tuple[int, int] = (40, 20), kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, shade, shade)).save(buffer, kind)
    return buffer.getvalue()


def write_jsonl(path: Path, *entries: object) -> Path:
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def entry(**changes: object) -> dict[str, object]:
    return {"image": "a.png", "question": "What?", "answers": ["it"], **changes}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.png").write_bytes(picture())
    return tmp_path


# --- JSONL


def test_jsonl_with_every_column(folder: Path) -> None:
    file = write_jsonl(
        folder / "d.jsonl",
        entry(id="q1", image_id="p", source="mine", box=[0.1, 0.2, 0.5, 0.6], answers=["A", "a"]),
        entry(answers="just one"),
    )
    rows = load_rows(file)
    assert len(rows) == 2 and len(rows.skipped) == 0
    first, second = rows
    assert (first.id, first.image_id, first.source) == ("q1", "p", "mine")
    # Repetitions and case are votes and facts: both stay.
    assert first.answers == ("A", "a") and first.box == Box(0.1, 0.2, 0.5, 0.6)
    assert first.load().size == (40, 20)
    # By default: the line's number, no picture's name, the file's name.
    assert (second.id, second.image_id, second.source) == ("2", "", "d")
    assert second.answers == ("just one",) and second.box is None


def test_what_is_wrong_is_skipped_and_counted(folder: Path, caplog: Any) -> None:
    (folder / "text.png").write_text("no picture")
    cases: list[tuple[object, str]] = [
        ("{torn", "bad line"),
        ("[1, 2]", "bad line"),
        ("[" * 100_000, "bad line"),
        (entry(question=" "), "no question"),
        (entry(question=None), "no question"),
        (entry(answers=[]), "no answers"),
        (entry(answers=["", " "]), "no answers"),
        (entry(answers=None), "no answers"),
        (entry(answers=[1.50]), "answers are not text"),
        (entry(image=None), "no image"),
        (entry(image={"bytes": "x"}), "no image"),
        (entry(image="missing.png"), "missing image"),
        (entry(image="a\0.png"), "missing image"),
        (entry(image="x" * 5000), "missing image"),
        (entry(image="text.png"), "broken image"),
        (entry(box=[0.5, 0.2, 0.1, 0.6]), "bad box"),
        (entry(box=[0.1, 0.2, 0.1, 0.6]), "bad box"),
        (entry(box=[0.1, 0.2, 1.5, 0.6]), "bad box"),
        (entry(box=[0.1, 0.2, float("nan"), 0.6]), "bad box"),
        (entry(box=[0.1, 0.2, 10**400, 0.6]), "bad box"),
        (entry(box=[0.1, 0.2]), "bad box"),
        (entry(box="whole"), "bad box"),
        (entry(id=["x"]), "bad id"),
    ]
    file = write_jsonl(folder / "d.jsonl", entry(id="good"), *(case for case, _ in cases))
    with caplog.at_level("WARNING"):
        rows = load_rows(file)
    assert [row.id for row in rows] == ["good"]
    assert [problem.kind for problem in rows.skipped.rows] == [reason for _, reason in cases]
    # Lines are numbered from 1, and the first one is good.
    assert rows.skipped.rows[0].row == "2" and rows.skipped.counts["bad box"] == 7
    assert f"{len(cases)} skipped (7 bad box, " in caplog.text
    rows.skipped.save(folder / "skipped.jsonl")
    written = [json.loads(line) for line in (folder / "skipped.jsonl").read_text().splitlines()]
    assert len(written) == len(cases)
    assert written[3] == {"id": "5", "reason": "no question", "detail": "' '"}


def test_ids_that_come_again_are_numbered(folder: Path) -> None:
    again = entry(id="x")
    file = write_jsonl(folder / "d.jsonl", again, entry(id="x", question=" "), again, again)
    assert [row.id for row in load_rows(file)] == ["x", "x#2", "x#3"]


def test_no_row_at_all_is_an_error_that_says_why(folder: Path) -> None:
    file = write_jsonl(folder / "d.jsonl", entry(answers=[]), entry(image="gone.png"))
    with pytest.raises(DataError, match=r"no row to use: 2 skipped \(1 no answers, 1 missing"):
        load_rows(file)


def test_paths_may_not_leave_the_folder(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(picture())
    (inside / "deep" / "a.png").write_bytes(picture())
    (inside / "link.png").symlink_to(tmp_path / "secret.png")
    (inside / "deep" / "up").symlink_to(tmp_path)
    bad = ["../secret.png", str(tmp_path / "secret.png"), "link.png", "deep/up/secret.png"]
    file = write_jsonl(
        inside / "d.jsonl",
        *(entry(image=path) for path in bad),
        entry(image="deep/../deep/a.png"),
        entry(image=str(inside / "deep" / "a.png")),
    )
    rows = load_rows(file)
    assert rows.skipped.counts == {"image outside the folder": 4} and len(rows) == 2
    # The user, not the data, may name another folder: both absolute paths are in it.
    assert len(load_rows(file, image_folder=tmp_path)) == 2
    with pytest.raises(DataError, match="is no folder"):
        load_rows(file, image_folder=tmp_path / "nowhere")


def test_a_picture_that_goes_later_is_an_image_error(folder: Path) -> None:
    rows = load_rows(write_jsonl(folder / "d.jsonl", entry(id="q")))
    (folder / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png"):
        rows[0].load()


def test_an_upright_rgb_picture_is_not_copied() -> None:
    image = Image.new("RGB", (4, 4))
    assert Row("1", image, "?").load() is image
    turned = image.copy()
    turned.getexif()[0x0112] = 6
    grey = Image.new("L", (4, 4))
    for other in (turned, grey):
        assert Row("1", other, "?").load() is not other
        assert Row("1", other, "?").load().mode == "RGB"


def test_checks_of_images_by_depth(folder: Path) -> None:
    (folder / "cut.png").write_bytes(picture(size=(300, 300))[:-400])
    file = write_jsonl(folder / "d.jsonl", entry(), entry(image="cut.png"))
    assert len(load_rows(file)) == 2
    rows = load_rows(file, check_images="decode")
    assert rows.skipped.counts == {"broken image": 1} and "cut.png" in rows.skipped.rows[0].detail
    (folder / "text.png").write_text("no picture")
    file = write_jsonl(folder / "e.jsonl", entry(image="text.png"))
    assert len(load_rows(file, check_images="none")) == 1


# --- boxes


@pytest.mark.parametrize(
    ("units", "layout", "numbers"),
    [
        ("fractions", "xyxy", [0.25, 0.5, 0.5, 1]),
        ("percent", "xyxy", [25, 50, 50, 100]),
        ("thousandths", "xyxy", [250, 500, 500, 1000]),
        ("pixels", "xyxy", [10, 10, 20, 20]),
        ("pixels", "xywh", [10, 10, 10, 10]),
        ("percent", "xywh", [25, 50, 25, 50]),
    ],
)
def test_boxes_in_all_units(folder: Path, units: Any, layout: Any, numbers: list[float]) -> None:
    file = write_jsonl(folder / "d.jsonl", entry(box=numbers), entry(box=[0, 0, 2000, 2000]))
    rows = load_rows(file, box_units=units, box_layout=layout)
    assert rows[0].box == Box(0.25, 0.5, 0.5, 1)
    assert rows.skipped.counts == {"bad box": 1} and units in rows.skipped.rows[0].detail


def test_pixels_are_those_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn: 40x20 is shown as 20x40
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    file = write_jsonl(tmp_path / "d.jsonl", entry(image="a.jpg", box=[0, 0, 20, 40]))
    assert load_rows(file, box_units="pixels")[0].box == Box(0, 0, 1, 1)


def test_boxes_can_be_needed_or_ignored(folder: Path) -> None:
    file = write_jsonl(
        folder / "d.jsonl", entry(box=[0, 0, 1, 1]), entry(), entry(box=[5, 5, 1, 1])
    )
    assert load_rows(file, boxes="need").skipped.counts == {"no box": 1, "bad box": 1}
    rows = load_rows(file, boxes="ignore")
    assert len(rows) == 3 and {row.box for row in rows} == {None}


@settings(deadline=None)
@given(st.lists(st.floats(), min_size=4, max_size=4), st.sampled_from(["xyxy", "xywh"]))
def test_any_four_numbers_make_a_box_or_a_bad_row(numbers: list[float], layout: Any) -> None:
    try:
        box = box_of(numbers, "percent", layout, None)
    except BadRow as bad:
        assert bad.kind == "bad box"
    else:
        assert isinstance(box, Box)


# --- columns


def test_columns_are_mapped_by_pairs(folder: Path) -> None:
    file = write_jsonl(
        folder / "d.jsonl", {"picture": "a.png", "q": "What?", "meta": {"answers": ["x", "y"]}}
    )
    columns = ColumnMap.parse(["image=picture", "question = q", "answers=meta.answers"])
    assert load_rows(file, columns=columns)[0].answers == ("x", "y")
    with pytest.raises(DataError, match=r"no column 'image'.*meta, picture, q"):
        load_rows(file)
    with pytest.raises(DataError, match="no column 'nothing' for the box"):
        load_rows(file, columns=replace(columns, box="nothing"))


@pytest.mark.parametrize("pair", ["image", "image=", "=a", "colour=a", ""])
def test_bad_column_pairs(pair: str) -> None:
    with pytest.raises(DataError, match="ROLE=NAME"):
        ColumnMap.parse([pair])


def test_lists_of_questions_become_rows(folder: Path) -> None:
    file = write_jsonl(
        folder / "d.jsonl",
        {
            "image": "a.png",
            "qas": [
                {"question": "One?", "answers": ["1"]},
                {"question": "Two?", "answers": []},
                {"question": "Three?", "answers": ["3"]},
            ],
        },
        # datasets before 4 turns a list of structs into a struct of lists.
        {"image": "a.png", "qas": {"question": ["Four?"], "answers": [["4", "four"]]}},
        {"image": "a.png", "qas": {"question": ["Five?"], "answers": []}},
    )
    columns = ColumnMap(question="qas.question", answers="qas.answers")
    rows = load_rows(file, columns=columns)
    assert [(row.id, row.question, row.answers) for row in rows] == [
        ("1.0", "One?", ("1",)),
        ("1.2", "Three?", ("3",)),
        ("2", "Four?", ("4", "four")),
    ]
    assert [(problem.row, problem.kind) for problem in rows.skipped.rows] == [
        ("1.1", "no answers"),
        ("3", "bad record"),
    ]
    assert [row.id for row in load_rows(file, columns=columns, limit=2)] == ["1.0", "1.2"]


# --- datasets and parquet

IMAGE = datasets.Image()
TEXTS = [datasets.Value("string")]
# Names and types as the dataset cards (and, for stvqa, public code that loads it) have them.
HUB = {
    "textvqa": (
        "data",
        {
            "image_id": datasets.Value("string"),
            "question_id": datasets.Value("int32"),
            "question": datasets.Value("string"),
            "question_tokens": TEXTS,
            "image": IMAGE,
            "image_width": datasets.Value("int32"),
            "image_height": datasets.Value("int32"),
            "flickr_original_url": datasets.Value("string"),
            "flickr_300k_url": datasets.Value("string"),
            "answers": TEXTS,
            "image_classes": TEXTS,
            "set_name": datasets.Value("string"),
            "ocr_tokens": TEXTS,
        },
        {"image_id": "pic", "question_id": 7, "question": "What?", "answers": ["a", "a", "b"]},
        ("7", "pic", "What?", ("a", "a", "b")),
    ),
    "docvqa": (
        "DocVQA",
        {
            "questionId": datasets.Value("string"),
            "question": datasets.Value("string"),
            "question_types": TEXTS,
            "image": IMAGE,
            "docId": datasets.Value("int64"),
            "ucsf_document_id": datasets.Value("string"),
            "ucsf_document_page_no": datasets.Value("string"),
            "answers": TEXTS,
            "data_split": datasets.Value("string"),
        },
        {"questionId": "337", "question": "Date?", "answers": ["1/8/93"], "ucsf_document_id": "p"},
        ("337", "p", "Date?", ("1/8/93",)),
    ),
    "infographicvqa": (
        "InfographicVQA",
        {
            "questionId": datasets.Value("string"),
            "question": datasets.Value("string"),
            "answers": TEXTS,
            "answer_type": TEXTS,
            "image": IMAGE,
            "image_url": datasets.Value("string"),
            "operation/reasoning": TEXTS,
            "ocr": datasets.Value("string"),
            "data_split": datasets.Value("string"),
        },
        {"questionId": "6", "question": "How many?", "answers": ["4"], "image_url": "http://x/y"},
        ("6", "http://x/y", "How many?", ("4",)),
    ),
    "stvqa": (
        "data",
        {
            "image": IMAGE,
            "qas": [{"question": datasets.Value("string"), "answers": TEXTS}],
        },
        {
            "qas": [
                {"question": "Sign?", "answers": ["stop"]},
                {"question": "Shop?", "answers": ["x"]},
            ]
        },
        ("0.0", "", "Sign?", ("stop",)),
    ),
}


def table(preset: str) -> Any:
    _, features, record, _ = HUB[preset]
    empty = dict.fromkeys(features)
    full = {**empty, **record, "image": {"bytes": picture(), "path": "x.png"}}
    columns = {name: [full[name]] for name in features}
    return datasets.Dataset.from_dict(columns, features=datasets.Features(features))


@pytest.mark.parametrize("preset", HUB)
def test_presets_read_the_hubs_columns(preset: str, tmp_path: Path) -> None:
    folder, _, _, expected = HUB[preset]
    (tmp_path / folder).mkdir()
    # As in the repository; other splits beside it must not come along.
    for split in PRESETS[preset].files:
        table(preset).to_parquet(tmp_path / folder / f"{split}-00000-of-00001.parquet")
    rows = load_rows(tmp_path, preset=preset)
    row = rows[0]
    assert len(rows) == (2 if preset == "stvqa" else 1) and len(rows.skipped) == 0
    assert (row.id, row.image_id, row.question, row.answers) == expected
    assert row.source == preset
    # Undecoded: the very bytes.
    assert row.picture() == picture()
    with pytest.raises(DataError, match=f"{preset} has no split 'all'"):
        load_rows(tmp_path, preset=preset, split="all")


def test_presets_without_answers_say_so(tmp_path: Path) -> None:
    empty = table("docvqa").map(lambda _: {"answers": None})
    (tmp_path / "DocVQA").mkdir()
    empty.to_parquet(tmp_path / "DocVQA" / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="1 no answers"):
        load_rows(tmp_path, preset="docvqa", split="test")


def test_saved_folders_of_datasets(tmp_path: Path) -> None:
    both = datasets.DatasetDict({"train": table("textvqa"), "validation": table("textvqa")})
    both.save_to_disk(tmp_path / "saved")
    rows = load_rows(tmp_path / "saved", preset="textvqa", split="validation")
    assert rows[0].image_id == "pic"
    # `answers` and `question` have their roles' names already.
    assert load_rows(tmp_path / "saved")[0].id == "0"
    with pytest.raises(DataError, match="no split 'test'; it has train, validation"):
        load_rows(tmp_path / "saved", split="test")
    table("textvqa").save_to_disk(tmp_path / "one")
    assert load_rows(tmp_path / "one")[0].source == "one"


def test_parquet_files_with_bytes_structs_and_paths(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "a.png").write_bytes(picture())
    (tmp_path.parent / "out.png").write_bytes(picture())
    images = [
        [picture(1), picture(2)],
        [{"bytes": picture(3), "path": None}, {"bytes": None, "path": "a.png"}],
        ["a.png", "../out.png"],
        [[{"bytes": picture(4)}], [{"bytes": picture(5)}, {"bytes": picture(6)}]],
    ]
    for number, column in enumerate(images):
        columns = {"image": column, "question": ["What?"] * 2, "answers": [["x"]] * 2}
        pq.write_table(pa.table(columns), tmp_path / f"{number}.parquet")
    assert [row.picture() for row in load_rows(tmp_path / "0.parquet")] == images[0]
    struct = load_rows(tmp_path / "1.parquet")
    assert struct[0].picture() == picture(3) and struct[1].load().size == (40, 20)
    paths = load_rows(tmp_path / "2.parquet")
    assert len(paths) == 1 and paths.skipped.counts == {"image outside the folder": 1}
    lists = load_rows(tmp_path / "3.parquet")
    assert len(lists) == 1 and lists.skipped.counts == {"not one image": 1}
    # Several files are one data set.
    two = load_rows([tmp_path / "0.parquet", tmp_path / "0.parquet"])
    assert [row.id for row in two] == ["0", "1", "2", "3"]
    assert len(load_rows(tmp_path / "0.parquet", split="train[:1]")) == 1


def test_a_plain_folder_is_read_by_datasets(tmp_path: Path) -> None:
    table("textvqa").to_parquet(tmp_path / "train-00000.parquet")
    assert load_rows(tmp_path)[0].question == "What?"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nonsense", "'nonsense' is no data: give a JSONL"),
        ("nowhere.jsonl", "can't read nowhere.jsonl: No such file"),
        ("nowhere.parquet", "can't load"),
        (["a.parquet", "b.jsonl"], "must be parquet files"),
        ([], "must be parquet files"),
        ("d.json", "is no data"),
        ("empty.jsonl", "no JSON object on any line"),
    ],
)
def test_sources_that_are_none(
    source: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.json").write_text("{}")
    (tmp_path / "empty.jsonl").write_text("\n3\n")
    with pytest.raises(DataError, match=message):
        load_rows(source)


def test_a_file_without_splits_has_no_other_split(folder: Path) -> None:
    file = write_jsonl(folder / "d.jsonl", entry())
    with pytest.raises(DataError, match="without splits"):
        load_rows(file, split="test")
    with pytest.raises(DataError, match="no preset 'vqa'"):
        load_rows(file, preset="vqa")


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_rows_or_an_error(data: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "d.jsonl"
        file.write_bytes(data)
        with pytest.raises(CropZoomError):
            load_rows(file)


# --- Rows, writing, splitting


def test_rows_are_a_sequence_that_workers_can_take(folder: Path) -> None:
    file = write_jsonl(folder / "d.jsonl", *(entry(id=name) for name in "abc"))
    rows = load_rows(file)
    assert [row.id for row in rows[1:]] == ["b", "c"] and rows[-1].id == "c"
    assert [row.id for row in rows.select([2, 0])] == ["c", "a"]
    assert [row.id for row in rows + rows[:1]] == ["a", "b", "c", "a"]
    copy = pickle.loads(pickle.dumps(rows))
    assert copy[0] == rows[0]
    with pytest.raises(IndexError):
        rows[3]


def test_written_rows_come_back_the_same(folder: Path) -> None:
    rows = [
        Row("1", picture(9), "Wö?", ("ä", "b"), Box(0.1, 1 / 3, 0.7, 0.9), "p1", "s"),
        Row("2", str(folder / "a.png"), "Line\u2028end\n?", ("x",), None, "p2", "t"),
        Row("3", Image.new("L", (8, 8), 77), "?!", ("x",), None, "p3", "t"),
        Row("4", picture(9), "again", ("x",), None, "p1", "s"),
    ]
    file = save_rows(rows, folder / "out")
    assert file == folder / "out" / "rows.jsonl"
    back = load_rows(folder / "out")
    assert [head.id for head in back] == ["1", "2", "3", "4"]
    for row, read in zip(rows, back, strict=True):
        assert (row.id, row.question, row.answers, row.box) == (
            read.id,
            read.question,
            read.answers,
            read.box,
        )
        assert (row.image_id, row.source) == (read.image_id, read.source)
        assert row.load().tobytes() == read.load().tobytes()
    # The same bytes are there once; nothing is left over.
    assert len(list((folder / "out" / "images").iterdir())) == 3
    assert [path for path in (folder / "out").rglob("*") if path.name.endswith(".part")] == []


def test_writing_stops_at_a_broken_picture_without_a_half_file(folder: Path) -> None:
    rows = [Row("1", picture(), "?", ("x",)), Row("2", b"broken", "?", ("x",))]
    with pytest.raises(ImageError):
        save_rows(rows, folder / "out")
    assert not (folder / "out" / "rows.jsonl").exists()
    (folder / "file").write_text("")
    with pytest.raises(DataError, match="can't write"):
        save_rows(rows, folder / "file")


def many_rows() -> Rows:
    """Two sources, 30 and 10 pictures, 1 to 3 questions each; a third of pictures has no id."""
    rows = []
    for number in range(40):
        for question in range(number % 3 + 1):
            rows.append(
                Row(
                    f"{number}.{question}",
                    picture(number),
                    "?",
                    ("x",),
                    image_id="" if number % 3 == 0 else str(number),
                    source="big" if number < 30 else "small",
                )
            )
    return Rows(rows)


def pictures_of(rows: Rows) -> set[str]:
    return {row.id.partition(".")[0] for row in rows}


def test_splits_share_no_picture_and_mix_sources_alike() -> None:
    rows = many_rows()
    parts = split_rows(rows, {"train": 0.8, "validation": 0.2}, seed=1)
    train, validation = parts["train"], parts["validation"]
    assert not pictures_of(train) & pictures_of(validation)
    assert len(train) + len(validation) == len(rows)
    for source in ("big", "small"):
        everything = sum(head.source == source for head in rows)
        held_out = sum(head.source == source for head in validation)
        # To the size of a picture's group.
        assert abs(held_out - 0.2 * everything) <= 3


@pytest.mark.parametrize(("shares", "sizes"), [((0.5, 0.5), (5, 5)), ((0.7, 0.2, 0.1), (7, 2, 1))])
def test_shares_are_exact_where_they_can_be(
    shares: tuple[float, ...], sizes: tuple[int, ...]
) -> None:
    rows = Rows([Row(str(n), b"", "?", ("x",), image_id=str(n)) for n in range(10)])
    parts = split_rows(rows, {str(n): share for n, share in enumerate(shares)})
    assert tuple(map(len, parts.values())) == sizes


def test_splits_depend_on_the_seed_and_not_on_the_order() -> None:
    rows = many_rows()
    shares = {"a": 0.5, "b": 0.3, "c": 0.2}
    first = split_rows(rows, shares, seed=3)
    order = list(range(len(rows)))
    random.Random(0).shuffle(order)
    again = split_rows(rows.select(order), shares, seed=3)
    other = split_rows(rows, shares, seed=4)
    for part in shares:
        ids = {head.id for head in first[part]}
        assert ids == {head.id for head in again[part]}
        assert ids != {head.id for head in other[part]}
    # Within a part, the rows keep the order they had.
    places = [list(rows).index(head) for head in first["a"]]
    assert places == sorted(places)


def test_the_same_bytes_without_ids_stay_together_even_across_sources() -> None:
    rows = Rows(
        [
            Row(f"{source}{number}", picture(number), "?", ("x",), source=source)
            for source in "st"
            for number in range(30)
        ]
    )
    parts = split_rows(rows, {"a": 0.5, "b": 0.5})
    numbers = [{head.id[1:] for head in part} for part in parts.values()]
    assert not numbers[0] & numbers[1]


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({}, "above 0"),
        ({"a": 1.0, "b": 0.0}, "above 0"),
        ({"a": 0.5, "b": float("nan")}, "above 0"),
        ({"a": 0.5, "b": 0.4}, "must sum to 1"),
        ({"a": 0.999, "b": 0.001}, "'b' would be empty"),
    ],
)
def test_shares_that_make_no_split(shares: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_rows(many_rows(), shares)
