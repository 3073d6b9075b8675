"""What models see and charge: the providers' published figures, and transformers' processors."""

from __future__ import annotations

import ast
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cropzoom.models import price_of, prices, rule_for, rules, sight

OPENAI = "https://developers.openai.com/api/docs/guides/images-vision"
CLAUDE = "https://platform.claude.com/docs/en/build-with-claude/vision"
COORDINATES = CLAUDE + "-coordinates"
GEMINI = "https://ai.google.dev/gemini-api/docs/image-understanding"
RESOLUTION = "https://ai.google.dev/gemini-api/docs/media-resolution"
BILLED = "https://community.openai.com/t/1281361"  # What the API charged, overhead taken off.
TRIALS = "https://community.openai.com/t/1262691"
ISSUE = "https://github.com/xn1cklas/tokenlens/issues/7"
COUNTED = "https://huggingface.co/datasets/JOHNISKING/image-token-cost"

# model, (width, height), detail, tokens, size seen or None, source
PUBLISHED: list[tuple[str, tuple[int, int], str | None, int, tuple[int, int] | None, str]] = [
    ("gpt-4o", (1024, 1024), "high", 765, (768, 768), OPENAI),
    ("gpt-4o", (2048, 4096), "high", 1105, (768, 1536), OPENAI),
    ("gpt-4o", (4096, 8192), "low", 85, None, OPENAI),
    ("gpt-4.1-2025-04-14", (2049, 513), "high", 1445, None, BILLED),
    ("gpt-4.1-2025-04-14", (2050, 513), "high", 765, None, BILLED),
    ("gpt-4o-2024-08-06", (128, 64), "high", 255, (128, 64), TRIALS),
    ("gpt-4o-2024-08-06", (128, 64), "low", 85, None, TRIALS),
    ("gpt-4o-mini", (128, 64), "high", 8500, None, TRIALS),
    ("gpt-4o-mini", (128, 64), "low", 2833, None, TRIALS),
    ("o3-2025-04-16", (128, 64), "high", 225, None, TRIALS),
    ("o3-2025-04-16", (128, 64), "low", 75, None, TRIALS),
    ("computer-use-preview", (500, 500), "low", 65, None, OPENAI),
    ("computer-use-preview", (1024, 1024), "high", 65 + 4 * 129, None, OPENAI),
    ("gpt-5", (512, 512), "high", 210, None, OPENAI),
    ("gpt-5-chat-latest", (3000, 3000), "low", 70, None, OPENAI),
    ("gpt-4.1-mini", (1024, 1024), None, 1659, (1024, 1024), ISSUE),
    ("gpt-5-mini", (1800, 2400), None, 2352, (1056, 1408), OPENAI),
    ("gpt-5.4-nano", (1800, 2400), "high", 3572, (1056, 1408), OPENAI),
    ("o4-mini", (1800, 2400), "high", 2497, (1056, 1408), OPENAI),
    ("gpt-4.1-mini", (128, 64), "high", 13, None, TRIALS),
    ("gpt-4.1-nano", (128, 64), "high", 20, None, TRIALS),
    ("gpt-6-astra", (256, 256), None, 77, (256, 256), COUNTED),
    ("gpt-6-astra", (512, 512), None, 308, (512, 512), COUNTED),
    ("gpt-6-astra", (768, 768), None, 692, (768, 768), COUNTED),
    ("gpt-6-astra", (1024, 1024), "high", 1229, (1024, 1024), COUNTED),
    ("gpt-6-astra", (1280, 720), None, 1104, (1280, 720), COUNTED),
    ("gpt-6-astra", (1920, 1080), "high", 2448, (1920, 1080), COUNTED),
    ("gpt-6-astra", (2560, 1440), "auto", 4320, (2560, 1440), COUNTED),
    ("gpt-6-astra", (2560, 1440), "high", 2931, None, COUNTED),
    ("gpt-6-astra", (4032, 3024), "original", 14364, (4032, 3024), COUNTED),
    ("gpt-6-astra", (4032, 3024), "high", 2942, None, COUNTED),
    ("gpt-6-astra", (4096, 512), None, 2458, (4096, 512), OPENAI),
    ("gpt-5.5", (8000, 8000), "original", 12000, (3200, 3200), OPENAI),
    # 2,500 patches or 2,048 px: 2048 x 1152 is 64 x 36 patches.
    ("gpt-5.5", (2560, 1440), "high", 2765, (2048, 1152), OPENAI),
    ("gpt-5.5", (3840, 2160), None, 9792, (3840, 2160), COUNTED),
    ("gpt-5.5", (4032, 3024), None, 11868, None, COUNTED),
    ("claude-haiku-4-5", (200, 200), None, 64, (200, 200), CLAUDE),
    ("claude-haiku-4-5", (1000, 1000), None, 1296, (1000, 1000), CLAUDE),
    ("claude-sonnet-4-20250514", (1092, 1092), None, 1521, (1092, 1092), CLAUDE),
    ("claude-3-5-sonnet-20241022", (1920, 1080), None, 1560, (1456, 819), CLAUDE),
    # The guide's table has 1269; its own reference code and the tokens have this.
    ("claude-opus-4-6", (2000, 1500), None, 1564, (1270, 952), CLAUDE),
    ("claude-haiku-4-5", (3840, 2160), None, 1560, (1456, 819), CLAUDE),
    ("claude-haiku-4-5", (1075, 1520), None, 1551, (924, 1307), COORDINATES),
    ("claude-opus-4-7", (200, 200), None, 64, (200, 200), CLAUDE),
    ("claude-opus-4-8", (1092, 1092), None, 1521, (1092, 1092), CLAUDE),
    ("anthropic/claude-opus-5", (1920, 1080), None, 2691, (1920, 1080), CLAUDE),
    ("us.anthropic.claude-opus-4-7-v1:0", (2000, 1500), None, 3888, (2000, 1500), CLAUDE),
    ("claude-sonnet-5-5", (3840, 2160), None, 4784, (2576, 1449), CLAUDE),
    ("gemini-2.5-flash", (384, 384), None, 258, (384, 384), GEMINI),
    ("gemini-2.5-pro", (960, 540), None, 6 * 258, (960, 540), GEMINI),
    ("models/gemini-3-flash-preview", (960, 540), None, 1120, None, RESOLUTION),
    ("gemini-3-pro-preview", (4000, 3000), "low", 280, None, RESOLUTION),
    ("gemini-3-pro-preview", (4000, 3000), "MEDIA_RESOLUTION_MEDIUM", 560, None, RESOLUTION),
    ("gemini-3.8-flash", (4000, 3000), "MEDIA_RESOLUTION_ULTRA_HIGH", 2240, None, RESOLUTION),
]


@pytest.mark.parametrize(("model", "size", "detail", "tokens", "seen", "source"), PUBLISHED)
def test_published_figures(
    model: str,
    size: tuple[int, int],
    detail: str | None,
    tokens: int,
    seen: tuple[int, int] | None,
    source: str,
) -> None:
    view = sight(model, size, detail)
    assert view.tokens == tokens, source
    if seen is not None:
        assert view.size == seen


def test_the_table_is_large_and_every_row_has_its_source() -> None:
    assert len({row[:3] for row in PUBLISHED}) >= 40
    assert all(row[-1].startswith("https://") for row in PUBLISHED)


def test_every_rule_says_where_it_is_from() -> None:
    for rule in rules():
        assert rule.source.startswith("https://") or not rule.known, rule.family
        assert rule.date.startswith("20")
        # What is not the provider's own word is marked.
        assert rule.note or rule.numbers.get("multiplier") != 1.2, rule.family


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("openai/gpt-4o-mini", "OpenAI GPT-4o mini"),
        ("azure/my-gpt-4.1", "OpenAI GPT-4o, GPT-4.1, GPT-4.5, GPT-4 Turbo"),
        ("ft:gpt-4o-2024-08-06:org::id", "OpenAI GPT-4o, GPT-4.1, GPT-4.5, GPT-4 Turbo"),
        ("gpt-5.1", "OpenAI GPT-5, GPT-5.1"),
        ("gpt-5.2", "OpenAI GPT-5.2, GPT-5.3, Codex"),
        ("o1-pro", "OpenAI o1, o3"),
        ("claude-3-7-sonnet-latest", "Anthropic Claude up to 4.6"),
        ("claude-sonnet-4-6", "Anthropic Claude up to 4.6"),
        ("claude-opus-4-20250514", "Anthropic Claude up to 4.6"),
        ("claude-fable-5.1", "Anthropic Claude 4.7 and later"),
        ("Qwen/Qwen2.5-VL-7B-Instruct", "Qwen2-VL, Qwen2.5-VL"),
        ("qwen3-vl:8b", "Qwen3-VL and later"),
        ("HuggingFaceTB/SmolVLM2-500M-Video-Instruct", "SmolVLM of 256M and 500M"),
        ("HuggingFaceTB/SmolVLM-Instruct", "SmolVLM of 2.2B"),
        ("llava-hf/llava-1.5-7b-hf", "LLaVA 1.5"),
        ("llava-v1.6-mistral-7b", "LLaVA-NeXT, LLaVA 1.6"),
        ("llava-onevision-qwen2-7b-ov", "LLaVA-OneVision"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "Llama 4"),
        (
            "meta-llama/Llama-3.2-11B-Vision-Instruct",
            "Llama 3.2 Vision (attended to, not in the text)",
        ),
        ("mistralai/Pixtral-12B-2409", "Pixtral"),
        ("mistral-small-latest", "Mistral Small 3.1, Medium 3 and later"),
        ("my-own-model", "unknown"),
        ("", "unknown"),
    ],
)
def test_names(name: str, family: str) -> None:
    assert rule_for(name).family == family


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("gpt-5-mini", 0.25),
        ("openai/gpt-5.4-mini-2026-03-17", 0.75),
        ("gpt-5.4", 2.5),
        ("gpt-5.1", 1.25),
        ("gpt-4o", 2.5),
        ("gpt-4o-2024-05-13", None),  # It cost more.
        ("gpt-4.1-2025-04-14", 2.0),
        ("claude-opus-5-5", 4.0),
        ("anthropic/claude-opus-5", 5.0),
        ("claude-haiku-4-5-20251001", 1.0),
        ("gemini-3-pro-preview", 2.0),
        ("gpt-5.4-pro", None),
        ("qwen3-vl", None),
        (None, None),
    ],
)
def test_prices(name: str | None, prompt: float | None) -> None:
    price = price_of(name)
    assert (price and price.prompt) == prompt


def test_every_price_says_where_it_is_from() -> None:
    for price in prices():
        assert price.source.startswith("https://") and price.date.startswith("20")
        assert 0 < price.prompt < price.completion < 200


def test_an_unknown_model_is_said_to_be_unknown_and_sees_nothing_in_full() -> None:
    view = sight(None, (300, 200))
    assert not view.rule.known
    assert not view.full
    assert view.tokens > 0


def test_a_picture_is_seen_in_full_up_to_the_limit() -> None:
    assert sight("claude-haiku-4-5", (1092, 1092)).full
    assert not sight("claude-haiku-4-5", (1654, 2339)).full
    assert sight("gpt-6-astra", (1654, 2339)).full
    assert not sight("gemini-3-flash-preview", (300, 300)).full


NAMES = [
    "gpt-4o",
    "gpt-5-mini",
    "gpt-5.2",
    "gpt-5.4",
    "gpt-5.5",
    "gpt-6-astra",
    "claude-haiku-4-5",
    "claude-opus-5",
    "gemini-1.5-pro",
    "gemini-2.5-flash",
    "gemini-3-pro",
    "qwen2.5-vl",
    "qwen3-vl",
    "smolvlm-256m",
    "idefics3",
    "llava-1.5",
    "llava-next",
    "llava-onevision",
    "llama-4-scout",
    "llama-3.2-11b-vision",
    "pixtral",
    "mistral-small",
    "whatever",
]


@given(
    name=st.sampled_from(NAMES),
    width=st.integers(1, 12000),
    height=st.integers(1, 12000),
    detail=st.sampled_from([None, "low", "high", "original", "auto", "nonsense"]),
)
@settings(max_examples=600, deadline=None)
def test_any_picture_has_a_cost_and_limits_hold(
    name: str, width: int, height: int, detail: str | None
) -> None:
    view = sight(name, (width, height), detail)
    assert view.tokens >= 1
    if view.size is not None:
        assert min(view.size) >= 0
    if name.startswith("claude"):
        assert view.tokens <= view.rule.numbers["tokens"]
    if view.rule.way == "patches" and view.size is not None:
        across, down = -(-view.size[0] // 32), -(-view.size[1] // 32)
        level = detail if detail in view.rule.numbers["limits"] else view.rule.numbers["auto"]
        budget = view.rule.numbers["limits"][level][0] if detail != "low" else 256
        # A strip thinner than a patch can't shrink further along its short side.
        assert budget is None or min(view.size) < 32 or across * down <= budget


SIDES = st.integers(16, 4000)
SWEEP = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def _tokens(processor: type, stub: dict[str, Any], size: tuple[int, int]) -> int:
    """Ask a processor's own count, on a stand-in that holds what the count looks at."""
    pytest.importorskip("transformers")
    kind = SimpleNamespace(_merge_kwargs=lambda **_: {"images_kwargs": {}}, **stub)
    for name in ("_get_number_of_features", "_get_unpadded_features", "_prompt_split_image"):
        if hasattr(processor, name):
            setattr(kind, name, getattr(processor, name).__get__(kind))
    counts = processor._get_num_multimodal_tokens(kind, image_sizes=[size[::-1]])
    return int(counts.num_image_tokens[0])


@given(width=SIDES, height=SIDES, name=st.sampled_from(["qwen2.5-vl", "qwen3-vl"]))
@settings(SWEEP, max_examples=60)
def test_qwen_as_in_transformers(width: int, height: int, name: str) -> None:
    module = pytest.importorskip("transformers.models.qwen2_vl.image_processing_pil_qwen2_vl")
    if max(width, height) / min(width, height) > 200:
        return
    bounds = {"shortest_edge": 3136, "longest_edge": 12845056}
    patch = 14
    if name == "qwen3-vl":
        bounds, patch = {"shortest_edge": 65536, "longest_edge": 16777216}, 16
    processor = module.Qwen2VLImageProcessorPil(size=bounds, patch_size=patch, merge_size=2)
    patches = processor.get_number_of_image_patches(height, width, {})
    assert sight(name, (width, height)).tokens == patches // 4


@given(
    width=SIDES,
    height=SIDES,
    spec=st.sampled_from(
        [
            ("smolvlm-256m", 2048, 512, 64),
            ("smolvlm-instruct", 1536, 384, 81),
            ("idefics3", 1456, 364, 169),
        ]
    ),
)
@settings(SWEEP, max_examples=12)
def test_idefics_as_in_transformers(
    width: int, height: int, spec: tuple[str, int, int, int]
) -> None:
    module = pytest.importorskip("transformers.models.idefics3.image_processing_pil_idefics3")
    from PIL import Image

    name, edge, tile, per_tile = spec
    processor = module.Idefics3ImageProcessorPil(
        size={"longest_edge": edge}, max_image_size={"longest_edge": tile}
    )
    # The pictures themselves: the processor's own estimate leaves out one of its two resizings.
    out = processor([[Image.new("RGB", (width, height))]], return_row_col_info=True)
    rows, columns = out["rows"][0][0], out["cols"][0][0]
    expected = per_tile + 3 + rows * (columns * (per_tile + 2) + 1)
    assert sight(name, (width, height)).tokens == expected


@given(width=SIDES, height=SIDES)
@SWEEP
def test_llava_next_as_in_transformers(width: int, height: int) -> None:
    module = pytest.importorskip("transformers.models.llava_next.processing_llava_next")
    images = SimpleNamespace(
        image_grid_pinpoints=[[336, 672], [672, 336], [672, 672], [1008, 336], [336, 1008]],
        size={"shortest_edge": 336},
    )
    stub = {
        "image_processor": images,
        "patch_size": 14,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
    }
    expected = _tokens(module.LlavaNextProcessor, stub, (width, height))
    assert sight("llava-v1.6", (width, height)).tokens == expected


@given(width=SIDES, height=SIDES)
@SWEEP
def test_llava_onevision_as_in_transformers(width: int, height: int) -> None:
    module = pytest.importorskip("transformers.models.llava_onevision.processing_llava_onevision")
    steps = [384 * number for number in range(1, 7)]
    images = SimpleNamespace(
        image_grid_pinpoints=[[high, wide] for high in steps for wide in steps],
        size={"height": 384, "width": 384},
    )
    stub = {
        "image_processor": images,
        "num_image_tokens": 729,
        "vision_aspect_ratio": "anyres_max_9",
        "vision_feature_select_strategy": "full",
    }
    expected = _tokens(module.LlavaOnevisionProcessor, stub, (width, height))
    assert sight("llava-onevision", (width, height)).tokens == expected


@given(width=SIDES, height=SIDES)
@SWEEP
def test_llava_as_in_transformers(width: int, height: int) -> None:
    module = pytest.importorskip("transformers.models.llava.processing_llava")
    stub = {
        "image_processor": SimpleNamespace(crop_size={"height": 336, "width": 336}),
        "patch_size": 14,
        "num_additional_image_tokens": 1,
        "vision_feature_select_strategy": "default",
    }
    expected = _tokens(module.LlavaProcessor, stub, (width, height))
    assert sight("llava-1.5-7b", (width, height)).tokens == expected


@given(
    width=SIDES,
    height=SIDES,
    spec=st.sampled_from([("pixtral-12b", 1024, 16, 1), ("mistral-small-3.1", 1540, 14, 2)]),
)
@SWEEP
def test_pixtral_as_in_transformers(
    width: int, height: int, spec: tuple[str, int, int, int]
) -> None:
    module = pytest.importorskip("transformers.models.pixtral.image_processing_pil_pixtral")
    from PIL import Image

    name, edge, patch, merge = spec
    unit = patch * merge
    high, wide = module.get_resize_output_image_size(
        Image.new("1", (width, height)), size=(edge, edge), patch_size=(unit, unit)
    )
    # The processor puts a break or an end after each row.
    expected = (wide // unit + 1) * (high // unit)
    assert sight(name, (width, height)).tokens == expected


@given(width=SIDES, height=SIDES)
@SWEEP
def test_llama_3_as_in_transformers(width: int, height: int) -> None:
    module = pytest.importorskip("transformers.models.mllama.image_processing_pil_mllama")
    high, wide = module.get_optimal_tiled_canvas(height, width, 4, 560)
    tiles = (high // 560) * (wide // 560)
    assert sight("llama-3.2-11b-vision", (width, height)).tokens == 1601 * tiles


@pytest.fixture(scope="module")
def llama_4() -> dict[str, Any]:
    """Llama 4's own functions: its modules need torchvision, these functions don't."""
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    folder = Path(transformers.__file__).parent / "models/llama4"
    wanted = ("get_factors", "find_supported_resolutions", "get_best_fit", "_prompt_split_image")
    source = (
        "import math, torch\nfrom collections import defaultdict\n"
        "from functools import lru_cache\nfrom typing import Any\nSizeDict = Any\n"
    )
    for name in ("image_processing_llama4.py", "processing_llama4.py"):
        text = (folder / name).read_text()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and node.name in wanted:
                source += dedent(ast.get_source_segment(text, node, padded=True) or "") + "\n"
    names: dict[str, Any] = {}
    exec(source, names)
    return names


@given(width=SIDES, height=SIDES)
@settings(SWEEP, suppress_health_check=list(HealthCheck))
def test_llama_4_as_in_transformers(llama_4: dict[str, Any], width: int, height: int) -> None:
    side = SimpleNamespace(height=336, width=336)
    shapes = llama_4["torch"].tensor(llama_4["find_supported_resolutions"](16, side))
    high, wide = llama_4["get_best_fit"]((height, width), shapes).tolist()
    text = llama_4["_prompt_split_image"](None, (high // 336, wide // 336), 144)
    assert sight("llama-4-scout", (width, height)).tokens == text.count("<|")
