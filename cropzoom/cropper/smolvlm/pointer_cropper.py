"""Croppers of kind `pointer` made of a vision-language model: one graph, one run, no text.

Stages: preprocess (image to tiles), tokenise (the expanded prompt), model (vision, embeddings,
language model and heads), parse (logits to boxes, as for nano).
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.cropper.folder import Folder, find_folder
from cropzoom.cropper.manifest import VlmPointerManifest, read_files, read_manifest
from cropzoom.cropper.pointing import point
from cropzoom.cropper.readable import readable
from cropzoom.cropper.session import (
    Device,
    check_graph,
    make_session,
    tries_cuda,
    weights_beside,
)
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.idefics3 import Layout
from cropzoom.cropper.smolvlm.prompt import Prompter
from cropzoom.cropper.smolvlm.vlm_spec import FUSED_POINTER, POINTER, TOKENIZER_NAME
from cropzoom.cropper.trace import Trace
from cropzoom.errors import CropperError, OptionsError
from cropzoom.geometry import Box, Crop

if TYPE_CHECKING:
    from typing_extensions import Self

Integers = npt.NDArray[np.int64]

INPUTS = ("pixel_values", "input_ids", "sources", "grid")
OUTPUTS = ("cell_logits", "edge_logits")


class VlmPointerCropper:
    """A `pointer` cropper made of a vision-language model. Thread-safe; closes with `close()`.

    Args:
        folder: as found by `find_folder`, or a path.
        device: "auto", "cpu" or "cuda"; "cuda" raises where it can't be had.
        threads: threads of one prediction; None for what this process may use.
        longest_edge: px that images are brought to, instead of what the manifest says; whole
            tiles (512 px for SmolVLM), at most 6. Time grows with its square.

    Raises:
        CropperError: folder, manifest, a model file or provider at fault.
        MissingDependencyError: onnxruntime is not installed.
        OptionsError: an argument is out of range.
    """

    def __init__(
        self,
        folder: Folder | str | os.PathLike[str],
        *,
        device: Device = "auto",
        threads: int | None = None,
        longest_edge: int | None = None,
    ) -> None:
        folder = folder if isinstance(folder, Folder) else find_folder(folder)
        manifest = read_manifest(folder)
        if not isinstance(manifest, VlmPointerManifest):
            raise CropperError(
                f"{folder.path} is no pointer cropper of a vision-language model; "
                "load it with load_cropper"
            )
        self._manifest = manifest
        files = read_files(folder, manifest)
        path = str(folder.path / TOKENIZER_NAME)
        tokenizer = files[TOKENIZER_NAME]
        self._prompter = Prompter(
            tokenizer, path, manifest.prompt, manifest.image, longest_edge, room=0
        )

        half = manifest.precision == "fp16"
        self._pixels = np.float16 if half else np.float32
        # CUDA has GroupQueryAttention for float16 only.
        may_fuse = FUSED_POINTER in manifest.graphs and (half or not tries_cuda(device))
        file = manifest.graphs[FUSED_POINTER if may_fuse else POINTER]
        self._name = str(folder.path / file)
        self._session: Any
        self._device: Literal["cpu", "cuda"]
        self._session, self._device = make_session(
            files[file],
            device=device,
            threads=threads,
            name=self._name,
            weights=weights_beside(file, files),
        )
        check_graph(self._session, self._name, INPUTS, OUTPUTS)

    @property
    def manifest(self) -> VlmPointerManifest:
        """What the cropper's `cropper.json` says."""
        return self._manifest

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where it runs."""
        return self._device

    @property
    def longest_edge(self) -> int:
        """Longest side, in px, that images are brought to."""
        return self._prompter.longest_edge

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
        if k < 1:
            raise OptionsError(f"k={k} must be at least 1")
        trace = (trace or Trace()).start()
        image = readable(image)
        trace.lap("preprocess")
        if not question.strip():
            return []
        plan = self._prompter.layout(image.size)
        ids = self._prompter.tokens(plan, question)
        trace.lap("tokenise")
        pixels = idefics3.tiles(image, self._manifest.image, self.longest_edge)
        trace.lap("preprocess")
        cells, edges = self.logits(pixels, ids, plan)
        trace.lap("model")
        rows, columns = cells.shape
        spec = self._manifest.decode
        crops = point(
            cells,
            -math.inf,
            edges,
            (np.arange(columns) + 0.5) / columns,
            (np.arange(rows) + 0.5) / rows,
            spec.edge,
            spec.quantile,
            spec.temperature,
            Box.ordered,
            k,
        )
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
        session = self._session
        if session is None:
            raise CropperError("the cropper is closed; load it again")
        feed: dict[str, npt.NDArray[Any]] = {
            "pixel_values": pixels[None].astype(self._pixels, copy=False),
            "input_ids": np.asarray([ids], np.int64),
            **_places(ids, self._prompter.image_token, plan, self._manifest.prompt.image_tokens),
        }
        try:
            cells, edges = session.run(list(OUTPUTS), feed)
        except Exception as error:
            # onnxruntime's errors have no public base.
            raise CropperError(f"{self._name} failed: {error}") from error
        spec = self._manifest.decode
        shape = tuple(side * spec.subcells for side in feed["grid"].shape)
        for name, output, wanted in (
            ("cell_logits", cells, (1, *shape)),
            ("edge_logits", edges, (1, 4, len(spec.edge), *shape)),
        ):
            if output.shape != wanted:
                raise CropperError(
                    f"{self._name} gave {name} of shape {output.shape}, its manifest says "
                    f"{wanted}; export the cropper again"
                )
            if not np.isfinite(output).all():
                raise CropperError(
                    f"{self._name} gave {name} that is not finite; try device='cpu' or a "
                    "cropper of higher precision"
                )
        return cells[0], edges[0]

    def prompt_tokens(self, size: tuple[int, int], question: str) -> list[int]:
        """Return the prompt's token ids for an image of `size` (width, height) px.

        Raises:
            CropperError: the question is too long.
        """
        return self._prompter.tokens(self._prompter.layout(size), question)

    def warmup(self) -> None:
        """Run once on an empty page, so that the first real prediction is as fast as the next."""
        self.predict(Image.new("RGB", (self.longest_edge,) * 2, "white"), "warm up")

    def close(self) -> None:
        """Free the model; later predictions raise CropperError. Calling it again does nothing."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
