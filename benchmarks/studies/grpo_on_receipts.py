"""Does GRPO make nano better on real receipts, by what a language model makes of what is read?

    python benchmarks/studies/grpo_on_receipts.py read REAL runs/readings.jsonl
    python benchmarks/studies/grpo_on_receipts.py check REAL runs/readings.jsonl
    python benchmarks/studies/grpo_on_receipts.py run REAL runs/readings.jsonl runs/receipts-grpo
    python benchmarks/studies/study_tables.py

REAL has the sets that `trainer/nano/real_split.py` tells of: GRPO sees receipts of the part that is
trained on, and receipts of shops kept apart are measured. The target is SmolLM2-135M-Instruct, told
what OCR reads on page and crop at 448 px (`trainer/rewards/readout.py`); the other reader, never
trained against, is the stand-in. Only the pointer and the question's reader learn: the page's
reader is frozen, so a page is encoded once.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from study import markdown

from cropzoom.data.row import Row
from cropzoom.evaluate.croppers import oracle_box, random_box
from cropzoom.files import write_whole
from cropzoom.geometry import Box
from cropzoom.images import cut_crop
from cropzoom.reading.answers import is_contained, normalise
from cropzoom.reading.ocr import OcrReader
from cropzoom.reading.standin import pick_answer
from cropzoom.trainer.config import GrpoConfig
from cropzoom.trainer.grpo import GrpoTrainer
from cropzoom.trainer.nano.real_split import Part, read_pictures
from cropzoom.trainer.policies.nano_policy import NanoPolicy
from cropzoom.trainer.rewards.crops import Look
from cropzoom.trainer.rewards.reading_table import ReadingTable
from cropzoom.trainer.rewards.readout import FrozenReader, ReadoutLikelihood

RESULT = Path(__file__).parents[1] / "results/grpo_on_receipts.json"
SIDE = 448
LABELS = {
    "none": "no crop",
    "random": "random place",
    "sft": "nano, SFT",
    "grpo": "nano, SFT then GRPO",
    "oracle": "the right crop",
}

app = typer.Typer()
Real = Annotated[Path, typer.Argument(help="Real pages.")]
Readings = Annotated[Path, typer.Argument(help="File of the table of readings.")]
Train = Annotated[int, typer.Option("--train", help="Pictures to train on.")]
Heldout = Annotated[int, typer.Option("--heldout", help="Pictures to measure.")]


def receipts(real: Path, part: Part, pictures: int) -> list[Row]:
    """Questions about the first receipts of a part with two or more, in an order of chance."""
    pages = [p for p in read_pictures(real, part) if p.source == "sroie" and len(p.rows) >= 2]
    pages.sort(key=lambda page: hashlib.sha256(page.path.name.encode()).hexdigest())
    return [
        Row(
            f"{page.path.stem}-{number}",
            page.path,
            row.question,
            (row.answer,),
            box=Box.ordered(*row.box),
            value=Box.ordered(*row.value, min_side=1e-4),
            image_id=page.path.name,
        )
        for page in pages[:pictures]
        for number, row in enumerate(page.rows)
    ]


@app.command()
def read(real: Real, readings: Readings, train: Train = 48, heldout: Heldout = 48) -> None:
    """Read the receipts at five sizes each; goes on where it was stopped."""
    table = ReadingTable(SIDE, readings, reader=OcrReader(threads=1))
    parts = [receipts(real, "train", train), receipts(real, "validation", heldout)]
    for path in dict.fromkeys(row.image for part in parts for row in part):
        with Image.open(path) as file:  # type: ignore[arg-type]
            table.fill(file.convert("RGB"))


@app.command()
def check(
    real: Real, readings: Readings, crops: Annotated[int, typer.Option()] = 40, heldout: Heldout = 8
) -> None:
    """How well the table tells what OCR reads on a crop itself, at crops as nano draws them."""
    table, reader = ReadingTable(SIDE, readings), OcrReader(threads=1)
    draw, rows = random.Random(3), receipts(real, "validation", heldout)
    alike, same = [], []
    for row in draw.sample(rows, min(crops, len(rows))):
        image = row.load()
        assert row.box is not None
        width, height = draw.uniform(0.5, 1.0), draw.uniform(0.05, 0.2)
        x, y = row.box.centre
        x0, y0 = x - width * draw.random(), y - height * draw.random()
        box = Box.ordered(x0, y0, x0 + width, y0 + height)
        cut = cut_crop(image, box, min_side=0, max_side=4096)
        zoom = SIDE / max(cut.size)
        seen = cut.resize([max(1, round(side * zoom)) for side in cut.size])  # type: ignore[arg-type]
        texts = [
            "\n".join(line.text for line in lines)
            for lines in (table.read(image, box).lines, reader.read(seen))
        ]
        one, other = map(normalise, texts)
        alike.append(difflib.SequenceMatcher(None, one, other, autojunk=False).ratio())
        same.append(is_contained(texts[0], row.answers) == is_contained(texts[1], row.answers))
    figures = {"crops": len(same), "alike": round(fmean(alike), 4), "same": round(fmean(same), 4)}
    _keep("table", figures)
    typer.echo(f"{figures}")


def frozen_pages(policy: NanoPolicy) -> None:
    """Freeze the reader of pages, and let it read each page once."""
    reader = policy.net.pages.requires_grad_(False)
    encode, known = reader.forward, {}

    def remembered(image: torch.Tensor) -> Any:
        readings = []
        for page in image:
            key = hashlib.sha256(page.numpy().tobytes()).digest()
            if key not in known:
                with torch.no_grad():
                    known[key] = encode(page[None])
            readings.append(known[key])
        return type(readings[0])(*map(torch.cat, zip(*readings, strict=True)))

    reader.forward = remembered  # type: ignore[method-assign]


@app.command()
def run(
    real: Real,
    readings: Readings,
    folder: Annotated[Path, typer.Argument(help="For checkpoints.")],
    train: Train = 48,
    heldout: Heldout = 48,
    questions: Annotated[int, typer.Option(help="For a seed, at most.")] = 80,
    seed: Annotated[list[int], typer.Option(help="Several times.")] = [0, 1, 2],  # noqa: B006
    generations: Annotated[int, typer.Option()] = 8,
    rate: Annotated[float, typer.Option()] = 1e-4,
    model: Annotated[str | None, typer.Option(help="Language model; None: SmolLM2-135M.")] = None,
    threads: Annotated[int, typer.Option()] = 2,
) -> None:
    """Train by every seed from nano, and measure all on the receipts kept apart.

    Seeds may run at the same time, by a command each; that of seed 0 measures the rivals.
    """
    torch.set_num_threads(threads)
    table = ReadingTable(SIDE, readings, reader=OcrReader(threads=threads))
    reader = FrozenReader.load(model)
    reward = ReadoutLikelihood(reader, table, reduce="mean")
    policy = NanoPolicy.from_pretrained("nano")
    frozen_pages(policy)
    start = {name: value.clone() for name, value in policy.state_dict().items()}
    learning, measured = receipts(real, "train", train), receipts(real, "validation", heldout)
    boxes: dict[str, list[Box | None]] = {"sft": best(policy, measured)}
    if 0 in seed:
        boxes["none"] = [None] * len(measured)
        boxes["random"] = [
            box and random_box(box, random.Random(row.id))
            for box, row in zip(boxes["sft"], measured, strict=True)
        ]
        boxes["oracle"] = [oracle_box(row.box, *row.load().size) for row in measured if row.box]
    looks = {name: measure(reward, measured, crops) for name, crops in boxes.items()}
    _keep("pictures", {"train": train, "heldout": heldout, "questions": len(measured)})
    for name, own in looks.items():
        _keep("measured", {name: summary(own, looks["sft"], measured)})
    for number in seed:
        policy.load_state_dict(start)
        rows = random.Random(number).sample(learning, min(questions, len(learning)))
        args = GrpoConfig(
            output_dir=str(folder / f"seed-{number}"),
            num_generations=generations,
            temperature=1.0,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=4,
            learning_rate=rate,
            lr_scheduler_type="constant_with_warmup",
            beta=0.01,
            kl="exact",
            scale_rewards="batch",
            baseline_steps=0,
            logging_steps=1,
            save_strategy="no",
            dataloader_num_workers=0,
            disable_tqdm=True,
            seed=number,
        )
        begin = time.monotonic()
        trainer = GrpoTrainer(policy, rows, reward, args)
        trainer.train()
        trainer.save_model(args.output_dir)
        steps = [entry for entry in trainer.state.log_history if "reward/mean" in entry]
        figures = {
            "questions": len(rows),
            "steps": len(steps),
            "minutes": round((time.monotonic() - begin) / 60, 2),
            "dead": round(fmean(entry["groups/dead"] for entry in steps), 4),
            "reward": [round(entry["reward/mean"], 4) for entry in steps],
            "kl": round(steps[-1]["policy/kl"], 5),
        }
        _keep("training", {str(number): figures})
        results = measure(reward, measured, best(policy, measured))
        _keep("measured", {f"grpo {number}": summary(results, looks["sft"], measured)})
        typer.echo(f"seed {number}: {figures}")


def best(policy: NanoPolicy, rows: Sequence[Row]) -> list[Box | None]:
    """The boxes that the runtime would choose."""
    policy.eval()
    boxes = [policy.best(policy.collate([row]))[0].tolist() for row in rows]
    return [Box.ordered(*corners) if corners[0] == corners[0] else None for corners in boxes]


def measure(
    reward: ReadoutLikelihood, rows: Sequence[Row], boxes: Sequence[Box | None]
) -> list[dict[str, float]]:
    """Of each question: what its crop is worth, whether the stand-in answers, what it shows."""
    looks = [Look(row, row.load(), box) for row, box in zip(rows, boxes, strict=True)]
    results = []
    for look, worth in zip(looks, reward.worth(looks), strict=True):
        pages = [reward.table.read(look.image)]
        if look.box is not None:
            pages.append(reward.table.read(look.image, look.box))
        answer = pick_answer(look.row.question, pages).text
        assert look.row.value is not None
        results.append(
            {
                "reward": worth,
                "standin": float(is_contained(answer, look.row.answers)),
                "whole": float(look.box is not None and look.box.covers(look.row.value)),
                "area": 0.0 if look.box is None else look.box.area,
            }
        )
    return results


def summary(
    results: list[dict[str, float]], sft: list[dict[str, float]], rows: Sequence[Row]
) -> dict[str, Any]:
    """Means, and the differences to SFT with their intervals of 95 %, by drawing pictures anew."""
    figures: dict[str, Any] = {}
    for name in results[0]:
        own = [one[name] for one in results]
        gained = [one[name] - base[name] for one, base in zip(results, sft, strict=True)]
        figures[name] = round(fmean(own), 4)
        figures[f"{name}_over_sft"] = [round(fmean(gained), 4), *_interval(gained, rows)]
    return figures


def _interval(values: Sequence[float], rows: Sequence[Row], draws: int = 2000) -> list[float]:
    groups: dict[str, list[float]] = {}
    for row, value in zip(rows, values, strict=True):
        groups.setdefault(row.image_id, []).append(value)
    pictures, draw = list(groups.values()), random.Random(1)
    means = sorted(
        fmean(value for group in draw.choices(pictures, k=len(pictures)) for value in group)
        for _ in range(draws)
    )
    return [round(means[int(share * draws)], 4) for share in (0.025, 0.975)]


def _keep(name: str, figures: dict[str, Any]) -> None:
    """Add to one part of the results; what several commands keep lies side by side."""
    results = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    results[name] = {**results.get(name, {}), **figures}
    write_whole(RESULT, json.dumps(results, indent=1) + "\n")


def tables(results: dict[str, Any]) -> dict[str, str]:
    """The tables of docs/studies/grpo-on-receipts.md."""
    rows = []
    order = {name: place for place, name in enumerate(LABELS)}
    measured = sorted(
        results["measured"].items(), key=lambda item: (order[item[0].split()[0]], item[0])
    )
    for name, figures in measured:
        first, *seed = name.split()
        label = LABELS[first] + (f", seed {seed[0]}" if seed else "")
        gain: Callable[[str], str] = lambda key, own=figures: (  # noqa: E731
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(*own[f"{key}_over_sft"])
        )
        bare = first == "none"
        rows.append(
            [
                label,
                f"{figures['reward']:.3f}",
                "" if first == "sft" else gain("reward"),
                f"{100 * figures['standin']:.1f} %",
                "" if bare else f"{100 * figures['whole']:.1f} %",
                "" if bare else f"{100 * figures['area']:.1f} %",
            ]
        )
    head = ["crop", "reward", "over SFT", "stand-in answers", "answer inside", "area"]
    runs = [
        [
            name,
            f"{one['questions']} / {one['steps']}",
            f"{one['minutes']:.1f}",
            f"{100 * one['dead']:.0f} %",
            f"{one['kl']:.4f}",
        ]
        for name, one in sorted(results["training"].items())
    ]
    seeds = ["seed", "questions / steps", "minutes", "groups that earn the same", "KL at the end"]
    return {"crops": markdown(head, rows), "seeds": markdown(seeds, runs)}


if __name__ == "__main__":
    app()
