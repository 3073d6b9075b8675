"""What a training run of nano left in its folder: the net, its record, and its words' meanings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from cropzoom.cropper.nano.meanings import Meanings

from .network import Nano, NanoConfig


def load_checkpoint(folder: Path) -> tuple[Nano, dict[str, Any], Meanings | None]:
    """The averaged weights of a training folder, in eval mode, its record, and its words' meanings.

    The record is what the manifest will tell, from the checkpoint itself: steps, minutes, the
    arguments of every start of the run, and the cropper it started from with that one's record.
    """
    state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")
    net = Nano(NanoConfig(**state["config"]))
    weights = {
        k.removeprefix("module."): v for k, v in state["mean"].items() if k.startswith("module.")
    }
    net.load_state_dict(weights)
    arguments = state.get("arguments", {})
    table = arguments.get("meanings")
    meanings = Meanings.parse(Path(table).read_bytes()) if table else None
    record = {
        "recipe": state.get("recipe", "python -m cropzoom.trainer.nano.train"),
        "step": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
        "arguments": _plain(arguments),
        "earlier": [_plain(earlier) for earlier in state.get("earlier", [])],
        "from": state.get("parent") or "random weights",
    }
    return net.eval(), record, meanings


def _plain(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments that were given, and of folders only the names: their places tell nobody else."""
    return {
        key: Path(value).name if isinstance(value, str) else value
        for key, value in arguments.items()
        if value is not None and key not in ("folder", "workers", "threads", "every")
    }
