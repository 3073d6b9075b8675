"""What the studies share: a question with its place on a page, options, how figures are shown."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cropzoom.geometry import Box

CropperOption = Annotated[str, typer.Option(help="As for load_cropper.")]
OutputOption = Annotated[Path | None, typer.Option(help="JSON file for the figures.")]
FigureOption = Annotated[Path | None, typer.Option(help="SVG file.")]
ThreadsOption = Annotated[int | None, typer.Option(help="Of the reader or cropper; None for all.")]


@dataclass(frozen=True)
class Question:
    """A question about a page, and where on it the answer stands.

    Args:
        page: which; answers about one page hang together.
        text: as the cropper gets it.
        box: of key and value; None where nothing on the page answers.
        value: of the answer alone, if known.
    """

    page: str
    text: str
    box: Box | None
    value: Box | None

    def hit(self, crop: Box | None) -> bool:
        """Whether a crop's centre lies in the region of key and value."""
        return crop is not None and self.box is not None and self.box.contains_point(*crop.centre)

    def whole(self, crop: Box | None) -> bool:
        """Whether a crop shows the value whole."""
        return crop is not None and self.value is not None and crop.covers(self.value)


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """Return a table in Markdown, the columns after the first aligned to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, rule, *rows])


def percent(share: dict[str, Any]) -> str:
    """Return an estimate (`cropzoom.evaluate.intervals.Estimate.to_dict`) of a share with its
    interval."""
    if share["mean"] is None:
        return ""
    low, high = share["interval"]
    return f"{100 * share['mean']:.1f} % [{100 * low:.0f}, {100 * high:.0f}]"


def cropper_name(cropper: Any) -> str:
    """Return a cropper's name and version: a result names no folder of the machine."""
    return f"{cropper.manifest.name} {cropper.manifest.version}"


def report(results: dict[str, Any], tables: Iterable[str], output: Path | None) -> None:
    """Print a study's tables, and write its results where they are wanted."""
    for table in tables:
        typer.echo(table + "\n")
    if output is not None:
        output.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
