"""Where records come from: JSONL, or whatever `datasets` reads (`arrow_tables.py`)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cropzoom.errors import DataError
from cropzoom.images import ImageSource

from .arrow_tables import Repository, Table, inside, is_saved, load_saved, load_table
from .columns import ColumnMap, Layout, Units
from .presets import PRESETS
from .row import BadRow
from .writing import ROWS_FILE

JSONL = (".jsonl", ".ndjson")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
PathLike = str | os.PathLike[str]


class Source(Protocol):
    """Records by number.

    Attributes:
        name: what to call it in messages, and in rows without a source of their own.
        columns: the columns to read, by role.
        lazy: whether pictures are fetched when they are used; else `image` returns a path.
        box_form: units and layout of its boxes; None: as the caller says.
    """

    name: str
    columns: dict[str, str]
    lazy: bool
    box_form: tuple[Units, Layout] | None

    def records(self) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        """Yield (number, record) without the pictures; a `BadRow` for what is no record."""

    def image(self, number: int) -> ImageSource:
        """Fetch a record's picture: bytes of a file, or a path.

        Raises:
            BadRow: there is none, or it lies outside the allowed folders.
            ImageError: it is broken.
        """


def open_source(
    source: PathLike | Sequence[PathLike],
    *,
    preset: str | None,
    split: str,
    config: str | None,
    columns: ColumnMap | None,
    folder: PathLike | None,
    answered: bool,
) -> Source:
    """Find out what `source` is, and open it.

    Args:
        source, preset, split, config, columns, folder: as for `load_rows`.
        answered: whether rows need answers.

    Raises:
        DataError: there is no such thing, or a column is missing.
        MissingDependencyError: `datasets` is needed and not installed.
    """
    if not isinstance(source, (str, os.PathLike)):
        files = [os.fspath(path) for path in source]
        if not files or not all(path.endswith(".parquet") for path in files):
            raise DataError(f"{files} must be parquet files; load others one by one and add them")
        table = load_table("parquet", split, data_files={"train": files})
        folders = _folders(folder, Path(files[0]).parent)
        return Table(table, Path(files[0]).stem, columns, folders, answered=answered)
    text = os.fspath(source)
    path = Path(text)
    own: Path | None
    if preset is None and text in PRESETS and not path.exists():
        return _open_preset(text, None, split, columns, folder, answered)
    if preset is not None:
        return _open_preset(preset, text, split, columns, folder, answered)
    if path.is_dir() and (path / ROWS_FILE).is_file():
        path = path / ROWS_FILE
    if path.suffix in JSONL:
        if split != "train":
            raise DataError(f"{path} is one file without splits; split={split!r} makes no sense")
        folders = _folders(folder, path.parent, caches=False)
        return JsonLines(path, columns, folders, answered=answered)
    if path.suffix == ".parquet":
        table, own = load_table("parquet", split, data_files={"train": text}), path.parent
    elif path.is_dir():
        saved = is_saved(path)
        table = load_saved(path, split) if saved else load_table(text, split, name=config)
        own = path
    elif path.exists() or not _HUB_NAME.fullmatch(text):
        raise DataError(
            f"{text!r} is no data: give a JSONL or parquet file, a folder, 'owner/name' on the "
            f"Hugging Face hub, or one of {', '.join(PRESETS)}"
        )
    else:
        table, own = load_table(text, split, name=config), None
    name = path.stem if path.suffix == ".parquet" else path.name if own else text
    return Table(table, name, columns, _folders(folder, own), answered=answered)


class JsonLines:
    """A JSONL file, read whole; its images are paths inside `folders`.

    Raises:
        DataError: it can't be read, or a column is missing.
    """

    lazy = False
    box_form: tuple[Units, Layout] | None = None

    def __init__(
        self,
        path: Path,
        columns: ColumnMap | None,
        folders: Sequence[Path],
        *,
        answered: bool = True,
    ) -> None:
        self.name, self._folders = path.stem, folders
        if path.name == ROWS_FILE:
            self.name = path.absolute().parent.name
        self._lines: dict[int, dict[str, Any] | BadRow] = {}
        try:
            # Split by "\n" alone: a string may hold other line ends, unescaped.
            lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        except OSError as error:
            raise DataError(f"can't read {path}: {error.strerror}") from error
        for number, line in enumerate(lines, 1):
            if line.strip():
                self._lines[number] = _parsed(line)
        names: set[str] = set()
        for entry in self._lines.values():
            if isinstance(entry, dict):
                names.update(entry)
        if not names:
            raise DataError(f"{path} has no JSON object on any line")
        self.columns = (columns or ColumnMap()).within(names, answered=answered)

    def records(self) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        """Yield (line number, object)."""
        yield from self._lines.items()

    def image(self, number: int) -> str:
        """Return the path to a record's picture."""
        record = self._lines[number]
        if isinstance(record, BadRow):
            raise record
        return inside(record.get(self.columns["image"]), self._folders)


def _folders(folder: PathLike | None, own: Path | None, *, caches: bool = True) -> list[Path]:
    """Return the folders in which paths may lie: the user's, else the data's own and the caches."""
    if folder is not None:
        if not Path(folder).is_dir():
            raise DataError(f"the image folder {folder} is no folder")
        return [Path(folder)]
    folders = [] if own is None else [own]
    if caches:
        import datasets.config
        import huggingface_hub.constants

        # Where `datasets` puts what it downloads and unpacks.
        folders.append(Path(datasets.config.HF_DATASETS_CACHE))
        folders.append(Path(huggingface_hub.constants.HF_HUB_CACHE))
    return folders


def _open_preset(
    name: str,
    place: str | None,
    split: str,
    columns: ColumnMap | None,
    folder: PathLike | None,
    answered: bool,
) -> Table:
    """Open a preset's data at a local folder or "owner/name"; None: at its own place."""
    if name not in PRESETS:
        raise DataError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    columns = columns or (preset.training_columns if answered else preset.columns)
    local = None if place is None or _is_elsewhere(place) else Path(place)
    if local is not None and is_saved(local):
        return Table(load_saved(local, split), name, columns, _folders(folder, local))
    base = f"hf://datasets/{place or preset.repo}" if local is None else local.as_posix()
    splits = [part.partition("[")[0] for part in split.split("+")]
    unknown = set(splits) - set(preset.files)
    if unknown:
        raise DataError(
            f"{name} has no split {sorted(unknown)[0]!r}; it has {', '.join(preset.files)}"
        )
    files = {part: f"{base}/{preset.files[part]}" for part in splits}
    kind = "json" if all(file.endswith(JSONL) for file in files.values()) else "parquet"
    table = load_table(kind, split, data_files=files)
    folders = _folders(folder, local)
    if preset.image == "embedded" and not preset.letters:
        return Table(table, name, columns, folders, answered=answered)
    return Repository(table, name, columns, folders, preset, base, answered=answered)


def _is_elsewhere(place: str) -> bool:
    return not Path(place).exists() and _HUB_NAME.fullmatch(place) is not None


def _parsed(line: bytes) -> dict[str, Any] | BadRow:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow("bad line", str(error)[:200])
    if not isinstance(entry, dict):
        return BadRow("bad line", "not a JSON object")
    return entry if "answers" in entry else {**entry, "answers": entry.get("answer")}
