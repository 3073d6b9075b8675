"""`cropzoom bench --latency`, as a shell runs it."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from cropzoom.bench.candidates import Spec
from cropzoom.bench.cold_start import cold, peak_rss
from cropzoom.bench.measure import Picture
from cropzoom.cli import app
from cropzoom.cropper.folder import MANIFEST_NAME, find_folder
from cropzoom.cropper.manifest import sealed
from cropzoom.errors import CropZoomError
from cropzoom.images import OpenedImage
from cropzoom.samples import load_samples

pytest.importorskip("onnxruntime")


def bench(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["bench", "--latency", *map(str, arguments)])


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small part of a page: nano's time grows with the area."""
    path = tmp_path_factory.mktemp("page") / "page.png"
    with Image.open(load_samples()[0].path) as image:
        image.crop((450, 1000, 1010, 1200)).save(path)
    return path


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nano, but it shrinks pages more than its model can bear: faster, and wrong."""
    folder = tmp_path_factory.mktemp("croppers") / "hasty"
    shutil.copytree(find_folder("nano").path, folder)
    path = folder / MANIFEST_NAME
    said = json.loads(path.read_text())
    said["image"]["longest_edge"] = 64
    path.write_text(json.dumps(sealed(said)))
    return folder


def test_the_bare_command_needs_no_torch() -> None:
    code = (
        "import sys; from cropzoom.cli import app\n"
        "try: app(['bench', '--latency', '--json', '--rounds', '2'])\n"
        "finally: print(sorted({'torch', 'transformers'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip().splitlines()[-1] == "[]"
    result = json.loads(done.stdout)
    assert result["settings"]["image"] == {
        "name": "receipt.jpg",
        "size": [1460, 1960],
        "format": "JPEG",
    }
    assert result["environment"]["usable_cores"] >= 1
    assert "onnxruntime" in " ".join(result["environment"]["versions"])
    (nano,) = result["croppers"].values()
    assert nano["provider"] == "CPUExecutionProvider" and len(nano["hash"]) == 64
    assert set(nano["cold"]) == {"n", "import", "load", "first_call", "peak_rss"}
    assert all(value > 0 for value in nano["cold"].values())
    # It keeps nothing of an image, so it is asked once; with itself it is not compared.
    assert nano["second"] is None and nano["iou"] is None
    first = nano["first"]
    assert first["total"]["n"] == 2 and first["total"]["p90"] is None
    stages = ["read", "preprocess", "tokenise", "model", "parse", "crop"]
    assert list(first["stages"]) == stages
    known = sum(first["stages"][stage]["mean"] for stage in stages)
    assert known == pytest.approx(first["total"]["mean"] * (1 - first["unexplained"]))
    assert 0 <= first["unexplained"] < 0.5


def test_faster_but_wrong_shows(page: Path, hasty: Path, tmp_path: Path) -> None:
    out = tmp_path / "here.json"
    asked = ("--image", page, "-q", "What is the total?", "-q", "What is the service charge?")
    few = ("--rounds", 4, "--cold", 0, "--concurrency", "1,3")
    done = bench("-c", "nano", "-c", hasty, *asked, *few, "-o", out)
    assert done.exit_code == 0, done.output
    assert "IoU is to nano" in done.stdout and "end to end" in done.stdout
    result = json.loads(out.read_text())
    nano, wrong = result["croppers"]["nano"], result["croppers"][str(hasty)]
    assert nano["iou"] == {"mean": 1.0, "least": 1.0, "pairs": 4}
    assert wrong["iou"]["mean"] < 0.9
    # The manifest's files are the same; what it says of them is not.
    assert nano["hash"] != wrong["hash"]
    assert set(nano["concurrency"]) == {"1", "3"}
    assert nano["concurrency"]["3"]["calls"] == 6
    assert nano["concurrency"]["3"]["per_second"] > 0

    # The baseline is what a machine twice as fast would have had, or half as fast.
    for factor, code, word in ((0.2, 1, "WORSE"), (50, 0, "ok")):
        old = json.loads(out.read_text())
        old["croppers"]["nano"]["first"]["total"]["p50"] *= factor
        baseline = tmp_path / "old.json"
        baseline.write_text(json.dumps(old))
        few = ("--rounds", 2, "--cold", 0, "--baseline", baseline, "--fail-if", "p50>+100%")
        done = bench(*asked, *few)
        assert done.exit_code == code, done.output
        assert f"{word}  nano: first.p50>+100%" in done.stdout
    done = bench(*asked, *few, "--threads", 1, "--longest-edge", 256)
    assert done.exit_code == 1
    assert "another one in the baseline: threads, longest_edge" in done.stderr or (
        # A machine of one core.
        "another one in the baseline: longest_edge" in done.stderr
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cropper", "no/such/thing"], "no cropper 'no/such/thing'"),
        (["--fail-if", "p90>+10%"], "--baseline and --fail-if go together"),
        (["--baseline", "x", "--fail-if", "p9>1"], "'p9>1' is no condition"),
        (["--baseline", "x", "--fail-if", "p99>+1%"], "p99 needs at least 100 rounds"),
        (["--baseline", "x", "--fail-if", "p50>+1%"], "can't read the baseline x"),
        (["--concurrency", "1,two"], "must be numbers of threads"),
        (["--image", "x.png"], "--image needs a --question"),
        (["--question", " "], "--question must not be blank"),
        (["--cropper", "nano", "--cropper", "nano"], "nano was given twice"),
        (["--random-weights", "smolvlm"], "'smolvlm' must be one of smolvlm-256m, smolvlm-500m"),
        (["--against", "torch", "-c", "elsewhere"], "--against torch needs --checkpoint"),
        (["--device", "cuda", "--cold", "0"], "device='cuda'"),
    ],
)
def test_what_can_be_wrong(arguments: list[str], message: str) -> None:
    if "--device" in arguments:
        import onnxruntime

        if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            pytest.skip("CUDA is there")
    done = bench(*arguments)
    assert done.exit_code == 1, done.output
    assert message in done.stderr, done.stderr


def test_without_latency_it_says_what_there_is() -> None:
    done = CliRunner().invoke(app, ["bench"])
    assert done.exit_code == 1 and "give --latency" in done.stderr


def test_torch_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    done = bench("--against", "torch")
    assert done.exit_code == 1
    assert "needs torch: pip install 'cropzoom[train]'" in done.stderr


def test_no_version_of_a_picture_is_like_another(page: Path) -> None:
    """Not even where a JPEG is decoded at an eighth of its size."""
    buffer = io.BytesIO()
    Image.new("RGB", (1600, 800), "grey").save(buffer, "JPEG")
    picture = Picture(buffer.getvalue())
    seen = {OpenedImage(picture.fresh()).preview(200).tobytes() for _ in range(40)}
    assert len(seen) == 40
    assert Picture(page).format == "PNG"
    thin = io.BytesIO()
    Image.new("RGB", (15, 800)).save(thin, "PNG")
    with pytest.raises(CropZoomError, match="15x800 px can't be told from its like"):
        Picture(thin.getvalue())


def test_a_fresh_process_that_fails(page: Path) -> None:
    with pytest.raises(CropZoomError, match=r"process for x ended with code 1: .*no cropper"):
        cold(Spec("x", "no/such/thing"), page.read_bytes(), "?")


def test_memory_is_this_processs_own(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmPeak:\t 9 kB\nVmHWM:\t    7 kB\nVmRSS:\t  5 kB\n")
    assert peak_rss(status) == 7 * 1024
