"""Keep rules and verdicts: which traces are kept, for which reason, and with what probability."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from opentelemetry.trace import Status, StatusCode
from tests.steps.spans import make_span

from ajolo_fanout.steps.condition import Condition
from ajolo_fanout.steps.keep import Allowance, KeepRule, compile_rule, cost_of
from ajolo_fanout.steps.match import Match
from ajolo_fanout.steps.sampling import SamplingSettings, threshold
from ajolo_fanout.steps.verdict import Head, Judge, Shares, Verdict, shares
from ajolo_fanout.steps.weights import Upstream, weight_of

ERRORS = KeepRule("errors", match=Match(status="error"))
BAD = make_span("bad", status=Status(StatusCode.ERROR))
GOOD = make_span("good")
LOW, HIGH = 0, (1 << 56) - 1
HALF = 1 << 55


def judged(settings: SamplingSettings, *spans: Any, at: int = LOW, now: float = 0.0, **head: Any) -> Verdict:
    root = next((span for span in spans if span.parent is None), None)
    return Judge(settings)(Head(at, **head), spans, root, now)


def test_a_rule_keeps_what_the_ratio_leaves_out() -> None:
    settings = SamplingSettings(ratio=0.5, keep=(ERRORS,))
    assert judged(settings, GOOD) == Verdict("sampled_out", "sampling.ratio")
    assert judged(settings, GOOD, at=HIGH) == Verdict("sent", "", "", threshold(0.5))
    assert judged(settings, GOOD, BAD) == Verdict("sent", "", "errors", 0)
    assert judged(settings, GOOD, BAD, at=HIGH) == Verdict("sent", "", "errors", 0)


def test_the_first_rule_that_keeps_is_the_reason() -> None:
    slow = KeepRule("slow", root=Match(name=Condition("good")))
    both = SamplingSettings(ratio=0.0, keep=(slow, ERRORS))
    assert judged(both, GOOD, BAD).kept_by == "slow"
    assert judged(both, BAD).kept_by == "errors"
    assert judged(attrs.evolve(both, keep=(ERRORS, slow)), GOOD, BAD).kept_by == "errors"


def test_a_rule_with_its_own_ratio_leaves_the_rest_to_the_next() -> None:
    half = KeepRule("half", match=Match(status="error"), ratio=0.5)
    quarter = KeepRule("quarter", ratio=0.25)
    settings = SamplingSettings(ratio=0.0, keep=(quarter, half))
    assert judged(settings, BAD, at=LOW).fate == "sampled_out"
    assert judged(settings, BAD, at=HALF) == Verdict("sent", "", "half", threshold(0.5))
    assert judged(settings, BAD, at=HIGH) == Verdict("sent", "", "quarter", threshold(0.5)), (
        "half had it, too"
    )
    assert judged(settings, GOOD, at=HIGH) == Verdict("sent", "", "quarter", threshold(0.25))


def test_over_its_rate_the_next_rule_has_its_say_and_no_weight_is_claimed() -> None:
    limited = KeepRule("limited", match=Match(status="error"), max_traces_per_second=2)
    last = KeepRule("last", match=Match(name=Condition("good")))
    judge = Judge(SamplingSettings(ratio=0.0, keep=(limited, last)))

    def say(*spans: Any, now: float) -> Verdict:
        return judge(Head(LOW), spans, None, now)

    assert [say(BAD, now=0.0).kept_by for _ in range(3)] == ["limited", "limited", ""]
    assert say(BAD, now=0.1).fate == "sampled_out"
    assert say(BAD, GOOD, now=0.2) == Verdict("sent", "", "last", 0), "another rule keeps it for sure"
    assert say(BAD, now=1.3) == Verdict("sent", "", "limited", None), "how likely that was, nobody knows"
    in_ratio = Judge(SamplingSettings(ratio=0.5, keep=(limited,)))
    for _ in range(5):
        assert in_ratio(Head(HIGH), [BAD], None, 0.0) == Verdict("sent", "", "limited", threshold(0.5))


def test_an_allowance_saves_up_a_second_at_most() -> None:
    allowance = Allowance(10)
    assert sum(allowance.take(100.0) for _ in range(50)) == 10
    assert sum(allowance.take(100.5) for _ in range(50)) == 5
    assert sum(allowance.take(900.0) for _ in range(50)) == 10
    slow = Allowance(0.5)
    assert [slow.take(t) for t in (0.0, 1.0, 2.0, 3.0, 4.0)] == [True, False, True, False, True]


def _cost(total: Any = None, *calls: Any) -> float:
    root = make_span("agent.invoke", {} if total is None else {"ajolopy.cost_usd.total": total})
    spans = [make_span("chat", {"gen_ai.cost_usd": cost}) for cost in calls]
    return cost_of([*spans, root], root)


def test_a_trace_costs_what_its_root_says_else_the_sum_of_its_calls_never_both() -> None:
    assert _cost(0.5, 0.2, 0.2) == 0.5
    assert _cost(0.0, 0.2, 0.2) == 0.0
    assert _cost(None, 0.25, 0.5, "much", bool(1), float("nan")) == 0.75
    assert cost_of([make_span("chat", {"gen_ai.cost_usd": 1})], None) == 1
    fits = compile_rule(KeepRule("dear", min_cost=0.75))
    root = make_span("agent.invoke", {"gen_ai.cost_usd": 0.75})
    assert fits([root], root)
    assert not fits([make_span()], None)


def test_everything_that_a_rule_says_has_to_hold() -> None:
    rule = KeepRule("all", match=Match(status="error"), root=Match(name=Condition("good")), min_cost=1)
    dear = make_span("x", {"gen_ai.cost_usd": 2})
    fits = compile_rule(rule)
    assert fits([GOOD, BAD, dear], GOOD)
    assert not fits([GOOD, BAD], GOOD)
    assert not fits([GOOD, dear], GOOD)
    assert not fits([BAD, dear], None)


def test_what_was_not_sampled_upstream_is_respected_by_rules_too_or_ignored_by_all() -> None:
    refused = Upstream(sampled=False, threshold=None)
    settings = SamplingSettings(ratio=1.0, keep=(ERRORS,))
    assert judged(settings, BAD, upstream=refused, asked="me") == Verdict("sampled_out", "sampling.parent")
    ignoring = SamplingSettings(ratio=0.5, parent="ignore", keep=(ERRORS,))
    assert judged(ignoring, BAD, upstream=refused) == Verdict("sent", "", "errors", 0)
    assert judged(ignoring, GOOD, upstream=refused, at=HIGH) == Verdict("sent", "", "", threshold(0.5))
    unknown = Upstream(sampled=True, threshold=None)
    assert judged(ignoring, BAD, upstream=unknown).threshold == 0, "whatever they did, all came here"
    assert judged(settings, BAD, upstream=unknown) == Verdict("sent", "", "errors", None)


def test_code_may_ask_where_there_are_rules() -> None:
    settings = SamplingSettings(ratio=0.0, keep=(ERRORS,))
    assert judged(settings, GOOD, asked="vip") == Verdict("sent", "", "vip", 0)
    assert judged(settings, BAD, asked="vip").kept_by == "vip"
    assert judged(SamplingSettings(ratio=0.0), GOOD, asked="vip").fate == "sampled_out"


def test_a_dry_run_sends_everything_and_says_what_would_have_left_it_out() -> None:
    dry = SamplingSettings(ratio=0.0, keep=(ERRORS,), dry_run=True)
    assert judged(dry, GOOD) == Verdict("sent", "sampling.ratio", "", 0)
    assert judged(dry, BAD) == Verdict("sent", "", "errors", 0)
    half = attrs.evolve(dry, ratio=0.5)
    assert judged(half, GOOD, at=HIGH) == Verdict("sent", "", "", 0), "it stands for itself, as all do"
    refused = Upstream(sampled=False, threshold=None)
    assert judged(dry, BAD, upstream=refused) == Verdict("sent", "sampling.parent", "", None)


def test_what_has_to_be_recorded_for_all_of_them() -> None:
    def needed(*settings: SamplingSettings) -> Shares:
        return shares(settings)

    assert needed() == Shares(0, 0, 0)
    assert needed(SamplingSettings(0.1), SamplingSettings(0.3)) == Shares(0.3, 0.3, 0)
    assert needed(SamplingSettings(0.1, keep=(ERRORS,))) == Shares(0.1, 1.0, 0)
    half = KeepRule("half", ratio=0.5)
    assert needed(SamplingSettings(0.1, keep=(half,), parent="ignore")) == Shares(0.1, 0.5, 0.5)
    assert needed(SamplingSettings(0.1, dry_run=True)) == Shares(0.1, 1.0, 1.0)


UPSTREAMS: Mapping[str, Any] = {
    "begins here": lambda _: Upstream(),
    "half sampled upstream": lambda r: Upstream(True, HALF) if r >= HALF else Upstream(False, None),  # noqa: FBT003
}


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("parent", ["respect", "ignore"])
@pytest.mark.parametrize("ratio", [0.8, 0.1])
@pytest.mark.parametrize("keep", [(), (ERRORS,), (KeepRule("half", match=Match(status="error"), ratio=0.5),)])
def test_the_weights_of_what_was_kept_add_up_to_what_there_was(
    upstream: str, parent: Any, ratio: float, keep: Any
) -> None:
    """Within three standard deviations of the estimate, over 100,000 traces of which a tenth has an error."""
    judge = Judge(SamplingSettings(ratio, parent, keep))
    numbers = random.Random(20261124)
    total, count, variance = 0.0, 100_000, 0.0
    for n in range(count):
        r = numbers.getrandbits(56)
        verdict = judge(Head(r, UPSTREAMS[upstream](r)), [BAD if n % 10 == 0 else GOOD], None, 0.0)
        if verdict.fate == "sent":
            assert verdict.threshold is not None
            weight = weight_of(verdict.threshold)
            total += weight
            variance += weight * weight - weight  # of Horvitz and Thompson's estimate
    assert abs(total - count) <= 3 * variance**0.5 + 1e-6


def test_the_traces_of_a_smaller_ratio_are_among_those_of_a_larger() -> None:
    numbers = random.Random(7)
    judges = [Judge(SamplingSettings(ratio, keep=(ERRORS,))) for ratio in (0.01, 0.1, 0.5, 1.0)]
    for _ in range(20_000):
        head = Head(numbers.getrandbits(56))
        fates = [judge(head, [GOOD], None, 0.0).fate == "sent" for judge in judges]
        assert fates == sorted(fates)
