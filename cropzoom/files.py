"""How cropzoom writes to disk: whole or not at all, or line by line so that it can go on.

And how it reads a file whose name a stranger gave.
"""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cropzoom.errors import CropZoomError, DataError, ImageError

if TYPE_CHECKING:
    from typing_extensions import Self


def write_whole(path: str | os.PathLike[str], data: bytes | str) -> Path:
    """Write a file beside its place, then move it there: it is never half-written.

    Args:
        path: of the file; its folder is made where missing.
        data: the content; text as UTF-8, with what UTF-8 can't hold replaced.

    Raises:
        DataError: it can't be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(data.encode("utf-8", "replace") if isinstance(data, str) else data)
        beside.replace(path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink()
        raise DataError(f"can't write {path}: {error}; choose another folder") from error
    return path


@contextmanager
def locked(path: str | os.PathLike[str], error: type[CropZoomError] = DataError) -> Iterator[None]:
    """Keep a file or folder to this process, on every system, until the block ends.

    Args:
        path: of the file or folder; a hidden lock file lies beside the one, or in the other.
        error: what to raise.

    Raises:
        error: another process has it, or the lock can't be made.
    """
    # Always there: huggingface_hub needs it, which tokenizers needs.
    from filelock import FileLock, Timeout

    path = Path(path)
    place = path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
    lock = FileLock(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise error(
            f"{path} is being written to by another process; wait, or choose another place"
        ) from None
    except OSError as reason:
        raise error(f"can't write {path}: {reason}; choose another place") from reason
    try:
        yield
    finally:
        lock.release()


class JsonLog:
    """JSON objects, one a line, only ever appended to, by one process at a time.

    An interrupted run goes on from it: opening cuts off a last line that a crash left torn.

    Args:
        path: of the file; made where it is missing.
        error: what to raise.

    Raises:
        error: the file can't be written, is in use, or has a line that is no JSON object.

    Attributes:
        entries: what the file held when it was opened.
    """

    def __init__(
        self, path: str | os.PathLike[str], error: type[CropZoomError] = DataError
    ) -> None:
        self.path, self._error = Path(path), error
        self._lock = locked(self.path, error)
        self._lock.__enter__()
        try:
            self._file = self.path.open("ab")
            self.entries = parse_lines(repaired(self.path), self.path, error)
        except BaseException as reason:
            self._lock.__exit__(None, None, None)
            if isinstance(reason, OSError):
                raise error(f"can't write {path}: {reason}; choose another place") from reason
            raise

    def add(self, entry: Mapping[str, Any]) -> None:
        """Append an entry; it is with the operating system when this returns.

        Raises:
            error: it can't be written.
        """
        line = json.dumps(entry, ensure_ascii=False) + "\n"
        try:
            # In one call, so that a crash tears at most the end of it.
            self._file.write(line.encode("utf-8", "replace"))
            self._file.flush()
        except OSError as reason:
            raise self._error(f"can't write {self.path}: {reason}") from reason

    def close(self) -> None:
        """Close the file and let others have it."""
        self._file.close()
        self._lock.__exit__(None, None, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def repaired(path: Path) -> bytes:
    """Return a log's content, after cutting off a last line that was not finished."""
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    return whole


def parse_lines(
    content: bytes, path: Path, error: type[CropZoomError] = DataError
) -> list[dict[str, Any]]:
    """Read a log's content; blank lines are passed over.

    Raises:
        error: a line is no JSON object; the line is named.
    """
    entries = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line:
            continue
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("no JSON object")
        except (ValueError, RecursionError) as reason:
            raise error(
                f"{path}, line {number} is broken ({reason}); take the line out, or choose "
                "another place"
            ) from reason
        entries.append(entry)
    return entries


_NO_WAIT = getattr(os, "O_NONBLOCK", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def read_inside(folder: Path, name: str, max_bytes: int) -> bytes | None:
    """Return the bytes of a picture's file below a folder; None where there is none.

    Args:
        folder: resolved.
        name: of the file; links are followed as long as they stay below the folder.
        max_bytes: most bytes of the file.

    Raises:
        ImageError: it is larger.
    """
    try:
        path = (folder / name).resolve()
        if not path.is_relative_to(folder):
            return None
        # A pipe would be waited for.
        handle = os.open(path, os.O_RDONLY | _NO_WAIT | _NO_LINK)
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            os.close(handle)
            return None
    except (OSError, ValueError, RuntimeError):
        return None
    with os.fdopen(handle, "rb") as file:
        # A folder on the way may have become a link in between.
        if path.resolve() != path or not os.path.samestat(status, path.stat()):
            return None
        if status.st_size > max_bytes:
            raise ImageError(
                f"the image has {status.st_size:,} bytes, the most is {max_bytes:,}; shrink it, or "
                "raise that limit (--max-bytes, max_bytes=)"
            )
        return file.read(max_bytes)
