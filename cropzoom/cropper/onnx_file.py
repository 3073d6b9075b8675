"""What an ONNX file says about data outside of it, read without the onnx package.

A graph may keep its weights in other files, named by path, offset and length. A hostile graph
names files that are none of its business, and not every release of ONNX Runtime refuses that. So
the names are read here, the weights are taken from files that were checked, and handed over in
memory: ONNX Runtime itself opens nothing.

An ONNX file is a protobuf message; https://protobuf.dev/programming-guides/encoding describes the
bytes, onnx.proto the fields.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

# Messages in which a tensor may stand, and under which field number they hold which message.
_CHILDREN: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
}
# Fields that hold a tensor's values, and the most values in a byte: four bits are the smallest.
_VALUES = (4, 5, 6, 7, 9, 10, 11)
_VALUES_A_BYTE = 2
_DIMS, _DATA_TYPE, _NAME, _EXTERNAL_DATA, _DATA_LOCATION = 1, 2, 8, 13, 14
_EXTERNAL = 1
_DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.float32),
    2: np.dtype(np.uint8),
    3: np.dtype(np.int8),
    6: np.dtype(np.int32),
    7: np.dtype(np.int64),
    10: np.dtype(np.float16),
}


@dataclass(frozen=True, slots=True)
class ExternalTensor:
    """An initializer whose data stands in another file.

    Args:
        name: of the initializer.
        dtype: of its elements.
        shape: of the array.
        location: path of the file, as the graph says; not checked.
        offset: where in the file it starts, in bytes.
    """

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    location: str
    offset: int

    def array(self, data: bytes | memoryview) -> npt.NDArray[Any]:
        """Return the tensor as a view of its file's content.

        Raises:
            ValueError: it does not fit in there, or is not aligned.
        """
        count = int(np.prod(self.shape, dtype=object))
        end = self.offset + count * self.dtype.itemsize
        if count < 1 or not 0 <= self.offset <= end <= len(data):
            raise ValueError(f"{self.name} does not fit in {self.location}")
        if self.offset % self.dtype.itemsize:
            raise ValueError(f"{self.name} is not aligned in {self.location}")
        flat = np.frombuffer(data, self.dtype, count, self.offset)
        return flat.reshape(self.shape)


def external_tensors(model: bytes) -> list[ExternalTensor]:
    """Return the initializers whose data stands outside an ONNX file.

    Raises:
        ValueError: it is not an ONNX file, has a tensor that claims more values than it holds, or
            refers to outside data elsewhere than in the initializers of its main graph.
    """
    if model[4:8] == b"ORTM":
        raise ValueError("it is in ONNX Runtime's own format, not an ONNX file")
    found: dict[str, ExternalTensor] = {}
    # Depth 0 is the model, 1 its graph, 2 the graph's initializers.
    left = [("ModelProto", memoryview(model), 0)]
    graphs = 0
    while left:
        kind, data, depth = left.pop()
        graphs += kind == "GraphProto"
        if kind == "TensorProto":
            tensor = _external(data)
            if tensor is not None:
                if depth != 2:
                    raise ValueError(f"{tensor.name!r} refers to outside data within a node")
                if tensor.name in found:
                    raise ValueError(f"{tensor.name!r} is there twice")
                found[tensor.name] = tensor
            continue
        children = _CHILDREN[kind]
        for number, value in _fields(data):
            if number in children:
                if not isinstance(value, memoryview):
                    raise ValueError("it is not an ONNX file")
                # Only the model's own graph counts as the main one.
                below = depth + 1 if kind in ("ModelProto", "GraphProto") else depth + 10
                left.append((children[number], value, below))
    if not graphs:
        raise ValueError("it is not an ONNX file")
    return list(found.values())


def _external(data: memoryview) -> ExternalTensor | None:
    dims: list[int] = []
    dtype = place = 0
    name = ""
    values = 0
    keys: dict[str, str] = {}
    for number, value in _fields(data):
        if number in _VALUES:
            values += _VALUES_A_BYTE * (len(value) if isinstance(value, memoryview) else 1)
        elif number == _DIMS:
            dims += [value] if isinstance(value, int) else _packed(value)
        elif number == _DATA_TYPE and isinstance(value, int):
            dtype = value
        elif number == _DATA_LOCATION and isinstance(value, int):
            place = value
        elif number == _NAME and isinstance(value, memoryview):
            name = str(value, "utf-8")
        elif number == _EXTERNAL_DATA and isinstance(value, memoryview):
            entry = {n: str(v, "utf-8") for n, v in _fields(value) if isinstance(v, memoryview)}
            if entry.get(1, "") in keys:
                raise ValueError(f"{name!r} names its outside data twice")
            keys[entry.get(1, "")] = entry.get(2, "")
    if place != _EXTERNAL:
        if math.prod(dims) > values:
            raise ValueError(f"{name!r} claims {math.prod(dims):,} values, which are not there")
        return None
    if dtype not in _DTYPES:
        raise ValueError(f"{name!r} has outside data of type {dtype}, which is not supported")
    try:
        offset = int(keys.get("offset", "0"))
    except ValueError:
        raise ValueError(f"{name!r} has no readable offset") from None
    return ExternalTensor(name, _DTYPES[dtype], tuple(dims), keys.get("location", ""), offset)


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield a message's fields: number, and a whole number or the bytes of what it holds."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(data, at)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError("it is not an ONNX file")
        if at + size > len(data):
            raise ValueError("it ends too early")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it ends too early")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("it is not an ONNX file")


def _packed(data: memoryview) -> list[int]:
    values, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
    return values
