"""The draft: a copy-on-write view of one ended span, which the steps of one shape change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeAlias, cast

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceState
from opentelemetry.util.types import AnyValue

from ajolo_fanout.steps.attributes import Attributes
from ajolo_fanout.steps.bounded import Given, bounded_list
from ajolo_fanout.steps.parts import DraftEvent, DraftLink, DraftScope, Parts

__all__ = ["NO_USAGE", "Draft", "Measure", "Usage"]

Measure: TypeAlias = Literal["tokens", "cost", "total"]
Usage: TypeAlias = frozenset[Measure]
"""What stands on spans to be added up; `"total"` is a cost that is a sum whoever says so."""

NO_USAGE: Usage = frozenset()


class Draft:
    """One ended span as one shape sees it; the span itself, which other backends get, never changes.

    Name, status, attributes, events, links, resource and scope are there to be changed; ids, times, kind and
    trace state to be read::

        draft.attributes["team"] = "agents"
        del draft.attributes["user.email"]
        draft.events = [event for event in draft.events if event.name != "debug"]
        draft.resource["deployment.region"] = "eu-west-1"

    Reading costs nothing, and the first write copies just that part. It has the public properties of the
    SDK's ReadableSpan, so what reads spans reads drafts.
    """

    __slots__ = (
        "_attributes",
        "_base_scope",
        "_dropped_attributes",
        "_dropped_events",
        "_dropped_links",
        "_events",
        "_links",
        "_name",
        "_resource",
        "_resource_view",
        "_scope",
        "_sdk_resource",
        "_span",
        "_status",
        "_touched",
        "_usage_below",
    )

    def __init__(
        self, span: ReadableSpan, resource: Resource | None = None, *, usage_below: Usage = NO_USAGE
    ) -> None:
        """A draft of `span`.

        Args:
            span: An ended span.
            resource: What to take for its resource, where that isn't the span's own.
            usage_below: What of tokens and cost other spans carry, as far as `usage = "leaf"` asks.
        """
        self._usage_below = usage_below
        self._span = span
        self._resource = span.resource if resource is None else resource
        self._base_scope = span.instrumentation_scope
        self._touched = False
        self._name: str | None = None
        self._status: Status | None = None
        self._attributes: Attributes | None = None
        self._events: Parts[DraftEvent] | None = None
        self._links: Parts[DraftLink] | None = None
        self._scope: DraftScope | None = None
        self._resource_view: Attributes | None = None
        self._sdk_resource: tuple[Any, Resource] | None = None
        self._dropped_attributes: int | None = None
        self._dropped_events: int | None = None
        self._dropped_links: int | None = None

    # What can be changed.

    @property
    def name(self) -> str:
        """The span's name."""
        return self._span.name if self._name is None else self._name

    @name.setter
    def name(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"a span's name is a string, not {type(name).__name__}")
        if name != self.name:
            self._name = name
            self._touched = True

    @property
    def status(self) -> Status:
        """Code and description; assign a new one, or use the two properties below."""
        return self._span.status if self._status is None else self._status

    @status.setter
    def status(self, status: Status) -> None:
        if not isinstance(status, Status):
            raise TypeError(f"a span's status is a Status, not {type(status).__name__}")
        present = self.status
        if status.status_code is not present.status_code or status.description != present.description:
            self._status = status
            self._touched = True

    @property
    def status_code(self) -> StatusCode:
        """UNSET, OK or ERROR. Only an error has a description: another code takes it away."""
        return self.status.status_code

    @status_code.setter
    def status_code(self, code: StatusCode) -> None:
        self.status = Status(code, self.status.description if code is StatusCode.ERROR else None)

    @property
    def status_description(self) -> str | None:
        """What an error says of itself."""
        return self.status.description

    @status_description.setter
    def status_description(self, description: str | None) -> None:
        self.status = Status(self.status.status_code, description)

    @property
    def attributes(self) -> Attributes:
        """The span's attributes."""
        if self._attributes is None:
            self._attributes = Attributes(self._span.attributes)
        return self._attributes

    @attributes.setter
    def attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        _assign(self.attributes, attributes)

    @property
    def events(self) -> Parts[DraftEvent]:
        """The span's events, a list of `DraftEvent`."""
        if self._events is None:
            self._events = Parts(self._span.events, DraftEvent.of)
        return self._events

    @events.setter
    def events(self, events: Iterable[DraftEvent]) -> None:
        self.events.replace(events)

    def add_event(
        self, name: str, attributes: Mapping[str, AnyValue] | None = None, timestamp: int | None = None
    ) -> None:
        """Add an event to the span.

        Args:
            name: The event's name.
            attributes: Its attributes.
            timestamp: Nanoseconds since the epoch; None for the end of the span.
        """
        moment = (self.end_time or 0) if timestamp is None else timestamp  # the same each time it is made
        self.events.append(DraftEvent(name, attributes, moment))

    @property
    def links(self) -> Parts[DraftLink]:
        """The span's links, a list of `DraftLink`."""
        if self._links is None:
            self._links = Parts(self._span.links, DraftLink.of)
        return self._links

    @links.setter
    def links(self, links: Iterable[DraftLink]) -> None:
        self.links.replace(links)

    @property
    def resource(self) -> Attributes:
        """The attributes of the resource: of the program as a whole."""
        if self._resource_view is None:
            self._resource_view = Attributes(self._resource.attributes)
        return self._resource_view

    @resource.setter
    def resource(self, attributes: Mapping[str, AnyValue]) -> None:
        _assign(self.resource, attributes)

    @property
    def scope(self) -> DraftScope:
        """The library that made the span."""
        if self._scope is None:
            self._scope = DraftScope(self._base_scope)
        return self._scope

    @property
    def dropped_attributes(self) -> int:
        """How many attributes were lost to limits."""
        own = self._dropped_attributes
        return self._span.dropped_attributes if own is None else own

    @dropped_attributes.setter
    def dropped_attributes(self, number: int) -> None:
        self._touched = self._touched or number != self.dropped_attributes
        self._dropped_attributes = number

    @property
    def dropped_events(self) -> int:
        """How many events were lost to limits."""
        own = self._dropped_events
        return self._span.dropped_events if own is None else own

    @dropped_events.setter
    def dropped_events(self, number: int) -> None:
        self._touched = self._touched or number != self.dropped_events
        self._dropped_events = number

    @property
    def dropped_links(self) -> int:
        """How many links were lost to limits."""
        own = self._dropped_links
        return self._span.dropped_links if own is None else own

    @dropped_links.setter
    def dropped_links(self, number: int) -> None:
        self._touched = self._touched or number != self.dropped_links
        self._dropped_links = number

    # What can only be read.

    @property
    def context(self) -> SpanContext | None:
        """Trace id, span id, flags and trace state."""
        return cast("SpanContext | None", self._span.context)

    def get_span_context(self) -> SpanContext | None:
        """`context`, as the SDK's spans have it."""
        return self.context

    @property
    def parent(self) -> SpanContext | None:
        """The parent's context; None for the root of a trace."""
        return self._span.parent

    @property
    def kind(self) -> SpanKind:
        """Internal, server, client, producer or consumer."""
        return self._span.kind

    @property
    def start_time(self) -> int | None:
        """Nanoseconds since the epoch."""
        return self._span.start_time

    @property
    def end_time(self) -> int | None:
        """Nanoseconds since the epoch."""
        return self._span.end_time

    @property
    def trace_state(self) -> TraceState | None:
        """The W3C trace state."""
        return self._span.context.trace_state if self._span.context is not None else None

    @property
    def usage_below(self) -> Usage:
        """What of tokens and cost spans below this one carry; known where a processor has `usage = "leaf"`."""
        return self._usage_below

    @property
    def instrumentation_scope(self) -> InstrumentationScope | None:
        """The scope as the SDK has it; the span's own object while nothing changed."""
        return self._base_scope if self._scope is None else self._scope.sdk()

    @property
    def resource_schema_url(self) -> str:
        """The schema URL of the resource."""
        return self._resource.schema_url

    # What the pipeline asks.

    @property
    def source(self) -> ReadableSpan:
        """The span itself. To be read, never to be changed."""
        return self._span

    @property
    def changed(self) -> bool:
        """Whether the span's own content differs from the source; if not, their bytes may be shared."""
        return (
            self._touched
            or (self._attributes is not None and self._attributes.changed)
            or (self._events is not None and self._events.changed)
            or (self._links is not None and self._links.changed)
        )

    @property
    def resource_changed(self) -> bool:
        """Whether the resource or the scope differs from the source's."""
        return (
            self._resource is not self._span.resource
            or self._base_scope is not self._span.instrumentation_scope
            or (self._resource_view is not None and self._resource_view.changed)
            or (self._scope is not None and self._scope.changed)
        )

    @property
    def scope_changed(self) -> bool:
        """Whether a step changed the scope."""
        return self._scope is not None and self._scope.changed

    @property
    def sdk_base_resource(self) -> Resource:
        """The resource that the draft began with."""
        return self._resource

    def sdk_resource(self) -> Resource:
        """The resource as the SDK has it; the one that the draft began with while nothing changed."""
        view = self._resource_view
        if view is None or not view.changed:
            return self._resource
        key = view.writes()
        if self._sdk_resource is None or self._sdk_resource[0] != key:
            self._sdk_resource = (key, Resource(view.copy(), self._resource.schema_url))
        return self._sdk_resource[1]

    def settle_resource(self, resource: Resource) -> None:
        """Take `resource` for what the steps made of it, so that equal work is done once for many spans."""
        self._resource = resource
        self._resource_view = None

    def settle_scope(self, scope: InstrumentationScope | None) -> None:
        """Take `scope` for what the steps made of it."""
        self._base_scope = scope
        self._scope = None

    def readable(self) -> ReadableSpan:
        """An SDK span with the draft's content; the source itself when nothing changed."""
        span = self._span
        if not self.changed and not self.resource_changed:
            return span
        return ReadableSpan(
            name=self.name,
            context=span.context,
            parent=span.parent,
            resource=self.sdk_resource(),
            attributes=Given(self.attributes.copy(), self.dropped_attributes),
            events=bounded_list([_sdk_event(event) for event in self.events], self.dropped_events),
            links=bounded_list([_sdk_link(link) for link in self.links], self.dropped_links),
            kind=span.kind,
            status=self.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=self.instrumentation_scope,
        )

    def __repr__(self) -> str:
        context = self.context
        return f"<Draft {self.name!r} {context.span_id if context else 0:016x}{' changed' * self.changed}>"


def _assign(present: Attributes, wanted: Mapping[str, AnyValue]) -> None:
    """Make `present` hold what `wanted` holds, touching only what differs."""
    taken = dict(wanted)
    for name in [name for name in present if name not in taken]:
        del present[name]
    for name, value in taken.items():
        present[name] = value


def _sdk_event(event: DraftEvent) -> Event:
    return Event(event.name, Given(event.attributes.copy(), event.dropped_attributes), event.timestamp)


def _sdk_link(link: DraftLink) -> Link:
    return Link(link.context, Given(link.attributes.copy(), link.dropped_attributes))
