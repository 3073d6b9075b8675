"""An OpenAI client for the commands that ask a target, and errors that name it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cropzoom.errors import CropZoomError, MissingDependencyError

if TYPE_CHECKING:
    from openai import OpenAI


def connect(base_url: str | None, *, local: bool = False) -> OpenAI:
    """Return an OpenAI client.

    Args:
        base_url: of the server; None for the environment's, or OpenAI's own.
        local: the server is ours, and the environment's key must not be sent to it.

    Raises:
        MissingDependencyError: openai is not installed.
        openai.OpenAIError: OpenAI's own server was asked for, and there is no key.
    """
    try:
        from openai import OpenAI
    except ImportError as error:
        raise MissingDependencyError(
            "this needs the openai package; pip install 'cropzoom[openai]'"
        ) from error
    # The client insists on a key, though servers at home seldom do.
    keyless = local or (base_url is not None and not os.environ.get("OPENAI_API_KEY"))
    return OpenAI(base_url=base_url, api_key="none" if keyless else None)


@contextmanager
def naming_target(base_url: str | None, model: str) -> Iterator[None]:
    """Turn openai's errors into one that names the target and says what to check.

    Raises:
        CropZoomError: instead of any `openai.OpenAIError`.
    """
    try:
        yield
    except Exception as error:
        if not any(kind.__name__ == "OpenAIError" for kind in type(error).__mro__):
            raise
        where = base_url or os.environ.get("OPENAI_BASE_URL") or "OpenAI"
        raise CropZoomError(
            f"asking {model} at {where} failed: {error} "
            "Check --model, --base-url and the key in OPENAI_API_KEY."
        ) from error
