"""A frozen vision-language model: what it would answer, and how likely an answer is to it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from cropzoom.errors import OptionsError, TrainingError

from ..vlm import image_features, load_vlm, user_turn, without_tokens

# The paper's.
PROMPT = "{question}\nGive a very brief answer."

_log = logging.getLogger("cropzoom.trainer")
_MARK = "ANSWER"
# Their prompts are plain token sequences with image features put in, so that features of a picture
# can be computed once for all prompts that show it.
_SHARING = ("idefics3", "smolvlm")


class Prompt(NamedTuple):
    """A question about pictures, and an answer to weigh."""

    images: tuple[Image.Image, ...]
    question: str
    answer: str = ""


class FrozenVlm:
    """Any `AutoModelForImageTextToText` with its processor, used without gradients.

    Pictures come first in the prompt, in their order, then the text. Prompts and answers take the
    form of the model's chat template: an answer is scored token by token where the model would
    have written it.

    Args:
        model: set to eval mode; its weights stop requiring gradients. It stays on its device.
        processor: the model's own, with a chat template.
        prompt: the text asked; `{question}` stands for the question.
        batch_size: prompts at a time.
        share_images: with Idefics3 and SmolVLM, compute the features of a picture that several
            prompts of one call show only once. Makes no difference to the results.

    Raises:
        OptionsError: the prompt has no `{question}`, or the batch size is below 1.
        TrainingError: the chat template is missing, or of a form in which an answer does not
            simply follow the prompt.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        prompt: str = PROMPT,
        batch_size: int = 8,
        share_images: bool = True,
    ) -> None:
        if "{question}" not in prompt:
            raise OptionsError(f"prompt={prompt!r} must contain {{question}}")
        if batch_size < 1:
            raise OptionsError(f"batch_size={batch_size} must be at least 1")
        self.model = model.eval().requires_grad_(False)
        self.processor = processor
        self.prompt = prompt
        self.batch_size = batch_size
        self._tokenizer = processor.tokenizer
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._image_token: str | None = getattr(processor, "image_token", None)
        self._special = {*self._tokenizer.all_special_tokens, self._image_token} - {None, ""}
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        # None: not known before the first prompt, where it is tried out.
        sharing = share_images and model.config.model_type in _SHARING
        self._shares: bool | None = None if sharing and self._image_token else False
        self._read_template()

    @classmethod
    def load(
        cls, name: str, *, device: str = "auto", dtype: str = "auto", **options: Any
    ) -> FrozenVlm:
        """Load a model and its processor, see `load_vlm`.

        Args:
            name, device, dtype: of `load_vlm`.
            options: of the constructor.

        Raises:
            TrainingError: there is no such model, or it is of another kind.
        """
        model, processor = load_vlm(name, device=device, dtype=dtype, error=TrainingError)
        return cls(model, processor, **options)

    def log_likelihoods(
        self, prompts: Sequence[Prompt], *, include_end: bool = False
    ) -> list[Tensor]:
        """Weigh answers: log p(token | prompt, tokens before it), nats, float32 on the CPU.

        Args:
            prompts: with their answers; spaces at an answer's ends do not count.
            include_end: also weigh the token that ends the answer.

        Returns:
            One tensor (tokens of the answer,) for each.

        Raises:
            TrainingError: the template ends an answer with nothing, and `include_end` is set.
        """
        answers = [self._answer_ids(one.answer, include_end) for one in prompts]
        results: list[Tensor] = []
        with self._quietly():
            features: dict[int, tuple[Tensor, Tensor]] = {}
            for start in range(0, len(prompts), self.batch_size):
                part = slice(start, start + self.batch_size)
                results += self._weigh(prompts[part], answers[part], features)
        return results

    def replies(self, prompts: Sequence[Prompt], *, max_new_tokens: int = 20) -> list[str]:
        """Return what the model answers, greedily decoded, without special tokens."""
        results: list[str] = []
        with self._quietly():
            features: dict[int, tuple[Tensor, Tensor]] = {}
            for start in range(0, len(prompts), self.batch_size):
                rows, rest = self._encode(prompts[start : start + self.batch_size], features)
                inputs = self._inputs(rows, rest, side="left")
                written = self.model.generate(
                    **inputs, max_new_tokens=max_new_tokens, do_sample=False, num_beams=1
                )
                # Given embeddings, `generate` returns only what is new.
                prompt = inputs["input_ids"].shape[1] if "input_ids" in inputs else 0
                new = written[:, prompt:].tolist()
                results += self._tokenizer.batch_decode(new, skip_special_tokens=True)
        return [reply.strip() for reply in results]

    # The form of prompts and answers

    def _read_template(self) -> None:
        """Find out from the chat template what stands before and after an answer."""
        opened = self._render("Q", 0)
        closed = self._render("Q", 0, answer=_MARK)
        lead, found, end = closed[len(opened) :].partition(_MARK)
        if not (closed.startswith(opened) and found):
            raise TrainingError(
                "this model's chat template does not put an answer right after the prompt (it may "
                f"be made for reasoning): prompt {opened!r}, with an answer {closed!r}. Give the "
                "processor a chat_template that does"
            )
        self._lead, self._end = lead, end
        self._opened, self._opened_ids = opened, self._ids(opened)

    def _render(self, question: str, images: int, answer: str | None = None) -> str:
        text = self.prompt.replace("{question}", without_tokens(question, self._special))
        turns = [user_turn(text, [{"type": "image"}] * images)]
        if answer is not None:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        try:
            rendered: str = self.processor.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=answer is None
            )
        except ValueError as error:
            raise TrainingError(f"the processor can't render a chat: {error}") from error
        return rendered

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _answer_ids(self, answer: str, include_end: bool) -> Tensor:
        text = self._lead + answer.strip()
        # In context: some tokenizers treat the start of a text in a way of its own.
        whole, start = self._ids(self._opened + text), len(self._opened_ids)
        ids = whole[start:] if whole[:start] == self._opened_ids else self._ids(text)
        if include_end:
            if not self._end:
                raise TrainingError(
                    "include_end is set, but this model's chat template ends answers with nothing"
                )
            ids = [*ids, self._ids(self._end)[0]]
        return torch.tensor(ids)

    # From questions to tensors

    def _encode(
        self, prompts: Sequence[Prompt], features: dict[int, tuple[Tensor, Tensor]]
    ) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
        """Prompts -> what belongs to each token, unpadded, for each prompt; and all the rest.

        `features` holds those of pictures already seen in this call, by object.
        """
        if self._shares is None:
            # Pieces of text are tokenised one by one, and nothing is added. Where that makes a
            # difference, don't.
            whole, _ = self._processed(prompts[:1])
            pieces = self._shared(prompts[:1], features)[0]
            self._shares = torch.equal(whole[0]["input_ids"], pieces[0]["input_ids"])
            if not self._shares:
                _log.warning(
                    "pictures are encoded once a prompt: this tokenizer needs whole prompts"
                )
        return self._shared(prompts, features) if self._shares else self._processed(prompts)

    def _processed(
        self, prompts: Sequence[Prompt]
    ) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
        """Encode with the processor, as any model needs it."""
        texts = [self._render(one.question, len(one.images)) for one in prompts]
        bos = self._tokenizer.bos_token
        inputs = self.processor(
            text=texts,
            images=[list(one.images) for one in prompts],
            padding=True,
            return_tensors="pt",
            # As `apply_chat_template` does: a template may write the first token itself.
            add_special_tokens=not (bos and texts[0].startswith(bos)),
        )
        kept = inputs["attention_mask"].bool()
        by_token = {
            name: value
            for name, value in inputs.items()
            if isinstance(value, Tensor) and value.shape == kept.shape
        }
        rows = [
            {name: value[row][kept[row]] for name, value in by_token.items()}
            for row in range(len(prompts))
        ]
        return rows, {name: value for name, value in inputs.items() if name not in by_token}

    def _shared(
        self, prompts: Sequence[Prompt], features: dict[int, tuple[Tensor, Tensor]]
    ) -> tuple[list[dict[str, Tensor]], dict[str, Any]]:
        """Encode with the features of each picture computed once."""
        assert self._image_token is not None
        images = {id(image): image for one in prompts for image in one.images}
        fresh = {key: image for key, image in images.items() if key not in features}
        if fresh:
            features.update(zip(fresh, self._features(list(fresh.values())), strict=True))
        rows = []
        for one in prompts:
            first, *others = self._render(one.question, len(one.images)).split(self._image_token)
            ids = [torch.tensor(self._ids(first))]
            for image, piece in zip(one.images, others, strict=True):
                ids += [features[id(image)][0], torch.tensor(self._ids(piece))]
            joined = torch.cat(ids).long()
            rows.append({"input_ids": joined, "attention_mask": torch.ones_like(joined)})
        seen = [features[id(image)][1] for one in prompts for image in one.images]
        return rows, {"features": torch.cat(seen)}

    def _features(self, images: Sequence[Image.Image]) -> list[tuple[Tensor, Tensor]]:
        """For each picture, the ids that stand for it and the features (tokens, D) to put in."""
        inputs = [
            self.processor(
                text=[self._image_token],
                images=[[image]],
                return_tensors="pt",
                add_special_tokens=False,
            )
            for image in images
        ]
        tiles = {
            name: torch.cat([one[name] for one in inputs], 1).to(self.model.device)
            for name in ("pixel_values", "pixel_attention_mask")
            if name in inputs[0]
        }
        flat = image_features(self.model, **tiles)
        ids = [one["input_ids"][0] for one in inputs]
        counts = [int((one == self.model.config.image_token_id).sum()) for one in ids]
        return list(zip(ids, flat.split(counts), strict=True))

    def _inputs(
        self, rows: Sequence[dict[str, Tensor]], rest: dict[str, Any], side: str
    ) -> dict[str, Any]:
        """Pad prompts to one length; put in features; move all to the model."""
        device, dtype = self.model.device, self.model.dtype
        longest = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, row: dict[str, Tensor]) -> Tensor:
            missing = longest - len(row[name])
            filler = self._tokenizer.pad_token_id if name == "input_ids" else 0
            return F.pad(row[name], (missing, 0) if side == "left" else (0, missing), value=filler)

        inputs: dict[str, Any] = {
            name: torch.stack([padded(name, row) for row in rows]).to(device) for name in rows[0]
        }
        for name, value in rest.items():
            moved = value.to(device) if isinstance(value, Tensor) else value
            floating = isinstance(value, Tensor) and value.is_floating_point()
            inputs[name] = moved.to(dtype) if floating else moved
        if "features" in inputs:
            ids, features = inputs.pop("input_ids"), inputs.pop("features")
            embedded = self.model.get_input_embeddings()(ids)
            embedded[ids == self.model.config.image_token_id] = features.to(embedded.dtype)
            inputs["inputs_embeds"] = embedded
        return inputs

    def _weigh(
        self,
        prompts: Sequence[Prompt],
        answers: Sequence[Tensor],
        features: dict[int, tuple[Tensor, Tensor]],
    ) -> list[Tensor]:
        encoded, rest = self._encode(prompts, features)
        rows, places = [], []
        for row, answer in zip(encoded, answers, strict=True):
            length, added = len(row["input_ids"]), len(answer)
            longer = {name: torch.cat([row[name], row[name].new_zeros(added)]) for name in row}
            longer["input_ids"][length:] = answer
            longer["attention_mask"][length:] = 1
            rows.append(longer)
            # Each token is foretold at the place before it.
            places.append(torch.arange(length - 1, length - 1 + added))
        # Padded at the right, every token has the place it would have alone.
        inputs = self._inputs(rows, rest, side="right")
        kept = torch.cat(places).unique()
        keep = {"logits_to_keep": kept.to(self.model.device)} if self._keeps else {}
        logits = self.model(**inputs, **keep, use_cache=False).logits
        results = []
        for number, (answer, place) in enumerate(zip(answers, places, strict=True)):
            at = torch.searchsorted(kept, place) if self._keeps else place
            logp = logits[number, at.to(logits.device)].float().log_softmax(-1)
            results.append(logp.gather(-1, answer.to(logits.device)[:, None])[:, 0].cpu())
        return results

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        # The trainer's autocast is not meant for this model: it keeps the dtype it was loaded in.
        with torch.inference_mode(), torch.autocast(self.model.device.type, enabled=False):
            yield
