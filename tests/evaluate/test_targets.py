from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw, ImageFont

from cropzoom.data.row import Row
from cropzoom.errors import CropZoomError, DataError
from cropzoom.evaluate.croppers import Oracle, asked_row, make_croppers
from cropzoom.evaluate.targets import (
    Answer,
    Target,
    TargetSettings,
    make_target,
    submission,
)
from cropzoom.geometry import Box
from cropzoom.options import ZoomOptions
from cropzoom.reading.ocr import OcrReader

SETTINGS = TargetSettings(ZoomOptions(cache_size=0), max_new_tokens=4)
NONE, ORACLE = make_croppers(["none", "oracle"])


def ask(target: Target, row: Row, image: bytes, cropper: object) -> Answer:
    token = asked_row.set(row)
    try:
        return target.ask(row, image, cropper)
    finally:
        asked_row.reset(token)


def test_a_pipeline_answers_with_and_without_a_crop(tiny_idefics3: Path) -> None:
    target = make_target(f"hf:{tiny_idefics3}", SETTINGS)
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((96, 64)).save(buffer, "PNG")
    row = Row(id="1", image=buffer.getvalue, question="Where?", box=Box(0.1, 0.1, 0.3, 0.3))
    plain = ask(target, row, buffer.getvalue(), NONE)
    zoomed = ask(target, row, buffer.getvalue(), ORACLE)
    assert plain.report is None
    assert zoomed.report is not None and len(zoomed.report.crops) == 1
    # A second picture costs the tokens of its tiles.
    assert plain.prompt_tokens and zoomed.prompt_tokens
    assert zoomed.prompt_tokens > plain.prompt_tokens > 10
    assert zoomed.text != plain.text
    assert plain.completion_tokens == zoomed.completion_tokens == 4
    assert ask(target, row, buffer.getvalue(), NONE).text == plain.text  # greedy
    # What transformers itself says, for the same chat.
    from transformers import pipeline

    own = pipeline("image-text-to-text", model=str(tiny_idefics3))
    content = [
        {"type": "image", "image": Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")},
        {"type": "text", "text": "Where?"},
    ]
    chat = [{"role": "user", "content": content}]
    made = own(
        text=chat,
        return_full_text=False,
        generate_kwargs={"max_new_tokens": 4, "do_sample": False},
    )
    assert made[0]["generated_text"] == plain.text
    assert target.identity == make_target(f"hf:{tiny_idefics3}", SETTINGS).identity


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gpt-4", "openai:MODEL, hf:FOLDER and standin:SIDE"),
        ("openai:", "there are openai:MODEL"),
        ("standin:5", "32 to 8192"),
        ("standin:x", "32 to 8192"),
        ("hf:/no/such/folder", "hf:/no/such/folder: transformers can't load it"),
    ],
)
def test_targets_that_there_are_not(monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match=said):
        make_target(name, SETTINGS)


def test_openai_without_a_key_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openai")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(CropZoomError, match="OPENAI_API_KEY"):
        make_target("openai:gpt-4.1-nano", SETTINGS)


def test_the_stand_in_is_asked_in_the_pages_words() -> None:
    pytest.importorskip("rapidocr")
    page = Image.new("RGB", (448, 120), "white")
    draw = ImageDraw.Draw(page)
    for y, key, value in ((20, "Balance", "12.50"), (70, "Deposit", "99.00")):
        draw.text((20, y), key, "black", ImageFont.load_default(20))
        draw.text((300, y), value, "black", ImageFont.load_default(20))
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    reader = OcrReader(threads=1)
    target = make_target("standin:448", TargetSettings(ZoomOptions(), reader=reader))
    question = "How much must I leave with them at first?"
    with_key = Row(id="1", image=buffer.getvalue, question=question, key="Deposit")
    without = Row(id="1", image=buffer.getvalue, question="What is the balance?\nBe brief.",
                  plain="What is the balance?")  # fmt: skip
    assert ask(target, with_key, buffer.getvalue(), NONE).text == "99.00"
    assert ask(target, without, buffer.getvalue(), NONE).text == "12.50"
    boxed = Row(id="1", image=buffer.getvalue, question="?", key="Deposit", box=Box(0, 0.5, 1, 1))
    zoomed = ask(target, boxed, buffer.getvalue(), ORACLE)
    assert zoomed.report is not None and zoomed.report.images[0].reason is not None
    # The oracle's box covers more than half of the picture, so no crop is added, as in production.
    assert str(zoomed.report.images[0].reason) == "crop_too_large"
    assert isinstance(ORACLE.cropper, Oracle)


def test_submission_files() -> None:
    rows = [Row(id=name, image=lambda: b"", question="q") for name in ("12", "7", "x")]
    text = submission(rows, {"7": "néant", "12": "a"}, ("question_id", "answer"))
    assert json.loads(text) == [
        {"question_id": 12, "answer": "a"},
        {"question_id": 7, "answer": "néant"},
    ]
