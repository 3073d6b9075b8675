import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

import itertools

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cropzoom.data.row import Row
from cropzoom.trainer.batching import ROWS_TOGETHER, RowDataset, WindowSampler, picture_of


def row(number: int, picture: str) -> Row:
    return Row(str(number), Image.new("RGB", (8, 8)), "?", ("a",), image_id=picture, source="s")


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(0, 5))
def test_rows_about_one_picture_follow_each_other(pictures: list[int], seed: int) -> None:
    keys = [(str(picture),) for picture in pictures]
    sampler = WindowSampler(len(keys), seed, lambda: 0, pictures=keys)
    order = list(sampler)
    assert order == list(sampler)
    assert sorted(order) == list(range(len(keys)))
    runs = 1 + sum(keys[a] != keys[b] for a, b in itertools.pairwise(order))
    pieces = sum(-(-keys.count(key) // ROWS_TOGETHER) for key in set(keys))
    assert runs <= pieces


def test_rows_of_unknown_pictures_keep_their_order() -> None:
    plain = WindowSampler(9, 4, lambda: 1)
    assert list(WindowSampler(9, 4, lambda: 1, pictures=[None] * 9)) == list(plain)


def test_neighbours_share_the_decoded_picture() -> None:
    data = RowDataset([row(0, "a"), row(1, "b"), row(2, "a")])
    assert data[0].row.image is data[2].row.image
    assert data[0].row.image is not data[1].row.image


def test_pictures_are_told_apart_without_opening_them() -> None:
    assert picture_of(row(0, "a")) == ("s", "a")
    assert picture_of(Row("1", "there/a.png", "?")) == ("there/a.png",)
    assert picture_of(Row("1", b"...", "?")) is None
