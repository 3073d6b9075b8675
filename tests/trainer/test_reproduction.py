"""The small reproduction: its pages are what they say, its committed readers read crops only."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

FOLDER = Path(__file__).parents[2] / "benchmarks" / "reproduction"
sys.path.insert(0, str(FOLDER))

from measure import load_vlm, rewards_of  # noqa: E402
from pages import KEYS, PAGE, draw_page, row_of, to_box  # noqa: E402
from reader import READERS, Training, training_crop  # noqa: E402
from report import ORDER, in_order  # noqa: E402
from run import build_policy  # noqa: E402
from start import GRID, draw_batch, key_map  # noqa: E402
from views import VIEW, build_processor, prompt, view  # noqa: E402

from cropzoom.geometry import Box  # noqa: E402
from cropzoom.trainer.rewards.crops import Look  # noqa: E402


def test_boxes_are_exact_to_the_ink() -> None:
    """Wiping the boxes leaves blank paper, and each box's outermost rows and columns have ink."""
    for index in range(20):
        page = draw_page("test", index)
        grey = np.array(page.image.convert("L"))
        paper = grey.max()
        for entry in page.entries:
            for left, top, right, bottom in (entry.key_box, entry.value_box):
                ink = grey[top:bottom, left:right] < paper
                assert ink[0].any() and ink[-1].any() and ink[:, 0].any() and ink[:, -1].any()
                grey[top:bottom, left:right] = paper
        assert (grey == paper).all()


def test_pages_are_seeded_and_streams_differ() -> None:
    again = draw_page("test", 3)
    assert again.image.tobytes() == draw_page("test", 3).image.tobytes()
    assert again.entries == draw_page("test", 3).entries
    assert again.entries != draw_page("other", 3).entries


def test_entries_stand_apart_and_keys_are_unique() -> None:
    for index in range(50):
        entries = draw_page("test", index).entries
        assert 6 <= len(entries) <= 9
        keys = [entry.key for entry in entries]
        assert len(set(keys)) == len(keys) and set(keys) <= set(KEYS)
        for number, one in enumerate(entries):
            for other in entries[:number]:
                a, b = one.box, other.box
                assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]


def test_the_question_is_about_the_box() -> None:
    page = draw_page("test", 5)
    row = row_of(page, page.entries[2], "test/5")
    assert row.question == f"{page.entries[2].key}="
    assert row.answers == (page.entries[2].value,)
    assert row.box is not None
    crop = row.box.to_pixels(PAGE, PAGE)
    assert crop == page.entries[2].right_crop
    inner = page.entries[2].box
    assert crop[0] < inner[0] and crop[1] < inner[1] and crop[2] > inner[2] and crop[3] > inner[3]


def test_training_views_are_the_processors() -> None:
    """Training draws its views itself, for speed: to the bit what the saved processor makes."""
    processor = build_processor()
    if "Pil" not in type(processor.image_processor).__name__:
        pytest.skip("torchvision resizes a little differently")
    image = draw_page("test", 0).image
    boxes = [(0, 0, 256, 256), (10, 20, 57, 43), (3, 1, 9, 200), (100, 50, 103, 53), (0, 7, 255, 8)]
    seen = processor.image_processor([[image.crop(box)] for box in boxes], return_tensors="pt")
    for box, pixels in zip(boxes, seen["pixel_values"], strict=True):
        ours = torch.from_numpy(np.array(view(image, box))).permute(2, 0, 1) / 127.5 - 1
        assert torch.equal(pixels[0], ours.float())


def test_training_prompts_are_the_processors() -> None:
    processor = build_processor()
    image = draw_page("test", 0).image
    content = [{"type": "image"}, {"type": "image"}, {"type": "text", "text": "K="}]
    text = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    asked = processor(text=[text], images=[[image, view(image)]], return_tensors="pt")
    ours = processor.tokenizer(prompt(processor, "K=", 2))["input_ids"]
    assert asked["input_ids"][0].tolist() == ours
    assert asked["pixel_values"].shape == (1, 2, 3, VIEW, VIEW)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_committed_readers_read_the_right_crop_and_not_the_page(name: str) -> None:
    """Loaded as any reward model is, and asked through the trainer's own rewards."""
    vlm = load_vlm(READERS / name)
    assert vlm.model.dtype == torch.float32
    accuracy, likelihood = rewards_of(vlm)
    looks: dict[str, list[Look]] = {"none": [], "page again": [], "another": [], "right": []}
    for index in range(24):
        page = draw_page("fresh", index)
        entry, other = page.entries[:2]
        row = row_of(page, entry, f"fresh/{index}")
        looks["none"].append(Look(row, page.image, None))
        looks["page again"].append(Look(row, page.image, Box(0, 0, 1, 1)))
        looks["another"].append(Look(row, page.image, to_box(other.right_crop)))
        looks["right"].append(Look(row, page.image, row.box))
    right = {kind: fmean(accuracy.worth(each)) for kind, each in looks.items()}
    likely = {kind: fmean(likelihood.worth(each)) for kind, each in looks.items()}
    assert right["right"] > 0.9
    assert max(right["none"], right["page again"], right["another"]) < 0.2
    assert likely["right"] > -1 > -4 > likely["none"]


def test_readers_differ_in_size() -> None:
    sizes = [load_vlm(READERS / name).model.num_parameters() for name in ("r1", "r2")]
    assert sizes == [721_344, 384_768]
    for name in ("r1", "r2"):
        assert (READERS / name / "model.safetensors").stat().st_size < 2_000_000


def test_training_crops_hold_the_value() -> None:
    """However tight, wide or shifted: the answer to be learned can be read in the crop."""
    rng = random.Random(0)
    for index in range(100):
        page = draw_page("test", index)
        for entry in page.entries:
            crop = training_crop(rng, entry, spread=rng.random())
            assert crop[0] <= entry.value_box[0] and crop[1] <= entry.value_box[1]
            assert crop[2] >= entry.value_box[2] and crop[3] >= entry.value_box[3]
            assert crop[0] >= 0 and crop[1] >= 0 and crop[2] <= PAGE and crop[3] <= PAGE


def test_a_readers_training_resumes_to_the_bit(tmp_path: Path) -> None:
    """Stopped after one step with one crop, it goes on with page and crop as if it had not been."""
    whole = Training("r2", 2, tmp_path)
    losses = [whole.take_step(), whole.take_step()]
    first = Training("r2", 2, tmp_path)
    assert first.take_step() == losses[0]
    first.save_checkpoint()
    second = Training("r2", 2, tmp_path)
    second.resume()
    assert second.take_step() == losses[1]
    for name, weights in second.model.state_dict().items():
        assert torch.equal(weights, whole.model.state_dict()[name]), name


def test_paper_order_is_strict_but_for_the_two_rewards() -> None:
    def table(*accuracies: float) -> dict[str, dict[str, tuple[float, float]]]:
        return {
            way: {"accuracy": (value, 0.0)} for way, value in zip(ORDER, accuracies, strict=True)
        }

    assert in_order(table(0.0, 0.3, 0.5, 0.5, 0.9))
    assert not in_order(table(0.0, 0.3, 0.5, 0.4, 0.9))
    assert not in_order(table(0.0, 0.3, 0.3, 0.5, 0.9))
    assert not in_order(table(0.0, 0.3, 0.5, 0.9, 0.9))


def test_the_keys_that_a_policys_start_learns_stand_where_they_are_drawn() -> None:
    page = draw_page("test", 0)
    cells = key_map(page)
    assert (cells != len(KEYS)).sum() == len(page.entries)
    for entry in page.entries:
        left, top, right, bottom = entry.key_box
        row, column = (
            int((low + high) / 2 * GRID / PAGE) for low, high in ((top, bottom), (left, right))
        )
        assert KEYS[cells[row, column]] == entry.key
    pixels, keys, asked = draw_batch(0)
    assert pixels.shape[0] == len(keys) == len(asked) and asked.min() >= 0
    assert pixels.min() >= -1 and pixels.max() <= 1


def test_the_committed_start_tells_keys_apart() -> None:
    """The states of two pages' tokens at the same key are nearer than those of two keys.

    Without training, the place decides.
    """
    policy = build_policy(0)
    vectors: dict[str, list[torch.Tensor]] = {}
    for index in range(40):
        page = draw_page("start-test", index)
        batch = policy.collate([row_of(page, page.entries[0], "x")])
        with torch.no_grad():
            mask = batch["attention_mask"]
            states = policy.read(policy.embed(batch), mask, mask.cumsum(-1) - 1)[0]
        side = GRID // 2
        for entry in page.entries:
            left, top, right, bottom = entry.key_box
            row, column = ((top + bottom) * side // (2 * PAGE), (left + right) * side // (2 * PAGE))
            token = batch["image_token"][0, int(row * side + column)]
            vectors.setdefault(entry.key, []).append(states[token])
    means = {key: torch.stack(found[::2]).mean(0) for key, found in vectors.items()}
    names = list(means)
    centre = torch.stack(list(means.values()))
    right = [
        names[int(torch.cosine_similarity(centre - centre.mean(0), one - centre.mean(0)).argmax())]
        == key
        for key, found in vectors.items()
        for one in found[1::2]
    ]
    assert fmean(right) > 0.5  # guessing: 1 in 16
