"""`cropzoom mcp`: a tool for agents, over stdio or HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from cropzoom.cli.output import Output


def mcp(
    http: Annotated[
        bool, typer.Option("--http", help="Serve streamable HTTP at /mcp instead of stdio.")
    ] = False,
    root: Annotated[
        list[Path] | None,
        typer.Option(help="Folder that pictures may be read from; may be given several times."),
    ] = None,
    fetch: Annotated[
        bool, typer.Option("--fetch", help="Download pictures given as public addresses.")
    ] = False,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Most bytes of a picture's file.")
    ] = 20_000_000,
    cropper: Annotated[str, typer.Option(help="'nano', a cropper folder, or 'org/name'.")] = "nano",
    host: Annotated[str, typer.Option(help="Address to listen at, with --http.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen at, with --http.")
    ] = 8001,
) -> None:
    """Give an agent `find_region(image, question)`: boxes, confidence and the crop.

    Pictures come as data URIs or base64. Files are read only under --root, addresses downloaded
    only with --fetch. Over HTTP nobody is asked for a key, so listen where only friends can reach.

    Example: `claude mcp add cropzoom -- cropzoom mcp --root ~/Documents`
    """
    # Standard output is the client's: nothing else is printed there.
    with Output(False) as output:
        from cropzoom.cropper import load_cropper
        from cropzoom.errors import MissingDependencyError

        try:
            from cropzoom.mcp_server import finder_for, request_limit, server
        except ImportError as error:
            raise MissingDependencyError(
                f"this needs {error.name}; pip install 'cropzoom[mcp]'"
            ) from error
        model = load_cropper(cropper)
        finder = finder_for(model, roots=root or (), fetch=fetch, max_bytes=max_bytes)
        # Here, so that the first call does not wait and a broken installation is said at once.
        model.warmup()
        gate = server(finder)
        if not http:
            gate.run("stdio")
            return
        kind: Literal["streamable-http"] = "streamable-http"
        output.text(f"http://{host}:{port}/mcp; Ctrl+C stops it.")
        gate.run(
            kind,
            host=host,
            port=port,
            stateless_http=True,
            json_response=True,
            max_request_body_size=request_limit(finder),
        )
