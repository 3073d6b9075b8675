"""`cropzoom ask`: one question about one image, to any OpenAI-compatible server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cropzoom.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from cropzoom.report import ImageReport, ZoomReport


def ask(
    image: Annotated[Path, typer.Argument(help="Picture to ask about.", show_default=False)],
    question: Annotated[str, typer.Argument(help="What to ask.", show_default=False)],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name of the model.", show_default=False)
    ],
    base_url: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible server that has the model; OpenAI's own by default."),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also ask without the crop.")] = False,
    cropper: Annotated[
        str, typer.Option(help="'nano', a cropper folder, or 'org/name' on the hub.")
    ] = "nano",
    as_json: JsonFlag = False,
) -> None:
    """Ask a model about a picture, adding the crop that answers the question.

    The key is taken from OPENAI_API_KEY; a server given with `--base-url` may need none.

    Example: `cropzoom ask receipt.jpg "What is the total?" --model gpt-4.1-nano --compare`
    """
    with Output(as_json) as out:
        _ask(image, question, model, base_url, compare, cropper, out)


def _ask(
    image: Path,
    question: str,
    model: str,
    base_url: str | None,
    compare: bool,
    cropper: str,
    out: Output,
) -> None:
    from cropzoom.clients import CropZoom
    from cropzoom.clients.connect import connect, naming_target

    with naming_target(base_url, model), connect(base_url) as client, out.progress() as progress:
        task = progress.add_task("Loading the cropper", total=None)
        zoomed = CropZoom(client, cropper)
        progress.update(task, description=f"Asking {model}")
        answer = zoomed.ask(image, question, model=model)
        report = zoomed.cropzoom.last_report
        plain = None
        if compare:
            progress.update(task, description=f"Asking {model} without a crop")
            with zoomed.cropzoom.override(enabled=False):
                plain = zoomed.ask(image, question, model=model)
    if plain is not None:
        out.text(f"Without crop: {plain}")
        out.text(f"With crop:    {answer}", style="bold")
    else:
        out.text(answer)
    for line in _account(report):
        out.text(line, style="dim")
    result: dict[str, Any] = {"model": model, "question": question, "answer": answer}
    if compare:
        result["answer_without_crop"] = plain
    out.json({**result, "cropzoom": report.to_dict() if report else None})


def _account(report: ZoomReport | None) -> list[str]:
    """Say in lines what was added, or why nothing was."""
    if report is None:
        return []
    lines = [
        f"crop {crop.box.to_text().rstrip('.')} percent, {crop.width}x{crop.height} px, "
        f"confidence {crop.confidence:.2f}, found in {image.milliseconds:.0f} ms"
        for image in report.images
        for crop in image.crops
    ]
    parts: list[ZoomReport | ImageReport] = [report, *report.images]
    for part in parts:
        if part.reason is not None:
            lines.append(f"no crop ({part.reason}): {part.detail}")
    return lines
