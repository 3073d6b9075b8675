"""Rewards without a model of vision and language, sums, names, and TRL's signature."""

from __future__ import annotations

import collections
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
# ruff: noqa: E402

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cropzoom.data.row import Row
from cropzoom.errors import DataError, OptionsError, TrainingError
from cropzoom.trainer.rewards import REWARDS, make_reward
from cropzoom.trainer.rewards.box_rewards import AreaPenalty, ValidBox, WeightedSum
from cropzoom.trainer.rewards.ocr_legibility import OcrLegibility, likeness
from cropzoom.trainer.rewards.trl import as_trl

NAN = math.nan
ROW = Row("a", Image.new("RGB", (40, 20), "white"), "What?", ("42",))
BOXES = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.25, 0.0, 0.75, 1.0], [NAN] * 4, [0, 0, 1, 1.0]]])


class Width:
    """A reward that can be told by looking: the box's width in hundredths."""

    name = "width"

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.boxes: list[Tensor] = []

    def __call__(self, rows: Any, boxes: Tensor) -> Tensor:
        self.rows.append(list(rows))
        self.boxes.append(boxes)
        return 100 * (boxes[..., 2] - boxes[..., 0])


def test_valid_and_area_by_hand() -> None:
    assert ValidBox()([ROW], BOXES).tolist() == [[1, 1, 0, 1]]
    assert AreaPenalty()([ROW], BOXES).tolist() == [[-0.25, -0.5, -1, -1]]
    found = AreaPenalty(free=0.375, weight=2)([ROW], BOXES)
    assert found.tolist() == [[0, -0.25, -1.25, -1.25]]
    part = torch.tensor([[[0.1, NAN, 0.2, 0.3]]])
    assert ValidBox()([ROW], part).tolist() == [[0]]
    assert AreaPenalty()([ROW], part).tolist() == [[-1]]
    for options in ({"free": 1.0}, {"weight": -1.0}):
        with pytest.raises(OptionsError, match=next(iter(options))):
            AreaPenalty(**options)


def test_sum_by_hand() -> None:
    total = WeightedSum([(1, Width()), (0.5, ValidBox()), (2, AreaPenalty())])
    found = total([ROW], BOXES)
    assert found[0, [0, 1, 3]].tolist() == [50, 49.5, 98.5] and found[0, 2].isnan()
    assert total.name == "+1*width+0.5*valid+2*area"
    assert list(total.parts) == ["width", "valid", "area"]
    assert total.parts["area"].tolist() == [[-0.25, -0.5, -1, -1]], "parts are unweighted"
    total([ROW], BOXES[:, :1])
    assert total.parts["valid"].shape == (1, 1), "parts are those of the last call"
    for terms in ([], [(1, ValidBox()), (2, ValidBox())]):
        with pytest.raises(OptionsError, match="different names"):
            WeightedSum(terms)  # type: ignore[arg-type]


def test_names() -> None:
    assert isinstance(make_reward("valid"), ValidBox)
    total = make_reward("valid - 0.5*area", free=0.25)
    assert isinstance(total, WeightedSum)
    assert total([ROW], BOXES).tolist() == [[1, 1 - 0.125, -0.375, 1 - 0.375]]
    assert make_reward("2*valid")([ROW], BOXES).tolist() == [[2, 2, 0, 2]]
    assert make_reward("-valid-.5*area")([ROW], BOXES)[0, 0] == -1.125
    remote = make_reward("remote+valid", url="http://localhost:1/v1", model="m", gain=True)
    assert remote.terms[0][1].gain and remote.terms[0][1].url.endswith(":1/v1")  # type: ignore[attr-defined]
    legible = make_reward("legibility", side=300, max_crop_side=600)
    assert isinstance(legible, OcrLegibility) and legible.max_crop_side == 600


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("", {}, "must be a sum such as"),
        ("likelyhood", {}, "rewards are likelihood, accuracy"),
        ("valid+", {}, "must be a sum"),
        ("valid area", {}, "must be a sum"),
        ("valid*2", {}, "must be a sum"),
        ("__import__", {}, "must be a sum"),
        ("valid+0.5*area", {}, "pays for large crops; write -0.5"),
        ("area", {}, "pays for large crops"),
        ("valid+valid", {}, "different names"),
        ("valid", {"side": 3}, "'valid' has no option side; it has none"),
        ("area+valid", {"free": 0.1}, "pays for large"),
        ("valid-area", {"fre": 0.1}, "has no option fre; it has free, weight"),
        ("legibility", {"vlm": 1}, "has no option vlm"),
        ("likelihood", {}, "needs a model: give model="),
        ("accuracy", {"url": "x"}, "has no option url; it has .*batch_size.*device.*model"),
        ("remote", {"model": "m"}, "missing 1 required positional argument: 'url'"),
        ("legibility", {"side": 1}, "side=1 must be"),
    ],
)
def test_bad_names_and_options(spec: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        make_reward(spec, **options)


@given(st.text(alphabet="+-*.0123456789 validare", max_size=20))
def test_any_name_is_a_reward_or_an_error(spec: str) -> None:
    try:
        assert make_reward(spec)([ROW], BOXES).shape == (1, 4)
    except OptionsError as error:
        assert "reward" in str(error) or "names" in str(error)


def test_a_model_is_loaded_once_for_all(tiny_idefics3: Path) -> None:
    total = make_reward(
        "likelihood+accuracy+0.1*valid",
        model=str(tiny_idefics3),
        device="cpu",
        prompt="{question}!",
        reduce="mean",
        metric="exact",
        min_crop_side=0,
        max_new_tokens=3,
    )
    (_, likelihood), (_, accuracy), _ = total.terms  # type: ignore[attr-defined]
    assert likelihood.vlm is accuracy.vlm and likelihood.vlm.prompt == "{question}!"
    assert likelihood.reduce == "mean" and accuracy.max_new_tokens == 3
    assert likelihood.min_crop_side == accuracy.min_crop_side == 0
    assert total([ROW], BOXES).isfinite().all()
    with pytest.raises(TrainingError, match="can't load the model"):
        make_reward("likelihood", model=str(tiny_idefics3 / "nothing"))


def test_all_rewards_are_named_by_their_class() -> None:
    from cropzoom.trainer.rewards import _load

    assert {name: _load(name).name for name in REWARDS} == {name: name for name in REWARDS}


class TestTrl:
    def setup_method(self) -> None:
        self.images = [Image.new("RGB", (10, 10)), Image.new("RGB", (20, 10))]
        self.columns: dict[str, Any] = {
            "image": [self.images[0]] * 2 + [self.images[1]] * 2,
            "question": ["one?"] * 2 + ["two?"] * 2,
            "answers": [["a", "b"]] * 2 + ["c"] * 2,
            "id": [7, 7, 8, 8],
            "trainer_state": object(),
        }
        self.texts = ["[0, 0, 10, 20].", "[20, 0, 50, 20]", "no box", "[90, 0, 10, 20]."]

    def test_groups(self) -> None:
        reward = Width()
        function = as_trl(reward)
        assert function.__name__ == "width"
        found = function(prompts=["p"] * 4, completions=self.texts, **self.columns)
        assert found[:2] == pytest.approx([10, 30]) and found[3] == pytest.approx(80)
        assert math.isnan(found[2]) and all(type(value) is float for value in found)
        (rows,) = reward.rows
        assert [(row.id, row.question, row.answers) for row in rows] == [
            ("7", "one?", ("a", "b")),
            ("8", "two?", ("c",)),
        ]
        assert [row.image for row in rows] == self.images
        assert reward.boxes[0].shape == (2, 2, 4)

    def test_without_ids_or_with_uneven_groups(self) -> None:
        for ids in (None, [7, 7, 7, 8], [7, 8, 8, 9]):
            reward = Width()
            columns = {**self.columns, "id": ids}
            found = as_trl(reward)(["p"] * 4, self.texts, **columns)
            assert found[:2] == pytest.approx([10, 30])
            assert reward.boxes[0].shape == (4, 1, 4)
            assert [row.question for row in reward.rows[0]] == self.columns["question"]

    def test_chats_and_other_columns(self) -> None:
        chat = [[{"role": "assistant", "content": text}] for text in self.texts[:3]]
        chat.append([{"role": "assistant", "content": [{"type": "text", "text": self.texts[3]}]}])
        columns = {
            "images": [[image] for image in self.columns["image"]],
            "question": self.columns["question"],
            "answer": ["a"] * 4,
        }
        reward = Width()
        found = as_trl(reward)(["p"] * 4, chat, [[1]] * 4, **columns)
        assert found[:2] == pytest.approx([10, 30]) and found[3] == pytest.approx(80)
        undecoded = {**columns, "image": [{"bytes": b"x", "path": None}] * 4}
        as_trl(reward)(["p"] * 4, chat, **undecoded)
        assert reward.rows[-1][0].image == b"x"

    def test_missing_columns(self) -> None:
        for name in ("image", "question", "answers"):
            columns = {key: value for key, value in self.columns.items() if key != name}
            with pytest.raises(DataError, match="needs the columns image, question and answers"):
                as_trl(Width())(["p"] * 4, self.texts, **columns)

    def test_called_by_trl(self) -> None:
        """TRL's own way of calling reward functions, on an instance with only what it reads."""
        pytest.importorskip("trl")
        from types import SimpleNamespace

        from trl import GRPOTrainer

        trainer = object.__new__(GRPOTrainer)
        rewards = [as_trl(Width()), as_trl(ValidBox())]
        trainer.accelerator = SimpleNamespace(device=torch.device("cpu"), is_main_process=True)
        trainer.args = SimpleNamespace(report_to=[])
        trainer.model = SimpleNamespace(training=True)
        trainer.state, trainer.environments = SimpleNamespace(global_step=0), None
        trainer.reward_funcs, trainer.reward_processing_classes = rewards, [None, None]
        trainer.reward_func_names = [reward.__name__ for reward in rewards]
        trainer._metrics = {"train": collections.defaultdict(list)}
        columns = {key: value for key, value in self.columns.items() if key != "trainer_state"}
        inputs = [
            {"prompt": "p", **{key: values[i] for key, values in columns.items()}} for i in range(4)
        ]
        found = trainer._calculate_rewards(inputs, ["p"] * 4, self.texts, [[1]] * 4)
        assert found[:, 0].nan_to_num(-1).tolist() == pytest.approx([10, 30, -1, 80])
        assert found[:, 1].tolist() == [1, 1, 0, 1]


def test_likeness_by_hand() -> None:
    assert likeness("12.50", "total12.50eur") == 1
    assert likeness("12.50", "total12.5Oeur") == pytest.approx(4 / 5)
    assert likeness("12.50", "12.0") == pytest.approx(4 / 5)
    assert likeness("abcd", "xaxbxcxdx") == pytest.approx(1 / 4)  # "bxc": three edits
    assert likeness("abc", "") == 0 and likeness("", "abc") == 0


@given(st.text("ab1", max_size=5), st.text("ab1", max_size=8))
def test_likeness_is_the_best_of_all_passages(wanted: str, text: str) -> None:
    from cropzoom.reading.metrics import levenshtein

    passages = [text[i:j] for i in range(len(text) + 1) for j in range(i, len(text) + 1)]
    nearest = min(levenshtein(wanted, passage) for passage in passages)
    assert likeness(wanted, text) == (1 - nearest / len(wanted) if wanted else 0)


@pytest.fixture(scope="module")
def reward() -> OcrLegibility:
    pytest.importorskip("rapidocr")
    from cropzoom.reading.ocr import OcrReader

    return OcrLegibility(reader=OcrReader(threads=1))


@pytest.fixture(scope="module")
def row() -> Row:
    """A large page with a heading that is read even when small, and a line that is not."""
    page = Image.new("RGB", (1800, 1400), "white")
    draw = ImageDraw.Draw(page)
    draw.text((100, 80), "STATEMENT", fill="black", font=ImageFont.load_default(120))
    draw.text((1100, 1000), "Due: 731.50", fill="black", font=ImageFont.load_default(14))
    return Row("p", page, "What is due?", ("731.50",))


class TestLegibility:
    def test_the_right_crop_earns_most(self, reward: OcrLegibility, row: Row) -> None:
        boxes = torch.tensor(
            [[[0.6, 0.7, 0.7, 0.75], [0.0, 0.0, 0.3, 0.3], [NAN] * 4, [0.6, 0.7, 0.7, 0.75]]]
        )
        found = reward([row], boxes)[0].tolist()
        assert found[0] == found[3] == 1 and found[1] < 0.5 and found[2] == 0
        page = Row("q", row.image, "Title?", ("Statement",))
        empty = Row("r", Image.new("RGB", (500, 400), "white"), "Title?", ("Statement",))
        found = reward([page, empty], boxes.repeat(2, 1, 1)).tolist()
        assert found == [[1, 1, 0, 1], [0, 0, 0, 0]], "read in the page itself"

    def test_each_picture_is_read_once(self, reward: OcrLegibility, row: Row) -> None:
        fresh = OcrLegibility(reader=reward._target._reader)
        reads: list[Any] = []
        read = fresh._target._reader.read

        class Counting:
            def read(self, image: Image.Image) -> Any:
                reads.append(image.size)
                return read(image)

        fresh._target._reader = Counting()  # type: ignore[assignment]
        boxes = torch.tensor([[[0.6, 0.7, 0.7, 0.75]] * 3])
        again = [row, Row("p2", row.image, "Title?", ("x",))]
        fresh(again, boxes.repeat(2, 1, 1))
        assert len(reads) == 2 and all(max(size) == 448 for size in reads)

    def test_half_read_answers(self, reward: OcrLegibility, row: Row) -> None:
        near = Row("n", row.image, "What is due?", ("731.58", "no such words here"))
        boxes = torch.tensor([[[0.6, 0.7, 0.7, 0.75]]])
        # Five of six characters: (5/6 - 1/2) / (1/2) x 0.5.
        assert reward([near], boxes)[0, 0] == pytest.approx(1 / 3)
        strict = OcrLegibility(reader=reward._target._reader, partial=0)
        assert strict([near], boxes)[0, 0] == 0

    def test_options(self) -> None:
        with pytest.raises(OptionsError, match="partial"):
            OcrLegibility(partial=1.0)
