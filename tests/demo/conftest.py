"""One reader for all: loading the OCR models takes longer than most tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cropzoom.demo.server import StandInServer
from cropzoom.reading.ocr import OcrReader
from cropzoom.reading.standin import StandIn


@pytest.fixture(scope="session")
def reader() -> OcrReader:
    """A text reader on one thread."""
    pytest.importorskip("rapidocr")
    return OcrReader(threads=1)


@pytest.fixture(scope="session")
def stand_in(reader: OcrReader) -> StandIn:
    """A stand-in that sees 448 px."""
    return StandIn(reader=reader)


@pytest.fixture(scope="session")
def server(stand_in: StandIn) -> Iterator[StandInServer]:
    """A running server."""
    with StandInServer(stand_in) as running:
        yield running
