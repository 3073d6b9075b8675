"""A nano checkpoint as a verified cropper folder.

    python -m cropzoom.trainer.nano.export runs/nano cropzoom/cropper/bundled/nano

Writes `model.onnx` and `cropper.json`; nothing is left behind when ONNX Runtime's answers differ
from torch's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

from cropzoom.cropper.words import MAX_WORDS, WORD_DIM, encode_question

from .network import CELL, EDGE_BINS, Nano, NanoConfig

TOLERANCE = 2e-3
"""Largest difference of a logit between torch and ONNX Runtime that still counts as the same."""
OUTPUTS = ["cell_logits", "absent_logit", "edge_logits"]
_SIZES = [(1024, 736), (320, 480), (32, 64)]
_QUESTIONS = ["What is the total?", "Invoice number", "When does the train to Zürich leave?"]


class Graph(nn.Module):
    """One page, one question: uint8 image in, the three logits out."""

    def __init__(self, net: Nano) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, words: Tensor, word_mask: Tensor) -> tuple[Tensor, ...]:
        """(1, 1, H, W) uint8, (1, T, WORD_DIM), (1, T) -> logits of `Pointing`."""
        return tuple(self.net(image.float(), words, word_mask))


def load_checkpoint(folder: Path) -> tuple[Nano, dict[str, Any]]:
    """The averaged weights of a training folder, in eval mode, and the checkpoint's other data."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True, map_location="cpu")
    net = Nano(NanoConfig(**state["config"]))
    weights = {
        k.removeprefix("module."): v for k, v in state["mean"].items() if k.startswith("module.")
    }
    net.load_state_dict(weights)
    return net.eval(), {"step": state["step"], "minutes": round(state["seconds"] / 60, 1)}


def write_graph(net: Nano, path: Path) -> None:
    """Write the ONNX graph; H and W are free multiples of 32."""
    graph = Graph(net).eval()
    example = (
        torch.zeros(1, 1, 256, 320, dtype=torch.uint8),
        torch.zeros(1, MAX_WORDS, WORD_DIM),
        torch.ones(1, MAX_WORDS),
    )
    height, width = torch.export.Dim("h", min=1, max=256), torch.export.Dim("w", min=1, max=256)
    torch.onnx.export(
        graph,
        example,
        str(path),
        dynamo=True,
        external_data=False,
        opset_version=18,
        input_names=["image", "words", "word_mask"],
        output_names=OUTPUTS,
        dynamic_shapes={"image": {2: 32 * height, 3: 32 * width}, "words": {}, "word_mask": {}},
        verbose=False,
    )


def largest_difference(net: Nano, path: Path) -> float:
    """Largest absolute difference of any logit, over a few sizes and questions."""
    import onnxruntime as ort

    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    graph, draw, worst = Graph(net).eval(), np.random.default_rng(0), 0.0
    for height, width in _SIZES:
        image = draw.integers(0, 256, (1, 1, height, width), dtype=np.uint8)
        for question in _QUESTIONS:
            words, mask = (x[None] for x in encode_question(question))
            with torch.no_grad():
                expected = graph(*map(torch.from_numpy, (image, words, mask)))
            given = session.run(OUTPUTS, {"image": image, "words": words, "word_mask": mask})
            worst = max(
                worst,
                *(float(np.abs(e.numpy() - g).max()) for e, g in zip(expected, given, strict=True)),
            )
    return worst


def manifest(
    graph: Path, training: dict[str, Any], temperature: float, version: str
) -> dict[str, Any]:
    """The content of `cropper.json`."""
    data = graph.read_bytes()
    return {
        "schema": 1,
        "kind": "pointer",
        "name": "nano",
        "version": version,
        "precision": "fp32",
        "files": {"model.onnx": {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}},
        "image": {"mode": "L", "longest_edge": 1024, "multiple": 32, "pad_value": 255},
        "question": {"encoding": "phoc", "max_words": MAX_WORDS},
        "bins": {"cell": CELL, "edge": list(EDGE_BINS)},
        "decode": {"quantile": 0.7, "scale": 1.25, "pad_px": 16, "temperature": temperature},
        "training": training,
    }


def export(
    checkpoint: Annotated[Path, typer.Argument(help="A folder that train.py wrote.")],
    out: Annotated[Path, typer.Argument(help="The cropper folder to write.")],
    temperature: Annotated[float, typer.Option(help="Of the confidence; see calibrate.py.")] = 1.0,
    version: Annotated[str, typer.Option()] = "0.1.0",
) -> None:
    """Export, verify, then put in place."""
    net, training = load_checkpoint(checkpoint)
    training |= {
        "recipe": "python -m cropzoom.trainer.nano.train",
        "from": "random weights",
        "data": "pages rendered by cropzoom.trainer.synthetic",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        write_graph(net, path)
        worst = largest_difference(net, path)
        print(f"largest difference of a logit, torch against ONNX Runtime: {worst:.2e}")
        if not worst < TOLERANCE:
            raise typer.Exit(1)
        content = manifest(path, training | {"parity": worst}, temperature, version)
        out.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, out / "model.onnx")
        (out / "cropper.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"{out}: {content['files']['model.onnx']['bytes'] / 1e6:.1f} MB")


if __name__ == "__main__":
    typer.run(export)
