"""What a caller may tune: `ZoomOptions`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from cropzoom.errors import OptionsError

DEFAULT_MAX_PIXELS = 64_000_000
Mode = Literal["add", "replace", "stitch"]
MODES = ("add", "replace", "stitch")


@dataclass(frozen=True, kw_only=True, slots=True)
class ZoomOptions:
    """How images are zoomed. Immutable: use `dataclasses.replace` or `client.cropzoom.override`.

    Args:
        max_crops: most crops added for one question about one image; 1 to 8. In the modes
            "replace" and "stitch" an unsure crop comes with its runner-up all the same, merged
            with it where they overlap.
        min_confidence: a crop the cropper is less sure of is not added; 0 to 1.
        max_area: a crop covering a larger share of its image is not added, since it would show
            little more than the image itself; above 0, at most 1 (adds any crop).
        padding: context added on each of the four sides, as a fraction of that side of the box;
            0 to 10. Croppers already add what they were measured with.
        min_crop_side: a crop whose longer side has fewer pixels is enlarged to this (Lanczos), as
            small pictures are read badly by many models; in px, 0 turns it off.
        max_crop_side: a crop whose longer side has more pixels is shrunk to this, which bounds
            what it costs; in px.
        mode: "add" puts crops beside their image. "replace" sends a thumbnail in the image's place
            and the crops in full resolution, which costs fewer tokens; "stitch" puts thumbnail and
            crops on one canvas, so that the request has as many pictures as before. In both, an
            image without a sure crop, or one that is asked about as a whole, goes out as it is.
        budget: most tokens that an image and its crops may cost; the thumbnail is made as large
            as that allows, crops are shrunk or left out. An image that goes out as it is, costs
            what it costs. None for no limit.
        thumbnail_side: longest side of thumbnails where no budget is given; px.
        target_side: longest side, in px, at which the target model really sees an image. With mode
            "add", an image no larger gets no crop, for the target sees its every pixel already.
            None: as `cropzoom.models` knows for the request's own model; 0: crop all the same.
        label: text put before a crop in the request, for instance "Enlarged part of the image:".
            None adds no text.
        fetch_images: whether images given as http(s) URLs are downloaded to be cropped. Only
            public addresses are contacted. Off by default: nothing is fetched.
        max_pixels: an image with more is left alone; checked in its header, before decoding.
        fetch_timeout: most seconds a download may take in all, redirects included.
        max_fetch_bytes: most bytes a download may have.
        cache_size: how many results (image, question) are kept; 0 keeps none.
        deadline: most seconds a request waits for its crops, downloads included. A crop that is
            not ready by then goes into the cache, not into the request. Five seconds are far more
            than the bundled cropper takes for a page, about what a small vision language model
            takes on a CPU, and little beside what the target model takes. None waits as long as
            it takes.
        max_added_pictures: most crops added to a request. Where a turn brings more than three
            images, such as the pages of a document, each of its questions gets the surest
            `max_crops` of all of them, as one page has the answer.
        max_added_pixels: most pixels of all crops added to a request.
        max_added_bytes: most bytes, as sent, of all crops added to a request.
        max_body_bytes: a request's body is not made larger than this; None for no limit.
        question: what to search for, instead of what cropzoom takes for the question: a string
            for the last turn of a request, or a function that is given the turns of the
            conversation up to the one that asks (`cropzoom.questions.Turn`) and returns the
            question, several, or None for cropzoom's own choice.
        tool_results: whether images that tools return are zoomed, too. Computer screenshots never
            are: their pixels are coordinates.
        shadow: share of the calls with crops that are asked again with the pictures as given, so
            that the answers can be compared: `client.cropzoom.usage` counts them. In the
            background, after the caller has its answer; which calls is decided by their content.
            It sends nothing that the call did not hold, to the same server, and costs these calls
            once more in full. For OpenAI's and Anthropic's clients; 0 to 1.

    Raises:
        OptionsError: a value has the wrong type or is out of range.
    """

    max_crops: int = 1
    min_confidence: float = 0.4
    max_area: float = 0.5
    padding: float = 0.0
    min_crop_side: int = 448
    max_crop_side: int = 1024
    mode: Mode = "add"
    budget: int | None = None
    thumbnail_side: int = 256
    target_side: int | None = None
    label: str | None = None
    fetch_images: bool = False
    max_pixels: int = DEFAULT_MAX_PIXELS
    fetch_timeout: float = 10.0
    max_fetch_bytes: int = 20_000_000
    cache_size: int = 256
    deadline: float | None = 5.0
    max_added_pictures: int = 16
    max_added_pixels: int = 8_000_000
    max_added_bytes: int = 4_000_000
    max_body_bytes: int | None = None
    question: str | Callable[[Sequence[Any]], str | Sequence[str] | None] | None = None
    tool_results: bool = True
    shadow: float = 0.0

    def __post_init__(self) -> None:
        self._number("max_crops", 1, 8, whole=True)
        self._number("min_confidence", 0, 1)
        self._number("max_area", 0, 1, above=True)
        self._number("padding", 0, 10)
        self._number("min_crop_side", 0, 8192, whole=True)
        self._number("max_crop_side", 16, 8192, whole=True)
        if self.mode not in MODES:
            raise OptionsError(f"mode={self.mode!r} must be one of {', '.join(MODES)}")
        if self.budget is not None:
            self._number("budget", 1, math.inf, whole=True)
        self._number("thumbnail_side", 16, 8192, whole=True)
        if self.target_side is not None:
            self._number("target_side", 0, math.inf, whole=True)
        self._number("max_pixels", 1, math.inf, whole=True)
        self._number("fetch_timeout", 0, 600, above=True)
        self._number("max_fetch_bytes", 1, math.inf, whole=True)
        self._number("cache_size", 0, math.inf, whole=True)
        if self.deadline is not None:
            self._number("deadline", 0, math.inf)
        self._number("max_added_pictures", 0, math.inf, whole=True)
        self._number("max_added_pixels", 0, math.inf, whole=True)
        self._number("max_added_bytes", 0, math.inf, whole=True)
        if self.max_body_bytes is not None:
            self._number("max_body_bytes", 0, math.inf, whole=True)
        self._number("shadow", 0, 1)
        if self.min_crop_side > self.max_crop_side:
            raise OptionsError(
                f"min_crop_side={self.min_crop_side} is larger than "
                f"max_crop_side={self.max_crop_side}; lower the one or raise the other"
            )
        if not (self.label is None or isinstance(self.label, str)):
            raise OptionsError(f"label={self.label!r} must be a string or None")
        for name in ("fetch_images", "tool_results"):
            if not isinstance(getattr(self, name), bool):
                raise OptionsError(f"{name}={getattr(self, name)!r} must be True or False")
        if not (self.question is None or isinstance(self.question, str) or callable(self.question)):
            raise OptionsError(f"question={self.question!r} must be a string, a function or None")

    def _number(
        self, name: str, low: float, high: float, *, whole: bool = False, above: bool = False
    ) -> None:
        value = getattr(self, name)
        kinds = int if whole else (int, float)
        inside = (
            isinstance(value, kinds)
            and not isinstance(value, bool)
            and (low < value if above else low <= value)
            and value <= high
        )
        if not inside:
            kind = "a whole number" if whole else "a number"
            lower = f"above {low}" if above else f"at least {low}"
            upper = "" if high == math.inf else f" and at most {high}"
            raise OptionsError(f"{name}={value!r} must be {kind}, {lower}{upper}")


OPTION_NAMES = tuple(field.name for field in fields(ZoomOptions))


def options_of(given: Mapping[str, Any], where: str) -> ZoomOptions:
    """Return the options that a file, an environment or another's configuration gives by name.

    Args:
        given: values by name.
        where: for messages.

    Raises:
        OptionsError: a name is no option, or a value is out of range.
    """
    unknown = sorted(str(name) for name in given if name not in OPTION_NAMES)
    if unknown:
        raise OptionsError(
            f"{where}: {', '.join(unknown)} is no option; there are {', '.join(OPTION_NAMES)}"
        )
    try:
        return ZoomOptions(**given)
    except OptionsError as error:
        raise OptionsError(f"{where}: {error}") from error
