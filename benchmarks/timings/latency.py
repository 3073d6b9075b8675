"""SmolVLM as the paper runs it, as its exports, and nano: milliseconds from a file to a crop.

    python benchmarks/timings/latency.py                  # about 12 minutes on 2 cores, 20 GB
    python benchmarks/timings/latency.py --quick          # 512 px, two rounds
    python benchmarks/timings/latency.py --render         # docs/latency.md anew from the JSON

The architecture is the real one and its weights are random: what a model takes does not depend on
what its weights say. Only how much it writes does, so transformers' `generate` is made to write
as many tokens as a box takes; the croppers write boxes anyway. The weights are seeded; a box of a
random model is as good as any other to see whether a variant still says the same.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any

import numpy as np
import onnx
import torch
import typer
from rich.console import Console
from variants import export_variants

from cropzoom.bench.candidates import Spec
from cropzoom.bench.measure import Picture
from cropzoom.bench.measure_all import Plan, run
from cropzoom.bench.random_weights import (
    ARCHITECTURES,
    answer_tokens,
    random_checkpoint,
)
from cropzoom.cropper.session import make_session, tries_cuda
from cropzoom.environment import usable_threads
from cropzoom.samples import load_samples

HERE = Path(__file__).parents[1]
RESULTS, DOCS = HERE / "results" / "latency.json", HERE.parent / "docs" / "latency.md"
MARKS = "<!-- figures -->\n", "<!-- end of figures -->\n"
REPEATS = 12
ROUNDS = {512: 10, 1024: 3}
EAGER = "transformers generate"
STANDARD = "text fused"
"""What `export-onnx` and `load_cropper` give by default."""


def vision_flops(sizes: dict[str, Any]) -> float:
    """Multiplications and additions of the vision encoder and the connector, for one tile."""
    vision, scale = sizes["vision_config"], sizes["scale_factor"]
    patch, width = vision["patch_size"], vision["hidden_size"]
    count = (vision["image_size"] // patch) ** 2
    weights = 4 * width * width + 2 * width * vision["intermediate_size"]
    layer = count * weights + 2 * count * count * width
    first = count * 3 * patch * patch * width
    last = count * width * sizes["text_config"]["hidden_size"]  # scale^2 wider, scale^2 fewer
    assert count % scale**2 == 0
    return 2.0 * (vision["num_hidden_layers"] * layer + first + last)


def products(threads: int) -> Iterator[tuple[str, float, Callable[[], object]]]:
    """Matrix products in fp32 as the vision encoder has them: name, FLOPs, run."""
    generator = np.random.default_rng(0)
    for rows, inner, columns in ((1024, 768, 3072), (1024, 3072, 768)):
        left = generator.normal(size=(rows, inner)).astype(np.float32)
        right = generator.normal(size=(inner, columns)).astype(np.float32)
        flops = 2.0 * rows * inner * columns
        a, b = torch.from_numpy(left), torch.from_numpy(right)
        yield "torch", flops, lambda a=a, b=b: a @ b
        yield "numpy", flops, lambda a=left, b=right: a @ b
        session = product_session(right, threads)
        yield "onnxruntime", flops, lambda s=session, a=left: s.run(None, {"a": a})


def product_session(right: np.ndarray, threads: int) -> Any:
    """A session that multiplies by a constant matrix."""
    float32 = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [onnx.helper.make_tensor_value_info("a", float32, [None, right.shape[0]])],
        [onnx.helper.make_tensor_value_info("c", float32, [None, right.shape[1]])],
        [onnx.numpy_helper.from_array(right, "b")],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return make_session(model.SerializeToString(), device="cpu", threads=threads)[0]


def gemm_rates(threads: int) -> dict[str, float]:
    """The best rate of each library over all shapes, in GFLOP/s."""
    torch.set_num_threads(threads)
    rates: dict[str, float] = {}
    for name, flops, multiply in products(threads):
        for _ in range(REPEATS):
            start = time.perf_counter()
            multiply()
            rate = flops / (time.perf_counter() - start) / 1e9
            rates[name] = max(rates.get(name, 0.0), rate)
    return rates


def specs(work: Path, checkpoint: Path, side: int, device: str, threads: int | None) -> list[Spec]:
    """What is timed at one size."""
    made = export_variants(checkpoint, work, lambda stage: print(stage, flush=True))
    common: dict[str, Any] = {"device": device, "threads": threads, "longest_edge": side}
    return [
        Spec(EAGER, str(checkpoint), "generate", tokens=answer_tokens(), **common),
        *(Spec(label, str(folder), **common) for label, folder in made.items()),
        Spec("nano", "nano", **common),
    ]


def measure(
    architecture: str, work: Path, rounds: dict[int, int], cold: int, threads: int | None
) -> dict[str, Any]:
    """Measure all, at every size in `rounds`; return what `render` reads."""
    sample = load_samples()[0]
    questions = [question.question for question in sample.questions]
    picture = Picture(sample.path)
    checkpoint = random_checkpoint(architecture, work, questions)
    rates = gemm_rates(threads or usable_threads())
    result: dict[str, Any] = {
        "architecture": architecture,
        "vision_gflop": vision_flops(ARCHITECTURES[architecture]) / 1e9,
        "answer_tokens": answer_tokens(),
        "cpu": {},
        "cuda": {},
    }
    # The first GPU that both torch and ONNX Runtime can use.
    places = ["cpu", *(["cuda"] if torch.cuda.is_available() and tries_cuda("cuda") else [])]
    for place in places:
        for number, (side, count) in enumerate(rounds.items()):
            plan = Plan(
                specs(work, checkpoint, side, place, threads),
                questions,
                reference="text plain",
                rounds=count,
                cold=0 if number else cold,
            )
            result[place][str(side)] = run(
                plan, picture, sample.path.name, lambda stage: print(stage, flush=True)
            )
    again = gemm_rates(threads or usable_threads())
    result["gemm_gflops"] = {name: max(rate, again[name]) for name, rate in rates.items()}
    return result


def floor(result: dict[str, Any], side: str) -> float:
    """Milliseconds of the vision encoder's arithmetic at this CPU's best rate."""
    tiles = result["cpu"][side]["croppers"][STANDARD]["first"]["counts"]["tiles"]
    return tiles * result["vision_gflop"] / max(result["gemm_gflops"].values()) * 1000


def middle(found: dict[str, Any], stage: str | None = None, which: str = "first") -> float | None:
    """The median of all or of a stage, in ms."""
    calls = found[which]
    if calls is None:
        return None
    stats = calls["stages"].get(stage) if stage else calls["total"]
    return None if stats is None else stats["p50"]


def render(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    place = next(iter(result["cpu"].values()))["environment"]
    flags = " ".join(flag for flag in place["flags"] if flag in ("avx2", "avx512f", "avx512_vnni"))
    versions = [f"{name} {place['versions'].get(name, '')}" for name in ("onnxruntime", "torch")]
    rates = ", ".join(f"{name} {rate:.0f}" for name, rate in result["gemm_gflops"].items())
    lines = [
        f"{place['cpu']} ({flags}), {place['usable_cores']} cores, {', '.join(versions)}, "
        f"transformers {place['versions'].get('transformers', '')}; best matrix products in fp32, "
        f"GFLOP/s: {rates}.",
    ]
    for side, found in result["cpu"].items():
        lines += ["", *table(result, side, found)]
    lines += ["", "| aim | measured |", "|---|---|"]
    lines += [f"| {aim} | {value} |" for aim, value in aims(result)]
    return "\n".join(lines) + "\n"


def table(result: dict[str, Any], side: str, found: dict[str, Any]) -> Iterator[str]:
    """One size."""
    croppers = found["croppers"]
    eager, cuda = croppers[EAGER], result["cuda"].get(side, {}).get("croppers", {})
    tiles = croppers[STANDARD]["first"]["counts"]["tiles"]
    rounds = found["settings"]["rounds"]
    yield f"**{side} px, {tiles:.0f} tile{'s' * (tiles > 1)}; median of {rounds}, ms:**"
    yield ""
    yield (
        "| | a new image | times faster | second question | vision | prefill | decode | runs | "
        "box IoU | memory, MB | on a GPU |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for label, one in croppers.items():
        total, second = middle(one), middle(one, which="second")
        memory = (one["cold"] or {}).get("peak_rss")
        whole = middle(one, "model")
        cells = [
            number(total),
            ratio(middle(eager), total),
            "as the first" if second is None else number(second),
            *(
                [f"{number(whole)} in all", "", ""]
                if whole is not None
                else [number(middle(one, stage)) for stage in ("vision", "prefill", "decode")]
            ),
            number(one["first"]["counts"].get("decoder_runs"), ".1f"),
            # The others are other policies.
            number(one["iou"]["mean"], ".3f") if label.startswith("text") else "",
            number(None if memory is None else memory / 1e6),
            number(middle(cuda[label]), ".1f") if label in cuda else "not measured",
        ]
        yield f"| {label} | {' | '.join(cells)} |"
    least = number(floor(result, side))
    yield f"| *vision at the CPU's best rate* | | | | *{least}* | | | | | | |"


def aims(result: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What was aimed at, and what came of it."""
    for side, found in result["cpu"].items():
        croppers = found["croppers"]
        eager, best = croppers[EAGER], croppers[STANDARD]
        yield (
            f"{side} px: decode of {STANDARD} 3 times faster than {EAGER}",
            ratio(middle(eager, "decode"), middle(best, "decode")),
        )
        yield (
            f"{side} px: {STANDARD} end to end 1.3 times faster"
            + ("" if side == "512" else " (aimed at for 512 px)"),
            ratio(middle(eager), middle(best)),
        )
        yield f"{side} px: nano 30 times faster", ratio(middle(eager), middle(croppers["nano"]))
        yield (
            f"{side} px: second question on an image 3 times faster than the first",
            ratio(middle(best), middle(best, which="second")),
        )
        # What was written, with the token that would end it: one run each.
        tokens = best["first"]["counts"]["box_tokens"] + 1
        runs = [best[which]["counts"]["decoder_runs"] for which in ("first", "second")]
        yield (
            f"{side} px: at most 9 runs of the decoder for a box",
            f"{runs[0]:.1f} with the image's, {runs[1]:.1f} on a kept image; unconstrained, these "
            f"boxes would take {tokens:.1f}",
        )
        slack = fmean(abs(one["first"]["unexplained"]) for one in croppers.values())
        yield f"{side} px: stages add up to the whole", f"{slack:.2%} in no stage"
    gpu = "not measured: none was at hand"
    for side, found in result["cuda"].items():
        croppers = found["croppers"]
        gpu = f"{side} px: {ratio(middle(croppers[EAGER]), middle(croppers['pointer']))}"
    yield f"on a GPU: pointer 5 times faster than {EAGER}", gpu


def number(value: float | None, form: str = ".0f") -> str:
    return "" if value is None else format(value, form)


def ratio(slow: float | None, fast: float | None) -> str:
    if slow is None or not fast:
        return ""
    return f"{slow / fast:.{1 if slow < 10 * fast else 0}f}x"


def put_into(docs: Path, figures: str) -> None:
    """Write the figures between their marks in a document."""
    text = docs.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    docs.write_text(f"{before}{MARKS[0]}{figures}{MARKS[1]}{after}", encoding="utf-8")


def main(
    architecture: Annotated[
        str, typer.Option(help=f"One of {', '.join(sorted(ARCHITECTURES))}.")
    ] = "smolvlm-256m",
    work: Annotated[Path | None, typer.Option(help="To keep checkpoint and exports in.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="512 px, two rounds; not written.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Of one prediction.")] = None,
    output: Annotated[Path, typer.Option(help="JSON file.")] = RESULTS,
    docs: Annotated[Path, typer.Option(help="Document with marks for figures.")] = DOCS,
    only_render: Annotated[
        bool, typer.Option("--render", help="Only the document, from the JSON.")
    ] = False,
) -> None:
    """Measure, write the JSON, and the table into the documentation."""
    if architecture not in ARCHITECTURES:
        raise typer.BadParameter(f"{architecture!r} is none of {', '.join(sorted(ARCHITECTURES))}")
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if not only_render:
        rounds, cold = ({512: 2}, 0) if quick else (ROUNDS, 1)
        with tempfile.TemporaryDirectory() as temporary:
            folder = (work or Path(temporary)) / architecture
            result = measure(architecture, folder, rounds, cold, threads)
        if quick:
            console.print(render(result))
            return
        output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    figures = render(json.loads(output.read_text(encoding="utf-8")))
    console.print(figures)
    put_into(docs, figures)


if __name__ == "__main__":
    typer.run(main)
