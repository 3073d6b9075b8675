"""What croppers made of a vision-language model share: the prompt, and the image's tiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, NamedTuple, TypeVar

from PIL import Image

from cropzoom.cropper.base import FolderCropper, check_k
from cropzoom.cropper.folder import Content
from cropzoom.cropper.manifest import TextManifest, VlmPointerManifest
from cropzoom.cropper.smolvlm.idefics3 import Layout
from cropzoom.cropper.smolvlm.prompter import Prompter
from cropzoom.cropper.smolvlm.vlm_spec import TOKENIZER_NAME
from cropzoom.cropper.trace import Trace
from cropzoom.images import readable

_Manifest = TypeVar("_Manifest", bound=TextManifest | VlmPointerManifest)
_Loaded = TypeVar("_Loaded")


class Task(NamedTuple):
    """An image and a question, laid out."""

    image: Image.Image
    plan: Layout
    ids: list[int]
    trace: Trace


class VlmCropper(FolderCropper[_Manifest, _Loaded], Generic[_Manifest, _Loaded]):
    """A cropper that shows a question and an image, in tiles, to a vision-language model.

    Args:
        folder, manifest, device, threads: see `FolderCropper`.
        longest_edge: px that images are brought to, instead of what the manifest says; whole
            tiles (512 px for SmolVLM), at most 6. Time grows with its square.

    Raises:
        CropperError: folder, manifest, a model file or provider at fault.
        MissingDependencyError: onnxruntime is not installed.
        OptionsError: an argument is out of range.
    """

    _prompter: Prompter

    def _read_prompter(self, files: Mapping[str, Content], room: int) -> None:
        """Make the prompter; `room` is for so many tokens of an answer."""
        self._prompter = Prompter(
            files[TOKENIZER_NAME],
            str(self._folder.path / TOKENIZER_NAME),
            self._manifest.prompt,
            self._manifest.image,
            self._settings["longest_edge"],
            room,
        )

    @property
    def longest_edge(self) -> int:
        """Longest side, in px, that images are brought to."""
        return self._prompter.longest_edge

    def prompt_tokens(self, size: tuple[int, int], question: str) -> list[int]:
        """Return the prompt's token ids for an image of `size` (width, height) px.

        Raises:
            CropperError: the question is too long.
        """
        return self._prompter.tokens(self._prompter.layout(size), question)

    def _boxes_task(
        self, image: Image.Image, question: str, k: int, trace: Trace | None
    ) -> Task | None:
        """Check and lay out what is asked; None for a blank question, where there is no box."""
        check_k(k)
        return self._task(image, question, trace) if question.strip() else None

    def _task(self, image: Image.Image, question: str, trace: Trace | None) -> Task:
        """Lay out an image and a question."""
        trace = (trace or Trace()).start()
        image = readable(image)
        trace.lap("preprocess")
        plan = self._prompter.layout(image.size)
        ids = self._prompter.tokens(plan, question)
        trace.lap("tokenise")
        return Task(image, plan, ids, trace)
