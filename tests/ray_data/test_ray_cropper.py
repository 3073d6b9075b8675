"""Batches of rows: the columns that are added, and rows that can't be cropped."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import pyarrow as pa
from fixed_croppers import BrokenCropper, FixedCropper, noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cropzoom import Box, CropperError, OptionsError, ZoomOptions
from cropzoom.images import encode_picture, load_image
from cropzoom.ray import Cropper

PICTURE = encode_picture(noise(1), photographic=False)
QUESTION = "What is the total?"
# A quarter of 96 x 80 px from the left, to a half; 5/8 of the height.
PIXELS = [24, 20, 48, 50]


def table(images: list[Any], questions: Any = None, kind: Any = None) -> Any:
    questions = [QUESTION] * len(images) if questions is None else questions
    return pa.table(
        {
            "id": list(range(len(images))),
            "image": pa.array(images, kind),
            "question": questions,
        }
    )


def reasons(rows: Any) -> list[str | None]:
    return rows.column("crop_reason").to_pylist()


def huge_header() -> bytes:
    """A PNG of 66 bytes whose header claims 40000 x 40000 px."""
    data = io.BytesIO()
    Image.new("1", (1, 1)).save(data, "PNG")
    png = bytearray(data.getvalue())
    png[16:24] = (40000).to_bytes(4, "big") * 2
    png[29:33] = zlib.crc32(png[12:29]).to_bytes(4, "big")
    return bytes(png)


def test_columns_are_added_to_a_table() -> None:
    crop = Cropper(FixedCropper(Box(0.25, 0.25, 0.5, 0.625), 0.75), pictures=True)
    batch = table([PICTURE.data, b"junk"])
    rows = crop(batch)
    assert rows.column_names[:3] == ["id", "image", "question"]
    assert rows.column("crop_boxes").to_pylist() == [[[0.25, 0.25, 0.5, 0.625]], []]
    assert rows.column("crop_pixels").to_pylist() == [[PIXELS], []]
    assert rows.column("crop_confidence").to_pylist() == [[0.75], []]
    assert reasons(rows) == [None, "broken_image"]
    assert "not a readable image" in rows.column("crop_detail")[1].as_py()
    (picture,) = rows.column("crop_images")[0].as_py()
    # 24 x 30 px, enlarged until its longer side has 448.
    assert load_image(picture).size == (358, 448)
    assert batch.column_names == ["id", "image", "question"]


def test_numpy_batches_stay_numpy() -> None:
    crop = Cropper(FixedCropper(), prefix="zoom_")
    images, questions = np.empty(2, object), np.array([QUESTION] * 2)
    images[:] = [{"bytes": PICTURE.data, "path": None}, None]
    rows = crop({"image": images, "question": questions})
    assert set(rows) == {
        *("image", "question", "zoom_boxes", "zoom_pixels", "zoom_confidence"),
        *("zoom_reason", "zoom_detail"),
    }
    assert all(isinstance(column, np.ndarray) and len(column) == 2 for column in rows.values())
    assert rows["zoom_pixels"][0] == [PIXELS]
    assert list(rows["zoom_reason"]) == [None, "no_image"]
    pixels = crop({"image": np.stack([np.asarray(noise(2))] * 2), "question": questions})
    assert pixels["zoom_pixels"][1] == [PIXELS]


def test_an_empty_batch_has_the_same_columns() -> None:
    crop = Cropper(FixedCropper())
    empty, full = crop(table([], [], pa.binary())), crop(table([PICTURE.data]))
    assert empty.schema.names == full.schema.names
    assert empty.schema.field("crop_boxes") == full.schema.field("crop_boxes")


def test_a_row_may_ask_several_questions() -> None:
    cropper = FixedCropper()
    rows = Cropper(cropper)(table([PICTURE.data], [["How much?", "When?"]]))
    assert cropper.questions == ["How much?", "When?"]
    assert reasons(rows) == [None]


@pytest.mark.parametrize(
    ("image", "question", "reason"),
    [
        (b"", QUESTION, "broken_image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), QUESTION, "broken_image"),
        (PICTURE.data[: len(PICTURE.data) // 2], QUESTION, "broken_image"),
        (huge_header(), QUESTION, "too_many_pixels"),
        (bytes(2_000_001), QUESTION, "broken_image"),
        (None, QUESTION, "no_image"),
        ({"bytes": None, "path": None}, QUESTION, "no_image"),
        ("data:image/png;base64,%%%", QUESTION, "broken_image"),
        ("http://127.0.0.1/page.png", QUESTION, "remote_url"),
        ("/etc/passwd", QUESTION, "unsupported_input"),
        (7, QUESTION, "unsupported_input"),
        (PICTURE.data, None, "no_question"),
        (PICTURE.data, " ", "no_question"),
    ],
)
def test_a_row_that_cannot_be_cropped_says_why(image: Any, question: Any, reason: str) -> None:
    images, questions = np.empty(2, object), np.empty(2, object)
    images[:], questions[:] = [image, PICTURE.data], [question, QUESTION]
    crop = Cropper(FixedCropper(), max_bytes=2_000_000)
    rows = crop({"image": images, "question": questions})
    assert list(rows["crop_reason"]) == [reason, None]
    assert rows["crop_detail"][0] and rows["crop_boxes"][0] == []


def test_what_the_cropper_does_is_no_failure_of_the_job() -> None:
    rows = Cropper(BrokenCropper())(table([PICTURE.data]))
    assert reasons(rows) == ["error"]
    unsure = FixedCropper(confidence=0.1)
    assert reasons(Cropper(unsure)(table([PICTURE.data]))) == ["low_confidence"]
    every = Cropper(unsure, options=ZoomOptions(min_confidence=0, max_area=1))
    assert reasons(every(table([PICTURE.data]))) == [None]


def test_paths_lead_nowhere_but_into_the_roots(tmp_path: Path) -> None:
    root, outside = tmp_path / "pages", tmp_path / "secret.png"
    root.mkdir()
    (root / "page.png").write_bytes(PICTURE.data)
    outside.write_bytes(PICTURE.data)
    (root / "link.png").symlink_to(outside)
    (root / "inner.png").symlink_to(root / "page.png")
    os.mkfifo(root / "pipe.png")
    names = [
        *("page.png", str(root / "page.png"), "inner.png"),
        *("link.png", "../secret.png", str(outside), "none.png", "pipe.png", ".", "a\0b"),
    ]
    rows = Cropper(FixedCropper(), roots=[root])(table(names))
    assert reasons(rows) == [None] * 3 + ["broken_image"] * 7
    details = set(rows.column("crop_detail").to_pylist()[3:])
    # A file elsewhere looks like one that is not there.
    assert all("there is no file" in detail for detail in details)
    (large,) = reasons(Cropper(FixedCropper(), roots=[root], max_bytes=99)(table(["page.png"])))
    assert large == "broken_image"


def test_mistakes_are_told_before_a_page_is_looked_at(tmp_path: Path) -> None:
    crop = Cropper(FixedCropper())
    with pytest.raises(OptionsError, match="no column 'image'"):
        crop(pa.table({"id": [1]}))
    with pytest.raises(OptionsError, match="'crop_boxes' is there already"):
        crop(crop(table([PICTURE.data])))
    with pytest.raises(OptionsError, match="batch_format"):
        crop([1, 2])
    with pytest.raises(CropperError):
        Cropper(tmp_path)


@settings(max_examples=50, deadline=None)
@given(
    image=st.one_of(st.none(), st.binary(max_size=40), st.text(max_size=40), st.floats()),
    question=st.one_of(st.none(), st.text(max_size=20), st.integers(), st.lists(st.text())),
)
def test_no_row_fails_a_batch(image: Any, question: Any) -> None:
    images, questions = np.empty(1, object), np.empty(1, object)
    images[0], questions[0] = image, question
    rows = Cropper(FixedCropper(), roots=["/tmp"])({"image": images, "question": questions})
    assert rows["crop_reason"][0] is not None
    pa.array(rows["crop_detail"], pa.string())


def test_cropzoom_alone_loads_no_ray() -> None:
    script = (
        "import sys, json; import cropzoom; first = [n for n in sys.modules if n == 'ray'];"
        "import cropzoom.ray; print(json.dumps([first, 'ray' in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert json.loads(done.stdout) == [[], False], done.stderr
