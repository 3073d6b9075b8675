"""Pictures as people and phones produce them, and as attackers do."""

from __future__ import annotations

import base64
import io
import struct
import sys
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cropzoom import Box, ImageError, ImageTooLargeError
from cropzoom.images import OpenedImage, decode_data_uri, encode_crop, load_image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header is right but for the size, with little data behind it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def peak_megabytes() -> float:
    resource = pytest.importorskip("resource")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1e6 if sys.platform == "darwin" else 1e3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncated(kind: str) -> None:
    data = encoded(noise(200, 200), kind)
    for length in (1, 20, len(data) // 2):
        with pytest.raises(ImageError):
            load_image(data[:length])


@pytest.mark.parametrize("data", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"<svg/>"])
def test_not_an_image(data: bytes) -> None:
    with pytest.raises(ImageError, match=f"the image \\({len(data)} bytes\\)"):
        load_image(data)


def test_animated_gives_the_first_frame() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert load_image(data).getpixel((4, 4)) == (255, 0, 0), kind


def test_cmyk() -> None:
    image = load_image(encoded(Image.new("CMYK", (9, 9), (0, 255, 255, 0)), "JPEG", quality=100))
    red, green, blue = image.getpixel((4, 4))
    assert image.mode == "RGB" and red > 200 and green < 60 and blue < 60


def test_16_bit_is_scaled_not_clipped() -> None:
    grey = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    image = load_image(encoded(Image.fromarray(grey)))
    assert [image.getpixel((x, 0))[0] for x in range(5)] == [0, 1, 1, 128, 255]


def test_float_pixels_are_scaled() -> None:
    image = load_image(Image.fromarray(np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)))
    assert [image.getpixel((x, 0))[0] for x in range(4)] == [0, 128, 255, 0]


def test_palette_with_transparency_lies_on_white() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        shown = load_image(encoded(image, kind, transparency=0))
        assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (0, 0, 255)], kind


def test_hidden_pixels_stay_hidden() -> None:
    image = Image.new("RGBA", (2, 1), (200, 10, 10, 0))
    image.putpixel((1, 0), (0, 0, 0, 51))
    shown = load_image(encoded(image))
    assert [shown.getpixel((x, 0)) for x in (0, 1)] == [(255, 255, 255), (204, 204, 204)]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (64, 32), "white")
    stored.paste("red", (0, 0, 16, 16))
    data = encoded(stored, kind, exif=exif)
    opened = OpenedImage(data)
    expected = (64, 32) if orientation < 5 else (32, 64)
    assert opened.size == expected
    shown = opened.full()
    assert shown.size == expected
    # Where the stored image's first corner ends up, by the EXIF specification.
    corner = {
        1: (0, 0),
        2: (1, 0),
        3: (1, 1),
        4: (0, 1),
        5: (0, 0),
        6: (1, 0),
        7: (1, 1),
        8: (0, 1),
    }
    x, y = corner[orientation]
    pixel = shown.getpixel((3 + x * (shown.width - 7), 3 + y * (shown.height - 7)))
    assert pixel[0] > 200 and pixel[1] < 60
    for grey in (False, True):
        small = OpenedImage(data).preview(8, grey=grey)
        assert small.size[0] * expected[1] == small.size[1] * expected[0]
        corner_pixel = small.convert("L").getpixel((x * (small.width - 1), y * (small.height - 1)))
        assert corner_pixel < 120, grey


@pytest.mark.parametrize("size", [(1, 1), (1, 20000), (20000, 1)])
def test_extreme_shapes(size: tuple[int, int]) -> None:
    for kind in ("PNG", "JPEG"):
        opened = OpenedImage(encoded(Image.new("RGB", size, "white"), kind))
        assert opened.size == opened.full().size == size
        assert encode_crop(
            opened.full(), Box(0, 0, 1, 1), min_side=448, max_side=1024, photographic=True
        ).width in (28, 448, 1024)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9000, 11_000, 60_000])
def test_a_huge_header_is_refused_before_decoding(side: int) -> None:
    limit, before = Image.MAX_IMAGE_PIXELS, peak_megabytes()
    with pytest.raises(ImageTooLargeError, match=r"px|pixels"):
        load_image(png_claiming(side, side))
    assert peak_megabytes() - before < 50
    assert limit == Image.MAX_IMAGE_PIXELS


def test_pillows_warning_made_an_error_is_still_ours() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ImageTooLargeError):
            load_image(png_claiming(11_000, 11_000))


def test_max_pixels_counts_pil_images_too() -> None:
    with pytest.raises(ImageTooLargeError, match="max_pixels=99"):
        load_image(Image.new("RGB", (10, 10)), max_pixels=99)
    assert load_image(Image.new("RGB", (10, 10)), max_pixels=100).size == (10, 10)


def test_a_callers_image_is_left_as_it_is() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.open(io.BytesIO(encoded(noise(20, 10), "PNG", exif=exif)))
    before = (
        image.copy().tobytes(),
        image.size,
        image.mode,
        dict(image.info),
        image.getexif()[0x0112],
    )
    shown = load_image(image)
    shown.paste("white", (0, 0, 20, 20))
    assert shown.size == (10, 20)
    after = image.tobytes(), image.size, image.mode, dict(image.info), image.getexif()[0x0112]
    assert before == after


def test_a_callers_rgb_image_is_copied() -> None:
    image = Image.new("RGB", (4, 4), "red")
    load_image(image).paste("white", (0, 0, 4, 4))
    assert image.getpixel((0, 0)) == (255, 0, 0)


def test_path_and_nonsense(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(encoded(noise(5, 4)))
    assert load_image(file).size == load_image(str(file)).size == (5, 4)
    with pytest.raises(ImageError, match=r"nothing\.png.*No such file"):
        load_image(tmp_path / "nothing.png")
    with pytest.raises(ImageError, match="give bytes, a path or a PIL image"):
        load_image(42)  # type: ignore[arg-type]


def test_preview_is_smaller_but_never_below_what_was_asked() -> None:
    opened = OpenedImage(encoded(noise(1000, 700), "JPEG"))
    assert opened.preview(500).size == (500, 350)
    assert opened.preview(300).size == (500, 350)
    assert opened.preview(501).size == (1000, 700)
    opened = OpenedImage(encoded(noise(1000, 700), "JPEG"))
    assert (opened.preview(500).mode, opened.preview(500, grey=True).mode) == ("RGB", "L")
    cmyk = OpenedImage(encoded(noise(1000, 700).convert("CMYK"), "JPEG"))
    assert (cmyk.preview(500, grey=True).mode, cmyk.preview(500).size) == ("RGB", (500, 350))
    assert OpenedImage(encoded(noise(1000, 700))).preview(100).size == (1000, 700)


def test_data_uris() -> None:
    data = encoded(noise(3, 3))
    text = base64.b64encode(data).decode()
    broken_up = "\n".join(text[i : i + 60] for i in range(0, len(text), 60)).rstrip("=")
    percent = "".join(f"%{byte:02X}" for byte in data)
    for uri in (
        f"data:image/png;base64,{text}",
        f"DATA:image/png;BASE64,{broken_up}",
        f"data:image/png,{percent}",
    ):
        assert decode_data_uri(uri) == data
    for uri in (
        "data:image/png;base64",
        "image/png;base64,AAAA",
        "data:image/png;base64,AAAAA",
        "data:image/png;base64,A!A=",
        "data:image/png;base64,üü",
        "",
    ):
        with pytest.raises(ImageError, match="data URI"):
            decode_data_uri(uri)


def test_crops_are_cut_exactly_and_deterministically() -> None:
    image = noise(300, 200)
    box = Box.from_pixels(30, 20, 290, 190, 300, 200)
    crop = encode_crop(image, box, min_side=0, max_side=1000, photographic=False)
    assert (crop.mime, crop.width, crop.height) == ("image/png", 260, 170)
    assert load_image(crop.data).tobytes() == image.crop((30, 20, 290, 190)).tobytes()
    for photographic in (False, True):
        first, second = (
            encode_crop(image, box, min_side=0, max_side=200, photographic=photographic)
            for _ in range(2)
        )
        assert first == second
        assert decode_data_uri(first.data_uri()) == first.data


@pytest.mark.parametrize(
    ("size", "least", "most", "expected"),
    [
        ((100, 50), 400, 1000, (400, 200)),
        ((100, 50), 0, 1000, (100, 50)),
        ((2000, 1000), 400, 1000, (1000, 500)),
        ((2000, 1), 400, 1000, (1000, 28)),
        ((40, 15), 0, 1000, (75, 28)),
    ],
)
def test_crop_size_limits(
    size: tuple[int, int], least: int, most: int, expected: tuple[int, int]
) -> None:
    crop = encode_crop(
        Image.new("RGB", size), Box(0, 0, 1, 1), min_side=least, max_side=most, photographic=True
    )
    assert (crop.width, crop.height) == load_image(crop.data).size == expected


def test_small_crops_are_lossless_and_photographs_are_not() -> None:
    for side, mime in ((128, "image/png"), (129, "image/jpeg")):
        crop = encode_crop(
            noise(side, side), Box(0, 0, 1, 1), min_side=0, max_side=500, photographic=True
        )
        assert crop.mime == mime
    for kind, options, expected in (
        ("JPEG", {}, True),
        ("PNG", {}, False),
        ("WEBP", {"lossless": False}, True),
        ("WEBP", {"lossless": True}, False),
    ):
        assert OpenedImage(encoded(noise(9, 9), kind, **options)).photographic is expected


def test_no_metadata_reaches_a_crop() -> None:
    exif = Image.Exif()
    exif[0x010E] = "SECRET-PLACE"
    data = encoded(
        noise(200, 200), "JPEG", exif=exif, icc_profile=b"SECRET-PROFILE", comment="SECRET"
    )
    assert b"SECRET" in data
    crop = encode_crop(
        load_image(data), Box(0, 0, 1, 1), min_side=0, max_side=500, photographic=True
    )
    assert b"SECRET" not in crop.data


def test_a_large_deep_or_transparent_picture_is_worked_on_in_strips(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ramp = np.arange(64 * 48, dtype=np.float32).reshape(48, 64)
    layered = noise(64, 48)
    layered.putalpha(Image.fromarray((ramp % 256).astype(np.uint8)))
    pictures = [
        Image.fromarray(ramp),
        Image.fromarray(ramp / ramp.max()),
        Image.fromarray((ramp - 7).astype(np.int32)),
        Image.fromarray((ramp * 20).astype(np.uint16)),
        layered,
    ]
    whole = [load_image(picture).tobytes() for picture in pictures]
    monkeypatch.setattr("cropzoom.pixels._STRIP_PIXELS", 64 * 5)
    assert [load_image(picture).tobytes() for picture in pictures] == whole


def test_pixels_that_cost_more_count_more() -> None:
    picture = Image.new("RGB", (100, 100))
    for kind, times in (("PNG", 1), ("WEBP", 2), ("JPEG2000", 4)):
        data = encoded(picture, kind)
        assert load_image(data, max_pixels=10_000 * times).size == (100, 100)
        with pytest.raises(ImageTooLargeError, match="100x100 px"):
            load_image(data, max_pixels=10_000 * times - 1)
