"""Batch files: a request a line, rewritten line by line; what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cropzoom.clients.body import rewrite_body
from cropzoom.clients.dialects import Endpoint, endpoint_of
from cropzoom.errors import RequestError
from cropzoom.report import Usage
from cropzoom.zoom import Zoom

# Where a line holds its request: OpenAI's batches, which name an address, Anthropic's, Google's.
_BODIES: dict[str, Endpoint | None] = {
    "body": None,
    "params": "messages",
    "request": "generateContent",
}


def rewrite_file(source: Path, target: Path, zoom: Zoom) -> Iterator[Usage]:
    """Write a batch file with crops; yields the sums after each line.

    Every line of the source is there in the target, in order: with crops, or byte for byte as it
    was. The lines are written to a file beside the target, which takes its name in the end; an
    interrupted run goes on where that ends.

    Args:
        source: JSON lines with `body` (OpenAI), `params` (Anthropic) or `request` (Google).
        target: the new file.
        zoom: finds the crops.

    Raises:
        RequestError: the source is the target, or can't be read.
    """
    if source.resolve() == target.resolve():
        raise RequestError(f"{target} is the batch file itself; choose another name")
    partial = target.with_name(target.name + ".partial")
    usage = Usage()
    try:
        with source.open("rb") as lines, partial.open("a+b") as out:
            for _ in range(_complete(out)):
                next(lines, None)
            for line in lines:
                new, usage = _rewritten(line, zoom, usage)
                out.write(new)
                out.flush()
                yield usage
    except OSError as error:
        raise RequestError(f"can't rewrite {source}: {error}") from error
    partial.replace(target)


def _complete(out: Any) -> int:
    """Return how many lines a file has, after cutting off one that was not written to its end."""
    out.seek(0)
    count = size = 0
    for line in out:
        if not line.endswith(b"\n"):
            break
        count, size = count + 1, size + len(line)
    out.truncate(size)
    return count


def _rewritten(line: bytes, zoom: Zoom, usage: Usage) -> tuple[bytes, Usage]:
    whole = line if line.endswith(b"\n") else line + b"\n"
    try:
        row = json.loads(line)
        key = next(key for key in _BODIES if isinstance(row.get(key), dict))
    except (ValueError, AttributeError, StopIteration):
        # What it is, is the API's to say.
        return whole, usage
    endpoint = _BODIES[key]
    if isinstance(row.get("url"), str):
        endpoint = endpoint_of(row["url"])
        if endpoint is None:
            return whole, usage
    new, report = rewrite_body(row[key], zoom=zoom, endpoint=endpoint)
    usage = usage.plus(report)
    if all(new.get(name) is value for name, value in row[key].items()):
        return whole, usage
    text = json.dumps({**row, key: new}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n", usage
