"""`client.ask(image, question)`: one question about one picture, whatever the client's family."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, overload

from cropzoom.clients.controller import Controller
from cropzoom.clients.threads import in_thread
from cropzoom.errors import RequestError
from cropzoom.images import ImageSource
from cropzoom.report import Cited


@dataclass(frozen=True, slots=True)
class Form:
    """How a family's client is asked.

    Args:
        arguments: a picture and a question -> arguments of the method that is called.
        method: a client -> that method.
        text: an answer -> its text.
        refused: arguments that `ask` can't take -> what to do instead.
    """

    arguments: Callable[[ImageSource, str], dict[str, Any]]
    method: Callable[[Any], Callable[..., Any]]
    text: Callable[[Any], str]
    refused: dict[str, str]

    def check(self, kwargs: dict[str, Any]) -> None:
        """Refuse arguments that make no sense here.

        Raises:
            RequestError: says what to do instead.
        """
        for name, why in self.refused.items():
            if name in kwargs and (name != "stream" or kwargs[name]):
                raise RequestError(f"ask() {why}")

    def cited(self, answer: Any, controller: Controller, cite: bool) -> str | Cited:
        """Return an answer's text, with where it was read if that is asked for."""
        text = self.text(answer)
        return Cited.of(text, controller.last_report) if cite else text


class Asks:
    """Mixed into a client: `ask`."""

    cropzoom: Controller
    ask_form: Form

    @overload
    def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        cite: Literal[False] = False,
        **kwargs: Any,
    ) -> str: ...
    @overload
    def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        cite: Literal[True],
        **kwargs: Any,
    ) -> Cited: ...
    def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        cite: bool = False,
        **kwargs: Any,
    ) -> str | Cited:
        """Ask about an image and return the answer's text.

        Args:
            image: path, bytes, PIL image, data URI or http(s) address. An address is passed on;
                it is cropped only with `fetch_images=True`.
            question: what to ask.
            model: name of the model.
            question_for_crop: what to search the image for, where that is not what is asked.
            cite: return a `Cited`: the text, the boxes in which it was read, the confidence.
            kwargs: further arguments of the method that is called: `chat.completions.create`
                (OpenAI), `messages.create` (Anthropic) or `models.generate_content` (Google); not
                the messages, nor `stream`.

        Raises:
            ImageError: the image can't be read.
            RequestError: an argument that makes no sense here.
        """
        form = self.ask_form
        form.check(kwargs)
        arguments = {"model": model, **form.arguments(image, question), **kwargs}
        with self.cropzoom.asking(question_for_crop):
            answer = form.method(self)(**arguments)
        return form.cited(answer, self.cropzoom, cite)


class AsyncAsks:
    """The same for a client that is awaited."""

    cropzoom: Controller
    ask_form: Form

    @overload
    async def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        cite: Literal[False] = False,
        **kwargs: Any,
    ) -> str: ...
    @overload
    async def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        cite: Literal[True],
        **kwargs: Any,
    ) -> Cited: ...
    async def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        cite: bool = False,
        **kwargs: Any,
    ) -> str | Cited:
        """Ask about an image and return the answer's text; see `Asks.ask`.

        The image is read in a thread.
        """
        form = self.ask_form
        form.check(kwargs)
        arguments = {"model": model, **await in_thread(form.arguments, image, question), **kwargs}
        with self.cropzoom.asking(question_for_crop):
            answer = await form.method(self)(**arguments)
        return form.cited(answer, self.cropzoom, cite)
