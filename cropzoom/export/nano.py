"""A nano net as a verified cropper folder."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir
import torch
from torch import Tensor, nn

from cropzoom.cropper.folder import Folder
from cropzoom.cropper.manifest import (
    FAST_NAME,
    MODEL_NAME,
    POINTER_NAME,
    Manifest,
    PointerManifest,
)
from cropzoom.cropper.nano.meanings import MEANINGS_NAME, Meanings
from cropzoom.cropper.nano.nano_cropper import NanoCropper, decode, preprocess
from cropzoom.cropper.nano.nano_graphs import OUTPUTS, PAGE_OUTPUTS, QUESTION_INPUTS, load_graphs
from cropzoom.cropper.nano.phoc import MAX_WORDS, WORD_DIM, encode_question
from cropzoom.export.build import make_cropper
from cropzoom.export.ladder import Ladder, Rung, Sample, samples
from cropzoom.export.quantize import quantize_reader
from cropzoom.export.weights import forget_origin
from cropzoom.trainer.nano.decoding import CENTRE, LONGEST_EDGE, MAX_UPSCALE, PAD_PX, PRICE, SCALE
from cropzoom.trainer.nano.network import CELL, EDGE_BINS, Nano, View
from cropzoom.trainer.nano.pages import PageOptions, render_page
from cropzoom.trainer.nano.pages.documents import render_document

TOLERANCE = 2e-3
"""Largest difference of a logit between torch and ONNX Runtime that still counts as the same."""
FAST_RUNG = "boxes in 8 bits"
FAST_IOU = 0.8
"""Least mean IoU of the boxes of the graph in 8 bits with torch's."""
SCRIPTS = ("latin", "greek", "cyrillic")
"""That the pages of training are written in."""
_SIZES = [(1024, 736), (320, 480), (32, 64)]
_QUESTIONS = ["What is the total?", "Invoice number", "When does the train to Zürich leave?"]


class PageGraph(nn.Module):
    """One page: uint8 image in, what pointing needs of it out."""

    def __init__(self, net: Nano) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(1, 1, H, W) uint8 -> the maps of `View`."""
        return tuple(self.net.pointer.view(self.net.pages(image.float())))


class QuestionGraph(nn.Module):
    """One question about a page that was read: the three logits out."""

    def __init__(self, net: Nano) -> None:
        super().__init__()
        self.questions, self.pointer = net.questions, net.pointer

    def forward(
        self, look: Tensor, kinds: Tensor, embedding: Tensor, words: Tensor, word_mask: Tensor
    ) -> tuple[Tensor, ...]:
        """The maps of `View`, (1, T, WORD_DIM + meaning), (1, T) -> logits of `Pointing`."""
        asked = self.questions(words, word_mask)
        return tuple(self.pointer(View(look, kinds, embedding), None, asked))


def write_graphs(net: Nano, folder: Path, meaning: int) -> None:
    """Write both ONNX graphs; H and W are free multiples of 32, and words any number up to 64.

    `meaning`: numbers behind each word's letters, 0 for a net that is not told meanings.
    """
    height, width = torch.export.Dim("h", min=1, max=256), torch.export.Dim("w", min=1, max=256)
    count = torch.export.Dim("t", min=2, max=MAX_WORDS)
    page = PageGraph(net).eval()
    image = torch.zeros(1, 1, 256, 320, dtype=torch.uint8)
    with torch.no_grad():
        maps = page(image)
    _write(
        page,
        (image,),
        folder / MODEL_NAME,
        ["image"],
        list(PAGE_OUTPUTS),
        {"image": {2: 32 * height, 3: 32 * width}},
    )
    grid = {2: 4 * height, 3: 2 * width}
    _write(
        QuestionGraph(net).eval(),
        (*maps, torch.zeros(1, 7, WORD_DIM + meaning), torch.ones(1, 7)),
        folder / POINTER_NAME,
        [*PAGE_OUTPUTS, *QUESTION_INPUTS],
        list(OUTPUTS),
        {
            **dict.fromkeys(PAGE_OUTPUTS, grid),
            "words": {1: count},
            "word_mask": {1: count},
        },
    )


def calibration_pages(count: int = 12) -> Iterator[npt.NDArray[np.uint8]]:
    """Drawn papers and pages in fonts of training, (H, W), from which 8 bits take their ranges."""
    rng = random.Random("quantize")
    options = PageOptions(576, 800, min_text=9.0, max_text=20.0, questions=0)
    for index in range(count):
        page = render_document(rng, options) if index % 2 else render_page(rng, options)
        yield np.asarray(page.image)


def _write(
    graph: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    inputs: list[str],
    outputs: list[str],
    shapes: dict[str, Any],
) -> None:
    program = torch.onnx.export(
        graph,
        example,
        dynamo=True,
        opset_version=18,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    forget_origin(program.model)
    ir.save(program.model, path)


def logits(
    net: Nano, pixels: npt.NDArray[np.uint8], words: Any, mask: Any
) -> list[npt.NDArray[Any]]:
    """What torch says of one question about one page (H, W), as the graphs do."""
    count = max(1, int(mask.sum()))
    with torch.no_grad():
        outputs = net(
            torch.from_numpy(pixels)[None, None].float(),
            torch.from_numpy(words[None, :count]),
            torch.from_numpy(mask[None, :count]),
        )
    return [output.numpy() for output in outputs]


def largest_difference(net: Nano, folder: Folder, manifest: PointerManifest) -> float:
    """Largest absolute difference of any logit, over a few sizes and questions."""
    graphs, _ = load_graphs(folder, manifest, "cpu", None, exact=True)
    draw, worst = np.random.default_rng(0), 0.0
    for height, width in _SIZES:
        pixels = draw.integers(0, 256, (height, width), dtype=np.uint8)
        page = graphs.read(pixels)
        for question in _QUESTIONS:
            words, mask = encode_question(question, manifest.max_words, graphs.meanings)
            given = graphs.ask(page, words, mask)
            expected = logits(net, pixels, words, mask)
            worst = max(
                worst, *(float(np.abs(e - g).max()) for e, g in zip(expected, given, strict=True))
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
    meanings: Meanings | None = None,
    price: float | None = PRICE,
    centre: float = CENTRE,
    quantile: float = 0.7,
    join: float | None = None,
    scale: float = SCALE,
    pad_px: float = PAD_PX,
    temperature: float = 1.0,
    count: int = 8,
    fast: bool = True,
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
        meanings: of words, for a net that was trained with them.
        price, centre, scale, pad_px, temperature: see `DecodeSpec`; chosen by calibrate.py.
        quantile, join: of boxes at the edges' quantile, where `price` is None.
        count: bundled questions to verify on; 0 not to verify.
        fast: whether to write the reader in 8 bits, too, about three times as fast on a CPU.
        progress: told of each stage.

    Raises:
        ExportError: the folder can't be written.
        LadderError: ONNX Runtime's answers differ from torch's.
    """

    boxes = {"quantile": quantile, "join": join}
    if price is not None:
        boxes = {"price": price, "centre": centre}
    boxes = {name: value for name, value in boxes.items() if value is not None}

    def write(folder: Path) -> dict[str, Any]:
        progress("Exporting nano")
        write_graphs(net, folder, 0 if meanings is None else meanings.width)
        if fast:
            progress("Making 8 bits of nano's reader")
            quantize_reader(folder / MODEL_NAME, folder / FAST_NAME, calibration_pages())
        if meanings is not None:
            (folder / MEANINGS_NAME).write_bytes(meanings.to_bytes())
        return {
            "kind": "pointer",
            "name": name,
            "version": version,
            "precision": "int8 and fp32" if fast else "fp32",
            "image": {
                "mode": "L",
                "longest_edge": longest_edge,
                "multiple": 32,
                "pad_value": 255,
                "max_upscale": max_upscale,
            },
            "question": {
                "encoding": "phoc" if meanings is None else "phoc+meaning",
                "max_words": MAX_WORDS,
                "scripts": list(SCRIPTS),
            },
            "bins": {"cell": CELL, "edge": list(EDGE_BINS)},
            "decode": {
                **boxes,
                "scale": scale,
                "pad_px": pad_px,
                "temperature": temperature,
            },
            "training": training,
        }

    def verify(folder: Folder, manifest: Manifest) -> Ladder:
        assert isinstance(manifest, PointerManifest)
        progress("Verifying nano")
        return _verify(net, folder, manifest, samples(count))

    return make_cropper(out, write, verify if count else None)


def _verify(
    net: Nano, folder: Folder, manifest: PointerManifest, asked: Sequence[Sample]
) -> Ladder:
    ladder = Ladder(manifest.precision, "cpu")
    error = largest_difference(net, folder, manifest)
    graphs, _ = load_graphs(folder, manifest, "cpu", None, exact=True)
    decoding, agreement = manifest.decode, []
    with NanoCropper(folder, device="cpu") as cropper:
        for sample in asked:
            pixels, size = preprocess(sample.picture, manifest.image, manifest.image.longest_edge)
            words, mask = encode_question(sample.question, manifest.max_words, graphs.meanings)
            boxes = []
            for cells, absent, edges in (
                logits(net, pixels, words, mask),
                graphs.ask(graphs.read(pixels), words, mask),
            ):
                crops = decode(cells[0], float(absent[0, 0]), edges[0], size, decoding, 1)
                boxes.append(crops[0].box if crops else None)
            ladder.add_boxes(sample, boxes[0], boxes[1])
            crops = cropper.predict(sample.picture, sample.question)
            quick = crops[0].box if crops else None
            same = float(boxes[0] is None and quick is None)
            agreement.append(boxes[0].iou(quick) if boxes[0] and quick else same)
    ladder.rungs = [
        Rung("logits", "largest difference", error, TOLERANCE),
        *ladder.box_rungs(0.999, 0.99),
    ]
    if FAST_NAME in manifest.files:
        mean = float(np.mean(agreement))
        ladder.rungs.append(Rung(FAST_RUNG, "mean IoU", mean, FAST_IOU, at_least=True))
    return ladder
