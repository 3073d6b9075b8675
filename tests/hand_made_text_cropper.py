"""A `text` cropper whose every token is known, made without torch.

It writes `[a, b, c, d].` with one digit each. Which four depends on the image (is there a bright
tile?) and on the question (does it hold a "z"?), and both reach the answer only through keys that
were stored when they were read, so a past that is lost or mixed up gives another box.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cropzoom.bench.random_weights import smol_tokenizer
from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar

TILE, TOKENS = 32, 4
ANSWERS = ("2369", "1458", "0278", "3579")
"""Digits for: dark; bright; dark with z; bright with z."""
PROMPT = "<|im_start|>User:{image}{question}\nWhere?<end_of_utterance>\nAssistant:"

TOKENIZER = smol_tokenizer()
VOCABULARY = TOKENIZER.get_vocab_size()
HIDDEN = VOCABULARY + 1
"""One place for each token, and one for brightness."""
GRAMMAR = BoxGrammar.of_tokenizer(
    lambda text: TOKENIZER.encode(text, add_special_tokens=False).ids, ""
)
END: int = TOKENIZER.token_to_id("<end_of_utterance>")
_F, _I = TensorProto.FLOAT, TensorProto.INT64


def build_graphs() -> dict[str, bytes]:
    """Return the ONNX files of all graphs, by name."""
    table = np.eye(VOCABULARY, HIDDEN, dtype=np.float32)
    embed = _model(
        [helper.make_node("Gather", ["table", "input_ids"], ["inputs_embeds"])],
        [("input_ids", _I, ("B", "L"))],
        [("inputs_embeds", _F, ("B", "L", HIDDEN))],
        {"table": table},
    )
    vision = _model(
        [
            helper.make_node("ReduceMax", ["pixel_values", "inner"], ["most"], keepdims=0),
            helper.make_node("Greater", ["most", "zero"], ["bright"]),
            helper.make_node("Cast", ["bright"], ["number"], to=_F),
            helper.make_node("Reshape", ["number", "column"], ["numbers"]),
            helper.make_node("Mul", ["numbers", "place"], ["features"]),
            helper.make_node("Expand", ["features", "tokens"], ["image_features"]),
        ],
        [("pixel_values", _F, (1, "N", 3, TILE, TILE))],
        [("image_features", _F, ("N", TOKENS, HIDDEN))],
        {
            "inner": np.array([2, 3, 4]),
            "zero": np.float32(0),
            "column": np.array([-1, 1, 1]),
            "place": np.eye(1, HIDDEN, HIDDEN - 1, dtype=np.float32)[None],
            "tokens": np.array([1, TOKENS, 1]),
        },
    )
    rows = np.array(GRAMMAR.tokens)
    return {
        "vision_encoder": vision,
        "embed_tokens": embed,
        "decoder_model_merged": _decoder("logits", None),
        "decoder_model_box": _decoder("box_logits", rows),
    }


def _decoder(output: str, rows: np.ndarray | None) -> bytes:
    """Keys: is it a comma, how bright is it, is it a z. Values: nothing."""
    ids = {text: TOKENIZER.token_to_id(text) for text in (",", "z", "Ġ", "Ġ[", "].", *"0123456789")}
    keys = np.zeros((HIDDEN, 3), np.float32)
    keys[ids[","], 0] = keys[HIDDEN - 1, 1] = keys[ids["z"], 2] = 1
    # By the last token: what its successor is, but for the digit or the end of the box.
    after = np.zeros((HIDDEN, VOCABULARY), np.float32)
    after[:, ids["Ġ["]] = 25
    after[list(ids.values()), ids["Ġ["]] = 0
    for digit in "0123456789":
        after[ids[digit], ids[","]] = 30
    after[ids[","], ids["Ġ"]] = 40
    after[ids["]."], END] = 90
    # By the number of commas, for each of the four answers.
    count = np.zeros((16, VOCABULARY), np.float32)
    for number, answer in enumerate(ANSWERS):
        for corner, digit in enumerate(answer):
            count[4 * number + corner, ids[digit]] = 20
        count[4 * number + 3, ids["]."]] = 60
    for token in (ids["Ġ"], ids["Ġ["], ids[","]):
        after[token, ids["]."]] = -60
    nodes = [
        helper.make_node("MatMul", ["inputs_embeds", "to_keys"], ["new"]),
        helper.make_node("Unsqueeze", ["new", "one"], ["new_keys"]),
        helper.make_node(
            "Concat", ["past_key_values.0.key", "new_keys"], ["present.0.key"], axis=2
        ),
        helper.make_node("Mul", ["new_keys", "zero"], ["new_values"]),
        helper.make_node(
            "Concat", ["past_key_values.0.value", "new_values"], ["present.0.value"], axis=2
        ),
        helper.make_node("ReduceSum", ["present.0.key", "along"], ["sums"], keepdims=0),
        # Commas one by one; of brightness and of z, whether there is any.
        helper.make_node("Min", ["sums", "most"], ["seen"]),
        helper.make_node("MatMul", ["seen", "weights"], ["number"]),
        helper.make_node("Cast", ["number"], ["row"], to=_I),
        helper.make_node("Gather", ["count", "row"], ["by_count"]),
        helper.make_node("Gather", ["inputs_embeds", "last"], ["tail"], axis=1),
        helper.make_node("MatMul", ["tail", "after"], ["by_last"]),
        helper.make_node("Add", ["by_count", "by_last"], ["logits" if rows is None else "all"]),
    ]
    constants = {
        "to_keys": keys,
        "one": np.array([1]),
        "zero": np.float32(0),
        "along": np.array([1, 2]),
        "most": np.array([3, 1, 1], np.float32),
        "weights": np.array([[1], [4], [8]], np.float32),
        "count": count,
        "last": np.array([-1]),
        "after": after,
    }
    if rows is not None:
        constants["rows"] = rows
        nodes.append(helper.make_node("Gather", ["all", "rows"], ["box_logits"], axis=2))
    past = (1, 1, "P", 3)
    return _model(
        nodes,
        [
            ("inputs_embeds", _F, (1, "S", HIDDEN)),
            ("attention_mask", _I, (1, "T")),
            ("position_ids", _I, (1, "S")),
            ("past_key_values.0.key", _F, past),
            ("past_key_values.0.value", _F, past),
        ],
        [
            (output, _F, (1, 1, "V")),
            ("present.0.key", _F, (1, 1, "T", 3)),
            ("present.0.value", _F, (1, 1, "T", 3)),
        ],
        constants,
    )


def _model(
    nodes: list[Any],
    inputs: list[tuple[str, int, tuple[Any, ...]]],
    outputs: list[tuple[str, int, tuple[Any, ...]]],
    constants: dict[str, Any],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()


GRAPHS = build_graphs()


def move_weights_out(model: bytes, location: str) -> tuple[bytes, bytes]:
    """Return a graph whose larger weights are said to stand in `location`, and that file."""
    loaded = onnx.load_from_string(model)
    data = b""
    for tensor in loaded.graph.initializer:
        if len(tensor.raw_data) > 64:
            entries = {"location": location, "offset": len(data), "length": len(tensor.raw_data)}
            data += tensor.raw_data + bytes(-len(tensor.raw_data) % 64)
            tensor.ClearField("raw_data")
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in entries.items():
                tensor.external_data.add(key=key, value=str(value))
    return loaded.SerializeToString(), data


def text_manifest(files: dict[str, bytes]) -> dict[str, Any]:
    """Return the `cropper.json` that belongs to files, as a dict to change."""
    return {
        "schema": 1,
        "kind": "text",
        "name": "digits",
        "version": "0",
        "precision": "fp32",
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in files.items()
        },
        "image": {
            "mode": "RGB",
            "longest_edge": 2 * TILE,
            "tile": TILE,
            "split": True,
            "resample": 1,
            "rescale": 1 / 255,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.5, 0.5, 0.5],
        },
        "prompt": {
            "template": PROMPT,
            "capitalize": False,
            "image_tokens": TOKENS,
            "max_tokens": 512,
        },
        "graphs": {name: f"onnx/{name}.onnx" for name in GRAPHS},
        "grammar": {
            "opening": list(GRAMMAR.opening),
            "numbers": [list(number) for number in GRAMMAR.numbers],
            "separator": list(GRAMMAR.separator),
            "closing": list(GRAMMAR.closing),
        },
        "decode": {"end": [END], "temperature": 1.0},
        "training": {"data": "none"},
    }


def text_files(*, outside: bool = True) -> dict[str, bytes]:
    """Return the cropper's files; with `outside`, the embeddings' weights in one of their own."""
    files = {f"onnx/{name}.onnx": data for name, data in GRAPHS.items()}
    files["tokenizer.json"] = TOKENIZER.to_str().encode()
    if outside:
        moved = move_weights_out(GRAPHS["embed_tokens"], "model.onnx_data")
        files["onnx/embed_tokens.onnx"], files["onnx/model.onnx_data"] = moved
    return files


def write_text_cropper(
    folder: Path,
    files: dict[str, bytes] | None = None,
    manifest: dict[str, Any] | None = None,
) -> Path:
    """Write a cropper's folder and return it."""
    files = text_files() if files is None else files
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    content = text_manifest(files) if manifest is None else manifest
    (folder / "cropper.json").write_text(json.dumps(content))
    return folder
