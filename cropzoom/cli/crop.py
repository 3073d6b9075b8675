"""`cropzoom crop`: what a cropper would add to a request, as files to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cropzoom.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from PIL import Image

    from cropzoom.geometry import Crop


def crop(
    image: Annotated[Path, typer.Argument(help="Picture to look at.", show_default=False)],
    question: Annotated[str, typer.Argument(help="What to look for.", show_default=False)],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Annotated picture; crops are put beside it."),
    ] = None,
    cropper: Annotated[
        str, typer.Option(help="'nano', a cropper folder, or 'org/name' on the hub.")
    ] = "nano",
    highlight: Annotated[
        Path | None,
        typer.Option(help="Picture with everything but the region dimmed, written there."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=8, help="How many crops, at most.")] = 1,
    as_json: JsonFlag = False,
) -> None:
    """Show where the cropper looks: a picture with the box drawn, the crop, and the numbers.

    Example: `cropzoom crop receipt.jpg "What is the total?" -o out.png`
    """
    with Output(as_json) as out_:
        _crop(image, question, out or Path(f"{image.stem}-zoom.png"), highlight, cropper, k, out_)


def _crop(
    path: Path,
    question: str,
    out: Path,
    highlighted: Path | None,
    cropper: str,
    k: int,
    output: Output,
) -> None:
    import time

    from cropzoom.cropper import load_cropper
    from cropzoom.errors import CropZoomError
    from cropzoom.highlight import highlight
    from cropzoom.images import OpenedImage, encode_crop
    from cropzoom.options import ZoomOptions

    for option, file in (("--out", out), ("--highlight", highlighted)):
        if file is not None and file.resolve() == path.resolve():
            raise CropZoomError(f"{option} {file} is the picture itself; choose another name")
    opened = OpenedImage(path)
    picture = opened.full()
    with output.progress() as progress:
        progress.add_task("Loading the cropper", total=None)
        model = load_cropper(cropper)
        model.warmup()
    start = time.perf_counter()
    crops = model.predict(picture, question, k)
    milliseconds = (time.perf_counter() - start) * 1000
    options = ZoomOptions()
    entries: list[dict[str, Any]] = []
    for number, item in enumerate(crops, 1):
        encoded = encode_crop(
            picture,
            item.box,
            min_side=options.min_crop_side,
            max_side=options.max_crop_side,
            photographic=opened.photographic,
        )
        suffix = ".jpg" if encoded.mime == "image/jpeg" else ".png"
        name = "crop" if len(crops) == 1 else f"crop{number}"
        file = out.with_name(f"{out.stem}-{name}{suffix}")
        _write(file, encoded.data)
        entries.append(
            {
                "box": [item.box.x0, item.box.y0, item.box.x1, item.box.y1],
                "pixels": list(item.box.to_pixels(*picture.size)),
                "confidence": item.confidence,
                "file": str(file),
                "width": encoded.width,
                "height": encoded.height,
            }
        )
    _write_picture(out, _annotated(picture, crops))
    if highlighted is not None:
        _write_picture(highlighted, highlight(picture, [item.box for item in crops]), "--highlight")
    output.json(
        {
            "image": str(path),
            "size": list(picture.size),
            "question": question,
            "cropper": {"name": model.manifest.name, "version": model.manifest.version},
            "device": model.device,
            "milliseconds": milliseconds,
            "crops": entries,
            "annotated": str(out),
            "highlighted": None if highlighted is None else str(highlighted),
        }
    )
    if not entries:
        output.text("The cropper proposes no region for this question.")
    output.table(
        ["Crop", "Box (px)", "Size", "Confidence"],
        [
            [
                item["file"],
                "{}, {}, {}, {}".format(*item["pixels"]),
                f"{item['width']}x{item['height']}",
                f"{item['confidence']:.2f}",
            ]
            for item in entries
        ],
    )
    output.text(f"{out}: the picture with the box. Prediction took {milliseconds:.0f} ms.")
    if any(item["confidence"] < options.min_confidence for item in entries):
        output.text(
            f"Below min_confidence={options.min_confidence}, a wrapped client adds no crop."
        )


def _annotated(picture: Image.Image, crops: list[Crop]) -> Image.Image:
    from PIL import ImageDraw

    from cropzoom.highlight import OUTLINE

    shown = picture.copy()
    draw = ImageDraw.Draw(shown)
    thick = max(2, max(picture.size) // 300)
    for item in reversed(crops):
        left, top, right, bottom = item.box.to_pixels(*picture.size)
        draw.rectangle((left, top, right - 1, bottom - 1), outline=OUTLINE, width=thick)
    return shown


def _write_picture(path: Path, picture: Image.Image, option: str = "--out") -> None:
    import io

    from PIL import Image

    from cropzoom.errors import CropZoomError

    kind = Image.registered_extensions().get(path.suffix.lower())
    data = io.BytesIO()
    try:
        picture.save(data, kind or path.suffix)
    except (OSError, ValueError, KeyError) as error:
        raise CropZoomError(
            f"can't write {path}: Pillow writes no {path.suffix!r}; choose another {option}"
        ) from error
    _write(path, data.getvalue(), option)


def _write(path: Path, data: bytes, option: str = "--out") -> None:
    from cropzoom.errors import CropZoomError, DataError
    from cropzoom.files import write_whole

    if not path.parent.is_dir():
        raise CropZoomError(f"can't write {path}: there is no such folder; choose another {option}")
    try:
        write_whole(path, data)
    except DataError as error:
        raise CropZoomError(f"{error}, with {option}") from error
