"""Which headers of a message are for the next, and which for this connection only."""

from __future__ import annotations

from collections.abc import Iterable

Headers = list[tuple[bytes, bytes]]

_OF_CONNECTION = {
    b"connection",
    b"keep-alive",
    b"proxy-authenticate",
    b"proxy-authorization",
    b"proxy-connection",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
}
# The client made for the upstream says these itself; a body is at hand, so nobody is asked first.
_OF_REQUEST = {b"host", b"content-length", b"expect"}


def passed_on(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return the headers that are not of one connection only, by name or as it says itself."""
    headers = [(name.lower(), value) for name, value in headers]
    named = {
        word.strip().lower()
        for name, value in headers
        if name == b"connection"
        for word in value.split(b",")
    }
    dropped = _OF_CONNECTION | named
    return [(name, value) for name, value in headers if name not in dropped]


def request_headers(headers: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Return what of a request's headers goes to the upstream."""
    return [(name, value) for name, value in passed_on(headers) if name not in _OF_REQUEST]


def is_encoded(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Tell whether a body is compressed; such a one is passed on unread."""
    return any(
        name.lower() == b"content-encoding" and value.strip().lower() not in (b"", b"identity")
        for name, value in headers
    )
