"""Google's client through the proxy: its bodies are rewritten, by what its addresses say."""

from __future__ import annotations

import pytest

genai = pytest.importorskip("google.genai")

from google_server import GoogleServer, pictures  # noqa: E402
from proxies import proxying  # noqa: E402
from test_google_client import MODEL, contents, crop  # noqa: E402
from wrapping import png  # noqa: E402


def test_googles_client_gets_its_crops() -> None:
    with GoogleServer() as server, proxying(server.url) as address:
        client = genai.Client(api_key="k", http_options={"base_url": address})
        answer = client.models.generate_content(model=MODEL, contents=contents())
        assert answer.text == '{"total": 7}'
        stream = client.models.generate_content_stream(model=MODEL, contents=contents())
        assert "".join(chunk.text for chunk in stream) == '{"total": 7}'
        assert [pictures(request.body) for request in server.received] == [[png(), crop()]] * 2
        # This one sees small pictures in full.
        client.models.generate_content(model="gemini-2.0-flash", contents=contents())
        assert pictures(server.last.body) == [png()]
