"""The studies' pages show what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rapidocr")

import coordinates
import study_tables


@pytest.mark.parametrize("page", sorted(study_tables.PAGES.glob("*.md")), ids=lambda p: p.stem)
def test_committed_pages_are_what_the_results_say(page: Path) -> None:
    assert page.read_text("utf-8") == study_tables.filled(page), (
        "run benchmarks/studies/study_tables.py"
    )


def test_only_tables_between_markers_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "two-words.md"
    page.write_text("a\n<!-- table: one -->\nold\n<!-- end -->\nb <!-- end -->\n")
    (tmp_path / "two_words.py").write_text("def tables(results): return {'one': results['text']}")
    (tmp_path / "benchmarks/results").mkdir(parents=True)
    (tmp_path / "benchmarks/results/two_words.json").write_text('{"text": "\\\\1 new"}')
    monkeypatch.setattr(study_tables, "ROOT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    wanted = "a\n<!-- table: one -->\n\\1 new\n<!-- end -->\nb <!-- end -->\n"
    assert study_tables.filled(page) == wanted
    page.write_text("a\n<!-- table: tow -->\n<!-- end -->\n")
    with pytest.raises(ValueError, match="tow"):
        study_tables.filled(page)


def test_what_writing_a_box_costs() -> None:
    def way(whole: float, stages: dict[str, float], runs: int | None) -> dict[str, Any]:
        first = {
            "total": {"p50": whole},
            "stages": {name: {"p50": ms} for name, ms in stages.items()},
            "counts": {} if runs is None else {"decoder_runs": runs},
        }
        return {"first": first, "second": None}

    text = way(200.0, {"vision": 120.0, "prefill": 30.0, "decode": 50.0}, 17)
    croppers = dict.fromkeys(coordinates.WAYS, text) | {"nano": way(40.0, {"model": 30.0}, None)}
    throughput = {"median": 2.0, "min": 1.0, "max": 3.0}
    one = {"samples_per_second": throughput, "without_reward": throughput, "valid": {"median": 1}}
    tables = coordinates.tables(
        {"cpu": {"512": {"croppers": croppers}}},
        {"summary": dict.fromkeys(coordinates.TRAINED, one)},
    )
    assert "authors' script writes it | 200 | 120 | 50 | 25% | 17 | 200 |" in tables["latency"]
    assert "nano | 40 |  | 0 | 0% | 1 | 40 |" in tables["latency"]
    assert "TRL | 2 [1, 3] | 2 [1, 3] | 100% |" in tables["training"]
