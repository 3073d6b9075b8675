"""Download an image from an address that came with a request, which may be hostile.

Only http(s), only public addresses, no proxy from the environment. A host is resolved once per
hop, every address it has is checked, and the connection goes to the checked address itself, so a
name that changes its mind in between gains nothing. Size, redirects and total time are capped.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from cropzoom.errors import FetchError

_REDIRECTS = 5
_REDIRECT_CODES = (301, 302, 303, 307, 308)
_CHUNK = 65536
# What may stand in a path as it is; everything else is percent-encoded.
_SAFE = "/%:@!$&'()*+,;=~"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_MAGIC = (
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF8",
    b"BM",
    b"II*\0",
    b"MM\0*",
    b"\0\0\0\x0cjP",
)


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


def is_public(address: str) -> bool:
    """Tell whether an IP address is one of the public internet, not of this machine or network.

    An IPv6 address that stands for an IPv4 address (mapped, or NAT64) is judged by that one;
    tunnels that carry one (6to4, Teredo) are not public.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
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
            except (FetchError, OSError, http.client.HTTPException, ValueError) as error:
                if deadline.over:
                    raise FetchError(
                        f"can't fetch {_shown(url)}: it took more than {timeout} s"
                    ) from error
                if isinstance(error, FetchError):
                    raise
                raise FetchError(f"can't fetch {_shown(url)}: {error}") from error
            if location is None:
                return body
            url = urljoin(url, location)
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
    """Return a host's addresses; in a thread, because a resolver knows no timeout."""
    answer: queue.SimpleQueue[list[str] | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(str(item[4][0]) for item in found)))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=ask, name="cropzoom-resolve", daemon=True).start()
    try:
        result = answer.get(timeout=deadline.left())
    except queue.Empty:
        raise TimeoutError(f"{host} did not resolve in time") from None
    if isinstance(result, Exception):
        raise result
    return result


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
