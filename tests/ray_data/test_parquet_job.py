"""Jobs on two workers of the real Ray: parquet in, parquet out, killed and gone on with."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ray")

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from fixed_croppers import FixedCropper, noise

from cropzoom import OptionsError
from cropzoom.cropper.folder import find_folder
from cropzoom.errors import DataError
from cropzoom.images import encode_picture
from cropzoom.ray import Counts, Cropper, crop_parquet
from cropzoom.ray.parquet_job import _model
from cropzoom.samples import load_samples

TESTS = Path(__file__).parents[1]
PICTURE = encode_picture(noise(1), photographic=False).data
ROWS = 40


class SlowCropper(FixedCropper):
    """A tenth of a second a page."""

    def predict(self, image: Any, question: str, k: int = 1) -> Any:
        time.sleep(0.1)
        return super().predict(image, question, k)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two workers, which find the croppers of the tests."""
    # Else its workers give way to everything else on a busy machine.
    os.environ.setdefault("RAY_worker_niceness", "0")
    path = os.pathsep.join([str(TESTS), str(Path(__file__).parent), str(TESTS.parent)])
    runtime = {"env_vars": {"PYTHONPATH": path}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=runtime)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two files of 20 rows, in groups of 8; every tenth picture is broken."""
    folder = tmp_path / "pages"
    folder.mkdir()
    for start in (0, 20):
        numbers = list(range(start, start + 20))
        rows = {
            "id": [f"page {number}" for number in numbers],
            "image": [b"junk" if number % 10 == 3 else PICTURE for number in numbers],
            "question": [f"What is on page {number}?" for number in numbers],
        }
        pq.write_table(pa.table(rows), folder / f"{start}.parquet", row_group_size=8)
    return folder


def check(target: Path) -> Any:
    """Every row is there once, and as it should be."""
    rows = pq.read_table(target).sort_by("id").to_pylist()
    assert sorted(row["id"] for row in rows) == sorted(f"page {n}" for n in range(ROWS))
    for row in rows:
        broken = int(row["id"].split()[1]) % 10 == 3
        assert row["crop_reason"] == ("broken_image" if broken else None)
        assert row["crop_pixels"] == ([] if broken else [[24, 20, 48, 50]])
    assert not (target / ".unfinished").exists()
    return rows


def test_a_job_on_two_workers(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "crops"
    how: dict[str, Any] = {"cropper": FixedCropper(), "workers": 2, "keep": []}
    counts = crop_parquet(source, target, rows_per_part=6, **how)
    assert counts == Counts(ROWS, 0, 36, {"broken_image": 4})
    assert list(check(target)[0])[:2] == ["id", "crop_boxes"]
    # Groups of 8, 8 and 4 rows: six and the rest.
    assert len(list(target.glob("part-*"))) == 2 * 5
    # What is there is not done again, nor mixed with what other settings give.
    assert crop_parquet(source, target, **how) == Counts(ROWS, ROWS, 0, {})
    with pytest.raises(DataError, match="other settings"):
        crop_parquet(source, target, **how, pictures=True)
    # Rows that are new are added; parts that were lost are made again.
    next(target.glob("part-*")).unlink()
    assert 34 <= crop_parquet(source, target, **how).before < ROWS
    check(target)
    (source / "0.parquet").unlink()
    with pytest.raises(DataError, match="rows that the source has not"):
        crop_parquet(source, target, **how)


def test_a_killed_run_goes_on(source: Path, tmp_path: Path) -> None:
    target, script = tmp_path / "crops", tmp_path / "job.py"
    script.write_text(
        "import sys, ray; from test_parquet_job import SlowCropper; from cropzoom.ray import *\n"
        "ray.init(num_cpus=2, include_dashboard=False)\n"
        "crop_parquet(*sys.argv[1:], cropper=SlowCropper(), workers=2, rows_per_part=2, keep=[])\n"
    )
    path = os.pathsep.join([str(TESTS), str(Path(__file__).parent), str(TESTS.parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    environment.pop("RAY_ADDRESS", None)
    driver = subprocess.Popen(
        [sys.executable, str(script), str(source), str(target)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until = time.monotonic() + 120
        while not len(list(target.glob("part-*"))) >= 4 and time.monotonic() < until:
            assert driver.poll() is None, "it ended before it was killed"
            time.sleep(0.02)
    finally:
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    half = sum(pq.read_metadata(part).num_rows for part in target.glob("part-*"))
    assert 0 < half < ROWS
    counts = crop_parquet(
        source, target, cropper=SlowCropper(), workers=2, rows_per_part=5, keep=[]
    )
    assert counts.rows == ROWS and counts.before >= half
    check(target)


def test_map_batches_with_nano() -> None:
    """The class itself, with the bundled model, in both formats."""
    rows = [
        {
            "image": {"bytes": sample.path.read_bytes(), "path": None},
            "question": sample.questions[0].question,
        }
        for sample in load_samples()[:2]
    ]
    formats = {}
    for form in ("pyarrow", "numpy"):
        zoomed = ray.data.from_items(rows, override_num_blocks=2).map_batches(
            Cropper,
            batch_format=form,
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=1),
            num_cpus=1,
        )
        taken = sorted(zoomed.take_all(), key=lambda row: row["question"])
        formats[form] = [(row["crop_pixels"], row["crop_reason"]) for row in taken]
    assert repr(formats["pyarrow"]) == repr(formats["numpy"])
    assert all(reason is None and len(pixels) == 1 for pixels, reason in formats["numpy"])


def test_mistakes_are_told_before_the_job(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "crops"
    with pytest.raises(OptionsError, match="no column 'name'"):
        crop_parquet(source, target, key="name")
    with pytest.raises(DataError, match="comes again"):
        crop_parquet(source, target, key="image")
    with pytest.raises(DataError, match="can't read"):
        crop_parquet(tmp_path / "none", target)
    with pytest.raises(OptionsError, match="rows_per_part"):
        crop_parquet(source, target, rows_per_part=0)


def test_a_model_is_known_by_what_it_is_and_not_by_where_it_lies(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(find_folder("nano").path, copy)
    assert _model("nano") == _model(copy) == _model(str(copy))
    manifest = copy / "cropper.json"
    manifest.write_text(manifest.read_text().replace('"version": "', '"version": "9'))
    assert _model(copy) != _model("nano")
    assert _model(FixedCropper()) == "FixedCropper"
