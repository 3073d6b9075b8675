"""Real requests: openai's client, wrapped, to a server that sees pictures at 32 px."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from colour_server import ColourServer, picture

pytest.importorskip("openai")

from cropzoom.data.row import BadRow, Row
from cropzoom.data.test_set import TestSet
from cropzoom.evaluate.answer_file import Outcome, ResultFile, Setting
from cropzoom.evaluate.croppers import make_croppers
from cropzoom.evaluate.runner import GIVE_UP_AFTER, evaluate
from cropzoom.evaluate.summary import summarise
from cropzoom.evaluate.targets import OpenAITarget, TargetSettings, make_target
from cropzoom.geometry import Box
from cropzoom.options import ZoomOptions

COLOURS = ["red", "green", "blue"]
PATCH = Box(300 / 400, 40 / 400, 312 / 400, 52 / 400)


def colour_rows(count: int, name: str = "") -> TestSet:
    rows = []
    for number in range(count):
        colour = COLOURS[number % 3]
        rows.append(
            Row(
                id=str(number),
                image=lambda colour=colour: picture(colour),
                question=f"{name}{number}: which colour?",
                answers=(colour,),
                box=PATCH,
            )
        )
    return TestSet("patches", f"patches {count}", rows, [], "exact")


def target_at(server: ColourServer, **settings: object) -> OpenAITarget:
    options = ZoomOptions(cache_size=0)
    made = TargetSettings(options, server.base_url, retries=0, **settings)
    target = make_target("openai:eye", made)
    assert isinstance(target, OpenAITarget)
    return target


def setting(test: TestSet) -> Setting:
    options = asdict(ZoomOptions())
    return Setting(data=test.identity, scoring="exact", options=options, targets={}, croppers={})


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


pytestmark = pytest.mark.usefixtures("key")


def test_the_crop_makes_answers_right(tmp_path: Path) -> None:
    test = colour_rows(6)
    names = ["none", "centre:0.01", "random:0.01", "oracle"]
    with ColourServer() as server, ResultFile(tmp_path / "a", setting(test)) as results:
        target = target_at(server)
        assert evaluate(test, [target], make_croppers(names), results) is None
        # Without a crop one picture goes out, with one two; each question once.
        assert server.asked == {
            **{(f"{number}: which colour?", 1): 1 for number in range(6)},
            **{(f"{number}: which colour?", 2): 3 for number in range(6)},
        }
        assert all(body["temperature"] == 0 for body in server.bodies)
    found = {
        name: [results.outcomes[str(n), "openai:eye", name] for n in range(6)] for name in names
    }
    assert [one.reply for one in found["none"]] == ["nothing"] * 6
    assert [one.reply for one in found["centre:0.01"]] == ["nothing"] * 6
    assert [one.reply for one in found["oracle"]] == COLOURS * 2
    oracle = found["oracle"][0]
    assert (oracle.score, oracle.prompt_tokens, oracle.completion_tokens) == (1.0, 200, 2)
    assert Box(*oracle.boxes[0]).contains_point(*PATCH.centre)
    assert oracle.milliseconds >= oracle.crop_milliseconds > 0
    none = found["none"][0]
    assert (none.boxes, none.reason, none.prompt_tokens) == ((), None, 100)
    assert len({one.image for one in found["none"]}) == 3  # told apart by their bytes
    for centre, random in zip(found["centre:0.01"], found["random:0.01"], strict=True):
        assert Box(*centre.boxes[0]).area == pytest.approx(Box(*random.boxes[0]).area)
    assert len({one.boxes for one in found["random:0.01"]}) == 6


def test_nothing_is_asked_twice(tmp_path: Path) -> None:
    test = colour_rows(4)
    half = replace(test, rows=test.rows[:2])
    croppers = make_croppers(["none", "oracle"])
    with ColourServer() as server:
        target = target_at(server)
        with ResultFile(tmp_path / "a", setting(test)) as results:
            evaluate(half, [target], croppers[:1], results)
        assert server.asked.total() == 2
        for _ in range(2):
            with ResultFile(tmp_path / "a", setting(test)) as results:
                evaluate(test, [target], croppers, results)
        assert server.asked.total() == 8
        assert max(server.asked.values()) == 1


def test_failures_are_kept_and_asked_again(tmp_path: Path) -> None:
    test = colour_rows(4)

    def missing() -> bytes:
        raise BadRow("no image", "gone")

    rows = [
        *test.rows,
        replace(test.rows[0], id="cut", image=lambda: picture("red")[:300]),
        replace(test.rows[0], id="gone", image=missing),
    ]
    test = replace(test, rows=rows)
    croppers = make_croppers(["none", "oracle"])
    with ColourServer(failing=("2: which",)) as server:
        with ResultFile(tmp_path / "a", setting(test)) as results:
            assert evaluate(test, [target_at(server)], croppers, results) is None
        kinds = {key[0]: one.failure for key, one in results.outcomes.items()}
        assert kinds == {
            "0": None, "1": None, "2": "request failed", "3": None,
            "cut": "broken image", "gone": "no image",
        }  # fmt: skip
        failed = results.outcomes["2", "openai:eye", "none"]
        assert "out of memory" in failed.detail
        assert failed.reply is failed.score is None
        summary = summarise(test, results.outcomes, ["openai:eye"], ["none", "oracle"])
        assert summary["failures"] == {"request failed": 2, "broken image": 2, "no image": 2}
        figures = summary["targets"]["openai:eye"]["oracle"]
        assert (figures["asked"], figures["failed"]) == (6, 3)
        assert figures["score"]["mean"] == 1.0  # of those that were answered
        assert figures["against_none"]["pairs"] == 3

        server.failing = ()
        server.asked.clear()
        with ResultFile(tmp_path / "a", setting(test)) as results:
            evaluate(test, [target_at(server)], croppers, results)
        assert server.asked == {("2: which colour?", 1): 1, ("2: which colour?", 2): 1}
        assert results.outcomes["2", "openai:eye", "oracle"].reply == "blue"


def test_a_server_that_is_down_stops_the_run(tmp_path: Path) -> None:
    test = colour_rows(3 * GIVE_UP_AFTER)
    with ColourServer(failing=("which",)) as server:
        with ResultFile(tmp_path / "a", setting(test)) as results:
            croppers = make_croppers(["none"])
            stopped = evaluate(test, [target_at(server)], croppers, results, concurrency=2)
        assert stopped is not None and "in a row" in stopped
        assert GIVE_UP_AFTER <= server.asked.total() <= GIVE_UP_AFTER + 2
    assert len(results.outcomes) == server.asked.total()


def test_requests_go_out_together_up_to_the_limit(tmp_path: Path) -> None:
    test = colour_rows(12)
    with ColourServer(delay=0.1) as server, ResultFile(tmp_path / "a", setting(test)) as results:
        evaluate(test, [target_at(server)], make_croppers(["none"]), results, concurrency=3)
    assert server.most_at_once == 3


def test_an_interrupt_keeps_what_is_under_way(tmp_path: Path) -> None:
    test = colour_rows(10)
    seen: list[Outcome] = []

    def interrupt(outcome: Outcome) -> None:
        seen.append(outcome)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with ColourServer(delay=0.05) as server:
        target, croppers = target_at(server), make_croppers(["none"])
        with ResultFile(tmp_path / "a", setting(test)) as results, pytest.raises(KeyboardInterrupt):
            evaluate(test, [target], croppers, results, concurrency=4, on_outcome=interrupt)
        assert 3 <= server.asked.total() < 10
        with ResultFile(tmp_path / "a", setting(test)) as results:
            assert len(results.outcomes) == server.asked.total()
            evaluate(test, [target], croppers, results)
        assert server.asked.total() == 10
        assert max(server.asked.values()) == 1


def test_fields_of_the_body(tmp_path: Path) -> None:
    test = colour_rows(1)
    body = {"temperature": None, "max_tokens": 5}
    with ColourServer() as server, ResultFile(tmp_path / "a", setting(test)) as results:
        target = target_at(server, body=body)
        evaluate(test, [target], make_croppers(["none"]), results)
        (sent,) = server.bodies
        assert "temperature" not in sent
        assert sent["max_tokens"] == 5
        assert target.identity != target_at(server).identity
