"""Ask about a picture with Google's client, with the crop that answers each question added.

    GEMINI_API_KEY=... python examples/google_chat.py receipt.png "What is the total?" "The date?"

On Vertex: CropZoom(genai.Client(vertexai=True, project=..., location=...)).
"""

import asyncio
import os
import sys

from google import genai
from PIL import Image

from cropzoom import CropZoom

path, *questions = sys.argv[1:]
model = os.environ.get("MODEL", "gemini-2.5-flash")
client = CropZoom(genai.Client())  # the one line

# The short way.
print(client.ask(path, questions[0], model=model))

# Everything else is as it was: each question gets its own crop, and the history holds none.
chat = client.chats.create(model=model)
message = [Image.open(path), questions[0]]
for question in [*questions[1:], None]:
    print(chat.send_message(message).text)
    print(client.cropzoom.last_report.to_dict()["images"])
    message = question

print(asyncio.run(client.aio.ask(path, questions[0], model=model)))
