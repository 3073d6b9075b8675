"""Exports that several tests look at; each is made once, for torch's exporter takes its time."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from exporting import Exported, Timed, adapt, pointer_policy

# The server that the clients' tests talk to.
sys.path.append(str(Path(__file__).parents[1] / "clients"))


@pytest.fixture(scope="session")
def idefics3_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers", minversion="5")
    pytest.importorskip("onnxscript")
    from random_checkpoints import build_checkpoint

    return build_checkpoint(tmp_path_factory.mktemp("idefics3"))


@pytest.fixture(scope="session")
def roi_adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An adapter named `roi`, and the SmolVLM under it, whose head is its embeddings."""
    pytest.importorskip("transformers", minversion="5")
    pytest.importorskip("peft")
    pytest.importorskip("onnxscript")
    from random_checkpoints import build_checkpoint
    from transformers import AutoModelForImageTextToText

    base = build_checkpoint(
        tmp_path_factory.mktemp("smolvlm"), family="smolvlm", tied=True, longest_edge=64, seed=1
    )
    folder = tmp_path_factory.mktemp("checkpoint-100")
    adapt(AutoModelForImageTextToText.from_pretrained(base), "roi", folder, seed=2)
    return folder, base


@pytest.fixture(scope="session")
def full_text(idefics3_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Idefics3, full weights, kind text, with the fused decoder."""
    from cropzoom.export import ExportOptions, export_policy
    from cropzoom.trainer.policies import load_policy

    policy = load_policy(idefics3_checkpoint, "text")
    folder = tmp_path_factory.mktemp("full-text") / "cropper"
    ladder = export_policy(policy, folder, "org/name", ExportOptions(samples=2))
    return Exported(policy, folder, ladder)


@pytest.fixture(scope="session")
def full_pointer(idefics3_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Idefics3, full weights, kind pointer, with fused attention."""

    from cropzoom.export import ExportOptions, export_policy

    policy = pointer_policy(idefics3_checkpoint)
    folder = tmp_path_factory.mktemp("full-pointer") / "cropper"
    ladder = export_policy(policy, folder, "org/name", ExportOptions(samples=2))
    return Exported(policy, folder, ladder)


@pytest.fixture(scope="session")
def timed(
    idefics3_checkpoint: Path,
    full_text: Exported,
    full_pointer: Exported,
    tmp_path_factory: pytest.TempPathFactory,
) -> Timed:
    """The command on a tiny architecture; it finds built and exported what it would make."""
    from PIL import Image
    from random_checkpoints import TINY
    from typer.testing import CliRunner

    from cropzoom.bench.random_weights import ARCHITECTURES
    from cropzoom.cli import app
    from cropzoom.samples import load_samples

    ARCHITECTURES["tiny"] = TINY
    work = tmp_path_factory.mktemp("work")
    shutil.copytree(idefics3_checkpoint, work / "tiny" / "checkpoint")
    shutil.copytree(full_text.folder, work / "tiny" / "text-fused")
    shutil.copytree(full_pointer.folder, work / "tiny" / "pointer")
    with Image.open(load_samples()[0].path) as image:
        image.crop((450, 1000, 1010, 1200)).save(work / "page.png")
    wanted = "--random-weights tiny --against torch --rounds 3 --longest-edge 64 --threads 1"
    arguments = ["bench", "--latency", *wanted.split(), "--cold", "0", "--json"]
    arguments += ["--work", str(work), "--image", str(work / "page.png")]
    arguments += ["-q", "What is the total?", "-q", "And the date?"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return Timed(arguments, work / "tiny", json.loads(done.stdout))
