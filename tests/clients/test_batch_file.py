"""Batch files: every line is there, with crops or as it was."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

# Environments with other versions of a client have neither.
pytest.importorskip("typer")
pytest.importorskip("onnxruntime")

from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner
from wrapping import OPTIONS, FixedCropper, chat_image, chat_text, crop_of, marked, uri, user

from cropzoom import RequestError
from cropzoom.cli import app
from cropzoom.clients.batch_file import rewrite_file
from cropzoom.zoom import Zoom

CHAT = {"model": "m", "messages": [user(chat_image(), chat_text())]}
SOURCE = {"type": "base64", "media_type": "image/png", "data": uri().partition(",")[2]}
MESSAGES = {"model": "m", "messages": [user({"type": "image", "source": SOURCE}, chat_text())]}


def lines(*more: str) -> str:
    rows: list[Any] = [
        {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": CHAT},
        {"custom_id": "b", "params": MESSAGES},
        {"custom_id": "c", "method": "POST", "url": "/v1/embeddings", "body": {"input": "x"}},
    ]
    return "\n".join([*map(json.dumps, rows), *more])


def test_every_line_is_there(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    # No line break at the end, a blank line, and what is no JSON.
    source.write_text(lines("", '{"custom_id": "d",  "body": 7}', "not json"))
    *_, counts = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    given, written = source.read_text().split("\n"), target.read_text().split("\n")
    assert written.pop() == "" and len(written) == len(given)
    assert written[2:] == given[2:]
    chat = json.loads(written[0])
    assert chat["custom_id"] == "a"
    expected = [user(chat_image(), chat_image(crop_of()), chat_text())]
    assert marked(chat["body"])["messages"] == expected
    blocks = json.loads(written[1])["params"]["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["image", "image", "text"]
    assert (counts.lines, counts.before, counts.broken) == (6, 0, 2)
    assert (counts.usage.calls, counts.usage.crops) == (2, 2)
    assert not list(tmp_path.glob("*.partial"))


def test_googles_lines_are_known_by_their_request(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    blob = {"mimeType": "image/png", "data": SOURCE["data"]}
    contents = [{"parts": [{"inlineData": blob}, {"text": "What is the total?"}]}]
    source.write_text(json.dumps({"key": "a", "request": {"contents": contents}}))
    *_, counts = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    (item,) = json.loads(target.read_text())["request"]["contents"]
    assert counts.usage.crops == 1 and ["text" in part for part in item["parts"]] == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_an_interrupted_run_goes_on(tmp_path: Path, cut: int) -> None:
    source, whole, target = (tmp_path / name for name in ("in", "whole", "out"))
    source.write_text(lines())
    list(rewrite_file(source, whole, Zoom(FixedCropper(), OPTIONS)))
    run = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    for _ in range(cut + 1):
        next(run)
    run.close()
    with (tmp_path / "out.partial").open("ab") as partial:
        partial.write(b'{"custom_id": "cut of')
    assert not target.exists()
    cropper = FixedCropper()
    *_, counts = rewrite_file(source, target, Zoom(cropper, OPTIONS))
    assert (counts.lines, counts.before) == (3, cut)
    assert target.read_bytes() == whole.read_bytes()
    assert len(cropper.questions) <= max(0, 2 - cut)


BROKEN = [
    b"[" * 200_000,
    b'{"custom_id": "x", "body": [1]}',
    b'{"custom_id": "x"',
    b"\xff\xfe\x00",
    b"null",
    b'"text"',
    b"9" * 5000,
    b'{"body": {"messages": 7}, "url": "/v1/chat/completions"}',
    b'{"body": {"messages": []}, "url": "http://[x"}',
]


def test_broken_lines_are_passed_on_and_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_bytes(b"\r\n".join([*BROKEN, b"", b"  "]))
    *_, counts = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    assert target.read_bytes() == source.read_bytes() + b"\n"
    # The last two are requests, though none that has a picture.
    assert (counts.lines, counts.broken) == (len(BROKEN) + 2, len(BROKEN) - 2)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(0, 200))
def test_whatever_lines_are_they_are_there(rows: list[bytes], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in"), Path(folder, "out")
        source.write_bytes(b"\n".join(rows))
        whole = source.read_bytes()
        whole += b"" if not whole or whole.endswith(b"\n") else b"\n"
        # As a kill leaves it: any beginning of what would have been written.
        Path(folder, "out.partial").write_bytes(whole[:cut])
        list(rewrite_file(source, target, Zoom(FixedCropper())))
        assert target.read_bytes() == whole


def test_a_killed_run_goes_on(tmp_path: Path) -> None:
    source, whole, target = (tmp_path / name for name in ("in", "whole", "out"))
    row = {"method": "POST", "url": "/v1/chat/completions", "body": CHAT}
    source.write_text("\n".join(json.dumps({"custom_id": str(n), **row}) for n in range(40)))
    *_, counts = rewrite_file(source, whole, Zoom(FixedCropper(), OPTIONS))
    assert counts.usage.crops == 40
    script = (
        "import sys, time; from pathlib import Path; from wrapping import *\n"
        "from cropzoom.clients.batch_file import rewrite_file; from cropzoom.zoom import Zoom\n"
        "for _ in rewrite_file(*map(Path, sys.argv[1:]), Zoom(FixedCropper(), OPTIONS)):\n"
        "    time.sleep(0.05)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", script, str(source), str(target)]
    run = subprocess.Popen(command, env=environment)
    partial, until = tmp_path / "out.partial", time.monotonic() + 60
    while not (partial.exists() and partial.read_bytes().count(b"\n") >= 5):
        assert run.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    with pytest.raises(RequestError, match="another process"):
        list(rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS)))
    run.kill()
    run.wait()
    assert not target.exists()
    *_, counts = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    assert 5 <= counts.before < 40 and counts.lines == 40
    assert counts.usage.calls == 40 - counts.before
    assert target.read_bytes() == whole.read_bytes()


def test_another_files_beginning_is_not_gone_on_with(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_text(lines())
    run = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    next(run), next(run)
    run.close()
    source.write_text(lines().replace('"a"', '"z"'))
    with pytest.raises(RequestError, match=r"line 1 .* another"):
        list(rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS)))


def test_a_large_file_takes_the_memory_of_a_line(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    line = json.dumps({"body": {"messages": [user(chat_text("x" * 250_000))]}}) + "\n"
    with source.open("w") as file:
        for _ in range(160):
            file.write(line)
    tracemalloc.start()
    *_, counts = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert counts.lines == 160 and target.stat().st_size == source.stat().st_size > 40_000_000
    assert peak < 8_000_000


def test_the_file_itself_is_not_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "in.jsonl"
    source.write_text(lines())
    with pytest.raises(RequestError, match="itself"):
        next(rewrite_file(source, source, Zoom(FixedCropper())))
    with pytest.raises(RequestError, match="can't rewrite"):
        next(rewrite_file(tmp_path / "none", tmp_path / "out", Zoom(FixedCropper())))


def test_the_command(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(lines())
    done = CliRunner().invoke(app, ["batch", str(source), str(target), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["calls"] == 2
    assert len(target.read_text().splitlines()) == 3
