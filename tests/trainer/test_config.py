"""Configurations: presets against the paper's figures, files, flags, and what is refused."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cropzoom.errors import TrainingError
from cropzoom.trainer import settings as settings_module
from cropzoom.trainer.config import GrpoConfig, own_defaults
from cropzoom.trainer.settings import RECIPES, differences, load_config, resolve, save_config


def test_paper_is_the_paper() -> None:
    """Every figure of the digest in DESIGN section 5."""
    config = resolve("paper")
    policy, sft, grpo = config.policy, config.sft, config.grpo
    assert policy.kind == "text" and policy.model.endswith("SmolVLM-256M-Instruct")
    assert (policy.lora_rank, policy.lora_alpha, policy.lora_dropout) == (128, 256, 0.05)
    assert policy.prompt == (
        "{question}\nOutline the region in the image that would help answer this question."
    )
    assert policy.longest_edge == 2048
    assert sft["learning_rate"] == 5e-5 and grpo["learning_rate"] == 5e-6
    assert sft["per_device_train_batch_size"] == 2 and sft["gradient_accumulation_steps"] == 8
    assert grpo["gradient_accumulation_steps"] == 16 and grpo["max_grad_norm"] == 0.1
    assert (grpo["num_generations"], grpo["temperature"], grpo["beta"]) == (6, 0.8, 0.01)
    assert (grpo["warmup_steps"], grpo["num_train_epochs"]) == (0.03, 1)
    assert (grpo["loss_type"], grpo["scale_rewards"]) == ("dr_grpo", "none")
    assert grpo["lr_scheduler_type"] == "cosine"
    assert resolve() == config


def test_arguments_reach_the_trainer(tmp_path: Path) -> None:
    config = resolve("paper", settings=["grpo.run_name=x", "grpo.report_to=[tensorboard]"])
    args = config.arguments("grpo", tmp_path, evaluate=True)
    assert isinstance(args, GrpoConfig) and args.output_dir == str(tmp_path)
    assert args.learning_rate == 5e-6 and args.max_grad_norm == 0.1
    assert args.gradient_accumulation_steps == 16 and args.per_device_train_batch_size == 1
    assert args.per_device_eval_batch_size == 1
    assert args.lr_scheduler_type == "cosine" and args.get_warmup_steps(1000) == 30
    assert args.num_train_epochs == 1 and args.run_name == "x"
    assert args.report_to == ["tensorboard"] and args.eval_strategy == "steps"
    assert config.arguments("sft", tmp_path, evaluate=False).eval_strategy == "no"
    clash = resolve(settings=["sft.load_best_model_at_end=true", "sft.save_steps=7"])
    with pytest.raises(TrainingError, match=r"sft: .*load_best_model_at_end"):
        clash.arguments("sft", tmp_path, evaluate=True)


@pytest.mark.parametrize(("old", "new"), settings_module._RENAMED.items())
def test_old_names_are_refused_with_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"grpo: {{{old}: 1}}")
    with pytest.raises(TrainingError, match=rf"grpo\.{old} is now {re.escape(new)}"):
        resolve(file=file)
    # What is named as new is a key.
    assert new.split()[0] in {**own_defaults(GrpoConfig), "no": 0} or hasattr(GrpoConfig, new)


@pytest.mark.parametrize("preset", sorted(RECIPES))
def test_a_saved_configuration_gives_the_same_run(preset: str, tmp_path: Path) -> None:
    config = resolve(
        preset,
        settings=["grpo.learning_rate=1e-05", "data.columns.question=q", "sft.max_steps=7"],
        policy__kind="pointer",
        data__source="some/where",
    )
    path = save_config(config, tmp_path / "new")
    assert path.name == "config.yaml" and load_config(path) == config
    assert [file.name for file in path.parent.iterdir()] == ["config.yaml"]
    # All of it is written: a later change of a preset changes nothing.
    written = yaml.safe_load(path.read_text())
    for section in dataclasses.fields(config):
        values = getattr(config, section.name)
        names = values if isinstance(values, dict) else vars(values)
        assert set(written[section.name]) == set(names)
    assert set(written["grpo"]) >= set(own_defaults(GrpoConfig))


def test_flags_win_over_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "preset: modern\ngrpo: {num_generations: 12, temperature: 0.5, epsilon_high: null}\n"
        "sft: {run_name: a, project: p}\n"
    )
    config = resolve(None, file, ["grpo.num_generations=3", "sft.run_name=b"], policy__kind="nano")
    modern = resolve("modern")
    grpo = config.grpo
    assert (grpo["num_generations"], grpo["temperature"], grpo["epsilon_high"]) == (3, 0.5, None)
    assert grpo["learning_rate"] == modern.grpo["learning_rate"]
    assert (config.sft["run_name"], config.sft["project"]) == ("b", "p")
    assert (config.policy.kind, config.policy.model) == ("nano", "nano")
    # A preset named on the command line wins over the file's.
    paper = resolve("paper", file)
    assert paper.grpo["learning_rate"] == 5e-6 and paper.grpo["num_generations"] == 12
    # What is not given is not a flag.
    assert resolve("modern", policy__kind=None) == modern


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("grpo.betta=1", r"grpo\.betta is not a key; did you mean 'beta'"),
        ("gpro.beta=1", r"gpro is not a section; did you mean 'grpo'"),
        ("grpo.zzz=1", r"grpo\.zzz is not a key; there are: accelerator_config"),
        ("grpo.beta=much", r"grpo\.beta='much' is refused: .*valid number"),
        ("grpo.num_generations=2.5", r"grpo\.num_generations=2\.5 is refused: .*valid integer"),
        ("grpo.num_generations=true", r"grpo\.num_generations=True is refused"),
        ("grpo.kl=k2", r"grpo\.kl='k2' is refused: .*'k3' or 'exact'"),
        ("grpo.num_generations=1", "a group of one teaches nothing"),
        ("grpo.temperature=0", "temperature=0.0 must be above 0"),
        ("sft.learning_rate=-1", "learning_rate=-1.0 must be above 0"),
        ("sft.per_device_train_batch_size=0", "batch_size=0 must be at least 1"),
        ("sft.fsdp=3", r"sft\.fsdp=3 is refused"),
        ("data.held_out=1", r"data\.held_out=1\.0 must be"),
        ("data.columns=[a]", r"data\.columns=\['a'\] is refused: .*dictionary"),
        ("policy.model=3", r"policy\.model=3 is refused: .*valid string"),
        ("policy=3", "must have the form section.key=value"),
        ("policy.kind", "must have the form section.key=value"),
        ("sft.fsdp_config={", "the value is no YAML"),
    ],
)
def test_what_is_wrong_is_named(setting: str, message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        resolve(settings=[setting])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a", "must hold sections"),
        ("a: [", "can't read the configuration"),
        ("sft: 3", "sft must hold keys and values"),
        ("preset: tomorrow", "preset 'tomorrow' is not a preset"),
        ("sft: {1: 2}", r"sft\.1 is not a key"),
        ("!!python/object/apply:os.system [echo]", "can't read the configuration"),
    ],
)
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(content)
    with pytest.raises(TrainingError, match=message):
        resolve(file=file)
    with pytest.raises(TrainingError, match="can't read the configuration"):
        resolve(file=tmp_path / "none.yaml")


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_setting_is_taken_or_refused_in_words(key: str, value: str) -> None:
    try:
        resolve(settings=[f"grpo.{key}={value}"])
    except TrainingError as error:
        assert str(error)


def test_differences_name_the_keys() -> None:
    first, second = resolve("paper"), resolve("paper", settings=["grpo.beta=0.5"])
    assert differences(first, first) == []
    assert differences(first, second) == ["grpo.beta: 0.01 / 0.5"]


def test_nano_is_trained_on_gently_with_every_preset(tmp_path: Path) -> None:
    for preset in RECIPES:
        nano = resolve(preset, policy__kind="nano")
        assert nano.sft["learning_rate"] == 3e-5 and nano.sft["num_train_epochs"] == 2
        assert nano.grpo == resolve(preset).grpo
    file = tmp_path / "mine.yaml"
    file.write_text("policy: {kind: nano}\nsft: {learning_rate: 3e-4}\n")
    assert resolve(None, file).sft["learning_rate"] == 3e-4
    assert resolve(None, file, ["sft.learning_rate=5e-4"]).sft["learning_rate"] == 5e-4
    assert load_config(save_config(resolve(None, file), tmp_path / "run")) == resolve(None, file)
