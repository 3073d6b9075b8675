"""LiteLLM and its proxy, where they are installed: `tests/compat/run.sh litellm-1`."""

import sys
from pathlib import Path

import pytest

for package in ("litellm", "anthropic", "onnxruntime", "apscheduler", "yaml"):
    pytest.importorskip(package)

sys.path.insert(0, str(Path(__file__).parents[1] / "clients"))
