"""Pages on Ray: what a second worker brings, and whether a killed job loses or doubles a row.

    python benchmarks/timings/ray_pages.py measure

Draws pages into a parquet file, crops them with nano with one worker and with two (one core, one
thread and one model each), then kills a job (SIGKILL to its driver) half way and runs it again.
Each job has a driver and a cluster of its own. Times are those of `crop_parquet`, models loaded
and parts written; the rate is that between the first part and the last.
"""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from PIL import Image, ImageDraw, ImageFont

from cropzoom.environment import environment, versions
from cropzoom.files import write_whole
from cropzoom.ray import crop_parquet

RESULTS = Path(__file__).parents[1] / "results" / "ray_pages.json"
KEYS = ("Total", "Tax", "Invoice number", "Due date", "Order", "Customer", "Discount", "Weight")
_ROWS_PER_PART = 50

app = typer.Typer(add_completion=False)


@app.command()
def measure(
    pages: Annotated[int, typer.Option(min=1)] = 2000,
    folder: Annotated[Path | None, typer.Option(help="Kept; else a temporary one.")] = None,
    out: Annotated[Path, typer.Option(help="What was measured, as JSON.")] = RESULTS,
) -> None:
    """Run all three jobs, print what they took and write it down."""
    place = folder or Path(tempfile.mkdtemp(prefix="ray-pages-"))
    source = place / "pages.parquet"
    write_pages(source, pages)
    result: dict[str, Any] = {
        "command": "python benchmarks/timings/ray_pages.py measure",
        "pages": pages,
        "megabytes": round(source.stat().st_size / 1e6, 1),
        "environment": {**environment(), "versions": versions(("ray", "onnxruntime", "pyarrow"))},
    }
    for workers in (1, 2):
        target = place / f"workers-{workers}"
        seconds = json.loads(run(source, target, workers).communicate()[0].splitlines()[-1])
        result[f"workers_{workers}"] = {
            "seconds": round(seconds, 1),
            "pages_a_second": round(rate(target), 2),
            "every_row_once": once(target, pages),
        }
        print(workers, result[f"workers_{workers}"], flush=True)
    one, two = result["workers_1"], result["workers_2"]
    result["speedup"] = {
        "of_the_job": round(one["seconds"] / two["seconds"], 2),
        "of_the_rate": round(two["pages_a_second"] / one["pages_a_second"], 2),
    }
    result["killed"] = killed(source, place / "killed", pages)
    print(json.dumps({name: result[name] for name in ("speedup", "killed")}, indent=2))
    write_whole(out, json.dumps(result, indent=2) + "\n")
    if folder is None:
        shutil.rmtree(place)


@app.command(hidden=True)
def job(source: Path, target: Path, workers: int) -> None:
    """Run one job and print its seconds: what `measure` starts and kills."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    start = time.perf_counter()
    crop_parquet(source, target, workers=workers, rows_per_part=_ROWS_PER_PART, keep=[])
    print(time.perf_counter() - start)


def run(source: Path, target: Path, workers: int) -> subprocess.Popen[str]:
    """Start a driver."""
    command = [sys.executable, __file__, "job", str(source), str(target), str(workers)]
    # Ray's workers give way to all others (nice 15), which on a busy machine leaves them nothing.
    settings = {**os.environ, "RAY_worker_niceness": "0"}
    return subprocess.Popen(
        command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def killed(source: Path, target: Path, pages: int) -> dict[str, Any]:
    """Kill a job half way, run it again, and count."""
    driver = run(source, target, 2)
    while rows(target) < pages / 2:
        if driver.poll() is not None:
            raise SystemExit("the job ended before it was killed")
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    half = rows(target)
    again = run(source, target, 2)
    seconds = json.loads(again.communicate()[0].splitlines()[-1])
    return {
        "rows_when_killed": half,
        "seconds_of_the_second_run": round(seconds, 1),
        "every_row_once": once(target, pages),
    }


def rows(target: Path) -> int:
    """Return how many rows stand in the parts."""
    return sum(pq.read_metadata(part).num_rows for part in target.glob("part-*.parquet"))


def once(target: Path, pages: int) -> bool:
    """Tell whether every page is there once."""
    keys = pq.read_table(target, columns=["id"])["id"].to_pylist()
    return sorted(keys) == list(range(pages))


def rate(target: Path) -> float:
    """Return the pages a second after the first part."""
    parts = sorted(target.glob("part-*.parquet"), key=lambda part: part.stat().st_mtime)
    if len(parts) < 2:
        return 0.0
    seconds = parts[-1].stat().st_mtime - parts[0].stat().st_mtime
    return sum(pq.read_metadata(part).num_rows for part in parts[1:]) / seconds


def write_pages(path: Path, pages: int) -> None:
    """Draw pages with a few lines of keys and values; same number, same pages."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random_of = random.Random(0)
    font = ImageFont.load_default(14)
    images, questions = [], []
    for _ in range(pages):
        page = Image.new("L", (384, 512), "white")
        draw = ImageDraw.Draw(page)
        keys = random_of.sample(KEYS, 6)
        for line, key in enumerate(keys):
            text = f"{key}: {random_of.randint(100, 99999)}"
            draw.text((random_of.randint(20, 180), 40 + 75 * line), text, "black", font)
        data = io.BytesIO()
        page.save(data, "JPEG", quality=85)
        images.append(data.getvalue())
        questions.append(f"What is the {random_of.choice(keys).lower()}?")
    table = pa.table({"id": list(range(pages)), "image": images, "question": questions})
    pq.write_table(table, path, row_group_size=250)


if __name__ == "__main__":
    app()
