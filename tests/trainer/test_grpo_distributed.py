"""Two processes over gloo do what one does with the doubled batch; killed runs go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import torch
from safetensors.torch import load_file
from toy_policy import TargetIou, toy_rows
from toy_runs import SCENARIOS, by_row, grpo, weights

from cropzoom.trainer.policy_trainer import last_checkpoint

SCRIPT = Path(__file__).parents[1] / "toy_runs.py"
# Threads that spin while they wait would starve the other process on two cores.
QUIET = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "LOGLEVEL": "ERROR"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Now and then a thread of torch's process group aborts its process: no fault of what is tested.
    for _ in range(3):
        folder = tmp_path_factory.mktemp("two")
        command = [*TORCHRUN, str(SCRIPT), "distributed", str(folder)]
        done = subprocess.run(command, env=QUIET, capture_output=True, text=True, timeout=300)
        if "terminate called without an active exception" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", SCENARIOS)
def test_two_processes_are_one_with_the_doubled_batch(
    two_processes: Path, tmp_path: Path, name: str
) -> None:
    reward = TargetIou()
    alone = grpo(
        tmp_path, reward, per_device_train_batch_size=2, baseline_steps=0, **SCENARIOS[name]
    )
    alone.train()
    drawn = by_row(reward)
    halves = [load_file(two_processes / f"{name}-boxes-{rank}.safetensors") for rank in (0, 1)]
    together = {**halves[0], **halves[1]}
    rows = {key.split("/")[0] for key in drawn}
    assert rows == {key.split("/")[0] for key in together} and len(rows) == 10
    # A row may have been with one process in one epoch and with the other in the next.
    for row in rows:
        ours = torch.stack([boxes for key, boxes in drawn.items() if key.startswith(f"{row}/")])
        theirs = torch.stack(
            [boxes for half in halves for key, boxes in half.items() if key.startswith(f"{row}/")]
        )
        order = [boxes.flatten().tolist() for boxes in ours]
        assert sorted(order) == sorted(boxes.flatten().tolist() for boxes in theirs)
    for rank in (0, 1):
        for key, value in load_file(two_processes / f"{name}-weights-{rank}.safetensors").items():
            torch.testing.assert_close(value, weights(alone)[key], rtol=0, atol=1e-5)
    # Not by standing still.
    moved = max(
        float((v - w).abs().max())
        for v, w in zip(weights(alone).values(), weights(grpo(tmp_path)).values(), strict=True)
    )
    assert moved > 0.1
    told = json.loads((two_processes / f"{name}.json").read_text())
    ours = [entry for entry in alone.state.log_history if "loss" in entry]
    theirs = [entry for entry in told["log"] if "loss" in entry]
    assert len(ours) == len(theirs) > 5
    for mine, other in zip(ours, theirs, strict=True):
        for key in set(mine) - {"grad_norm", "learning_rate"}:
            assert mine[key] == pytest.approx(other[key], abs=1e-5), key
    # Seven rows over two processes: the one that fills up the last batch is not counted twice.
    for key, value in alone.evaluate(toy_rows(7)).items():
        assert told["eval"][key] == pytest.approx(value, abs=1e-5), key


def test_a_killed_run_goes_on_to_the_same_end(tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    command = [sys.executable, str(SCRIPT), "killed", str(folder)]
    process = subprocess.Popen(command, env=QUIET, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while last_checkpoint(folder) is None and time.monotonic() < deadline:
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    options = {"num_iterations": 2, "num_train_epochs": 20.0}
    whole = grpo(tmp_path / "whole", **options)
    whole.train()
    checkpoint = last_checkpoint(folder)
    assert checkpoint is not None
    done = int(checkpoint.name.split("-")[1])
    assert 0 < done < whole.state.global_step
    resumed = grpo(folder, **options)
    resumed.train(resume_from_checkpoint=str(checkpoint))
    assert resumed.state.global_step == whole.state.global_step
    for key, value in weights(resumed).items():
        assert torch.equal(value, weights(whole)[key]), key


def test_sharded_weights_train_and_resume_like_whole_ones(
    two_processes: Path, tmp_path: Path
) -> None:
    """FSDP2 on two processes: rollouts, loss, the policy's own files, a resume."""
    alone = grpo(tmp_path, per_device_train_batch_size=2, baseline_steps=0)
    alone.train()
    for name in ("model", "resumed"):
        saved = load_file(two_processes / "sharded" / name / "policy.safetensors")
        for key, value in weights(alone).items():
            torch.testing.assert_close(saved[key], value, rtol=0, atol=1e-5)
