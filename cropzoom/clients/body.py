"""Request bodies of chat/completions and responses: find the question and its images, add crops.

The rules, in one place:

- The question is the text of the last user turn, a turn being user messages in a row.
- The images are that turn's, or else those of the latest earlier user turn that has any.
- A crop goes into the last user turn: right after its source, or, when the source is in an earlier
  turn, before the question's text. Earlier turns are never changed, so prompt caches stay valid.
- Images in messages of other roles, in tool results and in computer screenshots stay untouched.
- Nothing given is changed in place: what differs is copied, the rest is shared.

There is no limit on images per request: each is worked on in turn, so memory holds one decoded
image at a time, and each gets a report.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from cropzoom.errors import CropZoomError, FetchError, ImageError, RequestError
from cropzoom.images import ImageSource, decode_data_uri
from cropzoom.options import ZoomOptions
from cropzoom.report import ImageReport, Reason, ZoomReport
from cropzoom.zoom import Zoom, Zoomed

Endpoint = Literal["chat/completions", "responses"]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How an endpoint spells things.

    Args:
        items: the field with the messages.
        text: type of a text part.
        image: type of an image part.
        image_aliases: other types that image parts may have.
    """

    items: str
    text: str
    image: str
    image_aliases: tuple[str, ...] = ()


_DIALECTS: Mapping[str, Dialect] = {
    "chat/completions": Dialect("messages", "text", "image_url"),
    "responses": Dialect("input", "input_text", "input_image"),
}
_OFF_HINT = "or send it within `client.cropzoom.override(enabled=False)`"


@dataclass(frozen=True, slots=True)
class _Image:
    """An image part: its number in the request, and where it is."""

    index: int
    item: int
    part: int
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Turn:
    """User messages in a row: items start to stop (exclusive)."""

    start: int
    stop: int


def endpoint_of(url: str) -> Endpoint | None:
    """Return which kind of body is posted to an address, None for one that is not rewritten.

    Takes paths and whole addresses, with a query, Azure's deployment prefix or a final slash.
    """
    parts = [part for part in urlsplit(url).path.split("/") if part]
    if parts[-2:] == ["chat", "completions"]:
        return "chat/completions"
    if parts[-1:] == ["responses"] or parts[-2:] == ["responses", "input_tokens"]:
        return "responses"
    return None


def items_key(endpoint: Endpoint) -> str:
    """Return the name of the only field that `rewrite_body` replaces."""
    return _DIALECTS[endpoint].items


def rewrite_body(
    body: Mapping[str, Any],
    *,
    zoom: Zoom,
    endpoint: Endpoint | None = None,
    options: ZoomOptions | None = None,
    strict: bool = False,
) -> tuple[dict[str, Any], ZoomReport]:
    """Return a request body with crops added, and what happened.

    Args:
        body: JSON object of a chat/completions or responses request; never changed.
        zoom: finds and encodes the crops.
        endpoint: which of the two; None tells them apart by their keys.
        options: for this call instead of `zoom.options`.
        strict: raise where something can't be zoomed, instead of reporting it.

    Returns:
        A new dict, which shares all that did not change with `body`; and the report. An image
        that can't be zoomed is passed on as it is, with the reason in its report.

    Raises:
        CropZoomError: only with `strict`.
    """
    start = time.perf_counter()
    options = options or zoom.options
    rewriting = Rewriting(zoom, options, strict)
    items, reports, question, reason, detail = rewriting.run(body, endpoint)
    new = dict(body)
    if items is not None:
        new[rewriting.dialect.items] = items
    elapsed = (time.perf_counter() - start) * 1000
    return new, ZoomReport(tuple(reports), question, reason, elapsed, detail)


_Result = tuple[list[Any] | None, list[ImageReport], str | None, Reason | None, str]


class Rewriting:
    """One run of `rewrite_body`; other dialects of messages are subclasses."""

    def __init__(self, zoom: Zoom, options: ZoomOptions, strict: bool) -> None:
        self.dialect = _DIALECTS["chat/completions"]
        self._zoom = zoom
        self._options = options
        self._strict = strict

    def run(self, body: Mapping[str, Any], endpoint: Endpoint | None) -> _Result:
        if endpoint is None:
            known = [name for name, dialect in _DIALECTS.items() if dialect.items in body]
            if len(known) != 1:
                return self._nothing(
                    Reason.UNSUPPORTED_ENDPOINT,
                    "the body has neither or both of `messages` and `input`; "
                    "pass endpoint='chat/completions' or 'responses'",
                )
            self.dialect = _DIALECTS[known[0]]
        elif endpoint in _DIALECTS:
            self.dialect = _DIALECTS[endpoint]
        else:
            return self._nothing(
                Reason.UNSUPPORTED_ENDPOINT,
                f"endpoint {endpoint!r} is unknown; there are {', '.join(_DIALECTS)}",
            )
        items = body.get(self.dialect.items)
        if items is None or isinstance(items, str):
            return self._nothing(Reason.NO_IMAGE, self._no_image())
        if not isinstance(items, Sequence) or isinstance(items, (bytes, bytearray)):
            # An iterator could be read once only, and the request needs it.
            kind = type(items).__name__
            return self._nothing(
                Reason.UNSUPPORTED_INPUT, f"`{self.dialect.items}` is {kind}; make it a list"
            )
        return self.rewrite(items)

    def rewrite(self, items: Sequence[Any]) -> _Result:
        """Return messages with crops added, None where none was; and what the report says."""
        turns = _user_turns(items)
        images, others = self._images(items)
        source: _Turn | None = None
        for turn in reversed(turns):
            if any(turn.start <= image.item < turn.stop for image in images):
                source = turn
                break
        reports = [_skipped(image, Reason.NOT_USER_MESSAGE, _NOT_USER) for image in others]
        if source is None:
            reason = Reason.NOT_USER_MESSAGE if others else Reason.NO_IMAGE
            return self._nothing(reason, _NOT_USER if others else self._no_image(), reports)
        last = turns[-1]
        images = [image for image in images if source.start <= image.item < source.stop]
        question = self._question(items, last)
        if not question:
            detail = "the last user turn has no text to search for; put the question there"
            reports += [_skipped(image, Reason.NO_QUESTION, detail) for image in images]
            return self._nothing(Reason.NO_QUESTION, detail, reports)
        added: list[tuple[_Image, list[dict[str, Any]]]] = []
        for image in images:
            zoomed, report = self._crop(image, question)
            reports.append(report)
            parts = [part for crop in zoomed for part in self._parts(crop, image.content)]
            if parts:
                added.append((image, parts))
        reports.sort(key=lambda report: report.index)
        if not added:
            return None, reports, question, None, ""
        if source == last:
            return _insert_after(items, added), reports, question, None, ""
        parts = [part for _, crops in added for part in crops]
        return self._insert_before_text(items, last, parts), reports, question, None, ""

    def _images(self, items: Sequence[Any]) -> tuple[list[_Image], list[_Image]]:
        """Return the images of user messages, and those elsewhere."""
        users: list[_Image] = []
        others: list[_Image] = []
        for number, item in enumerate(items):
            if not isinstance(item, Mapping):
                continue
            found = users if _is_user(item) else others
            for place, part in _parts_of(item):
                index = len(users) + len(others)
                kind = part.get("type")
                known = (self.dialect.image, *self.dialect.image_aliases)
                if kind in known or (found is others and kind == "computer_screenshot"):
                    found.append(_Image(index, number, place, part))
        return users, others

    def _texts(self, item: Mapping[str, Any]) -> list[tuple[int, str]]:
        """Return a message's texts and their places; a plain string has place -1."""
        content = item.get("content")
        if isinstance(content, str):
            return [(-1, content)]
        # Some servers take "text" in responses bodies, too.
        kinds = ("text", self.dialect.text)
        return [
            (place, part["text"])
            for place, part in _parts_of(item)
            if part.get("type") in kinds and isinstance(part.get("text"), str)
        ]

    def _question(self, items: Sequence[Any], turn: _Turn) -> str:
        texts = [text for item in items[turn.start : turn.stop] for _, text in self._texts(item)]
        return "\n".join(text.strip() for text in texts if text.strip())

    def _crop(self, image: _Image, question: str) -> tuple[list[Zoomed], ImageReport]:
        start = time.perf_counter()
        try:
            source = self._source(image.content)
        except SkipError as missing:
            if self._strict:
                raise missing.error from missing.error.__cause__
            elapsed = (time.perf_counter() - start) * 1000
            return [], _skipped(image, missing.reason, str(missing.error), elapsed)
        return self._zoom.crops(
            source, question, index=image.index, options=self._options, strict=self._strict
        )

    def _source(self, part: Mapping[str, Any]) -> ImageSource:
        """Return the image that a part holds or points to.

        Raises:
            SkipError: it is not at hand.
        """
        url = part.get("image_url")
        if isinstance(url, Mapping):
            url = url.get("url")
        if url is None and part.get("file_id") is not None:
            skip(
                Reason.FILE_ID,
                "an image is given by file id, so its bytes are not in the request; "
                f"send it as a data URI, {_OFF_HINT}",
            )
        if not isinstance(url, str):
            skip(Reason.UNSUPPORTED_INPUT, f"an image part has no address: {sorted(part)}")
        source = bytes_at(url, self._options)
        if source is None:
            skip(
                Reason.UNSUPPORTED_INPUT,
                f"an image's address starts with {url[:8]!r}; use a data URI or http(s)",
            )
        return source

    def _parts(self, zoomed: Zoomed, source: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the parts that show a crop, in the manner of the part that holds its source."""
        if self._options.label is not None:
            yield {"type": self.dialect.text, "text": self._options.label}
        given = source.get("image_url")
        url: Any = zoomed.image.data_uri()
        if isinstance(given, Mapping):
            url = {"url": url, **_detail(given)}
        yield {"type": self.dialect.image, "image_url": url, **_detail(source)}

    def _insert_before_text(
        self, items: Sequence[Any], turn: _Turn, parts: list[dict[str, Any]]
    ) -> list[Any]:
        new = list(items)
        for number in reversed(range(turn.start, turn.stop)):
            texts = [place for place, text in self._texts(items[number]) if text.strip()]
            if texts:
                break
        content = _listed(items[number]["content"])
        if isinstance(content, str):
            content = [{"type": self.dialect.text, "text": content}]
        place = max(texts[0], 0)
        new[number] = {**items[number], "content": [*content[:place], *parts, *content[place:]]}
        return new

    def _no_image(self) -> str:
        return f"`{self.dialect.items}` has no image in a user message; add one, {_OFF_HINT}"

    def _nothing(
        self, reason: Reason, detail: str, reports: list[ImageReport] | None = None
    ) -> _Result:
        if self._strict:
            raise RequestError(f"nothing to zoom: {detail}")
        reports = sorted(reports or [], key=lambda report: report.index)
        return None, reports, None, reason, detail


_NOT_USER = (
    "only images in user messages are zoomed, not those in other messages, tool results and "
    f"computer screenshots; put it in a user message, {_OFF_HINT}"
)


class SkipError(Exception):
    """An image is passed on as it is."""

    def __init__(self, reason: Reason, error: CropZoomError) -> None:
        super().__init__(str(error))
        self.reason = reason
        self.error = error


def skip(reason: Reason, detail: str) -> NoReturn:
    """Raise the error that leaves an image as it is."""
    raise SkipError(reason, RequestError(detail))


def bytes_at(url: str, options: ZoomOptions) -> bytes | None:
    """Return the file that a data URI holds or an http(s) address points to; None for others.

    Raises:
        SkipError: the URI is malformed, or the file may not or can't be fetched.
    """
    scheme = url[:8].lower()
    if scheme.startswith("data:"):
        try:
            return decode_data_uri(url)
        except ImageError as error:
            raise SkipError(Reason.BROKEN_IMAGE, error) from error
    if not scheme.startswith(("http://", "https://")):
        return None
    if not options.fetch_images:
        skip(
            Reason.REMOTE_URL,
            "an image is given by its address and fetch_images is off; "
            f"send a data URI, set fetch_images=True, {_OFF_HINT}",
        )
    from cropzoom.fetch import fetch_image

    try:
        return fetch_image(url, timeout=options.fetch_timeout, max_bytes=options.max_fetch_bytes)
    except FetchError as error:
        raise SkipError(Reason.FETCH_FAILED, error) from error


def _skipped(image: _Image, reason: Reason, detail: str, milliseconds: float = 0.0) -> ImageReport:
    return ImageReport(
        index=image.index,
        size=None,
        crops=(),
        reason=reason,
        milliseconds=milliseconds,
        cached=False,
        detail=detail,
    )


def _detail(part: Mapping[str, Any]) -> dict[str, Any]:
    return {"detail": part["detail"]} if part.get("detail") is not None else {}


def _is_user(item: object) -> bool:
    return (
        isinstance(item, Mapping)
        and item.get("role") == "user"
        and item.get("type", "message") == "message"
        and "content" in item
    )


def _parts_of(item: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Return the parts of a message or of a tool's result, and their places."""
    content = _listed(item.get("content", item.get("output")))
    if not isinstance(content, (list, tuple)):
        return
    for place, part in enumerate(content):
        if isinstance(part, Mapping):
            yield place, part


def _listed(content: Any) -> Any:
    """Return content with a single part, which some servers take as it is, as a list of it."""
    return [content] if isinstance(content, Mapping) else content


def _user_turns(items: Sequence[Any]) -> list[_Turn]:
    turns: list[_Turn] = []
    for number, item in enumerate(items):
        if not _is_user(item):
            continue
        if turns and turns[-1].stop == number:
            turns[-1] = _Turn(turns[-1].start, number + 1)
        else:
            turns.append(_Turn(number, number + 1))
    return turns


def _insert_after(
    items: Sequence[Any], added: list[tuple[_Image, list[dict[str, Any]]]]
) -> list[Any]:
    new = list(items)
    # From the back: an insertion moves the places behind it.
    for image, parts in reversed(added):
        content = _listed(new[image.item]["content"])
        after = image.part + 1
        new[image.item] = {
            **new[image.item],
            "content": [*content[:after], *parts, *content[after:]],
        }
    return new
