"""Ask several questions about one picture at once. Crops are computed beside the event loop.

OPENAI_API_KEY=... python examples/openai_async.py form.png "Who signed?" "What date is it?"
"""

import asyncio
import os
import sys

from openai import AsyncOpenAI

from cropzoom import CropZoom, ZoomOptions, ZoomReport


def log(report: ZoomReport) -> None:
    boxes = [crop.box.to_text() for crop in report.crops]
    print(f"{report.question!r}: {boxes or [image.detail for image in report.images]}")


async def main(path: str, *questions: str) -> None:
    model = os.environ.get("MODEL", "gpt-4.1-nano")
    async with AsyncOpenAI() as openai:
        client = CropZoom(openai, options=ZoomOptions(max_crops=2), on_report=log)
        answers = await asyncio.gather(
            *(client.ask(path, question, model=model) for question in questions)
        )
    for question, answer in zip(questions, answers, strict=True):
        print(question, answer, sep="\n  ")


asyncio.run(main(*sys.argv[1:]))
