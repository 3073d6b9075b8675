"""What a training run can be told: one dataclass for each of its parts.

`recipes.py` has the values to start from, `settings.py` makes a configuration of presets, YAML and
flags.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cropzoom.errors import TrainingError

from .losses import Scaling, Variant

if TYPE_CHECKING:
    from transformers import TrainingArguments

SMOLVLM = "HuggingFaceTB/SmolVLM-256M-Instruct"
PROMPT = "{question}\nOutline the region in the image that would help answer this question."


@dataclass
class PolicyConfig:
    """Which policy is trained.

    Attributes:
        kind: "text" writes the box as text (the paper's), "pointer" points at image tokens in one
            forward pass, "nano" is the small bundled model.
        model: what it starts from: a checkpoint of SmolVLM or any Idefics3 (folder or hub name),
            or a policy's own folder from an earlier run. Empty: SmolVLM-256M, or for nano, the
            bundled one.
        longest_edge: px that images are resized to, for text and pointer. The paper trains one
            policy each for 512, 1024 and 2048.
        prompt: holds {question}. The paper's authors write the question by `str.capitalize`, which
            lower-cases names; case is kept here unless `capitalize`.
        capitalize: theirs.
        lora_rank: of the adapters; 0 trains all weights. Not for nano.
        lora_alpha: their scale is alpha / rank.
        lora_dropout: in SFT; GRPO never drops out.
        constrained: text only: draw nothing but boxes.
        options: further ones of `load_policy`, such as dtype, image_splitting, subcells.
    """

    kind: Literal["text", "pointer", "nano"] = "text"
    model: str = ""
    longest_edge: int = 2048
    prompt: str = PROMPT
    capitalize: bool = False
    lora_rank: int = 128
    lora_alpha: int = 256
    lora_dropout: float = 0.05
    constrained: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.model or ("nano" if self.kind == "nano" else SMOLVLM)


@dataclass
class DataConfig:
    """Where rows come from; see `data.load_rows` for each.

    Attributes:
        source: a data set's name, folder or file; several with commas between them.
        preset: use this preset's columns with `source`.
        split: of the data set.
        subset: its configuration, where it has several.
        columns: column name by role (image, question, answers, box, id, image_id, source).
        image_folder: paths to images are relative to it.
        box_units: fractions, percent, thousandths or pixels.
        box_layout: xyxy or xywh.
        check_images: none, header or decode.
        limit: rows to load at most.
        held_out: share of the pictures kept for evaluation, in [0, 1); 0: no evaluation.
        seed: of the split.
    """

    source: str = ""
    preset: str | None = None
    split: str = "train"
    subset: str | None = None
    columns: dict[str, str] = field(default_factory=dict)
    image_folder: str | None = None
    box_units: Literal["fractions", "percent", "thousandths", "pixels"] = "fractions"
    box_layout: Literal["xyxy", "xywh"] = "xyxy"
    check_images: Literal["none", "header", "decode"] = "header"
    limit: int | None = None
    held_out: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        _range("data.held_out", self.held_out, 0, 1, high_open=True)


@dataclass
class RunConfig:
    """What SFT and GRPO have in common.

    Attributes:
        learning_rate: at its peak.
        batch: rows of one micro-batch on one device.
        accumulation: micro-batches of one step; rows of a step = batch x accumulation x processes.
        epochs: passes over the rows.
        max_steps: optimizer steps instead of epochs; -1: epochs.
        warmup: share of the steps in which the rate rises, in [0, 1).
        schedule: of the rate after that, by transformers' names.
        weight_decay: of AdamW.
        max_grad_norm: gradients are scaled down to it; 0: never.
        seed: of weights, order and rollouts.
        precision: "bf16" by autocast; "auto": where the GPU has it.
        activation_checkpointing: less memory, about a third more time.
        workers: data loader processes of each training process.
        log_steps, eval_steps, save_steps: steps between logs, evaluations and checkpoints; 0 of
            the latter two: none.
        keep: newest checkpoints that stay; 0: all.
        report_to: "tensorboard", "wandb", ... of transformers.
        trainer: further `transformers.TrainingArguments`, such as fsdp, deepspeed or run_name.
    """

    learning_rate: float = 5e-5
    batch: int = 1
    accumulation: int = 1
    epochs: float = 1.0
    max_steps: int = -1
    warmup: float = 0.03
    schedule: str = "cosine"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    seed: int = 0
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    activation_checkpointing: bool = False
    workers: int = 2
    log_steps: int = 10
    eval_steps: int = 500
    save_steps: int = 500
    keep: int = 2
    report_to: tuple[str, ...] = ()
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("batch", "accumulation", "log_steps"):
            _range(name, getattr(self, name), 1)
        _range("warmup", self.warmup, 0, 1, high_open=True)
        for name in (
            "max_grad_norm",
            "weight_decay",
            "workers",
            "keep",
            "eval_steps",
            "save_steps",
        ):
            _range(name, getattr(self, name), 0)
        if not self.learning_rate > 0 or not self.epochs > 0:
            raise TrainingError(
                f"learning_rate={self.learning_rate} and epochs={self.epochs} must be above 0"
            )

    def arguments(self, output: Path, *, evaluate: bool) -> TrainingArguments:
        """Return the Trainer's arguments.

        Args:
            output: folder of checkpoints and logs.
            evaluate: whether there are held-out rows.

        Raises:
            TrainingError: `trainer` has an unknown key, or one that has a field here.
        """
        import torch
        from transformers import TrainingArguments

        known = {f.name for f in dataclasses.fields(TrainingArguments)}
        bf16 = self.precision == "bf16"
        if self.precision == "auto":
            bf16 = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
        ours: dict[str, Any] = {
            "output_dir": str(output),
            "learning_rate": self.learning_rate,
            "per_device_train_batch_size": self.batch,
            "per_device_eval_batch_size": self.batch,
            "gradient_accumulation_steps": self.accumulation,
            "num_train_epochs": self.epochs,
            "max_steps": self.max_steps,
            "warmup_steps": self.warmup,
            "lr_scheduler_type": self.schedule,
            "weight_decay": self.weight_decay,
            "max_grad_norm": self.max_grad_norm,
            "seed": self.seed,
            "bf16": bf16,
            "gradient_checkpointing": self.activation_checkpointing,
            "dataloader_num_workers": self.workers,
            "dataloader_pin_memory": torch.cuda.is_available(),
            "logging_steps": self.log_steps,
            "eval_strategy": "steps" if evaluate and self.eval_steps else "no",
            "eval_steps": self.eval_steps or None,
            "save_strategy": "steps" if self.save_steps else "no",
            "save_steps": self.save_steps or 500,
            "save_total_limit": self.keep or None,
            "report_to": list(self.report_to),
        }
        # Names changed in transformers 5.
        if "activation_checkpointing" in known:
            ours["activation_checkpointing"] = ours.pop("gradient_checkpointing")
        if "warmup_ratio" in known:
            ours["warmup_ratio"] = ours.pop("warmup_steps")
        # Left to itself, accelerate would let processes on CPUs train without knowing each other.
        seen = getattr(torch, "accelerator", torch.cuda)
        further = {"use_cpu": not seen.is_available(), **self.trainer}
        for name in self.trainer:
            if name not in known:
                raise unknown_key(f"trainer.{name}", name, known, "a TrainingArguments field")
            if name in ours:
                raise TrainingError(f"trainer.{name} has a field of its own; set that instead")
        return TrainingArguments(**ours, **further)


@dataclass
class SftConfig(RunConfig):
    """Supervised fine-tuning towards a teacher's boxes.

    Attributes:
        evaluate_reward: measure the held-out crops with the reward, too, which loads its model.
    """

    evaluate_reward: bool = False


@dataclass
class GrpoConfig(RunConfig):
    """Group-relative policy optimisation.

    Attributes:
        group: samples of each row (G), at least 2.
        temperature: of sampling and of the scored log-probabilities, > 0.
        beta: weight of the divergence from the policy that training started from; 0: none, and no
            second copy of the policy in memory.
        kl: "k3" estimates it from the drawn factors, "exact" sums over all choices.
        variant: how factors are averaged, see `losses.policy_loss`.
        scaling: of advantages, see `losses.advantages`; "batch" is over all processes.
        num_iterations: optimizer steps on each rollout (mu).
        clip_low, clip_high: how far a ratio may leave 1; clip_high None: the variant's own. They
            do something only where num_iterations > 1.
        patience: steps in a row without any reward before the run stops.
        baseline_steps: steps between measurements of the gain over no crop and random crops, which
            cost two more rewards a row; 0: never.
        picture_steps: steps between pictures of sampled boxes; 0: never.
        pictures: rows on one of them.
    """

    group: int = 6
    temperature: float = 0.8
    beta: float = 0.01
    kl: Literal["k3", "exact"] = "k3"
    variant: Variant = "dr_grpo"
    scaling: Scaling = "none"
    num_iterations: int = 1
    clip_low: float = 0.2
    clip_high: float | None = None
    patience: int = 10
    baseline_steps: int = 10
    picture_steps: int = 100
    pictures: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group < 2:
            raise TrainingError(
                f"group={self.group}: a sample is worth what it earns over the others of its row, "
                "so a group of one teaches nothing; use 2 or more (the paper's is 6)"
            )
        for name in ("num_iterations", "patience", "pictures"):
            _range(name, getattr(self, name), 1)
        for name in ("beta", "baseline_steps", "picture_steps", "clip_low"):
            _range(name, getattr(self, name), 0)
        if not self.temperature > 0:
            raise TrainingError(f"temperature={self.temperature} must be above 0")


@dataclass
class RewardConfig:
    """What a crop is worth.

    Attributes:
        spec: a reward's name, or a sum such as "likelihood+0.1*valid-0.5*area", see
            `rewards.make_reward`.
        model: the frozen VLM that likelihood, accuracy and remote ask.
        options: further ones of `make_reward`, such as batch_size, reduce, answers, gain, url.
    """

    spec: str = "likelihood+valid"
    model: str = SMOLVLM
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class TrainConfig:
    """A whole run; see `settings.py`."""

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    data: DataConfig = field(default_factory=DataConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)


def _range(
    name: str, value: float, low: float, high: float | None = None, *, high_open: bool = False
) -> None:
    above = high is not None and (value >= high if high_open else value > high)
    if value < low or above:
        limits = f"at least {low}" if high is None else f"from {low} to below {high}"
        raise TrainingError(f"{name}={value} must be {limits}")


def unknown_key(name: str, key: str, known: Iterable[Any], what: str) -> TrainingError:
    """Return an error that names the nearest key there is, or all."""
    keys = sorted(str(k) for k in known)
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(keys)}"
    return TrainingError(f"{name} is not {what}; {hint}")
