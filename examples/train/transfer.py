"""Third experiment: does a policy trained for one frozen model help another, unchanged?

    python examples/train/transfer.py data.jsonl runs/grpo \
        --target HuggingFaceTB/SmolVLM-500M-Instruct

The paper trains with SmolVLM-256M as the reader, and its crops lift LLaVA-1.5, Qwen2.5-VL and
GPT-4.1-nano as well. For targets behind a server and for standard benchmarks, export the policy
(`cropzoom export-onnx`) and use `cropzoom eval`.
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
from cropzoom.trainer.settings import FILE, load_config
from cropzoom.trainer.training import hold_out, read_rows


def main() -> None:
    """Measure the policy with its own reader and with others, on the rows it was not trained on."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", help="as for `cropzoom train grpo`")
    parser.add_argument("policy", type=Path, help="OUT of `cropzoom train grpo`")
    parser.add_argument("--target", action="append", required=True, help="another frozen VLM")
    parser.add_argument("--output", type=Path, help="JSON file of the results")
    given = parser.parse_args()
    config = load_config(given.policy / FILE)
    config.data.source = given.data
    _, held_out = hold_out(read_rows(config.data, need_box=False), config.data)
    assert held_out is not None, "data.held_out is 0: nothing was kept to measure on"
    policy = load_policy(given.policy).to("cuda" if torch.cuda.is_available() else "cpu")
    results = {
        target: measure(policy, held_out, make_reward("accuracy", model=target))
        for target in (config.reward.model, *given.target)
    }
    table = Table("target", "accuracy", "no crop", "random crop", "gain", title="mean")
    for target, found in results.items():
        cells = (f"{found[key]:.3f}" for key in ("crop", "none", "random"))
        table.add_row(target, *cells, f"{found['crop'] - found['none']:+.3f}")
    Console().print(table)
    if given.output:
        given.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
