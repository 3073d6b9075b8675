"""What wrapping costs per call, apart from the cropper's own run; and nano's latency.

A bare and a wrapped OpenAI client call the same loopback server in turn. The wrapped client uses
a cropper that answers at once, so the difference is all the rest: reading the request, decoding
the picture, cutting and encoding the crop, and sending it. The cache is off, or every call after
the first would be free.

    python benchmarks/timings/overhead.py --rounds 15 --output overhead.json
"""

from __future__ import annotations

import io
import json
import math
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from openai import OpenAI
from PIL import Image
from rich.console import Console
from rich.table import Table

from cropzoom import CropZoom, ZoomOptions, load_cropper
from cropzoom.geometry import Box, Crop
from cropzoom.images import Encoded, load_image
from cropzoom.samples import load_samples

MEGAPIXELS = (0.3, 2.0, 12.0)
LATENCY_SIDES = (512, 1024, 2048)
QUESTION = "What is the receipt number?"
REPLY = json.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "echo",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "ok"},
                "finish_reason": "stop",
            }
        ],
    }
).encode()


class Instant:
    """A cropper that takes no time: a box of 4 % of the picture. Shrinks pictures like nano."""

    longest_edge = 1024

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        """Return the same box for everything."""
        return [Crop(Box(0.35, 0.45, 0.75, 0.55), 1.0)]


class Echo(BaseHTTPRequestHandler):
    """Reads a request to its end and gives a fixed answer."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(REPLY)))
        self.end_headers()
        self.wfile.write(REPLY)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def photograph(megapixels: float) -> bytes:
    """Return a JPEG, 4:3, of a sample picture enlarged or shrunk, with a camera's noise."""
    height = round(math.sqrt(megapixels * 1e6 * 4 / 3))
    size = (round(height * 3 / 4), height)
    image = load_image(load_samples()[0].path).resize(size, Image.Resampling.LANCZOS)
    noise = np.random.default_rng(0).normal(0, 4, (size[1], size[0], 1))
    noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def messages(data: bytes) -> list[Any]:
    """Return the messages of a call with one JPEG."""
    url = Encoded(data, "image/jpeg", 0, 0).data_uri()
    image = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [image, {"type": "text", "text": QUESTION}]}]


def interleaved(
    ways: dict[str, Callable[[], object]], rounds: int, warmup: int = 3
) -> dict[str, list[float]]:
    """Run every way in turn; return the ms of each run, without the first `warmup` rounds."""
    times: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + warmup):
        for way, run in ways.items():
            start = time.perf_counter()
            run()
            if number >= warmup:
                times[way].append((time.perf_counter() - start) * 1000)
    return times


def measure_overhead(rounds: int) -> dict[str, dict[str, Any]]:
    """Return, per picture size, the calls' times and the wrapper's share, in ms."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base_url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    bare = OpenAI(base_url=base_url, api_key="none")
    wrapped = CropZoom(bare, Instant(), ZoomOptions(cache_size=0), strict=True)
    results = {}
    for megapixels in MEGAPIXELS:
        data = photograph(megapixels)
        asked = messages(data)
        times = interleaved(
            {
                "bare": lambda asked=asked: bare.chat.completions.create(
                    model="echo", messages=asked
                ),
                "wrapped": lambda asked=asked: wrapped.chat.completions.create(
                    model="echo", messages=asked
                ),
            },
            rounds,
        )
        pairs = zip(times["wrapped"], times["bare"], strict=True)
        results[f"{megapixels:g}"] = {
            "bytes": len(data),
            **times,
            "added": [wrapped_ms - bare_ms for wrapped_ms, bare_ms in pairs],
        }
    server.shutdown()
    return results


def measure_latency(cropper_name: str, rounds: int, threads: int | None) -> dict[str, list[float]]:
    """Return the cropper's ms per picture of each longest side, preprocessing included."""
    page = load_image(load_samples()[2].path)
    ways = {}
    croppers = []
    for side in LATENCY_SIDES:
        cropper = load_cropper(cropper_name, threads=threads, longest_edge=side)
        croppers.append(cropper)
        zoom = side / max(page.size)
        size = (round(page.width * zoom), round(page.height * zoom))
        image = page.resize(size, Image.Resampling.LANCZOS)
        ways[str(side)] = lambda cropper=cropper, image=image: cropper.predict(image, QUESTION)
    times = interleaved(ways, rounds)
    for cropper in croppers:
        cropper.close()
    return times


def spread(values: list[float]) -> str:
    """Return median and the middle half of some times."""
    low, high = np.percentile(values, [25, 75])
    return f"{median(values):.1f} ({low:.1f} to {high:.1f})"


def main(
    rounds: Annotated[int, typer.Option(help="Of all ways in turn.")] = 15,
    cropper: Annotated[str, typer.Option(help="As for load_cropper; 'none' skips it.")] = "nano",
    threads: Annotated[int | None, typer.Option(help="Of the cropper.")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file with every time.")] = None,
) -> None:
    """Time calls with and without the wrapper, and the cropper alone; optionally write JSON."""
    console = Console()
    overhead = measure_overhead(rounds)
    table = Table(title="a call with one JPEG, ms: median (middle half)")
    for heading in ("megapixels", "kB", "bare", "wrapped", "added by the wrapper"):
        table.add_column(heading, justify="right")
    for megapixels, result in overhead.items():
        cells = (spread(result[name]) for name in ("bare", "wrapped", "added"))
        table.add_row(megapixels, f"{result['bytes'] / 1000:.0f}", *cells)
    console.print(table)
    latency = {}
    if cropper != "none":
        latency = measure_latency(cropper, rounds, threads)
        table = Table(title=f"{cropper}, an A4 page, ms: median (middle half)")
        for heading in ("longest side, px", "predict"):
            table.add_column(heading, justify="right")
        for side, times in latency.items():
            table.add_row(side, spread(times))
        console.print(table)
    if output:
        content = {"overhead": overhead, "latency": latency}
        output.write_text(json.dumps(content, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
