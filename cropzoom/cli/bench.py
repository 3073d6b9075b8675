"""`cropzoom bench`: what a cropper costs here, stage by stage."""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cropzoom.cli.flags import DeviceName
from cropzoom.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cropzoom.bench.baseline import Comparison
    from cropzoom.bench.candidates import Spec


def bench(
    latency: Annotated[
        bool, typer.Option("--latency", help="Measure times. (Accuracy is `cropzoom eval`.)")
    ] = False,
    cropper: Annotated[
        list[str] | None,
        typer.Option(
            "--cropper",
            "-c",
            help="'nano' (the default), a cropper folder, or 'org/name' on the hub. May be "
            "repeated.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            help="Whose boxes are right, and what is timed beside the croppers: 'torch', the "
            "checkpoint itself; or a cropper. By default the first cropper."
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(help="For --against torch: a policy's folder or a SmolVLM checkpoint."),
    ] = None,
    random_weights: Annotated[
        str | None,
        typer.Option(
            help="smolvlm-256m or smolvlm-500m: also time the real architecture, as a text "
            "cropper, exported from random weights."
        ),
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder to keep what --random-weights builds in, for the next time."),
    ] = None,
    image: Annotated[
        Path | None, typer.Option(help="Picture; by default a receipt of the package.")
    ] = None,
    question: Annotated[
        list[str] | None, typer.Option("--question", "-q", help="Asked in turn. May be repeated.")
    ] = None,
    longest_edge: Annotated[
        int | None, typer.Option(help="px that images are brought to, instead of the croppers'.")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=1, help="Calls of each: 10 for a p90, 20 for a p95, 100 for a p99.")
    ] = 20,
    cold: Annotated[
        int, typer.Option(min=0, help="Fresh processes of each, for the cold costs.")
    ] = 1,
    concurrency: Annotated[
        str, typer.Option(help="Also call croppers from several threads at once, as in '1,2,4'.")
    ] = "",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of one prediction; by default all usable cores.")
    ] = None,
    device: Annotated[DeviceName, typer.Option(help="Where to run.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of the order in each round.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="JSON file for the results.")
    ] = None,
    baseline: Annotated[Path | None, typer.Option(help="Earlier --output to compare with.")] = None,
    fail_if: Annotated[
        list[str] | None,
        typer.Option(
            help="With --baseline, what makes the exit code 1: 'p90>+10%', "
            "'second.decode.p50>+20%'; commas between several."
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Time croppers from an image file's bytes to the encoded crop, and check their boxes.

    Example: `cropzoom bench --latency -c nano -c my-cropper --concurrency 1,2,4 -o here.json`
    """
    with Output(as_json) as out, ExitStack() as stack:
        from cropzoom.bench.baseline import compare, parse_conditions, read_baseline
        from cropzoom.bench.candidates import Spec
        from cropzoom.bench.measure import Picture
        from cropzoom.bench.measure_all import Plan, run
        from cropzoom.errors import OptionsError

        if not latency:
            raise OptionsError("nothing to measure: give --latency (accuracy is `cropzoom eval`)")
        if (fail_if is None) != (baseline is None):
            raise OptionsError("--baseline and --fail-if go together: what to compare, and how")
        conditions = parse_conditions(fail_if or [], rounds)
        old = None if baseline is None else read_baseline(baseline)
        several = _numbers(concurrency)
        path, questions = _questions(image, question)
        picture = Picture(path)
        common: dict[str, Any] = {
            "device": device,
            "threads": threads,
            "longest_edge": longest_edge,
        }
        with out.progress() as bar:
            task = bar.add_task("Starting", total=None)

            def progress(stage: str) -> None:
                bar.update(task, description=stage)

            names = list(cropper or ([] if random_weights else ["nano"]))
            specs = [Spec(name, name, **common) for name in names]
            tokens = None
            if random_weights:
                kept = work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
                place = kept / random_weights
                folder, tokens = _random(random_weights, place, questions, progress)
                specs.append(Spec(f"{random_weights} text", str(folder), **common))
                checkpoint = str(place / "checkpoint")
            if against is not None:
                specs += _against(against, checkpoint, names, tokens, common)
            labels = [spec.label for spec in specs]
            twice = {label for label in labels if labels.count(label) > 1}
            if twice:
                raise OptionsError(f"{twice.pop()} was given twice; give each cropper once")
            reference = labels[-1] if against == "torch" else against or labels[0]
            plan = Plan(
                specs,
                questions,
                reference=reference if len(labels) > 1 else None,
                rounds=rounds,
                seed=seed,
                cold=cold,
                concurrency=several,
            )
            result = run(plan, picture, path.name, progress)
        comparison = None if old is None else compare(old, result, conditions)
        if comparison is not None:
            result["comparison"] = {"compared": comparison.lines, "worse": comparison.worse}
        if output is not None:
            _write(output, result)
        out.json(result)
        _print_result(out, result)
        if comparison is not None:
            _print_comparison(out, comparison)


def _numbers(text: str) -> list[int]:
    from cropzoom.errors import OptionsError

    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(re.fullmatch(r"[1-9]\d{0,2}", part) for part in parts):
        raise OptionsError(f"--concurrency {text!r} must be numbers of threads, such as '1,2,4'")
    return [int(part) for part in parts]


def _questions(image: Path | None, questions: list[str] | None) -> tuple[Path, list[str]]:
    from cropzoom.errors import OptionsError
    from cropzoom.samples import load_samples

    if questions is not None and not all(question.strip() for question in questions):
        raise OptionsError("--question must not be blank")
    if image is not None:
        if not questions:
            raise OptionsError("--image needs a --question about it")
        return image, questions
    sample = load_samples()[0]
    return sample.path, questions or [question.question for question in sample.questions]


def _random(
    name: str, folder: Path, questions: list[str], progress: Callable[[str], None]
) -> tuple[Path, int]:
    """Build and export a random checkpoint; return the cropper and the tokens of an answer."""
    from cropzoom.bench.random_weights import (
        answer_tokens,
        export_unverified,
        random_checkpoint,
    )
    from cropzoom.bench.torch_models import import_torch
    from cropzoom.cli.export_onnx import require_export

    require_export()
    import_torch()
    progress(f"Building {name}")
    checkpoint = random_checkpoint(name, folder, questions)
    out = export_unverified(checkpoint, folder / "text-fused", "text", progress)
    return out, answer_tokens()


def _against(
    against: str,
    checkpoint: str | None,
    names: list[str],
    tokens: int | None,
    common: dict[str, Any],
) -> list[Spec]:
    """The candidates that --against adds; the last is the reference."""
    from cropzoom.bench.candidates import Spec
    from cropzoom.errors import OptionsError

    if against != "torch":
        return [] if against in names else [Spec(against, against, **common)]
    if checkpoint is None and names == ["nano"]:
        checkpoint = "nano"
    if checkpoint is None:
        raise OptionsError("--against torch needs --checkpoint: the policy to time in torch")
    from cropzoom.bench.torch_models import import_torch, policy_kind

    import_torch()
    ways = [Spec("torch policy", checkpoint, "policy", **common)]
    if policy_kind(checkpoint) == "text":
        ways.insert(0, Spec("torch generate", checkpoint, "generate", tokens=tokens, **common))
    return ways


def _write(path: Path, result: Mapping[str, Any]) -> None:
    from cropzoom.files import write_whole

    write_whole(path, json.dumps(result, indent=1, ensure_ascii=False) + "\n")


def _print_result(out: Output, result: Mapping[str, Any]) -> None:
    machine, settings = result["environment"], result["settings"]
    flags = " ".join(machine["flags"])
    out.text(f"{machine['cpu']}, {machine['usable_cores']} usable cores: {flags}")
    versions = [f"{name} {version}" for name, version in machine["versions"].items()]
    out.text(f"python {machine['python']}, {', '.join(versions)}")
    name, (width, height) = settings["image"]["name"], settings["image"]["size"]
    out.text(f"{name}, {width}x{height} px; a new version of it each round; ms")
    croppers = result["croppers"].items()
    for label, entry in croppers:
        for which in ("first", "second"):
            if (calls := entry[which]) is None:
                continue
            subject = "a new image" if which == "first" else "a second question on the same image"
            rows = [_cells(stage, calls["stages"][stage], calls) for stage in calls["stages"]]
            out.table(
                ["Stage", "n", "p50", "p90", "p95", "p99", "Spread", "Share"],
                [*rows, _cells("end to end", calls["total"], calls)],
                title=f"{label}, {subject} ({calls['unexplained']:.1%} of the time in no stage)",
            )
            if calls["unexplained"] > 0.05:
                out.warn(f"{label}: the stages leave {calls['unexplained']:.0%} unexplained")
    for label, entry in croppers:
        where = f"{entry['provider']}, {entry['threads']} threads, {entry['precision']}"
        out.text(f"{label}: {where}, {(entry['hash'] or 'no hash')[:12]}")
    out.table(
        ["Cropper", "Valid", "IoU", "Tiles", "Prompt", "Runs", "ms/token"],
        [_summary(label, entry) for label, entry in croppers],
        title=f"IoU is to {result['reference']}" if result["reference"] else None,
    )
    if any(entry["cold"] for _, entry in croppers):
        out.table(
            ["In a fresh process", "Import, s", "Load, s", "First call, s", "Peak memory, MB"],
            [
                [
                    label,
                    *(f"{entry['cold'][key]:.2f}" for key in ("import", "load", "first_call")),
                    _number(entry["cold"].get("peak_rss"), 1e6, ".0f"),
                ]
                for label, entry in croppers
            ],
        )
    rows = [
        [
            label,
            threads,
            str(several["calls"]),
            f"{several['per_second']:.2f}",
            *(_number(several["latency"][key]) for key in ("p50", "p90", "p95", "p99")),
        ]
        for label, entry in croppers
        for threads, several in entry["concurrency"].items()
    ]
    if rows:
        out.table(["Cropper", "Threads", "n", "Images/s", "p50", "p90", "p95", "p99"], rows)
    out.text("Spread is the width of the middle half. n/a: too few calls for this percentile.")


def _cells(name: str, stats: Mapping[str, Any], calls: Mapping[str, Any]) -> list[str]:
    keys = ("p50", "p90", "p95", "p99", "iqr")
    share = stats["mean"] / calls["total"]["mean"]
    return [name, str(stats["n"]), *(_number(stats[key]) for key in keys), f"{share:.1%}"]


def _summary(label: str, entry: Mapping[str, Any]) -> list[str]:
    calls = entry["first"]
    counts = (calls["counts"].get(key) for key in ("tiles", "prompt_tokens", "decoder_runs"))
    return [
        label,
        f"{entry['valid']:.0%}",
        _number(entry["iou"] and entry["iou"]["mean"], form=".3f"),
        *(_number(count, form=".3g") for count in counts),
        _number(calls["ms_per_token"]),
    ]


def _number(value: float | None, per: float = 1.0, form: str = ".2f") -> str:
    return "n/a" if value is None else format(value / per, form)


def _print_comparison(out: Output, comparison: Comparison) -> None:
    for line in comparison.warnings:
        out.warn(f"not compared: {line}")
    for line in comparison.lines:
        worse = line in comparison.worse
        out.text(f"{'WORSE' if worse else 'ok'}  {line}", style="bold red" if worse else None)
    if comparison.worse:
        if out.as_json:
            out.warn(f"worse than the baseline: {'; '.join(comparison.worse)}")
        raise typer.Exit(1)
