"""Train nano from scratch on rendered pages, on a CPU in hours.

    python -m cropzoom.trainer.nano.train runs/nano --steps 9000

With `--start-from nano` (or a nano's folder) it goes on from an exported net instead of random
weights, on full-size pages from the first batch.

With `--pool` a share of the pages comes from a folder of pages that a browser laid out, made by
`python -m cropzoom.trainer.nano.pages.browser`.

Stops and resumes at any time: the same command goes on from the last checkpoint. The rate is
constant until the last `decay` share of the steps, so `--steps` may be changed on the way.
`runs/nano/log.jsonl` holds the curve.
"""

from __future__ import annotations

import os

# A spinning OpenMP pool starves the rendering workers and slows a step tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")

import json
import math
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

from cropzoom.cropper.folder import find_folder
from cropzoom.cropper.manifest import read_manifest
from cropzoom.cropper.nano.meanings import Meanings
from cropzoom.cropper.nano.nano_cropper import decode
from cropzoom.cropper.nano.pointer_spec import DecodeSpec

from .asked import Kinds
from .batches import (
    Batch,
    Batches,
    heldout_batches,
    measure_options,
    pooled_batches,
    real_batches,
)
from .decoding import CENTRE, PAD_PX, PRICE, SCALE
from .growth import deeper, grow
from .nano_losses import pointing_losses, reading_losses, retrieval
from .network import CELL, EDGE_BINS, Nano, NanoConfig, Pointing
from .restore import restore


def learning_rate(
    step: int, progress: float, peak: float, decay: float, warmup: int = 200
) -> float:
    """Linear warm-up, constant, then a cosine to 2 % over the last `decay` share of the run.

    `progress` is the share of the run that is over, 0 to 1.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    left = (1.0 - progress) / max(1e-6, decay)
    return peak * (0.02 + 0.98 * 0.5 * (1 - math.cos(math.pi * min(1.0, max(0.0, left)))))


MEASURED = DecodeSpec(CELL, EDGE_BINS, 0.5, SCALE, PAD_PX, 1.0, None, PRICE, CENTRE)
"""Boxes are measured as the exported cropper makes them."""


def pointed_boxes(pointing: Pointing, width: int, height: int) -> Tensor:
    """The box for each question as the runtime decodes it, (Q, 4) px of a page of that size."""
    boxes = []
    for cells, absent, edges in zip(*(x.float().numpy() for x in pointing), strict=True):
        (crop,) = decode(cells, float(absent[0]), edges, (width, height), MEASURED, 1)
        boxes.append((crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1))
    return torch.tensor(boxes) * torch.tensor([width, height, width, height])


def measure(net: nn.Module, batches: list[Batch]) -> dict[str, float]:
    """Word retrieval; share of questions whose box is centred in the region; value covered."""
    assert isinstance(net, Nano)
    net.eval()
    found, hits, covered = [], [], []
    with torch.no_grad():
        for batch in batches:
            reading = net.pages(batch.image.float())
            found.append(retrieval(net, reading, batch).float())
            if not len(batch.page):
                continue
            height, width = batch.image.shape[2:]
            pointing = net.point(reading, batch.words, batch.mask, batch.page)
            box = pointed_boxes(pointing, width, height)
            x, y = (box[:, 0] + box[:, 2]) / 2, (box[:, 1] + box[:, 3]) / 2
            r, v = batch.region, batch.value
            hits.append(((x >= r[:, 0]) & (x <= r[:, 2]) & (y >= r[:, 1]) & (y <= r[:, 3])).float())
            low = (box[:, :2] <= v[:, :2] + 1.0).all(1)
            covered.append((low & (box[:, 2:] >= v[:, 2:] - 1.0).all(1)).float())
    net.train()
    result = {"retrieval": float(torch.cat(found).mean())}
    if hits:
        result |= {
            "hit": float(torch.cat(hits).mean()),
            "covered": float(torch.cat(covered).mean()),
            "questions": float(len(torch.cat(hits))),
        }
    return result


_SHARES = {"edge": 0.4, "asked": 1.0, "label": 0.3, "shown": 0.3}
"""Of losses that count for less than 1."""


def train(
    folder: Annotated[Path, typer.Argument(help="Checkpoint and log; continued when not empty.")],
    steps: Annotated[int, typer.Option(help="Batches in all.")] = 9000,
    minutes: Annotated[
        float | None, typer.Option(help="Ends after so much time if that is sooner.")
    ] = None,
    reading: Annotated[int, typer.Option(help="Batches of dense words first.")] = 1500,
    rate: Annotated[float, typer.Option(help="Peak learning rate.")] = 1.5e-3,
    decay: Annotated[
        float, typer.Option(help="Share of the steps in which the rate falls.")
    ] = 0.35,
    start_from: Annotated[
        str | None, typer.Option(help="A nano to go on from: 'nano' or its folder.")
    ] = None,
    grown: Annotated[
        list[str] | None,
        typer.Option("--grow", help="A depth of the net to go on with, as wide_blocks=6."),
    ] = None,
    pool: Annotated[
        Path | None,
        typer.Option(
            help="Folder of pages that a browser laid out (cropzoom.trainer.nano.pages.browser)."
        ),
    ] = None,
    pool_share: Annotated[
        float, typer.Option(help="Share of the batches of pages that come from the pool.")
    ] = 0.4,
    pool_heldout: Annotated[
        Path | None, typer.Option(help="Such a folder of the held-out split, to measure on.")
    ] = None,
    real: Annotated[
        Path | None, typer.Option(help="Folder of real pages (real_split.py tells its layout).")
    ] = None,
    real_share: Annotated[
        float, typer.Option(help="Share of the batches of pages that are real ones.")
    ] = 0.5,
    papers: Annotated[
        float, typer.Option(help="Share of drawn receipts, invoices, forms and dialogs.")
    ] = 0.25,
    meanings: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="Table of words' meanings (trainer/nano/distil.py)."
        ),
    ] = None,
    seed: Annotated[int, typer.Option()] = 1,
    workers: Annotated[int, typer.Option(help="Rendering processes.")] = 1,
    threads: Annotated[int, typer.Option(help="Threads of the step.")] = 2,
    every: Annotated[int, typer.Option(help="Steps between measurements and checkpoints.")] = 250,
    bf16: Annotated[
        bool, typer.Option(help="Half the precision in the step: faster where the CPU has it.")
    ] = False,
) -> None:
    """Train nano; see the module's docstring."""
    arguments = {
        name: str(value) if isinstance(value, Path) else value for name, value in locals().items()
    }
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    folder.mkdir(parents=True, exist_ok=True)
    fresh = start_from is None
    net = Nano(NanoConfig()) if start_from is None else restore(start_from).train()
    if grown:
        try:
            net = grow(net, deeper(net.config, grown))
        except ValueError as error:
            raise typer.BadParameter(f"--grow: {error}") from error
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a stub lacks it
    mean = torch.optim.swa_utils.AveragedModel(net, avg_fn=_moving_average, use_buffers=True)
    table = None if meanings is None else Meanings.parse(meanings.read_bytes())
    kinds = Kinds(net.config.kind_width, seed, table)
    learnt = [*net.parameters(), *kinds.parameters()]
    optimizer = torch.optim.AdamW(learnt, lr=rate, betas=(0.9, 0.98), weight_decay=0.02)
    start, spent = 0, 0.0
    earlier: list[dict[str, Any]] = []
    parent = None if fresh else lineage(start_from or "")
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        state: dict[str, Any] = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"])
        kinds.load_state_dict(state["kinds"])
        mean.load_state_dict(state["mean"])
        optimizer.load_state_dict(state["optimizer"])
        start, spent = state["step"], state["seconds"]
        parent = state["parent"]
        earlier = state.get("earlier", [])
        if state["arguments"] != arguments:
            earlier = [*earlier, {"until_step": start, **state["arguments"]}]
    tests = {
        "320": heldout_batches(2, 6, 8, measure_options(320, 320), table),
        "768x1024": heldout_batches(3, 16, 1, measure_options(768, 1024), table),
    }
    if real is not None:
        tests["real"] = real_batches(real, 40, table)
    if pool_heldout is not None:
        tests["html 736x1024"] = pooled_batches(pool_heldout, 4, 24, table)
    loader = torch.utils.data.DataLoader(
        Batches(
            seed,
            start,
            reading if fresh else None,
            steps,
            pool,
            pool_share,
            real,
            real_share,
            papers,
            table,
        ),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=8 if workers else None,
    )
    totals: dict[str, float] = {}
    began = time.monotonic()
    net.train()
    for step, batch in enumerate(loader, start):
        seconds = spent + time.monotonic() - began
        progress = max(step / steps, seconds / 60 / minutes if minutes else 0.0)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, progress, rate, decay)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            read = net.pages(batch.image.float())
            losses = reading_losses(net, read, batch) if len(batch.word) > 1 else {}
            if len(batch.page):
                pointing = net.point(read, batch.words, batch.mask, batch.page)
                losses |= pointing_losses(pointing, batch)
                losses |= kinds.shown(net, read, batch)
            if losses:
                losses |= kinds.asked(net, step)
        if not losses:
            continue
        loss = torch.stack([_SHARES.get(k, 1.0) * v for k, v in losses.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learnt, 1.0)
        optimizer.step()
        mean.update_parameters(net)
        for key, value in losses.items():
            totals[key] = totals.get(key, 0.0) + float(value.detach())
            totals["n/" + key] = totals.get("n/" + key, 0.0) + 1
        last = step + 1 == steps or progress >= 1.0
        if (step + 1) % every == 0 or last:
            row: dict[str, Any] = {
                "step": step + 1,
                "minutes": round(seconds / 60, 2),
                "rate": optimizer.param_groups[0]["lr"],
            }
            row |= {k: round(v / totals["n/" + k], 4) for k, v in totals.items() if k[:2] != "n/"}
            for name, batches in tests.items():
                if step >= reading or not fresh or name == "320":
                    row[name] = {k: round(v, 4) for k, v in measure(mean.module, batches).items()}
            totals = {}
            _save(
                checkpoint,
                {
                    "net": net.state_dict(),
                    "mean": mean.state_dict(),
                    "kinds": kinds.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "step": step + 1,
                    "seconds": seconds,
                    "config": net.config.to_dict(),
                    "arguments": arguments,
                    "earlier": earlier,
                    "parent": parent,
                },
            )
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
            print(json.dumps(row), flush=True)
        if last:
            break


def lineage(source: str) -> dict[str, Any]:
    """Name, version, digest and `training` of the cropper that a run starts from."""
    manifest = read_manifest(find_folder(source))
    return {
        "name": manifest.name,
        "version": manifest.version,
        "sha256": {name: entry.sha256 for name, entry in manifest.files.items()},
        "training": dict(manifest.training),
    }


def _moving_average(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """Exponential, over about 500 steps; over fewer at first."""
    return mean + (new - mean) * max(0.002, 1 - (1 + float(count)) / (10 + float(count)))


def _save(path: Path, state: dict[str, Any]) -> None:
    """Write beside and rename, so that a kill never leaves half a checkpoint."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


if __name__ == "__main__":
    typer.run(train)
