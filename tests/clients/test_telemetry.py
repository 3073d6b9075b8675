"""Spans of calls, with the real SDK: sync, async, in threads, not sampled, without the package."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk")
# Environments with other versions of a client have none.
pytest.importorskip("openai")

from openai import AsyncOpenAI, OpenAI
from openai_server import OpenAIServer
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from wrapping import OPTIONS, QUESTION, FixedCropper, chat_image, chat_text, user

from cropzoom import CropZoom, telemetry
from cropzoom.report import Reason


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is exported; a process has one provider, which another test may have set."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    processor = SimpleSpanProcessor(exporter := InMemorySpanExporter())
    provider.add_span_processor(processor)
    yield exporter
    processor.shutdown()


def crop_spans(spans: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == telemetry.SPAN]


def body(question: str = QUESTION, part: Any = None) -> dict[str, Any]:
    return {"model": "m", "messages": [user(part or chat_image(), chat_text(question))]}


def client(server: OpenAIServer, cropper: Any = None) -> Any:
    bare = OpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0)
    return CropZoom(bare, cropper=cropper or FixedCropper(0.75), options=OPTIONS)


def test_a_call_has_a_span_below_the_callers(
    server: OpenAIServer, spans: InMemorySpanExporter
) -> None:
    wrapped = client(server)
    with trace.get_tracer("app").start_as_current_span("request") as parent:
        wrapped.chat.completions.create(**body())
    (span,) = crop_spans(spans)
    report = wrapped.cropzoom.last_report
    assert span.parent is not None and span.parent.span_id == parent.get_span_context().span_id
    given, sent = report.tokens_given, report.tokens_sent
    assert dict(span.attributes or {}) == {
        "cropzoom.images": 1,
        "cropzoom.crops": 1,
        "cropzoom.boxes": (0.25, 0.5, 0.75, 0.75),
        "cropzoom.confidence": (0.75,),
        "cropzoom.tokens_given": given,
        "cropzoom.tokens_sent": sent,
        "cropzoom.tokens_saved": given - sent,
        "cropzoom.milliseconds": report.milliseconds,
        "gen_ai.request.model": "m",
    }
    # It took place within the caller's, and before the answer.
    whole = next(one for one in spans.get_finished_spans() if one.name == "request")
    assert whole.start_time and whole.end_time and span.start_time and span.end_time
    assert span.end_time - span.start_time == round(report.milliseconds * 1e6)
    assert span.end_time <= whole.end_time
    # The caller's own attributes are the caller's.
    assert not whole.attributes
    text = span.to_json()
    assert QUESTION not in text and "base64" not in text


def test_the_reason_and_nothing_of_its_detail(
    server: OpenAIServer, spans: InMemorySpanExporter
) -> None:
    remote = {"type": "image_url", "image_url": {"url": "https://example.com/secret.png"}}
    with trace.get_tracer("app").start_as_current_span("request"):
        client(server, FixedCropper(0.1)).chat.completions.create(**body())
        client(server).chat.completions.create(**body(part=remote))
        # Nothing to look at: no span.
        text = [{"role": "user", "content": "Hello"}]
        client(server).chat.completions.create(model="m", messages=text)
        with (wrapped := client(server)).cropzoom.override(enabled=False):
            wrapped.chat.completions.create(**body())
    first, second = crop_spans(spans)
    assert first.attributes and second.attributes
    assert first.attributes["cropzoom.reason"] == Reason.LOW_CONFIDENCE.value
    assert second.attributes["cropzoom.reason"] == Reason.REMOTE_URL.value
    assert second.attributes["cropzoom.crops"] == 0
    assert "secret" not in second.to_json()


def test_no_recording_span_no_span(server: OpenAIServer, spans: InMemorySpanExporter) -> None:
    wrapped = client(server)
    wrapped.chat.completions.create(**body())
    with trace.use_span(trace.NonRecordingSpan(trace.INVALID_SPAN_CONTEXT)):
        wrapped.chat.completions.create(**body())
    assert crop_spans(spans) == []
    assert len(wrapped.cropzoom.last_report.crops) == 1


def test_tasks_have_their_own(server: OpenAIServer, spans: InMemorySpanExporter) -> None:
    async def call(wrapped: Any, number: int) -> int:
        with trace.get_tracer("app").start_as_current_span("request") as parent:
            await wrapped.chat.completions.create(**body(f"What is {number}?"))
        return parent.get_span_context().span_id

    async def all_calls() -> list[int]:
        async with AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1") as bare:
            wrapped = CropZoom(bare, cropper=FixedCropper(), options=OPTIONS)
            return await asyncio.gather(*(call(wrapped, number) for number in range(8)))

    parents = asyncio.run(all_calls())
    found = [span.parent.span_id for span in crop_spans(spans) if span.parent is not None]
    assert sorted(found) == sorted(parents)


def test_threads_have_their_own(server: OpenAIServer, spans: InMemorySpanExporter) -> None:
    wrapped = client(server)

    def call(number: int) -> int:
        with trace.get_tracer("app").start_as_current_span("request") as parent:
            wrapped.chat.completions.create(**body(f"What is {number}?"))
        return parent.get_span_context().span_id

    with ThreadPoolExecutor(4) as pool:
        parents = list(pool.map(call, range(8)))
    found = [span.parent.span_id for span in crop_spans(spans) if span.parent is not None]
    assert sorted(found) == sorted(parents)


def test_a_refused_call_says_so(server: OpenAIServer, spans: InMemorySpanExporter) -> None:
    words = "At most 1 image(s) may be provided in one prompt."
    server.refuse = lambda request: (
        (400, words) if json.dumps(request.body).count('"image_url": {') > 1 else None
    )
    with trace.get_tracer("app").start_as_current_span("request"):
        client(server).chat.completions.create(**body())
    (span,) = crop_spans(spans)
    assert span.attributes and span.attributes["cropzoom.reason"] == Reason.REFUSED.value


def test_a_faulty_tracer_stops_no_call(
    server: OpenAIServer,
    spans: InMemorySpanExporter,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: object, **__: object) -> Any:
        raise RuntimeError("no exporter")

    monkeypatch.setattr(telemetry, "attributes", fail)
    with trace.get_tracer("app").start_as_current_span("request"):
        answer = client(server).chat.completions.create(**body())
    assert answer.choices
    assert "no exporter" in caplog.text


def test_without_it_nothing_is_imported() -> None:
    script = (
        "import sys, json; from cropzoom import ZoomReport, telemetry\n"
        "telemetry.record(ZoomReport((), None, None, 0.0))\n"
        "print(json.dumps([name for name in sys.modules if 'opentelemetry' in name]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert json.loads(done.stdout) == [], done.stderr
