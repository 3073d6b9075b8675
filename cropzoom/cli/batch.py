"""`cropzoom batch`: crops for the requests of a batch file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cropzoom.cli.output import JsonFlag, Output


def batch(
    source: Annotated[Path, typer.Argument(help="Batch file: a request a line.")],
    target: Annotated[Path, typer.Argument(help="The same with crops.")],
    cropper: Annotated[str, typer.Option(help="'nano', a cropper folder, or 'org/name'.")] = "nano",
    mode: Annotated[str, typer.Option(help="'add', 'replace' or 'stitch'.")] = "add",
    budget: Annotated[
        int | None, typer.Option(min=1, help="Most tokens an image and its crops may cost.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Add crops to the requests of a batch file, OpenAI's, Anthropic's or Google's.

    A run that was interrupted goes on where it was; every line is there in the end.

    Example: `cropzoom batch requests.jsonl with-crops.jsonl --mode replace`
    """
    with Output(as_json) as output:
        from cropzoom.clients.batch_file import BatchCounts, rewrite_file
        from cropzoom.cropper import load_cropper
        from cropzoom.options import Mode, ZoomOptions
        from cropzoom.zoom import Zoom

        chosen: Mode = mode  # type: ignore[assignment]
        # A file can wait for its crops.
        zoom = Zoom(load_cropper(cropper), ZoomOptions(mode=chosen, budget=budget, deadline=None))
        counts = BatchCounts()
        with output.progress() as progress:
            task = progress.add_task("Rewriting", total=None)
            for counts in rewrite_file(source, target, zoom):
                progress.update(task, completed=counts.lines)
        usage = counts.usage
        lines = {"lines": counts.lines, "before": counts.before, "broken": counts.broken}
        sums = {**asdict(usage), "tokens_saved": usage.tokens_saved}
        output.json({**lines, **sums, "file": str(target)})
        output.text(
            f"{target}: {counts.lines} lines, {counts.before} of them from earlier runs, "
            f"{counts.broken} that hold no request and are as they were. In this run "
            f"{usage.calls} requests, {usage.crops} crops, "
            f"{usage.tokens_given:,} image tokens as given, {usage.tokens_sent:,} as sent."
        )
