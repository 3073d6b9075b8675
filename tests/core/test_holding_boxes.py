"""Boxes by the chance that they hold the answer, and the table of words' meanings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.cropper.nano.holding import hold
from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.phoc import WORD_DIM, encode_question
from cropzoom.cropper.pointing import CellLogits
from cropzoom.geometry import Box, Crop

REACH = (4.0, 8.0, 16.0, 32.0, 64.0)
SIZE = (160.0, 80.0)
XS, YS = (np.arange(10) + 0.5) * 16, (np.arange(5) + 0.5) * 16


def held(
    cells: np.ndarray,
    edges: np.ndarray,
    absent: float = -20.0,
    price: float = 0.5,
    k: int = 1,
    centre: float = 0.0,
) -> list[Crop]:
    def finish(x0: float, y0: float, x1: float, y1: float) -> Box:
        return Box.ordered(x0 / SIZE[0], y0 / SIZE[1], x1 / SIZE[0], y1 / SIZE[1])

    output = CellLogits(cells, absent, edges, XS, YS, REACH)
    return hold(output, SIZE, finish, k, price=price, temperature=1.0, centre=centre)


def logits(**places: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    cells = np.full((5, 10), -20.0, np.float32)
    for row, column in places.values():
        cells[row, column] = 0.0
    edges = np.full((4, len(REACH), 5, 10), -20.0, np.float32)
    edges[:, 1] = 0.0  # 8 px each way, everywhere
    return cells, edges


def test_a_sure_cell_gives_its_own_box() -> None:
    cells, edges = logits(answer=(2, 3))
    (crop,) = held(cells, edges)
    # Centre (56, 40), 8 px each way.
    assert crop.box == Box(48 / 160, 32 / 80, 64 / 160, 48 / 80)
    assert crop.confidence == pytest.approx(1.0, abs=1e-5)


def test_an_edge_in_doubt_is_taken_as_far_as_area_is_cheap() -> None:
    cells, edges = logits(answer=(2, 3))
    edges[2, :, 2, 3] = -20.0
    edges[2, (1, 4), 2, 3] = np.log((0.7, 0.3))  # right: 8 px, or 64
    # 56 px more at 16 px height are 7 % of the page, for .3 of chance.
    assert held(cells, edges, price=2.0)[0].box.x1 == 120 / 160
    assert held(cells, edges, price=8.0)[0].box.x1 == 64 / 160
    dear = held(cells, edges, price=8.0)[0]
    assert dear.confidence == pytest.approx(0.7, abs=1e-5)


def test_a_box_is_grown_so_that_its_middle_lies_in_the_answer() -> None:
    cells, edges = logits(answer=(2, 3))
    edges[3, :, 2, 3] = -20.0
    edges[3, (1, 3), 2, 3] = np.log((0.6, 0.4))  # below: 8 px, or 32
    ample = held(cells, edges, price=0.5)[0].box
    assert (ample.y0, ample.y1) == (32 / 80, 72 / 80)  # its middle, 52, misses an answer to 48
    # The median answer ends at 48, so its middle is 40; 24 px more above put the box's there.
    grown = held(cells, edges, price=0.5, centre=1.0)[0].box
    assert (grown.y0, grown.y1) == (8 / 80, 72 / 80)
    # Where area is dear, what the middle is worth does not pay for it.
    assert held(cells, edges, price=4.0, centre=0.01)[0].box.y0 == 32 / 80


def test_a_label_and_its_far_value_are_shown_together() -> None:
    cells, edges = logits(label=(2, 1), value=(2, 8))
    (crop,) = held(cells, edges, price=0.5)
    assert crop.box == Box(16 / 160, 32 / 80, 144 / 160, 48 / 80)
    assert crop.confidence == pytest.approx(1.0, abs=1e-5)
    apart = held(cells, edges, price=20.0, k=2)
    assert sorted(c.box.x0 for c in apart) == [16 / 160, 128 / 160]
    assert [c.confidence for c in apart] == pytest.approx([0.5, 0.5], abs=1e-5)


def test_absence_is_missing_from_the_confidence() -> None:
    cells, edges = logits(answer=(2, 3))
    assert held(cells, edges, absent=0.0)[0].confidence == pytest.approx(0.5, abs=1e-5)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 50.0), st.integers(1, 4))
def test_any_logits_give_ordered_boxes_and_falling_places(seed: int, price: float, k: int) -> None:
    draw = np.random.default_rng(seed)
    cells = draw.normal(0, 4, (5, 10)).astype(np.float32)
    edges = draw.normal(0, 2, (4, len(REACH), 5, 10)).astype(np.float32)
    absent = float(draw.normal())
    crops = held(cells, edges, absent, price, k)
    assert 1 <= len(crops) <= k and crops == held(cells, edges, absent, price, k)
    assert all(0 <= crop.confidence <= 1 for crop in crops)


def table() -> Meanings:
    return Meanings(["total", "summe"], np.array([[127, 0], [0, -127]], np.int8))


def test_meanings_stand_behind_the_letters() -> None:
    words, mask = encode_question("The Totals: SUMME", 8, table())
    assert words.shape == (8, WORD_DIM + 2) and mask.sum() == 3
    assert words[:3, WORD_DIM:].tolist() == [
        pytest.approx(row) for row in ([0, 0], [2**0.5, 0], [0, -(2**0.5)])
    ]
    plain, _ = encode_question("The Totals: SUMME", 8)
    assert np.array_equal(words[:, :WORD_DIM], plain)


def test_a_table_is_read_as_it_was_written() -> None:
    again = Meanings.parse(table().to_bytes())
    assert len(again) == 2 and again.width == 2
    assert np.array_equal(again("summe"), table()("summe"))


@given(st.binary(max_size=200))
def test_other_bytes_are_no_table(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Meanings.parse(data)
