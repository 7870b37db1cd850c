"""The page of a preview: in a real browser, and as a text that a hostile span can do nothing to."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ajolo_fanout.cli.main import cli
from ajolo_fanout.config.document import parse
from ajolo_fanout.plan.resolve import resolve
from ajolo_fanout.replay import page
from ajolo_fanout.replay.page import render
from ajolo_fanout.replay.recording import load_spans, recorded_agents
from ajolo_fanout.replay.replay import replay
from ajolo_fanout.testing import recorded_spans, wait_for

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">'\"><svg onload=alert(1)>{{7*7}}"
SECRET = "5500 0055 5555 5559"
CONFIG = """schema = 1
[service]
name = "x"
[backends.first]
type = "console"
select.exclude = [{ name = "GET *" }]
redaction.content = "drop"
redaction.detect = ["credit_card"]
[backends.second]
type = "console"
redaction.drop = ["gen_ai.prompt", "note"]
"""
TRACE = "0af7651916cd43dd8448eb211c80319c"


def _recording(folder: Path, name: str, attributes: dict[str, str]) -> Path:
    spans = [
        {
            "traceId": TRACE,
            "spanId": f"{number:016x}",
            **({"parentSpanId": f"{1:016x}"} if number > 1 else {}),
            "name": label,
            "startTimeUnixNano": str(10**18 + number),
            "endTimeUnixNano": str(10**18 + 10**9),
            "attributes": [{"key": key, "value": {"stringValue": text}} for key, text in attributes.items()],
            "events": [{"name": name, "attributes": [{"key": name, "value": {"stringValue": name}}]}],
        }
        for number, label in enumerate(("agent", name, "GET /health"), 1)
    ]
    path = folder / "spans.json"
    scope = {"name": name, "version": name}
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"scope": scope, "spans": spans}]}]})
    path.write_text(text, encoding="utf-8")
    return path


def _page(folder: Path, name: str = HOSTILE, attributes: dict[str, str] | None = None) -> str:
    given_ones = {"gen_ai.prompt": "a secret recipe", "note": SECRET, name: name}
    recorded = load_spans(_recording(folder, name, given_ones if attributes is None else attributes))
    plan = resolve(parse(CONFIG, "tracing.toml", folder / "tracing.toml"), {})
    return render(replay(plan, recorded.spans), recorded)


class _Parsed(html.parser.HTMLParser):
    """Every element with its attributes, and what is in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in = tag

    def handle_data(self, data: str) -> None:
        if self._in in ("script", "style"):
            self.raw[self._in] = self.raw.get(self._in, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._in = ""

    @property
    def shape(self) -> list[tuple[str, list[str]]]:
        return [(tag, sorted(attributes)) for tag, attributes in self.found]


def test_the_policy_allows_this_script_and_style_and_nothing_else(tmp_path: Path) -> None:
    parsed = _Parsed(_page(tmp_path))
    [policy] = [
        one["content"] for tag, one in parsed.found if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    for kind in ("script", "style"):
        digest = base64.b64encode(hashlib.sha256(parsed.raw[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert not any(
        {"src", "href", "style", "onload", "onerror", "onclick"} & one.keys() for _, one in parsed.found
    )


def test_a_page_holds_no_more_than_what_its_backends_get(tmp_path: Path) -> None:
    """What the one redacts and the other gets is the other's alone; what neither gets is nowhere."""
    text = _page(tmp_path)
    assert "secret recipe" not in text
    assert SECRET not in text
    assert "[credit_card]" in text
    assert "redacted: content (tracing.toml:7)" in text
    assert "redacted: drop (tracing.toml:11)" in text


def test_values_that_go_together_are_counted(tmp_path: Path) -> None:
    """`allow` removes what it doesn't name without naming it."""
    text = CONFIG.replace('redaction.drop = ["gen_ai.prompt", "note"]', 'redaction.allow = ["kept"]')
    recorded = load_spans(_recording(tmp_path, "n", {"kept": "1", "b": "2", "c": "3", "d": "4"}))
    made = render(replay(resolve(parse(text, "tracing.toml"), {}), recorded.spans), recorded)
    assert "3 values redacted: allow (tracing.toml:11)" in made


def test_a_page_of_one_backend_holds_nothing_of_the_others(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "tracing.toml"
    prompt = str(recorded_spans("ok-capture")[0].attributes["gen_ai.prompt"])
    words = re.findall(r"What is[\w ]+", prompt)
    assert words
    for backend, there in (("langfuse", True), ("datadog", False)):
        out = tmp_path / f"{backend}.html"
        ran = CliRunner().invoke(cli, ["preview", str(example), "--backend", backend, "--html", str(out)])
        assert ran.exit_code == 0, ran.output
        assert ran.stdout == f"{out}: 67 spans at {backend}\n"
        assert (words[0] in out.read_text(encoding="utf-8")) is there


def test_the_same_input_gives_the_same_page(tmp_path: Path) -> None:
    """But for the id of the process that each run would be."""
    one, other = (re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "", _page(tmp_path)) for _ in range(2))
    assert one == other


@settings(max_examples=max(20, settings.default.max_examples // 5))
@given(
    st.text(max_size=40) | st.sampled_from([HOSTILE, "<b>", "&lt;", "--><script>", "]]>", "\u2028</style>"])
)
def test_a_spans_text_never_becomes_markup(text: str) -> None:
    """Whatever it says, the page has the same elements with the same attributes."""
    with tempfile.TemporaryDirectory() as folder:
        name = text.encode("utf-8", "replace").decode()
        plain = _Parsed(_page(Path(folder), "n", {"n": "n"}))
        parsed = _Parsed(_page(Path(folder), name or "n", {name or "n": name}))
    assert parsed.shape == plain.shape
    assert parsed.raw == plain.raw


def test_a_page_of_many_spans_says_that_it_shows_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole traces, at least one."""
    recorded = recorded_agents()
    plan = resolve(parse(CONFIG, "tracing.toml"), {})
    for most, shown in ((1, 4), (10, 8), (67, 67)):
        monkeypatch.setattr(page, "MOST", most)
        text = render(replay(plan, recorded.spans), recorded)
        assert text.count('<tr class="span') == shown
        assert (f"the first {shown} of 67 recorded Ajolopy spans" in text) is (shown < 67)


# In a browser.

CHROMIUM = ("chromium", "chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium with an empty profile."""
    missing = [name for name in CHROMIUM if shutil.which(name) is None]
    if missing:
        pytest.skip(f"no {' and '.join(missing)}: apt-get install -y chromium chromium-driver")
    webdriver = pytest.importorskip("selenium.webdriver", reason="pip install selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
        driver = webdriver.Chrome(options=options, service=service)
        driver.set_page_load_timeout(60)
        try:
            yield driver
        finally:
            driver.quit()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Any:
    written = tmp_path / "page.html"
    written.write_text(_page(tmp_path), encoding="utf-8")
    browser.get(written.as_uri())
    return browser


def _all(browser: Any, selector: str) -> list[Any]:
    return [one for one in browser.find_elements("css selector", selector) if one.is_displayed()]


def _texts(browser: Any, selector: str) -> list[str]:
    return [one.text for one in _all(browser, selector)]


def _press(browser: Any, keys: str) -> None:
    browser.switch_to.active_element.send_keys(keys)


def test_it_renders_and_runs_nothing_of_a_spans_text(opened: Any) -> None:
    """Nothing is refused by the policy, nothing is fetched, and hostile names stand there as text."""
    assert opened.title == "Preview of tracing.toml"
    assert len(_all(opened, "tr.span")) == 3
    names = _texts(opened, ".open .name")
    assert names == ["agent", HOSTILE, "GET /health"]
    assert [text.replace("\n", " ") for text in _texts(opened, "td.cell")] == [
        "▧ 2 redacted",
        "▧ 2 redacted",
        "▧ 2 redacted",
        "▧ 2 redacted",
        "⊘ filtered",
        "▧ 2 redacted",
    ]
    assert opened.find_elements("css selector", "img") == []
    assert opened.get_log("browser") == []
    fetched = opened.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert fetched == []
    assert SECRET not in opened.page_source
    assert "secret recipe" not in opened.page_source


def test_a_backends_column_is_switched_off_and_on(opened: Any) -> None:
    _all(opened, ".open")[0].click()
    assert len(_all(opened, "thead th.c0")) == 2
    width = opened.execute_script("return document.querySelector('.detail td').offsetWidth")
    toggle = _all(opened, ".toggle")[0]
    toggle.click()
    assert _all(opened, ".c0") == []
    assert len(_all(opened, "tr.span td.cell")) == 3
    assert toggle.get_attribute("aria-pressed") == "false"
    assert opened.execute_script("return document.querySelector('.detail td').offsetWidth") == width
    _press(opened, "1")
    assert len(_all(opened, "tr.span td.cell")) == 6


def test_search_leaves_what_fits(opened: Any) -> None:
    """Over names, values and rules, whether they are in sight or not."""
    _press_on(opened, "body", "/")
    assert opened.switch_to.active_element.get_attribute("id") == "search"
    _press(opened, "select.exclude[0]")
    wait_for(lambda: len(_all(opened, "tr.span")) == 1, 30, "one span is left")
    assert _texts(opened, ".open .name") == ["GET /health"]
    assert opened.find_element("id", "found").text == "1 of 3 spans"
    _press(opened, " nowhere")
    wait_for(lambda: not _all(opened, "tr.span"), 30, "none is left")
    assert "No span fits" in opened.find_element("id", "nothing").text
    _press(opened, "\ue00c")  # Escape
    wait_for(lambda: len(_all(opened, "tr.span")) == 3, 30, "all are back")


def test_the_keyboard_is_enough(opened: Any) -> None:
    _press_on(opened, "body", "j")
    _press(opened, "j")
    assert opened.switch_to.active_element.text.startswith("</script>")
    _press(opened, "\ue007")  # Enter
    [detail] = _all(opened, "tr.detail")
    assert "redacted: content (tracing.toml:7)" in detail.text
    assert "[credit_card]" in detail.text
    _press(opened, "k")
    assert opened.switch_to.active_element.text == "agent"
    _press(opened, "\ue00c")
    assert _all(opened, "tr.detail") == []
    opened.find_element("id", "expand").click()
    assert len(_all(opened, "tr.detail")) == 3


@pytest.mark.parametrize(("scheme", "light"), [("light", True), ("dark", False)])
def test_it_follows_the_readers_light_or_dark(opened: Any, scheme: str, light: bool) -> None:
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    ground = opened.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) > 128) is light


@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_narrow_and_wide(opened: Any, width: int) -> None:
    """No sideways scrolling, but of a span's own values."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        opened.find_element("id", "expand").click()
        assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    finally:
        opened.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def _press_on(browser: Any, selector: str, keys: str) -> None:
    browser.find_element("css selector", selector).send_keys(keys)
