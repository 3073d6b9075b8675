"""A local server that speaks Anthropic's messages API, and refuses what that would refuse."""

from __future__ import annotations

import base64
import io
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from PIL import Image

_FORMATS = {
    "image/jpeg": "JPEG",
    "image/png": "PNG",
    "image/gif": "GIF",
    "image/webp": "WEBP",
}
_BLOCKS = {
    "text": {"text"},
    "image": {"source"},
    "document": {"source", "title"},
    "tool_use": {"id", "name", "input"},
    "tool_result": {"tool_use_id", "content", "is_error"},
}
_SOURCES = {"base64": {"media_type", "data"}, "url": {"url"}, "file": {"file_id"}}


class AnthropicServer:
    """Serves on a free loopback port inside a `with` block.

    Args:
        pictures: how many it takes in a request; None for any number.

    Attributes:
        bodies: what it was sent, in order, those refused included.
        raw: the same as bytes.
        failures: so many more answers will be HTTP 529.
    """

    def __init__(self, pictures: int | None = None) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.raw: list[bytes] = []
        self.failures = 0
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                server.bodies.append(body)
                server.raw.append(raw)
                path = self.path.partition("?")[0]
                wrong = fault(path, dict(self.headers), body)
                count = sum(block["type"] == "image" for block in blocks_of(body))
                if server.failures > 0:
                    server.failures -= 1
                    self._error(529, "overloaded_error", "Overloaded")
                elif wrong is not None:
                    self._error(400, "invalid_request_error", wrong)
                elif pictures is not None and count > pictures:
                    words = f"messages: at most {pictures} images may be sent in a request"
                    self._error(400, "invalid_request_error", words)
                elif path.endswith("count_tokens"):
                    self._send("application/json", json.dumps({"input_tokens": 10 * count}))
                elif body.get("stream"):
                    self._send("text/event-stream", _events())
                else:
                    self._send("application/json", json.dumps(_message()))

            def _error(self, status: int, kind: str, words: str) -> None:
                error = {"type": "error", "error": {"type": kind, "message": words}}
                self._send("application/json", json.dumps(error), status)

            def _send(self, kind: str, text: str, status: int = 200) -> None:
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"

    def __enter__(self) -> AnthropicServer:
        threading.Thread(target=self._http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()


def blocks_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return all blocks of a request's messages, those in results of tools included."""
    blocks: list[dict[str, Any]] = []
    waiting = [item["content"] for item in body.get("messages", [])]
    while waiting:
        content = waiting.pop(0)
        for block in content if isinstance(content, list) else []:
            blocks.append(block)
            if block.get("type") == "tool_result":
                waiting.append(block.get("content"))
    return blocks


def fault(path: str, headers: dict[str, str], body: dict[str, Any]) -> str | None:
    """Return what is wrong with a request, None for nothing."""
    names = {name.lower() for name in headers}
    if "anthropic-version" not in names or not {"x-api-key", "authorization"} & names:
        return "headers: a key and anthropic-version are required"
    if path not in ("/v1/messages", "/v1/messages/count_tokens"):
        return f"no such path: {path}"
    needed = {"model", "messages"} | ({"max_tokens"} if path == "/v1/messages" else set())
    if not needed <= set(body):
        return f"{needed - set(body)}: field required"
    for block in blocks_of(body):
        kind = block.get("type")
        if kind not in _BLOCKS:
            return f"messages: unknown block {kind!r}"
        extra = set(block) - _BLOCKS[kind] - {"type", "cache_control"}
        if extra:
            return f"messages.{kind}: extra inputs are not permitted: {extra}"
        source = block.get("source")
        if kind == "image" and (wrong := _source_fault(source)):
            return wrong
    return None


def _source_fault(source: Any) -> str | None:
    kind = source.get("type") if isinstance(source, dict) else None
    if kind not in _SOURCES or set(source) != _SOURCES[kind] | {"type"}:
        return f"messages.image.source: invalid: {source if kind != 'base64' else set(source)}"
    if kind == "base64":
        try:
            with Image.open(io.BytesIO(base64.b64decode(source["data"], validate=True))) as image:
                if image.format != _FORMATS.get(source["media_type"]):
                    return f"messages.image: it is {image.format}, not {source['media_type']}"
        except Exception as error:
            return f"messages.image.source.data: {error}"
    return None


def _message(text: str = "1,444.80") -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-4-5",
        "content": [{"type": "text", "text": text}] if text else [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 5, "output_tokens": 2},
    }


def _events() -> str:
    delta = {"type": "text_delta", "text": "1,444.80"}
    events = [
        {"type": "message_start", "message": _message("")},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    return "".join(f"event: {item['type']}\ndata: {json.dumps(item)}\n\n" for item in events)
