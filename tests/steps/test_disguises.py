"""The detectors in the face of disguises: escapes, JSON within JSON, and texts that were cut off."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.steps.samples import ALL, SECRETS

from ajolo_fanout.steps.redaction.detectors import Detector
from ajolo_fanout.steps.redaction.escapes import decode_fast, decode_once
from ajolo_fanout.steps.redaction.patterns import Pattern
from ajolo_fanout.steps.redaction.scan import MAX_ROUNDS, ScanError, Scanner

# Disguises: a string of JSON may write any character as an escape, and may itself hold JSON.

_SHORT = {
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


@st.composite
def escaped(draw: st.DrawFn, text: str) -> str:
    """`text` as a string of JSON, each character in one of the forms that it may take."""
    out = []
    for character in text:
        units = character.encode("utf-16-be", "surrogatepass").hex()
        code = "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
        forms = [code, code.upper().replace("\\U", "\\u")]
        if character in _SHORT:
            forms.append(_SHORT[character])
        if character >= " " and character not in '"\\':
            forms += [character] * 4
        out.append(draw(st.sampled_from(forms)))
    return f'"{"".join(out)}"'


@st.composite
def documents(draw: st.DrawFn, secret: str, depth: int) -> str:
    """JSON with `secret` in one of its strings, or in JSON within one of its strings."""
    text = draw(
        st.sampled_from(["{}", "see {} now", "\n{}", "a\\b {}", 'said "{}"', "\u00e9{}\u65e5 "])
    ).format(secret)
    for _ in range(depth):
        string = draw(escaped(text))
        shape = draw(
            st.sampled_from(['{{"a": {}}}', '[1, {}, "x"]', '{{"m":[{{"content":{}}}],"n":null}}', "{}"])
        )
        text = shape.format(string)
    return text


def decoded(text: str) -> list[str]:
    """`text` and every string in it, however deep."""
    found = [text]
    try:
        content = json.loads(text)
    except ValueError:
        return found
    stack = [content]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            stack += [*one, *one.values()]
        elif isinstance(one, list):
            stack += one
        elif isinstance(one, str) and one != text:
            found += decoded(one)
    return found


@settings(max_examples=600)
@given(st.data())
def test_no_escape_and_no_nesting_hides_a_secret(data: st.DataObject) -> None:
    """What arrives is JSON as before, and whoever decodes it to the last string meets no secret."""
    secret = data.draw(st.sampled_from(SECRETS))
    text = data.draw(documents(secret, data.draw(st.integers(1, 3))))
    scan = ALL.scan(text)
    json.loads(scan.text)
    for string in decoded(scan.text):
        assert secret not in string
    assert scan.found


@settings(max_examples=300)
@given(st.data())
def test_json_in_a_log_line_or_cut_off_hides_none_either(data: st.DataObject) -> None:
    secret = data.draw(st.sampled_from(SECRETS))
    text = data.draw(documents(secret, data.draw(st.integers(1, 3))))
    line = data.draw(st.sampled_from(["got {} from the tool", "{}{}", "result={}"])).format(text, text)
    cut = data.draw(st.sampled_from([line, line.rstrip('}]"'), line + ' and "more']))
    scanned = ALL.scan(cut).text
    while True:  # whoever decodes it, as often as it can be decoded
        assert secret not in scanned
        below, escapes = decode_once(scanned)
        if not escapes.count:
            break
        scanned = below


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=9),
        st.sampled_from([*SECRETS, 4111111111111111, 'a "quoted" \\ thing', '{"x": 5500005555555559}']),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.text(max_size=5), st.sampled_from(["password", "alice@example.com"])), inner
        ),
    ),
    max_leaves=12,
)


@settings(max_examples=300)
@given(json_values, st.sampled_from([None, 2]), st.booleans(), st.integers(1, 3))
def test_json_stays_json_at_every_level(
    value: Any, indent: int | None, ascii_only: bool, levels: int
) -> None:
    assume(isinstance(value, (dict, list)))  # a number by itself is a text like any other
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for _ in range(levels - 1):
        text = json.dumps({"inner": text}, ensure_ascii=ascii_only)
    scanned = ALL.scan(text).text
    for _ in range(levels - 1):
        scanned = json.loads(scanned)["inner"]
    json.loads(scanned)


@given(json_values)
def test_what_is_clean_in_json_keeps_its_very_characters(value: Any) -> None:
    """Number formats, duplicate keys, white space: nothing is written anew but what changed."""
    clean = '{"n": 1.0E+2,  "n": [1e400, -0], "t":"\\u00e9\\/"'
    text = f'{clean}, "v": {json.dumps(value)}, "s": "bob@example.com"}}'
    scanned = ALL.scan(text).text
    assert scanned.startswith(clean)
    assert scanned.endswith('"s": "[email]"}')


def test_numbers_in_json_become_strings_and_keys_are_scanned() -> None:
    text = '{"card": 4111111111111111, "bob@example.com": [-4111111111111111, 7]}'
    assert json.loads(ALL.scan(text).text) == {"card": "[credit_card]", "[email]": ["-[credit_card]", 7]}


awkward = st.lists(
    st.sampled_from(
        ["\\", '"', "\\u0041", "\\n", "\\x", "u005c", "\0", "\1", "a", "\\ud83d", "\\ude00", "é"]
    ),
    max_size=12,
).map("".join)


@settings(max_examples=500)
@given(awkward)
def test_the_fast_decoder_decodes_what_the_exact_one_does(text: str) -> None:
    exact, _ = decode_once(text)
    assert decode_fast(text) == exact


@pytest.mark.parametrize("around", ["{}", "said {} there", '{{"a": "{}'])
def test_a_pair_of_surrogates_is_one_character_however_it_is_written(around: str) -> None:
    own = Scanner([Detector("face", "", (Pattern("(\U0001f600+)", "\U0001f600"),))])
    for pair in ("\U0001f600", "\\ud83d\\ude00", "\\\\uD83D\\\\uDE00"):
        assert own.scan(around.format(pair)).text == around.format("[face]")


def test_nesting_beyond_reason_is_refused_not_passed() -> None:
    chain = "\\" + "u005c" * 40 + "u0040"  # each round of decoding eats one
    with pytest.raises(ScanError):
        ALL.scan(f"alice{chain}example.com")
    nested = "alice@example.com"
    for _ in range(6):
        nested = json.dumps(nested)
    assert json.loads(ALL.scan(nested).text)
    assert MAX_ROUNDS > 6
