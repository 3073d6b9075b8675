"""What a cropper misses on real pages, in pictures: with its crop and where the answer is.

    python benchmarks/figures/failures.py REAL --output docs/failures.png

REAL is a folder of real pages (`trainer/nano/real_split.py`). Of the pictures that were trained on,
for the others are looked at by nobody, it takes misses of as many sets and kinds as there are,
drawn by chance: no picking. A miss is a question whose best box does not hold the whole answer.
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
from cropzoom.geometry import Box
from cropzoom.trainer.nano.real_split import RealPicture, Row, read_pictures

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CONTEXT = 0.06
"""Of the page, round both boxes."""
SLACK = 1e-3
"""Of the page, by which an answer may stand out."""


@dataclass(frozen=True)
class Miss:
    """A question whose crop does not hold the answer."""

    row: Row
    picture: RealPicture
    crop: Box
    confidence: float

    @property
    def kind(self) -> str:
        """Set and kind of question."""
        return f"{self.picture.source}, {self.row.kind}"


def misses(pictures: Iterable[RealPicture], cropper: Cropper) -> Iterator[Miss]:
    """The questions that the cropper misses; those without any crop left out."""
    for picture in pictures:
        with Image.open(picture.path) as file:
            image = file.convert("RGB")
        for row in picture.rows:
            found = cropper.predict(image, row.question)
            if not found:
                continue
            seen = found[0].box.expand(pad_x=SLACK, pad_y=SLACK)
            if not seen.covers(Box.ordered(*row.value, min_side=SLACK)):
                yield Miss(row, picture, found[0].box, found[0].confidence)


def choose(found: list[Miss], count: int, seed: int) -> list[Miss]:
    """Misses by chance, of as many kinds as can be."""
    order = random.Random(seed).sample(found, len(found))
    seen: dict[str, int] = {}
    ranked = []
    for place, miss in enumerate(order):
        seen[miss.kind] = seen.get(miss.kind, 0) + 1
        ranked.append((seen[miss.kind], place, miss))
    return [miss for *_, miss in sorted(ranked, key=lambda entry: entry[:2])[:count]]


def draw(chosen: list[Miss], path: Path, columns: int = 3) -> None:
    """Write a sheet: green where the answer is, red the crop."""
    lines = -(-len(chosen) // columns)
    sheet, places = plt.subplots(lines, columns, figsize=(5 * columns, 3.6 * lines), squeeze=False)
    for place in places.flat:
        place.set_axis_off()
    for place, miss in zip(places.flat, chosen, strict=False):
        with Image.open(miss.picture.path) as file:
            image = file.convert("L")
        width, height = image.size
        right, crop = miss.row.value, miss.crop
        sent = (crop.x0, crop.y0, crop.x1, crop.y1)
        place.imshow(image, cmap="gray", vmin=0, vmax=255)
        for (x0, y0, x1, y1), colour in ((right, "#0a0"), (sent, "#d00")):
            corner, size = (x0 * width, y0 * height), ((x1 - x0) * width, (y1 - y0) * height)
            place.add_patch(Rectangle(corner, *size, fill=False, edgecolor=colour, linewidth=1.6))
        place.set_xlim(
            max(0.0, min(right[0], crop.x0) - CONTEXT) * width,
            min(1.0, max(right[2], crop.x1) + CONTEXT) * width,
        )
        place.set_ylim(
            min(1.0, max(right[3], crop.y1) + CONTEXT) * height,
            max(0.0, min(right[1], crop.y0) - CONTEXT) * height,
        )
        asked = textwrap.shorten(miss.row.question.replace("$", r"\$"), 56)
        place.set_title(f"{asked}\n{miss.kind}, confidence {miss.confidence:.2f}", fontsize=9)
    sheet.tight_layout()
    sheet.savefig(path, dpi=70)
    plt.close(sheet)


def main(
    real: Annotated[Path, typer.Argument(help="Folder of real pages.")],
    cropper: Annotated[str, typer.Option(help="As for load_cropper.")] = "nano",
    count: Annotated[int, typer.Option(help="Misses to show.")] = 9,
    seed: Annotated[int, typer.Option(help="Of the choice.")] = 20250,
    output: Annotated[Path, typer.Option(help="PNG file.")] = Path("docs/failures.png"),
) -> None:
    """Draw misses."""
    pictures = [picture for picture in read_pictures(real, "train") if picture.rows]
    with load_cropper(cropper) as loaded:
        found = list(misses(pictures, loaded))
    draw(choose(found, count, seed), output)
    asked = sum(len(picture.rows) for picture in pictures)
    typer.echo(f"{len(found)} of {asked} missed; {output}")


if __name__ == "__main__":
    typer.run(main)
