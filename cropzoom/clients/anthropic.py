"""Anthropic clients, those for Bedrock, Vertex and Foundry among them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, Literal, cast, overload

from anthropic import APIStatusError
from anthropic._base_client import AsyncAPIClient, SyncAPIClient
from anthropic._resource import AsyncAPIResource, SyncAPIResource

from cropzoom.clients import CropZoom
from cropzoom.clients.addresses import image_url
from cropzoom.clients.controller import Controller
from cropzoom.clients.stainless import AsyncRequests, Requests, wrapped_copy
from cropzoom.clients.threads import in_thread
from cropzoom.errors import ClientError, RequestError
from cropzoom.images import ImageSource
from cropzoom.report import Cited

_RESOURCES = (SyncAPIResource, AsyncAPIResource)
_MAX_TOKENS = 1024


class ZoomAnthropic(Requests, CropZoom):
    """An Anthropic client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError
    messages: Any

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
            kwargs: further arguments of `messages.create`, except `messages` and `stream`.

        Raises:
            ImageError: the image can't be read.
            RequestError: an argument that makes no sense here.
        """
        _check_ask(kwargs)
        with self.cropzoom.asking(question_for_crop):
            answer = self.messages.create(
                model=model,
                messages=question_messages(image, question),
                **{"max_tokens": _MAX_TOKENS, **kwargs},
            )
        text = _text(answer)
        return Cited.of(text, self.cropzoom.last_report) if cite else text


class ZoomAsyncAnthropic(AsyncRequests, CropZoom):
    """An AsyncAnthropic client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError
    messages: Any

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
        """Ask about an image and return the answer's text; see `ZoomAnthropic.ask`.

        The image is read in a thread.
        """
        _check_ask(kwargs)
        messages = await in_thread(question_messages, image, question)
        with self.cropzoom.asking(question_for_crop):
            answer = await self.messages.create(
                model=model, messages=messages, **{"max_tokens": _MAX_TOKENS, **kwargs}
            )
        text = _text(answer)
        return Cited.of(text, self.cropzoom.last_report) if cite else text


def check(client: Any) -> None:
    """Refuse what is of anthropic but not a client.

    Raises:
        ClientError: says what to give instead.
    """
    if not isinstance(client, (SyncAPIClient, AsyncAPIClient)):
        raise ClientError(
            f"{type(client).__name__} is a part of anthropic but not a client; wrap the client "
            "itself: CropZoom(Anthropic(...)).messages.create(...)"
        )


def wrap(client: Any, controller: Controller) -> ZoomAnthropic | ZoomAsyncAnthropic:
    """Return a wrapped copy of a client; the client stays as it is."""
    base = ZoomAnthropic if isinstance(client, SyncAPIClient) else ZoomAsyncAnthropic
    advice = "for instance wrap_anthropic(CropZoom(client))"
    wrapped = wrapped_copy(client, base, controller, _RESOURCES, advice)
    return cast("ZoomAnthropic | ZoomAsyncAnthropic", wrapped)


def question_messages(image: ImageSource, question: str) -> list[dict[str, Any]]:
    """Return the messages of a question about an image."""
    url = image_url(image)
    source: dict[str, str] = {"type": "url", "url": url}
    if url[:5].lower() == "data:":
        header, _, data = url.partition(",")
        media = header[5:].partition(";")[0]
        if not header.lower().endswith(";base64"):
            data = base64.b64encode(data.encode()).decode()
        source = {"type": "base64", "media_type": media, "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": question}]
    return [{"role": "user", "content": content}]


def _check_ask(kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("stream"):
        raise RequestError("ask() returns the whole answer; use client.messages.stream(...)")
    if "messages" in kwargs:
        raise RequestError("ask() makes the messages itself; use client.messages.create(...)")


def _text(answer: Any) -> str:
    return "".join(block.text for block in answer.content if block.type == "text")
