"""Croppers of kind `text`, the paper's: SmolVLM writes the box, `[x1, y1, x2, y2].`.

Stages: preprocess (image to tiles), tokenise (the expanded prompt), vision (tiles to image
tokens), prefill (prompt through the decoder), decode (the box, within its grammar), parse. No
torch and no transformers: ONNX Runtime, numpy, Pillow and tokenizers.

The image stands before the question in the prompt, so the decoder's work on it is kept: a further
question about the same image pays its own tokens only. Image and question always go through the
decoder one after the other, never at once, so that a kept image changes no digit.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.cropper.folder import Folder, find_folder
from cropzoom.cropper.manifest import TextManifest, read_files, read_manifest
from cropzoom.cropper.readable import readable
from cropzoom.cropper.session import Device
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.box_grammar import decode_box
from cropzoom.cropper.smolvlm.decoder import Decoder, Past
from cropzoom.cropper.smolvlm.prompt import Prompter
from cropzoom.cropper.smolvlm.text_graphs import TextGraphs
from cropzoom.cropper.smolvlm.vlm_spec import DECODER, TOKENIZER_NAME
from cropzoom.cropper.trace import Trace
from cropzoom.errors import CropperError, OptionsError
from cropzoom.geometry import Box, Crop

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.floating]

LONGEST_ANSWER = 32
"""Tokens, at most."""
# Keys and values of this many bytes are kept: SmolVLM-256M in fp32 takes 3 MB for an image of one
# tile, 54 MB for one of 17.
_KEPT_BYTES = 256_000_000


class Answer(NamedTuple):
    """What a model wrote, unconstrained.

    Attributes:
        tokens: all, with the one that ended it.
        text: without special tokens.
        box: None where the text is not a box.
    """

    tokens: list[int]
    text: str
    box: Box | None


class TextCropper:
    """A `text` cropper. Thread-safe; closes with `close()` or as a context manager.

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
        self._folder = folder if isinstance(folder, Folder) else find_folder(folder)
        manifest = read_manifest(self._folder)
        if not isinstance(manifest, TextManifest):
            raise CropperError(f"{self._folder.path} is no text cropper; load it with load_cropper")
        self._manifest = manifest
        files = read_files(self._folder, manifest)
        self._prompter = Prompter(
            files[TOKENIZER_NAME],
            str(self._folder.path / TOKENIZER_NAME),
            manifest.prompt,
            manifest.image,
            longest_edge,
            LONGEST_ANSWER,
        )
        graphs = TextGraphs(self._folder, manifest, files, device, threads)
        self._device = graphs.device
        self._graphs: TextGraphs | None = graphs
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[bytes, tuple[int, ...]], Past] = OrderedDict()

    @property
    def manifest(self) -> TextManifest:
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
        """Return the region for a question; same input, same output.

        There is one, whatever `k`: the model writes one box. A blank question gives none.

        Args:
            image: any mode; read upright, on white. The box refers to the upright image.
            question: any text; special tokens in it lose their brackets.
            k: at least 1.
            trace: takes the time of each stage (preprocess, tokenise, vision, prefill, decode,
                parse) and counts: tiles, prompt_tokens, kept_tokens (of them, not computed anew),
                decoder_runs, box_tokens.

        Raises:
            CropperError: the cropper is closed, the question is too long, or the model failed.
            ImageError: `image` is not a readable PIL image.
            OptionsError: `k` is less than 1.
        """
        graphs = self._open()
        decoder = graphs.decoder(graphs.box_decoder)
        if k < 1:
            raise OptionsError(f"k={k} must be at least 1")
        trace = (trace or Trace()).start()
        image = readable(image)
        trace.lap("preprocess")
        if not question.strip():
            return []
        plan = self._prompter.layout(image.size)
        ids = self._prompter.tokens(plan, question)
        split = self._prompter.image_end(ids)
        trace.lap("tokenise")
        past = self._image_past(graphs, decoder, image, ids[:split], trace)
        fresh, stage = ids[split:], "prefill"

        def step(tokens: list[int]) -> Floats:
            nonlocal past, fresh, stage
            logits, past = decoder.run(graphs.embed(fresh + tokens), past)
            trace.lap(stage)
            fresh, stage = [], "decode"
            return logits

        written = decode_box(self._manifest.grammar, step, self._manifest.temperature)
        crop = Crop(written.box, written.confidence)
        trace.lap("parse")
        trace.counts.update(
            tiles=plan.tiles,
            prompt_tokens=len(ids),
            box_tokens=len(written.tokens),
            decoder_runs=trace.counts.get("decoder_runs", 0) + written.steps,
        )
        return [crop]

    def generate(
        self,
        image: Image.Image,
        question: str,
        *,
        max_tokens: int = LONGEST_ANSWER,
        trace: Trace | None = None,
    ) -> Answer:
        """Let the model write what it will, greedily: what transformers' `generate()` gives.

        Slower than `predict`: a run of the decoder for each token, each over the whole vocabulary.
        Nothing is kept of the image.

        Args:
            image, question, trace: as for `predict`.
            max_tokens: most tokens it writes.

        Raises:
            CropperError, ImageError: as `predict`.
        """
        trace = (trace or Trace()).start()
        image = readable(image)
        trace.lap("preprocess")
        graphs = self._open()
        decoder = graphs.decoder(DECODER)
        plan = self._prompter.layout(image.size)
        ids = self._prompter.tokens(plan, question)
        trace.lap("tokenise")
        embeds = self._with_image(graphs, image, ids, trace)
        past, tokens, stage = decoder.empty(), list[int](), "prefill"
        while True:
            logits, past = decoder.run(embeds, past)
            trace.lap(stage)
            tokens.append(int(np.argmax(logits)))
            if tokens[-1] in self._manifest.end or len(tokens) == max_tokens:
                break
            embeds, stage = graphs.embed(tokens[-1:]), "decode"
        text = self._prompter.text(tokens)
        try:
            box: Box | None = Box.from_text(text)
        except ValueError:
            box = None
        trace.lap("parse")
        trace.counts.update(
            tiles=plan.tiles,
            prompt_tokens=len(ids),
            box_tokens=len(tokens),
            decoder_runs=len(tokens),
        )
        return Answer(tokens, text, box)

    def prompt_tokens(self, size: tuple[int, int], question: str) -> list[int]:
        """Return the prompt's token ids for an image of `size` (width, height) px.

        Raises:
            CropperError: the question is too long.
        """
        return self._prompter.tokens(self._prompter.layout(size), question)

    def warmup(self) -> None:
        """Run once on an empty page, so that the first real prediction is as fast as the next."""
        self.predict(Image.new("RGB", (self.longest_edge,) * 2, "white"), "warm up")
        with self._lock:
            self._kept.clear()

    def close(self) -> None:
        """Free the model; later predictions raise CropperError. Calling it again does nothing."""
        with self._lock:
            self._graphs = None
            self._kept.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _image_past(
        self, graphs: TextGraphs, decoder: Decoder, image: Image.Image, ids: list[int], trace: Trace
    ) -> Past:
        """Return the decoder's past up to the end of the image: kept, or computed."""
        digest = hashlib.blake2b(repr((image.mode, image.size)).encode(), digest_size=32)
        digest.update(image.tobytes())
        key = digest.digest(), tuple(ids)
        with self._lock:
            past = self._kept.get(key)
            if past is not None:
                self._kept.move_to_end(key)
        trace.lap("preprocess")
        if past is not None:
            trace.counts["kept_tokens"] = past.length
            return past
        _, past = decoder.run(self._with_image(graphs, image, ids, trace), decoder.empty())
        trace.lap("prefill")
        trace.counts["decoder_runs"] = trace.counts.get("decoder_runs", 0) + 1
        with self._lock:
            if self._graphs is not None:
                self._kept[key] = past
            while sum(kept.bytes for kept in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return past

    def _with_image(
        self, graphs: TextGraphs, image: Image.Image, ids: list[int], trace: Trace
    ) -> Floats:
        """Return the embeddings of a prompt, the image's features in their places."""
        pixels = idefics3.tiles(image, self._manifest.image, self.longest_edge)
        trace.lap("preprocess")
        features = graphs.vision(pixels)
        embeds = graphs.embed_with_image(ids, self._prompter.image_token, features)
        trace.lap("vision")
        return embeds

    def _open(self) -> TextGraphs:
        graphs = self._graphs
        if graphs is None:
            raise CropperError("the cropper is closed; load it again")
        return graphs
