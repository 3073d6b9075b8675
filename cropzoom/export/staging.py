"""A cropper's folder while it is made: beside its place, and put there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cropzoom.cropper.folder import MANIFEST_NAME
from cropzoom.cropper.manifest import SCHEMA, sealed
from cropzoom.errors import ExportError

CARD_NAME = "README.md"
PARITY_NAME = "parity.json"


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A folder to write into; put in the place of `out` at the end, or deleted on an exception.

    Raises:
        ExportError: `out` is something else than a cropper's folder, an empty one, or nothing; or
            can't be written.
    """
    if out.exists() and not _may_replace(out):
        raise ExportError(
            f"{out} is there, and is neither empty nor a cropper's folder; choose another name"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        name = tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}-")
    except OSError as error:
        raise ExportError(f"can't write {out}: {error}; choose another place") from error
    beside = Path(name)
    try:
        made = beside / "new"
        made.mkdir()
        yield made
        if out.exists():
            out.rename(beside / "old")
        try:
            made.rename(out)
        except OSError:
            if (beside / "old").exists():
                (beside / "old").rename(out)
            raise
    except OSError as error:
        raise ExportError(f"can't write {out}: {error}") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_manifest(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `cropper.json`: `content`, with size and SHA-256 of every file that is there.

    The card is left out: it is for people, and may be changed by them.

    Args:
        folder: with all its files.
        content: kind, name, ... as `read_manifest` reads them; `files` is added.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in (MANIFEST_NAME, CARD_NAME):
            files[name] = {"sha256": _sha256(path), "bytes": path.stat().st_size}
    whole = {"schema": SCHEMA, **content, "files": files}
    text = json.dumps(sealed(whole), indent=1, ensure_ascii=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _may_replace(out: Path) -> bool:
    if out.is_symlink() or not out.is_dir():
        return False
    return (out / MANIFEST_NAME).is_file() or not any(out.iterdir())
