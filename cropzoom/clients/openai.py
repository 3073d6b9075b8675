"""OpenAI clients.

WebSockets (`realtime`, `responses.connect`) do not pass through `request`: they are sent as is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast, overload

from openai import APIStatusError, AsyncOpenAI, OpenAI
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai.resources.chat import AsyncChat, Chat

from cropzoom.clients import CropZoom
from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.openai_streams import guarded, guarded_async
from cropzoom.clients.stainless import AsyncRequests, Requests, with_state, wrapped_copy
from cropzoom.clients.threads import in_thread
from cropzoom.errors import ClientError, RequestError
from cropzoom.images import ImageSource
from cropzoom.report import Cited

_T = TypeVar("_T")

_RESOURCES = (SyncAPIResource, AsyncAPIResource)


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


class ZoomOpenAI(Requests, CropZoom, OpenAI):
    """An OpenAI or AzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError

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
            kwargs: further arguments of `chat.completions.create`, except `messages` and `stream`.

        Raises:
            ImageError: the image can't be read.
            RequestError: an argument that makes no sense here.
        """
        _check_ask(kwargs)
        messages = cast(Any, question_messages(image_url(image), question))
        with self.cropzoom.asking(question_for_crop):
            answer = self.chat.completions.create(model=model, messages=messages, **kwargs)
        text = cast(str, answer.choices[0].message.content or "")
        return Cited.of(text, self.cropzoom.last_report) if cite else text


class ZoomAsyncOpenAI(AsyncRequests, CropZoom, AsyncOpenAI):
    """An AsyncOpenAI or AsyncAzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    status_error = APIStatusError

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
        """Ask about an image and return the answer's text; see `ZoomOpenAI.ask`.

        The image is read in a thread.
        """
        _check_ask(kwargs)
        messages = cast(Any, question_messages(await in_thread(image_url, image), question))
        with self.cropzoom.asking(question_for_crop):
            answer = await self.chat.completions.create(model=model, messages=messages, **kwargs)
        text = cast(str, answer.choices[0].message.content or "")
        return Cited.of(text, self.cropzoom.last_report) if cite else text


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


def _check_ask(kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("stream"):
        raise RequestError("ask() returns the whole answer; use client.chat(stream=True, ...)")
    if "messages" in kwargs:
        raise RequestError("ask() makes the messages itself; use client.chat(messages=...)")
