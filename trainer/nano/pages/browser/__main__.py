"""Make a pool: python -m cropzoom.trainer.nano.pages.browser runs/pool --pages 1500 --grey"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from cropzoom.errors import CropZoomError

from .pool import write_pool


def main(
    folder: Annotated[Path, typer.Argument(help="Made when missing, else gone on with.")],
    pages: Annotated[int, typer.Option(min=1, help="How many there will be.")] = 1500,
    seed: Annotated[int, typer.Option(help="The same seed gives the same pages.")] = 1,
    split: Annotated[
        Literal["train", "heldout"], typer.Option(help="Of fonts, words, templates.")
    ] = "train",
    workers: Annotated[int, typer.Option(min=1, help="Browsers at once.")] = 1,
    grey: Annotated[
        bool, typer.Option("--grey/--colour", help="Grey is all that nano sees.")
    ] = False,
) -> None:
    """Lay out pages of our templates with Chromium, with the boxes of keys and values.

    It may be stopped at any time; the same command goes on.
    """
    began = time.monotonic()
    try:
        made = write_pool(folder, pages, seed, split, workers=workers, grey=grey)
    except CropZoomError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    seconds = time.monotonic() - began
    typer.echo(f"{pages} pages in {folder}; {made} now, {made / max(seconds, 1e-9):.2f} a second")


if __name__ == "__main__":
    typer.run(main)
