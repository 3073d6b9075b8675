"""What becomes of a turn: crops put in, thumbnails in place of images, and the reports of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cropzoom.clients.budget import Cost
from cropzoom.clients.conversation import Insertion, Path, spliced
from cropzoom.clients.dialect import Dialect
from cropzoom.clients.pictures import Picture
from cropzoom.clients.sources import encoded_length
from cropzoom.report import CropReport, ImageReport, Reason


@dataclass(frozen=True, slots=True)
class Addition:
    """A crop in its place: what is sent for it, and what the report says.

    Args:
        image: number of its source in the request.
        path: of the piece beside it.
        after: whether it comes after that piece, else before it.
        parts: as the dialect spells them; none for a crop that stands on a canvas.
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
        pixels, size = report.width * report.height, encoded_length(report.bytes)
        return Cost(pixels, size, 1 if self.parts else 0)


@dataclass(frozen=True, slots=True)
class Swap:
    """What goes out in place of an image, or the image once more.

    Args:
        image: its number in the request.
        path: of the image itself; of the piece before which it comes again.
        part: as the dialect spells it.
        tokens: what the part costs.
        again: whether it is the image itself, which an earlier turn sent as a thumbnail only.
    """

    image: int
    path: Path
    part: Any
    tokens: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What became of one turn.

    Args:
        additions: the crops put in, best first.
        reports: of the images that it asks about.
        questions: what they were searched for.
        reason: why they were not searched, where they were not.
        swaps: what goes out in place of images.
    """

    additions: tuple[Addition, ...]
    reports: tuple[ImageReport, ...]
    questions: tuple[str, ...] = ()
    reason: Reason | None = None
    swaps: tuple[Swap, ...] = ()

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        swaps = sum(500 if swap.again else _size_of(swap.part) for swap in self.swaps)
        return 1000 + swaps + sum(addition.cost.bytes + 500 for addition in self.additions)


def inserted(
    body: Mapping[str, Any], turns: Sequence[Rewritten], dialect: Dialect
) -> Mapping[str, Any]:
    """Return a body with what became of its turns, itself where that is nothing."""
    insertions: dict[Path, Insertion] = {}
    for turn in turns:
        for addition in turn.additions:
            place = insertions.setdefault(addition.path, Insertion())
            side = place.after if addition.after else place.before
            # Copies: the caller may change what it is given, and the memory keeps these.
            side += [_copy(part) for part in addition.parts]
        for swap in turn.swaps:
            place = insertions.setdefault(swap.path, Insertion())
            if swap.again:
                place.before.append(_copy(swap.part))
            else:
                place.instead = _copy(swap.part)
    return spliced(body, insertions, dialect.text_part) if insertions else body


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


def skipped(
    picture: Picture, reason: Reason, detail: str, milliseconds: float = 0.0
) -> ImageReport:
    return ImageReport(picture.index, None, (), reason, milliseconds, False, detail)


def _copy(part: Any) -> Any:
    return dict(part) if isinstance(part, dict) else part


def _size_of(part: object) -> int:
    """Return about how much memory a part takes."""
    if isinstance(part, str):
        return len(part)
    return sum(map(_size_of, part.values())) if isinstance(part, Mapping) else 100
