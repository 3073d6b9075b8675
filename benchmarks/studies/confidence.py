"""What a confidence is worth: reliability, and risk against coverage.

`confidence` in [0, 1] and `right` (1.0 or 0.0) are (N,) float64, one a crop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 10


def wilson(right: int, of: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); takes the answers for independent."""
    z, share = 1.96, right / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    return max(0.0, middle - half), min(1.0, middle + half)


def reliability(confidence: Floats, right: Floats) -> list[dict[str, Any]]:
    """Bins of equal width that hold anything: their limits, count, mean confidence and share of
    right crops with its interval."""
    numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
    bins = []
    for number in np.unique(numbers):
        inside = numbers == number
        bins.append(
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "questions": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "right": float(right[inside].mean()),
                "interval": wilson(int(right[inside].sum()), int(inside.sum())),
            }
        )
    return bins


def calibration_error(confidence: Floats, right: Floats) -> float:
    """Expected calibration error: mean over questions of their bin's |confidence - share right|."""
    numbers = np.minimum((confidence * BINS).astype(int), BINS - 1)
    gaps = np.bincount(numbers, confidence - right, BINS)
    return float(np.abs(gaps).sum() / len(right))


def risks(confidence: Floats, right: Floats) -> Floats:
    """Share of wrong crops among the n of highest confidence, for each n from 1 to all."""
    wrong = 1 - right[np.argsort(-confidence, kind="stable")]
    return np.cumsum(wrong) / np.arange(1, len(wrong) + 1)


def aurc(confidence: Floats, right: Floats) -> float:
    """Area under the risk-coverage curve: the mean of `risks`."""
    return float(risks(confidence, right).mean())
