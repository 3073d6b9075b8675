"""What graphs are traced with: optimum knows what sizes are called in each model's configuration.

Its normalized configurations and input generators serve the model's halves, which are of kinds it
knows (a Llama-like decoder with grouped keys, a vision encoder); of Idefics3 as a whole it knows
nothing, so the graphs are ours.
"""

from __future__ import annotations

from typing import Any

import torch
from optimum.utils import (
    DummyVisionInputGenerator,
    MistralDummyPastKeyValuesGenerator,
    NormalizedConfigManager,
    NormalizedVisionConfig,
)
from torch import Tensor

from cropzoom.errors import ExportError

_DTYPES = {torch.float32: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}


def text_sizes(backbone: Any) -> Any:
    """The decoder's sizes, under the same names whatever the model calls them.

    Raises:
        ExportError: optimum does not know a decoder of this kind.
    """
    config = backbone.config.text_config
    try:
        return NormalizedConfigManager.get_normalized_config_class(config.model_type)(config)
    except KeyError as error:
        raise ExportError(
            f"optimum knows no decoder of type {config.model_type!r}; update optimum, or export a "
            "checkpoint with a Llama-like decoder"
        ) from error


def example_past(backbone: Any, batch: int, length: int, dtype: torch.dtype) -> list[Tensor]:
    """Keys and values of each layer in turn, (batch, key heads, length, head width) each."""
    generator = MistralDummyPastKeyValuesGenerator(
        "text-generation", text_sizes(backbone), batch_size=batch, sequence_length=length
    )
    layers = generator.generate("past_key_values", float_dtype=_DTYPES[dtype])
    return [tensor for layer in layers for tensor in layer]


def example_tiles(backbone: Any, count: int, dtype: torch.dtype) -> Tensor:
    """Pixels of some tiles, (1, count, 3, side, side)."""
    sizes = NormalizedVisionConfig(backbone.config.vision_config)
    generator = DummyVisionInputGenerator("image-to-text", sizes, batch_size=count)
    tiles: Tensor = generator.generate("pixel_values", float_dtype=_DTYPES[dtype])
    return tiles[None]
