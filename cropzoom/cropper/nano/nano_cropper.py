"""Croppers of kind `pointer`: the model reads a page, points at a cell and sizes a box.

Stages: preprocess (image to a padded grey array), encode the question, run, decode (logits to
boxes). All but the run is plain numpy. A page is read once for all questions about it.

The model's policy: a cell, or "absent", from one softmax; then each edge's distance from the
cell's centre from a softmax of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.cropper.base import FolderCropper, check_k
from cropzoom.cropper.manifest import PointerManifest
from cropzoom.cropper.nano.holding import hold
from cropzoom.cropper.nano.nano_graphs import OUTPUTS, NanoGraphs, load_graphs
from cropzoom.cropper.nano.phoc import encode_question
from cropzoom.cropper.nano.pointer_spec import DecodeSpec, ImageSpec
from cropzoom.cropper.pointing import CellLogits, point
from cropzoom.cropper.trace import Trace
from cropzoom.errors import CropperError, OptionsError
from cropzoom.geometry import Box, Crop
from cropzoom.images import readable
from cropzoom.questions.scripts import readable as can_read

Floats = npt.NDArray[np.float32]

UNSURE = 0.5
"""Confidence below which a first look is not trusted where a second one may be taken."""


class NanoCropper(FolderCropper[PointerManifest, NanoGraphs]):
    """A `pointer` cropper. Thread-safe; closes with `close()` or as a context manager.

    Args:
        folder, manifest, device, threads: see `FolderCropper`.
        longest_edge: px that images are shrunk to, instead of what the manifest says.
        second_look: px of a second look at images that are larger than the first look shows them,
            taken where it is unsure (confidence below `UNSURE`); the surer look counts. None:
            never. See docs/studies/input-size.md.

    Raises:
        CropperError: folder, manifest, model file or provider at fault.
        MissingDependencyError: onnxruntime is not installed.
        OptionsError: an argument is out of range.
    """

    _manifest_class = PointerManifest
    _kind = "pointer cropper"

    def _prepare(self) -> None:
        edges: dict[str, Any] = {
            name: self._settings.get(name) for name in ("longest_edge", "second_look")
        }
        for name, edge in edges.items():
            if edge is not None and (type(edge) is not int or not 16 <= edge <= 16384):
                raise OptionsError(
                    f"{name}={edge!r} must be a whole number from 16 to 16384, or None"
                )
        self._edge: int = edges["longest_edge"] or self._manifest.image.longest_edge
        self._second: int | None = edges["second_look"]
        if self._second is not None and self._second <= self._edge:
            raise OptionsError(
                f"second_look={self._second} must be above longest_edge={self._edge}, or None"
            )

    def _load(self) -> NanoGraphs:
        device, threads = self._settings["device"], self._settings["threads"]
        graphs, self._device = load_graphs(self._folder, self._manifest, device, threads)
        return graphs

    @property
    def scripts(self) -> tuple[str, ...] | None:
        """Scripts of the questions that it can read, as Unicode names them; None: not told."""
        return self._manifest.scripts

    @property
    def grey(self) -> bool:
        """Whether colours are of no use; kind `pointer` knows only grey images."""
        return True

    @property
    def longest_edge(self) -> int:
        """Longest side, in px, that images are shrunk to, in a second look if there is one."""
        return self._second or self._edge

    def predict(
        self, image: Image.Image, question: str, k: int = 1, *, trace: Trace | None = None
    ) -> list[Crop]:
        """Return at most `k` regions for a question, best first; same input, same output.

        A question without a word, one in a script that the model can't read, or an image too
        elongated for the model, gives none.

        Args:
            image: any mode; read upright, on white. Boxes refer to the upright image.
            question: any text.
            k: how many regions; they do not start inside one another.
            trace: takes the time of each stage: preprocess, tokenise, model, parse.

        Raises:
            CropperError: the cropper is closed, or the model's output is unusable.
            ImageError: `image` is not a readable PIL image.
            OptionsError: `k` is less than 1.
        """
        return self.predict_many(image, [question], k, trace=trace)[0]

    def predict_many(
        self,
        image: Image.Image,
        questions: Sequence[str],
        k: int = 1,
        *,
        trace: Trace | None = None,
    ) -> list[list[Crop]]:
        """As `predict` for each of several questions; the page is read once for all of them.

        Args:
            image, k, trace: as of `predict`.
            questions: any texts.

        Returns:
            For each question what `predict` would return.

        Raises:
            CropperError, ImageError, OptionsError: as `predict`.
        """
        model = self._model()
        check_k(k)
        trace = (trace or Trace()).start()
        image = readable(image)
        trace.lap("preprocess")
        encoded = [
            encode_question(question, self._manifest.max_words, model.meanings)
            if can_read(question, self._manifest.scripts)
            else None
            for question in questions
        ]
        trace.lap("tokenise")
        width, height = image.size
        elongated = max(width, height) > self._manifest.image.max_aspect * min(width, height)
        results: list[list[Crop]] = [[] for _ in questions]
        if elongated:
            return results
        usable = {i: e for i, e in enumerate(encoded) if e is not None and e[1].any()}
        for index, crops in self._look(model, image, usable, self._edge, k, trace).items():
            results[index] = crops
        unsure = {i: e for i, e in usable.items() if _confidence(results[i]) < UNSURE}
        if unsure and self._second is not None and max(width, height) > self._edge:
            # Unsure, above all, where the text is too small: docs/studies/input-size.md.
            for index, again in self._look(model, image, unsure, self._second, k, trace).items():
                results[index] = max(results[index], again, key=_confidence)
        return results

    def _look(
        self,
        model: NanoGraphs,
        image: Image.Image,
        questions: Mapping[int, tuple[Floats, Floats]],
        edge: int,
        k: int,
        trace: Trace,
    ) -> dict[int, list[Crop]]:
        """Read the page once, with the image shrunk to `edge`, and point for each question."""
        pixels, size = preprocess(image, self._manifest.image, edge)
        trace.lap("preprocess")
        results: dict[int, list[Crop]] = {}
        page = None
        for index, (words, mask) in questions.items():
            try:
                page = model.read(pixels) if page is None else page
                cells, absent, edges = model.ask(page, words, mask)
            except Exception as error:
                # onnxruntime's errors have no public base.
                raise CropperError(f"the model of {self._manifest.name} failed: {error}") from error
            trace.lap("model")
            self._check(pixels, cells, absent, edges)
            decoding = self._manifest.decode
            results[index] = decode(cells[0], float(absent[0, 0]), edges[0], size, decoding, k)
            trace.lap("parse")
        return results

    def warmup(self) -> None:
        """Run once on an empty page, so that the first real prediction is as fast as the next."""
        side = self._edge
        self.predict(Image.new("RGB", (max(1, side * 3 // 4), side), "white"), "warm up")

    def _check(self, pixels: npt.NDArray[np.uint8], *outputs: npt.NDArray[Any]) -> None:
        spec = self._manifest.decode
        grid = pixels.shape[0] // spec.cell, pixels.shape[1] // spec.cell
        wanted = ((1, *grid), (1, 1), (1, 4, len(spec.edge), *grid))
        for name, output, shape in zip(OUTPUTS, outputs, wanted, strict=True):
            if output.shape != shape:
                raise CropperError(
                    f"the model of {self._manifest.name} gave {name} of shape {output.shape}, "
                    f"its manifest says {shape}; export the cropper again"
                )
            if not np.isfinite(output).all():
                raise CropperError(
                    f"the model of {self._manifest.name} gave {name} that is not finite; "
                    "try device='cpu'"
                )


def _confidence(crops: list[Crop]) -> float:
    return crops[0].confidence if crops else 0.0


def preprocess(
    image: Image.Image, spec: ImageSpec, longest_edge: int
) -> tuple[npt.NDArray[np.uint8], tuple[int, int]]:
    """Make the model's input: grey, shrunk to `longest_edge`, padded at the right and the bottom.

    Args:
        image: RGB or L, upright.
        spec: the manifest's.
        longest_edge: px; a smaller image is enlarged by at most `spec.max_upscale`.

    Returns:
        pixels (H, W) uint8, H and W multiples of `spec.multiple`; and the (width, height) in px
        of the image's own area at the top left.
    """
    scale = min(longest_edge / max(image.size), spec.max_upscale)
    width, height = (max(1, round(side * scale)) for side in image.size)
    grey = image.convert("L")
    if grey.size != (width, height):
        # reducing_gap: a cheap box filter first, for images many times larger than needed.
        grey = grey.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=2.0)
    rows, columns = (-(-side // spec.multiple) * spec.multiple for side in (height, width))
    pixels = np.full((rows, columns), spec.pad_value, np.uint8)
    pixels[:height, :width] = np.asarray(grey)
    return pixels, (width, height)


def decode(
    cells: Floats,
    absent: float,
    edges: Floats,
    size: tuple[int, int],
    spec: DecodeSpec,
    k: int,
) -> list[Crop]:
    """Turn the model's output into at most `k` boxes, best first; see `hold` and `point`.

    Boxes are grown after their confidence is taken, and cells beyond the image do not count.

    Args:
        cells: (rows, columns) logits.
        absent: logit of "nothing here answers".
        edges: (4, len(spec.edge), rows, columns) logits of the distances from a cell's centre to
            the left, top, right and bottom.
        size: (width, height) of the image's own area in px; cells beyond it are padding.
        spec: the manifest's.
        k: most boxes.
    """
    width, height = size
    rows, columns = -(-height // spec.cell), -(-width // spec.cell)

    def finish(x0: float, y0: float, x1: float, y1: float) -> Box:
        grow_x = (x1 - x0) * (spec.scale - 1) / 2 + spec.pad_px
        grow_y = (y1 - y0) * (spec.scale - 1) / 2 + spec.pad_px
        return Box.ordered(
            (x0 - grow_x) / width,
            (y0 - grow_y) / height,
            (x1 + grow_x) / width,
            (y1 + grow_y) / height,
        )

    cells = cells[:rows, :columns]
    xs, ys = (np.arange(columns) + 0.5) * spec.cell, (np.arange(rows) + 0.5) * spec.cell
    logits = CellLogits(cells, absent, edges, xs, ys, spec.edge)
    t = spec.temperature
    if spec.price is None:
        return point(logits, finish, k, quantile=spec.quantile, temperature=t, join=spec.join)
    return hold(logits, size, finish, k, price=spec.price, temperature=t, centre=spec.centre)
