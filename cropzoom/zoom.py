"""The decision: is a crop of this image worth adding for this question, and which."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import cast
from weakref import WeakKeyDictionary

from PIL import Image

from cropzoom.coordinates import Place
from cropzoom.cropper import Cropper
from cropzoom.environment import usable_threads
from cropzoom.errors import (
    BusyError,
    CropperError,
    CropZoomError,
    DeadlineError,
    ImageError,
    ImageTooLargeError,
    OptionsError,
)
from cropzoom.geometry import Box, Crop
from cropzoom.images import Encoded, ImageSource, OpenedImage, encode_crop, read_bytes
from cropzoom.keys import digest_of_image, digest_of_texts, what_decides
from cropzoom.options import ZoomOptions
from cropzoom.report import CropReport, ImageReport, Reason
from cropzoom.workers import SharedResults, Slots

logger = logging.getLogger("cropzoom")

# Long thin crops are given context across: processors shrink or refuse extreme aspect ratios.
_MAX_ASPECT = 10.0
_CACHE_BYTES = 64_000_000
# Crops of several questions are merged where the common box is at most so much larger than the
# parts: neighbouring lines, a key and its value.
_MERGED_GROWTH = 1.25
# Places for one question that stand for the image are merged where that shows no more pixels than
# both: mostly one is the other, moved.
_SAME_GROWTH = 1.0
# A crop that stands for the image comes with its runner-up, which has most of what it misses,
# unless it is as sure as this: then hardly any misses (benchmarks/studies/modes.py).
_SURE_ALONE = 0.8


@dataclass(frozen=True, slots=True)
class Zoomed:
    """A crop and its pixels, ready to be put into a request.

    Args:
        crop: what it shows.
        image: its pixels.
        questions: what it answers; more than one where neighbouring crops were merged.
        place: where it lies in its picture; None where that is not known.
    """

    crop: Crop
    image: Encoded
    questions: tuple[str, ...] = ()
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class _Outcome:
    zoomed: tuple[Zoomed, ...]
    size: tuple[int, int] | None
    reason: Reason | None = None
    detail: str = ""

    @property
    def bytes(self) -> int:
        return sum(len(item.image.data) for item in self.zoomed)


class Zoom:
    """A cropper with options and a cache. Thread-safe; goes on working in a forked process.

    However many calls come, a cropper works on a few pages at once: two on a small machine, half
    as many as there are cores on a larger one.

    Args:
        cropper: what proposes the boxes.
        options: defaults of every call; `cache_size` is taken from here alone.

    Raises:
        OptionsError: `options` is something else.
    """

    def __init__(self, cropper: Cropper, options: ZoomOptions | None = None) -> None:
        if not isinstance(options, (ZoomOptions, NoneType)):
            raise OptionsError(f"options={options!r} must be ZoomOptions(...) or None")
        self._cropper = cropper
        self._options = options if options is not None else ZoomOptions()
        self._slots = _slots_of(cropper)
        self._results = SharedResults[_Outcome](
            self._options.cache_size, _CACHE_BYTES, lambda outcome: outcome.bytes
        )

    @property
    def cropper(self) -> Cropper:
        """What proposes the boxes."""
        return self._cropper

    @property
    def options(self) -> ZoomOptions:
        """The defaults of every call."""
        return self._options

    def crops(
        self,
        source: ImageSource | OpenedImage,
        questions: str | Sequence[str],
        *,
        index: int = 0,
        options: ZoomOptions | None = None,
        strict: bool = False,
        until: float | None = None,
    ) -> tuple[list[Zoomed], ImageReport]:
        """Return the crops worth adding for one or several questions, and what happened.

        The crops come best first; those of different questions that lie side by side are merged.

        Args:
            source: bytes of a file, a path, a PIL image, or one that was opened for this alone.
            questions: what will be asked about the image.
            index: of the image in its request; only copied into the report.
            options: for this call instead of the defaults.
            strict: raise where the image or the cropper fails, instead of reporting it.
            until: when to stop waiting, as `time.monotonic` counts; None never does. A crop that
                is not ready then is kept for the next call.

        Raises:
            CropZoomError: only with `strict`.
        """
        start = time.perf_counter()
        cached = False
        try:
            outcome, cached = self._outcome(
                source, _distinct(questions), options or self._options, until
            )
        except Exception as error:
            # Whatever goes wrong here, the caller's request must still go out.
            if strict:
                raise _as_own(error) from error
            outcome = _failure(error)
        report = ImageReport(
            index=index,
            size=outcome.size,
            crops=tuple(crop_report(item) for item in outcome.zoomed),
            reason=outcome.reason,
            milliseconds=(time.perf_counter() - start) * 1000,
            cached=cached,
            detail=outcome.detail,
        )
        return list(outcome.zoomed), report

    def _outcome(
        self,
        source: ImageSource | OpenedImage,
        questions: tuple[str, ...],
        options: ZoomOptions,
        until: float | None,
    ) -> tuple[_Outcome, bool]:
        if not questions:
            return _Outcome((), None, Reason.NO_QUESTION, "there is no text to search for"), False
        if isinstance(source, (str, os.PathLike)):
            source = read_bytes(source)
        opened = None
        if isinstance(source, OpenedImage):
            opened, source = source, source.source
            opened.check(options.max_pixels)
        if isinstance(source, Image.Image):
            # Its digest decodes it, so the header's claim comes first.
            opened = opened or OpenedImage(source, max_pixels=options.max_pixels)
            if until is not None:
                # The job may outlive the call, and the caller may change the picture then.
                opened.full()
        key: object = object()
        if self._options.cache_size > 0:
            # A digest of the questions, too: the cache must not hold megabytes of their text.
            key = digest_of_image(source), digest_of_texts(questions), what_decides(options)
        return self._results.get(
            key,
            lambda: self._compute(
                opened or OpenedImage(source, max_pixels=options.max_pixels), questions, options
            ),
            self._slots,
            until,
        )

    def _compute(
        self, image: OpenedImage, questions: tuple[str, ...], options: ZoomOptions
    ) -> _Outcome:
        if options.target_side is not None and image.longest_side <= options.target_side:
            detail = f"its longest side is {image.longest_side} px, target_side is "
            return _Outcome((), image.size, Reason.IMAGE_SMALL, f"{detail}{options.target_side} px")
        edge = getattr(self._cropper, "longest_edge", None)
        grey = getattr(self._cropper, "grey", None) is True
        view = image.preview(edge, grey=grey) if isinstance(edge, int) else image.full()
        most = options.max_crops if options.mode == "add" else max(2, options.max_crops)
        proposals = self._predict(view, questions, most)
        return _choose(
            image,
            [
                (crop, question)
                for question, crops in zip(questions, proposals, strict=True)
                for crop in _with_runner_up(crops[:most], options)
            ],
            options,
        )

    def _predict(
        self, view: Image.Image, questions: tuple[str, ...], k: int
    ) -> Sequence[Sequence[Crop]]:
        many = getattr(self._cropper, "predict_many", None)
        if len(questions) > 1 and many is not None:
            return cast("Sequence[Sequence[Crop]]", many(view, list(questions), k))
        proposals: list[Sequence[Crop]] = []
        failures: list[Exception] = []
        for question in questions:
            try:
                proposals.append(self._cropper.predict(view, question, k))
            except Exception as error:
                # It must not cost the other questions their crops.
                proposals.append(())
                failures.append(error)
        if len(failures) == len(questions):
            raise failures[0]
        return proposals


_all_slots: WeakKeyDictionary[object, Slots] = WeakKeyDictionary()
_making_slots = threading.Lock()


def _slots_of(cropper: Cropper) -> Slots:
    """Return the slots of a cropper: one line for all clients that share it."""
    with _making_slots:
        try:
            slots = _all_slots.get(cropper)
            if slots is None:
                slots = _all_slots[cropper] = _new_slots()
        except TypeError:  # it has no hash, or takes no weak references
            slots = _new_slots()
        return slots


def _new_slots() -> Slots:
    # Two, so that one picture is decoded while another is looked at. Each takes its memory, and
    # the runtime uses several cores for one.
    return Slots(max(2, usable_threads() // 2))


def _distinct(questions: str | Sequence[str]) -> tuple[str, ...]:
    given = (questions,) if isinstance(questions, str) else questions
    return tuple(dict.fromkeys(question for question in given if question.strip()))


def _with_runner_up(crops: Sequence[Crop], options: ZoomOptions) -> Sequence[Crop]:
    sure = crops and crops[0].confidence >= _SURE_ALONE
    return crops[: options.max_crops] if sure else crops


@dataclass(frozen=True, slots=True)
class _Choice:
    box: Box
    confidence: float
    questions: tuple[str, ...]


def _merged(choices: list[_Choice]) -> list[_Choice]:
    """Return choices, surest first, those of different questions that lie side by side as one."""
    if len({choice.questions for choice in choices}) == 1:
        return choices
    return _united(choices, _near)


def _united(choices: list[_Choice], near_by: Callable[[_Choice, _Choice], bool]) -> list[_Choice]:
    merged: list[_Choice] = []
    for choice in choices:
        union = choice
        # A larger box may reach others in turn.
        while near := next((other for other in merged if near_by(union, other)), None):
            merged.remove(near)
            union = _Choice(
                _union(union.box, near.box),
                max(union.confidence, near.confidence),
                tuple(dict.fromkeys((*near.questions, *union.questions))),
            )
        merged.append(union)
    return sorted(merged, key=lambda choice: -choice.confidence)


def _overlapping(one: _Choice, other: _Choice) -> bool:
    parts = one.box.area + other.box.area
    same = one.questions == other.questions
    return same and _union(one.box, other.box).area <= _SAME_GROWTH * parts


def _near(one: _Choice, other: _Choice) -> bool:
    if set(one.questions) & set(other.questions):
        # Candidate places of one question are kept apart.
        return False
    parts = one.box.area + other.box.area
    return _union(one.box, other.box).area <= _MERGED_GROWTH * parts


def _union(one: Box, other: Box) -> Box:
    return Box(
        min(one.x0, other.x0), min(one.y0, other.y0), max(one.x1, other.x1), max(one.y1, other.y1)
    )


def _choose(
    image: OpenedImage, proposals: Sequence[tuple[Crop, str]], options: ZoomOptions
) -> _Outcome:
    """Drop what is unsure or too large, merge neighbours, encode the rest."""
    choices: list[_Choice] = []
    refused: tuple[Reason, str] | None = None
    width, height = image.size
    # Crops that stand for the image: beside one that is sure, a further place can only help.
    sure = {
        question
        for proposal, question in proposals
        if options.mode != "add" and proposal.confidence >= options.min_confidence
    }
    for proposal, question in proposals:
        box = _with_context(proposal.box, width, height, options.padding)
        left, top, right, bottom = box.to_pixels(width, height)
        area = (right - left) * (bottom - top) / (width * height)
        if proposal.confidence < options.min_confidence and question not in sure:
            refused = refused or (
                Reason.LOW_CONFIDENCE,
                f"confidence {proposal.confidence:.2f} is below "
                f"min_confidence={options.min_confidence}",
            )
        elif area > options.max_area:
            refused = refused or (
                Reason.CROP_TOO_LARGE,
                f"the crop covers {area:.0%} of the image, max_area={options.max_area}",
            )
        else:
            choices.append(_Choice(box, proposal.confidence, (question,)))
    if choices:
        if options.mode != "add":
            choices = _united(choices, _overlapping)
        zoomed = [_zoomed(image, choice, options) for choice in _merged(choices)]
        return _Outcome(tuple(zoomed), image.size)
    reason, detail = refused or (Reason.NOTHING_FOUND, "the cropper proposed no region")
    return _Outcome((), image.size, reason, detail)


def _zoomed(image: OpenedImage, choice: _Choice, options: ZoomOptions) -> Zoomed:
    encoded = encode_crop(
        image.full(),
        choice.box,
        min_side=options.min_crop_side,
        max_side=options.max_crop_side,
        photographic=image.photographic,
    )
    place = Place(
        image.size,
        image.orientation,
        cut=choice.box.to_pixels(*image.size),
        crop=(encoded.width, encoded.height),
    )
    return Zoomed(Crop(choice.box, choice.confidence), encoded, choice.questions, place)


def _with_context(box: Box, width: int, height: int, padding: float) -> Box:
    box = box.expand(pad_x=padding * box.width, pad_y=padding * box.height)
    wide, high = box.width * width, box.height * height
    return box.expand(
        pad_x=max(0.0, high / _MAX_ASPECT - wide) / 2 / width,
        pad_y=max(0.0, wide / _MAX_ASPECT - high) / 2 / height,
    )


def crop_report(item: Zoomed) -> CropReport:
    """Return what a report says of a crop."""
    image = item.image
    return CropReport(
        item.crop.box,
        item.crop.confidence,
        image.width,
        image.height,
        len(image.data),
        "\n".join(item.questions),
        item.place,
    )


def _as_own(error: Exception) -> CropZoomError:
    if isinstance(error, CropZoomError):
        return error
    return CropperError(f"the cropper failed with {type(error).__name__}: {error}")


def _failure(error: Exception) -> _Outcome:
    if isinstance(error, BusyError):
        reason = Reason.BUSY
    elif isinstance(error, DeadlineError):
        reason = Reason.DEADLINE
    elif isinstance(error, ImageTooLargeError):
        reason = Reason.TOO_MANY_PIXELS
    elif isinstance(error, ImageError):
        reason = Reason.BROKEN_IMAGE
    else:
        reason = Reason.ERROR
        logger.debug("the cropper failed; the request goes out without a crop", exc_info=error)
    detail = str(error) if isinstance(error, CropZoomError) else f"{type(error).__name__}: {error}"
    return _Outcome((), None, reason, detail)
