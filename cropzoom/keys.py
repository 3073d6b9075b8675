"""What makes two calls the same, so that the second needs no work: image, questions, options."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from cropzoom.errors import ImageError
from cropzoom.images import ImageSource, read_bytes
from cropzoom.options import ZoomOptions

_PIXELS = 1 << 20


def digest_of_image(source: ImageSource) -> bytes:
    """Return a digest of all that decides what an image looks like.

    Raises:
        ImageError: it can't be read, or is broken.
    """
    if not isinstance(source, Image.Image):
        return hashlib.sha256(read_bytes(source)).digest()
    # Everything that decides what the pixels look like.
    exif = source.getexif().get(0x0112)
    palette = source.palette.tobytes() if source.palette is not None else b""
    look = (source.mode, source.size, source.format, exif, source.info.get("transparency"))
    digest = hashlib.sha256(repr(look).encode() + palette)
    try:
        source.load()
        # Some rows at a time, since all would be a second copy of the picture.
        rows = max(1, _PIXELS // source.width)
        for top in range(0, source.height, rows):
            bottom = min(top + rows, source.height)
            digest.update(source.crop((0, top, source.width, bottom)).tobytes())
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise whatever their parsing trips over, not only OSError.
        raise ImageError(f"the image is broken: {error}") from error
    return digest.digest()


def digest_of_texts(texts: Sequence[str]) -> bytes:
    """Return a digest of some texts, which lone surrogates may be in."""
    digest = hashlib.sha256()
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()


def what_decides(options: ZoomOptions) -> ZoomOptions:
    """Return options without those that change no crop, so that they do not split the cache."""
    default = ZoomOptions()
    return replace(
        options,
        label=default.label,
        fetch_images=default.fetch_images,
        fetch_timeout=default.fetch_timeout,
        max_fetch_bytes=default.max_fetch_bytes,
        cache_size=default.cache_size,
        deadline=default.deadline,
        max_added_pictures=default.max_added_pictures,
        max_added_pixels=default.max_added_pixels,
        max_added_bytes=default.max_added_bytes,
        max_body_bytes=default.max_body_bytes,
        question=default.question,
        tool_results=default.tool_results,
        shadow=default.shadow,
    )
