"""Every sample question: with the picture, with its crop, with a thumbnail and the crop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from cropzoom.clients import CropZoom
from cropzoom.clients.addresses import question_messages
from cropzoom.clients.controller import Controller
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
        saving: the answer to a thumbnail and the crop in the picture's place (mode "replace").
        tokens_given: what the picture costs the model that is counted as.
        tokens_sent: what went out for it in `saving` costs.
    """

    picture: SamplePicture
    question: SampleQuestion
    plain: Answer
    zoomed: Answer
    report: ZoomReport
    saving: Answer
    tokens_given: int
    tokens_sent: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for `json.dumps`."""
        return {
            "picture": self.picture.path.name,
            "question": self.question.question,
            "expected": list(self.question.answers),
            "plain": _plain_values(self.plain),
            "zoomed": _plain_values(self.zoomed),
            "saving": _plain_values(self.saving),
            "tokens_given": self.tokens_given,
            "tokens_sent": self.tokens_sent,
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
    count_as: str | None = None,
) -> Iterator[Trial]:
    """Ask all questions about all pictures, and yield each result as soon as it is there.

    Args:
        client: an unwrapped client; it is wrapped here.
        model: name of the target.
        pictures: what to ask about.
        cropper: as for `CropZoom`.
        options: as for `CropZoom`; None for the defaults without a deadline.
        exact: an answer must be the expected one and nothing else; otherwise it may be a sentence
            with the expected answer in it.
        count_as: name of the model whose rule counts tokens; None for the target's own.

    Raises:
        CropperError: the cropper can't be loaded.
        openai.OpenAIError: the target can't be reached or refuses.
    """
    # strict: a demo that silently sends no crops would show nothing.
    # However slow the machine is: nobody waits for these answers but who asked to see them.
    options = options or ZoomOptions(deadline=None)
    zoomed_client: OpenAI = CropZoom(client, cropper, options, strict=True)
    controller: Controller = zoomed_client.cropzoom  # type: ignore[attr-defined]
    matches = is_exact if exact else is_contained
    for picture in pictures:
        data = picture.path.read_bytes()
        url = Encoded(data, _MIME[picture.path.suffix], 0, 0).data_uri()
        for question in picture.questions:
            messages = question_messages(url, question.question)
            plain = _ask(client, model, messages, question, matches)
            zoomed = _ask(zoomed_client, model, messages, question, matches)
            report = controller.last_report
            assert report is not None, "a wrapped client reports every call"
            with controller.override(mode="replace", target_side=0):
                body = {"model": count_as or model, "messages": messages}
                less, saved = controller.rewrite_body(body)
            saving = _ask(client, model, less["messages"], question, matches)
            tokens = saved.tokens_given, saved.tokens_sent
            yield Trial(picture, question, plain, zoomed, report, saving, *tokens)


def _ask(
    client: OpenAI,
    model: str,
    messages: list[dict[str, Any]],
    question: SampleQuestion,
    matches: Callable[[str, tuple[str, ...]], bool],
) -> Answer:
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
