"""The results of a demo run as one HTML file that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import mean
from typing import Any

from PIL import Image

from cropzoom.demo.ask_samples import Trial
from cropzoom.geometry import Box
from cropzoom.images import Encoded, load_image
from cropzoom.models import price_of, rule_for
from cropzoom.templates import picture, render

_CROP_SIDE = 640
_GOOD = ("right with the crop", "right with a thumbnail and the crop")


@dataclass(frozen=True, slots=True)
class Counting:
    """How the demo counts what is saved.

    Args:
        model: name of the model as which pictures are counted.
        price: dollars per million prompt tokens; None where it is not known.
        source: where the price is from, for people.
    """

    model: str
    price: float | None = None
    source: str = ""

    @classmethod
    def of(cls, model: str, price: float | None = None) -> Counting:
        """Return how to count as a model, at a price, or at what is known of the model."""
        known = price_of(model) if price is None else None
        if known is not None:
            return cls(model, known.prompt, f"{known.source}, {known.date}")
        return cls(model, price, "" if price is None else "as given")

    def saved(self, results: Sequence[Trial]) -> dict[str, Any]:
        """Return what thumbnails and crops save over all questions, ready for `json.dumps`."""
        given = sum(result.tokens_given for result in results)
        sent = sum(result.tokens_sent for result in results)
        saved: dict[str, Any] = {
            "count_as": self.model,
            "family": rule_for(self.model).family,
            "tokens_given": given,
            "tokens_sent": sent,
            "share": sent / given if given else None,
            "right": sum(result.saving.right for result in results),
            "price": self.price,
            "price_source": self.source,
        }
        if self.price is not None and results:
            thousand = (given - sent) / len(results) * 1000
            saved["dollars_saved_per_1000"] = thousand * self.price / 1e6
        return saved


def results_page(
    results: Sequence[Trial],
    *,
    model: str,
    cropper: str,
    side: int,
    stand_in: bool,
    counting: Counting | None = None,
) -> str:
    """Return a complete HTML document with pictures, boxes, crops and answers inside.

    Args:
        results: of `ask_all`, those of one picture next to each other.
        model: name of the target.
        cropper: name of the cropper.
        side: longest side, in px, at which the page shows what the target makes of a picture.
        stand_in: whether the target is the one of `cropzoom.demo.server`.
        counting: of what is saved; None counts as the target.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    saved = (counting or Counting.of(model)).saved(results)
    return render(
        "demo.html.j2",
        figures=_figures(results, saved),
        saved=saved,
        sections=[
            _section(list(group), side)
            for _, group in groupby(results, key=lambda result: result.picture)
        ],
        model=model,
        cropper=cropper,
        side=side,
        stand_in=stand_in,
    )


def _figures(results: Sequence[Trial], saved: Mapping[str, Any]) -> list[dict[str, str]]:
    count = len(results)
    crops = [crop for result in results for crop in result.report.crops]
    times = sorted(result.report.milliseconds for result in results)
    figures = {
        "right without a crop": f"{sum(a.plain.right for a in results)} / {count}",
        "right with the crop": f"{sum(a.zoomed.right for a in results)} / {count}",
        "right with a thumbnail and the crop": f"{saved['right']} / {count}",
        "image tokens, with thumbnail and crop": (
            f"-{1 - saved['share']:.0%}" if saved["share"] is not None else "none"
        ),
        "of the picture, mean area of a crop": (
            f"{mean(crop.box.area for crop in crops):.1%}" if crops else "none"
        ),
        "cropzoom's share of a call, median": (
            f"{times[len(times) // 2]:.0f} ms" if times else "none"
        ),
    }
    if "dollars_saved_per_1000" in saved:
        figures["saved in 1,000 questions"] = f"${saved['dollars_saved_per_1000']:,.2f}"
    extra = [
        a.zoomed.prompt_tokens - a.plain.prompt_tokens
        for a in results
        if a.zoomed.prompt_tokens is not None and a.plain.prompt_tokens is not None
    ]
    if extra:
        figures["prompt tokens per call, mean"] = f"+{mean(extra):.0f}"
    return [
        {"value": value, "label": label, "kind": "up" if label in _GOOD else ""}
        for label, value in figures.items()
    ]


def _section(group: list[Trial], side: int) -> dict[str, Any]:
    sample = group[0].picture
    data = sample.path.read_bytes()
    image = load_image(data)
    mime = "image/jpeg" if sample.path.suffix == ".jpg" else "image/png"
    return {
        "title": sample.title,
        "width": image.width,
        "height": image.height,
        "wide": image.width > 1.3 * image.height,
        "picture": Encoded(data, mime, *image.size).data_uri(),
        "questions": [
            _question(index, result, image, side) for index, result in enumerate(group, start=1)
        ],
    }


def _question(index: int, result: Trial, image: Image.Image, side: int) -> dict[str, Any]:
    crops = result.report.crops
    if crops:
        box, crop = crops[0].box, picture(image, _CROP_SIDE, crops[0].box)
        caption = (
            f"with the crop: confidence {crops[0].confidence:.2f} · {box.area:.1%} of the picture "
            f"· {result.report.milliseconds:.0f} ms"
        )
    else:
        box, crop = result.question.region, ""
        reason = result.report.images[0].reason if result.report.images else result.report.reason
        caption = f"no crop was added: {reason}"
    return {
        "index": index,
        "text": result.question.question,
        "box": box if crops else None,
        "seen": _png(_as_seen(image, box, side)).data_uri(),
        "crop": crop,
        "caption": caption,
        "plain": result.plain,
        "zoomed": result.zoomed,
        "saving": result.saving,
        "tokens": f"{result.tokens_given:,} → {result.tokens_sent:,}",
    }


def _as_seen(image: Image.Image, box: Box, side: int) -> Image.Image:
    """Cut a box out of the picture as shrunk to `side` px."""
    zoom = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
    small = image.resize(size, Image.Resampling.LANCZOS)
    return small.crop(box.to_pixels(*small.size))


def _png(image: Image.Image) -> Encoded:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return Encoded(buffer.getvalue(), "image/png", *image.size)
