"""Batch files: every line is there, with crops or as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

# Environments with other versions of a client have neither.
pytest.importorskip("typer")
pytest.importorskip("onnxruntime")

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
    *_, usage = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    given, written = source.read_text().split("\n"), target.read_text().split("\n")
    assert written.pop() == "" and len(written) == len(given)
    assert written[2:] == given[2:]
    chat = json.loads(written[0])
    assert chat["custom_id"] == "a"
    expected = [user(chat_image(), chat_image(crop_of()), chat_text())]
    assert marked(chat["body"])["messages"] == expected
    blocks = json.loads(written[1])["params"]["messages"][0]["content"]
    assert [block["type"] for block in blocks] == ["image", "image", "text"]
    assert usage.crops == 2
    assert not list(tmp_path.glob("*.partial"))


def test_googles_lines_are_known_by_their_request(tmp_path: Path) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    blob = {"mimeType": "image/png", "data": SOURCE["data"]}
    contents = [{"parts": [{"inlineData": blob}, {"text": "What is the total?"}]}]
    source.write_text(json.dumps({"key": "a", "request": {"contents": contents}}))
    *_, usage = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    (item,) = json.loads(target.read_text())["request"]["contents"]
    assert usage.crops == 1 and ["text" in part for part in item["parts"]] == [False, False, True]


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_an_interrupted_run_goes_on(tmp_path: Path, cut: int) -> None:
    source, whole, target = (tmp_path / name for name in ("in", "whole", "out"))
    source.write_text(lines())
    list(rewrite_file(source, whole, Zoom(FixedCropper(), OPTIONS)))
    run = rewrite_file(source, target, Zoom(FixedCropper(), OPTIONS))
    for _ in range(cut):
        next(run)
    run.close()
    with (tmp_path / "out.partial").open("ab") as partial:
        partial.write(b'{"custom_id": "cut of')
    assert not target.exists()
    cropper = FixedCropper()
    list(rewrite_file(source, target, Zoom(cropper, OPTIONS)))
    assert target.read_bytes() == whole.read_bytes()
    assert len(cropper.questions) <= max(0, 2 - cut)


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
