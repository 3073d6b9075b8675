"""nano taught somebody's own documents: what it gains on them, and what it forgets.

    python benchmarks/studies/teach_nano.py write REAL softmatic runs/receipts
    cropzoom train sft runs/receipts/rows.jsonl runs/mine --policy nano --images REAL/softmatic
    cropzoom export-onnx runs/mine runs/mine/onnx --name mine
    python benchmarks/studies/teach_nano.py measure REAL softmatic nano runs/mine/onnx

REAL has the sets that `trainer/nano/real_split.py` tells of. Rows are those of the part that is
trained on; measured is the part that is kept apart, of that set and, for what was forgotten, of
the others.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from real_pages import outcomes, summary
from study import OutputOption, cropper_name, markdown, report

from cropzoom import load_cropper
from cropzoom.trainer.nano.real_split import SETS, read_pictures

app = typer.Typer()


@app.command()
def write(
    real: Annotated[Path, typer.Argument(help="Real pages.")],
    name: Annotated[str, typer.Argument(help="Of the set: " + ", ".join(SETS))],
    folder: Annotated[Path, typer.Argument(help="For rows.jsonl and heldout.jsonl.")],
    pictures: Annotated[int | None, typer.Option(help="To train on, at most.")] = None,
) -> None:
    """Write the set's rows, as `cropzoom train` and `cropzoom eval` read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, file in (("train", "rows.jsonl"), ("validation", "heldout.jsonl")):
        pages = [page for page in read_pictures(real, part) if page.source == name and page.rows]
        pages = pages[: pictures if part == "train" else None]
        rows: list[dict[str, Any]] = [
            {
                "image": page.path.name,
                "question": row.question,
                "answers": [row.answer],
                "box": row.box,
                "value": row.value,
            }
            for page in pages
            for row in page.rows
        ]
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / file).write_text(text, "utf-8")
        typer.echo(f"{len(rows)} rows about {len(pages)} pictures in {folder / file}")


@app.command()
def measure(
    real: Annotated[Path, typer.Argument(help="Real pages.")],
    name: Annotated[str, typer.Argument(help="Of the set that was taught.")],
    before: Annotated[str, typer.Argument(help="As for load_cropper.")],
    after: Annotated[str, typer.Argument(help="As for load_cropper.")],
    pictures: Annotated[int, typer.Option(help="Of each other set.")] = 30,
    output: OutputOption = None,
) -> None:
    """Answers wholly in the best box, before and after, on pages that were kept apart."""
    results: dict[str, Any] = {"taught": name, "croppers": {}}
    for label, source in (("before", before), ("after", after)):
        with load_cropper(source) as cropper:
            results["croppers"][label] = cropper_name(cropper)
        results[label] = {
            one: summary(outcomes(real, source, "validation", (one,), pictures))
            for one in SETS
            if (real / one).is_dir()
        }
    report(results, [table(results)], output)


def table(results: dict[str, Any]) -> str:
    """The sets, with what was taught first."""
    names = sorted(results["before"], key=lambda one: one != results["taught"])
    rows = []
    for one in names:
        both = [results[label][one] for label in ("before", "after")]
        shares = [
            f"{100 * f['whole']:.1f} % [{100 * f['interval'][0]:.0f}, {100 * f['interval'][1]:.0f}]"
            for f in both
        ]
        areas = [f"{100 * f['area']:.1f} %" for f in both]
        rows.append([one, f"{both[0]['questions']} / {both[0]['pictures']}", *shares, *areas])
    head = ["set", "questions / pictures", "before", "after", "area before", "area after"]
    return markdown(head, rows)


if __name__ == "__main__":
    app()
