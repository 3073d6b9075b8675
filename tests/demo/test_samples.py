from __future__ import annotations

import pytest
from PIL import Image

from cropzoom.evaluate.croppers import oracle_box
from cropzoom.reading.answers import is_exact
from cropzoom.reading.standin import StandIn
from cropzoom.samples import SamplePicture, load_samples

SAMPLES = load_samples()


def test_there_are_enough_and_they_are_small() -> None:
    assert 6 <= len(SAMPLES) <= 8
    assert sum(sample.path.stat().st_size for sample in SAMPLES) < 1_500_000
    assert len({sample.title for sample in SAMPLES}) == len(SAMPLES)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.path.stem)
def test_pictures_and_boxes_are_sound(sample: SamplePicture) -> None:
    with Image.open(sample.path) as image:
        assert 1200 <= max(image.size) <= 2200
        image.load()
    assert 1 <= len(sample.questions) <= 4
    for question in sample.questions:
        assert question.answers and all(question.answers)
        common = question.region.intersection(question.value)
        assert common is not None and common.area >= 0.99 * question.value.area
        assert question.region.area < 0.05


def test_the_boxes_hold_the_answers(stand_in: StandIn) -> None:
    # One question of every picture, for reading takes time. The answer must be in its own box.
    for sample in SAMPLES:
        image = Image.open(sample.path).convert("RGB")
        question = sample.questions[0]
        crop = image.crop(oracle_box(question.region, *image.size).to_pixels(*image.size))
        reply = stand_in.answer(question.question, [crop])
        assert is_exact(reply.text, question.answers), (sample.title, reply)
