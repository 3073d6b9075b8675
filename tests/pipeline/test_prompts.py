"""Prompts as strings: what is asked, and where a crop's image token goes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.clients.prompts import Markers

IDEFICS = Markers("<image>", ("<|im_start|>", "<end_of_utterance>", "<image>"), ("<|im_start|>",))
LLAVA = Markers("<image>", ("<s>", "</s>", "<image>"), ("<s>", "</s>"))
QWEN = Markers(
    "<|image_pad|>",
    ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
    ("<|im_end|>",),
)
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


@pytest.mark.parametrize(
    ("markers", "prompt", "question"),
    [
        (LLAVA, "<image>What is it?", "What is it?"),
        (LLAVA, "What is it? <image>", "What is it?"),
        (LLAVA, "USER: <image>\nWhat is it?\nASSISTANT:", "What is it?"),
        (LLAVA, "USER: <image>\nWhat is it? ASSISTANT:", "What is it?"),
        (LLAVA, "USER: <image>\nOne? ASSISTANT: Yes.</s>USER: Two? ASSISTANT:", "Two?"),
        (
            IDEFICS,
            "<|im_start|>User:<image>What is it?<end_of_utterance>\nAssistant:",
            "What is it?",
        ),
        (
            QWEN,
            f"<|im_start|>user\n{QWEN_IMAGE}What is it?<|im_end|>\n<|im_start|>assistant\n",
            "What is it?",
        ),
        (LLAVA, "<image>Who is the user", "Who is the user"),
        (LLAVA, "<image>Which model: A or B?", "Which model: A or B?"),
        (LLAVA, "<image>", ""),
        (LLAVA, "<image>\nUSER:", ""),
        (LLAVA, "", ""),
    ],
)
def test_the_question(markers: Markers, prompt: str, question: str) -> None:
    assert markers.question(prompt) == question


def test_a_crop_follows_its_image() -> None:
    assert LLAVA.insert("<image>\nQ <image>!", [1, 0], None) == "<image><image>\nQ <image>!"
    assert LLAVA.insert("<image>\nQ <image>!", [0, 2], None) == "<image>\nQ <image><image><image>!"
    assert LLAVA.insert("a<image>b", [1], "Larger: ") == "a<image>Larger: <image>b"


def test_a_crop_is_wrapped_as_its_image_is() -> None:
    prompt = f"user\n{QWEN_IMAGE}Q"
    assert QWEN.insert(prompt, [1], None) == f"user\n{QWEN_IMAGE}{QWEN_IMAGE}Q"
    assert QWEN.insert(prompt, [1], "Larger:") == f"user\n{QWEN_IMAGE}Larger:{QWEN_IMAGE}Q"
    two = f"{QWEN_IMAGE}{QWEN_IMAGE}Q"
    assert QWEN.insert(two, [1, 1], None) == QWEN_IMAGE * 4 + "Q"


def test_what_begins_and_ends_a_text_is_no_wrapping() -> None:
    assert LLAVA.insert("<s><image></s>", [1], None) == "<s><image><image></s>"


@given(
    st.lists(st.sampled_from(["<image>", "<s>", "Q?", " ", "USER:", "\n"]), max_size=8),
    st.data(),
)
def test_any_prompt_gains_as_many_tokens_as_crops(pieces: list[str], data: st.DataObject) -> None:
    prompt = "".join(pieces)
    count = LLAVA.count(prompt)
    crops = data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    made = LLAVA.insert(prompt, crops, None)
    assert LLAVA.count(made) == count + sum(crops)
    assert made.replace("<image>", "") == prompt.replace("<image>", "")
    assert "<image>" not in LLAVA.question(prompt) and "<s>" not in LLAVA.question(prompt)
