"""The likelihood reward from a server, so that the target model scales apart from the policy.

The server must speak OpenAI's chat API and return log-probabilities of the prompt, as vLLM does:

    vllm serve MODEL --limit-mm-per-prompt '{"image": 2}'

The answer is sent as the beginning of the assistant's message (`continue_final_message`), so its
tokens are the last of the prompt, and `prompt_logprobs=0` returns each one's log-probability:
entry i of the response's `prompt_logprobs` maps the id of token i to its `logprob` given those
before it. Which tokens are the answer's is found out once for each answer, from two requests
without pictures: the tokens of a prompt with the answer that follow those of the same prompt
without it. A response whose prompt does not end in exactly these counts as failed.

vLLM computes prompts anew where it returns their log-probabilities: prefix caching does not help.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from PIL import Image

from cropzoom.errors import MissingDependencyError, OptionsError, TrainingError
from cropzoom.geometry import Box
from cropzoom.images import encode_crop

from ..vlm import user_turn
from .crops import Look
from .frozen_vlm import PROMPT
from .likelihood import Likelihood

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_T = TypeVar("_T")

_log = logging.getLogger("cropzoom.trainer")
_WHOLE = Box(0.0, 0.0, 1.0, 1.0)
# vLLM writes this for minus infinity and for NaN, which JSON has not.
_NO_NUMBER = -9999.0
# So many failures in a row without any success: the rest of a call need not be tried.
_PATIENCE = 8


class RemoteLikelihood(Likelihood):
    """Log-likelihood under a model on a server, shown [picture, crop, question].

    A request that fails after its retries makes its sample's reward NaN, which the trainer leaves
    out; it is logged and counted. Where all of a call's requests fail, an error is raised.

    Args:
        url: of the server's API, as in `http://host:8000/v1`.
        model: the server's name for the model.
        api_key: sent with requests; None: the environment's `OPENAI_API_KEY`, if any.
        prompt: the text asked; `{question}` stands for the question.
        concurrency: most requests under way at once.
        timeout: most seconds for one request, each try by itself.
        retries: further tries of a request that failed for a reason that may pass.
        jpeg: send larger pictures as JPEG (quality 92) instead of PNG: a tenth of the bytes, but
            not quite the same pixels.
        likelihood: options of `Likelihood` and `CropReward`.

    Attributes:
        failures: requests that failed so far.

    Raises:
        OptionsError: an option is out of range.
        MissingDependencyError: the package openai is not installed.
    """

    name = "remote"

    def __init__(
        self,
        url: str,
        model: str,
        *,
        api_key: str | None = None,
        prompt: str = PROMPT,
        concurrency: int = 16,
        timeout: float = 60.0,
        retries: int = 2,
        jpeg: bool = False,
        **likelihood: Any,
    ) -> None:
        super().__init__(**likelihood)
        if not url.startswith(("http://", "https://")):
            raise OptionsError(f"url={url!r} must be of the form http://host:8000/v1")
        if "{question}" not in prompt:
            raise OptionsError(f"prompt={prompt!r} must contain {{question}}")
        if not (concurrency >= 1 and timeout > 0 and retries >= 0):
            raise OptionsError(
                f"concurrency={concurrency} must be at least 1, timeout={timeout} above 0, "
                f"retries={retries} at least 0"
            )
        try:
            import openai  # noqa: F401
        except ImportError as error:
            raise MissingDependencyError(
                f"a reward from a server needs the package openai, and importing it failed: "
                f"{error}. Run: pip install 'cropzoom[train]'"
            ) from error
        self.url = url
        self.model = model
        self.prompt = prompt
        self.concurrency = concurrency
        self.timeout = timeout
        self.retries = retries
        self.jpeg = jpeg
        self.failures = 0
        self._key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._opened: list[int] | None = None
        self._answer_ids: dict[str, list[int]] = {}

    def token_log_probs(
        self, pairs: Sequence[tuple[Look, str]]
    ) -> Sequence[Sequence[float] | None]:
        """Let the server weigh the answers.

        Raises:
            TrainingError: the server is down, or answers nothing, or in another form.
        """
        # In a thread of its own, as the caller may have an event loop running.
        with ThreadPoolExecutor(1) as pool:
            results = pool.submit(asyncio.run, self._all(pairs)).result()
        failed = [error for error in results if isinstance(error, Exception)]
        self.failures += len(failed)
        if len(failed) == len(results):
            raise TrainingError(
                f"the reward server {self.url} weighed none of {len(results)} answers. The first "
                f"error: {_explanation(failed[0])}. It must run, serve {self.model!r}, take two "
                "images a prompt and return prompt_logprobs, as vLLM does"
            ) from failed[0]
        if failed:
            _log.warning(
                "the reward server failed for %d of %d answers, which are left out; the first "
                "error: %s",
                len(failed),
                len(results),
                _explanation(failed[0]),
            )
        return [None if isinstance(values, Exception) else values for values in results]

    async def _all(self, pairs: Sequence[tuple[Look, str]]) -> list[list[float] | Exception]:
        from openai import AsyncOpenAI

        shown = self._encoded([look for look, _ in pairs])
        async with AsyncOpenAI(
            base_url=self.url, api_key=self._key, timeout=self.timeout, max_retries=self.retries
        ) as client:
            server = _Server(client, self.model, self.concurrency)
            unknown = {answer for _, answer in pairs} - set(self._answer_ids)
            learnt = dict(zip(unknown, await self._learn(server, list(unknown)), strict=True))

            async def weighed(look: Look, answer: str) -> list[float] | Exception:
                ids = learnt.get(answer) or self._answer_ids[answer]
                if isinstance(ids, Exception):
                    return ids
                text = self.prompt.replace("{question}", look.row.question)
                return await server.tried(server.weigh(shown[id(look)], text, answer, ids))

            return list(await asyncio.gather(*(weighed(*pair) for pair in pairs)))

    async def _learn(self, server: _Server, answers: list[str]) -> list[list[int] | Exception]:
        """Find out, and keep, which tokens stand for answers."""
        if not answers:
            return []
        if self._opened is None:
            opened = await server.tried(server.token_ids(None))
            if isinstance(opened, Exception):
                return [opened] * len(answers)
            self._opened = opened
        tokens: list[list[int] | Exception] = []
        for ids in await asyncio.gather(*(server.tried(server.token_ids(a)) for a in answers)):
            if isinstance(ids, Exception):
                tokens.append(ids)
            elif ids[: len(self._opened)] != self._opened:
                problem = "its chat template does not put an answer right after the prompt"
                tokens.append(ValueError(problem))
            else:
                tokens.append(ids[len(self._opened) :])
        self._answer_ids |= {
            answer: ids
            for answer, ids in zip(answers, tokens, strict=True)
            if not isinstance(ids, Exception)
        }
        return tokens

    def _encoded(self, looks: Sequence[Look]) -> dict[int, list[str]]:
        """Pictures of each look as data URIs, by the look's identity; a whole picture only once."""
        whole: dict[int, str] = {}
        shown: dict[int, list[str]] = {}
        for look in looks:
            if id(look) in shown:
                continue
            if id(look.image) not in whole:
                whole[id(look.image)] = self._uri(look.image, _WHOLE, 0, max(look.image.size))
            shown[id(look)] = [whole[id(look.image)]]
            if look.box is not None:
                limits = self.min_crop_side, self.max_crop_side
                shown[id(look)].append(self._uri(look.image, look.box, *limits))
        return shown

    def _uri(self, image: Image.Image, box: Box, min_side: int, max_side: int) -> str:
        return encode_crop(
            image, box, min_side=min_side, max_side=max_side, photographic=self.jpeg
        ).data_uri()


class _Server:
    """Requests of one call of the reward."""

    def __init__(self, client: AsyncOpenAI, model: str, concurrency: int) -> None:
        self._client, self._model = client, model
        self._gate = asyncio.Semaphore(concurrency)
        self._failed, self._answered = 0, False

    async def tried(self, request: Coroutine[Any, Any, _T]) -> _T | Exception:
        """Await a request when there is a place; return what went wrong, if something did."""
        from openai import OpenAIError

        async with self._gate:
            if self._failed >= _PATIENCE and not self._answered:
                request.close()
                return TimeoutError(f"not tried any more after {self._failed} failures")
            try:
                result = await request
            # ValueError: a response in no known form.
            except (OpenAIError, ValueError) as error:
                self._failed += 1
                return error
            self._answered = True
            return result

    async def token_ids(self, answer: str | None) -> list[int]:
        """Ids of a prompt without pictures, that an answer follows if given; not the very first,
        for which servers return nothing."""
        entries = await self._entries([], "?", answer)
        # The prompt's own token comes first, and with prompt_logprobs=0 alone.
        return [int(next(iter(entry))) for entry in entries[1:]]

    async def weigh(
        self, pictures: Sequence[str], text: str, answer: str, ids: Sequence[int]
    ) -> list[float]:
        """Log-probability of each token of an answer, given pictures (URIs) and text."""
        entries = await self._entries(pictures, text, answer)
        values = []
        for entry, token in zip(entries[-len(ids) :], ids, strict=True):
            if str(token) not in entry:
                raise ValueError(f"its prompt does not end in the tokens of the answer {answer!r}")
            value = float(entry[str(token)]["logprob"])
            if not _NO_NUMBER < value <= 0:
                raise ValueError(f"it returned the log-probability {value}")
            values.append(value)
        return values

    async def _entries(
        self, pictures: Sequence[str], text: str, answer: str | None
    ) -> list[dict[str, Any]]:
        """What the server returns for each token of the prompt; {} for the first."""
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": uri}} for uri in pictures
        ]
        messages: list[Any] = [user_turn(text, content)]
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
        response = await self._client.chat.completions.create(
            model=self._model,
            messages=messages,
            max_tokens=1,
            temperature=1.0,
            extra_body={
                "prompt_logprobs": 0,
                "add_generation_prompt": answer is None,
                "continue_final_message": answer is not None,
            },
        )
        entries = (getattr(response, "model_extra", None) or {}).get("prompt_logprobs")
        if not isinstance(entries, list) or not entries[1:]:
            raise ValueError("it returned no prompt_logprobs")
        if not all(entry and isinstance(entry, dict) for entry in entries[1:]):
            raise ValueError("it returned prompt_logprobs of another form than vLLM's")
        return [{}, *entries[1:]]


def _explanation(error: Exception) -> str:
    """An error with what caused it: openai says of a refused connection only "Connection error."""
    cause = f" ({error.__cause__})" if error.__cause__ and str(error.__cause__) else ""
    return f"{error}{cause}"
