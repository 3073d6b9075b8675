"""What answers: an OpenAI-compatible server, a Hugging Face pipeline, or the OCR stand-in.

Every target is asked as an application would ask it: through a client that `CropZoom` wraps with
the cropper in question, or, without a crop, through the client itself.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from PIL import Image

from cropzoom.clients import CropZoom, rewrite_body
from cropzoom.clients.addresses import image_url, question_messages
from cropzoom.data.row import Row
from cropzoom.errors import DataError, MissingDependencyError
from cropzoom.evaluate.croppers import NamedCropper
from cropzoom.geometry import Crop
from cropzoom.images import ImageSource, OpenedImage, decode_data_uri, load_image
from cropzoom.models import sight
from cropzoom.options import ZoomOptions
from cropzoom.reading.ocr import OcrReader, require_reader
from cropzoom.reading.standin import StandIn
from cropzoom.report import ZoomReport
from cropzoom.zoom import Zoom


@dataclass(frozen=True)
class Answer:
    """What a target said.

    Args:
        text: its words.
        milliseconds: of the whole call, cropping included.
        report: what cropzoom did; None where it was not asked.
        prompt_tokens: pictures included, as the target counts them; None where it doesn't say.
        completion_tokens: the same of its words.
        image_tokens: what the pictures of the request cost, by `cropzoom.models`.
    """

    text: str
    milliseconds: float
    report: ZoomReport | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    image_tokens: int | None = None


class Target(Protocol):
    """Something that answers questions about pictures. Safe to share between threads.

    Attributes:
        name: as given on the command line.
        identity: changes with what it would answer, as far as that can be told.
        model: whose rule counts the tokens of pictures; None where none is known.
    """

    name: str
    identity: str
    model: str | None

    def ask(self, row: Row, image: ImageSource, cropper: NamedCropper) -> Answer:
        """Ask a row's question about its picture.

        Raises:
            Exception: of whatever kind the target's client raises.
        """
        ...


@dataclass(frozen=True)
class TargetSettings:
    """What targets are made with.

    Args:
        options: how crops are made. Nothing is cached, whatever it says, so that times are true.
        base_url: of an OpenAI-compatible server; None for OpenAI's own.
        body: fields added to every request of chat completions; null takes a default out.
        retries: of a request, by the client.
        timeout: of a request, in seconds.
        max_new_tokens: of a pipeline.
        reader: the stand-in's.
        count_as: a model whose rule counts the tokens of the stand-in's pictures.
    """

    options: ZoomOptions
    base_url: str | None = None
    body: Mapping[str, Any] | None = None
    retries: int = 2
    timeout: float = 120.0
    max_new_tokens: int = 32
    reader: OcrReader | None = None
    count_as: str | None = None


def make_target(name: str, settings: TargetSettings) -> Target:
    """Make a target of its name: `openai:MODEL`, `hf:FOLDER` or `standin:SIDE`.

    Raises:
        DataError: there is no such target.
        MissingDependencyError: it needs a package that is not installed.
        CropZoomError: it can't be reached at all, for instance for want of a key.
    """
    kind, _, rest = name.partition(":")
    if kind == "openai" and rest:
        return OpenAITarget(name, rest, settings)
    if kind == "hf" and rest:
        return PipelineTarget(name, rest, settings)
    if kind == "standin":
        side = int(rest) if rest.isdecimal() else 448 if not rest else 0
        if 32 <= side <= 8192:
            return StandInTarget(name, side, settings)
    raise DataError(
        f"--target {name}: there are openai:MODEL, hf:FOLDER and standin:SIDE (32 to 8192 px)"
    )


class _Wrapped:
    """One client per cropper, made when first asked for."""

    def __init__(self, client: Any, options: ZoomOptions) -> None:
        self._client = client
        self._options = options
        self._lock = threading.Lock()
        self._wrapped: dict[str, Any] = {}

    def by(self, cropper: NamedCropper) -> Any:
        """Return the client that adds this cropper's crops; the client itself for none."""
        if cropper.cropper is None:
            return self._client
        with self._lock:
            if cropper.name not in self._wrapped:
                options = in_mode(self._options, cropper)
                self._wrapped[cropper.name] = CropZoom(self._client, cropper.cropper, options)
            return self._wrapped[cropper.name]


def in_mode(options: ZoomOptions, cropper: NamedCropper) -> ZoomOptions:
    """Return the options with the mode in which a cropper's crops go out."""
    return options if cropper.mode is None else replace(options, mode=cropper.mode)


def image_tokens(model: str | None, image: ImageSource, report: ZoomReport | None) -> int:
    """Return what the pictures of a request cost: as reported, or as the picture itself does."""
    if report is not None and report.tokens_given:
        return report.tokens_sent
    return sight(model, OpenedImage(image).size).tokens


class OpenAITarget:
    """A model behind an OpenAI-compatible server, asked by the openai package."""

    def __init__(self, name: str, model: str, settings: TargetSettings) -> None:
        from cropzoom.clients.connect import connect, naming_target

        self.name = name
        self.model: str | None = model
        body = {"temperature": 0, **(settings.body or {})}
        self._body = {key: value for key, value in body.items() if value is not None}
        with naming_target(settings.base_url, model):
            client = connect(settings.base_url)
        client = client.with_options(max_retries=settings.retries, timeout=settings.timeout)
        self._clients = _Wrapped(client, settings.options)
        where = str(client.base_url)
        self.identity = f"{model} at {where} {json.dumps(self._body, sort_keys=True)}"

    def ask(self, row: Row, image: ImageSource, cropper: NamedCropper) -> Answer:
        """Send one chat completion."""
        client = self._clients.by(cropper)
        messages = question_messages(image_url(image), row.question)
        start = time.perf_counter()
        completion = client.chat.completions.create(
            model=cast(str, self.model), messages=cast(Any, messages), **self._body
        )
        milliseconds = (time.perf_counter() - start) * 1000
        usage = completion.usage
        report = None if cropper.cropper is None else client.cropzoom.last_report
        return Answer(
            completion.choices[0].message.content or "",
            milliseconds,
            report,
            None if usage is None else usage.prompt_tokens,
            None if usage is None else usage.completion_tokens,
            image_tokens(self.model, image, report),
        )


class _NoCropper:
    """Never asked: the pipeline is wrapped for its `ask`, with cropping switched off."""

    def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
        return []


class PipelineTarget:
    """A model of transformers in this process, by its image-text-to-text pipeline.

    One question at a time: a pipeline is not thread-safe.
    """

    def __init__(self, name: str, folder: str, settings: TargetSettings) -> None:
        try:
            from transformers import pipeline
        except ImportError as error:
            raise MissingDependencyError(
                "a pipeline needs transformers and torch; pip install 'cropzoom[hf]'"
            ) from error
        self.name = name
        # A pipeline's requests name no model, so its reports count by the rule for unknown ones.
        self.model: str | None = None
        try:
            pipe: Any = pipeline("image-text-to-text", model=folder)
        except Exception as error:
            # A missing folder, another task, a broken file: transformers raises what it likes.
            raise DataError(f"--target {name}: transformers can't load it: {error}") from error
        self._lock = threading.Lock()
        self._pipelines = _Wrapped(pipe, settings.options)
        self._plain = CropZoom(pipe, _NoCropper())
        self._generate = {"max_new_tokens": settings.max_new_tokens, "do_sample": False}
        self._prompt_tokens = self._steps = 0
        pipe.model.register_forward_pre_hook(self._count, with_kwargs=True)
        self.identity = f"{_listing(folder)} {json.dumps(self._generate, sort_keys=True)}"

    def _count(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        """Note a step of generation: the first takes the prompt, and each makes one token."""
        self._steps += 1
        ids = kwargs.get("input_ids")
        if ids is not None:
            self._prompt_tokens = max(self._prompt_tokens, int(ids.shape[-1]))

    def ask(self, row: Row, image: ImageSource, cropper: NamedCropper) -> Answer:
        """Run the pipeline once."""
        picture = load_image(image)
        plain = cropper.cropper is None
        client = self._plain if plain else self._pipelines.by(cropper)
        with self._lock, client.cropzoom.override(enabled=False) if plain else nullcontext():
            self._prompt_tokens = self._steps = 0
            start = time.perf_counter()
            text = client.ask(picture, row.question, generate_kwargs=self._generate)
            milliseconds = (time.perf_counter() - start) * 1000
            report = None if plain else client.cropzoom.last_report
            return Answer(
                text,
                milliseconds,
                report,
                self._prompt_tokens or None,
                self._steps or None,
                image_tokens(self.model, image, report),
            )


class StandInTarget:
    """The reading stand-in of `cropzoom.reading.standin`: no model, but it sees as little as one.

    It is asked in the page's own words where these are known, since a rule can't know that "what
    do I pay" means "Total"; the cropper gets the question.
    """

    def __init__(self, name: str, side: int, settings: TargetSettings) -> None:
        require_reader()
        self.name = name
        self.model: str | None = settings.count_as
        self.identity = f"stand-in {side} {self.model or ''}".rstrip()
        self._stand_in = StandIn(side=side, reader=settings.reader, enlarge=False)
        self._options = settings.options

    def ask(self, row: Row, image: ImageSource, cropper: NamedCropper) -> Answer:
        """Read the pictures that an application would send."""
        start = time.perf_counter()
        pictures, report = [image], None
        if cropper.cropper is not None:
            pictures, report = self._sent(row, image, cropper)
        question = f'"{row.key}"' if row.key else row.plain or row.question
        reply = self._stand_in.answer(question, [load_image(picture) for picture in pictures])
        milliseconds = (time.perf_counter() - start) * 1000
        tokens = image_tokens(self.model, image, report)
        return Answer(reply.text, milliseconds, report, image_tokens=tokens)

    def _sent(
        self, row: Row, image: ImageSource, cropper: NamedCropper
    ) -> tuple[list[ImageSource], ZoomReport]:
        """Return the pictures of a request that is made and rewritten as an application's."""
        assert cropper.cropper is not None
        options = replace(in_mode(self._options, cropper), question=row.question, deadline=None)
        if options.target_side is None:
            # What the stand-in sees is not what the model sees as which it counts.
            options = replace(options, target_side=0)
        messages = question_messages(image_url(image), row.question)
        body = {"model": self.model or self.name, "messages": messages}
        zoom = Zoom(cropper.cropper, options)
        new, report = rewrite_body(body, zoom=zoom, options=options)
        parts = new["messages"][0]["content"]
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        return [decode_data_uri(url) for url in urls], report


def submission(rows: Sequence[Row], replies: Mapping[str, str], names: tuple[str, str]) -> str:
    """Return the JSON a challenge's server takes: a list of objects with id and answer.

    Args:
        rows: whose order is kept; one without a reply is left out.
        replies: by the row's id.
        names: of the two fields.
    """
    entries: list[dict[str, Any]] = []
    for row in rows:
        if row.id in replies:
            number = int(row.id) if row.id.isdecimal() else row.id  # a number, as in lmms-eval
            entries.append({names[0]: number, names[1]: replies[row.id]})
    return json.dumps(entries, ensure_ascii=False)


def _listing(folder: str) -> str:
    """Name a model by its files' names and sizes; a hub's by its name."""
    path = Path(folder)
    if not path.is_dir():
        return folder
    files = sorted((file.name, file.stat().st_size) for file in path.iterdir() if file.is_file())
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()[:16]
