"""The proxy, between real clients and local servers."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import openai
import pytest
from anthropic_server import AnthropicServer
from one_picture_server import OnePictureServer
from openai_server import OpenAIServer
from proxies import proxying
from wrapping import FixedCropper, chat_image, chat_text, crop_of, marked, user

from cropzoom import OptionsError
from cropzoom.serve import ProxySettings, application


@pytest.fixture
def upstream() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


CHAT: dict[str, Any] = {"model": "m", "messages": [user(chat_image(), chat_text())]}
WITH_CROP = [user(chat_image(), chat_image(crop_of()), chat_text())]


def client(address: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{address}/v1", api_key="secret-key", max_retries=0)


def get(address: str) -> tuple[int, str]:
    with urllib.request.urlopen(address) as answer:
        return answer.status, answer.read().decode()


def test_openais_client_gets_its_crops(upstream: OpenAIServer) -> None:
    with proxying(upstream.url) as address:
        answer = client(address).chat.completions.create(**CHAT)
        assert answer.choices[0].message.content
        (received,) = upstream.received
        assert received.path == "/v1/chat/completions"
        assert marked(received.body)["messages"] == WITH_CROP
        assert received.headers["authorization"] == "Bearer secret-key"
        raw = client(address).chat.completions.with_raw_response.create(**CHAT)
        assert raw.headers["x-cropzoom-crops"] == "1"


def test_streams_come_through(upstream: OpenAIServer) -> None:
    with proxying(upstream.url) as address:
        pieces = list(client(address).chat.completions.create(**CHAT, stream=True))
        direct = list(client(upstream.url).chat.completions.create(**CHAT, stream=True))
        assert len(pieces) == len(direct) > 0
        assert marked(upstream.received[0].body)["messages"] == WITH_CROP


def test_responses(upstream: OpenAIServer) -> None:
    from wrapping import response_image, response_text

    with proxying(upstream.url) as address:
        items = [user(response_image(), response_text())]
        client(address).responses.create(model="m", input=items)
        expected = [user(response_image(), response_image(crop_of()), response_text())]
        assert marked(upstream.received[0].body)["input"] == expected


def test_what_has_no_pictures_is_passed_on_byte_for_byte(upstream: OpenAIServer) -> None:
    with proxying(upstream.url) as address:
        raw = b'{ "model":"m",  "messages":[{"role":"user","content":"caf\\u00e9"}] }'
        request = urllib.request.Request(
            f"{address}/v1/chat/completions?x=1", raw, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
        assert upstream.received[0].raw == raw
        assert upstream.received[0].query == "x=1"


def test_anthropics_client_gets_its_crops() -> None:
    anthropic = pytest.importorskip("anthropic")
    from test_anthropic_client import ARGUMENTS, crop, image, text
    from test_anthropic_client import user as anthropic_user

    with AnthropicServer() as server, proxying(server.url) as address:
        plain = anthropic.Anthropic(base_url=address, api_key="k", max_retries=0)
        assert plain.messages.create(**ARGUMENTS).content[0].text == "1,444.80"
        with plain.messages.stream(**ARGUMENTS) as events:
            assert "".join(events.text_stream) == "1,444.80"
        for body in (request.body for request in server.received):
            assert body["messages"] == [anthropic_user(image(), crop(), text())]


def test_a_refusal_is_cured_and_other_errors_come_through() -> None:
    with OnePictureServer() as server, proxying(server.url) as address:
        assert client(address).chat.completions.create(**CHAT).choices[0].message.content == "ok"
        counts = [
            sum("image_url" in part for part in body["messages"][0]["content"])
            for body in server.bodies
        ]
        assert counts == [2, 1]
        with pytest.raises(openai.BadRequestError, match="At most 1 image"):
            client(address).chat.completions.create(
                model="m", messages=[user(chat_image(), chat_image(), chat_text())]
            )


def test_health_and_metrics(upstream: OpenAIServer) -> None:
    with proxying(upstream.url) as address:
        assert get(f"{address}/healthz") == (200, '{"status":"ok"}')
        client(address).chat.completions.create(**CHAT)
        lines = get(f"{address}/metrics")[1].splitlines()
        assert "cropzoom_crops_total 1" in lines
        assert "cropzoom_requests_total 1" in lines
        assert "cropzoom_in_flight 0" in lines
        assert sum(line.startswith("# TYPE") for line in lines) == len(lines) / 3


def test_a_body_too_large_is_refused(upstream: OpenAIServer) -> None:
    with proxying(upstream.url, max_body=1000) as address:
        with pytest.raises(openai.APIStatusError) as error:
            client(address).chat.completions.create(**CHAT)
        assert error.value.status_code == 413 and not upstream.received


def test_an_upstream_that_is_not_there() -> None:
    with proxying("http://127.0.0.1:1/v1") as address:
        with pytest.raises(openai.APIStatusError) as error:
            client(address).chat.completions.create(**CHAT)
        assert error.value.status_code == 502 and "secret" not in str(error.value)


def test_keys_are_not_logged(upstream: OpenAIServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), proxying(upstream.url) as address:
        client(address).chat.completions.create(**CHAT)
    ours = [record for record in caplog.records if record.name.startswith("cropzoom")]
    assert ours and not any("secret-key" in record.getMessage() for record in ours)


class _Slow(ThreadingHTTPServer):
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.go = threading.Event()
        slow = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                slow.go.wait(20)
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()


def test_too_many_at_once_are_told_to_come_again() -> None:
    slow = _Slow()

    async def run(address: str) -> list[int]:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            url = f"{address}/v1/chat/completions"
            calls = [asyncio.ensure_future(http.post(url, json={})) for _ in range(2)]
            while "cropzoom_in_flight 2" not in (await http.get(f"{address}/metrics")).text:
                await asyncio.sleep(0.01)
            third = await http.post(url, json={})
            assert third.headers["retry-after"] == "1"
            slow.go.set()
            return [third.status_code, *[(await call).status_code for call in calls]]

    with proxying(f"http://127.0.0.1:{slow.server_port}", max_in_flight=2) as address:
        assert asyncio.run(run(address)) == [503, 200, 200]
    slow.shutdown()


def test_calls_under_way_are_ended_when_it_is_stopped() -> None:
    slow = _Slow()
    answers: list[int] = []
    with proxying(f"http://127.0.0.1:{slow.server_port}") as address:

        def call() -> None:
            request = urllib.request.Request(f"{address}/v1/chat/completions", b"{}")
            with urllib.request.urlopen(request, timeout=30) as answer:
                answers.append(answer.status)

        thread = threading.Thread(target=call)
        thread.start()
        while "cropzoom_in_flight 1" not in get(f"{address}/metrics")[1]:
            time.sleep(0.01)
        threading.Timer(0.3, slow.go.set).start()
    thread.join(10)
    assert answers == [200]
    slow.shutdown()


@pytest.mark.parametrize(
    ("upstream", "path", "expected"),
    [
        ("https://a.example/v1", "/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1/", "/v1/models", "https://a.example/v1/models"),
        ("https://a.example", "/v1/messages", "https://a.example/v1/messages"),
        (
            "https://a.example/api/v1",
            "/chat/completions",
            "https://a.example/api/v1/chat/completions",
        ),
        ("https://a.example/v1", "/v1beta/x", "https://a.example/v1/v1beta/x"),
    ],
)
def test_where_requests_go(upstream: str, path: str, expected: str) -> None:
    settings = ProxySettings(upstream)
    assert settings.url(path, "") == expected
    assert settings.url(path, "a=b") == expected + "?a=b"


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(OptionsError, match="is no address"):
        ProxySettings("api.openai.com")
    with pytest.raises(OptionsError, match="mode"):
        application(ProxySettings("http://x", options={"mode": "both"}), FixedCropper())
