"""The verdicts as a vocabulary, the time limits around all checks, and that nothing shows a secret."""

from __future__ import annotations

import ast
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.doctor.support import SECONDS, backend, diagnosed, examined, hosts, one
from tests.marked import SECRET, assert_clean, forms

from ajolo_fanout.doctor.findings import Check, conclude
from ajolo_fanout.doctor.limits import limited, side_by_side
from ajolo_fanout.doctor.surroundings import _ADVICE
from ajolo_fanout.doctor.verdicts import FINE, VERDICTS
from ajolo_fanout.testing import Answer, FakeBackend, OtlpServer, ReceivedRequest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOURCE = ROOT / "src" / "ajolo_fanout" / "doctor"
PAGE = ROOT / "docs" / "how-to" / "find-out-why-nothing-arrives.md"
BEE = '[backends.bee]\ntype = "honeycomb"\nregion = "eu"\napi_key = "the-right-key"\n'


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("code", VERDICTS)
def test_every_verdict_can_be_reached_and_is_tested(code: str) -> None:
    """No word in the table that the doctor never says, and none that no test has heard."""
    modules = [path for path in SOURCE.glob("*.py") if path.name != "verdicts.py"]
    assert code in (FINE, "off") or any(code in strings(path) for path in modules)
    assert any(code in strings(path) for path in HERE.glob("test_*.py"))


def test_every_code_that_is_given_is_a_verdict() -> None:
    """The doctor's source gives no code that the table doesn't explain."""
    given_codes = {
        node.args[0].value
        for path in SOURCE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") == "Trouble"
        and isinstance(node.args[0], ast.Constant)
    }
    assert given_codes
    assert given_codes <= VERDICTS.keys()


def test_the_room_knows_nothing_of_the_command_line() -> None:
    """It answers with plain values; what prints them is another's."""
    code = (
        "import sys, ajolo_fanout.doctor.checkup, ajolo_fanout.doctor.surroundings\n"
        "loaded = {'click', 'rich', 're2', 'grpc', 'ajolo_fanout.testing'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


def test_the_page_explains_every_verdict() -> None:
    """In the order of the code, in its words."""
    rows = re.findall(r"^\| `([a-z-]+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    assert [row for row in rows if row[0] in VERDICTS] == list(VERDICTS.items())


def test_the_page_names_every_check() -> None:
    """Scripts look for them by name."""
    called = [
        node
        for path in SOURCE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Check"
    ]
    checks = {node.args[0].value for node in called if isinstance(node.args[0], ast.Constant)}
    assert len(checks) > 15
    page = PAGE.read_text()
    assert [name for name in sorted(checks | set(_ADVICE.values())) if f"`{name}`" not in page] == []


failing = st.lists(st.sampled_from([code for code in VERDICTS if code not in (FINE, "off")]))


@given(failing, st.randoms())
def test_of_several_findings_the_one_that_explains_most_is_the_verdict(
    codes: list[str], random: object
) -> None:
    """Whatever order they were found in."""
    checks = [Check("a", "failed", code, code=code) for code in codes] + [Check("span", "ok", "taken")]
    expected = next((code for code in VERDICTS if code in codes), FINE)
    random.shuffle(checks)  # type: ignore[attr-defined]
    assert conclude("b", "otlp", "http://x", checks).verdict == expected


# -- time --------------------------------------------------------------------------------------------------


def test_a_check_that_never_ends_is_named_when_the_time_is_over() -> None:
    """Here it hangs outside of any time limit: in the place of a file system, or of a library."""
    end = threading.Event()
    with FakeBackend("honeycomb", inputs={"region": "eu", "api_key": "the-right-key"}) as bee:
        to_fake = hosts({"api.eu1.honeycomb.io": bee.endpoint})

        def route(url: str) -> str:
            if url.endswith("/1/auth"):
                end.wait(60)
            return to_fake(url)

        started = time.monotonic()
        found = diagnosed(BEE, route=route, seconds=5)
        took = time.monotonic() - started
        end.set()
    assert found.verdict == "unfinished"
    assert one(found, "clock").said == "still without an answer after 5 s"
    assert one(found, "connect").status == "ok", "what was found before is kept"
    assert took < 30


def test_a_mistake_of_the_doctors_own_is_one_checks() -> None:
    """No traceback, and the other checks go on."""
    with FakeBackend("honeycomb", inputs={"region": "eu", "api_key": "the-right-key"}) as bee:
        to_fake = hosts({"api.eu1.honeycomb.io": bee.endpoint})

        def route(url: str) -> str:
            if url.endswith("/1/auth"):
                raise ZeroDivisionError("the-right-key")
            return to_fake(url)

        found = diagnosed(BEE, route=route)
    assert found.verdict == "doctor-failed"
    assert "ZeroDivisionError at" in found.said
    assert "the-right-key" not in str(found.to_dict())
    assert one(found, "span").status == "ok"


def test_a_call_that_takes_too_long_is_left_behind() -> None:
    """A name server, a file system: what has no time limit of its own."""
    end = threading.Event()
    with pytest.raises(TimeoutError, match="no answer in"):
        limited(lambda: end.wait(60), 0.05)
    quick = {"one": lambda: 1, "slow": lambda: end.wait(60), "broken": lambda: 1 / 0, "two": lambda: 2}
    assert side_by_side(quick, 2) == {"one": 1, "two": 2}
    end.set()


def test_ctrl_c_in_the_instant_before_a_wait_ends_it_all_the_same() -> None:
    """As far as Python goes, a signal that another thread gets: it wakes the main thread from no wait either."""

    def interrupt() -> None:
        hanging.wait_for_requests(1, 60)
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with OtlpServer("grpc", answer=Answer(hang=True)) as hanging:
            threading.Thread(target=interrupt, daemon=True).start()
            text = backend(hanging.endpoint, "grpc", 'timeout = "1h"')
            started = time.monotonic()
            with pytest.raises(KeyboardInterrupt):
                diagnosed(text)
            assert time.monotonic() - started < SECONDS / 2
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_time_at_all_is_told_as_that() -> None:
    with OtlpServer() as server:
        found = diagnosed(f'[backends.b]\ntype = "otlp"\nendpoint = "{server.endpoint}"\n', seconds=1e-9)
    assert found.verdict == "unfinished"
    assert found.next == "give it more with --timeout"


# -- secrets -----------------------------------------------------------------------------------------------

FILE = """
[backends.datadog]
type = "datadog"
site = "eu"
api_key = "${MARKED}"
[backends.langfuse]
type = "langfuse"
endpoint = "URL"
public_key = "pk-lf-public"
secret_key = { file = "langfuse.key" }
[backends.any]
type = "otlp"
endpoint = "URL/any/path"
headers = { authorization = "Bearer ${MARKED}", x-token = "${MARKED}" }
[backends.grpc]
type = "otlp"
protocol = "grpc"
endpoint = "GRPC"
headers = { authorization = "Bearer ${MARKED}" }
"""


_PLAIN_FORMS = 7  # those of the key itself, without a user before it


def echo(request: ReceivedRequest) -> Answer:
    """Refuses, and quotes what it was sent: as it came, and the key in every form."""
    headers = [text for text in request.headers.values() if "MARKED" in text or "Basic" in text]
    return Answer(status=403, message=" | ".join([*headers, *islice(forms(SECRET), _PLAIN_FORMS)]))


def test_no_secret_is_told_though_every_server_repeats_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are used in requests, and nowhere else."""
    monkeypatch.setenv("MARKED", SECRET)
    (tmp_path / "langfuse.key").write_text(SECRET + "\n")
    steps: list[str] = []
    with OtlpServer(answer=echo) as server, OtlpServer("grpc", answer=echo) as grpc:
        text = FILE.replace("URL", server.endpoint).replace("GRPC", grpc.endpoint)
        route = hosts({"": server.endpoint, "127.0.0.1": server.endpoint})

        def to_server(url: str) -> str:
            return url if url.startswith("http://127.0.0.1") else route(url)

        found = examined(
            text, folder=tmp_path, route=to_server, find_site=True, tell=lambda step: steps.append(repr(step))
        )
        sent = {request.headers.get("dd-api-key") for request in server.requests}
    assert SECRET in sent, "the key was used"
    assert [one.verdict for one in found.backends] == ["key-refused"] * 4
    assert any("***" in check.said for one in found.backends for check in one.checks)
    for shown in (json.dumps(found.to_dict()), repr(found), "\n".join(steps)):
        assert_clean(shown)
