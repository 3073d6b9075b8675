"""Requests with a megabyte of text, in every awkward shape: the work grows no faster than they."""

from __future__ import annotations

import base64
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from wrapping import OPTIONS, FixedCropper, chat_image, chat_text, user

from cropzoom import rewrite_body
from cropzoom.zoom import Zoom

ANSWER = {"role": "assistant", "content": "7"}
FIELD = {"type": "string", "description": "as printed"}


def _text(text: str) -> dict[str, Any]:
    return {"messages": [user(chat_image(), chat_text(text))]}


def _system(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": text}, user(chat_image())]}


def _tool(text: str) -> dict[str, Any]:
    result = {"role": "tool", "tool_call_id": "1", "content": text}
    asks = user(chat_image(), chat_text())
    return {"messages": [asks, ANSWER, result, user(chat_text("And the date?"))]}


def _schema(schema: dict[str, Any]) -> dict[str, Any]:
    wrapped = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    tool = {"type": "function", "function": {"name": "x", "parameters": schema}}
    return {
        **_text("Extract the data."),
        "response_format": wrapped,
        "tools": [tool],
        "tool_choice": "required",
    }


def _fields(size: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"key_{n}": FIELD for n in range(size // 50)}}


def _references(size: int) -> dict[str, Any]:
    one = {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}
    return {
        **_fields(0),
        "properties": {f"a{n}": one for n in range(99)},
        "$defs": {"x": _fields(size)},
    }


SHAPES: dict[str, Callable[[int], dict[str, Any]]] = {
    "base64": lambda n: _text(base64.b64encode(random.Random(1).randbytes(n * 3 // 4)).decode()),
    "dots": lambda n: _text("." * n),
    "letters and dots": lambda n: _text("a." * (n // 2)),
    "line breaks": lambda n: _text("\n" * n),
    "short lines": lambda n: _text("short ln\n" * (n // 9)),
    "Chinese": lambda n: _text("请问总金额是多少。" * (n // 9)),
    "emoji": lambda n: _text("😀👍🏽" * (n // 3)),
    "combining": lambda n: _text("e" + "\u0301" * n),
    "open braces": lambda n: _text('{"a":' * (n // 5)),
    "closed braces": lambda n: _text('{"a":' * (n // 6) + "1" + "}" * (n // 6)),
    "keys": lambda n: _text(json.dumps({f"key_{i}": "value" for i in range(n // 20)})),
    "a tag": lambda n: _text(f"<document>{'word ' * (n // 5)}</document>What is the total?"),
    "open tags": lambda n: _text("<question>" * (n // 10)),
    "examples": lambda n: _text("Input: a\nOutput: b\n" * (n // 19) + "Input: total\nOutput:"),
    "numbers": lambda n: _text("".join(f"{i}) a " for i in range(n // 8))),
    "system message": lambda n: _system("What is the total? " * (n // 19)),
    "system JSON": lambda n: _system(json.dumps(_fields(n))),
    "tool result": lambda n: _tool("word " * (n // 5)),
    "schema": lambda n: _schema(_fields(n)),
    "schema by reference": lambda n: _schema(_references(n)),
    "parts": lambda n: {"messages": [user(chat_image(), *[chat_text("a")] * (n // 40))]},
    "messages": lambda n: {
        "messages": [user(chat_image(), chat_text()), *[ANSWER, user("And?")] * (n // 400)]
    },
    "messages in a row": lambda n: {
        "messages": [user(chat_image()), *[user("hello")] * (n // 200)]
    },
}


def _seconds(body: dict[str, Any]) -> float:
    zoom = Zoom(FixedCropper(), OPTIONS)
    start = time.thread_time()
    rewrite_body(body, zoom=zoom)
    return time.thread_time() - start


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_work_grows_no_faster_than_the_text(
    shape: Callable[[int], dict[str, Any]],
) -> None:
    small, large = shape(125_000), shape(1_000_000)
    _seconds(small)
    # Eight times the text; what is quadratic takes 64 times as long.
    assert _seconds(large) < 16 * _seconds(small) + 0.1
