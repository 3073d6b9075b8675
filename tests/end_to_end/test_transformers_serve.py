"""A real client, a real server, a real (tiny) model: the crop arrives as one more image."""

from __future__ import annotations

import base64
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fixed_croppers import FixedCropper, crop_by_hand, noise
from PIL import Image

from cropzoom import CropZoom, ZoomOptions

openai = pytest.importorskip("openai")
transformers = pytest.importorskip("transformers", minversion="5")
pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")

QUESTION = "What is the total?"


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def address(tiny_idefics3: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the tiny model on a free loopback port, offline."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    command = shutil.which("transformers", path=str(Path(sys.executable).parent))
    assert command, "the transformers command is not beside this Python"
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    arguments = ["serve", str(tiny_idefics3), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(
            [command, *arguments, "--device", "cpu"],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
        )
        try:
            _wait(server, port, log)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"the server did not come up:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="module")
def tokens_of(tiny_idefics3: Path) -> Any:
    """Return what one image costs: the prompt's tokens with it, less those without."""
    processor = transformers.AutoProcessor.from_pretrained(tiny_idefics3)

    def count(picture: Image.Image) -> int:
        # Letters on both sides: a byte-wise tokenizer joins nothing with the image.
        with_image = processor(images=[picture], text="a<image>b")["input_ids"][0]
        return len(with_image) - len(processor.tokenizer("ab")["input_ids"])

    return count


@pytest.fixture(scope="module")
def clients(address: str) -> tuple[Any, Any]:
    plain = openai.OpenAI(base_url=address, api_key="none", max_retries=0, timeout=120)
    # The model sees these small pictures in full: a crop is asked for all the same.
    return plain, CropZoom(plain, FixedCropper(), options=ZoomOptions(target_side=0))


# The second is small and has fewer tiles, so its crop costs more than itself.
@pytest.mark.parametrize("size", [(96, 80), (30, 20)])
def test_the_prompt_grows_by_exactly_one_image(
    size: tuple[int, int], clients: tuple[Any, Any], tokens_of: Any, tiny_idefics3: Path
) -> None:
    plain, wrapped = clients
    photo = noise(3, size)
    request = _request(tiny_idefics3, png(photo))
    cost = tokens_of(crop_by_hand(png(photo), QUESTION))
    assert cost > 0

    without = plain.chat.completions.create(**request)
    with_crop = wrapped.chat.completions.create(**request)

    assert with_crop.usage.prompt_tokens - without.usage.prompt_tokens == cost
    (report,) = wrapped.cropzoom.last_report.images
    assert len(report.crops) == 1


def test_streaming(clients: tuple[Any, Any], tokens_of: Any, tiny_idefics3: Path) -> None:
    plain, wrapped = clients
    photo = png(noise(4))
    request = {**_request(tiny_idefics3, photo), "stream": True}

    used = []
    for client in (plain, wrapped):
        chunks = list(client.chat.completions.create(**request))
        used.append(next(chunk.usage for chunk in reversed(chunks) if chunk.usage))
        assert any(choice.delta.content for chunk in chunks for choice in chunk.choices)

    assert used[1].prompt_tokens - used[0].prompt_tokens == tokens_of(crop_by_hand(photo, QUESTION))


def test_the_answer_is_that_for_both_images(clients: tuple[Any, Any], tiny_idefics3: Path) -> None:
    plain, wrapped = clients
    photo = png(noise(5))
    by_hand = _request(tiny_idefics3, photo)
    crop = _block(png(crop_by_hand(photo, QUESTION)))
    by_hand["messages"][0]["content"].insert(1, crop)
    expected = plain.chat.completions.create(**by_hand)
    made = wrapped.chat.completions.create(**_request(tiny_idefics3, photo))
    assert made.choices[0].message.content == expected.choices[0].message.content
    assert made.usage == expected.usage


def test_ask(clients: tuple[Any, Any], tiny_idefics3: Path) -> None:
    _, wrapped = clients
    photo = png(noise(5))
    request = _request(tiny_idefics3, photo)
    expected = wrapped.chat(**request).choices[0].message.content
    extra = {"max_tokens": request["max_tokens"], "temperature": 0}
    assert wrapped.ask(photo, QUESTION, model=str(tiny_idefics3), **extra) == expected


def _request(model: Path, photo: bytes) -> dict[str, Any]:
    content = [_block(photo), {"type": "text", "text": QUESTION}]
    return {
        "model": str(model),
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 6,
        "temperature": 0,
    }


def _block(picture: bytes) -> dict[str, Any]:
    uri = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    return {"type": "image_url", "image_url": {"url": uri}}
