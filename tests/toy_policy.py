"""A real policy without an image encoder: for each row, a table of logits over a grid of boxes.

Exact and fast, so that what the trainers do can be checked to the last bit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from cropzoom.data.row import Row
from cropzoom.geometry import Box
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.policies.policy import Batch, Policy, Rollout, Scores, pick

SIDES = (0.25, 0.5)


class ToyCollate:
    """Row number, from the id `toy-7`."""

    def __call__(self, rows: Sequence[Row]) -> Batch:
        return {"number": torch.tensor([int(row.id.split("-")[1]) for row in rows])}


class ToyPolicy(Policy):
    """log pi(box) = log p(cell | row) + log p(side | row, cell); the last cell has no side drawn.

    Args:
        rows: different rows.
        cells: columns and lines of the grid.
        dropout: of the logits, in training mode.
        seed: of the first logits.
    """

    kind = "pointer"
    noise_length = 2

    def __init__(self, rows: int, cells: int = 4, dropout: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.collate = ToyCollate()
        self.cells = cells
        generator = torch.Generator().manual_seed(seed)
        self.cell = nn.Embedding(rows, cells * cells)
        self.side = nn.Embedding(rows * cells * cells, len(SIDES))
        self.drop = nn.Dropout(dropout)
        for table in (self.cell, self.side):
            nn.init.normal_(table.weight, std=0.3, generator=generator)

    def sample(self, batch: Batch, noise: Tensor, temperature: float = 1.0) -> Rollout:
        with torch.no_grad():
            group = noise.shape[1]
            cells = self._cells(batch, temperature)[:, None].expand(-1, group, -1)
            cell = pick(cells, noise[..., 0])
            side = pick(self._sides(batch, cell, temperature), noise[..., 1])
            actions = torch.stack([cell, side], -1)
            scores = self.score(batch, actions, temperature)
        return Rollout(actions, self.boxes(actions), scores.logp, scores.mask)

    def score(
        self, batch: Batch, actions: Tensor, temperature: float = 1.0, full: bool = False
    ) -> Scores:
        cell, side = actions.unbind(-1)
        cells = self._cells(batch, temperature).log_softmax(-1)[:, None]
        cells = cells.expand(-1, actions.shape[1], -1)
        sides = self._sides(batch, cell, temperature).log_softmax(-1)
        logp = torch.stack([_of(cells, cell), _of(sides, side)], -1)
        entropy = torch.stack([_entropy(cells), _entropy(sides)], -1)
        drawn = cell != self.cells**2 - 1
        mask = torch.stack([torch.ones_like(drawn), drawn], -1)
        whole = None
        if full:
            padding = (0, cells.shape[-1] - sides.shape[-1])
            padded = nn.functional.pad(sides, padding, value=-torch.inf)
            whole = torch.stack([cells, padded], 2)
        return Scores(logp.masked_fill(~mask, 0), entropy.masked_fill(~mask, 0), mask, whole)

    def nll(self, batch: Batch, boxes: Tensor) -> Tensor:
        every = torch.cartesian_prod(torch.arange(self.cells**2), torch.arange(len(SIDES)))
        nearest = box_iou(boxes[:, None], self.boxes(every)).argmax(1)
        return -self.score(batch, every[nearest][:, None]).logp.sum((1, 2))

    def best(self, batch: Batch) -> Tensor:
        cell = self._cells(batch, 1.0).argmax(-1)
        side = self._sides(batch, cell[:, None], 1.0).argmax(-1)[:, 0]
        return self.boxes(torch.stack([cell, side], -1))

    def boxes(self, actions: Tensor) -> Tensor:
        """(..., 2) cell and side -> (..., 4) boxes, shifted inside the image."""
        cell, side = actions.unbind(-1)
        place = torch.stack([cell % self.cells, cell // self.cells], -1)
        centre = (place + 0.5) / self.cells
        size = torch.tensor(SIDES, device=actions.device)[side][..., None]
        low = (centre - size / 2).clamp_min(0)
        low = torch.minimum(low, 1 - size)
        return torch.cat([low, low + size], -1)

    def save_pretrained(self, folder: str | Path) -> None:
        Path(folder, "toy.json").write_text(json.dumps({"cells": self.cells}))
        save_file(self.state_dict(), Path(folder, "policy.safetensors"))

    def _cells(self, batch: Batch, temperature: float) -> Tensor:
        return self.drop(self.cell(batch["number"])) / temperature

    def _sides(self, batch: Batch, cell: Tensor, temperature: float) -> Tensor:
        return self.side(batch["number"][:, None] * self.cells**2 + cell) / temperature


class TargetIou:
    """A reward: IoU to the row's box; NaN for rows in `missing`."""

    name = "iou"

    def __init__(self, missing: Sequence[str] = ()) -> None:
        self.missing = set(missing)
        self.calls: list[tuple[list[str], Tensor]] = []

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        self.calls.append(([row.id for row in rows], boxes.clone()))
        rewards = torch.zeros(boxes.shape[:2])
        for b, row in enumerate(rows):
            for g, corners in enumerate(boxes[b].tolist()):
                assert row.box is not None
                known = corners[0] == corners[0]
                rewards[b, g] = Box.ordered(*corners).iou(row.box) if known else 0.0
            if row.id in self.missing:
                rewards[b] = torch.nan
        return rewards


def toy_rows(count: int, seed: int = 0) -> list[Row]:
    """Rows whose boxes are boxes of the toy's grid of four by four cells."""
    generator = torch.Generator().manual_seed(seed)
    cells = torch.randint(15, (count,), generator=generator)
    sides = torch.randint(len(SIDES), (count,), generator=generator)
    boxes = ToyPolicy(1).boxes(torch.stack([cells, sides], -1)).tolist()
    return [
        Row(
            id=f"toy-{number}",
            image=Image.new("RGB", (32, 32), (7 * number % 256, 90, 120)),
            question=f"Where is thing {number}?",
            answers=(str(number),),
            box=Box(*corners),
        )
        for number, corners in enumerate(boxes)
    ]


def _of(log_probabilities: Tensor, chosen: Tensor) -> Tensor:
    return log_probabilities.gather(-1, chosen[..., None])[..., 0]


def _entropy(log_probabilities: Tensor) -> Tensor:
    return -(log_probabilities.exp() * log_probabilities).sum(-1)
