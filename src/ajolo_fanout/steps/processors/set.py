"""`type = "set"`: puts fixed attributes on a span, and on its resource."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
from opentelemetry.util.types import AttributeValue

from ajolo_fanout.steps.draft import Draft
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.processors.common import MATCH, Change, matching
from ajolo_fanout.values import option

__all__ = ["SetSettings"]


@attrs.frozen
class SetSettings:
    """Puts fixed values on spans and their resource; a value already there is replaced."""

    attributes: Mapping[str, AttributeValue] = option(
        "Attributes put on every span.", factory=dict, example='{ "team.name" = "agents" }'
    )
    resource: Mapping[str, AttributeValue] = option(
        "Attributes put on every span's resource.",
        factory=dict,
        example='{ "deployment.region" = "eu-west-1" }',
    )
    match: Match | None = option(MATCH, default=None, example='{ kind = "server" }')

    def compile(self) -> Change:
        """The function that sets them."""
        attributes, resource = tuple(self.attributes.items()), tuple(self.resource.items())

        def change(draft: Draft) -> None:
            for name, value in attributes:
                draft.attributes[name] = value
            for name, value in resource:
                draft.resource[name] = value

        return matching(self.match, change)
