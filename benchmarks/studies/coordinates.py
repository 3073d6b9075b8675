"""What coordinates as text cost against one pass: the tables of docs/studies/coordinates.md.

Nothing is measured here; `latency.py` and `grpo_throughput.py` did that.
"""

from __future__ import annotations

from typing import Any

from study import markdown

RESULTS = ("latency", "grpo_throughput")

WAYS = {
    "transformers generate": "text, as the authors' script writes it",
    "text fused": "text, this package's export",
    "pointer": "one pass, the same model",
    "nano": "one pass, nano",
}
TRAINED = {"TRL text": "text, TRL", "ours text": "text, ours", "ours pointer": "one pass, ours"}


def tables(latency: dict[str, Any], throughput: dict[str, Any]) -> dict[str, str]:
    """Return the tables `latency` and `training`."""
    return {"latency": _latency(latency), "training": _training(throughput)}


def _latency(results: dict[str, Any]) -> str:
    rows = []
    for side, found in results["cpu"].items():
        for name, way in WAYS.items():
            one = found["croppers"][name]
            whole = one["first"]["total"]["p50"]
            stages = {k: v["p50"] for k, v in one["first"]["stages"].items() if v}
            # A pointer's box comes out of the pass that sees the image.
            writing = stages.get("decode", 0.0)
            second = one["second"]["total"]["p50"] if one["second"] else whole
            runs = one["first"]["counts"].get("decoder_runs", 1)
            rows.append(
                [
                    f"{side} px: {way}",
                    f"{whole:,.0f}",
                    f"{stages['vision']:,.0f}" if "vision" in stages else "",
                    f"{writing:,.0f}",
                    f"{writing / whole:.0%}",
                    f"{runs:.0f}",
                    f"{second:,.0f}",
                ]
            )
    head = ["", "whole, ms", "vision", "writing the box", "share", "runs", "second question, ms"]
    return markdown(head, rows)


def _training(results: dict[str, Any]) -> str:
    rows = []
    for name, way in TRAINED.items():
        one = results["summary"][name]
        cells = [
            f"{one[key]['median']:.0f} [{one[key]['min']:.0f}, {one[key]['max']:.0f}]"
            for key in ("samples_per_second", "without_reward")
        ]
        rows.append([way, *cells, f"{one['valid']['median']:.0%}"])
    head = ["", "samples a second", "without the reward", "boxes that parse"]
    return markdown(head, rows)
