"""OpenAI clients: a subclass made per wrap, which rewrites bodies in `request`.

All of openai's API funnels into `client.request`: create, parse, stream, raw and streaming
responses, `beta`, `client.post`. It runs once per call, above the retries. A subclass keeps
`isinstance`, and `copy()` and `with_options()` construct `self.__class__`, so they stay wrapped.

WebSockets (`realtime`, `responses.connect`) do not pass through `request`: they are sent as is.
"""

from __future__ import annotations

import inspect
import io
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from openai import AsyncOpenAI, OpenAI
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai.resources.chat import AsyncChat, Chat
from PIL import Image

from cropzoom.clients import CropZoom
from cropzoom.clients.body import Endpoint, endpoint_of, items_key
from cropzoom.clients.controller import Controller
from cropzoom.errors import ClientError, RequestError
from cropzoom.images import Encoded, ImageSource, load_image, read_bytes

if TYPE_CHECKING:
    from openai._models import FinalRequestOptions

_T = TypeVar("_T")

_RESOURCES = (SyncAPIResource, AsyncAPIResource)

# What the API takes as it is. Anything else is sent as PNG.
_SIGNATURES = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"))

# Calls under way in one event loop. Their threads mostly wait: `Zoom` makes a few crops at once.
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("cropzoom_limiter")


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


class ZoomOpenAI(CropZoom, OpenAI):
    """An OpenAI or AzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    if not TYPE_CHECKING:

        def request(self, cast_to, options, *args, **kwargs):
            found = _conversation(options)
            if found is not None:
                new, report = self.cropzoom.rewrite_body(*found)
                options = _with_body(options, *found, new)
                self.cropzoom.publish(report)
            return super().request(cast_to, options, *args, **kwargs)

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

    def ask(self, image: ImageSource, question: str, *, model: str, **kwargs: Any) -> str:
        """Ask about an image and return the answer's text.

        Args:
            image: path, bytes, PIL image, data URI or http(s) address. An address is passed on;
                it is cropped only with `fetch_images=True`.
            question: what to ask.
            model: name of the model.
            kwargs: further arguments of `chat.completions.create`, except `messages` and `stream`.

        Raises:
            ImageError: the image can't be read.
            RequestError: an argument that makes no sense here.
        """
        _check_ask(kwargs)
        answer = self.chat.completions.create(
            model=model, messages=cast(Any, question_messages(image_url(image), question)), **kwargs
        )
        return cast(str, answer.choices[0].message.content or "")


class ZoomAsyncOpenAI(CropZoom, AsyncOpenAI):
    """An AsyncOpenAI or AsyncAzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    if not TYPE_CHECKING:

        async def request(self, cast_to, options, *args, **kwargs):
            found = _conversation(options)
            if found is not None:
                if self.cropzoom.enabled:
                    new, report = await _in_thread(self.cropzoom.rewrite_body, *found)
                else:
                    new, report = self.cropzoom.rewrite_body(*found)
                options = _with_body(options, *found, new)
                # Here and not in the thread, for the report belongs to this task.
                self.cropzoom.publish(report)
            return await super().request(cast_to, options, *args, **kwargs)

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

    async def ask(self, image: ImageSource, question: str, *, model: str, **kwargs: Any) -> str:
        """Ask about an image and return the answer's text; see `ZoomOpenAI.ask`.

        The image is read in a thread.
        """
        _check_ask(kwargs)
        url = await _in_thread(image_url, image)
        answer = await self.chat.completions.create(
            model=model, messages=cast(Any, question_messages(url, question)), **kwargs
        )
        return cast(str, answer.choices[0].message.content or "")


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
    patches = list(_patches(client, "client"))
    if patches:
        warnings.warn(
            f"{', '.join(patches)} was replaced on this client, probably by a tracer, and the "
            "wrapped client does without. Wrap first and trace then: "
            "for instance wrap_openai(CropZoom(client))",
            UserWarning,
            stacklevel=4,
        )
    kind = type(client)
    base = ZoomOpenAI if isinstance(client, OpenAI) else ZoomAsyncOpenAI
    # The configuration stands on the class, where `copy()` finds it. The name stays: tracers and
    # logs go by it.
    cls = type(kind.__name__, (base, kind), {"cropzoom": controller, "__module__": __name__})
    wrapped: Any = _with_state(cls, client)
    # Resources made so far belong to the original client, and so do patched methods.
    for name, value in vars(client).items():
        inherited = getattr(kind, name, None)
        if isinstance(inherited, cached_property) or inspect.isfunction(inherited):
            del vars(wrapped)[name]
        elif isinstance(value, _RESOURCES) or name in (
            "with_raw_response",
            "with_streaming_response",
        ):
            # openai 1.60 has plain attributes in place of cached properties.
            setattr(wrapped, name, type(value)(wrapped))
    return cast("ZoomOpenAI | ZoomAsyncOpenAI", wrapped)


def _with_state(cls: type[_T], source: object) -> _T:
    """Return a shallow copy of an object as an instance of another class, without construction."""
    made = object.__new__(cls)
    vars(made).update(vars(source))
    return made


def _patches(owner: Any, path: str, depth: int = 0) -> Iterator[str]:
    """Name the methods that were replaced on a client's or resource's instance."""
    for name, value in vars(owner).items():
        inherited = getattr(type(owner), name, None)
        if inspect.isfunction(inherited):
            yield f"{path}.{name}"
        elif isinstance(value, _RESOURCES) and depth < 4:
            yield from _patches(value, f"{path}.{name}", depth + 1)


def _callable(chat: Chat | AsyncChat, base: type[_T]) -> _T:
    """Make the resource callable."""
    if isinstance(chat, base):
        return chat
    kind = type(chat)
    plain = kind in (Chat, AsyncChat)
    return _with_state(base if plain else type(kind.__name__, (base, kind), {}), chat)


def _conversation(options: FinalRequestOptions) -> tuple[dict[str, Any], Endpoint] | None:
    """Return a request's body as it will be sent and its kind; None if it is another request."""
    endpoint = endpoint_of(options.url) if options.method.lower() == "post" else None
    body, extra = options.json_data, options.extra_json
    if endpoint is None or not isinstance(body or {}, Mapping):
        return None
    # `extra_body=` replaces fields of the body when it is sent.
    return {**cast("Mapping[str, Any]", body or {}), **(extra or {})}, endpoint


def _with_body(
    options: FinalRequestOptions, body: dict[str, Any], endpoint: Endpoint, new: dict[str, Any]
) -> FinalRequestOptions:
    """Return options that send the new body; those given are shared with the caller."""
    key = items_key(endpoint)
    if new.get(key) is body.get(key):
        return options
    place = "extra_json" if key in (options.extra_json or {}) else "json_data"
    changed = {place: {**getattr(options, place), key: new[key]}}
    # Under pydantic 1 the method is called `copy`.
    copier = getattr(options, "model_copy", None) or options.copy
    return cast("FinalRequestOptions", copier(update=changed))


async def _in_thread(function: Any, *args: Any) -> Any:
    """Run in a thread that sees the caller's context variables."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(256)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter)


def _check_ask(kwargs: Mapping[str, Any]) -> None:
    if kwargs.get("stream"):
        raise RequestError("ask() returns the whole answer; use client.chat(stream=True, ...)")
    if "messages" in kwargs:
        raise RequestError("ask() makes the messages itself; use client.chat(messages=...)")


def question_messages(url: str, question: str) -> list[dict[str, Any]]:
    """Return the messages of a question about a picture, for chat completions."""
    return [
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": question},
            ],
        }
    ]


def image_url(image: ImageSource) -> str:
    """Return an image as an address that the API takes; files are not re-encoded if they can go."""
    if isinstance(image, str) and image[:8].lower().startswith(("http://", "https://", "data:")):
        return image
    if not isinstance(image, Image.Image):
        image = read_bytes(image)
        mime = _mime(image)
        if mime is not None:
            return Encoded(image, mime, 0, 0).data_uri()
    upright = load_image(image)
    buffer = io.BytesIO()
    upright.save(buffer, "PNG")
    return Encoded(buffer.getvalue(), "image/png", *upright.size).data_uri()


def _mime(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    kinds = (kind for signature, kind in _SIGNATURES if data.startswith(signature))
    kind = next(kinds, None)
    return None if kind is None else f"image/{kind}"
