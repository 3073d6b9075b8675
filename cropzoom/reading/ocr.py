"""Reading the text of an image with rapidocr (PP-OCR in ONNX Runtime; its models come with it)."""

from __future__ import annotations

import importlib.util
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from cropzoom.cropper.session import import_onnxruntime
from cropzoom.environment import usable_threads
from cropzoom.errors import MissingDependencyError
from cropzoom.geometry import Box

# The detector was made for text of ten pixels and more. Enlarging a small picture adds no detail,
# it only brings the lines to a size at which they are found at all.
_WORKING_SIDE = 896


@dataclass(frozen=True, slots=True)
class Line:
    """A run of text found in an image.

    Args:
        text: as read; spaces may be missing.
        box: where, in fractions of the image.
        confidence: the recogniser's mean per character, in [0, 1].
    """

    text: str
    box: Box
    confidence: float


class OcrReader:
    """Finds and reads lines of printed text. Deterministic; safe to share between threads.

    The models (31 MB, inside the rapidocr package: nothing is downloaded) are loaded at the first
    `read`. Reading takes about a second per image and core.

    Args:
        threads: CPU threads per image; None takes all that this process may use.

    Raises:
        MissingDependencyError: rapidocr or ONNX Runtime is not installed.
    """

    def __init__(self, *, threads: int | None = None) -> None:
        self._threads = threads
        self._engine: Any = None
        self._lock = threading.Lock()

    def read(self, image: Image.Image) -> list[Line]:
        """Return the lines of an upright image, of any mode and size, from top to bottom."""
        rgb = image.convert("RGB")
        zoom = _WORKING_SIDE / max(rgb.size)
        if zoom > 1:
            size = (max(1, round(rgb.width * zoom)), max(1, round(rgb.height * zoom)))
            rgb = rgb.resize(size, Image.Resampling.BICUBIC)
        pixels = np.asarray(rgb)[:, :, ::-1]  # BGR, as the models were trained
        # rapidocr keeps per-call state in the engine, so one call at a time.
        with self._lock:
            if self._engine is None:
                self._engine = _engine(self._threads)
            result = self._engine(pixels)
        if result.boxes is None or result.txts is None:
            return []
        lines = []
        for corners, text, score in zip(result.boxes, result.txts, result.scores, strict=True):
            xs, ys = corners[:, 0] / rgb.width, corners[:, 1] / rgb.height
            box = Box.ordered(xs.min(), ys.min(), xs.max(), ys.max(), min_side=1e-4)
            lines.append(Line(text=str(text), box=box, confidence=float(score)))
        return lines


def require_reader() -> None:
    """Check that text can be read here, without loading anything.

    Raises:
        MissingDependencyError: rapidocr is not installed.
    """
    if importlib.util.find_spec("rapidocr") is None:
        raise _missing("it is not installed")


def _missing(why: object) -> MissingDependencyError:
    return MissingDependencyError(
        f"reading text needs rapidocr and ONNX Runtime, and importing them failed: {why}. "
        "Run: pip install 'cropzoom[demo]'"
    )


def _engine(threads: int | None) -> Any:
    try:
        # First: it sees to it that the runtime reports to nobody.
        import_onnxruntime()
        from rapidocr import RapidOCR
    except ImportError as error:
        raise _missing(error) from error
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.use_cls": False,  # pages are upright
            # "min", the default, blows a strip of 448 x 30 px up to 736 px height.
            "Det.limit_type": "max",
            "Det.limit_side_len": 1280,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads or usable_threads(),
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
