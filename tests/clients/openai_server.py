"""A local HTTP server that speaks enough of OpenAI's API, and keeps what it was sent."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

from PIL import Image
from wire_server import Received, WireServer

__all__ = ["OpenAIServer", "Received", "StrictOpenAIServer"]

USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}


class OpenAIServer(WireServer):
    """Chat completions and responses; see `WireServer`."""

    def answer(self, request: Received) -> tuple[str, bytes]:
        if request.body.get("stream"):
            return "text/event-stream", _events(request.path)
        return "application/json", json.dumps(_reply(request.path, request.body)).encode()

    def error(self, status: int, words: str) -> bytes:
        return json.dumps({"error": {"message": words, "type": "invalid"}}).encode()


class StrictOpenAIServer(OpenAIServer):
    """The same, refusing what OpenAI's own would refuse."""

    def fault(self, request: Received) -> str | None:
        key = request.headers.get("api-key") or request.headers.get("authorization", "")
        if key.removeprefix("Bearer ") != "k":
            return "You didn't provide an API key."
        body = request.body
        path = re.sub(r"/v1|/openai(/v1)?|/deployments/\w+|/input_tokens$", "", request.path)
        items = {"/chat/completions": "messages", "/responses": "input"}.get(path)
        if items is None or not body.get("model"):
            return f"unknown path or no model: {request.path}"
        extra = set(body) - _FIELDS - {items}
        if extra:
            return f"Unknown parameter: {sorted(extra)}"
        for number, item in enumerate(body.get(items) or []):
            check = _message_fault if items == "messages" else _item_fault
            wrong = check(item)
            if wrong is not None:
                return f"{items}[{number}]: {wrong}"
        return None


_FIELDS = {"model", "stream", "temperature", "response_format", "text", "tools", "tool_choice"}
_ROLES = ("system", "developer", "user", "assistant", "tool")
_DETAILS = (None, "low", "high", "auto", "original")


def _message_fault(item: dict[str, Any]) -> str | None:
    role = item.get("role")
    own = {"assistant": {"tool_calls"}, "tool": {"tool_call_id"}}.get(str(role), set())
    if role not in _ROLES or not set(item) <= {"role", "content", "name"} | own:
        return f"unknown role or parameter: {sorted(item)}"
    for part in [] if isinstance(item["content"], str) else item["content"]:
        if part.get("type") == "text" and set(part) == {"type", "text"}:
            continue
        if part.get("type") != "image_url" or set(part) != {"type", "image_url"}:
            return f"unknown part: {sorted(part)}"
        image = part["image_url"]
        if role != "user" or not {"url"} <= set(image) <= {"url", "detail"}:
            return f"images are for users, with `url` and `detail`: {role} {sorted(image)}"
        if wrong := _image_fault(image):
            return wrong
    return None


def _item_fault(item: dict[str, Any]) -> str | None:
    kind = item.get("type", "message")
    if kind == "function_call":
        return None if {"call_id", "name", "arguments"} <= set(item) else f"{sorted(item)}"
    fields = {"message": {"role", "content"}, "function_call_output": {"call_id", "output"}}
    if kind not in fields or set(item) - {"type", "id", "status"} != fields[kind]:
        return f"unknown type or parameter: {kind} {sorted(item)}"
    content, role = item.get("content", item.get("output")), item.get("role", "user")
    for part in [] if isinstance(content, str) else content:
        text = "output_text" if role == "assistant" else "input_text"
        if part.get("type") == text and {"type", "text"} <= set(part):
            continue
        if part.get("type") != "input_image" or role != "user":
            return f"unknown part: {part.get('type')} of {role}"
        if not {"type", "image_url"} <= set(part) <= {"type", "image_url", "detail"}:
            return f"unknown parameter: {sorted(part)}"
        if wrong := _image_fault({"url": part["image_url"], **part}):
            return wrong
    return None


def _image_fault(image: dict[str, Any]) -> str | None:
    if image.get("detail") not in _DETAILS:
        return f"Invalid value: {image['detail']!r}"
    header, _, data = image["url"].partition(",")
    if not header.startswith("data:"):
        return None
    try:
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            if header != f"data:image/{str(picture.format).lower()};base64":
                return f"it is {picture.format}, not {header}"
    except Exception as error:
        return f"The image data you provided does not represent a valid image: {error}"
    return None


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
