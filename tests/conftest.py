"""Shared by all tests. Standing here, it also lets them import the modules beside it."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_idefics3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random Idefics3, made in seconds and without downloads."""
    pytest.importorskip("transformers")
    from tiny_models import build_tiny_idefics3

    return build_tiny_idefics3(tmp_path_factory.mktemp("tiny-idefics3"))
