"""The proxy's tests run where its packages are; they share the servers of the client tests."""

import sys
from pathlib import Path

import pytest

for package in ("starlette", "httpx", "uvicorn"):
    pytest.importorskip(package)

sys.path.insert(0, str(Path(__file__).parents[1] / "clients"))
