"""Crop what the question asks about, so that a vision-language model can read it.

    from openai import OpenAI
    from cropzoom import CropZoom

    client = CropZoom(OpenAI())

Names are loaded on first use: `import cropzoom` imports no model runtime and no client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cropzoom.clients import CropZoom as CropZoom
    from cropzoom.clients import rewrite_body as rewrite_body
    from cropzoom.cropper import Cropper as Cropper
    from cropzoom.cropper import load_cropper as load_cropper
    from cropzoom.errors import BusyError as BusyError
    from cropzoom.errors import ClientError as ClientError
    from cropzoom.errors import CropperError as CropperError
    from cropzoom.errors import CropZoomError as CropZoomError
    from cropzoom.errors import DeadlineError as DeadlineError
    from cropzoom.errors import ExportError as ExportError
    from cropzoom.errors import FetchError as FetchError
    from cropzoom.errors import ImageError as ImageError
    from cropzoom.errors import ImageTooLargeError as ImageTooLargeError
    from cropzoom.errors import MissingDependencyError as MissingDependencyError
    from cropzoom.errors import OptionsError as OptionsError
    from cropzoom.errors import RequestError as RequestError
    from cropzoom.geometry import Box as Box
    from cropzoom.geometry import Crop as Crop
    from cropzoom.options import ZoomOptions as ZoomOptions
    from cropzoom.report import Cited as Cited
    from cropzoom.report import CropReport as CropReport
    from cropzoom.report import ImageReport as ImageReport
    from cropzoom.report import Reason as Reason
    from cropzoom.report import ZoomReport as ZoomReport

__version__ = "0.1.0"

_HOMES = {
    "cropzoom.clients": ("CropZoom", "rewrite_body"),
    "cropzoom.cropper": ("Cropper", "load_cropper"),
    "cropzoom.errors": (
        "BusyError",
        "ClientError",
        "CropZoomError",
        "CropperError",
        "DeadlineError",
        "ExportError",
        "FetchError",
        "ImageError",
        "ImageTooLargeError",
        "MissingDependencyError",
        "OptionsError",
        "RequestError",
    ),
    "cropzoom.geometry": ("Box", "Crop"),
    "cropzoom.options": ("ZoomOptions",),
    "cropzoom.report": ("Cited", "CropReport", "ImageReport", "Reason", "ZoomReport"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *sorted(_HOME_OF)]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'cropzoom' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
