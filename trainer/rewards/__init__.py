"""What a crop is worth: functions of rows and boxes (`reward.py`), and sums of them by name.

`make_reward("likelihood+0.1*valid-0.5*area", model="org/name")` is for command lines; the classes
stand in the modules that `REWARDS` names, and are imported when used.
"""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any

from cropzoom.errors import OptionsError

from .reward import Reward

REWARDS = {
    "likelihood": ("likelihood", "AnswerLikelihood"),
    "accuracy": ("accuracy", "AnswerAccuracy"),
    "remote": ("remote", "RemoteLikelihood"),
    "legibility": ("ocr_legibility", "OcrLegibility"),
    "readout": ("readout", "ReadoutLikelihood"),
    "valid": ("box_rewards", "ValidBox"),
    "area": ("box_rewards", "AreaPenalty"),
}
"""Names of rewards -> module and class."""

_TERM = re.compile(r"([+-]?)(?:(\d+(?:\.\d*)?|\.\d+)\*)?([a-z]+)")


def make_reward(spec: str, **options: Any) -> Reward:
    """Make a reward, or a weighted sum of several, from its name.

    Args:
        spec: as in "likelihood" or "likelihood+0.1*valid-0.5*area". Names are those of `REWARDS`;
            "area" is the share of the image covered and takes a minus.
        options: of the rewards' constructors; each goes to those that have it. "likelihood" and
            "accuracy" take those of `FrozenVlm` instead of a `vlm`: `model` (folder, hub name),
            `device`, `dtype`, `prompt`, `batch_size`, `share_images`.

    Raises:
        OptionsError: the spec has another form, or an option is missing, unknown or impossible.
        TrainingError: the model can't be loaded.
    """
    terms = _parse(spec)
    classes = {name: _load(name) for _, name in terms}
    taken = {name: _accepted(cls) for name, cls in classes.items()}
    needs_vlm = [name for name in taken if "vlm" in taken[name]]
    vlm_options: set[str] = set()
    if needs_vlm and "vlm" not in options:
        from .frozen_vlm import FrozenVlm

        vlm_options = {"model", *_accepted(FrozenVlm.load), *_accepted(FrozenVlm)}
        vlm_options -= {"name", "processor"}
    unknown = set(options) - vlm_options - set().union(*taken.values())
    if unknown:
        known = sorted((vlm_options | set().union(*taken.values())) - {"vlm"})
        raise OptionsError(
            f"the reward {spec!r} has no option {', '.join(sorted(unknown))}; it has "
            f"{', '.join(known) or 'none'}"
        )
    if vlm_options:
        values = {name: options[name] for name in vlm_options & set(options)}
        if "model" not in values:
            raise OptionsError(
                f"the reward {needs_vlm[0]!r} needs a model: give model=FOLDER or a hub name"
            )
        options = {**options, "vlm": FrozenVlm.load(values.pop("model"), **values)}
    rewards: list[tuple[float, Reward]] = []
    for weight, name in terms:
        values = {option: options[option] for option in taken[name] & set(options)}
        try:
            rewards.append((weight, classes[name](**values)))
        except TypeError as error:
            # Python names what is missing.
            raise OptionsError(f"the reward {name!r}: {error}") from error
    if len(rewards) == 1 and rewards[0][0] == 1:
        return rewards[0][1]
    from .box_rewards import WeightedSum

    return WeightedSum(rewards)


def _parse(spec: str) -> list[tuple[float, str]]:
    tight = "".join(spec.split())
    terms, at = [], 0
    while match := _TERM.match(tight, at):
        sign, weight, name = match.groups()
        if name not in REWARDS or (at and not sign):
            break
        factor = float(weight or 1) * (-1 if sign == "-" else 1)
        if name == "area":
            if factor > 0:
                raise OptionsError(f"reward={spec!r} pays for large crops; write -0.5*area")
            factor = -factor  # AreaPenalty is negative itself
        terms.append((factor, name))
        at = match.end()
    if not terms or at < len(tight):
        raise OptionsError(
            f"reward={spec!r} must be a sum such as 'likelihood+0.1*valid-0.5*area'; rewards are "
            f"{', '.join(REWARDS)}"
        )
    return terms


def _load(name: str) -> Any:
    module, cls = REWARDS[name]
    return getattr(importlib.import_module(f".{module}", __package__), cls)


def _accepted(function: Any) -> set[str]:
    """Names of the options of a function or class; of its bases, too, where it passes them on."""
    accepted: set[str] = set()
    steps = function.__mro__ if isinstance(function, type) else (function,)
    for step in steps:
        own = step.__dict__.get("__init__") if isinstance(step, type) else step
        if own is None:
            continue
        parameters = inspect.signature(own).parameters.values()
        accepted |= {p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return accepted - {"self", "cls"}
