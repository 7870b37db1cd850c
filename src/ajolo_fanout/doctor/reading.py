"""What the fate of a test span says of its backend: the check `span`, with the verdict it leads to."""

from __future__ import annotations

from collections.abc import Callable

from ajolo_fanout.delivery.outcome import Outcome
from ajolo_fanout.doctor.findings import Check
from ajolo_fanout.doctor.trial import Trial
from ajolo_fanout.plan.model import BackendPlan
from ajolo_fanout.profiles.target import Target

__all__ = ["read_trial"]

_NOT_HERE = frozenset({"404", "405", "NOT_FOUND", "UNIMPLEMENTED"})
_BUSY = frozenset({"429", "502", "503", "504", "RESOURCE_EXHAUSTED"})
_LATE = frozenset({"time-out", "DEADLINE_EXCEEDED"})
_TRANSPORT = {
    "unknown host": "name-unknown",
    "refused": "refused",
    "reset": "cut-off",
    "connection": "cut-off",
}
_HTTP_AT_GRPC = ("http1", "http/1", "failed parsing http/2", "missing selected alpn")
"""What grpcio says, with UNAVAILABLE, of a server that speaks HTTP/1."""

_CERTIFICATE_WANTED = ("no required ssl certificate", "client certificate required")
"""nginx and others take the connection without a client certificate, and say so in their answer."""

_OURSELVES = ", or run `ajolo-fanout doctor`"
"""What a profile's hint may say, and need not be said here."""

Mask = Callable[[str], str]


def read_trial(
    backend: BackendPlan, trial: Trial, mask: Mask, *, name: str = "span", seconds: float
) -> Check:
    """The check that a trial amounts to.

    Args:
        backend: Whose trial it was.
        trial: What became of the span.
        mask: Takes secrets out of hints.
        name: What the check is called.
        seconds: How long was waited.
    """
    outcome, counts = trial.outcome, trial.counts
    if outcome is None or (counts.lost.get("error") and outcome.kind != "rejected"):
        return _without_answer(backend, trial, name, seconds)
    if outcome.kind == "delivered":
        found = f"taken ({outcome.status}); trace {trial.trace_id}"
        if outcome.message:
            return Check(name, "warning", f"{found}; {outcome.message}", "look at what it warns of")
        return Check(name, "ok", found)
    said, hint = _parts(backend.target, outcome, mask)
    code, advice = _reason(backend, outcome)
    known_better = code in ("wrong-protocol", "client-certificate")  # than the profile, by what was said
    return Check(name, "failed", said, advice if known_better else hint or advice, code)


def _without_answer(backend: BackendPlan, trial: Trial, name: str, seconds: float) -> Check:
    counts = trial.counts
    if counts.lost.get("error"):
        advice = "look at this step of the file, or of the program's own code"
        return Check(name, "failed", trial.said or "a step failed", advice, "step-failed")
    if not trial.reached and not counts.lost_total:
        said = f"the steps of the pipeline came to no end in {seconds:.0f} s"
        return Check(name, "failed", said, "look for a processor of your own that waits", "step-failed")
    if counts.handed_over:
        found = (
            f"handed over to the stock exporter, which can't tell whether it arrived; trace {trial.trace_id}"
        )
        return Check(name, "ok", found)
    if counts.lost_total:
        reasons = ", ".join(counts.lost)
        return Check(
            name, "failed", trial.said or f"lost: {reasons}", _STOCK if backend.stock else "", "rejected"
        )
    said = f"no answer in {seconds:.0f} s"
    return Check(
        name, "failed", said, "is it overloaded, or another service? Try a longer --timeout", "no-answer"
    )


_STOCK = "the stock exporter doesn't say why; what the same request is answered stands below"


def _parts(target: Target, outcome: Outcome, mask: Mask) -> tuple[str, str]:
    """What an outcome says, and the profile's hint, apart."""
    status = int(outcome.status) if outcome.status.isdecimal() else None
    grpc = None if status is not None else outcome.status
    known = next((one for one in target.answers if one.fits(status, grpc, outcome.message)), None)
    if known is None or not known.hint:
        return outcome.message, ""
    hint = mask(known.hint)
    return outcome.message.removesuffix(f" ({hint})"), hint.replace(_OURSELVES, "")


def _reason(backend: BackendPlan, outcome: Outcome) -> tuple[str, str]:
    """The verdict that an outcome leads to, and what to do where the profile doesn't say."""
    status, message = outcome.status, outcome.message.lower()
    grpc = backend.target.protocol == "grpc"
    if grpc and status == "UNAVAILABLE" and any(one in message for one in _HTTP_AT_GRPC):
        return (
            "wrong-protocol",
            'the server speaks HTTP here: write protocol = "http/protobuf", or its gRPC port',
        )
    if any(one in message for one in _CERTIFICATE_WANTED):
        return "client-certificate", "name it with `tls.cert_file` and `tls.key_file`"
    if outcome.refused_key:
        return "key-refused", "check the credentials"
    if status in _NOT_HERE:
        return "wrong-path", "check the path of `endpoint`; OTLP's own is /v1/traces"
    if status.endswith("HTML") or status.startswith("3"):
        advice = "check `endpoint`: this is the address of a website, or a proxy stands in between"
        return "not-otlp", advice
    if status in _LATE:
        return "no-answer", "is it overloaded? `timeout` is how long one request may take"
    if status in _TRANSPORT:
        return _TRANSPORT[status], "check `endpoint`"
    if status == "TLS":
        return _tls_reason(message), "check `endpoint` and `tls`"
    if status in _BUSY or (grpc and status == "UNAVAILABLE"):
        return "busy", "wait and ask again; the program itself sends again by `retry`"
    return "rejected", "the answer says why"


def _tls_reason(message: str) -> str:
    if "certificate required" in message or "certificate_required" in message:
        return "client-certificate"
    return "certificate-untrusted" if "can't be verified" in message else "tls-failed"
