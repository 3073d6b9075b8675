from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai_server import OpenAIServer
from wrapping import FixedCropper


@pytest.fixture(scope="session")
def _server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def server(_server: OpenAIServer) -> OpenAIServer:
    _server.reset()
    return _server


@pytest.fixture
def cropper() -> FixedCropper:
    return FixedCropper()
