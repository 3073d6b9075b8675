"""Tiny random Idefics3 and SmolVLM checkpoints, whose tokenizer cuts text as SmolLM2's does.

The weights say nothing; everything around them is real.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cropzoom.bench import random_weights

TINY: dict[str, Any] = {
    "scale_factor": 2,
    "vision_config": {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    },
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    },
}


def build_checkpoint(folder: Path, *, longest_edge: int = 64, **options: Any) -> Path:
    """Save a tiny checkpoint: `random_weights.build_checkpoint`.

    Its random weights are large, or every prompt would get the same answer.
    """
    return random_weights.build_checkpoint(
        folder, TINY, longest_edge=longest_edge, std=0.3, **options
    )
