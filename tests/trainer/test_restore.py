"""The nano in the package as a net again: the same answers, and ready to be trained on."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
# ruff: noqa: E402

from cropzoom.cropper.folder import find_folder
from cropzoom.cropper.manifest import PointerManifest, read_manifest
from cropzoom.cropper.nano.phoc import encode_question
from cropzoom.errors import CropperError
from cropzoom.export.nano import largest_difference
from cropzoom.trainer.nano.network import Nano
from cropzoom.trainer.nano.pages import PageOptions, render_page
from cropzoom.trainer.nano.restore import restore

BUNDLED = Path(__file__).parents[2] / "cropzoom/cropper/bundled/nano"


@pytest.fixture(scope="module")
def net() -> Nano:
    return restore("nano")


def test_it_computes_what_the_graph_computes(net: Nano) -> None:
    assert not net.training
    folder = find_folder("nano")
    manifest = read_manifest(folder)
    assert isinstance(manifest, PointerManifest)
    assert largest_difference(net, folder, manifest) < 1e-3


def test_training_mode_starts_near_it(net: Nano) -> None:
    # Statistics of the batch in place of the stored ones: alike only if those were taken well.
    page = render_page(random.Random(3), PageOptions(384, 384, max_text=20.0))
    image = torch.from_numpy(np.array(page.image, dtype=np.float32))[None, None]
    words, mask = (torch.from_numpy(x)[None] for x in encode_question(page.questions[0].text))
    state = {k: v.clone() for k, v in net.state_dict().items()}
    with torch.no_grad():
        still = net.pages(image).embedding
        net.train()
        moving = net.pages(image).embedding
        net(image, words, mask)
    net.eval()
    net.load_state_dict(state)
    assert float((still * moving).sum(1).mean()) > 0.8


def test_another_graph_is_refused(tmp_path: Path) -> None:
    model = onnx.load(BUNDLED / "model.onnx")
    kept = [i for i in model.graph.initializer if i.name != "net.pages.stem.0.0.weight"]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    data = model.SerializeToString()
    (tmp_path / "model.onnx").write_bytes(data)
    manifest = json.loads((BUNDLED / "cropper.json").read_text())
    said = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    for name in ("pointer.onnx", "meanings.npz"):
        (tmp_path / name).write_bytes((BUNDLED / name).read_bytes())
    manifest["files"]["model.onnx"] = said
    for name in ("parity.json", "model.int8.onnx"):
        manifest["files"].pop(name)
    manifest.pop("checksum", None)
    (tmp_path / "cropper.json").write_text(json.dumps(manifest))
    with pytest.raises(CropperError, match=r"pages\.stem\.0\.0\.weight"):
        restore(tmp_path)
