"""int8: a decoder's matrices in 8 bits, all else as it is; or all convolutions of nano's reader.

The decoder: dynamic quantization by ONNX Runtime: weights are stored as int8, one scale an output
channel; activations are quantized as they come, one scale a tensor. Norms, the head and the
embeddings stay in fp32, and so does the vision encoder, whose errors would be everybody's.

The reader: static quantization, the ranges of activations from pages, one scale an output channel.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from cropzoom.cropper.session import import_onnxruntime
from cropzoom.export.weights import GraphWriter

_HIDDEN = "Head", "cropzoom.hidden"


def quantized(model: ir.Model) -> ir.Model:
    """Return a graph with int8 MatMul weights in place of `model`, which is used up."""
    import_onnxruntime()
    # By name: it has no type information.
    tools: Any = importlib.import_module("onnxruntime.quantization")
    for node in model.graph:
        if node.op_type == "Gemm":
            # The head. Under its own name it would be quantized, whatever types are asked for.
            node.op_type, node.domain = _HIDDEN
            model.opset_imports[_HIDDEN[1]] = 1
    with tempfile.TemporaryDirectory() as name, _quiet():
        folder = Path(name)
        with GraphWriter(folder) as writer:
            writer.write("whole", model)
        tools.quantize_dynamic(
            folder / "whole.onnx",
            folder / "small.onnx",
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            # u8 x s8 products saturate on CPUs without VNNI unless weights keep to 7 bits.
            reduce_range=True,
            weight_type=tools.QuantType.QInt8,
            use_external_data_format=True,
            extra_options={"MatMulConstBOnly": True},
        )
        small = ir.load(folder / "small.onnx")
        for value in small.graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                # The file goes with the folder.
                array = tensor.numpy().copy()
                value.const_value = ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)
    for node in small.graph:
        if (node.op_type, node.domain) == _HIDDEN:
            node.op_type, node.domain = "Gemm", ""
    small.opset_imports.pop(_HIDDEN[1], None)
    return small


def quantize_reader(graph: Path, output: Path, pages: Iterable[npt.NDArray[np.uint8]]) -> None:
    """Write nano's page graph with its convolutions in 8 bits.

    Args:
        graph: in fp32; one input, `image`.
        output: where the other goes.
        pages: (H, W) each, to take the ranges from.
    """
    import_onnxruntime()
    tools: Any = importlib.import_module("onnxruntime.quantization")
    inference: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    feeds = iter([{"image": page[None, None]} for page in pages])

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]  # it has no type information
        def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
            return next(feeds, None)

    with tempfile.TemporaryDirectory() as name, _quiet():
        ready = Path(name) / "ready.onnx"
        inference.quant_pre_process(graph, ready, skip_symbolic_shape=True)
        tools.quantize_static(
            ready,
            output,
            Reader(),
            op_types_to_quantize=["Conv"],
            per_channel=True,
            # See above.
            reduce_range=True,
            activation_type=tools.QuantType.QUInt8,
            weight_type=tools.QuantType.QInt8,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """It says by way of the root logger that shapes might be inferred first; they are there."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
