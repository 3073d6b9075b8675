"""A wrapped client under load: late by its deadline and no more; no call lost, no report mixed.

The long run: `CROPZOOM_LOAD=64x50,200 pytest tests/clients/test_under_load.py`.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from openai_server import OpenAIServer
from PIL import Image
from wrapping import PlacesCropper, chat_image, chat_text, place_of, uri, user

from cropzoom import Crop, CropZoom, Reason, ZoomReport
from cropzoom.options import ZoomOptions

_SHAPE, _TASKS = os.environ.get("CROPZOOM_LOAD", "12x6,40").split(",")
THREADS, CALLS = (int(number) for number in _SHAPE.split("x"))


class SleepingCropper:
    """Answers when it is too late."""

    def __init__(self) -> None:
        self.gate = threading.Event()

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        self.gate.wait(30)
        return []


def messages(number: int, question: str) -> list[Any]:
    return [user(chat_image(uri(number % 7)), chat_text(question))]


def check(reports: dict[str, ZoomReport | None], calls: int, server: OpenAIServer) -> None:
    assert len(reports) == calls == len(server.received)
    for question, report in reports.items():
        assert report is not None
        assert report.question == question
        assert [crop.box for crop in report.crops] == [place_of(question)]


def test_threads_lose_no_call_and_mix_no_reports(server: OpenAIServer) -> None:
    client = CropZoom(
        OpenAI(base_url=server.url, api_key="none", max_retries=0),
        PlacesCropper(),
        options=ZoomOptions(min_crop_side=0, deadline=None),
    )
    reports: dict[str, ZoomReport | None] = {}

    def work(thread: int) -> None:
        for call in range(CALLS):
            question = f"What is value {thread * CALLS + call}?"
            client.chat(model="m", messages=messages(thread + call, question))
            reports[question] = client.cropzoom.last_report

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(reports, THREADS * CALLS, server)


def test_tasks_lose_no_call_and_mix_no_reports(server: OpenAIServer) -> None:
    reports: dict[str, ZoomReport | None] = {}

    async def work(client: Any, number: int) -> None:
        question = f"What is value {number}?"
        await client.chat(model="m", messages=messages(number, question))
        reports[question] = client.cropzoom.last_report

    async def main() -> None:
        async with AsyncOpenAI(base_url=server.url, api_key="none", max_retries=0) as plain:
            client = CropZoom(
                plain, PlacesCropper(), options=ZoomOptions(min_crop_side=0, deadline=None)
            )
            await asyncio.gather(*(work(client, number) for number in range(int(_TASKS))))

    asyncio.run(main())
    check(reports, int(_TASKS), server)


def test_a_call_is_late_by_its_deadline_and_no_more(server: OpenAIServer) -> None:
    cropper = SleepingCropper()
    options = ZoomOptions(min_crop_side=0, deadline=0.3)
    client = CropZoom(OpenAI(base_url=server.url, api_key="none"), cropper, options=options)
    reasons: list[Reason | None] = []
    seconds: list[float] = []

    def work(number: int) -> None:
        start = time.monotonic()
        client.chat(model="m", messages=messages(number, f"What is value {number}?"))
        seconds.append(time.monotonic() - start)
        report = client.cropzoom.last_report
        assert report is not None
        reasons.extend(image.reason for image in report.images)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cropper.gate.set()
    assert len(server.received) == 8
    assert max(seconds) < 5
    assert set(reasons) == {Reason.DEADLINE, Reason.BUSY}


def test_many_tasks_are_late_by_the_deadline_together(server: OpenAIServer) -> None:
    cropper = SleepingCropper()

    async def main() -> float:
        async with AsyncOpenAI(base_url=server.url, api_key="none") as plain:
            options = ZoomOptions(min_crop_side=0, deadline=0.3)
            client = CropZoom(plain, cropper, options=options)
            calls = [
                client.chat(model="m", messages=messages(number, f"What is value {number}?"))
                for number in range(40)
            ]
            start = time.monotonic()
            await asyncio.gather(*calls)
            return time.monotonic() - start

    seconds = asyncio.run(main())
    cropper.gate.set()
    assert len(server.received) == 40
    assert seconds < 10


def test_a_cancelled_call_ends_at_once(server: OpenAIServer) -> None:
    cropper = SleepingCropper()

    async def main() -> float:
        async with AsyncOpenAI(base_url=server.url, api_key="none") as plain:
            options = ZoomOptions(min_crop_side=0, deadline=None)
            client = CropZoom(plain, cropper, options=options)
            call = asyncio.ensure_future(client.chat(model="m", messages=messages(1, "What?")))
            await asyncio.sleep(0.2)
            call.cancel()
            start = time.monotonic()
            with pytest.raises(asyncio.CancelledError):
                await call
            seconds = time.monotonic() - start
            cropper.gate.set()
            return seconds

    assert asyncio.run(main()) < 5
    assert not server.received
