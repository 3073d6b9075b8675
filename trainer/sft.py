"""Supervised fine-tuning of a crop policy towards boxes that a teacher proposed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Sampler
from transformers import TrainingArguments

from cropzoom.data.row import Row
from cropzoom.data.rows import Rows
from cropzoom.errors import TrainingError

from .batching import WindowSampler, picture_of
from .gains import WHOLE, known_boxes
from .policies.policy import Policy
from .policy_trainer import PolicyTrainer
from .rewards.reward import Reward

logger = logging.getLogger(__name__)


class SftTrainer(PolicyTrainer):
    """Minimises the policy's negative log-likelihood of the rows' boxes, mean over rows.

    Args:
        policy: trained in place, with its dropout.
        rows: those without a box are left out, and counted in a warning.
        args: the Trainer's, such as a `config.SftConfig`.
        eval_rows: held out; those without a box count for area and reward only.
        reward: what evaluation measures crops with; None: geometry only.

    Raises:
        TrainingError: no row has a box.
    """

    def __init__(
        self,
        policy: Policy,
        rows: Sequence[Row],
        args: TrainingArguments,
        *,
        eval_rows: Sequence[Row] | None = None,
        reward: Reward | None = None,
    ) -> None:
        numbers = [number for number, row in enumerate(rows) if row.box is not None]
        labelled = rows.select(numbers) if isinstance(rows, Rows) else [rows[n] for n in numbers]
        if rows and not labelled:
            raise TrainingError(
                f"none of the {len(rows)} rows has a box to learn from; make them with "
                "`cropzoom label`, or give the columns that hold them"
            )
        if len(labelled) < len(rows):
            logger.warning(
                "%d of %d rows have no box and are left out", len(rows) - len(labelled), len(rows)
            )
        self._rows, self._shares_pictures = labelled, policy.shares_pictures
        super().__init__(policy, labelled, args, eval_rows=eval_rows, reward=reward)

    def _sampler(self, length: int) -> Sampler[int]:
        if not self._shares_pictures:
            return super()._sampler(length)
        pictures = [picture_of(row) for row in self._rows]
        return WindowSampler(length, self.args.seed, self.current_epoch, pictures=pictures)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return this micro-batch's share of the step's mean loss, nats a row."""
        boxes = known_boxes(inputs["rows"]).to(self.args.device)
        loss: Tensor = model("nll", inputs["batch"], boxes).mean()
        return loss * self.share_of_step(inputs, num_items_in_batch)

    def _columns(self) -> tuple[str, ...]:
        return (*super()._columns(), "nll")

    def _measured(self, rows: Sequence[Row], boxes: Tensor, inputs: dict[str, Tensor]) -> Tensor:
        truth = known_boxes(rows)
        known = truth.isfinite().all(-1)
        # Any box will do where none is known: its loss is not looked at.
        filled = torch.where(known[:, None], truth, torch.tensor(WHOLE))
        with torch.no_grad(), self.accelerator.autocast():
            nll = self.model("nll", inputs, filled.to(self.args.device)).float().cpu()
        table = super()._measured(rows, boxes, inputs)
        return torch.cat([table, nll.masked_fill(~known, torch.nan)[:, None]], 1)
