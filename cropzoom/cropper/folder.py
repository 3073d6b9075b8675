"""A cropper's folder: where it is, and files of it that are what the manifest says.

A folder may come from anywhere, so nothing in it is believed: no path may leave the folder, and a
file's size and SHA-256 are checked before a runtime sees its bytes.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cropzoom.errors import CropperError, MissingDependencyError

BUNDLED = "nano"
MANIFEST_NAME = "cropper.json"

_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
# Larger files are weights: mapped, they take no memory of their own.
_MAPPED_BYTES = 32 << 20

Content = bytes | mmap.mmap
"""What a file holds."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a file must be: its SHA-256 in hex and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Folder:
    """A cropper's folder.

    Args:
        path: holds `cropper.json`.
        root: no file may lie outside this; wider than `path` only in the hub's cache, whose
            folders are made of links into a folder beside them.
        source: by which it is found again, in another process, too; "" for `path`.
    """

    path: Path
    root: Path
    source: str = ""

    @property
    def name(self) -> str:
        """What `find_folder` finds it by, wherever it is called."""
        return self.source or str(self.path.absolute())

    def read(self, name: str, *, limit: int, mapped: bool = False) -> Content:
        """Return a file's content.

        Args:
            name: relative to the folder.
            limit: most bytes it may have.
            mapped: map it into memory instead of reading it; it must not be changed meanwhile.

        Raises:
            CropperError: it is missing, lies outside the folder, or is larger than `limit`.
        """
        path = self.path / name
        try:
            if not path.resolve(strict=True).is_relative_to(self.root.resolve()):
                raise CropperError(f"{path} lies outside its folder; remove the link")
            with open(path, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                size = status.st_size
                if not stat.S_ISREG(status.st_mode):
                    raise CropperError(f"{path} is not a regular file; put the file there")
                if size > limit:
                    raise CropperError(
                        f"{path} has {size:,} bytes, more than the {limit:,} expected; "
                        "fetch the cropper again"
                    )
                if mapped and size:
                    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                return file.read(limit + 1)
        except FileNotFoundError as error:
            raise CropperError(
                f"{path} is missing; a cropper folder holds {MANIFEST_NAME} and the files it names"
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            # ValueError: a name no file system takes; RuntimeError: links in a circle.
            raise CropperError(f"can't read {path}: {error}") from error

    def checked(self, name: str, entry: FileEntry) -> Content:
        """Return a file's content if it is what `entry` says; large files are mapped.

        The bytes that are checked are the bytes that are returned, so a file replaced in between
        can't slip through. (A mapped file that is overwritten in place does.)

        Raises:
            CropperError: the file is missing, altered, or outside the folder.
        """
        data = self.read(name, limit=entry.bytes, mapped=entry.bytes > _MAPPED_BYTES)
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != entry.bytes or digest != entry.sha256:
            raise CropperError(
                f"{self.path / name} is not the file {MANIFEST_NAME} describes "
                f"({len(data):,} bytes, sha256 {digest[:12]}..., expected {entry.bytes:,} bytes, "
                f"{entry.sha256[:12]}...): incomplete or altered; fetch the cropper again"
            )
        return data


def _open_at_once(path: str, flags: int) -> int:
    # Opening a named pipe would wait for a writer.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def find_folder(source: str | os.PathLike[str]) -> Folder:
    """Find a cropper's folder: the bundled one, one on disk, or one on the hub (downloaded).

    Raises:
        CropperError: there is none by that name.
        MissingDependencyError: it is on the hub and huggingface_hub is not installed.
    """
    if source == BUNDLED:
        path = Path(__file__).with_name("bundled") / BUNDLED
        return Folder(path, path, BUNDLED)
    path = Path(source)
    if path.is_dir():
        return Folder(path, path)
    name = str(source)
    if isinstance(source, str) and _HUB_NAME.fullmatch(name) and not path.exists():
        return _download(name)
    raise CropperError(
        f"no cropper {name!r}: give {BUNDLED!r}, a folder with a {MANIFEST_NAME}, "
        "or 'org/name' on the Hugging Face hub"
    )


def _download(name: str) -> Folder:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            f"the cropper {name!r} is not a folder, and to fetch it from the Hugging Face hub "
            "huggingface_hub is needed: pip install huggingface_hub"
        ) from error
    try:
        # Data only: no code, no pickles.
        kinds = ["*.json", "*.onnx", "*.onnx_data", "*.npz"]
        path = Path(snapshot_download(name, allow_patterns=kinds))
    except Exception as error:
        # The hub's errors share no base: HTTP, validation, offline, disk.
        raise CropperError(
            f"can't fetch the cropper {name!r} from the Hugging Face hub "
            f"({type(error).__name__}: {error}); check the name, the network and your login"
        ) from error
    return Folder(path, path.parent.parent, name)
