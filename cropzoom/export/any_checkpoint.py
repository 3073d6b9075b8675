"""Any checkpoint -> a cropper's folder: what it is, and so what is exported and how.

This is what `cropzoom export-onnx` does; it reads torch checkpoints, so it needs the trainer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cropzoom.errors import OptionsError
from cropzoom.export import ExportOptions, export_policy
from cropzoom.export.ladder import Ladder

_AUTHORS_ADAPTER = "roi"
"""As the paper's authors' scripts name theirs, whose questions go through str.capitalize."""


def export_checkpoint(
    checkpoint: str | Path,
    out: str | Path,
    options: ExportOptions | None = None,
    *,
    kind: str | None = None,
    longest_edge: int | None = None,
    base: str | None = None,
    capitalize: bool | None = None,
    temperature: float | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Ladder | None:
    """Export a checkpoint of any kind, and prove that it says what the torch model says.

    Args:
        checkpoint: a policy's folder, a run of `cropzoom.trainer.nano.train`, an Idefics3 or
            SmolVLM checkpoint or a LoRA adapter of one; a folder or "org/name" on the hub.
        out: the folder to write: a new one, an empty one, or a cropper's, which is replaced.
        options: see `ExportOptions`; nano is exported in fp32 only.
        kind: "text" or "pointer"; by default what the folder says, else text. Not for nano.
        longest_edge: px that images are brought to; by default the checkpoint's.
        base: the checkpoint under an adapter, instead of its own. Not for nano.
        capitalize: whether questions go through `str.capitalize`; by default what the policy says,
            and on for adapters named "roi". Not for nano.
        temperature: of nano's confidence; None: what the policy started from had, else 1.
        progress: told of each stage.

    Returns:
        The parity ladder, every rung of which holds; None where it was not asked for.

    Raises:
        OptionsError: an option does not go with the checkpoint.
        ExportError: it can't be exported, or the folder can't be written.
        LadderError: a rung does not hold; the ladder is in `error.ladder`.
    """
    from cropzoom.trainer.policies import load_policy
    from cropzoom.trainer.policies.checkpoints import find_adapter
    from cropzoom.trainer.policies.policy_folders import find_source, read_policy_file

    options = options or ExportOptions()
    folder = find_source(str(checkpoint))
    run = (Path(checkpoint) / "checkpoint.pt").is_file()
    policy_file = read_policy_file(folder)
    if run or (policy_file is not None and policy_file.kind == "nano"):
        others = {"kind": kind, "base": base, "capitalize": capitalize}
        unfit = [name for name, value in others.items() if value is not None]
        if unfit or options.precision != "fp32":
            raise OptionsError(
                f"{checkpoint} is a nano, which is exported in fp32 and has no "
                f"{', '.join(unfit) or 'other precision'}"
            )
        return _export_nano(folder, run, Path(out), options, longest_edge, temperature, progress)
    loading: dict[str, Any] = {
        "longest_edge": longest_edge,
        "base": base,
        "capitalize": capitalize,
    }
    loading = {name: value for name, value in loading.items() if value is not None}
    adapter = find_adapter(folder)
    if policy_file is None and adapter is not None and adapter.name == _AUTHORS_ADAPTER:
        loading.setdefault("capitalize", True)
    kind = kind or (policy_file.kind if policy_file else "text")
    if kind == "text":
        loading["constrained"] = True
    policy: Any = load_policy(checkpoint, kind, **loading)
    return export_policy(policy, out, str(checkpoint), options, progress)


def _export_nano(
    folder: Path,
    run: bool,
    out: Path,
    options: ExportOptions,
    longest_edge: int | None,
    temperature: float | None,
    progress: Callable[[str], None],
) -> Ladder | None:
    from cropzoom.export.build import LadderError
    from cropzoom.export.nano import FAST_RUNG, export_nano
    from cropzoom.trainer.nano.checkpoint import load_checkpoint
    from cropzoom.trainer.policies import load_policy

    settings: dict[str, Any]
    if run:
        net, training, meanings = load_checkpoint(folder)
        settings = {"meanings": meanings}
    else:
        policy: Any = load_policy(folder)
        net, training, spec = policy.net, {"checkpoint": folder.name}, policy.collate.spec
        settings = {
            "scale": policy.scale,
            "pad_px": policy.pad_px,
            "meanings": policy.collate.meanings,
            "longest_edge": spec.longest_edge,
            "max_upscale": spec.max_upscale,
            "price": policy.price,
            "centre": policy.centre,
            "quantile": policy.quantile,
            "join": policy.join,
            "temperature": policy.confidence,
        }
    if longest_edge is not None:
        settings["longest_edge"] = longest_edge
    if temperature is not None:
        settings["temperature"] = temperature
    settings |= {"name": options.name or "nano", "version": options.version}
    settings |= {"count": options.samples, "progress": progress}
    try:
        ladder: Ladder | None = export_nano(net, out, training, **settings)
    except LadderError as error:
        if {rung.name for rung in error.ladder.rungs if not rung.passed} != {FAST_RUNG}:
            raise
        # Weights trained on by others may not bear 8 bits; the exact reader is worth having.
        progress("Leaving out the reader in 8 bits: its boxes differ")
        ladder = export_nano(net, out, training, **settings, fast=False)
    return ladder
