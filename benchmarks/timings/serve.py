"""What `cropzoom serve` costs, and what becomes of calls when it is stopped or a worker dies.

    python benchmarks/timings/serve.py cost      # of the proxy itself, beside calls without it
    python benchmarks/timings/serve.py load  # open loop, 1 to 128 calls in flight
    python benchmarks/timings/serve.py memory # 100,000 requests
    python benchmarks/timings/serve.py workers # memory of several, split by what they share
    python benchmarks/timings/serve.py stop  # SIGTERM and kill -9 under load

Each adds its part to benchmarks/results/serve.json (Linux). Client, upstream and proxy share the
machine, so a figure means little without that of the same calls without the proxy beside it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from open_loop import (
    Calls,
    Client,
    closed_loop,
    machine,
    memory,
    open_loop,
    processor_seconds,
    proxy,
    upstream,
    workers_of,
)

from cropzoom.samples import load_samples

RESULTS = Path(__file__).parents[1] / "results" / "serve.json"
app = typer.Typer(add_completion=False)


def plain(number: int) -> bytes:
    """A body of 2 kB without a picture."""
    words = f"Question {number}: " + "what does this paragraph say? " * 65
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": words}]}).encode()


def pictured(number: int) -> bytes:
    """A body with one of eight sample pictures; from the second time on, its crop is known."""
    sample = _samples[number % len(_samples)]
    mime = "image/png" if sample.path.suffix == ".png" else "image/jpeg"
    data = base64.b64encode(sample.path.read_bytes()).decode()
    image = {"type": "image_url", "image_url": {"url": f"data:{mime};base64,{data}"}}
    parts = [image, {"type": "text", "text": sample.questions[0].question}]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": parts}]}).encode()


_samples = load_samples()


def keep(part: str, result: dict[str, Any]) -> None:
    """Add a part to the results, and print it."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[part] = {**machine(), **result}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    typer.echo(json.dumps({part: results[part]}, indent=1))


@app.command()
def cost(calls: Annotated[int, typer.Option(min=1)] = 1000) -> None:
    """Calls one after another, in turn with and without the proxy."""

    async def alternate(direct_port: int, port: int) -> tuple[Calls, Calls]:
        direct, through = Client(direct_port), Client(port)
        for number in range(calls + 50):
            if number == 50:
                direct.calls, through.calls = Calls(), Calls()
            await direct.call(plain(number))
            await through.call(plain(number))
        return direct.calls, through.calls

    with upstream(0.0) as behind, proxy(behind) as (port, process):
        before = processor_seconds(process.pid)
        direct, through = asyncio.run(alternate(behind, port))
        used = processor_seconds(process.pid) - before
    milliseconds = {
        name: {f"p{round(100 * share)}": _ms(of.quantile(share)) for share in (0.5, 0.99)}
        for name, of in (("direct", direct), ("through", through))
    }
    own = _ms(through.quantile(0.5) - direct.quantile(0.5))
    keep(
        "cost",
        {"calls": calls, **milliseconds, "own_p50": own, "own_cpu": _ms(used / (calls + 50))},
    )


@app.command()
def load(
    seconds: Annotated[float, typer.Option(help="How long calls start, a level.")] = 12.0,
    delay: Annotated[float, typer.Option(help="Seconds that the model takes.")] = 2.0,
    levels: Annotated[str, typer.Option(help="Calls in flight.")] = "1,8,32,128",
    kinds: Annotated[str, typer.Option(help="Bodies.")] = "plain,pictures",
    workers: Annotated[int, typer.Option(min=1)] = 1,
) -> None:
    """Calls at a rate that keeps so many in flight, without pictures and with."""
    rows = []
    with upstream(delay) as behind, proxy(behind, "--workers", str(workers)) as (port, _):
        for level in map(int, levels.split(",")):
            rate = level / delay
            for kind, body in (("plain", plain), ("pictures", pictured)):
                if kind not in kinds.split(","):
                    continue
                ways = [("direct", behind), ("through", port)]
                row: dict[str, Any] = {"in_flight": level, "bodies": kind, "rate": rate}
                for way, target in ways:
                    start = time.perf_counter()
                    calls = asyncio.run(open_loop(target, rate, seconds, body))
                    passed = time.perf_counter() - start
                    row[way] = {
                        "calls": sum(calls.outcomes.values()),
                        "answered": calls.outcomes["answered"],
                        "answered_a_second": round(calls.outcomes["answered"] / passed, 1),
                        "crops": calls.crops,
                        "p50": _ms(calls.quantile(0.5)),
                        "p99": _ms(calls.quantile(0.99)),
                    }
                rows.append(row)
                typer.echo(json.dumps(row))
    keep(
        "load" if "plain" in kinds else "load_pictures",
        {"model_seconds": delay, "workers": workers, "rows": rows},
    )


@app.command(name="memory")
def memory_(
    requests: Annotated[int, typer.Option(min=10)] = 100_000,
    crew: Annotated[int, typer.Option(min=1, help="Callers.")] = 8,
    every: Annotated[int, typer.Option(help="One request in so many has a picture.")] = 1000,
) -> None:
    """Memory of one process over many requests."""
    sizes: list[dict[str, float]] = []

    def body(number: int) -> bytes:
        return pictured(number) if number % every == 0 else plain(number)

    with upstream(0.0) as behind, proxy(behind) as (port, process):

        def until(calls: Calls) -> bool:
            done = sum(calls.outcomes.values())
            if done >= len(sizes) * requests / 10:
                sizes.append({"requests": done, "mb": round(memory(process.pid), 1)})
                typer.echo(json.dumps(sizes[-1]))
            calls.seconds.clear()
            return done >= requests

        start = time.perf_counter()
        calls = asyncio.run(closed_loop(port, crew, body, until))
        passed = time.perf_counter() - start
    keep(
        "memory",
        {
            "outcomes": dict(calls.outcomes),
            "crops": calls.crops,
            "a_second": round(requests / passed, 1),
            "sizes": sizes,
        },
    )


@app.command()
def workers(counts: str = "1,2,4") -> None:
    """Memory of several workers: as each counts it, and with what they share split among them."""
    rows = []
    for count in map(int, counts.split(",")):
        with upstream(0.0) as behind, proxy(behind, "--workers", str(count)) as (port, process):
            # Each is given pictures enough that all have looked at some.
            rate = 2.0
            asyncio.run(open_loop(port, rate, 6 * count, pictured))
            pids = [process.pid, *(workers_of(process.pid) if count > 1 else [])]
            row = {
                "workers": count,
                "processes": len(pids),
                "rss_mb": [round(memory(pid)) for pid in pids],
                "pss_mb": [round(memory(pid, "Pss")) for pid in pids],
            }
            row["pss_sum_mb"] = sum(row["pss_mb"])
            rows.append(row)
            typer.echo(json.dumps(row))
    keep("workers", {"rows": rows})


@app.command()
def stop(
    crew: Annotated[int, typer.Option(min=1, help="Callers.")] = 16,
    times: Annotated[int, typer.Option(min=1)] = 3,
) -> None:
    """SIGTERM and kill -9 of a worker while callers call."""
    stops, kills = [], []
    for count in (1, 2):
        for _ in range(times):
            with (
                upstream(0.05) as behind,
                proxy(behind, "--workers", str(count)) as (port, process),
            ):
                time.sleep(8.0 if count > 1 else 0.0)

                def end(process: Any = process) -> None:
                    time.sleep(2.0)
                    process.send_signal(signal.SIGTERM)
                    process.wait(90)

                calls = _under(port, crew, threading.Thread(target=end), 0.2)
            stops.append({"workers": count, **calls.outcomes})
            typer.echo(json.dumps(stops[-1]))
    for _ in range(times):
        with upstream(0.05) as behind, proxy(behind, "--workers", "2") as (port, process):
            time.sleep(8.0)
            victim = workers_of(process.pid)[0]

            def kill(victim: int = victim) -> None:
                time.sleep(2.0)
                os.kill(victim, signal.SIGKILL)
                time.sleep(2.0)

            calls = _under(port, crew, threading.Thread(target=kill), 8.0)
            now = workers_of(process.pid)
            assert victim not in now and len(now) == 2
        kills.append(dict(calls.outcomes))
        typer.echo(json.dumps(kills[-1]))
    keep("stop", {"callers": crew, "sigterm": stops, "kill": kills})


def _under(port: int, crew: int, act: threading.Thread, seconds: float) -> Calls:
    ended: list[float] = []

    def until(calls: Calls) -> bool:
        if not act.is_alive() and not ended:
            ended.append(time.monotonic() + seconds)
        return bool(ended) and time.monotonic() > ended[0]

    act.start()
    return asyncio.run(closed_loop(port, crew, plain, until))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 2)


if __name__ == "__main__":
    app()
