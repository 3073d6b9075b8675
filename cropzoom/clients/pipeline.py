"""Transformers pipelines: a subclass made per wrap, which adds crops in `preprocess`.

All forms of input (a chat, lists, generators and datasets of chats, `images=` with `text=`) reach
`preprocess` one sample at a time and as one of three kinds, so they are told apart by transformers
alone, lazy input stays lazy, and a sample is cropped when it is consumed. What `preprocess` passes
on for the result to echo is the sample as the caller gave it, so history never holds crops.

With `num_workers`, samples are prepared in other processes: crops are added, but reports are made
there and `last_report` does not change here. With `batch_size`, too, they are prepared in this one.
"""

from __future__ import annotations

import copy
import io
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from cropzoom.clients import CropZoom
from cropzoom.clients.budget import Limits
from cropzoom.clients.controller import Controller, off_report
from cropzoom.clients.conversation import Path, Piece
from cropzoom.clients.openai_dialect import OpenAIDialect
from cropzoom.clients.prompts import Markers
from cropzoom.clients.refusals import LIFE, learnt_of_canvas
from cropzoom.clients.rewriting import Settings, rewrite
from cropzoom.clients.sources import Fetched, bytes_at, decode_base64, is_remote, skip
from cropzoom.errors import ClientError, RequestError
from cropzoom.images import Encoded, ImageSource, load_image
from cropzoom.options import ZoomOptions
from cropzoom.report import Reason, ZoomReport

_TASKS = {
    "image-text-to-text": "ImageTextToTextPipeline",
    "any-to-any": "AnyToAnyPipeline",
}
# Exactly one of these holds the image of a block.
_IMAGE_KEYS = ("image", "url", "path", "base64")
# What limits are learnt for: a pipeline has one model.
_MODEL = "the model"
# Hands `preprocess` the settings in force when the pipeline was called.
_SETTINGS = "_cropzoom_settings"


class ZoomPipeline(CropZoom):
    """A pipeline that adds crops. Made by `CropZoom(pipeline)`."""

    if TYPE_CHECKING:

        def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

    def chat(self, messages: Sequence[Mapping[str, Any]], **kwargs: Any) -> Any:
        """Continue a chat; the same as calling the pipeline with it.

        Args:
            messages: dicts with role and content.
            kwargs: further arguments of the pipeline, for instance `max_new_tokens`.

        Returns:
            What the pipeline returns: by default a list with one dict, whose `generated_text` is
            the caller's own messages and the answer.
        """
        return self(text=messages, **kwargs)

    def ask(self, image: ImageSource, question: str, **kwargs: Any) -> str:
        """Ask about an image and return the answer's text.

        Args:
            image: path, bytes, PIL image, data URI or http(s) address.
            question: what to ask.
            kwargs: further arguments of the pipeline, for instance `max_new_tokens`; not what
                decides the form of the result.

        Raises:
            ImageError: the bytes given are no image.
            RequestError: an argument that makes no sense here.
        """
        wrong = sorted({"return_full_text", "return_tensors", "return_type", "text"} & set(kwargs))
        if wrong:
            raise RequestError(f"ask() returns the answer's text; call the pipeline for {wrong}")
        if isinstance(image, (bytes, bytearray, memoryview)):
            image = load_image(bytes(image), max_pixels=self.cropzoom.options.max_pixels)
        elif isinstance(image, os.PathLike):
            image = os.fspath(image)
        processor = cast(Any, self).processor
        if getattr(processor, "chat_template", None) is None:
            token = _image_tokens(processor)[0]
            made = self(text=f"{token}{question}", images=[image], return_full_text=False, **kwargs)
        else:
            content = [{"type": "image", "image": image}, {"type": "text", "text": question}]
            messages = [{"role": "user", "content": content}]
            made = self(text=messages, return_full_text=False, **kwargs)
        return cast(str, made[0]["generated_text"])

    if not TYPE_CHECKING:
        # Hooks of `Pipeline`, typed as loosely as there.

        def _sanitize_parameters(self, *args, **kwargs):
            before, forward, after = super()._sanitize_parameters(*args, **kwargs)
            # Fixed here, for a generator's samples are consumed later, maybe outside `override`.
            settings = self.cropzoom.options, self.cropzoom.enabled
            return {**before, _SETTINGS: settings}, forward, after

        def preprocess(self, inputs=None, *args, **kwargs):
            if isinstance(inputs, _Prepared):
                return inputs.model_inputs
            here = self.cropzoom.options, self.cropzoom.enabled
            options, enabled = kwargs.pop(_SETTINGS, here)
            if not enabled:
                self.cropzoom.publish(off_report())
                return super().preprocess(inputs, *args, **kwargs)
            prepare = super().preprocess
            new, reports = self._rewritten(inputs, options)
            try:
                prepared = prepare(new, *args, **kwargs)
            except Exception as error:
                if new is inputs or self.cropzoom.strict:
                    self._publish(reports)
                    raise
                again = partial(prepare, *args, **kwargs)
                prepared, reports = self._once_more(inputs, options, error, reports, again)
            if new is not inputs and "text" in prepared:
                # What the result echoes.
                prepared["text"] = _text_of(inputs)
            self._publish(reports)
            return prepared

        def _rewritten(self, inputs, options, limits=None):
            known = self.cropzoom.limits.of(_MODEL).lowered(limits or Limits())
            try:
                return _rewrite(self.processor, inputs, self.cropzoom, options, known)
            except Exception as error:
                return inputs, [self.cropzoom.failed(error)]

        def _once_more(self, inputs, options, error, reports, prepare):
            """Prepare a sample with its crops on canvases, else as it came; learn from it."""
            words = f"{type(error).__name__}: {error}"
            one = len(reports) == 1
            taken = min((len(report.images) for report in reports), default=0)
            refused = [_refused(report, words) for report in reports]
            limits = Limits(pictures=taken)
            # What one prompt of several was refused for is not known.
            new, again = self._rewritten(inputs, options, limits) if one else (inputs, [])
            if new is not inputs:
                with suppress(Exception):
                    prepared = prepare(new)
                    self.cropzoom.limits.add(_MODEL, limits, LIFE)
                    return prepared, [
                        replace(report, reason=Reason.REFUSED, detail=words) for report in again
                    ]
            prepared = prepare(inputs)
            if one:
                self.cropzoom.limits.add(_MODEL, limits, LIFE)
                if new is not inputs:
                    self.cropzoom.limits.add(_MODEL, *learnt_of_canvas())
            return prepared, refused

        def _publish(self, reports):
            for report in reports:
                self.cropzoom.publish(report)

        def get_iterator(self, inputs, num_workers, batch_size, before, forward, after):
            if batch_size == 1 or not before.get(_SETTINGS, (None, True))[1]:
                return super().get_iterator(inputs, num_workers, batch_size, before, forward, after)
            return self._in_batches(inputs, batch_size, before, forward, after)

        def _in_batches(self, inputs, batch_size, before, forward, after):
            """Yield results; a batch whose crops make its tensors too unlike is run one by one."""
            samples = iter(_samples(inputs))
            run = super().get_iterator
            while chunk := [
                _Prepared(self.preprocess(sample, **before))
                for sample in islice(samples, batch_size)
            ]:
                try:
                    results = list(run(chunk, 0, batch_size, {}, forward, after))
                except (RuntimeError, ValueError):
                    results = list(run(chunk, 0, 1, {}, forward, after))
                yield from results


class _Prepared:
    """A sample that `preprocess` is done with."""

    def __init__(self, model_inputs: Any) -> None:
        self.model_inputs = model_inputs


def check(client: Any) -> None:
    """Refuse what is of transformers but not a pipeline that takes several images and a text.

    Raises:
        ClientError: says what to give instead.
    """
    names = {base.__name__ for base in type(client).__mro__}
    if names & set(_TASKS.values()):
        return
    made = " or ".join(f'pipeline("{task}", ...)' for task in _TASKS)
    given = type(client).__name__
    if "Pipeline" not in names:
        raise ClientError(f"{given} is not a pipeline; make one first: CropZoom({made})")
    task = getattr(client, "task", None) or given
    if "question-answering" in task and ("document" in task or "visual" in task):
        raise ClientError(
            f"a pipeline for {task} takes one image and no more, so there is no place for a crop; "
            f"use a model for CropZoom({made}), or crop the image yourself with "
            "cropzoom.load_cropper().predict(image, question)"
        )
    raise ClientError(f"a pipeline for {task} takes no images with a text; use CropZoom({made})")


def wrap(client: Any, controller: Controller) -> Any:
    """Return a wrapped copy of a pipeline over the same model; the pipeline stays as it is."""
    kind: Any = type(client)
    namespace = {"cropzoom": controller, "__module__": __name__}
    wrapped = object.__new__(type(kind)(kind.__name__, (ZoomPipeline, kind), namespace))
    vars(wrapped).update(vars(client))
    return wrapped


class _Chats(OpenAIDialect):
    """The chats of transformers: images in blocks of one key, and crops as PIL images."""

    def __init__(self) -> None:
        super().__init__("transformers chats", "messages", "text")

    def piece(self, part: Any, path: Path, sole: bool) -> Piece | None:
        if isinstance(part, Mapping) and part.get("type") == "image":
            return Piece(path, picture=part, sole=sole)
        return super().piece(part, path, sole)

    def address(self, part: Any) -> str | None:
        if part.get("type") != "image":
            return super().address(part)
        values = [part.get(key) for key in _IMAGE_KEYS]
        return next((value.strip() for value in values if is_remote(value)), None)

    def source(self, part: Any, files: Fetched) -> ImageSource:
        if part.get("type") != "image":
            return super().source(part, files)
        keys = [key for key in _IMAGE_KEYS if part.get(key) is not None]
        if len(keys) != 1:
            skip(
                Reason.UNSUPPORTED_INPUT,
                f"an image block must hold exactly one of {', '.join(_IMAGE_KEYS)}; "
                f"this one holds {', '.join(keys) or 'none'}",
            )
        return _image_source(part[keys[0]], files)

    def crop_part(self, image: Encoded, part: Any) -> Any:
        return {"type": "image", "image": _picture(image)}

    def substitute(self, image: Encoded, part: Any) -> Any:
        # A block holds exactly one of its keys.
        return self.crop_part(image, part)


def _refused(report: ZoomReport, words: str) -> ZoomReport:
    """Return the report of a prompt that the model did not take with its crops."""
    detail = f"the model refused the prompt with its crops: {words[:500]}"
    images = (
        replace(image, crops=(), reason=Reason.REFUSED, detail=detail) if image.crops else image
        for image in report.images
    )
    return replace(report, images=tuple(images), reason=Reason.REFUSED, detail=detail)


def _rewrite(
    processor: Any, inputs: Any, controller: Controller, options: ZoomOptions, limits: Limits
) -> tuple[Any, list[ZoomReport]]:
    """Return a sample with crops added, itself if there are none; and a report per prompt."""
    if hasattr(inputs, "messages"):
        body = {"messages": inputs.messages}
        settings = Settings(controller.zoom, options, controller.strict, limits)
        changed, report = rewrite(body, _Chats(), settings)
        if changed is body:
            return inputs, [report]
        new = copy.copy(inputs)
        new.messages = changed["messages"]
        return new, [report]
    if isinstance(inputs, Mapping) and inputs.get("images") is not None:
        return _PromptRewriting(processor, controller, options, limits).rewrite(inputs)
    detail = "the prompt has no images; pass them with `images=` or in a chat"
    if controller.strict:
        raise RequestError(f"nothing to zoom: {detail}")
    return inputs, [ZoomReport((), None, Reason.NO_IMAGE, 0.0, detail)]


class _PromptRewriting:
    """`images=` with `text=`: prompts in which a token marks the place of each image."""

    def __init__(
        self, processor: Any, controller: Controller, options: ZoomOptions, limits: Limits
    ) -> None:
        self._processor = processor
        self._limits = limits
        self._controller = controller
        self._options = options
        deadline = options.deadline
        self._until = None if deadline is None else time.monotonic() + deadline

    def rewrite(self, inputs: Mapping[str, Any]) -> tuple[Any, list[ZoomReport]]:
        text, images = inputs["text"], inputs["images"]
        prompts = [text] if isinstance(text, str) else list(text)
        markers = self._markers(prompts)
        groups = _grouped(images, [markers.count(prompt) for prompt in prompts])
        if groups is None:
            detail = (
                f"each image needs an image token ({markers.image}) in its prompt, and each token "
                "an image, so that a crop's place is known"
            )
            if self._controller.strict:
                raise RequestError(f"nothing to zoom: {detail}")
            return inputs, [ZoomReport((), None, Reason.UNSUPPORTED_INPUT, 0.0, detail)]
        done = [
            self._prompt(prompt, group, markers)
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        reports = [report for _, _, report in done]
        if not any(report.crops for report in reports):
            return inputs, reports
        texts, lists = [prompt for prompt, _, _ in done], [group for _, group, _ in done]
        nested = isinstance(images, (list, tuple)) and isinstance(images[0], (list, tuple))
        return {
            **inputs,
            "text": texts[0] if isinstance(text, str) else texts,
            "images": lists if nested else [image for group in lists for image in group],
        }, reports

    def _markers(self, prompts: Sequence[str]) -> Markers:
        known = _image_tokens(self._processor)
        used = (token for token in known if any(token in prompt for prompt in prompts))
        tokenizer = getattr(self._processor, "tokenizer", None)
        edges = [getattr(tokenizer, f"{name}_token", None) for name in ("bos", "eos", "pad")]
        return Markers(
            image=next(used, known[0]),
            special=tuple(getattr(tokenizer, "all_special_tokens", ())),
            edges=tuple(edge for edge in edges if edge),
        )

    def _prompt(
        self, prompt: str, images: list[Any], markers: Markers
    ) -> tuple[str, list[Any], ZoomReport]:
        """Return a prompt and its images with crops; a prompt is a chat of one turn."""
        content = [{"type": "image", "image": image} for image in images]
        question = {"type": "text", "text": markers.question(prompt)}
        body = {"messages": [{"role": "user", "content": [*content, question]}]}
        settings = Settings(
            self._controller.zoom,
            replace(self._options, label=None),
            self._controller.strict,
            self._limits,
            until=self._until,
        )
        changed, report = rewrite(body, _Chats(), settings)
        if changed is body:
            return prompt, images, report
        new = [part["image"] for part in changed["messages"][0]["content"][:-1]]
        counts = [0] * len(images)
        for image in report.images:
            # Those on a canvas are no images of their own.
            counts[image.index] = sum(
                crop.place is None or crop.place.crop_at is None for crop in image.crops
            )
        return markers.insert(prompt, counts, self._options.label), new, report


def _image_source(value: Any, files: Fetched) -> ImageSource:
    """Return an image as transformers would read it: PIL, address, path, data URI or base64.

    Raises:
        SkipError: it is something else, or not at hand.
    """
    if isinstance(value, Image.Image):
        return value
    if not isinstance(value, str):
        skip(
            Reason.UNSUPPORTED_INPUT,
            f"an image is given as {type(value).__name__}; use a PIL image, a path, an address, "
            "a data URI or base64",
        )
    source = bytes_at(value, files)
    if source is not None:
        return source
    # Base64 is longer than any name of a file.
    if len(value) < 4096 and FilePath(value).is_file():
        return value
    return decode_base64(value)


def _image_tokens(processor: Any) -> list[str]:
    """Return what may stand for an image in a prompt, likeliest first."""
    # Gemma's prompts have `boi_token`, which its processor expands to image tokens.
    names = ("boi_token", "image_token")
    found = [getattr(processor, name, None) for name in names]
    return [*dict.fromkeys(str(token) for token in (*found, "<image>") if token)]


def _grouped(images: Any, counts: Sequence[int]) -> list[list[Any]] | None:
    """Return the images of each prompt, None where they don't match the prompts' tokens."""
    if not isinstance(images, (list, tuple)):
        groups = [[images]]
    elif images and all(isinstance(group, (list, tuple)) for group in images):
        groups = [list(group) for group in images]
    else:
        flat = iter(images)
        groups = [list(islice(flat, count)) for count in counts]
        groups += [[image] for image in flat]
    return groups if [len(group) for group in groups] == list(counts) else None


def _picture(encoded: Encoded) -> Image.Image:
    picture = Image.open(io.BytesIO(encoded.data))
    picture.load()
    return picture


def _text_of(inputs: Any) -> Any:
    return inputs["text"] if isinstance(inputs, Mapping) else inputs


def _samples(inputs: Any) -> Iterable[Any]:
    """Return the samples of a list, generator or dataset; some datasets only have numbers."""
    if hasattr(inputs, "__len__") and hasattr(inputs, "__getitem__"):
        return (inputs[number] for number in range(len(inputs)))
    return cast(Iterable[Any], inputs)
