"""GRPO with the real policies on a tiny random Idefics3: one pair is learned; runs are resumed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

import torch
from toy_policy import TargetIou, toy_rows
from toy_runs import StopAt

from cropzoom.trainer.config import GrpoConfig
from cropzoom.trainer.grpo import GrpoTrainer
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policy_trainer import last_checkpoint

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "examples" / "train"))

from overfit_one_pair import COARSE, best_of_all, example_row, overfit, small_logits  # noqa: E402


def test_a_pointer_learns_one_pair_perfectly(tiny_idefics3: Path) -> None:
    torch.manual_seed(0)
    policy = load_policy(tiny_idefics3, "pointer", **COARSE)
    curve = overfit(policy, example_row(), steps=150)
    first, last = curve.points[0], curve.points[-1]
    assert first["chosen"] < 0.8 * curve.maximum and first["sampled"] < 0.5 * curve.maximum
    assert last["chosen"] == pytest.approx(curve.maximum, abs=1e-4)
    assert last["sampled"] > 0.9 * curve.maximum


def test_a_text_policy_learns_from_one_pair(tiny_idefics3: Path) -> None:
    """How far it comes in few steps; all the way is the next test."""
    policy = load_policy(tiny_idefics3, "text")
    curve = overfit(policy, example_row(), steps=40, num_generations=32, beta=0.0)
    assert curve.points[0]["sampled"] < 0.4
    assert curve.points[-1]["sampled"] > 1.5 * curve.points[0]["sampled"]


@pytest.mark.slow
def test_a_text_policy_learns_one_pair_perfectly(tiny_idefics3: Path) -> None:
    policy = small_logits(load_policy(tiny_idefics3, "text"))
    curve = overfit(policy, example_row(), steps=600)
    assert curve.points[-1]["chosen"] == pytest.approx(curve.maximum, abs=1e-4)


def test_the_committed_curves_reach_the_best_box(tiny_idefics3: Path) -> None:
    """And what they were to reach is what brute force finds today."""
    results = json.loads((REPOSITORY / "benchmarks" / "results" / "overfit.json").read_text())
    for kind in ("pointer", "text"):
        policy = load_policy(tiny_idefics3, kind, **(COARSE if kind == "pointer" else {}))
        best = best_of_all(policy, example_row())
        assert results[kind]["best_possible"] == pytest.approx(best, abs=1e-4)
        assert results[kind]["curve"][-1]["chosen"] == pytest.approx(best, abs=1e-4)
        assert results[kind]["curve"][0]["chosen"] < 0.8 * best


def test_a_pointer_with_adapters_resumes_to_the_bit(tiny_idefics3: Path, tmp_path: Path) -> None:
    """Adapters, heads and optimizer; the frozen base is not in the checkpoint's state."""

    def trainer(folder: Path) -> GrpoTrainer:
        torch.manual_seed(0)
        policy = load_policy(
            tiny_idefics3, "pointer", longest_edge=32, width=16, lora={"r": 4, "alpha": 8}
        )
        args = GrpoConfig(
            output_dir=str(folder),
            per_device_train_batch_size=2,
            num_generations=3,
            num_train_epochs=2.0,
            dataloader_num_workers=0,
            save_steps=600,
            save_total_limit=None,
            learning_rate=1e-3,
            picture_steps=0,
            baseline_steps=0,
            disable_tqdm=True,
            use_cpu=True,
        )
        return GrpoTrainer(policy, toy_rows(6), TargetIou(), args)

    def trained(run: GrpoTrainer) -> dict[str, Any]:
        return {n: p.detach().clone() for n, p in run.model.named_parameters() if p.requires_grad}

    whole = trainer(tmp_path / "whole")
    start = trained(whole)
    whole.train()
    stopped = trainer(tmp_path / "cut")
    stopped.add_callback(StopAt(4))
    stopped.train()
    checkpoint = last_checkpoint(tmp_path / "cut")
    assert checkpoint is not None and checkpoint.name == "checkpoint-4"
    resumed = trainer(tmp_path / "cut")
    resumed.train(resume_from_checkpoint=str(checkpoint))
    for name, value in trained(whole).items():
        assert torch.equal(trained(resumed)[name], value), name
        assert "lora" in name or name.split(".")[0] in whole.model._heads, name
    assert any(not torch.equal(start[name], value) for name, value in trained(whole).items())
    # The checkpoint is a policy by itself, the same as the one resumed.
    loaded = load_policy(checkpoint)
    boxes = loaded.best(loaded.collate(toy_rows(2)))
    middle = trainer(tmp_path / "again")
    middle._load_from_checkpoint(str(checkpoint))
    torch.testing.assert_close(middle.model.best(loaded.collate(toy_rows(2))), boxes)


@pytest.mark.parametrize("kind", ["pointer", "text"])
def test_recomputed_activations_change_nothing(
    tiny_idefics3: Path, tmp_path: Path, kind: str
) -> None:
    """Less memory, the same step; the base's layers do run twice."""
    trained, calls = [], []
    for recompute in (False, True):
        torch.manual_seed(0)
        policy = load_policy(tiny_idefics3, kind, longest_edge=32, lora={"r": 4, "alpha": 8})
        layer = policy.backbone.model.vision_model.encoder.layers[0]
        count = [0]
        # Before: recomputing stops as soon as it has all that backward needs.
        layer.mlp.register_forward_pre_hook(lambda *_, c=count: c.__setitem__(0, c[0] + 1))
        args = GrpoConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=2,
            num_generations=3,
            max_steps=1,
            dataloader_num_workers=0,
            save_strategy="no",
            learning_rate=1e-2,
            warmup_steps=0.0,
            picture_steps=0,
            baseline_steps=0,
            beta=0.0,
            activation_checkpointing=recompute,
            disable_tqdm=True,
            use_cpu=True,
            optim="sgd",
        )
        GrpoTrainer(policy, toy_rows(2), TargetIou(), args).train()
        trained.append({n: p for n, p in policy.named_parameters() if p.requires_grad})
        calls.append(count[0])
    for name, value in trained[0].items():
        torch.testing.assert_close(trained[1][name], value, rtol=1e-4, atol=1e-5)
    assert calls[1] > calls[0]
