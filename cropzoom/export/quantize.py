"""int8: a decoder's matrices in 8 bits, all else as it is.

Dynamic quantization by ONNX Runtime: weights are stored as int8, one scale an output channel;
activations are quantized as they come, one scale a tensor. Norms, the head and the embeddings stay
in fp32, and so does the vision encoder, whose errors would be everybody's.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
