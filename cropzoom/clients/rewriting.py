"""Add crops to a conversation, turn by turn.

The rules, in one place:

- A turn is one message. The user's turns ask, and so do results of tools that bring images, for
  the question before them.
- A turn asks about its own images and those of the user's messages right before it, or else about
  those of the latest messages in a row that have any.
- What a turn asks is the business of `cropzoom.questions`.
- A crop stands in the turn that asks: right after its source, or, when the source is in an earlier
  turn, before the question's text. A crop that an earlier turn shows already is not repeated.
- What a turn becomes depends on it and on what is before it, never on what follows. So a request
  starts with the exact parts of the one before, crops included, and prompt caches stay whole. What
  was sent for a turn is remembered: a crop that was late is not put in when the turn is sent again,
  and other options, schemas or limits hold from the last turn on.
- In the modes "replace" and "stitch" an image of the turn that asks makes room for a thumbnail,
  with its crops beside it or on it. An image without a sure crop stays; where an earlier turn sent
  only its thumbnail, the turn that needs it whole brings it again.
- Images in other messages and in computer screenshots stay untouched. Nothing given is changed in
  place.

Images are worked on one after the other, so memory holds one decoded image at a time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cropzoom.clients.additions import (
    Addition,
    Rewritten,
    Swap,
    inserted,
    joined,
    settled,
    skipped,
)
from cropzoom.clients.budget import Budget, Limits
from cropzoom.clients.conversation import Conversation
from cropzoom.clients.dialect import Dialect
from cropzoom.clients.memory import Digests, Memory
from cropzoom.clients.message_rows import Rows
from cropzoom.clients.modes import Substitute, on_canvas, with_thumbnail
from cropzoom.clients.pictures import Picture, Pictures
from cropzoom.clients.sources import OFF_HINT, Fetched, SkipError
from cropzoom.errors import RequestError
from cropzoom.options import ZoomOptions
from cropzoom.questions import Asking, Turn, asking, readable
from cropzoom.report import ImageReport, Reason, ZoomReport
from cropzoom.zoom import Zoom, Zoomed, crop_report

# With more images than these in a turn, its question is taken to be answered on one of them.
_FEW_IMAGES = 3
# Two crops of one image that share so much show the same.
_SAME_PLACE = 0.9
_SHOWN = (Reason.BUDGET, "an earlier turn shows the same crop")
# Crops that stand for their image may be so large, px.
_FULL_CROP_SIDE = 2000


@dataclass(frozen=True, slots=True)
class Settings:
    """What holds for one request.

    Args:
        zoom: finds and encodes the crops.
        options: how.
        strict: raise where something can't be zoomed.
        limits: what the server takes.
        memory: what was sent for earlier turns; None where conversations are not kept.
        until: when to stop waiting, as `time.monotonic` counts; None for the option's deadline.
        model: that is asked, where the body does not name it.
    """

    zoom: Zoom
    options: ZoomOptions
    strict: bool = False
    limits: Limits = field(default_factory=Limits)
    memory: Memory[Rewritten] | None = None
    until: float | None = None
    model: str | None = None


def rewrite(
    body: Mapping[str, Any], dialect: Dialect, settings: Settings
) -> tuple[Mapping[str, Any], ZoomReport]:
    """Return a body with crops added, itself if there are none; and what happened.

    Raises:
        CropZoomError: only if `strict`.
    """
    start = time.perf_counter()
    deadline = settings.options.deadline
    if settings.until is None and deadline is not None:
        settings = replace(settings, until=time.monotonic() + deadline)
    try:
        conversation = dialect.read(body)
    except SkipError as error:
        if settings.strict:
            raise RequestError(f"nothing to zoom: {error}") from error
        return body, _report(start, reason=error.reason, detail=str(error))
    run = _Rewriting(body, dialect, conversation, settings)
    turns = run.turns()
    return inserted(body, turns, dialect), run.report(turns, start)


class _Rewriting:
    """One run over one request."""

    def __init__(
        self,
        body: Mapping[str, Any],
        dialect: Dialect,
        conversation: Conversation,
        settings: Settings,
    ) -> None:
        self._dialect = dialect
        self._conversation = conversation
        self._settings = settings
        self._options = settings.options
        self._turns: list[Turn] = [passage.turn() for passage in conversation.passages]
        model = body.get("model") or settings.model
        self._pictures = Pictures(
            conversation,
            dialect,
            Fetched(self._options, settings.until),
            model if isinstance(model, str) else None,
        )
        self._rows = Rows(conversation, self._pictures, tools=self._options.tool_results)
        self._shown: list[Addition] = []
        self._swaps: dict[int, Swap] = {}
        limits = settings.limits
        if limits.pixels is not None:
            limits = replace(limits, pixels=limits.pixels - self._pictures.pixels())
        self._budget = Budget(self._options, limits, self._pictures.count(), body)

    def turns(self) -> list[Rewritten]:
        """Return what becomes of each turn that asks about images."""
        passages = self._conversation.passages
        asking_turns = [
            (at, pictures)
            for at, passage in enumerate(passages)
            if passage.pieces and (pictures := self._rows.asked_about(at))
        ]
        self._pictures.fetch_ahead(
            [picture for _, pictures in asking_turns for picture in pictures]
        )
        digests = Digests(self._dialect.name, passages) if self._settings.memory else None
        turns: list[Rewritten] = []
        for number, (at, pictures) in enumerate(asking_turns):
            last = number == len(asking_turns) - 1
            key = digests.up_to(at) if digests else b""
            known = None
            if self._settings.memory and self._rows.answered(at):
                known = self._settings.memory.get(key)
            if known is not None:
                turn = self._afforded(known)
            else:
                turn = self._turn(at, pictures, last=last)
            if self._settings.memory:
                self._settings.memory.put(key, turn, turn.bytes)
            self._shown += turn.additions
            for swap in turn.swaps:
                self._swaps[swap.image] = swap
            turns.append(turn)
        return turns

    def _turn(self, at: int, pictures: Sequence[Picture], *, last: bool) -> Rewritten:
        found = self._asking(at, last=last)
        if not found.questions:
            reason = found.reason or Reason.NO_QUESTION
            unsearched = tuple(skipped(picture, reason, _WHY[reason]) for picture in pictures)
            # Words without a question, such as thanks, need no image.
            whole = pictures if reason is not Reason.NO_QUESTION else []
            return Rewritten((), unsearched, (), reason, tuple(self._again(at, whole, [])))
        candidates: list[tuple[Picture, Zoomed]] = []
        reports: list[ImageReport] = []
        for picture in pictures:
            zoomed, report = self._crop(picture, found.questions)
            candidates += [(picture, crop) for crop in zoomed]
            reports.append(report)
        additions, refused = self._chosen(at, candidates, many=len(pictures) > _FEW_IMAGES)
        additions, swaps = self._swapped(at, pictures, candidates, additions, refused)
        unserved = [picture for picture in pictures if refused.get(picture.index) != _SHOWN]
        swaps += self._again(at, unserved, additions)
        return Rewritten(
            tuple(additions),
            tuple(settled(report, additions, refused) for report in reports),
            found.questions,
            swaps=tuple(swaps),
        )

    def _swapped(
        self,
        at: int,
        pictures: Sequence[Picture],
        candidates: Sequence[tuple[Picture, Zoomed]],
        additions: Sequence[Addition],
        refused: dict[int, tuple[Reason, str]],
    ) -> tuple[list[Addition], list[Swap]]:
        """Put thumbnails in the place of the turn's own images; return what is added then."""
        kept, swaps = list(additions), []
        for picture in pictures:
            own = [item for item in kept if item.image == picture.index]
            stitched = any(not item.parts for item in own)
            if not own or picture.at != at or not (stitched or self._options.mode == "replace"):
                continue
            boxes = [item.report.box for item in own]
            crops = [
                zoomed
                for source, zoomed in candidates
                if source is picture and zoomed.crop.box in boxes
            ]
            substitute = self._substitute(picture, crops, stitched=stitched)
            kept = [item for item in kept if item.image != picture.index]
            if substitute is None:
                detail = "a thumbnail and its crops would cost as much as the image itself"
                refused[picture.index] = Reason.BUDGET, detail
                continue
            part = self._dialect.substitute(substitute.image, picture.piece.picture)
            tokens = self._pictures.view(picture).tokens(substitute.image)
            swaps.append(Swap(picture.index, picture.piece.path, part, tokens))
            kept += [
                self._addition(at, picture, crop, beside=substitute.beside)
                for crop in substitute.crops
            ]
        return kept, swaps

    def _substitute(
        self, picture: Picture, crops: Sequence[Zoomed], *, stitched: bool
    ) -> Substitute | None:
        source, view = self._pictures.source(picture), self._pictures.view(picture)
        options = self._options
        view = replace(view, side=options.target_side or None)
        if isinstance(source, SkipError):
            return None
        if not stitched:
            return with_thumbnail(source, crops, view, options)
        forced = options.mode != "stitch"
        return on_canvas(source, crops, view, options, at_any_cost=forced)

    def _again(
        self, at: int, pictures: Sequence[Picture], additions: Sequence[Addition]
    ) -> list[Swap]:
        """Bring images again whose thumbnails an earlier turn sent, where no crop is sure now."""
        served = {addition.image for addition in additions}
        swaps = []
        for picture in pictures:
            earlier = self._swaps.get(picture.index)
            path = self._conversation.passages[at].place_of_question()
            if earlier is None or earlier.again or picture.index in served or path is None:
                continue
            if self._budget.full:
                continue
            part = picture.piece.picture
            tokens = self._pictures.tokens(picture) or 0
            swaps.append(Swap(picture.index, path, part, tokens, again=True))
        return swaps

    def _asking(self, at: int, *, last: bool) -> Asking:
        """Return what a turn asks that the cropper can read."""
        own = self._options.question
        given: object = None
        if callable(own):
            given = own(tuple(self._turns[: at + 1]))
        elif last:
            given = own
        if given is not None:
            texts = (given,) if isinstance(given, str) else tuple(_texts(given))
            texts = tuple(text for text in texts if text.strip())
            return Asking(texts, None if texts else Reason.NO_QUESTION)
        found = asking(self._turns, at, self._conversation.schemas)
        scripts = getattr(self._settings.zoom.cropper, "scripts", None)
        questions = tuple(text for text in found.questions if readable(text, scripts))
        if found.questions and not questions:
            return Asking((), Reason.OTHER_SCRIPT)
        return replace(found, questions=questions)

    def _crop(self, picture: Picture, questions: Sequence[str]) -> tuple[list[Zoomed], ImageReport]:
        start = time.perf_counter()
        settings = self._settings
        source = self._pictures.source(picture)
        if isinstance(source, SkipError):
            if settings.strict:
                raise source.error from source.error.__cause__
            elapsed = (time.perf_counter() - start) * 1000
            return [], skipped(picture, source.reason, str(source.error), elapsed)
        options = self._options
        if options.mode != "add":
            # What the thumbnail does not show, the crop shows in full.
            largest = max(options.max_crop_side, _FULL_CROP_SIDE)
            options = replace(options, target_side=0, max_crop_side=largest)
        elif options.target_side is None and (size := self._pictures.size(picture)):
            seen = self._pictures.view(picture).of(size)
            if seen.full:
                detail = f"{self._pictures.model} sees its {size[0]}x{size[1]} px in full"
                report = skipped(picture, Reason.IMAGE_SMALL, detail)
                return [], replace(report, size=size)
        return settings.zoom.crops(
            self._pictures.take(picture, source),
            questions,
            index=picture.index,
            options=options,
            strict=settings.strict,
            until=settings.until,
        )

    def _chosen(
        self, at: int, candidates: Sequence[tuple[Picture, Zoomed]], *, many: bool
    ) -> tuple[list[Addition], dict[int, tuple[Reason, str]]]:
        """Spend the budget on the surest; return these, and why an image goes without."""
        additions: list[Addition] = []
        refused: dict[int, tuple[Reason, str]] = {}
        answered: dict[str, int] = {}
        for picture, zoomed in sorted(candidates, key=lambda item: -item[1].crop.confidence):
            index = picture.index
            if any(
                shown.image == index and shown.report.box.iou(zoomed.crop.box) > _SAME_PLACE
                for shown in self._shown
            ):
                refused.setdefault(index, _SHOWN)
                continue
            open_questions = [
                text for text in zoomed.questions if answered.get(text, 0) < self._options.max_crops
            ]
            if many and not open_questions:
                surer = "other images of the turn have surer crops"
                refused.setdefault(index, (Reason.BUDGET, surer))
                continue
            alone = not any(item.image == index for item in additions)
            # A canvas instead of a second picture, where the server takes no second one.
            needed = self._budget.full and picture.at == at and alone
            stitched = (self._options.mode == "stitch" and picture.at == at) or needed
            stitched = stitched or any(item.image == index and not item.parts for item in additions)
            addition = self._addition(at, picture, zoomed, beside=not stitched)
            why_not = self._spend(picture, addition, additions)
            if why_not is not None:
                refused.setdefault(index, why_not)
                continue
            for text in zoomed.questions:
                answered[text] = answered.get(text, 0) + 1
            additions.append(addition)
        return additions, refused

    def _spend(
        self, picture: Picture, addition: Addition, additions: Sequence[Addition]
    ) -> tuple[Reason, str] | None:
        """Take what a crop costs; return the reason why not where too little is left."""
        most = self._options.budget
        if self._options.mode == "add" and most is not None and addition.parts:
            own = [item for item in additions if item.image == picture.index]
            sizes = [(item.report.width, item.report.height) for item in (*own, addition)]
            tokens = (self._pictures.tokens(picture) or 0) + sum(
                self._pictures.view(picture).of(size).tokens for size in sizes
            )
            if tokens > most:
                return Reason.BUDGET, f"the image and its crops would cost {tokens} tokens"
        return self._budget.spend(addition.cost)

    def _addition(
        self, at: int, picture: Picture, zoomed: Zoomed, *, beside: bool = True
    ) -> Addition:
        own = picture.at == at
        path = picture.piece.path if own else self._conversation.passages[at].place_of_question()
        assert path is not None, "a turn without pieces asks nothing"
        parts: tuple[Any, ...] = ()
        if beside:
            parts = (self._dialect.crop_part(zoomed.image, picture.piece.picture),)
            if self._options.label is not None:
                parts = (*self._dialect.label_parts(self._options.label, path), *parts)
        return Addition(picture.index, path, own, parts, crop_report(zoomed))

    def _afforded(self, turn: Rewritten) -> Rewritten:
        """Return an earlier turn as it was sent, without what the request has no room for."""
        refused: dict[int, tuple[Reason, str]] = {}
        kept: list[Addition] = []
        for addition in turn.additions:
            why_not = self._budget.spend(addition.cost)
            if why_not is None:
                kept.append(addition)
            else:
                refused.setdefault(addition.image, why_not)
        # A thumbnail without its crops would be less than the image.
        swaps = tuple(swap for swap in turn.swaps if swap.image not in refused)
        lost = {swap.image for swap in turn.swaps} - {swap.image for swap in swaps}
        kept = [addition for addition in kept if addition.image not in lost or addition.parts]
        reports = tuple(
            replace(settled(report, kept, refused), milliseconds=0.0, cached=True)
            for report in turn.reports
        )
        return replace(turn, additions=tuple(kept), reports=reports, swaps=swaps)

    def report(self, turns: Sequence[Rewritten], start: float) -> ZoomReport:
        """Return the report of the request."""
        images: dict[int, ImageReport] = {}
        for turn in turns:
            for report in turn.reports:
                earlier = images.get(report.index)
                images[report.index] = report if earlier is None else joined(earlier, report)
        searched = [turn for turn in turns if turn.questions]
        for picture in self._pictures:
            why_not = picture.piece.why_not
            if (
                why_not is None
                and picture.index not in images
                and not self._rows.zoomed(picture.at)
            ):
                why_not = Reason.NOT_USER_MESSAGE, _TOOL_OFF
            if why_not is not None:
                images[picture.index] = skipped(picture, *why_not)
        reports = tuple(self._counted(images[index], turns) for index in sorted(images))
        question = "\n".join(searched[-1].questions) if searched else None
        if searched:
            return _report(start, reports, question)
        reason, detail = self._nothing(turns, reports)
        # Decisions are no errors.
        if self._settings.strict and reason not in (Reason.WHOLE_PICTURE, Reason.OTHER_SCRIPT):
            raise RequestError(f"nothing to zoom: {detail}")
        return _report(start, reports, None, reason, detail)

    def _counted(self, report: ImageReport, turns: Sequence[Rewritten]) -> ImageReport:
        """Return an image's report with the tokens that it costs as given and as sent."""
        picture = self._pictures[report.index]
        before = self._pictures.tokens(picture, report.size)
        if before is None:
            return report
        after, view = before, self._pictures.view(picture)
        for turn in turns:
            for swap in turn.swaps:
                if swap.image == report.index:
                    after = after + swap.tokens if swap.again else swap.tokens
            after += sum(
                view.of((item.report.width, item.report.height)).tokens
                for item in turn.additions
                if item.image == report.index and item.parts
            )
        return replace(report, tokens_given=before, tokens_sent=after)

    def _nothing(
        self, turns: Sequence[Rewritten], reports: Sequence[ImageReport]
    ) -> tuple[Reason, str]:
        """Return why no image was searched."""
        if turns:
            reason = turns[-1].reason or Reason.NO_QUESTION
            return reason, _WHY[reason]
        if reports:
            return reports[-1].reason or Reason.NO_IMAGE, reports[-1].detail
        field = self._conversation.at_server
        if field is not None:
            return Reason.AT_SERVER, (
                f"the request goes on from `{field}`, so images that it is about are with the "
                f"server; send them again to have them zoomed, {OFF_HINT}"
            )
        return Reason.NO_IMAGE, (
            f"`{self._dialect.items}` has no image in a user message; add one, {OFF_HINT}"
        )


_TOOL_OFF = f"tool_results is off; switch it on, {OFF_HINT}"
_WHY: dict[Reason, str] = {
    Reason.NO_QUESTION: "the conversation has no text to search for; put the question into the "
    "user's message or say it with `override(question=...)`",
    Reason.WHOLE_PICTURE: "the text asks for the whole picture, of which no part is enough",
    Reason.OTHER_SCRIPT: "the cropper does not read the script of the question",
}


def _texts(given: object) -> list[str]:
    if not isinstance(given, Sequence) or not all(isinstance(text, str) for text in given):
        raise RequestError(
            f"the option `question` gave {type(given).__name__}; give a string, several, or None"
        )
    return list(given)


def _report(
    start: float,
    images: tuple[ImageReport, ...] = (),
    question: str | None = None,
    reason: Reason | None = None,
    detail: str = "",
) -> ZoomReport:
    elapsed = (time.perf_counter() - start) * 1000
    return ZoomReport(images, question, reason, elapsed, detail)
