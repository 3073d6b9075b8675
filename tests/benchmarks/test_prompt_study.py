"""The table of prompts: what a question asks stays what it asks, whatever stands around it."""

from __future__ import annotations

from collections.abc import Iterator

import prompts as study
import pytest
from prompt_table import OBJECTS, Prompt, load_prompts

from cropzoom.geometry import Box

PROMPTS = load_prompts()


@pytest.fixture(scope="module")
def crops() -> Iterator[study.Crops]:
    pytest.importorskip("onnxruntime")
    yield study.Crops()


def test_the_table_is_large_and_half_of_it_was_held_out() -> None:
    assert len({prompt.name for prompt in PROMPTS}) == len(PROMPTS) >= 60
    held_out = sum(prompt.held_out for prompt in PROMPTS)
    assert held_out >= len(PROMPTS) / 2


def test_the_questions_are_the_demos() -> None:
    assert list(OBJECTS) == [item.question for _, item in study.pairs()]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.name)
def test_a_prompt_asks_its_question(prompt: Prompt) -> None:
    for question, thing in OBJECTS.items():
        asking = prompt.asking(question)
        assert 1 <= len(asking.questions) <= 2, asking
        asked = asking.questions[0].casefold()
        assert asked == question.casefold() or thing.casefold() in asked


def test_fields_survive_as_crops(crops: study.Crops) -> None:
    table = {prompt.name: prompt for prompt in PROMPTS}
    some = study.pairs()[::4]
    for name in ("extract field", "field in schema", "what about", "fields dict", "xml"):
        assert study.kept(table[name], crops, some)["kept"] >= 0.8


@pytest.mark.parametrize("form", ["questions", "schema"])
def test_all_of_a_pictures_questions_at_once(form: str, crops: study.Crops) -> None:
    figures = study.all_at_once(form, crops)
    assert figures["values inside"] >= 0.9
    assert figures["most crops beyond fields"] <= 0
    assert figures["mean total area"] <= 0.15


def test_what_survives() -> None:
    bare = Box(0.2, 0.2, 0.4, 0.3)
    value = Box(0.3, 0.22, 0.39, 0.28)
    assert study.survives([Box(0.0, 0.0, 0.1, 0.1), bare], bare, value)
    assert study.survives([Box(0.29, 0.2, 0.9, 0.3)], bare, value)
    assert not study.survives([Box(0.32, 0.2, 0.9, 0.3)], bare, value)
    assert not study.survives([], bare, value)
