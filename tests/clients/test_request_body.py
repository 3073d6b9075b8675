"""What `rewrite_body` does to a body: the rules of `cropzoom.clients.rewriting`, one by one."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from wrapping import (
    BOX,
    OPTIONS,
    QUESTION,
    BrokenCropper,
    FixedCropper,
    PlacesCropper,
    chat_image,
    chat_text,
    crop_of,
    frozen,
    marked,
    picture,
    place_of,
    response_image,
    response_text,
    uri,
    user,
)

from cropzoom import Box, Crop, CropZoomError, ImageError, RequestError, ZoomOptions, rewrite_body
from cropzoom.clients.dialects import endpoint_of
from cropzoom.report import Reason, ZoomReport
from cropzoom.zoom import Zoom

CROP = chat_image(crop_of())
RESPONSE_CROP = response_image(crop_of())
ANSWER = {"role": "assistant", "content": "42"}
EARLIER = "What is the date?"
TOOLS_OFF = replace(OPTIONS, tool_results=False)


def rewrite(
    body: Any, *seeds: int, cropper: Any = None, options: ZoomOptions = OPTIONS, **kwargs: Any
) -> tuple[Any, ZoomReport]:
    """Rewrite, check that nothing given was changed, and mark the crops."""
    before = copy.deepcopy(body)
    new, report = rewrite_body(body, zoom=Zoom(cropper or FixedCropper(), options), **kwargs)
    assert body == before
    boxes = (BOX, *(place_of(question) for question in getattr(cropper, "questions", ())))
    return marked(new, *seeds, boxes=boxes), report


def chat_crop(question: str, seed: int = 0) -> dict[str, Any]:
    """The crop that `PlacesCropper` finds for a question."""
    return chat_image(crop_of(seed, place_of(question)))


def messages(*items: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(items)}


def inputs(*items: Any) -> dict[str, Any]:
    return {"model": "m", "input": list(items)}


def reasons(report: ZoomReport) -> list[Reason | None]:
    return [image.reason for image in report.images]


def test_the_crop_comes_right_after_its_image() -> None:
    new, report = rewrite(messages(user(chat_text(), chat_image(), chat_text("Now."))))
    assert new == messages(user(chat_text(), chat_image(), CROP, chat_text("Now.")))
    assert report.question == QUESTION
    (image,) = report.images
    assert (image.index, image.size, image.reason) == (0, (160, 120), None)
    (crop,) = image.crops
    assert (crop.box, crop.confidence, crop.width, crop.height) == (
        Box(0.25, 0.5, 0.75, 0.75),
        0.9,
        80,
        30,
    )
    assert report.pixels_added == 2400


def test_responses_use_their_own_part_types() -> None:
    new, _ = rewrite(inputs(user(response_image(), response_text())))
    assert new == inputs(user(response_image(), RESPONSE_CROP, response_text()))


def test_content_that_is_a_single_part_is_as_good_as_a_list_of_it() -> None:
    question = {"role": "user", "content": chat_text()}
    new, report = rewrite(messages({"role": "user", "content": chat_image()}, question))
    assert new == messages({"role": "user", "content": chat_image()}, user(CROP, chat_text()))
    new, report = rewrite(
        messages(user(chat_image(), chat_text(EARLIER)), ANSWER, question), cropper=PlacesCropper()
    )
    assert new["messages"][2:] == [user(chat_crop(QUESTION), chat_text())]
    assert report.question == QUESTION


def test_a_user_item_without_content_is_no_message() -> None:
    item = {"role": "user", "output": [chat_image(), chat_text()]}
    new, report = rewrite(messages(item))
    assert new == messages(item) and report.reason == Reason.NOT_USER_MESSAGE


def test_what_does_not_change_is_shared_with_the_given_body() -> None:
    system = {"role": "system", "content": "Be brief."}
    body = messages(system, user(chat_image(), chat_text()))
    new, _ = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert new["messages"][0] is system
    assert new["messages"][1]["content"][0] is body["messages"][1]["content"][0]


@pytest.mark.parametrize("detail", ["low", "high", "auto"])
def test_the_crop_keeps_the_detail_of_its_image(detail: str) -> None:
    new, _ = rewrite(messages(user(chat_image(detail=detail), chat_text())))
    assert new["messages"][0]["content"][1] == chat_image(crop_of(), detail=detail)
    new, _ = rewrite(inputs(user(response_image(detail=detail), response_text())))
    assert new["input"][0]["content"][1] == response_image(crop_of(), detail=detail)


def test_an_address_given_as_a_plain_string_stays_in_that_form() -> None:
    part = {"type": "image_url", "image_url": uri()}
    new, _ = rewrite(messages(user(part, chat_text())))
    assert new["messages"][0]["content"][1] == {"type": "image_url", "image_url": crop_of()}


def test_a_label_comes_before_each_crop() -> None:
    options = ZoomOptions(min_crop_side=0, label="Enlarged:")
    new, _ = rewrite(messages(user(chat_image(), chat_text())), options=options)
    assert new == messages(user(chat_image(), chat_text("Enlarged:"), CROP, chat_text()))
    new, _ = rewrite(inputs(user(response_image(), response_text())), options=options)
    label = response_text("Enlarged:")
    assert new == inputs(user(response_image(), label, RESPONSE_CROP, response_text()))


def test_each_image_gets_its_own_crop() -> None:
    turn = user(chat_image(uri(1)), chat_text("And"), chat_image(uri(2)), chat_text())
    new, report = rewrite(messages(turn), 1, 2)
    first, second = chat_image(crop_of(1)), chat_image(crop_of(2))
    assert new["messages"][0]["content"] == [
        chat_image(uri(1)),
        first,
        chat_text("And"),
        chat_image(uri(2)),
        second,
        chat_text(),
    ]
    assert [image.index for image in report.images] == [0, 1]


def test_a_follow_up_question_gets_its_own_crop_and_earlier_turns_keep_theirs() -> None:
    cropper = PlacesCropper()
    first = messages(user(chat_image(), chat_text(EARLIER)))
    sent, _ = rewrite(first, cropper=cropper)
    assert sent == messages(user(chat_image(), chat_crop(EARLIER), chat_text(EARLIER)))
    follow_up = {"role": "user", "content": QUESTION}
    new, report = rewrite(messages(*first["messages"], ANSWER, follow_up), cropper=cropper)
    assert new == messages(*sent["messages"], ANSWER, user(chat_crop(QUESTION), chat_text()))
    assert cropper.questions == [EARLIER, EARLIER, QUESTION]
    assert report.question == QUESTION
    (image,) = report.images
    assert [crop.question for crop in image.crops] == [EARLIER, QUESTION]


def test_a_crop_that_an_earlier_turn_shows_is_not_repeated() -> None:
    history = [user(chat_image(), CROP, chat_text(EARLIER)), ANSWER]
    given = messages(user(chat_image(), chat_text(EARLIER)), ANSWER, user(chat_text()))
    new, report = rewrite(given)
    assert new == messages(*history, user(chat_text()))
    assert len(report.crops) == 1


def test_a_follow_up_with_parts_gets_the_crop_before_its_text() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}
    history = [user(chat_image(), chat_text(EARLIER)), ANSWER]
    new, _ = rewrite(
        messages(*history, user(audio, chat_text(" "), chat_text())), cropper=PlacesCropper()
    )
    assert new["messages"][2] == user(audio, chat_text(" "), chat_crop(QUESTION), chat_text())


def test_a_follow_up_in_responses() -> None:
    answer = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "42", "annotations": []}],
    }
    history = [user(response_image(), response_text(EARLIER)), answer]
    follow_up = {"role": "user", "content": QUESTION}
    new, _ = rewrite(inputs(*history, follow_up), cropper=PlacesCropper())
    crop = response_image(crop_of(0, place_of(QUESTION)))
    assert new["input"][2] == user(crop, response_text())


def test_a_turn_asks_about_the_latest_earlier_turn_with_images() -> None:
    history = [
        user(chat_image(uri(1)), chat_text("What is the old date?")),
        ANSWER,
        user(chat_image(uri(2)), chat_text(EARLIER)),
        ANSWER,
    ]
    cropper = PlacesCropper()
    new, report = rewrite(messages(*history, user(chat_text())), 1, 2, cropper=cropper)
    assert new["messages"][-1] == user(chat_crop(QUESTION, 2), chat_text())
    assert [len(image.crops) for image in report.images] == [1, 2]


def test_a_new_picture_wins_over_an_earlier_one() -> None:
    history = [user(chat_image(uri(1)), chat_text(EARLIER)), ANSWER]
    new, _ = rewrite(messages(*history, user(chat_image(uri(2)), chat_text())), 1, 2)
    second = user(chat_image(uri(2)), chat_image(crop_of(2)), chat_text())
    assert new["messages"][2] == second


def test_a_question_in_a_message_of_its_own_is_about_the_images_before_it() -> None:
    images = [user(chat_image(uri(seed))) for seed in range(2)]
    new, report = rewrite(messages(*images, {"role": "user", "content": QUESTION}), 0, 1)
    crops = [chat_image(crop_of(0)), chat_image(crop_of(1))]
    assert new == messages(*images, user(*crops, chat_text()))
    assert report.question == QUESTION


def test_an_image_in_a_message_of_its_own_belongs_to_the_question_before_it() -> None:
    text = {"role": "user", "content": QUESTION}
    new, report = rewrite(messages(text, user(chat_image())))
    assert new == messages(text, user(chat_image(), CROP))
    assert report.question == QUESTION


def test_a_message_that_follows_at_once_changes_nothing_before_it() -> None:
    first = user(chat_image(), chat_text(EARLIER))
    sent, _ = rewrite(messages(first), cropper=PlacesCropper())
    new, _ = rewrite(messages(first, user(chat_text())), cropper=PlacesCropper())
    assert new["messages"] == [*sent["messages"], user(chat_crop(QUESTION), chat_text())]


def test_an_agent_at_work_keeps_the_crop_where_it_was() -> None:
    """While tools answer, the last user turn is the same, and so must be its crop."""
    turn = user(chat_image(), chat_text())
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f"}}],
    }
    result = {"role": "tool", "tool_call_id": "1", "content": "7"}
    first, _ = rewrite(messages(turn))
    second, _ = rewrite(messages(turn, call, result))
    assert second["messages"] == [*first["messages"], call, result]


NOT_ZOOMED = {
    "no image": (messages(user(chat_text())), Reason.NO_IMAGE),
    "plain text": (messages({"role": "user", "content": QUESTION}), Reason.NO_IMAGE),
    "no messages": (messages(), Reason.NO_IMAGE),
    "no input": ({"model": "m", "prompt": {"id": "p"}}, Reason.AT_SERVER),
    "an earlier response": (
        {**inputs(user(response_text())), "previous_response_id": "r"},
        Reason.AT_SERVER,
    ),
    "a conversation": (
        {"model": "m", "conversation": "c", "input": QUESTION},
        Reason.AT_SERVER,
    ),
    "a file": (
        messages(user(chat_text(), {"type": "file", "file": {"filename": "a.pdf"}})),
        Reason.FILE_PART,
    ),
    "a file of responses": (
        inputs(user(response_text(), {"type": "input_file", "file_id": "file-1"})),
        Reason.FILE_PART,
    ),
    "an unknown part": (
        messages(user(chat_text(), {"type": "image", "source": {"type": "base64"}})),
        Reason.UNSUPPORTED_INPUT,
    ),
    "input is a string": ({"model": "m", "input": QUESTION}, Reason.NO_IMAGE),
    "no text": (messages(user(chat_image())), Reason.NO_QUESTION),
    "blank text": (messages(user(chat_image(), chat_text(" \n"))), Reason.NO_QUESTION),
    "image in an assistant message": (
        messages({"role": "assistant", "content": [chat_image()]}, user(chat_text())),
        Reason.NOT_USER_MESSAGE,
    ),
    "image in a tool message": (
        messages(
            user(chat_text()), {"role": "tool", "tool_call_id": "1", "content": [chat_image()]}
        ),
        Reason.NOT_USER_MESSAGE,
    ),
    "image in a tool result": (
        inputs(
            user(response_text()),
            {"type": "function_call_output", "call_id": "1", "output": [response_image()]},
        ),
        Reason.NOT_USER_MESSAGE,
    ),
    "computer screenshot": (
        inputs(
            user(response_text()),
            {
                "type": "computer_call_output",
                "call_id": "1",
                "output": {"type": "computer_screenshot", "image_url": uri()},
            },
        ),
        Reason.NOT_USER_MESSAGE,
    ),
    "an iterator": ({"model": "m", "messages": iter(())}, Reason.UNSUPPORTED_INPUT),
}


def given_endpoint(body: dict[str, Any]) -> Any:
    return "chat/completions" if "messages" in body else "responses"


@pytest.mark.parametrize(("body", "reason"), NOT_ZOOMED.values(), ids=NOT_ZOOMED)
def test_a_request_with_nothing_to_zoom_goes_through(body: Any, reason: Reason) -> None:
    new, report = rewrite_body(
        body, zoom=Zoom(FixedCropper(), TOOLS_OFF), endpoint=given_endpoint(body)
    )
    assert new == body
    assert report.reason == reason
    assert report.detail
    assert all(image.reason == reason for image in report.images)
    assert not report.crops
    with pytest.raises(RequestError, match="nothing to zoom"):
        rewrite_body(
            body,
            zoom=Zoom(FixedCropper(), TOOLS_OFF),
            endpoint=given_endpoint(body),
            strict=True,
        )


BAD_IMAGES = {
    "remote": (chat_image("https://example.com/a.png"), Reason.REMOTE_URL),
    "broken base64": (chat_image("data:image/png;base64,%%%"), Reason.BROKEN_IMAGE),
    "no comma": (chat_image("data:image/png;base64"), Reason.BROKEN_IMAGE),
    "truncated": (chat_image(uri()[:400]), Reason.BROKEN_IMAGE),
    "empty": (chat_image("data:image/png;base64,"), Reason.BROKEN_IMAGE),
    "not an image": (chat_image("data:image/png;base64,aGVsbG8="), Reason.BROKEN_IMAGE),
    "unknown scheme": (chat_image("file:///etc/passwd"), Reason.UNSUPPORTED_INPUT),
    "no address": ({"type": "image_url"}, Reason.UNSUPPORTED_INPUT),
    "address of a wrong type": (
        {"type": "image_url", "image_url": {"url": 3}},
        Reason.UNSUPPORTED_INPUT,
    ),
    "file id": (
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        Reason.FILE_ID,
    ),
    "file id and no address": (
        {"type": "input_image", "file_id": "file-1", "image_url": None},
        Reason.FILE_ID,
    ),
}


@pytest.mark.parametrize(("part", "reason"), BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_an_image_that_can_not_be_zoomed_is_passed_on(part: Any, reason: Reason) -> None:
    """... while a good one beside it still gets its crop."""
    if part["type"] == "input_image":
        body, image, text = inputs, response_image(), response_text()
        crop = RESPONSE_CROP
    else:
        body, image, text = messages, chat_image(), chat_text()
        crop = CROP
    new, report = rewrite(body(user(part, image, text)))
    assert new == body(user(part, image, crop, text))
    assert reasons(report) == [reason, None]
    assert report.images[0].detail
    with pytest.raises((RequestError, ImageError)) as caught:
        rewrite(body(user(image, text, part)), strict=True)
    assert isinstance(caught.value, CropZoomError)


def test_a_picture_that_a_tool_returns_gets_its_crop_for_the_question_before_it() -> None:
    asks = user(chat_text())
    tool = {"role": "tool", "tool_call_id": "1", "content": [chat_image(uri(1))]}
    cropped = {**tool, "content": [chat_image(uri(1)), chat_image(crop_of(1))]}
    new, report = rewrite(messages(asks, ANSWER, tool), 1)
    assert new == messages(asks, ANSWER, cropped)
    assert report.question == QUESTION
    output = {"type": "function_call_output", "call_id": "1", "output": [response_image(uri(1))]}
    new, _ = rewrite(inputs(user(response_text()), output), 1)
    assert new["input"][1]["output"] == [response_image(uri(1)), response_image(crop_of(1))]


def test_images_of_tools_are_reported_beside_those_zoomed() -> None:
    tool = {"role": "tool", "tool_call_id": "1", "content": [chat_image(uri(1))]}
    body = messages(user(chat_image(), chat_text()), ANSWER, tool)
    new, report = rewrite(body, options=TOOLS_OFF)
    assert new == messages(user(chat_image(), CROP, chat_text()), ANSWER, tool)
    assert reasons(report) == [None, Reason.NOT_USER_MESSAGE]
    # Something was zoomed, and nothing of the question was left out: no error.
    rewrite(body, options=TOOLS_OFF, strict=True)


def test_decisions_are_no_errors() -> None:
    body = messages(user(chat_image(), chat_text()))
    unsure = FixedCropper(confidence=0.01)
    new, report = rewrite(body, cropper=unsure, strict=True)
    assert new == body
    assert reasons(report) == [Reason.LOW_CONFIDENCE]


def test_a_failing_cropper_leaves_the_body_as_it_is() -> None:
    body = messages(user(chat_image(), chat_text()))
    new, report = rewrite(body, cropper=BrokenCropper())
    assert new == body
    assert reasons(report) == [Reason.ERROR]
    assert "out of paper" in report.images[0].detail
    with pytest.raises(CropZoomError, match="out of paper"):
        rewrite(body, cropper=BrokenCropper(), strict=True)


def test_many_images_share_the_crops_of_a_question_surest_first() -> None:
    class Sure(FixedCropper):
        def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
            super().predict(image, question, k)
            bright = image.resize((1, 1)).getpixel((0, 0))[0]
            return [Crop(BOX, 0.5 + bright / 1000)]

    cropper = Sure()
    images = [chat_image(uri(seed)) for seed in range(50)]
    new, report = rewrite(messages(user(*images, chat_text())), *range(50), cropper=cropper)
    surest = max(range(50), key=lambda seed: picture(seed).resize((1, 1)).getpixel((0, 0))[0])
    expected = [*images[: surest + 1], chat_image(crop_of(surest)), *images[surest + 1 :]]
    assert new == messages(user(*expected, chat_text()))
    assert [image.index for image in report.images] == list(range(50))
    assert report.images[surest - 1].reason == Reason.BUDGET
    assert len(cropper.questions) == 50


@pytest.mark.parametrize(
    "budget",
    [
        {"max_added_pictures": 1},
        {"max_added_pixels": 2400},
        {"max_added_bytes": 12_000},
    ],
)
def test_budgets_hold_over_the_request(budget: dict[str, int]) -> None:
    images = [chat_image(uri(seed)) for seed in range(2)]
    body = messages(user(*images, chat_text()))
    new, report = rewrite(body, 0, 1, options=replace(OPTIONS, **budget))
    assert new == messages(user(images[0], chat_image(crop_of(0)), images[1], chat_text()))
    assert reasons(report) == [None, Reason.BUDGET]
    none = dict.fromkeys(budget, 0)
    new, report = rewrite(body, options=replace(OPTIONS, **none))
    assert new == body
    assert next(iter(budget)) in report.images[0].detail


def test_a_body_is_not_made_larger_than_it_may_be() -> None:
    body = messages(user(chat_image(), chat_text()))
    size = len(frozen(body))
    new, report = rewrite(body, options=replace(OPTIONS, max_body_bytes=size + 1000))
    assert (new, reasons(report)) == (body, [Reason.LIMIT])
    new, report = rewrite(body, options=replace(OPTIONS, max_body_bytes=size + 20_000))
    assert reasons(report) == [None]


def test_several_questions_get_a_crop_each() -> None:
    def ask(turns: Any) -> list[str]:
        assert turns[-1].texts == (QUESTION,)
        return ["place", "date"]

    cropper = PlacesCropper()
    places = [place_of(name) for name in ("place", "date")]
    assert places[0].intersection(places[1]) is None
    body = messages(user(chat_image(), chat_text()))
    new, report = rewrite(body, cropper=cropper, options=replace(OPTIONS, question=ask))
    crops = [chat_crop("place"), chat_crop("date")]
    assert new == messages(user(chat_image(), *crops, chat_text()))
    assert report.question == "place\ndate"


def test_the_caller_says_what_to_search_for() -> None:
    first = user(chat_image(), chat_text(EARLIER))
    options = replace(OPTIONS, question="the total")
    new, report = rewrite(
        messages(first, ANSWER, user(chat_text())), cropper=PlacesCropper(), options=options
    )
    assert report.question == "the total"
    assert new["messages"][0] == user(chat_image(), chat_crop(EARLIER), chat_text(EARLIER))
    assert new["messages"][2] == user(chat_crop("the total"), chat_text())
    # None leaves it to cropzoom.
    options = replace(OPTIONS, question=lambda turns: None)
    assert rewrite(messages(first), options=options)[1].question == EARLIER
    for wrong in (3, [3]):
        broken = replace(OPTIONS, question=lambda turns, wrong=wrong: wrong)
        assert rewrite(messages(first), options=broken)[1].reason == Reason.ERROR


def odd_form(name: str) -> str:
    head, data = uri().split(",", 1)
    return {
        "url-safe base64": f"{head},{data.translate(str.maketrans('+/', '-_')).rstrip('=')}",
        "blanks around": f"\n {head},{data}\r\n ",
        "blanks within": f"data:image/png; base64 ,\n{data[:100]}\n{data[100:]}",
        "upper case": f"DATA:IMAGE/PNG;BASE64,{data}",
    }[name]


@pytest.mark.parametrize(
    "name", ["url-safe base64", "blanks around", "blanks within", "upper case"]
)
def test_odd_forms_of_data_uris(name: str) -> None:
    image = chat_image(odd_form(name))
    new, _ = rewrite(messages(user(image, chat_text())))
    assert new == messages(user(image, CROP, chat_text()))


@pytest.mark.parametrize("url", [uri(), {"url": uri()}])
def test_untyped_parts_and_strings_among_parts(url: Any) -> None:
    crop = crop_of() if isinstance(url, str) else {"url": crop_of()}
    new, report = rewrite(messages(user(QUESTION, {"image_url": url}, {"text": "Now."})))
    expected = user(QUESTION, {"image_url": url}, {"image_url": crop}, {"text": "Now."})
    assert new == messages(expected)
    assert report.question == QUESTION


def test_what_was_sent_for_a_turn_stays_when_options_and_schemas_change() -> None:
    zoom = Zoom(PlacesCropper(), OPTIONS)
    first = messages(user(chat_image(), chat_text(EARLIER)))
    sent, _ = rewrite_body(first, zoom=zoom, options=replace(OPTIONS, question="a place"))
    longer = messages(*first["messages"], ANSWER, user(chat_text()))
    new, _ = rewrite_body(longer, zoom=zoom, options=replace(OPTIONS, label="Look:"))
    assert new["messages"][:1] == sent["messages"]
    assert new["messages"][2]["content"][0] == chat_text("Look:")


def test_a_crop_that_was_late_is_not_put_into_an_earlier_turn() -> None:
    class Slow(PlacesCropper):
        def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Crop]:
            gate.wait(20)
            return super().predict(image, question, k)

    gate = threading.Event()
    zoom = Zoom(Slow(), replace(OPTIONS, deadline=0.01))
    first = messages(user(chat_image(), chat_text(EARLIER)))
    new, report = rewrite_body(first, zoom=zoom)
    assert (new, reasons(report)) == (first, [Reason.DEADLINE])
    gate.set()
    patient = replace(OPTIONS, deadline=None)
    longer = messages(*first["messages"], ANSWER, user(chat_text()))
    new, report = rewrite_body(longer, zoom=zoom, options=patient)
    assert new["messages"][:2] == [*first["messages"], ANSWER]
    assert len(report.crops) == 1
    # Sent again as it was, it gets the crop: nothing goes on from it.
    assert len(rewrite_body(first, zoom=zoom, options=patient)[1].crops) == 1


def test_endpoints_are_told_apart() -> None:
    both = {**messages(user(chat_image(), chat_text())), "input": []}
    new, report = rewrite(both)
    assert (new, report.reason) == (both, Reason.UNSUPPORTED_ENDPOINT)
    new, report = rewrite({"model": "m"})
    assert (new, report.reason) == ({"model": "m"}, Reason.UNSUPPORTED_ENDPOINT)
    new, report = rewrite(both, endpoint="chat/completions")
    assert new["messages"] == [user(chat_image(), CROP, chat_text())]
    new, report = rewrite(both, endpoint="embeddings")
    assert (new, report.reason) == (both, Reason.UNSUPPORTED_ENDPOINT)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("/chat/completions", "chat/completions"),
        ("chat/completions", "chat/completions"),
        ("/chat/completions/", "chat/completions"),
        ("/deployments/d/chat/completions?api-version=1", "chat/completions"),
        ("https://host/v1/chat/completions?a=/responses", "chat/completions"),
        ("/responses", "responses"),
        ("/responses?beta=true", "responses"),
        ("/responses/input_tokens", "responses"),
        ("/responses/input_tokens?beta=true", "responses"),
        ("/responses/resp_1", None),
        ("/responses/resp_1/cancel", None),
        ("/responses/compact", None),
        ("/completions", None),
        ("/embeddings", None),
        ("", None),
    ],
)
def test_endpoint_of(url: str, endpoint: str | None) -> None:
    assert endpoint_of(url) == endpoint


def test_sources_are_passed_on_byte_for_byte() -> None:
    """A picture is never re-encoded, however odd its file."""
    odd = Image.new("P", (64, 64), 3)
    odd.info["transparency"] = 3
    body = messages(user(chat_image(), chat_text()))
    new, _ = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert new["messages"][0]["content"][0] is body["messages"][0]["content"][0]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "type", "content", "text", "image_url", "url", "output", "x"]),
            children | st.sampled_from(["user", "message", "text", "image_url", "input_image"]),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(items=st.lists(json_values, max_size=4), endpoint=st.sampled_from(["messages", "input"]))
def test_odd_bodies_go_through_unchanged(items: list[Any], endpoint: str) -> None:
    body = {"model": "m", endpoint: items}
    before = frozen(body)
    new, report = rewrite_body(body, zoom=Zoom(FixedCropper(), OPTIONS))
    assert frozen(body) == before == frozen(new)
    assert not report.crops
