"""Anthropic's messages."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cropzoom.clients.conversation import Conversation, Path, Piece, passages
from cropzoom.clients.dialect import NOT_USER, OTHER, Dialect
from cropzoom.clients.sources import OFF_HINT, Fetched, decode_base64, is_remote, skip
from cropzoom.images import Encoded, ImageSource
from cropzoom.report import Reason

# Blocks that only this API has in its messages.
_OWN_BLOCKS = ("document", "tool_result", "tool_use", "thinking", "redacted_thinking")


class AnthropicDialect(Dialect):
    """messages and messages/count_tokens; what tools return stands in user messages here."""

    name = "messages"
    items = "messages"

    def read(self, body: Mapping[str, Any]) -> Conversation:
        items = body.get("messages")
        if items is None:
            items = []
        if not isinstance(items, Sequence) or isinstance(items, (str, bytes, bytearray)):
            skip(Reason.UNSUPPORTED_INPUT, f"`messages` is {type(items).__name__}; make it a list")
        return Conversation(passages(self._messages(body, items)), tuple(_schemas(body)))

    def _messages(
        self, body: Mapping[str, Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, str, Sequence[Piece]]]:
        system = [
            Piece(path, text=part["text"], sole=sole)
            for path, part, sole in _blocks(body.get("system"), ("system",))
            if isinstance(part.get("text"), str)
        ]
        if system:
            yield -1, "system", system
        for number, item in enumerate(items):
            role = item.get("role") if isinstance(item, Mapping) else None
            if role not in ("user", "assistant", "system"):
                yield number, OTHER, []
                continue
            # Results come first in a message, before what the user says.
            for path, part, sole in _blocks(item.get("content"), ("messages", number, "content")):
                if part.get("type") == "tool_result":
                    inner = _blocks(part.get("content"), (*path, "content"))
                    yield number, "tool", self._pieces(inner, zoomable=True)
                else:
                    yield number, role, self._pieces([(path, part, sole)], zoomable=role == "user")

    def _pieces(
        self, blocks: Iterator[tuple[Path, Any, bool]] | Sequence[Any], *, zoomable: bool
    ) -> list[Piece]:
        pieces: list[Piece] = []
        for path, part, sole in blocks:
            kind = part.get("type")
            if kind == "text" and isinstance(part.get("text"), str):
                pieces.append(Piece(path, text=part["text"], sole=sole))
            elif kind == "image":
                why_not = None if zoomable else NOT_USER
                pieces.append(Piece(path, picture=part, why_not=why_not, sole=sole))
            elif kind == "document":
                pieces.append(Piece(path, picture=part, why_not=(Reason.FILE_PART, _DOCUMENT)))
        return pieces

    def address(self, part: Any) -> str | None:
        source = part.get("source")
        url = source.get("url") if isinstance(source, Mapping) else None
        return url.strip() if isinstance(url, str) and is_remote(url) else None

    def source(self, part: Any, files: Fetched) -> ImageSource:
        source = part.get("source")
        if not isinstance(source, Mapping):
            skip(Reason.UNSUPPORTED_INPUT, "an image block has no `source`")
        if isinstance(source.get("data"), str):
            return decode_base64(source["data"])
        url = self.address(part)
        if url is not None:
            return files.get(url)
        if source.get("file_id") is not None:
            skip(
                Reason.FILE_ID,
                "an image is given by file id, so its bytes are not in the request; "
                f"send it as base64, {OFF_HINT}",
            )
        skip(
            Reason.UNSUPPORTED_INPUT,
            f"an image's source has type {str(source.get('type'))[:40]!r}; use base64 or url",
        )

    def crop_part(self, image: Encoded, part: Any) -> Any:
        data = base64.b64encode(image.data).decode("ascii")
        source = {"type": "base64", "media_type": image.mime, "data": data}
        return {"type": "image", "source": source}

    def text_part(self, text: str) -> Any:
        return {"type": "text", "text": text}


MESSAGES = AnthropicDialect()

_DOCUMENT = (
    "a document block (PDF or text) is not zoomed, as only images are; send its pages as images, "
    f"{OFF_HINT}"
)


def is_messages(body: Mapping[str, Any]) -> bool:
    """Tell whether a body with `messages` is one of Anthropic's."""
    if "system" in body or "anthropic_version" in body:
        return True
    items = body.get("messages")
    if not isinstance(items, (list, tuple)):
        return False
    return any(
        part["type"] in _OWN_BLOCKS or (part["type"] == "image" and "source" in part)
        for item in items
        if isinstance(item, Mapping)
        for _, part, _ in _blocks(item.get("content"), ())
        if isinstance(part.get("type"), str)
    )


def _blocks(content: Any, at: Path) -> Iterator[tuple[Path, Mapping[str, Any], bool]]:
    """Return blocks, where they stand, and whether a string alone is meant."""
    if isinstance(content, str):
        yield at, {"type": "text", "text": content}, True
    elif isinstance(content, (list, tuple)):
        for place, part in enumerate(content):
            if isinstance(part, Mapping):
                yield (*at, place), part, False


def _schemas(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the schemas that the answer must follow: the format's, or of the tool to call."""
    config = body.get("output_config")
    formats = (
        body.get("output_format"),
        config.get("format") if isinstance(config, Mapping) else 0,
    )
    for given in formats:
        if isinstance(given, Mapping):
            yield given
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not isinstance(tools, (list, tuple)) or not isinstance(choice, Mapping):
        return
    schemas = {
        str(tool.get("name")): tool["input_schema"]
        for tool in tools
        if isinstance(tool, Mapping) and isinstance(tool.get("input_schema"), Mapping)
    }
    if choice.get("type") == "tool" and choice.get("name") in schemas:
        yield schemas[choice["name"]]
    elif choice.get("type") == "any" and len(schemas) == 1:
        yield from schemas.values()
