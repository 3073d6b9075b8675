"""The `vlm` teacher: a vision-language model that draws boxes, such as Qwen2.5-VL.

What a model means by its numbers differs from model to model, and a box read in the wrong space is
silently wrong. Qwen2.5-VL counts pixels of the picture as its processor has resized it (its
authors: QwenLM/Qwen3-VL, issues 676 and 1035 on GitHub), Qwen2-VL and Qwen3-VL thousandths of the
sides (issues 721 and 1486). So pictures are sent in the size that the processor would give them:
then it leaves them alone, whatever its own limits, if they are no tighter.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image

from cropzoom.data.columns import Units, whole
from cropzoom.data.row import Row
from cropzoom.errors import DataError, LabelError
from cropzoom.geometry import Box
from cropzoom.images import encode_crop

from ..vlm import load_vlm, user_turn
from .teachers import NoBox, answers_by_votes

if TYPE_CHECKING:
    from openai import OpenAI

Ask = Callable[[Image.Image, str], str]

DEFAULT_FACTOR = 28
DEFAULT_MIN_PIXELS = 4 * 28 * 28
DEFAULT_MAX_PIXELS = 2560 * 28 * 28

PROMPT = (
    "Question about this picture ({width} x {height} pixels): {question}\n"
    "Its answer: {answer}\n"
    "Where must one look to see that? Reply with the one box around all that is needed, as JSON: "
    '{{"bbox_2d": [x1, y1, x2, y2]}}, {units}.'
)
_UNITS = {
    "pixels": "in pixels",
    "thousandths": "in thousandths of the picture's width and height, 0 to 1000",
    "percent": "in percent of the picture's width and height, 0 to 100",
    "fractions": "in fractions of the picture's width and height, 0 to 1",
}
# Boxes drift over the edge by some pixels (issue 1035 above) and are then cut; those that lie
# further outside, by this share of a side, were counted in other units.
_DRIFT = 0.1
_MAX_REPLY = 20_000

_N = r'"?([-+]?\d{1,9}(?:\.\d{1,9})?)"?'
_FOUR = rf"{_N}\s*,\s*{_N}\s*[)\]]?\s*,\s*[(\[]?\s*{_N}\s*,\s*{_N}"
_LISTED = rf"[\[(]\s*[\[(]?\s*{_FOUR}\s*,?\s*[\])]"
# "bbox_2d": [1, 2, 3, 4] of Qwen; "box_2d" of Gemini has y before x.
_KEYED = re.compile(rf'"?\b(bbox_2d|bbox|box_2d|box|bounding_box)"?\s*[:=]\s*{_LISTED}', re.I)
# <|box_start|>(1,2),(3,4)<|box_end|> of Qwen2-VL, <bbox>1, 2, 3, 4</bbox> and the like.
_TAGGED = re.compile(
    rf"<\|?(?:box|bbox|box_start)\|?>\s*[\[(]?\s*{_FOUR}\s*[\])]?\s*<\|?/?b\w*\|?>", re.I
)
_NAMED = re.compile(
    rf'"?\bx_?1"?\s*[:=]\s*{_N}\s*,\s*"?y_?1"?\s*[:=]\s*{_N}\s*,'
    rf'\s*"?x_?2"?\s*[:=]\s*{_N}\s*,\s*"?y_?2"?\s*[:=]\s*{_N}(?![\d.])',
    re.I,
)
_BARE = re.compile(rf"{_LISTED}|\A\s*{_FOUR}\s*\.?\s*\Z")


class VlmTeacher:
    """Asks a model for the box, given the question and the answer.

    Args:
        ask: sends a picture and a text, and returns the reply (`ServerVlm`, `LocalVlm`).
        model: its name, for the record.
        coordinates: what the model's numbers count.
        factor: sides of the sent picture are multiples of this; 28 for Qwen2.5-VL, 32 for
            Qwen3-VL.
        min_pixels: a picture with fewer is enlarged.
        max_pixels: a picture with more is shrunk.
        prompt: with {question}, {answer}, {width}, {height} and {units}.
        workers: requests under way at the same time.

    Raises:
        DataError: an argument is out of range, or the prompt names something else.
    """

    name = "vlm"

    def __init__(
        self,
        ask: Ask,
        *,
        model: str,
        coordinates: Units = "pixels",
        factor: int = DEFAULT_FACTOR,
        min_pixels: int = DEFAULT_MIN_PIXELS,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        prompt: str = PROMPT,
        workers: int = 1,
    ) -> None:
        whole(coordinates, (1, 1))
        if not (factor >= 1 and factor**2 <= min_pixels <= max_pixels and workers >= 1):
            raise DataError(
                f"needs factor={factor} of 1 or more, factor^2 <= min_pixels={min_pixels} <= "
                f"max_pixels={max_pixels}, and workers={workers} of 1 or more"
            )
        try:
            prompt.format(question="", answer="", width=1, height=1, units="")
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            raise DataError(
                f"the prompt can't be filled in ({error!r}); it may have {{question}}, {{answer}}, "
                "{width}, {height} and {units}, and doubled braces for JSON"
            ) from error
        self._ask, self._units, self._prompt, self.workers = ask, coordinates, prompt, workers
        self._factor, self._min, self._max = factor, min_pixels, max_pixels
        self.arguments: dict[str, Any] = {
            "model": model,
            "coordinates": coordinates,
            "factor": factor,
            "min_pixels": min_pixels,
            "max_pixels": max_pixels,
            "prompt": prompt,
        }

    def propose(self, row: Row, image: Image.Image) -> Box:
        """Return the box that the model draws."""
        try:
            size = processed_size(*image.size, self._factor, self._min, self._max)
        except ValueError as error:
            raise NoBox("picture too narrow", str(error)) from error
        sent = image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)
        choice = answers_by_votes(row) or row.answers
        answers = " or ".join(repr(answer) for answer in choice[:3])
        text = self._prompt.format(
            question=row.question,
            answer=answers,
            width=size[0],
            height=size[1],
            units=_UNITS[self._units],
        )
        return parse_box(self._ask(sent, text), self._units, size)


def processed_size(
    width: int, height: int, factor: int, min_pixels: int, max_pixels: int
) -> tuple[int, int]:
    """Return the size, in px, to which the processor of Qwen2-VL and later resizes a picture.

    Sides are multiples of `factor`, their product lies within the limits, and the aspect is kept
    as far as that allows. The rule, down to its rounding, is that of `smart_resize` in
    transformers' `image_processing_qwen2_vl.py`, against which it is tested. Of its own result it
    makes the same again.

    Raises:
        ValueError: one side is more than 200 times the other.
    """
    if max(width, height) > 200 * min(width, height):
        raise ValueError(f"{width}x{height} px: one side is more than 200 times the other")
    # Halves go to the even multiple, as Python's round does there.
    across, down = round(width / factor) * factor, round(height / factor) * factor
    if across * down > max_pixels:
        shrink = math.sqrt(width * height / max_pixels)
        across = max(factor, math.floor(width / shrink / factor) * factor)
        down = max(factor, math.floor(height / shrink / factor) * factor)
    elif across * down < min_pixels:
        grow = math.sqrt(min_pixels / (width * height))
        across = math.ceil(width * grow / factor) * factor
        down = math.ceil(height * grow / factor) * factor
    return across, down


def parse_box(reply: str, units: Units, size: tuple[int, int]) -> Box:
    """Read the box in a model's reply.

    Understood are `"bbox_2d": [x1, y1, x2, y2]` in whole or broken JSON (`bbox`, `box` and
    `bounding_box` too; `box_2d` with y before x), Qwen's `<|box_start|>(x1,y1),(x2,y2)<|box_end|>`,
    `<bbox>` tags, `"x1": ...` to `"y2": ...`, and else the last list of four numbers. Several boxes
    under keys or tags are joined into the one around them.

    Args:
        reply: of the model.
        units: of its numbers.
        size: (width, height) in px of the picture as the model saw it.

    Raises:
        NoBox: there is no box in it, it is inverted, less than a pixel, or outside the picture.
    """
    # Runs of spaces would make the patterns slow.
    reply = " ".join(reply[:_MAX_REPLY].split())
    numbers = [_in_order(match) for match in _KEYED.finditer(reply)]
    for pattern in (_TAGGED, _NAMED):
        numbers = numbers or [_floats(match.groups()) for match in pattern.finditer(reply)]
    if not numbers:
        numbers = [_floats(match.groups()) for match in _BARE.finditer(reply)][-1:]
    if not numbers:
        raise NoBox("no box in the reply", repr(reply[:200]), suspicious=True)
    across, down = whole(units, size)
    boxes = repr([list(box) for box in numbers])[:200]
    for x0, y0, x1, y1 in numbers:
        if not (x0 < x1 and y0 < y1):
            raise NoBox("inverted box", boxes, suspicious=True)
    low_x, low_y = min(box[0] for box in numbers), min(box[1] for box in numbers)
    high_x, high_y = max(box[2] for box in numbers), max(box[3] for box in numbers)
    ends = (low_x / across, low_y / down, high_x / across, high_y / down)
    hint = f"{boxes} ({units} of {across:g}x{down:g}); is --coordinates right?"
    if min(ends) < -_DRIFT or max(ends) > 1 + _DRIFT:
        raise NoBox("box outside the picture", hint, suspicious=True)
    x0, y0, x1, y1 = (min(1.0, max(0.0, end)) for end in ends)
    if (x1 - x0) * size[0] < 1 - 1e-9 or (y1 - y0) * size[1] < 1 - 1e-9:
        raise NoBox("box without a pixel", hint, suspicious=True)
    return Box(x0, y0, x1, y1)


class ServerVlm:
    """A model behind any server that speaks OpenAI's chat API, such as vLLM. Thread-safe.

    Args:
        client: with its address, key, timeout and retries.
        model: as the server calls it.
        max_tokens: most tokens of a reply.
    """

    def __init__(self, client: OpenAI, model: str, *, max_tokens: int = 256) -> None:
        self._client, self._model, self._max_tokens = client, model, max_tokens

    def __call__(self, image: Image.Image, prompt: str) -> str:
        """Return the reply.

        Raises:
            NoBox: the server doesn't answer, after the client's own retries, or answers nonsense.
            LabelError: it refuses the key, or doesn't know the model.
        """
        import openai

        whole_image = Box(0, 0, 1, 1)
        encoded = encode_crop(
            image, whole_image, min_side=0, max_side=max(image.size), photographic=True
        )
        url = {"type": "image_url", "image_url": {"url": encoded.data_uri()}}
        messages: Any = [user_turn(prompt, [url])]
        try:
            completion = self._client.chat.completions.create(
                model=self._model, messages=messages, temperature=0, max_tokens=self._max_tokens
            )
            reply = completion.choices[0].message.content
        except (
            openai.AuthenticationError,
            openai.PermissionDeniedError,
            openai.NotFoundError,
        ) as error:
            raise LabelError(
                f"the server at {self._client.base_url} refuses: {error}. "
                "Check the model's name, the address and the key in OPENAI_API_KEY"
            ) from error
        except (
            openai.APIConnectionError,
            openai.RateLimitError,
            openai.InternalServerError,
        ) as error:
            raise NoBox(
                "no answer from the server",
                f"{self._client.base_url}: {error}",
                suspicious=True,
                again=True,
            ) from error
        except openai.APIStatusError as error:
            raise NoBox("refused by the server", str(error)[:300], suspicious=True) from error
        except (
            openai.APIError,
            AttributeError,
            IndexError,
            TypeError,
            ValueError,
        ) as error:
            # What says it is a completion, and isn't, fails where it is taken apart.
            raise NoBox("no chat completion", repr(error)[:300], suspicious=True) from error
        if not isinstance(reply, str):
            raise NoBox("no chat completion", f"the content is {reply!r:.80}", suspicious=True)
        return reply


class LocalVlm:
    """A model loaded with transformers (`AutoModelForImageTextToText`); answers greedily.

    One row at a time: for large data sets a server that batches, such as vLLM, is many times
    faster.

    Args:
        model: folder, or "owner/name" on the hub. No code of a repository is run.
        device: "auto" takes a GPU if there is one.
        max_tokens: most tokens of a reply.

    Raises:
        MissingDependencyError: transformers or torch is not installed.
        LabelError: the model can't be loaded.
    """

    def __init__(self, model: str, *, device: str = "auto", max_tokens: int = 256) -> None:
        self._model, self._processor = load_vlm(model, device=device, error=LabelError)
        self._max_tokens = max_tokens

    def __call__(self, image: Image.Image, prompt: str) -> str:
        """Return the reply."""
        import torch

        inputs = self._processor.apply_chat_template(
            [user_turn(prompt, [{"type": "image", "image": image}])],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        ).to(self._model.device, self._model.dtype)
        with torch.inference_mode():
            tokens = self._model.generate(
                **inputs, max_new_tokens=self._max_tokens, do_sample=False
            )
        fresh = tokens[0, inputs["input_ids"].shape[1] :]
        return str(self._processor.decode(fresh, skip_special_tokens=True))


def _in_order(match: re.Match[str]) -> tuple[float, ...]:
    key, *numbers = match.groups()
    x0, y0, x1, y1 = _floats(numbers)
    return (y0, x0, y1, x1) if key.lower() == "box_2d" else (x0, y0, x1, y1)


def _floats(numbers: Any) -> tuple[float, ...]:
    return tuple(float(number) for number in numbers if number is not None)
