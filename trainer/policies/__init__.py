"""Crop policies behind one interface (`base.py`).

`text.py` the paper's, which writes the box; `pointer.py` the same backbone, which points;
`nano.py` the bundled cropper. `load_policy` loads any of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cropzoom.errors import CropperError, OptionsError

if TYPE_CHECKING:
    from .policy import Policy

KINDS = ("text", "pointer", "nano")
_CROPPER_FILE = "cropper.json"


def load_policy(source: str | Path, kind: str | None = None, **options: Any) -> Policy:
    """Load a policy, in evaluation mode, on the CPU.

    Args:
        source: "nano"; a folder that a policy's `save_pretrained` wrote; a nano cropper folder; a
            transformers checkpoint of Idefics3 or SmolVLM, or a LoRA adapter of one; each of the
            last as a folder or as `org/name` on the hub.
        kind: "text", "pointer" or "nano"; needed for a transformers checkpoint or an adapter. A
            policy of kind "text" lends its backbone to a new one of kind "pointer", and back.
        options: keyword arguments of `VlmPolicy.from_pretrained` (lora, base, dtype, longest_edge,
            image_splitting) or of the policy's class, instead of what the source says.

    Raises:
        CropperError: the source is missing, broken, or does not go with `kind`.
        OptionsError: an option or the kind is unknown or out of range, or `kind` is needed.
    """
    if kind is not None and kind not in KINDS:
        raise OptionsError(f"kind={kind!r} must be one of {', '.join(KINDS)}, or None")
    own_kind = _kind_of(source)
    chosen = kind or own_kind
    if chosen is None:
        raise OptionsError(
            f"{source} doesn't say what kind of policy it is; give kind='text' or kind='pointer'"
        )
    if own_kind is not None and (own_kind == "nano") != (chosen == "nano"):
        raise CropperError(f"{source} holds a {own_kind} policy, which can't be made {chosen}")
    if chosen == "nano":
        from .nano_policy import NanoPolicy

        return NanoPolicy.from_pretrained(source, **options)
    if chosen == "pointer":
        from .pointer_policy import PointerPolicy

        return PointerPolicy.from_pretrained(source, **options)
    from .text_policy import TextPolicy

    return TextPolicy.from_pretrained(source, **options)


def _kind_of(source: str | Path) -> str | None:
    from .policy_folders import find_source, read_policy_file

    if source == "nano":
        return "nano"
    folder = find_source(source)
    policy_file = read_policy_file(folder)
    if policy_file is None:
        return "nano" if (folder / _CROPPER_FILE).is_file() else None
    if policy_file.kind not in KINDS:
        raise CropperError(f"{folder} holds a policy of unknown kind {policy_file.kind!r}; upgrade")
    return policy_file.kind
