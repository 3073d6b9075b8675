"""`cropzoom train`, from a folder of rows to policies that load, as a shell runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("peft")

from toy_policy import toy_rows
from typer.testing import CliRunner

from cropzoom.cli import app
from cropzoom.data.writing import save_rows
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.pointer_policy import PointerPolicy
from cropzoom.trainer.settings import load_config

runner = CliRunner()

SMALL = {
    "policy.longest_edge": 64,
    "policy.lora_rank": 4,
    "policy.lora_alpha": 8,
    "policy.options.width": 16,
    "data.held_out": 0.25,
    **{f"{method}.{key}": value for method in ("sft", "grpo") for key, value in {
        "dataloader_num_workers": 0, "per_device_train_batch_size": 2, "save_steps": 2,
        "gradient_accumulation_steps": 2, "max_steps": 3, "logging_steps": 1, "use_cpu": True,
    }.items()},
}  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, tiny_idefics3: Path) -> Path:
    """A folder with rows, one of them without its picture, and a tiny model."""
    folder = tmp_path_factory.mktemp("train")
    rows = save_rows(toy_rows(13), folder / "rows")
    first = json.loads(rows.read_text().splitlines()[0])
    (folder / "rows" / first["image"]).unlink()
    shutil.copytree(tiny_idefics3, folder / "tiny")
    return folder


def train(method: str, place: Path, out: str, *more: str, **settings: Any) -> Any:
    """Run the command; return what it printed as JSON, and the exit code."""
    # What an earlier run has is inherited, not said again.
    inherited = "-m" in more and more[more.index("-m") + 1] != str(place / "tiny")
    chosen = {k: v for k, v in SMALL.items() if not (inherited and k.startswith("policy."))}
    pairs = [f"{key}={value}" for key, value in {**chosen, **settings}.items()]
    arguments = ["train", method, str(place / "rows"), str(place / out), "--json", *more]
    for pair in pairs:
        arguments += ["--set", pair]
    done = runner.invoke(app, arguments)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return json.loads(done.stdout), done.exit_code


def test_sft_then_grpo_then_the_same_again(place: Path) -> None:
    tiny = str(place / "tiny")
    first, code = train(
        "sft", place, "sft", "--policy", "pointer", "--preset", "modern", "-m", tiny
    )
    assert code == 0, first
    assert (first["steps"], first["rows"] + first["held_out"]) == (3, 12)
    assert first["skipped"] == {"missing image": 1}
    assert {"eval_iou", "eval_nll", "eval_area"} <= first["metrics"].keys()
    assert "missing image" in (place / "sft" / "skipped.jsonl").read_text()
    policy = load_policy(place / "sft")
    assert isinstance(policy, PointerPolicy) and policy.width == 16

    options = ["-m", str(place / "sft"), "--reward", "likelihood", "--reward-model", tiny]
    second, code = train("grpo", place, "grpo", "--preset", "modern", *options)
    assert code == 0, second
    assert {"eval_reward", "eval_gain_none", "eval_gain_random"} <= second["metrics"].keys()
    assert {"reward/mean", "policy/kl", "groups/dead"} <= second["log"][0].keys()
    saved = load_config(place / "grpo" / "config.yaml")
    # Of the earlier run: kind, rank and heads; the preset has others.
    assert (saved.policy.kind, saved.policy.lora_rank) == ("pointer", 4)
    assert saved.policy.options == {"width": 16}
    assert isinstance(load_policy(place / "grpo"), PointerPolicy)
    assert sorted(path.name for path in (place / "grpo").glob("checkpoint-*")) == [
        "checkpoint-2", "checkpoint-3",
    ]  # fmt: skip

    # Again: nothing is left to do, and the result is the same.
    again, code = train("grpo", place, "grpo", "--preset", "modern", *options)
    assert code == 0 and again["metrics"] == pytest.approx(second["metrics"])
    # From the configuration beside the model, without any flag.
    third = runner.invoke(
        app,
        ["train", "grpo", str(place / "rows"), str(place / "copy"), "--json",
         "--config", str(place / "grpo" / "config.yaml")],
    )  # fmt: skip
    assert json.loads(third.stdout)["metrics"] == pytest.approx(second["metrics"])
    # With another configuration, the folder is not touched.
    changed = {"grpo.num_generations": 5}
    other, code = train("grpo", place, "grpo", "--preset", "modern", *options, **changed)
    assert code == 1
    assert "grpo.num_generations: 8 / 5" in other["error"]["message"]


def test_what_is_wrong_is_one_message(place: Path) -> None:
    tiny = str(place / "tiny")
    cases: list[tuple[list[str], dict[str, Any], str]] = [
        (["-m", tiny], {"grpo.num_generation": 3}, "did you mean 'num_generations'"),
        (["-m", tiny], {"grpo.num_generations": 1}, "a group of one teaches nothing"),
        (["-m", tiny], {"data.held_out": 0.001}, "Set data.held_out to a larger share"),
        (["-m", tiny, "--reward", "lickelihood"], {}, "must be a sum such as"),
        (["-m", tiny, "--column", "imag=x"], {}, "must have the form ROLE=NAME"),
        (["-m", str(place / "nowhere")], {}, "no policy"),
    ]
    for more, settings, message in cases:
        said, code = train("grpo", place, "wrong", "--policy", "pointer", *more, **settings)
        assert code == 1 and message in said["error"]["message"], said
    assert not (place / "wrong").exists()
    said, code = train("sft", place / "none", "wrong", "-m", tiny)
    assert code == 1 and "is no data" in said["error"]["message"]


def test_every_help_has_an_example() -> None:
    for name in ("sft", "grpo"):
        done = runner.invoke(app, ["train", name, "--help"])
        assert done.exit_code == 0 and f"cropzoom train {name}" in done.stdout


def test_it_runs_as_a_module() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cropzoom", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip()


def test_launch_files_are_well_formed() -> None:
    """As far as can be told without GPUs: accelerate reads them, the shell parses them."""
    from accelerate.commands.config.config_args import load_config_from_file

    folder = Path(__file__).parents[2] / "examples" / "train"
    kinds = {
        path.stem: str(load_config_from_file(str(path)).distributed_type)
        for path in folder.glob("*.yaml")
    }
    assert {name: kind.split(".")[-1] for name, kind in kinds.items()} == {
        "ddp": "MULTI_GPU", "fsdp2": "FSDP", "zero3": "DEEPSPEED",
    }  # fmt: skip
    for script in folder.glob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)
        # Commands and options that there are.
        for line in script.read_text().replace("\\\n", " ").splitlines():
            if "cropzoom train" in line and not line.startswith("#"):
                method = line.split("cropzoom train ")[1].split()[0]
                known = runner.invoke(app, ["train", method, "--help"]).stdout
                for word in line.split("cropzoom train ")[1].split():
                    assert not word.startswith("--") or word in known, (script, word)
