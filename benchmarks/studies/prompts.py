"""How many crops survive the prompts around their questions, and what several fields at once get.

Each of the demo's questions is put in each way of tests/data/prompts.txt and asked of its picture.
A bare question's crop survives a prompt where one of the prompt's crops overlaps it with an IoU of
at least .9, or shows the value. Then all questions of each picture are asked in one prompt.

    python benchmarks/studies/prompts.py --output benchmarks/results/prompts.json
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import typer
from prompt_table import OBJECTS, Prompt, load_prompts

from cropzoom import Box, ZoomOptions, load_cropper
from cropzoom.questions import Turn, asking
from cropzoom.samples import SamplePicture, SampleQuestion, load_samples
from cropzoom.zoom import Zoom

SAME = 0.9
"""IoU from which two crops count as the same."""

EXTRACTION = {
    "questions": ("Answer these questions about the picture:\n{questions}\nReply with JSON.", "- "),
    "numbered": ("{questions}\n\nAnswer each with the bare value, one a line.", "1. "),
    "running text": ("{questions}", ""),
    "fields": ("Extract these fields as JSON, null where one is missing:\n{fields}", "- "),
    "sentence": ("Extract the {listed} from this picture. Return JSON only.", ""),
    "schema": ("Extract the data.", ""),
}
"""Prompts for all of a picture's questions at once, and what begins a line of their lists."""


class Crops:
    """The crops that questions get, each worked out once."""

    def __init__(self) -> None:
        self._zoom = Zoom(load_cropper("nano"), ZoomOptions(cache_size=4096))

    def of(self, picture: SamplePicture, questions: Sequence[str]) -> list[Box]:
        """Boxes of the crops, surest first."""
        if not questions:
            return []
        return [crop.crop.box for crop in self._zoom.crops(picture.path, list(questions))[0]]


def survives(boxes: Sequence[Box], bare: Box, value: Box) -> bool:
    """Tell whether a bare question's crop, or at least what it is for, is among some crops."""
    return any(box.iou(bare) >= SAME or covers(box, value) for box in boxes)


def covers(box: Box, value: Box) -> bool:
    """Tell whether a crop shows a value, but for a hundredth of the picture at its edges."""
    return (
        box.x0 <= value.x0 + 0.01
        and box.y0 <= value.y0 + 0.01
        and box.x1 >= value.x1 - 0.01
        and box.y1 >= value.y1 - 0.01
    )


def pairs() -> list[tuple[SamplePicture, SampleQuestion]]:
    """The demo's questions and their pictures."""
    return [(picture, item) for picture in load_samples() for item in picture.questions]


def kept(
    prompt: Prompt, crops: Crops, asked: Sequence[tuple[SamplePicture, SampleQuestion]]
) -> dict[str, Any]:
    """Return the share of the bare questions' crops that survive a prompt, and what is lost."""
    lost: dict[str, Any] = {}
    count = 0
    for picture, item in asked:
        bare = crops.of(picture, [item.question])
        if not bare:
            continue
        count += 1
        asking = prompt.asking(item.question)
        if not survives(crops.of(picture, asking.questions), bare[0], item.value):
            lost[item.question] = list(asking.questions) or str(asking.reason)
    return {"kept": 1 - len(lost) / count, "lost": lost}


def all_at_once(form: str, crops: Crops) -> dict[str, Any]:
    """Ask each picture all of its questions in one prompt."""
    template, bullet = EXTRACTION[form]
    inside = fields = most = 0
    areas, lost = [], []
    for picture in load_samples():
        items = picture.questions
        names = [OBJECTS[item.question] for item in items]
        schema = {"type": "object", "properties": {n.lower().replace(" ", "_"): {} for n in names}}
        lines = [
            (bullet.replace("1", str(number)) + item.question)
            for number, item in enumerate(items, 1)
        ]
        text = template.format(
            questions=("\n" if bullet else " ").join(lines),
            fields="\n".join(bullet + name for name in names),
            listed=", ".join(names[:-1]) + " and " + names[-1],
        )
        schemas = [schema] if form == "schema" else []
        questions = asking([Turn("user", (text,), 1)], 0, schemas).questions
        boxes = crops.of(picture, questions)
        shown = [any(covers(box, item.value) for box in boxes) for item in items]
        lost += [item.question for item, fine in zip(items, shown, strict=True) if not fine]
        inside += sum(shown)
        fields += len(items)
        most = max(most, len(boxes) - len(items))
        areas.append(sum(box.area for box in boxes))
    return {
        "values inside": inside / fields,
        "most crops beyond fields": most,
        "mean total area": fmean(areas),
        "largest total area": max(areas),
        "lost": lost,
    }


def tables(results: Mapping[str, Any]) -> dict[str, str]:
    """The page's table of several fields in one prompt, `study_tables.py` puts it there."""
    rows = [
        "| | values inside a crop | most crops beyond fields | mean area | largest area |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    rows += [
        f"| {form} | {row['values inside']:.0%} | {row['most crops beyond fields']} | "
        f"{row['mean total area']:.1%} | {row['largest total area']:.1%} |"
        for form, row in results["all at once"].items()
    ]
    return {"several fields": "\n".join(rows)}


def main(
    output: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Measure and print."""
    crops, asked = Crops(), pairs()
    table = {prompt.name: kept(prompt, crops, asked) for prompt in load_prompts()}
    halves = {
        half: [table[prompt.name]["kept"] for prompt in load_prompts() if prompt.held_out is held]
        for half, held in (("seen", False), ("held out", True))
    }
    halves = {half: shares for half, shares in halves.items() if shares}
    figures: dict[str, Any] = {
        half: {"prompts": len(shares), "mean": fmean(shares), "worst": min(shares)}
        for half, shares in halves.items()
    }
    figures["all at once"] = {form: all_at_once(form, crops) for form in EXTRACTION}
    figures["prompts"] = table
    for name, entry in table.items():
        if entry["lost"]:
            print(f"{name}: {entry['kept']:.2f} {entry['lost']}")
    for half in halves:
        print(half, figures[half])
    for form, entry in figures["all at once"].items():
        print(form, entry)
    if output:
        output.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
