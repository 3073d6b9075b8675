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
import threading
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.cropper.manifest import TextManifest, read_files
from cropzoom.cropper.smolvlm import idefics3
from cropzoom.cropper.smolvlm.box_grammar import decode_box
from cropzoom.cropper.smolvlm.decoder import Decoder, Past
from cropzoom.cropper.smolvlm.text_graphs import TextGraphs
from cropzoom.cropper.smolvlm.vlm_cropper import VlmCropper
from cropzoom.cropper.smolvlm.vlm_spec import DECODER
from cropzoom.cropper.trace import Trace
from cropzoom.geometry import Box, Crop

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


class _Model:
    """The model of one process, and what it remembers of images."""

    def __init__(self, graphs: TextGraphs) -> None:
        self.graphs = graphs
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[bytes, tuple[int, ...]], Past] = OrderedDict()

    def kept(self, key: tuple[bytes, tuple[int, ...]]) -> Past | None:
        with self._lock:
            past = self._kept.get(key)
            if past is not None:
                self._kept.move_to_end(key)
            return past

    def keep(self, key: tuple[bytes, tuple[int, ...]], past: Past) -> None:
        with self._lock:
            self._kept[key] = past
            while sum(kept.bytes for kept in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)

    def forget(self) -> None:
        with self._lock:
            self._kept.clear()


class TextCropper(VlmCropper[TextManifest, _Model]):
    """A `text` cropper. Thread-safe; closes with `close()` or as a context manager.

    Arguments and errors: see `VlmCropper`.
    """

    _manifest_class = TextManifest
    _kind = "text cropper"

    def _load(self) -> _Model:
        files = read_files(self._folder, self._manifest)
        self._read_prompter(files, LONGEST_ANSWER)
        device, threads = self._settings["device"], self._settings["threads"]
        graphs = TextGraphs(self._folder, self._manifest, files, device, threads)
        self._device = graphs.device
        return _Model(graphs)

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
        model = self._model()
        graphs = model.graphs
        decoder = graphs.decoder(graphs.box_decoder)
        task = self._boxes_task(image, question, k, trace)
        if task is None:
            return []
        image, plan, ids, trace = task
        split = self._prompter.image_end(ids)
        past = self._image_past(model, decoder, image, ids[:split], trace)
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
        graphs = self._model().graphs
        decoder = graphs.decoder(DECODER)
        image, plan, ids, trace = self._task(image, question, trace)
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

    def warmup(self) -> None:
        """Run once on an empty page, so that the first real prediction is as fast as the next."""
        super().warmup()
        self._model().forget()

    def _image_past(
        self, model: _Model, decoder: Decoder, image: Image.Image, ids: list[int], trace: Trace
    ) -> Past:
        """Return the decoder's past up to the end of the image: kept, or computed."""
        digest = hashlib.blake2b(repr((image.mode, image.size)).encode(), digest_size=32)
        digest.update(image.tobytes())
        key = digest.digest(), tuple(ids)
        past = model.kept(key)
        trace.lap("preprocess")
        if past is not None:
            trace.counts["kept_tokens"] = past.length
            return past
        _, past = decoder.run(self._with_image(model.graphs, image, ids, trace), decoder.empty())
        trace.lap("prefill")
        trace.counts["decoder_runs"] = trace.counts.get("decoder_runs", 0) + 1
        model.keep(key, past)
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
