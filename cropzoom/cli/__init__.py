"""The `cropzoom` command. One small file per command; heavy imports inside its function.

A command is a function with the name of its file; its docstring is the help and ends with an
example.
"""

from __future__ import annotations

import importlib

import typer

_COMMANDS = (
    "ask",
    "batch",
    "bench",
    "crop",
    "demo",
    "doctor",
    "eval",
    "export_onnx",
    "label",
    "mcp",
    "serve",
)

app = typer.Typer(
    name="cropzoom",
    help="Give a vision-language model the crop that answers the question.",
    epilog="Example: cropzoom crop page.png 'What is the total?'",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    # A traceback with the values of all variables would put pictures and keys on the screen.
    pretty_exceptions_show_locals=False,
)


@app.callback(invoke_without_command=True)
def main(
    version: bool = typer.Option(False, "--version", help="Print the version and exit."),
) -> None:
    """Give a vision-language model the crop that answers the question."""
    if version:
        from cropzoom import __version__

        typer.echo(__version__)
        raise typer.Exit


for _name in _COMMANDS:
    _command = getattr(importlib.import_module(f"cropzoom.cli.{_name}"), _name)
    app.command(_name.replace("_", "-"))(_command)

app.add_typer(importlib.import_module("cropzoom.cli.train").train, name="train")
