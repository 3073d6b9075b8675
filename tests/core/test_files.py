"""Files that are whole or not there, locks, and logs that go on where a crash left them."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cropzoom.errors import DataError, LabelError
from cropzoom.files import JsonLog, locked, write_whole


def test_a_file_is_whole_or_as_before(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "new" / "a.txt", "ä\ud800")
    assert path.read_bytes() == "ä?".encode()
    write_whole(path, b"next")
    assert path.read_bytes() == b"next"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]
    with pytest.raises(DataError, match="can't write"):
        write_whole(path / "below", b"")


def test_a_log_goes_on_after_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with JsonLog(path) as log:
        log.add({"n": 1, "text": "ä\u2028"})
        log.add({"n": 2})
    with path.open("ab") as file:
        file.write(b'{"n": 3, "te')
    with JsonLog(path) as log:
        assert log.entries == [{"n": 1, "text": "ä\u2028"}, {"n": 2}]
        log.add({"n": 4})
    with JsonLog(path) as log:
        assert [entry["n"] for entry in log.entries] == [1, 2, 4]


def _try(path: Path, answer: multiprocessing.Queue[str]) -> None:
    try:
        JsonLog(path, LabelError).close()
        answer.put("free")
    except LabelError as error:
        answer.put(str(error))


def test_a_log_is_one_processs(tmp_path: Path) -> None:
    spawned = multiprocessing.get_context("spawn")
    answer = spawned.Queue()
    for held in (True, False):
        log = JsonLog(tmp_path / "log.jsonl")
        if not held:
            log.close()
        other = spawned.Process(target=_try, args=(tmp_path / "log.jsonl", answer))
        other.start()
        assert ("another process" in answer.get(timeout=60)) == held
        other.join()
        log.close()


def test_a_folder_can_be_locked(tmp_path: Path) -> None:
    with (
        locked(tmp_path),
        pytest.raises(LabelError, match="another process"),
        locked(tmp_path, LabelError),
    ):
        pass
    with locked(tmp_path):
        pass


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_log_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "log.jsonl"
    path.write_bytes(content)
    try:
        with JsonLog(path) as log:
            log.add({"more": True})
        assert path.read_bytes().endswith(b'{"more": true}\n')
    except DataError as error:
        assert f"{path}, line" in str(error)
    # Whatever happened, the next one may have it.
    with locked(path):
        pass
