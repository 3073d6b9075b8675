"""Frameworks that hold an OpenAI client: give them a wrapped one.

    python examples/frameworks.py langchain page.png "What is the total?" gpt-4.1-mini

Each function takes the framework's own way to be given a client, and nothing else changes.
"""

from __future__ import annotations

import sys
from typing import Any

from openai import AsyncOpenAI, OpenAI

from cropzoom import CropZoom
from cropzoom.clients.addresses import image_url


def langchain(client: OpenAI, model: str) -> Any:
    """LangChain's model: it talks through `client`, and for some features through `root_client`."""
    from langchain_openai import ChatOpenAI

    wrapped = CropZoom(client)
    return ChatOpenAI(
        model=model, api_key="-", client=wrapped.chat.completions, root_client=wrapped
    )


def llama_index(client: OpenAI, model: str) -> Any:
    """LlamaIndex's model."""
    from llama_index.llms.openai import OpenAI as Model

    return Model(model=model, api_key="-", openai_client=CropZoom(client))


def litellm(client: OpenAI, model: str) -> Any:
    """LiteLLM's completion, for a server that speaks OpenAI's protocol."""
    from functools import partial

    from litellm import completion

    return partial(completion, model=f"openai/{model}", client=CropZoom(client))


def pydantic_ai(client: AsyncOpenAI, model: str) -> Any:
    """pydantic-ai's agent."""
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    return Agent(OpenAIChatModel(model, provider=OpenAIProvider(openai_client=CropZoom(client))))


def agents(client: AsyncOpenAI, model: str) -> Any:
    """An agent of OpenAI's Agents SDK."""
    from agents import Agent, OpenAIChatCompletionsModel

    return Agent(
        name="reader",
        model=OpenAIChatCompletionsModel(model=model, openai_client=CropZoom(client)),
    )


if __name__ == "__main__":
    kind, image, question, name = sys.argv[1:5]
    if kind != "langchain":
        sys.exit("this example runs langchain; the functions above show the others")
    content = [
        {"type": "text", "text": question},
        {"type": "image_url", "image_url": {"url": image_url(image)}},
    ]
    print(langchain(OpenAI(), name).invoke([{"role": "user", "content": content}]).content)
