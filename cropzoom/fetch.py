"""Download an image from an address that came with a request, which may be hostile.

Only http(s), only public addresses, no proxy from the environment. A host is resolved once per
hop, every address it has is checked, and the connection goes to the checked address itself, so a
name that changes its mind in between gains nothing. Size, redirects and total time are capped.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from cropzoom.errors import BusyError, DeadlineError, FetchError
from cropzoom.workers import SharedResults, Slots

_REDIRECTS = 5
_REDIRECT_CODES = (301, 302, 303, 307, 308)
_CHUNK = 65536
# What may stand in a path as it is; everything else is percent-encoded.
_SAFE = "/%:@!$&'()*+,;=~"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Public by their ranges, and yet: Azure's platform, which answers each machine about itself, and
# the old anycast relays, which lead into the nearest tunnel.
_NOT_PUBLIC = (ipaddress.ip_network("168.63.129.16/32"), ipaddress.ip_network("192.88.99.0/24"))
# The middle of an ISATAP address, which ends in the IPv4 address that it stands for.
_ISATAP = (0x00005EFE, 0x02005EFE)
_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP",
)


_lookups = Slots(8)
# Nothing is kept: a name is resolved anew for each image.
_answers = SharedResults[list[str]](0, 0, len)
_fetches = Slots(8)


def fetch_image(url: str, *, timeout: float, max_bytes: int) -> bytes:
    """Return the bytes of an image at a public http(s) address.

    Args:
        url: absolute, without a user name.
        timeout: most seconds in all, redirects included.
        max_bytes: most bytes of the image.

    Raises:
        FetchError: refused, not found, not an image, too large, or too slow.
    """
    return _fetch(url, timeout=timeout, max_bytes=max_bytes)


def fetch_images(
    urls: Iterable[str], *, timeout: float, max_bytes: int, until: float | None = None
) -> dict[str, bytes | FetchError]:
    """Fetch the images of a request side by side, each address once.

    Args:
        urls, max_bytes: as for `fetch_image`.
        timeout: most seconds for all of them.
        until: `time.monotonic()` at which to go on without those that are not there, if sooner.

    Returns:
        The bytes of each, or why there are none.
    """
    end = time.monotonic() + timeout
    end = end if until is None else min(end, until)
    images: dict[str, Future[bytes]] = {}

    def fetch(url: str) -> None:
        try:
            left = max(0.001, end - time.monotonic())
            images[url].set_result(fetch_image(url, timeout=left, max_bytes=max_bytes))
        except BaseException as error:
            images[url].set_exception(error)

    for url in urls:
        if url in images:
            continue
        images[url] = Future()
        try:
            _fetches.start(functools.partial(fetch, url), end)
        except BusyError as error:
            images[url].set_exception(error)
    wait(images.values(), max(0.0, end - time.monotonic()))
    return {url: _outcome(url, image) for url, image in images.items()}


def _outcome(url: str, image: Future[bytes]) -> bytes | FetchError:
    if not image.done():
        return FetchError(f"can't fetch {_shown(url)}: it was not there in time")
    error = image.exception()
    if error is None:
        return image.result()
    if isinstance(error, FetchError):
        return error
    return FetchError(f"can't fetch {_shown(url)}: {error}")


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, not of this machine or network.

    An IPv6 address that stands for an IPv4 address (mapped, NAT64, ISATAP) is judged by that one;
    tunnels that carry one (6to4, Teredo) are not public.
    """
    ip = ipaddress.ip_address(address)
    if any(ip in network for network in _NOT_PUBLIC):
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if ip in _NAT64:
            return is_public(str(inner))
        if int(ip) >> 32 & 0xFFFFFFFF in _ISATAP and not is_public(str(inner)):
            return False
        if ip.sixtofour or ip.teredo or ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _fetch(
    url: str,
    *,
    timeout: float,
    max_bytes: int,
    allowed: Callable[[str], bool] = is_public,
    context: ssl.SSLContext | None = None,
) -> bytes:
    """`fetch_image` with the address check and the TLS trust open to tests."""
    with _Deadline(timeout) as deadline:
        for _ in range(_REDIRECTS + 1):
            try:
                body, location = _hop(url, deadline, max_bytes, allowed, context)
                # A connection that was shut looks like the end of the file.
                deadline.left()
                if location is None:
                    return body
                url = urljoin(url, location)
            except (FetchError, OSError, http.client.HTTPException, ValueError) as error:
                if deadline.over:
                    raise FetchError(
                        f"can't fetch {_shown(url)}: it took more than {timeout} s"
                    ) from error
                if isinstance(error, FetchError):
                    raise
                raise FetchError(f"can't fetch {_shown(url)}: {error}") from error
    raise FetchError(f"can't fetch {_shown(url)}: more than {_REDIRECTS} redirects")


def _hop(
    url: str,
    deadline: _Deadline,
    max_bytes: int,
    allowed: Callable[[str], bool],
    context: ssl.SSLContext | None,
) -> tuple[bytes, str | None]:
    """Make one request; return the body, or where it redirects to."""
    parts, host, port = _parse(url)
    connection = http.client.HTTPConnection(host, port)
    connection.sock = _connect(url, parts.scheme, host, port, deadline, allowed, context)
    with contextlib.closing(connection):
        target = quote(parts.path or "/", safe=_SAFE)
        if parts.query:
            target += "?" + quote(parts.query, safe=_SAFE + "?")
        connection.request(
            "GET",
            target,
            headers={
                "Host": _host_header(parts, host, port),
                "Accept": "image/*",
                "Accept-Encoding": "identity",
                "Connection": "close",
                "User-Agent": "cropzoom",
            },
        )
        response = connection.getresponse()
        with contextlib.closing(response):
            location = response.headers.get("Location")
            if response.status in _REDIRECT_CODES and location:
                return b"", location
            return _body(url, response, max_bytes), None


def _parse(url: str) -> tuple[SplitResult, str, int]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        # Names beyond ASCII have an ASCII form for the wire.
        host = host if host.isascii() else host.encode("idna").decode("ascii")
    except ValueError as error:
        raise FetchError(f"can't fetch {url[:100]!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not host:
        raise FetchError(f"can't fetch {_shown(url)}: only http:// and https:// addresses")
    if parts.username is not None or parts.password is not None:
        raise FetchError(f"can't fetch an image from {host}: the address holds a user name")
    return parts, host, port or (443 if parts.scheme == "https" else 80)


def _host_header(parts: SplitResult, host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if parts.port is None else f"{name}:{port}"


def _connect(
    url: str,
    scheme: str,
    host: str,
    port: int,
    deadline: _Deadline,
    allowed: Callable[[str], bool],
    context: ssl.SSLContext | None,
) -> socket.socket:
    addresses = _resolve(host, port, deadline)
    for address in addresses:
        if not allowed(address):
            raise FetchError(
                f"can't fetch {_shown(url)}: {host} is at {address}, which is not a public address"
            )
    failure: OSError = OSError(f"{host} has no address")
    for address in addresses:
        try:
            plain = socket.create_connection((address, port), timeout=deadline.left())
        except OSError as error:
            failure = error
            continue
        deadline.watch(plain)
        if scheme == "http":
            return plain
        trust = context or ssl.create_default_context()
        secure = trust.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
        deadline.watch(secure)
        try:
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        return secure
    raise failure


def _resolve(host: str, port: int, deadline: _Deadline) -> list[str]:
    """Return a host's addresses.

    In a thread, because a resolver knows no timeout. Calls for one host share it, and there are a
    few at most: what hangs must not leave a thread for each call.
    """
    try:
        until = time.monotonic() + deadline.left()
        return _answers.get((host, port), lambda: _addresses(host, port), _lookups, until)[0]
    except (BusyError, DeadlineError):
        raise TimeoutError(f"{host} did not resolve in time") from None


def _addresses(host: str, port: int) -> list[str]:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


def _body(url: str, response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    headers = response.headers
    kind = headers.get_content_type() if "Content-Type" in headers else "no type"
    length = headers.get("Content-Length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    problem = None
    if response.status != 200:
        problem = f"status {response.status}"
    elif not kind.startswith("image/"):
        problem = f"it is {kind}, not an image"
    elif headers.get("Content-Encoding", "identity").lower() != "identity":
        problem = "it is compressed, which was not asked for"
    elif size is not None and size > max_bytes:
        problem = f"{size:,} bytes, more than max_fetch_bytes={max_bytes:,}"
    if problem:
        raise FetchError(f"can't fetch {_shown(url)}: {problem}")
    data = bytearray()
    while chunk := response.read(_CHUNK):
        data += chunk
        if len(data) > max_bytes:
            raise FetchError(
                f"can't fetch {_shown(url)}: more than max_fetch_bytes={max_bytes:,} bytes"
            )
    if size is not None and len(data) < size:
        raise FetchError(f"can't fetch {_shown(url)}: it broke off after {len(data):,} bytes")
    if not _looks_like_an_image(bytes(data[:16])):
        raise FetchError(f"can't fetch {_shown(url)}: it says {kind} but its bytes are no image")
    return bytes(data)


def _looks_like_an_image(start: bytes) -> bool:
    return (
        start.startswith(_MAGIC)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or start[4:12] in (b"ftypavif", b"ftypavis")
    )


def _shown(url: str) -> str:
    """The address for a message: without its query, which may hold a signature."""
    return repr(url.partition("?")[0][:200])


class _Deadline:
    """Shuts the watched connection when time is up, however slowly its bytes drip in."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer = threading.Timer(seconds, self._expire)
        self._timer.daemon = True

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._socket = None

    @property
    def over(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self._end

    def left(self) -> float:
        """Seconds left; above 0.

        Raises:
            TimeoutError: none is left.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("time is up")
        return left

    def watch(self, connection: socket.socket) -> None:
        """Watch this connection from now on, instead of the one before."""
        with self._lock:
            self._socket = connection
            if self.over:
                self._shut()

    def _expire(self) -> None:
        with self._lock:
            self._shut()

    def _shut(self) -> None:
        if self._socket is not None:
            # The base class's: SSLSocket's own would disturb the thread that is reading.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
