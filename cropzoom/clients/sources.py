"""From what a request says of a picture to the picture's bytes, or the reason why not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NoReturn

from cropzoom.errors import CropZoomError, ImageError, RequestError
from cropzoom.images import decode_data_uri
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason

OFF_HINT = "or send it within `client.cropzoom.override(enabled=False)`"


class SkipError(Exception):
    """An image is passed on as it is."""

    def __init__(self, reason: Reason, error: CropZoomError) -> None:
        super().__init__(str(error))
        self.reason = reason
        self.error = error


def skip(reason: Reason, detail: str) -> NoReturn:
    """Raise the error that leaves an image as it is."""
    raise SkipError(reason, RequestError(detail))


class Fetched:
    """The downloads of one request: each address once, side by side, within one deadline."""

    def __init__(self, options: ZoomOptions, until: float | None) -> None:
        self._options = options
        self._until = until
        self._files: dict[str, bytes | SkipError] = {}

    def ahead(self, addresses: Iterable[str]) -> None:
        """Download what will be asked for."""
        if not self._options.fetch_images:
            return
        from cropzoom.fetch import fetch_images

        options, until = self._options, self._until
        missing = [a for a in map(str.strip, addresses) if a not in self._files]
        images = fetch_images(
            missing, timeout=options.fetch_timeout, max_bytes=options.max_fetch_bytes, until=until
        )
        for address, image in images.items():
            if isinstance(image, bytes):
                self._files[address] = image
                continue
            late = until is not None and time.monotonic() >= until
            reason = Reason.DEADLINE if late else Reason.FETCH_FAILED
            self._files[address] = SkipError(reason, image)

    def get(self, address: str) -> bytes:
        """Return the file at an address.

        Raises:
            SkipError: it may not be fetched, or can't be.
        """
        if not self._options.fetch_images:
            skip(
                Reason.REMOTE_URL,
                "an image is given by its address and fetch_images is off; "
                f"send a data URI, set fetch_images=True, {OFF_HINT}",
            )
        self.ahead([address])
        file = self._files[address]
        if isinstance(file, SkipError):
            raise file
        return file


def is_remote(address: object) -> bool:
    """Tell whether an address is one of the web."""
    start = address.lstrip()[:8].lower() if isinstance(address, str) else ""
    return start.startswith(("http://", "https://"))


def bytes_at(address: str, files: Fetched) -> bytes | None:
    """Return the file that a data URI holds or an http(s) address points to; None for others.

    Blanks and line breaks around the address do no harm.

    Raises:
        SkipError: the URI is malformed, or the file may not or can't be fetched.
    """
    address = address.strip()
    if address[:5].lower() == "data:":
        try:
            return decode_data_uri(address)
        except ImageError as error:
            raise SkipError(Reason.BROKEN_IMAGE, error) from error
    return files.get(address) if is_remote(address) else None


def decode_base64(text: str) -> bytes:
    """Return the bytes of bare base64, in either alphabet.

    Raises:
        SkipError: it is none.
    """
    try:
        return decode_data_uri("data:;base64," + text)
    except ImageError as error:
        raise SkipError(
            Reason.BROKEN_IMAGE,
            ImageError(f"{text[:80]!r} is no file, no address and no base64"),
        ) from error


def encoded_length(size: int) -> int:
    """Return how many bytes of a request a file of so many bytes takes as a part's data URI."""
    return (size + 2) // 3 * 4 + 100
