"""Only where there is what the tool for agents needs."""

import pytest

for package in ("mcp", "onnx", "onnxruntime", "uvicorn"):
    pytest.importorskip(package)
