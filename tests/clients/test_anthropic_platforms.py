"""Anthropic's clients for Bedrock, Vertex and Foundry: rewritten before addressed and signed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import wrapping
from wrapping import FixedCropper

anthropic = pytest.importorskip("anthropic")

from anthropic_server import AnthropicServer, images_of  # noqa: E402
from platform_servers import SECRET, BedrockServer, VertexServer  # noqa: E402
from test_anthropic_client import (  # noqa: E402
    ARGUMENTS,
    SURFACES,
    crop,
    done,
    image,
    text,
    user,
)
from wire_server import WireServer  # noqa: E402

from cropzoom import CropZoom  # noqa: E402
from cropzoom.report import Reason  # noqa: E402

# Nothing here depends on how busy the machine is.
OPTIONS = replace(wrapping.OPTIONS, deadline=None)

BEDROCK = ["AnthropicBedrock", "AsyncAnthropicBedrock"]
VERTEX = ["AnthropicVertex", "AsyncAnthropicVertex"]
FOUNDRY = ["AnthropicFoundry", "AsyncAnthropicFoundry"]
# Not for all of them.
NONE_ON_BEDROCK = ("messages.count_tokens", "beta.messages.count_tokens")


def plain(kind: str, url: str) -> Any:
    cls = getattr(anthropic, kind, None)
    if cls is None:
        pytest.skip(f"anthropic {anthropic.__version__} has no {kind}")
    extra: dict[str, Any] = {"base_url": url, "max_retries": 0}
    if kind in BEDROCK:
        pytest.importorskip("boto3")
        extra |= {"aws_access_key": "AKID", "aws_secret_key": SECRET, "aws_region": "r"}
    elif kind in VERTEX:
        pytest.importorskip("google.auth")
        extra |= {"project_id": "p", "region": "r", "credentials": Credentials()}
    else:
        extra |= {"api_key": "k"}
    return cls(**extra)


class Credentials:
    """As google.auth has them."""

    token = "token"
    expired = False


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, WireServer]]:
    with BedrockServer() as bedrock, VertexServer() as vertex, AnthropicServer() as foundry:
        yield {
            **dict.fromkeys(BEDROCK, bedrock),
            **dict.fromkeys(VERTEX, vertex),
            **dict.fromkeys(FOUNDRY, foundry),
        }


@pytest.fixture
def server(servers: dict[str, WireServer], kind: str) -> WireServer:
    servers[kind].reset()
    return servers[kind]


@pytest.mark.parametrize("kind", [*BEDROCK, *VERTEX, *FOUNDRY])
@pytest.mark.parametrize("surface", SURFACES)
def test_surface(server: WireServer, kind: str, surface: str) -> None:
    if kind in BEDROCK and surface in NONE_ON_BEDROCK:
        pytest.skip("Bedrock counts no tokens")
    done(SURFACES[surface](plain(kind, server.url)))
    bare = server.last
    # Another one, as connections belong to an event loop.
    client = plain(kind, server.url)
    zoom = CropZoom(client, FixedCropper(), OPTIONS)
    assert isinstance(zoom, type(client)) and isinstance(zoom, CropZoom)
    done(SURFACES[surface](zoom))
    assert len(server.received) == 2 and server.last.path == bare.path
    assert server.last.body == {**bare.body, "messages": [user(image(), crop(), text())]}


@pytest.mark.parametrize("kind", [*BEDROCK, *VERTEX, *FOUNDRY])
def test_nothing_to_zoom_is_sent_byte_for_byte(server: WireServer, kind: str) -> None:
    quiet = {**ARGUMENTS, "messages": [user(text("Hello"))], "system": "Be brief."}
    done(plain(kind, server.url).messages.create(**quiet))
    zoom = CropZoom(plain(kind, server.url), FixedCropper(), OPTIONS)
    done(zoom.messages.create(**quiet))
    assert server.received[0].raw == server.received[1].raw


@pytest.mark.parametrize("kind", [*BEDROCK, *VERTEX, *FOUNDRY])
def test_a_refusal_is_signed_anew(server: WireServer, kind: str) -> None:
    def refuse(request: Any) -> tuple[int, str] | None:
        many = len(images_of(request.body)) > 1
        return (400, "messages: at most 1 images may be sent in a request") if many else None

    server.refuse = refuse
    reports: list[Any] = []
    client = CropZoom(plain(kind, server.url), FixedCropper(), OPTIONS, on_report=reports.append)
    done(client.messages.create(**ARGUMENTS))
    assert [len(images_of(request.body)) for request in server.received] == [2, 1]
    assert [report.reason for report in reports] == [Reason.REFUSED]


@pytest.mark.parametrize("kind", BEDROCK[:1])
def test_the_server_does_check_signatures(server: WireServer, kind: str) -> None:
    client = plain(kind, server.url).copy(aws_secret_key="another")
    with pytest.raises(anthropic.APIStatusError, match="signature"):
        client.messages.create(**ARGUMENTS)
