"""`cropzoom serve`: a proxy that adds crops, for clients in any language.

    cropzoom serve --upstream https://api.openai.com/v1

It takes chat completions, responses and Anthropic's messages, rewrites those that ask about
pictures and passes on everything else as it is. `ZoomMiddleware` does the same inside a server:

    vllm serve MODEL --middleware cropzoom.serve.ZoomMiddleware
"""

from __future__ import annotations

from cropzoom.serve.middleware import ZoomMiddleware
from cropzoom.serve.proxy import application, application_from_environment
from cropzoom.serve.proxy_settings import ProxySettings

__all__ = ["ProxySettings", "ZoomMiddleware", "application", "application_from_environment"]
