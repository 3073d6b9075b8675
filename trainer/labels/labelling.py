"""Labels for supervised learning: a teacher is asked about each row, and its boxes are enlarged.

In the output folder:

    labels-2-of-8.jsonl   what shard 2 was told, one line a row, appended as it comes; its first
                          line says how it was made. A run that was killed goes on from here.
    labels-2-of-8.json    the shard's counts; it exists when the shard is finished.
    skipped.jsonl         what the data had besides rows (id, reason).
    images/               pictures of the labelled rows.
    rows.jsonl            the labelled rows, and
    labels.json           the counts, when all shards are finished.
"""

from __future__ import annotations

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cropzoom.data.row import Row
from cropzoom.data.rows import Rows
from cropzoom.data.writing import ROWS_FILE, box_entry, row_entry, store_image, write_lines
from cropzoom.errors import ImageError, LabelError
from cropzoom.files import JsonLog, parse_lines, write_whole
from cropzoom.geometry import Box

from .expansion import PAPER_FACTORS, expand_by_quantile
from .teachers import NoBox, Teacher

SUMMARY_FILE = "labels.json"


@dataclass(frozen=True)
class Shard:
    """One of several parts of the rows; all rows about one picture are in the same.

    Args:
        number: 1 to `of`.
        of: how many there are.

    Raises:
        LabelError: the number is out of range.
    """

    number: int = 1
    of: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise LabelError(f"shard {self.number}/{self.of}: needs a number from 1 to {self.of}")

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read the form "2/8".

        Raises:
            LabelError: it has another form.
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match is None:
            raise LabelError(f"shard {text!r} must have the form 2/8")
        return cls(int(match[1]), int(match[2]))

    def has(self, row: Row) -> bool:
        """Tell whether a row belongs to this shard; its neighbours don't matter."""
        key = row.image_id or row.id
        return zlib.crc32(key.encode("utf-8", "surrogatepass")) % self.of == self.number - 1

    @property
    def name(self) -> str:
        """The stem of its files."""
        return f"labels-{self.number}-of-{self.of}"


def label_rows(
    rows: Rows,
    teacher: Teacher,
    out: str | Path,
    *,
    shard: Shard | None = None,
    arguments: Mapping[str, Any] | None = None,
    factors: Sequence[float] | None = PAPER_FACTORS,
    max_failures: int = 20,
    on_done: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Ask a teacher for the box of each row, and write the labelled rows.

    Call it again with the same arguments after an interruption: rows that have an answer are not
    asked again. Rows that a server left without an answer are.

    Args:
        rows: with answers.
        teacher: whom to ask.
        out: folder for the labels; may have those of an earlier call with the same arguments.
        shard: label this part only, and the rest elsewhere, into the same folder.
        arguments: what else the labels depend on, such as the data; kept in the files. A folder
            made with others is refused.
        factors: enlarge boxes by these factors on their areas (`expand_by_quantile`); None keeps
            them as they are.
        max_failures: stop after so many suspicious failures (`NoBox.suspicious`) in a row. Those
            rows will be asked again.
        on_done: called with (rows done, rows in all) after each.

    Returns:
        What labels.json says; of the shard alone, while others are not finished.

    Raises:
        LabelError: the teacher doesn't work, no row got a box, the folder is another's or in use.
    """
    shard, out = shard or Shard(), Path(out)
    how = json.loads(
        json.dumps({"teacher": teacher.name, **teacher.arguments, **(arguments or {})})
    )
    with _Log(out, shard, how) as log:
        numbers = [number for number, row in enumerate(rows) if shard.has(row)]
        todo = [number for number in numbers if log.wants(rows[number].id)]
        done = len(numbers) - len(todo)
        if on_done:
            on_done(done, len(numbers))
        # Failures that may be the teacher's count only once it has shown that it works.
        streak: list[dict[str, Any]] = []
        with closing(_answers(rows, todo, teacher, out)) as answers:
            for entry, failure in answers:
                if failure is not None and failure.suspicious:
                    streak.append(entry)
                    if len(streak) >= max_failures:
                        raise LabelError(
                            f"the teacher failed {len(streak)} times in a row, the last time on "
                            f"row {entry['id']!r}: {failure}. {done} of {len(numbers)} rows are "
                            "done and kept: set it right, and run the same again to go on"
                        ) from failure
                    continue
                shown = [] if failure else [*streak]
                for one in (*shown, entry):
                    log.add(one)
                del streak[: len(shown)]
                done += len(shown) + 1
                if on_done:
                    on_done(done, len(numbers))
        for entry in streak:
            log.add(entry)
        if on_done:
            on_done(len(numbers), len(numbers))
        if rows.skipped.rows:
            rows.skipped.save(out / "skipped.jsonl")
        log.finish(rows.skipped.counts)
    return _finish(out, shard, factors)


def _answers(
    rows: Rows, numbers: Sequence[int], teacher: Teacher, out: Path
) -> Generator[tuple[dict[str, Any], NoBox | None], None, None]:
    """Yield (entry for the log, failure or None) for each row, as answers come."""

    def propose(row: Row) -> Box:
        try:
            image = row.load()
        except ImageError as error:
            raise NoBox("broken image", str(error)) from error
        return teacher.propose(row, image)

    waiting: dict[Future[Box], tuple[int, Row]] = {}
    pool = ThreadPoolExecutor(teacher.workers)
    try:
        for number in [*numbers, None]:
            while waiting and (number is None or len(waiting) >= 2 * teacher.workers):
                done = wait(waiting, return_when=FIRST_COMPLETED).done
                for future in [one for one in waiting if one in done]:  # a set has no order
                    yield _answered(future, *waiting.pop(future), out)
            if number is None:
                return
            row = rows[number]
            waiting[pool.submit(propose, row)] = number, row
    finally:
        pool.shutdown(cancel_futures=True)


def _answered(
    future: Future[Box], number: int, row: Row, out: Path
) -> tuple[dict[str, Any], NoBox | None]:
    try:
        box = future.result()
    except NoBox as failure:
        return _failed(row, number, failure), failure
    entry = row_entry(row, store_image(row.picture(), out))
    return {**entry, "box": box_entry(box), "number": number}, None


def _failed(row: Row, number: int, failure: NoBox) -> dict[str, Any]:
    return {
        "id": row.id,
        "number": number,
        "failure": failure.reason,
        "detail": failure.detail,
        "again": failure.again,
    }


class _Log(JsonLog):
    """A shard's append-only file, kept by one process at a time.

    Raises:
        LabelError: it was made in another way, is broken, or is in use.
    """

    def __init__(self, out: Path, shard: Shard, how: dict[str, Any]) -> None:
        self._shard, self._finished = shard, out / f"{shard.name}.json"
        for other in sorted(out.glob("labels-*-of-*.jsonl")):
            _refuse_other(other, shard, how)
        super().__init__(out / f"{shard.name}.jsonl", LabelError)
        try:
            # Rows may have been added since.
            self._finished.unlink(missing_ok=True)
            if not self.entries:
                super().add({"made": how})
            self._rows = _by_id(self.entries[1:], self.path)
        except BaseException:
            self.close()
            raise

    def wants(self, row_id: str) -> bool:
        """Tell whether a row is still to be asked."""
        return bool(self._rows.get(row_id, {"again": True}).get("again"))

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append a row's entry; it is with the operating system when this returns."""
        self._rows[entry["id"]] = dict(entry)
        super().add(entry)

    def finish(self, skipped: Mapping[str, int]) -> None:
        """Write the shard's counts, which tell that it is finished."""
        counts = {"shard": self._shard.name, **_counts(self._rows.values()), "skipped": skipped}
        write_whole(self._finished, json.dumps(counts, indent=2))


def _by_id(entries: Sequence[dict[str, Any]], path: Path) -> dict[str, dict[str, Any]]:
    """Return the rows' entries by id; the last word on a row counts."""
    try:
        return {entry["id"]: entry for entry in entries}
    except (TypeError, KeyError) as error:
        number = next(n for n, entry in enumerate(entries, 2) if "id" not in entry)
        raise LabelError(
            f"{path}, line {number} is broken (no id); delete the line, and run again"
        ) from error


def _refuse_other(path: Path, shard: Shard, how: dict[str, Any]) -> None:
    """Refuse a folder whose labels were made in another way."""
    if not path.stem.endswith(f"-of-{shard.of}"):
        raise LabelError(
            f"{path.parent} has labels of another number of shards ({path.name}); "
            "choose another folder"
        )
    with path.open("rb") as file:
        first = file.readline()
    if not first.endswith(b"\n"):
        return  # killed before it had said anything
    try:
        origin = json.loads(first)["made"]
        different = sorted(key for key in {*origin, *how} if origin.get(key) != how.get(key))
    except (ValueError, TypeError, KeyError) as error:
        raise LabelError(f"{path} is no file of labels; choose another folder") from error
    if different:
        key = different[0]
        raise LabelError(
            f"{path.parent} has labels made with {key}={origin.get(key)!r}, not {how.get(key)!r}; "
            "choose another folder, or the same arguments"
        )


def _finish(out: Path, shard: Shard, factors: Sequence[float] | None) -> dict[str, Any]:
    """Join the shards, if all are finished, into rows.jsonl and labels.json."""
    shards = [Shard(number, shard.of) for number in range(1, shard.of + 1)]
    missing = [part.number for part in shards if not (out / f"{part.name}.json").exists()]
    if missing:
        own = json.loads((out / f"{shard.name}.json").read_bytes())
        return {**own, "missing_shards": missing}
    entries: dict[str, dict[str, Any]] = {}
    for part in shards:
        path = out / f"{part.name}.jsonl"
        origin, *lines = parse_lines(path.read_bytes(), path, LabelError)
        entries.update(_by_id(lines, path))
    labelled = [entry for entry in entries.values() if "box" in entry]
    labelled.sort(key=lambda entry: (entry["number"], entry["id"]))
    counts = _counts(entries.values())
    if not labelled:
        raise LabelError(f"no row got a box: {json.dumps(counts)}")
    drawn = [Box(*entry["box"]) for entry in labelled]
    boxes = drawn if factors is None else expand_by_quantile(drawn, factors)
    for entry, box in zip(labelled, boxes, strict=True):
        entry["box"] = box_entry(box)
        del entry["number"]
    write_lines(out / ROWS_FILE, labelled)
    summary = {
        **counts,
        "skipped": json.loads((out / f"{shard.name}.json").read_bytes())["skipped"],
        "made": origin["made"],
        "shards": shard.of,
        "factors": None if factors is None else list(factors),
        "area_drawn": _areas(drawn),
        "area": _areas(boxes),
    }
    write_whole(out / SUMMARY_FILE, json.dumps(summary, indent=2))
    return summary


def _counts(entries: Any) -> dict[str, Any]:
    entries = list(entries)
    failures = Counter(entry["failure"] for entry in entries if "failure" in entry)
    return {
        "rows": len(entries),
        "labelled": sum("box" in entry for entry in entries),
        "failures": dict(failures.most_common()),
        "to_ask_again": sum(bool(entry.get("again")) for entry in entries),
    }


def _areas(boxes: Sequence[Box]) -> dict[str, float]:
    areas = np.array([box.area for box in boxes])
    low, middle, high = np.percentile(areas, [5, 50, 95])
    over = float((areas > 0.9).mean())
    return {"p5": float(low), "p50": float(middle), "p95": float(high), "over_90_percent": over}
