"""A cropper's folder may be broken or hostile; nothing in it reaches the runtime unchecked."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx")

from hand_made_cropper import build_model, manifest_for, write_cropper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cropzoom import CropperError, MissingDependencyError
from cropzoom.cropper.folder import Folder, find_folder
from cropzoom.cropper.manifest import MODEL_NAME, read_files, read_manifest, sealed

MODEL = build_model()
Change = Callable[[dict[str, Any]], object]


def read(folder: Path) -> bytes:
    found = find_folder(folder)
    return bytes(read_files(found, read_manifest(found))[MODEL_NAME])


def test_a_good_folder(tmp_path: Path) -> None:
    folder = write_cropper(tmp_path, MODEL)
    manifest = read_manifest(find_folder(str(folder)))
    assert (manifest.name, manifest.image.longest_edge, manifest.decode.quantile) == (
        "darkest",
        256,
        0.7,
    )
    assert manifest.training == {"data": "none"}
    assert read(folder) == MODEL


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m.update(schema=2), "schema is 2.*upgrade"),
        (lambda m: m.update(schema=True), "schema is True"),
        (lambda m: m.pop("schema"), "schema is missing"),
        (lambda m: m.update(kind="other"), "kind is 'other'"),
        (lambda m: m.update(name=""), "name must be a string"),
        (lambda m: m.update(surprise=1), "unknown surprise"),
        (lambda m: m["decode"].update(nms=1), "unknown decode.nms"),
        (lambda m: m["decode"].update(temperature=0), "decode.temperature must be a number"),
        (lambda m: m["decode"].update(quantile=float("nan")), "decode.quantile must be"),
        (lambda m: m["decode"].update(join=0), "decode.join must be a number from 0.01"),
        (lambda m: m["decode"].update(join=None), "decode.join must be a number"),
        (lambda m: m["decode"].update(scale="1"), "decode.scale must be"),
        (lambda m: m.update(image=[]), "image. must hold an object"),
        (lambda m: m["image"].update(mode="RGB"), "image.mode must be 'L'"),
        (lambda m: m["image"].update(longest_edge=1 << 40), "image.longest_edge must be"),
        (lambda m: m["image"].update(pad_value=256), "image.pad_value must be"),
        (lambda m: m["image"].update(multiple=24), "not a multiple of bins.cell"),
        (lambda m: m["bins"].update(cell=0), "bins.cell must be"),
        (lambda m: m["bins"].update(edge=[1, 1]), "bins.edge must ascend"),
        (lambda m: m["bins"].update(edge=[0, 1]), "bins.edge must ascend"),
        (lambda m: m["bins"].update(edge=[1, float("nan"), 2]), "bins.edge must ascend"),
        (lambda m: m["bins"].update(edge=[1, "2"]), "bins.edge must be a list"),
        (lambda m: m["bins"].update(edge=[1]), "bins.edge must be a list"),
        (lambda m: m["question"].update(encoding="bert"), "question.encoding must be 'phoc'"),
        (lambda m: m.update(files={}), "files.model.onnx is missing"),
        (lambda m: m["files"]["model.onnx"].update(sha256="A" * 64), "sha256 must be 64 hex"),
        (lambda m: m["files"]["model.onnx"].update(bytes=-1), "bytes must be a whole number"),
        (lambda m: m["files"]["model.onnx"].update(bytes=1), "more than the 1 expected"),
        (lambda m: m["files"]["model.onnx"].update(bytes=1 << 30), "incomplete or altered"),
        (lambda m: m["files"]["model.onnx"].update(sha256="0" * 64), "incomplete or altered"),
        (lambda m: m["files"].update({"gone.json": m["files"]["model.onnx"]}), "is missing"),
    ],
)
def test_a_wrong_manifest_is_refused_by_name(tmp_path: Path, change: Change, message: str) -> None:
    manifest = manifest_for(MODEL)
    change(manifest)
    folder = write_cropper(tmp_path, MODEL, manifest)
    with pytest.raises(CropperError, match=message) as caught:
        read(folder)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/hostname",
        "a/../../secret",
        "a\\b",
        "C:x",
        "",
        ".",
        "..",
        "./x",
        "a//b",
        "a\0",
    ],
)
def test_file_names_stay_inside(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(MODEL)
    manifest = manifest_for(MODEL)
    manifest["files"][name] = manifest["files"]["model.onnx"]
    with pytest.raises(CropperError, match="plain path inside the folder"):
        read(write_cropper(tmp_path / "cropper", MODEL, manifest))


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
@pytest.mark.parametrize("name", ["model.onnx", "cropper.json"])
def test_links_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = write_cropper(tmp_path / "cropper", MODEL)
    outside = (folder / name).rename(tmp_path / "outside")
    (folder / name).symlink_to(outside)
    with pytest.raises(CropperError, match="outside its folder"):
        read(folder)
    # The hub's cache is made of such links, into a folder beside; nothing further out.
    wider = Folder(folder, tmp_path)
    assert bytes(read_files(wider, read_manifest(wider))[MODEL_NAME]) == MODEL


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_inside_and_to_the_folder_are_fine(tmp_path: Path) -> None:
    folder = write_cropper(tmp_path / "cropper", MODEL)
    (folder / "model.onnx").rename(folder / "real")
    (folder / "model.onnx").symlink_to("real")
    (tmp_path / "link").symlink_to(folder)
    assert read(tmp_path / "link") == MODEL
    (folder / "model.onnx").unlink()
    (folder / "model.onnx").symlink_to("model.onnx")
    with pytest.raises(CropperError, match=r"model\.onnx"):
        read(folder)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[]", b"null", b"[" * 100_000, b'"' + b"a" * 2_000_000 + b'"']
)
def test_cropper_json_that_is_no_manifest(tmp_path: Path, text: bytes) -> None:
    folder = write_cropper(tmp_path, MODEL)
    (folder / "cropper.json").write_bytes(text)
    with pytest.raises(CropperError, match=r"cropper\.json"):
        read(folder)


def test_a_missing_or_directory_model(tmp_path: Path) -> None:
    folder = write_cropper(tmp_path, MODEL)
    (folder / "model.onnx").unlink()
    with pytest.raises(CropperError, match=r"model\.onnx is missing"):
        read(folder)
    (folder / "model.onnx").mkdir()
    with pytest.raises(CropperError, match=r"model\.onnx"):
        read(folder)
    (folder / "cropper.json").unlink()
    with pytest.raises(CropperError, match=r"cropper\.json is missing"):
        read(folder)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    manifest = manifest_for(MODEL)
    place, path = manifest, data.draw(st.sampled_from(sorted(manifest)))
    while isinstance(place[path], dict) and place[path] and data.draw(st.booleans()):
        place = place[path]
        path = data.draw(st.sampled_from(sorted(place)))
    place[path] = data.draw(json_values)
    folder = write_cropper(tmp_path, MODEL, manifest)
    try:
        assert read(folder) == MODEL
    except CropperError as error:
        assert str(folder) in str(error)


@pytest.mark.parametrize("source", ["nothing-here", "./no/such", "a/b/c", "", "org/"])
def test_names_that_are_nothing(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if source == "":
        # Path("") is the current folder, which holds no cropper.
        with pytest.raises(CropperError, match=r"cropper\.json is missing"):
            read_manifest(find_folder(source))
        return
    with pytest.raises(CropperError, match="no cropper"):
        find_folder(source)


def test_a_folder_wins_over_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_cropper(tmp_path / "org" / "name", MODEL)
    assert find_folder("org/name").path == Path("org/name")


def test_the_hub_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingDependencyError, match="pip install huggingface_hub"):
        find_folder("org/name")


def test_the_hubs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cached repository, laid out as the hub's client does, is found without a network."""
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CropperError, match="can't fetch the cropper 'org/name'"):
        find_folder("org/name")
    revision = "0" * 40
    repository = tmp_path / "models--org--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(revision)
    folder = write_cropper(repository / "snapshots" / revision, MODEL)
    (repository / "blobs").mkdir()
    (folder / "model.onnx").rename(repository / "blobs" / "abc")
    (folder / "model.onnx").symlink_to("../../blobs/abc")
    found = find_folder("org/name")
    assert bytes(read_files(found, read_manifest(found))[MODEL_NAME]) == MODEL
    assert json.loads((found.path / "cropper.json").read_text())["name"] == "darkest"


def test_a_damaged_manifest_is_refused(tmp_path: Path) -> None:
    content = manifest_for(MODEL)
    folder = write_cropper(tmp_path, MODEL, sealed(content))
    assert read_manifest(find_folder(folder)).name == "darkest"
    path = folder / "cropper.json"
    whole = path.read_bytes()
    as_written = read_manifest(find_folder(folder))
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        try:
            manifest = read_manifest(find_folder(folder))
        except CropperError:
            continue
        # A blank that became another blank, say.
        assert manifest == as_written
    path.write_bytes(whole.replace(b'"quantile": 0.7', b'"quantile": 0.8'))
    with pytest.raises(CropperError, match=r"not as it was written.*export the cropper again"):
        read_manifest(find_folder(folder))


def test_the_bundled_manifest_is_sealed() -> None:
    content = json.loads((find_folder("nano").path / "cropper.json").read_text())
    assert content == sealed(content)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("name", ["cropper.json", "model.onnx"])
def test_a_named_pipe_does_not_hang_the_load(tmp_path: Path, name: str) -> None:
    folder = write_cropper(tmp_path, MODEL)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(CropperError, match=f"{name} is not a regular file"):
        read(folder)
