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
import posixpath
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.cropper import idefics3
from cropzoom.cropper.decoder import Decoder, Past
from cropzoom.cropper.folder import Folder, find_folder
from cropzoom.cropper.grammar import decode_box
from cropzoom.cropper.manifest import TextManifest, read_files, read_manifest
from cropzoom.cropper.session import Device, check_graph, make_session
from cropzoom.cropper.text_spec import (
    BOX_DECODER,
    DECODER,
    EMBED,
    FUSED_DECODER,
    TOKENIZER_NAME,
    VISION,
)
from cropzoom.cropper.trace import Trace
from cropzoom.errors import CropperError, ImageError, OptionsError
from cropzoom.geometry import Box, Crop
from cropzoom.images import is_plain, load_image

if TYPE_CHECKING:
    from typing_extensions import Self

Floats = npt.NDArray[np.floating]

# Keys and values of this many bytes are kept: SmolVLM-256M in fp32 takes 3 MB for an image of one
# tile, 54 MB for one of 17.
_KEPT_BYTES = 256_000_000
_LONGEST_BOX = 32


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
        tile = manifest.image.tile
        sides = range(tile, tile * idefics3.MOST_TILES + 1, tile)
        if longest_edge is not None and (
            type(longest_edge) is not int or longest_edge not in sides
        ):
            raise OptionsError(
                f"longest_edge={longest_edge!r} must be a multiple of {tile} (one tile) up to "
                f"{sides[-1]}, or None"
            )
        self._longest_edge = longest_edge or manifest.image.longest_edge
        self._files = read_files(self._folder, manifest)
        self._tokenizer = self._read_tokenizer()
        self._threads = threads
        self._device: Literal["cpu", "cuda"]
        self._vision, self._device = self._session(VISION, device)
        self._embed, _ = self._session(EMBED, self._device)
        check_graph(self._vision, self._path(VISION), ["pixel_values"], ["image_features"])
        check_graph(self._embed, self._path(EMBED), ["input_ids"], ["inputs_embeds"])
        half = self._vision.get_inputs()[0].type == "tensor(float16)"
        self._pixels = np.float16 if half else np.float32
        # CUDA has GroupQueryAttention for float16 only.
        fused = FUSED_DECODER in manifest.graphs and (half or self._device == "cpu")
        graph = FUSED_DECODER if fused else BOX_DECODER
        self._decoder: Decoder | None = self._make_decoder(graph, "box_logits")
        self._whole_decoder: Decoder | None = None
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
        return self._longest_edge

    def predict(
        self, image: Image.Image, question: str, k: int = 1, *, trace: Trace | None = None
    ) -> list[Crop]:
        """Return the region for a question; same input, same output.

        There is one, whatever `k`: the model writes one box. A blank question gives none.

        Args:
            image: any mode; read upright, on white. The box refers to the upright image.
            question: any text; special tokens in it are dropped.
            k: at least 1.
            trace: takes the time of each stage (preprocess, tokenise, vision, prefill, decode,
                parse) and counts: tiles, prompt_tokens, kept_tokens (of them, not computed anew),
                decoder_runs, box_tokens.

        Raises:
            CropperError: the cropper is closed, the question is too long, or the model failed.
            ImageError: `image` is not a readable PIL image.
            OptionsError: `k` is less than 1.
        """
        decoder = self._decoder
        if decoder is None:
            raise CropperError("the cropper is closed; load it again")
        if k < 1:
            raise OptionsError(f"k={k} must be at least 1")
        trace = (trace or Trace()).start()
        image = _plain(image)
        trace.lap("preprocess")
        if not question.strip():
            return []
        plan, ids, split = self._prompt(image, question, trace)
        past = self._image_past(decoder, image, ids[:split], trace)
        fresh, stage = ids[split:], "prefill"

        def step(tokens: list[int]) -> Floats:
            nonlocal past, fresh, stage
            logits, past = decoder.run(self._embeds(fresh + tokens), past)
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
        max_tokens: int = _LONGEST_BOX,
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
        image = _plain(image)
        trace.lap("preprocess")
        decoder = self._unconstrained()
        plan, ids, _ = self._prompt(image, question, trace)
        embeds = self._with_image(image, ids, trace)
        past, tokens, stage = decoder.empty(), list[int](), "prefill"
        while True:
            logits, past = decoder.run(embeds, past)
            trace.lap(stage)
            tokens.append(int(np.argmax(logits)))
            if tokens[-1] in self._manifest.end or len(tokens) == max_tokens:
                break
            embeds, stage = self._embeds(tokens[-1:]), "decode"
        text = self._tokenizer.decode(tokens, skip_special_tokens=True)
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
        return self._tokens(
            idefics3.layout(size, self._manifest.image, self._longest_edge), question
        )

    def warmup(self) -> None:
        """Run once on an empty page, so that the first real prediction is as fast as the next."""
        self.predict(Image.new("RGB", (self._longest_edge,) * 2, "white"), "warm up")
        with self._lock:
            self._kept.clear()

    def close(self) -> None:
        """Free the model; later predictions raise CropperError. Calling it again does nothing."""
        with self._lock:
            self._decoder = self._whole_decoder = None
            self._vision = self._embed = None
            self._files = {}
            self._kept.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prompt(
        self, image: Image.Image, question: str, trace: Trace
    ) -> tuple[idefics3.Layout, list[int], int]:
        """Return the layout, the prompt's tokens, and how many of them the image ends at."""
        plan = idefics3.layout(image.size, self._manifest.image, self._longest_edge)
        ids = self._tokens(plan, question)
        fake = self._tokenizer.token_to_id(idefics3.FAKE)
        split = len(ids) - ids[::-1].index(fake)
        trace.lap("tokenise")
        return plan, ids, split

    def _tokens(self, plan: idefics3.Layout, question: str) -> list[int]:
        spec = self._manifest.prompt
        # An image token in a question would stand for an image that is not there.
        while (cleaned := self._drop_special(question)) != question:
            question = cleaned
        if spec.capitalize:
            question = question.capitalize()
        image = idefics3.image_text(plan, spec.image_tokens)
        ids: list[int] = self._tokenizer.encode(
            f"{spec.before}{image}{spec.between}{question}{spec.after}"
        ).ids
        if len(ids) + _LONGEST_BOX > spec.max_tokens:
            raise CropperError(
                f"the prompt has {len(ids)} tokens, {self._manifest.name} takes "
                f"{spec.max_tokens - _LONGEST_BOX}; shorten the question or lower longest_edge"
            )
        return ids

    def _drop_special(self, text: str) -> str:
        for token in self._special:
            text = text.replace(token, "")
        return text

    def _image_past(
        self, decoder: Decoder, image: Image.Image, ids: list[int], trace: Trace
    ) -> Past:
        """Return the decoder's past up to the end of the image: kept, or computed."""
        digest = hashlib.blake2b(repr((image.mode, image.size)).encode(), digest_size=32)
        digest.update(image.tobytes())
        key = digest.digest(), tuple(ids)
        with self._lock:
            past = self._kept.get(key)
            if past is not None:
                self._kept.move_to_end(key)
                trace.counts["kept_tokens"] = past.length
                trace.lap("preprocess")
                return past
        trace.lap("preprocess")
        _, past = decoder.run(self._with_image(image, ids, trace), decoder.empty())
        trace.counts["decoder_runs"] = trace.counts.get("decoder_runs", 0) + 1
        trace.lap("prefill")
        with self._lock:
            if self._decoder is not None:
                self._kept[key] = past
            while sum(kept.bytes for kept in self._kept.values()) > _KEPT_BYTES:
                self._kept.popitem(last=False)
        return past

    def _with_image(self, image: Image.Image, ids: list[int], trace: Trace) -> Floats:
        """Return the embeddings of a prompt, the image's features in their places."""
        pixels = idefics3.tiles(image, self._manifest.image, self._longest_edge)
        pixels = pixels.astype(self._pixels, copy=False)
        trace.lap("preprocess")
        # On a CPU, a batch is not faster than its tiles one by one and takes more memory.
        size = 1 if self._device == "cpu" else len(pixels)
        batches = [pixels[None, at : at + size] for at in range(0, len(pixels), size)]
        features = np.concatenate(
            [_run(self._vision, self._path(VISION), "pixel_values", batch) for batch in batches]
        )
        embeds = self._embeds(ids)
        places = np.asarray(ids) == self._tokenizer.token_to_id(idefics3.IMAGE)
        tokens = self._manifest.prompt.image_tokens
        if features.shape != (len(pixels), tokens, embeds.shape[1]):
            raise CropperError(
                f"{self._path(VISION)} gave features of shape {features.shape}, the manifest says "
                f"{tokens} tokens for each of {len(pixels)} tiles; export the cropper again"
            )
        embeds[places] = features.reshape(-1, embeds.shape[1])
        trace.lap("vision")
        return embeds

    def _embeds(self, ids: list[int]) -> Floats:
        """(S,) token ids -> (S, hidden)."""
        tokens = np.asarray([ids], np.int64)
        embeds: Floats = _run(self._embed, self._path(EMBED), "input_ids", tokens)[0]
        return embeds

    def _unconstrained(self) -> Decoder:
        with self._lock:
            if self._decoder is None:
                raise CropperError("the cropper is closed; load it again")
            if self._whole_decoder is None:
                self._whole_decoder = self._make_decoder(DECODER, "logits")
            return self._whole_decoder

    def _make_decoder(self, graph: str, output: str) -> Decoder:
        session, device = self._session(graph, self._device)
        return Decoder(session, device, self._path(graph), output)

    def _session(self, graph: str, device: Device) -> tuple[Any, Literal["cpu", "cuda"]]:
        file = self._manifest.graphs[graph]
        beside = posixpath.dirname(file)
        return make_session(
            self._files[file],
            device=device,
            threads=self._threads,
            name=self._path(graph),
            # As the graph would name them: relative to itself.
            weights={posixpath.relpath(n, beside or "."): d for n, d in self._files.items()},
        )

    def _path(self, graph: str) -> str:
        return str(self._folder.path / self._manifest.graphs[graph])

    def _read_tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        path = self._folder.path / TOKENIZER_NAME
        try:
            tokenizer = Tokenizer.from_buffer(bytes(self._files[TOKENIZER_NAME]))
        except Exception as error:
            # tokenizers raises bare exceptions.
            raise CropperError(f"{path} is not a tokenizer: {error}; export it again") from error
        tokenizer.no_padding()
        tokenizer.no_truncation()
        tiles = range(self._longest_edge // self._manifest.image.tile)
        tags = [idefics3.tag(row, column) for row in tiles for column in tiles]
        wanted = [idefics3.IMAGE, idefics3.FAKE, *([idefics3.GLOBAL, *tags] if tags[1:] else [])]
        missing = [token for token in wanted if tokenizer.token_to_id(token) is None]
        if missing:
            raise CropperError(f"{path} lacks {missing[0]}, which {len(tags)} tiles need")
        added = tokenizer.get_added_tokens_decoder().values()
        self._special = [token.content for token in added if token.special]
        return tokenizer


def _run(session: Any, path: str, name: str, array: npt.NDArray[Any]) -> Floats:
    if session is None:
        raise CropperError("the cropper is closed; load it again")
    try:
        output: Floats = session.run(None, {name: array})[0]
    except Exception as error:
        # onnxruntime's errors have no public base.
        raise CropperError(f"{path} failed: {error}") from error
    return output


def _plain(image: Image.Image) -> Image.Image:
    if not isinstance(image, Image.Image):
        raise ImageError(
            f"predict takes a PIL image, not {type(image).__name__}; "
            "open it with cropzoom.images.load_image"
        )
    if is_plain(image):
        return image
    return load_image(image, max_pixels=image.width * image.height)
