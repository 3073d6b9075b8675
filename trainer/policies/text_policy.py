"""The paper's policy: a vision-language model that writes the box as text.

    {question}
    Outline the region in the image that would help answer this question.
    -> [x1, y1, x2, y2].      whole percents, 0 to 100

An action is the answer's token ids with the end token, T = A = `noise_length`, filled up with the
padding token. Image and prompt are read once for all samples of a row, with gradients too: their
keys and values are repeated, and only the answers' tokens are computed for each sample.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from cropzoom.cropper.smolvlm.box_grammar import BoxGrammar
from cropzoom.errors import OptionsError
from cropzoom.geometry import Box

from ..vlm import PROMPT
from .grammar_mask import BoxTable
from .policy import Batch, Rollout, Scores, pick
from .vlm_policy import VlmCollator, VlmPolicy, last_of, positions_of, without_dropout

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import Cache, PreTrainedModel, ProcessorMixin

Choose = Callable[[Tensor, int], Tensor]
_EXAMPLE = "[100, 100, 100, 100]."


class TextPolicy(VlmPolicy):
    """A policy that writes boxes.

    Constrained (the default), only tokens that keep the text a box are drawn, and probabilities
    are those of this choice among them: a box always parses, and no step is lost on learning the
    form. V is then the number of tokens that occur in boxes, and not the vocabulary's.
    Unconstrained is as the paper has it: any token may be drawn, and a text that is no box after
    `noise_length` tokens, or at its end token, gives a NaN box.

    A box's corners may be in the wrong order; the environment puts them right. The same text can
    be written with other tokens than the tokenizer's own: constrained writing has the tokenizer's
    alone, and in unconstrained writing log-probabilities are of the tokens and not of the text.

    Args:
        model, processor, prompt, capitalize: see `VlmPolicy`.
        constrained: whether only boxes can be written.

    Raises:
        OptionsError: the tokenizer can't write a box.
    """

    kind = "text"

    def __init__(
        self,
        model: PreTrainedModel | PeftModel,
        processor: ProcessorMixin,
        *,
        prompt: str = PROMPT,
        capitalize: bool = False,
        constrained: bool = True,
    ) -> None:
        super().__init__(model, processor, prompt=prompt, capitalize=capitalize)
        self.constrained = constrained
        self.lead, self.end = answer_frame(self.collate)
        numbers = [self._encode(f"[{n}, {n}, {n}, {n}].") for n in range(101)]
        self.noise_length = max(map(len, numbers))
        pad = processor.tokenizer.pad_token_id
        self.pad: int = self.end if pad is None else pad
        if self._decode(numbers[100][:-1]).strip() != _EXAMPLE:
            raise OptionsError("the tokenizer of this checkpoint can't write brackets and digits")
        self.table = BoxTable(self._grammar(), self.end) if constrained else None

    def _grammar(self) -> BoxGrammar:
        if self.lead not in ("", " "):
            raise OptionsError(
                f"the chat template begins answers with {self.lead!r}; constrained writing knows "
                "a space or nothing. Use constrained=False"
            )
        try:
            # An answer's tokens are put behind the prompt's: nothing stands before them.
            return BoxGrammar.of_tokenizer(self._ids, "", space=bool(self.lead))
        except ValueError as error:
            raise OptionsError(
                f"this tokenizer writes boxes in a way that can't be constrained ({error}); "
                "use constrained=False"
            ) from error

    @classmethod
    def _option_names(cls) -> tuple[str, ...]:
        return (*super()._option_names(), "constrained")

    def sample(self, batch: Batch, noise: Tensor, temperature: float = 1.0) -> Rollout:
        """See `Policy`. No top-k, no top-p. Stops when all are done, unless `synced`."""
        return self._write(
            batch, noise.shape[1], lambda logits, t: pick(logits, noise[..., t]), temperature
        )

    def best(self, batch: Batch) -> Tensor:
        """The box written with the likeliest token at each step; constrained, the runtime's."""
        return self._write(batch, 1, lambda logits, _: logits.argmax(-1)).boxes[:, 0]

    def score(
        self, batch: Batch, actions: Tensor, temperature: float = 1.0, full: bool = False
    ) -> Scores:
        """See `Policy`.

        Raises:
            ValueError: constrained, and an action is no box.
        """
        mask = self._mask(actions)
        length = int(mask.sum(-1).max())
        tokens, drawn = actions[..., :length], mask[..., :length]
        logits = self._logits(batch, tokens).float()
        columns = tokens
        if self.table is not None:
            table = self.table.to(logits.device)
            columns = table.columns_of(tokens)
            states = table.states_of(columns)
            columns = columns.clamp_min(0)
            allowed = table.next[states.clamp_min(0)] >= 0
            fits = allowed.gather(-1, columns[..., None])[..., 0] & (states >= 0)
            if not (fits | ~drawn).all():
                raise ValueError("an action is no box; was it drawn with constrained=False?")
            logits = logits[..., table.tokens].masked_fill(~allowed, -torch.inf)
        # Beyond the end anything finite: it is masked, and its gradient is 0.
        logits = logits.masked_fill(~drawn[..., None], 0.0) / temperature
        every = F.log_softmax(logits, -1)
        logp = every.gather(-1, columns[..., None])[..., 0].masked_fill(~drawn, 0.0)
        summands = every.exp() * every.masked_fill(every == -torch.inf, 0.0)
        entropy = -summands.sum(-1).masked_fill(~drawn, 0.0)
        rest = actions.shape[-1] - length
        return Scores(
            F.pad(logp, (0, rest)),
            F.pad(entropy, (0, rest)),
            mask,
            F.pad(every, (0, 0, 0, rest), value=-torch.inf) if full else None,
        )

    def nll(self, batch: Batch, boxes: Tensor) -> Tensor:
        """Mean cross-entropy of the answer's tokens and the end token: (B,) nats a token.

        The mean, as usual for SFT; over the whole vocabulary also where sampling is constrained,
        so that the model learns to keep the form by itself. Boxes are rounded outwards to percents.

        Raises:
            ValueError: a box is NaN: this policy always gives one.
        """
        if boxes.isnan().any():
            raise ValueError("a row has no box, and a text policy can't say so; leave it out")
        # float32 would put an edge on a whole percent just beside it, and so a percent further out.
        exact = [[round(edge, 6) for edge in box] for box in boxes.tolist()]
        ids = [self._encode(Box.ordered(*box).to_text()) for box in exact]
        length = max(map(len, ids))
        filled = [[*one, *[self.pad] * (length - len(one))] for one in ids]
        tokens = torch.tensor(filled, device=boxes.device)
        own = torch.tensor([len(one) for one in ids], device=boxes.device)
        drawn = torch.arange(length, device=boxes.device) < own[:, None]
        logits = self._logits(batch, tokens[:, None])[:, 0].float()
        losses = F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), reduction="none")
        return (losses.view_as(tokens) * drawn).sum(-1) / own

    @torch.no_grad()
    def _write(self, batch: Batch, group: int, choose: Choose, temperature: float = 1.0) -> Rollout:
        """Write `group` answers a row; `choose` takes (B, G, V) logits and the step."""
        from transformers import DynamicCache

        with without_dropout(self):
            cache = DynamicCache()
            state, mask, position = self._read_prompt(batch, group, cache)
            rows = len(batch["input_ids"])
            shape = (rows, group)
            device = state.device
            table = None if self.table is None else self.table.to(device)
            where = torch.zeros(shape, dtype=torch.long, device=device)
            done = torch.zeros(shape, dtype=torch.bool, device=device)
            actions = torch.full((*shape, self.noise_length), self.pad, device=device)
            logp = torch.zeros(*shape, self.noise_length, device=device)
            drawn = torch.zeros(*shape, self.noise_length, dtype=torch.bool, device=device)
            for step in range(self.noise_length):
                logits = self.backbone.lm_head(state).float().view(*shape, -1)
                if table is not None:
                    logits = logits[..., table.tokens]
                    logits = logits.masked_fill(table.next[where] < 0, -torch.inf)
                logits = logits / temperature
                chosen = choose(logits, step)
                chance = F.log_softmax(logits, -1).gather(-1, chosen[..., None])[..., 0]
                if table is not None:
                    where, chosen = table.next[where, chosen], table.tokens[chosen]
                actions[..., step] = torch.where(done, self.pad, chosen)
                logp[..., step] = chance.masked_fill(done, 0.0)
                drawn[..., step] = ~done
                done |= chosen == self.end
                if step + 1 == self.noise_length or (done.all() and not self.synced):
                    break
                vectors = self.backbone.get_input_embeddings()(actions[..., step].reshape(-1, 1))
                mask = F.pad(mask, (0, 1), value=1)
                state = self.read(vectors, mask, position[:, None] + step, cache)[:, 0]
        return Rollout(actions, self._boxes(actions, drawn), logp, drawn)

    def _read_prompt(self, batch: Batch, group: int, cache: Cache) -> tuple[Tensor, Tensor, Tensor]:
        """Read the prompts once and repeat them `group` times, the cache too.

        Returns:
            state (B G, D) of the last token, mask (B G, L), and (B G,) the position that follows.
        """
        mask = batch["attention_mask"]
        states = self.read(self.embed(batch), mask, positions_of(mask), cache)
        last = states[torch.arange(len(mask), device=mask.device), last_of(mask)]
        cache.batch_repeat_interleave(group)
        repeated = (x.repeat_interleave(group, 0) for x in (last, mask, mask.sum(-1)))
        state, mask, position = repeated
        return state, mask, position

    def _logits(self, batch: Batch, tokens: Tensor) -> Tensor:
        """Logits (B, G, C, vocabulary) of each of the answers' tokens (B, G, C)."""
        from transformers import DynamicCache

        rows, group, length = tokens.shape
        before = tokens[..., :-1].reshape(rows * group, length - 1)
        vectors = self.backbone.get_input_embeddings()(before)
        steps = torch.arange(length - 1, device=tokens.device)
        ones = torch.ones_like(before)
        if self.recomputes:
            # No cache: the whole sequence for every sample, from the image's features once.
            mask = batch["attention_mask"].repeat_interleave(group, 0)
            prompt = self.embed(batch).repeat_interleave(group, 0)
            positions = torch.cat([positions_of(mask), mask.sum(-1, keepdim=True) + steps], 1)
            states = self.read(
                torch.cat([prompt, vectors], 1), torch.cat([mask, ones], 1), positions
            )
            here = torch.arange(rows * group, device=tokens.device)
            first, after = states[here, last_of(mask)], states[:, mask.shape[1] :]
        else:
            cache = DynamicCache()
            first, mask, position = self._read_prompt(batch, group, cache)
            after = vectors[:, :0]
            if length > 1:
                positions = position[:, None] + steps
                after = self.read(vectors, torch.cat([mask, ones], 1), positions, cache)
        logits: Tensor = self.backbone.lm_head(torch.cat([first[:, None], after], 1))
        return logits.view(rows, group, length, -1)

    def _mask(self, actions: Tensor) -> Tensor:
        """Which tokens were drawn: all up to the first end token."""
        ends = actions == self.end
        return ends.cumsum(-1) - ends.long() == 0

    def _encode(self, text: str) -> list[int]:
        """An answer's ids, with lead and end."""
        return [*self._ids(self.lead + text), self.end]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _decode(self, ids: list[int]) -> str:
        text: str = self.processor.tokenizer.decode(
            ids, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        return text

    def _boxes(self, actions: Tensor, drawn: Tensor) -> Tensor:
        """Boxes (B, G, 4) of answers, NaN where a text is none."""
        boxes = torch.full((*actions.shape[:2], 4), torch.nan)
        flat = boxes.view(-1, 4)
        pairs = zip(
            actions.flatten(0, 1).tolist(), drawn.flatten(0, 1).sum(-1).tolist(), strict=True
        )
        for row, (ids, count) in enumerate(pairs):
            written = ids[: count - 1] if ids[count - 1] == self.end else ids[:count]
            try:
                box = Box.from_text(self._decode(written), repair=True)
            except ValueError:
                continue
            flat[row] = torch.tensor([box.x0, box.y0, box.x1, box.y1])
        return boxes.to(actions.device)


def answer_frame(collate: VlmCollator) -> tuple[str, int]:
    """What a chat template puts between the prompt and an answer, and the id that ends one.

    Read off the template by letting it write an answer. One that writes no end token after an
    answer, or begins answers otherwise than it does when asked to generate, is met with no lead
    and the tokenizer's own end.
    """
    tokenizer = collate.processor.tokenizer
    user = collate.user("?")
    answer = {"role": "assistant", "content": [{"type": "text", "text": _EXAMPLE}]}
    begun, whole = collate.render([user], True), collate.render([user, answer], False)
    lead, end = "", None
    if whole.startswith(begun) and _EXAMPLE in whole[len(begun) :]:
        lead, after = whole[len(begun) :].split(_EXAMPLE, 1)
        end = next((t for t in tokenizer.all_special_tokens if t and after.startswith(t)), None)
    ended = tokenizer.eos_token_id if end is None else tokenizer.convert_tokens_to_ids(end)
    if ended is None:
        raise OptionsError("neither chat template nor tokenizer says how an answer ends")
    return lead, int(ended)
