"""SmolVLM-256M's real architecture with random weights: minutes long, and 8 GB."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers", minversion="5")
pytest.importorskip("onnxscript")
# ruff: noqa: E402

from cropzoom import load_cropper
from cropzoom.bench.random_weights import ARCHITECTURES, build_checkpoint
from cropzoom.cropper.smolvlm.text_cropper import TextCropper
from cropzoom.cropper.trace import Trace
from cropzoom.export import ExportOptions, export_policy
from cropzoom.export.ladder import samples
from cropzoom.trainer.policies import load_policy


@pytest.mark.slow
def test_smolvlm_256m(tmp_path: Path) -> None:
    checkpoint = build_checkpoint(tmp_path / "256m", ARCHITECTURES["smolvlm-256m"])
    policy = load_policy(checkpoint, "text")
    count = sum(weights.numel() for weights in policy.parameters())
    assert 250e6 < count < 262e6
    out = tmp_path / "cropper"
    ladder = export_policy(policy, out, "random SmolVLM-256M", ExportOptions(samples=2))
    assert ladder is not None and ladder.passed
    # For docs/export.md.
    print("| rung | measure | value | limit |\n|---|---|---|---|")
    for rung in ladder.rungs:
        sign = ">=" if rung.at_least else "<="
        print(f"| {rung.name} | {rung.measure} | {rung.value:.2g} | {sign} {rung.limit:g} |")
    print(ladder.notes)
    # Every weight once, in fp32, and the rows of the head for the box's tokens again.
    stored = (out / "onnx" / "model.onnx_data").stat().st_size
    assert stored == pytest.approx(4 * count, rel=0.002)

    # 13 tiles.
    sample = samples(1)[0]
    policy.processor.image_processor.size = {"longest_edge": 2048}
    cropper = load_cropper(out, device="cpu", longest_edge=2048)
    assert isinstance(cropper, TextCropper)
    first, second = Trace(), Trace()
    (crop,) = cropper.predict(sample.picture, sample.question, trace=first)
    cropper.predict(sample.picture, "Where is the date?", trace=second)
    print(first, second)
    assert first.counts["decoder_runs"] <= 13 and second.counts["kept_tokens"] > 700
    expected = policy.best(policy.collate([sample]))[0].tolist()
    found = [crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1]
    assert found == pytest.approx(expected, abs=1e-6)
