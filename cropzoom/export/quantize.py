"""int8: a decoder's matrices in 8 bits, all else as it is.

Dynamic quantization by ONNX Runtime: weights are stored as int8, one scale an output channel;
activations are quantized as they come, one scale a tensor. Norms, the head and the embeddings stay
in fp32, and so does the vision encoder, whose errors would be everybody's.
"""

from __future__ import annotations

import importlib
import logging
import tempfile
from pathlib import Path
from typing import Any

import onnx_ir as ir

from cropzoom.export.weights import GraphWriter


def quantized(model: ir.Model) -> ir.Model:
    """Return a graph with int8 MatMul weights in place of `model`, which is used up."""
    # It says by way of the root logger that shapes might be inferred first; they are there.
    noisy = logging.getLogger()
    # By name: it has no type information.
    tools: Any = importlib.import_module("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with GraphWriter(folder) as writer:
            writer.write("whole", model)
        level = noisy.level
        noisy.setLevel(logging.ERROR)
        try:
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
        finally:
            noisy.setLevel(level)
        small = ir.load(folder / "small.onnx")
        for value in small.graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                # The file goes with the folder.
                array = tensor.numpy().copy()
                value.const_value = ir.Tensor(array, dtype=tensor.dtype, name=tensor.name)
        return small
