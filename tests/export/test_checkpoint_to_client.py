"""From training to a wrapped client: what goes out is the crop that the torch policy chose."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from policy_rows import noise_row
from typer.testing import CliRunner

torch = pytest.importorskip("torch")
openai = pytest.importorskip("openai")
# ruff: noqa: E402

from openai_server import OpenAIServer

from cropzoom import CropZoom, ZoomOptions, load_cropper
from cropzoom.cli import app
from cropzoom.trainer.nano.network import Nano, NanoConfig
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.nano_policy import NanoPolicy

TINY_NANO = NanoConfig(
    stem=8,
    middle=8,
    wide=16,
    middle_blocks=1,
    wide_blocks=1,
    embed=16,
    text_width=16,
    text_layers=1,
    heads=2,
    implied=1,
    point=16,
)
ROWS = [
    noise_row(1, 96, 80, "What is the total?"),
    noise_row(2, 70, 90, "When is it due?"),
    noise_row(3, 64, 64, "Who wrote this letter?"),
]
BOXES = torch.tensor([[0.2, 0.3, 0.6, 0.7], [0.5, 0.1, 0.9, 0.6], [0.1, 0.4, 0.5, 0.8]])


@pytest.fixture(scope="module")
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as running:
        yield running


def policy_of(kind: str, checkpoint: Path) -> tuple[Any, int, float]:
    """An untrained policy, and how it learns three rows by heart: steps and rate."""
    torch.manual_seed(0)
    if kind == "nano":
        return NanoPolicy(Nano(TINY_NANO).eval(), scale=1.0, pad_px=0.0, join=0.1), 10, 1e-2
    if kind == "pointer":
        return load_policy(checkpoint, "pointer", width=16, subcells=2), 40, 1e-2
    return load_policy(checkpoint, "text"), 60, 1e-2


@pytest.mark.parametrize("kind", ["text", "pointer", "nano"])
def test_box_for_box(
    kind: str, idefics3_checkpoint: Path, tmp_path: Path, server: OpenAIServer
) -> None:
    policy, steps, rate = policy_of(kind, idefics3_checkpoint)
    before = policy.best(policy.collate(ROWS))
    optimizer = torch.optim.Adam([p for p in policy.parameters() if p.requires_grad], rate)
    batch = policy.collate(ROWS)
    for _ in range(steps):
        loss = policy.nll(batch, BOXES).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    policy.eval()
    policy.save_pretrained(tmp_path / "policy")
    arguments = [tmp_path / "policy", tmp_path / "cropper", "--no-fuse", "--samples", 1]
    done = CliRunner().invoke(app, ["export-onnx", *map(str, arguments)])
    assert done.exit_code == 0, done.output

    options = ZoomOptions(min_confidence=0, max_area=1)
    plain = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    with load_cropper(tmp_path / "cropper", device="cpu") as cropper:
        client = CropZoom(plain, cropper, options=options)
        expected = [policy.best(policy.collate([row]))[0] for row in ROWS]
        for row, box in zip(ROWS, expected, strict=True):
            buffer = io.BytesIO()
            picture = row.load()
            picture.save(buffer, "PNG")
            client.ask(buffer.getvalue(), row.question, model="m")
            (report,) = client.cropzoom.last_report.images
            (crop,) = report.crops
            found = [crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1]
            assert found == pytest.approx(box.tolist(), abs=1e-6)
            sent = pictures_in(server.last.body)
            assert sent[0].size == picture.size and sent[1].size == (crop.width, crop.height)
    # The policy was trained, and its boxes are not one and the same.
    assert not torch.allclose(before, torch.stack(expected), atol=0.02)
    assert len({tuple(box.tolist()) for box in expected}) == 3
    if kind == "text":
        assert torch.allclose(torch.stack(expected), BOXES, atol=0.011)


def pictures_in(body: dict[str, Any]) -> list[Image.Image]:
    parts = body["messages"][-1]["content"]
    uris = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) for uri in uris]
