"""Graphs and their weights on disk: several graphs, one file of weights, each tensor once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import onnx_ir as ir

# ONNX Runtime maps files by pages.
_ALIGNED = 4096
_INSIDE_BYTES = 1024
"""Smaller tensors stay in the graph: ONNX Runtime reads shapes and the like from there."""


class GraphWriter:
    """Writes graphs as `{name}.onnx` with their weights in one file beside them.

    Equal tensors of different graphs are stored once: embeddings and a tied head, or the layers of
    a decoder's variants. Used in a `with` block.

    Args:
        folder: where to write.
        data_name: of the file of weights.
    """

    def __init__(self, folder: Path, data_name: str = "model.onnx_data") -> None:
        self._folder, self._data_name = folder, data_name
        self._file = (folder / data_name).open("wb")
        self._places: dict[tuple[object, ...], tuple[int, int]] = {}

    def __enter__(self) -> GraphWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, name: str, model: ir.Model) -> None:
        """Write a graph; its tensors become references to the file, which frees their memory."""
        for value in model.graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and tensor.nbytes > _INSIDE_BYTES:
                value.const_value = self._place(tensor)
        ir.save(model, self._folder / f"{name}.onnx")

    def _place(self, tensor: ir.TensorProtocol) -> ir.ExternalTensor:
        data = tensor.tobytes()
        shape = tuple(tensor.shape.numpy())
        key = (tensor.dtype, shape, hashlib.sha256(data).digest())
        if key not in self._places:
            self._file.seek(-(-self._file.tell() // _ALIGNED) * _ALIGNED)
            self._places[key] = (self._file.tell(), len(data))
            self._file.write(data)
        offset, length = self._places[key]
        return ir.ExternalTensor(
            self._data_name,
            offset,
            length,
            tensor.dtype,
            shape=ir.Shape(shape),
            name=tensor.name or "",
            base_dir=self._folder,
        )


def forget_origin(model: ir.Model) -> None:
    """Clear what the exporter notes of its machine: where that keeps code is nobody's business."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    model.graph.metadata_props.clear()
    model.metadata_props.clear()
    model.producer_name, model.producer_version = "cropzoom", None
