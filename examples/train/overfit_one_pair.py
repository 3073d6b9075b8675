"""First experiment: GRPO on one picture and question must reach the best box there is.

    python examples/train/overfit_one_pair.py --output benchmarks/results/overfit.json

The reward is the IoU to a box, and the best a policy can do is found by trying all its boxes. With
the tiny random model of the tests this takes some minutes on a CPU. Try the same with your own
checkpoint before a long run: if one pair can't be learned, nothing can.

    python examples/train/overfit_one_pair.py --model runs/sft --policy pointer --image page.png \
        --question "What is the total?" --box 0.6 0.8 0.9 0.85
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import TrainerCallback

from cropzoom.data.row import Row
from cropzoom.geometry import Box
from cropzoom.images import load_image
from cropzoom.trainer.config import GrpoConfig
from cropzoom.trainer.gains import known_boxes
from cropzoom.trainer.grpo import GrpoTrainer
from cropzoom.trainer.health import box_iou
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.pointer_policy import PointerPolicy
from cropzoom.trainer.policies.policy import Policy
from cropzoom.trainer.policies.torch_pointing import log_spaced, settle

# Few cells and distances: so all boxes can be tried, and the second best is clearly worse.
COARSE: dict[str, Any] = {"subcells": 1, "width": 32, "reach": (0.08, 0.5, 4)}
HABITS: dict[str, dict[str, Any]] = {
    "pointer": {"learning_rate": 2e-3, "beta": 0.0, "lr_scheduler_type": "constant"},
    # Digits one after the other: a policy that settles on a first digit too soon can't leave it,
    # 29 is one percent from 30 but two digits away. The divergence from a start near uniform keeps
    # it trying.
    "text": {"learning_rate": 1e-3, "beta": 0.02, "kl": "exact", "lr_scheduler_type": "cosine"},
}


class TargetIou:
    """The reward: IoU to the row's box, 0 for no box."""

    name = "iou"

    def __call__(self, rows: Sequence[Row], boxes: Tensor) -> Tensor:
        return box_iou(boxes, known_boxes(rows)[:, None]).nan_to_num(0.0)


class Curve(TrainerCallback):
    """Follows the policy's own choice; stops where it has long been the best box there is.

    Args:
        policy: in training.
        row: the one.
        maximum: what the best box earns.
        every: steps between looks.
        looks: that must find the best box, one after the other.
    """

    def __init__(
        self, policy: Policy, row: Row, maximum: float, every: int = 5, looks: int = 6
    ) -> None:
        self.policy, self.row, self.maximum = policy, row, maximum
        self.every, self.looks = every, looks
        self.points: list[dict[str, float]] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if "reward/mean" not in logs or state.global_step % self.every:
            return
        boxes = self.policy.best(self.policy.collate([self.row]))
        chosen = float(TargetIou()([self.row], boxes[:, None].cpu()))
        point = {"step": state.global_step, "sampled": logs["reward/mean"], "chosen": chosen}
        self.points.append({key: round(value, 5) for key, value in point.items()})
        recent = self.points[-self.looks :]
        if len(recent) == self.looks and all(p["chosen"] > self.maximum - 1e-4 for p in recent):
            control.should_training_stop = True


def best_of_all(policy: Policy, row: Row) -> float:
    """The reward of the best box that the policy can make, by trying all."""
    target = known_boxes([row])[0]
    if isinstance(policy, PointerPolicy):
        rows, columns = (policy.collate([row])["grid"][0] * policy.subcells).tolist()
        reach = torch.tensor(log_spaced(*policy.reach))
        left, top, right, bottom = torch.cartesian_prod(reach, reach, reach, reach).unbind(-1)
        best = 0.0
        for cell in range(rows * columns):
            x, y = (cell % columns + 0.5) / columns, (cell // columns + 0.5) / rows
            boxes = settle(torch.stack([x - left, y - top, x + right, y + bottom], -1))
            best = max(best, float(box_iou(boxes, target).max()))
        return best
    # Whole percents, 0 to 100: all pairs of edges in one direction, against those in the other.
    spans = torch.combinations(torch.arange(101) / 100)
    best = 0.0
    for low, high in spans.tolist():
        across = torch.tensor([low, high]).expand(len(spans), 2)
        boxes = torch.stack([across[:, 0], spans[:, 0], across[:, 1], spans[:, 1]], -1)
        best = max(best, float(box_iou(boxes, target).max()))
    return best


def overfit(policy: Policy, row: Row, steps: int, seed: int = 0, **options: Any) -> Curve:
    """Train on one row until the best box is found, or for so many steps.

    Args:
        policy: trained in place.
        row: with its box.
        steps: at most.
        seed: of the rollouts.
        options: of `GrpoConfig`, instead of those in `HABITS`.
    """
    config: dict[str, Any] = {
        "seed": seed,
        "per_device_train_batch_size": 1,
        "num_generations": 64,
        "temperature": 1.0,
        "max_steps": steps,
        "warmup_steps": 0.0,
        "dataloader_num_workers": 0,
        "logging_steps": 1,
        "save_strategy": "no",
        "baseline_steps": 0,
        "picture_steps": 0,
        "disable_tqdm": True,
        **HABITS[policy.kind],
        **options,
    }
    with tempfile.TemporaryDirectory() as scratch:
        args = GrpoConfig(output_dir=scratch, **config)
        trainer = GrpoTrainer(policy, [row], TargetIou(), args)
        # One row is one prompt over and over: what is said about dead groups is the aim here.
        trainer.monitor.signs = ()
        curve = Curve(policy, row, best_of_all(policy, row))
        trainer.add_callback(curve)
        trainer.train()
    return curve


def small_logits(policy: Policy) -> Policy:
    """Make a text policy of the tests' tiny model begin near uniform, as small weights would.

    Its weights are large, so that it has strong opinions about boxes before it has learned any.
    """
    with torch.no_grad():
        policy.backbone.lm_head.weight.mul_(0.1)
    return policy


def tiny_model(folder: Path) -> Path:
    """The tests' tiny random Idefics3."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    from tiny_models import build_tiny_idefics3

    return build_tiny_idefics3(folder)


def example_row() -> Row:
    """A picture of noise, and a box in whole percents."""
    noise = torch.rand(48, 64, 3, generator=torch.Generator().manual_seed(0))
    image = Image.frombytes("RGB", (64, 48), (noise * 255).byte().numpy().tobytes())
    return Row("one", image, "Where is the sum?", ("3",), Box(0.34, 0.25, 0.65, 0.46))


def main() -> None:
    """Run for one kind of policy or both; print and perhaps write the curves."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", choices=("pointer", "text"), help="one instead of both")
    parser.add_argument("--model", default="tiny", help="checkpoint or policy; 'tiny': random")
    parser.add_argument("--image", type=Path)
    parser.add_argument("--question", default="Where is the sum?")
    parser.add_argument("--box", type=float, nargs=4, metavar=("X0", "Y0", "X1", "Y1"))
    parser.add_argument("--steps", type=int, default=600, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="JSON file with the curves")
    given = parser.parse_args()
    row = example_row()
    if given.image:
        if given.box is None:
            parser.error("--image needs --box, in fractions of the picture")
        row = Row("one", load_image(given.image), given.question, ("",), Box(*given.box))
    results = {}
    with tempfile.TemporaryDirectory() as scratch:
        tiny = given.model == "tiny"
        model = tiny_model(Path(scratch)) if tiny else given.model
        for kind in [given.policy] if given.policy else ["pointer", "text"]:
            torch.manual_seed(given.seed)
            coarse = COARSE if tiny and kind == "pointer" else {}
            policy = load_policy(model, kind, **coarse)
            if tiny and kind == "text":
                small_logits(policy)
            curve = overfit(policy, row, given.steps, given.seed)
            last = curve.points[-1]
            print(
                f"{kind}: best possible {curve.maximum:.4f}; after {last['step']} steps chosen "
                f"{last['chosen']:.4f}, sampled {last['sampled']:.4f}"
            )
            results[kind] = {"best_possible": round(curve.maximum, 5), "curve": curve.points}
    if given.output:
        given.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
