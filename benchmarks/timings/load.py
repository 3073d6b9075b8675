"""Memory and calls a second of one process that many threads call; and what questions leave behind.

Each run in a process of its own, since memory is that of a process:

    python benchmarks/timings/load.py --threads 2
    python benchmarks/timings/load.py --threads 32
    python benchmarks/timings/load.py --questions 20000
"""

from __future__ import annotations

import io
import threading
import time
from itertools import count
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw

from cropzoom import Crop, load_cropper
from cropzoom.cropper.nano.phoc import encode_question
from cropzoom.zoom import Zoom


class Nowhere:
    """A cropper that reads the question and proposes nothing."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        encode_question(question)
        return []


def main(
    threads: Annotated[int, typer.Option(min=0, help="Threads that call.")] = 0,
    calls: Annotated[int, typer.Option(min=1, help="Calls of all threads, a page each.")] = 48,
    questions: Annotated[int, typer.Option(min=0, help="Different questions, one page.")] = 0,
) -> None:
    """Print memory in MB (Linux) before and after, and calls a second."""
    if threads:
        _threads(threads, calls)
    if questions:
        _questions(questions)


def _threads(threads: int, calls: int) -> None:
    pages = [_page(number) for number in range(calls)]
    zoom = Zoom(load_cropper("nano"))
    zoom.crops(_page(-1), "What is the total?")
    before, start, numbers = _memory("VmHWM"), time.perf_counter(), count()

    def work() -> None:
        while (number := next(numbers)) < calls:
            zoom.crops(pages[number], "What is the total?", until=time.monotonic() + 300)

    crew = [threading.Thread(target=work) for _ in range(threads)]
    for thread in crew:
        thread.start()
    for thread in crew:
        thread.join()
    rate = calls / (time.perf_counter() - start)
    print(f"{threads} threads: {before} -> {_memory('VmHWM')} MB at most, {rate:.2f} calls/s")


def _questions(questions: int) -> None:
    zoom, page = Zoom(Nowhere()), _encoded(Image.new("L", (32, 32)))
    for number in range(1, questions + 1):
        zoom.crops(page, f"What is the value of item {number}, called x{number * 7919}?")
        if number in (5000, questions):
            print(f"{number} questions: {_memory('VmRSS')} MB")


def _page(number: int) -> bytes:
    page = Image.new("RGB", (1654, 2339), "white")
    draw = ImageDraw.Draw(page)
    for row in range(60):
        draw.text((60, 60 + 35 * row), f"Row {row}: {row * 37 + number}", "black", font_size=22)
    return _encoded(page)


def _encoded(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG", compress_level=1)
    return data.getvalue()


def _memory(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    typer.run(main)
