"""Exports that several tests look at; each is made once, for torch's exporter takes its time."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The server that the clients' tests talk to.
sys.path.append(str(Path(__file__).parents[1] / "clients"))


@dataclass
class Exported:
    """A policy, its cropper's folder, and the ladder between them."""

    policy: Any
    folder: Path
    ladder: Any


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


@pytest.fixture(scope="session")
def idefics3_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", minversion="5")
    pytest.importorskip("onnxscript")
    from random_checkpoints import build_checkpoint

    return build_checkpoint(tmp_path_factory.mktemp("idefics3"))


@pytest.fixture(scope="session")
def roi_adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An adapter named `roi`, and the SmolVLM under it, whose head is its embeddings."""
    pytest.importorskip("transformers", minversion="5")
    pytest.importorskip("peft")
    pytest.importorskip("onnxscript")
    from random_checkpoints import build_checkpoint
    from transformers import AutoModelForImageTextToText

    base = build_checkpoint(
        tmp_path_factory.mktemp("smolvlm"), family="smolvlm", tied=True, longest_edge=64, seed=1
    )
    folder = tmp_path_factory.mktemp("checkpoint-100")
    adapt(AutoModelForImageTextToText.from_pretrained(base), "roi", folder, seed=2)
    return folder, base


@pytest.fixture(scope="session")
def full_text(idefics3_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Idefics3, full weights, kind text, with the fused decoder."""
    from cropzoom.trainer.policies import load_policy

    from cropzoom.export import ExportOptions, export_policy

    policy = load_policy(idefics3_checkpoint, "text")
    folder = tmp_path_factory.mktemp("full-text") / "cropper"
    ladder = export_policy(policy, folder, "org/name", ExportOptions(samples=2))
    return Exported(policy, folder, ladder)


@pytest.fixture(scope="session")
def full_pointer(idefics3_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Idefics3, full weights, kind pointer, with fused attention."""
    from cropzoom.trainer.policies import load_policy

    from cropzoom.export import ExportOptions, export_policy

    policy = pointer_policy(load_policy, idefics3_checkpoint)
    folder = tmp_path_factory.mktemp("full-pointer") / "cropper"
    ladder = export_policy(policy, folder, "org/name", ExportOptions(samples=2))
    return Exported(policy, folder, ladder)


def pointer_policy(load_policy: Any, source: Path, **options: Any) -> Any:
    """A pointer policy with heads that differ from cell to cell."""
    import torch

    torch.manual_seed(3)
    policy = load_policy(source, "pointer", width=16, subcells=2, **options)
    with torch.no_grad():
        policy.edge_out.weight.mul_(30)
    return policy
