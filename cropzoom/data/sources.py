"""Where records come from: JSONL, or whatever `datasets` reads. Pictures stay undecoded.

A path found in the data is hostile until it turns out to lead to a file inside a folder that the
user named or that `datasets` itself filled.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from cropzoom.errors import DataError, MissingDependencyError
from cropzoom.geometry import Box
from cropzoom.images import ImageSource, OpenedImage, decode_data_uri

from .columns import ColumnMap, Layout, Units
from .presets import PRESETS, Preset
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
        table = _load("parquet", split, data_files={"train": files})
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
        table, own = _load("parquet", split, data_files={"train": text}), path.parent
    elif path.is_dir():
        saved = _is_saved(path)
        table = _from_disk(path, split) if saved else _load(text, split, name=config)
        own = path
    elif path.exists() or not _HUB_NAME.fullmatch(text):
        raise DataError(
            f"{text!r} is no data: give a JSONL or parquet file, a folder, 'owner/name' on the "
            f"Hugging Face hub, or one of {', '.join(PRESETS)}"
        )
    else:
        table, own = _load(text, split, name=config), None
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
        return _allowed(record.get(self.columns["image"]), self._folders)


class Table:
    """A `datasets.Dataset`: Arrow tables on disk, mapped into memory.

    Args:
        dataset: the table.
        name: of the source.
        columns: by role.
        folders: where pictures may lie; relative paths start at the first.
        answered: whether rows need answers.
        further: columns that records have besides.

    Raises:
        DataError: a column is missing.
    """

    lazy = True
    box_form: tuple[Units, Layout] | None = None

    def __init__(
        self,
        dataset: Any,
        name: str,
        columns: ColumnMap | None,
        folders: Sequence[Path],
        *,
        answered: bool = True,
        further: Sequence[str] = (),
    ) -> None:
        from datasets import Image

        self.name, self._folders = name, folders
        self.columns = (columns or ColumnMap()).within(dataset.column_names, answered=answered)
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
        heads.update(name for name in further if name in dataset.column_names)
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


class Repository(Table):
    """A preset's table whose pictures are files of its repository, or base64 text."""

    def __init__(
        self,
        dataset: Any,
        name: str,
        columns: ColumnMap | None,
        folders: Sequence[Path],
        preset: Preset,
        base: str,
        *,
        answered: bool,
    ) -> None:
        letters = string.ascii_uppercase if preset.letters else ""
        super().__init__(dataset, name, columns, folders, answered=answered, further=letters)
        self._preset, self._base, self._letters = preset, base, letters
        if preset.letters:
            self.columns["options"] = "options"
        if preset.image == "path":
            self.columns |= {"box": "box", "value": "box"}
            self.box_form = ("fractions", "xyxy")

    def records(self) -> Iterator[tuple[int, Mapping[str, Any] | BadRow]]:
        """Yield (number from 0, record), with its options and its box."""
        for number, record in enumerate(self._rest):
            further: dict[str, Any] = {}
            if self._preset.letters:
                texts = {letter: record.get(letter) for letter in self._letters}
                # An option that isn't there is null, or NaN once pandas had it.
                further["options"] = {
                    letter: str(text)
                    for letter, text in texts.items()
                    if text is not None and text == text
                }
            if self._preset.image == "path":
                further["box"] = self._box_beside(self._images[number][self.columns["image"]])
            yield number, {**record, **further}

    def image(self, number: int) -> ImageSource:
        """Return a record's picture: a path, or bytes."""
        value = self._images[number][self.columns["image"]]
        if self._preset.image == "path":
            return self._file(value)
        if self._preset.image == "embedded":
            return super().image(number)
        if not isinstance(value, str) or not value:
            raise BadRow("no image", "the record has no base64 text")
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            return decode_data_uri(f"data:;base64,{value}")

    def _file(self, name: object) -> str:
        """Return the path of a file of the repository, downloaded if need be."""
        if not self._base.startswith("hf://"):
            return _allowed(name, [Path(self._base)])
        if not isinstance(name, str) or not name or ".." in name.split("/") or name.startswith("/"):
            raise BadRow("no image", f"{name!r} is no path in the repository")
        from huggingface_hub import hf_hub_download

        repo = self._base.removeprefix("hf://datasets/")
        try:
            return hf_hub_download(repo, name, repo_type="dataset")
        except Exception as error:
            # The hub's and the network's errors have no common class.
            raise BadRow("no image", f"can't download {name} of {repo}: {error}") from error

    def _box_beside(self, name: object) -> list[float] | None:
        """Return the box round the objects in question, from the JSON file beside V*'s picture."""
        try:
            width, height = OpenedImage(self._file(name)).size
            beside = Path(self._file(Path(str(name)).with_suffix(".json").as_posix()))
            corners = [
                (x, y, x + w, y + h) for x, y, w, h in json.loads(beside.read_bytes())["bbox"]
            ]
        except (BadRow, OSError, ValueError, KeyError, TypeError):
            # Without it the row can still be asked; only the oracle can't look.
            return None
        if not corners:
            return None
        lefts, tops, rights, bottoms = zip(*corners, strict=True)
        ends = min(lefts) / width, min(tops) / height, max(rights) / width, max(bottoms) / height
        box = Box.ordered(*ends, min_side=1e-3)
        return [box.x0, box.y0, box.x1, box.y1]


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
    if local is not None and _is_saved(local):
        return Table(_from_disk(local, split), name, columns, _folders(folder, local))
    base = f"hf://datasets/{place or preset.repo}" if local is None else local.as_posix()
    splits = [part.partition("[")[0] for part in split.split("+")]
    unknown = set(splits) - set(preset.files)
    if unknown:
        raise DataError(
            f"{name} has no split {sorted(unknown)[0]!r}; it has {', '.join(preset.files)}"
        )
    files = {part: f"{base}/{preset.files[part]}" for part in splits}
    kind = "json" if all(file.endswith(JSONL) for file in files.values()) else "parquet"
    table = _load(kind, split, data_files=files)
    folders = _folders(folder, local)
    if preset.image == "embedded" and not preset.letters:
        return Table(table, name, columns, folders, answered=answered)
    return Repository(table, name, columns, folders, preset, base, answered=answered)


def _is_elsewhere(place: str) -> bool:
    return not Path(place).exists() and _HUB_NAME.fullmatch(place) is not None


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
            "name, the configuration, the split and the network; a preset's files may also be "
            "read from a local copy of its repository (--source)"
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
    if not isinstance(entry, dict):
        return BadRow("bad line", "not a JSON object")
    return entry if "answers" in entry else {**entry, "answers": entry.get("answer")}
