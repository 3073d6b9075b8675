"""What the policies made of an Idefics3 or SmolVLM share: prompt, batches, the way to its states.

The image comes first in the prompt, so image and question are read once whatever comes after. A
row is prepared by itself and padded at the left; its states don't depend on its batch.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from cropzoom.data.row import Row
from cropzoom.errors import OptionsError

from ..vlm import PROMPT, image_features, user_turn, without_tokens
from .checkpoints import is_adapted, load_checkpoint, plain, save_checkpoint
from .policy import Batch, Policy
from .policy_folders import PolicyFile, write_policy_file, written

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import Cache, PreTrainedModel
    from typing_extensions import Self


class VlmCollator:
    """Rows -> batch, with the checkpoint's own processor.

    Args:
        processor: of Idefics3 or SmolVLM, with a chat template.
        prompt: what is asked; `{question}` stands for the question.
        capitalize: put each question through `str.capitalize`, as the authors of the paper do; it
            lower-cases names.

    Raises:
        OptionsError: the prompt has no place for the question, or there is no chat template.
    """

    def __init__(self, processor: Any, prompt: str, capitalize: bool) -> None:
        if not isinstance(prompt, str) or "{question}" not in prompt:
            raise OptionsError(f"prompt={prompt!r} must be a string that contains '{{question}}'")
        if not processor.chat_template:
            raise OptionsError("the checkpoint's processor has no chat template; give it one")
        self.processor, self.prompt, self.capitalize = processor, prompt, capitalize
        self._special = {*processor.tokenizer.all_special_tokens, processor.image_token}

    def text(self, question: str) -> str:
        """The whole prompt of a question, image token included."""
        question = without_tokens(question, self._special)
        put = question.capitalize() if self.capitalize else question
        return self.render([self.user(self.prompt.replace("{question}", put))], True)

    def render(self, messages: list[dict[str, Any]], generation: bool) -> str:
        """Messages as text; `generation` lets the answer begin."""
        text: str = self.processor.apply_chat_template(
            messages, add_generation_prompt=generation, tokenize=False
        )
        return text

    @staticmethod
    def user(text: str) -> dict[str, Any]:
        """A message with an image and a text."""
        return user_turn(text)

    def __call__(self, rows: Sequence[Row]) -> Batch:
        """Returns input_ids and attention_mask (B, L) int64, padded at the left; pixel_values
        (B, tiles, 3, H, W) float32 and pixel_attention_mask (B, tiles, H, W), zero beyond a row's
        own tiles.
        """
        done = [
            self.processor(
                text=[self.text(row.question)], images=[[row.load()]], return_tensors="pt"
            )
            for row in rows
        ]
        length = max(one["input_ids"].shape[1] for one in done)
        shape = [max(one["pixel_values"].shape[i] for one in done) for i in (1, 2, 3, 4)]
        pad = self.processor.tokenizer.pad_token_id or 0
        ids = torch.full((len(done), length), pad)
        mask = torch.zeros(len(done), length, dtype=torch.long)
        pixels = torch.zeros(len(done), *shape)
        pixel_mask = torch.zeros(len(done), shape[0], *shape[2:], dtype=torch.long)
        for row, one in enumerate(done):
            own = one["input_ids"].shape[1]
            ids[row, length - own :] = one["input_ids"][0]
            mask[row, length - own :] = 1
            tiles, _, height, width = one["pixel_values"].shape[1:]
            pixels[row, :tiles, :, :height, :width] = one["pixel_values"][0]
            own_mask = one.get("pixel_attention_mask")
            pixel_mask[row, :tiles, :height, :width] = 1 if own_mask is None else own_mask[0]
        return {
            "input_ids": ids,
            "attention_mask": mask,
            "pixel_values": pixels,
            "pixel_attention_mask": pixel_mask,
        }


class VlmPolicy(Policy):
    """A policy made of an Idefics3 or SmolVLM.

    Args:
        model: an `Idefics3ForConditionalGeneration` or `SmolVLMForConditionalGeneration`, or a
            `PeftModel` around one.
        processor: the checkpoint's.
        prompt, capitalize: see `VlmCollator`.
    """

    collate: VlmCollator

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        processor: Any,
        *,
        prompt: str = PROMPT,
        capitalize: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.processor = processor
        self.prompt, self.capitalize = prompt, capitalize
        self.collate = VlmCollator(processor, prompt, capitalize)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        lora: Any = None,
        base: str | Path | None = None,
        dtype: str = "float32",
        longest_edge: int | None = None,
        image_splitting: bool | None = None,
        **options: Any,
    ) -> Self:
        """Load a checkpoint or a folder of `save_pretrained`, in evaluation mode.

        Args:
            source, lora, base, dtype, longest_edge, image_splitting: see `load_checkpoint`.
            options: of the class, instead of what the folder says.

        Raises:
            CropperError: the source is missing or broken.
            OptionsError: an option is out of range or unknown.
        """
        loaded = load_checkpoint(
            source,
            lora=lora,
            base=base,
            dtype=dtype,
            longest_edge=longest_edge,
            image_splitting=image_splitting,
        )
        kept = {k: v for k, v in loaded.options.items() if k in cls._option_names()}
        try:
            policy = cls(loaded.model, loaded.processor, **{**kept, **options})
        except TypeError as error:
            raise OptionsError(f"can't make a {cls.kind} policy: {error}") from error
        policy._load_more(loaded.folder)
        return policy.eval()

    def save_pretrained(self, folder: str | Path, *, merged: bool = False) -> None:
        """Write a checkpoint that transformers can load too, and `policy.json`.

        Args:
            folder: made if missing.
            merged: with an adapter: write whole weights with the adapter in them (needs memory
                for a second model), instead of the adapter alone, which needs its base to load.
        """
        model: Any = self.model
        if merged and is_adapted(model):
            model = copy.deepcopy(model).merge_and_unload()
        with written(folder) as beside:
            base = save_checkpoint(model, self.processor, beside)
            self._save_more(beside)
            options = {name: getattr(self, name) for name in self._option_names()}
            write_policy_file(beside, PolicyFile(self.kind, options, base))

    @classmethod
    def _option_names(cls) -> tuple[str, ...]:
        """Keyword arguments that are kept in `policy.json`; each is an attribute as well."""
        return ("prompt", "capitalize")

    def _save_more(self, folder: Path) -> None:
        """Write what a subclass has beside the model."""

    def _load_more(self, folder: Path) -> None:
        """Read what `_save_more` wrote, where it is there."""

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None
    ) -> None:
        """Compute activations of vision and language layers twice, in training mode.

        A text policy then can't share the prompt's keys and values among samples: it reads the
        prompt once a sample (the image still once), so it saves memory and costs time.
        """
        # The reentrant kind needs inputs with gradients, which frozen embeddings don't give.
        options = {**(gradient_checkpointing_kwargs or {}), "use_reentrant": False}
        # The name since transformers 5, or the one before.
        enable = getattr(self.backbone, "activation_checkpointing_enable", None)
        backbone: Any = self.backbone
        (enable or backbone.gradient_checkpointing_enable)(options)

    @property
    def backbone(self) -> PreTrainedModel:
        """The model with its head; an adapter's layers stand inside."""
        return plain(self.model)

    @property
    def language(self) -> nn.Module:
        """The language model without its head."""
        return self.backbone.model.text_model

    @property
    def recomputes(self) -> bool:
        """Whether gradient checkpointing is at work, which forbids keeping keys and values."""
        return any(
            module.training and getattr(module, "gradient_checkpointing", False)
            for module in self.language.modules()
        )

    def embed(self, batch: Batch) -> Tensor:
        """Vectors (B, L, D) of a prompt's tokens, with the images' in their places."""
        core, ids = self.backbone.model, batch["input_ids"]
        vectors = core.get_input_embeddings()(ids)
        features = image_features(
            core,
            pixel_values=batch["pixel_values"],
            pixel_attention_mask=batch["pixel_attention_mask"],
        )
        places = (ids == self.backbone.config.image_token_id)[..., None]
        return vectors.masked_scatter(places, features.to(vectors.dtype))

    def read(
        self, vectors: Tensor, mask: Tensor, positions: Tensor, cache: Cache | None = None
    ) -> Tensor:
        """States (B, L, D) after the last layer; a cache is read and grows."""
        states: Tensor = self.language(
            inputs_embeds=vectors,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state
        return states


def positions_of(mask: Tensor) -> Tensor:
    """Position of each token among its row's own, (B, L); padding at either side doesn't count."""
    return (mask.cumsum(-1) - 1).clamp_min(0)


def last_of(mask: Tensor) -> Tensor:
    """Index of each row's last own token, (B,)."""
    return (mask * torch.arange(mask.shape[-1], device=mask.device)).argmax(-1)


@contextmanager
def without_dropout(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; each submodule gets its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode
