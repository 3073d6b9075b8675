"""Policies to export, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Exported:
    """A policy, its cropper's folder, and the ladder between them."""

    policy: Any
    folder: Path
    ladder: Any


@dataclass
class Timed:
    """What `cropzoom bench` said of exports: how it was asked, their folder, and its result."""

    arguments: list[str]
    work: Path
    result: dict[str, Any]


def adapt(model: Any, name: str, folder: Path, *, seed: int) -> None:
    """Save a random LoRA adapter of a model as the authors' scripts do: in a folder of its name."""
    import peft
    import torch

    targets = ["down_proj", "o_proj", "k_proj", "q_proj", "gate_proj", "up_proj", "v_proj"]
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=[*targets, "fc1", "fc2", "proj"])
    adapted = peft.get_peft_model(model, config, adapter_name=name)
    torch.manual_seed(seed)
    with torch.no_grad():
        for key, weights in adapted.named_parameters():
            if "lora_B" in key:
                weights.normal_(std=0.3)
    adapted.save_pretrained(folder)


def pointer_policy(source: Path, **options: Any) -> Any:
    """A pointer policy with heads that differ from cell to cell."""
    import torch

    from cropzoom.trainer.policies import load_policy

    torch.manual_seed(3)
    policy = load_policy(source, "pointer", width=16, subcells=2, **options)
    with torch.no_grad():
        policy.edge_out.weight.mul_(30)
    return policy
