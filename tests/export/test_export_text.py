"""An exported text policy says what torch says, rung by rung, for 1 to 17 tiles."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from cropzoom import Box, load_cropper
from cropzoom.cropper.manifest import sealed
from cropzoom.cropper.smolvlm.text_cropper import TextCropper
from cropzoom.cropper.trace import Trace
from cropzoom.export.ladder import Sample

SIZES = [(64, 64), (90, 31), (200, 300), (1, 40)]


def noise(size: tuple[int, int], seed: int) -> Image.Image:
    draw = np.random.default_rng(seed)
    return Image.fromarray(draw.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def cropper_of(exported: Any, longest_edge: int | None = None) -> TextCropper:
    cropper = load_cropper(exported.folder, device="cpu", longest_edge=longest_edge)
    assert isinstance(cropper, TextCropper)
    return cropper


def test_every_rung_holds(full_text: Any) -> None:
    rungs = {(rung.name, rung.measure): rung for rung in full_text.ladder.rungs}
    assert full_text.ladder.passed
    assert rungs["token ids", "share equal"].value == 1
    assert rungs["pixels", "largest relative error"].value <= 1e-6
    for graph in (
        "vision_encoder",
        "embed_tokens",
        "decoder_model_merged",
        "decoder_model_box",
        "decoder_model_box_fused",
        "logits after the prompt",
        "logits along torch's answer",
    ):
        assert rungs[graph, "largest relative error"].value < 1e-4
    for name in ("next token", "answers"):
        assert rungs[name, "share equal"].value == 1
    assert rungs["boxes", "least IoU"].value == 1
    stored = json.loads((full_text.folder / "parity.json").read_text())
    assert stored["passed"] and len(stored["rungs"]) == len(full_text.ladder.rungs)
    assert len(stored["boxes"]) == 2 and stored["decoder_runs_per_box"]["most"] <= 13


@pytest.mark.parametrize(("longest_edge", "most"), [(32, 1), (64, 5), (96, 10), (128, 17)])
def test_torch_and_onnx_agree_for_any_number_of_tiles(
    full_text: Any, longest_edge: int, most: int
) -> None:
    policy, cropper = full_text.policy, cropper_of(full_text, longest_edge)
    images = policy.processor.image_processor
    before, tiles = images.size, []
    images.size = {"longest_edge": longest_edge}
    try:
        for seed, size in enumerate(SIZES):
            sample = Sample("noise", noise(size, seed), f"What is number {seed}?")
            batch = policy.collate([sample])
            trace = Trace()
            (crop,) = cropper.predict(sample.picture, sample.question, trace=trace)
            tiles.append(trace.counts["tiles"])
            assert batch["pixel_values"].shape[1] == tiles[-1]
            expected = policy.best(batch)[0].tolist()
            assert crop.box == Box(*(round(edge, 6) for edge in expected))
            with torch.no_grad():
                written = policy.backbone.generate(
                    **batch, do_sample=False, max_new_tokens=20, eos_token_id=policy.end
                )[0, batch["input_ids"].shape[1] :]
            given = cropper.generate(sample.picture, sample.question, max_tokens=20)
            assert given.tokens == written.tolist()
    finally:
        images.size = before
    assert max(tiles) == most


def test_the_fused_decoder_is_used_and_says_the_same(full_text: Any, tmp_path: Any) -> None:
    import shutil

    folder = tmp_path / "portable"
    shutil.copytree(full_text.folder, folder)
    manifest = json.loads((folder / "cropper.json").read_text())
    del manifest["graphs"]["decoder_model_box_fused"]
    (folder / "cropper.json").write_text(json.dumps(sealed(manifest)))
    fused, portable = cropper_of(full_text), load_cropper(folder, device="cpu")
    data = (full_text.folder / "onnx/decoder_model_box_fused.onnx").read_bytes()
    assert b"GroupQueryAttention" in data
    assert (
        b"GroupQueryAttention"
        not in (full_text.folder / "onnx/decoder_model_box.onnx").read_bytes()
    )
    for seed, size in enumerate(SIZES):
        asked = noise(size, seed), "What?"
        (a,), (b,) = fused.predict(*asked), portable.predict(*asked)
        assert a.box == b.box and a.confidence == pytest.approx(b.confidence, abs=1e-4)


def test_a_kept_image_changes_no_digit(full_text: Any) -> None:
    asked = [(noise((70, 50), 7), question) for question in ("What?", "Where is it?", "Who?")]
    one = cropper_of(full_text)
    kept = [one.predict(*ask) for ask in asked]
    fresh = [cropper_of(full_text).predict(*ask) for ask in asked]
    assert kept == fresh


def test_hub_names_and_weights_stored_once(full_text: Any) -> None:
    onnx = pytest.importorskip("onnx")
    folder = full_text.folder / "onnx"
    stored: dict[str, set[tuple[int, int]]] = {}
    for path in sorted(folder.glob("*.onnx")):
        graph = onnx.load(path, load_external_data=False)
        places = stored[path.stem] = set()
        for tensor in graph.graph.initializer:
            entry = {item.key: item.value for item in tensor.external_data}
            if entry:
                assert entry["location"] == "model.onnx_data"
                places.add((int(entry["offset"]), int(entry["length"])))
        # What the exporting machine looks like is nobody's business.
        assert b"/" not in b"".join(
            prop.value.encode() for node in graph.graph.node for prop in node.metadata_props
        )
    decoder = stored["decoder_model_merged"]
    # The variants share all but their heads.
    assert stored["decoder_model_box"] - decoder <= stored["decoder_model_box_fused"]
    assert len(stored["decoder_model_box"] - decoder) <= 1
    used = set().union(*stored.values())
    assert sum(length for _, length in used) <= (folder / "model.onnx_data").stat().st_size
    spans = sorted(used)
    assert all(a + length <= b for (a, length), (b, _) in itertools.pairwise(spans))
    names = {
        path.stem: [item.name for item in (*path_graph.input, *path_graph.output)]
        for path in folder.glob("*.onnx")
        for path_graph in [onnx.load(path, load_external_data=False).graph]
    }
    assert names["vision_encoder"] == ["pixel_values", "image_features"]
    assert names["embed_tokens"] == ["input_ids", "inputs_embeds"]
    past = [f"{i}.{part}" for i in (0, 1) for part in ("key", "value")]
    assert names["decoder_model_merged"] == [
        "inputs_embeds",
        "attention_mask",
        "position_ids",
        *(f"past_key_values.{part}" for part in past),
        "logits",
        *(f"present.{part}" for part in past),
    ]


def test_the_portable_decoder_takes_batches_and_padding(full_text: Any) -> None:
    """As the hub's decoders do: rows padded at the left, told by the mask and the positions."""
    ort = pytest.importorskip("onnxruntime")
    session = ort.InferenceSession(
        str(full_text.folder / "onnx/decoder_model_merged.onnx"),
        providers=["CPUExecutionProvider"],
    )
    backbone = full_text.policy.backbone
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(50, 250, (2, 6), generator=draw)
    mask = torch.ones_like(ids)
    mask[0, :2] = 0
    with torch.no_grad():
        expected = backbone(input_ids=ids, attention_mask=mask).logits[:, -1:]
        embeds = backbone.get_input_embeddings()(ids)
    feed = {
        "inputs_embeds": embeds.numpy(),
        "attention_mask": mask.numpy(),
        "position_ids": (mask.cumsum(1) - 1).clamp_min(0).numpy(),
    }
    heads, width = session.get_inputs()[3].shape[1::2]
    for item in session.get_inputs()[3:]:
        feed[item.name] = np.zeros((2, heads, 0, width), np.float32)
    logits = session.run(["logits"], feed)[0]
    assert np.abs(logits - expected.numpy()).max() < 1e-3


def test_the_card_tells_where_it_comes_from(full_text: Any) -> None:
    card = (full_text.folder / "README.md").read_text()
    assert "checkpoint: org/name" in card and "Idefics3ForConditionalGeneration" in card
    assert "| boxes | mean IoU | 1 | >= 1 |" in card
    manifest = json.loads((full_text.folder / "cropper.json").read_text())
    assert "README.md" not in manifest["files"] and "parity.json" in manifest["files"]
