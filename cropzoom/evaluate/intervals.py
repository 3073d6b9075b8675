"""How sure a figure is: bootstrap intervals over pictures, and tests of paired answers."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class Estimate(NamedTuple):
    """A figure with its 95 % interval; NaN where nothing is known."""

    mean: float
    low: float
    high: float

    def to_dict(self) -> dict[str, object]:
        """Return the figure ready for `json.dumps`; None for NaN, which JSON does not know."""
        mean, low, high = (None if math.isnan(value) else value for value in self)
        return {"mean": mean, "interval": [low, high]}


class PictureBootstrap:
    """Percentile bootstrap that draws whole pictures with replacement.

    Answers about one picture hang together, so drawing them one by one would make the intervals
    too narrow.

    Args:
        pictures: which picture each answer is about; any values that tell them apart.
        resamples: how many draws.
        seed: the same gives the same intervals.
    """

    def __init__(
        self, pictures: Sequence[Hashable], *, resamples: int = 2000, seed: int = 0
    ) -> None:
        numbers: dict[Hashable, int] = {}
        self._picture = np.array([numbers.setdefault(name, len(numbers)) for name in pictures])
        self._count = len(numbers)
        generator = np.random.default_rng(seed)
        self._draws = [
            generator.integers(0, self._count, self._count)
            for _ in range(resamples if self._count else 0)
        ]

    def totals(self, values: Sequence[float]) -> tuple[float, Floats]:
        """Sum over all answers: as they are, and in each draw.

        Args:
            values: one per answer.

        Returns:
            the sum, and (resamples,) sums.
        """
        per_picture = np.bincount(
            self._picture, weights=np.asarray(values, np.float64), minlength=self._count
        )
        drawn = np.array([per_picture[draw].sum() for draw in self._draws])
        return float(per_picture.sum()), drawn

    def share(self, values: Sequence[float], of: Sequence[float] | None = None) -> Estimate:
        """Return sum(values) / sum(of), where `of` counts every answer once by default."""
        over = [1.0] * len(self._picture) if of is None else of
        return self.ratio(lambda value, whole: value / whole, values, over)

    def ratio(
        self, statistic: Callable[..., float | Floats], *columns: Sequence[float]
    ) -> Estimate:
        """Return a statistic of sums.

        Args:
            statistic: takes the sum of each column, as numbers or as arrays of draws.
            columns: one value per answer each.
        """
        if not self._count:
            return Estimate(math.nan, math.nan, math.nan)
        sums = [self.totals(column) for column in columns]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = float(statistic(*(np.float64(whole) for whole, _ in sums)))
            drawn = np.asarray(statistic(*(drawn for _, drawn in sums)), np.float64)
        drawn = drawn[np.isfinite(drawn)]
        if not math.isfinite(mean) or not len(drawn):
            return Estimate(mean if math.isfinite(mean) else math.nan, math.nan, math.nan)
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Estimate(mean, float(low), float(high))

    def of_rows(self, statistic: Callable[..., float], *columns: Floats) -> Estimate:
        """Return a statistic that is no function of sums: it is given the answers themselves.

        Args:
            statistic: takes the columns, of all answers or of those of a draw.
            columns: (N,) each, one value per answer.
        """
        rows = [np.flatnonzero(self._picture == number) for number in range(self._count)]
        drawn = []
        for draw in self._draws:
            index = np.concatenate([rows[number] for number in draw])
            drawn.append(statistic(*(column[index] for column in columns)))
        low, high = np.percentile(drawn, [2.5, 97.5])
        return Estimate(statistic(*columns), float(low), float(high))

    def gap_closed(
        self, none: Sequence[float], own: Sequence[float], oracle: Sequence[float]
    ) -> Estimate:
        """Return how far a cropper comes on the way from no crop to the oracle's; 1 is all."""

        def closed(none: Floats, own: Floats, oracle: Floats) -> Floats:
            return np.where(oracle > none, (own - none) / (oracle - none), np.nan)

        return self.ratio(closed, none, own, oracle)


def tango(broken: int, mended: int, pairs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Tango's score interval of the difference of two paired shares.

    The difference is d = (mended - broken) / pairs. Of b = mended, c = broken and n = pairs, a
    difference D is in the interval where |T(D)| <= z, with

        T(D) = (b - c - n D) / sqrt(n (2 q + D (1 - D)))
        q = (sqrt(B^2 - 4 A C) - B) / (2 A), the likeliest share of the broken under D, with
        A = 2 n, B = -b - c + (2 n - b + c) D, C = -c D (1 - D).

    Unlike Wald's it holds for few changes, even none: then it is +-z^2 / (n + z^2). It takes
    answers for independent. (T. Tango, Equivalence test and confidence interval for the difference
    in proportions for the paired-sample design, Statistics in Medicine 17, 1998, 891-908.)

    Args:
        broken: answers right before and wrong after.
        mended: answers wrong before and right after.
        pairs: all answers, those that did not change included; NaN comes back for none.
        confidence: of the two-sided interval, in (0, 1).
    """
    if not pairs:
        return math.nan, math.nan
    limit = NormalDist().inv_cdf((1 + confidence) / 2)
    middle = (mended - broken) / pairs

    def end(outermost: float) -> float:
        # |T| grows from the middle outwards.
        inside, outside = middle, outermost
        for _ in range(60):
            tried = (inside + outside) / 2
            if abs(_tango_score(broken, mended, pairs, tried)) <= limit:
                inside = tried
            else:
                outside = tried
        return inside

    return end(-1.0), end(1.0)


def _tango_score(broken: int, mended: int, pairs: int, difference: float) -> float:
    a = 2 * pairs
    b = -mended - broken + (2 * pairs - mended + broken) * difference
    c = -broken * difference * (1 - difference)
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    variance = pairs * (2 * share + difference * (1 - difference))
    away = mended - broken - pairs * difference
    if variance <= 0:
        return 0.0 if away == 0 else math.copysign(math.inf, away)
    return away / math.sqrt(variance)


def mcnemar(broken: int, mended: int) -> float:
    """Return the two-sided p-value of McNemar's exact test.

    Under the null hypothesis each answer that changed was as likely to change to wrong as to
    right. The test takes answers for independent; those about one picture are not quite.

    Args:
        broken: answers right before and wrong after.
        mended: answers wrong before and right after.
    """
    changed = broken + mended
    tail = sum(math.comb(changed, count) for count in range(min(broken, mended) + 1))
    return min(1.0, 2 * tail / (1 << changed))
