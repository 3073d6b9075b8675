"""A whole measurement: environment, cold costs, warm rounds, several threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from cropzoom.bench.candidates import Spec
from cropzoom.bench.cold_start import cold
from cropzoom.bench.latency_table import SCHEMA, candidate_result, concurrency_result
from cropzoom.bench.load import load
from cropzoom.bench.measure import Picture, concurrently, interleaved
from cropzoom.environment import environment


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Args:
        specs: the candidates, with labels that differ.
        reference: label of the one whose boxes the others are held against; None for no IoU.
        questions: asked in turn.
        rounds: warm calls of each.
        warmup: rounds before, which do not count.
        seed: of the order in a round.
        cold: fresh processes of each, of which the fastest is told; 0 to do without.
        concurrency: numbers of threads to call each cropper from; (1,) alone measures nothing new.
    """

    specs: Sequence[Spec]
    questions: Sequence[str]
    reference: str | None = None
    rounds: int = 20
    warmup: int = 1
    seed: int = 0
    cold: int = 1
    concurrency: Sequence[int] = ()


def run(
    plan: Plan, picture: Picture, name: str, progress: Callable[[str], None] = lambda stage: None
) -> dict[str, Any]:
    """Measure, and return the results ready for `json.dumps`.

    Args:
        plan: what to measure.
        picture: on which picture.
        name: of the picture, for the results.
        progress: told what is being done.

    Raises:
        CropZoomError: a candidate can't be loaded, or fails.
    """
    result: dict[str, Any] = {
        "schema": SCHEMA,
        "environment": environment(),
        "settings": {
            "image": {"name": name, "size": list(picture.size), "format": picture.format},
            "questions": list(plan.questions),
            "rounds": plan.rounds,
            "warmup": plan.warmup,
            "seed": plan.seed,
        },
        "reference": plan.reference,
        "croppers": {},
    }
    costs: dict[str, dict[str, Any]] = {}
    for spec in plan.specs if plan.cold else ():
        progress(f"Starting {spec.label} in a fresh process")
        runs = [cold(spec, picture.fresh(), plan.questions[0]) for _ in range(plan.cold)]
        keys = [key for key in runs[0] if runs[0][key] is not None]
        costs[spec.label] = {"n": plan.cold, **{key: min(one[key] for one in runs) for key in keys}}
    with ExitStack() as stack:
        candidates = []
        for spec in plan.specs:
            progress(f"Loading {spec.label}")
            candidates.append(load(spec))
            stack.callback(candidates[-1].close)
        calls = interleaved(
            candidates,
            picture,
            plan.questions,
            rounds=plan.rounds,
            warmup=plan.warmup,
            seed=plan.seed,
            progress=progress,
        )
        reference = calls[plan.reference] if plan.reference else None
        for candidate in candidates:
            label = candidate.label
            entry = candidate_result(candidate, calls[label], reference)
            entry["cold"] = costs.get(label)
            entry["concurrency"] = {}
            for threads in plan.concurrency if candidate.threadsafe else ():
                progress(f"Calling {label} from {threads} threads")
                several = concurrently(
                    candidate, picture, plan.questions, threads, max(plan.rounds, 2 * threads)
                )
                entry["concurrency"][str(threads)] = concurrency_result(*several)
            result["croppers"][label] = entry
    return result
