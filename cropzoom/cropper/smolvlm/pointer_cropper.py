"""Croppers of kind `pointer` made of a vision-language model: one graph, one run, no text.

Stages: preprocess (image to tiles), tokenise (the expanded prompt), model (vision, embeddings,
language model and heads), parse (logits to boxes, as for nano).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.cropper.manifest import VlmPointerManifest, read_files
from cropzoom.cropper.pointing import CellLogits, point
from cropzoom.cropper.session import (
    check_graph,
    make_session,
    runner,
    tries_cuda,
    weights_beside,
)
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.idefics3 import Layout
from cropzoom.cropper.smolvlm.vlm_cropper import VlmCropper
from cropzoom.cropper.smolvlm.vlm_spec import FUSED_POINTER, POINTER
from cropzoom.cropper.trace import Trace
from cropzoom.errors import CropperError
from cropzoom.geometry import Box, Crop

Integers = npt.NDArray[np.int64]

INPUTS = ("pixel_values", "input_ids", "sources", "grid")
OUTPUTS = ("cell_logits", "edge_logits")


class _Session(NamedTuple):
    """The model of one process.

    Attributes:
        run: an `InferenceSession`'s.
        name: its file.
    """

    run: Callable[..., Any]
    name: str


class VlmPointerCropper(VlmCropper[VlmPointerManifest, _Session]):
    """A `pointer` cropper made of a vision-language model. Thread-safe; closes with `close()`.

    Arguments and errors: see `VlmCropper`.
    """

    _manifest_class = VlmPointerManifest
    _kind = "pointer cropper of a vision-language model"

    def _load(self) -> _Session:
        manifest, device = self._manifest, self._settings["device"]
        files = read_files(self._folder, manifest)
        self._read_prompter(files, 0)
        self._pixels = np.float16 if manifest.precision == "fp16" else np.float32
        # CUDA has GroupQueryAttention for float16 only.
        half = manifest.precision == "fp16"
        may_fuse = FUSED_POINTER in manifest.graphs and (half or not tries_cuda(device))
        file = manifest.graphs[FUSED_POINTER if may_fuse else POINTER]
        name = str(self._folder.path / file)
        session, self._device = make_session(
            files[file],
            device=device,
            threads=self._settings["threads"],
            name=name,
            weights=weights_beside(file, files),
        )
        check_graph(session, name, INPUTS, OUTPUTS)
        return _Session(runner(session, self._device), name)

    def predict(
        self, image: Image.Image, question: str, k: int = 1, *, trace: Trace | None = None
    ) -> list[Crop]:
        """Return at most `k` regions for a question, best first; same input, same output.

        A blank question gives none.

        Args:
            image: any mode; read upright, on white. Boxes refer to the upright image.
            question: any text; special tokens in it lose their brackets.
            k: how many regions; they do not start inside one another.
            trace: takes the time of each stage (preprocess, tokenise, model, parse) and counts:
                tiles, prompt_tokens.

        Raises:
            CropperError: the cropper is closed, the question is too long, or the model failed.
            ImageError: `image` is not a readable PIL image.
            OptionsError: `k` is less than 1.
        """
        task = self._boxes_task(image, question, k, trace)
        if task is None:
            return []
        image, plan, ids, trace = task
        pixels = idefics3.tiles(image, self._manifest.image, self.longest_edge)
        trace.lap("preprocess")
        cells, edges = self.logits(pixels, ids, plan)
        trace.lap("model")
        rows, columns = cells.shape
        spec = self._manifest.decode
        xs, ys = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
        logits = CellLogits(cells, -math.inf, edges, xs, ys, spec.edge)
        crops = point(logits, Box.ordered, k, quantile=spec.quantile, temperature=spec.temperature)
        trace.lap("parse")
        trace.counts.update(tiles=plan.tiles, prompt_tokens=len(ids))
        return crops

    def logits(
        self, pixels: npt.NDArray[np.float32], ids: list[int], plan: Layout
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Run the model: logits (R, C) of cells and (4, K, R, C) of edges at each cell.

        Args:
            pixels: of `idefics3.tiles`.
            ids: of `prompt_tokens`.
            plan: the image's layout.

        Raises:
            CropperError: the cropper is closed, or the model failed.
        """
        model = self._model()
        feed: dict[str, npt.NDArray[Any]] = {
            "pixel_values": pixels[None].astype(self._pixels, copy=False),
            "input_ids": np.asarray([ids], np.int64),
            **_places(ids, self._prompter.image_token, plan, self._manifest.prompt.image_tokens),
        }
        try:
            cells, edges = model.run(list(OUTPUTS), feed)
        except Exception as error:
            # onnxruntime's errors have no public base.
            raise CropperError(f"{model.name} failed: {error}") from error
        spec = self._manifest.decode
        shape = tuple(side * spec.subcells for side in feed["grid"].shape)
        for name, output, wanted in (
            ("cell_logits", cells, (1, *shape)),
            ("edge_logits", edges, (1, 4, len(spec.edge), *shape)),
        ):
            if output.shape != wanted:
                raise CropperError(
                    f"{model.name} gave {name} of shape {output.shape}, its manifest says "
                    f"{wanted}; export the cropper again"
                )
            if not np.isfinite(output).all():
                raise CropperError(
                    f"{model.name} gave {name} that is not finite; try device='cpu' or a "
                    "cropper of higher precision"
                )
        return cells[0], edges[0]


def _places(ids: list[int], image_token: int, plan: Layout, each: int) -> dict[str, Integers]:
    """Where features go into the prompt, and where the grid's tokens stand in it.

    Returns:
        sources: (L,): for each token its place among the prompt's embeddings followed by the
            features of all tiles.
        grid: (R, C): the image's tokens row by row; those of the shrunken whole are left out where
            there are tiles.
    """
    tokens = np.asarray(ids)
    sources = np.arange(len(ids))
    places = np.flatnonzero(tokens == image_token)
    sources[places] = len(ids) + np.arange(len(places))
    side = math.isqrt(each)
    rows, columns = max(1, plan.rows), max(1, plan.columns)
    tiles = places[: rows * columns * each].reshape(rows, columns, side, side)
    grid = tiles.swapaxes(1, 2).reshape(rows * side, columns * side)
    return {"sources": sources.astype(np.int64), "grid": grid.astype(np.int64)}
