"""The decision: is a crop of this image worth adding for this question, and which."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from types import NoneType
from typing import cast

from PIL import Image

from cropzoom.cropper import Cropper
from cropzoom.errors import (
    CropperError,
    CropZoomError,
    ImageError,
    ImageTooLargeError,
    OptionsError,
)
from cropzoom.geometry import Box, Crop
from cropzoom.images import Encoded, ImageSource, OpenedImage, encode_crop, read_bytes
from cropzoom.options import ZoomOptions
from cropzoom.report import CropReport, ImageReport, Reason

logger = logging.getLogger("cropzoom")

# Long thin crops are given context across: processors shrink or refuse extreme aspect ratios.
_MAX_ASPECT = 10.0
_CACHE_BYTES = 64_000_000
# Crops of several questions are merged where the common box is at most so much larger than the
# parts: neighbouring lines, a key and its value.
_MERGED_GROWTH = 1.25


@dataclass(frozen=True, slots=True)
class Zoomed:
    """A crop and its pixels, ready to be put into a request.

    Args:
        crop: what it shows.
        image: its pixels.
        questions: what it answers; more than one where neighbouring crops were merged.
    """

    crop: Crop
    image: Encoded
    questions: tuple[str, ...] = ()


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
    """A cropper with options and a cache. Thread-safe.

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
        self._cache = _Cache(self._options.cache_size)

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
        source: ImageSource,
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
            source: bytes of a file, a path, or a PIL image.
            questions: what will be asked about the image.
            index: of the image in its request; only copied into the report.
            options: for this call instead of the defaults.
            strict: raise where the image or the cropper fails, instead of reporting it.
            until: when to stop waiting, as `time.monotonic` counts; None never does.

        Raises:
            CropZoomError: only with `strict`.
        """
        start = time.perf_counter()
        cached = False
        try:
            outcome, cached = self._outcome(source, _distinct(questions), options or self._options)
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
        self, source: ImageSource, questions: tuple[str, ...], options: ZoomOptions
    ) -> tuple[_Outcome, bool]:
        if not questions:
            return _Outcome((), None, Reason.NO_QUESTION, "there is no text to search for"), False
        if isinstance(source, (str, os.PathLike)):
            source = read_bytes(source)
        if isinstance(source, Image.Image):
            # Its digest decodes it, so the header's claim comes first.
            OpenedImage(source, max_pixels=options.max_pixels)
        if self._options.cache_size == 0:
            return self._compute(source, questions, options), False
        key = (_digest(source), questions, _without_irrelevant(options))
        return self._cache.get(key, lambda: self._compute(source, questions, options))

    def _compute(
        self, source: ImageSource, questions: tuple[str, ...], options: ZoomOptions
    ) -> _Outcome:
        image = OpenedImage(source, max_pixels=options.max_pixels)
        if options.target_side is not None and image.longest_side <= options.target_side:
            detail = f"its longest side is {image.longest_side} px, target_side is "
            return _Outcome((), image.size, Reason.IMAGE_SMALL, f"{detail}{options.target_side} px")
        edge = getattr(self._cropper, "longest_edge", None)
        grey = getattr(self._cropper, "grey", None) is True
        view = image.preview(edge, grey=grey) if isinstance(edge, int) else image.full()
        proposals = self._predict(view, questions, options.max_crops)
        return _choose(
            image,
            [
                (crop, question)
                for question, crops in zip(questions, proposals, strict=True)
                for crop in crops[: options.max_crops]
            ],
            options,
        )

    def _predict(
        self, view: Image.Image, questions: tuple[str, ...], k: int
    ) -> Sequence[Sequence[Crop]]:
        many = getattr(self._cropper, "predict_many", None)
        if len(questions) > 1 and many is not None:
            return cast("Sequence[Sequence[Crop]]", many(view, list(questions), k))
        return [self._cropper.predict(view, question, k) for question in questions]


def _distinct(questions: str | Sequence[str]) -> tuple[str, ...]:
    given = (questions,) if isinstance(questions, str) else questions
    return tuple(dict.fromkeys(question for question in given if question.strip()))


@dataclass(frozen=True, slots=True)
class _Choice:
    box: Box
    confidence: float
    questions: tuple[str, ...]


def _merged(choices: list[_Choice]) -> list[_Choice]:
    """Return choices, surest first, those of different questions that lie side by side as one."""
    if len({choice.questions for choice in choices}) == 1:
        return choices
    merged: list[_Choice] = []
    for choice in choices:
        union = choice
        # A larger box may reach others in turn.
        while near := next((other for other in merged if _near(union, other)), None):
            merged.remove(near)
            union = _Choice(
                _union(union.box, near.box),
                max(union.confidence, near.confidence),
                tuple(dict.fromkeys((*near.questions, *union.questions))),
            )
        merged.append(union)
    return sorted(merged, key=lambda choice: -choice.confidence)


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
    for proposal, question in proposals:
        box = _with_context(proposal.box, width, height, options.padding)
        left, top, right, bottom = box.to_pixels(width, height)
        area = (right - left) * (bottom - top) / (width * height)
        if proposal.confidence < options.min_confidence:
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
        zoomed = [
            Zoomed(
                Crop(choice.box, choice.confidence),
                encode_crop(
                    image.full(),
                    choice.box,
                    min_side=options.min_crop_side,
                    max_side=options.max_crop_side,
                    photographic=image.photographic,
                ),
                choice.questions,
            )
            for choice in _merged(choices)
        ]
        return _Outcome(tuple(zoomed), image.size)
    reason, detail = refused or (Reason.NOTHING_FOUND, "the cropper proposed no region")
    return _Outcome((), image.size, reason, detail)


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
    )


def _as_own(error: Exception) -> CropZoomError:
    if isinstance(error, CropZoomError):
        return error
    return CropperError(f"the cropper failed with {type(error).__name__}: {error}")


def _failure(error: Exception) -> _Outcome:
    if isinstance(error, ImageTooLargeError):
        reason = Reason.TOO_MANY_PIXELS
    elif isinstance(error, ImageError):
        reason = Reason.BROKEN_IMAGE
    else:
        reason = Reason.ERROR
        logger.debug("the cropper failed; the request goes out without a crop", exc_info=error)
    detail = str(error) if isinstance(error, CropZoomError) else f"{type(error).__name__}: {error}"
    return _Outcome((), None, reason, detail)


def _digest(source: ImageSource) -> bytes:
    if isinstance(source, Image.Image):
        try:
            pixels = source.tobytes()
        except Exception as error:
            # Decoders raise whatever their parsing trips over, not only OSError.
            raise ImageError(f"the image is broken: {error}") from error
        # Everything that decides what the pixels look like.
        exif = source.getexif().get(0x0112)
        palette = source.palette.tobytes() if source.palette is not None else b""
        look = (source.mode, source.size, source.format, exif, source.info.get("transparency"))
        digest = hashlib.sha256(repr(look).encode() + palette)
        digest.update(pixels)
        return digest.digest()
    return hashlib.sha256(read_bytes(source)).digest()


def _without_irrelevant(options: ZoomOptions) -> ZoomOptions:
    """Reset the options that do not change a crop, so that they do not split the cache."""
    default = ZoomOptions()
    return replace(
        options,
        label=default.label,
        fetch_images=default.fetch_images,
        fetch_timeout=default.fetch_timeout,
        max_fetch_bytes=default.max_fetch_bytes,
        cache_size=default.cache_size,
        deadline=default.deadline,
        max_added_pictures=default.max_added_pictures,
        max_added_pixels=default.max_added_pixels,
        max_added_bytes=default.max_added_bytes,
        max_body_bytes=default.max_body_bytes,
        question=default.question,
        tool_results=default.tool_results,
    )


class _Cache:
    """Recent outcomes; of concurrent calls with one key, one computes and the others wait."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[object, _Outcome] = OrderedDict()
        self._bytes = 0
        self._under_way: dict[object, Future[_Outcome]] = {}

    def get(self, key: object, compute: Callable[[], _Outcome]) -> tuple[_Outcome, bool]:
        """Return the outcome for a key and whether another call computed it."""
        with self._lock:
            if key in self._known:
                self._known.move_to_end(key)
                return self._known[key], True
            future = self._under_way.get(key)
            mine = future is None
            if future is None:
                future = self._under_way[key] = Future()
        if not mine:
            return future.result(), True
        try:
            outcome = compute()
        except BaseException as error:
            # Not kept: a cropper may recover.
            with self._lock:
                del self._under_way[key]
            # An interrupt is meant for this thread, not for those that wait.
            ours = isinstance(error, Exception)
            future.set_exception(error if ours else CropperError("it was interrupted"))
            raise
        with self._lock:
            del self._under_way[key]
            self._known[key] = outcome
            self._bytes += outcome.bytes
            while len(self._known) > self._size or self._bytes > _CACHE_BYTES:
                self._bytes -= self._known.popitem(last=False)[1].bytes
        future.set_result(outcome)
        return outcome, False
