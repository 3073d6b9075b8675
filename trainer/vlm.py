"""What all users of a vision-language model do alike: load it, put a question, get features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from cropzoom.cropper.smolvlm.prompter import without_tokens as without_tokens
from cropzoom.errors import CropZoomError, MissingDependencyError

PROMPT = "{question}\nOutline the region in the image that would help answer this question."
"""The paper's, for a policy."""


def load_vlm(
    name: str, *, device: str = "auto", dtype: str = "auto", error: type[CropZoomError]
) -> tuple[Any, Any]:
    """Load a model and its processor from a folder or the hub; never runs remote code.

    Args:
        name: folder or "org/name".
        device: "auto" (this process's GPU if there is one), "cpu", "cuda:1", ...
        dtype: "auto" (float32 on a CPU, else as saved), "float32", "bfloat16", ...
        error: what to raise.

    Returns:
        The model, in evaluation mode, and the processor.

    Raises:
        error: there is no such model, or it is of another kind.
        MissingDependencyError: transformers is not installed.
    """
    try:
        from transformers import AutoModelForImageTextToText, AutoProcessor
    except ImportError as reason:
        raise MissingDependencyError(
            "a model needs transformers; pip install 'cropzoom[train]'"
        ) from reason
    if device == "auto":
        device = f"cuda:{torch.cuda.current_device()}" if torch.cuda.is_available() else "cpu"
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    try:
        processor = AutoProcessor.from_pretrained(name)
        model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype)
    except (OSError, ValueError, RuntimeError) as reason:
        raise error(
            f"can't load the model {name!r}: {reason}. It must be a folder or a hub name of a "
            "model for image-text-to-text"
        ) from reason
    return model.to(device).eval(), processor


def user_turn(
    text: str, images: Sequence[Mapping[str, Any]] = ({"type": "image"},)
) -> dict[str, Any]:
    """Return a chat's turn: pictures first, then the text.

    Args:
        text: of the turn.
        images: blocks of the pictures, in the form that the template or the server takes.
    """
    return {"role": "user", "content": [*images, {"type": "text", "text": text}]}


def image_features(model: Any, **tiles: Tensor) -> Tensor:
    """Return what the language model sees of pictures, (vectors, D), all tiles in their order.

    Args:
        model: an Idefics3 or SmolVLM, with or without its head.
        tiles: pixel_values and pixel_attention_mask.
    """
    output = model.get_image_features(**tiles)
    # A tensor before transformers 5, an output with a tensor or a list of tensors since.
    features = output if isinstance(output, Tensor) else output.pooler_output
    return torch.cat([part.flatten(0, -2) for part in features])
