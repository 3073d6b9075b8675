"""What a training run can be told: one dataclass for each of its parts.

`sft` and `grpo` take every field of `transformers.TrainingArguments` by its own name, and those of
`SftConfig` and `GrpoConfig`, which are named as TRL names them. `recipes.yaml` has the values to
start from, `settings.py` makes a configuration of presets, YAML and flags.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import TrainingArguments

from cropzoom.data.columns import Layout, Units
from cropzoom.errors import TrainingError

from .losses import Scaling, Variant
from .policies.checkpoints import LoraOptions
from .vlm import PROMPT

SMOLVLM = "HuggingFaceTB/SmolVLM-256M-Instruct"


@dataclass
class PolicyConfig:
    """Which policy is trained. The defaults are the paper's, but for `constrained`.

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
    lora_rank: int = LoraOptions.r
    lora_alpha: int = LoraOptions.alpha
    lora_dropout: float = LoraOptions.dropout
    constrained: bool = True
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.model or ("nano" if self.kind == "nano" else SMOLVLM)


@dataclass
class DataConfig:
    """Where rows come from; see `cropzoom.data.rows.load_rows` for each.

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
    box_units: Units = "fractions"
    box_layout: Layout = "xyxy"
    check_images: Literal["none", "header", "decode"] = "header"
    limit: int | None = None
    held_out: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.held_out < 1:
            raise TrainingError(f"data.held_out={self.held_out} must be from 0 to below 1")


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


_AT_LEAST = {
    "per_device_train_batch_size": 1,
    "gradient_accumulation_steps": 1,
    "logging_steps": 1,
    "num_generations": 2,
    "num_iterations": 1,
    "patience": 1,
    "pictures": 1,
    "warmup_steps": 0,
    "max_grad_norm": 0,
    "weight_decay": 0,
    "dataloader_num_workers": 0,
    "beta": 0,
    "epsilon": 0,
    "baseline_steps": 0,
    "picture_steps": 0,
}
_ABOVE_0 = ("learning_rate", "num_train_epochs", "temperature")


def check_limits(values: Mapping[str, Any]) -> None:
    """Refuse numbers that can't be.

    Raises:
        TrainingError: one is out of range.
    """
    for name, least in _AT_LEAST.items():
        if name in values and not values[name] >= least:
            why = ", as a group of one teaches nothing" if name == "num_generations" else ""
            raise TrainingError(f"{name}={values[name]} must be at least {least}{why}")
    for name in _ABOVE_0:
        if name in values and not values[name] > 0:
            raise TrainingError(f"{name}={values[name]} must be above 0")


@dataclass
class RunArguments(TrainingArguments):
    """What SFT and GRPO have in common: `transformers.TrainingArguments`, with our defaults.

    Attributes:
        per_device_eval_batch_size: 0: as in training.
        warmup_steps: steps in which the rate rises; below 1, a share of all steps.
        bf16: None: where the GPU has it.
        use_cpu: also where there is no accelerator.
    """

    learning_rate: float = 5e-5
    per_device_train_batch_size: int = 1
    per_device_eval_batch_size: int = 0
    gradient_accumulation_steps: int = 1
    max_steps: int = -1
    max_grad_norm: float = 1.0
    weight_decay: float = 0.0
    num_train_epochs: float = 1.0
    warmup_steps: float = 0.03
    lr_scheduler_type: str = "cosine"
    seed: int = 0
    bf16: bool | None = None  # type: ignore[assignment]  # made a bool by __post_init__
    dataloader_num_workers: int = 2
    logging_steps: float = 10
    save_total_limit: int | None = 2
    report_to: str | list[str] = "none"

    def __post_init__(self) -> None:
        check_limits(vars(self))
        self.per_device_eval_batch_size = (
            self.per_device_eval_batch_size or self.per_device_train_batch_size
        )
        gpu = torch.cuda.is_available()
        self.dataloader_pin_memory = self.dataloader_pin_memory and gpu
        if self.bf16 is None:
            self.bf16 = gpu and torch.cuda.is_bf16_supported()
        # Left to itself, accelerate would let processes on CPUs train without knowing each other.
        self.use_cpu = self.use_cpu or not getattr(torch, "accelerator", torch.cuda).is_available()
        if self.warmup_steps < 1 and hasattr(self, "warmup_ratio"):
            # Before transformers 5, a share had a name of its own.
            self.warmup_ratio, self.warmup_steps = self.warmup_steps, 0
        super().__post_init__()


@dataclass
class SftConfig(RunArguments):
    """Supervised fine-tuning towards a teacher's boxes.

    Attributes:
        evaluate_reward: measure the held-out crops with the reward, too, which loads its model.
    """

    evaluate_reward: bool = False


@dataclass
class GrpoConfig(RunArguments):
    """Group-relative policy optimisation.

    Attributes:
        num_generations: samples of each row (G), at least 2.
        temperature: of sampling and of the scored log-probabilities, > 0.
        beta: weight of the divergence from the policy that training started from; 0: none, and no
            second copy of the policy in memory.
        kl: "k3" estimates it from the drawn factors, "exact" sums over all choices.
        loss_type: how factors are averaged, see `losses.policy_loss`.
        scale_rewards: of advantages, see `losses.advantages`; "batch" is over all processes.
        num_iterations: optimizer steps on each rollout (mu).
        epsilon, epsilon_high: how far a ratio may fall below 1, and exceed it; epsilon_high None:
            the loss type's own. They do something only where num_iterations > 1.
        patience: steps in a row without any reward before the run stops.
        baseline_steps: steps between measurements of the gain over no crop and random crops, which
            cost two more rewards a row; 0: never.
        picture_steps: steps between pictures of sampled boxes; 0: never.
        pictures: rows on one of them.
    """

    num_generations: int = 6
    temperature: float = 0.8
    beta: float = 0.01
    kl: Literal["k3", "exact"] = "k3"
    loss_type: Variant = "dr_grpo"
    scale_rewards: Scaling = "none"
    num_iterations: int = 1
    epsilon: float = 0.2
    epsilon_high: float | None = None
    patience: int = 10
    baseline_steps: int = 10
    picture_steps: int = 100
    pictures: int = 8


def own_defaults(kind: type[RunArguments]) -> dict[str, Any]:
    """Return the defaults that are ours, by name."""
    names: set[str] = set()
    for step in kind.__mro__[: kind.__mro__.index(TrainingArguments)]:
        names.update(vars(step).get("__annotations__", {}))
    return {one.name: one.default for one in fields(kind) if one.name in names}


@dataclass
class TrainConfig:
    """A whole run; see `settings.py`.

    Attributes:
        policy, data, reward: its parts.
        sft, grpo: values by name, of `SftConfig` and `GrpoConfig`; made into these by `arguments`,
            as that chooses this process's device.
    """

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    data: DataConfig = field(default_factory=DataConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sft: dict[str, Any] = field(default_factory=dict)
    grpo: dict[str, Any] = field(default_factory=dict)

    def arguments(
        self, method: Literal["sft", "grpo"], output: Path, *, evaluate: bool
    ) -> SftConfig | GrpoConfig:
        """Return the Trainer's arguments.

        Args:
            method: which of the two.
            output: folder of checkpoints and logs.
            evaluate: whether there are held-out rows.

        Raises:
            TrainingError: values don't go together.
        """
        kind: type[SftConfig | GrpoConfig] = SftConfig if method == "sft" else GrpoConfig
        values = {**getattr(self, method), "output_dir": str(output)}
        if not evaluate:
            values["eval_strategy"] = "no"
        try:
            return kind(**values)
        except (ValueError, TypeError) as error:
            raise TrainingError(f"{method}: {error}") from error


def unknown_key(name: str, key: str, known: Iterable[Any], what: str) -> TrainingError:
    """Return an error that names the nearest key there is, or all."""
    keys = sorted(str(k) for k in known)
    near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(keys)}"
    return TrainingError(f"{name} is not {what}; {hint}")
