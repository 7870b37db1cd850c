"""A program that asks a model three things, and has no word about tracing in it."""

from __future__ import annotations

import os

import openai

client = openai.OpenAI(base_url=os.environ["MODEL_API"], api_key="sk-test", max_retries=0)


def ask(question: str, **options: object) -> object:
    messages = [{"role": "user", "content": question}]
    return client.chat.completions.create(model="gpt-4o", messages=messages, **options)


def main() -> None:
    """Ask plainly, ask for a stream, and ask a model that fails."""
    print("answer", ask("How warm is it in Bern?").choices[0].message.content, flush=True)
    stream = ask("How warm is it in Bern?", stream=True, stream_options={"include_usage": True})
    words = [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    print("stream", "".join(filter(None, words)), flush=True)
    try:
        ask("How warm is it in an outage?")
    except openai.InternalServerError as error:
        print("outage", error.status_code, flush=True)


if __name__ == "__main__":
    main()
