from __future__ import annotations

import json
from pathlib import Path

import pytest
from drawing import card
from hand_made_cropper import write_cropper
from typer.testing import CliRunner

from cropzoom.cli import app
from cropzoom.demo.server import StandInServer


@pytest.fixture(scope="module")
def cropper(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cropper that points at the darkest place."""
    return str(write_cropper(tmp_path_factory.mktemp("cropper") / "darkest"))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A page with two lines, and a black spot for the cropper."""
    image = card([(20, 30, "Total"), (300, 30, "47.79"), (20, 90, "Table"), (300, 90, "12")])
    image.paste((0, 0, 0), (200, 130, 240, 170))
    path = tmp_path / "page.png"
    image.save(path)
    return path


def test_ask_prints_the_answer_and_what_was_added(
    server: StandInServer, cropper: str, picture: Path
) -> None:
    arguments = ["ask", str(picture), "What is the total?", "-m", server.model]
    done = CliRunner().invoke(
        app, [*arguments, "--base-url", server.base_url, "--cropper", cropper]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[0] == "47.79"
    assert "confidence" in done.stdout


def test_ask_compares_in_json(server: StandInServer, cropper: str, picture: Path) -> None:
    arguments = ["ask", str(picture), "What is the table?", "-m", server.model, "--compare"]
    arguments += ["--base-url", server.base_url, "--cropper", cropper, "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["answer"] == result["answer_without_crop"] == "12"
    (image,) = result["cropzoom"]["images"]
    assert image["size"] == [448, 200]
    assert len(image["crops"]) == 1


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--base-url", "http://127.0.0.1:9/v1"], "failed: Connection error. Check --model"),
        (["--cropper", "no/such"], "no/such"),
    ],
)
def test_ask_fails_with_a_message(
    monkeypatch: pytest.MonkeyPatch, cropper: str, picture: Path, extra: list[str], said: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    arguments = ["ask", str(picture), "the total?", "-m", "m", "--cropper", cropper]
    done = CliRunner().invoke(app, [*arguments, *extra, "--json"])
    assert done.exit_code == 1
    assert said in json.loads(done.stdout)["error"]["message"]


def test_ask_without_a_key_says_so(
    monkeypatch: pytest.MonkeyPatch, cropper: str, picture: Path
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    done = CliRunner().invoke(app, ["ask", str(picture), "the total?", "-m", "m"])
    assert done.exit_code == 1
    assert "OPENAI_API_KEY" in done.stderr


def test_demo_asks_and_writes_a_page(tmp_path: Path, cropper: str) -> None:
    page = tmp_path / "page.html"
    arguments = ["demo", "-o", str(page), "--pictures", "1", "--cropper", cropper, "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["stand_in"] and result["model"] == "stand-in-ocr-448px"
    assert result["questions"] == len(result["results"]) == 3
    assert [item["picture"] for item in result["results"]] == ["receipt.jpg"] * 3
    html = page.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    saved = result["saved"]
    assert saved["count_as"] == "claude-opus-5" and saved["price"] == 5.0
    assert "platform.claude.com" in saved["price_source"] and "platform.claude.com" in html
    given = sum(item["tokens_given"] for item in result["results"])
    sent = sum(item["tokens_sent"] for item in result["results"])
    assert (saved["tokens_given"], saved["tokens_sent"]) == (given, sent) and sent <= given
    assert saved["dollars_saved_per_1000"] == pytest.approx((given - sent) / 3 * 1000 * 5 / 1e6)
    assert f"{given:,} for the pictures as they are" in html


def test_demo_at_a_real_server_needs_a_model(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["demo", "--base-url", "http://127.0.0.1:9/v1"])
    assert done.exit_code == 1
    assert "--model" in done.stderr


def test_demo_that_cannot_write_says_so_at_once(tmp_path: Path, cropper: str) -> None:
    target = tmp_path / "missing" / "page.html"
    done = CliRunner().invoke(app, ["demo", "-o", str(target), "--cropper", cropper])
    assert done.exit_code == 1
    assert "there is no folder" in done.stderr
