"""What reaches `Zoom` from careless callers: odd images, odd options, interrupts."""

from __future__ import annotations

import io
import struct
import threading
import zlib

import pytest
from fixed_croppers import FixedCropper, noise
from PIL import Image

from cropzoom import Crop, ImageError, ImageTooLargeError, OptionsError, ZoomOptions
from cropzoom.zoom import Zoom


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG whose header claims a size that its pixels don't fill."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(3 * width + 1))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", pixels),
            chunk(b"IEND", b""),
        )
    )


def test_a_pil_image_is_not_decoded_before_its_size_is_checked() -> None:
    opened = Image.open(io.BytesIO(png_claiming(8_000, 8_000)))
    zoom = Zoom(FixedCropper(), ZoomOptions(max_pixels=1_000_000))
    _, report = zoom.crops(opened, "Where?")
    assert report.reason == "too_many_pixels"
    # Pillow keeps the tiles to decode until it has decoded them.
    assert opened.tile
    with pytest.raises(ImageTooLargeError, match="max_pixels=1,000,000"):
        zoom.crops(opened, "Where?", strict=True)


@pytest.mark.parametrize("cache_size", [0, 8])
def test_a_truncated_or_closed_pil_image_is_a_broken_image(cache_size: int) -> None:
    buffer = io.BytesIO()
    noise(0, (400, 300)).save(buffer, "JPEG")
    closed = Image.open(io.BytesIO(buffer.getvalue()))
    closed.load()
    closed.close()
    zoom = Zoom(FixedCropper(), ZoomOptions(cache_size=cache_size))
    for image in (Image.open(io.BytesIO(buffer.getvalue()[:9_000])), closed):
        _, report = zoom.crops(image, "Where?")
        assert (report.reason, report.crops) == ("broken_image", ())
        with pytest.raises(ImageError, match="broken"):
            zoom.crops(image, "Where?", strict=True)


def test_options_of_another_type_are_refused_at_once() -> None:
    with pytest.raises(OptionsError, match=r"must be ZoomOptions\(...\) or None"):
        Zoom(FixedCropper(), {"max_crops": 2})  # type: ignore[arg-type]


def test_an_interrupt_stays_in_its_thread() -> None:
    class Interrupted:
        def __init__(self) -> None:
            self.entered = threading.Event()
            self.go_on = threading.Event()
            self.calls = 0

        def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
            self.calls += 1
            if self.calls > 1:
                return []
            self.entered.set()
            assert self.go_on.wait(30)
            raise KeyboardInterrupt

    cropper = Interrupted()
    zoom, image = Zoom(cropper), noise(0)
    seen: dict[str, object] = {}

    def run(name: str) -> None:
        try:
            seen[name] = zoom.crops(image, "Where?")[1].reason
        except BaseException as error:
            seen[name] = error

    first = threading.Thread(target=run, args=("first",))
    first.start()
    assert cropper.entered.wait(30)
    second = threading.Thread(target=run, args=("second",))
    second.start()
    # The second waits for the first; there is no event for that.
    second.join(0.2)
    cropper.go_on.set()
    first.join(30)
    second.join(30)
    assert isinstance(seen["first"], KeyboardInterrupt)
    # Had it come too late to wait, it would have found nothing by itself.
    assert seen["second"] in ("error", "nothing_found")
