"""The graphs of a `text` cropper as functions of arrays."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cropzoom.cropper.folder import Content, Folder
from cropzoom.cropper.manifest import TextManifest
from cropzoom.cropper.session import Device, check_graph, make_session, weights_beside
from cropzoom.cropper.smolvlm.decoder import Decoder
from cropzoom.cropper.smolvlm.vlm_spec import BOX_DECODER, DECODER, EMBED, FUSED_DECODER, VISION
from cropzoom.errors import CropperError

Floats = npt.NDArray[np.floating]


class TextGraphs:
    """Vision encoder, embeddings and decoders. Thread-safe.

    Args:
        folder, manifest: of the cropper.
        files: contents of its files, checked.
        device: "auto", "cpu" or "cuda".
        threads: of one run; None for what this process may use.

    Raises:
        CropperError: a graph can't be loaded, or has other inputs or outputs than it should.
        MissingDependencyError: onnxruntime is not installed.
        OptionsError: `device` or `threads` is out of range.
    """

    def __init__(
        self,
        folder: Folder,
        manifest: TextManifest,
        files: Mapping[str, Content],
        device: Device = "auto",
        threads: int | None = None,
    ) -> None:
        self._folder, self._manifest, self._files = folder, manifest, files
        self._threads = threads
        self._lock = threading.Lock()
        self._decoders: dict[str, Decoder] = {}
        self.device: Literal["cpu", "cuda"]
        self._vision, self.device = self._session(VISION, device)
        self._embed, _ = self._session(EMBED, self.device)
        check_graph(self._vision, self._path(VISION), ["pixel_values"], ["image_features"])
        check_graph(self._embed, self._path(EMBED), ["input_ids"], ["inputs_embeds"])
        half = self._vision.get_inputs()[0].type == "tensor(float16)"
        self._pixels = np.float16 if half else np.float32
        # CUDA has GroupQueryAttention for float16 only.
        fused = FUSED_DECODER in manifest.graphs and (half or self.device == "cpu")
        self.box_decoder = FUSED_DECODER if fused else BOX_DECODER
        self.decoder(self.box_decoder)

    def vision(self, pixels: Floats) -> Floats:
        """Tiles (N, 3, S, S) -> features (N, tokens, hidden)."""
        pixels = pixels.astype(self._pixels, copy=False)
        # On a CPU, a batch is not faster than its tiles one by one and takes more memory.
        size = 1 if self.device == "cpu" else len(pixels)
        batches = [pixels[None, at : at + size] for at in range(0, len(pixels), size)]
        features = np.concatenate([self._run(VISION, self._vision, batch) for batch in batches])
        tokens = self._manifest.prompt.image_tokens
        if features.ndim != 3 or features.shape[:2] != (len(pixels), tokens):
            raise CropperError(
                f"{self._path(VISION)} gave features of shape {features.shape}, the manifest says "
                f"{tokens} tokens for each of {len(pixels)} tiles; export the cropper again"
            )
        return features

    def embed(self, ids: list[int]) -> Floats:
        """Token ids (L,) -> (L, hidden)."""
        embeds: Floats = self._run(EMBED, self._embed, np.asarray([ids], np.int64))[0]
        return embeds

    def embed_with_image(self, ids: list[int], image_token: int, features: Floats) -> Floats:
        """Token ids (L,) -> (L, hidden), with features (N, tokens, hidden) at the image tokens."""
        embeds = self.embed(ids)
        places = np.asarray(ids) == image_token
        if features.shape[0] * features.shape[1] != places.sum() or (
            features.shape[2] != embeds.shape[1]
        ):
            raise CropperError(
                f"{self._path(VISION)} gave features of shape {features.shape}, which do not fit "
                f"{places.sum()} image tokens of size {embeds.shape[1]}; export the cropper again"
            )
        embeds[places] = features.reshape(-1, embeds.shape[1])
        return embeds

    def decoder(self, graph: str) -> Decoder:
        """Return one of the decoders, loaded when first asked for."""
        with self._lock:
            if graph not in self._decoders:
                session, _ = self._session(graph, self.device)
                output = "logits" if graph == DECODER else "box_logits"
                self._decoders[graph] = Decoder(session, self.device, self._path(graph), output)
            return self._decoders[graph]

    def _run(self, graph: str, session: Any, array: npt.NDArray[Any]) -> Floats:
        try:
            output: Floats = session.run(None, {session.get_inputs()[0].name: array})[0]
        except Exception as error:
            # onnxruntime's errors have no public base.
            raise CropperError(f"{self._path(graph)} failed: {error}") from error
        return output

    def _session(self, graph: str, device: Device) -> tuple[Any, Literal["cpu", "cuda"]]:
        file = self._manifest.graphs[graph]
        return make_session(
            self._files[file],
            device=device,
            threads=self._threads,
            name=self._path(graph),
            weights=weights_beside(file, self._files),
        )

    def _path(self, graph: str) -> str:
        return str(self._folder.path / self._manifest.graphs[graph])
