"""The tables that `cropzoom eval` prints."""

from __future__ import annotations

from typing import Any

from cropzoom.cli.output import Output


def show(summary: dict[str, Any], output: Output) -> None:
    """Print a table for each target, and how many questions could not be asked."""
    heads = ["crop", "score, %", "against none", "broke, mended", "no worse?", "area, %",
             "ms (crop's)", "image tokens", "$ of images", "tokens", "$", "failed"]  # fmt: skip
    for target, croppers in summary["targets"].items():
        rows = [_row(name, figures) for name, figures in croppers.items()]
        kept = [at for at in range(len(heads)) if any(row[at] for row in rows)]
        output.table(
            [heads[at] for at in kept],
            [[row[at] for at in kept] for row in rows],
            title=f"{target}: {summary['data']}, {summary['rows']} questions, {summary['metric']}",
        )
    problems = {**summary["problems"], **summary["failures"]}
    if problems:
        counted = ", ".join(f"{count} {kind}" for kind, count in problems.items())
        output.warn(f"not asked or not answered: {counted}; summary.json lists them")


def _row(name: str, figures: dict[str, Any]) -> list[str]:
    paired = figures.get("against_none")
    spent = _figure(figures["milliseconds"], ".0f")
    if name != "none" and spent:
        spent += f" ({figures['crop_milliseconds']:.0f})"
    share = figures.get("image_tokens_share")
    return [
        name,
        _estimate(figures["score"]),
        f"{_estimate(paired['difference'], '+.1f')} p {paired['p']:.2g}" if paired else "",
        f"{paired['broken']}, {paired['mended']}" if paired else "",
        _verdict(paired["non_inferiority"]) if paired else "",
        _figure(figures["mean_area"], ".1f", 100),
        spent,
        _figure(figures["image_tokens"], ",.0f") + ("" if share is None else f" ({share:.0%})"),
        _figure(figures.get("image_dollars"), ".3g"),
        _figure(figures["prompt_tokens"], ".0f"),
        _figure(figures.get("dollars"), ".2f"),
        str(figures["failed"] or ""),
    ]


def _verdict(test: dict[str, Any]) -> str:
    low, high = test["interval"]
    return "" if low is None else f"{test['verdict']} [{low * 100:+.1f}, {high * 100:+.1f}]"


def _figure(value: float | None, form: str, scale: float = 1) -> str:
    return "" if value is None else format(value * scale, form)


def _estimate(estimate: dict[str, Any], form: str = ".1f") -> str:
    """Write a share in percent with its interval."""
    if estimate["mean"] is None:
        return ""
    low, high = estimate["interval"]
    sides = "" if low is None else f" [{low * 100:.0f}, {high * 100:.0f}]"
    return f"{estimate['mean'] * 100:{form}}{sides}"
