"""Samples a second of GRPO steps: our text policy, our pointer policy, and TRL's GRPOTrainer.

All three train the same small random Idefics3 (17 tiles an image, as a 2048-px page has with
SmolVLM), with the same data, group, optimizer and reward model. The text policies write freely (no
grammar) and were taught to write boxes first, or nothing would be rewarded. Rounds alternate, and
the first step of each is not counted. Rewards are those of `AnswerLikelihood`, which TRL reaches by
`as_trl`: equal boxes of a group are looked at once in all three.

    python benchmarks/timings/grpo_throughput.py --output benchmarks/results/grpo_throughput.json

Takes under five minutes on two idle cores. What it shows is the work that is saved (the image
encoded once a prompt and the prompt read once a group), on a CPU and a tiny model: not the speed of
a GPU, where other costs rule.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import datasets
import torch
import transformers
import trl
import typer
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoProcessor,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    TrainerCallback,
)

from cropzoom.data.row import Row
from cropzoom.geometry import Box
from cropzoom.trainer.config import GrpoConfig, SftConfig
from cropzoom.trainer.grpo import GrpoTrainer
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.rewards.frozen_vlm import FrozenVlm
from cropzoom.trainer.rewards.likelihood import AnswerLikelihood
from cropzoom.trainer.rewards.trl import as_trl
from cropzoom.trainer.sft import SftTrainer

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
from tiny_models import build_tiny_idefics3


@dataclass(frozen=True)
class Settings:
    """How much is measured; the options of the command."""

    rounds: int
    steps: int
    prompts: int
    group: int
    threads: int
    teach: int


QUIET = {"disable_tqdm": True, "use_cpu": True}


def build_model(folder: Path, seed: int, split: bool) -> Path:
    """Save a random Idefics3 of about a million parameters: 64-px tiles, 16 tokens each.

    Args:
        split: 17 tiles an image, for a policy; else one, for a reader that sees little.
    """
    build_tiny_idefics3(folder, seed=seed)
    config = Idefics3Config.from_pretrained(folder)
    vision, text = config.vision_config, config.text_config
    vision.image_size, vision.hidden_size, vision.intermediate_size = 64, 64, 128
    vision.num_hidden_layers, vision.num_attention_heads = 4, 4
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = 128, 256, 4
    text.head_dim = text.hidden_size // text.num_attention_heads
    torch.manual_seed(seed)
    Idefics3ForConditionalGeneration(config).save_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    processor.image_processor.size = {"longest_edge": 256}
    processor.image_processor.max_image_size = {"longest_edge": 64}
    processor.image_processor.do_image_splitting = split
    processor.image_seq_len = 16
    processor.save_pretrained(folder)
    return folder


def make_rows(count: int) -> list[Row]:
    """Square pages with a number in one place each."""
    rows = []
    for number in range(count):
        image = Image.new("RGB", (256, 256), (235, 235, 230))
        left, top = 20 + 37 * number % 180, 20 + 59 * number % 200
        ImageDraw.Draw(image).text((left, top), str(100 + number), fill="black")
        box = Box(left / 256, top / 256, (left + 40) / 256, (top + 30) / 256)
        rows.append(Row(f"row-{number}", image, "What is the number?", (str(100 + number),), box))
    return rows


class Timed:
    """A reward that tells how long it took."""

    def __init__(self, reward: AnswerLikelihood) -> None:
        self.name, self.reward = reward.name, reward
        self.seconds, self.asked, self.valid = 0.0, 0, 0

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        start = time.perf_counter()
        values = self.reward(rows, boxes)
        self.seconds += time.perf_counter() - start
        self.asked += len(rows) * boxes.shape[1]
        self.valid += int(boxes.isfinite().all(-1).sum())
        return values


class Clock(TrainerCallback):
    """Seconds of each step but the first, and of the rewards within them."""

    def __init__(self, reward: Timed) -> None:
        self.reward = reward
        self.marks: list[tuple[float, float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.marks.append((time.perf_counter(), self.reward.seconds))

    def rates(self, samples: int) -> dict[str, float]:
        """Samples a second, the same without the reward's time, and the share of valid boxes."""
        (start, reward_start), (end, reward_end) = self.marks[0], self.marks[-1]
        done = samples * (len(self.marks) - 1)
        without = (end - start) - (reward_end - reward_start)
        return {
            "samples_per_second": done / (end - start),
            "without_reward": done / without,
            "valid": self.reward.valid / self.reward.asked,
        }


def teach(folder: Path, rows: list[Row], steps: int, out: Path) -> tuple[Path, Path]:
    """Teach the text policy to write boxes; return its folder, and that of a pointer on it."""
    policy = load_policy(folder, "text", constrained=False)
    args = SftConfig(
        output_dir=str(out / "run"),
        learning_rate=3e-3,
        per_device_train_batch_size=4,
        max_steps=steps,
        dataloader_num_workers=0,
        logging_steps=10,
        save_strategy="no",
        **QUIET,
    )
    SftTrainer(policy, rows, args).train()
    policy.save_pretrained(out / "text")
    load_policy(out / "text", "pointer").save_pretrained(out / "pointer")
    return out / "text", out / "pointer"


def ours(folder: Path, rows: list[Row], reward: Timed, options: Settings, scratch: Path) -> Clock:
    """One round of our trainer with the policy in the folder."""
    torch.manual_seed(0)
    args = GrpoConfig(
        output_dir=str(scratch),
        learning_rate=1e-5,
        per_device_train_batch_size=options.prompts,
        max_steps=options.steps + 1,
        num_generations=options.group,
        temperature=1.0,
        beta=0.0,
        dataloader_num_workers=0,
        save_strategy="no",
        baseline_steps=0,
        picture_steps=0,
        **QUIET,
    )
    trainer = GrpoTrainer(load_policy(folder), rows, reward, args)
    clock = Clock(reward)
    trainer.add_callback(clock)
    trainer.train()
    return clock


def theirs(folder: Path, rows: list[Row], reward: Timed, options: Settings, scratch: Path) -> Clock:
    """One round of TRL's trainer with the same weights."""
    policy = load_policy(folder)
    prompt = policy.prompt
    data = datasets.Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": prompt.replace("{question}", row.question)}],
                "image": row.image,
                "question": row.question,
                "answers": list(row.answers),
                "id": row.id,
            }
            for row in rows
        ]
    )
    args = trl.GRPOConfig(
        output_dir=str(scratch),
        learning_rate=1e-5,
        per_device_train_batch_size=options.prompts * options.group,
        num_generations=options.group,
        max_completion_length=policy.noise_length,
        max_steps=options.steps + 1,
        temperature=1.0,
        beta=0.0,
        loss_type="dr_grpo",
        scale_rewards="none",
        remove_unused_columns=False,
        report_to=[],
        logging_steps=1000,
        save_strategy="no",
        gradient_checkpointing=False,
        bf16=False,
        **QUIET,
    )
    trainer = trl.GRPOTrainer(
        model=AutoModelForImageTextToText.from_pretrained(folder, dtype="float32"),
        reward_funcs=as_trl(reward),
        args=args,
        train_dataset=data,
        processing_class=AutoProcessor.from_pretrained(folder),
    )
    clock = Clock(reward)
    trainer.add_callback(clock)
    trainer.train()
    return clock


def main(
    rounds: Annotated[int, typer.Option(help="Of all three in turn.")] = 5,
    steps: Annotated[int, typer.Option(help="Counted steps of a round.")] = 3,
    prompts: Annotated[int, typer.Option(help="Of one step.")] = 2,
    group: Annotated[int, typer.Option(help="Samples of each prompt.")] = 8,
    threads: Annotated[int, typer.Option(help="Of torch.")] = 2,
    teach: Annotated[int, typer.Option(help="Steps of SFT before.")] = 150,
    output: Annotated[Path | None, typer.Option(help="JSON file of the results.")] = None,
) -> None:
    """Time GRPO steps of our two policies and of TRL's trainer."""
    torch.set_num_threads(threads)
    datasets.disable_progress_bars()
    transformers.utils.logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(rounds, steps, prompts, group, threads, teach)
        results = measure(Path(scratch), settings)
    show(results)
    if output:
        output.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


def measure(scratch: Path, options: Settings) -> dict[str, Any]:
    """Run all rounds; return what the JSON file gets."""
    rows = make_rows(16)
    text, pointer = teach(
        build_model(scratch / "model", 0, split=True), rows, options.teach, scratch
    )
    vlm = FrozenVlm.load(str(build_model(scratch / "reader", 1, split=False)), device="cpu")
    runs = {"TRL text": (theirs, text), "ours text": (ours, text), "ours pointer": (ours, pointer)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}
    for number in range(options.rounds):
        names = list(runs)
        # Each comes first, second and third in turn.
        for name in names[number % 3 :] + names[: number % 3]:
            run, folder = runs[name]
            clock = run(folder, rows, Timed(AnswerLikelihood(vlm)), options, scratch)
            found[name].append(clock.rates(options.prompts * options.group))
    return {
        "command": "python benchmarks/timings/grpo_throughput.py",
        "settings": asdict(options),
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 2),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "trl": trl.__version__,
        },
        "rounds": found,
        "summary": {
            name: {key: spread([one[key] for one in each]) for key in each[0]}
            for name, each in found.items()
        },
        "ours_text_over_trl": ratios(found["ours text"], found["TRL text"]),
        "pointer_over_ours_text": ratios(found["ours pointer"], found["ours text"]),
    }


def spread(values: list[float]) -> dict[str, float]:
    """Median and range."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def ratios(first: list[dict[str, float]], second: list[dict[str, float]]) -> dict[str, Any]:
    """How many times faster, round by round, with the reward and without its time."""
    return {
        key: spread([a[key] / b[key] for a, b in zip(first, second, strict=True)])
        for key in ("samples_per_second", "without_reward")
    }


def show(results: dict[str, Any]) -> None:
    """Print the results."""
    table = Table("", "samples/s", "without the reward", "valid boxes", title="median (range)")
    for name, each in results["summary"].items():
        cells = (
            "{median:.1f} ({min:.1f} to {max:.1f})".format(**each[key])
            for key in ("samples_per_second", "without_reward")
        )
        table.add_row(name, *cells, f"{each['valid']['median']:.0%}")
    console = Console()
    console.print(table)
    for name in ("ours_text_over_trl", "pointer_over_ours_text"):
        for key, each in results[name].items():
            console.print(
                f"{name}, {key}: " + "{median:.2f} ({min:.2f} to {max:.2f})".format(**each)
            )


if __name__ == "__main__":
    typer.run(main)
