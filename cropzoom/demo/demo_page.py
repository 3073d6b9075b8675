"""The results of a demo run as one HTML file that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import groupby
from statistics import mean
from typing import Any

from PIL import Image

from cropzoom.demo.ask_samples import Trial
from cropzoom.geometry import Box
from cropzoom.images import Encoded, load_image
from cropzoom.templates import picture, render

_CROP_SIDE = 640


def results_page(
    results: Sequence[Trial], *, model: str, cropper: str, side: int, stand_in: bool
) -> str:
    """Return a complete HTML document with pictures, boxes, crops and answers inside.

    Args:
        results: of `ask_all`, those of one picture next to each other.
        model: name of the target.
        cropper: name of the cropper.
        side: longest side, in px, at which the page shows what the target makes of a picture.
        stand_in: whether the target is the one of `cropzoom.demo.server`.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    return render(
        "demo.html.j2",
        figures=_figures(results),
        sections=[
            _section(list(group), side)
            for _, group in groupby(results, key=lambda result: result.picture)
        ],
        model=model,
        cropper=cropper,
        side=side,
        stand_in=stand_in,
    )


def _figures(results: Sequence[Trial]) -> list[dict[str, str]]:
    count = len(results)
    crops = [crop for result in results for crop in result.report.crops]
    times = sorted(result.report.milliseconds for result in results)
    figures = {
        "right without a crop": f"{sum(a.plain.right for a in results)} / {count}",
        "right with the crop": f"{sum(a.zoomed.right for a in results)} / {count}",
        "of the picture, mean area of a crop": (
            f"{mean(crop.box.area for crop in crops):.1%}" if crops else "none"
        ),
        "cropzoom's share of a call, median": (
            f"{times[len(times) // 2]:.0f} ms" if times else "none"
        ),
    }
    extra = [
        a.zoomed.prompt_tokens - a.plain.prompt_tokens
        for a in results
        if a.zoomed.prompt_tokens is not None and a.plain.prompt_tokens is not None
    ]
    if extra:
        figures["prompt tokens per call, mean"] = f"+{mean(extra):.0f}"
    return [
        {"value": value, "label": label, "kind": "up" if label == "right with the crop" else ""}
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
