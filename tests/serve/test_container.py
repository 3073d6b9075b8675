"""The container file and the compose example say what the command and the package know.

Neither is built here; what can be wrong without building is looked at.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cropzoom.cli import app

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "serve"


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the container file, continued lines as one."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.M)
    lines = text.replace("\\\n", " ").splitlines()
    return [(line.split(None, 1)[0], line.split(None, 1)[1].strip()) for line in lines if line]


def only(name: str) -> list[str]:
    return [rest for word, rest in instructions() if word == name]


def test_its_instructions_exist_and_nothing_runs_as_root() -> None:
    known = {"FROM", "WORKDIR", "COPY", "RUN", "USER", "ENV", "EXPOSE", "HEALTHCHECK", "CMD"}
    names = [name for name, _ in instructions()]
    assert set(names) <= known and names[0] == "FROM"
    assert only("USER")[-1] not in ("root", "0") and names.index("USER") < names.index("CMD")
    assert re.fullmatch(r"python:3\.\d+-slim", only("FROM")[0])


def test_what_it_copies_is_there_and_let_through() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    for line in only("COPY"):
        for source in line.split()[:-1]:
            assert (ROOT / source.removeprefix("./")).exists(), source
            assert f"!{source}" in ignored, source


def test_its_extra_exists() -> None:
    (extra,) = re.findall(r"'\.\[(\w+)\]'", only("RUN")[0])
    assert re.search(rf"^{extra} = \[", (ROOT / "pyproject.toml").read_text(), re.M)


def test_its_command_is_one_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as far as to where it would listen."""
    pytest.importorskip("onnxruntime")
    shell = json.loads(only("CMD")[-1])
    assert shell[:2] == ["sh", "-c"] and shell[2].startswith("exec cropzoom ")
    words = {"$UPSTREAM": "http://upstream/v1", "$WORKERS": "3"}
    arguments = [words.get(word, word) for word in shlex.split(shell[2])[2:]]
    served: list[Any] = []
    monkeypatch.setattr(
        "cropzoom.serve.processes.serve_proxy",
        lambda proxy, settings, workers, **more: served.append((settings, workers, more)),
    )
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    settings, workers, more = served[0]
    assert settings.upstream == "http://upstream/v1" and workers == 3
    assert more["host"] == "0.0.0.0" and str(more["port"]) == only("EXPOSE")[0]
    assert settings.drain + more["timeout_graceful_shutdown"] < 70
    assert f":{more['port']}/healthz" in only("HEALTHCHECK")[0]


def test_the_compose_example() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    ours = services["cropzoom"]
    context = (FOLDER / ours["build"]["context"]).resolve()
    assert context == ROOT and (context / ours["build"]["dockerfile"]).is_file()
    assert set(ours["environment"]) <= {
        word.split("=")[0] for line in only("ENV") for word in line.split()
    }
    assert set(ours["depends_on"]) < set(services)
    assert ours["ports"] == [f"8000:{only('EXPOSE')[0]}"]
    assert int(ours["stop_grace_period"].removesuffix("s")) >= 5 + 60


def test_the_command_names_every_option_of_the_page() -> None:
    page = (ROOT / "docs" / "serve.md").read_text()
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts}
    named = set(re.findall(r"`(--[a-z-]+)", page))
    assert named - {"--middleware"} <= options
