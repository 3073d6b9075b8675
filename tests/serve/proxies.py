"""Applications on the loopback, and the proxy before servers that the client tests know."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """Serve an application inside a `with` block; gives its address."""
    import uvicorn

    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


@contextmanager
def proxying(upstream: str, **settings: Any) -> Iterator[str]:
    """Serve a proxy with a cropper that always proposes the same box."""
    from wrapping import FixedCropper

    from cropzoom.serve import ProxySettings, application

    options = {"min_crop_side": 0, **settings.pop("options", {})}
    app = application(ProxySettings(upstream, options=options, **settings), FixedCropper())
    with serving(app) as address:
        yield address
