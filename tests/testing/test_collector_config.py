"""The file that a Collector writes while it is read: whole messages only, and each once."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from ajolo_fanout.testing.collector_config import messages


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(0, 400)))
def test_whole_messages_are_read_once_wherever_the_file_ends_meanwhile(
    written: list[bytes], lengths: list[int]
) -> None:
    content = b"".join(struct.pack(">I", len(one)) + one for one in written)
    found: list[bytes] = []
    place = 0
    for length in (*sorted(lengths), len(content)):
        read, size = messages(content[place : max(place, length)])
        found += read
        place += size
    assert found == written
    assert place == len(content)
