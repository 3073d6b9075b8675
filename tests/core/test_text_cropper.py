"""Text croppers run on graphs whose every token is known."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from hand_made_text_cropper import ANSWERS, END, GRAMMAR, TOKENIZER, write_text_cropper

from cropzoom import Box, CropperError, ImageError, OptionsError, load_cropper
from cropzoom.cropper import Cropper
from cropzoom.cropper.nano.nano_cropper import NanoCropper
from cropzoom.cropper.smolvlm import text_cropper as text_module
from cropzoom.cropper.smolvlm.text_cropper import TextCropper
from cropzoom.cropper.trace import Trace

DARK = Image.new("RGB", (50, 40))
BRIGHT = Image.new("RGB", (50, 40), "white")


def box_of(answer: str) -> Box:
    x0, y0, x1, y1 = (int(digit) / 100 for digit in answer)
    return Box(x0, y0, x1, y1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_text_cropper(tmp_path_factory.mktemp("text-cropper"))


@pytest.fixture
def cropper(folder: Path) -> TextCropper:
    loaded = load_cropper(folder)
    assert isinstance(loaded, TextCropper)
    return loaded


@pytest.mark.parametrize(
    ("image", "question", "answer"),
    [
        (DARK, "What?", ANSWERS[0]),
        (BRIGHT, "What?", ANSWERS[1]),
        (DARK, "a z", ANSWERS[2]),
        (BRIGHT, "a z", ANSWERS[3]),
    ],
)
def test_the_box_depends_on_image_and_question(
    cropper: TextCropper, image: Image.Image, question: str, answer: str
) -> None:
    assert isinstance(cropper, Cropper)
    (crop,) = cropper.predict(image, question, k=5)
    assert crop.box == box_of(answer)
    assert crop.confidence > 0.99
    free = cropper.generate(image, question)
    assert free.text == " [{}, {}, {}, {}].".format(*answer) and free.box == crop.box
    assert free.tokens == [*GRAMMAR.write([int(digit) for digit in answer]), END]


def test_generate_stops_at_its_limit(cropper: TextCropper) -> None:
    free = cropper.generate(DARK, "What?", max_tokens=4)
    assert len(free.tokens) == 4 and free.box is None


def test_a_second_question_pays_its_own_tokens_only(cropper: TextCropper) -> None:
    first, second, other = Trace(), Trace(), Trace()
    cropper.predict(DARK, "What?", trace=first)
    (crop,) = cropper.predict(DARK, "a z", trace=second)
    cropper.predict(BRIGHT, "a z", trace=other)
    assert crop.box == box_of(ANSWERS[2])
    assert set(first.seconds) == set(other.seconds)
    assert set(first.seconds) == {
        "preprocess",
        "tokenise",
        "vision",
        "prefill",
        "decode",
        "parse",
    }
    assert set(second.seconds) == set(first.seconds) - {"vision"}
    assert all(seconds >= 0 for seconds in first.seconds.values())
    prompt = cropper.prompt_tokens(DARK.size, "a z")
    assert second.counts["prompt_tokens"] == len(prompt)
    image_end = TOKENIZER.token_to_id("<fake_token_around_image>")
    kept = len(prompt) - prompt[::-1].index(image_end)
    assert second.counts["kept_tokens"] == kept
    assert "kept_tokens" not in first.counts and "kept_tokens" not in other.counts
    # 2, 3, 6 and 9: two choices each, after one run for the image; 0 is followed by no choice.
    assert first.counts["decoder_runs"] == 9
    assert second.counts["decoder_runs"] == 7
    assert first.counts["tiles"] == 5 and first.counts["box_tokens"] == 12


def test_what_is_kept_is_bounded(cropper: TextCropper, monkeypatch: pytest.MonkeyPatch) -> None:
    def kept(image: Image.Image) -> bool:
        trace = Trace()
        cropper.predict(image, "What?", trace=trace)
        return "kept_tokens" in trace.counts

    shades = [Image.new("RGB", (50, 40), (shade,) * 3) for shade in (1, 2, 3)]
    assert [kept(shades[0]), kept(shades[0])] == [False, True]
    # 39 tokens of 2 x 3 floats each: two images and a half.
    monkeypatch.setattr(text_module, "_KEPT_BYTES", int(2.5 * 39 * 2 * 3 * 4))
    assert [kept(shades[1]), kept(shades[0]), kept(shades[2])] == [False, True, False]
    assert [kept(shades[0]), kept(shades[1])] == [True, False]
    monkeypatch.setattr(text_module, "_KEPT_BYTES", 0)
    assert [kept(shades[2]), kept(shades[2]), kept(shades[1])] == [False] * 3


def test_same_pixels_in_another_shape_are_another_image(cropper: TextCropper) -> None:
    wide, high = Image.new("RGB", (60, 20)), Image.new("RGB", (20, 60))
    cropper.predict(wide, "What?")
    trace = Trace()
    cropper.predict(high, "What?", trace=trace)
    assert "kept_tokens" not in trace.counts


def test_threads_do_not_disturb_each_other(cropper: TextCropper) -> None:
    asked = [(image, q) for image in (DARK, BRIGHT) for q in ("What?", "a z", "b", "zz")]
    alone = [cropper.predict(image, question) for image, question in asked]
    together: list[object] = [None] * 40

    def work(index: int) -> None:
        together[index] = cropper.predict(*asked[index % len(asked)])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone * 5


def test_images_are_read_as_people_see_them(cropper: TextCropper) -> None:
    hidden = Image.new("RGBA", (50, 40), (0, 0, 0, 0))
    assert cropper.predict(hidden, "What?") == cropper.predict(BRIGHT, "What?")
    turned = Image.new("RGB", (40, 50))
    turned.getexif()[0x0112] = 6
    assert cropper.predict(turned, "What?") == cropper.predict(DARK, "What?")
    assert cropper.predict(DARK.convert("L"), "What?")[0].box == box_of(ANSWERS[0])


def test_special_tokens_in_a_question_are_text(cropper: TextCropper) -> None:
    for question in ("<image>", "x<fake_token_around_image>", "<row_1_col_1> <end_of_utterance>"):
        ids = cropper.prompt_tokens(DARK.size, question)
        plain = cropper.prompt_tokens(DARK.size, "x")
        for token in (t for t in TOKENIZER.get_added_tokens_decoder() if t != END):
            assert ids.count(token) == plain.count(token)
        assert cropper.predict(DARK, question)[0].box == box_of(ANSWERS[0])
    assert "image" in TOKENIZER.decode(cropper.prompt_tokens(DARK.size, "<image>"))


def test_capitalize(folder: Path, tmp_path: Path) -> None:
    from hand_made_text_cropper import text_files, text_manifest

    files = text_files()
    manifest = text_manifest(files)
    manifest["prompt"]["capitalize"] = True
    cropper = load_cropper(write_text_cropper(tmp_path, files, manifest))
    assert isinstance(cropper, TextCropper)
    said = TOKENIZER.decode(cropper.prompt_tokens(DARK.size, "who is Ada?"))
    assert "Who is ada?\nWhere?" in said


def test_nonsense_is_refused(cropper: TextCropper) -> None:
    assert cropper.predict(DARK, "  \n") == []
    with pytest.raises(OptionsError, match="k=0"):
        cropper.predict(DARK, "What?", k=0)
    with pytest.raises(ImageError, match="load_image"):
        cropper.predict(b"bytes", "What?")  # type: ignore[arg-type]
    with pytest.raises(CropperError, match=r"the prompt has \d+ tokens.*shorten the question"):
        cropper.predict(DARK, "a " * 400)
    for size in ((1, 9000), (9000, 1), (1, 1)):
        assert len(cropper.predict(Image.new("RGB", size), "What?")) == 1


def test_longest_edge(folder: Path) -> None:
    small = load_cropper(folder, longest_edge=32)
    assert small.longest_edge == 32
    trace = Trace()
    assert isinstance(small, TextCropper)
    small.predict(DARK, "What?", trace=trace)
    assert trace.counts["tiles"] == 1
    for wrong in (31, 33, 0, 224, 64.0, True):
        with pytest.raises(OptionsError, match=r"must be a multiple of 32 .* up to 192"):
            load_cropper(folder, longest_edge=wrong)  # type: ignore[arg-type]


def test_no_second_look(folder: Path) -> None:
    with pytest.raises(OptionsError, match="second_look=512 is for croppers like nano"):
        load_cropper(folder, second_look=512)


def test_warmup_and_close(cropper: TextCropper) -> None:
    cropper.warmup()
    page, trace = Image.new("RGB", (64, 64), "white"), Trace()
    cropper.predict(page, "warm up", trace=trace)
    assert "kept_tokens" not in trace.counts
    cropper.close()
    cropper.close()
    with pytest.raises(CropperError, match="closed"):
        cropper.predict(DARK, "What?")
    with pytest.raises(CropperError, match="closed"):
        cropper.generate(DARK, "What?")


def test_a_kind_has_its_class(folder: Path, tmp_path: Path) -> None:
    from hand_made_cropper import write_cropper

    pointer = write_cropper(tmp_path)
    with pytest.raises(CropperError, match="no text cropper"):
        TextCropper(pointer)
    with pytest.raises(CropperError, match="no pointer cropper"):
        NanoCropper(folder)
    cropper, trace = load_cropper(pointer), Trace()
    cropper.predict(DARK, "dark", trace=trace)
    assert set(trace.seconds) == {"preprocess", "tokenise", "model", "parse"}


def test_a_large_image_is_seen_whole(cropper: TextCropper) -> None:
    """Bright in one corner only: in one of four tiles, and in the shrunken whole."""
    noisy = Image.fromarray(np.zeros((400, 400, 3), np.uint8))
    noisy.paste("white", (300, 300, 400, 400))
    assert cropper.predict(noisy, "What?")[0].box == box_of(ANSWERS[1])


def test_the_command_that_crops_takes_it(folder: Path, tmp_path: Path) -> None:
    import json

    from typer.testing import CliRunner

    from cropzoom.cli import app

    BRIGHT.save(tmp_path / "page.png")
    arguments = ["crop", str(tmp_path / "page.png"), "a z", "--cropper", str(folder), "--json"]
    done = CliRunner().invoke(app, [*arguments, "-o", str(tmp_path / "out.png")])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["cropper"]["name"] == "digits"
    assert result["crops"][0]["box"] == [0.03, 0.05, 0.07, 0.09]
