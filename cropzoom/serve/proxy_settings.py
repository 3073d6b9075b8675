"""How a proxy works: where it passes requests on to, and within which limits."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import unquote, urlsplit

from cropzoom.errors import OptionsError, RequestError

_ENVIRONMENT = "CROPZOOM_SERVE"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """How a proxy works.

    Args:
        upstream: address of the API that it stands before, with or without "/v1".
        cropper: name or folder of a cropper.
        options: fields of `ZoomOptions`.
        max_body: most bytes of a request's body.
        timeout: most seconds between two pieces of an answer.
        max_in_flight: requests under way at a time, in a process; a further one is told to come
            again.
        max_held: most bytes of all bodies under way, in a process; a further one is told to come
            again.
        body_timeout: most seconds that a body may take to arrive.
        drain: seconds that a stopping process goes on taking calls, so that whoever balances
            notices; its answers then end their connections.
        metrics_folder: where processes that share the work keep their sums.

    Raises:
        OptionsError: the upstream is no http(s) address.
    """

    upstream: str
    cropper: str = "nano"
    options: dict[str, Any] = field(default_factory=dict)
    max_body: int = 64_000_000
    timeout: float = 600.0
    max_in_flight: int = 1024
    max_held: int = 1_000_000_000
    body_timeout: float = 120.0
    drain: float = 0.0
    metrics_folder: str | None = None

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.upstream)
            good = parts.scheme.lower() in ("http", "https") and bool(parts.hostname)
        except ValueError:
            good = False
        if not good or parts.query or parts.fragment:
            raise OptionsError(
                f"the upstream {self.upstream!r} is no address; give one such as "
                "https://api.openai.com/v1"
            )

    def url(self, path: str, query: str) -> str:
        """Return where a request to the proxy goes: always to the upstream, below its path.

        Args:
            path: of the request, percent-encoded as it came.
            query: of the request, without the question mark.

        Raises:
            RequestError: the path would lead out of the upstream's.
        """
        decoded = unquote(path).replace("\\", "/")
        if not path.startswith("/") or {".", ".."} & set(decoded.split("/")):
            raise RequestError(f"the path {path[:200]!r} has no fixed place; give it without dots")
        base = self.upstream.rstrip("/")
        prefix = urlsplit(base).path
        if prefix and (path == prefix or path.startswith(prefix + "/")):
            path = path[len(prefix) :]
        return base + path + (f"?{query}" if query else "")

    def to_environment(self) -> None:
        """Describe the proxy to worker processes."""
        os.environ[_ENVIRONMENT] = json.dumps(asdict(self))

    @classmethod
    def from_environment(cls) -> ProxySettings:
        """Return the settings that a parent process described."""
        return cls(**json.loads(os.environ[_ENVIRONMENT]))
