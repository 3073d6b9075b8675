"""The run's results: JSON, a table in Markdown, and a plot of the curves."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import matplotlib
import numpy
import PIL
import torch
import transformers
from pages import VALUE_FONTS

WAYS = (
    "no crop",
    "random crop",
    "sft",
    "grpo-accuracy",
    "grpo-likelihood",
    "oracle",
)
# The order that the paper's tables have.
ORDER = ("no crop", "sft", "grpo-accuracy", "grpo-likelihood", "oracle")
_COLOURS = {"accuracy": "tab:orange", "likelihood": "tab:blue"}


def write_report(
    output: Path,
    settings: Mapping[str, Any],
    folders: Mapping[int, Path],
    reader: str,
    other: str,
    minutes: float,
) -> None:
    """Write OUTPUT.json, OUTPUT.md and OUTPUT.png from the stages' folders, and print the table.

    Args:
        output: path without a suffix.
        settings: of the run.
        folders: of each seed.
        reader, other: names of the reader that was learned from, and of the second one.
        minutes: that the run took, this time: stages done before are not in it.
    """
    seeds = {
        seed: {
            "results": json.loads((folder / "results.json").read_text()),
            "stages": {
                stage: _stage(folder / stage)
                for stage in ("sft", "grpo-accuracy", "grpo-likelihood")
            },
        }
        for seed, folder in folders.items()
    }
    means = {
        name: {
            way: {
                key: _spread([seed["results"][name][way][key] for seed in seeds.values()])
                for key in next(iter(seeds.values()))["results"][name][way]
            }
            for way in WAYS
        }
        for name in (reader, other)
    }
    content = {
        "settings": settings,
        "minutes": round(minutes, 1),
        "reader": reader,
        "second reader": other,
        "fonts of values": ["Pillow's own" if font is None else font for font in VALUE_FONTS],
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "pillow": PIL.__version__,
            "matplotlib": matplotlib.__version__,
            "numpy": numpy.__version__,
        },
        "paper's order": {name: in_order(means[name]) for name in (reader, other)},
        "mean and standard deviation over seeds": means,
        "seeds": seeds,
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    output.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    table = _table(means, reader, other)
    output.with_suffix(".md").write_text(table)
    print(table)
    _plot(output.with_suffix(".png"), list(seeds.values()), means, reader, other)


def in_order(means: Mapping[str, Mapping[str, Sequence[float]]]) -> bool:
    """Whether mean accuracies rise as the paper's do: GRPO's two may be equal, others may not."""
    none, sft, accuracy, likelihood, oracle = (means[way]["accuracy"][0] for way in ORDER)
    return none < sft < accuracy <= likelihood < oracle


def _stage(folder: Path) -> dict[str, Any]:
    log = json.loads((folder / "log.json").read_text())
    return {"seconds": log["seconds"], "curve": log["curve"]}


def _spread(values: Sequence[float]) -> tuple[float, float]:
    return round(fmean(values), 4), round(stdev(values), 4) if len(values) > 1 else 0.0


def _table(means: Mapping[str, Any], reader: str, other: str) -> str:
    lines = [
        f"| crop | accuracy, {reader} | log-likelihood, {reader} | accuracy, {other} (transfer) "
        f"| log-likelihood, {other} | IoU | share of the page |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in WAYS:
        cells = [way]
        for name in (reader, other):
            line = means[name][way]
            cells += [_cell(line["accuracy"], "{:.3f}"), _cell(line["likelihood"], "{:.2f}")]
        line = means[reader][way]
        cells += [_cell(line.get(key), "{:.3f}") for key in ("iou", "area")]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: Sequence[float] | None, form: str) -> str:
    if value is None:
        return ""
    return f"{form.format(value[0])} ± {form.format(value[1])}"


def _plot(
    path: Path, seeds: Sequence[Any], means: Mapping[str, Any], reader: str, other: str
) -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    for name, colour in _COLOURS.items():
        curves = [seed["stages"][f"grpo-{name}"]["curve"] for seed in seeds]
        for axes, key in ((left, "accuracy"), (middle, "likelihood")):
            for curve in curves:
                steps = [point["step"] for point in curve]
                axes.plot(steps, [point[key] for point in curve], color=colour, alpha=0.3)
            steps = [point["step"] for point in curves[0]]
            mean = [
                fmean(points) for points in zip(*([p[key] for p in c] for c in curves), strict=True)
            ]
            axes.plot(steps, mean, color=colour, linewidth=2, label=f"GRPO, {name}")
    for axes, key, title in (
        (left, "accuracy", "accuracy"),
        (middle, "likelihood", "log-likelihood of the answer"),
    ):
        for way, style in (("no crop", ":"), ("oracle", "--")):
            axes.axhline(means[reader][way][key][0], color="grey", linestyle=style, label=way)
        axes.set_xlabel("GRPO steps from the SFT policy")
        axes.set_title(f"{title}, {reader}")
    left.legend()
    places = range(len(WAYS))
    for shift, name in ((-0.2, reader), (0.2, other)):
        accuracy = [means[name][way]["accuracy"] for way in WAYS]
        right.bar(
            [place + shift for place in places],
            [value[0] for value in accuracy],
            width=0.38,
            yerr=[value[1] for value in accuracy],
            label=name if name == reader else f"{name} (transfer)",
        )
    right.set_xticks(list(places), [way.replace("-", "\n").replace(" ", "\n") for way in WAYS])
    right.set_title("accuracy on fresh pages")
    right.legend()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
