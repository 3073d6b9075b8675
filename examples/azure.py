"""The same with Azure OpenAI, and the answer with and without the crop.

    AZURE_OPENAI_ENDPOINT=https://... AZURE_OPENAI_API_KEY=... OPENAI_API_VERSION=2024-10-21 \\
        MODEL=my-deployment python examples/azure.py scan.jpg "What is the invoice number?"
"""

import os
import sys

from openai import AzureOpenAI

from cropzoom import CropZoom

path, question = sys.argv[1:]
model = os.environ["MODEL"]
client = CropZoom(AzureOpenAI())

with client.cropzoom.override(enabled=False):
    print("without:", client.ask(path, question, model=model))
print("with:   ", client.ask(path, question, model=model))
