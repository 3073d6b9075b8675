"""Pictures in, pictures out: any source to upright RGB within limits; a crop to encoded bytes.

Nothing here changes Pillow's globals or a caller's image. Sizes are read from the header, and
refused, before any pixel is decoded.
"""

from __future__ import annotations

import base64
import io
import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

from PIL import Image

from cropzoom.errors import ImageError, ImageTooLargeError
from cropzoom.geometry import Box
from cropzoom.options import DEFAULT_MAX_PIXELS
from cropzoom.pixels import orientation_of, turned, upright_rgb

ImageSource = bytes | str | os.PathLike[str] | Image.Image

# Pillow's other readers are left out on purpose: EPS runs Ghostscript, and some read other files.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "JPEG2000", "AVIF")
# Readers that an application may register with Pillow: pillow-heif, pillow-jxl.
_FOREIGN_FORMATS = ("HEIF", "JXL")
# Decoders that need several times the memory of others for a pixel; some such files are tiny.
_PIXELS_COUNT = {"JPEG2000": 4, "WEBP": 2, "HEIF": 2, "JXL": 2}
_JPEG = ("JPEG", "MPO")
_LOSSY = (*_JPEG, "JPEG2000", "AVIF", "HEIF")
_JPEG_QUALITY = 92
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
# Models cut pictures into squares of 28 px and less, and some refuse what is thinner than one.
_LEAST_SIDE = 28
# Below this, PNG costs little and keeps every pixel of what is probably a few words.
_SMALL_PIXELS = 128 * 128


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture as bytes.

    Args:
        data: the file's bytes.
        mime: "image/png" or "image/jpeg".
        width: in px.
        height: in px.
    """

    data: bytes
    mime: str
    width: int
    height: int

    def data_uri(self) -> str:
        """Return the picture as a `data:` URI, the form chat APIs take."""
        return f"data:{self.mime};base64,{base64.b64encode(self.data).decode('ascii')}"


class OpenedImage:
    """An image whose header was read and accepted; pixels are decoded when asked for.

    Not thread-safe; made for one call and thrown away.

    Args:
        source: bytes of a file, a path, or a PIL image (used at its current frame).
        max_pixels: limit on width x height. A pixel of a format whose decoder takes several times
            the memory counts several times: 4 in JPEG 2000, 2 in WebP, HEIF and JPEG XL.

    Raises:
        ImageError: unreadable, or not an image of a supported format.
        ImageTooLargeError: more than `max_pixels`.
    """

    def __init__(self, source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        self._data: bytes | None = None
        self._full: Image.Image | None = None
        self._orientation: int | None = None
        if isinstance(source, Image.Image):
            self._name, self._header = "the image", source
        else:
            self._data = read_bytes(source)
            self._name = f"the image ({len(self._data):,} bytes)"
            if isinstance(source, (str, os.PathLike)):
                self._name = f"the image {source}"
            self._header = self._open()
        self.check(max_pixels)

    def check(self, max_pixels: int) -> None:
        """Refuse an image with too many pixels, or none.

        Raises:
            ImageError: as when it is opened.
        """
        width, height = self._header.size
        times = 1 if self._data is None else _PIXELS_COUNT.get(self._header.format or "", 1)
        if width * height * times > max_pixels:
            counted = "" if times == 1 else f", which count {times} times in {self._header.format}"
            raise ImageTooLargeError(
                f"{self._name} has {width}x{height} px{counted}: more than "
                f"max_pixels={max_pixels:,}; shrink it or raise max_pixels"
            )
        if width < 1 or height < 1:
            raise ImageError(f"{self._name} has {width}x{height} px: it is empty")

    @property
    def source(self) -> bytes | Image.Image:
        """What it was made from: the file's bytes or a PIL image."""
        return self._header if self._data is None else self._data

    @property
    def header_size(self) -> tuple[int, int]:
        """(width, height) in px as stored, maybe on its side; nothing is decoded for it."""
        return self._header.size

    @property
    def longest_side(self) -> int:
        """Longest side in px, from the header."""
        return max(self._header.size)

    @property
    def format(self) -> str | None:
        """The file's format as Pillow calls it, such as "PNG"; None for one made in memory."""
        return self._header.format

    @property
    def photographic(self) -> bool:
        """Whether the source was stored with loss, so that a crop of it may be, too."""
        if self._header.format == "WEBP":
            return self._data is not None and b"VP8L" not in self._data
        return self._header.format in _LOSSY

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px, upright."""
        if self._full is None and self._header.format in _JPEG:
            with _decoding(self._name):
                width, height = self._header.size
                turned = orientation_of(self._header) >= 5
            return (height, width) if turned else (width, height)
        # Other formats may carry their orientation after the pixels.
        return self.full().size

    @property
    def orientation(self) -> int:
        """How the file stores its pixels, 1 to 8 as EXIF and TIFF number it; 1 is upright."""
        if self._orientation is None:
            if self._header.format in _JPEG:
                with _decoding(self._name):
                    return orientation_of(self._header)
            self.full()
        return self._orientation or 1

    def full(self) -> Image.Image:
        """Return all pixels: RGB, upright, alpha composited on white.

        Raises:
            ImageError: the file is truncated or otherwise broken.
        """
        if self._full is None:
            with _decoding(self._name):
                # Pillow forgets a TIFF's when it turns the pixels.
                self._orientation = orientation_of(self._header)
                self._full = upright_rgb(self._header, own=self._data is not None)
        return self._full

    def preview(self, at_least: int, *, grey: bool = False) -> Image.Image:
        """Return the image for a look at low resolution: like `full`, but possibly smaller.

        A JPEG decodes several times faster at a half, a quarter or an eighth of its size, and
        again without its colours. So the smallest of these whose longest side is `at_least` px or
        more is taken. Other formats gain nothing and come in full.

        Args:
            at_least: px.
            grey: whether colours are of no use; the image may then be L instead of RGB.
        """
        longest = self.longest_side
        jpeg = self._data is not None and self._header.format in _JPEG
        if self._full is not None or not jpeg or longest < 2 * at_least:
            return self.full()
        with _decoding(self._name):
            image = self._open()
            width, height = image.size
            scale = at_least / longest
            size = max(1, round(width * scale)), max(1, round(height * scale))
            image.draft("L" if grey else None, size)
            if image.mode == "L":
                image.load()
                return turned(image, orientation_of(image))
            return upright_rgb(image, own=True)

    def _open(self) -> Image.Image:
        assert self._data is not None
        if not self._data:
            raise ImageError(f"{self._name} has no bytes: it is empty")
        formats = (*_FORMATS, *(name for name in _FOREIGN_FORMATS if name in Image.OPEN))
        try:
            return Image.open(io.BytesIO(self._data), formats=formats)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ImageTooLargeError(f"{self._name} is over Pillow's own limit: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            # Readers raise whatever their parsing trips over, not only OSError.
            raise ImageError(
                f"{self._name} is not a readable image; supported are {', '.join(formats)}"
            ) from error


def load_image(source: ImageSource, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Image.Image:
    """Read an image as people see it: upright, RGB, alpha on white, first frame.

    Args:
        source: bytes of a file, a path, or a PIL image (left as it is; used at its current frame).
        max_pixels: limit on width x height, checked in the header; see `OpenedImage`.

    Returns:
        An RGB image of the caller's own. 16-bit grey is scaled to 8 bits, not clipped.

    Raises:
        ImageError: unreadable, broken, or not an image of a supported format.
        ImageTooLargeError: more than `max_pixels`.
    """
    return OpenedImage(source, max_pixels=max_pixels).full()


def read_bytes(source: bytes | str | os.PathLike[str]) -> bytes:
    """Return a file's bytes, given these or a path.

    Raises:
        ImageError: the path can't be read, or the source is something else.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ImageError(
            f"can't read an image from {type(source).__name__}; give bytes, a path or a PIL image"
        )
    try:
        return Path(source).read_bytes()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"can't read the image {str(source)[:200]!r}: {why}") from error


def decode_data_uri(uri: str) -> bytes:
    """Return the bytes that a `data:` URI holds, in base64 or percent-encoded.

    Raises:
        ImageError: the URI is malformed.
    """
    header, comma, payload = uri.partition(",")
    if not comma or header[:5].lower() != "data:":
        raise ImageError(
            f"not a data URI: {uri[:40]!r}; needs the form 'data:image/png;base64,...'"
        )
    try:
        if not "".join(header.split()).lower().endswith(";base64"):
            return unquote_to_bytes(payload)
        try:
            return base64.b64decode(payload, validate=True)
        except ValueError:
            # Line breaks, percent-encoding, missing padding and the alphabet of URLs are common
            # and harmless.
            tidy = b"".join(unquote_to_bytes(payload).split()).translate(_URL_ALPHABET)
            tidy = tidy.rstrip(b"=")
            return base64.b64decode(tidy + b"=" * (-len(tidy) % 4), validate=True)
    except ValueError as error:
        raise ImageError(f"the data URI {uri[:40]!r}... has broken base64: {error}") from error


def cut_crop(image: Image.Image, box: Box, *, min_side: int, max_side: int) -> Image.Image:
    """Cut a box out of an image, and bring its size within limits.

    Args:
        image: RGB, upright, at full resolution.
        box: what to cut out; rounded outwards to whole pixels.
        min_side: a crop whose longer side is shorter is enlarged to it; px, 0 for never.
        max_side: a crop whose longer side is longer is shrunk to it; px.

    Returns:
        No side is under 28 px: a thin crop is enlarged as far as `max_side` allows, and what is
        still missing is white.
    """
    left, top, right, bottom = box.to_pixels(*image.size)
    width, height = right - left, bottom - top
    longest = max(width, height)
    scale = max(longest, min_side) / longest
    scale = min(max(scale, _LEAST_SIDE / min(width, height)), max_side / longest)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if size == (width, height):
        return _wide_enough(image.crop((left, top, right, bottom)))
    # reducing_gap: a cheap box filter down to thrice the size, then Lanczos; looks the same.
    return _wide_enough(
        image.resize(
            size, Image.Resampling.LANCZOS, box=(left, top, right, bottom), reducing_gap=3.0
        )
    )


def _wide_enough(crop: Image.Image) -> Image.Image:
    """Put a thin crop on white."""
    width, height = max(crop.width, _LEAST_SIDE), max(crop.height, _LEAST_SIDE)
    if crop.size == (width, height):
        return crop
    canvas = Image.new("RGB", (width, height), "white")
    canvas.paste(crop, ((width - crop.width) // 2, (height - crop.height) // 2))
    return canvas


def encode_crop(
    image: Image.Image, box: Box, *, min_side: int, max_side: int, photographic: bool
) -> Encoded:
    """Cut a box out of an image and encode it; the same input gives the same bytes.

    Args:
        image, box, min_side, max_side: see `cut_crop`.
        photographic: encode as JPEG unless small; otherwise as PNG.
    """
    crop = cut_crop(image, box, min_side=min_side, max_side=max_side)
    return encode_picture(crop, photographic=photographic)


def encode_picture(image: Image.Image, *, photographic: bool) -> Encoded:
    """Encode an RGB image: as JPEG if it is photographic and not small, otherwise as PNG."""
    buffer = io.BytesIO()
    if photographic and image.width * image.height > _SMALL_PIXELS:
        # 4:4:4: coloured text survives.
        image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, icc_profile=None)
        mime = "image/jpeg"
    else:
        image.save(buffer, "PNG", compress_level=3, icc_profile=None)
        mime = "image/png"
    return Encoded(buffer.getvalue(), mime, *image.size)


def is_plain(image: Image.Image) -> bool:
    """Tell whether an image is RGB or 8-bit grey, opaque and upright, so needs no `load_image`."""
    return (
        image.mode in ("RGB", "L")
        and not image.has_transparency_data
        and orientation_of(image) == 1
    )


def readable(image: Image.Image) -> Image.Image:
    """Return an image as RGB or 8-bit grey, upright, on white; itself where it is that already.

    Raises:
        ImageError: it is not a readable PIL image.
    """
    if not isinstance(image, Image.Image):
        raise ImageError(
            f"predict takes a PIL image, not {type(image).__name__}; "
            "open it with cropzoom.images.load_image"
        )
    return image if is_plain(image) else load_image(image, max_pixels=image.width * image.height)


class _decoding:
    """Turn whatever a decoder raises into an ImageError that names the image."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # Too little memory says nothing about the image.
        if isinstance(error, Exception) and not isinstance(error, (ImageError, MemoryError)):
            raise ImageError(f"{self._name} is broken: {error}") from error
