"""`cropzoom eval`: do the crops help, on your data or a benchmark, and what do they cost."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cropzoom.cli.flags import ColumnFlag, ImagesFlag, named_values
from cropzoom.cli.output import JsonFlag, Output
from cropzoom.reading.metrics import Harness, MetricName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cropzoom.data.test_set import TestSet
    from cropzoom.evaluate.answer_file import Outcome, ResultFile
    from cropzoom.evaluate.croppers import NamedCropper
    from cropzoom.evaluate.targets import Target
    from cropzoom.options import Mode, ZoomOptions

_RENDERED = re.compile(r"rendered:([1-9]\d*)(?:x([1-9]\d*))?(?:@(\d+))?")


def eval(
    data: Annotated[
        str,
        typer.Argument(
            help="textvqa, docvqa, infographicvqa, stvqa, vstar, hrbench4k, hrbench8k; a JSONL or "
            "parquet file; a folder; 'owner/name' on the hub; rendered:PAGES@SEED for pages made "
            "here, with up to 4 questions each (rendered:300x1@7 with one).",
            show_default=False,
        ),
    ],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", "-t", help="openai:MODEL, hf:FOLDER or standin:SIDE. May be repeated."
        ),
    ] = None,
    cropper: Annotated[
        list[str] | None,
        typer.Option(
            "--cropper",
            "-c",
            help="none, thumbnail[:SIDE], random[:AREA|:CROPPER], centre[:AREA|:CROPPER], oracle, "
            "ocr, nano, a cropper folder or 'org/name' on the hub. May be repeated.",
        ),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            help="add, replace, stitch, or several with commas: each cropper once a mode, beside "
            "the full picture and the thumbnail alone.",
            show_default=False,
        ),
    ] = None,
    margin: Annotated[
        float,
        typer.Option(min=0.01, max=50, help="Points that answers may be worse, to be no worse."),
    ] = 1.0,
    count_as: Annotated[
        str | None,
        typer.Option(help="Count the stand-in's image tokens as this model is billed."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the answers and the report.")
    ] = Path("cropzoom-eval"),
    base_url: Annotated[
        str | None, typer.Option(help="OpenAI-compatible server; OpenAI's own by default.")
    ] = None,
    harness: Annotated[Harness, typer.Option(help="Whose prompts and metric.")] = "lmms-eval",
    metric: Annotated[
        MetricName | None,
        typer.Option(help="Of data of your own; contained by default.", show_default=False),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(help="A benchmark's data from here: a folder, or another 'org/name'."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Another split of a benchmark; one of a data set with several."),
    ] = None,
    column: ColumnFlag = None,
    images: ImagesFlag = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The first N questions only.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Requests at a time.")] = 4,
    retries: Annotated[int, typer.Option(min=0, help="Of a request, by the openai client.")] = 2,
    timeout: Annotated[float, typer.Option(min=1, help="Of a request, in seconds.")] = 120.0,
    body: Annotated[
        str | None,
        typer.Option(
            help="JSON object merged into every request, such as '{\"max_tokens\": 32}'. The "
            "default is a temperature of 0; null takes a field out."
        ),
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Of a pipeline.")] = 32,
    option: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE of ZoomOptions, such as max_crops=2. May be repeated."),
    ] = None,
    price: Annotated[
        list[str] | None,
        typer.Option(
            help="[TARGET=]PROMPT,COMPLETION: dollars per million tokens. May be repeated. By "
            "default what is known of OpenAI's own models, and of --count-as."
        ),
    ] = None,
    submission: Annotated[
        bool, typer.Option("--submission", help="Also write the challenge's submission files.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the text reader (stand-in, ocr).")
    ] = None,
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of random crops and the bootstrap.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Ask questions with and without crops, and compare the answers.

    Every answer is kept in `answers.jsonl` as soon as it is there, so the same command goes on
    where it was interrupted, and asks nothing twice. Beside it come `summary.json` and
    `report.html`. The key is taken from OPENAI_API_KEY; a server given with `--base-url` may need
    none.

    Example: `cropzoom eval docvqa -t openai:gpt-4.1-nano -c none -c nano -c centre --limit 200`
    """
    with Output(as_json) as output:
        from cropzoom.cli.eval_table import show
        from cropzoom.evaluate.answer_file import ResultFile, Setting
        from cropzoom.evaluate.croppers import in_modes, make_croppers
        from cropzoom.evaluate.summary import summarise
        from cropzoom.evaluate.targets import TargetSettings, make_target
        from cropzoom.reading.ocr import OcrReader

        names = target or ["standin:448"]
        croppers = cropper or ["none", "nano"]
        options = _options(option or [])
        fields = _body(body)
        prices = _known_prices(names, base_url, count_as) | _prices(price or [], names)
        modes = _modes(mode)
        _make_folder(out)
        test = _test_set(data, harness, metric, source, split, column, images, limit, submission)
        reader = OcrReader(threads=threads)
        settings = TargetSettings(
            options, base_url, fields, retries, timeout, max_new_tokens, reader, count_as
        )
        targets = [make_target(name, settings) for name in dict.fromkeys(names)]
        compared = make_croppers(croppers, seed=seed, reader=reader)
        if modes:
            compared = in_modes(compared, modes, options.thumbnail_side)
        setting = Setting(
            data=test.identity,
            scoring=f"{test.metric} {test.harness}",
            options=asdict(options),
            targets={one.name: one.identity for one in targets},
            croppers={one.name: one.identity for one in compared},
        )
        with ResultFile(out / "answers.jsonl", setting) as results:
            stopped = _ask(test, targets, compared, results, concurrency, output)
        summary = summarise(
            test,
            results.outcomes,
            [one.name for one in targets],
            [one.name for one in compared],
            prices=prices,
            margin=margin / 100,
            resamples=resamples,
            seed=seed,
        )
        _write(out, summary, test, results, submission)
        show(summary, output)
        output.text(f"{out / 'report.html'}: the same with the failures and their pictures.")
        output.json(summary)
        if stopped is not None:
            output.warn(f"stopped early: {stopped}. The same command goes on from here")
            raise typer.Exit(1)


def _test_set(
    data: str,
    harness: Harness,
    metric: MetricName | None,
    source: str | None,
    split: str | None,
    column: list[str] | None,
    images: Path | None,
    limit: int | None,
    submission: bool,
) -> TestSet:
    from cropzoom.data.columns import ColumnMap
    from cropzoom.data.row import Problem
    from cropzoom.data.test_set import load_test
    from cropzoom.errors import DataError
    from cropzoom.evaluate.benchmarks import BENCHMARKS, load_benchmark

    rendered = _RENDERED.fullmatch(data)
    benchmark = data in BENCHMARKS and not Path(data).exists()
    if metric is not None and (benchmark or rendered):
        raise DataError(f"--metric is for data of your own; {data} has its own")
    if source and not benchmark:
        raise DataError(f"--source is for the benchmarks, and {data} is none")
    if ((column or images) and (benchmark or rendered)) or (split and rendered):
        raise DataError(
            f"--column, --images and --split are for data of your own; {data} has its own"
        )
    test: TestSet
    if rendered:
        from cropzoom.trainer.nano.pages.rendered_rows import TEST_PAGES, rendered_test

        pages, questions, seed = (int(number or 0) for number in rendered.groups())
        test = rendered_test(pages, seed, replace(TEST_PAGES, questions=questions or 4))
    elif benchmark:
        test = load_benchmark(data, source=source, split=split, harness=harness, limit=limit)
    else:
        test = load_test(
            data,
            metric=metric or "contained",
            split=split,
            columns=ColumnMap.parse(column) if column else None,
            image_folder=images,
        )
        test = replace(test, harness=harness)
    rows = list(test.rows[:limit])
    if submission:
        if test.submission is None:
            raise DataError(f"--submission: {test.name} has no challenge to submit to")
        return replace(test, rows=rows)
    # Without answers there is nothing to score, and requests cost money.
    known = [row for row in rows if row.answers]
    if not known:
        raise DataError(
            f"{test.name} has no answers in this split, so nothing can be scored; add --submission "
            "to ask all the same and write what the challenge's server takes"
        )
    left = [Problem(row.id, "no answers", "not asked") for row in rows if not row.answers]
    return replace(test, rows=known, problems=[*test.problems, *left])


def _options(pairs: Sequence[str]) -> ZoomOptions:
    from cropzoom.options import OPTION_NAMES, ZoomOptions

    names = [name for name in OPTION_NAMES if name != "cache_size"]
    # Nothing is remembered: every prediction is made, and timed.
    return ZoomOptions(**named_values(pairs, "--option", names), cache_size=0)


def _modes(text: str | None) -> list[Mode]:
    from cropzoom.errors import OptionsError
    from cropzoom.options import MODES

    modes = [name.strip() for name in text.split(",")] if text is not None else []
    if not set(modes) <= set(MODES) or len(set(modes)) != len(modes):
        raise OptionsError(f"--mode {text}: each of {', '.join(MODES)} once, with commas between")
    return cast("list[Mode]", modes)


def _body(text: str | None) -> dict[str, Any]:
    from cropzoom.errors import OptionsError

    try:
        fields = json.loads(text or "{}")
    except ValueError as error:
        raise OptionsError(f"--body is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise OptionsError("--body must be a JSON object, such as '{\"max_tokens\": 32}'")
    return fields


def _known_prices(
    targets: Sequence[str], base_url: str | None, count_as: str | None
) -> dict[str, tuple[float, float]]:
    """Return the prices of models that OpenAI itself serves, and of the one counted as."""
    from cropzoom.models import price_of

    prices: dict[str, tuple[float, float]] = {}
    for target in targets:
        kind, _, model = target.partition(":")
        name = count_as if kind == "standin" else None
        if kind == "openai" and base_url is None and not os.environ.get("OPENAI_BASE_URL"):
            name = model
        price = price_of(name)
        if price is not None:
            prices[target] = (price.prompt, price.completion)
    return prices


def _prices(texts: Sequence[str], targets: Sequence[str]) -> dict[str, tuple[float, float]]:
    from cropzoom.errors import OptionsError

    prices: dict[str, tuple[float, float]] = {}
    for text in texts:
        name, _, numbers = text.rpartition("=")
        try:
            prompt, completion = map(float, numbers.split(","))
        except ValueError as error:
            raise OptionsError(
                f"--price {text}: needs [TARGET=]PROMPT,COMPLETION in dollars per million tokens"
            ) from error
        if name and name not in targets:
            raise OptionsError(f"--price {text}: {name} is none of the targets")
        prices.update(dict.fromkeys([name] if name else targets, (prompt, completion)))
    return prices


def _make_folder(out: Path) -> None:
    from cropzoom.errors import DataError

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"--out {out}: {error}; choose another folder") from error


def _ask(
    test: TestSet,
    targets: Sequence[Target],
    croppers: Sequence[NamedCropper],
    results: ResultFile,
    concurrency: int,
    output: Output,
) -> str | None:
    from cropzoom.evaluate.runner import count_open, evaluate

    total = count_open(test, targets, croppers, results)
    known = len(results.outcomes)
    if known:
        output.text(f"{results.path} has {known} answers; {total} are left to ask for.")
    with output.progress() as progress:
        task = progress.add_task(f"Asking {total} questions", total=total)
        counts = [0, 0]

        def count(outcome: Outcome) -> None:
            counts[0] += 1
            counts[1] += outcome.failure is not None
            failed = f", {counts[1]} failed" if counts[1] else ""
            text = f"Asked {counts[0]} of {total}{failed}"
            progress.update(task, completed=counts[0], description=text)

        try:
            return evaluate(
                test, targets, croppers, results, concurrency=concurrency, on_outcome=count
            )
        except KeyboardInterrupt:
            output.warn(
                f"interrupted; {len(results.outcomes)} answers are in {results.path}, and the same "
                "command goes on from there"
            )
            raise typer.Exit(130) from None


def _write(
    out: Path, summary: dict[str, Any], test: TestSet, results: ResultFile, submission: bool
) -> None:
    from cropzoom.evaluate.html_report import report_page
    from cropzoom.evaluate.targets import submission as submitted
    from cropzoom.files import write_whole

    files = {
        "summary.json": json.dumps(summary, indent=1, ensure_ascii=False),
        "report.html": report_page(summary, test, results.outcomes),
    }
    if submission and test.submission is not None:
        for target, croppers in summary["targets"].items():
            for cropper in croppers:
                replies = {
                    outcome.row: outcome.reply
                    for outcome in results.outcomes.values()
                    if (outcome.target, outcome.cropper) == (target, cropper)
                    and outcome.reply is not None
                }
                name = re.sub(r"[^\w.-]+", "-", f"submission-{target}-{cropper}.json")
                files[name] = submitted(test.rows, replies, test.submission)
    for name, text in files.items():
        write_whole(out / name, text)
