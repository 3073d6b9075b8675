from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.evaluate.croppers import centre_box, oracle_box, random_box
from cropzoom.geometry import Box

sides = st.floats(0.001, 1)


@given(sides, sides, st.integers(0, 99))
def test_other_places_keep_the_size(width: float, height: float, seed: int) -> None:
    like = Box(0, 0, width, height)
    for box in (centre_box(like), random_box(like, random.Random(seed))):
        assert box.width == pytest.approx(width)
        assert box.height == pytest.approx(height)
    assert centre_box(like).centre == pytest.approx((0.5, 0.5))


def test_random_places_cover_the_picture() -> None:
    generator = random.Random(0)
    centres = [random_box(Box(0, 0, 0.2, 0.1), generator).centre for _ in range(500)]
    for axis, margin in ((0, 0.1), (1, 0.05)):
        values = [centre[axis] for centre in centres]
        assert min(values) < margin + 0.05 and max(values) > 0.95 - margin
        assert sum(values) / len(values) == pytest.approx(0.5, abs=0.05)


def test_the_oracle_shows_the_region_with_context() -> None:
    region = Box(0.4, 0.4, 0.6, 0.44)
    box = oracle_box(region, 1000, 2000)
    assert box.intersection(region) == region
    assert box.width == pytest.approx(0.2 * 1.25 + 0.032)
    assert box.height == pytest.approx(0.04 * 1.25 + 0.016)
