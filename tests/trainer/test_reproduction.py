"""The small reproduction: its pages are what they say, its committed readers read crops only."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reproduction"
sys.path.insert(0, str(FOLDER))

from pages import KEYS, PAGE, draw_page, row_of  # noqa: E402
from views import VIEW, build_processor, prompt, view  # noqa: E402


def test_boxes_are_exact_to_the_ink() -> None:
    """Wiping the boxes leaves blank paper, and each box's outermost rows and columns have ink."""
    for index in range(20):
        page = draw_page("test", index)
        grey = np.array(page.image.convert("L"))
        paper = grey.max()
        for entry in page.entries:
            for left, top, right, bottom in (entry.key_box, entry.value_box):
                ink = grey[top:bottom, left:right] < paper
                assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any()
                grey[top:bottom, left:right] = paper
        assert (grey == paper).all()


def test_pages_are_seeded_and_streams_differ() -> None:
    again = draw_page("test", 3)
    assert again.image.tobytes() == draw_page("test", 3).image.tobytes()
    assert again.entries == draw_page("test", 3).entries
    assert again.entries != draw_page("other", 3).entries


def test_entries_stand_apart_and_keys_are_unique() -> None:
    for index in range(50):
        entries = draw_page("test", index).entries
        assert 6 <= len(entries) <= 9
        keys = [entry.key for entry in entries]
        assert len(set(keys)) == len(keys) and set(keys) <= set(KEYS)
        for number, one in enumerate(entries):
            for other in entries[:number]:
                a, b = one.box, other.box
                assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_the_question_is_about_the_box() -> None:
    page = draw_page("test", 5)
    row = row_of(page, page.entries[2], "test/5")
    assert row.question == f"{page.entries[2].key}="
    assert row.answers == (page.entries[2].value,)
    assert row.box is not None
    crop = row.box.to_pixels(PAGE, PAGE)
    assert crop == page.entries[2].right_crop
    inner = page.entries[2].box
    assert crop[0] < inner[0] and crop[1] < inner[1] and crop[2] > inner[2] and crop[3] > inner[3]


def test_training_views_are_the_processors() -> None:
    """Training draws its views itself, for speed: to the bit what the saved processor makes."""
    processor = build_processor()
    if "Pil" not in type(processor.image_processor).__name__:
        pytest.skip("torchvision resizes a little differently")
    image = draw_page("test", 0).image
    boxes = [(0, 0, 256, 256), (10, 20, 57, 43), (3, 1, 9, 200), (100, 50, 103, 53), (0, 7, 255, 8)]
    seen = processor.image_processor([[image.crop(box)] for box in boxes], return_tensors="pt")
    for box, pixels in zip(boxes, seen["pixel_values"], strict=True):
        ours = torch.from_numpy(np.array(view(image, box))).permute(2, 0, 1) / 127.5 - 1
        assert torch.equal(pixels[0], ours.float())


def test_training_prompts_are_the_processors() -> None:
    processor = build_processor()
    image = draw_page("test", 0).image
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "K="}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    asked = processor(text=[text], images=[[image, view(image)]], return_tensors="pt")
    ours = processor.tokenizer(prompt(processor, "K=", 2))["input_ids"]
    assert asked["input_ids"][0].tolist() == ours
    assert asked["pixel_values"].shape == (1, 2, 3, VIEW, VIEW)
