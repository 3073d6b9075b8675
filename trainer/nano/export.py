"""A nano net as a verified cropper folder: what `cropzoom export-onnx` does with one.

cropzoom export-onnx runs/nano cropzoom/cropper/bundled/nano --temperature 0.6
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from cropzoom.cropper.folder import Folder
from cropzoom.cropper.manifest import Manifest, PointerManifest
from cropzoom.cropper.nano.nano_cropper import NanoCropper, decode, preprocess
from cropzoom.cropper.nano.phoc import MAX_WORDS, WORD_DIM, encode_question
from cropzoom.cropper.session import import_onnxruntime
from cropzoom.export.build import make_cropper
from cropzoom.export.ladder import Ladder, Rung, Sample, samples
from cropzoom.export.weights import forget_origin

from .network import CELL, EDGE_BINS, Nano, NanoConfig

TOLERANCE = 2e-3
"""Largest difference of a logit between torch and ONNX Runtime that still counts as the same."""
LONGEST_EDGE, MAX_UPSCALE = 1120, 1.1
JOIN = 0.5
"""Small print is what nano misses. A page of 1024 px is looked at a little enlarged, as far as
100 ms on two cores allow."""
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
    return net.eval(), {
        "step": state["step"],
        "minutes": round(state["seconds"] / 60, 1),
        "recipe": "python -m cropzoom.trainer.nano.train",
        "from": state.get("from", "random weights"),
        "data": "pages rendered by cropzoom.trainer.nano.pages",
    }


def write_graph(net: Nano, path: Path) -> None:
    """Write the ONNX graph; H and W are free multiples of 32."""
    graph = Graph(net).eval()
    example = (
        torch.zeros(1, 1, 256, 320, dtype=torch.uint8),
        torch.zeros(1, MAX_WORDS, WORD_DIM),
        torch.ones(1, MAX_WORDS),
    )
    height, width = torch.export.Dim("h", min=1, max=256), torch.export.Dim("w", min=1, max=256)
    program = torch.onnx.export(
        graph,
        example,
        dynamo=True,
        opset_version=18,
        input_names=["image", "words", "word_mask"],
        output_names=OUTPUTS,
        dynamic_shapes={"image": {2: 32 * height, 3: 32 * width}, "words": {}, "word_mask": {}},
        verbose=False,
    )
    assert program is not None
    forget_origin(program.model)
    ir.save(program.model, path)


def largest_difference(net: Nano, path: Path) -> float:
    """Largest absolute difference of any logit, over a few sizes and questions."""
    session = import_onnxruntime().InferenceSession(str(path), providers=["CPUExecutionProvider"])
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


def export_nano(
    net: Nano,
    out: Path,
    training: dict[str, Any],
    *,
    name: str = "nano",
    version: str = "0.1.0",
    longest_edge: int = LONGEST_EDGE,
    max_upscale: float = MAX_UPSCALE,
    quantile: float = 0.7,
    scale: float = 1.25,
    pad_px: float = 16,
    temperature: float = 1.0,
    join: float | None = JOIN,
    count: int = 8,
    progress: Callable[[str], None] = lambda stage: None,
) -> Ladder | None:
    """Export a net in eval mode, verify it, and put the folder in place.

    Args:
        net: to export.
        out: a new folder, an empty one, or a cropper's, which is replaced.
        training: where the net comes from.
        name, version: for people.
        longest_edge: px that larger images are shrunk to.
        max_upscale: how much smaller images are enlarged at most, up to `longest_edge`.
        quantile, scale, pad_px, temperature, join: see `DecodeSpec`; chosen by calibrate.py.
        count: bundled questions to verify on; 0 not to verify.
        progress: told of each stage.

    Raises:
        ExportError: the folder can't be written.
        LadderError: ONNX Runtime's answers differ from torch's.
    """
    errors: list[float] = []

    def write(folder: Path) -> dict[str, Any]:
        progress("Exporting nano")
        write_graph(net, folder / "model.onnx")
        errors.append(largest_difference(net, folder / "model.onnx"))
        return {
            "kind": "pointer",
            "name": name,
            "version": version,
            "precision": "fp32",
            "image": {
                "mode": "L",
                "longest_edge": longest_edge,
                "multiple": 32,
                "pad_value": 255,
                "max_upscale": max_upscale,
            },
            "question": {"encoding": "phoc", "max_words": MAX_WORDS},
            "bins": {"cell": CELL, "edge": list(EDGE_BINS)},
            "decode": {
                "quantile": quantile,
                "scale": scale,
                "pad_px": pad_px,
                "temperature": temperature,
                **({} if join is None else {"join": join}),
            },
            "training": training | {"parity": errors[0]},
        }

    def verify(folder: Folder, manifest: Manifest) -> Ladder:
        assert isinstance(manifest, PointerManifest)
        progress("Verifying nano")
        return _verify(net, folder, manifest, errors[0], samples(count))

    return make_cropper(out, write, verify if count else None)


def _verify(
    net: Nano, folder: Folder, manifest: PointerManifest, error: float, asked: Sequence[Sample]
) -> Ladder:
    ladder = Ladder(manifest.precision, "cpu")
    with NanoCropper(folder, device="cpu") as cropper:
        for sample in asked:
            pixels, size = preprocess(sample.picture, manifest.image, manifest.image.longest_edge)
            words, mask = encode_question(sample.question)
            inputs = (pixels[None, None], words[None], mask[None])
            with torch.no_grad():
                cells, absent, edges = (x[0].numpy() for x in Graph(net)(*map(_tensor, inputs)))
            expected = decode(cells, float(absent[0]), edges, size, manifest.decode, 1)
            found = cropper.predict(sample.picture, sample.question)
            ladder.add_boxes(
                sample,
                expected[0].box if expected else None,
                found[0].box if found else None,
            )
    ladder.rungs = [
        Rung("logits", "largest difference", error, TOLERANCE),
        *ladder.box_rungs(0.999, 0.99),
    ]
    return ladder


def _tensor(array: Any) -> Tensor:
    return torch.from_numpy(array)
