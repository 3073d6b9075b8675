"""A ladder with a broken rung leaves nothing behind; folders are put in place whole or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from typer.testing import CliRunner

from cropzoom import Box
from cropzoom.cli import app
from cropzoom.errors import ExportError, OptionsError
from cropzoom.export import ExportOptions
from cropzoom.export.ladder import Ladder, Rung, Sample, Worst, samples
from cropzoom.export.staging import new_folder, write_manifest


def test_rungs_by_hand() -> None:
    assert Rung("a", "error", 1e-4, 1e-4).passed and not Rung("a", "error", 2e-4, 1e-4).passed
    assert Rung("a", "share", 1.0, 1.0, at_least=True).passed
    assert not Rung("a", "share", 0.9, 1.0, at_least=True).passed
    nan = float("nan")
    assert not Rung("a", "error", nan, 1).passed
    assert not Rung("a", "share", nan, 0, at_least=True).passed
    worst = Worst()
    worst.note("x", [1.0, -4.0], np.array([1.0, -3.0]))
    worst.note("x", [1.0, -4.0], np.array([1.0, -4.0]))
    assert worst.rungs([("x", 0.1), ("y", 0.1)]) == [Rung("x", "largest relative error", 0.25, 0.1)]
    worst.note("x", [1.0], np.array([nan]))
    assert not worst.rungs([("x", 9)])[0].passed


def test_boxes_by_hand(tmp_path: Path) -> None:
    ladder = Ladder("fp32", "cpu")
    sample = samples(1)[0]
    ladder.add_boxes(sample, Box(0, 0, 1, 1), Box(0, 0, 0.5, 1))
    ladder.add_boxes(sample, None, None)
    ladder.add_boxes(sample, Box(0, 0, 1, 1), None)
    mean, least = ladder.box_rungs(0.5, 0.1)
    assert (mean.value, mean.passed, least.value, least.passed) == (0.5, True, 0, False)
    ladder.rungs = [mean, least]
    ladder.write(tmp_path / "parity.json")
    assert json.loads((tmp_path / "parity.json").read_text())["passed"] is False


def test_samples_are_spread_over_the_pictures() -> None:
    chosen = samples(10)
    assert len({sample.file for sample in chosen[:8]}) == 8
    assert chosen[8].file == chosen[0].file and chosen[8].question != chosen[0].question
    assert all(sample.load().mode == "RGB" for sample in chosen)


def test_a_broken_rung_leaves_nothing(
    idefics3_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exported vision encoder is another one's: its rung and those after it break."""
    import torch

    from cropzoom.export import text as export_text

    real = export_text.export_vision

    def another(backbone: Any) -> Any:
        import copy

        changed = copy.deepcopy(backbone)
        with torch.no_grad():
            changed.model.connector.modality_projection.proj.weight.mul_(-1)
        return real(changed)

    monkeypatch.setattr(export_text, "export_vision", another)
    out = tmp_path / "out"
    arguments = [str(idefics3_checkpoint), str(out), "--no-fuse", "--samples", "1"]
    done = CliRunner().invoke(app, ["export-onnx", *arguments, "--json"])
    assert done.exit_code == 1
    result = json.loads(done.stdout)
    assert result["passed"] is False and "vision_encoder" in result["error"]
    broken = {r["rung"] for r in result["rungs"] if r["value"] > r["limit"]}
    assert "vision_encoder" in broken and "decoder_model_merged" not in broken
    assert list(tmp_path.iterdir()) == []


def test_folders_are_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "cropper"

    def write(folder: Path, text: str) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "a.txt").write_text(text)
        (folder / "README.md").write_text("for people")
        write_manifest(folder, {"kind": "x"})

    with new_folder(out) as folder:
        write(folder, "one")
    manifest = json.loads((out / "cropper.json").read_text())
    assert manifest["schema"] == 1 and list(manifest["files"]) == ["sub/a.txt"]
    assert manifest["files"]["sub/a.txt"]["bytes"] == 3
    (out / "old.txt").touch()
    with pytest.raises(KeyError), new_folder(out) as folder:
        write(folder, "two")
        raise KeyError
    assert (out / "sub/a.txt").read_text() == "one" and (out / "old.txt").exists()
    with new_folder(out) as folder:
        write(folder, "three")
    assert (out / "sub/a.txt").read_text() == "three" and not (out / "old.txt").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["cropper"]
    (tmp_path / "link").symlink_to(out)
    (tmp_path / "file").touch()
    for place in ("link", "file"):
        with (
            pytest.raises(ExportError, match="neither empty nor a cropper's"),
            new_folder(tmp_path / place),
        ):
            pytest.fail("it was opened")
    (tmp_path / "file").unlink()
    with pytest.raises(ExportError, match="can't write"), new_folder(out / "sub/a.txt/b"):
        pytest.fail("it was opened")


def test_options() -> None:
    with pytest.raises(OptionsError, match="precision='int4'"):
        ExportOptions(precision="int4")  # type: ignore[arg-type]
    with pytest.raises(OptionsError, match="samples=25"):
        ExportOptions(samples=25)


def test_a_sample_is_what_policies_collate(idefics3_checkpoint: Path) -> None:
    from cropzoom.data.row import Row
    from cropzoom.trainer.policies import load_policy

    policy: Any = load_policy(idefics3_checkpoint, "text")
    sample = samples(1)[0]
    row = Row("1", sample.picture, sample.question, ("x",))
    ours, theirs = policy.collate([Sample("f", sample.picture, sample.question)]), None
    theirs = policy.collate([row])
    assert all(bool((ours[key] == theirs[key]).all()) for key in theirs)
