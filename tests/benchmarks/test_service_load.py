"""Load on a real server over real sockets: what is counted, and as what."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rapidocr")
pytest.importorskip("openai")

import service_load
from openai import AsyncOpenAI, OpenAI
from paced_server import Api, PacedServer, digest
from PIL import Image, ImageDraw, ImageFont
from service_load import Done, Question

from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.geometry import Box, Crop


def completion(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 100, "completion_tokens": 1, "total_tokens": 101}
    kind = {"id": "1", "object": "chat.completion", "created": 0, "model": "stand-in"}
    return {**kind, "choices": [choice], "usage": usage}


def question(text: str, *answers: str) -> Question:
    return Question([{"role": "user", "content": text}], answers)


def known(*replies: tuple[Question, str]) -> dict[str, dict[str, Any]]:
    return {digest({"messages": q.messages}): completion(text) for q, text in replies}


def test_an_api_takes_its_time_for_tokens() -> None:
    assert Api(0.3, 0.0005, 16).seconds(200) == pytest.approx(0.4)


def test_arrivals_are_a_poisson_process() -> None:
    times = service_load.arrivals(50, 40, seed=1)
    assert times == sorted(times) == service_load.arrivals(50, 40, seed=1)
    assert times[0] > 0 and times[-1] < 40
    assert len(times) == pytest.approx(2000, rel=0.1)
    gaps = [after - before for before, after in pairwise(times)]
    # As many below the mean gap as an exponential has: 1 - 1/e.
    assert sum(gap < 1 / 50 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.04)


def test_budgets_count_right_answers_that_come_in_time() -> None:
    done = [
        Done(0.5, True),
        Done(0.6, False),
        Done(1.5, True),
        Done(3.0, True),
        Done(None, False),
        Done(None, False, failed=True),
    ]
    found = service_load.summarise(done, rate=6)
    shares = {
        budget: (within["answered"]["mean"], within["right"]["mean"])
        for budget, within in found["within"].items()
    }
    assert shares == {
        "1.0": pytest.approx((2 / 6, 1 / 6)),
        "2.0": pytest.approx((3 / 6, 2 / 6)),
    }
    assert (found["requests"], found["answered"], found["failed"]) == (6, 4, 1)
    assert found["p50"] == pytest.approx(1.05)


def test_each_request_of_an_open_loop_becomes_one_outcome() -> None:
    asked = [question("one", "1"), question("two", "2"), question("three", "3")]
    replies = known((asked[0], "1."), (asked[1], "3"))
    with PacedServer(Api(0, 0, 4), replies) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        done, cores = asyncio.run(
            service_load.open_loop(client, asked, [0.0, 0.01, 0.02, 0.03], patience=30)
        )
        sync = OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        closed = service_load.closed_loop(sync, asked, callers=3, seconds=0.05)
    assert [(one.right, one.failed, one.seconds is None) for one in done] == [
        (True, False, False),
        (False, False, False),
        (False, True, True),
        (True, False, False),
    ]
    assert cores >= 0
    kinds = {(one.right, one.failed) for one in closed}
    assert kinds == {(True, False), (False, False), (False, True)}


def test_what_is_not_answered_in_time_is_not_answered() -> None:
    asked = [question("one", "1")]
    with PacedServer(Api(0.5, 0, 1), known((asked[0], "1"))) as server:
        client = AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        done, _ = asyncio.run(service_load.open_loop(client, asked, [0.0, 0.0], patience=0.05))
    assert done == [Done(None, False), Done(None, False)]


def test_no_more_requests_at_a_time_than_slots(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [question("one", "1")]
    at_once, most = 0, 0
    sleep = time.sleep

    def counting(seconds: float) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        sleep(seconds)
        at_once -= 1

    monkeypatch.setattr("paced_server.time.sleep", counting)
    with PacedServer(Api(0.1, 0, 2), known((asked[0], "1"))) as server:
        client = OpenAI(base_url=server.base_url, api_key="none", max_retries=0)
        done = service_load.closed_loop(client, asked, callers=6, seconds=0.01)
    assert most == 2 and all(one.right for one in done)


class Whole:
    """Crops the line of text."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return [Crop(Box(0, 0.4, 1, 0.6), 1.0)]


def test_what_will_be_sent_is_read_beforehand(tmp_path: Path) -> None:
    """With the very crops that the client sends later: the server knows the messages."""
    page = Image.new("RGB", (600, 600), "white")
    ImageDraw.Draw(page).text((40, 280), "Total: 4271", "black", ImageFont.load_default(36))
    page.save(tmp_path / "page.png")
    asked = [Question(question_messages(image_url(tmp_path / "page.png"), '"Total"'), ("4271",))]
    cropper = Whole()
    replies, shares = service_load.read_beforehand(asked, {"whole": cropper})
    assert shares["whole"]["right"] == 1 and shares["whole"]["cropped"] == 1
    assert shares["none"]["cropped"] == 0 < shares["none"]["tokens"] < shares["whole"]["tokens"]
    with PacedServer(Api(0, 0, 1), replies) as server:
        given = {"base_url": server.base_url, "api_key": "none", "max_retries": 0}
        for wrapped in (None, cropper):
            client = service_load._wrapped(OpenAI(**given), wrapped)
            (one, *_) = service_load.closed_loop(client, asked, callers=1, seconds=0.01)
            assert not one.failed
