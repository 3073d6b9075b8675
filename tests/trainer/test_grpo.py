"""GRPO on a policy whose gradients can be written down, so that every step can be checked."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import torch
from PIL import Image
from torch import Tensor
from toy_policy import SIDES, TargetIou, ToyPolicy, toy_rows
from toy_runs import ROWS, StopAt, grpo, weights

from cropzoom.data.row import Row
from cropzoom.errors import TrainingError
from cropzoom.trainer import losses
from cropzoom.trainer.batching import RowDataset, WindowSampler, rollout_noise
from cropzoom.trainer.config import GrpoConfig
from cropzoom.trainer.gains import known_boxes
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.policy_trainer import last_checkpoint


class Fixed:
    """A reward of the same numbers at each call."""

    name = "fixed"

    def __init__(self, values: Tensor) -> None:
        self.values = values

    def __call__(self, rows: Any, boxes: Tensor) -> Tensor:
        return self.values.expand(len(rows), -1).clone()


def drawn(policy: ToyPolicy, rows: list[Row], trainer: Any) -> Any:
    """The rollout that a trainer makes at its first step."""
    config = trainer.config
    noise = rollout_noise(rows, config.num_generations, policy.noise_length, trainer.args.seed, 0)
    return policy.sample(policy.collate(rows), noise, config.temperature)


@pytest.mark.parametrize("scaling", ["none", "group"])
def test_one_step_is_the_closed_form_gradient(tmp_path: Path, scaling: str) -> None:
    """d/d logits of sum_g A_g log p(a_g) / (G max_length), at the temperature of sampling."""
    rewards = torch.tensor([[3.0, 1.0, 0.0, 0.0]])
    trainer = grpo(
        tmp_path,
        Fixed(rewards),
        rows=toy_rows(1),
        policy=ToyPolicy(1),
        num_generations=4,
        temperature=0.7,
        scale_rewards=scaling,
        beta=0.0,
        learning_rate=1.0,
        lr_scheduler_type="constant",
        per_device_train_batch_size=1,
        gradient_accumulation_steps=1,
        max_steps=1,
        max_grad_norm=0.0,
        baseline_steps=0,
        optim="sgd",
    )
    before = ToyPolicy(1)
    rollout = drawn(before, toy_rows(1), trainer)
    trainer.train()
    share = (before.cell.weight[0] / 0.7).softmax(-1)
    gain = rewards[0] - rewards.mean()
    if scaling == "group":
        gain = gain / (rewards.std() + 1e-4)
    step = torch.zeros(16)
    for sample in range(4):
        chosen = torch.nn.functional.one_hot(rollout.actions[0, sample, 0], 16)
        step += gain[sample] * (chosen - share.detach()) / 0.7 / (4 * 2)
    moved = weights(trainer)["cell.weight"][0] - before.cell.weight[0]
    torch.testing.assert_close(moved.detach(), step, rtol=0, atol=1e-6)
    assert step.abs().max() > 0.1


@pytest.mark.parametrize("variant", ["dr_grpo", "grpo", "dapo"])
def test_batch_and_accumulation_are_interchangeable(tmp_path: Path, variant: str) -> None:
    """The last step of an epoch has fewer rows, whatever the shape of a step."""
    results = []
    for batch, accumulation in ((4, 1), (2, 2), (1, 4)):
        trainer = grpo(
            tmp_path,
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            loss_type=variant,
            scale_rewards="batch",
            num_train_epochs=2.0,
            baseline_steps=0,
        )
        trainer.train()
        results.append(weights(trainer))
    for other in results[1:]:
        for key, value in results[0].items():
            torch.testing.assert_close(other[key], value, rtol=0, atol=1e-5)
    assert (results[0]["cell.weight"] - ToyPolicy(ROWS).cell.weight).abs().max() > 0.05


@pytest.mark.parametrize("iterations", [1, 3])
def test_a_resumed_run_is_the_same_to_the_bit(tmp_path: Path, iterations: int) -> None:
    """Stopped in the second epoch, and with three iterations, between two uses of rollouts."""
    options = {"num_iterations": iterations, "scale_rewards": "group", "kl": "exact"}
    whole = grpo(tmp_path / "whole", **options)
    whole.train()
    stop = 4 if iterations == 1 else 11
    stopped = grpo(tmp_path / "cut", **options)
    stopped.add_callback(StopAt(stop))
    stopped.train()
    assert stopped.state.global_step == stop < whole.state.global_step
    checkpoint = last_checkpoint(tmp_path / "cut")
    assert checkpoint is not None and checkpoint.name == f"checkpoint-{stop}"
    reward = TargetIou()
    resumed = grpo(tmp_path / "cut", reward, **options)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    for key, value in weights(whole).items():
        assert torch.equal(weights(resumed)[key], value), key
    first = whole.optimizer.state_dict()["state"]
    again = resumed.optimizer.state_dict()["state"]
    for number, slot in first.items():
        assert torch.equal(slot["exp_avg_sq"], again[number]["exp_avg_sq"])
    # The reference is where training began, not where it was resumed.
    assert resumed.reference is not None
    torch.testing.assert_close(resumed.reference.cell.weight, ToyPolicy(ROWS).cell.weight)
    tail = [entry for entry in whole.state.log_history if entry["step"] > stop]
    for ours, theirs in zip(tail, resumed.state.log_history[-len(tail) :], strict=True):
        for key in ("loss", "reward/mean", "policy/kl"):
            assert ours.get(key) == theirs.get(key)


def test_a_checkpoint_cut_short_is_passed_over(tmp_path: Path) -> None:
    for step, state in ((2, "{}"), (10, '{"global_step": 1'), (9, None)):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        if state is not None:
            (folder / "trainer_state.json").write_text(state)
    (tmp_path / "checkpoint-best").mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "checkpoint-2"
    assert last_checkpoint(tmp_path / "checkpoint-2") is None


def test_a_checkpoint_of_another_policy_is_refused(tmp_path: Path) -> None:
    trainer = grpo(tmp_path, max_steps=1)
    trainer.train()
    trainer._save_checkpoint(trainer.model, None)
    other = grpo(tmp_path, policy=ToyPolicy(ROWS, cells=5))
    with pytest.raises(TrainingError, match=r"another policy: cell\.weight has shape"):
        other.train(resume_from_checkpoint=str(last_checkpoint(tmp_path)))


def test_rollouts_depend_on_seed_epoch_row_and_sample_alone() -> None:
    rows = toy_rows(3)
    noise = rollout_noise(rows, 4, 2, seed=1, epoch=0)
    assert noise.dtype == torch.float64 and noise.min() >= 0 and noise.max() < 1
    assert torch.equal(rollout_noise(rows[1:2], 4, 2, seed=1, epoch=0), noise[1:2])
    assert torch.equal(rollout_noise(rows, 2, 2, seed=1, epoch=0), noise[:, :2])
    for other in ({"seed": 2, "epoch": 0}, {"seed": 1, "epoch": 1}):
        assert not (rollout_noise(rows, 4, 2, **other) == noise).any()
    assert len(noise.unique()) == noise.numel()


def test_windows_repeat_and_are_filled_up() -> None:
    epoch = 0
    once = list(WindowSampler(5, 0, lambda: epoch))
    assert sorted(once) == list(range(5))
    twice = WindowSampler(5, 0, lambda: epoch, window=2, repeats=2)
    assert list(twice) == [
        *once[0:2], *once[0:2], *once[2:4], *once[2:4], *(once[4:] + once[:1]) * 2,
    ]  # fmt: skip
    assert len(twice) == 12
    epoch = 1
    assert list(WindowSampler(5, 0, lambda: epoch)) != once
    assert list(WindowSampler(5, 1, lambda: epoch)) != once


def test_rows_without_a_reward_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    missing = ["toy-3", "toy-4", "toy-5"]
    trainer = grpo(tmp_path, TargetIou(missing), beta=0.0, baseline_steps=0)
    trainer.monitor.first = 1
    trainer.train()
    start, end = ToyPolicy(ROWS), weights(trainer)
    for number in range(ROWS):
        unmoved = torch.equal(end["cell.weight"][number], start.cell.weight[number])
        assert unmoved == (f"toy-{number}" in missing)
    shares = [e["reward/left_out"] for e in trainer.state.log_history if "loss" in e]
    # Steps of four, four and two rows.
    for one_epoch in (shares[0:3], shares[3:6], shares[6:9]):
        assert 4 * one_epoch[0] + 4 * one_epoch[1] + 2 * one_epoch[2] == pytest.approx(3)
    assert "missing rewards" in caplog.text
    assert all(math.isfinite(value) for tensor in end.values() for value in tensor.flatten())


def test_a_reward_that_failed_for_good_stops_the_run(tmp_path: Path) -> None:
    trainer = grpo(tmp_path, TargetIou([f"toy-{n}" for n in range(ROWS)]), patience=2)
    with pytest.raises(TrainingError, match="no number at all for 2 steps"):
        trainer.train()


def test_a_reward_of_another_shape_is_refused(tmp_path: Path) -> None:
    def per_row(rows: Any, boxes: Tensor) -> Tensor:
        return torch.zeros(len(rows))

    per_row.name = "per_row"  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match=r"'per_row' returned shape \(4,\)"):
        grpo(tmp_path, per_row).train()


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="a group of one teaches nothing"):
        GrpoConfig(num_generations=1)
    with pytest.raises(TrainingError, match="no rows to train on"):
        grpo(tmp_path, rows=[])
    args = GrpoConfig(output_dir=str(tmp_path), dataloader_num_workers=0)
    args._n_gpu = 2
    from cropzoom.trainer.grpo import GrpoTrainer

    with pytest.raises(TrainingError, match="torchrun --nproc-per-node 2"):
        GrpoTrainer(ToyPolicy(1), toy_rows(1), TargetIou(), args)


def test_the_divergence_pulls_back_to_the_reference(tmp_path: Path) -> None:
    """With equal rewards only the divergence has a gradient, in both forms."""
    for kl in ("exact", "k3"):
        trainer = grpo(
            tmp_path, Fixed(torch.zeros(6)), beta=1.0, kl=kl, num_train_epochs=20.0,
            temperature=1.0, policy=ToyPolicy(ROWS, seed=1), baseline_steps=0,
        )  # fmt: skip
        reference = ToyPolicy(ROWS, seed=2).requires_grad_(False)
        trainer.reference = reference
        assert all(part is not reference for part in trainer.model.modules())

        def apart(policy: Any, reference: ToyPolicy = reference) -> float:
            ours, theirs = (p.cell.weight.detach().log_softmax(-1) for p in (policy, reference))
            return float(losses.kl_exact(ours, theirs).mean())

        before = apart(ToyPolicy(ROWS, seed=1))
        trainer.train()
        assert apart(trainer.model) < before / 5, kl
        assert trainer.state.log_history[0]["policy/kl"] > 0.01


def test_iterations_clip_and_one_does_not(tmp_path: Path) -> None:
    fast = {"learning_rate": 0.5, "warmup_steps": 0.0, "beta": 0.0}
    clipped = {}
    for iterations in (1, 4):
        trainer = grpo(tmp_path, num_iterations=iterations, num_train_epochs=1.0, **fast)
        trainer.train()
        clipped[iterations] = sum(
            entry.get("policy/clipped_low", 0) + entry.get("policy/clipped_high", 0)
            for entry in trainer.state.log_history
        )
    assert clipped[1] == 0 < clipped[4]


def test_dropout_is_off_and_training_mode_comes_back(tmp_path: Path) -> None:
    still, dropping = (
        grpo(tmp_path, policy=ToyPolicy(ROWS, dropout=p), num_train_epochs=1.0) for p in (0.0, 0.5)
    )
    still.train(), dropping.train()
    for key, value in weights(still).items():
        assert torch.equal(weights(dropping)[key], value)


def test_broken_pictures_are_counted_and_replaced(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = tmp_path / "whole.png"
    Image.new("RGB", (64, 64), "white").save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:60])
    rows = toy_rows(ROWS)
    rows[2] = dataclasses.replace(rows[2], image=tmp_path / "cut.png")
    rows[9] = dataclasses.replace(rows[9], image=tmp_path / "missing.png")
    reward = TargetIou()
    trainer = grpo(tmp_path / "out", reward, rows=rows, num_train_epochs=1.0, baseline_steps=0)
    trainer.train()
    seen = sorted(row_id for ids, _ in reward.calls for row_id in ids)
    assert seen == sorted([f"toy-{n}" for n in (0, 0, 1, 3, 3, 4, 5, 6, 7, 8)])
    assert "toy-2" in caplog.text and "toy-9" in caplog.text
    assert trainer.state.log_history[-2]["data/unreadable"] == 2
    with pytest.raises(TrainingError, match=r"none of the 1 pictures can be read.*missing\.png"):
        RowDataset([rows[9]])[0]


def test_evaluation_compares_with_no_crop_and_random_crops(tmp_path: Path) -> None:
    rows = toy_rows(ROWS)
    trainer = grpo(tmp_path, eval_rows=rows)
    metrics = trainer.evaluate()
    policy = ToyPolicy(ROWS)
    boxes = policy.best(policy.collate(rows))
    truth = known_boxes(rows)
    earned = box_iou(boxes, truth)
    none = box_iou(torch.tensor([0.0, 0, 1, 1]), truth)
    assert metrics["eval_reward"] == pytest.approx(float(earned.mean()))
    assert metrics["eval_iou"] == pytest.approx(float(earned.mean()))
    assert metrics["eval_gain_none"] == pytest.approx(float((earned - none).mean()), abs=1e-6)
    sides = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert metrics["eval_area"] == pytest.approx(float(sides.mean()))
    assert metrics["eval_invalid"] == 0
    # The random crops have the sizes of the policy's.
    asked = next(boxes for _, boxes in trainer.reward.calls if boxes.shape[1] == 2)
    sizes = asked[..., 2:] - asked[..., :2]
    torch.testing.assert_close(sizes[:, 0], sizes[:, 1])
    assert not torch.equal(asked[:, 0], asked[:, 1])
    assert trainer.evaluate() == metrics


def test_grpo_finds_the_best_of_all_boxes(tmp_path: Path) -> None:
    """Brute force over the toy's grid, for each of ten rows."""
    trainer = grpo(
        tmp_path, learning_rate=0.3, num_train_epochs=60.0, beta=0.0, num_generations=16,
        lr_scheduler_type="constant", temperature=1.0, per_device_train_batch_size=5,
        baseline_steps=0, eval_rows=toy_rows(ROWS),
    )  # fmt: skip
    trainer.train()
    every = torch.cartesian_prod(torch.arange(16), torch.arange(len(SIDES)))
    boxes = ToyPolicy(1).boxes(every)
    best = box_iou(boxes[None], known_boxes(toy_rows(ROWS))[:, None]).amax(1).mean()
    assert float(best) == 1.0
    assert trainer.evaluate()["eval_reward"] > 0.95


def test_pictures_are_drawn_and_logged(tmp_path: Path) -> None:
    trainer = grpo(
        tmp_path, num_train_epochs=1.0, picture_steps=2, pictures=3, report_to=["tensorboard"],
    )  # fmt: skip
    trainer.train()
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == ["step-000000.png", "step-000002.png"]
    with Image.open(tmp_path / "pictures" / names[0]) as sheet:
        assert sheet.size == (3 * 256, 256 + 28)
        # Green, orange and blue outlines.
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 16) or []}
    assert {(20, 150, 60), (220, 120, 40), (40, 90, 220)} <= colours
    assert list(tmp_path.rglob("events.out.tfevents*"))


def test_box_of_a_row_may_be_unknown(tmp_path: Path) -> None:
    rows = [dataclasses.replace(row, box=None) for row in toy_rows(ROWS)]
    trainer = grpo(
        tmp_path, Fixed(torch.arange(6.0)), rows=rows, num_train_epochs=1.0, baseline_steps=0
    )
    trainer.train()
    assert "boxes/iou" not in trainer.state.log_history[0]
