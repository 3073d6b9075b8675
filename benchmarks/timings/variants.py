"""A vision-language checkpoint as croppers of several kinds, to be timed against one another."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx_ir as ir

from cropzoom.bench.random_weights import export_unverified
from cropzoom.cropper.folder import MANIFEST_NAME
from cropzoom.cropper.manifest import sealed
from cropzoom.cropper.smolvlm.vlm_spec import EMBED, FUSED_DECODER, TOKENIZER_NAME, VISION
from cropzoom.export.quantize import quantized
from cropzoom.export.staging import new_folder, write_manifest
from cropzoom.export.weights import GraphWriter

VARIANTS = ("text plain", "text fused", "text int8", "pointer")


def export_variants(
    checkpoint: Path, folder: Path, progress: Callable[[str], None]
) -> dict[str, Path]:
    """Export a checkpoint in all ways, unverified; what is there already is left.

    Args:
        checkpoint: of a vision-language model.
        folder: for the cropper folders.
        progress: told of each stage.
    """
    folders = {name: folder / name.replace(" ", "-") for name in VARIANTS}
    export_unverified(checkpoint, folders["text fused"], "text", progress)
    for name, make in (("text plain", _without_fused), ("text int8", _in_int8)):
        if not folders[name].exists():
            progress(f"Making {name}")
            make(folders["text fused"], folders[name])
    export_unverified(checkpoint, folders["pointer"], "pointer", progress)
    return folders


def _in_int8(fused: Path, out: Path) -> None:
    """Make what an export with `precision="int8"` makes, of the graphs of one in fp32."""
    content = json.loads((fused / MANIFEST_NAME).read_text(encoding="utf-8"))
    del content["schema"], content["files"]
    with new_folder(out) as folder:
        (folder / "onnx").mkdir()
        with GraphWriter(folder / "onnx") as writer:
            for name, file in content["graphs"].items():
                graph = ir.load(fused / file)
                writer.write(name, graph if name in (VISION, EMBED) else quantized(graph))
        shutil.copy(fused / TOKENIZER_NAME, folder)
        write_manifest(folder, {**content, "precision": "int8", "name": "text int8"})


def _without_fused(fused: Path, out: Path) -> None:
    """Make a cropper of the same files but the graph with fused attention."""
    content = json.loads((fused / MANIFEST_NAME).read_text(encoding="utf-8"))
    file = content["graphs"].pop(FUSED_DECODER)
    del content["files"][file]
    with new_folder(out) as folder:
        for name in content["files"]:
            (folder / name).parent.mkdir(exist_ok=True, parents=True)
            # Not a link: onnx_ir refuses to read files that have two names.
            shutil.copy(fused / name, folder / name)
        content["name"] = "text plain"
        text = json.dumps(sealed(content), indent=1, ensure_ascii=False)
        (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")
