"""fp16 and int8: smaller, nearly the same, and the ladder says how near."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from policy_rows import noise_row

from cropzoom import load_cropper
from cropzoom.cropper.smolvlm.text_cropper import TextCropper
from cropzoom.export import ExportOptions, export_policy
from cropzoom.export.ladder import samples
from cropzoom.export.quantize import quantized
from cropzoom.trainer.policies import load_policy


@pytest.fixture(scope="module")
def sure_policy(idefics3_checkpoint: Path) -> Any:
    """A policy that learnt one box by heart, so that small errors don't change it."""
    policy = load_policy(idefics3_checkpoint, "text")
    rows = [noise_row(seed, 60, 50, "What?") for seed in range(2)]
    rows += [noise_row(0, 60, 50, sample.question) for sample in samples(2)]
    batch, boxes = policy.collate(rows), torch.tensor([[0.2, 0.3, 0.6, 0.7]]).repeat(4, 1)
    optimizer = torch.optim.Adam(policy.parameters(), 1e-2)
    for _ in range(40):
        loss = policy.nll(batch, boxes).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return policy.eval()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_smaller_cropper(precision: Any, sure_policy: Any, tmp_path: Path) -> None:
    options = ExportOptions(precision=precision, fuse=precision == "fp16", samples=2)
    ladder = export_policy(sure_policy, tmp_path / "out", "x", options)
    assert ladder is not None and ladder.passed
    errors = {r.name: r.value for r in ladder.rungs if r.measure == "largest relative error"}
    # It is not fp32 under another name.
    assert 1e-5 < errors["decoder_model_box"] < (2e-2 if precision == "fp16" else 0.5)
    assert errors["vision_encoder"] < (2e-2 if precision == "fp16" else 1e-4)
    cropper = load_cropper(tmp_path / "out", device="cpu")
    assert isinstance(cropper, TextCropper) and cropper.manifest.precision == precision
    (crop,) = cropper.predict(noise_row(0, 60, 50, "").load(), "What?")
    expected = sure_policy.best(sure_policy.collate([noise_row(0, 60, 50, "What?")]))[0]
    found = [crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1]
    assert found == pytest.approx(expected.tolist(), abs=1e-6)


def test_int8_by_the_numbers(full_text: Any, tmp_path: Path) -> None:
    """Weights are int8 with a scale a column; what they stand for is off by half a step at most."""
    ir = pytest.importorskip("onnx_ir")
    path = full_text.folder / "onnx" / "decoder_model_box.onnx"
    whole, small = ir.load(path), quantized(ir.load(path))
    kinds = [node.op_type for node in small.graph]
    assert kinds.count("MatMulInteger") == 14 and "DynamicQuantizeLinear" in kinds
    # The head is left alone, and what is left is what ONNX knows.
    assert kinds.count("Gemm") == 1 and not {node.domain for node in small.graph} - {""}
    assert "box_head" in "".join(small.graph.initializers)
    # Attention multiplies activations; that stays.
    assert kinds.count("MatMul") == 4
    values = {name: value.const_value for name, value in small.graph.initializers.items()}
    checked = 0
    for name, value in whole.graph.initializers.items():
        if f"{name}_quantized" not in values:
            continue
        weights, steps = value.const_value.numpy(), values[f"{name}_scale"].numpy()
        stored = values[f"{name}_quantized"].numpy()
        assert stored.dtype == np.int8 and np.abs(stored.astype(int)).max() <= 64
        assert np.abs(stored * steps - weights).max() <= 0.51 * steps.max()
        checked += 1
    assert checked == 14


def test_rotary_frequencies_stay_exact(full_text: Any) -> None:
    from cropzoom.export.vlm_graphs import halved

    half = halved(full_text.policy.backbone)
    frequencies = dict(half.named_buffers())["model.text_model.rotary_emb.inv_freq"]
    original = full_text.policy.backbone.model.text_model.rotary_emb.inv_freq
    assert frequencies.dtype == torch.float32 and torch.equal(frequencies, original)
    assert half.lm_head.weight.dtype == torch.float16
    assert full_text.policy.backbone.lm_head.weight.dtype == torch.float32
