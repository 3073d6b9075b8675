"""Percentiles, and when there are too few values for one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

PERCENTILES = (50, 90, 95, 99)


def needed(percent: int) -> int:
    """Return how many values a percentile needs: so many that one is expected beyond it.

    2 for p50, 10 for p90, 20 for p95, 100 for p99. With fewer, it would be little else than the
    largest value.
    """
    return math.ceil(100 / (100 - percent))


def percentile(values: Sequence[float], percent: int) -> float | None:
    """Return a percentile, linear between neighbours; None for too few values, see `needed`."""
    if len(values) < needed(percent):
        return None
    return float(np.percentile(values, percent))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return n, p50, p90, p95, p99 (None: too few), mean, min, max, and the middle half's width."""
    quartiles = np.percentile(values, [25, 75]) if len(values) >= 4 else None
    return {
        "n": len(values),
        **{f"p{percent}": percentile(values, percent) for percent in PERCENTILES},
        "mean": float(np.mean(values)) if values else None,
        "min": min(values, default=None),
        "max": max(values, default=None),
        "iqr": None if quartiles is None else float(quartiles[1] - quartiles[0]),
    }
