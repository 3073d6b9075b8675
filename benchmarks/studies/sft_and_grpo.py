"""Nano by SFT and after GRPO, beside its rivals, on held-out pages: keeps what was found.

    cropzoom eval rendered:300x1@7 -t standin:448 -c none -c random -c centre -c ocr -c nano \\
        -c runs/nano-grpo-onnx -c runs/nano-grpo2-onnx -c oracle --threads 1 --concurrency 1 \\
        -o runs/rendered300
    python benchmarks/studies/sft_and_grpo.py runs/rendered300/summary.json
    python benchmarks/studies/study_tables.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from study import markdown, percent

RESULT = Path(__file__).parents[1] / "results/sft_and_grpo.json"
NAMES = {
    "none": "no crop",
    "random": "random place",
    "centre": "centre",
    "ocr": "OCR of the whole page, training-free",
    "nano": "nano, SFT",
    "nano-grpo-onnx": "nano, SFT then GRPO (a)",
    "nano-grpo2-onnx": "nano, SFT then GRPO (b)",
    "oracle": "the right crop",
}


def kept(summary: dict[str, Any]) -> dict[str, Any]:
    """The figures of the one target, by cropper; folders are called by their last part."""
    (target,) = summary["targets"]
    named = {Path(name).name: figures for name, figures in summary["targets"][target].items()}
    facts = ("data", "metric", "rows", "problems", "failures")
    return {"target": target, **{name: summary[name] for name in facts}, "croppers": named}


def tables(results: dict[str, Any]) -> dict[str, str]:
    """The table of docs/studies/sft-and-grpo.md."""
    rows = []
    for name, label in NAMES.items():
        figures = results["croppers"].get(name)
        if figures is None:
            continue
        against, gap = figures.get("against_none"), figures.get("gap_closed")
        changed = broken = ""
        if against:
            changed = f"{against['mended']} / {against['broken']}"
            broken = f"{100 * against['broken_share']['mean']:.1f} %"
        centre, area = figures["centre_in_region"], figures["mean_area"]
        milliseconds = figures["crop_milliseconds"]
        rows.append(
            [
                label,
                percent(figures["score"]),
                percent(gap) if gap else "",
                changed,
                broken,
                "" if centre is None else f"{100 * centre:.1f} %",
                "" if area is None else f"{100 * area:.1f} %",
                f"{milliseconds:,.0f}" if milliseconds and name != "oracle" else "",
            ]
        )
    head = [
        "crop",
        "answered",
        "of the gap",
        "mended / broken",
        "broken of the right ones",
        "centre in region",
        "area",
        "ms",
    ]
    return {"croppers": markdown(head, rows)}


def main(summary: Annotated[Path, typer.Argument(help="summary.json of the evaluation.")]) -> None:
    """Keep the figures."""
    results = kept(json.loads(summary.read_text("utf-8")))
    RESULT.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    typer.echo(tables(results)["croppers"])


if __name__ == "__main__":
    typer.run(main)
