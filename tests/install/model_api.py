"""A model's HTTP API on loopback: just enough of OpenAI's chat completions for its own client."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["ANSWER", "ModelApi"]

ANSWER = "It is 21 degrees in Bern."
USAGE = {"prompt_tokens": 14, "completion_tokens": 9, "total_tokens": 23}
MODEL = "gpt-4o-2024-08-06"


class ModelApi:
    """A server whose every answer is the same; a question with "outage" in it gets a 500."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self.asked))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(asked: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(question)
            if "outage" in json.dumps(question):
                self._send(500, "application/json", b'{"error": {"message": "overloaded"}}')
            elif question.get("stream"):
                self._send(200, "text/event-stream", _stream())
            else:
                self._send(200, "application/json", json.dumps(_completion()).encode())

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The test's output is not the place."""

    return Handler


def _completion() -> dict[str, Any]:
    message = {"role": "assistant", "content": ANSWER, "refusal": None}
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
    return _head("chat.completion") | {"choices": [choice], "usage": USAGE}


def _stream() -> bytes:
    words = ANSWER.split(" ")
    deltas = [{"content": word if n == 0 else f" {word}"} for n, word in enumerate(words)]
    chunks = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    chunks.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    chunks.append({"choices": [], "usage": USAGE})
    lines = [json.dumps(_head("chat.completion.chunk") | chunk) for chunk in chunks]
    return "".join(f"data: {line}\n\n" for line in [*lines, "[DONE]"]).encode()


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_700_000_000, "model": MODEL}
