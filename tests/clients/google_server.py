"""A local server that speaks Google's generateContent, and refuses what that would refuse."""

from __future__ import annotations

import base64
import io
import json
import re
from typing import Any

from PIL import Image
from wire_server import Received, WireServer

_CALL = re.compile(
    r"/v1(?:beta1?)?/(?:projects/p/locations/l/)?(?:publishers/google/)?models/[\w.-]+:(\w+)"
)
_FIELDS = {
    "contents",
    "systemInstruction",
    "generationConfig",
    "tools",
    "toolConfig",
    "safetySettings",
    "cachedContent",
}
_PARTS = {
    "text",
    "inlineData",
    "fileData",
    "functionCall",
    "functionResponse",
}
_BESIDE = {"thought", "thoughtSignature", "mediaResolution"}
_FORMATS = {"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}


class GoogleServer(WireServer):
    """generateContent, streamGenerateContent and countTokens; see `WireServer`."""

    failure = 503

    def fault(self, request: Received) -> str | None:
        return fault(request.path, request.query, set(request.headers), camel(request.body))

    def answer(self, request: Received) -> tuple[str, bytes]:
        if request.path.endswith(":countTokens"):
            return "application/json", json.dumps({"totalTokens": 7}).encode()
        if request.path.endswith(":streamGenerateContent"):
            chunks = [_answer('{"total"'), _answer(": 7}", "STOP")]
            text = "".join(f"data: {json.dumps(chunk)}\r\n\r\n" for chunk in chunks)
            return "text/event-stream", text.encode()
        return "application/json", json.dumps(_answer('{"total": 7}', "STOP")).encode()

    def error(self, status: int, words: str) -> bytes:
        kind = "INVALID_ARGUMENT" if status == 400 else "UNAVAILABLE"
        return json.dumps({"error": {"code": status, "message": words, "status": kind}}).encode()


def camel(value: Any) -> Any:
    """Return a body with its names in camelCase: the API takes both, and its clients mix them."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    renamed = {re.sub(r"_(\w)", lambda m: m[1].upper(), key): item for key, item in value.items()}
    own = ("response", "args", "properties")
    return {key: item if key in own else camel(item) for key, item in renamed.items()}


def pictures(body: dict[str, Any]) -> list[bytes]:
    """Return the files of all pictures in a body, those that functions returned included."""
    files = []
    for item in camel(body).get("contents", []):
        for part in item.get("parts", []):
            inner = part.get("functionResponse", {}).get("parts", [])
            for one in (part, *inner):
                if "inlineData" in one:
                    files.append(blob_file(one["inlineData"]))
    return files


def blob_file(blob: dict[str, Any]) -> bytes:
    """Return the file that inline data holds, in either alphabet of base64."""
    standard = blob["data"].replace("-", "+").replace("_", "/")
    return base64.b64decode(standard, validate=True)


def fault(path: str, query: str, headers: set[str], body: dict[str, Any]) -> str | None:
    """Return what is wrong with a request, None for nothing."""
    call = _CALL.fullmatch(path)
    if call is None or not {"x-goog-api-key", "authorization"} & headers:
        return f"no such method, or no key: {path}"
    if (call[1] == "streamGenerateContent") != (query == "alt=sse"):
        return f"unexpected query: {query}"
    known = {"contents"} if call[1] == "countTokens" else _FIELDS
    if not set(body) <= known:
        return f"Unknown name {sorted(set(body) - known)}: Cannot find field."
    for number, item in enumerate(body.get("contents", [])):
        where = f"contents[{number}]"
        if not set(item) <= {"role", "parts"}:
            return f"Unknown name at {where}: {sorted(item)}"
        if item.get("role", "user") not in ("user", "model", "function"):
            return "Please use a valid role: user, model."
        if not item.get("parts"):
            return f"{where}.parts must not be empty."
        for part in item["parts"]:
            wrong = _part_fault(part, f"{where}.parts")
            if wrong is not None:
                return wrong
    return None


def _part_fault(part: dict[str, Any], where: str) -> str | None:
    kinds = set(part) & _PARTS
    if len(kinds) != 1 or not set(part) <= _PARTS | _BESIDE:
        return f"{where}: required oneof field 'data' must have one initialized field: {set(part)}"
    (kind,) = kinds
    if kind == "functionResponse":
        value = part[kind]
        if not {"name", "response"} <= set(value) <= {"id", "name", "response", "parts"}:
            return f"{where}.functionResponse: {sorted(value)}"
        for inner in value.get("parts", []):
            if set(inner) not in ({"inlineData"}, {"fileData"}):
                return f"{where}.functionResponse.parts: Unknown name {sorted(inner)}"
            if wrong := _blob_fault(inner.get("inlineData"), where):
                return wrong
    return _blob_fault(part.get("inlineData"), where)


def _blob_fault(blob: dict[str, Any] | None, where: str) -> str | None:
    if blob is None or blob.get("mimeType") == "application/pdf":
        return None
    if set(blob) - {"displayName"} != {"mimeType", "data"}:
        return f"{where}.inlineData: {sorted(blob)}"
    try:
        with Image.open(io.BytesIO(blob_file(blob))) as image:
            if image.format != _FORMATS.get(blob["mimeType"]):
                return f"Unable to process input image: {image.format}, not {blob['mimeType']}"
    except Exception as error:
        return f"Unable to process input image: {error}"
    return None


def _answer(text: str, end: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {
        "content": {"role": "model", "parts": [{"text": text}]},
        "index": 0,
    }
    if end is not None:
        candidate["finishReason"] = end
    usage = {"promptTokenCount": 5, "candidatesTokenCount": 2, "totalTokenCount": 7}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "gemini-x"}
