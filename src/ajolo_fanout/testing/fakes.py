"""Fake backends: embedded servers that answer as a vendor's intake does, made from its profile.

::

    with FakeBackend("langfuse", inputs={"public_key": "pk-lf-1", "secret_key": "sk-lf-1"}) as langfuse:
        …a backend with endpoint = langfuse.endpoint and these keys…
        [span] = langfuse.wait_for_spans(1)

What a fake does is all in the profile: paths, credentials, statuses, sizes, the body of success. A script
(`fake.answer = Answer(status=503)`) has its say before that.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from ajolo_fanout.profiles.catalog import load
from ajolo_fanout.profiles.endpoint import fill_text
from ajolo_fanout.profiles.headers import headers_of
from ajolo_fanout.profiles.model import Endpoint, Profile
from ajolo_fanout.profiles.target import Target
from ajolo_fanout.testing.answers import PROTOBUF, Answer, Answers, ReceivedRequest
from ajolo_fanout.testing.server import OtlpServer
from ajolo_fanout.values import Secret

if TYPE_CHECKING:
    from typing_extensions import Self

    from ajolo_fanout.testing.tls import Tls

__all__ = ["FakeBackend"]


class FakeBackend(OtlpServer):
    """A server on 127.0.0.1 that takes and refuses what the profile's vendor would.

    Checked in this order, each with the profile's own status: path (404) and method (405), credentials,
    content type, compression, size before compression, and whether the message parses. The profile's
    self-test URL is answered too. Over gRPC a vendor without gRPC answers UNIMPLEMENTED.

    Attributes:
        profile: Whose behaviour it has.
        path: The one path that takes spans; None takes any.
        max_request_bytes: The largest body, before compression.
    """

    def __init__(
        self,
        profile: str | Profile,
        protocol: Literal["http/protobuf", "grpc"] = "http/protobuf",
        *,
        inputs: Mapping[str, Any] | None = None,
        max_request_bytes: int | None = None,
        answer: Answers = None,
        tls: Tls | None = None,
    ) -> None:
        """Start the server.

        Args:
            profile: A profile, or its id. Of kind `"otlp"`.
            protocol: What the server speaks.
            inputs: The right inputs, as in the file (secrets as text or `Secret`). A header made of inputs
                given here must come exactly so; a credential not given here must come, as anything.
            max_request_bytes: Another limit than the profile's, to test with small requests.
            answer: A script, as `OtlpServer` takes it.
            tls: Serve TLS.

        Raises:
            ConfigError: when there is no such profile.
            ValueError: when the profile isn't of a kind that is sent to.
        """
        self.profile = load(profile) if isinstance(profile, str) else profile
        if self.profile.kind != "otlp":
            raise ValueError(
                f"nothing is sent to a backend of type {self.profile.id}: there is nothing to fake"
            )
        values = {name: _value(self.profile, name, value) for name, value in (inputs or {}).items()}
        entry = _entry(self.profile, protocol, values)
        limit = entry.max_request_bytes if entry is not None else 0
        self.path: str | None = _path(self.profile, entry, values)
        self.max_request_bytes = int(limit if max_request_bytes is None else max_request_bytes)
        self._taken = entry is not None
        self._wanted: Mapping[str, Secret | None] = _wanted(self.profile, values, protocol)
        super().__init__(protocol, answer=answer, tls=tls)

    @classmethod
    def of(
        cls,
        target: Target,
        *,
        max_request_bytes: int | None = None,
        answer: Answers = None,
        tls: Tls | None = None,
    ) -> Self:
        """The fake of the very backend that `target` sends to: its path, its credentials, its protocol."""
        named = {
            rule.name for rule in target.profile.headers if _carries_text(target.profile, rule.sources())
        }
        limit = target.max_request_bytes if max_request_bytes is None else max_request_bytes
        protocol: Literal["http/protobuf", "grpc"] = "grpc" if target.protocol == "grpc" else "http/protobuf"
        fake = cls(target.profile, protocol, max_request_bytes=limit, answer=answer, tls=tls)
        # The server runs already, but nobody knows its port yet.
        fake.path = urllib.parse.urlsplit(target.url).path or None
        fake._wanted = {n: text for n, text in target.headers.items() if n in target.credentials | named}
        return fake

    def usual_answer(self, request: ReceivedRequest) -> Answer:
        """What the vendor answers to `request`, without a script."""
        if not self._taken:
            return Answer(status=404, code="UNIMPLEMENTED", message=f"{self.profile.title} takes no gRPC")
        if request.protocol == "grpc":
            return self._grpc_answer(request)
        return self._self_test_answer(request) or self._http_answer(request)

    def _http_answer(self, request: ReceivedRequest) -> Answer:
        behaviour = self.profile.behaviour
        content_type = request.headers.get("content-type", "").split(";")[0].strip()
        encoding = request.headers.get("content-encoding", "identity")
        if self.path is not None and request.path != self.path:
            return Answer(status=404, message=f"no such path: {request.path}")
        if request.method != "POST":
            return super().usual_answer(request)
        missing, wrong = self._credentials(request)
        if missing or wrong:
            status = behaviour.missing_key if missing else behaviour.wrong_key
            return Answer(status=status, message=_refusal(missing, wrong))
        if content_type not in behaviour.content_types or content_type != PROTOBUF:
            message = f"content type {content_type or 'missing'}; this fake reads {PROTOBUF} only"
            return Answer(status=behaviour.wrong_content_type, message=message)
        if encoding not in ("identity", *behaviour.encodings):
            return Answer(status=behaviour.wrong_encoding, message=f"content encoding {encoding} isn't taken")
        if len(request.body) > self.max_request_bytes:
            return Answer(status=behaviour.too_large, message=f"{len(request.body)} bytes are too many")
        usual = super().usual_answer(request)
        if not usual.success:
            return usual
        body = behaviour.ok_body.encode() if behaviour.ok_body else None
        return Answer(status=behaviour.ok_status, body=body, content_type=behaviour.ok_content_type)

    def _grpc_answer(self, request: ReceivedRequest) -> Answer:
        behaviour = self.profile.behaviour
        missing, wrong = self._credentials(request)
        if missing or wrong:
            return Answer(status=401, code=behaviour.wrong_key_grpc, message=_refusal(missing, wrong))
        if len(request.body) > self.max_request_bytes:
            sizes = f"{len(request.body)} vs. {self.max_request_bytes}"
            message = f"grpc: received message larger than max ({sizes})"
            return Answer(status=413, code=behaviour.too_large_grpc, message=message)
        return super().usual_answer(request)

    def _self_test_answer(self, request: ReceivedRequest) -> Answer | None:
        test = self.profile.self_test
        if test is None or request.method != test.method:
            return None
        if request.path != urllib.parse.urlsplit(test.url.replace("{origin}", "http://fake")).path:
            return None
        missing, wrong = self._credentials(request, test.headers)
        verdict = "invalid" if missing or wrong else "valid"
        status = next(one.status for one in test.answers if one.verdict == verdict)
        return Answer(status=status, body=b"{}", content_type="application/json")

    def _credentials(
        self, request: ReceivedRequest, names: tuple[str, ...] | None = None
    ) -> tuple[list[str], list[str]]:
        """The wanted headers that didn't come, and those that came with another text."""
        missing, wrong = [], []
        for name, wanted in self._wanted.items():
            if names is not None and name not in names:
                continue
            text = request.headers.get(name)
            if not text:
                missing.append(name)
            elif wanted is not None and Secret(text) != wanted:
                wrong.append(name)
        return missing, wrong


def _value(profile: Profile, name: str, value: Any) -> Any:
    one = profile.input(name)
    if one is None:
        raise ValueError(f"{profile.id} has no input called {name}")
    return Secret(value) if one.secret and isinstance(value, str) else value


def _entry(profile: Profile, protocol: str, values: Mapping[str, Any]) -> Endpoint | None:
    """The endpoint that the inputs, or their defaults, pick."""
    defaults = {one.name: one.default for one in profile.inputs if one.default is not None}
    picked = {**defaults, **values}
    for entry in profile.endpoints:
        if entry.protocol == protocol and all(picked.get(k) == v for k, v in entry.choice.items()):
            return entry
    return None


def _path(profile: Profile, entry: Endpoint | None, values: Mapping[str, Any]) -> str | None:
    if entry is None or entry.any_path or entry.protocol == "grpc":
        return None
    if entry.url is None:
        return entry.path
    return urllib.parse.urlsplit(fill_text(entry.url.replace("{", "").replace("}", ""), profile, values)).path


def _wanted(profile: Profile, values: Mapping[str, Any], protocol: str) -> dict[str, Secret | None]:
    """The headers that must come: with the text that the inputs give, or with any."""
    given, _ = headers_of(profile, values, {}, protocol)
    wanted: dict[str, Secret | None] = {}
    for rule in profile.headers:
        if _carries_text(profile, rule.sources()) and rule.name in given.values:
            wanted[rule.name] = given.values[rule.name]
        elif profile.secret_inputs().intersection(rule.sources()):
            wanted[rule.name] = None
    return wanted


def _carries_text(profile: Profile, sources: tuple[str, ...]) -> bool:
    kinds = {one.kind for name in sources if (one := profile.input(name)) is not None}
    return bool(kinds) and "boolean" not in kinds


def _refusal(missing: list[str], wrong: list[str]) -> str:
    return f"missing {', '.join(missing)}" if missing else f"wrong {', '.join(wrong)}"
