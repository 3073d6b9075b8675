"""Pointer croppers: preprocessing and decoding on arrays written by hand, then real sessions."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cropzoom import CropperError, ImageError, MissingDependencyError, OptionsError, load_cropper
from cropzoom.cropper import Cropper
from cropzoom.cropper.nano.nano_cropper import decode, preprocess
from cropzoom.cropper.nano.pointer_spec import DecodeSpec, ImageSpec
from cropzoom.cropper.session import installed_runtimes, make_session
from cropzoom.environment import usable_threads
from cropzoom.geometry import Crop

IMAGE = ImageSpec(longest_edge=64, multiple=32, pad_value=200, max_upscale=2.0, max_aspect=100)
SPEC = DecodeSpec(
    cell=16, edge=(4.0, 8.0, 16.0, 32.0), quantile=0.7, scale=1.0, pad_px=0.0, temperature=1.0
)
WIDE = replace(SPEC, edge=(4.0, 8.0, 16.0, 100.0))


def edges(rows: int, columns: int, bins: tuple[int, int, int, int] = (1, 1, 1, 1)) -> np.ndarray:
    """Edge logits that put everything on one bin per edge."""
    logits = np.zeros((4, len(SPEC.edge), rows, columns), np.float32)
    for edge, index in enumerate(bins):
        logits[edge, index] = 50
    return logits


def pixels_of(crop: Crop, size: tuple[int, int]) -> tuple[int, int, int, int]:
    return crop.box.to_pixels(*size)


def test_preprocess_shrinks_pads_and_says_what_is_image() -> None:
    pixels, size = preprocess(Image.new("RGB", (256, 80), (255, 0, 0)), IMAGE, 64)
    assert size == (64, 20)
    assert (pixels.shape, pixels.dtype) == ((32, 64), np.uint8)
    assert (pixels[:20] == 76).all()  # red in grey, by ITU-R 601
    assert (pixels[20:] == 200).all()


@pytest.mark.parametrize(
    ("given", "size", "shape"),
    [
        ((64, 64), (64, 64), (64, 64)),
        ((10, 5), (20, 10), (32, 32)),
        ((1, 20000), (1, 64), (64, 32)),
        ((1, 1), (2, 2), (32, 32)),
    ],
)
def test_preprocess_sizes(
    given: tuple[int, int], size: tuple[int, int], shape: tuple[int, int]
) -> None:
    pixels, got = preprocess(Image.new("L", given), IMAGE, 64)
    assert (got, pixels.shape) == (size, shape)


def test_decode_by_hand() -> None:
    """One certain cell, at column 2 and row 1: centre (40, 24); edges 16, 4, 32, 8 px."""
    cells = np.full((4, 4), -50, np.float32)
    cells[1, 2] = 50
    (crop,) = decode(cells, -50, edges(4, 4, (2, 0, 3, 1)), (64, 64), SPEC, 1)
    assert pixels_of(crop, (64, 64)) == (24, 20, 64, 32)
    assert crop.confidence == pytest.approx(1)


def test_absent_takes_confidence_and_temperature_softens_it() -> None:
    cells = np.full((2, 2), -50, np.float32)
    cells[0, 0] = 3
    (crop,) = decode(cells, 3.0, edges(2, 2), (32, 32), SPEC, 1)
    assert crop.confidence == pytest.approx(0.5)
    (crop,) = decode(cells, 1.0, edges(2, 2), (32, 32), SPEC, 1)
    assert crop.confidence == pytest.approx(1 / (1 + np.exp(-2)))
    softer = DecodeSpec(16, SPEC.edge, 0.7, 1.0, 0.0, temperature=2.0)
    (crop,) = decode(cells, 1.0, edges(2, 2), (32, 32), softer, 1)
    assert crop.confidence == pytest.approx(1 / (1 + np.exp(-1)))


def test_a_broad_peak_beats_a_stray_cell_and_the_best_cell_in_it_is_taken() -> None:
    cells = np.full((5, 7), -50, np.float32)
    cells[0, 0] = 2.0
    cells[3, 4:7] = (1.5, 1.6, 1.5)
    (crop,) = decode(cells, -50, edges(5, 7, (0, 0, 0, 0)), (112, 80), SPEC, 1)
    assert pixels_of(crop, (112, 80)) == (84, 52, 92, 60)


def test_confidence_counts_cells_inside_the_ungrown_box() -> None:
    cells = np.full((2, 4), -50, np.float32)
    cells[0, :3] = 1.0, 1.00001, 1.0
    grown = DecodeSpec(16, SPEC.edge, 0.7, scale=2.0, pad_px=4.0, temperature=1.0)
    # From the middle cell 16 px to the right reach the next centre, 8 px to the left do not.
    (crop,) = decode(cells, -50, edges(2, 4, (1, 1, 2, 1)), (64, 32), grown, 1)
    assert crop.confidence == pytest.approx(2 / 3, rel=1e-4)
    # 24 x 16 px about (28, 8), doubled, 4 px more on each side, cut at the border.
    assert pixels_of(crop, (64, 32)) == (0, 0, 56, 28)


def test_quantile_prefers_too_large() -> None:
    cells = np.full((4, 4), -50, np.float32)
    cells[2, 2] = 50
    shares = np.log(np.array([0.3, 0.3, 0.2, 0.2], np.float32))
    logits = np.broadcast_to(shares[None, :, None, None], (4, 4, 4, 4))
    for quantile, distance in ((0.2, 4), (0.5, 8), (0.7, 16), (0.9, 32)):
        spec = DecodeSpec(16, SPEC.edge, quantile, 1.0, 0.0, 1.0)
        (crop,) = decode(cells, -50, logits, (64, 64), spec, 1)
        left = 40 - distance
        assert pixels_of(crop, (64, 64))[0] == left, quantile


def far_apart(first: float, second: float) -> tuple[np.ndarray, np.ndarray]:
    """A key at the left whose box ends early, and a value at the right; the second reaches back."""
    cells = np.full((3, 8), -50, np.float32)
    cells[1, 0], cells[1, 6] = np.log(first), np.log(second)
    logits = edges(3, 8, (1, 1, 2, 1)).copy()
    logits[0, :, 1, 6] = np.where(np.arange(len(WIDE.edge)) == 3, 50, -50)
    return cells, logits


@pytest.mark.parametrize(
    ("join", "shares", "box", "confidence"),
    [
        (None, (0.7, 0.3), (0, 16, 24, 32), 0.7),
        (0.4, (0.7, 0.3), (0, 16, 120, 32), 1.0),
        # As much as is asked for, and just short of it.
        (0.5, (0.6, 0.31), (0, 16, 120, 32), 0.91),
        (0.5, (0.6, 0.29), (0, 16, 24, 32), 0.6),
    ],
)
def test_a_far_value_is_joined_to_its_key(
    join: float | None,
    shares: tuple[float, float],
    box: tuple[int, ...],
    confidence: float,
) -> None:
    cells, logits = far_apart(*shares)
    absent = np.log(max(1e-9, 1 - sum(shares)))
    (crop,) = decode(cells, absent, logits, (128, 48), replace(WIDE, join=join), 1)
    assert pixels_of(crop, (128, 48)) == box
    assert crop.confidence == pytest.approx(confidence, abs=1e-3)


def test_another_place_is_not_joined() -> None:
    cells, logits = far_apart(0.6, 0.4)
    logits[0, :, 1, 6] = logits[0, :, 1, 0]  # it does not reach back
    first, second = decode(cells, -50, logits, (128, 48), replace(WIDE, join=0.1), 2)
    assert pixels_of(first, (128, 48)) == (0, 16, 24, 32)
    assert pixels_of(second, (128, 48)) == (96, 16, 120, 32)


def test_k_boxes_do_not_start_inside_one_another() -> None:
    cells = np.full((4, 8), -50, np.float32)
    cells[0, 0], cells[0, 1], cells[3, 7] = 3.0, 2.9, 1.0
    crops = decode(cells, -50, edges(4, 8, (1, 1, 2, 1)), (128, 64), SPEC, 3)
    assert [pixels_of(crop, (128, 64)) for crop in crops[:2]] == [
        (0, 0, 24, 16),
        (112, 48, 128, 64),
    ]
    assert crops[0].confidence > crops[1].confidence
    assert sum(crop.confidence for crop in crops) <= 1 + 1e-9


def test_k_boxes_end_when_no_cell_is_left() -> None:
    crops = decode(np.zeros((1, 2), np.float32), -50, edges(1, 2), (32, 16), SPEC, 9)
    assert len(crops) == 2


def test_padding_cells_do_not_count() -> None:
    cells = np.full((4, 4), 0, np.float32)
    cells[3, 3] = 50
    cells[0, 1] = 20
    (crop,) = decode(cells, -50, edges(4, 4), (40, 20), SPEC, 1)
    assert pixels_of(crop, (40, 20)) == (16, 0, 32, 16)
    assert crop.confidence == pytest.approx(1)


def test_a_cell_whose_centre_lies_beyond_the_border() -> None:
    cells = np.full((2, 2), -50, np.float32)
    cells[1, 1] = 50
    (crop,) = decode(cells, -50, edges(2, 2, (0, 0, 0, 0)), (17, 17), SPEC, 1)
    assert crop.box.x1 == crop.box.y1 == 1.0


# Real sessions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from hand_made_cropper import write_cropper

    return write_cropper(tmp_path_factory.mktemp("darkest"))


def page(size: tuple[int, int] = (512, 256), spot: tuple[int, int] = (256, 64)) -> Image.Image:
    """White with a black 32 px square: one cell at half size."""
    image = Image.new("RGB", size, "white")
    image.paste("black", (*spot, spot[0] + 32, spot[1] + 32))
    return image


@pytest.mark.parametrize("channel_axis", [True, False])
def test_a_prediction_worked_out_by_hand(tmp_path: Path, channel_axis: bool) -> None:
    pytest.importorskip("onnx")
    from hand_made_cropper import build_model, write_cropper

    with load_cropper(write_cropper(tmp_path, build_model(channel_axis=channel_axis))) as cropper:
        assert isinstance(cropper, Cropper)
        assert cropper.device == "cpu"
        (crop,) = cropper.predict(page(), "What is dark?")
    # At half size the cell's centre is (136, 40) of 256 x 128 px; edges 32, 8, 16, 8.
    assert crop.box.to_pixels(256, 128) == (104, 32, 152, 48)
    others = 16 * 8 - 1 - 3
    # The four cells 16 px apart on the row lie at the box's centres: the peak and its neighbours.
    inside = np.exp(20) + 3
    assert crop.confidence == pytest.approx(inside / (inside + others + np.exp(-20)), rel=1e-3)


def test_predictions_are_deterministic_under_threads(folder: Path) -> None:
    cropper = load_cropper(folder, threads=1)
    pages = [page(spot=(32 * i, 32 * (i % 4))) for i in range(8)]
    alone = [cropper.predict(image, "dark", k=2) for image in pages]
    together: list[list[Crop] | None] = [None] * 32

    def work(index: int) -> None:
        together[index] = cropper.predict(pages[index % 8], "dark", k=2)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone * 4
    assert len({crops[0].box for crops in alone}) == 8


def test_images_are_read_as_people_see_them(folder: Path) -> None:
    with load_cropper(folder) as cropper:
        upright = cropper.predict(page((256, 256)), "dark")
        turned = page((256, 256)).transpose(Image.Transpose.ROTATE_90)
        turned.getexif()[0x0112] = 6
        assert cropper.predict(turned, "dark") == upright
        hidden = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
        hidden.paste(page((256, 256)).convert("RGBA").crop((0, 0, 256, 256)))
        hidden.paste((0, 0, 0, 0), (0, 160, 256, 256))
        assert cropper.predict(hidden, "dark") == upright
        assert turned.size == (256, 256)


def test_predict_refuses_nonsense_and_finds_nothing_without_words(folder: Path) -> None:
    with load_cropper(folder) as cropper:
        assert cropper.predict(page(), "?!") == []
        with pytest.raises(OptionsError, match="k=0"):
            cropper.predict(page(), "dark", k=0)
        with pytest.raises(ImageError, match="load_image"):
            cropper.predict(b"bytes", "dark")  # type: ignore[arg-type]
        assert len(cropper.predict(Image.new("RGB", (1, 20000)), "dark")) == 1
        assert len(cropper.predict(Image.new("RGB", (1, 1)), "dark")) == 1


def test_longest_edge_and_warmup_and_close(folder: Path) -> None:
    cropper = load_cropper(folder, longest_edge=512)
    assert (cropper.longest_edge, cropper.manifest.image.longest_edge) == (512, 256)
    cropper.warmup()
    # The square is four cells now, of which the first is taken: centre (264, 72).
    assert cropper.predict(page(), "dark")[0].box.to_pixels(512, 256) == (232, 64, 280, 80)
    cropper.close()
    cropper.close()
    with pytest.raises(CropperError, match="closed"):
        cropper.predict(page(), "dark")
    with pytest.raises(OptionsError, match="longest_edge"):
        load_cropper(folder, longest_edge=3)


def test_a_second_look_where_the_first_is_unsure(folder: Path) -> None:
    dot = Image.new("L", (1024, 1024), 255)
    dot.paste(0, (512, 256, 528, 272))  # a cell of the second look, a sixteenth of one in the first
    block = Image.new("L", (1024, 1024), 255)
    block.paste(0, (512, 256, 576, 320))  # a whole cell of the first look
    with load_cropper(folder) as once, load_cropper(folder, second_look=1024) as twice:
        assert (once.longest_edge, twice.longest_edge) == (256, 1024)
        (unsure,), (sure,) = once.predict(dot, "a"), twice.predict(dot, "a")
        assert unsure.confidence < 0.1 and sure.confidence > 0.9
        # Distances are px of the look: 32, 8, 16 and 8 of 1024 round the cell's centre.
        x, y = 520 / 1024, 264 / 1024
        corners = (x - 32 / 1024, y - 8 / 1024, x + 16 / 1024, y + 8 / 1024)
        found = (sure.box.x0, sure.box.y0, sure.box.x1, sure.box.y1)
        assert found == pytest.approx(corners, abs=1e-6)
        # Sure at once: the same as without.
        assert twice.predict(block, "a") == once.predict(block, "a") != []
        # Nothing is gained by looking again at what was seen in full.
        small = Image.new("L", (256, 256), 255)
        assert twice.predict(small, "a") == once.predict(small, "a")
        # As unsure as before: the surer of the two.
        blank = Image.new("L", (1024, 1024), 255)
        assert twice.predict(blank, "a")[0].confidence == once.predict(blank, "a")[0].confidence
    for wrong in (0, 256, 99999, 512.0):
        with pytest.raises(OptionsError, match="second_look"):
            load_cropper(folder, second_look=wrong)  # type: ignore[arg-type]


def test_a_model_that_is_none(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from hand_made_cropper import build_model, write_cropper

    with pytest.raises(CropperError, match="can't load the model"):
        load_cropper(write_cropper(tmp_path / "a", b"no model"))
    cropper = load_cropper(write_cropper(tmp_path / "b", build_model(wrong_bins=True)))
    with pytest.raises(CropperError, match="edge_logits of shape"):
        cropper.predict(page(), "dark")
    import onnx

    model = onnx.load_from_string(build_model())
    model.graph.output[1].name = model.graph.node[-4].output[0] = "other"
    with pytest.raises(CropperError, match=r"needs.*absent_logit"):
        load_cropper(write_cropper(tmp_path / "c", model.SerializeToString()))


def test_an_output_that_is_not_finite(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    from hand_made_cropper import build_model, write_cropper

    model = onnx.load_from_string(build_model())
    for constant in model.graph.initializer:
        if constant.name == "scale":
            constant.CopyFrom(onnx.numpy_helper.from_array(np.float32(np.nan)[()], "scale"))
    cropper = load_cropper(write_cropper(tmp_path, model.SerializeToString()))
    with pytest.raises(CropperError, match="not finite"):
        cropper.predict(page(), "dark")


def test_a_cropper_made_for_other_questions(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from hand_made_cropper import build_model, manifest_for, write_cropper

    manifest = manifest_for(build_model())
    manifest["question"]["max_words"] = 3
    with pytest.raises(CropperError, match="questions of 3 words"):
        load_cropper(write_cropper(tmp_path, manifest=manifest))


def test_devices_and_threads(folder: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    with pytest.raises(OptionsError, match="device='tpu'"):
        load_cropper(folder, device="tpu")  # type: ignore[arg-type]
    with pytest.raises(OptionsError, match="threads=0"):
        load_cropper(folder, threads=0)
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        with pytest.raises(CropperError, match=r"cropzoom\[gpu\]"):
            load_cropper(folder, device="cuda")
    session, device = make_session((folder / "model.onnx").read_bytes(), device="cpu", threads=3)
    assert device == "cpu"
    options = session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)


def test_without_onnxruntime(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.setattr("cropzoom.cropper.session.installed_runtimes", dict)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cropzoom\[cpu\]'"):
        load_cropper(folder)


def test_a_gutted_onnxruntime(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uninstalling one of two builds takes the other's files away; what is left may import."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").touch()
    monkeypatch.delitem(sys.modules, "onnxruntime")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed_runtimes()
    with pytest.raises(MissingDependencyError, match=r"broken.*--force-reinstall"):
        load_cropper(folder)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "150000 100000\n"}, 1),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "nonsense"}, None),
        ({"cpu/cpu.cfs_quota_us": "100000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_threads_respect_the_quota(
    tmp_path: Path, files: dict[str, str], quota: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    unlimited = usable_threads(tmp_path / "nothing")
    assert unlimited >= 1
    if hasattr(os, "sched_getaffinity"):
        assert unlimited == len(os.sched_getaffinity(0))
    assert usable_threads(tmp_path) == (quota or unlimited)
