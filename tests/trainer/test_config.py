"""Configurations: presets against the paper's figures, files, flags, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("transformers")

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cropzoom.errors import TrainingError
from cropzoom.trainer.config import GrpoConfig, SftConfig
from cropzoom.trainer.recipes import PRESETS
from cropzoom.trainer.settings import differences, load_config, resolve, save_config


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
    assert (sft.learning_rate, sft.batch, sft.accumulation) == (5e-5, 2, 8)
    assert (grpo.learning_rate, grpo.group, grpo.temperature, grpo.beta) == (5e-6, 6, 0.8, 0.01)
    assert (grpo.accumulation, grpo.max_grad_norm, grpo.warmup, grpo.epochs) == (16, 0.1, 0.03, 1)
    assert (grpo.schedule, grpo.variant, grpo.scaling) == ("cosine", "dr_grpo", "none")
    assert resolve() == config


def test_arguments_reach_the_trainer(tmp_path: Path) -> None:
    config = resolve("paper", settings=["grpo.trainer.run_name=x", "grpo.report_to=[tensorboard]"])
    args = config.grpo.arguments(tmp_path, evaluate=True)
    assert args.learning_rate == 5e-6 and args.max_grad_norm == 0.1
    assert args.gradient_accumulation_steps == 16 and args.per_device_train_batch_size == 1
    assert args.lr_scheduler_type == "cosine" and args.get_warmup_steps(1000) == 30
    assert args.num_train_epochs == 1 and args.run_name == "x"
    assert args.report_to == ["tensorboard"] and args.eval_strategy == "steps"
    assert config.sft.arguments(tmp_path, evaluate=False).eval_strategy == "no"
    with pytest.raises(TrainingError, match=r"trainer\.run_nam is not .*'run_name'"):
        SftConfig(trainer={"run_nam": "x"}).arguments(tmp_path, evaluate=False)
    with pytest.raises(TrainingError, match=r"trainer\.learning_rate has a field of its own"):
        SftConfig(trainer={"learning_rate": 1.0}).arguments(tmp_path, evaluate=False)


@pytest.mark.parametrize("preset", sorted(PRESETS))
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
        names = {field.name for field in dataclasses.fields(getattr(config, section.name))}
        assert set(written[section.name]) == names


def test_flags_win_over_file_over_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "preset: modern\ngrpo: {group: 12, temperature: 0.5, clip_high: null}\n"
        "sft: {trainer: {run_name: a, project: p}}\n"
    )
    config = resolve(None, file, ["grpo.group=3", "sft.trainer.run_name=b"], policy__kind="nano")
    modern = resolve("modern")
    assert (config.grpo.group, config.grpo.temperature, config.grpo.clip_high) == (3, 0.5, None)
    assert config.grpo.learning_rate == modern.grpo.learning_rate
    assert config.sft.trainer == {"run_name": "b", "project": "p"}
    assert (config.policy.kind, config.policy.model) == ("nano", "nano")
    # A preset named on the command line wins over the file's.
    paper = resolve("paper", file)
    assert paper.grpo.learning_rate == 5e-6 and paper.grpo.group == 12
    # What is not given is not a flag.
    assert resolve("modern", policy__kind=None) == modern


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("grpo.betta=1", r"grpo\.betta is not a key; did you mean 'beta'"),
        ("gpro.beta=1", r"gpro is not a section; did you mean 'grpo'"),
        ("grpo.zzz=1", r"grpo\.zzz is not a key; there are: accumulation"),
        ("grpo.beta=much", r"grpo\.beta='much' must be of type float"),
        ("grpo.group=2.5", r"grpo\.group=2\.5 must be of type int"),
        ("grpo.group=true", r"grpo\.group=True must be of type int"),
        ("grpo.kl=k2", r"grpo\.kl='k2' must be one of 'k3', 'exact'"),
        ("grpo.group=1", "a group of one teaches nothing"),
        ("grpo.temperature=0", "temperature=0.0 must be above 0"),
        ("sft.learning_rate=-1", "learning_rate=-1.0 .* must be above 0"),
        ("sft.batch=0", "batch=0 must be at least 1"),
        ("sft.warmup=1", r"warmup=1\.0 must be from 0 to below 1"),
        ("data.held_out=1", r"data\.held_out=1\.0 must be"),
        ("data.columns=[a]", r"data\.columns=\['a'\] must be of type dict"),
        ("policy.model=3", r"policy\.model=3 must be of type str"),
        ("policy=3", "must have the form section.key=value"),
        ("policy.kind", "must have the form section.key=value"),
        ("sft.trainer={", "the value is no YAML"),
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
    assert isinstance(first.grpo, GrpoConfig)
