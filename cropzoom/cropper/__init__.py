"""Croppers: given an image and a question, where to look.

`load_cropper` gives the bundled one or one from a folder or the Hugging Face hub. Anything with a
`predict` method of the right form is a cropper.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from cropzoom.errors import OptionsError
from cropzoom.geometry import Crop

if TYPE_CHECKING:
    from PIL import Image

    from cropzoom.cropper.nano.nano_cropper import NanoCropper as NanoCropper
    from cropzoom.cropper.smolvlm.pointer_cropper import VlmPointerCropper as VlmPointerCropper
    from cropzoom.cropper.smolvlm.text_cropper import TextCropper as TextCropper

__all__ = ["Crop", "Cropper", "default_cropper", "load_cropper"]


@runtime_checkable
class Cropper(Protocol):
    """Proposes regions. Must be thread-safe and keep no state between calls.

    A cropper may have two more attributes, which save most of a large JPEG's decoding:
    `longest_edge`, an int, the longest side in px that it shrinks images to anyway, so images may
    come already shrunk, though never below that; and `grey`, True where colours are of no use to
    it, so images may come in mode L.
    """

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return at most `k` regions of an upright RGB image, best first; same input, same output.

        Boxes are in fractions of the image, so they hold at any resolution.
        """
        ...


def load_cropper(
    source: str | os.PathLike[str] = "nano",
    *,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    threads: int | None = None,
    longest_edge: int | None = None,
    second_look: int | None = None,
) -> NanoCropper | TextCropper | VlmPointerCropper:
    """Load a cropper of any kind.

    Args:
        source: "nano" (in this package), a folder with a `cropper.json`, or "org/name" on the
            Hugging Face hub. An existing folder wins over a name on the hub.
        device: "cuda" raises where it can't be had; "auto" takes what there is.
        threads: for one prediction; by default what this process may use (affinity, cgroup quota).
        longest_edge: px that images are shrunk to (or, by a vision-language model, enlarged to:
            512, 1024 or 2048 for SmolVLM); by default what the cropper was made for. Smaller is
            faster and misses smaller text.
        second_look: px at which an image that is larger than `longest_edge` is looked at once
            more where the first look is unsure, such as a dense page whose text became too small;
            for nano and its like. With 2048, nano finds most of the print of 8 to 12 px on a page
            of 2500 px, and takes nearly five times as long where it looks again.

    Raises:
        CropperError: folder, manifest, model file or provider at fault.
        OptionsError: a size is out of range, or the cropper takes no second look.
        MissingDependencyError: onnxruntime, or huggingface_hub for a name, is not installed.
    """
    from cropzoom.cropper.folder import find_folder
    from cropzoom.cropper.manifest import TextManifest, VlmPointerManifest, read_manifest

    folder = find_folder(source)
    manifest = read_manifest(folder)
    if second_look is not None and isinstance(manifest, TextManifest | VlmPointerManifest):
        raise OptionsError(
            f"second_look={second_look!r} is for croppers like nano; raise longest_edge instead"
        )
    settings: dict[str, Any] = {"device": device, "threads": threads, "longest_edge": longest_edge}
    if isinstance(manifest, TextManifest):
        from cropzoom.cropper.smolvlm.text_cropper import TextCropper

        return TextCropper(folder, manifest, **settings)
    if isinstance(manifest, VlmPointerManifest):
        from cropzoom.cropper.smolvlm.pointer_cropper import VlmPointerCropper

        return VlmPointerCropper(folder, manifest, **settings)
    from cropzoom.cropper.nano.nano_cropper import NanoCropper

    return NanoCropper(folder, manifest, **settings, second_look=second_look)


def default_cropper() -> Cropper:
    """Return the bundled cropper, loaded once in a process and shared; nobody closes it.

    Raises:
        CropperError, MissingDependencyError: as `load_cropper`.
    """
    global _default
    from cropzoom.cropper.base import loading

    with loading:
        if _default is None or _default.closed:
            _default = load_cropper()
        return _default


_default: NanoCropper | TextCropper | VlmPointerCropper | None = None
