"""Pages and cards as Jinja templates: HTML is escaped, and a page needs no other file.

`base.html.j2` is every page's frame; a new page extends it, and `render` fills it in.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from cropzoom.errors import MissingDependencyError
from cropzoom.geometry import Box
from cropzoom.images import encode_crop

if TYPE_CHECKING:
    from jinja2 import Environment
    from PIL import Image


def render(template: str, **values: object) -> str:
    """Fill in a template of this folder.

    Args:
        template: its file's name; what ends in `.html.j2` is escaped.
        values: its variables; one that it uses and does not get is an error.

    Raises:
        MissingDependencyError: jinja2 is not installed.
    """
    return _environment().get_template(template).render(**values)


@cache
def _environment() -> Environment:
    try:
        import jinja2
    except ImportError as error:
        raise MissingDependencyError(
            "pages and cards need jinja2; pip install 'cropzoom[demo]', or jinja2 alone"
        ) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cropzoom", "templates"),
        autoescape=jinja2.select_autoescape(["html.j2"], default_for_string=False),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"percent": _percent, "number": _number, "place": _place}
    return environment


def picture(image: Image.Image, side: int, box: Box | None = None) -> str:
    """Return a picture, or a box cut out of it, as a data URI of at most `side` px."""
    whole = box or Box(0, 0, 1, 1)
    return encode_crop(image, whole, min_side=0, max_side=side, photographic=True).data_uri()


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def _place(box: Box) -> str:
    """Where a box lies in its picture, as CSS."""
    return f"left:{box.x0:.3%};top:{box.y0:.3%};width:{box.width:.3%};height:{box.height:.3%}"
