"""Fetching from real servers on this machine, which only the tests may permit."""

from __future__ import annotations

import contextlib
import io
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from cropzoom import FetchError
from cropzoom.fetch import _fetch, fetch_image, fetch_images, is_public

Answer = Callable[[BaseHTTPRequestHandler], None]


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = picture()


def anywhere(address: str) -> bool:
    return True


def send(
    handler: BaseHTTPRequestHandler,
    body: bytes = PICTURE,
    status: int = 200,
    length: int | None = None,
    **headers: str,
) -> None:
    handler.send_response(status)
    values = {"Content_Type": "image/png", "Content_Length": str(length or len(body)), **headers}
    for name, value in values.items():
        if value:
            handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextlib.contextmanager
def server(answers: dict[str, Answer], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """Serve paths on loopback; yields the address without a scheme. `seen` is on the class."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(ConnectionError, BrokenPipeError):
                answers[self.path.partition("?")[0]](self)

        def log_message(self, *_: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    if context is not None:
        httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    thread = threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{httpd.server_address[1]}"
    finally:
        httpd.shutdown()
        httpd.server_close()


def get(
    url: str,
    *,
    timeout: float = 10,
    max_bytes: int = 100_000,
    context: ssl.SSLContext | None = None,
) -> bytes:
    return _fetch(url, timeout=timeout, max_bytes=max_bytes, allowed=anywhere, context=context)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:93.184.216.34", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::5db8:d822", True),
        ("2002:7f00:1::", False),
        ("2001:0:0:1::1", False),
        ("2001:db8::1", False),
        ("168.63.129.16", False),
        ("192.88.99.1", False),
        ("::ffff:168.63.129.16", False),
        ("64:ff9b::a83f:8110", False),
        ("2606:2800:220:1:0:5efe:10.0.0.1", False),
        ("2606:2800:220:1:200:5efe:7f00:1", False),
        ("2606:2800:220:1:0:5efe:93.184.216.34", True),
    ],
)
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_an_image_comes_back_as_it_is() -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        seen.append((handler.path, dict(handler.headers)))
        send(handler)

    with server({"/a%20b.png": answer}) as address:
        assert get(f"http://{address}/a b.png?x=1&y=ü#part") == PICTURE
    path, headers = seen[0]
    assert path == "/a%20b.png?x=1&y=%C3%BC"
    assert headers["Host"] == address
    assert "Cookie" not in headers and "Authorization" not in headers


def test_loopback_is_refused_before_anything_is_sent() -> None:
    requests: list[str] = []
    with server({"/": lambda handler: requests.append(handler.path)}) as address:
        port = address.rpartition(":")[2]
        for host in (address, f"localhost:{port}", f"[::ffff:127.0.0.1]:{port}", f"127.1:{port}"):
            with pytest.raises(FetchError, match=r"not a public address"):
                fetch_image(f"http://{host}/", timeout=5, max_bytes=1000)
    assert not requests


def test_every_redirect_hop_is_checked() -> None:
    inner_requests: list[str] = []
    with (
        server({"/secret": lambda handler: inner_requests.append(handler.path)}) as inner,
        server(
            {"/": lambda handler: send(handler, b"", 302, Location=f"http://{inner}/secret")}
        ) as outer,
    ):
        checked: list[str] = []

        def only_the_first(address: str) -> bool:
            checked.append(address)
            return len(checked) == 1

        with pytest.raises(FetchError, match=r"secret.*not a public address"):
            _fetch(f"http://{outer}/", timeout=5, max_bytes=1000, allowed=only_the_first)
    assert len(checked) == 2
    assert not inner_requests


def test_a_host_is_resolved_once_and_all_its_addresses_are_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked = socket.getaddrinfo, []

    def resolve(host: str, port: int, *args: object, **more: object) -> object:
        if host != "pictures.example":
            return real(host, port, *args, **more)
        asked.append(host)
        # Were it asked again, it would name another place.
        names = ["127.0.0.1"] if len(asked) == 1 else ["192.0.2.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port)) for name in names]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    hosts: list[str] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        hosts.append(handler.headers["Host"])
        send(handler)

    with server({"/": answer}) as address:
        port = address.rpartition(":")[2]
        assert get(f"http://pictures.example:{port}/") == PICTURE
        assert asked == ["pictures.example"]
        assert hosts == [f"pictures.example:{port}"]

    def both(host: str, port: int, *args: object, **more: object) -> object:
        names = ["93.184.216.34", "127.0.0.1"]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port)) for name in names]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1, which is not a public address"):
        fetch_image("http://pictures.example/", timeout=5, max_bytes=1000)


def test_no_proxy_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with server({"/": send}) as address:
        assert get(f"http://{address}/") == PICTURE


def test_redirects_end() -> None:
    def around(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"", 307, Location="/")

    with server(
        {"/": around, "/one": lambda h: send(h, b"", 308, Location="two"), "/two": send}
    ) as at:
        assert get(f"http://{at}/one") == PICTURE
        with pytest.raises(FetchError, match="more than 5 redirects"):
            get(f"http://{at}/")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.png",
        "file:///etc/passwd",
        "gopher://example.com",
        "//example.com/a.png",
        "http:///a.png",
        "http://user:secret@example.com/a.png",
        "http://example.com:99999/",
        "http://example.com:x/",
        "http://[::1/",
        "http://a..b/",
        f"http://{'a' * 300}.com/",
        "",
    ],
)
def test_addresses_that_are_never_asked(url: str) -> None:
    with pytest.raises(FetchError, match="can't fetch") as caught:
        fetch_image(url, timeout=5, max_bytes=1000)
    assert "secret" not in str(caught.value)


def test_a_redirect_to_a_file_is_refused() -> None:
    answer = {"/": lambda handler: send(handler, b"", 302, Location="file:///etc/passwd")}
    with server(answer) as address, pytest.raises(FetchError, match="only http"):
        get(f"http://{address}/")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda h: send(h, status=404), "status 404"),
        (lambda h: send(h, status=206), "status 206"),
        (lambda h: send(h, b"", 302), "status 302"),
        (lambda h: send(h, Content_Type="text/html"), "it is text/html, not an image"),
        (lambda h: send(h, Content_Type=""), "it is no type, not an image"),
        (lambda h: send(h, b"<html>hello"), "its bytes are no image"),
        (lambda h: send(h, b"<svg/>", Content_Type="image/svg+xml"), "its bytes are no image"),
        (lambda h: send(h, b""), "its bytes are no image"),
        (lambda h: send(h, Content_Encoding="gzip"), "compressed"),
        (lambda h: send(h, length=100_001), "100,001 bytes, more than max_fetch_bytes=100,000"),
        (
            lambda h: send(h, PICTURE + bytes(200_000), Content_Length=""),
            "more than max_fetch_bytes",
        ),
        (lambda h: send(h, length=len(PICTURE) + 1), "broke off"),
        (lambda h: h.wfile.write(b"nonsense\r\n\r\n"), "can't fetch"),
        (lambda h: h.wfile.write(b""), "can't fetch"),
        (lambda h: send(h, **{f"X-{i}": "a" for i in range(200)}), "can't fetch"),
        (lambda h: send(h, X="a" * 100_000), "can't fetch"),
    ],
)
def test_answers_that_are_refused(answer: Answer, message: str) -> None:
    with server({"/": answer}) as address, pytest.raises(FetchError, match=message) as caught:
        get(f"http://{address}/?signature=abc")
    assert "signature" not in str(caught.value)


def test_messages_survive_no_connection() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(FetchError, match="refused"):
            get(f"http://127.0.0.1:{unused.getsockname()[1]}/")
    with pytest.raises(FetchError, match="can't fetch"):
        get("http://nothing.invalid/")


def drip(handler: BaseHTTPRequestHandler, what: bytes) -> None:
    with contextlib.suppress(OSError):
        for _ in range(300):
            handler.wfile.write(what)
            handler.wfile.flush()
            time.sleep(0.05)


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    send(handler, PICTURE, Content_Length="")
    drip(handler, b"x")


def drip_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
    drip(handler, b"x")


def stay_silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(15)


@pytest.mark.parametrize("answer", [drip_body, drip_headers, stay_silent])
def test_total_time_is_capped_however_the_bytes_come(answer: Answer) -> None:
    with server({"/": answer}) as address, pytest.raises(FetchError, match=r"more than 0\.4 s"):
        get(f"http://{address}/", timeout=0.4)


def test_a_slow_resolver_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(20) and [])
    with pytest.raises(FetchError, match=r"in time|more than"):
        get("http://pictures.example/", timeout=0.2)
    release.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for localhost, with its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def test_tls_checks_the_name_and_sends_it(certificate: Path) -> None:
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    context.sni_callback = lambda sock, name, ctx: names.append(name)  # type: ignore[assignment]
    trust = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    with server({"/": send}, context) as address:
        port = address.rpartition(":")[2]
        assert get(f"https://localhost:{port}/", context=trust) == PICTURE
        assert names == ["localhost"]
        with pytest.raises(FetchError, match=r"(?i)certificate"):
            get(f"https://127.0.0.1:{port}/", context=trust)
        with pytest.raises(FetchError, match=r"(?i)certificate"):
            get(f"https://localhost:{port}/")


def test_a_tls_handshake_that_never_comes() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(FetchError, match=r"more than 0\.3 s"),
    ):
        get(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout=0.3)


@pytest.mark.parametrize("location", ["http://[", "http://x:99999999/", "//[::1", "\\\\x["])
def test_a_redirect_to_a_malformed_address(location: str) -> None:
    answers: dict[str, Answer] = {"/a": lambda h: send(h, b"", 302, Location=location)}
    with server(answers) as host, pytest.raises(FetchError, match="can't fetch"):
        get(f"http://{host}/a")


def test_a_resolver_that_hangs_leaves_few_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gate.wait(20) and [])
    before = threading.active_count()
    try:
        for number in range(30):
            with pytest.raises(FetchError, match="more than"):
                get(f"http://host{number % 15}.example/", timeout=0.02)
        assert threading.active_count() - before <= 10
    finally:
        gate.set()


def test_images_of_a_request_are_fetched_side_by_side_and_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[str] = []
    barrier = threading.Barrier(3)

    def slow(url: str, *, timeout: float, max_bytes: int) -> bytes:
        seen.append(url)
        if url == "bad":
            raise FetchError("can't fetch 'bad': no")
        if url == "never":
            time.sleep(timeout + 1)
        else:
            barrier.wait(5)
        return url.encode()

    monkeypatch.setattr("cropzoom.fetch.fetch_image", slow)
    start = time.monotonic()
    images = fetch_images(["a", "b", "a", "c", "bad", "never"], timeout=1, max_bytes=9)
    assert time.monotonic() - start < 4
    assert sorted(seen) == ["a", "b", "bad", "c", "never"]
    assert [images[url] for url in "abc"] == [b"a", b"b", b"c"]
    assert all(isinstance(images[url], FetchError) for url in ("bad", "never"))
