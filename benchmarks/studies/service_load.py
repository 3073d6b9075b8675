"""A service under load: right answers a second within a latency budget, with crops and without.

    python benchmarks/studies/service_load.py --output benchmarks/results/service_load.json

Clients in this process ask an OpenAI-compatible server in another one, over a real socket. Its
replies are those of the reading stand-in at 448 px, read before anything is timed; how long it
takes for them is a model of an API (`Api`: a fixed part, a part for each prompt token, and so many
requests at a time), since the stand-in's own time is no vision-language model's. Crops are found in
the clients' process, by nano on this machine's CPU, for every request anew: the cache is off.

Open loop: requests arrive at random (Poisson) whether or not earlier ones are answered, from one
asyncio client; a request's latency counts from its arrival, so waiting for a free CPU is in it.
Closed loop: so many threads share a client, each asking again when it is answered.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
import typer
from openai import AsyncOpenAI, OpenAI, OpenAIError
from paced_server import Api, digest, served
from study import OutputOption, markdown, report

from cropzoom import CropZoom, ZoomOptions, load_cropper
from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.data.row import Row
from cropzoom.demo.server import StandInServer
from cropzoom.evaluate.intervals import PictureBootstrap
from cropzoom.reading.answers import is_exact
from cropzoom.reading.standin import StandIn
from cropzoom.trainer.nano.pages.rendered_rows import rendered_test

BUDGETS = (1.0, 2.0)
RATES = [2.0, 4.0, 8.0, 12.0]
OPTIONS = ZoomOptions(cache_size=0)
# Name -> threads of one run of nano; None: as many as there are processors. "none": no crops.
CROPPERS: dict[str, int | None] = {"nano": None, "nano, 1 thread": 1}


APIS = {"hosted": Api(0.3, 0.0005, 16), "one GPU": Api(0.05, 0.00025, 1)}


@dataclass(frozen=True)
class Question:
    """What is sent, and the right answers."""

    messages: list[dict[str, Any]]
    answers: tuple[str, ...]


@dataclass(frozen=True)
class Done:
    """What became of a request: seconds until its answer, None where it did not come in time or
    failed; `failed`: with an error."""

    seconds: float | None
    right: bool
    failed: bool = False


def questions(pages: int, seed: int) -> list[Question]:
    """Questions about fields of rendered pages, in the page's own wording: the stand-in knows no
    other."""
    rows: list[Row] = rendered_test(pages, seed).rows
    return [
        Question(question_messages(image_url(row.picture()), f'What is "{row.key}"?'), row.answers)
        for row in rows
        if row.category == "pair"
    ]


def read_beforehand(
    asked: Sequence[Question], croppers: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, float]]]:
    """Let the stand-in answer everything that will be sent.

    Returns:
        completions by `digest`; and by cropper the share of right answers, of requests that get a
        crop, and the mean prompt, tokens.
    """
    reader = StandInServer(StandIn(remember=4 * len(asked)))
    known, shares = {}, {}
    for name, cropper in {"none": None, **croppers}.items():
        right, cropped, tokens = [], [], []
        for question in asked:
            body: dict[str, Any] = {"model": reader.model, "messages": question.messages}
            if cropper is not None:
                client = _wrapped(OpenAI(api_key="none"), cropper)
                body, report = client.cropzoom.rewrite_body(body)
                cropped.append(bool(report.crops))
            completion = reader.complete(body)
            known[digest(body)] = completion
            right.append(is_exact(completion["choices"][0]["message"]["content"], question.answers))
            tokens.append(completion["usage"]["prompt_tokens"])
        shares[name] = {
            "right": float(np.mean(right)),
            "cropped": float(np.mean(cropped)) if cropped else 0.0,
            "tokens": float(np.mean(tokens)),
        }
    return known, shares


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """When requests come, s: a Poisson process."""
    rng = random.Random(f"arrivals/{rate}/{seed}")
    times, at = [], rng.expovariate(rate)
    while at < seconds:
        times.append(at)
        at += rng.expovariate(rate)
    return times


async def open_loop(
    client: AsyncOpenAI, asked: Sequence[Question], times: Sequence[float], patience: float
) -> tuple[list[Done], float]:
    """Send a request at each of the times, whatever became of earlier ones.

    Args:
        client: closed at the end, for its connections belong to this event loop.
        asked: taken in turn.
        times: ascending, s.
        patience: what is not answered so many seconds after the last arrival is cancelled.

    Returns:
        what became of each, and how many CPU cores this process kept busy.
    """
    async with client:
        # Connects, and waits for what was cancelled before and still takes the server's time.
        await _ask(client, asked[0], time.perf_counter())
        start, cpu = time.perf_counter(), time.process_time()
        tasks = []
        for number, at in enumerate(times):
            await asyncio.sleep(max(0.0, start + at - time.perf_counter()))
            tasks.append(asyncio.create_task(_ask(client, asked[number % len(asked)], start + at)))
        left = start + times[-1] + patience - time.perf_counter()
        _, pending = await asyncio.wait(tasks, timeout=max(0.01, left))
        cores = (time.process_time() - cpu) / (time.perf_counter() - start)
        for task in pending:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
    return [one if isinstance(one, Done) else Done(None, False) for one in found], cores


async def _ask(client: AsyncOpenAI, question: Question, since: float) -> Done:
    try:
        answer = await client.chat.completions.create(model="stand-in", messages=question.messages)
    except OpenAIError:
        return Done(None, False, failed=True)
    return _done(answer, question, since)


def _done(answer: Any, question: Question, since: float) -> Done:
    text = answer.choices[0].message.content or ""
    return Done(time.perf_counter() - since, is_exact(text, question.answers))


def closed_loop(
    client: OpenAI, asked: Sequence[Question], callers: int, seconds: float
) -> list[Done]:
    """Let so many threads ask, one request after the other, until the time is over."""
    end = time.perf_counter() + seconds

    def call(caller: int) -> list[Done]:
        done: list[Done] = []
        while not done or time.perf_counter() < end:
            since = time.perf_counter()
            question = asked[(caller + callers * len(done)) % len(asked)]
            try:
                answer = client.chat.completions.create(
                    model="stand-in", messages=question.messages
                )
                done.append(_done(answer, question, since))
            except OpenAIError:
                done.append(Done(None, False, failed=True))
        return done

    with ThreadPoolExecutor(callers) as pool:
        return [one for done in pool.map(call, range(callers)) for one in done]


def summarise(done: Sequence[Done], rate: float, seed: int = 0) -> dict[str, Any]:
    """Shares of requests answered, and right, within each budget, with intervals; percentiles of
    the latency of those that were answered at all.

    Args:
        done: all requests.
        rate: of their arrival, 1/s; a share times it is a throughput.
        seed: of the bootstrap.
    """
    draws = PictureBootstrap(range(len(done)), seed=seed)
    within = {
        str(budget): {
            "answered": draws.share(_in_time(done, budget, False)).to_dict(),
            "right": draws.share(_in_time(done, budget, True)).to_dict(),
        }
        for budget in BUDGETS
    }
    times = [one.seconds for one in done if one.seconds is not None]
    p50, p95 = np.percentile(times, [50, 95]).tolist() if times else (None, None)
    return {
        "requests": len(done),
        "rate": rate,
        "answered": len(times),
        "failed": sum(one.failed for one in done),
        "within": within,
        "p50": p50,
        "p95": p95,
    }


def _in_time(done: Sequence[Done], budget: float, right: bool) -> list[bool]:
    return [
        one.seconds is not None and one.seconds <= budget and (one.right or not right)
        for one in done
    ]


def study(pages: int, rates: Sequence[float], seconds: float, seed: int) -> dict[str, Any]:
    """Measure; see the module's docstring."""
    asked = questions(pages, seed)
    croppers = {name: load_cropper("nano", threads=n) for name, n in CROPPERS.items()}
    known, shares = read_beforehand(asked, croppers)
    results: dict[str, Any] = {
        "settings": {
            "questions": len(asked),
            "seconds": seconds,
            "seed": seed,
            "cores": len(os.sched_getaffinity(0)),
            "apis": {name: asdict(api) for name, api in APIS.items()},
        },
        "replies": shares,
        "open": [],
        "closed": [],
    }
    for api_name, api in APIS.items():
        with served(api, known) as address:
            given = {"base_url": address, "api_key": "none", "max_retries": 0}
            # The slots of one GPU are the limit there, whatever nano's threads do.
            names = ["none", *croppers] if api.slots > 1 else ["none", "nano"]
            for name in names:
                for rate in rates:
                    times = arrivals(rate, seconds, seed)
                    client = _wrapped(AsyncOpenAI(**given), croppers.get(name))
                    done, cores = asyncio.run(open_loop(client, asked, times, max(BUDGETS)))
                    line = {"api": api_name, "crops": name, **summarise(done, rate, seed)}
                    results["open"].append({**line, "cores": cores})
                    _say(line)
            for name in ("none", "nano"):
                sync = _wrapped(OpenAI(**given), croppers.get(name))
                for callers in (1, 4, 16):
                    began = time.perf_counter()
                    finished = closed_loop(sync, asked, callers, seconds / 2)
                    rate = len(finished) / (time.perf_counter() - began)
                    line = {"api": api_name, "crops": name, "callers": callers}
                    line |= summarise(finished, rate, seed)
                    results["closed"].append(line)
                    _say(line)
    for cropper in croppers.values():
        cropper.close()
    return results


def _wrapped(client: Any, cropper: Any) -> Any:
    return client if cropper is None else CropZoom(client, cropper, OPTIONS, strict=True)


def _say(line: Mapping[str, Any]) -> None:
    print({key: value for key, value in line.items() if key != "within"}, flush=True)


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Return the tables of docs/studies/service-load.md."""
    head = ["API, crops", "offered, 1/s"]
    head += [f"right within {budget:g} s, 1/s" for budget in BUDGETS]
    head += [f"answered within {BUDGETS[0]:g} s", "p50, s", "p95, s", "client's cores"]
    rows = []
    for line in results["open"]:
        cells = [f"{line['api']}: {line['crops']}", f"{line['rate']:g}"]
        cells += [_throughput(line, budget) for budget in BUDGETS]
        cells.append(f"{100 * line['within'][str(BUDGETS[0])]['answered']['mean']:.0f} %")
        cells += [_seconds(line["p50"]), _seconds(line["p95"]), f"{line['cores']:.1f}"]
        rows.append(cells)
    closed = [
        [
            f"{line['api']}: {line['crops']}",
            str(line["callers"]),
            f"{line['rate']:.1f}",
            _throughput(line, BUDGETS[0]),
            _seconds(line["p50"]),
            _seconds(line["p95"]),
        ]
        for line in results["closed"]
    ]
    names = ["API, crops", "callers", "answers, 1/s", f"right within {BUDGETS[0]:g} s, 1/s"]
    replies = [
        [name, f"{100 * r['right']:.0f} %", f"{100 * r['cropped']:.0f} %", f"{r['tokens']:.0f}"]
        for name, r in results["replies"].items()
    ]
    return {
        "replies": markdown(["crops", "right", "requests with a crop", "prompt, tokens"], replies),
        "open": markdown(head, rows),
        "closed": markdown([*names, "p50, s", "p95, s"], closed),
    }


def _throughput(line: Mapping[str, Any], budget: float) -> str:
    right = line["within"][str(budget)]["right"]
    mean, low, high = (line["rate"] * share for share in (right["mean"], *right["interval"]))
    return f"{mean:.1f} [{low:.1f}, {high:.1f}]"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def main(
    pages: Annotated[int, typer.Option(help="Rendered, to ask about.")] = 12,
    rates: Annotated[list[float], typer.Option(help="Of requests, 1/s; repeat.")] = RATES,
    seconds: Annotated[float, typer.Option(help="Of arrivals, each rate.")] = 8.0,
    seed: Annotated[int, typer.Option(help="Of pages and arrivals.")] = 3,
    output: OutputOption = None,
) -> None:
    """Answers under load, with crops and without."""
    results = study(pages, rates, seconds, seed)
    report(results, tables(results).values(), output)


if __name__ == "__main__":
    typer.run(main)
