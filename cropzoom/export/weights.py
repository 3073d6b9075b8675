"""Weights of several graphs in one file, each tensor once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx_ir as ir

# ONNX Runtime maps files by pages.
_ALIGNED = 4096
_INSIDE_BYTES = 1024
"""Smaller tensors stay in the graph: ONNX Runtime reads shapes and the like from there."""


def save_graphs(graphs: dict[str, ir.Model], folder: Path, data_name: str) -> None:
    """Write graphs as `{name}.onnx` with their weights in one file beside them.

    Equal tensors of different graphs are stored once: embeddings and a tied head, or the layers of
    a decoder's variants.

    Args:
        graphs: by name; their tensors become references to the file.
        folder: where to write.
        data_name: of the file of weights.
    """
    places: dict[tuple[object, ...], tuple[int, int]] = {}
    with (folder / data_name).open("wb") as file:
        for graph in graphs.values():
            for name, value in graph.graph.initializers.items():
                tensor = value.const_value
                if tensor is None or tensor.nbytes <= _INSIDE_BYTES:
                    continue
                data = tensor.tobytes()
                shape = tuple(tensor.shape.numpy())
                key = (tensor.dtype, shape, hashlib.sha256(data).digest())
                if key not in places:
                    file.seek(-(-file.tell() // _ALIGNED) * _ALIGNED)
                    places[key] = (file.tell(), len(data))
                    file.write(data)
                offset, length = places[key]
                value.const_value = ir.ExternalTensor(
                    data_name,
                    offset,
                    length,
                    tensor.dtype,
                    shape=ir.Shape(shape),
                    name=name,
                    base_dir=folder,
                )
    for name, graph in graphs.items():
        ir.save(graph, folder / f"{name}.onnx")
