"""Readers made worse: by how much, and how what they taught is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

import weak_readers  # noqa: E402
from PIL import Image  # noqa: E402
from weak_readers import Judge, Settings, teacher  # noqa: E402


def test_noise_is_in_deviations_of_each_matrix() -> None:
    whole = dict(teacher("as it is", 0).model.named_parameters())
    worse = dict(teacher("noise", 0.4).model.named_parameters())
    again = dict(teacher("noise", 0.4).model.named_parameters())
    for name, weights in whole.items():
        assert torch.equal(worse[name], again[name])
        change = worse[name] - weights
        if weights.dim() == 1:
            assert not change.any()
        elif weights.numel() > 2000:
            assert float(change.std() / weights.std()) == pytest.approx(0.4, rel=0.1)


def test_a_short_sighted_reader_sees_fewer_pixels() -> None:
    processor = teacher("sight", 16).processor.image_processor
    if "Pil" not in type(processor).__name__:
        pytest.skip("torchvision resizes a little differently")
    image = Image.effect_mandelbrot((96, 96), (-3, -2.5, 2, 2.5), 100).convert("RGB")
    seen = processor([[image]], return_tensors="pt")["pixel_values"][0, 0]
    small = image.resize((16, 16), Image.Resampling.LANCZOS)
    blurred = small.resize((64, 64), Image.Resampling.LANCZOS)
    wanted = torch.from_numpy(np.array(blurred)).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(seen, wanted, atol=1e-6)


def test_the_judge_tells_right_crops_from_others() -> None:
    judge = Judge(Settings(held_out=12))
    elsewhere = judge.truth.clone()
    elsewhere[:, [1, 3]] = (judge.truth[:, [1, 3]] + 0.5) % 1  # half a page off
    low = elsewhere[:, 1] < elsewhere[:, 3]  # not cut by the page's edge
    elsewhere[~low] = torch.tensor([0.0, 0.0, 0.1, 0.1])
    wrong, right = judge.judge(elsewhere), judge.judge(judge.truth)
    assert right["accuracy"]["mean"] > 0.9 > 0.3 > wrong["accuracy"]["mean"]
    assert right["iou"]["mean"] == pytest.approx(1) and wrong["iou"]["mean"] < 0.1
    assert right["value whole"]["mean"] == 1 and wrong["value whole"]["mean"] < 0.2
    # The first crops that were judged are what gain is over.
    assert wrong["gain"]["mean"] == 0
    gained = right["accuracy"]["mean"] - wrong["accuracy"]["mean"]
    assert right["gain"]["mean"] == pytest.approx(gained)


def test_the_table_goes_from_good_teachers_to_bad_ones() -> None:
    def share(mean: float) -> dict[str, Any]:
        return {"mean": mean, "interval": [mean, mean]}

    policy = {"accuracy": share(0.8), "value whole": share(0.5), "iou": share(0.6), "area": 0.02}
    teachers = [
        {"way": way, "strength": strength, "right crop": share(reads), "tells apart": 0.9}
        | {"policies": {"likelihood": policy} | ({"accuracy": policy} if way == "noise" else {})}
        for way, strength, reads in (
            ("sight", 20.0, 0.2),
            ("as it is", 0.0, 1.0),
            ("noise", 0.3, 0.7),
        )
    ]
    results = {"teachers": teachers, "sft": policy, "oracle": policy}
    table = weak_readers.tables(results)["teachers"].splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in table[2:]] == [
        "r2 as it is",
        "noise 0.3",
        "sight 20 px",
        "none: the SFT policy",
        "none: the right crop",
    ]
    assert table[3].count("80.0 % [80, 80]") == 2 and table[4].count("80.0 % [80, 80]") == 1
