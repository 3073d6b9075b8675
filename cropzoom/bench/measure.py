"""Warm calls: from an image file's bytes to an encoded crop, candidate by candidate in turn.

Stages of a call: read (decode the image as the cropper wants it), the cropper's own (preprocess,
tokenise, vision, prefill, decode, parse; croppers that point have `model` for vision and all
after it), and crop (decode the image in full where that was not done, cut and encode).
"""

from __future__ import annotations

import io
import itertools
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from cropzoom.bench.candidates import Candidate
from cropzoom.cropper.trace import Trace
from cropzoom.errors import OptionsError
from cropzoom.geometry import Box
from cropzoom.images import ImageSource, OpenedImage, encode_crop
from cropzoom.options import ZoomOptions

_BITS = 16
_OPTIONS = ZoomOptions()


@dataclass(frozen=True)
class Call:
    """One call.

    Attributes:
        seconds: end to end.
        stages: seconds by stage.
        counts: tiles, tokens, runs of the decoder.
        box: what it found.
    """

    seconds: float
    stages: dict[str, float]
    counts: dict[str, int]
    box: Box | None


@dataclass
class Calls:
    """Calls of one candidate: about images never seen before, and again about the same ones."""

    first: list[Call] = field(default_factory=list)
    second: list[Call] = field(default_factory=list)


class Picture:
    """A picture in as many versions as are wanted, so that nothing known of one helps with another.

    They differ in a strip of small black and white squares at the top left.

    Args:
        source: bytes of a file, or a path.

    Raises:
        ImageError: it can't be read.
        OptionsError: it is too small for the squares.
    """

    def __init__(self, source: ImageSource) -> None:
        opened = OpenedImage(source)
        self._image = opened.full()
        # Other formats become the nearer of these two.
        self.format = "JPEG" if opened.photographic else "PNG"
        # 8 px: still there in a JPEG that is decoded at an eighth of its size.
        self._side = min(8, self._image.width // _BITS, self._image.height)
        if self._side < 1:
            raise OptionsError(
                f"an image of {self._image.width}x{self._image.height} px can't be told from its "
                f"like; give one at least {_BITS} px wide"
            )
        self._numbers = itertools.count()

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in px."""
        return self._image.size

    def fresh(self) -> bytes:
        """Return the file of a version that was not given out before."""
        number, side = next(self._numbers), self._side
        image = self._image.copy()
        for bit in range(_BITS):
            tone = "black" if number >> bit & 1 else "white"
            image.paste(tone, (bit * side, 0, (bit + 1) * side, side))
        buffer = io.BytesIO()
        image.save(buffer, self.format, **({"quality": 92} if self.format == "JPEG" else {}))
        return buffer.getvalue()


def call(candidate: Candidate, data: bytes, question: str) -> Call:
    """Do and time what a wrapped client does with one image, but for reading the request."""
    trace = Trace()
    start = time.perf_counter()
    opened = OpenedImage(data)
    edge = candidate.longest_edge
    view = opened.full() if edge is None else opened.preview(edge, grey=candidate.grey)
    read = time.perf_counter()
    box = candidate.predict(view, question, trace)
    predicted = time.perf_counter()
    if box is not None:
        encode_crop(
            opened.full(),
            box,
            min_side=_OPTIONS.min_crop_side,
            max_side=_OPTIONS.max_crop_side,
            photographic=opened.photographic,
        )
    end = time.perf_counter()
    stages = {"read": read - start, **trace.seconds, "crop": end - predicted}
    return Call(end - start, stages, trace.counts, box)


def interleaved(
    candidates: Sequence[Candidate],
    picture: Picture,
    questions: Sequence[str],
    *,
    rounds: int,
    warmup: int = 1,
    seed: int = 0,
    progress: Callable[[str], None] = lambda stage: None,
) -> dict[str, Calls]:
    """Call every candidate once a round, in an order drawn anew, on the same image.

    So what disturbs the machine for a while disturbs all of them alike. Those that keep their work
    on an image are asked about it a second time at once.

    Args:
        candidates: with labels that differ.
        picture: a fresh version is made for each round.
        questions: asked in turn; the second question is the one after the first.
        rounds: that count.
        warmup: rounds before them.
        seed: of the order.
        progress: told before each round.
    """
    generator = random.Random(seed)
    done = {candidate.label: Calls() for candidate in candidates}
    for number in range(-warmup, rounds):
        progress(f"Round {number + 1} of {rounds}" if number >= 0 else "Warming up")
        data = picture.fresh()
        question, following = (questions[(number + i) % len(questions)] for i in (0, 1))
        for candidate in generator.sample(list(candidates), len(candidates)):
            first = call(candidate, data, question)
            second = call(candidate, data, following) if candidate.keeps else None
            if number >= 0:
                done[candidate.label].first.append(first)
                if second is not None:
                    done[candidate.label].second.append(second)
    return done


def concurrently(
    candidate: Candidate, picture: Picture, questions: Sequence[str], threads: int, calls: int
) -> tuple[float, list[float]]:
    """Call one cropper from several threads at once, each time with another image.

    Returns:
        seconds that all took together, and those of each call.
    """
    jobs = [(picture.fresh(), questions[i % len(questions)]) for i in range(calls)]
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        each = list(pool.map(lambda job: call(candidate, *job).seconds, jobs))
        return time.perf_counter() - start, each
