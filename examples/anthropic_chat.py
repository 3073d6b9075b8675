"""Ask about a picture with Anthropic's client, with the crop that answers the question added.

    ANTHROPIC_API_KEY=... python examples/anthropic_chat.py receipt.png "What is the total?"

On Bedrock and Vertex: CropZoom(AnthropicBedrock()), CropZoom(AnthropicVertex(...)).
"""

import base64
import mimetypes
import os
import sys
from pathlib import Path

from anthropic import Anthropic

from cropzoom import CropZoom

path, question = sys.argv[1:]
model = os.environ.get("MODEL", "claude-haiku-4-5")
client = CropZoom(Anthropic())  # the one line

# The short way.
print(client.ask(path, question, model=model))

# Everything else is as it was; the picture's cache_control stays where it is.
source = {
    "type": "base64",
    "media_type": mimetypes.guess_type(path)[0] or "image/png",
    "data": base64.b64encode(Path(path).read_bytes()).decode(),
}
content = [
    {"type": "image", "source": source, "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": question},
]
with client.messages.stream(
    model=model, max_tokens=500, messages=[{"role": "user", "content": content}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()
print(client.cropzoom.last_report.to_dict()["images"])
