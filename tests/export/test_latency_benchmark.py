"""benchmarks/timings/latency.py on a tiny architecture."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exporting import Timed

pytest.importorskip("transformers", minversion="5")
pytest.importorskip("onnxscript")

import latency
import variants


@pytest.fixture(scope="module")
def measured(timed: Timed) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "REPEATS", 1)
        result = latency.measure("tiny", timed.work, {32: 2, 64: 2}, 0, 1)
    return json.loads(json.dumps(result))


def test_every_way_is_measured_at_every_size(measured: dict[str, Any]) -> None:
    assert list(measured["cpu"]) == ["32", "64"] and measured["cuda"] == {}
    assert set(measured["gemm_gflops"]) == {"torch", "numpy", "onnxruntime"}
    for found in measured["cpu"].values():
        croppers = found["croppers"]
        assert list(croppers) == [latency.EAGER, *variants.VARIANTS, "nano"]
        # Fused attention says the same, and the pieces of `text plain` are those of `text fused`.
        assert croppers["text fused"]["iou"]["least"] == pytest.approx(1, abs=1e-6)
        assert len({one["hash"] for one in croppers.values()}) == 6
        assert croppers["text int8"]["precision"] == "int8"
    # A portrait page: one tile, and two by two with the whole.
    tiles = [
        found["croppers"]["text fused"]["first"]["counts"]["tiles"]
        for found in measured["cpu"].values()
    ]
    assert tiles == [1, 5]
    assert latency.floor(measured, "64") == pytest.approx(5 * latency.floor(measured, "32"))


def test_the_table(measured: dict[str, Any], tmp_path: Path) -> None:
    figures = latency.render(measured)
    rows = [line for line in figures.splitlines() if line.startswith("|")]
    # Two tables with a line of arithmetic each, and the aims.
    assert len(rows) == 2 * (2 + 6 + 1) + 2 + 2 * 6 + 1
    assert {row.count("|") for row in rows[: 2 * 9]} == {12}
    assert rows[-1].endswith("| not measured: none was at hand |")
    found = measured["cpu"]["32"]["croppers"]
    slow, fast = (
        found[label]["first"]["total"]["p50"] for label in ("transformers generate", "nano")
    )
    nano = next(row for row in rows if row.startswith("| nano"))
    assert nano.startswith(f"| nano | {fast:.0f} | {latency.ratio(slow, fast)} | as the first |")
    assert [latency.ratio(value, 2.0) for value in (3.0, 19.0, 250.0, None)] == [
        "1.5x",
        "9.5x",
        "125x",
        "",
    ]
    docs = tmp_path / "docs.md"
    docs.write_text(f"before\n{''.join(latency.MARKS)}after\n")
    for _ in range(2):
        latency.put_into(docs, figures)
        first, last = latency.MARKS
        assert docs.read_text() == f"before\n{first}{figures}{last}after\n"


def test_the_arithmetic_is_what_torch_counts(timed: Timed) -> None:
    import torch
    from random_checkpoints import TINY
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoModelForImageTextToText

    # Its counter does not know the fused attention of CPUs.
    model = AutoModelForImageTextToText.from_pretrained(
        timed.work / "checkpoint", attn_implementation="eager"
    )
    counter = FlopCounterMode(display=False)
    # An image of zeros would be padding.
    with counter, torch.no_grad():
        model.model.get_image_features(torch.ones(1, 1, 3, 32, 32))
    assert latency.vision_flops(TINY) == counter.get_total_flops()


def test_the_documentation_shows_the_committed_figures() -> None:
    if not latency.RESULTS.exists():
        pytest.skip("no figures yet")
    result = json.loads(latency.RESULTS.read_text(encoding="utf-8"))
    first, last = latency.MARKS
    text = latency.DOCS.read_text(encoding="utf-8")
    assert text.split(first)[1].split(last)[0] == latency.render(result)
