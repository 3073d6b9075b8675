"""Wrapping: `CropZoom(client)` gives back the same kind of client, which adds crops to requests.

Packages of clients are imported only where the object given comes from them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

from cropzoom.clients.body import rewrite_body
from cropzoom.clients.controller import Controller
from cropzoom.cropper import Cropper, default_cropper, load_cropper
from cropzoom.errors import ClientError, CropperError
from cropzoom.options import ZoomOptions
from cropzoom.report import ZoomReport
from cropzoom.zoom import Zoom

if TYPE_CHECKING:
    from google.genai import Client
    from google.genai.client import AsyncClient
    from openai import AsyncOpenAI, OpenAI

    from cropzoom.clients.google import ZoomAsyncGoogle, ZoomGoogle
    from cropzoom.clients.openai import ZoomAsyncOpenAI, ZoomOpenAI

__all__ = ["Controller", "CropZoom", "rewrite_body"]

logger = logging.getLogger("cropzoom")

_SUPPORTED = (
    "CropZoom takes an OpenAI, AsyncOpenAI, AzureOpenAI or AsyncAzureOpenAI client, one of "
    "Anthropic's clients, a google.genai.Client, or a transformers pipeline for "
    "image-text-to-text or any-to-any"
)
# What to give instead of a module.
_MODULES: dict[object, str] = {
    "openai": "openai.OpenAI(...)",
    "anthropic": "anthropic.Anthropic(...)",
    "google.genai": "genai.Client(...)",
}
# Frameworks that build or hold a client of their own, and how they take a wrapped one.
_FRAMEWORKS = {
    "langchain_openai": (
        "wrap the clients that it talks through: client = CropZoom(OpenAI(...)); "
        "ChatOpenAI(..., root_client=client, client=client.chat.completions)"
    ),
    "llama_index": (
        "give it a wrapped client: llama_index.llms.openai.OpenAI(..., "
        "openai_client=CropZoom(openai.OpenAI(...)))"
    ),
    "pydantic_ai": (
        "give its provider a wrapped client: OpenAIChatModel(..., "
        "provider=OpenAIProvider(openai_client=CropZoom(AsyncOpenAI(...))))"
    ),
    "litellm": "give it a wrapped client: litellm.completion(..., client=CropZoom(OpenAI(...)))",
    "agents": (
        "give it a wrapped client: agents.set_default_openai_client(CropZoom(AsyncOpenAI(...))), "
        "or OpenAIChatCompletionsModel(..., openai_client=CropZoom(AsyncOpenAI(...)))"
    ),
    "instructor": (
        "it wraps a client itself; put CropZoom inside: instructor.from_openai(CropZoom(client))"
    ),
}
_BY_HAND = (
    "For anything else use cropzoom.rewrite_body on its request bodies, or "
    "cropzoom.load_cropper().predict(image, question)"
)


class CropZoom:
    """Wrap a client, so that images in its requests come with the crop that answers the question.

    The result is a client of the same class (`isinstance` holds for both) over the same
    connections, so closing one closes both; the client given is left as it was. Its `cropzoom`
    attribute is a `Controller`: options, overrides and reports. Wrapping a wrapped client gives
    it back unchanged.

        client = CropZoom(OpenAI())
        client.chat.completions.create(model=..., messages=[...])
        print(client.cropzoom.last_report)

    Args:
        client: an OpenAI, AsyncOpenAI, AzureOpenAI or AsyncAzureOpenAI client, one of Anthropic's
            clients (for Bedrock, Vertex and Foundry, too), a google.genai.Client or its `aio`, or a
            transformers pipeline for image-text-to-text or any-to-any.
        cropper: what `load_cropper` takes (a name or a folder), or an object with its `predict`.
        options: how images are zoomed; None for the defaults.
        on_report: called with the `ZoomReport` of every call.
        strict: raise where something can't be zoomed, before anything is sent; otherwise such
            requests go out as they are and the reason is in the report.

    Raises:
        ClientError: the client is of another kind.
        CropperError: the cropper can't be loaded.
        MissingDependencyError: a package that the cropper needs is not installed.
    """

    cropzoom: Controller

    if TYPE_CHECKING:
        # Per kind of client, so that type checkers and editors know what comes back.
        @overload
        def __new__(
            cls,
            client: OpenAI,
            cropper: str | os.PathLike[str] | Cropper = "nano",
            options: ZoomOptions | None = None,
            on_report: Callable[[ZoomReport], object] | None = None,
            strict: bool = False,
        ) -> ZoomOpenAI: ...
        @overload
        def __new__(
            cls,
            client: AsyncOpenAI,
            cropper: str | os.PathLike[str] | Cropper = "nano",
            options: ZoomOptions | None = None,
            on_report: Callable[[ZoomReport], object] | None = None,
            strict: bool = False,
        ) -> ZoomAsyncOpenAI: ...
        @overload
        def __new__(
            cls,
            client: Client,
            cropper: str | os.PathLike[str] | Cropper = "nano",
            options: ZoomOptions | None = None,
            on_report: Callable[[ZoomReport], object] | None = None,
            strict: bool = False,
        ) -> ZoomGoogle: ...
        @overload
        def __new__(
            cls,
            client: AsyncClient,
            cropper: str | os.PathLike[str] | Cropper = "nano",
            options: ZoomOptions | None = None,
            on_report: Callable[[ZoomReport], object] | None = None,
            strict: bool = False,
        ) -> ZoomAsyncGoogle: ...
        @overload
        def __new__(
            cls,
            client: Any,
            cropper: str | os.PathLike[str] | Cropper = "nano",
            options: ZoomOptions | None = None,
            on_report: Callable[[ZoomReport], object] | None = None,
            strict: bool = False,
        ) -> Any: ...
        def __new__(cls, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def __new__(cls, *args, **kwargs):
            # Subclasses are made by wrapping; their own construction is the client's `copy()`.
            return _wrap(*args, **kwargs) if cls is CropZoom else super().__new__(cls)

        def __init__(self, *args, **kwargs):
            # `CropZoom(client)` calls this on the finished client that `__new__` returned; only
            # one that is being constructed has no attributes yet.
            if not vars(self):
                super().__init__(*args, **kwargs)


def _wrap(
    client: Any,
    cropper: str | os.PathLike[str] | Cropper = "nano",
    options: ZoomOptions | None = None,
    on_report: Callable[[ZoomReport], object] | None = None,
    strict: bool = False,
) -> Any:
    if isinstance(client, CropZoom):
        if not (cropper == "nano" and options is None and on_report is None and not strict):
            logger.warning(
                "the client is wrapped already, so the new settings are ignored; wrap the original "
                "client, or use client.cropzoom.override(...)"
            )
        return client
    wrap = _wrapper_for(client)
    zoom = Zoom(_cropper(cropper), options)
    return wrap(client, Controller(zoom, on_report=on_report, strict=strict))


def _cropper(cropper: str | os.PathLike[str] | Cropper) -> Cropper:
    if cropper == "nano":
        # Clients are made for each request by some; the model is loaded once.
        return default_cropper()
    if isinstance(cropper, (str, os.PathLike)):
        return load_cropper(cropper)
    # Not isinstance(..., Cropper): a runtime protocol would narrow away what this has to refuse.
    if not hasattr(cropper, "predict"):
        raise CropperError(
            f"the cropper is {type(cropper).__name__}; give a name, a folder, or an object with "
            "predict(image, question, k=1) -> list[Crop]"
        )
    return cropper


def _wrapper_for(client: Any) -> Callable[[Any, Controller], Any]:
    """Return the function that wraps this kind of client.

    Raises:
        ClientError: no such kind is known; says what to do.
    """
    origins = {base.__module__.partition(".")[0] for base in type(client).__mro__}
    # Modules import lazily: whoever has the object has imported its package.
    if "openai" in origins:
        from cropzoom.clients import openai

        openai.check(client)
        return openai.wrap
    if "anthropic" in origins:
        from cropzoom.clients import anthropic

        anthropic.check(client)
        return anthropic.wrap
    if any(base.__module__.startswith("google.genai.") for base in type(client).__mro__):
        from cropzoom.clients import google

        google.check(client)
        return google.wrap
    if "transformers" in origins:
        import cropzoom.clients.pipeline as pipeline

        pipeline.check(client)
        return pipeline.wrap
    given = f"{type(client).__module__}.{type(client).__qualname__}"
    if isinstance(client, type):
        raise ClientError(f"{client.__qualname__} is a class; give an instance. {_SUPPORTED}.")
    instance = _MODULES.get(getattr(client, "__name__", None))
    if instance is not None:
        raise ClientError(f"a module can't be wrapped; give {instance} instead")
    framework = next((name for name in _FRAMEWORKS if name in origins), None)
    if framework is not None:
        raise ClientError(f"can't wrap {given}; {_FRAMEWORKS[framework]}")
    raise ClientError(f"can't wrap {given}. {_SUPPORTED}. {_BY_HAND}.")
