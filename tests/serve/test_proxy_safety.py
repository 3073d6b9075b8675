"""What a hostile or careless caller may try, byte by byte, and what reaches the upstream of it."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from proxies import proxying
from wrapping import chat_image, chat_text, user

from cropzoom import RequestError
from cropzoom.serve import ProxySettings
from cropzoom.serve.bodies import conversation, encoded

CHAT: dict[str, Any] = {"model": "m", "messages": [user(chat_image(), chat_text())]}


class Wire:
    """A server that keeps each request as its bytes, and answers with given bytes."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") -> None:
        self.requests: list[bytes] = []
        self.answer = answer
        self.closed = threading.Event()
        self.hold: threading.Event | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        data = b""
        with connection:
            while True:
                while not _whole(data):
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    data += piece
                self.requests.append(data)
                data = b""
                if self.hold is not None:
                    connection.settimeout(20)
                    if connection.recv(1) == b"":
                        self.closed.set()
                    return
                connection.sendall(self.answer)

    def head(self, number: int = -1) -> list[str]:
        """The lines of a request's head, but for its host."""
        lines = self.requests[number].partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        return [line for line in lines if not line.lower().startswith("host:")]

    def close(self) -> None:
        self._listener.close()


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return len(body) >= int(line.partition(b":")[2])
    return True


@pytest.fixture
def wire() -> Iterator[Wire]:
    server = Wire()
    yield server
    server.close()


def send(address: str, data: bytes, seconds: float = 10) -> bytes:
    """Send bytes and return all that comes back until the connection ends or falls silent."""
    host, _, port = address.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(data)
        try:
            while piece := connection.recv(65536):
                answer += piece
                answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
                if _whole(answer):
                    break
        except TimeoutError:
            pass
    return answer


def test_nothing_is_added_to_a_request(wire: Wire) -> None:
    with proxying(wire.url) as address:
        send(
            address,
            b"POST /v1/embeddings?a=%2F&a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n"
            b"Authorization: Bearer k\r\nContent-Length: 2\r\n\r\n{}",
        )
        assert wire.requests[0].endswith(b"\r\n\r\n{}")
        assert wire.head() == [
            "POST /v1/embeddings?a=%2F&a HTTP/1.1",
            "x-a: 1",
            "authorization: Bearer k",
            "Content-Length: 2",
        ]


def test_headers_of_one_connection_stay_there() -> None:
    wire = Wire(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Mine, keep-alive\r\nX-Mine: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Yours: 2\r\n\r\n{}"
    )
    with proxying(wire.url) as address:
        answer = send(
            address,
            b"GET /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close, X-Secret\r\nX-Secret: 1\r\n"
            b"TE: trailers\r\nProxy-Authorization: Basic a\r\nUpgrade: h2c\r\nExpect: "
            b"100-continue\r\nProxy-Connection: close\r\nX-B: 2\r\n\r\n",
        )
    assert wire.head() == ["GET /v1/models HTTP/1.1", "x-b: 2"]
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"x-yours: 2" in head
    for name in (b"x-mine", b"keep-alive", b"proxy-authenticate"):
        assert name not in head
    wire.close()


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4",
        b"Content-Length: 4\r\nContent-Length: 40",
        b"Content-Length: 4, 40",
        b"Content-Length: +4",
        b"Content-Length: -1",
        b"Transfer-Encoding: xchunked",
        b"Transfer-Encoding: chunked, identity",
        b"Transfer-Encoding : chunked",
        b"Content-Length: 4\r\n Transfer-Encoding: chunked",
    ],
)
def test_no_request_is_smuggled(wire: Wire, framing: bytes) -> None:
    """Whatever a request says of its length, the upstream is told one length, and one request."""
    inner = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: x\r\n\r\n"
    with proxying(wire.url) as address:
        send(address, b"POST /v1/x HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n" + inner, 0.4)
    for request in wire.requests:
        head, _, body = request.lower().partition(b"\r\n\r\n")
        assert b"transfer-encoding" not in head and head.count(b"content-length") <= 1
        assert b"get /admin" not in body
    # What followed is at most a request of its own, as it is for any server.
    assert len(wire.requests) <= 2


def test_a_chunked_body_arrives_with_its_length(wire: Wire) -> None:
    with proxying(wire.url) as address:
        send(
            address,
            b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        )
    assert wire.requests[0].endswith(b"\r\n\r\nabcde") and "Content-Length: 5" in wire.head()


@pytest.mark.parametrize(
    "target",
    [
        b"/v1/../admin",
        b"/v1/%2e%2e/admin",
        b"/v1/.%2E/admin",
        b"/../admin",
        b"/v1/..%2fadmin",
        b"/v1/..\\admin",
        b"/./admin",
    ],
)
def test_no_path_leads_out_of_the_upstream(wire: Wire, target: bytes) -> None:
    with proxying(f"{wire.url}/v1") as address:
        answer = send(address, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400") and not wire.requests


@pytest.mark.parametrize(
    "target",
    [b"http://127.0.0.1:1/v1/models", b"//127.0.0.1:1/models", b"@127.0.0.1:1/models", b"*"],
)
def test_no_target_and_no_host_name_another_upstream(wire: Wire, target: bytes) -> None:
    with proxying(wire.url) as address:
        answer = send(address, b"GET " + target + b" HTTP/1.1\r\nHost: 127.0.0.1:1/a?\r\n\r\n")
    assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400", b"HTTP/1.1 200"))
    if b" 200" in answer[:20]:
        assert len(wire.requests) == 1


def test_paths_go_on_as_they_were_encoded(wire: Wire) -> None:
    with proxying(f"{wire.url}/v1") as address:
        for target in (b"/v1/files/a%2Fb%3Fc", b"/v1/files/%C3%A9%20x", b"/files/a..b"):
            send(address, b"GET " + target + b"?q=%26 HTTP/1.1\r\nHost: x\r\n\r\n")
    paths = [wire.head(number)[0].split()[1] for number in range(3)]
    assert paths == [
        "/v1/files/a%2Fb%3Fc?q=%26",
        "/v1/files/%C3%A9%20x?q=%26",
        "/v1/files/a..b?q=%26",
    ]


def test_cookies_of_one_caller_are_not_anothers() -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=secret; Path=/\r\n\r\n{}")
    with proxying(wire.url) as address:
        for _ in range(2):
            answer = send(address, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"a=secret" in answer
    assert b"secret" not in wire.requests[1]
    wire.close()


def test_redirects_are_the_callers(wire: Wire) -> None:
    wire.answer = b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with proxying(wire.url) as address:
        answer = send(address, b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 307") and b"http://127.0.0.1:1/" in answer


def test_compressed_bodies_pass_unread_both_ways(wire: Wire) -> None:
    packed = gzip.compress(json.dumps(CHAT).encode())
    reply = gzip.compress(b'{"ok": true}')
    wire.answer = (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: "
        + str(len(reply)).encode()
        + b"\r\n\r\n"
        + reply
    )
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\n"
        b"Content-Length: " + str(len(packed)).encode() + b"\r\n\r\n"
    )
    with proxying(wire.url) as address:
        answer = send(address, head + packed)
        assert wire.requests[0].endswith(packed) and answer.endswith(reply)
        # One that says so and is none.
        raw = json.dumps(CHAT).encode()
        body = str(len(raw)).encode() + b"\r\n\r\n" + raw
        send(address, head.partition(b"Content-Length: ")[0] + b"Content-Length: " + body)
        assert wire.requests[1].endswith(raw)


def test_a_length_too_large_is_refused_before_a_byte_is_read(wire: Wire) -> None:
    with proxying(wire.url, max_body=1000) as address:
        answer = send(
            address, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 413")
        chunk = b"400\r\n" + bytes(1024) + b"\r\n"
        answer = send(
            address,
            b"POST /v1/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
        )
        assert answer.startswith(b"HTTP/1.1 413") and not wire.requests


def test_a_client_that_sends_on_reads_that_its_body_is_too_large(wire: Wire) -> None:
    with proxying(wire.url, max_body=1000) as address:
        answer = httpx.post(f"{address}/v1/x", content=bytes(20_000_000), trust_env=False)
        assert answer.status_code == 413


def test_a_body_that_does_not_come_is_not_waited_for(wire: Wire) -> None:
    with proxying(wire.url, body_timeout=0.2) as address:
        answer = send(address, b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        assert answer.startswith(b"HTTP/1.1 408") and not wire.requests


def test_bodies_held_are_bounded(wire: Wire) -> None:
    wire.hold = threading.Event()
    with proxying(wire.url, max_held=1500) as address:
        body = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + bytes(1000)
        threading.Thread(target=send, args=(address, body, 5), daemon=True).start()
        _until(lambda: len(wire.requests) == 1)
        answer = send(address, body)
        assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in answer.lower()
    assert len(wire.requests) == 1


def _until(condition: Any) -> None:
    for _ in range(500):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come about")


def metric(address: str, name: str) -> str:
    with urllib.request.urlopen(f"{address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"cropzoom_{name} "))


@pytest.mark.parametrize("begun", [False, True])
def test_a_caller_that_leaves_ends_the_call_upstream(begun: bool) -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n")
    if not begun:
        wire.hold = threading.Event()
    with proxying(wire.url) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        body = json.dumps(CHAT).encode()
        connection.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
            + str(len(body)).encode()
            + b"\r\n\r\n"
            + body
        )
        _until(lambda: len(wire.requests) == 1)
        if begun:
            assert connection.recv(65536)
        connection.close()
        if not begun:
            assert wire.closed.wait(10)
        _until(lambda: metric(address, "in_flight") == "0")
        assert metric(address, "abandoned_total") == "1"
    wire.close()


def test_connections_are_kept_on_both_sides(wire: Wire) -> None:
    with proxying(wire.url) as address:
        with httpx.Client(trust_env=False) as client:
            for _ in range(5):
                assert client.post(f"{address}/v1/x", json={}).status_code == 200
            pool = client._transport._pool  # type: ignore[attr-defined]
            assert len(pool.connections) == 1
        threads = [t for t in threading.enumerate() if t.name.endswith("(_serve)")]
        assert len(threads) <= 1


def test_an_upstream_that_breaks_off_breaks_off_here() -> None:
    wire = Wire(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")
    real = wire._serve

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(wire.answer)
        connection.close()

    wire._serve = serve  # type: ignore[method-assign]
    with proxying(wire.url) as address:
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{address}/v1/models", trust_env=False)
        wire._serve = real  # type: ignore[method-assign]
        _until(lambda: metric(address, "in_flight") == "0")
    wire.close()


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages": "image' + b"[" * 100_000,
        b'{"image": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"image": ' + b"9" * 5000 + b"}",
        b'["image"]',
        b'{"image"',
        b"\xff\xfeimage",
        b"",
    ],
)
def test_bodies_that_can_not_be_read_are_not(raw: bytes) -> None:
    assert conversation(raw, "chat/completions") is None


@pytest.mark.parametrize(
    "text", ['"\\ud800"', '"caf\\u00e9 \\ud83d\\ude00"', "12345678901234567890"]
)
def test_bodies_say_the_same_after_rewriting(text: str) -> None:
    body = conversation(b'{"image": ' + text.encode() + b"}", "chat/completions")
    assert body is not None
    assert json.loads(encoded(body)) == json.loads('{"image": ' + text + "}")


def test_a_number_without_a_form_in_json_leaves_the_body_alone(wire: Wire) -> None:
    raw = json.dumps(CHAT).replace('"model"', '"top_p": 1e999, "model"').encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: "
    with proxying(wire.url) as address:
        send(address, head + str(len(raw)).encode() + b"\r\n\r\n" + raw)
    assert wire.requests[0].endswith(raw)


@pytest.mark.parametrize(
    "upstream", ["http://", "https:///v1", "http://x/?key=1", "http://x/#a", "file:///etc", "//x"]
)
def test_upstreams_that_are_none(upstream: str) -> None:
    with pytest.raises(ValueError, match="is no address"):
        ProxySettings(upstream)


def test_a_path_without_a_slash() -> None:
    with pytest.raises(RequestError):
        ProxySettings("http://x").url("@evil.example/", "")


def test_mounted_below_a_path(wire: Wire) -> None:
    from proxies import serving
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from wrapping import FixedCropper

    from cropzoom.serve import application

    proxy = application(ProxySettings(wire.url, options={"min_crop_side": 0}), FixedCropper())
    outer = Starlette(
        routes=[Mount("/zoom", proxy)], lifespan=lambda _: proxy.router.lifespan_context(proxy)
    )
    body = json.dumps(CHAT).encode()
    with serving(outer) as address:
        assert urllib.request.urlopen(f"{address}/zoom/healthz").read() == b'{"status":"ok"}'
        for path in ("/zoom/v1/chat/completions", "/zoom/v1/files/a%2Fb"):
            urllib.request.urlopen(urllib.request.Request(f"{address}{path}", body))
    assert wire.head(0)[0] == "POST /v1/chat/completions HTTP/1.1"
    assert wire.head(1)[0] == "POST /v1/files/a%2Fb HTTP/1.1"
    assert wire.requests[0].count(b"data:image/png") == 2
    assert wire.requests[1].endswith(body)


def test_not_one_thread_or_task_is_left(wire: Wire) -> None:
    async def many(address: str) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            calls = [client.post(f"{address}/v1/chat/completions", json={}) for _ in range(50)]
            assert {answer.status_code for answer in await asyncio.gather(*calls)} == {200}

    with proxying(wire.url) as address:
        asyncio.run(many(address))
        assert metric(address, "in_flight") == "0" and metric(address, "requests_total") == "50"
