"""Batch files: a request a line, rewritten line by line; what is done is not done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cropzoom.clients.body import rewrite_body
from cropzoom.clients.dialects import Endpoint, endpoint_of
from cropzoom.errors import RequestError
from cropzoom.files import locked
from cropzoom.report import Usage
from cropzoom.zoom import Zoom

# Where a line holds its request: OpenAI's batches, which name an address, Anthropic's, Google's.
_BODIES: dict[str, Endpoint | None] = {
    "body": None,
    "params": "messages",
    "request": "generateContent",
}


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """What became of a file's lines so far.

    Args:
        lines: in the target.
        before: of these, written by earlier runs.
        broken: of this run's, those that hold no request; they are passed on as they are.
        usage: sums over this run's requests.
    """

    lines: int = 0
    before: int = 0
    broken: int = 0
    usage: Usage = field(default_factory=Usage)


def rewrite_file(source: Path, target: Path, zoom: Zoom) -> Iterator[BatchCounts]:
    """Write a batch file with crops; yields the counts at the start and after each line.

    Every line of the source is there in the target, in order: with crops, or byte for byte as it
    was. The lines are written to a file beside the target, which takes its name in the end; an
    interrupted run goes on where that ends. No more than a line is held in memory.

    Args:
        source: JSON lines with `body` (OpenAI), `params` (Anthropic) or `request` (Google).
        target: the new file.
        zoom: finds the crops.

    Raises:
        RequestError: the source is the target, can't be read, or is not the one that an
            interrupted run began with; or another run writes to the target.
    """
    if source.resolve() == target.resolve():
        raise RequestError(f"{target} is the batch file itself; choose another name")
    partial = target.with_name(target.name + ".partial")
    try:
        with (
            source.open("rb") as lines,
            locked(partial, RequestError),
            partial.open("a+b") as out,
        ):
            counts = _complete(lines, out)
            yield counts
            for line in lines:
                new, counts = _rewritten(line, zoom, replace(counts, lines=counts.lines + 1))
                out.write(new)
                out.flush()
                yield counts
    except OSError as error:
        raise RequestError(f"can't rewrite {source}: {error}") from error
    partial.replace(target)


def _complete(lines: Any, out: Any) -> BatchCounts:
    """Pass over the lines that are written already; one not written to its end is cut off.

    Raises:
        RequestError: they were written for other lines.
    """
    out.seek(0)
    count = size = 0
    for written in out:
        if not written.endswith(b"\n"):
            break
        given = next(lines, b"")
        if not given or _name(given) != _name(written):
            raise RequestError(
                f"line {count + 1} of {out.name} is another than the batch file's; it was begun "
                "for another file: remove it, or choose another target"
            )
        count, size = count + 1, size + len(written)
    out.truncate(size)
    return BatchCounts(count, count)


def _name(line: bytes) -> object:
    """Return how a line names its request; the line itself where it does not."""
    row = _row(line)
    names = [row[key] for key in ("custom_id", "key") if key in row] if row is not None else []
    return names or line.rstrip(b"\r\n")


def _row(line: bytes) -> dict[str, Any] | None:
    """Return a line's JSON object; None where it holds none."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _rewritten(line: bytes, zoom: Zoom, counts: BatchCounts) -> tuple[bytes, BatchCounts]:
    whole = line if line.endswith(b"\n") else line + b"\n"
    row = _row(line)
    key = next((key for key in _BODIES if row and isinstance(row.get(key), dict)), None)
    if row is None or key is None:
        # What it is, is the API's to say.
        return whole, replace(counts, broken=counts.broken + bool(line.strip()))
    endpoint = _BODIES[key]
    if isinstance(row.get("url"), str):
        endpoint = endpoint_of(row["url"])
        if endpoint is None:
            return whole, counts
    new, report = rewrite_body(row[key], zoom=zoom, endpoint=endpoint)
    counts = replace(counts, usage=counts.usage.plus(report))
    if all(new.get(name) is value for name, value in row[key].items()):
        return whole, counts
    text = json.dumps({**row, key: new}, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass") + b"\n", counts
