"""What SFT and GRPO share: `transformers.Trainer` around a crop policy.

From the Trainer come accelerate and torchrun, DDP, FSDP, DeepSpeed, mixed precision, schedules,
loggers, checkpoints. Here: batches of rows, losses weighted by rows over the whole step, policies
saved in their own format, resuming to the bit, and evaluation as crops rather than as a loss.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import math
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object, set_seed
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import Dataset, Sampler
from transformers import Trainer, TrainingArguments

from cropzoom.data.row import Row
from cropzoom.errors import TrainingError

from . import health
from .batching import Collate, RowDataset, WindowSampler
from .gains import against_baselines, known_boxes
from .policies.policy import Policy
from .rewards.reward import Reward

logger = logging.getLogger(__name__)

STATE = "training_state.safetensors"
_COMPLETE = "trainer_state.json"


class PolicyTrainer(Trainer):
    """A `transformers.Trainer` of a crop policy; SFT and GRPO add what is minimised.

    Args:
        policy: trained in place.
        rows: at least one.
        args: the Trainer's; `output_dir` gets checkpoints and pictures.
        eval_rows: held out; None or empty: no evaluation.
        reward: what evaluation measures crops with; None: geometry only.

    Raises:
        TrainingError: no rows; several GPUs in one process (DataParallel); or several processes
            that don't know of each other.
    """

    model: Any
    # `compute_loss` returns this micro-batch's share of the step's mean, see `share_of_step`.
    loss_is_scaled_for_ga = True

    def __init__(
        self,
        policy: Policy,
        rows: Sequence[Row],
        args: TrainingArguments,
        *,
        eval_rows: Sequence[Row] | None = None,
        reward: Reward | None = None,
    ) -> None:
        if args.n_gpu > 1:
            raise TrainingError(
                f"{args.n_gpu} GPUs are visible to one process, which would mean DataParallel; "
                f"start one process a GPU with `torchrun --nproc-per-node {args.n_gpu} -m cropzoom "
                "train ...` or `accelerate launch -m cropzoom train ...`, or make one GPU visible "
                "with CUDA_VISIBLE_DEVICES=0"
            )
        if getattr(args, "activation_checkpointing", args.gradient_checkpointing):
            # Not left to the Trainer, which takes the model for a PreTrainedModel here.
            policy.gradient_checkpointing_enable({"use_reentrant": False})
            args.activation_checkpointing = args.gradient_checkpointing = False
        args.remove_unused_columns = False
        if args.ddp_find_unused_parameters is None:
            # Policies give every trainable parameter a gradient; looking for others takes time.
            args.ddp_find_unused_parameters = False
        # A loss that is not a number must be seen, not averaged away.
        args.logging_nan_inf_filter = False
        self.reward = reward
        self._noted: dict[str, tuple[float, int]] = {}
        self._broken: set[str] = set()
        super().__init__(
            model=policy,
            args=args,
            data_collator=Collate(policy.collate),
            train_dataset=RowDataset(rows),
            eval_dataset=RowDataset(eval_rows) if eval_rows else None,
        )
        started, together = int(os.environ.get("WORLD_SIZE", "1")), self.accelerator.num_processes
        if started != together:
            raise TrainingError(
                f"started as one of {started} processes, but {together} train together: they would "
                "overwrite each other. On CPUs, set use_cpu=true"
            )
        set_seed(args.seed, device_specific=True)
        # Sharded weights are gathered into this one to be saved in the policy's own format.
        sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        policy.synced = sharded
        self._whole = copy.deepcopy(policy).cpu() if sharded and args.should_save else None

    def create_accelerator_and_postprocess(self) -> None:
        """As the Trainer does, but FSDP casts weights only."""
        super().create_accelerator_and_postprocess()
        plugin = getattr(self.accelerator.state, "fsdp_plugin", None)
        if plugin is not None and plugin.fsdp_version == 2 and plugin.mixed_precision_policy:
            # By default it also casts what goes in and out: noise and boxes would lose their
            # precision, and log-probabilities theirs.
            plugin.mixed_precision_policy = dataclasses.replace(
                plugin.mixed_precision_policy,
                cast_forward_inputs=False,
                output_dtype=None,
                reduce_dtype=torch.float32,
            )

    # Data

    def _get_train_sampler(self, train_dataset: Dataset[Any] | None = None) -> Sampler[int]:
        dataset: Any = self.train_dataset if train_dataset is None else train_dataset
        return self._sampler(len(dataset))

    def _sampler(self, length: int) -> Sampler[int]:
        return WindowSampler(length, self.args.seed, self.current_epoch)

    def current_epoch(self) -> int:
        """The epoch being trained, from 0; the same after a resume."""
        return int(self.state.epoch or 0)

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], Tensor | int | None]:
        """Fetch the micro-batches of one step, and count their rows over all processes."""
        samples, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._note_broken([row_id for sample in samples for row_id in sample["broken"]])
        rows = sum(len(sample["rows"]) for sample in samples)
        total = int(self.gathered(torch.tensor([rows])).sum())
        return samples, total

    def share_of_step(self, inputs: dict[str, Any], rows_in_step: Tensor | int | None) -> float:
        """Weight of a micro-batch's mean, so that a step's gradient is that of the mean over rows.

        Micro-batches are summed and processes averaged; neither knows that the last batch of an
        epoch may be smaller.
        """
        assert rows_in_step is not None
        return len(inputs["rows"]) * self.accelerator.num_processes / float(rows_in_step)

    def gathered(self, values: Tensor) -> Tensor:
        """Concatenate a tensor of each process along its first dimension; on the CPU."""
        if self.accelerator.num_processes == 1:
            return values.cpu()
        return self.accelerator.gather(values.to(self.args.device)).cpu()

    def _note_broken(self, ids: list[str]) -> None:
        fresh = set(ids) - self._broken
        self._broken |= fresh
        if fresh:
            logger.warning(
                "%d picture(s) can't be read and are skipped (%d in all): %s",
                len(fresh),
                len(self._broken),
                ", ".join(sorted(fresh)[:10]),
            )

    # Logging

    def note(self, metrics: dict[str, float], weight: int = 1) -> None:
        """Average metrics into the next log; what is not finite is left out."""
        for name, value in metrics.items():
            if math.isfinite(value):
                total, weights = self._noted.get(name, (0.0, 0))
                self._noted[name] = total + value * weight, weights + weight

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Add what all processes noted since the last log of the loss."""
        if "loss" in logs:
            noted = gather_object([self._noted])
            for name in sorted({name for own in noted for name in own}):
                sums, weights = zip(*(own[name] for own in noted if name in own), strict=True)
                logs[name] = sum(sums) / sum(weights)
            broken = len(set(gather_object(sorted(self._broken))))
            if broken:
                logs["data/unreadable"] = float(broken)
            self._noted = {}
        super().log(logs, start_time)

    # Checkpoints

    def _save(
        self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None
    ) -> None:
        if not self.args.should_save:
            return
        folder = Path(str(output_dir or self.args.output_dir))
        folder.mkdir(parents=True, exist_ok=True)
        policy = self.accelerator.unwrap_model(self.model)
        if self._whole is not None and state_dict:
            self._whole.load_state_dict({k: v.cpu() for k, v in state_dict.items()})
            policy = self._whole
        policy.save_pretrained(folder)

    def _save_rng_state(self, output_dir: str) -> None:
        """Called last but for the Trainer's own state, whose file makes a checkpoint complete."""
        super()._save_rng_state(output_dir)
        self.save_progress(Path(output_dir))
        self.accelerator.wait_for_everyone()

    def save_progress(self, folder: Path) -> None:
        """Write what resuming to the bit takes beyond the Trainer's files."""
        if self.args.should_save and self._whole is None:
            parts = _moving_parts(self.model)
            save_file({name: part.contiguous() for name, part in parts.items()}, folder / STATE)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.is_fsdp_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
            return
        path = Path(resume_from_checkpoint) / STATE
        if not path.is_file():
            raise TrainingError(f"{path} is missing: not a checkpoint of this trainer")
        saved, parts = load_file(path), _moving_parts(self.model)
        if saved.keys() != parts.keys():
            differing = sorted(saved.keys() ^ parts.keys())[:5]
            raise TrainingError(
                f"{path} is of another policy: differing parts are {', '.join(differing)}; resume "
                "with the configuration saved beside it"
            )
        with torch.no_grad():
            for name, tensor in parts.items():
                if tensor.shape != saved[name].shape:
                    raise TrainingError(
                        f"{path} is of another policy: {name} has shape "
                        f"{tuple(saved[name].shape)}, not {tuple(tensor.shape)}"
                    )
                tensor.copy_(saved[name])

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(str(self.state.best_model_checkpoint), self.model)

    # Evaluation

    def evaluate(  # type: ignore[override]  # rows, not several data sets by name
        self,
        eval_dataset: Sequence[Row] | Dataset[Any] | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Measure the boxes that the policy would choose, on held-out rows.

        Returns:
            With the prefix: `area` (mean share of the image), `invalid` (share without a box),
            `iou` to the known boxes; and with a reward: `reward`, `gain_none` over no crop, and
            `gain_random` over a crop of the same size at a random place (seeded by row).
        """
        if eval_dataset is not None and not isinstance(eval_dataset, Dataset):
            eval_dataset = RowDataset(eval_dataset)
        training = self.model.training
        self.model.eval()
        tables: list[Tensor] = []
        for sample in self.get_eval_dataloader(eval_dataset):
            self._note_broken(sample["broken"])
            inputs = self._prepare_inputs(sample["batch"])
            with torch.no_grad(), self.accelerator.autocast():
                boxes = self.model("best", inputs).float().cpu()
            table = self._measured(sample["rows"], boxes, inputs)
            tables.append(self.accelerator.gather_for_metrics(table.to(self.args.device)).cpu())
        self.model.train(training)
        # Columns that no row has a value in are left out.
        means = torch.cat(tables).nanmean(0).tolist()
        metrics = {
            f"{metric_key_prefix}_{name}": value
            for name, value in zip(self._columns(), means, strict=True)
            if math.isfinite(value)
        }
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(
            self.args, self.state, self.control, metrics
        )
        return metrics

    def _columns(self) -> tuple[str, ...]:
        geometry = ("area", "invalid", "iou")
        return (*geometry, "reward", "gain_none", "gain_random") if self.reward else geometry

    def _measured(self, rows: Sequence[Row], boxes: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        """One line of metrics a row, (B, columns); NaN where undefined."""
        invalid = boxes.isnan().any(-1).float()
        columns = [health.area(boxes), invalid, health.box_iou(boxes, known_boxes(rows))]
        if self.reward is not None:
            earned, none, elsewhere = against_baselines(self.reward, rows, boxes)
            columns += [earned, earned - none, earned - elsewhere]
        return torch.stack(columns, 1)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the newest complete checkpoint of a run; one cut short by a kill is passed over."""
    checkpoints = []
    for path in folder.glob("checkpoint-*"):
        number = re.fullmatch(r"checkpoint-(\d+)", path.name)
        if number is not None:
            checkpoints.append((int(number.group(1)), path))
    for _, path in sorted(checkpoints, reverse=True):
        try:
            # Written last, so a whole one means that all other files are whole.
            json.loads((path / _COMPLETE).read_text())
            return path
        except (OSError, ValueError):
            logger.warning("%s is incomplete (killed while saving?) and passed over", path)
    return None


def _moving_parts(policy: nn.Module) -> dict[str, Tensor]:
    """What training changes: parameters with gradients, and buffers. Tied ones come once."""
    parts = {name: p.detach() for name, p in policy.named_parameters() if p.requires_grad}
    return parts | dict(policy.named_buffers())
