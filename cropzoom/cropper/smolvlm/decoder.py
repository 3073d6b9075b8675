"""A decoder graph and what it remembers: keys and values of the tokens fed so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cropzoom.cropper.session import check_graph, import_onnxruntime
from cropzoom.errors import CropperError

Floats = npt.NDArray[np.floating]

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


@dataclass(frozen=True)
class Past:
    """Keys and values of the tokens fed so far, where the model runs; never changed.

    Args:
        values: an `OrtValue` for each key and value of each layer.
        length: tokens.
        bytes: memory taken.
    """

    values: tuple[Any, ...]
    length: int
    bytes: int


class Decoder:
    """One decoder graph. Thread-safe: what it remembers is passed in and out.

    Args:
        session: of the graph.
        device: "cpu" or "cuda", where the session runs.
        name: of the file, for messages.
        output: the graph's logits: "logits" or "box_logits".

    Raises:
        CropperError: the graph is no such decoder.
    """

    def __init__(self, session: Any, device: str, name: str, output: str) -> None:
        found = {item.name: item for item in session.get_inputs()}
        known = sum(item.startswith("past_key_values.") for item in found)
        layers = range(max(1, -(-known // 2)))
        parts = [f"{layer}.{part}" for layer in layers for part in ("key", "value")]
        self._past = [f"past_key_values.{part}" for part in parts]
        self._present = [f"present.{part}" for part in parts]
        inputs = ["inputs_embeds", "attention_mask", "position_ids", *self._past]
        check_graph(session, name, inputs, [output, *self._present])
        shapes = {(tuple(found[part].shape[1::2]), found[part].type) for part in self._past}
        (heads, width), kind = next(iter(shapes), ((None, None), None))
        if len(shapes) != 1 or type(heads) is not int or type(width) is not int:
            raise CropperError(f"{name} has keys and values of no fixed size; export it again")
        if kind not in _DTYPES or found["inputs_embeds"].type != kind:
            raise CropperError(f"{name} takes {kind}, needs float or float16; export it again")
        self._shape = heads, width
        self._dtype = _DTYPES[kind]
        self._session, self._device, self._name, self._output = session, device, name, output

    def empty(self) -> Past:
        """Return the past of nothing."""
        heads, width = self._shape
        nothing = np.zeros((1, heads, 0, width), self._dtype)
        make = import_onnxruntime().OrtValue.ortvalue_from_numpy
        return Past(tuple(make(nothing) for _ in self._past), 0, 0)

    def run(self, embeds: Floats, past: Past) -> tuple[Floats, Past]:
        """Feed tokens.

        Args:
            embeds: (S, hidden), of the tokens that follow those of `past`.
            past: of this decoder.

        Returns:
            float logits of what follows the last token, (V,); and the past with these tokens.

        Raises:
            CropperError: the model failed, or its logits are not finite.
        """
        length = past.length + len(embeds)
        binding = self._session.io_binding()
        inputs = {
            "inputs_embeds": np.ascontiguousarray(embeds, self._dtype)[None],
            "attention_mask": np.ones((1, length), np.int64),
            "position_ids": np.arange(past.length, length, dtype=np.int64)[None],
        }
        try:
            for name, array in inputs.items():
                binding.bind_cpu_input(name, array)
            for name, value in zip(self._past, past.values, strict=True):
                binding.bind_ortvalue_input(name, value)
            binding.bind_output(self._output, "cpu")
            for name in self._present:
                # Stays where the model runs: nothing of the past is copied to and fro.
                binding.bind_output(name, self._device)
            self._session.run_with_iobinding(binding)
            first, *present = binding.get_outputs()
            logits = first.numpy().reshape(-1)
        except Exception as error:
            # onnxruntime's errors have no public base.
            raise CropperError(f"{self._name} failed: {error}") from error
        if not np.isfinite(logits).all():
            raise CropperError(
                f"{self._name} gave logits that are not finite; try device='cpu' or a "
                "cropper of higher precision"
            )
        heads, width = self._shape
        size = len(present) * heads * width * length * np.dtype(self._dtype).itemsize
        return logits.astype(np.float32, copy=False), Past(tuple(present), length, size)
