"""What a policy's boxes have to beat: no crop at all, and crops of their size at random places."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from cropzoom.data.row import Row

from . import health
from .batching import seeded
from .policies.policy import Policy
from .rewards.box_rewards import AreaPenalty, ValidBox, WeightedSum
from .rewards.crops import CropReward, Look
from .rewards.reward import Reward

WHOLE = (0.0, 0.0, 1.0, 1.0)


def against_baselines(
    reward: Reward, rows: Sequence[Row], boxes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Measure boxes (B, 4), NaN where there is none, and their baselines.

    Returns:
        Three (B,): what the boxes earn, what no crop does, and what boxes of their size do at
        places seeded by the row alone, so that all steps and policies meet the same places.
    """
    places = torch.from_numpy(np.stack([seeded("place", row.id).random(2) for row in rows]))
    both = torch.stack([boxes, health.moved(boxes, places)], 1)
    earned, elsewhere = reward(rows, both).unbind(1)
    return earned, no_crop(reward, rows, boxes), elsewhere


def no_crop(reward: Reward, rows: Sequence[Row], boxes: Tensor) -> Tensor:
    """What rows are worth without a crop, (B,).

    Rewards that look at crops look at the picture alone. Those of the box alone (valid, area) are
    taken at `boxes` (B, 4), so that they cancel out of a gain. Any other is given the whole image
    as the box.
    """
    if isinstance(reward, WeightedSum):
        terms = [weight * no_crop(term, rows, boxes) for weight, term in reward.terms]
        return torch.stack(terms).sum(0)
    if isinstance(reward, CropReward):
        if reward.gain:
            return torch.zeros(len(rows))
        return torch.tensor(reward.worth([Look(row, row.load(), None) for row in rows]))
    if isinstance(reward, (ValidBox, AreaPenalty)):
        return reward(rows, boxes[:, None])[:, 0]
    return reward(rows, torch.tensor(WHOLE).expand(len(rows), 1, 4))[:, 0]


def measure(
    policy: Policy, rows: Sequence[Row], reward: Reward, batch: int = 8
) -> dict[str, float]:
    """Mean reward of the boxes that a policy would choose, beside the baselines'.

    Returns:
        `crop`, `none` and `random`: mean rewards; `area`: mean share of the image that the crops
        cover. Rows without a reward (NaN) are left out of the means.
    """
    device = next(policy.parameters()).device
    policy.eval()
    parts = []
    for start in range(0, len(rows), batch):
        part = [rows[number] for number in range(start, min(start + batch, len(rows)))]
        inputs = {name: value.to(device) for name, value in policy.collate(part).items()}
        boxes = policy("best", inputs).float().cpu()
        crop, none, elsewhere = against_baselines(reward, part, boxes)
        parts.append(torch.stack([crop, none, elsewhere, health.area(boxes)]))
    means = torch.cat(parts, 1).nanmean(1).tolist()
    return dict(zip(("crop", "none", "random", "area"), means, strict=True))


def known_boxes(rows: Sequence[Row]) -> Tensor:
    """Boxes of rows, (B, 4) float32; NaN where not known."""
    unknown = (math.nan,) * 4
    return torch.tensor(
        [(b.x0, b.y0, b.x1, b.y1) if (b := row.box) is not None else unknown for row in rows]
    )
