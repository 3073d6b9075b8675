"""What holds for every family of clients, sync and async, through servers that are strict."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from families import FAMILIES, Family, Turns, all_families, done
from PIL import Image
from test_under_load import SleepingCropper
from wire_server import Received, WireServer
from wrapping import (
    BOX,
    OPTIONS,
    QUESTION,
    BrokenCropper,
    FixedCropper,
    PlacesCropper,
    crop_of,
    place_of,
    png,
)

from cropzoom import Cited, CropZoom, CropZoomError
from cropzoom.report import Reason, ZoomReport

# Nothing else depends on how busy the machine is.
CALM = replace(OPTIONS, deadline=None)
ASK: Turns = [("user", [0, QUESTION])]
# Some take no picture in what a tool returned.
WITH_TOOLS = [family for family in FAMILIES if family.name != "chat"]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, WireServer]]:
    running = {family.server: family.server() for family in FAMILIES}
    for server in running.values():
        server.__enter__()
    yield {family.name: running[family.server] for family in FAMILIES}
    for server in running.values():
        server.__exit__()


@pytest.fixture
def server(servers: dict[str, WireServer], family: Family) -> WireServer:
    package = pytest.importorskip(family.package)
    if family.name == "responses" and not hasattr(package.resources, "Responses"):
        pytest.skip(f"openai {package.__version__} has no responses")
    servers[family.name].reset()
    return servers[family.name]


class Caller:
    """Sends conversations through one client, which is made in the event loop it is used in."""

    def __init__(self, family: Family, server: WireServer, awaited: bool, retries: int = 0) -> None:
        self._family = family
        self._client = lambda: family.client(server.url, awaited, retries)

    def plain(self, *conversations: Turns, **arguments: Any) -> None:
        """Send conversations as they are."""
        self._run(self._client, conversations, arguments)

    def wrapped(
        self,
        *conversations: Turns,
        cropper: Any = None,
        options: Any = None,
        around: Callable[[Any], Any] | None = None,
        strict: bool = False,
        **arguments: Any,
    ) -> list[ZoomReport]:
        """Send conversations through a wrapped client; return the reports."""
        reports: list[ZoomReport] = []

        def make() -> Any:
            chosen = replace(CALM, **(options or {}))
            return CropZoom(
                self._client(),
                cropper or FixedCropper(),
                chosen,
                on_report=reports.append,
                strict=strict,
            )

        self._run(make, conversations, arguments, around)
        return reports

    def _run(
        self, make: Any, conversations: Any, arguments: dict[str, Any], around: Any = None
    ) -> None:
        async def main() -> None:
            client = make()
            for turns in conversations:
                if around is None:
                    answer = await done(self._family.send(client, turns, **arguments))
                else:
                    with around(client.cropzoom):
                        answer = await done(self._family.send(client, turns, **arguments))
                if arguments.get("stream"):
                    await _consumed(answer)

        asyncio.run(main())


async def _consumed(stream: Any) -> None:
    if hasattr(stream, "__aiter__"):
        async for _ in stream:
            pass
    else:
        for _ in stream:
            pass


@pytest.fixture
def call(family: Family, server: WireServer, awaited: bool) -> Caller:
    return Caller(family, server, awaited)


@all_families
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_crop_stands_beside_its_picture(
    family: Family, server: WireServer, call: Caller, stream: bool
) -> None:
    call.plain(ASK, stream=stream)
    (report,) = call.wrapped(ASK, stream=stream, options={"label": "Enlarged:"})
    bare, sent = (family.turns(request.body) for request in server.received)
    assert bare == ASK
    assert sent == [("user", [0, "Enlarged:", crop_of(), QUESTION])]
    assert [crop.box for crop in report.crops] == [BOX]


PLAIN: dict[str, tuple[Turns, dict[str, Any]]] = {
    "no picture": ([("user", ["Hello"]), ("assistant", ["Hi"]), ("user", [QUESTION])], {}),
    "the whole picture is asked for": ([("user", [0, "Describe the picture."])], {}),
    "an unsure crop": (ASK, {"cropper": FixedCropper(0.01)}),
    "a broken cropper": (ASK, {"cropper": BrokenCropper()}),
    "switched off": (ASK, {"around": lambda zoom: zoom.override(enabled=False)}),
    "no room for a crop": (ASK, {"options": {"max_added_pictures": 0}}),
    "a late cropper": (ASK, {"options": {"deadline": 0.1}}),
}


@all_families
@pytest.mark.parametrize("case", PLAIN)
def test_without_crops_the_same_bytes_are_sent(server: WireServer, call: Caller, case: str) -> None:
    turns, settings = PLAIN[case]
    late = SleepingCropper()
    if case == "a late cropper":
        settings = {**settings, "cropper": late}
    call.plain(turns)
    (report,) = call.wrapped(turns, **settings)
    late.gate.set()
    bare, sent = server.received
    assert sent.raw == bare.raw
    assert report.crops == () and (report.reason or report.images[0].reason)
    if case == "a late cropper":
        assert report.images[0].reason is Reason.DEADLINE


@all_families
def test_one_crop_for_a_call_with_two_retries(
    family: Family, server: WireServer, awaited: bool
) -> None:
    server.failures = 2
    cropper = FixedCropper()
    Caller(family, server, awaited, retries=2).wrapped(ASK, cropper=cropper)
    assert len({request.raw for request in server.received}) == 1 and len(server.received) == 3
    assert cropper.questions == [QUESTION]


Refusal = Callable[[Family, Received], "tuple[int, str] | None"]


def one_picture(family: Family, request: Received) -> tuple[int, str] | None:
    many = len(family.pictures(request.body)) > 1
    return (400, "At most 1 image(s) may be provided in one request.") if many else None


def broken_by_pictures(family: Family, request: Received) -> tuple[int, str] | None:
    many = len(family.pictures(request.body)) > 1
    return (500, "this model only supports one image") if many else None


def small_bodies(family: Family, request: Received) -> tuple[int, str] | None:
    many = len(request.raw) > len(png()) * 4 / 3 + 1000
    return (413, "Request Entity Too Large") if many else None


def small_payloads(family: Family, request: Received) -> tuple[int, str] | None:
    limit = int(len(png()) * 4 / 3 + 1000)
    words = f"Request payload size exceeds the limit: {limit} bytes."
    return (400, words) if len(request.raw) > limit else None


def small_context(family: Family, request: Received) -> tuple[int, str] | None:
    pixels = 0
    for file in family.pictures(request.body):
        width, height = Image.open(io.BytesIO(file)).size
        pixels += width * height
    words = f"request ({pixels} tokens) exceeds the available context size (19200 tokens)"
    return (400, words) if pixels > 160 * 120 else None


def unprocessable(family: Family, request: Received) -> tuple[int, str] | None:
    return (422, "no") if len(family.pictures(request.body)) > 1 else None


STRICT = [
    one_picture,
    broken_by_pictures,
    small_bodies,
    small_payloads,
    small_context,
    unprocessable,
]


@all_families
@pytest.mark.parametrize("refuse", STRICT, ids=lambda refuse: refuse.__name__)
def test_a_refused_call_works_and_the_next_at_once(
    family: Family, server: WireServer, call: Caller, refuse: Refusal
) -> None:
    server.refuse = lambda request: refuse(family, request)
    first, second = call.wrapped(ASK, ASK)
    assert len(server.received) == 3
    assert first.reason is Reason.REFUSED and "refused" in first.detail
    sent = family.turns(server.last.body)
    if refuse in (one_picture, broken_by_pictures):
        # On a canvas with its picture, rather than not at all.
        assert second.crops and len(family.pictures(server.last.body)) == 1 and sent != ASK
    else:
        assert sent == ASK and second.images[0].reason is Reason.LIMIT


@all_families
def test_a_refused_stream_works(family: Family, server: WireServer, call: Caller) -> None:
    server.refuse = lambda request: one_picture(family, request)
    (report,) = call.wrapped(ASK, stream=True)
    assert [len(family.pictures(request.body)) for request in server.received] == [2, 1]
    assert report.reason is Reason.REFUSED


@all_families
@pytest.mark.parametrize(
    ("refusal", "sends"),
    [
        ((400, "unknown model"), 2),
        ((401, "no image for you"), 1),
        ((429, "too many images per minute"), 1),
        ((500, "internal error"), 1),
        ((503, "image backend is down"), 1),
    ],
)
def test_other_errors_reach_the_caller_as_they_are(
    family: Family, server: WireServer, call: Caller, refusal: tuple[int, str], sends: int
) -> None:
    server.refuse = lambda request: refusal
    with pytest.raises(family.errors(), match=refusal[1]):
        call.wrapped(ASK)
    assert len(server.received) == sends, "what may have been answered is not sent again"


DATE, NAME = "What is the date?", "Who signed it?"
FOLLOWED: Turns = [
    ("user", [0, QUESTION]),
    ("assistant", ["42"]),
    ("user", [DATE]),
    ("assistant", ["Monday"]),
    ("user", ["thanks"]),
    ("assistant", ["Bye"]),
    ("user", [1, NAME]),
]


@all_families
def test_a_dialogue_keeps_its_beginning(family: Family, server: WireServer, call: Caller) -> None:
    reports = call.wrapped(*(FOLLOWED[:end] for end in (1, 3, 5, 7)), cropper=PlacesCropper())
    sent = [family.items(request.body) for request in server.received]
    for earlier, later in itertools.pairwise(sent):
        assert later[: len(earlier)] == earlier
    assert [report.question for report in reports] == [QUESTION, DATE, DATE, NAME]

    def parts(turn: int, seed: int, question: str) -> list[Any]:
        return family.turns(server.last.body, seed, box=place_of(question))[turn][1]

    assert parts(0, 0, QUESTION) == [0, crop_of(0, place_of(QUESTION)), QUESTION]
    assert parts(2, 0, DATE) == [crop_of(0, place_of(DATE)), DATE]
    assert parts(4, 0, DATE) == ["thanks"]
    assert parts(6, 1, NAME) == [1, crop_of(1, place_of(NAME)), NAME]


@all_families
def test_a_dialogue_keeps_its_beginning_when_a_limit_is_learnt(
    family: Family, server: WireServer, call: Caller
) -> None:
    server.refuse = lambda request: two_pictures(family, request)
    turns: Turns = [*FOLLOWED[:4], ("user", [NAME])]
    call.wrapped(*(turns[:end] for end in (1, 3, 5)), cropper=PlacesCropper())
    assert [len(family.pictures(request.body)) for request in server.received] == [2, 3, 2, 2]
    sent = [family.items(server.received[number].body) for number in (0, 2, 3)]
    for earlier, later in itertools.pairwise(sent):
        assert later[: len(earlier)] == earlier


def two_pictures(family: Family, request: Received) -> tuple[int, str] | None:
    many = len(family.pictures(request.body)) > 2
    return (400, "Too many images: at most 2 may be provided") if many else None


@pytest.mark.parametrize("awaited", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("family", WITH_TOOLS, ids=lambda family: family.name)
def test_what_a_tool_returned_is_zoomed(family: Family, server: WireServer, call: Caller) -> None:
    turns: Turns = [("user", [QUESTION]), ("tool", [0])]
    call.wrapped(turns)
    assert family.turns(server.last.body) == [("user", [QUESTION]), ("tool", [0, crop_of()])]
    call.wrapped(turns, options={"tool_results": False})
    assert family.turns(server.last.body) == turns


@all_families
@pytest.mark.parametrize("mode", ["replace", "stitch"])
def test_modes(family: Family, server: WireServer, call: Caller, mode: str) -> None:
    turns: Turns = [("user", [-1, QUESTION])]
    options = {"mode": mode, "budget": 600, "min_crop_side": 224}
    (report,) = call.wrapped(turns, options=options, model=family.model)
    ((role, parts),) = family.turns(server.last.body, 0)
    pictures = family.pictures(server.last.body)
    assert role == "user" and parts[-1] == QUESTION
    assert len(pictures) == (2 if mode == "replace" else 1)
    assert all(max(Image.open(io.BytesIO(file)).size) < 1600 for file in pictures)
    (image,) = report.images
    assert image.tokens_given > 600 >= image.tokens_sent > 0


@all_families
def test_reports_are_of_their_calls(family: Family, server: WireServer, awaited: bool) -> None:
    questions = [f"What is value {number}?" for number in range(6)]

    async def main() -> list[Any]:
        client = CropZoom(
            family.client(server.url, awaited),
            PlacesCropper(),
            CALM,
        )

        async def one(question: str) -> Any:
            await done(family.send(client, [("user", [0, question])]))
            return client.cropzoom.last_report

        reports = await asyncio.gather(*map(one, questions))
        usage = client.cropzoom.usage
        assert usage.calls == len(questions) and usage.crops == len(questions)
        return list(reports)

    reports = asyncio.run(main())
    assert [report.question for report in reports] == questions
    assert [report.crops[0].box for report in reports] == [place_of(text) for text in questions]


@all_families
def test_strict_raises_before_anything_is_sent(server: WireServer, call: Caller) -> None:
    with pytest.raises(CropZoomError, match="out of paper"):
        call.wrapped(ASK, cropper=BrokenCropper(), strict=True)
    assert server.received == []


@all_families
def test_ask(family: Family, server: WireServer, awaited: bool) -> None:
    async def main() -> Any:
        client = CropZoom(family.client(server.url, awaited), FixedCropper(), CALM)
        return await done(client.ask(png(), QUESTION, model="m", cite=True))

    if family.name == "responses":
        pytest.skip("ask() uses chat completions")
    cited = asyncio.run(main())
    assert isinstance(cited, Cited) and cited.text and cited.boxes == (BOX,)
    assert family.turns(server.last.body) == [("user", [0, crop_of(), QUESTION])]
