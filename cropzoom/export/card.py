"""The model card of an exported cropper."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cropzoom.export.ladder import Ladder
from cropzoom.export.staging import CARD_NAME


def write_card(folder: Path, content: Mapping[str, Any], ladder: Ladder | None) -> None:
    """Write `README.md`: what it is, how to use it, where it comes from, how near to torch it is.

    Args:
        folder: the cropper's, with all files but the card.
        content: of its manifest.
        ladder: of its verification; None where it was not verified.
    """
    name, kind = content["name"], content["kind"]
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    lines = [
        "---",
        "library_name: cropzoom",
        "tags: [cropzoom, onnx, vision-language, crop]",
        "---",
        f"# {name}",
        "",
        f"A crop policy of kind `{kind}` as ONNX graphs ({content['precision']}, "
        f"{size / 1e6:.0f} MB): image and question in, the region that answers the question out. "
        "It runs without torch:",
        "",
        "```python",
        "from cropzoom import CropZoom, load_cropper",
        "",
        f'client = CropZoom(client, load_cropper("path/to/{name}"))',
        "```",
        "",
        "## Where it comes from",
        "",
        *(f"- {key}: {value}" for key, value in content["training"].items()),
        "",
        "## Against the torch model",
        "",
    ]
    if ladder is None:
        lines.append("Not verified: exported with `--no-verify`.")
    else:
        lines += [
            f"On {len(ladder.boxes)} bundled questions, {ladder.precision} on {ladder.device} "
            "against fp32 in torch; more in `parity.json`.",
            "",
            "| rung | measure | value | limit |",
            "|---|---|---|---|",
            *(
                f"| {rung.name} | {rung.measure} | {rung.value:.3g} | "
                f"{'>=' if rung.at_least else '<='} {rung.limit:g} |"
                for rung in ladder.rungs
            ),
        ]
    lines += ["", "What the policy is good at, and what it was never shown, its makers know.", ""]
    (folder / CARD_NAME).write_text("\n".join(lines), encoding="utf-8")
