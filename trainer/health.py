"""How GRPO on boxes goes wrong, as numbers of every step and as warnings that say what to do.

`METRICS` tells what each logged number means, `SIGNS` which values are bad ones; their words lie in
`health.yaml`. All functions are pure: tensors in, numbers out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from torch import Tensor


@dataclass(frozen=True)
class Sign:
    """A value of a metric that means trouble.

    Args:
        metric: a key of `METRICS`.
        limit: trouble beyond it.
        above: whether trouble lies above the limit, not below.
        name: of the failure.
        advice: what it means and what to do.
    """

    metric: str
    limit: float
    above: bool
    name: str
    advice: str


_SAID = yaml.safe_load(Path(__file__).with_name("health.yaml").read_text("utf-8"))
METRICS: dict[str, str] = _SAID["metrics"]
SIGNS = tuple(Sign(**sign) for sign in _SAID["signs"])


def box_iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast: (...), NaN where one is NaN."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp_min(0).prod(-1)
    return common / (area(first) + area(second) - common)


def area(boxes: Tensor) -> Tensor:
    """Share of the image that boxes (..., 4) cover: (...)."""
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)


def moved(boxes: Tensor, places: Tensor) -> Tensor:
    """Boxes of the same size elsewhere: the baseline that knows how large, but not where.

    Args:
        boxes: (..., 4).
        places: (..., 2) in [0, 1]: 0 puts a box at the left or top border, 1 at the other one.
    """
    size = boxes[..., 2:] - boxes[..., :2]
    low = places.to(boxes) * (1 - size)
    return torch.cat([low, torch.minimum(low + size, torch.ones_like(size))], -1)


def reward_metrics(rewards: Tensor) -> dict[str, float]:
    """What the rewards (N, G) of a step say; NaN is a sample without one."""
    finite = rewards.isfinite()
    low = rewards.masked_fill(~finite, math.inf).amin(1)
    high = rewards.masked_fill(~finite, -math.inf).amax(1)
    # A group with fewer than two rewards has nothing to compare either: inf - -inf is not alive.
    alive = high - low > 1e-6
    metrics = {
        "reward/left_out": 1 - float(finite.float().mean()),
        "groups/dead": 1 - float(alive.float().mean()),
    }
    if finite.any():
        mean = rewards.nanmean(1, keepdim=True)
        spread = (rewards - mean).square().nanmean(1).sqrt()
        metrics["reward/mean"] = float(rewards[finite].mean())
        metrics["reward/spread"] = float(spread.nanmean())
    return metrics


def box_metrics(boxes: Tensor, truth: Tensor | None = None) -> dict[str, float]:
    """What the boxes of a step say.

    Args:
        boxes: (N, G, 4) of N prompts; NaN where a sample made none.
        truth: (N, 4), NaN where not known.
    """
    valid = boxes.isfinite().all(-1)
    metrics = {"boxes/invalid": 1 - float(valid.float().mean())}
    if not valid.any():
        return metrics
    areas = area(boxes[valid])
    metrics["boxes/area_p50"] = float(areas.quantile(0.5))
    metrics["boxes/area_p95"] = float(areas.quantile(0.95))
    metrics["boxes/over_90"] = float((areas > 0.9).float().mean())
    prompts = boxes.masked_fill(~valid[..., None], math.nan).nanmean(1)
    prompts = prompts[prompts.isfinite().all(-1)]
    if len(prompts) > 1:
        centres = (prompts[:, :2] + prompts[:, 2:]) / 2
        apart = (centres - centres.mean(0)).square().sum(-1)
        metrics["boxes/centre_spread"] = float(apart.mean().sqrt())
        metrics["boxes/iou_to_mean"] = float(box_iou(boxes[valid], prompts.mean(0)).mean())
    if truth is not None:
        overlap = box_iou(boxes, truth[:, None])
        if overlap.isfinite().any():
            metrics["boxes/iou"] = float(overlap.nanmean())
    return metrics


class Monitor:
    """Watches metrics and warns of each sign once in a while.

    Metrics are smoothed, and nothing is said in the first steps: one odd batch is no failure.

    Args:
        signs: what to watch for.
        first: step before which nothing is said.
        every: steps between two warnings of one sign.
        smoothing: share of the old mean that is left after a step, in [0, 1).
    """

    def __init__(
        self,
        signs: Sequence[Sign] = SIGNS,
        first: int = 20,
        every: int = 200,
        smoothing: float = 0.95,
    ) -> None:
        self.signs, self.first, self.every, self.smoothing = signs, first, every, smoothing
        self._means: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._quiet_until: dict[str, int] = {}
        self._step = 0

    def update(self, metrics: Mapping[str, float], step: int) -> list[str]:
        """Take the metrics logged at a step (means since the last log); return warnings due."""
        passed, self._step = max(1, step - self._step), step
        warnings = []
        for sign in self.signs:
            value = metrics.get(sign.metric, math.nan)
            if not math.isfinite(value):
                continue
            seen = self._seen[sign.metric] = self._seen.get(sign.metric, 0) + 1
            # A plain mean over the first values, then an exponential one.
            keep = min(self.smoothing**passed, 1 - 1 / seen)
            mean = keep * self._means.get(sign.metric, 0.0) + (1 - keep) * value
            self._means[sign.metric] = mean
            bad = mean > sign.limit if sign.above else mean < sign.limit
            if bad and step >= max(self.first, self._quiet_until.get(sign.name, 0)):
                self._quiet_until[sign.name] = step + self.every
                side = "above" if sign.above else "below"
                warnings.append(
                    f"{sign.name}: {sign.metric} is {mean:.3g}, {side} {sign.limit:g} "
                    f"({METRICS[sign.metric]}). {sign.advice[0].upper()}{sign.advice[1:]}"
                )
        return warnings
