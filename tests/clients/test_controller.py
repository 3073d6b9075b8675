"""`client.cropzoom`: options, reports and overrides, across threads and tasks."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest
from wrapping import (
    OPTIONS,
    BrokenCropper,
    FixedCropper,
    chat_image,
    chat_text,
    crop_of,
    marked,
    uri,
    user,
)

from cropzoom import CropZoomError, OptionsError, ZoomReport
from cropzoom.clients import Controller
from cropzoom.report import Reason
from cropzoom.zoom import Zoom


def make(cropper: Any = None, **kwargs: Any) -> Controller:
    return Controller(Zoom(cropper or FixedCropper(), OPTIONS), **kwargs)


def body(part: Any = None) -> dict[str, Any]:
    return {"model": "m", "messages": [user(part or chat_image(), chat_text())]}


def report(question: str) -> ZoomReport:
    return ZoomReport(images=(), question=question, reason=None, milliseconds=1.0)


def test_rewrite_body_adds_crops_and_is_no_call() -> None:
    seen: list[ZoomReport] = []
    controller = make(on_report=seen.append)
    new, made = controller.rewrite_body(body())
    assert marked(new)["messages"][0]["content"][1] == chat_image(crop_of())
    assert made.images[0].reason is None
    assert (seen, controller.last_report) == ([], None)


def test_override_changes_options_inside_the_block_only() -> None:
    controller = make()
    with controller.override(label="Look:", max_area=0.3) as inner:
        assert inner is controller
        assert (controller.options.label, controller.options.max_area) == ("Look:", 0.3)
        with controller.override(label=None):
            assert (controller.options.label, controller.options.max_area) == (None, 0.3)
        assert controller.options.label == "Look:"
        new, _ = controller.rewrite_body(body())
        assert new["messages"][0]["content"][1] == chat_text("Look:")
    assert controller.options is OPTIONS


def test_override_ends_when_the_block_raises() -> None:
    controller = make()
    with pytest.raises(KeyError), controller.override(enabled=False):
        raise KeyError
    assert controller.enabled


def test_override_switches_off_and_on() -> None:
    controller = make()
    with controller.override(enabled=False):
        new, made = controller.rewrite_body(body())
        assert (new, made.reason) == (body(), Reason.OFF)
        with controller.override(enabled=True):
            assert controller.enabled
        with controller.override(max_crops=2):
            assert not controller.enabled
        assert not controller.enabled
    assert controller.enabled


@pytest.mark.parametrize(
    "changes", [{"max_crop": 2}, {"cache_size": 3}, {"max_crops": 0}, {"label": 3}]
)
def test_override_refuses_what_it_can_not_change(changes: dict[str, Any]) -> None:
    controller = make()
    with pytest.raises(OptionsError, match=next(iter(changes))), controller.override(**changes):
        pass
    assert controller.options is OPTIONS


def test_overrides_of_two_clients_do_not_mix() -> None:
    one, two = make(), make()
    with one.override(enabled=False):
        assert two.enabled
        with two.override(label="Two:"):
            assert one.options.label is None


def test_threads_see_their_own_reports_and_overrides() -> None:
    controller = make()
    controller.publish(report("main"))
    ready = threading.Barrier(4)

    def work(number: int) -> tuple[Any, ...]:
        before = controller.last_report
        with controller.override(label=str(number)):
            ready.wait(10)
            controller.publish(report(str(number)))
            ready.wait(10)
            assert controller.last_report is not None
            return before, controller.last_report.question, controller.options.label

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(work, range(4)))
    assert results == [(None, str(number), str(number)) for number in range(4)]
    assert controller.last_report == report("main")


def test_tasks_see_their_own_reports_and_overrides() -> None:
    controller = make()

    async def work(number: int) -> tuple[Any, ...]:
        with controller.override(label=str(number)):
            await asyncio.sleep(0)
            controller.publish(report(str(number)))
            await asyncio.sleep(0)
            assert controller.last_report is not None
            return controller.last_report.question, controller.options.label

    async def main() -> list[tuple[Any, ...]]:
        controller.publish(report("main"))
        results = await asyncio.gather(*(work(number) for number in range(4)))
        assert controller.last_report == report("main")
        return results

    assert asyncio.run(main()) == [(str(number), str(number)) for number in range(4)]


def test_a_context_does_not_keep_a_controller_alive() -> None:
    controller = make()
    controller.publish(report("?"))
    context = copy_context()
    gone = weakref.ref(controller)
    del controller
    gc.collect()
    assert gone() is None
    assert context is not None


def test_on_report_sees_every_report_and_may_fail(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[ZoomReport] = []

    def broken(made: ZoomReport) -> None:
        seen.append(made)
        raise RuntimeError("dashboard is down")

    controller = make(on_report=broken)
    controller.publish(report("1"))
    controller.publish(report("2"))
    assert [made.question for made in seen] == ["1", "2"]
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.name for record in warnings] == ["cropzoom"]
    assert "dashboard is down" in caplog.text


def test_each_kind_of_trouble_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    controller = make()
    for part in (chat_image("https://example.com/1"), chat_image("https://example.com/2")):
        controller.publish(controller.rewrite_body(body(part))[1])
    for number in (100, 200):
        part = chat_image(uri()[:number])
        controller.publish(controller.rewrite_body(body(part))[1])
    # Ordinary decisions are no trouble.
    controller.publish(make(FixedCropper(confidence=0.0)).rewrite_body(body())[1])
    messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert len(messages) == 2
    assert "remote_url" in messages[0]
    assert "fetch_images" in messages[0]
    assert "broken_image" in messages[1]


class Exploding(dict[str, Any]):
    """A body that can't even be looked at."""

    def get(self, *args: Any) -> Any:
        raise RuntimeError("boom")


def test_whatever_goes_wrong_the_body_goes_through() -> None:
    new, made = make().rewrite_body(Exploding(body()))
    assert new == body()
    assert made.reason == Reason.ERROR
    assert "boom" in made.detail


def test_strict_raises_own_errors_only() -> None:
    with pytest.raises(CropZoomError, match="boom"):
        make(strict=True).rewrite_body(Exploding(body()))
    with pytest.raises(CropZoomError, match="out of paper"):
        make(BrokenCropper(), strict=True).rewrite_body(body())
