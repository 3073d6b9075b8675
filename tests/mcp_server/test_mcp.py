"""The tool for agents: through real client sessions over stdio and HTTP, and its limits."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hand_made_cropper import write_cropper
from mcp import Client, StdioServerParameters, stdio_client
from PIL import Image

from cropzoom.errors import CropZoomError, ImageError, OptionsError, RequestError
from cropzoom.geometry import Box, Crop
from cropzoom.mcp_server import RegionFinder, allowed_roots, finder_for, request_limit, server
from cropzoom.zoom import Zoom

BOX = Box(0.25, 0.5, 0.75, 0.75)


class FixedCropper:
    """Always proposes the same box, as sure as it is told."""

    def __init__(self, *confidences: float) -> None:
        self._crops = [Crop(BOX, confidence) for confidence in confidences]

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return self._crops[:k]


def png(size: tuple[int, int] = (512, 256)) -> bytes:
    image = Image.new("RGB", size, "white")
    image.paste("black", (size[0] // 2, size[1] // 4, size[0] * 9 // 16, size[1] * 3 // 8))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


PNG = png()
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "page.png").write_bytes(PNG)
    (tmp_path / "secret.png").write_bytes(PNG)
    return folder


@pytest.fixture
def finder(pictures: Path) -> RegionFinder:
    return finder_for(FixedCropper(0.9), roots=[pictures])


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cropper = write_cropper(tmp_path_factory.mktemp("cropper") / "cropper")
    return [sys.executable, "-m", "cropzoom", "mcp", "--cropper", str(cropper)]


def check(result: Any) -> None:
    """What the hand-made cropper sees on the picture: see tests/core/test_cli.py."""
    assert not result.is_error, result.content
    data = result.structured_content
    assert (data["width"], data["height"]) == (512, 256)
    (region,) = data["regions"]
    assert region["pixels"] == [208, 64, 304, 96]
    assert region["fractions"] == pytest.approx([208 / 512, 0.25, 304 / 512, 0.375], abs=2e-3)
    assert 0 < region["confidence"] <= 1 and region["crop"] == [448, 149]
    text, image = result.content
    assert json.loads(text.text) == data
    with Image.open(io.BytesIO(base64.b64decode(image.data))) as crop:
        assert image.mime_type == "image/png" and crop.size == (448, 149)
        assert crop.convert("RGB").getpixel((300, 75)) == (0, 0, 0)


async def use(client: Client, pictures: Path) -> None:
    (tool,) = (await client.list_tools()).tools
    assert tool.name == "find_region" and tool.output_schema is not None
    assert set(tool.input_schema["required"]) == {"image", "question"}
    question = "What is dark?"
    for image in (URI, URI.partition(",")[2], "page.png", str(pictures / "page.png")):
        check(await client.call_tool("find_region", {"image": image, "question": question}))
    for image, remedy in (
        ("https://example.com/page.png", "--fetch"),
        ("../secret.png", "send its bytes"),
        ("data:image/png;base64,QUJD", "supported are"),
    ):
        result = await client.call_tool("find_region", {"image": image, "question": question})
        assert result.is_error and remedy in result.content[0].text
    result = await client.call_tool("find_region", {"image": URI, "question": " "})
    assert result.is_error and "say what to look for" in result.content[0].text
    # It goes on after errors.
    check(await client.call_tool("find_region", {"image": URI, "question": question}))


def test_a_session_over_stdio(command: list[str], pictures: Path) -> None:
    arguments = [*command[1:], "--root", str(pictures)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    parameters = StdioServerParameters(command=command[0], args=arguments, env=environment)

    async def run() -> None:
        async with Client(stdio_client(parameters)) as client:
            await use(client, pictures)

    asyncio.run(asyncio.wait_for(run(), 60))


@contextmanager
def over_http(command: list[str]) -> Iterator[str]:
    """Serve on the loopback; gives the address."""
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen([*command, "--http", "--port", str(port)])
    try:
        for _ in range(600):
            assert process.poll() is None
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        process.wait(20)


def test_a_session_over_http(command: list[str], pictures: Path) -> None:
    with over_http([*command, "--root", str(pictures)]) as address:

        async def run() -> None:
            for mode in ("auto", "legacy"):
                async with Client(address, mode=mode) as client:
                    await use(client, pictures)

        asyncio.run(asyncio.wait_for(run(), 60))


def test_a_page_from_elsewhere_reaches_nothing(command: list[str]) -> None:
    """A browser's page that has its name point to this machine is refused."""
    import urllib.error
    import urllib.request

    with over_http(command) as address:
        request = urllib.request.Request(address, b"{}", {"Content-Type": "application/json"})
        request.add_header("Host", "evil.example")
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(request, timeout=10)
        assert error.value.code in (403, 421)


@asynccontextmanager
async def session(finder: RegionFinder) -> AsyncIterator[Client]:
    async with Client(server(finder)) as client:
        yield client


def test_agents_at_once(finder: RegionFinder) -> None:
    async def run() -> None:
        async with session(finder) as client:
            arguments = {"image": URI, "question": "What?"}
            calls = [client.call_tool("find_region", arguments) for _ in range(50)]
            results = await asyncio.gather(*calls)
            assert all(not result.is_error for result in results)

    asyncio.run(run())


def test_an_unsure_region_is_returned_and_called_so() -> None:
    regions, crops = finder_for(FixedCropper(0.1)).find(URI, "What?")
    assert [region.sure for region in regions.regions] == [False] and len(crops) == 1
    assert "unsure" in regions.note
    regions, crops = finder_for(FixedCropper()).find(URI, "What?")
    assert not regions.regions and not crops and "whole picture" in regions.note


def test_as_many_regions_as_are_asked_for() -> None:
    class Rows:
        def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
            return [Crop(Box(0, i / 4, 0.5, i / 4 + 0.2), 0.9 - i / 10) for i in range(4)][:k]

    regions, crops = finder_for(Rows()).find(URI, "What?", 3)
    assert [region.pixels[1] for region in regions.regions] == [0, 64, 128] and len(crops) == 3


@pytest.mark.parametrize("k", [0, 9])
def test_k_out_of_range(finder: RegionFinder, k: int) -> None:
    with pytest.raises(OptionsError, match="between 1 and 8"):
        finder.find(URI, "What?", k)


def test_a_question_too_long(finder: RegionFinder) -> None:
    with pytest.raises(RequestError, match="ask for one thing"):
        finder.find(URI, "x" * 20_001)


@pytest.mark.parametrize(
    "name",
    [
        "../secret.png",
        "sub/../../secret.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "file:../secret.png",
        "%2e%2e/secret.png",
        "file:///%2e%2e/etc/passwd",
        "~/secret.png",
        "page.png\0",
        "missing.png",
        "",
        ".",
        "\\\\host\\share\\page.png",
    ],
)
def test_no_file_outside_of_the_root(finder: RegionFinder, name: str) -> None:
    with pytest.raises(ImageError, match="under the folders that may be read"):
        finder.find(name, "What?")


def test_a_file_elsewhere_and_one_that_is_not_read_the_same(
    finder: RegionFinder, tmp_path: Path
) -> None:
    messages = []
    for name in ("secret.png", "nothing.png"):
        with pytest.raises(ImageError) as error:
            finder.find(str(tmp_path / name), "What?")
        messages.append(str(error.value).replace(name, "NAME"))
    assert messages[0] == messages[1]


def test_links(finder: RegionFinder, pictures: Path, tmp_path: Path) -> None:
    (pictures / "out.png").symlink_to(tmp_path / "secret.png")
    (pictures / "folder").symlink_to(tmp_path)
    (pictures / "circle.png").symlink_to(pictures / "circle.png")
    (pictures / "in.png").symlink_to(pictures / "page.png")
    for name in ("out.png", "folder/secret.png", "circle.png"):
        with pytest.raises(ImageError, match="under the folders"):
            finder.find(name, "What?")
    assert finder.read("in.png") == PNG
    # A root may be a link itself.
    (tmp_path / "root").symlink_to(pictures)
    other = finder_for(FixedCropper(0.9), roots=[tmp_path / "root"])
    assert other.read("page.png") == other.read(str(pictures / "page.png")) == PNG
    assert other.read((pictures / "page.png").as_uri()) == PNG


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_not_waited_for(finder: RegionFinder, pictures: Path) -> None:
    os.mkfifo(pictures / "pipe.png")
    errors: list[Exception] = []

    def read() -> None:
        try:
            finder.read("pipe.png")
        except CropZoomError as error:
            errors.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(10)
    assert len(errors) == 1


def test_no_root_no_file(pictures: Path) -> None:
    finder = finder_for(FixedCropper(0.9))
    with pytest.raises(ImageError, match="--root FOLDER"):
        finder.read(str(pictures / "page.png"))
    assert finder.read(base64.b64encode(PNG).decode()) == PNG
    with pytest.raises(OptionsError, match="is no folder"):
        allowed_roots([pictures / "page.png"])


def test_what_is_too_large_is_refused_before_it_is_decoded(
    pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "large.png").write_bytes(bytes(1001))
    finder = RegionFinder(Zoom(FixedCropper(0.9)), (pictures,), max_bytes=1000)
    with pytest.raises(ImageError, match=r"1,001 bytes, the most is 1,000"):
        finder.read("large.png")

    def never(*_: Any) -> bytes:
        raise AssertionError("decoded")

    monkeypatch.setattr("cropzoom.mcp_server.decode_data_uri", never)
    with pytest.raises(ImageError, match="--max-bytes"):
        finder.read("data:image/png;base64," + "A" * 4000)
    assert request_limit(finder) > 4000 / 3


def test_too_many_pixels_are_refused_by_the_header(finder: RegionFinder) -> None:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0"
    uri = "data:image/png;base64," + base64.b64encode(head + bytes(4)).decode()
    with pytest.raises(CropZoomError):
        finder.find(uri, "What?")


def test_addresses_only_where_they_are_let_in() -> None:
    with pytest.raises(ImageError, match="--fetch"):
        finder_for(FixedCropper(0.9)).read("http://127.0.0.1/page.png")
    # Even then, only public ones.
    with pytest.raises(CropZoomError, match="public"):
        finder_for(FixedCropper(0.9), fetch=True).read("http://127.0.0.1/page.png")
