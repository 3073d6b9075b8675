"""Whole training runs of the toy policy: in a test, under torchrun, or to be killed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from safetensors.torch import save_file
from torch import Tensor
from toy_policy import TargetIou, ToyPolicy, toy_rows
from transformers import TrainerCallback

from cropzoom.data.row import Row
from cropzoom.trainer.config import GrpoConfig, SftConfig
from cropzoom.trainer.grpo import GrpoTrainer
from cropzoom.trainer.policy_trainer import PolicyTrainer
from cropzoom.trainer.sft import SftTrainer
from cropzoom.trainer.training import leave_group

# Ten rows and steps of four: the last step of an epoch is half a one.
ROWS = 10
QUICK: dict[str, Any] = {
    "learning_rate": 0.05,
    "dataloader_num_workers": 0,
    "warmup_steps": 0.0,
    "num_train_epochs": 3.0,
    "logging_steps": 1,
    "save_steps": 1000,
    "save_total_limit": None,
    "disable_tqdm": True,
    "use_cpu": True,
}
BATCHES = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
GRPO: dict[str, Any] = {**QUICK, **BATCHES, "picture_steps": 0}
SCENARIOS: dict[str, dict[str, Any]] = {
    "dr_grpo": {},
    "dapo": {"loss_type": "dapo", "scale_rewards": "batch", "kl": "exact"},
    "grpo_twice": {"loss_type": "grpo", "scale_rewards": "group", "num_iterations": 2},
}


class StopAt(TrainerCallback):
    """Stops after a step, with a checkpoint of it, as a machine that is taken away would not."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.step:
            control.should_save = control.should_training_stop = True


def grpo(
    folder: Path,
    reward: Any = None,
    rows: Sequence[Row] | None = None,
    policy: ToyPolicy | None = None,
    eval_rows: Sequence[Row] | None = None,
    kind: type[GrpoTrainer] = GrpoTrainer,
    **options: Any,
) -> GrpoTrainer:
    """A GRPO trainer of the toy policy."""
    return kind(
        policy or ToyPolicy(ROWS),
        toy_rows(ROWS) if rows is None else rows,
        reward or TargetIou(),
        GrpoConfig(output_dir=str(folder), **{**GRPO, **options}),
        eval_rows=eval_rows,
    )


def sft(folder: Path, **options: Any) -> SftTrainer:
    """An SFT trainer of the toy policy, with dropout."""
    args = SftConfig(output_dir=str(folder), **{**QUICK, **BATCHES, **options})
    return SftTrainer(ToyPolicy(ROWS, dropout=0.3), toy_rows(ROWS), args)


def weights(trainer: PolicyTrainer) -> dict[str, Tensor]:
    """The trained policy's parameters, copied."""
    policy = trainer.accelerator.unwrap_model(trainer.model)
    return {name: value.detach().clone() for name, value in policy.named_parameters()}


def by_row(reward: TargetIou) -> dict[str, Tensor]:
    """All boxes that a reward was asked about, by row and how often the row came before."""
    seen: dict[str, Tensor] = {}
    for ids, boxes in reward.calls:
        for row_id, row_boxes in zip(ids, boxes, strict=True):
            turn = sum(key.startswith(f"{row_id}/") for key in seen)
            seen[f"{row_id}/{turn}"] = row_boxes
    return seen


class Slow(TargetIou):
    """So slow that there is time for a kill."""

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        time.sleep(0.1)
        return super().__call__(rows, boxes)


def _distributed(folder: Path) -> None:
    """Each scenario with half the batch that one process would have."""
    for name, options in SCENARIOS.items():
        reward = TargetIou()
        trainer = grpo(
            folder / name, reward, per_device_train_batch_size=1, baseline_steps=0, **options
        )
        trainer.train()
        rank = trainer.accelerator.process_index
        save_file(by_row(reward), folder / f"{name}-boxes-{rank}.safetensors")
        save_file(weights(trainer), folder / f"{name}-weights-{rank}.safetensors")
        if rank == 0:
            metrics = trainer.evaluate(toy_rows(7))
            (folder / f"{name}.json").write_text(
                json.dumps({"log": trainer.state.log_history, "eval": metrics})
            )
        else:
            trainer.evaluate(toy_rows(7))


def _killed(folder: Path) -> None:
    trainer = grpo(folder, Slow(), save_steps=2, num_iterations=2, num_train_epochs=20.0)
    trainer.train()


class OnCpuSharded(GrpoTrainer):
    """Accelerate offers FSDP on accelerators only, but torch shards on CPUs as well."""

    def create_accelerator_and_postprocess(self) -> None:
        super().create_accelerator_and_postprocess()
        # Every new AcceleratorState copies what the PartialState says.
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        state = AcceleratorState()
        state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2, reshard_after_forward=True, state_dict_type="FULL_STATE_DICT"
        )
        self.is_fsdp_enabled = True


def _sharded(folder: Path) -> None:
    """FSDP2: each process holds half of the weights; then a resume from the middle."""
    options = {
        "per_device_train_batch_size": 1,
        "baseline_steps": 0,
        "save_steps": 5,
        "kind": OnCpuSharded,
    }
    trainer = grpo(folder, **options)
    trainer.train()
    whole = ToyPolicy(ROWS).cell.weight
    mine = trainer.model.cell.weight.to_local()
    assert mine.shape[0] < whole.shape[0], "not sharded"
    trainer.save_model(str(folder / "model"))
    resumed = grpo(folder, **options)
    resumed.train(resume_from_checkpoint=str(folder / "checkpoint-5"))
    resumed.save_model(str(folder / "resumed"))


if __name__ == "__main__":
    torch.set_num_threads(1)
    task, place = sys.argv[1], Path(sys.argv[2])
    if task == "killed":
        _killed(place)
    else:
        _distributed(place)
        # Last: it changes accelerate's state for good.
        _sharded(place / "sharded")
    leave_group()
