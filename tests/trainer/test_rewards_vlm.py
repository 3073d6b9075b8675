"""Likelihood and accuracy under a model on this machine: the real Idefics3 and LLaVA, tiny."""

from __future__ import annotations

import dataclasses
import functools
import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
# ruff: noqa: E402

from PIL import Image, ImageDraw
from torch import Tensor, nn

from cropzoom.data.row import Row
from cropzoom.errors import OptionsError, TrainingError
from cropzoom.geometry import Box
from cropzoom.images import encode_crop
from cropzoom.trainer.rewards.accuracy import AnswerAccuracy, soft_accuracy
from cropzoom.trainer.rewards.frozen_vlm import FrozenVlm, Prompt
from cropzoom.trainer.rewards.likelihood import AnswerLikelihood

NAN = math.nan
# Without enlargement, crops of pictures of this size come in one, three and five tiles.
CUT = {"min_crop_side": 0}


def picture(width: int, height: int, seed: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for i in range(30):
        x, y = (seed * 31 + i * 17) % width, (seed * 13 + i * 29) % height
        colour = ((i * 53) % 256, (i * 97) % 256, (i * 131) % 256)
        draw.rectangle((x, y, x + 9, y + 5), fill=colour)
    return image


ROWS = [
    Row("a", picture(90, 60, 1), "What time: early or late?", ("12:45", "quarter: to one")),
    Row("b", picture(40, 120, 2), "Who?", (" Ann ", "Bob", "Ann")),
    Row("c", picture(64, 64, 3), "How much does all of this cost in the end", ("4 €: or 5",)),
]
# Pixel boxes of (left, top, right, bottom), no side under 28: thinner ones are enlarged. For the
# square one, of several shapes.
PIXELS = [
    [(10, 10, 50, 40), (0, 0, 90, 60), (5, 20, 85, 48), (10, 10, 50, 40)],
    [(0, 0, 28, 120), (10, 60, 38, 90), (3, 4, 39, 40), (0, 90, 40, 120)],
    [(0, 0, 64, 28), (30, 0, 58, 64), (8, 8, 56, 56), (36, 36, 64, 64)],
]


def fractions(rows: Sequence[Row] = ROWS, pixels: Any = PIXELS) -> Tensor:
    sizes = [row.image.size for row in rows]  # type: ignore[union-attr]
    return torch.tensor(
        [
            [(x0 / w, y0 / h, x1 / w, y1 / h) for x0, y0, x1, y1 in group]
            for (w, h), group in zip(sizes, pixels, strict=True)
        ]
    )


@pytest.fixture(scope="module")
def parts(tiny_idefics3: Path) -> tuple[Any, Any]:
    """Model and processor."""
    vlm = FrozenVlm.load(str(tiny_idefics3), device="cpu")
    return vlm.model, vlm.processor


def alone(parts: tuple[Any, Any], images: list[Image.Image], question: str, answer: str) -> Any:
    """Log-probabilities of an answer's tokens, one example, its prompt written by hand.

    Without padding, batches or any code of ours; bytes are tokens, so that the answer's are the
    last ones.
    """
    model, processor = parts
    prompt = f"<|im_start|>User: {'<image>' * len(images)}{question}\nGive a very brief answer."
    text = f"{prompt}<end_of_utterance>\nAssistant: {answer}"
    inputs = processor(text=[text], images=[images], return_tensors="pt")
    with torch.no_grad():
        logp = model(**inputs).logits[0].float().log_softmax(-1)
    ids = inputs["input_ids"][0]
    each = logp[:-1].gather(-1, ids[1:, None])[:, 0]
    return each[-len(f" {answer}".replace("<end_of_utterance>", "E").encode()) :]


def naive(parts: tuple[Any, Any], row: Row, pixels: Any, reduce: str, answers: str) -> float:
    values = []
    for answer in row.answers[: 1 if answers == "first" else None]:
        logp = naive_tokens(*parts, ROWS.index(row), pixels, answer.strip())
        values.append(float(logp.sum() if reduce == "sum" else logp.mean()))
    return max(values) if answers == "max" else sum(values) / len(values)


@functools.cache
def naive_tokens(model: Any, processor: Any, number: int, pixels: Any, answer: str) -> Tensor:
    row = ROWS[number]
    images = [row.image] if pixels is None else [row.image, row.image.crop(pixels)]  # type: ignore[union-attr]
    return alone((model, processor), images, row.question, answer)  # type: ignore[arg-type]


@contextmanager
def counted(module: nn.Module) -> Iterator[list[int]]:
    """Count the examples, or tiles, that go through a module."""
    seen: list[int] = []

    def note(_: Any, args: Any, kwargs: dict[str, Any]) -> None:
        given = [*args, *(kwargs.get(n) for n in ("input_ids", "inputs_embeds", "pixel_values"))]
        seen.append(next(value.shape[0] for value in given if value is not None))

    handle = module.register_forward_pre_hook(note, with_kwargs=True)
    yield seen
    handle.remove()


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_likelihood_is_that_of_each_example_alone(
    parts: tuple[Any, Any], share: bool, batch_size: int
) -> None:
    vlm = FrozenVlm(*parts, batch_size=batch_size, share_images=share)
    for reduce, answers, gain in (
        ("sum", "mean", False),
        ("mean", "max", True),
        ("sum", "first", True),
    ):
        reward = AnswerLikelihood(vlm, reduce=reduce, answers=answers, gain=gain, **CUT)  # type: ignore[arg-type]
        found = reward(ROWS, fractions())
        wanted = torch.tensor(
            [
                [naive(parts, row, box, reduce, answers) for box in PIXELS[i]]
                for i, row in enumerate(ROWS)
            ]
        )
        if gain:
            without = [naive(parts, row, None, reduce, answers) for row in ROWS]
            wanted -= torch.tensor(without)[:, None]
        torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)
        assert found.dtype == torch.float32 and found.std(1).min() > 0.01
    assert vlm._shares is share


def test_tokens_of_an_answer(parts: tuple[Any, Any]) -> None:
    vlm = FrozenVlm(*parts)
    image = ROWS[0].image
    asked = [Prompt((image,), "Q?", answer) for answer in ("a:b: c", " a:b: c\n", "ü", "7")]  # type: ignore[arg-type]
    found = vlm.log_likelihoods(asked)
    # A byte is a token; the space before an answer is the template's.
    assert [len(values) for values in found] == [7, 7, 3, 2]
    torch.testing.assert_close(found[0], found[1])
    ended = vlm.log_likelihoods(asked, include_end=True)
    for values, longer, one in zip(found, ended, asked, strict=True):
        torch.testing.assert_close(longer[:-1], values)
        text = f"{one.answer.strip()}<end_of_utterance>"
        wanted = alone(parts, [image], "Q?", text)  # type: ignore[list-item]
        torch.testing.assert_close(longer, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("space", [" ", ""])
def test_an_answer_is_tokenised_as_the_model_would_write_it(
    parts: tuple[Any, Any], tiny_idefics3: Path, space: str
) -> None:
    """With merges, and where the start of a text gets a space of its own, as in Llama's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import AutoProcessor, PreTrainedTokenizerFast

    processor = AutoProcessor.from_pretrained(tiny_idefics3)
    processor.chat_template = processor.chat_template.replace(": ", f":{space}")
    ids = processor.tokenizer.get_vocab()
    for token in ("\u01204", "\u012042", "42"):
        ids[token] = len(ids)
    merges = [("\u0120", "4"), ("\u01204", "2"), ("4", "2")]
    merged = Tokenizer(models.BPE(vocab=ids, merges=merges))
    merged.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    merged.decoder = decoders.ByteLevel()
    processor.tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=merged, eos_token="<end_of_utterance>", pad_token="<pad>"
    )
    vlm = FrozenVlm(parts[0], processor)
    lead = "\u0120" if space else ""
    assert vlm._answer_ids("42", False).tolist() == [ids[f"{lead}42"]]
    assert vlm._answer_ids("24", False).tolist() == [ids[token] for token in f"{lead}24"]


def test_equal_boxes_are_looked_at_once(parts: tuple[Any, Any]) -> None:
    vlm = FrozenVlm(*parts, batch_size=4)
    reward = AnswerLikelihood(vlm, answers="first", gain=True, **CUT)
    boxes = fractions()
    # Other numbers, but the same pixels once rounded outwards.
    boxes[0, 3] = boxes[0, 0] + torch.tensor([0.4 / 90, 0.2 / 60, -0.3 / 90, -0.1 / 60])
    with counted(vlm.model) as rows, counted(vlm.model.model.vision_model) as tiles:
        first = reward(ROWS, boxes)
    # 4 + 4 + 4 boxes, one twice; and three rows without a crop.
    assert sum(rows) == 11 + 3 and max(rows) == 4
    assert first[0, 0] == first[0, 3]
    # Each whole picture once (5 tiles each but for 3 of the tall one), and each crop once.
    one_by_one = FrozenVlm(*parts, share_images=False)
    with counted(vlm.model.model.vision_model) as all_tiles:
        AnswerLikelihood(one_by_one, answers="first", gain=True, **CUT)(ROWS, boxes)
    assert 0 < sum(tiles) < 0.6 * sum(all_tiles)
    with counted(vlm.model) as rows:
        again = reward(ROWS, boxes)
    assert sum(rows) == 11, "what rows are worth without a crop is remembered"
    torch.testing.assert_close(again, first, atol=1e-5, rtol=0)
    twice = Row("b", ROWS[1].image, "Who?", ("Ann", "Ann", " Ann"))
    with counted(vlm.model) as rows:
        AnswerLikelihood(vlm, **CUT)([twice], boxes[1:2])
    assert sum(rows) == 4, "equal answers are weighed once"


def test_boxes_a_pixel_apart_are_not_equal(parts: tuple[Any, Any]) -> None:
    vlm = FrozenVlm(*parts)
    boxes = fractions(ROWS[:1], [[(10, 10, 50, 40), (10, 10, 51, 40)]])
    with counted(vlm.model) as rows:
        AnswerLikelihood(vlm, answers="first", **CUT)(ROWS[:1], boxes)
    assert sum(rows) == 2


@pytest.mark.parametrize("gain", [False, True])
def test_invalid_boxes_earn_least(parts: tuple[Any, Any], gain: bool) -> None:
    reward = AnswerLikelihood(FrozenVlm(*parts), gain=gain, margin=0.5, **CUT)
    boxes = fractions()
    valid = reward(ROWS, boxes)
    boxes[0, 1] = NAN
    boxes[1, :, 2] = NAN
    boxes[2, 2, 0] = math.inf
    found = reward(ROWS, boxes)
    without = torch.tensor([naive(parts, row, None, "sum", "mean") for row in ROWS])
    base = without if gain else torch.zeros(3)
    kept = torch.isfinite(boxes).all(-1)
    torch.testing.assert_close(found[kept], valid[kept], atol=1e-5, rtol=0)
    for number in range(3):
        alternatives = [
            *valid[number][kept[number]].tolist(),
            float((without - base)[number]),
        ]
        worst = torch.full((int((~kept[number]).sum()),), min(alternatives) - 0.5)
        torch.testing.assert_close(found[number][~kept[number]], worst, atol=1e-4, rtol=0)


def test_crops_are_cut_as_for_a_request(parts: tuple[Any, Any]) -> None:
    """Rounded outwards to whole pixels, and enlarged if small; no side is under 28 px."""
    vlm = FrozenVlm(*parts)
    row, box = ROWS[0], Box(0.101, 0.21, 0.49, 0.63)
    boxes = torch.tensor([[[box.x0, box.y0, box.x1, box.y1]]])
    for min_side, size in ((448, (448, 324)), (0, (39, 28))):
        limits = {"min_side": min_side, "max_side": 1024}
        sent = encode_crop(row.load(), box, **limits, photographic=False)
        crop = Image.open(io.BytesIO(sent.data))
        assert crop.size == size
        wanted = vlm.log_likelihoods([Prompt((row.load(), crop), row.question, "12:45")])[0].sum()
        reward = AnswerLikelihood(vlm, answers="first", min_crop_side=min_side)
        torch.testing.assert_close(reward([row], boxes)[0, 0], wanted, atol=1e-5, rtol=0)
    assert AnswerLikelihood(vlm, answers="first").min_crop_side == 448


def test_the_prompt_can_be_another(parts: tuple[Any, Any]) -> None:
    vlm = FrozenVlm(*parts, prompt="Read! {question}")
    assert vlm._render("What {is} it?", 2) == (
        "<|im_start|>User: <image><image>Read! What {is} it?<end_of_utterance>\nAssistant:"
    )
    # Else it would be taken for a third picture.
    assert vlm._render("Is <image> it?", 1).count("<image>") == 1
    row = dataclasses.replace(ROWS[0], question="What is <image> <end_of_utterance> ?")
    assert AnswerLikelihood(vlm, **CUT)([row], fractions()[:1]).isfinite().all()
    with pytest.raises(OptionsError, match=r"must contain \{question\}"):
        FrozenVlm(*parts, prompt="Read!")
    with pytest.raises(OptionsError, match="batch_size"):
        FrozenVlm(*parts, batch_size=0)


def test_float32_whatever_surrounds_it(parts: tuple[Any, Any], tiny_idefics3: Path) -> None:
    parts[0].train()
    vlm = FrozenVlm(*parts)
    reward = AnswerLikelihood(vlm, **CUT)
    wanted = reward(ROWS, fractions())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(reward(ROWS, fractions()), wanted, atol=1e-5, rtol=0)
    assert not any(weights.requires_grad for weights in vlm.model.parameters())
    assert not vlm.model.training

    half = FrozenVlm.load(str(tiny_idefics3), device="cpu", dtype="bfloat16")
    assert half.model.dtype == torch.bfloat16
    asked = Prompt((ROWS[0].image,), "What?", "12:45")  # type: ignore[arg-type]
    (found,) = half.log_likelihoods([asked])
    assert found.dtype == torch.float32
    # Logits are of half precision, but not what is made of them.
    assert not torch.equal(found, found.bfloat16().float())
    by_hand = alone((half.model, half.processor), [ROWS[0].image], "What?", "12:45")  # type: ignore[list-item]
    torch.testing.assert_close(found, by_hand, atol=0.1, rtol=0)


def test_replies_do_not_depend_on_the_batch(parts: tuple[Any, Any]) -> None:
    model, processor = parts
    asked = [
        Prompt((row.image, row.image.crop(box)), row.question)  # type: ignore[arg-type, union-attr]
        for row, group in zip(ROWS, PIXELS, strict=True)
        for box in group[:2]
    ]
    wanted = []
    for one in asked:
        prompt = f"User: <image><image>{one.question}\nGive a very brief answer."
        text = f"<|im_start|>{prompt}<end_of_utterance>\nAssistant:"
        inputs = processor(text=[text], images=[list(one.images)], return_tensors="pt")
        written = model.generate(**inputs, max_new_tokens=6, do_sample=False)
        new = written[0, inputs["input_ids"].shape[1] :]
        wanted.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
    assert len(set(wanted)) > 2, "the model must not say the same to all"
    for share in (True, False):
        for batch_size in (1, 4, 8):
            vlm = FrozenVlm(model, processor, batch_size=batch_size, share_images=share)
            assert vlm.replies(asked, max_new_tokens=6) == wanted


def test_accuracy(parts: tuple[Any, Any]) -> None:
    vlm = FrozenVlm(*parts)
    boxes = fractions()
    boxes[0, 2] = NAN
    row, box = ROWS[0], PIXELS[0][1]
    shown = Prompt((row.image, row.image.crop(box)), row.question)  # type: ignore[arg-type, union-attr]
    (said,) = vlm.replies([shown])
    other = Prompt((row.image, row.image.crop(PIXELS[0][0])), row.question)  # type: ignore[arg-type, union-attr]
    assert vlm.replies([other]) != [said]
    right = Row("a", row.image, row.question, ("no such thing", said))
    found = AnswerAccuracy(vlm, metric="exact", **CUT)([right, *ROWS[1:]], boxes)
    assert found[0].tolist() == [0, 1, 0, 0] and found[1:].sum() == 0
    assert AnswerAccuracy(vlm, metric="anls", **CUT)([right], boxes[:1])[0, 1] == 1
    with pytest.raises(OptionsError, match="metric='bleu' must be one of 'vqa', 'exact'"):
        AnswerAccuracy(vlm, metric="bleu")
    with pytest.raises(OptionsError, match="max_new_tokens"):
        AnswerAccuracy(vlm, max_new_tokens=0)


def test_soft_accuracy_by_hand() -> None:
    assert soft_accuracy("Two.", ["2"]) == 1 and soft_accuracy("three", ["2", "4"]) == 0
    # Two of ten agree with the reply: for them one other does, for the other eight both.
    ten = ["a dog", "the dog", *(f"cat {i}x" for i in range(8))]
    assert soft_accuracy("dog", ten) == pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10)


def test_bad_input(parts: tuple[Any, Any], tmp_path: Path) -> None:
    reward = AnswerLikelihood(FrozenVlm(*parts), **CUT)
    boxes = fractions()
    with pytest.raises(TrainingError, match=r"needs \(B, G, 4\) with B = 3"):
        reward(ROWS, boxes[:2])
    for bad in ((0.5, 0.1, 0.2, 0.9), (0.1, 0.1, 1.2, 0.9), (0.3, 0.3, 0.3, 0.9)):
        wrong = boxes.clone()
        wrong[1, 2] = torch.tensor(bad)
        with pytest.raises(TrainingError, match=r"row 'b': not a box.*Box.ordered"):
            reward(ROWS, wrong)
    for answers in ((), ("ok", " ")):
        empty = Row("e", ROWS[0].image, "Q", answers)
        with pytest.raises(TrainingError, match="row 'e' has no answer"):
            reward([empty], boxes[:1])
    for options in (
        {"margin": 0},
        {"min_crop_side": 9, "max_crop_side": 8},
        {"reduce": "max"},
        {"answers": "majority"},
    ):
        with pytest.raises(OptionsError, match=next(iter(options))):
            AnswerLikelihood(FrozenVlm(*parts), **options)  # type: ignore[arg-type]
    with pytest.raises(TrainingError, match="can't load the model"):
        FrozenVlm.load(str(tmp_path))


def test_templates_that_do_not_fit(parts: tuple[Any, Any], tiny_idefics3: Path) -> None:
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_idefics3)
    template = processor.chat_template
    processor.chat_template = template.replace("{{ 'Assistant:' }}", "{{ 'Assistant: <think>' }}")
    with pytest.raises(TrainingError, match="right after the prompt"):
        FrozenVlm(parts[0], processor)
    processor.chat_template = None
    with pytest.raises(TrainingError, match="can't render a chat"):
        FrozenVlm(parts[0], processor)
    processor.chat_template = template.replace("<end_of_utterance>\n{% endfor", "{% endfor")
    endless = FrozenVlm(parts[0], processor)
    with pytest.raises(TrainingError, match="ends answers with nothing"):
        AnswerLikelihood(endless, include_end=True, **CUT)(ROWS, fractions())


def build_llava() -> tuple[Any, Any]:
    """A random LLaVA: another kind of picture tensors, another template, a tokenizer with BOS."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import (
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        PreTrainedTokenizerFast,
        SiglipVisionConfig,
    )
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    special = ["<pad>", "<s>", "</s>", "<image>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    bytewise = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    bytewise.post_processor = TemplateProcessing(single="<s> $0", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        additional_special_tokens=special[3:],
        padding_side="right",
    )
    processor = LlavaProcessor(
        SiglipImageProcessorPil(size={"height": 16, "width": 16}),
        tokenizer,
        patch_size=4,
        vision_feature_select_strategy="full",
        chat_template=(
            "{% for m in messages %}{{ m['role'] | upper }}: {% for b in m['content'] %}"
            "{% if b['type'] == 'image' %}<image>\n{% else %}{{ b['text'] }}{% endif %}"
            "{% endfor %}{{ '</s>' if m['role'] == 'assistant' else ' ' }}{% endfor %}"
            "{{ 'ASSISTANT:' if add_generation_prompt }}"
        ),
    )
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlavaConfig(
        vision_config=SiglipVisionConfig(
            hidden_size=16, intermediate_size=32, image_size=16, patch_size=4, **sizes
        ),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, **sizes, **ids
        ),
        image_token_index=vocabulary["<image>"],
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() > 1:
                weights.normal_(std=0.3)
    return model, processor


def test_other_models() -> None:
    model, processor = build_llava()
    vlm = FrozenVlm(model, processor, batch_size=5)
    found = AnswerLikelihood(vlm, answers="first", include_end=True, **CUT)(ROWS, fractions())
    for row, group, line in zip(ROWS, PIXELS, found, strict=True):
        for box, value in zip(group, line, strict=True):
            text = f"USER: <image>\n<image>\n{row.question}\nGive a very brief answer. ASSISTANT: "
            answer = row.answers[0].strip()
            images = [row.image, row.image.crop(box)]  # type: ignore[union-attr]
            inputs = processor(text=[f"{text}{answer}</s>"], images=[images], return_tensors="pt")
            ids = inputs["input_ids"][0]
            assert ids[0] == 1 and ids[-1] == 2
            with torch.no_grad():
                logp = model(**inputs).logits[0, :-1].log_softmax(-1)
            each = logp.gather(-1, ids[1:, None])[:, 0]
            wanted = each[-len(f" {answer}".encode()) - 1 :].sum()
            torch.testing.assert_close(value, wanted, atol=1e-4, rtol=0)
    assert vlm._shares is False and found.std() > 0.01
    processor.chat_template = "<s>" + processor.chat_template  # else the tokenizer puts it there
    again = AnswerLikelihood(FrozenVlm(model, processor), answers="first", include_end=True, **CUT)
    torch.testing.assert_close(again(ROWS, fractions()), found, atol=1e-4, rtol=0)
    replies = vlm.replies([Prompt((row.image,), row.question) for row in ROWS], max_new_tokens=5)  # type: ignore[arg-type]
    singly = [vlm.replies([Prompt((row.image,), row.question)], max_new_tokens=5) for row in ROWS]  # type: ignore[arg-type]
    assert replies == [one for (one,) in singly]


def test_tokenizers_that_need_whole_prompts(
    parts: tuple[Any, Any], tiny_idefics3: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(tiny_idefics3)
    begin = ("<pad>", processor.tokenizer.pad_token_id)
    processor.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<pad> $0", special_tokens=[begin]
    )
    processor.tokenizer.bos_token = "<pad>"
    found = []
    for share in (True, False):
        vlm = FrozenVlm(parts[0], processor, share_images=share)
        with caplog.at_level("WARNING", logger="cropzoom.trainer"):
            found.append(AnswerLikelihood(vlm, **CUT)(ROWS, fractions()))
        assert vlm._shares is False and ("whole prompts" in caplog.text) is True
    assert torch.equal(*found)
