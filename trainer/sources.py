"""Where records come from: JSONL, or whatever `datasets` reads. Pictures stay undecoded.

A path found in the data is hostile until it turns out to lead to a file inside a folder that the
user named or that `datasets` itself filled.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cropzoom.errors import DataError, MissingDependencyError
from cropzoom.images import ImageSource

from .columns import BadRow, ColumnMap
from .presets import PRESETS
from .writing import ROWS_FILE

_JSONL = (".jsonl", ".ndjson")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
PathLike = str | os.PathLike[str]


class Pictures(Protocol):
    """Pictures by number."""

    def image(self, number: int) -> ImageSource:
        """Fetch a record's picture: bytes of a file, or a path.

        Raises:
            BadRow: there is none, or it lies outside the allowed folders.
        """


class Source(Pictures, Protocol):
    """Records by number.

    Attributes:
        name: what to call it in messages, and in rows without a source of their own.
        columns: the columns to read, by role.
    """

    name: str
    columns: dict[str, str]

    def records(self) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        """Yield (number, record) without the pictures; a `BadRow` for what is no record."""


def open_source(
    source: PathLike | Sequence[PathLike],
    *,
    preset: str | None,
    split: str,
    config: str | None,
    columns: ColumnMap | None,
    folder: PathLike | None,
) -> Source:
    """Find out what `source` is, and open it. Arguments as for `load_rows`.

    Raises:
        DataError: there is no such thing, or a column is missing.
        MissingDependencyError: `datasets` is needed and not installed.
    """
    if not isinstance(source, (str, os.PathLike)):
        files = [os.fspath(path) for path in source]
        if not files or not all(path.endswith(".parquet") for path in files):
            raise DataError(f"{files} must be parquet files; load others one by one and add them")
        table = _load("parquet", split, data_files={"train": files})
        return Table(table, Path(files[0]).stem, columns, _folders(folder, Path(files[0]).parent))
    text = os.fspath(source)
    path = Path(text)
    if preset is None and text in PRESETS and not path.exists():
        return _open_preset(text, None, split, columns, folder)
    if preset is not None:
        return _open_preset(preset, path, split, columns, folder)
    if path.is_dir() and (path / ROWS_FILE).is_file():
        path = path / ROWS_FILE
    if path.suffix in _JSONL:
        if split != "train":
            raise DataError(f"{path} is one file without splits; split={split!r} makes no sense")
        return JsonLines(path, columns, _folders(folder, path.parent, caches=False))
    if path.suffix == ".parquet":
        table = _load("parquet", split, data_files={"train": text})
        return Table(table, path.stem, columns, _folders(folder, path.parent))
    if path.is_dir():
        table = _from_disk(path, split) if _is_saved(path) else _load(text, split, name=config)
        return Table(table, path.name, columns, _folders(folder, path))
    if path.exists() or not _HUB_NAME.fullmatch(text):
        raise DataError(
            f"{text!r} is no data: give a JSONL or parquet file, a folder, 'owner/name' on the "
            f"Hugging Face hub, or one of {', '.join(PRESETS)}"
        )
    return Table(_load(text, split, name=config), text, columns, _folders(folder, None))


class JsonLines:
    """A JSONL file, read whole; its images are paths inside `folders`.

    Raises:
        DataError: it can't be read, or a column is missing.
    """

    def __init__(self, path: Path, columns: ColumnMap | None, folders: Sequence[Path]) -> None:
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
        self.columns = (columns or ColumnMap()).within(names)

    def records(self) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        """Yield (line number, object)."""
        yield from self._lines.items()

    def image(self, number: int) -> str:
        """Return the path to a record's picture."""
        record = self._lines[number]
        if isinstance(record, BadRow):
            raise record
        return _allowed(record.get(self.columns["image"]), self._folders)


class Table:
    """A `datasets.Dataset`: Arrow tables on disk, mapped into memory.

    Raises:
        DataError: a column is missing.
    """

    def __init__(
        self, dataset: Any, name: str, columns: ColumnMap | None, folders: Sequence[Path]
    ) -> None:
        from datasets import Image

        self.name, self._folders = name, folders
        self.columns = (columns or ColumnMap()).within(dataset.column_names)
        column = self.columns["image"]
        if column not in dataset.column_names:
            raise DataError(f"image={column} must be a column of its own")
        feature = dataset.features[column]
        if isinstance(feature, Image):
            dataset = dataset.cast_column(column, Image(decode=False))
        elif isinstance(getattr(feature, "feature", None), Image):
            dataset = dataset.cast_column(column, type(feature)(Image(decode=False)))
        self._images = dataset.select_columns([column])
        heads = {
            name if name in dataset.column_names else name.partition(".")[0]
            for role, name in self.columns.items()
            if role != "image"
        }
        self._rest = dataset.select_columns(sorted(heads))

    def records(self) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        """Yield (number from 0, record)."""
        yield from enumerate(self._rest)

    def image(self, number: int) -> ImageSource:
        """Return a record's picture: bytes, or a path."""
        value = self._images[number][self.columns["image"]]
        if isinstance(value, list):
            if len(value) != 1:
                raise BadRow("not one image", f"a list of {len(value)}")
            value = value[0]
        if isinstance(value, Mapping):
            data = value.get("bytes")
            value = data if data is not None else value.get("path")
        if isinstance(value, bytes):
            return value
        return _allowed(value, self._folders)


def _allowed(value: object, folders: Sequence[Path]) -> str:
    """Return the path of a file inside one of `folders`; relative paths start at the first."""
    if not isinstance(value, str) or not value:
        raise BadRow("no image", repr(value)[:80])
    try:
        path = (folders[0] / value).resolve()
        if not any(path.is_relative_to(folder.resolve()) for folder in folders):
            raise BadRow(
                "image outside the folder", f"{value[:200]!r} leaves {folders[0]} (image folder)"
            )
        if not path.is_file():
            raise BadRow("missing image", str(path)[:300])
    except (OSError, ValueError, RuntimeError) as error:
        raise BadRow("missing image", f"{value[:80]!r}: {error}") from error
    return str(path)


def _folders(given: PathLike | None, own: Path | None, *, caches: bool = True) -> list[Path]:
    """Return the folders in which paths may lie: the user's, else the data's own and the caches."""
    if given is not None:
        if not Path(given).is_dir():
            raise DataError(f"the image folder {given} is no folder")
        return [Path(given)]
    folders = [] if own is None else [own]
    if caches:
        import datasets.config
        import huggingface_hub.constants

        # Where `datasets` puts what it downloads and unpacks.
        folders.append(Path(datasets.config.HF_DATASETS_CACHE))
        folders.append(Path(huggingface_hub.constants.HF_HUB_CACHE))
    return folders


def _open_preset(
    name: str, local: Path | None, split: str, columns: ColumnMap | None, folder: PathLike | None
) -> Table:
    if name not in PRESETS:
        raise DataError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}")
    preset = PRESETS[name]
    if local is not None and _is_saved(local):
        table = _from_disk(local, split)
    else:
        base = f"hf://datasets/{preset.repo}" if local is None else local.as_posix()
        splits = [part.partition("[")[0] for part in split.split("+")]
        unknown = set(splits) - set(preset.files)
        if unknown:
            raise DataError(
                f"{name} has no split {sorted(unknown)[0]!r}; it has {', '.join(preset.files)}"
            )
        files = {part: f"{base}/{preset.files[part]}" for part in splits}
        table = _load("parquet", split, data_files=files)
    return Table(table, name, columns or preset.columns, _folders(folder, local))


def _load(path: str, split: str, **how: Any) -> Any:
    datasets = _datasets()
    try:
        # Data only: recent releases of datasets run no code of a repository.
        return datasets.load_dataset(path, split=split, **how)
    except Exception as error:
        # Its errors have no common class, and some come from pyarrow or the network.
        what = how.get("data_files", {"": path})
        raise DataError(
            f"datasets can't load {list(what.values())} (split {split!r}): {error}. Check the "
            "name, the configuration, the split and the network"
        ) from error


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def _from_disk(folder: Path, split: str) -> Any:
    datasets = _datasets()
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:
        raise DataError(f"datasets can't load the folder {folder}: {error}") from error
    if not isinstance(loaded, datasets.DatasetDict):
        loaded = {"train": loaded}
    if split not in loaded:
        raise DataError(f"{folder} has no split {split!r}; it has {', '.join(loaded)}")
    return loaded[split]


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError(
            "this data needs the datasets package; pip install 'cropzoom[train]'"
        ) from error
    return datasets


def _parsed(line: bytes) -> dict[str, Any] | BadRow:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        return BadRow("bad line", str(error)[:200])
    return entry if isinstance(entry, dict) else BadRow("bad line", "not a JSON object")
