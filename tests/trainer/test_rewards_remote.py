"""The likelihood from a server, over a real socket, against the same model on this machine."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("openai")
# ruff: noqa: E402

from PIL import Image
from vllm_server import VllmServer

from cropzoom.data.row import Row
from cropzoom.errors import OptionsError, TrainingError
from cropzoom.trainer.rewards.frozen_vlm import FrozenVlm
from cropzoom.trainer.rewards.likelihood import AnswerLikelihood
from cropzoom.trainer.rewards.remote import RemoteLikelihood

NAN = math.nan
ROWS = [
    Row("a", Image.effect_noise((60, 40), 90), "When: a or b?", ("1: 45", "no", "no")),
    Row("b", Image.effect_noise((30, 64), 90), "Who?", ("Ann-Zo\u00eb",)),
]
BOXES = torch.tensor(
    [
        [[0.1, 0.2, 0.5, 0.9], [0.0, 0.0, 1.0, 0.5], [0.1, 0.2, 0.5, 0.9]],
        [[0.2, 0.5, 0.8, 0.75], [NAN] * 4, [0.0, 0.0, 0.5, 1.0]],
    ]
)
SMALL: dict[str, Any] = {"min_crop_side": 0, "retries": 0}


@pytest.fixture(scope="module")
def vlm(tiny_idefics3: Path) -> FrozenVlm:
    return FrozenVlm.load(str(tiny_idefics3), device="cpu")


@pytest.fixture
def server(vlm: FrozenVlm) -> Iterator[VllmServer]:
    with VllmServer(vlm.model, vlm.processor) as running:
        yield running


@pytest.mark.parametrize("options", [{}, {"reduce": "mean", "answers": "max", "gain": True}])
def test_it_is_the_local_likelihood(
    server: VllmServer, vlm: FrozenVlm, options: dict[str, Any]
) -> None:
    remote = RemoteLikelihood(server.url, "tiny", **SMALL, **options)
    local = AnswerLikelihood(vlm, min_crop_side=0, **options)
    torch.testing.assert_close(remote(ROWS, BOXES), local(ROWS, BOXES), atol=1e-4, rtol=0)
    assert remote.failures == 0


def test_what_is_asked(server: VllmServer) -> None:
    remote = RemoteLikelihood(server.url, "tiny", concurrency=2, prompt="Look. {question}", **SMALL)
    server.delay = 0.02
    first = remote(ROWS, BOXES)
    # The prompt without and with each of three answers; two looks x two answers, and three looks
    # (one without a crop, for the NaN).
    assert len(server.bodies) == 1 + 3 + 4 + 3
    assert server.most == 2
    server.bodies.clear()
    torch.testing.assert_close(remote(ROWS, BOXES), first, atol=1e-5, rtol=0)
    assert len(server.bodies) == 4 + 2
    for body in server.bodies:
        (asked, answered) = body["messages"]
        *pictures, text = asked["content"]
        assert [part["type"] for part in pictures] == ["image_url"] * 2
        assert all(part["image_url"]["url"].startswith("data:image/png;") for part in pictures)
        assert text["text"] in ("Look. When: a or b?", "Look. Who?")
        assert answered["content"] in ("1: 45", "no", "Ann-Zo\u00eb")
        assert body["prompt_logprobs"] == 0 and body["max_tokens"] == 1
        assert body["continue_final_message"] and not body["add_generation_prompt"]


def test_inside_a_running_loop(server: VllmServer) -> None:
    async def within() -> Any:
        return RemoteLikelihood(server.url, "tiny", **SMALL)(ROWS[:1], BOXES[:1])

    assert asyncio.run(within()).isfinite().all()


def test_large_pictures_can_be_jpeg(server: VllmServer) -> None:
    row = Row("j", Image.effect_noise((300, 200), 90), "Q", ("a",))
    remote = RemoteLikelihood(server.url, "tiny", jpeg=True, **SMALL)
    assert remote([row], torch.tensor([[[0.0, 0.0, 0.3, 0.3]]])).isfinite().all()
    (large, small) = server.bodies[-1]["messages"][0]["content"][:2]
    assert large["image_url"]["url"].startswith("data:image/jpeg;")
    assert small["image_url"]["url"].startswith("data:image/png;"), "small crops stay exact"
    RemoteLikelihood(server.url, "tiny", **SMALL)([row], BOXES[:1, :1])
    (large, _) = server.bodies[-1]["messages"][0]["content"][:2]
    assert large["image_url"]["url"].startswith("data:image/png;")


def test_one_failure_is_counted_and_never_made_up(
    server: VllmServer, caplog: pytest.LogCaptureFixture
) -> None:
    rows, boxes = [ROWS[1]], BOXES[1:, :1].repeat(1, 4, 1)
    boxes[0, :, 0] = torch.tensor([0.0, 0.1, 0.2, 0.3])
    remote = RemoteLikelihood(server.url, "tiny", concurrency=1, **SMALL)
    wanted = remote(rows, boxes)
    server.bodies.clear()

    def cut_short(response: dict[str, Any]) -> dict[str, Any]:
        return {**response, "prompt_logprobs": response["prompt_logprobs"][:-1]}

    def no_number(response: dict[str, Any]) -> dict[str, Any]:
        (token,) = response["prompt_logprobs"][-1]
        return {
            **response,
            "prompt_logprobs": [*response["prompt_logprobs"][:-1], {token: {"logprob": -9999.0}}],
        }

    for spoil in (
        lambda _: 500,
        cut_short,
        no_number,
        lambda response: {**response, "prompt_logprobs": None},
    ):
        server.spoil = lambda response, number, spoil=spoil: (  # type: ignore[misc]
            spoil(response) if number == 2 else response
        )
        server.bodies.clear()
        before = remote.failures
        with caplog.at_level(logging.WARNING, logger="cropzoom.trainer"):
            found = remote(rows, boxes)
        assert found.isnan().tolist() == [[False, False, True, False]]
        torch.testing.assert_close(found[:, [0, 1, 3]], wanted[:, [0, 1, 3]], atol=1e-5, rtol=0)
        assert remote.failures == before + 1
        assert "failed for 1 of 4 answers" in caplog.text
        caplog.clear()


def test_a_failed_no_crop_value_is_asked_again(server: VllmServer) -> None:
    remote = RemoteLikelihood(server.url, "tiny", concurrency=1, gain=True, **SMALL)
    row, boxes = [ROWS[1]], BOXES[1:, ::2]
    # Two requests about tokens, two crops, then the one without a crop.
    server.spoil = lambda response, number: 500 if number == 4 else response
    assert remote(row, boxes).isnan().all(), "a gain over something unknown is unknown"
    assert remote(row, boxes).isfinite().all()


@pytest.mark.parametrize("answers", ["mean", "max"])
def test_an_unknown_answer_makes_the_reward_unknown(server: VllmServer, answers: str) -> None:
    remote = RemoteLikelihood(server.url, "tiny", concurrency=1, answers=answers, **SMALL)  # type: ignore[arg-type]
    row = [Row("x", ROWS[1].image, "Who?", ("Ann", "Bob"))]
    remote(row, BOXES[1:, :1])
    for number in (0, 1):
        server.bodies.clear()
        server.spoil = lambda response, n, number=number: 500 if n == number else response  # type: ignore[misc]
        found = remote(row, BOXES[1:, ::2])
        assert found.isnan().tolist() == [[True, False]]


def test_invalid_boxes_among_failures(server: VllmServer) -> None:
    remote = RemoteLikelihood(server.url, "tiny", concurrency=1, **SMALL)
    # Requests: two about tokens, two crops, no crop.
    server.spoil = lambda response, number: 500 if number == 4 else response
    found = remote(ROWS[1:], BOXES[1:])[0]
    assert found[1] == min(found[0], found[2]) - 1, "less than all that is known"
    wanted = remote(ROWS[1:], BOXES[1:])[0, 1]
    assert wanted <= found[1] + 1e-4
    for number, lost in ((0, 0), (1, 2)):
        server.bodies.clear()
        server.spoil = lambda response, n, number=number: 500 if n == number else response  # type: ignore[misc]
        found = remote(ROWS[1:], BOXES[1:])[0]
        assert found[lost].isnan() and wanted - 1e-4 <= found[1] <= found[2 - lost] - 1


def test_a_passing_fault_is_tried_again(server: VllmServer) -> None:
    server.spoil = lambda response, number: 503 if number % 2 else response
    remote = RemoteLikelihood(server.url, "tiny", **{**SMALL, "retries": 2}, concurrency=1)
    assert remote(ROWS[:1], BOXES[:1]).isfinite().all() and remote.failures == 0


def test_a_dead_server(server: VllmServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: refuses
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(TrainingError, match=rf"{url} weighed none of 4.*attempts failed"):
            RemoteLikelihood(url, "tiny", **SMALL)(ROWS[:1], BOXES[:1].clone() * 0.9)
    # One that dies later, after the answers' tokens are known, is not asked for ever.
    remote = RemoteLikelihood(server.url, "tiny", concurrency=1, **SMALL)
    remote(ROWS[1:], BOXES[1:, :1])
    server.bodies.clear()
    server.spoil = lambda *_: 500
    many = BOXES[1:, :1].repeat(1, 30, 1)
    many[0, :, 1] = torch.linspace(0.0, 0.45, 30)
    with pytest.raises(TrainingError, match=r"weighed none of \d+ .*status 500"):
        remote(ROWS[1:], many)
    assert len(server.bodies) == 8


def test_a_slow_server(server: VllmServer) -> None:
    server.delay = 2
    with pytest.raises(TrainingError, match="timed out"):
        RemoteLikelihood(server.url, "tiny", timeout=0.1, **SMALL)(ROWS[1:], BOXES[1:, :1])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"prompt_logprobs": None}, "returned no prompt_logprobs"),
        ({"prompt_logprobs": [None, 3]}, "of another form"),
        ({"prompt_logprobs": "x"}, "returned no prompt_logprobs"),
        (404, "status 404"),
        (400, "status 400"),
    ],
)
def test_a_server_of_another_kind(server: VllmServer, spoil: Any, message: str) -> None:
    def other(response: dict[str, Any], _: int) -> Any:
        return spoil if isinstance(spoil, int) else {**response, **spoil}

    server.spoil = other
    with pytest.raises(TrainingError, match=message):
        RemoteLikelihood(server.url, "tiny", **SMALL)(ROWS, BOXES)


def test_a_template_that_thinks_first(server: VllmServer) -> None:
    template = server._processor.chat_template
    server._processor.chat_template = template.replace("'Assistant:'", "'Assistant: <think>'")
    try:
        with pytest.raises(TrainingError, match="right after the prompt"):
            RemoteLikelihood(server.url, "tiny", **SMALL)(ROWS, BOXES)
    finally:
        server._processor.chat_template = template


def test_bad_options() -> None:
    for options in ({"url": "host:1"}, {"prompt": "x"}, {"concurrency": 0}, {"timeout": 0}):
        given = {"url": "http://localhost:1/v1", "model": "m", **options}
        with pytest.raises(OptionsError, match=next(iter(options))):
            RemoteLikelihood(**given)
