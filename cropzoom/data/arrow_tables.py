"""Tables that `datasets` reads, and the presets' repositories. Pictures stay undecoded.

A path found in the data is hostile until it turns out to lead to a file inside a folder that the
user named or that `datasets` itself filled.
"""

from __future__ import annotations

import base64
import binascii
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cropzoom.errors import DataError, MissingDependencyError
from cropzoom.geometry import Box
from cropzoom.images import ImageSource, OpenedImage, decode_data_uri

from .columns import ColumnMap, Layout, Units
from .presets import Preset
from .row import BadRow


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
        return inside(value, self._folders)


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
            return inside(name, [Path(self._base)])
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


def inside(value: object, folders: Sequence[Path]) -> str:
    """Return the path of a file inside one of `folders`; relative paths start at the first.

    Raises:
        BadRow: it is missing, or in none of them, not even by a symbolic link.
    """
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


def load_table(path: str, split: str, **how: Any) -> Any:
    """Load what `datasets.load_dataset` takes.

    Raises:
        DataError: it can't.
        MissingDependencyError: `datasets` is not installed.
    """
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


def is_saved(folder: Path) -> bool:
    """Tell whether `datasets` saved a folder."""
    return any((folder / name).is_file() for name in ("state.json", "dataset_dict.json"))


def load_saved(folder: Path, split: str) -> Any:
    """Load a split of a folder that `datasets` saved.

    Raises:
        DataError: it can't be read, or has no such split.
        MissingDependencyError: `datasets` is not installed.
    """
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
