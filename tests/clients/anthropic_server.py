"""A local server that speaks Anthropic's messages API, and refuses what that would refuse."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from PIL import Image
from wire_server import Received, WireServer

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


class AnthropicServer(WireServer):
    """messages and messages/count_tokens; see `WireServer`."""

    failure = 529

    def fault(self, request: Received) -> str | None:
        return fault(request.path, request.headers, request.body)

    def answer(self, request: Received) -> tuple[str, bytes]:
        if request.path.endswith("count_tokens"):
            count = len(images_of(request.body))
            return "application/json", json.dumps({"input_tokens": 10 * count}).encode()
        if request.body.get("stream"):
            events = [f"event: {e['type']}\ndata: {json.dumps(e)}\n\n" for e in message_events()]
            return "text/event-stream", "".join(events).encode()
        return "application/json", json.dumps(message()).encode()

    def error(self, status: int, words: str) -> bytes:
        kind = "overloaded_error" if status == 529 else "invalid_request_error"
        return json.dumps({"type": "error", "error": {"type": kind, "message": words}}).encode()


def images_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the image blocks of a request."""
    return [block for block in blocks_of(body) if block["type"] == "image"]


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


def message(text: str = "1,444.80") -> dict[str, Any]:
    """Return an answer."""
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


def message_events() -> list[dict[str, Any]]:
    """Return the events of a streamed answer."""
    delta = {"type": "text_delta", "text": "1,444.80"}
    return [
        {"type": "message_start", "message": message("")},
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
