"""A text cropper's folder may be broken or hostile; a clear error comes before any prediction."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
# ruff: noqa: E402
from hand_made_text_cropper import (
    GRAPHS,
    TOKENIZER,
    move_weights_out,
    text_files,
    text_manifest,
    write_text_cropper,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cropzoom import CropperError, load_cropper
from cropzoom.cropper.folder import find_folder
from cropzoom.cropper.manifest import TextManifest, read_files, read_manifest

FILES = text_files()
Change = Callable[[dict[str, Any]], object]


def read(folder: Path) -> TextManifest:
    found = find_folder(folder)
    manifest = read_manifest(found)
    assert isinstance(manifest, TextManifest)
    read_files(found, manifest)
    return manifest


def test_a_good_folder(tmp_path: Path) -> None:
    manifest = read(write_text_cropper(tmp_path))
    assert (manifest.name, manifest.image.tile, manifest.end) == ("digits", 32, (2,))
    assert manifest.prompt.before == "<|im_start|>User:" and manifest.prompt.between == ""
    assert manifest.prompt.after.endswith("Assistant:")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema=2), "schema is 2.*upgrade"),
        (lambda m: m.update(surprise=1), "unknown surprise"),
        (lambda m: m["files"].pop("tokenizer.json"), "files.tokenizer.json is missing"),
        (lambda m: m["image"].update(mode="L"), "image.mode must be 'RGB'"),
        (lambda m: m["image"].update(tile=7), "image.tile must be"),
        (lambda m: m["image"].update(longest_edge=16), "image.longest_edge must be .* from 32"),
        (lambda m: m["image"].update(longest_edge=1 << 20), "image.longest_edge must be"),
        (lambda m: m["image"].update(split=1), "image.split must be true or false"),
        (lambda m: m["image"].update(resample=9), "image.resample must be"),
        (lambda m: m["image"].update(mean=[0, 0]), "image.mean must be a list of 3"),
        (lambda m: m["image"].update(std=[0, 1, 1]), "image.std must be a list of 3"),
        (lambda m: m["image"].update(rescale=float("nan")), "image.rescale must be"),
        (lambda m: m["prompt"].update(template="{image}"), "{question} once"),
        (lambda m: m["prompt"].update(template="{question}{image}"), "after it {question}"),
        (lambda m: m["prompt"].update(template="{image}{image}{question}"), "{image} once"),
        (lambda m: m["prompt"].update(capitalize="yes"), "prompt.capitalize must be"),
        (lambda m: m["prompt"].update(image_tokens=0), "prompt.image_tokens must be"),
        (lambda m: m["prompt"].update(max_tokens=1), "prompt.max_tokens must be"),
        (lambda m: m["prompt"].update(code="x"), "unknown prompt.code"),
        (lambda m: m["graphs"].pop("embed_tokens"), "graphs.embed_tokens is missing"),
        (lambda m: m["graphs"].update(embed_tokens="x.onnx"), "not among the files"),
        (lambda m: m["graphs"].update(more="x.onnx"), "unknown graphs.more"),
        (lambda m: m["grammar"].update(numbers=[[1]]), "grammar.numbers must be a list of 101"),
        (lambda m: m["grammar"]["numbers"].__setitem__(3, []), "lists of 1 to 3 token ids"),
        (lambda m: m["grammar"]["numbers"].__setitem__(3, [-1]), "lists of 1 to 3 token ids"),
        (lambda m: m["grammar"]["numbers"].__setitem__(3, [True]), "lists of 1 to 3"),
        (
            lambda m: m["grammar"]["numbers"].__setitem__(3, m["grammar"]["numbers"][4]),
            "make no grammar.*different numbers",
        ),
        (
            lambda m: m["grammar"].update(separator=m["grammar"]["numbers"][4]),
            "make no grammar.*end can't be told",
        ),
        (lambda m: m["grammar"].update(opening=[]), "grammar.opening must be a list of 1"),
        (lambda m: m["decode"].update(end=[]), "decode.end must be"),
        (lambda m: m["decode"].update(temperature=0), "decode.temperature must be"),
        (
            lambda m: m["files"]["onnx/model.onnx_data"].update(sha256="0" * 64),
            "model.onnx_data.*incomplete or altered",
        ),
        (lambda m: m["files"]["onnx/model.onnx_data"].update(bytes=7), "more than the 7 expected"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(tmp_path: Path, change: Change, message: str) -> None:
    manifest = text_manifest(FILES)
    change(manifest)
    folder = write_text_cropper(tmp_path, FILES, manifest)
    with pytest.raises(CropperError, match=message) as caught:
        load_cropper(folder)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_file_must_be_there_and_unchanged(tmp_path: Path, name: str) -> None:
    folder = write_text_cropper(tmp_path)
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CropperError, match=f"{name}.*incomplete or altered"):
        load_cropper(folder)
    path.unlink()
    with pytest.raises(CropperError, match=f"{name} is missing"):
        load_cropper(folder)


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", ["onnx/model.onnx_data", "tokenizer.json", "onnx"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_text_cropper(tmp_path / "cropper")
    (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(tmp_path / "outside")
    with pytest.raises(CropperError, match="outside its folder"):
        load_cropper(folder)


def with_file(name: str, data: bytes) -> dict[str, bytes]:
    return {**FILES, name: data}


def renamed(graph: str, old: str, new: str) -> bytes:
    """The graph with one of its inputs or outputs under another name."""
    loaded = onnx.load_from_string(GRAPHS[graph])
    for item in (*loaded.graph.input, *loaded.graph.output):
        if item.name == old:
            item.name = new
    for node in loaded.graph.node:
        node.input[:] = [new if n == old else n for n in node.input]
        node.output[:] = [new if n == old else n for n in node.output]
    return loaded.SerializeToString()


@pytest.mark.parametrize(
    ("graph", "old"),
    [
        ("vision_encoder", "pixel_values"),
        ("vision_encoder", "image_features"),
        ("embed_tokens", "input_ids"),
        ("decoder_model_box", "box_logits"),
        ("decoder_model_box", "attention_mask"),
        ("decoder_model_box", "present.0.value"),
        ("decoder_model_box", "past_key_values.0.key"),
    ],
)
def test_a_graph_without_an_input_or_output(tmp_path: Path, graph: str, old: str) -> None:
    name = f"onnx/{graph}.onnx"
    folder = write_text_cropper(tmp_path, with_file(name, renamed(graph, old, "other")))
    with pytest.raises(CropperError, match=rf"{graph}.onnx.* its kind needs .*export") as caught:
        load_cropper(folder)
    assert old in str(caught.value) and str(folder / name) in str(caught.value)


def test_an_op_that_is_not_supported(tmp_path: Path) -> None:
    loaded = onnx.load_from_string(GRAPHS["decoder_model_box"])
    loaded.graph.node[0].op_type = "FutureOp"
    data = loaded.SerializeToString()
    folder = write_text_cropper(tmp_path, with_file("onnx/decoder_model_box.onnx", data))
    with pytest.raises(CropperError, match=r"FutureOp.*upgrade onnxruntime, or export") as caught:
        load_cropper(folder)
    assert "decoder_model_box.onnx" in str(caught.value)


@pytest.mark.parametrize(
    "location", ["../model.onnx_data", "/etc/passwd", "../../secret", "absent", "sub/../x"]
)
def test_a_graph_that_names_other_files(tmp_path: Path, location: str) -> None:
    graph, weights = move_weights_out(GRAPHS["embed_tokens"], location)
    (tmp_path / "secret").write_bytes(weights)
    files = {**with_file("onnx/embed_tokens.onnx", graph), "onnx/model.onnx_data": weights}
    folder = write_text_cropper(tmp_path / "cropper", files)
    (folder / "model.onnx_data").write_bytes(weights)
    with pytest.raises(CropperError, match="which is not a file of the cropper") as caught:
        load_cropper(folder)
    assert "embed_tokens.onnx" in str(caught.value)


def test_a_graph_may_name_a_checked_file_beside_or_above(tmp_path: Path) -> None:
    graph, weights = move_weights_out(GRAPHS["embed_tokens"], "../weights/w.bin")
    files = {**with_file("onnx/embed_tokens.onnx", graph), "weights/w.bin": weights}
    load_cropper(write_text_cropper(tmp_path, files)).warmup()


def test_a_broken_tokenizer(tmp_path: Path) -> None:
    folder = write_text_cropper(tmp_path / "a", with_file("tokenizer.json", b"{}"))
    with pytest.raises(CropperError, match=r"tokenizer\.json is not a tokenizer"):
        load_cropper(folder)
    lacking = TOKENIZER.to_str().replace("<row_2_col_2>", "<row_2_col_x>").encode()
    folder = write_text_cropper(tmp_path / "b", with_file("tokenizer.json", lacking))
    with pytest.raises(CropperError, match="lacks <row_2_col_2>"):
        load_cropper(folder)
    load_cropper(folder, longest_edge=32).warmup()


def test_features_that_do_not_fit(tmp_path: Path) -> None:
    manifest = text_manifest(FILES)
    manifest["prompt"]["image_tokens"] = 3
    cropper = load_cropper(write_text_cropper(tmp_path, FILES, manifest))
    with pytest.raises(CropperError, match=r"features of shape \(5, 4, .*says 3 tokens"):
        cropper.warmup()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    manifest = text_manifest(FILES)
    place: Any = manifest
    key: Any = data.draw(st.sampled_from(sorted(place)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(list(keys)))
    place[key] = data.draw(json_values)
    folder = write_text_cropper(tmp_path, FILES, manifest)
    try:
        read(folder)
    except CropperError as error:
        assert str(folder) in str(error)
