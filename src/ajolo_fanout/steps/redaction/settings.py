"""`redaction` of one backend: what it must not see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import attrs

from ajolo_fanout.steps.redaction.detectors import DETECTORS
from ajolo_fanout.steps.redaction.expression import Expression
from ajolo_fanout.values import Secret, option

__all__ = ["RedactionSettings"]

_CONTENT = ("keep", "drop", "hash", "mask")


@attrs.frozen
class RedactionSettings:
    """`redaction` of one backend; with nothing written, nothing is redacted.

    Where several rules meet one value, the strictest wins: drop, hash, mask, detect.
    """

    content: Literal["keep", "drop", "hash", "mask"] = option(
        "What happens to prompts, completions, tool arguments and documents, under every name that the known "
        "instrumentations give them.",
        default="keep",
        choices=_CONTENT,
        example='"drop"',
    )
    detect: tuple[str, ...] = option(
        "What is looked for in every text that leaves, JSON in texts included; what is found is replaced by "
        "its name, such as `[email]`.",
        default=(),
        choices=tuple(DETECTORS),
        example='["email", "credit_card"]',
    )
    patterns: Mapping[str, Expression] = option(
        "What you look for beyond that: names of your own, each with an RE2 pattern. A match is replaced by "
        "the name, such as `[order]`.",
        factory=dict,
        example='{ order = "ORD-[0-9]{8}" }',
    )
    mask_ip: bool = option(
        "Whether IP addresses in texts keep their network only: of IPv4 the last number becomes 0, of IPv6 "
        "the last 80 bits.",
        default=False,
        example="true",
    )
    except_: tuple[str, ...] = option(
        "Attributes in which nothing is looked for, by name: globs as in `drop`.",
        default=(),
        example='["session.id"]',
    )
    drop: tuple[str, ...] = option(
        "Attributes that are removed, by name: whole-name, case-sensitive globs of `*` and `?`. Reaches "
        "span, event, link, resource and scope attributes.",
        default=(),
        example='["http.request.header.*", "user.email"]',
    )
    hash: tuple[str, ...] = option(
        "Attributes whose value is replaced by its HMAC-SHA-256, by name: equal values stay equal, and "
        "nobody without `hash_key` can guess them.",
        default=(),
        example='["user.id"]',
    )
    hash_key: Secret | None = option(
        "The key of all hashes; required where anything is hashed. Backends with the same key can be joined.",
        default=None,
        example='"${TRACE_HASH_KEY}"',
    )
    mask: tuple[str, ...] = option(
        "Attributes whose value is replaced by `[masked]`, by name.", default=(), example='["user.name"]'
    )
    allow: tuple[str, ...] | None = option(
        "The only attributes of spans, events and links that stay, by name; all others are removed. Without "
        "it all stay.",
        default=None,
        example='["gen_ai.*", "error.type"]',
    )

    @property
    def idle(self) -> bool:
        """Whether nothing is redacted."""
        return self.content == "keep" and self.allow is None and not (
            self.scans or self.hashes or self.drop or self.mask
        )  # fmt: skip

    @property
    def hashes(self) -> bool:
        """Whether anything is hashed, so that a key is required."""
        return self.content == "hash" or bool(self.hash)

    @property
    def scans(self) -> bool:
        """Whether texts are looked into."""
        return bool(self.detect or self.patterns) or self.mask_ip
