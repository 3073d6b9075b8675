from __future__ import annotations

import subprocess
import sys

import pytest
from drawing import card
from PIL import Image

from cropzoom.reading.ocr import OcrReader


def test_reads_lines_with_their_places(reader: OcrReader) -> None:
    lines = reader.read(card([(20, 30, "Invoice 4711"), (20, 130, "Total 98.20")]))
    assert [line.text.replace(" ", "") for line in lines] == ["Invoice4711", "Total98.20"]
    for line, top in zip(lines, (30, 130), strict=True):
        assert line.box.x0 == pytest.approx(20 / 448, abs=0.02)
        assert line.box.contains_point(0.1, (top + 12) / 200)
        assert line.confidence > 0.8


def test_same_picture_same_lines(reader: OcrReader) -> None:
    image = card([(20, 30, "Invoice 4711"), (20, 130, "Total 98.20")])
    assert reader.read(image) == reader.read(image)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_modes(reader: OcrReader, mode: str) -> None:
    image = card([(20, 30, "Invoice 4711")], (448, 100)).convert(mode)
    assert "4711" in reader.read(image)[0].text


@pytest.mark.parametrize("size", [(448, 300), (1, 1), (448, 12), (9, 448), (1, 2000)])
def test_nothing_to_read(reader: OcrReader, size: tuple[int, int]) -> None:
    assert reader.read(Image.new("RGB", size, "white")) == []


def test_a_thin_strip_is_read(reader: OcrReader) -> None:
    assert "4711" in reader.read(card([(10, 2, "Invoice 4711")], (448, 28)))[0].text


def test_without_rapidocr_the_error_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['rapidocr'] = None\n"
        "from PIL import Image\n"
        "from cropzoom.errors import MissingDependencyError\n"
        "from cropzoom.reading.ocr import OcrReader\n"
        "try: OcrReader().read(Image.new('RGB', (9, 9)))\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'cropzoom[demo]'" in done.stdout
