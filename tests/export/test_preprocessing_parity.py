"""Tiles, prompts and token ids are those of transformers, for any image that Pillow can make."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from idefics3_cases import TEMPLATE
from PIL import Image

pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")

from make_idefics3_golden import reference_processor

from cropzoom.bench.random_weights import smol_tokenizer
from cropzoom.cropper.smolvlm.idefics3 import TileSpec, image_text, layout, tiles
from cropzoom.images import load_image

TOKENIZER = smol_tokenizer()
SPECIAL = [token.content for token in TOKENIZER.get_added_tokens_decoder().values()]
OPAQUE = ("1", "L", "P", "RGB", "CMYK", "YCbCr", "HSV")

sides = st.one_of(st.integers(1, 70), st.integers(1, 600), st.sampled_from([1, 2, 16, 17, 4097]))
specs = st.builds(
    dict,
    tile=st.sampled_from([8, 14, 16, 27]),
    longest_edge=st.integers(1, 6),
    split=st.sampled_from([True, True, True, False]),
    resample=st.sampled_from([0, 1, 2, 3]),
    rescale=st.sampled_from([1 / 255, 0.5]),
    mean=st.sampled_from([(0.5, 0.5, 0.5), (0.481, 0.457, 0.408)]),
    std=st.sampled_from([(0.5, 0.5, 0.5), (0.268, 0.261, 0.275)]),
    image_tokens=st.integers(1, 5),
)
texts = st.text(max_size=40).filter(lambda text: not any(s in text for s in SPECIAL))


@cache
def processor(settings: tuple[tuple[str, Any], ...]) -> Any:
    return reference_processor(**dict(settings))


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Noise on a coarse grid: sharp edges, and not too much of it for long sides."""
    draw = np.random.default_rng(seed)
    small = draw.integers(0, 256, (min(height, 60), min(width, 60), 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.NEAREST)


@settings(max_examples=150, deadline=None)
@given(sides, sides, st.integers(0, 99), st.sampled_from(OPAQUE), specs, texts)
@example(1, 1, 0, "RGB", {"tile": 16, "longest_edge": 4}, "")
@example(5000, 3, 0, "L", {"tile": 16, "longest_edge": 4}, "What?")
@example(3, 5000, 0, "1", {"tile": 16, "longest_edge": 4}, "What?")
@example(4200, 4100, 0, "RGB", {"tile": 16, "longest_edge": 4}, "What?")
def test_as_transformers(
    width: int, height: int, seed: int, mode: str, some: dict[str, Any], question: str
) -> None:
    defaults = {
        "split": True,
        "resample": 1,
        "rescale": 1 / 255,
        "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5),
        "image_tokens": 2,
    }
    chosen = defaults | some
    chosen["longest_edge"] *= chosen["tile"]
    image = picture(width, height, seed).convert(mode)
    real = processor(tuple(sorted(chosen.items())))
    expected = real(
        text=[TEMPLATE.format(question)], images=[[image]], return_tensors="np", padding=False
    )
    tokens = chosen.pop("image_tokens")
    spec = TileSpec(**chosen)
    # As the cropper reads it first.
    given_pixels = tiles(load_image(image), spec)
    pixels = expected["pixel_values"][0]
    assert given_pixels.shape == pixels.shape
    assert np.abs(given_pixels - pixels).max() <= 1e-6
    plan = layout(image.size, spec)
    prompt = TEMPLATE.format(question).replace("<image>", image_text(plan, tokens))
    assert TOKENIZER.encode(prompt).ids == expected["input_ids"][0].tolist()
    # Tiles are always full: nothing is padded, so the graphs need no mask.
    assert expected["pixel_attention_mask"].all()


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparent_images_differ_by_rounding_alone(mode: str) -> None:
    """Both put them on white; the two ways of doing so round differently, by one grey level."""
    image = picture(50, 40, 1).convert(mode)
    image.putalpha(picture(50, 40, 2).convert("L"))
    chosen = {"longest_edge": 32, "tile": 16, "split": True, "resample": 1, "rescale": 1.0}
    chosen |= {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    real = processor(tuple(sorted((chosen | {"image_tokens": 1}).items())))
    expected = real.image_processor(images=[image], return_tensors="np")["pixel_values"][0]
    assert np.abs(tiles(load_image(image), TileSpec(**chosen)) - expected).max() <= 1


def test_smolvlms_processor_does_the_same() -> None:
    from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

    spec = TileSpec(64, 16, True, 1, 1 / 255, (0.5,) * 3, (0.5,) * 3)
    smolvlm = SmolVLMImageProcessorPil(
        size={"longest_edge": 64},
        max_image_size={"longest_edge": 16},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    for size in ((33, 90), (1, 1), (640, 480)):
        image = picture(*size, seed=3)
        expected = smolvlm(images=[image], return_tensors="np")["pixel_values"][0]
        assert np.abs(tiles(image, spec) - expected).max() <= 1e-6
