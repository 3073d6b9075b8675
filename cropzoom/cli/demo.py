"""`cropzoom demo`: see the effect on sample pictures, offline, within a minute or two."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cropzoom.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from rich.text import Text

    from cropzoom.demo.ask_samples import Answer, Trial


# What the stand-in's pictures are counted as: it is billed by nobody.
_COUNTED_AS = "claude-opus-5"


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to write the results page (HTML).")
    ] = Path("cropzoom-demo.html"),
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Ask this model instead of the stand-in.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="OpenAI-compatible server that has the model; OpenAI's own by default."),
    ] = None,
    cropper: Annotated[
        str, typer.Option(help="'nano', a cropper folder, or 'org/name' on the hub.")
    ] = "nano",
    side: Annotated[
        int, typer.Option(min=64, max=4096, help="Longest side, px, at which the stand-in sees.")
    ] = 448,
    pictures: Annotated[
        int | None, typer.Option(min=1, help="Ask about the first N pictures only.")
    ] = None,
    count_as: Annotated[
        str | None,
        typer.Option(
            help="Count image tokens as this model is billed: --model, or claude-opus-5 where the "
            "stand-in answers.",
            show_default=False,
        ),
    ] = None,
    price: Annotated[
        float | None,
        typer.Option(min=0, help="Dollars per million prompt tokens, where not known."),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Ask about sample pictures without and with the crop that CropZoom adds.

    A real openai client talks over loopback HTTP to a small stand-in for a vision-language model:
    it sees every picture at 448 px and answers by reading it (OCR). Nothing leaves the machine
    and nothing is downloaded. With `--model` the questions go to a real model instead. Each is also
    asked with a thumbnail and the crop in the picture's place, to show what that saves.

    Example: `cropzoom demo --model qwen2.5-vl --base-url http://localhost:8000/v1`
    """
    with Output(as_json) as out:
        _demo(output, model, base_url, cropper, side, pictures, count_as, price, out)


def _demo(
    page: Path,
    model: str | None,
    base_url: str | None,
    cropper: str,
    side: int,
    pictures: int | None,
    count_as: str | None,
    price: float | None,
    out: Output,
) -> None:
    from cropzoom.clients.connect import connect, naming_target
    from cropzoom.demo.ask_samples import ask_all
    from cropzoom.demo.demo_page import Counting, results_page
    from cropzoom.demo.server import StandInServer
    from cropzoom.errors import CropZoomError, DataError
    from cropzoom.files import write_whole
    from cropzoom.reading.standin import StandIn
    from cropzoom.samples import load_samples

    stand_in = model is None
    counting = Counting.of(count_as or model or _COUNTED_AS, price)
    if base_url is not None and stand_in:
        raise CropZoomError("--base-url needs the name of a model on that server; add --model NAME")
    if not page.absolute().parent.is_dir():  # before a minute of asking, not after
        raise CropZoomError(f"--output {page}: there is no folder {page.parent}; choose another")
    samples = load_samples()[:pictures]
    results: list[Trial] = []
    with ExitStack() as stack:
        if model is None:
            server = stack.enter_context(StandInServer(StandIn(side=side)))
            base_url, model = server.base_url, server.model
            out.text(
                f"The target, {model}, is a stand-in: it sees pictures at {side} px and answers "
                "by reading them. No language model takes part."
            )
        stack.enter_context(naming_target(base_url, model))
        client = stack.enter_context(connect(base_url, local=stand_in))
        progress = stack.enter_context(out.progress())
        count = sum(len(sample.questions) for sample in samples)
        task = progress.add_task("Loading the cropper", total=count)
        for result in ask_all(
            client, model, samples, cropper=cropper, exact=stand_in, count_as=counting.model
        ):
            results.append(result)
            progress.update(task, description=f"Asked {len(results)} of {count}")
    html = results_page(
        results, model=model, cropper=cropper, side=side, stand_in=stand_in, counting=counting
    )
    try:
        write_whole(page, html)
    except DataError as error:
        raise CropZoomError(f"{error}, with --output") from error
    plain = sum(result.plain.right for result in results)
    zoomed = sum(result.zoomed.right for result in results)
    out.table(
        ["Question", "Without crop", "With crop", "Thumbnail + crop", "Image tokens", "ms"],
        [_row(result) for result in results],
    )
    out.text(
        f"Right without a crop: {plain} of {len(results)}. With: {zoomed} of {len(results)}.",
        style="bold",
    )
    saved = counting.saved(results)
    out.text(_saved(saved, len(results)), style="bold")
    out.text(f"{page}: pictures, boxes and crops. ms is the time CropZoom took.")
    out.json(
        {
            "model": model,
            "stand_in": stand_in,
            "cropper": cropper,
            "side": side,
            "page": str(page),
            "questions": len(results),
            "right_without_crop": plain,
            "right_with_crop": zoomed,
            "saved": saved,
            "results": [result.to_dict() for result in results],
        }
    )


def _saved(saved: dict[str, Any], questions: int) -> str:
    share = saved["share"]
    text = f"With a thumbnail and the crop instead of the picture: {saved['right']} of {questions}"
    if share is not None:
        text += f", for {share:.0%} of the image tokens (as {saved['count_as']} is billed)"
    if "dollars_saved_per_1000" in saved:
        text += (
            f": ${saved['dollars_saved_per_1000']:,.2f} saved in 1,000 questions at "
            f"${saved['price']:g} a million ({saved['price_source']})"
        )
    return text + "."


def _row(result: Trial) -> list[str | Text]:
    return [
        result.question.question,
        _marked(result.plain),
        _marked(result.zoomed),
        _marked(result.saving),
        f"{result.tokens_given:,} → {result.tokens_sent:,}",
        f"{result.report.milliseconds:.0f}",
    ]


def _marked(answer: Answer) -> Text:
    from rich.text import Text

    return Text(f"✓ {answer.text}", "green") if answer.right else Text(f"✗ {answer.text}", "red")
