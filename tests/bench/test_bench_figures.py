"""Percentiles, conditions and comparisons, by hand."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cropzoom.bench.baseline import Condition, compare, parse_conditions, read_baseline
from cropzoom.bench.latency_table import STAGES, agreement, calls_result, concurrency_result
from cropzoom.bench.measure import Call, Calls
from cropzoom.bench.stats import needed, percentile, summary
from cropzoom.environment import processor
from cropzoom.errors import CropZoomError, OptionsError
from cropzoom.geometry import Box


def test_percentiles_by_hand() -> None:
    values = [float(v) for v in range(1, 11)]
    # Linear between neighbours: 0.9 of the way from the 1st to the 10th.
    assert percentile(values, 50) == 5.5
    assert percentile(values, 90) == pytest.approx(9.1)
    assert percentile(values, 95) is None
    found = summary([3.0, 1.0, 2.0, 10.0])
    assert found == {
        "n": 4,
        "p50": 2.5,
        "p90": None,
        "p95": None,
        "p99": None,
        "mean": 4.0,
        "min": 1.0,
        "max": 10.0,
        # Quartiles 1.75 and 4.75.
        "iqr": 3.0,
    }
    assert summary([1.0])["p50"] is None and summary([1.0, 2.0, 3.0])["iqr"] is None


@pytest.mark.parametrize(("percent", "count"), [(50, 2), (90, 10), (95, 20), (99, 100)])
def test_a_percentile_needs_a_value_expected_beyond_it(percent: int, count: int) -> None:
    assert needed(percent) == count
    assert percentile([1.0] * (count - 1), percent) is None
    assert percentile([1.0] * count, percent) == 1.0


def one(seconds: float, stages: dict[str, float], box: Box | None = None, **counts: int) -> Call:
    return Call(seconds, stages, counts, box)


def test_stages_are_held_against_the_whole() -> None:
    found = calls_result(
        [
            one(2.0, {"read": 0.5, "decode": 1.0}, box_tokens=4, decoder_runs=3),
            one(2.0, {"read": 0.5, "decode": 1.0, "odd": 0.25}, box_tokens=6, decoder_runs=5),
        ]
    )
    # 4 s in all, 3.25 s in stages.
    assert found["unexplained"] == pytest.approx(0.1875)
    assert list(found["stages"]) == ["read", "decode", "odd"]
    assert found["stages"]["odd"]["mean"] == 125
    assert found["counts"] == {"box_tokens": 5, "decoder_runs": 4}
    assert found["ms_per_token"] == 200
    assert found["ms"] == [2000, 2000]
    assert calls_result([one(1.0, {"model": 1.0})])["ms_per_token"] is None


def test_agreement_of_boxes() -> None:
    whole, left, right = Box(0, 0, 1, 1), Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)
    mine = Calls([one(1, {}, left), one(1, {}), one(1, {}, left)], [one(1, {}, right)])
    theirs = Calls([one(1, {}, whole), one(1, {}), one(1, {})])
    # 0.5, no box twice, a box against none; nobody asked the reference a second time.
    assert agreement(mine, theirs) == {"mean": 0.5, "least": 0.0, "pairs": 3}
    theirs.second.append(one(1, {}, left))
    assert agreement(mine, theirs) == {"mean": 0.375, "least": 0.0, "pairs": 4}


def test_throughput() -> None:
    found = concurrency_result(2.0, [0.5, 1.5])
    assert (found["calls"], found["per_second"], found["latency"]["p50"]) == (2, 1.0, 1000.0)


def test_what_the_processor_can(tmp_path: Path) -> None:
    flags = "fpu sse2 avx2 avx512f avx512_vnni amx_tile avx_vnni avx2x bf16x"
    name, none = processor(tmp_path / "missing")
    assert name and none == []
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A 9\nflags\t\t: {flags}\n")
    assert processor(file) == ("A 9", ["amx_tile", "avx2", "avx512_vnni", "avx512f", "avx_vnni"])
    file.write_text("processor\t: 0\nFeatures\t: fp asimd asimddp i8mm\n")
    assert processor(file)[1] == ["asimd", "asimddp", "i8mm"]


CONDITIONS = st.builds(
    Condition,
    st.sampled_from(["first", "second"]),
    st.none() | st.sampled_from(STAGES),
    st.sampled_from([50, 90, 95, 99]),
    st.integers(0, 9999).map(float) | st.integers(0, 999_999).map(lambda n: n / 1000),
)


@given(st.lists(CONDITIONS, min_size=1))
def test_conditions_are_read_as_written(conditions: list[Condition]) -> None:
    texts = [str(condition) for condition in conditions]
    assert parse_conditions(texts, 100) == conditions
    assert parse_conditions([" , ".join(texts)], 100) == conditions


def test_the_short_form() -> None:
    assert parse_conditions(["p90>+10%", "decode.p50>+2.5%"], 10) == [
        Condition("first", None, 90, 10),
        Condition("first", "decode", 50, 2.5),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p90",
        "p90>10%",
        "p90>+10",
        "p90>+-1%",
        "p90>+1e3%",
        "p90>+10%,",
        "p91>+10%",
        "p90<+10%",
        "third.p90>+10%",
        "decode.first.p90>+10%",
        "p90>+10% and p50>+1%",
        "p90>+\u0661\u0660%",
    ],
)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(OptionsError, match=r"is no condition; write 'p90>\+10%'"):
        parse_conditions([text], 100)


@given(st.text(max_size=20))
def test_other_texts_are_refused_or_read(text: str) -> None:
    try:
        found = parse_conditions([text], 100)
    except OptionsError:
        return
    assert found and all(isinstance(condition.more, float) for condition in found)


def test_too_few_rounds_for_a_condition() -> None:
    with pytest.raises(OptionsError, match="p90 needs at least 10 rounds, and --rounds is 9"):
        parse_conditions(["p50>+1%,p90>+10%"], 9)


def results(milliseconds: float, **other: Any) -> dict[str, Any]:
    first = calls_result([one(milliseconds / 1000, {"read": 0.001}) for _ in range(10)])
    cropper = {"kind": "pointer", "hash": "a", "device": "cpu", "threads": 2}
    return {
        "schema": 1,
        "environment": {"cpu": "A 9", "flags": ["avx2"], "usable_cores": 2, "python": "3.10"},
        "settings": {"image": {"name": "x.png"}},
        "croppers": {"nano": {**cropper, "first": first, "second": None, **other}},
    }


P90 = [Condition("first", None, 90, 10)]


def test_what_is_worse_than_the_baseline() -> None:
    done = compare(results(100), results(109.9), P90)
    assert done.lines == ["nano: first.p90>+10%: 100.00 -> 109.90 ms (+9.9 %)"]
    assert done.worse == [] and done.warnings == []
    done = compare(results(100), results(111), P90)
    assert done.worse == done.lines == ["nano: first.p90>+10%: 100.00 -> 111.00 ms (+11.0 %)"]
    assert compare(results(100), results(50), P90).worse == []


def test_only_like_is_compared_with_like() -> None:
    other = copy.deepcopy(results(100))
    # Another Python is no other machine.
    other["environment"]["python"] = "3.14"
    assert compare(other, results(120), P90).worse
    other["environment"]["usable_cores"] = 4
    with pytest.raises(CropZoomError, match=r"from another machine: usable_cores\); make one here"):
        compare(other, results(120), P90)
    with pytest.raises(CropZoomError, match="nano is another one in the baseline: hash, threads"):
        compare(results(100, hash="b", threads=1), results(120), P90)
    pictures = results(100) | {"settings": {"image": {"name": "y.png"}}}
    with pytest.raises(CropZoomError, match="of another picture"):
        compare(pictures, results(120), P90)
    # One cropper of two is the same: that one is compared, and a warning says what was not.
    new = results(120)
    new["croppers"]["more"] = new["croppers"]["nano"]
    done = compare(results(100), new, [*P90, Condition("second", None, 50, 0)])
    assert len(done.worse) == 1
    assert done.warnings == [
        "nano has no second.p50>+0% in the baseline or here",
        "more is not in the baseline",
    ]


def test_a_baseline_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    with pytest.raises(CropZoomError, match=r"can't read the baseline .*old.json"):
        read_baseline(path)
    later = json.dumps(results(1) | {"schema": 2})
    for content in ("{", "[" * 100_000, "[]", '{"schema": 1}', later):
        path.write_text(content)
        with pytest.raises(CropZoomError, match=r"old\.json"):
            read_baseline(path)
    broken = results(100)
    del broken["croppers"]["nano"]["first"]["total"]
    path.write_text(json.dumps(broken))
    with pytest.raises(CropZoomError, match="the baseline lacks 'total'; make it anew"):
        compare(read_baseline(path), results(100), P90)
