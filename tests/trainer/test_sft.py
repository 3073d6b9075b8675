"""Supervised fine-tuning on a policy whose loss can be written down."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import torch
from toy_policy import TargetIou, ToyPolicy, toy_rows
from toy_runs import QUICK, ROWS, StopAt, sft, weights

from cropzoom.errors import TrainingError
from cropzoom.trainer.config import SftConfig
from cropzoom.trainer.gains import known_boxes
from cropzoom.trainer.policy_trainer import last_checkpoint
from cropzoom.trainer.sft import SftTrainer


def test_one_step_is_the_gradient_of_the_mean_loss(tmp_path: Path) -> None:
    options = {**QUICK, "learning_rate": 1.0, "max_steps": 1, "max_grad_norm": 0.0}
    options |= {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 4}
    options |= {"lr_scheduler_type": "constant", "optim": "sgd"}
    args = SftConfig(output_dir=str(tmp_path), **options)
    trainer = SftTrainer(ToyPolicy(ROWS), toy_rows(ROWS), args)
    trainer.train()
    # Ten rows in micro-batches of 3, 3, 3 and 1: every row counts the same.
    policy = ToyPolicy(ROWS)
    rows = toy_rows(ROWS)
    loss = policy.nll(policy.collate(rows), known_boxes(rows)).mean()
    loss.backward()
    for name, parameter in policy.named_parameters():
        expected = parameter.detach() - parameter.grad
        torch.testing.assert_close(weights(trainer)[name], expected, rtol=0, atol=1e-6)
    assert trainer.state.log_history[0]["loss"] == pytest.approx(loss.item(), abs=1e-6)


def test_a_resumed_run_is_the_same_to_the_bit_with_dropout(tmp_path: Path) -> None:
    whole = sft(tmp_path / "whole")
    whole.train()
    stopped = sft(tmp_path / "cut")
    stopped.add_callback(StopAt(5))
    stopped.train()
    resumed = sft(tmp_path / "cut")
    resumed.train(resume_from_checkpoint=str(last_checkpoint(tmp_path / "cut")))
    assert resumed.state.global_step == whole.state.global_step == 9
    for key, value in weights(whole).items():
        assert torch.equal(weights(resumed)[key], value), key
    # Dropout was at work: without it the weights are others.
    still = sft(tmp_path / "still")
    still.model.drop.p = 0.0
    still.train()
    assert not torch.equal(weights(still)["cell.weight"], weights(whole)["cell.weight"])


def test_it_learns_the_boxes_and_evaluates(tmp_path: Path) -> None:
    longer = {"learning_rate": 0.3, "per_device_train_batch_size": 5, "num_train_epochs": 20.0}
    args = SftConfig(output_dir=str(tmp_path), **{**QUICK, **longer})
    rows = toy_rows(ROWS)
    unknown = dataclasses.replace(rows[0], box=None)
    trainer = SftTrainer(ToyPolicy(ROWS), rows, args, eval_rows=rows)
    before = trainer.evaluate()
    assert before["eval_nll"] > 2 and "eval_reward" not in before
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_iou"] == pytest.approx(1.0, abs=1e-6)
    assert after["eval_nll"] < 0.1
    # A row without a box counts for the area, not for loss and overlap.
    alone = trainer.evaluate([unknown])
    assert alone.keys() == {"eval_area", "eval_invalid"} and 0 < alone["eval_area"] < 1


def test_evaluation_with_a_reward(tmp_path: Path) -> None:
    rows = toy_rows(4)
    trainer = SftTrainer(
        ToyPolicy(4), rows, SftConfig(output_dir=str(tmp_path), **QUICK),
        eval_rows=rows, reward=TargetIou(),
    )  # fmt: skip
    metrics = trainer.evaluate()
    assert metrics["eval_reward"] == pytest.approx(metrics["eval_iou"])
    assert {"eval_gain_none", "eval_gain_random", "eval_nll"} <= metrics.keys()


def test_rows_without_boxes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [dataclasses.replace(row, box=None) for row in toy_rows(3)]
    args = SftConfig(output_dir=str(tmp_path), **QUICK)
    with pytest.raises(TrainingError, match="none of the 3 rows has a box"):
        SftTrainer(ToyPolicy(3), rows, args)
    with pytest.raises(TrainingError, match="no rows to train on"):
        SftTrainer(ToyPolicy(3), [], args)
    trainer = SftTrainer(ToyPolicy(3), [*rows[:2], toy_rows(3)[2]], args)
    assert len(trainer.train_dataset) == 1
    assert "2 of 3 rows have no box" in caplog.text
