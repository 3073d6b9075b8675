"""OpenAI clients: a subclass made per wrap, which rewrites bodies in `request`.

All of openai's API funnels into `client.request`: create, parse, stream, raw and streaming
responses, `beta`, `client.post`. It runs once per call, above the retries. A subclass keeps
`isinstance`, and `copy()` and `with_options()` construct `self.__class__`, so they stay wrapped.

WebSockets (`realtime`, `responses.connect`) do not pass through `request`: they are sent as is.
"""

from __future__ import annotations

import inspect
import io
import math
import time
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar, cast

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar
from openai import APIStatusError, AsyncOpenAI, OpenAI
from openai._resource import AsyncAPIResource, SyncAPIResource
from openai.resources.chat import AsyncChat, Chat
from PIL import Image

from cropzoom.clients import CropZoom
from cropzoom.clients.controller import Call, Controller
from cropzoom.clients.dialects import DIALECTS, Endpoint, endpoint_of
from cropzoom.errors import ClientError, RequestError
from cropzoom.images import Encoded, ImageSource, load_image, read_bytes
from cropzoom.report import Reason, ZoomReport

if TYPE_CHECKING:
    from openai._models import FinalRequestOptions

_T = TypeVar("_T")
_Request = tuple[dict[str, Any], Endpoint]

_RESOURCES = (SyncAPIResource, AsyncAPIResource)

# What the API takes as it is. Anything else is sent as PNG.
_SIGNATURES = ((b"\xff\xd8\xff", "jpeg"), (b"\x89PNG\r\n\x1a\n", "png"), (b"GIF8", "gif"))

# Requests that are rewritten at a time in one event loop. How many crops are computed at a time is
# the business of `Zoom`, so most of these threads wait.
_MOST_THREADS = 256
# What was ready by the deadline still has to come back from its thread.
_GRACE = 0.2
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
            request = _conversation(options)
            if request is None:
                return super().request(cast_to, options, *args, **kwargs)
            until = self.cropzoom.deadline(_seconds(options, self))
            call = self.cropzoom.call(*request, _server(self, request), until)
            try:
                while call.changed:
                    changed = _with_body(options, *request, call.new)
                    try:
                        answer = super().request(cast_to, changed, *args, **kwargs)
                        break
                    except APIStatusError as error:
                        if not call.refused(error.status_code, _words(error)):
                            raise
                else:
                    answer = super().request(cast_to, options, *args, **kwargs)
                call.accepted()
                return answer
            finally:
                call.publish()

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

    def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        **kwargs: Any,
    ) -> str:
        """Ask about an image and return the answer's text.

        Args:
            image: path, bytes, PIL image, data URI or http(s) address. An address is passed on;
                it is cropped only with `fetch_images=True`.
            question: what to ask.
            model: name of the model.
            question_for_crop: what to search the image for, where that is not what is asked.
            kwargs: further arguments of `chat.completions.create`, except `messages` and `stream`.

        Raises:
            ImageError: the image can't be read.
            RequestError: an argument that makes no sense here.
        """
        _check_ask(kwargs)
        messages = cast(Any, question_messages(image_url(image), question))
        with self.cropzoom.asking(question_for_crop):
            answer = self.chat.completions.create(model=model, messages=messages, **kwargs)
        return cast(str, answer.choices[0].message.content or "")


class ZoomAsyncOpenAI(CropZoom, AsyncOpenAI):
    """An AsyncOpenAI or AsyncAzureOpenAI client that adds crops. Made by `CropZoom(client)`."""

    if not TYPE_CHECKING:

        async def request(self, cast_to, options, *args, **kwargs):
            request = _conversation(options)
            if request is None:
                return await super().request(cast_to, options, *args, **kwargs)
            call = await _call(self, options, request)
            try:
                while call.changed:
                    changed = _with_body(options, *request, call.new)
                    try:
                        answer = await super().request(cast_to, changed, *args, **kwargs)
                        break
                    except APIStatusError as error:
                        if not call.refused(error.status_code, _words(error)):
                            raise
                else:
                    answer = await super().request(cast_to, options, *args, **kwargs)
                call.accepted()
                return answer
            finally:
                # Here and not in the thread, for the report belongs to this task.
                call.publish()

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

    async def ask(
        self,
        image: ImageSource,
        question: str,
        *,
        model: str,
        question_for_crop: str | None = None,
        **kwargs: Any,
    ) -> str:
        """Ask about an image and return the answer's text; see `ZoomOpenAI.ask`.

        The image is read in a thread.
        """
        _check_ask(kwargs)
        messages = cast(Any, question_messages(await _in_thread(image_url, image), question))
        with self.cropzoom.asking(question_for_crop):
            answer = await self.chat.completions.create(model=model, messages=messages, **kwargs)
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
    key = DIALECTS[endpoint].items
    if new.get(key) is body.get(key):
        return options
    place = "extra_json" if key in (options.extra_json or {}) else "json_data"
    changed = {place: {**getattr(options, place), key: new[key]}}
    # Under pydantic 1 the method is called `copy`.
    copier = getattr(options, "model_copy", None) or options.copy
    return cast("FinalRequestOptions", copier(update=changed))


async def _call(client: Any, options: FinalRequestOptions, request: _Request) -> Call:
    """Rewrite in a thread; a request that gets none in time goes out as it is."""
    controller: Controller = client.cropzoom
    server = _server(client, request)
    until = controller.deadline(_seconds(options, client))
    if not controller.enabled:
        return controller.call(*request, server)
    wait = math.inf if until is None else until - time.monotonic() + _GRACE
    with anyio.move_on_after(wait):
        return cast(Call, await _in_thread(controller.call, *request, server, until))
    late = "the crops were not ready before the deadline, as too many calls are under way"
    report = ZoomReport((), None, Reason.BUSY, wait * 1000, late)
    return Call(controller, request[0], request[0], report, server)


async def _in_thread(function: Any, *args: Any) -> Any:
    """Run in a thread that sees the caller's context variables; when cancelled, leave it to end."""
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_MOST_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, *args, limiter=limiter, abandon_on_cancel=True)


def _server(client: Any, request: _Request) -> tuple[str, str]:
    """Return what limits are learnt for: the address and the model."""
    return str(client.base_url), str(request[0].get("model"))


def _seconds(options: FinalRequestOptions, client: Any) -> float | None:
    """Return the seconds that a caller gives a request, None for no limit."""
    timeout: Any = options.timeout
    if not (timeout is None or isinstance(timeout, (int, float)) or hasattr(timeout, "read")):
        timeout = client.timeout
    timeout = getattr(timeout, "read", timeout)
    return timeout if isinstance(timeout, (int, float)) else None


def _words(error: APIStatusError) -> str:
    try:
        return error.response.text or error.message
    except Exception:
        # A response whose bytes were not read.
        return error.message


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
