"""Labelling: the room around a box, whole runs against a real server, interruptions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from typer.testing import CliRunner

pytest.importorskip("torch")
openai = pytest.importorskip("openai")
# ruff: noqa: E402

from box_server import BoxServer, completion, dark_box, look

from cropzoom.cli import app
from cropzoom.data.row import Row
from cropzoom.data.rows import Rows, load_rows
from cropzoom.errors import LabelError
from cropzoom.geometry import Box
from cropzoom.trainer.labels import labelling as labels
from cropzoom.trainer.labels.expansion import PAPER_FACTORS, enlarge, expand_by_quantile
from cropzoom.trainer.labels.labelling import Shard, label_rows
from cropzoom.trainer.labels.teachers import NoBox
from cropzoom.trainer.labels.vlm_teacher import ServerVlm, VlmTeacher

runner = CliRunner()


# --- room around a box


def near(box: Box, *edges: float) -> bool:
    return all(
        abs(a - b) < 1e-9 for a, b in zip((box.x0, box.y0, box.x1, box.y1), edges, strict=True)
    )


def test_enlarging_by_hand() -> None:
    middle = Box(0.4, 0.4, 0.6, 0.6)
    assert enlarge(middle, 1) == middle
    # Four times the area: twice each side, about the centre.
    assert near(enlarge(middle, 4), 0.3, 0.3, 0.7, 0.7)
    # In a corner: shifted inside, nothing lost.
    assert near(enlarge(Box(0, 0.8, 0.2, 1), 4), 0, 0.6, 0.4, 1)
    # 0.5 x 0.02 = 0.01; x45 = 0.45. The width would be 3.35: it stops at 1, the height takes over.
    assert near(enlarge(Box(0.25, 0.49, 0.75, 0.51), 45), 0, 0.275, 1, 0.725)
    assert near(enlarge(Box(0.49, 0.25, 0.51, 0.75), 45), 0.275, 0, 0.725, 1)
    # More than the whole image there is not.
    assert near(enlarge(Box(0.1, 0.1, 0.6, 0.6), 10), 0, 0, 1, 1)
    for factor in (0.5, float("inf"), float("nan")):
        with pytest.raises(ValueError):
            enlarge(middle, factor)


def test_factors_go_by_fifths_of_the_areas() -> None:
    # Squares with sides of 1 to 10 hundredths, not in order.
    sides = [5, 1, 10, 2, 9, 3, 8, 4, 7, 6]
    boxes = [Box(0.4, 0.4, 0.4 + side / 100, 0.4 + side / 100) for side in sides]
    grown = expand_by_quantile(boxes)
    ratios = [
        round(after.area / before.area, 6) for before, after in zip(boxes, grown, strict=True)
    ]
    assert PAPER_FACTORS == (45, 10, 4, 2, 1)
    by_side = dict(zip(sides, ratios, strict=True))
    assert [by_side[side] for side in range(1, 11)] == [45, 45, 10, 10, 4, 4, 2, 2, 1, 1]


def test_equal_areas_get_equal_factors() -> None:
    box = Box(0.4, 0.4, 0.5, 0.5)
    # All alike: the middle factor. With one smaller box, that one is the smallest fifth.
    assert all(near(grown, 0.35, 0.35, 0.55, 0.55) for grown in expand_by_quantile([box] * 7))
    small = Box(0.4, 0.4, 0.41, 0.41)
    grown = expand_by_quantile([box] * 4 + [small])
    # Ranks of the four: middle of 1/5..5/5 is 0.6, which is where the fourth fifth starts.
    assert [round(after.area, 6) for after in grown] == [0.02] * 4 + [0.0045]
    assert expand_by_quantile([]) == []


@settings(deadline=None)
@given(
    st.tuples(*[st.floats(0, 1)] * 4).filter(
        lambda c: abs(c[0] - c[2]) > 1e-3 and abs(c[1] - c[3]) > 1e-3
    ),
    st.floats(1, 100),
)
def test_no_area_is_lost(corners: tuple[float, ...], factor: float) -> None:
    box = Box.ordered(*corners, min_side=1e-3)
    grown = enlarge(box, factor)
    assert grown.area == pytest.approx(min(1, box.area * factor), rel=1e-9)
    assert grown.x0 <= box.x0 and grown.y0 <= box.y0
    assert grown.x1 >= box.x1 and grown.y1 >= box.y1


# --- runs with a teacher at hand


def marked(number: int, size: tuple[int, int] = (600, 400)) -> Image.Image:
    """Return a picture with a dark mark whose place depends on the number."""
    image = Image.new("RGB", size, "white")
    left, top = 20 + 37 * number % (size[0] - 160), 15 + 23 * number % (size[1] - 120)
    ImageDraw.Draw(image).rectangle((left, top, left + 40 + number, top + 29), fill="black")
    return image


def some_rows(count: int) -> Rows:
    return Rows(
        [
            Row(f"q{n}", marked(n), f"Where is {n}?", (str(n),), None, f"p{n // 2}", "made")
            for n in range(count)
        ]
    )


class Looks:
    """A teacher that sees the mark; some rows it can't label, and it counts what it is asked."""

    name = "looks"
    workers = 1

    def __init__(self, **failures: NoBox) -> None:
        self.failures, self.asked = failures, list[str]()
        self.arguments: dict[str, Any] = {"eyes": 2}

    def propose(self, row: Row, image: Image.Image) -> Box:
        self.asked.append(row.id)
        if row.id in self.failures:
            raise self.failures[row.id]
        return Box.from_pixels(*dark_box(image), *image.size)


def ids(folder: Path) -> list[str]:
    return [head.id for head in load_rows(folder)]


def test_a_run_writes_rows_counts_and_reasons(tmp_path: Path) -> None:
    rows = some_rows(12)
    broken = Rows([Row("broken", b"nonsense", "?", ("x",))])
    steps: list[tuple[int, int]] = []
    summary = label_rows(
        rows + broken,
        Looks(q3=NoBox("lost", "it is hidden")),
        tmp_path,
        arguments={"data": "made"},
        on_done=lambda done, total: steps.append((done, total)),
    )
    assert summary["rows"] == 13 and summary["labelled"] == 11 and summary["to_ask_again"] == 0
    assert summary["failures"] == {"lost": 1, "broken image": 1}
    assert summary["made"] == {"teacher": "looks", "eyes": 2, "data": "made"}
    assert summary["factors"] == [45, 10, 4, 2, 1]
    assert json.loads((tmp_path / "labels.json").read_text()) == summary
    assert steps[0] == (0, 13) and steps[-1] == (13, 13)
    labelled = load_rows(tmp_path, boxes="need")
    assert ids(tmp_path) == [f"q{n}" for n in range(12) if n != 3]
    drawn = [Box.from_pixels(*dark_box(marked(n)), 600, 400) for n in range(12) if n != 3]
    for row, after in zip(labelled, expand_by_quantile(drawn), strict=True):
        number = int(row.id[1:])
        assert row.box == after
        assert row.question == f"Where is {number}?" and row.answers == (str(number),)
        assert (row.image_id, row.source) == (f"p{number // 2}", "made")
        assert row.load().tobytes() == marked(number).tobytes()
    assert summary["area"]["p50"] > summary["area_drawn"]["p50"]
    log = [json.loads(line) for line in (tmp_path / "labels-1-of-1.jsonl").read_text().splitlines()]
    assert {"id": "q3", "failure": "lost", "detail": "it is hidden"}.items() <= log[4].items()


def test_boxes_can_stay_as_drawn(tmp_path: Path) -> None:
    label_rows(some_rows(3), Looks(), tmp_path, factors=None)
    assert load_rows(tmp_path)[2].box == Box.from_pixels(*dark_box(marked(2)), 600, 400)


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
from test_labels import Looks, label_rows, some_rows

class Dies(Looks):
    def propose(self, row, image):
        if row.id == "q5":
            os.kill(os.getpid(), signal.SIGKILL)
        return super().propose(row, image)

label_rows(some_rows(9), Dies(), {out!r})
"""


def test_a_killed_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    code = KILLED.format(tests=str(Path(__file__).parent), out=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    log = tmp_path / "labels-1-of-1.jsonl"
    before = log.read_text()
    answered = [json.loads(line)["id"] for line in before.splitlines()[1:]]
    assert answered == ["q0", "q1", "q2", "q3", "q4"] or answered == ["q0", "q1", "q2", "q3"]
    assert not (tmp_path / "rows.jsonl").exists()
    # Killed in the midst of writing, too.
    log.write_text(before + '{"id": "q5", "numb')
    teacher = Looks()
    label_rows(some_rows(9), teacher, tmp_path)
    assert teacher.asked == [f"q{n}" for n in range(len(answered), 9)]
    assert ids(tmp_path) == [f"q{n}" for n in range(9)]
    assert log.read_text().startswith(before)
    # Once more: nothing is left to ask, and the files come out the same.
    files = {name: (tmp_path / name).read_bytes() for name in ("rows.jsonl", "labels.json")}
    again = Looks()
    label_rows(some_rows(9), again, tmp_path)
    assert again.asked == []
    assert files == {name: (tmp_path / name).read_bytes() for name in files}
    # More rows: only those are asked.
    label_rows(some_rows(11), again, tmp_path)
    assert again.asked == ["q9", "q10"] and len(ids(tmp_path)) == 11


@pytest.mark.parametrize("torn", ["", '{"ma', '{"made": {"teacher": "looks", "eyes": 2}}'])
def test_a_run_killed_at_its_very_start(torn: str, tmp_path: Path) -> None:
    (tmp_path / "labels-1-of-1.jsonl").write_text(torn)
    label_rows(some_rows(2), Looks(), tmp_path)
    assert ids(tmp_path) == ["q0", "q1"]


def test_labels_made_otherwise_are_not_mixed(tmp_path: Path) -> None:
    label_rows(some_rows(2), Looks(), tmp_path, arguments={"data": "a"})
    kept = (tmp_path / "rows.jsonl").read_bytes()
    with pytest.raises(LabelError, match="labels made with data='a', not 'b'"):
        label_rows(some_rows(2), Looks(), tmp_path, arguments={"data": "b"})
    with pytest.raises(LabelError, match="another number of shards"):
        label_rows(some_rows(2), Looks(), tmp_path, shard=Shard(1, 2), arguments={"data": "a"})
    assert (tmp_path / "rows.jsonl").read_bytes() == kept
    log = tmp_path / "labels-1-of-1.jsonl"
    log.write_text(log.read_text().replace('"id"', '"di"', 1))
    with pytest.raises(LabelError, match="line 2 is broken"):
        label_rows(some_rows(2), Looks(), tmp_path, arguments={"data": "a"})
    log.write_text("something else\n")
    with pytest.raises(LabelError, match="is no file of labels"):
        label_rows(some_rows(2), Looks(), tmp_path, arguments={"data": "a"})
    (tmp_path / "file").write_text("")
    with pytest.raises(LabelError, match="can't write"):
        label_rows(some_rows(2), Looks(), tmp_path / "file")


def test_one_process_at_a_time_labels_a_shard(tmp_path: Path) -> None:
    class Twice(Looks):
        def propose(self, row: Row, image: Image.Image) -> Box:
            with pytest.raises(LabelError, match="another process"):
                label_rows(some_rows(1), Looks(), tmp_path)
            return super().propose(row, image)

    label_rows(some_rows(1), Twice(), tmp_path)
    # The lock is open again.
    label_rows(some_rows(1), Looks(), tmp_path)


def test_shards_share_the_rows_and_the_quantiles(tmp_path: Path) -> None:
    rows, asked = some_rows(40), []
    for number in (3, 1, 2):
        teacher = Looks(q7=NoBox("lost", ""))
        result = label_rows(rows, teacher, tmp_path / "parts", shard=Shard(number, 3))
        asked.append(set(teacher.asked))
        if number != 2:
            assert not (tmp_path / "parts" / "rows.jsonl").exists()
            assert 2 in result["missing_shards"] and number not in result["missing_shards"]
    assert set().union(*asked) == {f"q{n}" for n in range(40)}
    assert sum(map(len, asked)) == 40 and all(asked)
    # Questions about one picture are in one shard.
    assert all(
        ({f"q{n}", f"q{n + 1}"} <= part)
        for part in asked
        for n in range(0, 40, 2)
        if f"q{n}" in part
    )
    whole = label_rows(rows, Looks(q7=NoBox("lost", "")), tmp_path / "whole")
    parts = tmp_path / "parts" / "rows.jsonl"
    assert parts.read_bytes() == (tmp_path / "whole" / "rows.jsonl").read_bytes()
    assert result["shards"] == 3 and {**result, "shards": 1} == whole


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/", "a/b", "1/0", "-1/2", ""])
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(LabelError, match="shard"):
        Shard.parse(text)


def test_failures_that_may_be_the_teachers_wait_for_a_success(tmp_path: Path) -> None:
    bad = NoBox("rubbish", "?", suspicious=True)
    # Three, a success, one, an honest failure, two: never four without a success between.
    teacher = Looks(q0=bad, q1=bad, q2=bad, q4=bad, q5=NoBox("lost", ""), q6=bad, q7=bad)
    summary = label_rows(some_rows(9), teacher, tmp_path, max_failures=4)
    assert summary["failures"] == {"rubbish": 6, "lost": 1} and ids(tmp_path) == ["q3", "q8"]
    # Some at the end are no proof against the teacher.
    summary = label_rows(some_rows(11), Looks(q9=bad, q10=bad), tmp_path, max_failures=4)
    assert summary["failures"] == {"rubbish": 8, "lost": 1} and summary["rows"] == 11
    # An honest failure, such as a broken picture, shows nothing: four it is.
    teacher = Looks(q0=bad, q1=bad, q2=NoBox("lost", ""), q3=bad, q4=bad)
    with pytest.raises(LabelError, match="failed 4 times"):
        label_rows(some_rows(9), teacher, tmp_path / "other", max_failures=4)


def test_a_teacher_that_fails_all_the_time_stops_the_run(tmp_path: Path) -> None:
    bad = NoBox("rubbish", "it said hello", suspicious=True)
    teacher = Looks(**{f"q{n}": bad for n in range(2, 9)})
    with pytest.raises(LabelError, match=r"failed 4 times in a row.*q5.*said hello. 2 of 9 rows"):
        label_rows(some_rows(9), teacher, tmp_path, max_failures=4)
    assert not (tmp_path / "rows.jsonl").exists()
    # Set right, those rows are asked again, and no others twice.
    teacher = Looks()
    label_rows(some_rows(9), teacher, tmp_path, max_failures=4)
    assert teacher.asked == [f"q{n}" for n in range(2, 9)]
    # Finished once, it is unfinished again while new rows fail: other shards must not go ahead.
    assert (tmp_path / "labels-1-of-1.json").exists()
    teacher = Looks(**{f"q{n}": bad for n in range(9, 13)})
    with pytest.raises(LabelError):
        label_rows(some_rows(13), teacher, tmp_path, max_failures=4)
    assert not (tmp_path / "labels-1-of-1.json").exists()


def test_answers_found_together_are_taken_in_the_order_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait` gives a set: here, the worst order that it may come in."""

    def wait_for_all(waiting: Any, return_when: str) -> Any:
        return SimpleNamespace(done=[*reversed(list(waiting))] if wait(waiting).done else [])

    monkeypatch.setattr(labels, "wait", wait_for_all)
    label_rows(some_rows(9), Looks(), tmp_path)
    lines = (tmp_path / "labels-1-of-1.jsonl").read_text().splitlines()
    numbers = [entry["number"] for entry in map(json.loads, lines) if "number" in entry]
    assert numbers == list(range(9))


def test_nothing_labelled_is_an_error(tmp_path: Path) -> None:
    failures = {f"q{n}": NoBox("lost", "") for n in range(2)}
    with pytest.raises(LabelError, match=r'no row got a box: .*"lost": 2'):
        label_rows(some_rows(2), Looks(**failures), tmp_path)
    assert not (tmp_path / "rows.jsonl").exists()


# --- a real server


def teacher_at(url: str, *, timeout: float = 20, retries: int = 0, workers: int = 1) -> VlmTeacher:
    client = openai.OpenAI(base_url=url, api_key="none", timeout=timeout, max_retries=retries)
    return VlmTeacher(ServerVlm(client, "m"), model="m", workers=workers, max_pixels=300 * 784)


def test_boxes_come_back_from_the_processed_size(tmp_path: Path) -> None:
    """The server sees resized pictures and answers in their pixels; the mark is found again."""
    sizes = [(600, 400), (1234, 777), (333, 1500), (420, 280)]
    rows = Rows([Row(str(n), marked(n, size), "?", ("x",)) for n, size in enumerate(sizes)])
    with BoxServer() as server:
        label_rows(rows, teacher_at(server.url), tmp_path, factors=None)
    assert len(set(server.sizes)) == 4 and all(w % 28 == h % 28 == 0 for w, h in server.sizes)
    for row, sent in zip(load_rows(tmp_path), server.sizes, strict=True):
        image = row.load()
        true = Box.from_pixels(*dark_box(image), *image.size)
        assert row.box is not None
        # Within a pixel of what the model saw, and of the blur of resizing.
        for found, edge, side in zip(
            (row.box.x0, row.box.y0, row.box.x1, row.box.y1),
            (true.x0, true.y0, true.x1, true.y1),
            (*sent, *sent),
            strict=True,
        ):
            assert abs(found - edge) * side < 1.5


def test_requests_run_side_by_side_up_to_the_limit(tmp_path: Path) -> None:
    with BoxServer(delay=0.05) as server:
        label_rows(some_rows(16), teacher_at(server.url, workers=4), tmp_path)
    assert 1 < server.busiest <= 4 and len(server.prompts) == 16
    assert ids(tmp_path) == [f"q{n}" for n in range(16)]


def test_a_dead_server_stops_the_run_and_keeps_what_is_done(tmp_path: Path) -> None:
    with BoxServer() as server:
        label_rows(some_rows(3), teacher_at(server.url), tmp_path)
    log = (tmp_path / "labels-1-of-1.jsonl").read_bytes()
    with pytest.raises(LabelError, match=r"failed 3 times.*no answer.*Connection error.*3 of 30"):
        label_rows(some_rows(30), teacher_at(server.url, workers=2), tmp_path, max_failures=3)
    assert (tmp_path / "labels-1-of-1.jsonl").read_bytes() == log
    with BoxServer() as server:
        label_rows(some_rows(30), teacher_at(server.url, workers=2), tmp_path, max_failures=3)
    assert len(server.prompts) == 27 and len(ids(tmp_path)) == 30


def test_a_slow_server_is_given_up_and_asked_again_later(tmp_path: Path) -> None:
    slow = {"Where is 1?", "Where is 2?"}

    def answer(image: Image.Image, prompt: str) -> Any:
        if any(question in prompt for question in slow):
            time.sleep(1.5)
        return look(image, prompt)

    with BoxServer(answer) as server:
        summary = label_rows(some_rows(5), teacher_at(server.url, timeout=0.7), tmp_path)
        assert summary["failures"] == {"no answer from the server": 2}
        assert summary["to_ask_again"] == 2 and ids(tmp_path) == ["q0", "q3", "q4"]
        slow.clear()
        server.prompts.clear()
        summary = label_rows(some_rows(5), teacher_at(server.url), tmp_path)
    assert len(server.prompts) == 2 and summary["to_ask_again"] == 0
    assert ids(tmp_path) == ["q0", "q1", "q2", "q3", "q4"] and summary["failures"] == {}


def test_the_clients_own_retries_come_first(tmp_path: Path) -> None:
    answers = [(500, "application/json", b"{}"), (429, "application/json", b"{}")]

    def answer(image: Image.Image, prompt: str) -> Any:
        return answers.pop() if answers else look(image, prompt)

    with BoxServer(answer) as server:
        summary = label_rows(some_rows(2), teacher_at(server.url, retries=2), tmp_path)
    assert len(server.prompts) == 4 and summary["failures"] == {}


@pytest.mark.parametrize(
    ("rubbish", "reason"),
    [
        ((200, "text/html", b"<html>It works!</html>"), "no chat completion"),
        ((200, "application/json", b"{not json"), "no chat completion"),
        ((200, "application/json", b"null"), "no chat completion"),
        ((200, "application/json", b"[1, 2]"), "no chat completion"),
        ((200, "application/json", b'{"choices": null}'), "no chat completion"),
        ((200, "application/json", b'{"choices": []}'), "no chat completion"),
        ((200, "application/json", b'{"choices": [{"message": null}]}'), "no chat completion"),
        ((200, "application/json", b"\xff\xfe"), "no chat completion"),
        (completion(None), "no chat completion"),
        (completion({"a": 1}), "no chat completion"),
        (completion(""), "no box in the reply"),
        (completion("I'd rather not."), "no box in the reply"),
        (completion('{"bbox_2d": [5, 5, 1, 1]}'), "inverted box"),
        ((400, "application/json", b'{"error": {"message": "too long"}}'), "refused by the server"),
        ((413, "text/plain", b"too large"), "refused by the server"),
    ],
)
def test_one_bad_answer_is_a_counted_skip(rubbish: Any, reason: str, tmp_path: Path) -> None:
    def answer(image: Image.Image, prompt: str) -> Any:
        return rubbish if "Where is 1?" in prompt else look(image, prompt)

    with BoxServer(answer) as server:
        summary = label_rows(some_rows(3), teacher_at(server.url), tmp_path, max_failures=2)
        assert summary["failures"] == {reason: 1} and ids(tmp_path) == ["q0", "q2"]
        # It was an answer: it is not asked for again.
        label_rows(some_rows(3), teacher_at(server.url), tmp_path)
    assert len(server.prompts) == 3


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_server_that_knows_neither_key_nor_model_stops_at_once(
    status: int, tmp_path: Path
) -> None:
    refusal = status, "application/json", b'{"error": {"message": "no such thing"}}'
    with BoxServer(lambda *_: refusal) as server:
        with pytest.raises(LabelError, match=r"refuses: .*no such thing.* Check the model's name"):
            label_rows(some_rows(9), teacher_at(server.url), tmp_path)
        assert len(server.prompts) <= 2


# --- the command


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    lines = []
    for number in range(6):
        marked(number).save(folder / f"{number}.png")
        lines.append({"picture": f"{number}.png", "q": f"Where is {number}?", "answers": ["x"]})
    # A box in pixels doesn't matter here; a missing picture does.
    lines[0]["box"] = [10, 10, 50, 50]
    lines.append({"picture": "gone.png", "q": "?", "answers": ["x"]})
    (folder / "data.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder / "data.jsonl"


def label(*arguments: object) -> Any:
    done = runner.invoke(app, ["label", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


COLUMNS = ("--column", "image=picture", "--column", "question=q")


def test_the_command_asks_a_server(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels"
    with BoxServer() as server:
        vlm = ("--teacher", "vlm", "-m", "m", "--base-url", server.url, *COLUMNS)
        done = label(data, out, *vlm, "--limit", 4, "--json")
        assert done.exit_code == 0, done.output
        result = json.loads(done.stdout)
        assert result["labelled"] == 4 and result["out"] == str(out)
        assert result["made"]["model"] == "m" and result["made"]["coordinates"] == "pixels"
        done = label(data, out, *vlm)
        assert done.exit_code == 0 and "6 of 6 rows have a box" in done.stdout
        assert "missing image" in done.stdout and len(server.prompts) == 6
        done = label(data, out, *vlm, "--coordinates", "percent", "--json")
    assert done.exit_code == 1 and len(load_rows(out)) == 6
    message = json.loads(done.stdout)["error"]["message"]
    assert "made with coordinates='pixels', not 'percent'" in message
    skipped = json.loads((out / "skipped.jsonl").read_text())
    assert skipped["id"] == "7" and skipped["reason"] == "missing image"


def test_the_command_searches_a_grid(data: Path, tmp_path: Path) -> None:
    """By a reward that is there without any model: the smaller the crop the better."""
    done = label(
        data, tmp_path / "o", "--teacher", "grid", "--reward=-area", "--cells", 2, *COLUMNS
    )
    assert done.exit_code == 0, done.output
    # Not enlarged: the grid's best box is what it is.
    assert {row.box for row in load_rows(tmp_path / "o")} == {Box(0, 0, 0.5, 0.5)}


def test_the_command_reads_text(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    from PIL import ImageFont

    image = Image.new("RGB", (600, 300), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(28)
    for number, text in enumerate(("Invoice 4711", "Subtotal 33.10", "Total 40.20")):
        draw.text((40, 30 + 80 * number), text, "black", font)
    image.save(tmp_path / "a.png")
    lines = [
        {"image": "a.png", "question": "What is the total?", "answers": ["40.20"]},
        {"image": "a.png", "question": "Is it paid?", "answers": ["yes"]},
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = label(tmp_path / "d.jsonl", tmp_path / "o", "--teacher", "ocr", "--no-expand")
    assert done.exit_code == 0, done.output
    assert "1 of 2 rows have a box" in done.stdout and "answer not found" in done.stdout
    _, top, right, bottom = draw.textbbox((40, 190), "Total 40.20", font)
    left = 40 + draw.textlength("Total ", font)
    truth = Box.from_pixels(int(left), int(top), int(right), int(bottom), 600, 300)
    box = load_rows(tmp_path / "o")[0].box
    assert box is not None and box.iou(truth) > 0.5 and box.contains_point(*truth.centre)


def test_shards_by_command(data: Path, tmp_path: Path) -> None:
    common = ("--teacher", "grid", "--reward=-area", "--cells", 2, *COLUMNS)
    first = label(data, tmp_path / "o", *common, "--shard", "1/2")
    assert first.exit_code == 0 and "when the others are finished: 2." in first.stdout
    second = label(data, tmp_path / "o", *common, "--shard", "2/2", "--json")
    assert json.loads(second.stdout)["labelled"] == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing", "o", "--teacher", "ocr"], "'nothing' is no data"),
        (["{data}", "o", "--teacher", "ocr"], "no column 'image'"),
        (["{data}", "o", "--teacher", "vlm", *COLUMNS], "needs the name of a model"),
        (["{data}", "o", "--teacher", "ocr", "--shard", "3", *COLUMNS], "the form 2/8"),
        (["{data}", "o", "--teacher", "ocr", "--column", "x=y"], "ROLE=NAME"),
        (["{data}", "o", "--teacher", "grid", "--reward", "joy", *COLUMNS], "reward='joy'"),
        (
            ["{data}", "o", "--teacher", "grid", "--reward-option", "x", *COLUMNS],
            "NAME=VALUE",
        ),
        (
            ["{data}", "o", "--teacher", "vlm", "-m", "m", "--max-pixels", "5", *COLUMNS],
            "max_pixels=5",
        ),
    ],
)
def test_wrong_commands_are_told_in_one_message(
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    done = label(*(argument.format(data=data) for argument in arguments))
    assert done.exit_code == 1 and message in done.stderr and done.stdout == ""
    assert not (tmp_path / "o").exists() or not any((tmp_path / "o").iterdir())
