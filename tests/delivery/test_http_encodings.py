"""Answers that come compressed, though nobody asked for it: read whole, with a bound, whatever they are named."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
from tests.delivery.hostile import Hostile, answering
from tests.delivery.support import backend, http_sender, rigged

from ajolo_fanout.testing.server import Answer, OtlpServer


@pytest.mark.parametrize(("status", "kind"), [(200, "delivered"), (403, "rejected"), (503, "retry")])
def test_the_status_counts_where_the_body_isn_t_of_its_encoding(status: int, kind: str) -> None:
    """A server that answers so once does so always: sent again, the spans would be taken again and again."""
    raw = b"HTTP/1.1 %d X\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd" % status
    with Hostile(answering(raw)) as server:
        outcome = http_sender(server.url).send(b"body", 1, 30)
        assert (outcome.kind, outcome.status) == (kind, str(status))
        assert "content-encoding" in outcome.message


def packed(body: bytes, *windows: int) -> bytes:
    for window in windows:
        packer = zlib.compressobj(wbits=window)
        body = packer.compress(body) + packer.flush()
    return body


ENCODINGS = {
    "gzip": (31,),
    "X-GZip": (31,),
    "deflate": (15,),
    "deflate, without zlib's header": (-15,),
    "utf-8": (),
    "br": (),
    "gzip, identity": (31,),
    "deflate, gzip": (15, 31),
}


@pytest.mark.parametrize("case", ENCODINGS)
def test_an_answer_that_is_encoded_unasked_is_read(case: str) -> None:
    body = packed(b'{"partialSuccess": {"rejectedSpans": "5"}}', *ENCODINGS[case])
    headers = {"Content-Encoding": case.replace(", without zlib's header", "")}
    answer = Answer(body=body, content_type="application/json", headers=headers)
    with OtlpServer(answer=answer) as server:
        outcome = http_sender(server.endpoint).send(b"", 10, 30)
        assert (outcome.kind, outcome.rejected) == ("partial", 5)


@pytest.mark.parametrize("encoding", ["utf-8", "gzip, gzip"])
def test_an_encoded_refusal_that_names_a_size_is_understood(encoding: str) -> None:
    body = packed(b"request body too large", *((31, 31) if "gzip" in encoding else ()))
    answer = Answer(status=400, body=body, content_type="text/plain", headers={"Content-Encoding": encoding})
    with OtlpServer(answer=answer) as server:
        assert http_sender(server.endpoint).send(b"", 10, 30).too_large


@pytest.mark.parametrize(
    "encoding", ["br", "utf-8", "gzip", "deflate", "gzip, gzip", ", ".join(["gzip"] * 9)]
)
def test_a_page_is_no_success_whatever_encoding_it_names(encoding: str) -> None:
    """Also one that can't be read."""
    answer = Answer(body=b"please log in", content_type="text/html", headers={"Content-Encoding": encoding})
    with OtlpServer(answer=answer) as server, rigged(backend(server.endpoint)) as rig:
        rig.offer(5)
        assert rig.flush()
        assert (rig.counts.delivered, dict(rig.counts.lost)) == (0, {"rejected": 5})


def test_a_body_that_can_t_be_read_isn_t_taken_for_protobuf() -> None:
    for status in (200, 400):
        headers = {"Content-Encoding": "gzip"}
        answer = Answer(status=status, body=b"abcd", content_type="application/x-protobuf", headers=headers)
        with OtlpServer(answer=answer) as server:
            assert "content-encoding" in http_sender(server.endpoint).send(b"", 10, 30).message


def test_an_answer_that_inflates_to_much_more_than_it_is_costs_no_memory() -> None:
    """Harmless, with the lowest urllib3 that is allowed, too: that one would inflate all that it has read."""
    packer = zlib.compressobj(wbits=31)
    body = b"".join([*(packer.compress(bytes(1024**2)) for _ in range(128)), packer.flush()])
    answer = Answer(body=body, content_type="application/json", headers={"Content-Encoding": "gzip"})
    with OtlpServer(answer=answer) as server:
        one = http_sender(server.endpoint)
        tracemalloc.start()
        try:
            outcome = one.send(b"", 1, 30)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert outcome.kind == "delivered"
        assert peak < 16 * 1024**2, peak
