"""The tables of `data/`: lines with columns parted by tabs, `#` before a comment."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files
from pathlib import Path

FOLDER = Path(str(files(__package__) / "data"))


def read_table(file: Path) -> list[list[str]]:
    """A file's lines as their columns, without comments and empty lines."""
    text = file.read_text("utf-8")
    return [line.split("\t") for line in text.splitlines() if line and not line.startswith("#")]


@lru_cache(maxsize=64)
def read_data(name: str) -> list[list[str]]:
    """As `read_table`, of a file of `data/`."""
    return read_table(FOLDER / name)


def forms(row: list[str], column: int) -> tuple[str, ...]:
    """The entries of a column, parted by bars; none where the row ends before it."""
    return tuple(row[column].split("|")) if len(row) > column else ()
