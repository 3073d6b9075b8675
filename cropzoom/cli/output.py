"""Where every command's output goes: text for people, or one JSON object with `--json`."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cropzoom.errors import CropZoomError

_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
JsonFlag = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


class Output:
    """A command's output, used as `with Output(as_json) as out:` around all it does.

    A CropZoomError inside becomes its message, without a traceback, and exit code 1. With JSON,
    standard output holds exactly one object: the result, or `{"error": {"type", "message"}}`.

    Args:
        as_json: whether `--json` was given.
    """

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self._console = Console(highlight=False, markup=False, soft_wrap=True)
        self._errors = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> Output:
        for stream in (sys.stdout, sys.stderr):
            # A name that the terminal's encoding lacks is shown by its numbers.
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        if threading.current_thread() is threading.main_thread():
            # Working folders are cleared away by whoever made them, on the way out.
            with contextlib.suppress(ValueError, AttributeError):
                if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                    signal.signal(signal.SIGTERM, _leave)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not isinstance(error, CropZoomError) and _disk_is_full(error):
            error = CropZoomError(f"the disk is full: {error}; make room, or choose another place")
        if isinstance(error, CropZoomError):
            if self.as_json:
                self.json({"error": {"type": type(error).__name__, "message": str(error)}})
            else:
                self._errors.print(Text.assemble(("Error: ", "bold red"), str(error)))
            raise typer.Exit(1) from error

    def text(self, line: str = "", *, style: str | None = None) -> None:
        """Print a line for people; nothing with JSON."""
        if not self.as_json:
            self._console.print(line, style=style)

    def warn(self, line: str) -> None:
        """Print a warning on standard error, in either form."""
        self._errors.print(Text.assemble(("Warning: ", "bold yellow"), line))

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str | Text]], title: str | None = None
    ) -> None:
        """Print a table for people; nothing with JSON."""
        if self.as_json:
            return
        # As Text: neither brackets nor ":eye:" in a name are markup.
        heading = None if title is None else Text(title)
        table = Table(*columns, title=heading, title_justify="left")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
        self._console.print(table, soft_wrap=False)

    def json(self, data: dict[str, Any]) -> None:
        """Print the result with JSON; nothing for people."""
        if self.as_json:
            typer.echo(json.dumps(data, indent=2, ensure_ascii=False))

    def progress(self) -> Progress:
        """Return a progress display on standard error; it shows only on a terminal, without JSON.

        Use as `with out.progress() as progress: progress.add_task("Loading", total=None)`.
        """
        return Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=self._errors,
            transient=True,
            disable=self.as_json or not self._errors.is_terminal,
        )


def _leave(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def _disk_is_full(error: BaseException) -> bool:
    """Tell whether a full disk is behind an error; the libraries that write have their own."""
    cause: BaseException | None = error
    while cause is not None:
        number = cause.errno if isinstance(cause, OSError) else None
        if number in _DISK_FULL or "No space left on device" in str(cause):
            return True
        # What torch.save says of it.
        if isinstance(cause, RuntimeError) and "PytorchStreamWriter failed writing" in str(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return False
