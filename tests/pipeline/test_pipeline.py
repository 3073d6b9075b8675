"""A wrapped pipeline gives what the unwrapped one gives when handed the crop, too."""

from __future__ import annotations

import base64
import copy
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fixed_croppers import BrokenCropper, FixedCropper, crop_by_hand, noise
from PIL import Image

from cropzoom import (
    ClientError,
    CropperError,
    CropZoom,
    ImageError,
    RequestError,
    ZoomOptions,
    ZoomReport,
)

QUESTION = "What is the total?"
FIRST_5 = {"max_new_tokens": 5}


def user(*blocks: Any) -> dict[str, Any]:
    return {"role": "user", "content": [text(b) if isinstance(b, str) else b for b in blocks]}


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def image(picture: Any, key: str = "image") -> dict[str, Any]:
    return {"type": "image", key: picture}


def answer(result: Any) -> str:
    """The generated text alone, from a result for one chat."""
    made = result[0]["generated_text"]
    return made if isinstance(made, str) else made[-1]["content"]


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_the_result_is_that_of_the_plain_pipeline_given_both_images(
    plain: Any, wrapped: Any, photo: Image.Image
) -> None:
    chat = [user(image(photo), QUESTION)]
    with_crop = [user(image(photo), image(crop_by_hand(photo)), QUESTION)]

    made = wrapped(text=chat, **FIRST_5)

    assert answer(made) == answer(plain(text=with_crop, **FIRST_5))
    assert answer(made) != answer(plain(text=chat, **FIRST_5))
    report = wrapped.cropzoom.last_report
    assert report.question == QUESTION
    assert [crop.box for crop in report.crops] == [FixedCropper().box]


def test_the_result_echoes_the_callers_own_messages(wrapped: Any, photo: Image.Image) -> None:
    chat = [user(image(photo), QUESTION)]
    kept = list(chat[0]["content"])

    made = wrapped(text=chat, **FIRST_5)[0]

    assert made["input_text"] is chat
    *history, last = made["generated_text"]
    assert len(history) == 1 and history[0] is chat[0]
    assert last["role"] == "assistant"
    assert chat[0]["content"] == kept and chat[0]["content"][0]["image"] is photo


def test_history_never_collects_crops(plain: Any, wrapped: Any, photo: Image.Image) -> None:
    history = wrapped(text=[user(image(photo), QUESTION)], **FIRST_5)[0]["generated_text"]
    # transformers 4 answers with a string, but takes only blocks.
    history[-1] = {**history[-1], "content": [text(history[-1]["content"])]}
    follow_up = [*history, user("And the date?")]
    # What was sent for the first turn is sent again. Its crop is the one that the second turn would
    # get, so that gets none.
    by_hand = [user(image(photo), image(crop_by_hand(photo)), QUESTION), *history[1:]]
    by_hand.append(user("And the date?"))

    made = wrapped(text=follow_up, **FIRST_5)

    assert answer(made) == answer(plain(text=by_hand, **FIRST_5))
    assert wrapped.cropzoom.last_report.question == "What is the date?"
    blocks = [b for m in made[0]["generated_text"] if m["role"] == "user" for b in m["content"]]
    assert [block["type"] for block in blocks] == ["image", "text", "text"]


def test_both_classes_hold_and_the_given_pipeline_stays_plain(
    plain: Any, wrapped: Any, photo: Image.Image
) -> None:
    assert isinstance(wrapped, type(plain)) and isinstance(wrapped, CropZoom)
    assert type(wrapped).__name__ == type(plain).__name__
    assert not isinstance(plain, CropZoom) and not hasattr(plain, "cropzoom")
    assert wrapped.model is plain.model
    assert CropZoom(wrapped, "nano") is wrapped
    calls = plain.call_count
    wrapped(text=[user(image(photo), QUESTION)], **FIRST_5)
    assert plain.call_count == calls
    again = copy.copy(wrapped)
    assert isinstance(again, CropZoom) and again.cropzoom is wrapped.cropzoom


@pytest.mark.parametrize("form", ["image", "url", "path", "base64", "data-uri", "image_url"])
def test_every_form_of_image_block(
    form: str, plain: Any, wrapped: Any, photo: Image.Image, tmp_path: Path
) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(png(photo))
    encoded = base64.b64encode(png(photo)).decode()
    uri = f"data:image/png;base64,{encoded}"
    block = {
        "image": image(photo),
        "url": image(uri, "url"),
        "path": image(str(file), "path"),
        "base64": image(encoded, "base64"),
        "data-uri": image(uri),
        "image_url": {"type": "image_url", "image_url": {"url": uri}},
    }[form]
    hand = [user(block, image(crop_by_hand(png(photo))), QUESTION)]
    expected = answer(plain(text=copy.deepcopy(hand), **FIRST_5))
    assert answer(wrapped(text=[user(block, QUESTION)], **FIRST_5)) == expected
    assert len(wrapped.cropzoom.last_report.crops) == 1


def test_a_block_with_two_images_is_left_alone(
    plain: Any, wrapped: Any, photo: Image.Image, other_photo: Image.Image, tmp_path: Path
) -> None:
    file = tmp_path / "photo.png"
    other_photo.save(file)
    chat = [user({"type": "image", "image": photo, "path": str(file)}, QUESTION)]
    with pytest.raises(RequestError, match="exactly one of image, url, path, base64"):
        CropZoom(plain, FixedCropper(), strict=True)(text=chat, **FIRST_5)
    try:
        expected = plain(text=copy.deepcopy(chat), **FIRST_5)
    except Exception as error:  # What transformers makes of it is its own affair.
        with pytest.raises(type(error)):
            wrapped(text=chat, **FIRST_5)
    else:
        assert answer(wrapped(text=chat, **FIRST_5)) == answer(expected)


@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_a_list_of_chats(
    batch_size: int, plain: Any, wrapped: Any, photo: Image.Image, other_photo: Image.Image
) -> None:
    chats = [
        [user(image(photo), QUESTION)],
        [user("No picture at all")],
        [user(image(other_photo), "What is the date?")],
    ]
    by_hand = [
        [user(image(photo), image(crop_by_hand(photo)), QUESTION)],
        chats[1],
        [user(image(other_photo), image(crop_by_hand(other_photo)), "What is the date?")],
    ]
    made = wrapped(text=chats, batch_size=batch_size, **FIRST_5)
    assert [answer(one) for one in made] == [answer(plain(text=c, **FIRST_5)) for c in by_hand]
    assert all(one[0]["input_text"] is chat for one, chat in zip(made, chats, strict=True))


def test_a_chat_as_the_first_argument(plain: Any, wrapped: Any, photo: Image.Image) -> None:
    hand = [user(image(photo), image(crop_by_hand(photo)), QUESTION)]
    expected = answer(plain(hand, **FIRST_5))
    assert answer(wrapped([user(image(photo), QUESTION)], **FIRST_5)) == expected
    assert answer(wrapped.chat([user(image(photo), QUESTION)], **FIRST_5)) == expected


def test_one_report_a_sample(plain: Any, photo: Image.Image, other_photo: Image.Image) -> None:
    reports: list[ZoomReport] = []
    pipe = CropZoom(plain, FixedCropper(), on_report=reports.append)
    chats = [
        [user(image(photo), "What is the date?")],
        [user(image(other_photo), "What is the price?")],
        [user("What is the name?")],
    ]
    pipe(text=chats, batch_size=2, **FIRST_5)
    assert [report.question for report in reports] == [
        "What is the date?",
        "What is the price?",
        None,
    ]
    assert [len(report.crops) for report in reports] == [1, 1, 0]
    assert pipe.cropzoom.last_report is reports[-1]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_generator_stays_lazy(
    batch_size: int, plain: Any, wrapped: Any, photo: Image.Image, cropper: FixedCropper
) -> None:
    taken: list[int] = []

    def samples() -> Iterator[dict[str, Any]]:
        for number in range(6):
            taken.append(number)
            yield {"images": photo, "text": f"<image>What is line {number}?"}

    results = iter(wrapped(samples(), batch_size=batch_size, **FIRST_5))
    # Newer versions look at the first sample to find out its kind.
    assert taken in ([], [0]) and cropper.questions == []
    first = next(results)
    assert len(taken) <= 2 * batch_size and "What is line 5?" not in cropper.questions
    crop = crop_by_hand(photo, "What is line 0?")
    expected = plain(images=[photo, crop], text="<image><image>What is line 0?", **FIRST_5)
    assert generated(first) == generated(expected)
    assert len(list(results)) == 5
    assert cropper.questions == [f"What is line {number}?" for number in range(6)]


def test_a_generator_of_chats(plain: Any, wrapped: Any, photo: Image.Image) -> None:
    import transformers

    if transformers.__version__.startswith("4."):
        pytest.skip("transformers 4 takes no generator of chats")
    chats = (
        [user(image(photo), question)] for question in ("What is the date?", "What is the price?")
    )
    made = [answer(one) for one in wrapped(chats, **FIRST_5)]
    crop = crop_by_hand(photo)
    hand = [
        [user(image(photo), image(crop), question)]
        for question in ("What is the date?", "What is the price?")
    ]
    assert made == [answer(plain(text=chat, **FIRST_5)) for chat in hand]


@pytest.mark.parametrize(("batch_size", "num_workers"), [(1, 0), (2, 0), (1, 2), (2, 2)])
def test_a_dataset(
    batch_size: int, num_workers: int, plain: Any, wrapped: Any, photo: Image.Image
) -> None:
    from torch.utils.data import Dataset

    # The second has fewer tiles, so transformers can't put it in a batch with another.
    photos = [photo, noise(7, (200, 20)), photo]

    class Rows(Dataset):
        def __len__(self) -> int:
            return 3

        def __getitem__(self, number: int) -> dict[str, Any]:
            if number >= 3:
                raise AssertionError("asked for a row that is not there")
            return {"images": [photos[number]], "text": f"<image>What is line {number}?"}

    how = {"batch_size": batch_size, "num_workers": num_workers}
    made = [generated(one) for one in wrapped(Rows(), **how, **FIRST_5)]
    hand = [
        plain(
            images=[one, crop_by_hand(one)], text=f"<image><image>What is line {number}?", **FIRST_5
        )
        for number, one in enumerate(photos)
    ]
    assert made == [generated(one) for one in hand]


def generated(result: Any) -> str:
    """What was generated after a prompt given as a string."""
    return result[0]["generated_text"][len(result[0]["input_text"]) :]


def test_a_prompt_with_an_image(plain: Any, wrapped: Any, photo: Image.Image) -> None:
    hand = plain(
        images=[photo, crop_by_hand(photo)], text="<image><image>What is the total?", **FIRST_5
    )
    prompt = "<image>What is the total?"
    for images in (photo, [photo], [[photo]]):
        made = wrapped(images=images, text=prompt, **FIRST_5)
        assert made[0]["input_text"] == prompt
        assert made[0]["generated_text"] == prompt + generated(hand)
    given = {"images": photo, "text": prompt}
    kept = dict(given)
    assert wrapped(given, **FIRST_5)[0]["generated_text"] == prompt + generated(hand)
    assert given == kept


def test_prompts_with_several_images(
    plain: Any, wrapped: Any, photo: Image.Image, other_photo: Image.Image
) -> None:
    crop, other_crop = crop_by_hand(photo), crop_by_hand(other_photo)
    hand = plain(
        images=[photo, crop, other_photo, other_crop],
        text="<image><image>and <image><image>: what is the total?",
        **FIRST_5,
    )
    made = wrapped(
        images=[photo, other_photo], text="<image>and <image>: what is the total?", **FIRST_5
    )
    assert generated(made) == generated(hand)
    assert [image.index for image in wrapped.cropzoom.last_report.images] == [0, 1]


@pytest.mark.parametrize("nested", [False, True])
def test_a_list_of_prompts(
    nested: bool, plain: Any, wrapped: Any, photo: Image.Image, other_photo: Image.Image
) -> None:
    prompts = ["<image>What is the date?", "<image>What is the total of both lines?"]
    images = [[photo], [other_photo]] if nested else [photo, other_photo]
    made = wrapped(images=images, text=prompts, **FIRST_5)
    both = [[photo, crop_by_hand(photo)], [other_photo, crop_by_hand(other_photo)]]
    hand = plain(
        images=both,
        text=["<image><image>What is the date?", "<image><image>What is the total of both lines?"],
        **FIRST_5,
    )
    assert [one["input_text"] for one in made] == prompts
    assert [generated([one]) for one in made] == [generated([one]) for one in hand]


def test_ask(plain: Any, wrapped: Any, photo: Image.Image, tmp_path: Path) -> None:
    file = tmp_path / "photo.png"
    file.write_bytes(png(photo))
    chat = [user(image(photo), image(crop_by_hand(photo)), QUESTION)]
    expected = answer(plain(text=chat, **FIRST_5))
    for given in (photo, png(photo), file, str(file)):
        assert wrapped.ask(given, QUESTION, **FIRST_5) == expected
    with pytest.raises(RequestError, match="return_full_text"):
        wrapped.ask(photo, QUESTION, return_full_text=True)


def test_ask_without_a_chat_template(
    plain: Any, wrapped: Any, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain.processor, "chat_template", None)
    hand = plain(images=[photo, crop_by_hand(photo)], text=f"<image><image>{QUESTION}", **FIRST_5)
    assert wrapped.ask(photo, QUESTION, **FIRST_5) == generated(hand)


def test_options_label_and_two_crops(plain: Any, photo: Image.Image) -> None:
    class Two(FixedCropper):
        def predict(self, image: Image.Image, question: str, k: int = 1) -> list[Any]:
            return super().predict(image, question) * k

    options = ZoomOptions(max_crops=2, label="Enlarged:")
    pipe = CropZoom(plain, Two(), options)
    crop = image(crop_by_hand(photo))
    hand = [user(image(photo), "Enlarged:", crop, "Enlarged:", crop, QUESTION)]
    made = pipe(text=[user(image(photo), QUESTION)], **FIRST_5)
    assert answer(made) == answer(plain(text=hand, **FIRST_5))
    both = [photo, crop["image"], crop["image"]]
    hand = plain(images=both, text=f"<image>{'Enlarged:<image>' * 2}{QUESTION}", **FIRST_5)
    made = pipe(images=photo, text=f"<image>{QUESTION}", **FIRST_5)
    assert generated(made) == generated(hand)


def test_override_holds_for_samples_consumed_later(
    plain: Any, wrapped: Any, photo: Image.Image, cropper: FixedCropper
) -> None:
    def samples() -> Iterator[dict[str, Any]]:
        yield {"images": photo, "text": "<image>What is the date?"}

    expected = generated(plain(images=photo, text="<image>What is the date?", **FIRST_5))
    for batch_size in (1, 2):
        with wrapped.cropzoom.override(enabled=False):
            results = wrapped(samples(), batch_size=batch_size, **FIRST_5)
        assert [generated(one) for one in results] == [expected]
    assert cropper.questions == []
    assert wrapped.cropzoom.last_report.reason == "off"


def test_a_failing_cropper_fails_open_and_strict_raises(
    plain: Any, photo: Image.Image, caplog: pytest.LogCaptureFixture
) -> None:
    chat = [user(image(photo), QUESTION)]
    pipe = CropZoom(plain, BrokenCropper())
    with caplog.at_level(logging.WARNING, "cropzoom"):
        made = [pipe(text=chat, **FIRST_5) for _ in range(2)]
    assert answer(made[0]) == answer(made[1]) == answer(plain(text=chat, **FIRST_5))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "the model file is gone" in caplog.text
    assert pipe.cropzoom.last_report.images[0].reason == "error"
    with pytest.raises(CropperError, match="the model file is gone"):
        CropZoom(plain, BrokenCropper(), strict=True)(text=chat, **FIRST_5)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda photo: {"text": [user("No picture")]}, "no_image"),
        (lambda photo: {"text": [user(image(photo))]}, "no_question"),
        (lambda photo: {"text": "Only words"}, "no_image"),
        (lambda photo: {"images": photo, "text": "<image>"}, "no_question"),
    ],
)
def test_nothing_to_zoom(
    make: Callable[[Any], dict[str, Any]],
    reason: str,
    plain: Any,
    wrapped: Any,
    photo: Image.Image,
) -> None:
    given = make(photo)
    made = wrapped(**given, **FIRST_5)
    assert made[0]["generated_text"] == plain(**given, **FIRST_5)[0]["generated_text"]
    report = wrapped.cropzoom.last_report
    assert report.crops == ()
    assert reason in [report.reason, *(one.reason for one in report.images)]
    with pytest.raises(RequestError, match="nothing to zoom"):
        CropZoom(plain, FixedCropper(), strict=True)(**given, **FIRST_5)


def test_a_model_for_one_image_only_answers_with_the_crop_on_a_canvas(
    plain: Any, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Such a processor's template or its own check refuses the second image.
    monkeypatch.setattr(
        plain.processor,
        "chat_template",
        plain.processor.chat_template.replace(
            "{{ '<image>' }}", "{% if loop.index == 1 %}{{ '<image>' }}{% endif %}"
        ),
    )
    chat = [user(image(photo), QUESTION)]
    pipe = CropZoom(plain, FixedCropper())
    made = pipe(text=chat, **FIRST_5)
    assert answer(made)
    report = pipe.cropzoom.last_report
    assert report.crops[0].place.crop_at is not None
    assert report.reason == "refused" and report.detail
    assert made[0]["input_text"] is chat


def test_an_error_of_the_callers_is_the_callers(plain: Any, wrapped: Any) -> None:
    with pytest.raises(ValueError):
        wrapped()
    with pytest.raises(Exception, match=r"no-such-file|Incorrect image source"):
        wrapped(text=[user(image("no-such-file.png"), QUESTION)], **FIRST_5)
    assert wrapped.cropzoom.last_report.images[0].reason == "broken_image"
    with pytest.raises(ImageError, match=r"no-such-file.png' is no file, no address and no base64"):
        CropZoom(plain, FixedCropper(), strict=True)([user(image("no-such-file.png"), QUESTION)])


def test_prefill_of_the_answer(plain: Any, wrapped: Any, photo: Image.Image) -> None:
    prefill = {"role": "assistant", "content": [text("It is")]}
    hand = plain(
        text=[user(image(photo), image(crop_by_hand(photo)), QUESTION), prefill], **FIRST_5
    )
    made = wrapped(text=[user(image(photo), QUESTION), prefill], **FIRST_5)
    assert made[0]["generated_text"][-1] == hand[0]["generated_text"][-1]
    assert len(made[0]["generated_text"][0]["content"]) == 2


def test_pipelines_with_no_place_for_a_crop_are_refused(plain: Any) -> None:
    from transformers import DocumentQuestionAnsweringPipeline, TextGenerationPipeline

    document = DocumentQuestionAnsweringPipeline.__new__(DocumentQuestionAnsweringPipeline)
    document.task = "document-question-answering"
    with pytest.raises(ClientError, match=r"one image and no more.*load_cropper"):
        CropZoom(document, FixedCropper())
    words = TextGenerationPipeline.__new__(TextGenerationPipeline)
    words.task = "text-generation"
    with pytest.raises(ClientError, match="takes no images with a text"):
        CropZoom(words, FixedCropper())
    with pytest.raises(ClientError, match="is not a pipeline"):
        CropZoom(plain.model, FixedCropper())
