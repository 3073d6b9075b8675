"""Configurations from presets, YAML and flags; checked, saved, and compared.

`resolve` makes one, `save_config` writes all of it beside the model, `load_config` reads it back.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from cropzoom.errors import TrainingError
from cropzoom.files import write_whole

from .config import (
    DataConfig,
    GrpoConfig,
    PolicyConfig,
    RewardConfig,
    SftConfig,
    TrainConfig,
    check_limits,
    own_defaults,
    unknown_key,
)

FILE = "config.yaml"
RECIPES: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("recipes.yaml").read_text("utf-8")
)
# On top of the preset's wherever nano is trained.
_NANO = RECIPES.pop("nano")
_SECTIONS: dict[str, type[Any]] = {
    "policy": PolicyConfig,
    "data": DataConfig,
    "reward": RewardConfig,
    "sft": SftConfig,
    "grpo": GrpoConfig,
}
# Names of sft and grpo before they were those of TrainingArguments and TRL.
_RENAMED = {
    "batch": "per_device_train_batch_size",
    "accumulation": "gradient_accumulation_steps",
    "epochs": "num_train_epochs",
    "warmup": "warmup_steps (below 1: a share of the steps)",
    "schedule": "lr_scheduler_type",
    "precision": "bf16 (true, false, or null: where the GPU has it)",
    "workers": "dataloader_num_workers",
    "log_steps": "logging_steps",
    "keep": "save_total_limit",
    "trainer": "no key any more: what it held stands in the section itself",
    "group": "num_generations",
    "variant": "loss_type",
    "scaling": "scale_rewards",
    "clip_low": "epsilon",
    "clip_high": "epsilon_high",
}


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
    if chosen not in RECIPES:
        raise unknown_key(f"preset {chosen!r}", str(chosen), RECIPES, "a preset")
    ours = {"sft": own_defaults(SftConfig), "grpo": own_defaults(GrpoConfig)}
    layers: list[Mapping[str, Any]] = [ours, RECIPES[chosen], content]
    layers += [_setting(text) for text in settings]
    for name, value in flags.items():
        section, _, key = name.partition("__")
        if value is not None:
            layers.append({section: {key: value}})
    config = _build(layers)
    if config.policy.kind == "nano":
        layers.insert(2, _NANO)
        config = _build(layers)
    earlier = _earlier_policy(Path(config.policy.model))
    if earlier:
        layers.insert(2, {"policy": earlier})
        config = _build(layers)
    return config


def _earlier_policy(folder: Path) -> dict[str, Any]:
    """The policy section of the run that left a folder or checkpoint; empty where none did."""
    for place in (folder, folder.parent):
        if (place / FILE).is_file():
            values = dataclasses.asdict(load_config(place / FILE).policy)
            del values["model"]
            return values
        if not folder.name.startswith("checkpoint-"):
            break
    return {}


def differences(first: TrainConfig, second: TrainConfig) -> list[str]:
    """Name the keys in which two configurations differ, with both values."""
    a, b = (
        {
            f"{section}.{key}": value
            for section, values in dataclasses.asdict(config).items()
            for key, value in values.items()
        }
        for config in (first, second)
    )
    return [f"{key}: {a.get(key)!r} / {b.get(key)!r}" for key in a | b if a.get(key) != b.get(key)]


def save_config(config: TrainConfig, folder: Path) -> Path:
    """Write config.yaml into a folder, made where missing."""
    return write_whole(folder / FILE, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False))


def load_config(path: Path) -> TrainConfig:
    """Read what `save_config` wrote, or any file of the same form on top of the defaults.

    Raises:
        TrainingError: unreadable, or a key or value that can't be.
    """
    return resolve(None, path)


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
        entry = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise TrainingError(f"setting {text!r}: the value is no YAML: {error}") from error
    # data.columns.question=x reaches into a field that holds a mapping.
    for part in reversed(key.split(".")):
        entry = {part: entry}
    return {section: entry}


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _build(layers: Sequence[Mapping[str, Any]]) -> TrainConfig:
    """Make a configuration of plain values, checking names, types and limits."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, layer)
    sections: dict[str, Any] = {}
    for section, values in merged.items():
        if section not in _SECTIONS:
            raise unknown_key(str(section), str(section), _SECTIONS, "a section")
        kind = _SECTIONS[section]
        checked = _checked(section, values, typing.get_type_hints(kind))
        if section in ("sft", "grpo"):
            check_limits(checked)
            sections[section] = checked
        else:
            sections[section] = kind(**checked)
    return TrainConfig(**sections)


def _checked(section: str, values: Any, hints: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise TrainingError(f"{section} must hold keys and values, not {values!r}")
    checked = {}
    for key, value in values.items():
        name = f"{section}.{key}"
        if key in hints:
            checked[key] = _typed(name, value, hints[key])
        elif section in ("sft", "grpo") and key in _RENAMED:
            raise TrainingError(f"{name} is now {_RENAMED[key]}")
        else:
            raise unknown_key(name, str(key), hints, "a key")
    return checked


def _typed(name: str, value: Any, hint: Any) -> Any:
    if hint is float and isinstance(value, str):
        # YAML takes 1e-5 for a text: it wants a point.
        with suppress(ValueError):
            value = float(value)
    try:
        return TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        raise TrainingError(f"{name}={value!r} is refused: {reason}") from error
