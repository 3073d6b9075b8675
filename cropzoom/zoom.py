"""The decision: is a crop of this image worth adding for this question, and which."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import NoneType
from typing import overload
from weakref import WeakKeyDictionary

from PIL import Image

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
from cropzoom.options import ZoomOptions
from cropzoom.report import CropReport, ImageReport, Reason
from cropzoom.workers import SharedResults, Slots

logger = logging.getLogger("cropzoom")

# Long thin crops are given context across: processors shrink or refuse extreme aspect ratios.
_MAX_ASPECT = 10.0
_CACHE_BYTES = 64_000_000
_DIGEST_PIXELS = 1 << 20


@dataclass(frozen=True, slots=True)
class Zoomed:
    """A crop and its pixels, ready to be put into a request."""

    crop: Crop
    image: Encoded


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

    @overload
    def crops(
        self,
        source: ImageSource,
        question: str,
        *,
        index: int = 0,
        options: ZoomOptions | None = None,
        strict: bool = False,
        deadline: float | None = None,
    ) -> tuple[list[Zoomed], ImageReport]: ...

    @overload
    def crops(
        self,
        source: ImageSource,
        question: Sequence[str],
        *,
        index: int = 0,
        options: ZoomOptions | None = None,
        strict: bool = False,
        deadline: float | None = None,
    ) -> list[tuple[list[Zoomed], ImageReport]]: ...

    def crops(
        self,
        source: ImageSource,
        question: str | Sequence[str],
        *,
        index: int = 0,
        options: ZoomOptions | None = None,
        strict: bool = False,
        deadline: float | None = None,
    ) -> tuple[list[Zoomed], ImageReport] | list[tuple[list[Zoomed], ImageReport]]:
        """Return the crops worth adding for a question, best first, and what happened.

        Args:
            source: bytes of a file, a path, or a PIL image.
            question: what will be asked about the image; several are answered by as many results,
                with one look at the page where the cropper has `predict_many`.
            index: of the image in its request; only copied into the report.
            options: for this call instead of the defaults.
            strict: raise where the image or the cropper fails, instead of reporting it.
            deadline: `time.monotonic()` at which the call returns in any case. A crop that is not
                ready then is kept for the next call. None waits as long as it takes.

        Raises:
            CropZoomError: only with `strict`.
        """
        questions = [question] if isinstance(question, str) else list(question)
        start = time.perf_counter()
        outcomes: Sequence[tuple[_Outcome, bool] | Exception]
        try:
            outcomes = self._outcomes(source, questions, options or self._options, deadline)
        except Exception as error:
            # Whatever goes wrong here, the caller's request must still go out.
            outcomes = [error] * len(questions)
        results = []
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                if strict:
                    raise _as_own(outcome) from outcome
                outcome = _failure(outcome), False
            value, cached = outcome
            report = ImageReport(
                index=index,
                size=value.size,
                crops=tuple(_crop_report(item) for item in value.zoomed),
                reason=value.reason,
                milliseconds=(time.perf_counter() - start) * 1000,
                cached=cached,
                detail=value.detail,
            )
            results.append((list(value.zoomed), report))
        return results[0] if isinstance(question, str) else results

    def _outcomes(
        self,
        source: ImageSource,
        questions: Sequence[str],
        options: ZoomOptions,
        deadline: float | None,
    ) -> Sequence[tuple[_Outcome, bool] | Exception]:
        asked = [question for question in questions if question.strip()]
        nothing = _Outcome((), None, Reason.NO_QUESTION, "there is no text to search for"), False
        if not asked:
            return [nothing] * len(questions)
        if isinstance(source, (str, os.PathLike)):
            source = read_bytes(source)
        if isinstance(source, Image.Image):
            # Its digest decodes it, so the header's claim comes first.
            taken = OpenedImage(source, max_pixels=options.max_pixels)
            if deadline is not None:
                # The job may outlive the call, and the caller may change the picture then.
                taken.full()
        else:
            taken = None
        keys: list[object] = [object() for _ in asked]
        if self._options.cache_size > 0:
            rest = _digest(source), _without_irrelevant(options)
            # Digests of the questions, too: a cache must not hold megabytes of somebody's text.
            keys = [(*rest, hashlib.sha256(_utf8(question)).digest()) for question in asked]

        def compute(places: list[int]) -> list[_Outcome | Exception]:
            image = taken or OpenedImage(source, max_pixels=options.max_pixels)
            return self._look(image, [asked[place] for place in places], options)

        results = iter(self._results.get(keys, compute, self._slots, deadline))
        return [next(results) if question.strip() else nothing for question in questions]

    def _look(
        self, image: OpenedImage, questions: list[str], options: ZoomOptions
    ) -> list[_Outcome | Exception]:
        """Decide about an image for some questions; a failure costs the others nothing."""
        if options.target_side is not None and image.longest_side <= options.target_side:
            detail = f"its longest side is {image.longest_side} px, target_side is "
            detail += f"{options.target_side} px"
            return [_Outcome((), image.size, Reason.IMAGE_SMALL, detail)] * len(questions)
        edge = getattr(self._cropper, "longest_edge", None)
        grey = getattr(self._cropper, "grey", None) is True
        view = image.preview(edge, grey=grey) if isinstance(edge, int) else image.full()
        outcomes: list[_Outcome | Exception] = []
        for proposals in self._proposals(view, questions, options.max_crops):
            try:
                if isinstance(proposals, Exception):
                    raise proposals
                outcomes.append(_choose(image, proposals[: options.max_crops], options))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    def _proposals(
        self, view: Image.Image, questions: list[str], k: int
    ) -> Iterator[list[Crop] | Exception]:
        many = getattr(self._cropper, "predict_many", None)
        if many is not None and len(questions) > 1:
            answers = list(many(view, questions, k))
            if len(answers) != len(questions):
                raise CropperError(
                    f"predict_many gave {len(answers)} lists for {len(questions)} questions"
                )
            yield from answers
            return
        for question in questions:
            try:
                yield self._cropper.predict(view, question, k)
            except Exception as error:
                yield error


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


def _choose(image: OpenedImage, proposals: list[Crop], options: ZoomOptions) -> _Outcome:
    """Drop what is unsure or too large, encode the rest."""
    zoomed: list[Zoomed] = []
    refused: tuple[Reason, str] | None = None
    width, height = image.size
    for proposal in proposals:
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
            encoded = encode_crop(
                image.full(),
                box,
                min_side=options.min_crop_side,
                max_side=options.max_crop_side,
                photographic=image.photographic,
            )
            zoomed.append(Zoomed(Crop(box, proposal.confidence), encoded))
    if zoomed:
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


def _crop_report(item: Zoomed) -> CropReport:
    image = item.image
    return CropReport(
        item.crop.box, item.crop.confidence, image.width, image.height, len(image.data)
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


def _digest(source: ImageSource) -> bytes:
    if not isinstance(source, Image.Image):
        return hashlib.sha256(read_bytes(source)).digest()
    # Everything that decides what the pixels look like.
    exif = source.getexif().get(0x0112)
    palette = source.palette.tobytes() if source.palette is not None else b""
    look = (source.mode, source.size, source.format, exif, source.info.get("transparency"))
    digest = hashlib.sha256(repr(look).encode() + palette)
    try:
        source.load()
        # Some rows at a time, since all would be a second copy of the picture.
        rows = max(1, _DIGEST_PIXELS // source.width)
        for top in range(0, source.height, rows):
            bottom = min(top + rows, source.height)
            digest.update(source.crop((0, top, source.width, bottom)).tobytes())
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise whatever their parsing trips over, not only OSError.
        raise ImageError(f"the image is broken: {error}") from error
    return digest.digest()


def _utf8(text: str) -> bytes:
    # Lone surrogates are no error here.
    return text.encode("utf-8", "surrogatepass")


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
    )
