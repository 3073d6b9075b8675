"""`cropzoom bench --latency --against torch`: exports beside their torch model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from exporting import Timed
from random_checkpoints import TINY
from typer.testing import CliRunner

from cropzoom.bench.random_weights import ARCHITECTURES, answer_tokens, random_checkpoint
from cropzoom.cli import app
from cropzoom.errors import OptionsError


def test_an_export_says_what_torch_says(timed: Timed) -> None:
    found = timed.result["croppers"]
    assert list(found) == ["tiny text", "torch generate", "torch policy"]
    assert timed.result["reference"] == "torch policy"
    # A torch box is in float32.
    assert found["tiny text"]["iou"]["least"] == pytest.approx(1, abs=1e-5)
    assert found["tiny text"]["iou"]["pairs"] == 3
    assert found["tiny text"]["valid"] == found["torch policy"]["valid"] == 1
    # Random weights write no box.
    assert found["torch generate"]["valid"] == 0
    assert found["torch generate"]["iou"]["mean"] == 0


def test_stages_and_counts_of_a_text_cropper(timed: Timed) -> None:
    first, second = (timed.result["croppers"]["tiny text"][which] for which in ("first", "second"))
    stages = ["read", "preprocess", "tokenise", "vision", "prefill", "decode", "parse", "crop"]
    assert list(first["stages"]) == stages
    # 560 x 200 px becomes 64 x 64: 2 x 1 tiles, and the whole.
    assert first["counts"]["tiles"] == 3
    assert "kept_tokens" not in first["counts"]
    assert first["counts"]["decoder_runs"] <= 13
    # The same image again: nothing to see, and one run less.
    assert "vision" not in second["stages"]
    assert second["counts"]["kept_tokens"] > 12
    assert second["total"]["n"] == first["total"]["n"] == 3
    assert first["ms_per_token"] > 0


def test_stages_and_counts_of_generate(timed: Timed) -> None:
    generate = timed.result["croppers"]["torch generate"]
    assert generate["second"] is None
    first = generate["first"]
    stages = ["read", "preprocess", "vision", "prefill", "decode", "parse", "crop"]
    assert list(first["stages"]) == stages
    assert all(first["stages"][stage]["min"] > 0 for stage in stages)
    # As many as a box takes, though a random model would go on for ever, or end at once.
    assert first["counts"]["box_tokens"] == first["counts"]["decoder_runs"] == 17
    assert first["counts"]["tiles"] == 3
    text = timed.result["croppers"]["tiny text"]["first"]["counts"]
    assert first["counts"]["prompt_tokens"] == text["prompt_tokens"]


def test_what_was_built_is_kept(timed: Timed) -> None:
    """And what it says is the same another time."""
    before = {path: path.stat().st_mtime_ns for path in timed.work.rglob("*")}
    done = CliRunner().invoke(app, timed.arguments)
    assert done.exit_code == 0, done.output
    assert {path: path.stat().st_mtime_ns for path in timed.work.rglob("*")} == before
    again = json.loads(done.stdout)["croppers"]
    for label, found in timed.result["croppers"].items():
        assert again[label]["hash"] == found["hash"]
        assert again[label]["iou"] == found["iou"]


def test_an_architecture_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoTokenizer

    monkeypatch.setitem(ARCHITECTURES, "tiny", TINY)
    folder = random_checkpoint("tiny", tmp_path / "new" / "work", ["Where is the Thing?"])
    weights = folder / "model.safetensors"
    before = weights.stat().st_mtime_ns
    assert random_checkpoint("tiny", tmp_path / "new" / "work", ["Why?"]) == folder
    assert weights.stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == ["checkpoint"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    # Every known word is one token, as nearly every word is SmolLM2's; a box is what it was.
    words = ["is", "the", "Thing", "that", "would", "help"]
    assert tokenizer.tokenize(" " + " ".join(words)) == [f"\u0120{word}" for word in words]
    box = tokenizer(" [25, 25, 75, 75].", add_special_tokens=False)["input_ids"]
    # Bracket, twice four digits, three commas and spaces, bracket with dot; and the end.
    assert len(box) + 1 == answer_tokens() == 1 + 8 + 6 + 1 + 1
    with pytest.raises(OptionsError, match="'huge' must be one of smolvlm-256m, smolvlm-500m"):
        random_checkpoint("huge", tmp_path, [])
