"""Checkpoints of policies: whole, as adapters, merged; and folders that are not to be trusted."""

import json
import pickle
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
# ruff: noqa: E402

from policy_rows import ROWS, uniform
from torch import Tensor
from transformers import AutoModelForImageTextToText

from cropzoom.errors import CropperError, OptionsError
from cropzoom.trainer.policies import load_policy
from cropzoom.trainer.policies.checkpoints import LoraOptions
from cropzoom.trainer.policies.pointer_policy import PointerPolicy
from cropzoom.trainer.policies.text_policy import TextPolicy
from cropzoom.trainer.policies.vlm_policy import VlmPolicy

LORA = {"r": 4, "alpha": 8, "dropout": 0.5}


def logp(policy: VlmPolicy) -> Tensor:
    """Log-probabilities that tell one policy from another: of samples at fixed noise."""
    batch = policy.collate(ROWS[:2])
    return policy.sample(batch, uniform(2, 2, policy.noise_length)).logp.sum(-1)


def adapted(folder: Path, kind: str = "text", **options: object) -> VlmPolicy:
    """A policy with an adapter that does something: fresh ones have a B of zeros."""
    torch.manual_seed(0)
    policy = load_policy(folder, kind, lora=LORA, **options)
    assert isinstance(policy, VlmPolicy)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return policy


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_whole_weights_survive(tiny_idefics3: Path, tmp_path: Path) -> None:
    policy = load_policy(
        tiny_idefics3, "text", capitalize=True, constrained=False, prompt="Find: {question}"
    )
    with torch.no_grad():
        policy.model.lm_head.weight.mul_(0.5)
    policy.save_pretrained(tmp_path)
    again = load_policy(tmp_path)
    assert isinstance(again, TextPolicy)
    assert (again.capitalize, again.constrained, again.prompt) == (True, False, "Find: {question}")
    assert torch.equal(logp(again), logp(policy))
    plain = AutoModelForImageTextToText.from_pretrained(tmp_path)
    assert torch.equal(plain.lm_head.weight, policy.model.lm_head.weight)


def test_images_can_be_larger_or_whole(tiny_idefics3: Path, tmp_path: Path) -> None:
    policy = load_policy(tiny_idefics3, "pointer", longest_edge=96)
    assert policy.collate(ROWS[:1])["grid"].tolist() == [[4, 6]]
    policy.save_pretrained(tmp_path)
    assert load_policy(tmp_path).collate(ROWS[:1])["grid"].tolist() == [[4, 6]]


def test_a_pointers_heads_survive(tiny_idefics3: Path, tmp_path: Path) -> None:
    policy = load_policy(
        tiny_idefics3, "pointer", subcells=2, width=32, reach=(0.02, 0.9, 9), quantile=0.7
    )
    policy.save_pretrained(tmp_path)
    again = load_policy(tmp_path)
    assert isinstance(again, PointerPolicy)
    assert (again.subcells, again.width, again.quantile) == (2, 32, 0.7)
    assert tuple(again.reach) == (0.02, 0.9, 9) and torch.equal(logp(again), logp(policy))
    # The backbone alone becomes a writer, and back.
    writer = load_policy(tmp_path, "text")
    assert torch.equal(logp(writer), logp(load_policy(tiny_idefics3, "text")))
    with pytest.raises(CropperError, match="doesn't fit the options"):
        load_policy(tmp_path, width=16)


@pytest.mark.parametrize("kind", ["text", "pointer"])
def test_adapters_survive_alone_and_merged(kind: str, tiny_idefics3: Path, tmp_path: Path) -> None:
    policy = adapted(tiny_idefics3, kind)
    policy.save_pretrained(tmp_path / "merged", merged=True)
    policy.save_pretrained(tmp_path / "adapter")
    names = {path.name for path in (tmp_path / "adapter").iterdir()}
    assert "adapter_model.safetensors" in names and "model.safetensors" not in names
    again, merged = load_policy(tmp_path / "adapter"), load_policy(tmp_path / "merged")
    assert torch.equal(logp(again), logp(policy))
    assert torch.allclose(logp(merged), logp(policy), atol=1e-3)
    assert not any("lora" in name for name, _ in merged.named_parameters())
    # It is trained on, and nothing else of the backbone is.
    trained = [n for n, p in again.named_parameters() if p.requires_grad and n.startswith("model")]
    assert trained and all("lora_" in name for name in trained)
    assert again.model.peft_config["default"].lora_dropout == 0.5
    # Saving whole weights over an adapter leaves no adapter that would be found first.
    merged.save_pretrained(tmp_path / "adapter")
    assert not list((tmp_path / "adapter").glob("adapter_*"))
    assert torch.equal(logp(load_policy(tmp_path / "adapter")), logp(merged))


def test_a_fresh_adapter_changes_nothing_and_has_the_papers_sizes(tiny_idefics3: Path) -> None:
    policy = load_policy(tiny_idefics3, "text", lora=LoraOptions())
    config = policy.model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (128, 256, 0.05)
    assert torch.allclose(logp(policy), logp(load_policy(tiny_idefics3, "text")), atol=1e-5)
    names = [name for name, _ in policy.named_parameters() if "lora_A" in name]
    wearing = {name.split(".lora_A")[0].split(".")[-1] for name in names}
    assert wearing == {*LoraOptions().targets}


def test_an_adapter_of_pefts_own_is_found_by_its_name(tiny_idefics3: Path, tmp_path: Path) -> None:
    base = AutoModelForImageTextToText.from_pretrained(tiny_idefics3)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False)
    torch.manual_seed(3)
    model = peft.get_peft_model(base, config, adapter_name="roi")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "roi" / "adapter_config.json").is_file()
    policy = load_policy(tmp_path, "text")
    plain = load_policy(tiny_idefics3, "text")
    merged = TextPolicy(model.merge_and_unload().eval(), plain.processor)
    assert torch.allclose(logp(policy), logp(merged), atol=1e-3)
    assert not torch.allclose(logp(policy), logp(plain), atol=1e-3)
    # Elsewhere, the base has another path.
    edit(tmp_path / "roi" / "adapter_config.json", base_model_name_or_path="/nowhere/base")
    with pytest.raises(CropperError, match="/nowhere/base"):
        load_policy(tmp_path, "text")
    assert torch.equal(logp(load_policy(tmp_path, "text", base=tiny_idefics3)), logp(policy))
    shutil.copytree(tmp_path / "roi", tmp_path / "other")
    with pytest.raises(CropperError, match="several adapters"):
        load_policy(tmp_path, "text")


def test_dropout_is_for_scores_in_training_mode(tiny_idefics3: Path) -> None:
    policy = adapted(tiny_idefics3)
    batch = policy.collate(ROWS[:2])
    noise = uniform(2, 2, policy.noise_length)
    actions = policy.sample(batch, noise).actions
    settled = policy.score(batch, actions).logp
    policy.train()
    assert torch.equal(policy.sample(batch, noise).actions, actions)
    assert not torch.allclose(policy.score(batch, actions).logp, settled)
    assert torch.allclose(policy.eval().score(batch, actions).logp, settled)


def test_adapters_that_dont_fit_are_refused(tiny_idefics3: Path, tmp_path: Path) -> None:
    adapted(tiny_idefics3).save_pretrained(tmp_path)
    config, weights = tmp_path / "adapter_config.json", tmp_path / "adapter_model.safetensors"
    right = config.read_text()
    with pytest.raises(OptionsError, match="r=4, alpha=8"):
        load_policy(tmp_path, lora={"r": 8, "alpha": 8})
    assert load_policy(tmp_path, lora=LORA)
    with pytest.raises(OptionsError, match="rank"):
        load_policy(tmp_path, lora={"rank": 8})
    for changes in ({"peft_type": "IA3"}, {"r": 3}, {"target_modules": ["nothing"]}):
        edit(config, **changes)
        with pytest.raises(CropperError):
            load_policy(tmp_path)
        config.write_text(right)
    # Names of modules to import are not followed.
    edit(config, megatron_core="antigravity", megatron_config={"a": 1}, init_lora_weights="pissa")
    assert load_policy(tmp_path)
    config.write_text(right)
    weights.unlink()
    (tmp_path / "adapter_model.bin").write_bytes(pickle.dumps({}))
    with pytest.raises(CropperError, match="can't read the weights"):
        load_policy(tmp_path)


def test_checkpoints_that_are_incomplete_or_others_are_refused(
    tiny_idefics3: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(CropperError, match="no policy 'nowhere'"):
        load_policy("nowhere", "text")
    folder = Path(shutil.copytree(tiny_idefics3, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "q_proj" in name)
    save_file(
        {k: v for k, v in weights.items() if k != name},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    with pytest.raises(CropperError, match="incomplete"):
        load_policy(folder, "text")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(weights))
    with pytest.raises(CropperError, match="can't load"):
        load_policy(folder, "text")
    edit(folder / "config.json", model_type="llama")
    with pytest.raises(CropperError, match="llama"):
        load_policy(folder, "text")
    edit(
        folder / "config.json",
        model_type="unheard-of",
        auto_map={"AutoConfig": "evil.EvilConfig"},
    )
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(CropperError, match="can't load"):
        load_policy(folder, "text")


def test_smolvlm_is_loaded_too(tiny_idefics3: Path, tmp_path: Path) -> None:
    """The class of SmolVLM 2; its own processor needs packages that are not installed here."""
    folder = Path(shutil.copytree(tiny_idefics3, tmp_path / "smolvlm"))
    config = json.loads((folder / "config.json").read_text())
    vision = config["vision_config"] | {"model_type": "smolvlm_vision"}
    edit(
        folder / "config.json",
        model_type="smolvlm",
        architectures=["SmolVLMForConditionalGeneration"],
        vision_config=vision,
    )
    for kind in ("text", "pointer"):
        torch.manual_seed(0)
        policy = load_policy(folder, kind)
        assert type(policy.model).__name__ == "SmolVLMForConditionalGeneration"
        torch.manual_seed(0)
        assert torch.allclose(logp(policy), logp(load_policy(tiny_idefics3, kind)), atol=1e-4)


def test_a_failed_save_leaves_the_old_policy(
    tiny_idefics3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(tiny_idefics3, "pointer")
    policy.save_pretrained(tmp_path / "p")
    before = {p.name: p.read_bytes() for p in (tmp_path / "p").iterdir()}

    def full_disk(folder: Path) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(policy, "_save_more", full_disk)
    with pytest.raises(OSError, match="no space"):
        policy.save_pretrained(tmp_path / "p")
    assert {p.name: p.read_bytes() for p in (tmp_path / "p").iterdir()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["p"]


def test_a_save_that_is_cut_short_is_not_taken_for_whole(
    tiny_idefics3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = load_policy(tiny_idefics3, "pointer")
    policy.save_pretrained(tmp_path)
    replace, moved = Path.replace, []

    def cut_short(path: Path, target: Path) -> Path:
        if len(moved) == 2:
            raise KeyboardInterrupt
        moved.append(path)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", cut_short)
    with pytest.raises(KeyboardInterrupt):
        policy.save_pretrained(tmp_path)
    monkeypatch.undo()
    with pytest.raises(OptionsError, match="doesn't say what kind"):
        load_policy(tmp_path)
