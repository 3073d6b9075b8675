"""What became of a request's turns: the crops put in, and what the report says."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cropzoom.clients.budget import Cost
from cropzoom.clients.conversation import Path
from cropzoom.clients.sources import encoded_length
from cropzoom.report import CropReport, ImageReport, Reason, ZoomReport


@dataclass(frozen=True, slots=True)
class Addition:
    """A crop in its place: what is sent for it, and what the report says.

    Args:
        image: number of its source in the request.
        path: of the piece beside it.
        after: whether it comes after that piece, else before it.
        parts: as the dialect spells them.
        report: of the crop.
    """

    image: int
    path: Path
    after: bool
    parts: tuple[Any, ...]
    report: CropReport

    @property
    def cost(self) -> Cost:
        """What it adds to the request."""
        report = self.report
        return Cost(report.width * report.height, encoded_length(report.bytes))


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of one turn.

    Args:
        additions: the crops put in, best first.
        reports: of the images that it asks about.
        questions: what they were searched for.
        reason: why they were not searched, where they were not.
    """

    additions: tuple[Addition, ...]
    reports: tuple[ImageReport, ...]
    questions: tuple[str, ...] = ()
    reason: Reason | None = None

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        return 1000 + sum(addition.cost.bytes + 500 for addition in self.additions)


def settled(
    report: ImageReport, additions: Sequence[Addition], refused: Mapping[int, tuple[Reason, str]]
) -> ImageReport:
    """Return an image's report with the crops that were really added."""
    crops = tuple(item.report for item in additions if item.image == report.index)
    if crops or not report.crops:
        return replace(report, crops=crops)
    reason, detail = refused.get(report.index, (Reason.BUDGET, ""))
    return replace(report, crops=(), reason=reason, detail=detail)


def joined(earlier: ImageReport, later: ImageReport) -> ImageReport:
    """Return one report of an image that several turns ask about."""
    crops = earlier.crops + later.crops
    return replace(
        later,
        size=later.size or earlier.size,
        crops=crops,
        reason=None if crops else later.reason,
        milliseconds=earlier.milliseconds + later.milliseconds,
        cached=earlier.cached and later.cached,
    )


def skipped(index: int, reason: Reason, detail: str, milliseconds: float = 0.0) -> ImageReport:
    """Return the report of an image that was not searched."""
    return ImageReport(index, None, (), reason, milliseconds, False, detail)


def report_since(
    start: float,
    images: tuple[ImageReport, ...] = (),
    question: str | None = None,
    reason: Reason | None = None,
    detail: str = "",
) -> ZoomReport:
    """Return the report of a request that was begun at `start`, as `time.perf_counter` counts."""
    elapsed = (time.perf_counter() - start) * 1000
    return ZoomReport(images, question, reason, elapsed, detail)
