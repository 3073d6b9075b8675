"""What a training run is made of: presets, a YAML file, flags; saved beside the model.

Two presets. `paper` is the recipe of CropVLM (arXiv 2511.19820). `modern` is what we would start
from today; where it differs, the comment beside the value in `MODERN` says why.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from cropzoom.errors import TrainingError

from .losses import Scaling, Variant

if typing.TYPE_CHECKING:
    from transformers import TrainingArguments

FILE = "config.yaml"
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
        if "activation_checkpointing" in known:
            # The newer name; the older one warns.
            ours["activation_checkpointing"] = ours.pop("gradient_checkpointing")
        # Left to itself, accelerate would let processes on CPUs train without knowing each other.
        seen = getattr(torch, "accelerator", torch.cuda)
        further = {"use_cpu": not seen.is_available(), **self.trainer}
        for name in self.trainer:
            if name not in known:
                raise _unknown(f"trainer.{name}", name, known, "a TrainingArguments field")
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
    """A whole run. `resolve` makes one, `save` writes it, `load` reads it back."""

    policy: PolicyConfig = field(default_factory=PolicyConfig)
    data: DataConfig = field(default_factory=DataConfig)
    reward: RewardConfig = field(default_factory=RewardConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)

    def save(self, folder: Path) -> Path:
        """Write config.yaml into a folder, beside first, then renamed."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / FILE
        part = path.with_suffix(".part")
        part.write_text(yaml.safe_dump(_plain(self), sort_keys=False), encoding="utf-8")
        return part.replace(path)

    @classmethod
    def load(cls, path: Path) -> TrainConfig:
        """Read what `save` wrote, or any file of the same form on top of the defaults.

        Raises:
            TrainingError: unreadable, or a key or value that can't be.
        """
        return resolve(None, path)


# Every figure that the paper or its scripts give; the rest are this module's defaults.
PAPER: dict[str, Any] = {
    "policy": {
        "kind": "text",
        "longest_edge": 2048,
        "prompt": PROMPT,
        "lora_rank": 128,
        "lora_alpha": 256,
        "lora_dropout": 0.05,
        # Theirs writes freely, and is paid for a valid format.
        "constrained": False,
    },
    "reward": {"spec": "likelihood+valid", "model": SMOLVLM},
    "sft": {"learning_rate": 5e-5, "batch": 2, "accumulation": 8, "epochs": 1.0},
    "grpo": {
        "learning_rate": 5e-6,
        "group": 6,
        "temperature": 0.8,
        "beta": 0.01,
        "batch": 1,
        "accumulation": 16,
        "max_grad_norm": 0.1,
        "schedule": "cosine",
        "warmup": 0.03,
        "epochs": 1.0,
        "variant": "dr_grpo",
        "scaling": "none",
    },
}

# A starting point, not a result: none of these figures was tuned on the paper's data.
MODERN: dict[str, Any] = {
    "policy": {
        # One forward pass instead of some twenty, and every sample is a box.
        "kind": "pointer",
        # A pointer's resolution is that of the image tokens, and 17 tiles of a 2048-px page cost
        # four times the five of a 1024-px one.
        "longest_edge": 1024,
        # Adapters of this rank learn as well as full training on data of this size ("LoRA Without
        # Regret", Thinking Machines 2025), at a quarter of the paper's memory.
        "lora_rank": 32,
        "lora_alpha": 64,
    },
    # A pointer's boxes are always valid. Of a long answer, the mean a token: as a sum, a step is
    # ruled by the rows with the longest answers.
    "reward": {"spec": "likelihood", "model": SMOLVLM, "options": {"reduce": "mean"}},
    # The same source: adapters want about ten times the rate of full training.
    "sft": {"learning_rate": 2e-4, "batch": 4, "accumulation": 8, "weight_decay": 0.01},
    "grpo": {
        "learning_rate": 2e-5,
        # More samples of one image cost almost nothing here: the image is encoded once.
        "group": 8,
        # The policy that is trained is the one that is sampled; no malformed text to avoid.
        "temperature": 1.0,
        # Held loosely: recent recipes (DAPO, Dr. GRPO) drop the divergence, but boxes collapse to
        # one place more easily than texts do. In closed form, as a pointer's is cheap and exact.
        "beta": 0.001,
        "kl": "exact",
        "batch": 4,
        "accumulation": 4,
        # The paper's .1 clips nearly every step, which makes the rate meaningless.
        "max_grad_norm": 1.0,
        # Log-likelihoods have a scale of their own; by the batch's spread, the rate is free of it,
        # without blowing up groups that hardly differ, as scaling by group does.
        "scaling": "batch",
        # DAPO's "clip higher": unlikely good boxes may gain faster. Without effect at one
        # iteration.
        "clip_high": 0.28,
    },
}

PRESETS: dict[str, dict[str, Any]] = {"paper": PAPER, "modern": MODERN}


def resolve(
    preset: str | None = None,
    file: Path | None = None,
    settings: Sequence[str] = (),
    **flags: Any,
) -> TrainConfig:
    """Make a configuration; what comes later wins.

    Where `policy.model` is the folder of an earlier run, that run's policy section lies on top of
    the preset's: a policy that is trained on should see images and prompts as before.

    Args:
        preset: "paper" or "modern"; None: the file's `preset`, else "paper".
        file: YAML with the sections policy, data, reward, sft, grpo, and perhaps `preset`.
        settings: `section.key=value`, the value in YAML.
        flags: `section__key=value`; None: not given.

    Raises:
        TrainingError: an unknown preset, section or key (the nearest is named), or a value of the
            wrong kind.
    """
    content = _read(file) if file else {}
    chosen = preset or content.pop("preset", None) or "paper"
    content.pop("preset", None)
    if chosen not in PRESETS:
        raise _unknown(f"preset {chosen!r}", str(chosen), PRESETS, "a preset")
    layers: list[Mapping[str, Any]] = [PRESETS[chosen], content]
    layers += [_setting(text) for text in settings]
    for name, value in flags.items():
        section, _, key = name.partition("__")
        if value is not None:
            layers.append({section: {key: value}})
    config = _build(TrainConfig, _merged(layers), "")
    earlier = _earlier_policy(Path(config.policy.model))
    if earlier:
        layers.insert(1, {"policy": earlier})
        config = _build(TrainConfig, _merged(layers), "")
    return config


def _earlier_policy(folder: Path) -> dict[str, Any]:
    """The policy section of the run that left a folder or checkpoint; empty where none did."""
    for place in (folder, folder.parent):
        if (place / FILE).is_file():
            values = dataclasses.asdict(TrainConfig.load(place / FILE).policy)
            del values["model"]
            return values
        if not folder.name.startswith("checkpoint-"):
            break
    return {}


def differences(first: TrainConfig, second: TrainConfig) -> list[str]:
    """Name the keys in which two configurations differ, with both values."""
    a, b = dict(_flat(_plain(first))), dict(_flat(_plain(second)))
    return [f"{key}: {a.get(key)!r} / {b.get(key)!r}" for key in a | b if a.get(key) != b.get(key)]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TrainingError(f"can't read the configuration {path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise TrainingError(f"{path} must hold sections such as `grpo:`, not {content!r}")
    return content


def _setting(text: str) -> dict[str, Any]:
    name, equals, value = text.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise TrainingError(f"setting {text!r} must have the form section.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f"setting {text!r}: the value is no YAML: {error}") from error
    *path, last = key.split(".")
    # grpo.trainer.run_name=x reaches into a field that holds a mapping.
    entry: Any = {last: parsed}
    for part in reversed(path):
        entry = {part: entry}
    return {section: entry}


def _merged(layers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, layer)
    return merged


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


T = TypeVar("T")


def _build(kind: type[T], values: Mapping[str, Any], prefix: str) -> T:
    """Make a dataclass of plain values, checking names and types."""
    if not isinstance(values, Mapping):
        raise TrainingError(f"{prefix[:-1]} must hold keys and values, not {values!r}")
    hints = typing.get_type_hints(kind)
    made = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in hints:
            raise _unknown(name, str(key), hints, "a key" if prefix else "a section")
        hint = hints[key]
        nested = dataclasses.is_dataclass(hint)
        made[key] = _build(hint, value, f"{name}.") if nested else _typed(name, value, hint)
    return kind(**made)


def _typed(name: str, value: Any, hint: Any) -> Any:
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in options:
            return None
        return _typed(name, value, next(o for o in options if o is not type(None)))
    if origin is Literal:
        if value in options:
            return value
        raise TrainingError(f"{name}={value!r} must be one of {', '.join(map(repr, options))}")
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_typed(name, item, options[0]) for item in value)
    if origin is dict and isinstance(value, Mapping):
        return {str(k): _typed(f"{name}.{k}", v, options[1]) for k, v in value.items()}
    if hint is Any:
        return value
    whole = isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        if whole or isinstance(value, float):
            return float(value)
        if isinstance(value, str):
            # YAML takes 1e-5 for a text: it wants a point.
            try:
                return float(value)
            except ValueError:
                pass
    elif hint is int:
        if whole:
            return value
    elif isinstance(hint, type) and isinstance(value, hint):
        return value
    wanted = getattr(hint, "__name__", str(hint)) if origin is None else str(hint)
    raise TrainingError(f"{name}={value!r} must be of type {wanted}")


def _unknown(name: str, key: str, known: Any, what: str) -> TrainingError:
    near = difflib.get_close_matches(key, [str(k) for k in known], n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(sorted(known))}"
    return TrainingError(f"{name} is not {what}; {hint}")


def _range(
    name: str, value: float, low: float, high: float | None = None, *, high_open: bool = False
) -> None:
    above = high is not None and (value >= high if high_open else value > high)
    if value < low or above:
        limits = f"at least {low}" if high is None else f"from {low} to below {high}"
        raise TrainingError(f"{name}={value} must be {limits}")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, values in content.items():
        for key, value in values.items():
            yield f"{section}.{key}", value
