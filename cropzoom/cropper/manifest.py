"""A cropper's folder: where it is, what `cropper.json` says, and whether the files are those.

A folder may come from anywhere, so nothing in it is believed: every value is checked, no path may
leave the folder, and a model's size and SHA-256 are checked before a runtime sees its bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from cropzoom.errors import CropperError, MissingDependencyError

BUNDLED = "nano"
MANIFEST_NAME = "cropper.json"
MODEL_NAME = "model.onnx"
SCHEMA = 1

_MAX_MANIFEST_BYTES = 1_000_000
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FILE_NAME = re.compile(r"[\w.-]+(/[\w.-]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Folder:
    """A cropper's folder.

    Args:
        path: holds `cropper.json`.
        root: no file may lie outside this; wider than `path` only in the hub's cache, whose
            folders are made of links into a folder beside them.
    """

    path: Path
    root: Path

    def read(self, name: str, *, limit: int) -> bytes:
        """Return a file's bytes.

        Raises:
            CropperError: it is missing, lies outside the folder, or is larger than `limit` bytes.
        """
        path = self.path / name
        try:
            if not path.resolve(strict=True).is_relative_to(self.root.resolve()):
                raise CropperError(f"{path} lies outside its folder; remove the link")
            size = path.stat().st_size
            if size > limit:
                raise CropperError(
                    f"{path} has {size:,} bytes, more than the {limit:,} expected; "
                    "fetch the cropper again"
                )
            with path.open("rb") as file:
                return file.read(limit + 1)
        except FileNotFoundError as error:
            raise CropperError(
                f"{path} is missing; a cropper folder holds {MANIFEST_NAME} and the files it names"
            ) from error
        except (OSError, ValueError, RuntimeError) as error:
            # ValueError: a name no file system takes; RuntimeError: links in a circle.
            raise CropperError(f"can't read {path}: {error}") from error


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a file must be: its SHA-256 in hex and its size in bytes."""

    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """How an image becomes the model's input.

    Args:
        longest_edge: px that a longer image is shrunk to.
        multiple: the padded sides are multiples of this, in px.
        pad_value: grey level of the padding, 0 to 255.
        max_upscale: factor by which a small image may be enlarged; 1 for never.
        max_aspect: an image more elongated than this is not looked at.
    """

    longest_edge: int
    multiple: int
    pad_value: int
    max_upscale: float
    max_aspect: float


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """How the model's output becomes boxes; lengths in px of the model's input.

    Args:
        cell: side of a cell.
        edge: distances from a cell's centre that an edge of the box may have, ascending.
        quantile: of each edge's distribution; above 0.5 a box is rather too large than too small.
        scale: the box is grown by this about its centre.
        pad_px: and then by this on each side.
        temperature: the logits are divided by it before the confidence is taken.
    """

    cell: int
    edge: tuple[float, ...]
    quantile: float
    scale: float
    pad_px: float
    temperature: float


@dataclass(frozen=True, slots=True)
class Manifest:
    """A checked `cropper.json` of kind `pointer`.

    Args:
        name, version, precision: for people.
        files: what every file of the folder must be.
        image: preprocessing.
        max_words: words of a question that the model takes.
        decode: decoding.
        training: where the model comes from; free form.
    """

    name: str
    version: str
    precision: str
    files: Mapping[str, FileEntry]
    image: ImageSpec
    max_words: int
    decode: DecodeSpec
    training: Mapping[str, Any]


def find_folder(source: str | os.PathLike[str]) -> Folder:
    """Find a cropper's folder: the bundled one, one on disk, or one on the hub (downloaded).

    Raises:
        CropperError: there is none by that name.
        MissingDependencyError: it is on the hub and huggingface_hub is not installed.
    """
    if source == BUNDLED:
        path = Path(__file__).with_name("bundled") / BUNDLED
        return Folder(path, path)
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


def read_manifest(folder: Folder) -> Manifest:
    """Read and check a folder's `cropper.json`; the files it names are checked by `read_model`.

    Raises:
        CropperError: missing, malformed, of another schema or kind, or with an impossible value.
    """
    where = str(folder.path / MANIFEST_NAME)
    data = folder.read(MANIFEST_NAME, limit=_MAX_MANIFEST_BYTES)
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CropperError(f"{where} is not JSON: {error}") from error
    top = _Section(where, "", plain)
    schema = top.take("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise CropperError(
            f"{where}: schema is {schema!r}, this cropzoom reads {SCHEMA}; "
            "upgrade cropzoom or export the cropper again"
        )
    kind = top.take("kind")
    if kind != "pointer":
        raise CropperError(
            f"{where}: kind is {kind!r}, this cropzoom reads 'pointer'; upgrade cropzoom"
        )
    manifest = Manifest(
        name=top.text("name"),
        version=top.text("version"),
        precision=top.text("precision"),
        files=_files(top.section("files")),
        image=_image(top.section("image")),
        max_words=_max_words(top.section("question")),
        decode=_decode(top.section("bins"), top.section("decode")),
        training=top.section("training").rest() if "training" in top else {},
    )
    top.finish()
    if manifest.image.multiple % manifest.decode.cell:
        raise CropperError(f"{where}: image.multiple is not a multiple of bins.cell")
    return manifest


def read_model(folder: Folder, manifest: Manifest) -> bytes:
    """Check every file the manifest names and return the model's bytes.

    The bytes that are checked are the bytes that are returned, so a file changed in between
    can't slip through.

    Raises:
        CropperError: a file is missing, altered, or outside the folder.
    """
    model = b""
    for name, entry in manifest.files.items():
        data = folder.read(name, limit=entry.bytes)
        digest = hashlib.sha256(data).hexdigest()
        if len(data) != entry.bytes or digest != entry.sha256:
            raise CropperError(
                f"{folder.path / name} is not the file {MANIFEST_NAME} describes "
                f"({len(data):,} bytes, sha256 {digest[:12]}..., expected {entry.bytes:,} bytes, "
                f"{entry.sha256[:12]}...): incomplete or altered; fetch the cropper again"
            )
        if name == MODEL_NAME:
            model = data
    return model


def _files(section: _Section) -> dict[str, FileEntry]:
    files: dict[str, FileEntry] = {}
    for name in section.names():
        if not _FILE_NAME.fullmatch(name) or not {".", ".."}.isdisjoint(name.split("/")):
            raise section.error(name, "must be a plain path inside the folder, like 'model.onnx'")
        entry = section.section(name)
        sha256 = entry.text("sha256")
        if not _SHA256.fullmatch(sha256):
            raise entry.error("sha256", "must be 64 hex digits in lower case")
        files[name] = FileEntry(sha256, entry.integer("bytes", 1, 1 << 34))
        entry.finish()
    if MODEL_NAME not in files:
        raise section.error(MODEL_NAME, "is missing")
    return files


def _image(section: _Section) -> ImageSpec:
    if section.take("mode") != "L":
        raise section.error("mode", "must be 'L'; upgrade cropzoom")
    spec = ImageSpec(
        longest_edge=section.integer("longest_edge", 16, 16384),
        multiple=section.integer("multiple", 1, 1024),
        pad_value=section.integer("pad_value", 0, 255),
        max_upscale=section.number("max_upscale", 1, 16, default=1.0),
        max_aspect=section.number("max_aspect", 1, math.inf, default=math.inf),
    )
    section.finish()
    return spec


def _max_words(section: _Section) -> int:
    if section.take("encoding") != "phoc":
        raise section.error("encoding", "must be 'phoc'; upgrade cropzoom")
    max_words = section.integer("max_words", 1, 1024)
    section.finish()
    return max_words


def _decode(bins: _Section, decode: _Section) -> DecodeSpec:
    edge = bins.take("edge")
    numbers = isinstance(edge, list) and all(type(value) in (int, float) for value in edge)
    if not numbers or not 2 <= len(edge) <= 1024:
        raise bins.error("edge", "must be a list of 2 to 1024 numbers")
    # `not (... < ...)` throughout: JSON's NaN compares false.
    rising = all(low < high for low, high in pairwise(edge))
    if not (edge[0] > 0 and edge[-1] <= 65536 and rising):
        raise bins.error("edge", "must ascend, from above 0 to at most 65536")
    spec = DecodeSpec(
        cell=bins.integer("cell", 1, 1024),
        edge=tuple(float(value) for value in edge),
        quantile=decode.number("quantile", 0.01, 0.999),
        scale=decode.number("scale", 1, 16),
        pad_px=decode.number("pad_px", 0, 4096),
        temperature=decode.number("temperature", 0.01, 100),
    )
    bins.finish()
    decode.finish()
    return spec


class _Section:
    """A JSON object whose keys are taken one by one; what is left over is an error.

    A key that is not understood might change what the cropper does, so it is not ignored.
    """

    def __init__(self, where: str, path: str, value: object) -> None:
        self._where = where
        self._path = path
        if not isinstance(value, dict):
            raise CropperError(f"{where}: {path or 'the file'} must hold an object")
        self._left = dict(value)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def error(self, name: str, rule: str) -> CropperError:
        return CropperError(f"{self._where}: {self._path}{name} {rule}")

    def names(self) -> list[str]:
        return list(self._left)

    def take(self, name: str) -> Any:
        if name not in self._left:
            raise self.error(name, "is missing")
        return self._left.pop(name)

    def section(self, name: str) -> _Section:
        return _Section(self._where, f"{self._path}{name}.", self.take(name))

    def rest(self) -> dict[str, Any]:
        left, self._left = self._left, {}
        return left

    def text(self, name: str) -> str:
        value = self.take(name)
        if not isinstance(value, str) or not value or len(value) > 200:
            raise self.error(name, "must be a string of 1 to 200 characters")
        return value

    def integer(self, name: str, low: int, high: int) -> int:
        value = self.take(name)
        if type(value) is not int or not low <= value <= high:
            raise self.error(name, f"must be a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        value = default if default is not None and name not in self._left else self.take(name)
        # The comparison refuses NaN, which Python's JSON reader lets through.
        if type(value) not in (int, float) or not low <= value <= high:
            raise self.error(name, f"must be a number from {low} to {high}")
        return float(value)

    def finish(self) -> None:
        if self._left:
            unknown = ", ".join(sorted(self._left))[:200]
            raise CropperError(
                f"{self._where}: unknown {self._path}{unknown}; upgrade cropzoom or remove it"
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
        path = Path(snapshot_download(name, allow_patterns=["*.json", "*.onnx"]))
    except Exception as error:
        # The hub's errors share no base: HTTP, validation, offline, disk.
        raise CropperError(
            f"can't fetch the cropper {name!r} from the Hugging Face hub "
            f"({type(error).__name__}: {error}); check the name, the network and your login"
        ) from error
    return Folder(path, path.parent.parent)
