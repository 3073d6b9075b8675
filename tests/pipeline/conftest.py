from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from fixed_croppers import FixedCropper, noise
from PIL import Image

from cropzoom import CropZoom

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def plain(tiny_idefics3: Path) -> Any:
    """An unwrapped pipeline."""
    from transformers import pipeline

    return pipeline("image-text-to-text", model=str(tiny_idefics3), device="cpu")


@pytest.fixture
def cropper() -> FixedCropper:
    return FixedCropper()


@pytest.fixture
def wrapped(plain: Any, cropper: FixedCropper) -> Any:
    return CropZoom(plain, cropper)


@pytest.fixture(scope="session")
def photo() -> Image.Image:
    return noise(0)


@pytest.fixture(scope="session")
def other_photo() -> Image.Image:
    return noise(1)
