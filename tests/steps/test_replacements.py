"""What stands where something was: hashes that can be joined, addresses that keep their network."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from tests.steps.redacting import KEY, hashed, own, redacted
from tests.steps.spans import make_span, plain, values

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.redaction import RedactionSettings, redactor
from ajolo_fanout.steps.redaction.hashing import canonical
from ajolo_fanout.steps.redaction.texts import network
from ajolo_fanout.values import Secret

# Hashes.


def test_a_hash_is_the_one_that_openssl_makes() -> None:
    """`printf %s alice | openssl dgst -sha256 -hmac 0123456789abcdef`."""
    made = redacted(RedactionSettings(hash=("user",), hash_key=KEY), user="alice")
    assert made == {"user": hashed("alice")}
    assert len(made["user"]) == 64


@given(values, values)
def test_values_join_when_and_only_when_they_are_equal(one: Any, other: Any) -> None:
    try:
        same = canonical(one) == canonical(other)
    except ValueError:  # a number that JSON has no form for
        return
    if plain(one) == plain(other):
        assert same
    if isinstance(one, str) and isinstance(other, str):
        assert same == (one == other)


def test_arrays_and_maps_have_one_form() -> None:
    assert canonical({"b": (1, None), "a": {"x": True}}) == b'{"a":{"x":true},"b":[1,null]}'
    assert canonical(["\u00e9", 1.5, b"\x00"]) == '["\u00e9",1.5,"AA=="]'.encode()
    assert canonical(42) == canonical("42") == canonical(b"42") == b"42"
    assert canonical([True]) != canonical([1])


def test_the_key_follows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("the first of two keys")
    made = redactor(RedactionSettings(hash=("x",), hash_key=Secret.from_file(path)))
    span = make_span(attributes={"x": "alice"})

    def now() -> Any:
        draft = Draft(span)
        made.span(draft)
        return draft.attributes["x"]

    first = now()
    path.write_text("the second and longer one of two keys")
    assert now() != first
    assert now() == hmac.new(path.read_bytes(), b"alice", hashlib.sha256).hexdigest()


# Addresses.


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("192.0.2.17", "192.0.2.0"),
        ("2001:db8:1:2::3", "2001:db8:1::"),
        ("2001:0db8:85a3:08d3:1319:8a2e:0370:7344", "2001:db8:85a3::"),
        ("::ffff:203.0.113.7", "::"),
        ("no address", "[ip]"),
    ],
)
def test_an_address_keeps_its_network(address: str, left: str) -> None:
    assert network(address) == left


def test_masked_addresses_stand_in_texts_and_in_json() -> None:
    settings = RedactionSettings(mask_ip=True)
    forwarded = "203.0.113.7, 198.51.100.23:8080"
    assert redacted(settings, x=forwarded, j=json.dumps({"from": "192.0.2.17", "v": "1.2.3"})) == {
        "x": "203.0.113.0, 198.51.100.0:8080",
        "j": '{"from": "192.0.2.0", "v": "1.2.3"}',
    }


def test_a_masked_address_that_something_else_finds_is_that_one_s() -> None:
    settings = RedactionSettings(mask_ip=True, patterns=own(host="17"))
    assert redacted(settings, x="from 192.0.2.17.") == {"x": "from [host]."}
    assert redacted(RedactionSettings(mask_ip=True, detect=("ip",)), x="192.0.2.17") == {"x": "[ip]"}


def test_an_address_that_is_masked_already_is_no_change() -> None:
    span = make_span(attributes={"x": "192.0.2.0"})
    draft = Draft(span)
    assert redactor(RedactionSettings(mask_ip=True)).span(draft) == []
    assert not draft.changed
