"""What was measured, as plain values for JSON; times in milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cropzoom.bench.candidates import Candidate
from cropzoom.bench.measure import Call, Calls
from cropzoom.bench.stats import summary
from cropzoom.geometry import Box

SCHEMA = 1
STAGES = (
    "read",
    "preprocess",
    "tokenise",
    "vision",
    "prefill",
    "decode",
    "model",
    "parse",
    "crop",
)
"""In the order in which they happen."""


def calls_result(calls: Sequence[Call]) -> dict[str, Any]:
    """Summarise calls of one kind.

    Returns:
        `ms`, every time end to end; `total` and `stages`, their summaries; `unexplained`, the
        share of all time that is in no stage; `counts`, means; `ms_per_token` of the box, None
        where none are written.
    """
    named = {stage for call in calls for stage in call.stages}
    stages = [stage for stage in STAGES if stage in named] + sorted(named.difference(STAGES))
    total = sum(call.seconds for call in calls)
    known = sum(sum(call.stages.values()) for call in calls)
    counts = sorted({name for call in calls for name in call.counts})
    tokens = sum(call.counts.get("box_tokens", 0) for call in calls)
    decoding = sum(call.stages.get("decode", 0.0) for call in calls)
    return {
        "ms": [round(call.seconds * 1000, 3) for call in calls],
        "total": summary([call.seconds * 1000 for call in calls]),
        # A stage that a call did not need took it no time.
        "stages": {
            stage: summary([call.stages.get(stage, 0.0) * 1000 for call in calls])
            for stage in stages
        },
        "unexplained": (total - known) / total if total else 0.0,
        "counts": {
            name: float(np.mean([call.counts.get(name, 0) for call in calls])) for name in counts
        },
        "ms_per_token": decoding * 1000 / tokens if tokens else None,
    }


def candidate_result(candidate: Candidate, calls: Calls, reference: Calls | None) -> dict[str, Any]:
    """Summarise a candidate: what it is, its times, and how its boxes agree with a reference's."""
    boxes = [call.box for call in [*calls.first, *calls.second]]
    return {
        **candidate.about,
        "first": calls_result(calls.first),
        "second": calls_result(calls.second) if calls.second else None,
        "valid": sum(box is not None for box in boxes) / len(boxes),
        "iou": None if reference is None else agreement(calls, reference),
    }


def agreement(calls: Calls, reference: Calls) -> dict[str, Any]:
    """Return mean and least IoU with a reference's boxes about the same images and questions.

    No box agrees with no box (1) and with nothing else (0). Second questions count where both
    were asked them.
    """
    pairs = list(zip(calls.first, reference.first, strict=True))
    if calls.second and reference.second:
        pairs += zip(calls.second, reference.second, strict=True)
    ious = [_iou(mine.box, other.box) for mine, other in pairs]
    return {"mean": float(np.mean(ious)), "least": min(ious), "pairs": len(ious)}


def concurrency_result(seconds: float, each: Sequence[float]) -> dict[str, Any]:
    """Summarise calls from several threads at once."""
    latency = summary([value * 1000 for value in each])
    return {"calls": len(each), "per_second": len(each) / seconds, "latency": latency}


def _iou(mine: Box | None, other: Box | None) -> float:
    if mine is None or other is None:
        return float(mine is other)
    return mine.iou(other)
