"""Idefics3 and SmolVLM checkpoints for policies: loaded with or without LoRA, and saved.

LoRA (Hu et al. 2022) by peft, with the paper's sizes as defaults. An adapter's own configuration
is read field by field: fields that name code or files are not followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cropzoom.errors import CropperError, MissingDependencyError, OptionsError

from .policy_folders import find_source, load_tensors, read_json, read_policy_file

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel, ProcessorMixin

MODEL_TYPES = ("idefics3", "smolvlm")
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
# All that says what an adapter computes; not where other files or modules lie.
_ADAPTER_FIELDS = (
    "r",
    "lora_alpha",
    "lora_dropout",
    "target_modules",
    "exclude_modules",
    "bias",
    "fan_in_fan_out",
    "use_rslora",
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "layers_to_transform",
    "layers_pattern",
)


@dataclass(frozen=True)
class LoraOptions:
    """Which low-rank adapter to train instead of the weights; the defaults are the paper's.

    Args:
        r: rank.
        alpha: the update is scaled by alpha / r.
        dropout: on the adapter's input, in training mode.
        targets: names of the linear layers. These are all of the language model's, and the
            queries, keys and values of the vision encoder.
    """

    r: int = 128
    alpha: int = 256
    dropout: float = 0.05
    targets: tuple[str, ...] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, its processor, and the folder of what it was made from."""

    model: PreTrainedModel | PeftModel
    processor: ProcessorMixin
    folder: Path
    options: Mapping[str, Any]


def load_checkpoint(
    source: str | Path,
    *,
    lora: LoraOptions | Mapping[str, Any] | None = None,
    base: str | Path | None = None,
    dtype: str = "float32",
    longest_edge: int | None = None,
    image_splitting: bool | None = None,
) -> Loaded:
    """Load an Idefics3 or SmolVLM: full weights, or an adapter on its base.

    Args:
        source: a folder or a name on the hub: a transformers checkpoint, a peft adapter (also in
            the one subfolder of its name, as peft saves adapters that have one), or what a
            policy's `save_pretrained` wrote.
        lora: train a new adapter; None to train the weights. Where the source is an adapter, that
            one is trained on, and `lora` must agree with it or be None.
        base: the checkpoint under an adapter, instead of the one it names.
        dtype: of the weights, such as "float32" or "bfloat16".
        longest_edge: px that images are resized to, instead of the processor's; the paper has
            512, 1024 and 2048.
        image_splitting: whether larger images are cut into tiles; None: as the processor says.

    Raises:
        CropperError: the source is missing, broken, or another kind of model.
        MissingDependencyError: an adapter is wanted and peft is not installed.
        OptionsError: `lora` is malformed or disagrees with the source's adapter.
    """
    from transformers import AutoConfig, AutoModelForImageTextToText

    folder = find_source(source)
    policy_file = read_policy_file(folder)
    if isinstance(lora, Mapping):
        lora = _lora_options(lora)
    adapter = find_adapter(folder)
    named = (
        source
        if adapter is None
        else base or _base_of(adapter, policy_file.base if policy_file else None)
    )
    root = find_source(named)
    where = {"trust_remote_code": False, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(root, **where)
        if config.model_type not in MODEL_TYPES:
            raise CropperError(
                f"{root} is a {config.model_type}; these policies are made of "
                f"{' or '.join(MODEL_TYPES)}"
            )
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            root, dtype=dtype, use_safetensors=True, output_loading_info=True, **where
        )
        model, report = loaded
        own = (folder / "tokenizer_config.json").exists()
        processor = _processor(folder if own else root)
    except (OSError, ValueError, KeyError) as error:
        raise CropperError(f"can't load {root} as a model: {error}") from error
    if report["missing_keys"]:
        # They would be random.
        lacking = ", ".join(sorted(report["missing_keys"])[:3])
        raise CropperError(f"the weights of {root} are incomplete: they lack {lacking} ...")
    if longest_edge is not None:
        processor.image_processor.size = {"longest_edge": longest_edge}
    if image_splitting is not None:
        processor.image_processor.do_image_splitting = image_splitting
    if adapter is not None:
        model = _with_adapter(model, adapter, lora)
    elif lora is not None:
        model = _with_new_adapter(model, lora)
    # What an adapter's own folder will name as its base.
    model.name_or_path = str(root.resolve()) if Path(named).is_dir() else str(named)
    return Loaded(model.eval(), processor, folder, policy_file.options if policy_file else {})


def _processor(folder: Path) -> ProcessorMixin:
    """The processor, resizing with Pillow as the runtime does.

    Idefics3's for SmolVLM, too: the two differ in videos, for which SmolVLM's needs torchvision.
    """
    import transformers

    old = int(transformers.__version__.split(".")[0]) < 5
    pillow: dict[str, Any] = {"use_fast": False} if old else {"backend": "pil"}
    where = {"trust_remote_code": False, "local_files_only": True}
    kind: Any = transformers.Idefics3Processor
    return kind.from_pretrained(folder, **pillow, **where)


def find_adapter(folder: Path) -> Path | None:
    """Where in a folder an adapter lies; None where there is none.

    Raises:
        CropperError: there are several.
    """
    if (folder / ADAPTER_CONFIG).is_file():
        return folder
    folders = sorted(path.parent for path in folder.glob(f"*/{ADAPTER_CONFIG}"))
    if len(folders) > 1:
        names = ", ".join(path.name for path in folders)
        raise CropperError(f"{folder} holds several adapters ({names}); give the folder of one")
    return folders[0] if folders else None


def save_checkpoint(model: Any, processor: ProcessorMixin, folder: Path) -> str | None:
    """Write processor and weights, or the adapter alone; return the base's name for an adapter."""
    import torch
    from safetensors.torch import save_file

    processor.save_pretrained(folder)
    if not is_adapted(model):
        model.save_pretrained(folder)
        return None
    from peft import get_peft_model_state_dict

    name = model.active_adapter
    state = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    config = model.peft_config[name]
    config.base_model_name_or_path = model.name_or_path
    config.save_pretrained(folder)
    cpu = {k: v.detach().to("cpu", copy=True).contiguous() for k, v in state.items()}
    assert all(isinstance(v, torch.Tensor) for v in cpu.values())
    save_file(cpu, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})
    return str(model.name_or_path)


def is_adapted(model: Any) -> bool:
    """Whether the model wears an adapter."""
    return hasattr(model, "peft_config")


def plain(model: Any) -> PreTrainedModel:
    """The transformers model itself, with an adapter's layers inside if there is one."""
    return model.get_base_model() if is_adapted(model) else model


def _base_of(adapter: Path, base: str | None) -> str:
    named = base or read_json(adapter / ADAPTER_CONFIG).get("base_model_name_or_path")
    if not isinstance(named, str):
        raise CropperError(f"{adapter} doesn't name the model it adapts; give base=")
    return named


def _lora_options(values: Mapping[str, Any]) -> LoraOptions:
    known = asdict(LoraOptions())
    if unknown := set(values) - set(known):
        raise OptionsError(f"unknown options of lora: {sorted(unknown)}; known are {list(known)}")
    merged = known | dict(values)
    return LoraOptions(**(merged | {"targets": tuple(merged["targets"])}))


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingDependencyError("adapters need peft: pip install 'cropzoom[train]'") from error
    return peft


def _with_new_adapter(model: PreTrainedModel, lora: LoraOptions) -> PeftModel:
    config = _peft().LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
    )
    return _peft().PeftModel(model, config)


def _with_adapter(model: PreTrainedModel, folder: Path, lora: LoraOptions | None) -> PeftModel:
    config = read_json(folder / ADAPTER_CONFIG)
    if config.get("peft_type") != "LORA":
        raise CropperError(f"{folder}: the adapter is {config.get('peft_type')!r}; needs LORA")
    if lora is not None and (lora.r, lora.alpha) != (config.get("r"), config.get("lora_alpha")):
        raise OptionsError(
            f"{folder} holds an adapter of r={config.get('r')}, alpha={config.get('lora_alpha')}, "
            f"which is trained on; lora asks for r={lora.r}, alpha={lora.alpha}. Leave lora out, "
            "or merge the adapter first (save_pretrained(folder, merged=True))"
        )
    fields = {name: config[name] for name in _ADAPTER_FIELDS if config.get(name) is not None}
    try:
        adapted = _peft().PeftModel(model, _peft().LoraConfig(**fields))
        state = load_tensors(folder / ADAPTER_WEIGHTS)
        result = _peft().set_peft_model_state_dict(adapted, state)
    except (TypeError, ValueError, RuntimeError, KeyError) as error:
        raise CropperError(f"the adapter {folder} doesn't fit its base: {error}") from error
    missing = [name for name in result.missing_keys if "lora_" in name]
    if result.unexpected_keys or missing:
        odd = [*result.unexpected_keys, *missing][:3]
        raise CropperError(f"the adapter {folder} doesn't fit its base: {', '.join(odd)} ...")
    return adapted
