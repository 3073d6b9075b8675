"""A torch checkpoint -> a verified cropper folder (needs torch).

Stages: take the policy's model with its adapter merged, write its graphs, tokenizer and manifest
into a folder beside the wanted one, climb the parity ladder on bundled pictures, and put the
folder in place, or, where a rung breaks, nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cropzoom.environment import versions
from cropzoom.errors import ExportError, OptionsError

if TYPE_CHECKING:
    from cropzoom.cropper.folder import Folder
    from cropzoom.cropper.manifest import Manifest
    from cropzoom.cropper.session import Device
    from cropzoom.export.ladder import Ladder

__all__ = ["ExportOptions", "export_policy"]

Precision = Literal["fp32", "fp16", "int8"]


@dataclass(frozen=True)
class ExportOptions:
    """How to export.

    Args:
        precision: of the weights. fp16 is for CUDA (a CPU computes it in fp32); int8 has the
            decoder's matrices in 8 bits and all else in fp32.
        fuse: also write the decoder with ONNX Runtime's own GroupQueryAttention, for CPU and CUDA.
        device: where the graphs are verified.
        samples: bundled questions to verify on, 1 to 24; 0 not to verify.
        name, version: for people; by default the name of the source.

    Raises:
        OptionsError: a value is out of range.
    """

    precision: Precision = "fp32"
    fuse: bool = True
    device: Device = "cpu"
    samples: int = 8
    name: str = ""
    version: str = "1"

    def __post_init__(self) -> None:
        if self.precision not in ("fp32", "fp16", "int8"):
            raise OptionsError(f"precision={self.precision!r} must be 'fp32', 'fp16' or 'int8'")
        if not 0 <= self.samples <= 24:
            raise OptionsError(f"samples={self.samples} must be 0 to 24")


def export_policy(
    policy: Any,
    out: str | Path,
    source: str = "",
    options: ExportOptions | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Ladder | None:
    """Export a policy made of a vision-language model as a cropper folder.

    Args:
        policy: a (constrained) `TextPolicy` or a `PointerPolicy` of `cropzoom.trainer.policies`,
            in float32 on the CPU, in evaluation mode, with or without an adapter; it is not
            changed.
        out: the folder to write: a new one, an empty one, or a cropper's, which is replaced.
        source: where the policy comes from, for the manifest and the card.
        options: see `ExportOptions`.
        progress: told of each stage.

    Returns:
        The parity ladder, every rung of which holds; None where `samples` is 0.

    Raises:
        ExportError: the policy can't be exported, or the folder can't be written.
        LadderError: a rung does not hold; the ladder is in `error.ladder`.
    """
    from cropzoom.export.build import make_cropper
    from cropzoom.export.ladder import samples
    from cropzoom.export.pointer import verify_pointer, write_pointer
    from cropzoom.export.text import write_text
    from cropzoom.export.verify_text import verify_text

    kinds: dict[str, tuple[Any, Any]] = {
        "text": (write_text, verify_text),
        "pointer": (write_pointer, verify_pointer),
    }
    if policy.kind not in kinds:
        raise ExportError(f"a {policy.kind} policy is exported by `export_checkpoint`")
    write_kind, verify_kind = kinds[policy.kind]
    options = options or ExportOptions()
    backbone = merged(policy)

    def write(folder: Path) -> dict[str, Any]:
        return {
            "name": options.name or Path(source).name or policy.kind,
            "version": options.version,
            **write_kind(policy, backbone, folder, options, progress),
            "training": provenance(policy, source),
        }

    def verify(folder: Folder, manifest: Manifest) -> Ladder:
        asked = samples(options.samples)
        ladder: Ladder = verify_kind(policy, folder, manifest, asked, options.device, progress)
        return ladder

    return make_cropper(Path(out), write, verify if options.samples else None)


def merged(policy: Any) -> Any:
    """Return the policy's model with its adapter merged; the policy is left as it is.

    Raises:
        ExportError: the policy is not what its cropper is to be held against.
    """
    import torch

    model = policy.model
    if model.dtype != torch.float32 or model.device.type != "cpu":
        raise ExportError(
            f"the policy is in {model.dtype} on {model.device}; load it in float32 on the CPU"
        )
    if not getattr(policy, "constrained", True):
        raise ExportError("croppers write boxes only; load the policy with constrained=True")
    if hasattr(model, "merge_and_unload"):
        model = copy.deepcopy(model).merge_and_unload()
    return model.eval()


def provenance(policy: Any, source: str) -> dict[str, Any]:
    """Return what the manifest says of a policy's origin. Paths are left out, but their names."""
    said: dict[str, Any] = {
        "checkpoint": Path(source).name if Path(source).exists() else source,
        "architecture": type(policy.backbone).__name__,
        "adapter": "merged" if policy.model is not policy.backbone else "none",
    }
    base = getattr(policy.model, "name_or_path", "")
    if said["adapter"] == "merged" and base:
        said["base"] = Path(base).name if Path(base).exists() else base
    return said | versions(("cropzoom", "torch", "transformers", "onnxscript"))
