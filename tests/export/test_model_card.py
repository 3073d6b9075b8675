"""The bundled nano's card, manifest and curve tell the same."""

from __future__ import annotations

import json
from pathlib import Path

BUNDLED = Path(__file__).parents[2] / "cropzoom/cropper/bundled"


def test_the_card_tells_of_the_model_beside_it() -> None:
    manifest = json.loads((BUNDLED / "nano/cropper.json").read_text("utf-8"))
    card = (BUNDLED / "MODEL_CARD.md").read_text("utf-8")
    curve = [json.loads(row) for row in (BUNDLED / "training.jsonl").open(encoding="utf-8")]
    assert card.startswith(f"# nano {manifest['version']}\n")
    # A mean of runs: the last row of each one's curve is the checkpoint that was exported.
    runs = [source["training"] for source in manifest["training"]["from"]["soup"]]
    ends = {row["run"]: (row["step"], round(row["minutes"], 1)) for row in curve}
    assert list(ends.values())[-len(runs) :] == [(run["step"], run["minutes"]) for run in runs]
    for share in manifest["training"]["arguments"]["soup"]:
        assert f"--share {share}" in " ".join(card.split())
    for training in runs:
        assert f"{training['step']:,}" in card and f"seed {training['arguments']['seed']}" in card
        # Down the chain of runs to random weights.
        versions = [manifest["version"]]
        while isinstance(training["from"], dict):
            versions.append(training["from"]["version"])
            training = training["from"]["training"]
        assert training["from"] == "random weights" and len(versions) > 1
    for source in ("SROIE", "Softmatic", "Azure-Samples", "aws-samples", "MicrosoftDocs", "e5"):
        assert source in card
    assert "CC-BY-4.0" in card and "Apache-2.0" in card
