"""What a graph says of data outside of it is read right, and nothing else is believed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
# ruff: noqa: E402
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from cropzoom import CropperError
from cropzoom.cropper import onnx_file
from cropzoom.cropper.onnx_file import external_tensors
from cropzoom.cropper.session import make_session

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def outside(location: str, *, name: str = "w", **keys: object) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[3, 4])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def model(*initializers: TensorProto, nodes: list[object] | None = None) -> onnx.ModelProto:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [info("x", TensorProto.FLOAT, [1, 3])],
        [info("y", TensorProto.FLOAT, [1, 4])],
        list(initializers),
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_the_field_numbers_are_onnx_own() -> None:
    for kind, children in onnx_file._CHILDREN.items():
        fields = getattr(onnx, kind).DESCRIPTOR.fields
        found = {f.number: f.message_type.name for f in fields if f.message_type is not None}
        for number, child in children.items():
            assert found[number] == child
        # Every message that can hold a tensor is followed.
        holders = {*onnx_file._CHILDREN, "TensorProto"}
        assert {n for n, child in found.items() if child in holders} == set(children), kind
    tensor = {f.name: f.number for f in TensorProto.DESCRIPTOR.fields}
    assert tensor["name"] == onnx_file._NAME and tensor["dims"] == onnx_file._DIMS
    assert tensor["data_type"] == onnx_file._DATA_TYPE
    assert tensor["external_data"] == onnx_file._EXTERNAL_DATA
    assert tensor["data_location"] == onnx_file._DATA_LOCATION
    for number, dtype in onnx_file._DTYPES.items():
        assert helper.tensor_dtype_to_np_dtype(number) == dtype


def test_a_graph_gets_its_weights_from_memory() -> None:
    pytest.importorskip("onnxruntime")
    data = bytes(64) + WEIGHT.tobytes()
    graph = model(outside("a/w.bin", offset=64, length=48)).SerializeToString()
    (tensor,) = external_tensors(graph)
    assert (tensor.name, tensor.shape, tensor.location, tensor.offset) == (
        "w",
        (3, 4),
        "a/w.bin",
        64,
    )
    session, _ = make_session(graph, device="cpu", weights={"a/w.bin": data})
    x = np.array([[1, 2, 3]], np.float32)
    assert (session.run(None, {"x": x})[0] == x @ WEIGHT).all()
    with pytest.raises(CropperError, match=r"refers to data in 'a/w\.bin', which is not a file"):
        make_session(graph, device="cpu", weights={"w.bin": data})


@pytest.mark.parametrize("location", ["../secret", "/etc/hostname", "secret", "a/../../secret", ""])
def test_a_hostile_location_is_never_opened(
    location: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    for place in (tmp_path, tmp_path / "work"):
        (place / "secret").write_bytes(WEIGHT.tobytes())
    graph = model(outside(location, offset=0, length=48)).SerializeToString()
    with pytest.raises(CropperError, match="which is not a file of the cropper"):
        make_session(graph, device="cpu", weights={"model.onnx_data": WEIGHT.tobytes()})


def test_outside_data_within_nodes_is_refused() -> None:
    hidden = outside("secret", name="hidden")
    constant = helper.make_node("Constant", [], ["w"])
    constant.attribute.append(helper.make_attribute("value", hidden))
    body = helper.make_graph([], "body", [], [], [hidden])
    nested = helper.make_node("If", ["c"], ["w"], then_branch=body, else_branch=body)
    function = helper.make_function("d", "f", [], ["w"], [constant], [helper.make_opsetid("", 18)])
    sparse = onnx.SparseTensorProto(values=hidden, dims=[12])
    with_function = model()
    with_function.functions.append(function)
    with_sparse = model()
    with_sparse.graph.sparse_initializer.append(sparse)
    in_training = model()
    in_training.training_info.add().initialization.CopyFrom(body)
    for hostile in (
        model(nodes=[constant]),
        model(nodes=[nested]),
        with_function,
        with_sparse,
        in_training,
    ):
        with pytest.raises(ValueError, match="within a node"):
            external_tensors(hostile.SerializeToString())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"offset": 8}, "does not fit"),
        ({"offset": -4}, "does not fit"),
        ({"offset": 2}, "does not fit"),
        ({"offset": "x"}, "no readable offset"),
        ({"offset": 1 << 70}, "does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(keys: dict[str, object], message: str) -> None:
    pytest.importorskip("onnxruntime")
    graph = model(outside("w", **keys)).SerializeToString()
    with pytest.raises(CropperError, match=message):
        make_session(graph, device="cpu", weights={"w": WEIGHT.tobytes()})


def test_odd_tensors_are_refused() -> None:
    twice = outside("w")
    twice.external_data.add(key="location", value="secret")
    with pytest.raises(ValueError, match="twice"):
        external_tensors(model(twice).SerializeToString())
    with pytest.raises(ValueError, match="is there twice"):
        external_tensors(model(outside("w"), outside("v")).SerializeToString())
    text = outside("w")
    text.data_type = TensorProto.STRING
    with pytest.raises(ValueError, match="type 8"):
        external_tensors(model(text).SerializeToString())
    huge = outside("w")
    huge.dims[:] = [1 << 40, 1 << 40]
    (tensor,) = external_tensors(model(huge).SerializeToString())
    with pytest.raises(ValueError, match="does not fit"):
        tensor.array(bytes(48))
    odd = external_tensors(model(outside("w", offset=2)).SerializeToString())[0]
    with pytest.raises(ValueError, match="not aligned"):
        odd.array(bytes(64))


def test_values_that_are_claimed_must_be_there() -> None:
    for kind in (TensorProto.FLOAT, TensorProto.INT4, TensorProto.INT64, TensorProto.STRING):
        claims = TensorProto(name="w", data_type=kind, dims=[1 << 20, 1 << 20])
        with pytest.raises(ValueError, match="claims 1,099,511,627,776 values"):
            external_tensors(model(claims).SerializeToString())
    arrays = [np.zeros((0, 3), np.float32), np.ones((), np.int64), np.arange(6) > 2]
    held = [numpy_helper.from_array(array, f"v{i}") for i, array in enumerate(arrays)]
    typed = onnx.helper.make_tensor("t", TensorProto.INT8, [3], [1, 2, 3])
    small = onnx.helper.make_tensor("s", TensorProto.INT4, [5], [1, 2, 3, 4, 5])
    assert external_tensors(model(*held, typed, small).SerializeToString()) == []


@pytest.mark.parametrize("data", [b"", b"\xff" * 40, b"    ORTM" + bytes(20), b"{}", b"\x3a\x7f"])
def test_what_is_no_onnx_file(data: bytes) -> None:
    with pytest.raises(ValueError):
        external_tensors(data)
    with pytest.raises(CropperError, match="can't load the model"):
        make_session(data, device="cpu")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(data: st.DataObject) -> None:
    whole = model(outside("w", offset=0), numpy_helper.from_array(WEIGHT, "v"))
    damaged = bytearray(whole.SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(len(damaged) // 2, len(damaged))) :]
    try:
        for tensor in external_tensors(bytes(damaged)):
            tensor.array(bytes(64))
    except ValueError:
        pass
