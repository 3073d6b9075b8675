"""A local HTTP server that speaks enough of OpenAI's API, and keeps what it was sent."""

from __future__ import annotations

import json
from typing import Any

from wire_server import Received, WireServer

__all__ = ["OpenAIServer", "Received"]

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


class OpenAIServer(WireServer):
    """Chat completions and responses; see `WireServer`."""

    def answer(self, request: Received) -> tuple[str, bytes]:
        if request.body.get("stream"):
            return "text/event-stream", _events(request.path)
        return "application/json", json.dumps(_reply(request.path, request.body)).encode()

    def error(self, status: int, words: str) -> bytes:
        return json.dumps({"error": {"message": words, "type": "invalid"}}).encode()


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
