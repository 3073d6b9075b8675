"""The parity ladder: how far an exported cropper is from the torch model, rung by rung.

A rung holds what was measured against its limit; the report is stored beside the model, passed or
not. What each kind of cropper measures is in `verify_text.py` and `verify_pointer.py`.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from cropzoom.environment import versions
from cropzoom.geometry import Box
from cropzoom.images import load_image
from cropzoom.samples import load_samples


@dataclass(frozen=True, slots=True)
class Sample:
    """A bundled picture and a question about it. Policies can collate it like a `Row`."""

    file: str
    picture: Image.Image
    question: str

    def load(self) -> Image.Image:
        """Return the picture: upright RGB."""
        return self.picture


def samples(count: int) -> list[Sample]:
    """Return the first `count` of the bundled questions, each picture once before any again."""
    pictures = load_samples()
    asked = [
        (picture, picture.questions[turn])
        for turn in range(max(len(picture.questions) for picture in pictures))
        for picture in pictures
        if turn < len(picture.questions)
    ]
    return [
        Sample(picture.path.name, load_image(picture.path), question.question)
        for picture, question in asked[:count]
    ]


@dataclass(frozen=True, slots=True)
class Rung:
    """One comparison.

    Args:
        name: what was compared.
        measure: what the value is.
        value: the worst, or the share or mean, over all samples.
        limit: what it may be at most, or must be at least.
        at_least: which of the two.
    """

    name: str
    measure: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def passed(self) -> bool:
        """Whether the limit is kept; NaN keeps none."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass
class Ladder:
    """All rungs of an export.

    Args:
        precision: of the exported graphs; the reference is fp32 always.
        device: where they ran.
        rungs: in the order in which errors grow together.
        boxes: for each sample: file, question, the box of either, and their IoU.
        notes: counts worth knowing.
    """

    precision: str
    device: str
    rungs: list[Rung] = field(default_factory=list)
    boxes: list[dict[str, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every rung holds."""
        return all(rung.passed for rung in self.rungs)

    def add_boxes(self, sample: Sample, reference: Box | None, found: Box | None) -> None:
        """Note what both say of a sample; None for no box."""
        same = reference is None and found is None
        iou = reference.iou(found) if reference and found else float(same)
        self.boxes.append(
            {
                "image": sample.file,
                "question": sample.question,
                "torch": _corners(reference),
                "onnx": _corners(found),
                "iou": round(iou, 4),
            }
        )

    def box_rungs(self, mean: float, least: float) -> list[Rung]:
        """The last rungs: mean and least IoU of the boxes, with their limits."""
        ious = [entry["iou"] for entry in self.boxes]
        return [
            Rung("boxes", "mean IoU", float(np.mean(ious)), mean, at_least=True),
            Rung("boxes", "least IoU", float(np.min(ious)), least, at_least=True),
        ]

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        packages = ("torch", "transformers", "onnxruntime", "onnxruntime-gpu", "cropzoom")
        content = {
            "passed": self.passed,
            "precision": self.precision,
            "device": self.device,
            "machine": platform.machine(),
            "versions": versions(packages),
            "rungs": [asdict(rung) | {"passed": rung.passed} for rung in self.rungs],
            "boxes": self.boxes,
            **self.notes,
        }
        path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


class Worst:
    """The largest error of each thing compared, relative to the reference's largest value."""

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}

    def note(self, name: str, expected: Any, found: npt.NDArray[Any]) -> None:
        """Compare two arrays of one shape."""
        wanted = np.asarray(expected, np.float64)
        if wanted.shape != found.shape:
            raise AssertionError(f"{name}: torch gives {wanted.shape}, ONNX {found.shape}")
        scale = max(float(np.abs(wanted).max()), 1e-12)
        error = float(np.abs(wanted - found.astype(np.float64)).max()) / scale
        # np.maximum: it hands NaN on.
        self.errors[name] = float(np.maximum(self.errors.get(name, 0.0), error))

    def rungs(self, limits: Iterable[tuple[str, float]]) -> list[Rung]:
        """A rung for each name that was noted."""
        return [
            Rung(name, "largest relative error", self.errors[name], limit)
            for name, limit in limits
            if name in self.errors
        ]


def _corners(box: Box | None) -> list[float] | None:
    return None if box is None else [round(v, 6) for v in (box.x0, box.y0, box.x1, box.y1)]
