"""Health metrics against values worked out by hand; each signature is seen when it is there."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch

from cropzoom.geometry import Box
from cropzoom.trainer.health import (
    METRICS,
    SIGNS,
    Monitor,
    area,
    box_iou,
    box_metrics,
    moved,
    reward_metrics,
)

NAN = math.nan


def test_iou_and_area() -> None:
    a = torch.tensor([0.0, 0.0, 0.5, 0.5])
    b = torch.tensor([[0.25, 0.25, 0.75, 0.75], [0.5, 0.5, 1.0, 1.0], [NAN] * 4])
    iou = box_iou(a, b)
    # 1/16 over 1/4 + 1/4 - 1/16.
    assert iou[:2].tolist() == pytest.approx([1 / 7, 0.0]) and iou[2].isnan()
    assert area(b)[0] == 0.25
    assert Box(0, 0, 0.5, 0.5).iou(Box(0.25, 0.25, 0.75, 0.75)) == pytest.approx(1 / 7)


def test_moved_boxes_keep_their_size_and_stay_inside() -> None:
    box = torch.tensor([[0.1, 0.2, 0.3, 0.8]]).expand(3, 4)
    places = torch.tensor([[0.0, 0.0], [1.0, 1.0], [0.5, 0.25]])
    expected = [[0.0, 0.0, 0.2, 0.6], [0.8, 0.4, 1.0, 1.0], [0.4, 0.1, 0.6, 0.7]]
    torch.testing.assert_close(moved(box, places), torch.tensor(expected))


def test_reward_metrics_by_hand() -> None:
    rewards = torch.tensor([[1.0, 3.0], [2.0, 2.0], [5.0, NAN], [NAN, NAN]])
    metrics = reward_metrics(rewards)
    assert metrics["reward/mean"] == pytest.approx((1 + 3 + 2 + 2 + 5) / 5)
    # Standard deviations 1, 0, 0; the last group has none.
    assert metrics["reward/spread"] == pytest.approx(1 / 3)
    assert metrics["reward/left_out"] == pytest.approx(3 / 8)
    # Equal, alone, and without any: only the first group teaches.
    assert metrics["groups/dead"] == 0.75
    nothing = reward_metrics(torch.full((2, 2), NAN))
    assert nothing == {"reward/left_out": 1.0, "groups/dead": 1.0}


def test_box_metrics_by_hand() -> None:
    boxes = torch.tensor(
        [
            [[0.0, 0.0, 0.2, 0.2], [0.0, 0.0, 0.4, 0.4]],
            [[0.5, 0.5, 0.9, 0.9], [NAN, NAN, NAN, NAN]],
        ]
    )
    truth = torch.tensor([[0.0, 0.0, 0.2, 0.2], [NAN] * 4])
    metrics = box_metrics(boxes, truth)
    assert metrics["boxes/invalid"] == 0.25
    assert metrics["boxes/area_p50"] == pytest.approx(0.16)
    # Sorted areas .04, .16, .16: all above the median are .16.
    assert metrics["boxes/area_p95"] == pytest.approx(0.16)
    assert metrics["boxes/over_90"] == 0
    # Mean boxes [0, 0, .3, .3] and [.5, .5, .9, .9]: centres .15 and .7, so .275 from their mean
    # in both directions.
    assert metrics["boxes/centre_spread"] == pytest.approx(0.275 * math.sqrt(2))
    # The mean box is [.25, .25, .6, .6], of area .1225.
    overlap = [0.0, 0.15**2 / (0.16 + 0.1225 - 0.15**2), 0.1**2 / (0.16 + 0.1225 - 0.1**2)]
    assert metrics["boxes/iou_to_mean"] == pytest.approx(sum(overlap) / 3)
    assert metrics["boxes/iou"] == pytest.approx((1 + 0.25) / 2)
    assert set(metrics) <= set(METRICS)


def test_box_metrics_of_nothing_and_of_one_prompt() -> None:
    assert box_metrics(torch.full((2, 2, 4), NAN)) == {"boxes/invalid": 1.0}
    one = box_metrics(torch.tensor([[[0.0, 0.0, 1.0, 0.95]]]))
    assert one["boxes/over_90"] == 1.0
    # What tells prompts apart needs two of them.
    assert "boxes/centre_spread" not in one and "boxes/iou_to_mean" not in one


def spread_boxes(seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    low = torch.rand(8, 6, 2, generator=generator) * 0.8
    return torch.cat([low, low + 0.2], -1)


HEALTHY = {"groups/dead": 0.1, "policy/entropy": 2.0, "policy/kl": 0.1, "gain/random": 0.3}


@pytest.mark.parametrize(
    ("name", "metrics"),
    [
        ("dead groups", reward_metrics(torch.ones(4, 4))),
        ("missing rewards", reward_metrics(torch.tensor([[1.0, 2.0], [NAN, NAN]]))),
        ("mode collapse", box_metrics(torch.tensor([0.4, 0.4, 0.6, 0.6]).expand(8, 6, 4))),
        ("over-expansion", box_metrics(torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 6, 4))),
        ("format drift", box_metrics(spread_boxes().masked_fill(spread_boxes(1) > 0.6, NAN))),
        ("entropy collapse", {"policy/entropy": 0.01}),
        ("far from the reference", {"policy/kl": 20.0}),
        ("much clipping", {"policy/clipped_high": 0.5}),
        ("no better than random", {"gain/random": -0.2}),
    ],
)
def test_each_signature_is_warned_of(name: str, metrics: dict[str, float]) -> None:
    monitor = Monitor(first=3, every=10)
    said = [monitor.update({**HEALTHY, **metrics}, step) for step in range(1, 15)]
    heard = [warning for step in said for warning in step if warning.startswith(f"{name}: ")]
    # After the first steps, and again only after a while.
    assert [len([w for w in step if w.startswith(name)]) for step in said] == [
        0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0,
    ]  # fmt: skip
    sign = next(sign for sign in SIGNS if sign.name == name)
    assert METRICS[sign.metric] in heard[0]
    # What to do is in the message.
    assert sign.advice.split(".")[-2].strip()[:20] in heard[0]


def test_health_is_silent() -> None:
    monitor = Monitor(first=1)
    fine = {**HEALTHY, **box_metrics(spread_boxes()), **reward_metrics(torch.rand(8, 6))}
    assert [warning for step in range(50) for warning in monitor.update(fine, step)] == []


def test_one_odd_batch_is_no_failure_and_nothing_known_is_nothing_said() -> None:
    monitor = Monitor(first=1)
    values = [0.1] * 10 + [1.0] + [0.1] * 10
    said = [monitor.update({"groups/dead": value}, step) for step, value in enumerate(values)]
    assert [warning for step in said for warning in step] == []
    assert monitor.update({"groups/dead": NAN}, 30) == monitor.update({}, 31) == []


def test_steps_count_and_not_logs() -> None:
    """A log every fifty steps is fifty times as telling as one every step."""
    monitor = Monitor(first=20, every=200)
    dead = {"groups/dead": 1.0}
    assert [len(monitor.update(dead, step)) for step in range(50, 350, 50)] == [1, 0, 0, 0, 1, 0]
    # One log of health after fifty steps outweighs what was before.
    assert monitor.update({"groups/dead": 0.0}, 400) == []
    assert monitor.update({"groups/dead": 0.0}, 1000) == []


def test_every_sign_is_about_a_documented_metric() -> None:
    assert {sign.metric for sign in SIGNS} <= set(METRICS)
    assert len({sign.name for sign in SIGNS}) == len(SIGNS)
