"""What croppers that come as a folder share: checked once, loaded in each process, closed.

A runtime's threads do not live on in a forked child, where even freeing its session hangs. So a
child leaves what it inherited alone, and loads the model for itself when it is first needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
import weakref
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, cast

from cropzoom.cropper.folder import Folder, find_folder
from cropzoom.cropper.manifest import Manifest, read_manifest
from cropzoom.errors import CropperError, OptionsError

if TYPE_CHECKING:
    from PIL import Image
    from typing_extensions import Self

    from cropzoom.cropper.session import Device
    from cropzoom.cropper.trace import Trace
    from cropzoom.geometry import Crop

_Manifest = TypeVar("_Manifest", bound=Manifest)
_Loaded = TypeVar("_Loaded")


class FolderCropper(ABC, Generic[_Manifest, _Loaded]):
    """A cropper whose model and settings stand in a folder. Thread-safe.

    Closes with `close()` or as a context manager. Pickles as its folder's name and its settings.

    Args:
        folder: as found by `find_folder`, or a path.
        manifest: the folder's, where it was read already.
        device: "auto", "cpu" or "cuda"; "cuda" raises where it can't be had.
        threads: threads of one prediction; None for what this process may use.
        longest_edge: px that images are brought to, instead of what the manifest says.
        settings: further arguments of `load_cropper` that this kind takes.

    Raises:
        CropperError: the folder holds another kind of cropper, or none.
    """

    _manifest_class: ClassVar[type[Manifest]]
    _kind: ClassVar[str]
    """What the class is for, in messages."""

    _device: Literal["cpu", "cuda"]

    def __init__(
        self,
        folder: Folder | str | os.PathLike[str],
        manifest: _Manifest | None = None,
        *,
        device: Device = "auto",
        threads: int | None = None,
        longest_edge: int | None = None,
        **settings: Any,
    ) -> None:
        self._folder = folder if isinstance(folder, Folder) else find_folder(folder)
        given = read_manifest(self._folder) if manifest is None else manifest
        if not isinstance(given, self._manifest_class):
            raise CropperError(f"{self._folder.path} is no {self._kind}; load it with load_cropper")
        self._manifest = cast("_Manifest", given)
        sizes = {"longest_edge": longest_edge, **settings}
        self._settings: dict[str, Any] = {"device": device, "threads": threads, **sizes}
        self._loaded: _Loaded | None = None
        self._closed = False
        _croppers.add(self)
        self._prepare()
        self._model()

    @property
    def manifest(self) -> _Manifest:
        """What the cropper's `cropper.json` says."""
        return self._manifest

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where it runs."""
        return self._device

    @property
    @abstractmethod
    def longest_edge(self) -> int:
        """Longest side, in px, that images are brought to."""

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @abstractmethod
    def predict(
        self, image: Image.Image, question: str, k: int = 1, *, trace: Trace | None = None
    ) -> list[Crop]:
        """Return at most `k` regions for a question, best first; same input, same output."""

    def _prepare(self) -> None:
        """Check the settings, before any file but the manifest is read."""

    @abstractmethod
    def _load(self) -> _Loaded:
        """Check the folder's files and load the model; sets `_device`.

        Raises:
            CropperError, MissingDependencyError, OptionsError: see `load_cropper`.
        """

    def _model(self) -> _Loaded:
        """Return the model of this process.

        Raises:
            CropperError: the cropper is closed; or it can't be loaded again, in a forked child.
        """
        model = self._loaded
        if model is None:
            with loading:
                if self._closed:
                    raise CropperError("the cropper is closed; load it again")
                if self._loaded is None:
                    self._loaded = self._load()
                model = self._loaded
        return model

    def warmup(self) -> None:
        """Run once on an empty page, so that the first real prediction is as fast as the next."""
        from PIL import Image

        side = self.longest_edge
        self.predict(Image.new("RGB", (side, side), "white"), "warm up")

    def close(self) -> None:
        """Free the model; later predictions raise CropperError. Calling it again does nothing."""
        self._closed = True
        self._loaded = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        if self._closed:
            raise CropperError("the cropper is closed; load it again")
        return _load_again, (self._folder.name, self._settings)


def check_k(k: int) -> None:
    """Check how many regions are asked for.

    Raises:
        OptionsError: less than one.
    """
    if k < 1:
        raise OptionsError(f"k={k} must be at least 1")


def _load_again(name: str, settings: dict[str, Any]) -> object:
    from cropzoom.cropper import load_cropper

    return load_cropper(name, **settings)


_croppers: weakref.WeakSet[FolderCropper[Any, Any]] = weakref.WeakSet()
loading = threading.RLock()
"""Held while a model is loaded, so that no fork comes in between."""


def _after_fork() -> None:
    loading.release()
    for cropper in list(_croppers):
        inherited, cropper._loaded = cropper._loaded, None
        if inherited is not None:
            # Never freed: one reference more than there are names for it.
            with contextlib.suppress(AttributeError):
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=loading.acquire, after_in_parent=loading.release, after_in_child=_after_fork
    )
