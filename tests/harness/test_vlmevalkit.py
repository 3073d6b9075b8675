"""VLMEvalKit's own API class, with crops. Its environment: tests/compat/run.sh lmms_eval-0."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from colour_server import ColourServer, picture
from fixed_croppers import FixedCropper

from cropzoom.evaluate.harness import zooming
from cropzoom.geometry import Box
from cropzoom.report import ZoomReport

PATCH = Box(0.7, 0.05, 0.85, 0.2)


@pytest.fixture(scope="module")
def gpt4v() -> Any:
    """`vlmeval.api.GPT4V`.

    `import vlmeval` imports all the models and data sets it knows, which need dozens of packages;
    so its two packages are entered by their paths, and only what the class needs is loaded.
    """
    found = importlib.util.find_spec("vlmeval")
    if found is None or found.origin is None:
        pytest.skip("VLMEvalKit is not installed; run tests/compat/run.sh lmms_eval-0")
    root = Path(found.origin).parent
    for name, path in (("vlmeval", root), ("vlmeval.api", root / "api")):
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    yield importlib.import_module("vlmeval.api.gpt").GPT4V
    for name in [name for name in sys.modules if name.partition(".")[0] == "vlmeval"]:
        del sys.modules[name]


@pytest.fixture
def message(tmp_path: Path) -> list[dict[str, str]]:
    path = tmp_path / "red.png"
    path.write_bytes(picture("red"))
    return [
        {"type": "image", "value": str(path)},
        {"type": "text", "value": "0: which colour?\nAnswer in a word."},
    ]


def test_its_api_model_answers_better_with_crops(gpt4v: Any, message: list[dict[str, str]]) -> None:
    reports: list[ZoomReport] = []
    cropper = FixedCropper(PATCH)
    kind = zooming(gpt4v, cropper, on_report=reports.append)
    assert issubclass(kind, gpt4v) and kind.__name__ == "ZoomGPT4V"
    with ColourServer() as server:
        how = {"model": "eye", "api_base": f"{server.base_url}/chat/completions", "key": "none",
               "retry": 1, "verbose": False, "img_detail": "high"}  # fmt: skip
        plain, zoomed = gpt4v(**how), kind(**how)
        assert plain.generate([dict(part) for part in message]) == "nothing"
        assert zoomed.generate([dict(part) for part in message]) == "red"
        before, after = server.bodies
    assert cropper.questions == ["0: which colour?\nAnswer in a word."]
    (report,) = reports
    assert len(report.crops) == 1
    first, crop, text = after["messages"][0]["content"]
    assert [first, text] == before["messages"][0]["content"]  # nothing else has changed
    assert crop["image_url"]["detail"] == first["image_url"]["detail"] == "high"


def test_other_classes_are_refused() -> None:
    with pytest.raises(TypeError, match="dict has no prepare_inputs"):
        zooming(dict, FixedCropper())
