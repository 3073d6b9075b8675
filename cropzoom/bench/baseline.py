"""Old figures against new ones: `p90>+10%`.

    CONDITION  = [QUESTION "."] [STAGE "."] PERCENTILE ">+" NUMBER "%"
    QUESTION   = "first" | "second"        first, unless said
    STAGE      = "read" | "vision" | "decode" | ...      end to end, unless said
    PERCENTILE = "p50" | "p90" | "p95" | "p99"

Several stand with commas between them. Each is asked of every cropper that both files hold.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cropzoom.bench.latency_table import SCHEMA, STAGES
from cropzoom.bench.stats import needed
from cropzoom.errors import CropZoomError, OptionsError

_CONDITION = re.compile(
    rf"(?:(first|second)\.)?(?:({'|'.join(STAGES)})\.)?p(50|90|95|99)>\+([0-9]{{1,4}}(?:\.[0-9]{{1,3}})?)%"
)
# Without these being equal, times say nothing about the code.
_PLACE = ("cpu", "flags", "usable_cores")
_SAME = ("runtime", "kind", "hash", "device", "threads", "longest_edge")


@dataclass(frozen=True)
class Condition:
    """What must not get slower by more than how much.

    Args:
        question: "first" or "second".
        stage: None for end to end.
        percent: the percentile.
        more: percents that it may grow.
    """

    question: str
    stage: str | None
    percent: int
    more: float

    def __str__(self) -> str:
        stage = f"{self.stage}." if self.stage else ""
        return f"{self.question}.{stage}p{self.percent}>+{self.more:g}%"

    def value(self, result: Mapping[str, Any]) -> float | None:
        """Return the percentile of a cropper's result, in ms; None where there is none."""
        calls = result[self.question]
        if calls is None:
            return None
        summary = calls["stages"].get(self.stage) if self.stage else calls["total"]
        value: float | None = summary and summary[f"p{self.percent}"]
        return value


def parse_conditions(texts: Sequence[str], rounds: int) -> list[Condition]:
    """Read conditions.

    Args:
        texts: one or more each, with commas between.
        rounds: that are measured; a percentile needs enough of them.

    Raises:
        OptionsError: a text is no condition, or there are too few rounds for it.
    """
    conditions = []
    for text in texts:
        for part in text.split(","):
            match = _CONDITION.fullmatch(part.strip())
            if match is None:
                raise OptionsError(
                    f"--fail-if {part.strip()!r} is no condition; write 'p90>+10%', or with a "
                    f"question (first, second) and a stage ({', '.join(STAGES)}) before it: "
                    "'second.decode.p50>+20%'; commas between several"
                )
            question, stage, percent, more = match.groups()
            condition = Condition(question or "first", stage, int(percent), float(more))
            if rounds < needed(condition.percent):
                raise OptionsError(
                    f"p{percent} needs at least {needed(condition.percent)} rounds, and "
                    f"--rounds is {rounds}"
                )
            conditions.append(condition)
    return conditions


@dataclass
class Comparison:
    """What came of comparing.

    Attributes:
        lines: one for each value compared.
        worse: those that broke their condition.
        warnings: what was not compared, and why.
    """

    lines: list[str] = field(default_factory=list)
    worse: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def read_baseline(path: Path) -> dict[str, Any]:
    """Read a file that `cropzoom bench --output` wrote.

    Raises:
        CropZoomError: it can't be read, or is something else.
    """
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise CropZoomError(f"can't read the baseline {path}: {error}") from error
    right = isinstance(content, dict) and all(
        isinstance(content.get(key), dict) for key in ("environment", "croppers", "settings")
    )
    if not right or content.get("schema") != SCHEMA:
        raise CropZoomError(
            f"{path} is no result of this version's `cropzoom bench --latency`; make one with "
            f"--output {path}"
        )
    return dict(content)


def compare(
    old: Mapping[str, Any], new: Mapping[str, Any], conditions: Sequence[Condition]
) -> Comparison:
    """Compare results; croppers that are not the same, or ran elsewhere, are not compared.

    Raises:
        CropZoomError: nothing could be compared, or the old result lacks a part.
    """
    comparison = Comparison()
    places = [result["environment"] for result in (old, new)]
    elsewhere = [key for key in _PLACE if places[0].get(key) != places[1].get(key)]
    try:
        if elsewhere:
            comparison.warnings.append(
                f"the baseline is from another machine: {', '.join(elsewhere)}"
            )
        elif old["settings"]["image"] != new["settings"]["image"]:
            comparison.warnings.append("the baseline is of another picture")
        else:
            for label, result in new["croppers"].items():
                _compare_one(label, old["croppers"].get(label), result, conditions, comparison)
    except (KeyError, TypeError, AttributeError) as error:
        raise CropZoomError(f"the baseline lacks {error}; make it anew with --output") from error
    if not comparison.lines:
        raise CropZoomError(
            "nothing could be compared with the baseline "
            f"({'; '.join(comparison.warnings)}); make one here, with the same croppers and picture"
        )
    return comparison


def _compare_one(
    label: str,
    old: Mapping[str, Any] | None,
    new: Mapping[str, Any],
    conditions: Sequence[Condition],
    comparison: Comparison,
) -> None:
    if old is None:
        comparison.warnings.append(f"{label} is not in the baseline")
        return
    other = [key for key in _SAME if old.get(key) != new.get(key)]
    if other:
        comparison.warnings.append(f"{label} is another one in the baseline: {', '.join(other)}")
        return
    for condition in conditions:
        before, now = condition.value(old), condition.value(new)
        if before is None or now is None:
            comparison.warnings.append(f"{label} has no {condition} in the baseline or here")
            continue
        # A stage that took no time has no percents.
        more = (now / before - 1) * 100 if before else (0.0 if now == before else float("inf"))
        line = f"{label}: {condition}: {before:.2f} -> {now:.2f} ms ({more:+.1f} %)"
        comparison.lines.append(line)
        if more > condition.more:
            comparison.worse.append(line)
