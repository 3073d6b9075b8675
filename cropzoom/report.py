"""What happened to a call: one `ZoomReport`, with one `ImageReport` per image."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from cropzoom.coordinates import Frame, Place, Point, Rect, Size, Unit
from cropzoom.geometry import Box

if TYPE_CHECKING:
    from PIL.Image import Image

    from cropzoom.images import ImageSource


class Reason(str, Enum):
    """Why no crop was added. The values are stable and meant for logs and dashboards."""

    OFF = "off"
    NO_IMAGE = "no_image"
    NO_QUESTION = "no_question"
    WHOLE_PICTURE = "whole_picture"
    OTHER_SCRIPT = "other_script"
    IMAGE_SMALL = "image_small"
    NOTHING_FOUND = "nothing_found"
    LOW_CONFIDENCE = "low_confidence"
    CROP_TOO_LARGE = "crop_too_large"
    BROKEN_IMAGE = "broken_image"
    TOO_MANY_PIXELS = "too_many_pixels"
    REMOTE_URL = "remote_url"
    FETCH_FAILED = "fetch_failed"
    FILE_ID = "file_id"
    FILE_PART = "file_part"
    AT_SERVER = "at_server"
    NOT_USER_MESSAGE = "not_user_message"
    UNSUPPORTED_ENDPOINT = "unsupported_endpoint"
    UNSUPPORTED_INPUT = "unsupported_input"
    DEADLINE = "deadline"
    BUSY = "busy"
    BUDGET = "budget"
    LIMIT = "limit"
    REFUSED = "refused"
    ERROR = "error"

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True)
class CropReport:
    """One crop that was added.

    Args:
        box: the part of the upright image that the crop shows.
        confidence: the cropper's, in [0, 1].
        width: of the encoded crop, in px.
        height: of the encoded crop, in px.
        bytes: size of the encoded crop, before base64.
        question: what it answers; several, where crops were merged, are joined by line breaks.
        place: where it lies in the picture as sent and as given; None where that is not known.
    """

    box: Box
    confidence: float
    width: int
    height: int
    bytes: int
    question: str = ""
    place: Place | None = None

    def map_point(
        self,
        x: float,
        y: float,
        source: Frame = "crop",
        target: Frame = "given",
        unit: Unit = "px",
        target_unit: Unit | None = None,
        seen: Size | None = None,
    ) -> Point:
        """Return where a point of one picture lies in another, for instance one a model named.

        Args:
            x, y: the point in the source; columns first, while some models say rows first.
            source, target: "crop", "sent", "upright" or "given", see `cropzoom.coordinates`.
            unit: "px", "fraction" or "thousandths" of the sides.
            target_unit: what the result is counted in; None for the same.
            seen: (width, height) in px of the source as the model counts its pixels, where it
                shrank the picture before it looked.

        Raises:
            ValueError: an unknown frame or unit, or the place is not known.
        """
        return _known(self.place).point((x, y), source, target, unit, target_unit, seen)

    def map_box(
        self,
        x0: float,
        y0: float,
        x1: float,
        y1: float,
        source: Frame = "crop",
        target: Frame = "given",
        unit: Unit = "px",
        target_unit: Unit | None = None,
        seen: Size | None = None,
    ) -> Rect:
        """Return where a box of one picture lies in another; see `map_point`."""
        return _known(self.place).box((x0, y0, x1, y1), source, target, unit, target_unit, seen)


@dataclass(frozen=True, slots=True)
class ImageReport:
    """What happened to one image of a request.

    Args:
        index: position among the images of the request, from 0.
        size: (width, height) in px of the upright image; None where it was never opened.
        crops: the crops added, turn by turn, within a turn best first.
        reason: why there is none; None exactly when there are crops.
        milliseconds: time spent on this image.
        cached: whether the result was already known.
        detail: the reason in a sentence, for people; may be empty.
        tokens_given: what the image costs as given, as `cropzoom.models` counts; None where its
            size is not known.
        tokens_sent: what it costs with all that went out for it.
    """

    index: int
    size: tuple[int, int] | None
    crops: tuple[CropReport, ...]
    reason: Reason | None
    milliseconds: float
    cached: bool
    detail: str = ""
    tokens_given: int | None = None
    tokens_sent: int | None = None

    def highlight(self, image: ImageSource) -> Image:
        """Return the image, upright and in RGB, with the regions of the crops shown.

        Args:
            image: the one this report is about: bytes of a file, a path, or a PIL image.

        Raises:
            ImageError: it can't be read.
        """
        from cropzoom.highlight import highlight

        return highlight(image, [crop.box for crop in self.crops])


@dataclass(frozen=True, slots=True)
class ZoomReport:
    """What happened to one call.

    Args:
        images: one report per image that was considered, in whichever turns.
        question: the text that the last asking turn's images were searched for, several questions
            joined by line breaks; None where there was none.
        reason: why the call as a whole went through unchanged, or that the server refused what was
            sent first; None otherwise.
        milliseconds: time spent in cropzoom, in all.
        detail: the reason in a sentence, for people; may be empty.
        shadowed: whether the original is asked as well; see the option `shadow`.
    """

    images: tuple[ImageReport, ...]
    question: str | None
    reason: Reason | None
    milliseconds: float
    detail: str = ""
    shadowed: bool = False

    @property
    def crops(self) -> tuple[CropReport, ...]:
        """All crops added, in the order of their images."""
        return tuple(crop for image in self.images for crop in image.crops)

    def highlight(self, image: ImageSource, index: int = 0) -> Image:
        """Return an image, upright and in RGB, with the regions of its crops shown.

        Args:
            image: one of the request's: bytes of a file, a path, or a PIL image.
            index: its number among the images of the request.

        Raises:
            ImageError: it can't be read.
        """
        from cropzoom.highlight import highlight

        boxes = [crop.box for item in self.images if item.index == index for crop in item.crops]
        return highlight(image, boxes)

    @property
    def pixels_added(self) -> int:
        """Pixels of all crops added."""
        return sum(crop.width * crop.height for crop in self.crops)

    @property
    def tokens_given(self) -> int:
        """What all images cost as given, as far as their sizes are known."""
        return sum(image.tokens_given or 0 for image in self.images)

    @property
    def tokens_sent(self) -> int:
        """What they cost with all that went out for them."""
        return sum(image.tokens_sent or 0 for image in self.images)

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, strings and numbers, ready for `json.dumps`."""
        plain: dict[str, Any] = asdict(self)
        plain["reason"] = _text(self.reason)
        plain["pixels_added"] = self.pixels_added
        plain["tokens_given"] = self.tokens_given
        plain["tokens_sent"] = self.tokens_sent
        plain["images"] = list(plain["images"])
        for image, report in zip(plain["images"], self.images, strict=True):
            image["reason"] = _text(report.reason)
            image["size"] = None if report.size is None else list(report.size)
            image["crops"] = list(image["crops"])
        return plain


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer and where it was read.

    Args:
        text: what the model answered.
        boxes: the regions that it was shown for the question, best first; none where it was shown
            the image alone.
        confidence: the cropper's in the best region, in [0, 1]; 0 where there is none.
        report: of the call.
    """

    text: str
    boxes: tuple[Box, ...]
    confidence: float
    report: ZoomReport | None

    @classmethod
    def of(cls, text: str, report: ZoomReport | None) -> Cited:
        """Join an answer with the report of its call."""
        crops = report.crops if report is not None else ()
        boxes = tuple(crop.box for crop in crops)
        return cls(text, boxes, max((crop.confidence for crop in crops), default=0.0), report)

    def __str__(self) -> str:
        return self.text

    def highlight(self, image: ImageSource) -> Image:
        """Return the image that was asked about, upright and in RGB, with the regions shown."""
        from cropzoom.highlight import highlight

        return highlight(image, self.boxes)


@dataclass(frozen=True, slots=True)
class Shadow:
    """What came of asking a call again with the pictures as given.

    Args:
        sent: the answer that the caller got, to what went out; None where there is none to compare.
        original: the answer to the pictures as given.
        same: whether both say the same; None where that is not known.
        report: of the call.
        failure: why it is not known; empty where it is.
    """

    sent: str | None
    original: str | None
    same: bool | None
    report: ZoomReport
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over calls.

    Args:
        calls: how many.
        images: images in them.
        crops: crops sent.
        tokens_given: what the images cost as given.
        tokens_sent: what they cost with all that went out for them.
        shadows: calls that were asked again with the pictures as given, and compared.
        shadows_same: of these, how many had the same answer.
        shadows_failed: calls whose shadow failed or was left out.
        shadow_tokens: what the pictures of the shadows cost, on top of `tokens_sent`.
    """

    calls: int = 0
    images: int = 0
    crops: int = 0
    tokens_given: int = 0
    tokens_sent: int = 0
    shadows: int = 0
    shadows_same: int = 0
    shadows_failed: int = 0
    shadow_tokens: int = 0

    @property
    def tokens_saved(self) -> int:
        """Tokens that were not spent; negative where crops, or shadows, came on top."""
        return self.tokens_given - self.tokens_sent - self.shadow_tokens

    def plus(self, report: ZoomReport) -> Usage:
        """Return the sums with one more call."""
        return replace(
            self,
            calls=self.calls + 1,
            images=self.images + len(report.images),
            crops=self.crops + len(report.crops),
            tokens_given=self.tokens_given + report.tokens_given,
            tokens_sent=self.tokens_sent + report.tokens_sent,
        )

    def plus_shadow(self, shadow: Shadow) -> Usage:
        """Return the sums with what came of one more shadow."""
        known = shadow.same is not None
        return replace(
            self,
            shadows=self.shadows + known,
            shadows_same=self.shadows_same + bool(shadow.same),
            shadows_failed=self.shadows_failed + (not known),
            shadow_tokens=self.shadow_tokens + (shadow.report.tokens_given if known else 0),
        )


def _known(place: Place | None) -> Place:
    if place is None:
        raise ValueError("where this crop lies is not known; map points of a client's own reports")
    return place


def _text(reason: Reason | None) -> str | None:
    return None if reason is None else reason.value
