"""Asking every row of every target with every cropper, several at a time, once each."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, as_completed, wait
from dataclasses import replace
from pathlib import Path

from cropzoom.clients.modes import thumbnail
from cropzoom.data.row import BadRow, Row
from cropzoom.data.test_set import TestSet
from cropzoom.errors import ImageError
from cropzoom.evaluate.answer_file import Outcome, ResultFile
from cropzoom.evaluate.croppers import NamedCropper, asked_row
from cropzoom.evaluate.targets import Answer, Target
from cropzoom.images import ImageSource, OpenedImage, load_image, read_bytes
from cropzoom.reading.metrics import score
from cropzoom.report import ZoomReport

REQUEST_FAILED = "request failed"
# So many failed requests in a row mean a server that is down, or a wrong key.
GIVE_UP_AFTER = 20


def evaluate(
    test: TestSet,
    targets: Sequence[Target],
    croppers: Sequence[NamedCropper],
    results: ResultFile,
    *,
    concurrency: int = 4,
    on_outcome: Callable[[Outcome], object] | None = None,
) -> str | None:
    """Ask what has no answer in the file yet, and write each answer as it comes.

    What failed in an earlier run is asked again. On an interrupt, the requests under way are waited
    for, since they are paid for.

    Args:
        test: the rows.
        targets: what is asked.
        croppers: what is compared.
        results: where answers are, and go.
        concurrency: most requests at a time.
        on_outcome: called with every new outcome, in this thread.

    Returns:
        None, or why it stopped early: too many failed requests in a row.
    """
    under_way: set[Future[Outcome]] = set()
    failed_in_a_row = 0

    def collect(done: Iterable[Future[Outcome]]) -> None:
        nonlocal failed_in_a_row
        for future in done:
            outcome = future.result()
            results.add_outcome(outcome)
            under_way.discard(future)
            failed_in_a_row = failed_in_a_row + 1 if outcome.failure == REQUEST_FAILED else 0
            if on_outcome is not None:
                on_outcome(outcome)

    with ThreadPoolExecutor(concurrency, thread_name_prefix="cropzoom-eval") as pool:
        try:
            for row, picture, target, cropper in _open_questions(test, targets, croppers, results):
                if len(under_way) >= concurrency:
                    collect(wait(under_way, return_when=FIRST_COMPLETED).done)
                if failed_in_a_row >= GIVE_UP_AFTER:
                    break
                under_way.add(pool.submit(_ask, test, row, picture, target, cropper))
            collect(wait(under_way).done)
        except BaseException:
            collect(as_completed(set(under_way)))
            raise
    if failed_in_a_row >= GIVE_UP_AFTER:
        return f"{failed_in_a_row} requests failed in a row"
    return None


def count_open(
    test: TestSet,
    targets: Sequence[Target],
    croppers: Sequence[NamedCropper],
    results: ResultFile,
) -> int:
    """Return how many questions `evaluate` would ask."""
    return sum(1 for _ in _open_questions(test, targets, croppers, results))


def _open_questions(
    test: TestSet,
    targets: Sequence[Target],
    croppers: Sequence[NamedCropper],
    results: ResultFile,
) -> Iterator[tuple[Row, _Picture, Target, NamedCropper]]:
    for row in test.rows:
        picture = _Picture(row)
        for target in targets:
            for cropper in croppers:
                known = results.outcomes.get((row.id, target.name, cropper.name))
                if known is None or known.failure is not None:
                    yield row, picture, target, cropper


class _Picture:
    """A row's picture, fetched and checked once for all that ask about it."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._lock = threading.Lock()
        self._outcome: tuple[ImageSource, str] | Exception | None = None

    def get(self) -> tuple[ImageSource, str]:
        """Return bytes or an image, and the picture's name.

        Raises:
            BadRow: there is none.
            ImageError: it is broken.
        """
        with self._lock:
            if self._outcome is None:
                try:
                    self._outcome = _fetched(self._row)
                except (BadRow, ImageError) as error:
                    self._outcome = error
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def _fetched(row: Row) -> tuple[ImageSource, str]:
    source = row.picture()
    if isinstance(source, (str, Path)):
        source = read_bytes(source)
    # A truncated file shows only when it is decoded, and must not be asked about.
    pixels = load_image(source)
    data = source if isinstance(source, bytes) else pixels.tobytes()
    return source, row.image_id or hashlib.sha256(data).hexdigest()[:16]


def _ask(
    test: TestSet, row: Row, picture: _Picture, target: Target, cropper: NamedCropper
) -> Outcome:
    outcome = Outcome(row=row.id, target=target.name, cropper=cropper.name)
    try:
        image, name = picture.get()
        if cropper.side is not None:
            image = thumbnail(OpenedImage(image), cropper.side).data
    except BadRow as bad:
        return replace(outcome, failure=bad.kind, detail=bad.detail)
    except ImageError as error:
        return replace(outcome, failure="broken image", detail=str(error))
    outcome = replace(outcome, image=name)
    token = asked_row.set(row)
    try:
        answer = target.ask(row, image, cropper)
    except Exception as error:
        # Whatever a client raises is this request's outcome and no reason to lose the others.
        detail = f"{type(error).__name__}: {error}"
        return replace(outcome, failure=REQUEST_FAILED, detail=detail[:500])
    finally:
        asked_row.reset(token)
    return _scored(test, row, answer, outcome)


def _scored(test: TestSet, row: Row, answer: Answer, outcome: Outcome) -> Outcome:
    earned = None
    if row.answers:
        earned = score(test.metric, answer.text, row.answers, row.options, test.harness)
    report = answer.report or ZoomReport((), None, None, 0.0)
    crops = report.crops
    reasons = [report.reason, *(image.reason for image in report.images)]
    reason = next((str(reason) for reason in reasons if reason is not None), None)
    return replace(
        outcome,
        reply=answer.text,
        score=earned,
        milliseconds=round(answer.milliseconds, 2),
        crop_milliseconds=round(report.milliseconds, 2),
        boxes=tuple((crop.box.x0, crop.box.y0, crop.box.x1, crop.box.y1) for crop in crops),
        confidences=tuple(round(crop.confidence, 4) for crop in crops),
        crop_pixels=report.pixels_added,
        reason=reason,
        prompt_tokens=answer.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        image_tokens=answer.image_tokens,
    )
