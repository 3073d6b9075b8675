"""What `import cropzoom` adds to Python's own start, in ms.

Processes are started in turn, bare and importing, so that a busy machine slows both alike.

    python benchmarks/timings/import_time.py --rounds 20
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Annotated

import typer

WAYS = {"bare": "pass", "cropzoom": "import cropzoom", "numpy+pillow": "import numpy, PIL.Image"}


def started(code: str) -> float:
    """Return the ms that a Python process running `code` takes, start and exit included."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - start) * 1000


def main(
    rounds: Annotated[int, typer.Option(help="Of all ways in turn.")] = 20,
    output: Annotated[Path | None, typer.Option(help="JSON file.")] = None,
) -> None:
    """Time `import cropzoom` beside a bare start; optionally write JSON."""
    for code in WAYS.values():  # compiles and caches bytecode
        started(code)
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way, code in WAYS.items():
            times[way].append(started(code))
    bare = times["bare"]
    for way, values in times.items():
        # Differences within a round, so that slow rounds do not count as cost.
        added = [value - base for value, base in zip(values, bare, strict=True)]
        spread = f"min {min(values):.0f}, max {max(values):.0f}"
        typer.echo(
            f"{way:13s} median {median(values):6.1f} ms ({spread}), added {median(added):6.1f} ms"
        )
    if output:
        output.write_text(json.dumps(times, indent=1), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
