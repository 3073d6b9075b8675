"""From what a request says of a picture to the picture's bytes, or the reason why not."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

from cropzoom.errors import CropZoomError, FetchError, ImageError, RequestError
from cropzoom.images import decode_data_uri
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason

OFF_HINT = "or send it within `client.cropzoom.override(enabled=False)`"
# Downloads of one request that run side by side.
_MOST_FETCHES = 8


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
        missing = [address for address in dict.fromkeys(addresses) if address not in self._files]
        if len(missing) < 2:
            return
        with ThreadPoolExecutor(min(len(missing), _MOST_FETCHES), "cropzoom-fetch") as pool:
            self._files.update(zip(missing, pool.map(self._fetch, missing), strict=True))

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
        if address not in self._files:
            self._files[address] = self._fetch(address)
        file = self._files[address]
        if isinstance(file, SkipError):
            raise file
        return file

    def _fetch(self, address: str) -> bytes | SkipError:
        from cropzoom.fetch import fetch_image

        timeout = self._options.fetch_timeout
        if self._until is not None:
            timeout = min(timeout, self._until - time.monotonic())
        if timeout <= 0:
            late = f"{address[:80]!r} was not there before the deadline"
            return SkipError(Reason.DEADLINE, FetchError(late))
        try:
            return fetch_image(address, timeout=timeout, max_bytes=self._options.max_fetch_bytes)
        except FetchError as error:
            return SkipError(Reason.FETCH_FAILED, error)
        except Exception as error:
            # An address may be malformed in ways that only the network's modules notice.
            return SkipError(
                Reason.FETCH_FAILED, FetchError(f"can't fetch {address[:80]!r}: {error!r}")
            )


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
