"""Second experiment: the same policy trained by the answer's likelihood, and by its accuracy.

The paper finds likelihood ahead (SmolVLM at 1024 px: 50.89 against 49.75): an answer is right or
wrong, so with accuracy most groups have no best sample; see `groups/dead` in the two logs.

    python examples/train/likelihood_or_accuracy.py data.jsonl runs/compare --model runs/sft \
        --reader HuggingFaceTB/SmolVLM-256M-Instruct --preset modern

Each of the two runs is a `cropzoom train grpo`, and is resumed like one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from cropzoom.trainer.gains import measure
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.rewards import make_reward
from cropzoom.trainer.settings import resolve
from cropzoom.trainer.training import hold_out, read_rows, run


def main() -> None:
    """Train twice, then let the reader answer with each policy's crops."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as for `cropzoom train grpo`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--model", required=True, help="the policy to start from")
    parser.add_argument("--reader", required=True, help="frozen VLM: folder or hub name")
    parser.add_argument("--preset", default="modern")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args()
    policies = {"before": given.model}
    held_out = None
    for spec in ("accuracy", "likelihood"):
        config = resolve(
            given.preset,
            settings=given.set,
            data__source=given.data,
            policy__model=given.model,
            reward__spec=spec,
            reward__model=given.reader,
        )
        if spec == "accuracy":
            # The preset's, which only the likelihood has.
            config.reward.options.pop("reduce", None)
        run("grpo", config, given.out / spec)
        policies[spec] = str(given.out / spec)
        _, held_out = hold_out(read_rows(config.data, need_box=False), config.data)
    assert held_out is not None, "data.held_out is 0: nothing to compare on"
    reward = make_reward("accuracy", model=given.reader)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    results = {
        name: measure(load_policy(folder).to(device), held_out, reward)
        for name, folder in policies.items()
    }
    table = Table("trained by", "accuracy", "no crop", "random crop", "mean area")
    for name, found in results.items():
        cells = (f"{found[key]:.3f}" for key in ("crop", "none", "random", "area"))
        table.add_row(name, *cells)
    Console().print(table)
    (given.out / "comparison.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
