"""The same for `any-to-any`, which transformers has since version 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fixed_croppers import FixedCropper, crop_by_hand
from PIL import Image

from cropzoom import CropZoom

transformers = pytest.importorskip("transformers", minversion="5")

FEW = {"max_new_tokens": 5}


@pytest.fixture
def plain(tiny_idefics3: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    # The constructor insists on torchvision, which is for videos: images do without.
    monkeypatch.setattr("transformers.pipelines.any_to_any.requires_backends", lambda *_: None)
    return transformers.pipeline("any-to-any", model=str(tiny_idefics3), device="cpu")


def test_chats_and_prompts(plain: Any, photo: Image.Image) -> None:
    pipe = CropZoom(plain, FixedCropper())
    assert isinstance(pipe, type(plain)) and isinstance(pipe, CropZoom)
    crop = {"type": "image", "image": crop_by_hand(photo)}
    question = {"type": "text", "text": "What is the total?"}
    chat = [{"role": "user", "content": [{"type": "image", "image": photo}, question]}]
    hand = [{"role": "user", "content": [chat[0]["content"][0], crop, question]}]

    made = pipe(text=chat, **FEW)[0]
    expected = plain(text=hand, **FEW)[0]
    assert made["generated_text"][-1] == expected["generated_text"][-1]
    assert made["input_text"] is chat and made["generated_text"][0] is chat[0]

    made = pipe(images=photo, text="<image>What is the total?", **FEW)[0]
    both = [photo, crop["image"]]
    expected = plain(images=both, text="<image><image>What is the total?", **FEW)[0]
    assert made["input_text"] == "<image>What is the total?"
    assert made["generated_text"] == expected["generated_text"].replace("<image>", "", 1)

    answer = pipe.ask(photo, "What is the total?", **FEW)
    assert answer == plain(text=hand, return_full_text=False, **FEW)[0]["generated_text"]
