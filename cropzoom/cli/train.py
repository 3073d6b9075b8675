"""`cropzoom train sft` and `cropzoom train grpo`: train a crop policy on your own pictures."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cropzoom.cli.flags import ColumnFlag, ImagesFlag
from cropzoom.cli.output import JsonFlag, Output

train = typer.Typer(
    help="Train a crop policy: by supervised learning (sft), then against a reward (grpo).",
    epilog="Example: cropzoom train sft labels/ runs/sft",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


Data = Annotated[
    str,
    typer.Argument(
        help="textvqa, docvqa, infographicvqa or stvqa; a JSONL or parquet file; a folder; or "
        "'owner/name' on the hub. Several with commas between them.",
        show_default=False,
    ),
]
Out = Annotated[
    Path, typer.Argument(help="Folder for checkpoints and the policy.", show_default=False)
]
PolicyFlag = Annotated[
    Literal["text", "pointer", "nano"] | None,
    typer.Option("--policy", help="Kind of policy; the preset's by default."),
]
ModelFlag = Annotated[
    str | None,
    typer.Option("--model", "-m", help="What it starts from: a checkpoint, or an earlier OUT."),
]
PresetFlag = Annotated[
    Literal["paper", "modern"] | None,
    typer.Option(help="paper: the paper's figures. modern: pointer, and today's habits."),
]
ConfigFlag = Annotated[
    Path | None, typer.Option("--config", help="YAML, such as the config.yaml of an earlier run.")
]
SetFlag = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another key, such as grpo.num_generations=8."),
]


@train.command()
def sft(
    data: Data,
    out: Out,
    policy: PolicyFlag = None,
    model: ModelFlag = None,
    preset: PresetFlag = None,
    config: ConfigFlag = None,
    column: ColumnFlag = None,
    images: ImagesFlag = None,
    settings: SetFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Train towards the boxes of `cropzoom label`, or of your own.

    Stopped or killed, the same command goes on from the last checkpoint. On several GPUs, start it
    by `torchrun --nproc-per-node 8 -m cropzoom train sft ...` or `accelerate launch -m cropzoom
    train sft ...`.

    Example: `cropzoom train sft labels/ runs/sft --policy pointer`
    """
    flags = _flags(data, policy, model, column, images)
    _train("sft", out, preset, config, settings, flags, as_json)


@train.command()
def grpo(
    data: Data,
    out: Out,
    policy: PolicyFlag = None,
    model: ModelFlag = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="likelihood, accuracy, remote, legibility, readout, or a sum with valid, area."
        ),
    ] = None,
    reward_model: Annotated[
        str | None, typer.Option(help="Frozen VLM that the crops are for: folder or hub name.")
    ] = None,
    preset: PresetFlag = None,
    config: ConfigFlag = None,
    column: ColumnFlag = None,
    images: ImagesFlag = None,
    settings: SetFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Train so that the crops help a frozen model to answer: no boxes needed.

    Stopped or killed, the same command goes on from the last checkpoint. On several GPUs, start it
    by `torchrun --nproc-per-node 8 -m cropzoom train grpo ...` or `accelerate launch -m cropzoom
    train grpo ...`.

    Example: `cropzoom train grpo data.jsonl runs/grpo -m runs/sft --reward likelihood`
    """
    flags = _flags(data, policy, model, column, images)
    flags |= {"reward__spec": reward, "reward__model": reward_model}
    _train("grpo", out, preset, config, settings, flags, as_json)


def _flags(
    data: str,
    policy: str | None,
    model: str | None,
    column: list[str] | None,
    images: Path | None,
) -> dict[str, Any]:
    return {
        "data__source": data,
        "data__columns": column,
        "data__image_folder": None if images is None else str(images),
        "policy__kind": policy,
        "policy__model": model,
    }


def _train(
    method: Literal["sft", "grpo"],
    out: Path,
    preset: str | None,
    config: Path | None,
    settings: list[str] | None,
    flags: dict[str, Any],
    as_json: bool,
) -> None:
    with Output(as_json) as output:
        from cropzoom.data.columns import ColumnMap
        from cropzoom.errors import MissingDependencyError

        try:
            from cropzoom.trainer.settings import resolve
            from cropzoom.trainer.training import leave_group, run
        except ImportError as error:
            raise MissingDependencyError(
                f"training needs more packages ({error}); pip install 'cropzoom[train]'"
            ) from error
        if flags["data__columns"]:
            flags["data__columns"] = ColumnMap.parse(flags["data__columns"]).named
        resolved = resolve(preset, config, settings or (), **flags)
        # The Trainer logs to standard output, where only the result belongs with --json.
        quiet = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
        with quiet:
            summary = run(method, resolved, out)
        leave_group()
        if os.environ.get("RANK", "0") != "0":
            # Of several processes, the first tells.
            return
        output.json(summary)
        metrics = {name: f"{value:.4g}" for name, value in summary["metrics"].items()}
        if metrics:
            output.table(["Held out", ""], [[*pair] for pair in metrics.items()])
        output.text(
            f"{out}: the policy, after {summary['steps']} steps on {summary['rows']} rows.",
            style="bold",
        )
