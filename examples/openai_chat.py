"""Ask about a picture with the OpenAI client, with the crop that answers the question added.

    OPENAI_API_KEY=... python examples/openai_chat.py receipt.png "What is the total?"

With a local server: OPENAI_BASE_URL=http://localhost:8000/v1 and MODEL=its model.
"""

import base64
import mimetypes
import os
import sys
from pathlib import Path

from openai import OpenAI

from cropzoom import CropZoom

path, question = sys.argv[1:]
model = os.environ.get("MODEL", "gpt-4.1-nano")
client = CropZoom(OpenAI())  # the one line

# The short way.
print(client.ask(path, question, model=model))

# Everything else is as it was: the same methods, arguments and results.
kind = mimetypes.guess_type(path)[0] or "image/png"
data = base64.b64encode(Path(path).read_bytes()).decode()
stream = client.chat.completions.create(
    model=model,
    messages=[
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}},
                {"type": "text", "text": question},
            ],
        }
    ],
    stream=True,
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
print()

report = client.cropzoom.last_report
print(f"{len(report.crops)} crops in {report.milliseconds:.0f} ms: {report.to_dict()['images']}")
