"""The Jinja files beside the templates: how what a page shows is marked up, and looks."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cropzoom.errors import MissingDependencyError

from ..tables import read_data

if TYPE_CHECKING:
    from jinja2 import Environment

_FOLDER = Path(__file__).parent / "templates"


def make_markup(name: str, **given: Any) -> Any:
    """A file's macros as methods, after what it says outside of them is done.

    Args:
        name: of `templates/NAME.html.j2`.
        given: its variables; one that it uses and does not get is an error.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    return _environment().get_template(f"{name}.html.j2").make_module(given)


@cache
def _environment() -> Environment:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(
            'laying out pages needs jinja2; run: pip install "cropzoom[pages]"'
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_source), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.globals["icons"] = [shape for (shape,) in read_data("icons.txt")]
    return environment


def _source(name: str) -> str:
    """A file's text; a line break in it is nothing, or a space before an attribute."""
    text = re.sub(r'"\n(?=[a-z-]+=)', '" ', (_FOLDER / name).read_text("utf-8"))
    return re.sub(r"\n\s*", "", text)
