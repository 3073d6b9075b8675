"""The paper's claim, small and on a CPU: crops learned by GRPO help a reader more than SFT's.

    python benchmarks/reproduction/run.py            # three seeds; under 45 minutes on two cores
    python benchmarks/reproduction/run.py --quick    # a short check that it runs

For each seed: a pointer policy on a tiny VLM that can read keys (`start.py`) learns from boxes as a
careless teacher would propose them (SFT); from there it learns what helps the reader, once from
whether the reader's answer is right and once from how likely the right answer is (GRPO). All of
them then crop fresh pages, for the reader they learned from and, unchanged, for another one.
Policies, trainers and rewards are those of `cropzoom.trainer`; only pages, teacher, start and
readers belong to this folder.

A stopped run goes on with the stage it was in.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

# Each process has one core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
import typer
from measure import load_vlm, moved, rewards_of, scaled
from pages import Entry, Page, Pixels, draw_page, row_of, to_box
from reader import READERS
from report import write_report
from start import SIZE, START, SUBCELLS, squashed
from torch import Tensor
from transformers import Idefics3ForConditionalGeneration, Idefics3Processor, TrainerCallback

from cropzoom.data.row import Row
from cropzoom.trainer.config import GrpoConfig, SftConfig
from cropzoom.trainer.grpo import GrpoTrainer
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.pointer_policy import PointerPolicy
from cropzoom.trainer.policies.policy import Policy
from cropzoom.trainer.policy_trainer import known_boxes
from cropzoom.trainer.rewards.crops import CropReward, Look
from cropzoom.trainer.rewards.frozen_vlm import FrozenVlm
from cropzoom.trainer.rewards.reward import Reward
from cropzoom.trainer.sft import SftTrainer

READER, OTHER = "r2", "r1"
REWARDS = ("accuracy", "likelihood")
# Rows that each page gives, of its six to nine entries.
QUESTIONS = 6


@dataclass(frozen=True)
class Settings:
    """How much of everything; part of the results.

    Args:
        seeds: of weights, pages and rollouts; one run each.
        sft_pages, sft_steps, sft_batch: of supervised learning.
        sft_rate: its highest learning rate.
        grpo_steps, grpo_batch, group: of GRPO: rows of a step, and samples of a row.
        grpo_rate: its highest learning rate.
        beta: weight of the divergence from the SFT policy.
        curve: rows and steps between two points of the curves.
        held_out: fresh pages of the final table, one question each.
    """

    seeds: tuple[int, ...] = (0, 1, 2)
    sft_pages: int = 2500
    sft_steps: int = 600
    sft_batch: int = 32
    sft_rate: float = 2e-3
    grpo_steps: int = 200
    grpo_batch: int = 32
    group: int = 6
    grpo_rate: float = 3e-4
    beta: float = 0.01
    curve: tuple[int, int] = (200, 25)
    held_out: int = 1000


QUICK = Settings(
    seeds=(0,),
    sft_pages=20,
    sft_steps=20,
    grpo_steps=3,
    grpo_batch=8,
    curve=(20, 2),
    held_out=20,
)


def teachers_box(rng: random.Random, page: Page, entry: Entry) -> Pixels:
    """What a careless teacher would propose for an entry.

    Its boxes differ in size and lie too far to the left and too high on average, so that they cut
    off a part of the value; one in twenty is about another entry.
    """
    if rng.random() < 0.05:
        entry = rng.choice(page.entries)
    sized = scaled(entry.right_crop, math.exp(rng.gauss(0, 0.15)), math.exp(rng.gauss(0, 0.15)))
    return moved(sized, rng.gauss(-9, 3), rng.gauss(-3, 2))


class PageRows(Sequence[Row]):
    """Questions about pages that are drawn when asked for.

    Args:
        stream: of pages.
        pages: how many.
        questions: about each, up to six.
    """

    def __init__(self, stream: str, pages: int, questions: int = 1) -> None:
        self.stream, self.pages, self.questions = stream, pages, questions

    def __len__(self) -> int:
        return self.pages * self.questions

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        index, question = divmod(number, self.questions)
        page = draw_page(self.stream, index)
        return row_of(page, page.entries[question], f"{self.stream}/{index}")


def taught_rows(stream: str, pages: int) -> list[Row]:
    """Rows for SFT: with the teacher's boxes, and pages no larger than the policy sees them."""
    rows = []
    for index in range(pages):
        page = draw_page(stream, index)
        rng = random.Random(f"{stream}/{index}/teacher")
        small = squashed(page)
        for entry in page.entries[:QUESTIONS]:
            row = row_of(page, entry, f"{stream}/{index}")
            box = to_box(teachers_box(rng, page, entry))
            rows.append(dataclasses.replace(row, image=small, box=box))
    return rows


def build_policy(seed: int) -> PointerPolicy:
    """Make the policy: the tiny VLM with random heads for pointing."""
    torch.manual_seed(seed)
    return PointerPolicy(
        Idefics3ForConditionalGeneration.from_pretrained(START, dtype=torch.float32),
        Idefics3Processor.from_pretrained(START),
        prompt="{question}",
        subcells=SUBCELLS,
        width=SIZE.text,
        reach=(0.01, 0.5, 24),
    )


class Curve(TrainerCallback):
    """Measures the policy on rows that it does not learn from, every so many steps.

    Args:
        rows: what to measure on.
        every: steps.
        rewards: what to measure with, beside the IoU.
    """

    def __init__(self, rows: Sequence[Row], every: int, rewards: Sequence[Reward]) -> None:
        self.rows, self.every, self.rewards = rows, every, rewards
        self.points: list[dict[str, float]] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure the start."""
        self._measure(state.global_step, given["model"])

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Measure now and then, and the end."""
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._measure(state.global_step, given["model"])

    def _measure(self, step: int, policy: Policy) -> None:
        boxes = best_boxes(policy, self.rows)
        point = {"step": step, "iou": float(box_iou(boxes, known_boxes(self.rows)).mean())}
        for reward in self.rewards:
            point[reward.name] = float(reward(self.rows, boxes[:, None]).mean())
        self.points.append(point)


def best_boxes(policy: Policy, rows: Sequence[Row]) -> Tensor:
    """The policy's boxes, (B, 4) fractions."""
    training = policy.training
    policy.eval()
    parts = [
        policy("best", policy.collate(rows[start : start + 50]))
        for start in range(0, len(rows), 50)
    ]
    policy.train(training)
    return torch.cat(parts)


def train_sft(settings: Settings, seed: int, folder: Path) -> None:
    """Teach a policy the teacher's boxes, and save it."""
    args = SftConfig(
        output_dir=str(folder / "trainer"),
        learning_rate=settings.sft_rate,
        per_device_train_batch_size=settings.sft_batch,
        max_steps=settings.sft_steps,
        weight_decay=0.03,
        seed=seed,
        bf16=False,
        dataloader_num_workers=0,
        logging_steps=50,
        save_steps=500,
        save_total_limit=1,
        disable_tqdm=True,
        adam_beta2=0.97,
    )
    policy = build_policy(seed)
    curve = Curve(list(PageRows(f"curve-{seed}", settings.curve[0])), settings.sft_steps // 10, ())
    trainer = SftTrainer(
        policy,
        taught_rows(f"sft-{seed}", settings.sft_pages),
        args,
    )
    _train(trainer, policy, curve, folder)


def train_grpo(
    settings: Settings,
    seed: int,
    name: str,
    start: Path,
    folder: Path,
    vlm: FrozenVlm | None = None,
) -> None:
    """Let an SFT policy learn from a reader (`READER` when None), by the reward of that name, and
    save it."""
    args = GrpoConfig(
        output_dir=str(folder / "trainer"),
        learning_rate=settings.grpo_rate,
        per_device_train_batch_size=settings.grpo_batch,
        max_steps=settings.grpo_steps,
        num_generations=settings.group,
        temperature=1.0,
        beta=settings.beta,
        scale_rewards="batch",
        seed=seed,
        bf16=False,
        dataloader_num_workers=0,
        logging_steps=10,
        save_steps=50,
        save_total_limit=1,
        baseline_steps=0,
        disable_tqdm=True,
        adam_beta2=0.97,
    )
    rewards = {reward.name: reward for reward in rewards_of(vlm or load_vlm(READERS / READER))}
    rows, every = settings.curve
    policy = load_policy(start)
    trainer = GrpoTrainer(
        policy,
        PageRows(f"grpo-{seed}", settings.grpo_steps * settings.grpo_batch),
        rewards[name],
        args,
    )
    curve = Curve(list(PageRows(f"curve-{seed}", rows)), every, tuple(rewards.values()))
    _train(trainer, policy, curve, folder)


def _train(trainer: Any, policy: Policy, curve: Curve, folder: Path) -> None:
    started = time.perf_counter()
    trainer.add_callback(curve)
    trainer.train()
    log = {
        "seconds": round(time.perf_counter() - started),
        "curve": curve.points,
        "log": trainer.state.log_history,
    }
    (folder / "log.json").write_text(json.dumps(log))
    policy.save_pretrained(folder)


def compare(settings: Settings, seed: int, folder: Path) -> dict[str, dict[str, Any]]:
    """Crop fresh pages in every way, for both readers.

    Returns:
        For each reader and way: accuracy, mean log-likelihood of the answer (nats), mean IoU with
        the right crop, and mean area (share of the page).
    """
    rows = list(PageRows(f"held-out-{seed}", settings.held_out))
    truth = known_boxes(rows)
    ways: dict[str, Tensor | None] = {"no crop": None, "random crop": _elsewhere(rows, seed)}
    for name in ("sft", *(f"grpo-{reward}" for reward in REWARDS)):
        ways[name] = best_boxes(load_policy(folder / name), rows)
    ways["oracle"] = truth
    results: dict[str, dict[str, Any]] = {}
    for reader in (READER, OTHER):
        rewards = rewards_of(load_vlm(READERS / reader))
        results[reader] = {}
        for name, boxes in ways.items():
            line = {reward.name: _mean_worth(reward, rows, boxes) for reward in rewards}
            if boxes is not None:
                line["iou"] = float(box_iou(boxes, truth).mean())
                line["area"] = float((boxes[:, 2:] - boxes[:, :2]).prod(-1).mean())
            results[reader][name] = line
    return results


def _elsewhere(rows: Sequence[Row], seed: int) -> Tensor:
    """Boxes as large as the right ones, anywhere."""
    rng = random.Random(f"elsewhere-{seed}")
    boxes = []
    for row in rows:
        assert row.box is not None
        x, y = rng.uniform(0, 1 - row.box.width), rng.uniform(0, 1 - row.box.height)
        boxes.append((x, y, x + row.box.width, y + row.box.height))
    return torch.tensor(boxes)


def _mean_worth(reward: CropReward, rows: Sequence[Row], boxes: Tensor | None) -> float:
    if boxes is not None:
        return float(reward(rows, boxes[:, None]).mean())
    worth = reward.worth([Look(row, row.load(), None) for row in rows])
    return sum(worth) / len(worth)


def run_stage(settings: Settings, seed: int, stage: str, folder: Path) -> None:
    """Do one stage of one seed, unless it is done."""
    torch.set_num_threads(1)
    done = folder / "results.json" if stage == "compare" else folder / stage / "policy.json"
    if done.exists():
        return
    (folder / stage).mkdir(parents=True, exist_ok=True)
    if stage == "sft":
        train_sft(settings, seed, folder / stage)
    elif stage == "compare":
        done.write_text(json.dumps(compare(settings, seed, folder), indent=2))
    else:
        train_grpo(settings, seed, stage.removeprefix("grpo-"), folder / "sft", folder / stage)
    print(f"seed {seed}: {stage} is done", flush=True)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A minute, to see that it runs.")] = False,
    work: Annotated[Path | None, typer.Option(help="Policies and logs; runs/reproduction.")] = None,
    output: Annotated[Path | None, typer.Option(help="benchmarks/results/reproduction.")] = None,
    processes: Annotated[int, typer.Option(help="At a time.")] = 2,
) -> None:
    """Run all stages of all seeds, and write the report."""
    settings = QUICK if quick else Settings()
    name = "reproduction-quick" if quick else "reproduction"
    work = work or Path("runs") / name
    output = output or (work if quick else Path("benchmarks/results")) / name
    claim(work, settings)
    started = time.perf_counter()
    folders = {seed: work / f"seed-{seed}" for seed in settings.seeds}
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        for stages in (("sft",), tuple(f"grpo-{name}" for name in REWARDS), ("compare",)):
            waiting = [
                pool.submit(run_stage, settings, seed, stage, folder)
                for seed, folder in folders.items()
                for stage in stages
            ]
            for job in waiting:
                job.result()
    minutes = (time.perf_counter() - started) / 60
    write_report(output, dataclasses.asdict(settings), folders, READER, OTHER, minutes)


def claim(work: Path, settings: Any) -> None:
    """Take a folder, or stop if another setting's stages lie in it."""
    work.mkdir(parents=True, exist_ok=True)
    mine, path = json.dumps(dataclasses.asdict(settings)), work / "settings.json"
    if path.exists() and path.read_text() != mine:
        raise SystemExit(
            f"{work} holds a run with other settings: remove it or give another --work"
        )
    path.write_text(mine)


if __name__ == "__main__":
    typer.run(main)
