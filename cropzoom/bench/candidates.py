"""What is timed: a cropper, or a torch model in one of its ways."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL import Image

from cropzoom.cropper.manifest import Manifest
from cropzoom.cropper.session import Device
from cropzoom.cropper.trace import Trace
from cropzoom.geometry import Box


class Predict(Protocol):
    """One prediction: fills in the trace, and returns the box or None."""

    def __call__(self, image: Image.Image, question: str, trace: Trace) -> Box | None: ...


@dataclass(frozen=True)
class Spec:
    """How to make a candidate; plain values, so that a fresh process can make it, too.

    Args:
        label: its name in the results.
        source: a cropper ("nano", folder, hub name); for the other ways a torch checkpoint.
        way: "cropper", ONNX; "generate", transformers' own on a text policy's prompt, as the
            authors of the paper do; "policy", the torch policy's best box.
        device, threads, longest_edge: as for `load_cropper`.
        tokens: `generate` writes exactly so many, for weights that would never end; None to let
            it end by itself.
    """

    label: str
    source: str
    way: Literal["cropper", "generate", "policy"] = "cropper"
    device: Device = "auto"
    threads: int | None = None
    longest_edge: int | None = None
    tokens: int | None = None

    def plain(self) -> dict[str, Any]:
        """Return it ready for `json.dumps`; `Spec(**plain)` is the same."""
        return asdict(self)


@dataclass
class Candidate:
    """Something to time.

    Args:
        label: as in its `Spec`.
        predict: one prediction.
        about: kind, name, hash, device, ...: what the results say of it.
        longest_edge, grey: how it takes images, see `Cropper`.
        keeps: whether it keeps its work on an image, so that a second question costs less.
        threadsafe: whether `predict` may run in several threads at once.
        close: frees it.
    """

    label: str
    predict: Predict
    about: dict[str, Any] = field(default_factory=dict)
    longest_edge: int | None = None
    grey: bool = False
    keeps: bool = False
    threadsafe: bool = False
    close: Callable[[], None] = lambda: None


def model_hash(manifest: Manifest) -> str:
    """Return a SHA-256 over all that decides what a cropper says: its files, and how to use them.

    Not its name, nor where it comes from.
    """
    content = asdict(manifest)
    for name in ("name", "version", "training"):
        del content[name]
    # What the ladder found is beside the model, not of it.
    content["files"].pop("parity.json", None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def weights_hash(folder: Path) -> str:
    """Return the SHA-256 over a checkpoint's weights and configurations."""
    digest = hashlib.sha256()
    # An adapter may lie in a folder of its own name.
    for path in sorted([*folder.rglob("*.safetensors"), *folder.rglob("*.json")]):
        digest.update(path.name.encode() + b"\0")
        with path.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
