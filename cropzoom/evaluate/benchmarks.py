"""The standard benchmarks: how their questions are put, and how the replies are scored.

The facts are those of lmms-eval 0.7.3 (`tasks/*/*.yaml`, `utils.py`) and of VLMEvalKit (as of
ms-vlmeval 0.0.20, `dataset/image_vqa.py`, `dataset/image_mcq.py`). Where the data lie is in
`cropzoom.data.presets`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from cropzoom.data.row import Row
from cropzoom.data.rows import load_rows
from cropzoom.data.test_set import TestSet
from cropzoom.errors import DataError
from cropzoom.reading.metrics import Harness, MetricName, options_in_text

_BRIEFLY = "\nAnswer the question using a single word or phrase."
_BY_LETTER = "\nAnswer with the option's letter from the given choices directly."


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A benchmark.

    Args:
        title: its name in print.
        preset: where its data lie, of `cropzoom.data.presets`.
        split: the one that is evaluated.
        metric: how both harnesses score it.
        options: where the options of a multiple-choice question are: in its text, or in columns.
        submission: the two fields' names in the challenge's submission file.
    """

    title: str
    preset: str
    split: str
    metric: MetricName
    options: Literal["text", "columns"] | None = None
    submission: tuple[str, str] | None = None


BENCHMARKS: Mapping[str, Benchmark] = {
    "textvqa": Benchmark(
        title="TextVQA",
        preset="textvqa",
        split="validation",
        metric="vqa",
        submission=("question_id", "answer"),
    ),
    "docvqa": Benchmark(
        title="DocVQA",
        preset="docvqa",
        split="validation",
        metric="anls",
        submission=("questionId", "answer"),
    ),
    "infographicvqa": Benchmark(
        title="InfographicVQA",
        preset="infographicvqa",
        split="validation",
        metric="anls",
        submission=("questionId", "answer"),
    ),
    "stvqa": Benchmark(
        title="ST-VQA",
        preset="stvqa-test",
        split="test",
        metric="anls",
        submission=("question_id", "answer"),
    ),
    "vstar": Benchmark(title="V*", preset="vstar", split="test", metric="vstar", options="text"),
    **{
        f"hrbench{size}k": Benchmark(
            title=f"HR-Bench {size}K",
            preset=f"hrbench{size}k",
            split=f"hrbench_{size}k",
            metric="choice",
            options="columns",
        )
        for size in (4, 8)
    },
}


def load_benchmark(
    name: str,
    *,
    source: str | None = None,
    split: str | None = None,
    harness: Harness = "lmms-eval",
    limit: int | None = None,
) -> TestSet:
    """Load a benchmark. Pictures are fetched when a question is asked.

    Args:
        name: of `BENCHMARKS`.
        source: a local copy of its repository, or another repository with the same files and
            columns; its own by default.
        split: another than the one usually evaluated.
        harness: whose prompts and metric.
        limit: the first so many rows only, as `lmms-eval --limit`.

    Raises:
        DataError: the data can't be had, or has other columns.
        MissingDependencyError: `datasets` is not installed.
    """
    if name not in BENCHMARKS:
        raise DataError(f"there is no preset {name!r}; there are {', '.join(BENCHMARKS)}")
    benchmark = BENCHMARKS[name]
    split = split or benchmark.split
    rows = load_rows(
        source or benchmark.preset,
        preset=benchmark.preset if source else None,
        split=split,
        check_images="none",
        evaluation=True,
        limit=limit,
    )
    return TestSet(
        benchmark.title,
        f"{name} {split} {harness}",
        [_put(benchmark, row, harness) for row in rows],
        rows.skipped.rows,
        benchmark.metric,
        harness,
        benchmark.submission,
    )


def _put(benchmark: Benchmark, row: Row, harness: Harness) -> Row:
    """Put a row's question as the harness does."""
    plain, options = row.question, row.options
    if benchmark.options == "text":
        plain, options = options_in_text(row.question)
        options = {letter: text.partition(_BY_LETTER)[0] for letter, text in options.items()}
    question = prompt(benchmark, row.question, options, harness)
    return replace(row, question=question, plain=plain, options=options)


def prompt(
    benchmark: Benchmark, question: str, options: Mapping[str, str], harness: Harness
) -> str:
    """Return what is sent beside the picture.

    Args:
        benchmark: which one.
        question: as in the data, options included where they are in its text.
        options: texts by letter, without the instruction.
        harness: whose wording.
    """
    listed = "".join(f"{letter}. {text}\n" for letter, text in options.items())
    if harness == "vlmevalkit" and benchmark.options is not None:
        # VLMEvalKit's own file of V* has the options in columns.
        plain = options_in_text(question)[0] if benchmark.options == "text" else question
        choose = "Please select the correct answer from the options above. \n"
        return f"Question: {plain}\n" + (f"Options:\n{listed}{choose}" if options else "")
    if benchmark.options == "columns":
        return f"{question.strip()}\n{listed}Answer the option letter directly."
    if benchmark.options == "text":
        # The instruction stands in V*'s text already and so comes twice, as in lmms-eval.
        plain, raw = options_in_text(question)
        listed = "\n".join(f"{letter}. {text}" for letter, text in raw.items())
        return (f"{plain}\n{listed}" if raw else question) + _BY_LETTER
    if benchmark.title == "TextVQA" and harness == "lmms-eval":
        question = question.capitalize()  # which also lower-cases the rest
    return question + _BRIEFLY
