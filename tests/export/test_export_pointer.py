"""An exported pointer policy points where torch points."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom import Box, CropperError, ImageError, OptionsError, load_cropper
from cropzoom.cropper import Cropper
from cropzoom.cropper.manifest import sealed
from cropzoom.cropper.smolvlm.pointer_cropper import VlmPointerCropper
from cropzoom.cropper.trace import Trace
from cropzoom.export.ladder import Sample


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def cropper_of(folder: Path, longest_edge: int | None = None) -> VlmPointerCropper:
    cropper = load_cropper(folder, device="cpu", longest_edge=longest_edge)
    assert isinstance(cropper, VlmPointerCropper) and isinstance(cropper, Cropper)
    return cropper


def agree(policy: Any, cropper: VlmPointerCropper, size: tuple[int, int], seed: int) -> int:
    """Hold a cropper against its policy; return how many tiles the image became."""
    sample = Sample("noise", noise(size, seed), f"What is number {seed}?")
    batch = policy.collate([sample])
    trace = Trace()
    (crop,) = cropper.predict(sample.picture, sample.question, trace=trace)
    assert trace.counts["tiles"] == batch["pixel_values"].shape[1]
    assert trace.counts["prompt_tokens"] == batch["input_ids"].shape[1]
    assert set(trace.seconds) == {"preprocess", "tokenise", "model", "parse"}
    expected = policy.best(batch)[0].tolist()
    box = crop.box
    assert [box.x0, box.y0, box.x1, box.y1] == pytest.approx(expected, abs=1e-6)
    return trace.counts["tiles"]


def test_every_rung_holds(full_pointer: Any) -> None:
    rungs = {(rung.name, rung.measure): rung for rung in full_pointer.ladder.rungs}
    assert full_pointer.ladder.passed
    assert rungs["token ids", "share equal"].value == 1
    for name in ("cells", "edges"):
        assert 0 < rungs[name, "largest relative error"].value < 1e-4
    assert rungs["boxes", "least IoU"].value > 0.999
    assert json.loads((full_pointer.folder / "parity.json").read_text())["passed"]


@pytest.mark.parametrize(("longest_edge", "most"), [(32, 1), (64, 5), (96, 10), (128, 17)])
def test_torch_and_onnx_agree_for_any_number_of_tiles(
    full_pointer: Any, longest_edge: int, most: int
) -> None:
    policy, cropper = full_pointer.policy, cropper_of(full_pointer.folder, longest_edge)
    images = policy.processor.image_processor
    before = images.size
    images.size = {"longest_edge": longest_edge}
    try:
        sizes = [(64, 64), (90, 31), (31, 90), (200, 300), (1, 40)]
        tiles = [agree(policy, cropper, size, seed) for seed, size in enumerate(sizes)]
    finally:
        images.size = before
    assert max(tiles) == most


def test_the_portable_graph_says_the_same(full_pointer: Any, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "portable"
    shutil.copytree(full_pointer.folder, folder)
    manifest = json.loads((folder / "cropper.json").read_text())
    del manifest["graphs"]["pointer_model_fused"]
    (folder / "cropper.json").write_text(json.dumps(sealed(manifest)))
    fused, portable = cropper_of(full_pointer.folder), cropper_of(folder)
    for name, inside in (("pointer_model_fused", True), ("pointer_model", False)):
        data = (full_pointer.folder / "onnx" / f"{name}.onnx").read_bytes()
        assert (b"GroupQueryAttention" in data) is inside
    for seed in range(3):
        asked = noise((80, 60), seed), "What?"
        (a,), (b,) = fused.predict(*asked), portable.predict(*asked)
        assert a.box == b.box and a.confidence == pytest.approx(b.confidence, abs=1e-5)


def test_several_boxes_and_nonsense(full_pointer: Any) -> None:
    cropper = cropper_of(full_pointer.folder)
    picture = noise((80, 60), 1)
    crops = cropper.predict(picture, "What?", k=3)
    assert 1 < len(crops) <= 3 and crops[0] == cropper.predict(picture, "What?")[0]
    assert sum(crop.confidence for crop in crops) <= 1 + 1e-9
    assert cropper.predict(picture, " ") == []
    with pytest.raises(OptionsError, match="k=0"):
        cropper.predict(picture, "What?", k=0)
    with pytest.raises(ImageError, match="load_image"):
        cropper.predict(b"bytes", "What?")  # type: ignore[arg-type]
    with pytest.raises(OptionsError, match="must be a multiple of 32"):
        cropper_of(full_pointer.folder, 33)
    with pytest.raises(CropperError, match="shorten the question"):
        cropper.predict(picture, "a " * 5000)
    cropper.warmup()
    cropper.close()
    with pytest.raises(CropperError, match="closed"):
        cropper.predict(picture, "What?")


def test_an_adapter_on_smolvlm(roi_adapter: tuple[Path, Path], tmp_path: Path) -> None:
    """SmolVLM under LoRA: saved by the policy, exported from its folder by the command."""
    from exporting import pointer_policy
    from typer.testing import CliRunner

    from cropzoom.cli import app

    adapter, base = roi_adapter
    policy = pointer_policy(adapter, quantile=0.7)
    policy.save_pretrained(tmp_path / "policy")
    arguments = [str(tmp_path / "policy"), str(tmp_path / "out"), "--no-fuse", "--samples", "1"]
    done = CliRunner().invoke(app, ["export-onnx", *arguments])
    assert done.exit_code == 0, done.output
    assert "BROKEN" not in done.output and "mean IoU" in done.output
    cropper = cropper_of(tmp_path / "out")
    assert cropper.manifest.decode.quantile == 0.7 and list(cropper.manifest.graphs) == [
        "pointer_model"
    ]
    assert cropper.manifest.training["base"] == base.name
    for seed, size in enumerate([(64, 64), (30, 90)]):
        agree(policy, cropper, size, seed)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["bins"].update(subcells=0), "bins.subcells must be"),
        (lambda m: m["bins"].update(edge=[0.1, 2]), "bins.edge must ascend.*at most 1"),
        (lambda m: m["prompt"].update(image_tokens=5), "must be a square number"),
        (lambda m: m["decode"].update(scale=2), "unknown decode.scale"),
        (lambda m: m["graphs"].pop("pointer_model"), "graphs.pointer_model is missing"),
        (lambda m: m.update(precision="fp64"), "precision must be"),
        (lambda m: m["files"].pop("tokenizer.json"), "tokenizer.json is missing"),
    ],
)
def test_a_wrong_manifest_is_refused(
    full_pointer: Any, tmp_path: Path, change: Any, message: str
) -> None:
    import shutil

    folder = tmp_path / "broken"
    shutil.copytree(full_pointer.folder, folder)
    manifest = json.loads((folder / "cropper.json").read_text())
    change(manifest)
    (folder / "cropper.json").write_text(json.dumps(sealed(manifest)))
    with pytest.raises(CropperError, match=message):
        load_cropper(folder)


def test_a_box_of_torch_is_a_box(full_pointer: Any) -> None:
    """What `best` gives can be made a Box: ordered, clamped and of a minimum size."""
    policy = full_pointer.policy
    for seed in range(3):
        sample = Sample("noise", noise((50, 70), seed), "What?")
        Box(*policy.best(policy.collate([sample]))[0].tolist())
