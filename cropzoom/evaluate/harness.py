"""The way into other people's harnesses: lmms-eval by its entry point, VLMEvalKit by a subclass.

lmms-eval finds `manifest` through the entry point `lmms_eval.models`, so with cropzoom installed
beside it `python -m lmms_eval --model cropzoom ...` works. Nothing of either is imported before.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, TypeVar

from cropzoom.cropper import Cropper, load_cropper
from cropzoom.options import ZoomOptions
from cropzoom.report import ZoomReport
from cropzoom.zoom import Zoom

_T = TypeVar("_T")


def manifest() -> Any:
    """Return what lmms-eval's registry wants: a `ModelManifest` of the model "cropzoom"."""
    registry = importlib.import_module("lmms_eval.models.registry_v2")
    return registry.ModelManifest(
        model_id="cropzoom",
        chat_class_path="cropzoom.evaluate.lmms_eval_model.CropZoomModel",
    )


def zooming(
    model_class: type[_T],
    cropper: str | os.PathLike[str] | Cropper = "nano",
    options: ZoomOptions | None = None,
    on_report: Callable[[ZoomReport], object] | None = None,
) -> type[_T]:
    """Return a subclass of one of VLMEvalKit's OpenAI-style model classes which adds crops.

    These classes (`vlmeval.api.GPT4V`, `CustomAPIModel` and others that build on `OpenAIWrapper`)
    post with `requests`, so there is no client to wrap; but all their messages go through
    `prepare_inputs`.

        from vlmeval.config import supported_VLM
        supported_VLM["GPT4o+cropzoom"] = partial(zooming(GPT4V), model="gpt-4o", img_detail="high")

    Args:
        model_class: has `prepare_inputs(inputs) -> messages`.
        cropper: what `load_cropper` takes, or an object with its `predict`.
        options: how images are zoomed; None for the defaults.
        on_report: called with the `ZoomReport` of every call.

    Raises:
        TypeError: the class has no `prepare_inputs`.
    """
    if not hasattr(model_class, "prepare_inputs"):
        raise TypeError(
            f"{model_class.__name__} has no prepare_inputs: it is none of VLMEvalKit's classes for "
            "OpenAI-style APIs"
        )
    from cropzoom.clients import rewrite_body

    loaded = load_cropper(cropper) if isinstance(cropper, (str, os.PathLike)) else cropper
    zoom = Zoom(loaded, options)

    kind: Any = model_class

    def prepare_inputs(self: Any, inputs: Any) -> Any:
        messages = kind.prepare_inputs(self, inputs)
        body, report = rewrite_body({"messages": messages}, zoom=zoom)
        if on_report is not None:
            on_report(report)
        return body["messages"]

    return type(f"Zoom{kind.__name__}", (kind,), {"prepare_inputs": prepare_inputs})
