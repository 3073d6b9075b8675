"""The mean of several runs' weights: better than each of them where they lack different things.

    python -m cropzoom.trainer.nano.soup runs/soup RUN-7 RUN-8 --share 0.35 --share 0.65

Averaged are exports, in which batch norms are folded into their convolutions, of runs that went on
from one another (a "soup": Wortsman et al. 2022). What a run lacks because it is less deep, it
passes on unchanged: there the others' layers count, and what they add is less by its share. The
result is a training folder, as `train.py` leaves one, for `calibrate` and `export-onnx`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from .growth import grow
from .layers import Layer
from .network import Nano
from .restore import restore
from .train import lineage


def soup(nets: list[Nano], shares: list[float]) -> Nano:
    """The weighted mean of nets that differ in depth at most; the last is as deep as any.

    Args:
        nets: in eval mode, as `restore` gives them.
        shares: of each, above 0; they are divided by their sum.

    Raises:
        ValueError: not one share for each net, one is not above 0, or sizes differ.
    """
    if len(nets) != len(shares) or min(shares, default=0.0) <= 0:
        raise ValueError(f"{len(nets)} nets need as many shares above 0, not {shares}")
    deepest = nets[-1].config
    grown = [grow(net, deepest) for net in nets]
    layers = {name: m for name, m in grown[0].named_modules() if isinstance(m, Layer)}
    adding = {
        id(parameter)
        for layer in layers.values()
        for module in layer.last()
        for parameter in (*module.parameters(), *module.buffers())
    }
    mixed: dict[str, Tensor] = {}
    lacking = [layers.keys() - {name for name, _ in net.named_modules()} for net in nets]
    states = [net.state_dict() for net in grown]
    for name, value in grown[0].state_dict(keep_vars=True).items():
        layer = next((own for own in layers if name.startswith(own + ".")), None)
        parts = [
            (share, state[name].float())
            for share, state, lacks in zip(shares, states, lacking, strict=True)
            if layer not in lacks or id(value) in adding  # what adds is 0 in a net that lacks it
        ]
        total = sum(share for share, _ in parts)
        mean = torch.stack([share / total * part for share, part in parts]).sum(0)
        mixed[name] = mean.to(value.dtype)
    result = Nano(deepest)
    result.load_state_dict(mixed)
    return result.eval()


def main(
    folder: Annotated[Path, typer.Argument(help="Where the mean goes, with its record.")],
    sources: Annotated[list[str], typer.Argument(help="Exports: 'nano' or their folders.")],
    shares: Annotated[
        list[float] | None, typer.Option("--share", help="Of each, in their order; else equal.")
    ] = None,
    meanings: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Table of words' meanings.")
    ] = None,
) -> None:
    """Write the mean; see the module's docstring."""
    shares = shares or [1.0] * len(sources)
    try:
        net = soup([restore(source, statistics=False) for source in sources], shares)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    state = net.state_dict()
    torch.save(
        {
            "recipe": "python -m cropzoom.trainer.nano.soup",
            "net": state,
            "mean": {f"module.{name}": value for name, value in state.items()},
            "step": 0,
            "seconds": 0.0,
            "config": net.config.to_dict(),
            "arguments": {
                "soup": shares,
                "meanings": None if meanings is None else str(meanings),
            },
            "parent": {"soup": [lineage(source) for source in sources]},
        },
        folder / "checkpoint.pt",
    )


if __name__ == "__main__":
    typer.run(main)
