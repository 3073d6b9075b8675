"""Google's generateContent, of the Gemini API and of Vertex."""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from cropzoom.clients.conversation import Conversation, Path, Piece, passages
from cropzoom.clients.dialect import NOT_USER, OTHER, Dialect
from cropzoom.clients.sources import OFF_HINT, Fetched, decode_base64, is_remote, skip
from cropzoom.images import Encoded, ImageSource
from cropzoom.report import Reason

_ROLES = {None: "user", "": "user", "user": "user", "model": "assistant", "system": "system"}
# Of the fields of a part, just one is set.
_DATA = ("inlineData", "inline_data", "fileData", "file_data")
# Where files are that were uploaded for this API alone.
_FILES_API = "generativelanguage.googleapis.com"


class GoogleDialect(Dialect):
    """generateContent, streamGenerateContent and countTokens.

    The API takes names in camelCase, which its clients send, and in snake_case. The model's name
    stands in the address; whoever knows it may put it into the body as `model`.
    """

    name = "generateContent"
    items = "contents"

    def read(self, body: Mapping[str, Any]) -> Conversation:
        items = body.get("contents")
        if items is None:
            items = []
        if not isinstance(items, Sequence) or isinstance(items, (str, bytes, bytearray)):
            skip(Reason.UNSUPPORTED_INPUT, f"`contents` is {type(items).__name__}; make it a list")
        config = _field(body, "generationConfig")
        level = _field(config, "mediaResolution")
        return Conversation(
            passages(self._messages(body, items)),
            tuple(_schemas(body, config)),
            "cachedContent" if _field(body, "cachedContent") is not None else None,
            level if isinstance(level, str) else None,
        )

    def _messages(
        self, body: Mapping[str, Any], items: Sequence[Any]
    ) -> Iterator[tuple[int, str, Sequence[Piece]]]:
        instruction = _field(body, "systemInstruction")
        system = [piece for piece in _pieces(instruction, (), "system") if piece.text is not None]
        if system:
            yield -1, "system", system
        for number, item in enumerate(items):
            given = item.get("role") if isinstance(item, Mapping) else ()
            role = _ROLES.get(given) if given is None or isinstance(given, str) else None
            if given in ("function", "tool"):
                role = "tool"
            if role is None:
                yield number, OTHER, []
                continue
            at = ("contents", number)
            yield number, role, _pieces(item, at, role)
            # What a function returned stands among the user's parts.
            for place, part in _parts(item):
                key = _key(part, "functionResponse")
                if key is not None:
                    path = (*at, "parts", place, key)
                    yield number, "tool", _pieces(part[key], path, "tool")

    def address(self, part: Any) -> str | None:
        uri = _field(_field(part, "fileData"), "fileUri")
        return uri.strip() if is_remote(uri) and not _is_uploaded(uri) else None

    def source(self, part: Any, files: Fetched) -> ImageSource:
        data = _field(_field(part, "inlineData"), "data")
        if isinstance(data, str):
            return decode_base64(data)
        url = self.address(part)
        if url is not None:
            return files.get(url)
        uri = _field(_field(part, "fileData"), "fileUri")
        if isinstance(uri, str) and uri:
            place = "a bucket" if uri.lstrip()[:5].lower() == "gs://" else "the Files API"
            skip(
                Reason.FILE_ID,
                f"an image lies in {place} ({uri[:80]}), so its bytes are not in the request; "
                f"send them with Part.from_bytes, {OFF_HINT}",
            )
        skip(Reason.UNSUPPORTED_INPUT, "a part has neither data nor the address of a file")

    def detail(self, part: Any) -> str | None:
        level = _field(part, "mediaResolution")
        level = level.get("level") if isinstance(level, Mapping) else level
        return level if isinstance(level, str) else None

    def crop_part(self, image: Encoded, part: Any) -> Any:
        # Google's own clients mix both spellings.
        outer = next((key for key in part if key in _DATA), "inlineData")
        inner = "mime_type" if "mime_type" in (part.get(outer) or ()) else "mimeType"
        data = base64.b64encode(image.data).decode("ascii")
        blob = {inner: image.mime, "data": data}
        level = _key(part, "mediaResolution")
        kept = {} if level is None else {level: part[level]}
        return {"inline_data" if "_" in outer else "inlineData": blob, **kept}

    def substitute(self, image: Encoded, part: Any) -> Any:
        kept = {key: value for key, value in part.items() if key not in _DATA}
        return {**kept, **self.crop_part(image, part)}

    def text_part(self, text: str) -> Any:
        return {"text": text}

    def label_parts(self, text: str, path: Path) -> tuple[Any, ...]:
        # What a function returned has no place for words.
        return (self.text_part(text),) if len(path) == 4 else ()


GENERATE = GoogleDialect()

_DOCUMENT = (
    "a document (PDF) is not zoomed, as only images are; send its pages as images, " + OFF_HINT
)


def _pieces(content: Any, at: Path, role: str) -> list[Piece]:
    pieces = []
    for place, part in _parts(content):
        path = (*at, "parts", place)
        kind = _media(part)
        if isinstance(part.get("text"), str):
            pieces.append(Piece(path, text=part["text"]))
        elif kind == "application/pdf":
            pieces.append(Piece(path, picture=part, why_not=(Reason.FILE_PART, _DOCUMENT)))
        elif kind.startswith("image/"):
            why_not = None if role in ("user", "tool") else NOT_USER
            pieces.append(Piece(path, picture=part, why_not=why_not))
    return pieces


def _parts(content: Any) -> Iterator[tuple[int, Mapping[str, Any]]]:
    parts = content.get("parts") if isinstance(content, Mapping) else None
    if isinstance(parts, (list, tuple)):
        for place, part in enumerate(parts):
            if isinstance(part, Mapping):
                yield place, part


def _media(part: Mapping[str, Any]) -> str:
    """Return the media type of a part's file, "" where it has none or that is not told."""
    for key in ("inlineData", "fileData"):
        file = _field(part, key)
        kind = _field(file, "mimeType")
        uri = _field(file, "fileUri")
        if kind is None and isinstance(uri, str):
            kind = mimetypes.guess_type(uri.partition("?")[0])[0]
        if isinstance(kind, str):
            return kind.strip().lower()
    return ""


def _is_uploaded(uri: str) -> bool:
    try:
        return urlsplit(uri.strip()).hostname == _FILES_API
    except ValueError:
        return False


def _key(value: Any, name: str) -> str | None:
    """Return how a field is spelled, None where it is not there."""
    if not isinstance(value, Mapping):
        return None
    if name in value:
        return name
    snake = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
    return snake if snake in value else None


def _field(value: Any, name: str) -> Any:
    """Return a field in either spelling, None where it is not there."""
    key = _key(value, name)
    return None if key is None else value[key]


def _schemas(body: Mapping[str, Any], config: Any) -> Iterator[Mapping[str, Any]]:
    """Return the schemas that the answer must follow: the format's, or of the function to call."""
    for name in ("responseSchema", "responseJsonSchema"):
        schema = _field(config, name)
        if isinstance(schema, Mapping):
            yield schema
    calling = _field(_field(body, "toolConfig"), "functionCallingConfig")
    mode, tools = _field(calling, "mode"), body.get("tools")
    # Not `str(mode)`: Google's own client has members of enumerations there.
    must = isinstance(mode, str) and mode.upper() == "ANY"
    if not must or not isinstance(tools, (list, tuple)):
        return
    lists = [_field(tool, "functionDeclarations") for tool in tools]
    functions = [
        function
        for declarations in lists
        if isinstance(declarations, (list, tuple))
        for function in declarations
        if isinstance(function, Mapping)
    ]
    names = _field(calling, "allowedFunctionNames")
    if isinstance(names, (list, tuple)) and names:
        functions = [function for function in functions if function.get("name") in names]
    if len(functions) == 1:
        for name in ("parameters", "parametersJsonSchema"):
            schema = _field(functions[0], name)
            if isinstance(schema, Mapping):
                yield schema
