"""chat/completions and responses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cropzoom.clients.conversation import Conversation, Path, Piece, passages
from cropzoom.clients.dialect import NOT_USER, OTHER, Dialect
from cropzoom.clients.sources import OFF_HINT, Fetched, bytes_at, is_remote, skip
from cropzoom.images import Encoded, ImageSource
from cropzoom.report import Reason


class OpenAIDialect(Dialect):
    """chat/completions and responses, as OpenAI and the servers that follow it take them.

    Lenient servers take parts without a type, strings among parts, a part in place of a list of
    one, and either endpoint's types of parts; so all of these are read.

    Args:
        name: of the endpoint.
        items: the field with the messages.
        text: type of a text part.
    """

    _TEXTS = ("text", "input_text", "output_text", None)
    _IMAGES = ("image_url", "input_image", None)
    _FILES = ("file", "input_file")

    def __init__(self, name: str, items: str, text: str) -> None:
        self.name = name
        self.items = items
        self._text = text

    def read(self, body: Mapping[str, Any]) -> Conversation:
        items = body.get(self.items)
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        if items is None:
            items = []
        if not isinstance(items, Sequence) or isinstance(items, (bytes, bytearray)):
            # An iterator could be read once only, and the request needs it.
            skip(
                Reason.UNSUPPORTED_INPUT,
                f"`{self.items}` is {type(items).__name__}; make it a list",
            )
        return Conversation(
            passages(self._messages(body, items)), tuple(_schemas(body)), self._at_server(body)
        )

    def _messages(
        self, body: Mapping[str, Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, str, Sequence[Piece]]]:
        instructions = body.get("instructions")
        if self.name == "responses" and isinstance(instructions, str):
            yield -1, "system", [Piece(("instructions",), text=instructions)]
        for number, item in enumerate(items):
            role = _role(item)
            pieces: list[Piece] = []
            if isinstance(item, Mapping):
                key = "content" if "content" in item else "output"
                at = (self.items, number, key)
                zoomable = role in ("user", "tool")
                for path, part, sole in _parts(item.get(key), at):
                    piece = self.piece(part, path, sole)
                    if piece is not None and piece.picture is not None and not zoomable:
                        piece = Piece(path, picture=part, why_not=NOT_USER)
                    if piece is not None:
                        pieces.append(piece)
            yield number, role, pieces

    def piece(self, part: Any, path: Path, sole: bool) -> Piece | None:
        """Return what a part is, None for what is neither text nor picture."""
        if isinstance(part, str):
            return Piece(path, text=part, sole=sole)
        if not isinstance(part, Mapping):
            return None
        kind = part.get("type")
        # Not `in`, which would compare and hash whatever stands there.
        kind = kind if isinstance(kind, str) or kind is None else ""
        if kind == "computer_screenshot":
            return Piece(path, picture=part, why_not=NOT_USER)
        if kind in self._FILES:
            return Piece(path, picture=part, why_not=(Reason.FILE_PART, _file_detail(part)))
        if kind in self._IMAGES and (kind is not None or "image_url" in part):
            return Piece(path, picture=part, sole=sole)
        if kind in self._TEXTS and isinstance(part.get("text"), str):
            return Piece(path, text=part["text"], sole=sole)
        if kind and "image" in kind and kind != "image_generation_call":
            detail = (
                f"a part has type {kind[:40]!r}, which is none of {self.name}; use a part of type "
                f"{self._IMAGES[self.name == 'responses']!r}, {OFF_HINT}"
            )
            return Piece(path, picture=part, why_not=(Reason.UNSUPPORTED_INPUT, detail))
        return None

    def _at_server(self, body: Mapping[str, Any]) -> str | None:
        if self.name != "responses":
            return None
        fields = ("previous_response_id", "conversation", "prompt")
        return next((field for field in fields if body.get(field) is not None), None)

    def address(self, part: Any) -> str | None:
        url = _url(part)
        return url.strip() if isinstance(url, str) and is_remote(url) else None

    def source(self, part: Any, files: Fetched) -> ImageSource:
        url = _url(part)
        if url is None and part.get("file_id") is not None:
            skip(
                Reason.FILE_ID,
                "an image is given by file id, so its bytes are not in the request; "
                f"send it as a data URI, {OFF_HINT}",
            )
        if not isinstance(url, str):
            keys = ", ".join(repr(key)[:40] for key in list(part)[:8])
            skip(Reason.UNSUPPORTED_INPUT, f"an image part has no address, but {keys}")
        source = bytes_at(url, files)
        if source is None:
            skip(
                Reason.UNSUPPORTED_INPUT,
                f"an image's address starts with {url[:8]!r}; use a data URI or http(s)",
            )
        return source

    def detail(self, part: Any) -> str | None:
        given = part.get("image_url")
        level = part.get("detail") or (given.get("detail") if isinstance(given, Mapping) else None)
        return level if isinstance(level, str) else None

    def crop_part(self, image: Encoded, part: Any) -> Any:
        given = part.get("image_url")
        url: Any = image.data_uri()
        if isinstance(given, Mapping):
            url = {"url": url, **_detail(given)}
        kind = {"type": part["type"]} if "type" in part else {}
        return {**kind, "image_url": url, **_detail(part)}

    def text_part(self, text: str) -> Any:
        return {"type": self._text, "text": text}


CHAT = OpenAIDialect("chat/completions", "messages", "text")
RESPONSES = OpenAIDialect("responses", "input", "input_text")


def _role(item: Any) -> str:
    if not isinstance(item, Mapping):
        return OTHER
    kind, role = item.get("type", "message"), item.get("role")
    if isinstance(kind, str) and kind.endswith("_output") and "output" in item:
        return "tool"
    if kind != "message" or "content" not in item:
        return OTHER
    if role in ("tool", "function"):
        return "tool"
    return role if role in ("user", "assistant", "system", "developer") else OTHER


def _parts(content: Any, at: Path) -> Iterator[tuple[Path, Any, bool]]:
    """Return the parts of a message or of a tool's result, where they stand, and whether alone."""
    if isinstance(content, (str, Mapping)):
        yield at, content, True
    elif isinstance(content, (list, tuple)):
        for place, part in enumerate(content):
            yield (*at, place), part, False


def _url(part: Any) -> Any:
    url = part.get("image_url")
    return url.get("url") if isinstance(url, Mapping) else url


def _detail(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"detail": part["detail"]} if part.get("detail") is not None else {}


def _file_detail(part: Mapping[str, Any]) -> str:
    file = part.get("file")
    fields = {**file, **part} if isinstance(file, Mapping) else part
    name = next((fields[key] for key in ("filename", "file_id", "file_url") if fields.get(key)), "")
    return (
        f"a file part {str(name)[:80]!r} (PDF or other) is not zoomed, as only images are; "
        f"send its pages as images, {OFF_HINT}"
    )


def _schemas(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the schemas that the answer must follow: the format's, or of the tool to call."""
    text = body.get("text")
    format_of_text = text.get("format") if isinstance(text, Mapping) else None
    for given in (body.get("response_format"), format_of_text):
        if isinstance(given, Mapping):
            yield given
    tools, choice = body.get("tools"), body.get("tool_choice")
    if not isinstance(tools, (list, tuple)):
        return
    tools = [tool for tool in tools if isinstance(tool, Mapping)]
    name = _name(choice)
    if name is not None:
        tools = [tool for tool in tools if _name(tool) == name]
    # A tool that the model may call or not is for its work, not for the form of its answer.
    if name is not None or (choice == "required" and len(tools) == 1):
        yield from tools


def _name(tool: Any) -> str | None:
    """Return the name of a tool or of the tool that must be called."""
    if not isinstance(tool, Mapping):
        return None
    function = tool.get("function")
    name = (function if isinstance(function, Mapping) else tool).get("name")
    return name if isinstance(name, str) else None
