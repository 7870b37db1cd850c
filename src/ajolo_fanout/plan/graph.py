"""A plan as a Mermaid flowchart: what a Markdown page or a pull request can show."""

from __future__ import annotations

from collections.abc import Iterator

from ajolo_fanout.config.veil import veiled, veiled_text
from ajolo_fanout.plan.model import BackendPlan, Plan
from ajolo_fanout.steps.processors import type_of

__all__ = ["graph"]

_PLAIN = frozenset(" .,:/()%-_=+*'")


def graph(plan: Plan) -> str:
    """The flowchart's text. Backends of one shape hang from one node: their spans are encoded once."""
    return "\n".join(_lines(plan))


def _lines(plan: Plan) -> Iterator[str]:
    service = str(plan.resource.get("service.name") or "unknown_service")
    yield "flowchart LR"
    yield f"  program([{_label(service)}]) --> router[{_label('router', _recorded(plan))}]"
    numbers = {backend.name: number for number, backend in enumerate(plan.backends, 1)}
    for index, names in enumerate(plan.shapes(), 1):
        yield f"  router --> s{index}[{_label(*_shape(plan[names[0]]))}]"
        for name in names:
            backend = plan[name]
            node = f"b{numbers[name]}[({_label(name, veiled_text(backend.target.url))})]"
            yield f"  s{index} -->|{_label(*_gets(backend))}| {node}"
    for index, off in enumerate(plan.off, 1):
        yield f"  router -.-x o{index}[{_label(f'{off.name}: off', off.why)}]"


def _recorded(plan: Plan) -> str:
    """What is recorded here, and which rules want more than the largest ratio."""
    recorded = plan.shares.recorded
    rules = [
        f"{backend.name}'s {veiled(rule.name)}"
        for backend in plan.backends
        for rule in backend.steps.sampling.keep
    ]
    forced = f" for {', '.join(rules)}" if recorded > plan.ratio and rules else ""
    return f"records {_share(recorded)}{forced}"


def _gets(backend: BackendPlan) -> list[str]:
    said = [_share(backend.steps.sampling.ratio)]
    said += [f"and {veiled(rule.name)}" for rule in backend.steps.sampling.keep]
    if backend.steps.select.include or backend.steps.select.exclude:
        said.insert(0, "selected spans of")
    return said


def _shape(backend: BackendPlan) -> list[str]:
    """What is done to a span's content, a line for each kind of step."""
    settings = backend.settings
    names = [type_of(one) for one in settings.processors]
    said = [f"processors: {', '.join(names)}"] if names else []
    if settings.redaction.content != "keep":
        said.append(f"redaction: content {settings.redaction.content}")
    elif not settings.redaction.idle:
        said.append("redaction")
    return said or ["as traced"]


def _share(ratio: float) -> str:
    return "all traces" if ratio == 1 else f"{ratio * 100:g} % of traces"


def _label(*lines: str) -> str:
    """Lines as one quoted label, in which nothing is Mermaid's or HTML's own."""
    return '"' + "<br>".join(map(_escaped, lines)) + '"'


def _escaped(text: str) -> str:
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in text)
