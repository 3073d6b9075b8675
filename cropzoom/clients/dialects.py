"""Which dialect a body is in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from cropzoom.clients.anthropic_dialect import MESSAGES, is_messages
from cropzoom.clients.dialect import Dialect
from cropzoom.clients.google_dialect import GENERATE
from cropzoom.clients.openai_dialect import CHAT, RESPONSES

Endpoint = Literal["chat/completions", "responses", "messages", "generateContent"]

DIALECTS: Mapping[str, Dialect] = {
    dialect.name: dialect for dialect in (CHAT, RESPONSES, MESSAGES, GENERATE)
}
# What is asked of a model at Google's addresses.
_GOOGLE_CALLS = ("generateContent", "streamGenerateContent", "countTokens")


def endpoint_of(url: str) -> Endpoint | None:
    """Return which kind of body is posted to an address, None for one that is not rewritten.

    Takes paths and whole addresses, with a query, Azure's deployment prefix or a final slash.
    """
    try:
        path = urlsplit(url).path
    except ValueError:
        return None
    parts = [part for part in path.split("/") if part]
    if parts[-2:] == ["chat", "completions"]:
        return "chat/completions"
    if parts[-1:] == ["messages"] or parts[-2:] == ["messages", "count_tokens"]:
        return "messages"
    if parts[-1:] == ["responses"] or parts[-2:] == ["responses", "input_tokens"]:
        return "responses"
    if parts and parts[-1].rpartition(":")[2] in _GOOGLE_CALLS and ":" in parts[-1]:
        return "generateContent"
    return None


def model_of(url: str) -> str | None:
    """Return the model that an address of Google's names, None for one that names none."""
    name, colon, _ = url.partition("?")[0].rpartition("/")[2].partition(":")
    return name if colon and name else None


def dialect_of(body: Mapping[str, Any]) -> Dialect | None:
    """Return the dialect that a body is in, by what it holds; None where that tells nothing."""
    keys = [key for key in ("messages", "input", "contents") if key in body]
    if len(keys) != 1:
        return None
    if keys == ["messages"]:
        return MESSAGES if is_messages(body) else CHAT
    return RESPONSES if keys == ["input"] else GENERATE
