"""`cropzoom export-onnx`: a trained policy as a folder that runs without torch."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cropzoom.cli.flags import DeviceName
from cropzoom.cli.output import JsonFlag, Output

if TYPE_CHECKING:
    from cropzoom.export.ladder import Ladder


def export_onnx(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A policy's folder, a training run of nano, an Idefics3 or SmolVLM checkpoint or "
            "a LoRA adapter of one; a folder or 'org/name' on the hub.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help="Folder to write: new, empty, or a cropper's, which is replaced.",
            show_default=False,
        ),
    ],
    kind: Annotated[
        Literal["text", "pointer"] | None,
        typer.Option(help="What the policy does; by default what its folder says, else text."),
    ] = None,
    precision: Annotated[
        Literal["fp32", "fp16", "int8"],
        typer.Option(help="fp16 is for CUDA; int8 has the decoder in 8 bits."),
    ] = "fp32",
    longest_edge: Annotated[
        int | None, typer.Option(help="px that images are brought to: 512, 1024 or 2048.")
    ] = None,
    fuse: Annotated[
        bool, typer.Option(help="Also write a decoder with ONNX Runtime's fused attention.")
    ] = True,
    device: Annotated[DeviceName, typer.Option(help="Where the graphs are verified.")] = "cpu",
    verify: Annotated[bool, typer.Option(help="Compare with the torch model.")] = True,
    samples: Annotated[
        int, typer.Option(min=1, max=24, help="Bundled questions to verify on.")
    ] = 8,
    base: Annotated[
        str | None, typer.Option(help="The checkpoint under an adapter, instead of its own.")
    ] = None,
    capitalize: Annotated[
        bool | None,
        typer.Option(
            help="Put questions through str.capitalize; by default what the policy says, and on "
            "for adapters named 'roi', as the paper's authors' scripts save them."
        ),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=100, help="The confidence's; nano only. By default as before training."
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="For people; by default the checkpoint's.")] = "",
    version: Annotated[str, typer.Option(help="For people.")] = "1",
    as_json: JsonFlag = False,
) -> None:
    """Export a policy to ONNX and prove that it says what the torch model says.

    Nothing is written, and the exit code is 1, when a rung of the parity ladder breaks.

    Example: `cropzoom export-onnx runs/grpo my-cropper --longest-edge 1024`
    """
    with Output(as_json) as output:
        require_export()
        from cropzoom.export import ExportOptions
        from cropzoom.export.any_checkpoint import export_checkpoint
        from cropzoom.export.build import LadderError

        options = ExportOptions(
            precision=precision,
            fuse=fuse,
            device=device,
            samples=samples if verify else 0,
            name=name,
            version=version,
        )
        with output.progress() as bar:
            task = bar.add_task("Loading the policy", total=None)

            def progress(stage: str) -> None:
                bar.update(task, description=stage)

            try:
                ladder = export_checkpoint(
                    checkpoint,
                    out,
                    options,
                    kind=kind,
                    longest_edge=longest_edge,
                    base=base,
                    capitalize=capitalize,
                    temperature=temperature,
                    progress=progress,
                )
            except LadderError as error:
                _show(output, error.ladder)
                if as_json:
                    output.json(_result(out, error.ladder) | {"error": str(error)})
                    raise typer.Exit(1) from error
                raise
        if ladder is not None:
            _show(output, ladder)
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
        output.json(_result(out, ladder) | {"bytes": size})
        output.text(f"{out}: {size / 1e6:.0f} MB. load_cropper({str(out)!r}) loads it.")


def require_export() -> None:
    """Check that all is installed that an export needs.

    Raises:
        MissingDependencyError: something is not.
    """
    from cropzoom.errors import MissingDependencyError

    packages = ("torch", "transformers", "onnx", "onnxscript", "onnxruntime", "optimum", "jinja2")
    for package in packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingDependencyError(
                f"exporting needs {package}: pip install 'cropzoom[export,cpu]' "
                "(or gpu instead of cpu: they exclude each other)"
            ) from error


def _show(output: Output, ladder: Ladder) -> None:
    output.table(
        ["Rung", "Measure", "Value", "Limit", ""],
        [
            [
                rung.name,
                rung.measure,
                f"{rung.value:.3g}",
                f"{'>=' if rung.at_least else '<='} {rung.limit:g}",
                "ok" if rung.passed else "BROKEN",
            ]
            for rung in ladder.rungs
        ],
        title=f"{ladder.precision} on {ladder.device} against torch, {len(ladder.boxes)} questions",
    )
    for name, value in ladder.notes.items():
        output.text(f"{name.replace('_', ' ')}: {value}")


def _result(out: Path, ladder: Ladder | None) -> dict[str, Any]:
    if ladder is None:
        return {"folder": str(out), "passed": None}
    return {
        "folder": str(out),
        "passed": ladder.passed,
        "rungs": [
            {"rung": r.name, "measure": r.measure, "value": r.value, "limit": r.limit}
            for r in ladder.rungs
        ],
        "boxes": ladder.boxes,
        **ladder.notes,
    }
