"""The commands, as a shell runs them."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from cropzoom.cli import app
from cropzoom.cli.output import Output
from cropzoom.images import load_image

runner = CliRunner()


@pytest.fixture
def cropper(tmp_path: Path) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from hand_made_cropper import write_cropper

    return write_cropper(tmp_path / "cropper")


@pytest.fixture
def page(tmp_path: Path) -> Path:
    image = Image.new("RGB", (512, 256), "white")
    image.paste("black", (256, 64, 288, 96))
    image.save(tmp_path / "page [1].png")
    return tmp_path / "page [1].png"


def test_crop_writes_the_annotated_picture_and_the_crop(
    cropper: Path, page: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.png"
    done = runner.invoke(
        app,
        ["crop", str(page), "What is dark?", "-o", str(out), "--cropper", str(cropper), "--json"],
    )
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["size"] == [512, 256]
    assert result["crops"][0]["pixels"] == [208, 64, 304, 96]
    crop = load_image(result["crops"][0]["file"])
    assert crop.size == (result["crops"][0]["width"], result["crops"][0]["height"]) == (448, 149)
    assert crop.getpixel((300, 75)) == (0, 0, 0)
    annotated = load_image(result["annotated"])
    assert annotated.size == (512, 256)
    assert annotated.getpixel((208, 80)) == (220, 30, 60)
    assert annotated.getpixel((10, 10)) == (255, 255, 255)


def test_crop_highlights_the_region(cropper: Path, page: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown.png"
    arguments = [str(page), "dark", "-o", str(tmp_path / "a.png"), "--cropper", str(cropper)]
    done = runner.invoke(app, ["crop", *arguments, "--highlight", str(shown), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["highlighted"] == str(shown)
    original, picture = load_image(page), load_image(shown)
    assert picture.size == original.size
    assert picture.getpixel((250, 80)) == original.getpixel((250, 80))
    assert picture.getpixel((1, 1)) != (0, 0, 0)
    over = runner.invoke(app, ["crop", *arguments, "--highlight", str(page)])
    assert over.exit_code != 0 and "is the picture itself" in over.output


def test_crop_for_people(
    cropper: Path, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = runner.invoke(app, ["crop", str(page), "dark", "-k", "2", "--cropper", str(cropper)])
    assert done.exit_code == 0, done.output
    assert "208, 64, 304, 96" in done.stdout
    assert "page [1]-zoom.png" in done.stdout
    assert (tmp_path / "page [1]-zoom.png").exists()
    assert (tmp_path / "page [1]-zoom-crop2.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.png", "?", "-o", "a.png"], "can't read the image 'nowhere.png'"),
        (["{page}", "?", "-o", "{page}"], "choose another name"),
        (["{page}", "dark", "--cropper", "no-such"], "no cropper 'no-such'"),
        (["{page}", "dark", "--cropper", "{cropper}", "-o", "no/dir/a.png"], "can't write"),
        (["{page}", "dark", "--cropper", "{cropper}", "-o", "a.nonsense"], "can't write"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_errors_are_one_message_and_exit_code_1(
    cropper: Path,
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
    as_json: bool,
) -> None:
    monkeypatch.chdir(tmp_path)
    filled = [argument.format(page=page, cropper=cropper) for argument in arguments]
    done = runner.invoke(app, ["crop", *filled, *(["--json"] if as_json else [])])
    assert done.exit_code == 1
    # Anything else would reach the shell as a traceback.
    assert isinstance(done.exception, SystemExit)
    if as_json:
        assert message in json.loads(done.stdout)["error"]["message"]
    else:
        assert message in done.stderr
        assert done.stdout == ""


def test_a_full_disk_leaves_the_old_files_and_ends_in_one_message(
    cropper: Path, page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bytes = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        write_bytes(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    old = [tmp_path / name for name in ("out.png", "out-crop.png")]
    for path in old:
        path.write_bytes(b"old")
    monkeypatch.setattr(Path, "write_bytes", half)
    arguments = [str(page), "dark", "-o", str(old[0]), "--cropper", str(cropper)]
    done = runner.invoke(app, ["crop", *arguments])
    assert (done.exit_code, "No space left" in done.stderr) == (1, True)
    assert isinstance(done.exception, SystemExit)
    assert [path.read_bytes() for path in old] == [b"old", b"old"]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail] PytorchStreamWriter failed writing file data/1"),
        Exception("I/O error: No space left on device (os error 28)"),
    ],
)
def test_whatever_a_library_says_of_a_full_disk(error: Exception) -> None:
    with pytest.raises(typer.Exit), Output(as_json=False):
        try:
            raise error
        except Exception as cause:
            raise RuntimeError("saving failed") from cause


@pytest.mark.skipif(os.name == "nt", reason="no SIGTERM there")
def test_a_command_that_is_told_to_end_clears_its_work_away(tmp_path: Path) -> None:
    code = (
        "import sys, tempfile, time; from cropzoom.cli.output import Output\n"
        "with Output(False), tempfile.TemporaryDirectory(dir=sys.argv[1]):\n"
        "    print('ready', flush=True); time.sleep(30)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"ready\n"
    child.terminate()
    child.communicate(timeout=20)
    assert child.returncode == 143
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("encoding", "name"), [("cp1252", "請求書"), ("ascii", "Rechnung März")])
def test_any_encoding_of_the_output(
    cropper: Path, page: Path, tmp_path: Path, encoding: str, name: str
) -> None:
    page.rename(tmp_path / f"{name}.png")
    command = ["crop", f"{name}.png", "What is dark?", "--cropper", str(cropper)]
    done = subprocess.run(
        [sys.executable, "-m", "cropzoom", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert name.encode(encoding, "backslashreplace").split(b"-")[0] in done.stdout


def checks_of(stdout: str) -> dict[str, dict[str, str]]:
    return {check["name"]: check for check in json.loads(stdout)["checks"]}


def test_doctor_without_onnxruntime_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("cropzoom.cropper.session.installed_runtimes", dict)
    done = runner.invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    check = checks_of(done.stdout)["onnxruntime"]
    assert check["status"] == "broken"
    assert "pip install 'cropzoom[cpu]'" in check["remedy"]


def test_doctor_sees_two_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    both = {"onnxruntime": "1.2", "onnxruntime-gpu": "1.2"}
    monkeypatch.setattr("cropzoom.cropper.session.installed_runtimes", lambda: both)
    done = runner.invoke(app, ["doctor", "--json"])
    assert done.exit_code == 1
    check = checks_of(done.stdout)["onnxruntime builds"]
    assert check["status"] == "broken" and "pip uninstall" in check["remedy"]


def test_doctor_finds_this_installation_well(
    cropper: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a stand-in for the bundled model, so that this test is about the doctor alone."""
    from cropzoom.cropper.folder import Folder

    monkeypatch.setattr("cropzoom.cropper.folder.find_folder", lambda _: Folder(cropper, cropper))
    done = runner.invoke(app, ["doctor", "--json"])
    checks = checks_of(done.stdout)
    assert [check for check in checks.values() if check["status"] == "broken"] == []
    assert done.exit_code == 0
    assert json.loads(done.stdout)["ok"] is True
    assert "ms" in checks["nano"]["detail"]
    people = runner.invoke(app, ["doctor"])
    assert people.exit_code == 0 and "All well." in people.stdout


def test_every_help_has_an_example() -> None:
    top = runner.invoke(app, ["--help"])
    assert "Example: cropzoom" in top.stdout
    for command in app.registered_commands:
        done = runner.invoke(app, [str(command.name), "--help"])
        assert done.exit_code == 0
        assert f"cropzoom {command.name}" in done.stdout, command.name
        if command.name != "mcp":  # its output is the protocol's
            assert "--json" in done.stdout, command.name


def test_version() -> None:
    from cropzoom import __version__

    assert runner.invoke(app, ["--version"]).stdout.strip() == __version__
