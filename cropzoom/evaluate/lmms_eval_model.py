"""A model of lmms-eval that adds crops. Only imported by lmms-eval, which must be installed.

    python -m lmms_eval --model cropzoom --tasks docvqa_val \\
        --model_args pretrained=HuggingFaceTB/SmolVLM-256M-Instruct,cropper=nano
    python -m lmms_eval --model cropzoom --tasks docvqa_val \\
        --model_args model=gpt-4.1-nano,base_url=https://api.openai.com/v1,cropper=nano

`cropper=none` adds nothing, for the comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any

from lmms_eval.api.model import lmms  # type: ignore[import-not-found,unused-ignore]
from lmms_eval.protocol import ChatMessages  # type: ignore[import-not-found,unused-ignore]
from loguru import logger  # type: ignore[import-not-found,unused-ignore]
from tqdm import tqdm  # type: ignore[import-untyped,unused-ignore]

from cropzoom.clients import CropZoom
from cropzoom.options import ZoomOptions
from cropzoom.report import ZoomReport

_MAX_NEW_TOKENS = 256  # where a task names no limit
_FAILED = "[LMMS_EVAL_REQUEST_FAILED]"  # as lmms-eval's own models say


class CropZoomModel(lmms):  # type: ignore[misc,unused-ignore]
    """A Hugging Face pipeline or an OpenAI-compatible server, wrapped by `CropZoom`.

    Args:
        pretrained: folder or hub id of an image-text-to-text model; or else
        model: name of a model on a server.
        base_url: of that server; OpenAI's own by default.
        cropper: what `load_cropper` takes, or "none".
        device: of the pipeline, as transformers takes it.
        dtype: of the pipeline, as transformers takes it.
        batch_size: of the pipeline's questions; they are run one by one.
        num_concurrent: requests at a time to a server.
        max_retries: of a request, by the openai client.
        timeout: of a request, in seconds.
        options: fields of `ZoomOptions`, such as `max_crops=2`.
    """

    is_simple = False

    def __init__(
        self,
        pretrained: str | None = None,
        model: str | None = None,
        base_url: str | None = None,
        cropper: str = "nano",
        device: str | None = None,
        dtype: str | None = None,
        batch_size: int | str = 1,
        num_concurrent: int = 4,
        max_retries: int = 2,
        timeout: float = 120.0,
        **options: Any,
    ) -> None:
        super().__init__()
        # lmms-eval hands some of its own settings to every model.
        names = {field.name for field in fields(ZoomOptions)}
        ours = {name: value for name, value in options.items() if name in names}
        others = sorted(options.keys() - names - {"max_batch_size"})
        if others:
            raise ValueError(f"model_args: {', '.join(others)} is no option of cropzoom's model")
        if (pretrained is None) == (model is None):
            raise ValueError("model_args needs either pretrained=FOLDER or model=NAME")
        self._reports: list[ZoomReport] = []
        self._workers = 1
        if pretrained is not None:
            self._client: Any = _pipeline(pretrained, device, dtype)
            self._answer: Callable[[Any, Mapping[str, Any]], str] = self._by_pipeline
        else:
            from cropzoom.clients.connect import connect

            self._client = connect(base_url).with_options(max_retries=max_retries, timeout=timeout)
            self._answer = self._by_server
            self._model = model
            self._workers = int(num_concurrent)
        if cropper != "none":
            self._client = CropZoom(
                self._client, cropper, ZoomOptions(**ours), on_report=self._reports.append
            )

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        """Answer lmms-eval's requests, in their order."""
        self._reports.clear()
        with ThreadPoolExecutor(self._workers) as pool:
            answers = list(
                tqdm(pool.map(self._one, requests), total=len(requests), desc="Model Responding")
            )
        failed = sum(answer.startswith(_FAILED) for answer in answers)
        if failed:
            logger.error(f"{failed} of {len(answers)} requests failed; they count as wrong")
        if self._reports:
            logger.info(f"cropzoom: {_summary(self._reports)}")
        return answers

    def loglikelihood(self, requests: Sequence[Any]) -> list[tuple[float, bool]]:
        """Not there: neither a pipeline nor chat completions give it."""
        raise NotImplementedError("cropzoom's model generates text only; choose another task")

    def generate_until_multi_round(self, requests: Sequence[Any]) -> list[str]:
        """Not there."""
        raise NotImplementedError("cropzoom's model has no multi-round generation")

    def _one(self, request: Any) -> str:
        _, doc_to_messages, settings, doc_id, task, split = request.args
        chat = ChatMessages(messages=doc_to_messages(self.task_dict[task][split][doc_id]))
        try:
            text = self._answer(chat, settings)
        except Exception as error:
            # One question must not end a run of hours; lmms-eval's own models do the same.
            logger.error(f"{task} {doc_id}: {type(error).__name__}: {error}")
            return f"{_FAILED} {type(error).__name__}: {error}"[:500]
        for stop in _stops(settings):
            text = text.split(stop)[0]
        return text

    def _by_pipeline(self, chat: Any, settings: Mapping[str, Any]) -> str:
        sample = bool(settings.get("do_sample", False)) and settings.get("temperature", 0) > 0
        generate = {
            "max_new_tokens": settings.get("max_new_tokens", _MAX_NEW_TOKENS),
            "num_beams": settings.get("num_beams", 1),
            "do_sample": sample,
        }
        if sample:
            generate |= {
                name: settings[name] for name in ("temperature", "top_p") if name in settings
            }
        reply = self._client(
            text=chat.to_hf_messages(), return_full_text=False, generate_kwargs=generate
        )
        return str(reply[0]["generated_text"])

    def _by_server(self, chat: Any, settings: Mapping[str, Any]) -> str:
        body = {
            "max_tokens": settings.get("max_new_tokens", _MAX_NEW_TOKENS),
            "temperature": settings.get("temperature", 0),
        }
        if any(name in str(self._model) for name in ("o1", "o3", "o4", "gpt-5")):
            # As lmms-eval's own model for OpenAI: these refuse both.
            body = {"max_completion_tokens": body["max_tokens"]}
        reply = self._client.chat.completions.create(
            model=self._model, messages=chat.to_openai_messages(), **body
        )
        return reply.choices[0].message.content or ""


def _pipeline(folder: str, device: str | None, dtype: str | None) -> Any:
    from transformers import pipeline

    return pipeline("image-text-to-text", model=folder, device=device, dtype=dtype or "auto")


def _stops(settings: Mapping[str, Any]) -> Iterable[str]:
    until = settings.get("until") or []
    return [until] if isinstance(until, str) else [stop for stop in until if stop]


def _summary(reports: Sequence[ZoomReport]) -> str:
    """Say how many requests got a crop, and why the others did not."""
    reasons = Counter(
        str(image.reason)
        for report in reports
        for image in report.images
        if image.reason is not None
    )
    reasons.update(str(report.reason) for report in reports if report.reason is not None)
    added = sum(bool(report.crops) for report in reports)
    why = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
    return f"a crop was added to {added} of {len(reports)} requests" + (f" ({why})" if why else "")
