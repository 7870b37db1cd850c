"""Data: how the keys of common vendors look. One row a kind of key, for the detector `api_key`.

Prefixes are from the vendors' documentation and from GitHub's list of supported secret-scanning patterns.
The examples were never issued; they are written in two pieces so that scanners of repositories pass them by.
"""

from __future__ import annotations

import attrs

__all__ = [
    "ASSIGNED",
    "ASSIGNED_HINT",
    "BARE_KEY",
    "BASIC",
    "BASIC_HINT",
    "BEARER",
    "BEARER_HINT",
    "OPTION",
    "OPTION_HINT",
    "PASSWORD",
    "PASSWORD_HINT",
    "PASSWORD_NAMES",
    "PASSWORD_SAID",
    "SECRET_NAMES",
    "VENDOR_KEYS",
    "VendorKey",
]


@attrs.frozen
class VendorKey:
    """One kind of key.

    Attributes:
        vendor: Who issues it.
        pattern: RE2, without capturing groups.
        hint: A part that every such key has, for the first pass; RE2.
        example: One that is found.
        loose: Whether words may begin alike (`sk-loading-spinner`), so that what follows has to look drawn at
            random.
    """

    vendor: str
    pattern: str
    hint: str
    example: str
    loose: bool = False


_A = "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hJ6kL9nP2rS5uV8xY1aD4gI7jM0oR3tU6w"
_HEX = "0123456789abcdef" * 4

VENDOR_KEYS = (
    VendorKey(
        "AWS",
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}",
        r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]",
        "AKIA" + "IOSFODNN7EXAMPLE",
    ),
    VendorKey(
        "GitHub",
        r"gh[pousr]_[A-Za-z0-9]{36,}",
        r"gh[pousr]_[A-Za-z0-9]",
        "ghp_" + _A[:36],
    ),
    VendorKey(
        "GitHub",
        r"github_pat_[A-Za-z0-9_]{22,}",
        r"github_pat_",
        "github_pat_" + _A[:22],
    ),
    VendorKey(
        "GitLab",
        r"gl(?:pat|oas|rt|dt|ptt|ft|imt|agent|soat|cbt)-[A-Za-z0-9_.-]{20,}",
        r"gl(?:pat|oas|rt|dt|ptt|ft|imt|agent|soat|cbt)-",
        "glpat-" + _A[:20],
    ),
    VendorKey(
        "Slack",
        r"xox[abcdeoprs]-[A-Za-z0-9%-]{10,}",
        r"xox[abcdeoprs]-",
        "xoxb-" + "2345678901-" + _A[:24],
        loose=True,
    ),
    VendorKey(
        "Slack",
        r"xapp-[0-9]-[A-Za-z0-9-]{10,}",
        r"xapp-[0-9]",
        "xapp-1-" + _A[:30],
    ),
    VendorKey(
        "Slack",
        r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/]{20,}",
        r"hooks\.slack\.com/",
        "hooks.slack.com/services/" + "T0123ABCD/B0123ABCD/" + _A[:24],
    ),
    VendorKey(
        "Langfuse",
        r"[sp]k-lf-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"[sp]k-lf-",
        "sk-lf-" + "550e8400-e29b-41d4-a716-446655440000",
    ),
    VendorKey(
        "OpenAI, Anthropic, OpenRouter, DeepSeek and others",
        r"[sp]k-[A-Za-z0-9_-]{20,}",
        r"[sp]k-[A-Za-z0-9_-]{20}",
        "sk-proj-" + _A[:48],
        loose=True,
    ),
    VendorKey(
        "Google",
        r"AIza[0-9A-Za-z_-]{35}",
        r"AIza[0-9A-Za-z_-]",
        "AIza" + _A[:35],
    ),
    VendorKey(
        "Google",
        r"ya29\.[0-9A-Za-z_-]{20,}",
        r"ya29\.",
        "ya29." + _A[:60],
    ),
    VendorKey(
        "Google",
        r"GOCSPX-[0-9A-Za-z_-]{28}",
        r"GOCSPX-",
        "GOCSPX-" + _A[:28],
    ),
    VendorKey(
        "Stripe",
        r"[srp]k_(?:live|test)_[0-9A-Za-z]{16,}",
        r"[srp]k_(?:live|test)_",
        "sk_" + "live_" + _A[:24],
    ),
    VendorKey(
        "Stripe",
        r"whsec_[A-Za-z0-9+/=]{20,}",
        r"whsec_",
        "whsec_" + _A[:32],
    ),
    VendorKey(
        "Hugging Face",
        r"hf_[A-Za-z0-9]{30,}",
        r"hf_[A-Za-z0-9]{30}",
        "hf_" + _A[:34],
    ),
    VendorKey(
        "SendGrid",
        r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",
        r"SG\.[A-Za-z0-9_-]",
        "SG." + _A[:22] + "." + _A[:43],
    ),
    VendorKey(
        "Twilio",
        r"(?:AC|SK)[0-9a-f]{32}",
        r"(?:AC|SK)[0-9a-f]{32}",
        "SK" + _HEX[:32],
    ),
    VendorKey(
        "npm",
        r"npm_[A-Za-z0-9]{36}",
        r"npm_[A-Za-z0-9]",
        "npm_" + _A[:36],
    ),
    VendorKey(
        "PyPI",
        r"pypi-[A-Za-z0-9_-]{50,}",
        r"pypi-A",
        "pypi-" + "AgEIcHlwaS5vcmc" + _A[:60],
    ),
    VendorKey(
        "Grafana",
        r"glsa_[A-Za-z0-9]{32}_[0-9a-fA-F]{8}",
        r"glsa_",
        "glsa_" + _A[:32] + "_" + _HEX[:8],
    ),
    VendorKey(
        "Grafana",
        r"glc_[A-Za-z0-9+/=]{32,}",
        r"glc_",
        "glc_" + _A[:40],
    ),
    VendorKey(
        "Honeycomb",
        r"hc[a-z]{3}_[a-z0-9]{58}",
        r"hc[a-z]{3}_",
        "hcaik_" + "01h" + _HEX[:55],
    ),
    VendorKey(
        "Groq",
        r"gsk_[A-Za-z0-9]{40,}",
        r"gsk_",
        "gsk_" + _A[:52],
    ),
    VendorKey(
        "xAI",
        r"xai-[A-Za-z0-9]{40,}",
        r"xai-[A-Za-z0-9]{40}",
        "xai-" + _A + _A[:12],
    ),
    VendorKey(
        "Perplexity",
        r"pplx-[A-Za-z0-9]{40,}",
        r"pplx-",
        "pplx-" + _A[:48],
    ),
    VendorKey(
        "Replicate",
        r"r8_[A-Za-z0-9]{37}",
        r"r8_[A-Za-z0-9]{37}",
        "r8_" + _A[:37],
    ),
    VendorKey(
        "Databricks",
        r"dapi[0-9a-f]{32}",
        r"dapi[0-9a-f]{32}",
        "dapi" + _HEX[:32],
    ),
    VendorKey(
        "DigitalOcean",
        r"do[opr]_v1_[0-9a-f]{64}",
        r"do[opr]_v1_",
        "dop_v1_" + _HEX,
    ),
    VendorKey(
        "Shopify",
        r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
        r"shp(?:at|ca|pa|ss)_",
        "shpat_" + _HEX[:32],
    ),
    VendorKey(
        "Notion",
        r"ntn_[A-Za-z0-9]{40,}",
        r"ntn_",
        "ntn_" + _A[:46],
    ),
    VendorKey(
        "Linear",
        r"lin_(?:api|oauth)_[A-Za-z0-9]{32,}",
        r"lin_(?:api|oauth)_",
        "lin_api_" + _A[:40],
    ),
    VendorKey(
        "HashiCorp Vault",
        r"hv[sbr]\.[A-Za-z0-9_-]{24,}",
        r"hv[sbr]\.",
        "hvs." + _A[:28],
    ),
    VendorKey(
        "Telegram",
        r"[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
        r"[0-9]{8}:AA",
        "123456789:AA" + _A[:33],
    ),
    VendorKey(
        "LangSmith",
        r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}",
        r"lsv2_",
        "lsv2_" + "pt_" + _HEX[:32] + "_" + _HEX[:10],
    ),
    VendorKey(
        "PostHog",
        r"phx_[A-Za-z0-9]{32,}",
        r"phx_[A-Za-z0-9]",
        "phx_" + _A[:43],
    ),
    VendorKey(
        "New Relic",
        r"NRAK-[A-Z0-9]{27}|[0-9a-f]{36}NRAL",
        r"NRAK-|[0-9a-f]NRAL",
        "NRAK-" + "ABCDEFGHIJ2KLMNOPQRSTU3VWXY",
    ),
    VendorKey(
        "Dynatrace",
        r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}",
        r"dt0[a-z][0-9]{2}\.",
        "dt0c01." + _A[:24].upper() + "." + _A[:64].upper(),
    ),
    VendorKey(
        "Sentry",
        r"sntry[su]_[A-Za-z0-9+/=_]{40,}",
        r"sntry[su]_",
        "sntryu_" + _HEX,
    ),
    VendorKey(
        "Pinecone",
        r"pcsk_[A-Za-z0-9_]{40,}",
        r"pcsk_",
        "pcsk_" + _A[:60],
    ),
    VendorKey(
        "Tavily",
        r"tvly-(?:[a-z]{3,4}-)?[A-Za-z0-9]{20,}",
        r"tvly-",
        "tvly-" + _A[:32],
    ),
    VendorKey(
        "Fireworks",
        r"fw_[A-Za-z0-9]{22,}",
        r"fw_[A-Za-z0-9]{22}",
        "fw_" + _A[:24],
    ),
    VendorKey(
        "Supabase",
        r"sb[ps]_[0-9a-f]{40}|sb_secret_[A-Za-z0-9_-]{20,}",
        r"sb[ps]_[0-9a-f]{8}|sb_secret_",
        "sbp_" + _HEX[:40],
    ),
    VendorKey(
        "Atlassian",
        r"ATATT3[A-Za-z0-9_=-]{40,}",
        r"ATATT3",
        "ATATT3" + _A[:60],
    ),
    VendorKey(
        "Docker",
        r"dckr_pat_[A-Za-z0-9_-]{20,}",
        r"dckr_pat_",
        "dckr_pat_" + _A[:27],
    ),
    VendorKey(
        "Figma",
        r"figd_[A-Za-z0-9_-]{32,}",
        r"figd_",
        "figd_" + _A[:40],
    ),
    VendorKey(
        "Airtable",
        r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}",
        r"pat[A-Za-z0-9]{14}\.",
        "pat" + _A[:14] + "." + _HEX,
    ),
    VendorKey(
        "Mailgun",
        r"key-[0-9a-f]{32}",
        r"key-[0-9a-f]{32}",
        "key-" + _HEX[:32],
    ),
    VendorKey(
        "Square",
        r"sq0[a-z]{3}-[A-Za-z0-9_-]{22,}",
        r"sq0[a-z]{3}-",
        "sq0csp-" + _A[:43],
    ),
    VendorKey(
        "age",
        r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
        r"AGE-SECRET-KEY-1",
        "AGE-SECRET-KEY-" + "1" + _A[:58].upper(),
    ),
)

_PHRASE_WORDS = r"pass(?:word|wd|phrase)|pwd"
_KEY_WORDS = (
    r"api[._-]?key|access[._-]?key(?:[._-]?id)?|secret[._-]?(?:access[._-]?)?key|signing[._-]?key"
    r"|private[._-]?key|account[._-]?key|client[._-]?secret|secret|credentials?|authorization"
    r"|(?:access|auth|refresh|id|session|bearer|api|security)?[._-]?token|x-honeycomb-team"
)
_SCHEMES = r"(?i:bearer|basic|token|api-?key|api-?token)"
_QUOTES = r"[\"'\\]"
_IS = rf"{_QUOTES}{{0,4}}\s{{0,3}}[=:]\s{{0,3}}{_QUOTES}{{0,4}}"

SECRET_NAMES = rf"(?i)(?:{_KEY_WORDS})$"
"""RE2: names, of attributes and of keys in JSON, whose value is a secret if it looks like one."""

PASSWORD_NAMES = rf"(?i)(?:{_PHRASE_WORDS})$"
"""RE2: names whose value is a secret if it is any word at all."""

ASSIGNED = rf"(?i:{_KEY_WORDS}){_IS}(?:{_SCHEMES}\s{{1,3}})?([\w.~+/=!@#%^*$-]{{6,}})"
"""RE2: `api_key=…`, `"token": "…"`, `Authorization: Bearer …`; the group is the secret."""

PASSWORD = (
    rf"(?i:{_PHRASE_WORDS})(?:\s{{0,3}}=\s{{0,3}}{_QUOTES}{{0,4}}|{_QUOTES}{{1,4}}\s{{0,3}}[:=]\s{{0,3}}{_QUOTES}{{1,4}})"
    r"([^\s\"'\\]{4,})"
)
"""RE2: `password=…` and `"password": "…"`."""

PASSWORD_SAID = rf"(?i:{_PHRASE_WORDS}):\s{{1,3}}([^\s\"'\\]{{4,}})"
"""RE2: `password: …`, which prose says as well."""

OPTION = r"(?:^|\s)--(?i:[a-z-]{0,20}(?:password|passwd|token|secret|api-key))(?:=|\s{1,3})([^\s\"'\\]{6,})"
"""RE2: what a command line gives away, `--token …`."""

BARE_KEY = r"(?:^|[^A-Za-z0-9_])(?:key|sig)=([\w.~+/%-]{16,})"
"""RE2: `?key=…`, `&sig=…`; too plain a name for anything but what looks drawn at random."""

BEARER = r"(?i:\b(?:bearer|api-?key|api-?token))\s{1,3}([\w.~+/=-]{16,})"
"""RE2: the value of an Authorization header, without its name."""

BASIC = r"(?i:\bbasic)\s{1,3}([A-Za-z0-9+/_-]{6,}={0,2})"
"""RE2: user and password, in Base64."""

ASSIGNED_HINT = (
    rf"(?i:key|honeycomb-team|token|secret|credentials?|authorization){_QUOTES}{{0,4}}\s{{0,3}}[=:]"
)
PASSWORD_HINT = rf"(?i:{_PHRASE_WORDS}){_QUOTES}{{0,4}}\s{{0,3}}[=:]"
OPTION_HINT = r"--(?i:[a-z-]{0,20}(?:password|passwd|token|secret|api-key))[=\s]"
BEARER_HINT = r"(?i:\b(?:bearer|api-?key|api-?token))\s"
BASIC_HINT = r"(?i:\bbasic)\s"
