"""nano's model as it runs: a graph that reads a page, and one that points for each question.

A cropper from before 0.5 has one graph for both; then the page is read anew for each question.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from cropzoom.cropper.folder import Folder
from cropzoom.cropper.manifest import (
    FAST_NAME,
    MODEL_NAME,
    POINTER_NAME,
    PointerManifest,
    read_files,
)
from cropzoom.cropper.nano.meanings import MEANINGS_NAME, Meanings
from cropzoom.cropper.nano.phoc import WORD_DIM
from cropzoom.cropper.session import Device, check_graph, make_session, runner
from cropzoom.errors import CropperError

Floats = npt.NDArray[np.float32]

PAGE_OUTPUTS = ("look", "kinds", "embedding")
QUESTION_INPUTS = ("words", "word_mask")
OUTPUTS = ("cell_logits", "absent_logit", "edge_logits")


class _Run(Protocol):
    def __call__(self, names: list[str], feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]: ...


class NanoGraphs(NamedTuple):
    """The model of one process.

    Attributes:
        page: an `InferenceSession`'s `run`; of both steps where there is no `pointer`.
        pointer: as `page`, of the second step.
        image_axes: of the image; some graphs have one for the one channel.
        meanings: of words, for a model that is told them.
    """

    page: _Run
    pointer: _Run | None
    image_axes: int
    meanings: Meanings | None

    def read(self, pixels: npt.NDArray[np.uint8]) -> dict[str, npt.NDArray[Any]]:
        """What `ask` needs of a page (H, W)."""
        image = pixels.reshape((1,) * (self.image_axes - 2) + pixels.shape)
        if self.pointer is None:
            return {"image": image}
        return dict(zip(PAGE_OUTPUTS, self.page(list(PAGE_OUTPUTS), {"image": image}), strict=True))

    def ask(self, page: Mapping[str, npt.NDArray[Any]], words: Floats, mask: Floats) -> list[Any]:
        """The three outputs for a question about a page that was read."""
        if self.pointer is None:
            feed = {**page, "words": words[None], "word_mask": mask[None]}
            return self.page(list(OUTPUTS), feed)
        count = max(1, int(mask.sum()))  # this graph takes as many words as there are
        feed = {**page, "words": words[None, :count], "word_mask": mask[None, :count]}
        return self.pointer(list(OUTPUTS), feed)


def load_graphs(
    folder: Folder,
    manifest: PointerManifest,
    device: Device,
    threads: int | None,
    *,
    exact: bool = False,
) -> tuple[NanoGraphs, Any]:
    """Check a folder's files and load its graphs; also returns where they run.

    On a CPU pages are read by the graph in 8 bits where the folder has one, unless `exact`.

    Raises:
        CropperError: a file is missing, altered or of another kind; or the provider is at fault.
    """
    files = read_files(folder, manifest)

    def session(name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> tuple[Any, Any]:
        path = str(folder.path / name)
        loaded, where = make_session(bytes(files[name]), device=device, threads=threads, name=path)
        check_graph(loaded, path, inputs, outputs)
        return loaded, where

    meanings = None
    if manifest.meanings:
        try:
            meanings = Meanings.parse(bytes(files[MEANINGS_NAME]))
        except ValueError as error:
            raise CropperError(
                f"{folder.path / MEANINGS_NAME} is unusable ({error}); export the cropper again"
            ) from error
    if POINTER_NAME not in files:
        page, where = session(MODEL_NAME, ("image", *QUESTION_INPUTS), OUTPUTS)
        pointer = None
    else:
        pointer, where = session(POINTER_NAME, (*PAGE_OUTPUTS, *QUESTION_INPUTS), OUTPUTS)
        fast = FAST_NAME in files and where == "cpu" and not exact
        page, where = session(FAST_NAME if fast else MODEL_NAME, ("image",), PAGE_OUTPUTS)
    words = next(i.shape for i in (pointer or page).get_inputs() if i.name == "words")
    width = WORD_DIM + (meanings.width if meanings else 0)
    for size, given in ((words[1], manifest.max_words), (words[2], width)):
        if isinstance(size, int) and size != given:
            raise CropperError(
                f"the model of {manifest.name} takes words of shape {words}, its manifest says "
                f"questions of {manifest.max_words} words and {width} numbers a word; "
                "export the cropper again"
            )
    axes = {item.name: len(item.shape) for item in page.get_inputs()}["image"]
    run = None if pointer is None else runner(pointer, where)
    return NanoGraphs(runner(page, where), run, axes, meanings), where
