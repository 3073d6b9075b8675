"""How weak may a reader be and still teach? GRPO by readers made worse, judged by a good one.

    python benchmarks/studies/weak_readers.py --output benchmarks/results/weak_readers.json

Pages, readers, the SFT policy and the training are those of `reproduction/`. Its reader r2 is made
worse in two ways: with Gaussian noise on its weights (`noise`: in standard deviations of each
matrix), and short-sighted (`sight`: every picture is shrunk to so many px before it sees it at its
64). From one SFT policy, GRPO learns by each of these readers' rewards. What it learned is judged
by r1, another reader, which is as it was, and by where the crops lie.

The SFT policy is the reproduction's of one seed, trained first where `--work` does not have it. A
stopped run goes on: a policy that is there is not trained again.
"""

from __future__ import annotations

import dataclasses
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "reproduction"))

import run as reproduction
import torch
import typer
from measure import KINDS, auc, holds, load_vlm, rewards_of
from pages import draw_page, row_of, to_box
from reader import READERS
from study import FigureOption, OutputOption, markdown, percent, report
from torch import Tensor

from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.geometry import Box
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policy_trainer import known_boxes
from cropzoom.trainer.rewards.crops import Look
from cropzoom.trainer.rewards.frozen_vlm import FrozenVlm

TEACHER, JUDGE = "r2", "r1"


@dataclass(frozen=True)
class Settings:
    """How much of everything; part of the results.

    Args:
        seed: of the SFT policy, and of all pages and rollouts.
        steps: of GRPO, 32 questions with 6 samples each.
        noise, sight: how the teacher is made worse; see the module's docstring.
        accuracy: ways of which GRPO by accuracy is trained, too.
        held_out: fresh pages to judge on, one question each.
    """

    seed: int = 0
    steps: int = 40
    noise: tuple[float, ...] = (0.2, 0.3, 0.4, 0.6)
    sight: tuple[float, ...] = (32, 24, 20, 16)
    accuracy: tuple[str, ...] = ("as it is", "noise")
    held_out: int = 1000


QUICK = Settings(steps=2, noise=(0.6,), sight=(), accuracy=(), held_out=20)


def teacher(way: str, strength: float) -> FrozenVlm:
    """Load r2 and make it worse.

    Args:
        way: "as it is", "noise" or "sight".
        strength: of the noise, in standard deviations of each matrix; or what is left to see, px.
    """
    vlm = load_vlm(READERS / TEACHER)
    if way == "noise":
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weights in vlm.model.parameters():
                if weights.dim() > 1:
                    noise = torch.randn(weights.shape, generator=generator)
                    weights += strength * weights.std() * noise
    elif way == "sight":
        # The processor brings a picture's longer side to `size`, then squashes it to 64 x 64 px.
        vlm.processor.image_processor.size = {"longest_edge": int(strength)}
    return vlm


def tells_apart(vlm: FrozenVlm, pages: int) -> float:
    """How often the likelihood is higher for a crop that shows the whole value than for one that
    does not (AUC), over crops from the right one to ones that have little to do with it."""
    looks, showing = [], []
    for index in range(pages):
        rng = random.Random(f"apart/{index}")
        page = draw_page("apart", index)
        entry = rng.choice(page.entries)
        crop = KINDS["near"](rng, page, entry)
        assert crop is not None
        looks.append(Look(row_of(page, entry, f"apart/{index}"), page.image, to_box(crop)))
        showing.append(holds(to_box(crop), to_box(entry.value_box)))
    _, likelihood = rewards_of(vlm)
    return auc(likelihood.worth(looks), showing)


class Judge:
    """Fresh pages and the good reader.

    Args:
        settings: of the study.
    """

    def __init__(self, settings: Settings) -> None:
        self.rows = list(reproduction.PageRows(f"weak-{settings.seed}", settings.held_out))
        self.truth = known_boxes(self.rows)
        pages = [draw_page(f"weak-{settings.seed}", index) for index in range(settings.held_out)]
        self.values = [to_box(page.entries[0].value_box) for page in pages]
        self.reward, _ = rewards_of(load_vlm(READERS / JUDGE))
        self.draws = PictureBootstrap(range(settings.held_out), seed=settings.seed)
        self._sft: list[float] | None = None

    def reads(self, vlm: FrozenVlm, boxes: Tensor) -> dict[str, Any]:
        """A reader's share of right answers with some crops."""
        accuracy, _ = rewards_of(vlm)
        return self._estimate(accuracy(self.rows, boxes[:, None])[:, 0].tolist())

    def judge(self, boxes: Tensor) -> dict[str, Any]:
        """What crops are worth to the judge; `gain` is over the first crops that were judged."""
        right = self.reward(self.rows, boxes[:, None])[:, 0].tolist()
        self._sft = self._sft or right
        gain = [after - before for after, before in zip(right, self._sft, strict=True)]
        whole = [
            holds(Box(*box), value) for box, value in zip(boxes.tolist(), self.values, strict=True)
        ]
        return {
            "accuracy": self._estimate(right),
            "gain": self._estimate(gain),
            "value whole": self._estimate(whole),
            "iou": self._estimate(box_iou(boxes, self.truth).tolist()),
            "area": float((boxes[:, 2:] - boxes[:, :2]).prod(-1).mean()),
        }

    def _estimate(self, values: Sequence[float]) -> dict[str, Any]:
        return self.draws.share(values).to_dict()


def study(settings: Settings, work: Path, sft: Path) -> Iterator[dict[str, Any]]:
    """Train by every teacher, and judge; gives the results so far after each of them.

    Args:
        settings: of the study.
        work: where policies are kept.
        sft: folder of the reproduction's seed; its policy is trained where it is missing.
    """
    began = time.perf_counter()
    torch.set_num_threads(1)
    training = dataclasses.replace(
        reproduction.Settings(), grpo_steps=settings.steps, curve=(100, settings.steps)
    )
    reproduction.run_stage(reproduction.Settings(), settings.seed, "sft", sft)
    judge = Judge(settings)
    start = reproduction.best_boxes(load_policy(sft / "sft"), judge.rows)
    results: dict[str, Any] = {"settings": dataclasses.asdict(settings)}
    results["sft"] = judge.judge(start)
    results["oracle"] = judge.judge(judge.truth)
    results["teachers"] = []
    ways = [("as it is", 0.0)]
    ways += [(way, s) for way in ("noise", "sight") for s in getattr(settings, way)]
    for way, strength in ways:
        vlm = teacher(way, strength)
        found: dict[str, Any] = {
            "way": way,
            "strength": strength,
            "right crop": judge.reads(vlm, judge.truth),
            "sft's crop": judge.reads(vlm, start),
            "tells apart": tells_apart(vlm, settings.held_out),
            "policies": {},
        }
        for reward in ("likelihood", *(["accuracy"] if way in settings.accuracy else [])):
            folder = work / f"{way}-{strength:g}-{reward}".replace(" ", "-")
            if not (folder / "policy.json").exists():
                folder.mkdir(parents=True, exist_ok=True)
                reproduction.train_grpo(training, settings.seed, reward, sft / "sft", folder, vlm)
            boxes = reproduction.best_boxes(load_policy(folder), judge.rows)
            found["policies"][reward] = judge.judge(boxes)
        results["teachers"].append(found)
        yield results
    print(f"{(time.perf_counter() - began) / 60:.1f} minutes")


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the table `teachers` of docs/studies/weak-readers.md."""
    rows = []
    for found in sorted(results["teachers"], key=lambda found: -float(found["right crop"]["mean"])):
        likelihood = found["policies"]["likelihood"]
        accuracy = found["policies"].get("accuracy")
        rows.append(
            [
                _name(found),
                percent(found["right crop"]),
                f"{found['tells apart']:.2f}",
                percent(likelihood["accuracy"]),
                percent(accuracy["accuracy"]) if accuracy else "",
                percent(likelihood["value whole"]),
                f"{likelihood['iou']['mean']:.2f}",
                f"{100 * likelihood['area']:.1f} %",
            ]
        )
    for name, label in (("sft", "none: the SFT policy"), ("oracle", "none: the right crop")):
        found = results[name]
        whole, iou = percent(found["value whole"]), f"{found['iou']['mean']:.2f}"
        accuracy, area = percent(found["accuracy"]), f"{100 * found['area']:.1f} %"
        rows.append([label, "", "", accuracy, accuracy, whole, iou, area])
    head = ["teacher", "its accuracy, right crop", "AUC", f"policy's, for {JUDGE}"]
    head += ["by accuracy", "value whole", "IoU", "area"]
    return {"teachers": markdown(head, rows)}


def _name(found: dict[str, Any]) -> str:
    if found["way"] == "as it is":
        return f"{TEACHER} as it is"
    unit = " px" if found["way"] == "sight" else ""
    return f"{found['way']} {found['strength']:g}{unit}"


def draw(results: dict[str, Any], path: Path) -> None:
    """Plot the policies' accuracy against their teachers', as SVG."""
    import matplotlib

    matplotlib.use("Agg")
    # The same results make the same file.
    matplotlib.rcParams["svg.hashsalt"] = "cropzoom"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4), layout="constrained")
    series: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for found in results["teachers"]:
        way = "noise" if found["way"] == "as it is" else found["way"]
        for reward, policy in found["policies"].items():
            names = [f"{way}, by {reward}"]
            if found["way"] == "as it is" and reward == "likelihood":
                names.append(f"sight, by {reward}")
            for name in names:
                point = float(found["right crop"]["mean"]), policy["accuracy"]
                series.setdefault(name, []).append(point)
    for name, points in series.items():
        points.sort(key=lambda point: point[0])
        means = [y["mean"] for _, y in points]
        below = [y["mean"] - y["interval"][0] for _, y in points]
        above = [y["interval"][1] - y["mean"] for _, y in points]
        x = [x for x, _ in points]
        axes.errorbar(x, means, yerr=(below, above), marker="o", capsize=3, label=name)
    for name, style in (("sft", ":"), ("oracle", "--")):
        axes.axhline(results[name]["accuracy"]["mean"], color="grey", linestyle=style, label=name)
    axes.set_xlabel("the teacher's own accuracy with the right crop")
    axes.set_ylabel(f"accuracy that the policy's crops give {JUDGE}")
    axes.set_ylim(0, 1.02)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="A minute, to see that it runs.")] = False,
    work: Annotated[Path | None, typer.Option(help="Policies; runs/weak-readers.")] = None,
    sft: Annotated[
        Path,
        typer.Option(help="The reproduction's folder of this seed, or where to train its policy."),
    ] = Path("runs/reproduction/seed-0"),
    output: OutputOption = None,
    figure: FigureOption = None,
) -> None:
    """Run the study and write its results."""
    settings = QUICK if quick else Settings()
    work = work or Path("runs") / ("weak-quick" if quick else "weak-readers")
    reproduction.claim(work, settings)
    for results in study(settings, work, sft):
        report(results, [tables(results)["teachers"]], output)
        if figure:
            draw(results, figure)


if __name__ == "__main__":
    typer.run(main)
