"""The proxy inside an application that traces: a span below the request's, headers untouched."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from proxies import serving

pytest.importorskip("opentelemetry.sdk")

from openai_server import OpenAIServer
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from wrapping import FixedCropper, chat_image, chat_text, user

from cropzoom import telemetry
from cropzoom.serve import ProxySettings, application

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_a_request_through_the_proxy() -> None:
    exporter = InMemorySpanExporter()
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    processor = SimpleSpanProcessor(exporter)
    provider.add_span_processor(processor)
    body = {"model": "m", "messages": [user(chat_image(), chat_text())]}
    with OpenAIServer() as server:
        settings = ProxySettings(server.url, options={"min_crop_side": 0})
        proxy = application(settings, FixedCropper())

        async def traced(scope: Any, receive: Any, send: Any) -> None:
            with trace.get_tracer("asgi").start_as_current_span("POST"):
                await proxy(scope, receive, send)

        with serving(traced) as address:
            headers = {"traceparent": TRACE}
            url = f"{address}/v1/chat/completions"
            httpx.post(url, json=body, headers=headers, trust_env=False).raise_for_status()
        assert server.last.headers["traceparent"] == TRACE
    processor.shutdown()
    whole = {span.name: span for span in exporter.get_finished_spans()}
    span = whole[telemetry.SPAN]
    assert span.parent is not None
    # The request's own, which began before the crops and in the same trace.
    assert span.context.trace_id in {one.context.trace_id for one in whole.values()}
    assert span.attributes and span.attributes["cropzoom.crops"] == 1
    assert span.attributes["gen_ai.request.model"] == "m"
