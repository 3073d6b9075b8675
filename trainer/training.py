"""From a configuration to a trained policy: data, policy, reward, trainer, resuming, the summary.

In the output folder: config.yaml (all of the configuration), skipped.jsonl (records that could not
be rows), checkpoint-N/, pictures/, and at the end the policy's own files and summary.json.
"""

from __future__ import annotations

import functools
import json
import logging
import operator
from pathlib import Path
from typing import Any, Literal

from accelerate.state import PartialState
from accelerate.utils import set_seed

from cropzoom.data.columns import ColumnMap
from cropzoom.data.rows import Rows, load_rows, split_rows
from cropzoom.errors import DataError, TrainingError
from cropzoom.files import write_whole

from .config import DataConfig, GrpoConfig, PolicyConfig, RewardConfig, TrainConfig
from .grpo import GrpoTrainer
from .policies import load_policy
from .policies.policy import Policy
from .policy_trainer import PolicyTrainer, last_checkpoint
from .rewards import make_reward
from .rewards.reward import Reward
from .settings import FILE, differences, load_config, save_config
from .sft import SftTrainer

logger = logging.getLogger(__name__)

SUMMARY = "summary.json"
_ASKING = ("likelihood", "accuracy", "remote")


def run(method: Literal["sft", "grpo"], config: TrainConfig, output: Path) -> dict[str, Any]:
    """Train, or go on with the training that the output folder holds.

    Args:
        method: which of the two.
        config: SFT evaluates with the reward only where its `evaluate_reward` says so.
        output: made if missing.

    Returns:
        The summary: output, steps, rows, held_out, skipped, and metrics of the last evaluation.

    Raises:
        CropZoomError: the configuration, the data, the policy or the reward can't be used, or the
            folder holds a run of another configuration.
    """
    _check_folder(config, output)
    rows = read_rows(config.data, need_box=method == "sft")
    train, held_out = hold_out(rows, config.data)
    args = config.arguments(method, output, evaluate=held_out is not None)
    # Before the models: it chooses this process's GPU.
    logger.info("training on %s", args.device)
    set_seed(args.seed)
    policy = make_policy(config.policy)
    trainer: PolicyTrainer
    if isinstance(args, GrpoConfig):
        reward = build_reward(config.reward)
        trainer = GrpoTrainer(policy, train, reward, args, eval_rows=held_out)
    else:
        measure = build_reward(config.reward) if args.evaluate_reward else None
        trainer = SftTrainer(policy, train, args, eval_rows=held_out, reward=measure)
    # All have looked at the folder before the first writes to it.
    trainer.accelerator.wait_for_everyone()
    if args.should_save:
        save_config(config, output)
        rows.skipped.save(output / "skipped.jsonl")
    checkpoint = last_checkpoint(output)
    if checkpoint is not None:
        logger.warning("going on from %s", checkpoint)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    metrics = trainer.evaluate() if held_out is not None else {}
    trainer.save_model(str(output))
    summary = {
        "output": str(output),
        "method": method,
        "steps": trainer.state.global_step,
        "rows": len(train),
        "held_out": 0 if held_out is None else len(held_out),
        "skipped": rows.skipped.counts,
        "metrics": metrics,
        "log": [entry for entry in trainer.state.log_history if "loss" in entry][-1:],
    }
    if args.should_save:
        write_whole(output / SUMMARY, json.dumps(summary, indent=2) + "\n")
    return summary


def leave_group() -> None:
    """End this process's part of a distributed run, after all its work, if it is one.

    With the group open, threads of it may still run when the interpreter ends, which then aborts.
    """
    PartialState().destroy_process_group()


def read_rows(config: DataConfig, *, need_box: bool) -> Rows:
    """Load the rows that a configuration names, of all its sources."""
    sources = [source.strip() for source in config.source.split(",")]
    if not all(sources):
        raise TrainingError(
            f"data.source={config.source!r} must name a data set, a folder or a file, or several "
            "with commas between them"
        )
    columns = ColumnMap.parse(f"{role}={name}" for role, name in config.columns.items())
    loaded = [
        load_rows(
            source,
            preset=config.preset,
            split=config.split,
            config=config.subset,
            columns=columns if config.columns else None,
            image_folder=config.image_folder,
            box_units=config.box_units,
            box_layout=config.box_layout,
            boxes="need" if need_box else "read",
            check_images=config.check_images,
            limit=config.limit,
        )
        for source in sources
    ]
    return functools.reduce(operator.add, loaded)


def hold_out(rows: Rows, config: DataConfig) -> tuple[Rows, Rows | None]:
    """Split rows for training and evaluation, no picture in both."""
    if config.held_out == 0:
        return rows, None
    shares = {"train": 1 - config.held_out, "held_out": config.held_out}
    try:
        parts = split_rows(rows, shares, config.seed)
    except DataError as error:
        raise DataError(
            f"{error}. Set data.held_out to a larger share, or to 0 to train without evaluation"
        ) from error
    return parts["train"], parts["held_out"]


def make_policy(config: PolicyConfig) -> Policy:
    """Load the policy that training starts from."""
    options: dict[str, Any] = {}
    if config.kind != "nano":
        options = {
            "longest_edge": config.longest_edge,
            "prompt": config.prompt,
            "capitalize": config.capitalize,
        }
        if config.lora_rank:
            options["lora"] = {
                "r": config.lora_rank,
                "alpha": config.lora_alpha,
                "dropout": config.lora_dropout,
            }
    if config.kind == "text":
        options["constrained"] = config.constrained
    return load_policy(config.model, config.kind, **{**options, **config.options})


def build_reward(config: RewardConfig) -> Reward:
    """Make the reward, with its model where it asks one."""
    options = dict(config.options)
    if any(name in config.spec for name in _ASKING):
        options.setdefault("model", config.model)
    return make_reward(config.spec, **options)


def _check_folder(config: TrainConfig, output: Path) -> None:
    if output.exists() and not output.is_dir():
        raise TrainingError(f"{output} is not a folder; choose another output")
    if not (output / FILE).is_file():
        return
    changed = differences(load_config(output / FILE), config)
    if changed:
        raise TrainingError(
            f"{output} holds a run of another configuration (there / here): "
            f"{'; '.join(changed[:8])}. Choose another folder, or go on with that run by "
            f"--config {output / FILE}"
        )
