"""Google's clients: `google.genai.Client`, for the Gemini API and for Vertex.

What a client and its parts (`models`, `chats`, `aio`, and so on) send goes through one API client:
its `_request` is called once per request, above the retries, with the body as it will be sent. So
a wrapped client's parts are copies that share an API client of a subclass made per wrap, which
rewrites bodies there. `live` and `interactions` have connections of their own: they are sent as is.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from google.genai import Client, types
from google.genai._api_client import BaseApiClient
from google.genai._api_module import BaseModule
from google.genai.client import AsyncClient
from google.genai.errors import APIError

from cropzoom.clients import CropZoom
from cropzoom.clients.addresses import image_url, is_data, media_and_base64
from cropzoom.clients.controller import Controller
from cropzoom.clients.copies import copy_of, warn_of_patches, with_state
from cropzoom.clients.dialects import Endpoint, endpoint_of, model_of
from cropzoom.clients.one_question import Asks, AsyncAsks, Form
from cropzoom.clients.sending import send, send_async
from cropzoom.clients.threads import call_in_thread
from cropzoom.errors import ClientError
from cropzoom.images import ImageSource

_PARTS = (AsyncClient, BaseModule)


def question_contents(image: ImageSource, question: str) -> list[types.Content]:
    """Return the contents of a question about an image."""
    url = image_url(image)
    if is_data(url):
        media, data = media_and_base64(url)
        part = types.Part.from_bytes(data=base64.b64decode(data), mime_type=media)
    else:
        part = types.Part(file_data=types.FileData(file_uri=url))
    return [types.Content(role="user", parts=[part, types.Part(text=question)])]


_FORM = Form(
    arguments=lambda image, question: {"contents": question_contents(image, question)},
    method=lambda client: client.models.generate_content,
    text=lambda answer: answer.text or "",
    refused={"contents": "makes the contents itself; use client.models.generate_content(...)"},
)


class ZoomGoogle(Asks, CropZoom, Client):
    """A Google client that adds crops. Made by `CropZoom(client)`."""

    ask_form = _FORM

    if TYPE_CHECKING:

        @property
        def aio(self) -> ZoomAsyncGoogle: ...

    def __del__(self) -> None:
        """Leave the connections open: they are the wrapped client's, who closes them."""


class ZoomAsyncGoogle(AsyncAsks, CropZoom, AsyncClient):
    """`client.aio` of a Google client, which adds crops."""

    ask_form = _FORM


class Requests:
    """Mixed into an API client: its requests go out with crops."""

    cropzoom: Controller

    if not TYPE_CHECKING:

        def _request(self, http_request, *args, **kwargs):
            request = _conversation(http_request)
            if request is None:
                return super()._request(http_request, *args, **kwargs)
            until = self.cropzoom.deadline(http_request.timeout)
            server = _server(self, http_request)
            call = self.cropzoom.call(*request, server, until, server[1])
            plain = super()._request

            def post(new):
                return plain(_with_body(http_request, new), *args, **kwargs)

            return send(call, post, _refusal)

        async def _async_request(self, http_request, *args, **kwargs):
            request = _conversation(http_request)
            if request is None:
                return await super()._async_request(http_request, *args, **kwargs)
            until = self.cropzoom.deadline(http_request.timeout)
            server = _server(self, http_request)
            call = await call_in_thread(self.cropzoom, *request, server, until, server[1])
            plain = super()._async_request

            async def post(new):
                return await plain(_with_body(http_request, new), *args, **kwargs)

            return await send_async(call, post, _refusal)

    def __del__(self) -> None:
        """Leave the connections open: they are the wrapped client's, who closes them."""


def check(client: Any) -> None:
    """Refuse what is of google.genai but not a client.

    Raises:
        ClientError: says what to give instead.
    """
    if not isinstance(client, (Client, AsyncClient)):
        raise ClientError(
            f"{type(client).__name__} is a part of google.genai but not a client; wrap the client "
            "itself: CropZoom(genai.Client(...)).models.generate_content(...)"
        )


def wrap(client: Client | AsyncClient, controller: Controller) -> ZoomGoogle | ZoomAsyncGoogle:
    """Return a wrapped copy of a client; the client stays as it is.

    Warns if a tracer has patched the client, since the copy does not have its patches.
    """
    warn_of_patches(client, _PARTS, "for instance wrap_gemini(CropZoom(client))", level=5)
    api = copy_of(client._api_client, Requests, controller)
    # It closes its connections when nobody holds it any more.
    api._cropzoom_source = client
    return cast("ZoomGoogle | ZoomAsyncGoogle", _over(api, client, controller))


def _over(api: BaseApiClient, part: Any, controller: Controller) -> Any:
    """Return a copy of a client or of one of its parts that sends through an API client."""
    if isinstance(part, (Client, AsyncClient)):
        base = ZoomGoogle if isinstance(part, Client) else ZoomAsyncGoogle
        copy = copy_of(part, base, controller)
    else:
        copy = with_state(type(part), part)
    for name, value in vars(part).items():
        if callable(getattr(type(part), name, None)):
            # A tracer's patch.
            del vars(copy)[name]
        elif isinstance(value, BaseApiClient):
            vars(copy)[name] = api
        elif isinstance(value, _PARTS):
            vars(copy)[name] = _over(api, value, controller)
    return copy


def _conversation(request: Any) -> tuple[Mapping[str, Any], Endpoint] | None:
    """Return a request's body as it will be sent and its kind; None if it is another request."""
    if str(request.method).lower() != "post" or not isinstance(request.data, Mapping):
        return None
    endpoint = endpoint_of(request.url)
    return None if endpoint is None else (request.data, endpoint)


def _with_body(request: Any, new: Mapping[str, Any] | None) -> Any:
    """Return a request that sends the new contents; the one given stays as it is."""
    if new is None:
        return request
    return replace(request, data=dict(new))


def _server(api: BaseApiClient, request: Any) -> tuple[str, str | None]:
    """Return what limits are learnt for: the address and the model."""
    return str(api._http_options.base_url), model_of(request.url)


def _refusal(error: Exception) -> tuple[int, str] | None:
    return (error.code, str(error)) if isinstance(error, APIError) else None
