"""A transformers pipeline with crops: ask a small model about a large picture.

    pip install 'cropzoom[cpu,hf]'
    python examples/hf_pipeline.py page.png "What is the invoice number?"

Downloads the model on first use. Any other `image-text-to-text` model that takes several images
will do: `--model HuggingFaceTB/SmolVLM-500M-Instruct`.
"""

from __future__ import annotations

import argparse

from transformers import pipeline

from cropzoom import CropZoom, ZoomOptions


def main() -> None:
    """Answer a question without and with the crop, then ask on in the same chat."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("image", help="path or http(s) address of a picture")
    parser.add_argument("question")
    parser.add_argument("--model", default="HuggingFaceTB/SmolVLM-256M-Instruct")
    arguments = parser.parse_args()

    plain = pipeline("image-text-to-text", model=arguments.model)
    # The one line. `plain` stays as it is; both share the model.
    pipe = CropZoom(plain, options=ZoomOptions(fetch_images=True))

    with pipe.cropzoom.override(enabled=False):
        print("without crop:", pipe.ask(arguments.image, arguments.question, max_new_tokens=40))
    print("with crop:   ", pipe.ask(arguments.image, arguments.question, max_new_tokens=40))
    print("report:      ", pipe.cropzoom.last_report)

    # Chats work as ever. The result holds your own messages, so history never collects crops, and
    # each question gets the crop that answers it.
    question = [
        {"type": "image", "image": arguments.image},
        {"type": "text", "text": arguments.question},
    ]
    chat = [{"role": "user", "content": question}]
    *chat, answer = pipe.chat(chat, max_new_tokens=40)[0]["generated_text"]
    # transformers 4 takes only blocks, though it answers with a string.
    said = [{"type": "text", "text": answer["content"]}]
    follow_up = [{"type": "text", "text": "And what is the date?"}]
    chat += [{"role": "assistant", "content": said}, {"role": "user", "content": follow_up}]
    print("follow-up:   ", pipe.chat(chat, max_new_tokens=40)[0]["generated_text"][-1]["content"])


if __name__ == "__main__":
    main()
