"""Anthropic clients, those for Bedrock, Vertex and Foundry among them."""

from __future__ import annotations

from typing import Any, cast

from anthropic import APIStatusError
from anthropic._base_client import AsyncAPIClient, SyncAPIClient
from anthropic._resource import AsyncAPIResource, SyncAPIResource

from cropzoom.clients import CropZoom
from cropzoom.clients.addresses import image_url, is_data, media_and_base64
from cropzoom.clients.controller import Controller
from cropzoom.clients.one_question import Asks, AsyncAsks, Form
from cropzoom.clients.stainless import AsyncRequests, Requests, wrapped_copy
from cropzoom.errors import ClientError
from cropzoom.images import ImageSource

_RESOURCES = (SyncAPIResource, AsyncAPIResource)


def question_messages(image: ImageSource, question: str) -> list[dict[str, Any]]:
    """Return the messages of a question about an image."""
    url = image_url(image)
    source = {"type": "url", "url": url}
    if is_data(url):
        media, data = media_and_base64(url)
        source = {"type": "base64", "media_type": media, "data": data}
    content = [{"type": "image", "source": source}, {"type": "text", "text": question}]
    return [{"role": "user", "content": content}]


_FORM = Form(
    arguments=lambda image, question: {
        "max_tokens": 1024,
        "messages": question_messages(image, question),
    },
    method=lambda client: client.messages.create,
    text=lambda answer: "".join(block.text for block in answer.content if block.type == "text"),
    refused={
        "stream": "returns the whole answer; use client.messages.stream(...)",
        "messages": "makes the messages itself; use client.messages.create(...)",
    },
)


class ZoomAnthropic(Asks, Requests, CropZoom):
    """An Anthropic client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError
    ask_form = _FORM
    messages: Any


class ZoomAsyncAnthropic(AsyncAsks, AsyncRequests, CropZoom):
    """An AsyncAnthropic client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError
    ask_form = _FORM
    messages: Any


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
