"""A `pointer` cropper whose every output is known: it points at the darkest cell."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cropzoom.cropper.nano.phoc import MAX_WORDS, WORD_DIM

CELL = 16
EDGE = [4.0, 8.0, 16.0, 32.0]
BINS = (3, 1, 2, 1)
"""The bin that the left, top, right and bottom edge always get: 32, 8, 16 and 8 px."""


def build_model(*, channel_axis: bool = True, wrong_bins: bool = False) -> bytes:
    """Return an ONNX file: a cell's logit is 20 at black and 0 at white; "absent" has -20."""
    edges = np.zeros((1, 4, len(EDGE) + wrong_bins, 1, 1), np.float32)
    for edge, index in enumerate(BINS):
        edges[0, edge, index] = 50.0
    constants = {
        "white": np.float32(255),
        "scale": np.float32(20 / 255),
        "nothing": np.float32(0),
        "edges": edges,
        "absent": np.full((1, 1), -20, np.float32),
        "channel": np.array([1], np.int64),
        "two": np.array([1, 2], np.int64),
    }
    nodes = [helper.make_node("Cast", ["image"], ["grey"], to=TensorProto.FLOAT)]
    if not channel_axis:
        nodes.append(helper.make_node("Unsqueeze", ["grey", "channel"], ["grey4"]))
    nodes += [
        helper.make_node(
            "AveragePool",
            ["grey" if channel_axis else "grey4"],
            ["mean"],
            kernel_shape=[CELL, CELL],
            strides=[CELL, CELL],
        ),
        helper.make_node("Sub", ["white", "mean"], ["dark"]),
        helper.make_node("Mul", ["dark", "scale"], ["logits"]),
        helper.make_node("Squeeze", ["logits", "channel"], ["cell_logits"]),
        helper.make_node("Identity", ["absent"], ["absent_logit"]),
        helper.make_node("Mul", ["cell_logits", "nothing"], ["blank"]),
        helper.make_node("Unsqueeze", ["blank", "two"], ["blank5"]),
        helper.make_node("Add", ["blank5", "edges"], ["edge_logits"]),
    ]
    image = (1, 1, "H", "W") if channel_axis else (1, "H", "W")
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "darkest",
        [
            info("image", TensorProto.UINT8, image),
            info("words", TensorProto.FLOAT, (1, MAX_WORDS, WORD_DIM)),
            info("word_mask", TensorProto.FLOAT, (1, MAX_WORDS)),
        ],
        [
            info("cell_logits", TensorProto.FLOAT, (1, "h", "w")),
            info("absent_logit", TensorProto.FLOAT, (1, 1)),
            info("edge_logits", TensorProto.FLOAT, (1, 4, edges.shape[2], "h", "w")),
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def manifest_for(model: bytes) -> dict[str, Any]:
    """Return the `cropper.json` that belongs to a model, as a dict to change."""
    return {
        "schema": 1,
        "kind": "pointer",
        "name": "darkest",
        "version": "0",
        "precision": "fp32",
        "files": {"model.onnx": {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}},
        "image": {"mode": "L", "longest_edge": 256, "multiple": 32, "pad_value": 255},
        "question": {"encoding": "phoc", "max_words": MAX_WORDS},
        "bins": {"cell": CELL, "edge": EDGE},
        "decode": {"quantile": 0.7, "scale": 1.0, "pad_px": 0, "temperature": 1.0},
        "training": {"data": "none"},
    }


def write_cropper(
    folder: Path, model: bytes | None = None, manifest: dict[str, Any] | None = None
) -> Path:
    """Write a cropper's folder and return it."""
    model = build_model() if model is None else model
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(model)
    (folder / "cropper.json").write_text(json.dumps(manifest or manifest_for(model)))
    return folder
