"""JavaScript's `openai`, from npm, through the proxy. Installed once, into `.compat/npm`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from openai_server import OpenAIServer, Received
from proxies import proxying
from wrapping import chat_image, chat_text, crop_of, marked, response_image, response_text, user

SCRIPTS = Path(__file__).parent / "npm"
FOLDER = Path(__file__).parents[2] / ".compat" / "npm"


@pytest.fixture(scope="module")
def script() -> Path:
    """The script beside the package that it needs; skips where that can't be had."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("there is no node")
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER.parent / ".gitignore").write_text("*\n")
    wanted = (SCRIPTS / "package.json").read_bytes()
    installed = FOLDER / "package.json"
    if not (installed.exists() and installed.read_bytes() == wanted and _node_modules()):
        installed.write_bytes(wanted)
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode != 0:
            pytest.skip(f"npm can't install openai: {done.stderr[-300:]}")
    return Path(shutil.copy(SCRIPTS / "ask.mjs", FOLDER))


def _node_modules() -> bool:
    return (FOLDER / "node_modules" / "openai").is_dir()


def refuse(request: Received) -> tuple[int, str] | None:
    return (404, "no such model") if request.body["model"] == "refused" else None


def test_javascripts_client_gets_its_crops(script: Path) -> None:
    messages = [user(chat_image(), chat_text())]
    items = [user(response_image(detail="auto"), response_text())]
    with OpenAIServer() as server, proxying(server.url) as address:
        server.refuse = refuse
        arguments = json.dumps({"address": address, "messages": messages, "input": items})
        environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
        done = subprocess.run(
            ["node", str(script)],
            input=arguments,
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {
            "content": '{"total": 7}',
            "crops": "1",
            "streamed": '{"total": 7}',
            "text": '{"total": 7}',
            "status": 404,
        }
        with_crop = [user(chat_image(), chat_image(crop_of()), chat_text())]
        bodies = [marked(request.body) for request in server.received]
        assert [body["messages"] for body in bodies if "messages" in body] == [with_crop] * 4
        image = response_image(detail="auto")
        (item,) = next(body["input"] for body in bodies if "input" in body)
        assert item["content"] == [image, {**image, "image_url": crop_of()}, response_text()]
        assert server.last.headers["authorization"] == "Bearer secret-key"
        assert "OpenAI/JS" in server.last.headers["user-agent"]
