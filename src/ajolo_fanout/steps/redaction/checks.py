"""Second looks at what a pattern found: checksums, address ranges, shapes that no regular expression knows.

A check gets the candidate, up to twelve characters before it and two behind, and answers how many characters of the
candidate, from its beginning, are the secret: 0 for none. It never raises, whatever the text.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re

__all__ = [
    "basic_credentials",
    "card",
    "email_address",
    "iban_number",
    "ip_address",
    "issued_key",
    "json_web_token",
    "looks_like_a_password",
    "looks_secret",
    "password_value",
    "random_key",
    "secret_value",
    "social_security_number",
    "telephone",
]

_FILE_ENDINGS = frozenset(
    """
    png jpg jpeg gif svg webp avif ico bmp css scss js mjs ts tsx jsx json html htm md txt py rb go rs java
    php yaml yml toml xml woff woff2 ttf mp3 mp4 pdf zip gz tgz map
    """.split()  # noqa: SIM905 - a list that is read by people
)
_PLACEHOLDERS = frozenset(
    {"none", "null", "true", "false", "required", "optional", "string", "redacted", "undefined"}
)

# Lengths of each network's numbers, by the ranges that their first digits lie in (ISO/IEC 7812).
_NETWORKS: tuple[tuple[int, int, frozenset[int]], ...] = (
    (4, 4, frozenset({16, 19})),  # Visa; those of 13 digits are gone, and many EAN codes look alike
    (51, 55, frozenset({16})),  # Mastercard
    (2221, 2720, frozenset({16})),
    (34, 34, frozenset({15})),  # American Express
    (37, 37, frozenset({15})),
    (6011, 6011, frozenset({16, 19})),  # Discover
    (644, 659, frozenset({16, 19})),
    (3528, 3589, frozenset({16, 17, 18, 19})),  # JCB
    (300, 305, frozenset({14, 16})),  # Diners Club
    (36, 36, frozenset({14, 16})),
    (38, 39, frozenset({14, 16})),
    (62, 62, frozenset({16, 17, 18, 19})),  # UnionPay
    (50, 50, frozenset({16, 19})),  # Maestro
    (56, 58, frozenset({16, 19})),
    (6759, 6763, frozenset({16, 19})),
    (2200, 2204, frozenset({16, 19})),  # Mir
)

# ISO 13616 registry: the length of a country's IBAN.
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in {
        "15": "NO",
        "16": "BE",
        "18": "DK FK FI FO GL NL SD",
        "19": "MK SI",
        "20": "AT BA EE KZ LT LU MN XK",
        "21": "CH HR LI LV",
        "22": "BG BH CR DE GB GE IE ME RS VA",
        "23": "AE GI IL IQ OM SO TL",
        "24": "AD CZ ES MD PK RO SA SE SK TN VG",
        "25": "LY PT ST",
        "26": "IS TR",
        "27": "BI DJ FR GR IT MC MR SM",
        "28": "AL AZ BY CY DO GT HU LB NI PL SV",
        "29": "BR EG PS QA UA",
        "30": "JO KW MU YE",
        "31": "MT SC",
        "32": "LC",
        "33": "RU",
    }.items()
    for country in countries.split()
}

_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]")
_SAID_VERSION = re.compile(r"(?i:\b(?:v|ver|version|build|release|assembly|section|oid)\.?|==)[ :=#]{0,2}\Z")
_HEX_BEFORE = re.compile(r"\b[0-9A-Fa-f]{2}[ .]\Z")
_GROUP_BEFORE = re.compile(r"(?<![0-9])[0-9]{3,4}[ ./]\Z")
_PAIRS = re.compile(r"[0-9]{2}([ .][0-9]{2})+")
_CODE = re.compile(
    r"(?:self|cls|os|sys|args|kwargs|settings|config|conf|cfg|env|process|request|getpass|secrets)\."
)
_ROUTABLE = tuple(
    ipaddress.ip_network(one)
    for one in ("2000::/3", "fc00::/7", "fe80::/10", "ff00::/8", "::ffff:0:0/96", "64:ff9b::/96")
)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def email_address(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """Not `logo@2x.png`, `node@1.2.3-beta.rc` or `git@github.com:…`: files, versions, repositories."""
    name, _, domain = found.rpartition("@")
    if domain.rpartition(".")[2].lower() in _FILE_ENDINGS or _VERSION.match(domain) or name == "git":
        return 0
    return len(found)


def card(found: str, before: str, after: str) -> int:
    """A number of a known network and length whose Luhn sum is right; no part of a fraction."""
    digits = "".join(filter(str.isdigit, found))
    if _in_a_number(before, after) or not _of_a_network(digits):
        return 0
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit)
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return len(found) if total % 10 == 0 and len(set(digits)) > 1 else 0


def _of_a_network(digits: str) -> bool:
    return any(
        len(digits) in lengths and low <= int(digits[: len(str(low))]) <= high
        for low, high, lengths in _NETWORKS
    )


def _in_a_number(before: str, after: str) -> bool:
    """Whether what stands around makes the candidate a piece of a longer number or name."""
    if before[-1:].isalnum() or after[:1].isalnum():
        return True
    return (before[-1:] == "." and before[-2:-1].isdigit()) or (
        after[:1] in (".", "-") and after[1:2].isdigit()
    )


def iban_number(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """As long as its country's are, and 1 modulo 97; what follows it is left alone."""
    wanted = _IBAN_LENGTHS.get(found[:2].upper(), 0)
    characters = [(place, one) for place, one in enumerate(found) if one.isalnum()]
    if not wanted or len(characters) < wanted:
        return 0
    last = characters[wanted - 1][0]
    if (found[last + 1 : last + 2] or after[:1]).isalnum():
        return 0
    plain = "".join(one for _, one in characters[:wanted])
    if plain[2:] not in (plain[2:].upper(), plain[2:].lower()):
        return 0  # written by a generator of ids
    plain = plain.upper()
    number = "".join(str(int(one, 36)) for one in plain[4:] + plain[:4])
    return last + 1 if int(number) % 97 == 1 else 0


def ip_address(found: str, before: str, after: str) -> int:
    """An address that tells one machine from another: no loopback, no mask, no version of four numbers."""
    found = found.rstrip(".")
    if "." in found and ":" not in found:
        if _in_a_number(before, after) or (before[-1:] == "/" and before[-2:-1].isalpha()):
            return 0  # Chrome/120.0.0.0
        if _SAID_VERSION.search(before) or found.startswith(("0.", "255.")):
            return 0
    elif found.count(":") < 2 or after[:1].isalnum() or sum(map(bool, found.split(":"))) < 2:
        return 0  # std::vector
    elif found.endswith(":") and not found.endswith("::"):
        found = found[:-1]
    try:
        address = ipaddress.ip_address(found)
    except ValueError:
        return 0
    if address.version == 6 and not any(address in network for network in _ROUTABLE):
        return 0  # a slice: x[5::4]
    return 0 if address.is_loopback or address.is_unspecified else len(found)


def social_security_number(found: str, before: str, after: str) -> int:
    """One that can have been issued: no area 000, 666 or 9xx, no group 00, no serial 0000."""
    area, group, serial = found[:3], found[4:6], found[7:]
    if _in_a_number(before, after) or found[3] != found[6] or before[-1:] == "-" or after[:1] == "-":
        return 0
    return 0 if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000" else len(found)


def telephone(found: str, before: str, after: str) -> int:
    """As many digits as its form has (E.164: at most 15), no piece of something longer."""
    digits = sum(map(str.isdigit, found))
    if _in_a_number(before, after) or before[-1:] in ("-", "+", "#") or after[:1] == ":":
        return 0
    if before[-1:] == ":" and found[0] != "+" and before[-2:-1].isdigit():
        return 0  # 10:030 …, but tel:030 …
    if found[0] == "0":
        within = _GROUP_BEFORE.search(before)
        more = after[:1] in (" ", ".") and after[1:2].isdigit() and _PAIRS.fullmatch(found)
        if within or more or (_PAIRS.fullmatch(found) and _HEX_BEFORE.search(before)):
            return 0  # a row of numbers
    least = 11 if found.startswith("+1") else 10 if found.startswith("00") else 9 if found[0] in "+0" else 7
    return len(found) if least <= digits <= 15 else 0


def json_web_token(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """A first part that decodes to a header: a JSON object that names its algorithm."""
    head = found.partition(".")[0]
    try:
        start = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except (binascii.Error, ValueError):
        return 0
    return len(found) if start.lstrip().startswith(b"{") and b'"alg"' in start else 0


def random_key(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """A vendor's prefix before something drawn at random, not before words: `sk-loading-spinner`."""
    pieces = re.split(r"[-_./]", found)
    return len(found) if any(len(one) >= 16 and _mixed(one) for one in pieces) else 0


def issued_key(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """A vendor's prefix that nothing else has, before anything but `xxxxxxxx`."""
    return len(found) if len(set(found[-16:])) > 4 else 0


def secret_value(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """What stands behind `api_key=` or `Bearer`; no call of a function."""
    return len(found) if looks_secret(found) and after[:1] != "(" else 0


def password_value(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """What stands behind `password=`; no expression of a program."""
    return len(found) if looks_like_a_password(found) and not _CODE.match(found) else 0


def basic_credentials(found: str, before: str, after: str) -> int:  # noqa: ARG001 - the shape of a check
    """What decodes to `user:password`."""
    plain = found.rstrip("=")
    try:
        said = base64.b64decode(
            plain + "=" * (-len(plain) % 4), altchars=b"-_" if set(plain) & set("-_") else None
        )
        return len(found) if ":" in said.decode() else 0
    except ValueError:
        return 0


def looks_like_a_password(value: str) -> bool:
    """Whether the value under a password's name is one: anything but a placeholder or a sentence."""
    value = value.strip()
    if len(value) < 4 or any(map(str.isspace, value)):
        return False
    return not _is_placeholder(value)


def _is_placeholder(value: str) -> bool:
    return value[0] in "$<{[(%" or set(value) <= set("*xX.-_") or value.lower() in _PLACEHOLDERS


def looks_secret(value: str) -> bool:
    """Whether the value under a telling name is one: not a word, a number or a placeholder."""
    value = value.strip()
    if len(value) < 6 or any(map(str.isspace, value)) or value.isdigit() or _is_placeholder(value):
        return False
    return _mixed(value) or (len(value) >= 20 and len(set(value)) > 9 and not _words(value))


def _mixed(value: str) -> bool:
    return any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and not _UUID.fullmatch(value)


def _words(value: str) -> bool:
    """Whether it reads like a name in a program: all small or all capital letters between signs."""
    return all(piece.islower() or piece.isupper() or not piece for piece in re.split(r"[^A-Za-z]+", value))
