"""A local HTTP server that speaks enough of OpenAI's API, and keeps what it was sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


@dataclass
class Received:
    """One request."""

    path: str
    query: str
    raw: bytes
    headers: dict[str, str]
    body: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        is_json = "json" in self.headers.get("content-type", "")
        self.body = json.loads(self.raw) if is_json and self.raw else {}


class _Listener(ThreadingHTTPServer):
    # Many clients may come at once.
    request_queue_size = 256


class OpenAIServer:
    """Serves on a free loopback port inside a `with` block.

    `received` holds the requests in order of arrival; `failures` more answers will be HTTP 500.
    `refuse` is given each request and may return the status and the words of a refusal; with
    status 200 it comes as the first event of a stream.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.failures = 0
        self.refuse: Callable[[Received], tuple[int, str] | None] = lambda request: None
        self._lock = threading.Lock()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                url = urlsplit(self.path)
                headers = {name.lower(): value for name, value in self.headers.items()}
                request = Received(url.path, url.query, raw, headers)
                with server._lock:
                    server.received.append(request)
                    fail = server.failures > 0
                    server.failures -= fail
                refusal = server.refuse(request)
                if refusal is not None:
                    error = json.dumps({"error": {"message": refusal[1], "type": "invalid"}})
                    event = f"data: {error}\n\n" if refusal[0] == 200 else error
                    kind = "text/event-stream" if refusal[0] == 200 else "application/json"
                    self._send(refusal[0], kind, event.encode())
                elif fail:
                    self._send(500, "application/json", b'{"error": {"message": "try again"}}')
                elif request.body.get("stream"):
                    self._send(200, "text/event-stream", _events(url.path))
                else:
                    reply = json.dumps(_reply(url.path, request.body)).encode()
                    self._send(200, "application/json", reply)

            # Tracers update what they sent.
            do_PATCH = do_POST

            def _send(self, status: int, kind: str, data: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.send_header("x-request-id", "req_1")
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._httpd = _Listener(("127.0.0.1", 0), Handler)
        self._httpd.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.02,))

    def __enter__(self) -> OpenAIServer:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()

    @property
    def last(self) -> Received:
        """The request that came last."""
        return self.received[-1]


def _reply(path: str, body: dict[str, Any]) -> dict[str, Any]:
    if path.endswith("/input_tokens"):
        return {"object": "response.input_tokens", "input_tokens": 11}
    if path.endswith("/responses"):
        return _response("completed", [_output_message()])
    if path.endswith("/chat/completions"):
        message: dict[str, Any] = {"role": "assistant", "content": '{"total": 7}', "refusal": None}
        if "tools" in body:
            call = {"name": body["tools"][0]["function"]["name"], "arguments": '{"total": 7}'}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": call}]
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        return {**_chat("chat.completion"), "choices": [choice], "usage": USAGE}
    return {"object": "list", "data": []}


def _chat(kind: str) -> dict[str, Any]:
    return {"id": "chat_1", "object": kind, "created": 1, "model": "m"}


def _response(status: str, output: list[Any]) -> dict[str, Any]:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": status,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": []}


def _output_message() -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [_text('{"total": 7}')],
    }


def _events(path: str) -> bytes:
    if path.endswith("/chat/completions"):
        deltas = [
            {"role": "assistant", "content": ""},
            {"content": '{"total"'},
            {"content": ": 7}"},
        ]
        chunks = [
            {**_chat("chat.completion.chunk"), "choices": [_choice(delta)]} for delta in deltas
        ]
        end = {**_chat("chat.completion.chunk"), "choices": [_choice({}, "stop")]}
        lines = [f"data: {json.dumps(chunk)}" for chunk in [*chunks, end]]
        return "".join(f"{line}\n\n" for line in [*lines, "data: [DONE]"]).encode()
    where = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    empty = {**_output_message(), "status": "in_progress", "content": []}
    events = [
        ("response.created", {"response": _response("in_progress", [])}),
        ("response.output_item.added", {"output_index": 0, "item": empty}),
        ("response.content_part.added", {**where, "part": _text("")}),
        ("response.output_text.delta", {**where, "delta": '{"total": 7}', "logprobs": []}),
        ("response.output_text.done", {**where, "text": '{"total": 7}', "logprobs": []}),
        ("response.content_part.done", {**where, "part": _text('{"total": 7}')}),
        ("response.output_item.done", {"output_index": 0, "item": _output_message()}),
        ("response.completed", {"response": _response("completed", [_output_message()])}),
    ]
    lines = []
    for number, (kind, event) in enumerate(events):
        data = json.dumps({"type": kind, "sequence_number": number, **event})
        lines.append(f"event: {kind}\ndata: {data}\n\n")
    return "".join(lines).encode()


def _choice(delta: dict[str, Any], end: str | None = None) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "finish_reason": end, "logprobs": None}
