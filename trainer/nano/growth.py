"""A trained nano that goes on deeper than it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .layers import Layer
from .network import Nano, NanoConfig

DEPTHS = ("middle_blocks", "wide_blocks", "text_layers", "strips")
"""Of `NanoConfig`, what may grow."""


def deeper(config: NanoConfig, wishes: Sequence[str]) -> NanoConfig:
    """A configuration with depths as wished, such as `wide_blocks=6`.

    Raises:
        ValueError: a wish is not of that form, or names no depth.
    """
    depths = {}
    for wish in wishes:
        name, _, depth = wish.partition("=")
        if name not in DEPTHS or not depth.isascii() or not depth.isdigit():
            raise ValueError(f"{wish!r} must be DEPTH=NUMBER, DEPTH one of {', '.join(DEPTHS)}")
        depths[name] = int(depth)
    return replace(config, **depths)


def grow(net: Nano, config: NanoConfig) -> Nano:
    """A deeper net that computes what `net` does: its new layers start without effect.

    Args:
        net: stays as it is.
        config: as that of `net`, with larger depths.

    Raises:
        ValueError: some other size differs, or a depth is smaller.
    """
    grown, state = Nano(config), net.state_dict()
    shapes = {name: value.shape for name, value in grown.state_dict().items()}
    unlike = [name for name, value in state.items() if shapes.get(name) != value.shape]
    if unlike:
        raise ValueError(f"only depths may grow; {unlike[0]} has no place of its shape")
    here = {name for name, _ in net.named_modules()}
    for name, module in grown.named_modules():
        if isinstance(module, Layer) and name not in here:
            module.silence()
    grown.load_state_dict(state, strict=False)
    return grown.train(net.training)
