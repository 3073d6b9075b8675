from __future__ import annotations

from typing import Any

import pytest
from drawing import card, user
from hypothesis import given
from hypothesis import strategies as st
from openai import BadRequestError as ClientBadRequest
from openai import NotFoundError, OpenAI

from cropzoom.demo.server import FINGERPRINT, BadRequestError, StandInServer
from cropzoom.reading.standin import UNREADABLE

CARD = card([(20, 30, "Total"), (300, 30, "47.79"), (20, 90, "Table"), (300, 90, "12")])


@pytest.fixture(scope="module")
def client(server: StandInServer) -> Any:
    with OpenAI(base_url=server.base_url, api_key="none", max_retries=0) as made:
        yield made


def test_answers_and_says_what_it_is(client: OpenAI, server: StandInServer) -> None:
    completion = client.chat.completions.create(
        model=server.model, messages=user(CARD, "What is the total?")
    )
    assert completion.choices[0].message.content == "47.79"
    assert completion.choices[0].finish_reason == "stop"
    assert completion.model == "stand-in-ocr-448px"
    assert completion.system_fingerprint == FINGERPRINT
    assert "no language model" in FINGERPRINT


def test_tokens_grow_with_pictures(client: OpenAI, server: StandInServer) -> None:
    def usage(*parts: Any) -> int:
        completion = client.chat.completions.create(model=server.model, messages=user(*parts))
        assert completion.usage
        return completion.usage.prompt_tokens

    one, two = usage(CARD, "the table?"), usage(CARD, CARD, "the table?")
    assert one == 2 + -(-448 * 200 // 784)
    assert two - one == one - 2


def test_streamed_words_are_the_same_answer(client: OpenAI, server: StandInServer) -> None:
    image = card([(20, 30, "Payment due"), (230, 30, "16 May 2025")])
    chunks = list(
        client.chat.completions.create(
            model=server.model,
            messages=user(image, "When is the payment due?"),
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "16 May 2025"
    assert chunks[-1].usage and chunks[-1].usage.completion_tokens == 3
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_question_is_the_last_user_text_and_earlier_pictures_count(
    client: OpenAI, server: StandInServer
) -> None:
    messages = [
        {"role": "system", "content": "What is the table?"},
        *user(CARD, "What is the total?"),
        {"role": "assistant", "content": "47.79"},
        {"role": "user", "content": "And the table?"},
    ]
    completion = client.chat.completions.create(model=server.model, messages=messages)
    assert completion.choices[0].message.content == "12"


def test_without_pictures(client: OpenAI, server: StandInServer) -> None:
    completion = client.chat.completions.create(
        model=server.model, messages=[{"role": "user", "content": "What is the total?"}]
    )
    assert completion.choices[0].message.content == UNREADABLE


def test_models(client: OpenAI, server: StandInServer) -> None:
    assert [model.id for model in client.models.list()] == [server.model]


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        (user(CARD), "nothing is asked"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "not what the API describes"),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
                        {"type": "text", "text": "the total?"},
                    ],
                }
            ],
            "data: URIs only",
        ),
        (
            [
                {
                    "role": "user",
                    "content": [
                        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                        {"type": "text", "text": "the total?"},
                    ],
                }
            ],
            "can't be read",
        ),
    ],
)
def test_bad_requests_get_a_reason(
    client: OpenAI, server: StandInServer, messages: Any, said: str
) -> None:
    with pytest.raises(ClientBadRequest, match=said):
        client.chat.completions.create(model=server.model, messages=messages)


def test_other_endpoints_are_not_there(client: OpenAI, server: StandInServer) -> None:
    with pytest.raises(NotFoundError, match="no such path"):
        client.embeddings.create(model=server.model, input="x")
    with pytest.raises(NotFoundError, match="no such path"):
        client.files.list()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "type", "text", "image_url", "url"])
            | st.text(max_size=3),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(messages=JSON)
def test_any_json_is_answered_or_refused(server: StandInServer, messages: Any) -> None:
    try:
        completion = server.complete({"messages": messages})
    except BadRequestError:
        return
    assert completion["choices"][0]["message"]["content"] == UNREADABLE
