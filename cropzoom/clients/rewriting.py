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
- Images in other messages and in computer screenshots stay untouched. Nothing given is changed in
  place.

Images are worked on one after the other, so memory holds one decoded image at a time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cropzoom.clients.budget import Budget, Limits
from cropzoom.clients.conversation import Conversation, Insertion, Passage, Path, Piece, spliced
from cropzoom.clients.dialects import Dialect
from cropzoom.clients.memory import Digests, Memory
from cropzoom.clients.outcome import Addition, Rewritten, joined, report_since, settled, skipped
from cropzoom.clients.sources import OFF_HINT, Fetched, SkipError
from cropzoom.errors import ImageError, RequestError
from cropzoom.images import ImageSource, OpenedImage
from cropzoom.options import ZoomOptions
from cropzoom.questions import Asking, Turn, asking, readable
from cropzoom.report import ImageReport, Reason, ZoomReport
from cropzoom.zoom import Zoom, Zoomed, crop_report

# With more images than these in a turn, its question is taken to be answered on one of them.
_FEW_IMAGES = 3
# Two crops of one image that share so much show the same.
_SAME_PLACE = 0.9


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture of the request: its number, where it stands and in which turn."""

    index: int
    at: int
    piece: Piece


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
    """

    zoom: Zoom
    options: ZoomOptions
    strict: bool = False
    limits: Limits = field(default_factory=Limits)
    memory: Memory[Rewritten] | None = None
    until: float | None = None


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
        return body, report_since(start, reason=error.reason, detail=str(error))
    run = _Rewriting(body, dialect, conversation, settings)
    turns = run.turns()
    insertions: dict[Path, Insertion] = {}
    for turn in turns:
        for addition in turn.additions:
            place = insertions.setdefault(addition.path, Insertion())
            side = place.after if addition.after else place.before
            # Copies: the caller may change what it is given, and the memory keeps these.
            side += [dict(part) if isinstance(part, dict) else part for part in addition.parts]
    if insertions:
        body = spliced(body, insertions, dialect.text_part)
    return body, run.report(turns, start)


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
        pictures = [
            (at, piece)
            for at, passage in enumerate(conversation.passages)
            for piece in passage.pieces
            if piece.picture is not None
        ]
        self._pictures = [_Picture(n, at, piece) for n, (at, piece) in enumerate(pictures)]
        self._files = Fetched(self._options, settings.until)
        self._sources: dict[int, ImageSource | SkipError] = {}
        self._shown: list[Addition] = []
        limits = settings.limits
        if limits.pixels is not None:
            limits = replace(limits, pixels=limits.pixels - self._own_pixels())
        self._budget = Budget(self._options, limits, self._count(), body)

    def turns(self) -> list[Rewritten]:
        """Return what becomes of each turn that asks about images."""
        passages = self._conversation.passages
        asking_turns = [
            (at, pictures)
            for at, passage in enumerate(passages)
            if (pictures := self._asked_about(at, passage))
        ]
        self._fetch_ahead([picture for _, pictures in asking_turns for picture in pictures])
        digests = Digests(self._dialect.name, passages) if self._settings.memory else None
        turns: list[Rewritten] = []
        for number, (at, pictures) in enumerate(asking_turns):
            last = number == len(asking_turns) - 1
            key = digests.up_to(at) if digests else b""
            known = None
            if self._settings.memory and self._answered(at):
                known = self._settings.memory.get(key)
            if known is not None:
                turn = self._afforded(known)
            else:
                turn = self._turn(at, pictures, last=last)
            if self._settings.memory:
                self._settings.memory.put(key, turn, turn.bytes)
            self._shown += turn.additions
            turns.append(turn)
        return turns

    def _asked_about(self, at: int, passage: Passage) -> list[_Picture]:
        """Return the images that a turn asks about."""
        if not self._zoomed(at):
            return []
        if passage.role == "tool":
            return self._between(at, at)
        end = at
        while end >= 0:
            start = self._start_of_row(end)
            pictures = self._between(start, end) if self._zoomed(start) else []
            if pictures:
                return pictures
            end = start - 1
        return []

    def _answered(self, at: int) -> bool:
        """Tell whether a turn was sent before: something that is not the caller's follows it."""
        roles = (passage.role for passage in self._conversation.passages[at + 1 :])
        return any(role not in ("user", "system", "developer") for role in roles)

    def _start_of_row(self, at: int) -> int:
        """Return the first of the messages in a row that have one role."""
        passages = self._conversation.passages
        start = at
        while start > 0 and passages[start - 1].role == passages[at].role:
            start -= 1
        return start

    def _between(self, start: int, end: int) -> list[_Picture]:
        return [
            picture
            for picture in self._pictures
            if start <= picture.at <= end and picture.piece.why_not is None
        ]

    def _zoomed(self, at: int) -> bool:
        role = self._conversation.passages[at].role
        return role == "user" or (role == "tool" and self._options.tool_results)

    def _fetch_ahead(self, pictures: Sequence[_Picture]) -> None:
        addresses = (self._dialect.address(picture.piece.picture) for picture in pictures)
        self._files.ahead(address for address in addresses if address is not None)

    def _turn(self, at: int, pictures: Sequence[_Picture], *, last: bool) -> Rewritten:
        found = self._asking(at, last=last)
        if not found.questions:
            reason = found.reason or Reason.NO_QUESTION
            why = _WHY[reason]
            untouched = tuple(skipped(picture.index, reason, why) for picture in pictures)
            return Rewritten((), untouched, (), reason)
        candidates: list[tuple[_Picture, Zoomed]] = []
        reports: list[ImageReport] = []
        for picture in pictures:
            zoomed, report = self._crop(picture, found.questions)
            candidates += [(picture, crop) for crop in zoomed]
            reports.append(report)
        additions, refused = self._chosen(at, candidates, many=len(pictures) > _FEW_IMAGES)
        return Rewritten(
            tuple(additions),
            tuple(settled(report, additions, refused) for report in reports),
            found.questions,
        )

    def _asking(self, at: int, *, last: bool) -> Asking:
        """Return what a turn asks that the cropper can read."""
        turns, own = self._turns[: at + 1], self._options.question
        given: object = None
        if callable(own):
            given = own(tuple(turns))
        elif last:
            given = own
        if given is not None:
            texts = (given,) if isinstance(given, str) else tuple(_texts(given))
            texts = tuple(text for text in texts if text.strip())
            return Asking(texts, None if texts else Reason.NO_QUESTION)
        found = asking(turns, at, self._conversation.schemas)
        scripts = getattr(self._settings.zoom.cropper, "scripts", None)
        questions = tuple(text for text in found.questions if readable(text, scripts))
        if found.questions and not questions:
            return Asking((), Reason.OTHER_SCRIPT)
        return replace(found, questions=questions)

    def _crop(
        self, picture: _Picture, questions: Sequence[str]
    ) -> tuple[list[Zoomed], ImageReport]:
        start = time.perf_counter()
        settings = self._settings
        source = self._source(picture)
        if isinstance(source, SkipError):
            if settings.strict:
                raise source.error from source.error.__cause__
            elapsed = (time.perf_counter() - start) * 1000
            return [], skipped(picture.index, source.reason, str(source.error), elapsed)
        return settings.zoom.crops(
            source,
            questions,
            index=picture.index,
            options=self._options,
            strict=settings.strict,
            until=settings.until,
        )

    def _count(self) -> int:
        """Return how many pictures the server counts in the caller's request."""
        notes = [picture.piece.why_not for picture in self._pictures]
        return sum(note is None or note[0] is not Reason.FILE_PART for note in notes)

    def _own_pixels(self) -> int:
        """Return the pixels of the caller's own pictures, as far as they are at hand."""
        pixels = 0
        for picture in self._pictures:
            source = self._source(picture) if picture.piece.why_not is None else None
            if source is None or isinstance(source, SkipError):
                continue
            try:
                width, height = OpenedImage(source, max_pixels=sys.maxsize).header_size
            except ImageError:
                continue
            pixels += width * height
        return pixels

    def _source(self, picture: _Picture) -> ImageSource | SkipError:
        if picture.index not in self._sources:
            try:
                source: ImageSource | SkipError = self._dialect.source(
                    picture.piece.picture, self._files
                )
            except SkipError as error:
                source = error
            self._sources[picture.index] = source
        return self._sources[picture.index]

    def _chosen(
        self, at: int, candidates: Sequence[tuple[_Picture, Zoomed]], *, many: bool
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
                refused.setdefault(index, (Reason.BUDGET, "an earlier turn shows the same crop"))
                continue
            open_questions = [
                text for text in zoomed.questions if answered.get(text, 0) < self._options.max_crops
            ]
            if many and not open_questions:
                surer = "other images of the turn have surer crops"
                refused.setdefault(index, (Reason.BUDGET, surer))
                continue
            addition = self._addition(at, picture, zoomed)
            why_not = self._budget.spend(addition.cost)
            if why_not is not None:
                refused.setdefault(index, why_not)
                continue
            for text in zoomed.questions:
                answered[text] = answered.get(text, 0) + 1
            additions.append(addition)
        return additions, refused

    def _addition(self, at: int, picture: _Picture, zoomed: Zoomed) -> Addition:
        part = self._dialect.crop_part(zoomed, picture.piece.picture)
        label = self._options.label
        parts = (part,) if label is None else (self._dialect.text_part(label), part)
        own = picture.at == at
        path = picture.piece.path if own else self._conversation.passages[at].place_of_question()
        if path is None:
            # A turn without text asks about its own images only.
            path = self._conversation.passages[at].pieces[-1].path
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
        reports = tuple(
            replace(settled(report, kept, refused), milliseconds=0.0, cached=True)
            for report in turn.reports
        )
        return replace(turn, additions=tuple(kept), reports=reports)

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
            if why_not is None and picture.index not in images and not self._zoomed(picture.at):
                why_not = Reason.NOT_USER_MESSAGE, _TOOL_OFF
            if why_not is not None:
                images[picture.index] = skipped(picture.index, *why_not)
        reports = tuple(images[index] for index in sorted(images))
        question = "\n".join(searched[-1].questions) if searched else None
        if searched:
            return report_since(start, reports, question)
        reason, detail = self._nothing(turns, reports)
        # Decisions are no errors.
        if self._settings.strict and reason not in (Reason.WHOLE_PICTURE, Reason.OTHER_SCRIPT):
            raise RequestError(f"nothing to zoom: {detail}")
        return report_since(start, reports, None, reason, detail)

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
