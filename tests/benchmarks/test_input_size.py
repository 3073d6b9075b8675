"""input_size.py: rules choose as they say and pay for all they looked at."""

from __future__ import annotations

import io

import pytest
from PIL import Image, ImageDraw

pytest.importorskip("rapidocr")

import input_size as study

from cropzoom import load_cropper
from cropzoom.data.row import Row
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.geometry import Box

REGION, VALUE = Box(0.4, 0.4, 0.6, 0.5), Box(0.5, 0.4, 0.6, 0.5)
HIT, MISS = Box(0.4, 0.4, 0.62, 0.5), Box(0.0, 0.0, 0.1, 0.1)


def look(box: Box, confidence: float, cost: float, scale: float = 1.0) -> study.Look:
    return study.Look(box, confidence, scale, cost, 100 * cost)


def asked(
    fixed: dict[int, study.Look], again: dict[int, list[study.Look]] | None = None
) -> study.Asked:
    return study.Asked("1", "?", REGION, VALUE, "dense", 12.0, 2500, fixed, again or {})


def test_a_hit_and_a_whole_value() -> None:
    one = asked({})
    assert one.hit(HIT) and one.whole(HIT)
    assert one.hit(Box(0.45, 0.4, 0.55, 0.5)) and not one.whole(Box(0.45, 0.4, 0.55, 0.5))
    assert not one.hit(MISS) and one.whole(Box(0, 0, 1, 1))
    assert not one.hit(None) and not one.whole(None)


def test_a_larger_look_only_where_the_first_is_unsure() -> None:
    rule = study.upwards(1024, 2048, 0.5)
    unsure, better = look(MISS, 0.4, 1.0), look(HIT, 0.6, 4.0)
    sure, worse = look(HIT, 0.5, 1.0), look(MISS, 0.3, 4.0)
    assert rule(asked({1024: unsure, 2048: better})) == look(HIT, 0.6, 5.0)
    assert rule(asked({1024: sure, 2048: better})) is sure
    assert rule(asked({1024: unsure, 2048: worse})).box == MISS
    # A page that is no larger has nothing more to show.
    assert rule(asked({1024: unsure, 2048: look(HIT, 0.6, 1.0)})) is unsure


def test_windows_are_looked_at_in_turn_and_paid_for() -> None:
    low, windows = look(MISS, 0.4, 1.0), [look(MISS, 0.3, 2.0), look(HIT, 0.9, 2.0)]
    one = asked({1024: low}, {1024: windows})
    assert study.closer(1024, 1, study.ALWAYS)(one) == look(MISS, 0.4, 3.0)
    assert study.closer(1024, 2, study.ALWAYS)(one) == look(HIT, 0.9, 5.0)
    assert study.closer(1024, 2, 0.4)(one) is low


def test_the_smallest_size_with_legible_text() -> None:
    fixed = {512: look(MISS, 1, 1, 0.2), 1024: look(HIT, 1, 4, 0.8), 2048: look(MISS, 1, 9, 1.0)}
    assert study.knowing(asked(fixed)) is fixed[1024]  # 12 px of text at 0.8 are 9.6 px
    del fixed[1024], fixed[2048]
    assert study.knowing(asked(fixed)) is fixed[512]


def test_a_fixed_size_of_the_same_cost() -> None:
    """Two sizes in turn: a rule of cost 2 is a third of the way from cost 1 to cost 4."""
    fixed = {1: [look(MISS, 1, 1.0), look(HIT, 1, 1.0)], 2: [look(HIT, 1, 4.0), look(HIT, 1, 4.0)]}
    questions = [asked({size: looks[i] for size, looks in fixed.items()}) for i in (0, 1)]
    for cost, chances in {2.0: [1 / 3, 1.0], 0.5: [0.0, 1.0], 9.0: [1.0, 1.0]}.items():
        found = study.mixture(questions, [look(HIT, 1, cost)] * 2, fixed, [True, True])
        assert found == pytest.approx(chances)
    # The mean cost is of the part alone.
    rule = [look(HIT, 1, 4.0), look(HIT, 1, 1.0)]
    assert study.mixture(questions, rule, fixed, [True, False]) == pytest.approx([1.0, 1.0])


def test_heights_are_those_in_the_nets_input() -> None:
    one = asked({512: look(MISS, 1, 1, 0.2), 1024: look(HIT, 1, 4, 0.8)})
    found = study._by_height([one], PictureBootstrap(["1"], resamples=5))
    assert found["0 to 3 px"]["looks"] == 1 and found["0 to 3 px"]["centre"]["mean"] == 0
    assert found["9 to 12 px"]["looks"] == 1 and found["9 to 12 px"]["centre"]["mean"] == 1


def test_windows_lie_on_the_page_and_their_boxes_go_back() -> None:
    side = study.WINDOW
    assert study.window(Box(0, 0, 0.01, 0.01), 2000, 2500) == (0, 0, side, side)
    assert study.window(Box(0.99, 0.99, 1, 1), 2000, 2500)[2:] == (2000, 2500)
    assert study.window(Box(0.4, 0.4, 0.6, 0.6), 500, 2500)[::2] == (0, 500)
    part = (500, 1000, 500 + side, 1000 + side)
    box = Box.from_pixels(600, 1100, 700, 1120, 2000, 2500)
    inside = Box.from_pixels(100, 100, 200, 120, side, side)
    back = study.on_page(inside, part, 2000, 2500)
    assert back.iou(box) == pytest.approx(1)


def test_looks_with_nano(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes are paid for by their pixels; a size the page can't fill is not run again."""
    monkeypatch.setattr(study, "WINDOW", 256)
    page = Image.new("L", (600, 800), 255)
    ImageDraw.Draw(page).text((300, 400), "Total  14.20", fill=0, font_size=20)
    file = io.BytesIO()
    page.save(file, "PNG")
    row = Row(id="1", image=file.getvalue, question="Total?", box=REGION, value=VALUE)
    croppers = {size: load_cropper(threads=1, longest_edge=size) for size in (256, 896, 1024)}
    one = study.ask(row, "page", croppers, [256, 896])
    assert one.side == 800 and one.height == pytest.approx(80)
    assert one.fixed[256].cost == pytest.approx(192 * 256 / 1e6)
    assert one.fixed[896].cost > 10 * one.fixed[256].cost
    # 800 px are enlarged to 880 at most.
    assert one.fixed[1024] is one.fixed[896]
    assert one.fixed[896].scale == pytest.approx(1.1)
    assert one.fixed[256].scale == pytest.approx(0.32)
    assert one.again[896] == [] and 1 <= len(one.again[256]) <= study.LOOKS
    for first in one.again[256]:
        assert first.cost == pytest.approx(256 * 256 / 1e6) and first.box.width <= 256 / 600 + 1e-6
