"""Asking every sample question twice, with a plain client and with the same client wrapped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cropzoom.clients import CropZoom
from cropzoom.cropper import Cropper
from cropzoom.images import Encoded
from cropzoom.options import ZoomOptions
from cropzoom.reading.answers import is_contained, is_exact
from cropzoom.report import ZoomReport
from cropzoom.samples import SamplePicture, SampleQuestion

if TYPE_CHECKING:
    from openai import OpenAI

_MIME = {".png": "image/png", ".jpg": "image/jpeg"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the target said.

    Args:
        text: its words.
        right: whether they are, or have in them, the right answer.
        milliseconds: of the whole call, cropping included.
        prompt_tokens: as the target counts them; None where it doesn't say.
    """

    text: str
    right: bool
    milliseconds: float
    prompt_tokens: int | None


@dataclass(frozen=True, slots=True)
class Trial:
    """One question asked without and with a crop.

    Args:
        picture: about which.
        question: what was asked.
        plain: the answer without a crop.
        zoomed: the answer with whatever cropzoom added.
        report: what cropzoom did.
    """

    picture: SamplePicture
    question: SampleQuestion
    plain: Answer
    zoomed: Answer
    report: ZoomReport

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for `json.dumps`."""
        return {
            "picture": self.picture.path.name,
            "question": self.question.question,
            "expected": list(self.question.answers),
            "plain": _plain_values(self.plain),
            "zoomed": _plain_values(self.zoomed),
            "cropzoom": self.report.to_dict(),
        }


def ask_all(
    client: OpenAI,
    model: str,
    pictures: Sequence[SamplePicture],
    *,
    cropper: str | os.PathLike[str] | Cropper = "nano",
    options: ZoomOptions | None = None,
    exact: bool = False,
) -> Iterator[Trial]:
    """Ask all questions about all pictures, and yield each result as soon as it is there.

    Args:
        client: an unwrapped client; it is wrapped here.
        model: name of the target.
        pictures: what to ask about.
        cropper: as for `CropZoom`.
        options: as for `CropZoom`.
        exact: an answer must be the expected one and nothing else; otherwise it may be a sentence
            with the expected answer in it.

    Raises:
        CropperError: the cropper can't be loaded.
        openai.OpenAIError: the target can't be reached or refuses.
    """
    # strict: a demo that silently sends no crops would show nothing.
    zoomed_client: OpenAI = CropZoom(client, cropper, options, strict=True)
    matches = is_exact if exact else is_contained
    for picture in pictures:
        data = picture.path.read_bytes()
        url = Encoded(data, _MIME[picture.path.suffix], 0, 0).data_uri()
        for question in picture.questions:
            plain = _ask(client, model, url, question, matches)
            zoomed = _ask(zoomed_client, model, url, question, matches)
            report = zoomed_client.cropzoom.last_report  # type: ignore[attr-defined]
            yield Trial(picture, question, plain, zoomed, report)


def _ask(
    client: OpenAI,
    model: str,
    url: str,
    question: SampleQuestion,
    matches: Callable[[str, tuple[str, ...]], bool],
) -> Answer:
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": question.question},
            ],
        }
    ]
    start = time.perf_counter()
    completion = client.chat.completions.create(model=model, messages=cast(Any, messages))
    milliseconds = (time.perf_counter() - start) * 1000
    text = completion.choices[0].message.content or ""
    return Answer(
        text=text,
        right=matches(text, question.answers),
        milliseconds=milliseconds,
        prompt_tokens=None if completion.usage is None else completion.usage.prompt_tokens,
    )


def _plain_values(answer: Answer) -> dict[str, Any]:
    return {
        "text": answer.text,
        "right": answer.right,
        "milliseconds": round(answer.milliseconds, 1),
        "prompt_tokens": answer.prompt_tokens,
    }
