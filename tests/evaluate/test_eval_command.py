"""`cropzoom eval`, as it is called in a shell."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from colour_server import ColourServer, picture
from typer.testing import CliRunner

pytest.importorskip("openai")

from cropzoom.cli import app

COLOURS = ["red", "green", "blue"]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six questions about three pictures, a missing picture, a broken one, a broken line."""
    folder = tmp_path / "data"
    folder.mkdir()
    lines: list[Any] = []
    for number in range(6):
        colour = COLOURS[number % 3]
        (folder / f"{colour}.png").write_bytes(picture(colour))
        box = [0.75, 0.1, 0.78, 0.13]
        lines.append(
            {
                "id": number,
                "image": f"{colour}.png",
                "question": f"Which colour is number {number}?",
                "answers": [colour],
                "box": box,
                "value": box,
            }
        )
    lines.append({"image": "gone.png", "question": "Which colour?", "answer": "red"})
    (folder / "cut.png").write_bytes(picture("red")[:200])
    lines.append({"id": "cut", "image": "cut.png", "question": "Which colour?", "answer": "red"})
    lines.append({"id": "mute", "image": "red.png", "question": "Which colour?"})
    text = "".join(json.dumps(line) + "\n" for line in lines) + "{broken\n"
    (folder / "rows.jsonl").write_text(text, encoding="utf-8")
    return folder


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["eval", *arguments])


def test_a_whole_evaluation(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ColourServer(confused="number 4") as server:
        common = [str(data), "-t", "openai:eye", "--base-url", server.base_url, "-o", str(out),
                  "--price", "1,5", "--json"]  # fmt: skip
        done = run(*common, "-c", "none", "-c", "centre:0.01", "-c", "oracle")
        assert done.exit_code == 0, done.output
        summary = json.loads(done.stdout)
        asked = server.asked.total()
        assert asked == 6 * 3
        # once more, with another cropper: only that is asked
        for more in (["--limit", "4"], []):
            done = run(*common, "-c", "none", "-c", "random:0.01", *more)
            assert done.exit_code == 0, done.output
        assert server.asked.total() == asked + 6
        done = run(*common, "-c", "none", "--option", "max_crops=2")
        assert done.exit_code == 1
        assert "choose another --out" in json.loads(done.stdout)["error"]["message"]
        # answers to other questions are not mixed in
        file = data / "rows.jsonl"
        before = file.read_bytes()
        file.write_bytes(before.replace(b"number 1", b"number 9"))
        done = run(*common, "-c", "none")
        assert "choose another --out" in json.loads(done.stdout)["error"]["message"]
        file.write_bytes(before)
    figures = summary["targets"]["openai:eye"]
    assert [figures[name]["score"]["mean"] for name in figures] == [0, 0, pytest.approx(5 / 6)]
    paired = figures["oracle"]["against_none"]
    assert (paired["pairs"], paired["broken"], paired["mended"]) == (6, 0, 5)
    assert paired["p"] == pytest.approx(2 / 32)
    assert figures["oracle"]["dollars"] == pytest.approx((6 * 200 * 1 + 6 * 2 * 5) / 1e6)
    assert summary["problems"] == {"missing image": 1, "bad line": 1, "no answers": 1}
    assert summary["failures"] == {"broken image": 3}
    assert {row["row"] for row in summary["problem_rows"]} == {"7", "10", "mute"}
    assert json.loads((out / "summary.json").read_text(encoding="utf-8"))["rows"] == 7
    report = (out / "report.html").read_text(encoding="utf-8")
    assert report.startswith("<!doctype html>") and "bad line" in report
    lines = (out / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    keys = [(entry["row"], entry["cropper"]) for entry in entries if entry["kind"] == "outcome"]
    answered = [key for key in keys if key[0] != "cut"]
    # One line an answer; the broken picture was looked at again by the last run.
    assert len(answered) == len(set(answered)) == 6 * 4
    assert keys.count(("cut", "none")) == 2 and keys.count(("cut", "oracle")) == 1
    assert len(entries) == len(keys) + 2  # the settings of the first run and of the others


def test_the_table_for_people(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    with ColourServer() as server:
        done = run(str(data), "-t", "openai:eye", "--base-url", server.base_url, "-c", "none",
                   "-c", "oracle", "-o", str(tmp_path / "out"))  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "openai:eye: " in done.stdout  # and not an emoji
    assert "100.0 [100, 100]" in done.stdout and "+100.0 [100, 100] p 0.031" in done.stdout
    assert "1 missing image" in done.stderr and "2 broken image" in done.stderr


def test_an_interrupted_run_goes_on(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cropzoom", "eval", str(data), "-t", "openai:eye", "-c",
               "none", "-c", "oracle", "-o", str(out), "--concurrency", "2"]  # fmt: skip
    with ColourServer(delay=0.3) as server:
        command += ["--base-url", server.base_url]
        first = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            env={**os.environ},
            text=True,
            # A shell's background jobs ignore interrupts, and so would these tests in one.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        deadline = time.monotonic() + 120
        while server.asked.total() < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        first.send_signal(signal.SIGINT)
        _, said = first.communicate(timeout=60)
        assert first.returncode == 130, said
        assert "the same command goes on" in " ".join(said.split())
        assert 3 <= server.asked.total() < 12
        server.delay = 0.0
        second = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert second.returncode == 0, second.stderr
        assert server.asked.total() == 12
        assert max(server.asked.values()) == 1


def test_a_server_that_is_down(data: Path, tmp_path: Path) -> None:
    rows = [{"id": n, "image": "red.png", "question": "Which?", "answer": "red"} for n in range(40)]
    file = data / "rows.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    done = run(str(file), "-t", "openai:eye", "--base-url", "http://127.0.0.1:9/v1", "-c", "none",
               "--retries", "0", "-o", str(tmp_path / "out"), "--json")  # fmt: skip
    assert done.exit_code == 1
    summary = json.loads(done.stdout)
    assert 20 <= summary["failures"]["request failed"] <= 24
    assert summary["targets"]["openai:eye"]["none"]["failed"] >= 20
    assert "stopped early" in done.stderr


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["nothing-there"], "is no data: give a JSONL"),
        (["DATA", "--split", "test"], "without splits"),
        (["DATA", "--column", "colour=a"], "ROLE=NAME"),
        (["DATA", "--source", "a/b"], "for the benchmarks"),
        (["rendered:1@1", "--split", "train"], "has its own"),
        (["DATA", "--option", "zoom=1"], "NAME=VALUE"),
        (["DATA", "--option", "max_crops=many"], "max_crops='many'"),
        (["DATA", "--body", "[1]"], "JSON object"),
        (["DATA", "--price", "cheap"], "PROMPT,COMPLETION"),
        (["DATA", "--price", "openai:x=1,2"], "none of the targets"),
        (["DATA", "--submission"], "no challenge"),
        (["docvqa", "--metric", "anls"], "has its own"),
        (["docvqa", "--source", "/no/such/folder"], "can't load"),
        (["DATA", "-c", "centre"], "needs a size"),
        (["DATA", "-t", "gemini"], "openai:MODEL"),
    ],
)
def test_mistakes_are_named_before_anything_is_asked(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: list[str], said: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments = [str(data) if word == "DATA" else word for word in extra]
    with ColourServer() as server:
        chosen = [] if "-t" in extra else ["-t", "openai:eye"]
        done = run(*arguments, *chosen, "--base-url", server.base_url, "--json", "-o",
                   str(tmp_path / "out"))  # fmt: skip
    assert done.exit_code == 1, done.output
    assert said in json.loads(done.stdout)["error"]["message"]
    assert not server.asked


@pytest.mark.parametrize(
    ("extra", "said"), [(["--harness", "mine"], "vlmevalkit"), (["--metric", "bleu"], "contained")]
)
def test_choices_are_named(data: Path, extra: list[str], said: str) -> None:
    done = run(str(data), *extra)
    assert done.exit_code == 2 and said in done.stderr


def test_a_preset_without_answers_makes_a_submission(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    from tiny_benchmarks import stvqa

    stvqa(tmp_path / "stvqa")
    out = tmp_path / "out"
    with ColourServer() as server:
        arguments = ["stvqa", "--source", str(tmp_path / "stvqa"), "-t", "openai:eye", "--base-url"]
        arguments += [server.base_url, "-c", "none", "-o", str(out), "--json"]
        done = run(*arguments)
        assert done.exit_code == 1
        assert "add --submission" in json.loads(done.stdout)["error"]["message"]
        assert not server.asked
        done = run(*arguments, "--submission")
        assert done.exit_code == 0, done.output
    (file,) = out.glob("submission-*.json")
    assert json.loads(file.read_text(encoding="utf-8")) == [
        {"question_id": 1000, "answer": "nothing"},
        {"question_id": 1001, "answer": "nothing"},
    ]
    summary = json.loads(done.stdout)
    assert summary["rows_without_answers"] == 2
    assert summary["targets"]["openai:eye"]["none"]["score"]["mean"] is None


def test_rendered_pages_are_a_seed_and_a_command(tmp_path: Path) -> None:
    pytest.importorskip("rapidocr")
    from cropzoom.trainer.nano.pages.fonts import find_fonts
    from cropzoom.trainer.nano.pages.rendered_rows import _page, _png, rendered_test

    if not find_fonts("heldout"):
        done = run("rendered:1@3", "-o", str(tmp_path / "out"), "--json")
        assert "FONTS.txt" in json.loads(done.stdout)["error"]["message"]
        pytest.skip("no held-out fonts on this machine")
    first = rendered_test(2, 3)
    picture = first.rows[0].picture()
    _page.cache_clear()
    _png.cache_clear()
    one = rendered_test(1, 3)
    assert first.identity != one.identity != rendered_test(1, 4).identity
    assert one.rows[0].picture() == picture
    assert [row.question for row in one.rows] == [
        row.question for row in first.rows if row.image_id == one.rows[0].image_id
    ]
    for row in first.rows:
        assert row.box is not None and row.value is not None and row.key
        assert row.box.contains_point(*row.value.centre)
    done = run("rendered:1x1@3", "-c", "none", "-c", "oracle", "--threads", "1",
               "-o", str(tmp_path / "out"), "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["rows"] == 1
    figures = summary["targets"]["standin:448"]
    assert figures["oracle"]["with_crop"] == 1
    assert figures["oracle"]["centre_in_region"] == 1


def test_modes_beside_the_full_picture_and_the_thumbnail(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ColourServer() as server:
        done = run(str(data), "-t", "openai:claude-haiku-4-5", "--base-url", server.base_url,
                   "-c", "oracle", "--mode", "add,replace,stitch", "--price", "2,5", "-o", str(out),
                   "--option", "thumbnail_side=64", "--option", "min_crop_side=64",
                   "--option", "target_side=0", "--margin", "2", "--json")  # fmt: skip
        assert done.exit_code == 0, done.output
        pictures = [
            sum(part["type"] == "image_url" for part in body["messages"][-1]["content"])
            for body in server.bodies
        ]
    summary = json.loads(done.stdout)
    figures = summary["targets"]["openai:claude-haiku-4-5"]
    names = ["none", "thumbnail:64", "oracle add", "oracle replace", "oracle stitch"]
    assert list(figures) == names
    # As Claude counts: 15 x 15 patches for 400 px, 3 x 3 for the thumbnail.
    assert [figures[name]["image_tokens"] for name in names[:2]] == [225, 9]
    tokens = {name: figures[name]["image_tokens"] for name in names}
    assert tokens["oracle add"] > 225 > tokens["oracle replace"] > 9
    share = figures["oracle replace"]["image_tokens_share"]
    assert share == pytest.approx(tokens["oracle replace"] / 225)
    dollars = figures["oracle replace"]["image_dollars"]
    assert dollars == pytest.approx(6 * tokens["oracle replace"] * 2 / 1e6)
    assert sorted(pictures) == [1] * 18 + [2] * 12
    test = figures["oracle replace"]["against_none"]["non_inferiority"]
    assert (test["margin"], test["verdict"], test["difference"]) == (0.02, "not inferior", 1)
    assert "not inferior" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("mode", ["both", "add,add", "add;replace"])
def test_modes_that_there_are_not(data: Path, tmp_path: Path, mode: str) -> None:
    done = run(str(data), "--mode", mode, "-o", str(tmp_path / "out"))
    assert done.exit_code == 1
    assert "each of add, replace, stitch once" in done.output
