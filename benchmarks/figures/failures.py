"""Pictures of what a cropper misses: the page's part in question, with its crop and the right one.

    python benchmarks/figures/failures.py runs/heldout/questions.jsonl --output docs/failures.png

Of the held-out pages of both renderers it takes misses of as many kinds as there are, drawn by
chance: no picking. A miss is a question whose crop is not centred in the region of key and value.
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import matplotlib
import typer
from matplotlib.patches import Rectangle
from PIL import Image

from cropzoom import load_cropper
from cropzoom.cropper import Cropper
from cropzoom.data.row import Row
from cropzoom.data.test_set import load_test
from cropzoom.geometry import Box
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CONTEXT = 0.06
"""Of the page, round both boxes."""


@dataclass(frozen=True)
class Miss:
    """A question whose crop looks elsewhere."""

    row: Row
    image: Image.Image
    crop: Box
    confidence: float


def misses(rows: Iterable[Row], cropper: Cropper) -> Iterator[Miss]:
    """The rows, which have boxes, that the cropper misses; those without any crop left out."""
    for row in rows:
        assert row.box is not None
        image = row.load()
        found = cropper.predict(image, row.question)
        if found and not row.box.contains_point(*found[0].box.centre):
            yield Miss(row, image, found[0].box, found[0].confidence)


def choose(found: list[Miss], count: int, seed: int) -> list[Miss]:
    """Misses by chance, of as many categories as can be."""
    order = random.Random(seed).sample(found, len(found))
    seen: dict[str, int] = {}
    ranked = []
    for place, miss in enumerate(order):
        seen[miss.row.category] = seen.get(miss.row.category, 0) + 1
        ranked.append((seen[miss.row.category], place, miss))
    return [miss for *_, miss in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def draw(chosen: list[Miss], path: Path, columns: int = 3) -> None:
    """Write a sheet: green the region of key and value, red the crop."""
    lines = -(-len(chosen) // columns)
    sheet, places = plt.subplots(lines, columns, figsize=(5 * columns, 3.6 * lines), squeeze=False)
    for place in places.flat:
        place.set_axis_off()
    for place, miss in zip(places.flat, chosen, strict=False):
        width, height = miss.image.size
        right = miss.row.box
        assert right is not None
        shown = (
            max(0.0, min(right.x0, miss.crop.x0) - CONTEXT) * width,
            max(0.0, min(right.y0, miss.crop.y0) - CONTEXT) * height,
            min(1.0, max(right.x1, miss.crop.x1) + CONTEXT) * width,
            min(1.0, max(right.y1, miss.crop.y1) + CONTEXT) * height,
        )
        place.imshow(miss.image.convert("L"), cmap="gray", vmin=0, vmax=255)
        for box, colour in ((right, "#0a0"), (miss.crop, "#d00")):
            corner = (box.x0 * width, box.y0 * height)
            size = (box.width * width, box.height * height)
            place.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.6))
        place.set_xlim(shown[0], shown[2])
        place.set_ylim(shown[3], shown[1])
        asked = textwrap.shorten(miss.row.question.replace("$", r"\$"), 56)
        said = f"{miss.row.category}, confidence {miss.confidence:.2f}"
        place.set_title(f"{asked}\n{said}", fontsize=9)
    sheet.tight_layout()
    sheet.savefig(path, dpi=70)
    plt.close(sheet)


def main(
    questions: Annotated[Path, typer.Argument(help="A held-out pool's questions.jsonl.")],
    cropper: Annotated[str, typer.Option(help="As for load_cropper.")] = "nano",
    pages: Annotated[int, typer.Option(help="Pages of the other renderer.")] = 40,
    count: Annotated[int, typer.Option(help="Misses to show.")] = 9,
    seed: Annotated[int, typer.Option(help="Of those pages, and of the choice.")] = 20250,
    output: Annotated[Path, typer.Option(help="PNG file.")] = Path("docs/failures.png"),
) -> None:
    """Draw misses."""
    rows = [*rendered_test(pages, seed).rows, *load_test(questions).rows]
    with load_cropper(cropper) as loaded:
        found = list(misses(rows, loaded))
    draw(choose(found, count, seed), output)
    typer.echo(f"{len(found)} of {len(rows)} missed; {output}")


if __name__ == "__main__":
    typer.run(main)
