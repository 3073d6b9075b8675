"""OpenAI clients.

WebSockets (`realtime`, `responses.connect`) do not pass through `request`: they are sent as is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from openai import APIStatusError, AsyncOpenAI, OpenAI
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai.resources.chat import AsyncChat, Chat

from cropzoom.clients import CropZoom
from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.copies import with_state
from cropzoom.clients.one_question import Asks, AsyncAsks, Form
from cropzoom.clients.openai_streams import guarded, guarded_async
from cropzoom.clients.stainless import AsyncRequests, Requests, wrapped_copy
from cropzoom.errors import ClientError

_T = TypeVar("_T")

_RESOURCES = (SyncAPIResource, AsyncAPIResource)


_FORM = Form(
    arguments=lambda image, question: {"messages": question_messages(image_url(image), question)},
    method=lambda client: client.chat.completions.create,
    text=lambda answer: answer.choices[0].message.content or "",
    refused={
        "stream": "returns the whole answer; use client.chat(stream=True, ...)",
        "messages": "makes the messages itself; use client.chat(messages=...)",
    },
)


class ZoomChat(Chat):
    """`client.chat`, which can also be called."""

    def __call__(self, **kwargs: Any) -> Any:
        """Do the same as `client.chat.completions.create(...)`."""
        return self.completions.create(**kwargs)


class ZoomAsyncChat(AsyncChat):
    """`client.chat`, which can also be called."""

    async def __call__(self, **kwargs: Any) -> Any:
        """Do the same as `client.chat.completions.create(...)`."""
        return await self.completions.create(**kwargs)


class ZoomOpenAI(Asks, Requests, CropZoom, OpenAI):
    """An OpenAI or AzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError
    ask_form = _FORM

    def _watched(self, answer: Any, call: Call, send: Callable[[], Any]) -> Any:
        return guarded(answer, call, send)

    @property
    def chat(self) -> ZoomChat:
        """Chat completions; `client.chat(...)` is `client.chat.completions.create(...)`."""
        if "chat" not in vars(self):
            self.chat = super().chat
        return cast(ZoomChat, vars(self)["chat"])

    @chat.setter
    def chat(self, chat: Chat) -> None:
        # openai 1.60 sets resources in `__init__`.
        vars(self)["chat"] = _callable(chat, ZoomChat)


class ZoomAsyncOpenAI(AsyncAsks, AsyncRequests, CropZoom, AsyncOpenAI):
    """An AsyncOpenAI or AsyncAzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError
    ask_form = _FORM

    def _watched(self, answer: Any, call: Call, send: Callable[[], Any]) -> Any:
        return guarded_async(answer, call, send)

    @property
    def chat(self) -> ZoomAsyncChat:
        """Chat completions; `client.chat(...)` is `client.chat.completions.create(...)`."""
        if "chat" not in vars(self):
            self.chat = super().chat
        return cast(ZoomAsyncChat, vars(self)["chat"])

    @chat.setter
    def chat(self, chat: AsyncChat) -> None:
        # openai 1.60 sets resources in `__init__`.
        vars(self)["chat"] = _callable(chat, ZoomAsyncChat)


def check(client: Any) -> None:
    """Refuse what is of openai but not a client.

    Raises:
        ClientError: says what to give instead.
    """
    if not isinstance(client, (OpenAI, AsyncOpenAI)):
        raise ClientError(
            f"{type(client).__name__} is a part of openai but not a client; wrap the client itself:"
            " CropZoom(OpenAI(...)).chat.completions.create(...)"
        )


def wrap(client: OpenAI | AsyncOpenAI, controller: Controller) -> ZoomOpenAI | ZoomAsyncOpenAI:
    """Return a wrapped copy of a client; the client stays as it is.

    Warns if a tracer has patched the client, since the copy does not have its patches.
    """
    base = ZoomOpenAI if isinstance(client, OpenAI) else ZoomAsyncOpenAI
    advice = "for instance wrap_openai(CropZoom(client))"
    wrapped = wrapped_copy(client, base, controller, _RESOURCES, advice)
    return cast("ZoomOpenAI | ZoomAsyncOpenAI", wrapped)


def _callable(chat: Chat | AsyncChat, base: type[_T]) -> _T:
    """Make the resource callable."""
    if isinstance(chat, base):
        return chat
    kind = type(chat)
    plain = kind in (Chat, AsyncChat)
    return with_state(base if plain else type(kind.__name__, (base, kind), {}), chat)
