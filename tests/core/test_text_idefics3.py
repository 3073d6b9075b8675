"""Images and prompts become what transformers makes of them, without transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idefics3_cases import CASES, PROMPTS, TEMPLATE, picture
from PIL import Image

from cropzoom.bench.random_weights import smol_tokenizer
from cropzoom.cropper.smolvlm.idefics3 import TileSpec, image_text, layout, tiles

GOLDEN = Path(__file__).parent / "golden"


def spec(case: dict[str, Any]) -> TileSpec:
    return TileSpec(**{k: v for k, v in case["settings"].items() if k != "image_tokens"})


@pytest.mark.parametrize("number", range(len(CASES)))
def test_pixels_and_ids_as_of_transformers(number: int) -> None:
    case = CASES[number]
    with np.load(GOLDEN / "idefics3.npz", allow_pickle=False) as golden:
        expected = golden[str(number)]
    image = picture(*case["size"])
    given = tiles(image, spec(case))
    assert (given.dtype, given.shape) == (np.float32, expected.shape)
    assert np.abs(given - expected).max() <= 1e-6
    plan = layout(image.size, spec(case))
    assert plan.tiles == len(expected)
    text = image_text(plan, case["settings"]["image_tokens"])
    tokenizer = smol_tokenizer()
    ids = json.loads((GOLDEN / "idefics3.json").read_text())[number]
    for question, wanted in zip(PROMPTS, ids, strict=True):
        prompt = TEMPLATE.format(question).replace("<image>", text)
        assert tokenizer.encode(prompt).ids == wanted


@pytest.mark.parametrize(
    ("size", "edge", "first", "second", "grid"),
    [
        ((1000, 500), 2048, (2048, 1024), (2048, 1024), (2, 4)),
        ((500, 1000), 2048, (1024, 2048), (1024, 2048), (4, 2)),
        # 2048 / (1000 / 501) is 1026.04...; the second size is stretched to whole tiles.
        ((1000, 501), 2048, (2048, 1026), (2048, 1536), (3, 4)),
        ((640, 481), 512, (512, 384), (512, 512), (0, 0)),
        ((5, 5), 2048, (2048, 2048), (2048, 2048), (4, 4)),
        ((1, 9000), 1024, (1, 1024), (512, 1024), (2, 1)),
    ],
)
def test_layout_by_hand(
    size: tuple[int, int],
    edge: int,
    first: tuple[int, int],
    second: tuple[int, int],
    grid: tuple[int, int],
) -> None:
    smolvlm = TileSpec(2048, 512, True, 1, 1 / 255, (0.5,) * 3, (0.5,) * 3)
    plan = layout(size, smolvlm, edge)
    assert (plan.first, plan.second, (plan.rows, plan.columns)) == (first, second, grid)
    assert plan.tiles == grid[0] * grid[1] + 1


def test_tiles_lie_row_by_row_and_the_whole_comes_last() -> None:
    image = Image.new("RGB", (64, 32), (255, 255, 255))
    image.paste((0, 0, 0), (32, 16, 48, 32))
    cut = tiles(image, TileSpec(64, 16, True, 1, 1 / 255, (0.0,) * 3, (1.0,) * 3))
    assert cut.shape == (9, 3, 16, 16)
    dark = [number for number, tile in enumerate(cut[:8]) if tile.mean() < 0.1]
    assert dark == [6]  # second row, third column
    assert cut[8, 0, 12, 10] == 0 and cut[8, 0, 3, 3] == 1


def test_grey_images_are_as_good() -> None:
    grey = picture(40, 30).convert("L")
    some = spec(CASES[0])
    assert (tiles(grey, some) == tiles(grey.convert("RGB"), some)).all()


def test_the_expanded_prompt_by_hand() -> None:
    some = TileSpec(32, 16, True, 1, 1 / 255, (0.5,) * 3, (0.5,) * 3)
    fake, run = "<fake_token_around_image>", "<image><image>"
    assert image_text(layout((32, 16), some), 2) == (
        f"{fake}<row_1_col_1>{run}{fake}<row_1_col_2>{run}\n\n{fake}<global-img>{run}{fake}"
    )
    assert image_text(layout((9, 9), some, 16), 2) == f"{fake}<global-img>{run}{fake}"
