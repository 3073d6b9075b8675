"""Configurations from presets, YAML and flags; checked, saved, and compared.

`resolve` makes one, `save_config` writes all of it beside the model, `load_config` reads it back.
"""

from __future__ import annotations

import copy
import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml

from cropzoom.errors import TrainingError

from .config import TrainConfig, unknown_key
from .recipes import PRESETS

FILE = "config.yaml"


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
        raise unknown_key(f"preset {chosen!r}", str(chosen), PRESETS, "a preset")
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
            values = dataclasses.asdict(load_config(place / FILE).policy)
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
            raise unknown_key(name, str(key), hints, "a key" if prefix else "a section")
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


def save_config(config: TrainConfig, folder: Path) -> Path:
    """Write config.yaml into a folder, beside first, then renamed."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    part = path.with_suffix(".part")
    part.write_text(yaml.safe_dump(_plain(config), sort_keys=False), encoding="utf-8")
    return part.replace(path)


def load_config(path: Path) -> TrainConfig:
    """Read what `save_config` wrote, or any file of the same form on top of the defaults.

    Raises:
        TrainingError: unreadable, or a key or value that can't be.
    """
    return resolve(None, path)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return list(value) if isinstance(value, tuple) else value


def _flat(content: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, values in content.items():
        for key, value in values.items():
            yield f"{section}.{key}", value
