"""`cropzoom serve`: a proxy before any API that takes pictures."""

from __future__ import annotations

from typing import Annotated

import typer

from cropzoom.cli.output import JsonFlag, Output


def serve(
    upstream: Annotated[
        str, typer.Option(help="API to stand before, such as https://api.openai.com/v1.")
    ],
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen at.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    cropper: Annotated[str, typer.Option(help="'nano', a cropper folder, or 'org/name'.")] = "nano",
    mode: Annotated[str, typer.Option(help="'add', 'replace' or 'stitch'.")] = "add",
    budget: Annotated[
        int | None, typer.Option(min=1, help="Most tokens an image and its crops may cost.")
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Most megabytes of a request's body.")] = 64,
    timeout: Annotated[
        float, typer.Option(help="Most seconds to wait for a piece of an answer.")
    ] = 600.0,
    max_in_flight: Annotated[
        int, typer.Option(min=1, help="Most requests under way in a process; others get 503.")
    ] = 1024,
    drain: Annotated[
        float,
        typer.Option(min=0, help="Seconds that it takes calls after SIGTERM, for who balances."),
    ] = 2.0,
    grace: Annotated[
        int, typer.Option(min=0, help="Seconds that calls under way have when it is stopped.")
    ] = 60,
    as_json: JsonFlag = False,
) -> None:
    """Stand before an API and add crops to the requests that ask about pictures.

    Keys are the callers' own: they are passed on and never logged. /healthz says whether it takes
    calls, /metrics what it has done.

    Example: `cropzoom serve --upstream https://api.openai.com/v1 --mode replace`
    """
    with Output(as_json) as output:
        from cropzoom.errors import MissingDependencyError

        try:
            from cropzoom.serve import ProxySettings, application
            from cropzoom.serve.processes import serve_proxy
        except ImportError as error:
            raise MissingDependencyError(
                f"this needs {error.name}; pip install 'cropzoom[serve]'"
            ) from error
        settings = ProxySettings(
            upstream,
            cropper,
            {"mode": mode, "budget": budget},
            max_body * 1_000_000,
            timeout,
            max_in_flight,
            drain=drain,
        )
        proxy = application(settings)  # An error is said here, not by each process.
        output.json({"address": f"http://{host}:{port}", "upstream": upstream})
        output.text(f"http://{host}:{port} stands before {upstream}; Ctrl+C stops it.")
        serve_proxy(
            proxy,
            settings,
            workers,
            host=host,
            port=port,
            log_level="warning",
            access_log=False,  # Addresses may hold keys.
            timeout_graceful_shutdown=grace,
            # Longer than balancers keep a connection, so that these close it, between two calls.
            timeout_keep_alive=75,
            server_header=False,
            date_header=False,
        )
