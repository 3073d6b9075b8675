"""Rows to evaluate on, with the metric that their answers are scored by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cropzoom.errors import DataError
from cropzoom.reading.metrics import Harness, MetricName

from .columns import ColumnMap
from .row import Problem, Row
from .rows import load_rows
from .sources import JSONL
from .writing import ROWS_FILE


@dataclass(frozen=True)
class TestSet:
    """Rows, and how their answers are scored.

    Args:
        name: for reports.
        identity: changes with whatever changes what is asked; answers to another are not mixed in.
        rows: what can be asked.
        problems: what can't.
        metric: how replies are scored.
        harness: whose metric and prompt.
        submission: the two fields' names in the challenge's own submission file; None without one.
    """

    __test__ = False  # for pytest, which takes the name for a test's

    name: str
    identity: str
    rows: Sequence[Row]
    problems: Sequence[Problem]
    metric: MetricName
    harness: Harness = "lmms-eval"
    submission: tuple[str, str] | None = None


def load_test(
    source: str | os.PathLike[str],
    *,
    metric: MetricName = "contained",
    split: str | None = None,
    columns: ColumnMap | None = None,
    image_folder: str | os.PathLike[str] | None = None,
) -> TestSet:
    """Load questions of one's own: from a JSONL or parquet file, a folder, or the hub.

    A record has `image`, `question`, and `answers` (a list) or `answer`. Optional are `id`,
    `image_id`, `box` and `value` (four numbers, corners in fractions of the image), `key`,
    `options` (texts by letter) and `category`, as in `Row`. What `cropzoom label` and the trainer
    write is of this form.

    Args:
        source, columns, image_folder: as for `load_rows`; a folder may hold one JSONL file
            of any name.
        metric: how replies are scored.
        split: of what has several; "train" by default, which is the one where there is but one.

    Raises:
        DataError: there is no such thing, or it has no row that can be asked.
        MissingDependencyError: `datasets` is needed and not installed.
    """
    rows = load_rows(
        _only_file(source),
        split=split or "train",
        columns=columns,
        image_folder=image_folder,
        check_images="none",
        evaluation=True,
    )
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr((row.id, row.question, row.answers, row.box, row.options)).encode())
    identity = f"{Path(source).name} {split or 'train'} {digest.hexdigest()[:16]}"
    return TestSet(str(source), identity, rows, rows.skipped.rows, metric)


def _only_file(source: str | os.PathLike[str]) -> str | os.PathLike[str]:
    folder = Path(source)
    if not folder.is_dir() or (folder / ROWS_FILE).is_file():
        return source
    files = sorted(file for file in folder.iterdir() if file.suffix in JSONL)
    if len(files) > 1:
        raise DataError(f"{source} holds {len(files)} JSONL files; name the file itself")
    return files[0] if files else source
