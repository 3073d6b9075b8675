"""One cropper and many processes: forked, spawned, left by sys.exit; what the runtime leaves."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from fixed_croppers import noise

from cropzoom import CropperError, CropZoom, load_cropper
from cropzoom.cropper import default_cropper
from cropzoom.cropper.nano.nano_cropper import NanoCropper

pytest.importorskip("onnxruntime")

PAGE = noise(3, (96, 96))
forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")

FORK = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from PIL import Image
from cropzoom import load_cropper
cropper = load_cropper("nano", longest_edge=128)
page = Image.new("RGB", (128, 96), "white")
cropper.predict(page, "total")
busy = True
def work():
    while busy:
        cropper.predict(page, "total")
threads = [threading.Thread(target=work) for _ in range(WORKERS)]
for thread in threads:
    thread.start()
for _ in range(FORKS):
    child = os.fork()
    if child == 0:
        assert cropper.predict(page, "total") is not None
        sys.exit(3)
    end = time.monotonic() + 20
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > end:
            os.kill(child, 9)
            os._exit(7)
        time.sleep(0.01)
    if os.waitstatus_to_exitcode(status) != 3:
        os._exit(8)
busy = False
"""


@forking
@pytest.mark.parametrize(("workers", "forks"), [(0, 1), (2, 4)])
def test_a_forked_child_predicts_and_leaves(workers: int, forks: int) -> None:
    code = FORK.replace("WORKERS", str(workers)).replace("FORKS", str(forks))
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0


def test_a_cropper_pickles_as_its_name_and_settings(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from hand_made_cropper import write_cropper

    cropper = load_cropper("nano", threads=1, longest_edge=128)
    data = pickle.dumps(cropper)
    assert len(data) < 500
    again = pickle.loads(data)
    assert isinstance(again, NanoCropper) and again is not cropper
    assert again.longest_edge == 128
    assert again.predict(PAGE, "total") == cropper.predict(PAGE, "total")
    folder = pickle.loads(pickle.dumps(load_cropper(write_cropper(tmp_path), second_look=512)))
    assert (folder.manifest.name, folder.longest_edge) == ("darkest", 512)
    cropper.close()
    with pytest.raises(CropperError, match="closed"):
        pickle.dumps(cropper)


def test_a_folder_named_from_here_is_found_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx")
    from hand_made_cropper import write_cropper

    write_cropper(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(load_cropper("mine"))
    monkeypatch.chdir("/")
    assert pickle.loads(data).manifest.name == "darkest"


def test_clients_share_the_bundled_cropper() -> None:
    openai = pytest.importorskip("openai")
    clients = [CropZoom(openai.OpenAI(api_key="none")) for _ in range(2)]
    croppers = [client.cropzoom.zoom.cropper for client in clients]
    assert croppers[0] is croppers[1] is default_cropper()
    # Somebody may close it all the same.
    default_cropper().close()
    assert default_cropper().predict(PAGE, "total") is not None
    found: list[object] = []
    default_cropper().close()
    threads = [threading.Thread(target=lambda: found.append(default_cropper())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1


def test_the_runtime_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    hidden = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    code = (
        "from PIL import Image; import cropzoom, time; cropper = cropzoom.load_cropper('nano');"
        "cropper.predict(Image.new('RGB', (96, 96)), 'total'); time.sleep(1)"
    )
    environment = {**kept, "HOME": str(tmp_path), "USERPROFILE": str(tmp_path)}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
