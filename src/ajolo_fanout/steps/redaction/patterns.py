r"""Data: the patterns of the built-in detectors.

They are RE2 (https://github.com/google/re2/wiki/Syntax): no look-around, and linear on hostile text as long
as what a failing match has read isn't read again. So every repetition ends at a character outside its class
or has a bound. Where a pattern has a group, the group is the secret and the rest its context.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ajolo_fanout.steps.redaction import api_keys, checks

__all__ = [
    "API_KEYS",
    "CARD",
    "CREDENTIALS",
    "EMAIL",
    "IBAN",
    "IPV4",
    "IPV6",
    "JWT",
    "PHONE",
    "PRIVATE_KEY",
    "SSN",
    "Check",
    "Pattern",
]

Check = Callable[[str, str, str], int]
"""Candidate, up to twelve characters before it, two behind: how much of it, from its start, is the secret."""


@attrs.frozen
class Pattern:
    """One form of what a detector finds.

    Attributes:
        regex: RE2. Its one group, or where it has none all of it, is the secret.
        hint: RE2, part of one set over all detectors: matches every text in which `regex` does, and is cheap.
        check: Takes a second look; None: what matches is found.
        inside: A candidate that the check refuses may hold another one behind its beginning. Only for
            patterns whose matches have a bounded length.
    """

    regex: str
    hint: str
    check: Check | None = None
    inside: bool = False


_EDGE = r"(?:^|[^0-9A-Za-z])"
_LETTERS = (
    r"\x{c0}-\x{24f}\x{370}-\x{52f}"  # Latin, Greek and Cyrillic: other scripts have no spaces to end at
)
_GAP = (
    r"[ \x{a0}\x{2009}\x{202f}\x{2010}-\x{2013}-]"  # between groups of digits, as typesetting has them, too
)
_AT = r"(?:@|%(?:25)*40|&#(?:64|x40);|\x{ff20})"

EMAIL = Pattern(
    regex=(
        rf"[\w.%+'{_LETTERS}-]+{_AT}(?:[\pL\pM0-9-]+\.)+"
        rf"(?:xn--[A-Za-z0-9-]+|[A-Za-z{_LETTERS}]{{2,}}|\pL{{2,8}})"
    ),
    hint=rf"[\w.%+'{_LETTERS}-]{_AT}[\pL0-9]",
    check=checks.email_address,
)
PHONE = Pattern(
    regex=(
        rf"{_EDGE}("
        r"\+[1-9][0-9]{0,2}[ \x{a0}./-]{0,2}(?:\([0-9]{0,4}\)[ ./-]{0,2})?[0-9]{1,14}"
        r"(?:[ \x{a0}./-][0-9]{1,12}){0,6}"
        r"|00[1-9][0-9]{1,2}(?:[ ./-][0-9]{2,12}){1,6}"
        r"|(?:1[ .-])?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
        r"|\(?0[1-9][0-9]{1,3}\)?[ /-][0-9]{3,8}(?:[ -][0-9]{2,5}){0,2}"
        r"|\(0[1-9][0-9]{0,3}\) ?[0-9]{2,4}(?:[ -][0-9]{2,4}){1,4}"
        r"|[78] ?\([0-9]{3,4}\) ?[0-9]{3}[ -][0-9]{2}[ -]?[0-9]{2}"
        r"|0[1-9](?:[ .][0-9]{2}){4}"
        r")"
    ),
    hint=r"[0-9](?:[ \x{a0}()./-]{0,3}[0-9]){6}",
    check=checks.telephone,
    inside=True,
)
CARD = Pattern(
    regex=(
        rf"{_EDGE}([0-9]{{13,19}}|[0-9]{{4}}(?:{_GAP}{{1,2}}[0-9]{{4}}){{3}}(?:{_GAP}?[0-9]{{1,3}})?"
        rf"|[0-9]{{4}}{_GAP}[0-9]{{6}}{_GAP}[0-9]{{4,5}})"
    ),
    hint=rf"[0-9](?:{_GAP}{{0,2}}[0-9]){{12}}",
    check=checks.card,
    inside=True,
)
IBAN = Pattern(
    regex=rf"{_EDGE}([A-Za-z]{{2}}[0-9]{{2}}(?:{_GAP}?[A-Za-z0-9]{{4}}){{2,7}}(?:{_GAP}?[A-Za-z0-9]{{1,3}})?)",
    hint=rf"[A-Za-z]{{2}}[0-9]{{2}}{_GAP}?[A-Za-z0-9]{{4}}{_GAP}?[A-Za-z0-9]{{4}}",
    check=checks.iban_number,
    inside=True,
)
IPV4 = Pattern(
    regex=rf"{_EDGE}([0-9]{{1,3}}(?:\.[0-9]{{1,3}}){{3}})",
    hint=r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]",
    check=checks.ip_address,
    inside=True,
)
IPV6 = Pattern(
    regex=r"(?:^|[^0-9A-Za-z:.])((?:[0-9A-Fa-f]{0,4}:){2,8}[0-9A-Fa-f.]{0,15})",
    hint=r"[0-9A-Fa-f]:[0-9A-Fa-f]{0,4}:|::[0-9A-Fa-f]",
    check=checks.ip_address,
    inside=True,
)
SSN = Pattern(
    regex=rf"{_EDGE}([0-9]{{3}}{_GAP}[0-9]{{2}}{_GAP}[0-9]{{4}})",
    hint=rf"[0-9]{{3}}{_GAP}[0-9]{{2}}{_GAP}[0-9]{{4}}",
    check=checks.social_security_number,
    inside=True,
)
JWT = Pattern(
    regex=r"(?:ey[AJ]|ewo)[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){2,4}",
    hint=r"(?:ey[AJ]|ewo)[A-Za-z0-9_-]{8}",
    check=checks.json_web_token,
)
PRIVATE_KEY = Pattern(
    # The body's characters hold no two dashes on end, so it stops at the END line; without one, at the first
    # sign that no key has.
    regex=(
        r"-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
        r"(?:[A-Za-z0-9+/=\s:,.]|-[A-Za-z0-9])*"
        r"(?:-----END (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----)?"
    ),
    hint=r"PRIVATE KEY(?: BLOCK)?-----",
)
CREDENTIALS = Pattern(
    regex=r"[A-Za-z][A-Za-z0-9+.-]+://([^\s/?#:@\"'<>\\]*:[^\s/?#\"'<>\\]+|[^\s/?#:@\"'<>\\\[\]]{16,})@",
    hint=r"://[^\s/?#\"'<>\\]+@",
)


def _api_keys() -> tuple[Pattern, ...]:
    """The vendors' rows as one pattern, those with a loose beginning as another, then the generic forms."""
    return (
        _vendors(checks.issued_key, [row for row in api_keys.VENDOR_KEYS if not row.loose]),
        _vendors(checks.random_key, [row for row in api_keys.VENDOR_KEYS if row.loose]),
        Pattern(api_keys.ASSIGNED, api_keys.ASSIGNED_HINT, checks.secret_value),
        Pattern(api_keys.PASSWORD, api_keys.PASSWORD_HINT, checks.password_value),
        Pattern(api_keys.PASSWORD_SAID, api_keys.PASSWORD_HINT, checks.secret_value),
        Pattern(api_keys.OPTION, api_keys.OPTION_HINT, checks.secret_value),
        Pattern(api_keys.BARE_KEY, r"(?:key|sig)=", checks.random_key),
        Pattern(api_keys.BEARER, api_keys.BEARER_HINT, checks.secret_value),
        Pattern(api_keys.BASIC, api_keys.BASIC_HINT, checks.basic_credentials),
    )


def _vendors(check: Check, rows: list[api_keys.VendorKey]) -> Pattern:
    regex = "|".join(f"(?:{row.pattern})" for row in rows)
    hint = "|".join(f"(?:{row.hint})" for row in rows)
    return Pattern(rf"{_EDGE}({regex})", hint, check)


API_KEYS = _api_keys()
