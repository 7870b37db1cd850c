"""Datadog: keys are good on one site, there are two intakes, and a valid key proves neither."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import attrs
import pytest
from tests.doctor.support import diagnosed, hosts, one

from ajolo_fanout.doctor.examiner import Route
from ajolo_fanout.doctor.findings import Diagnosis
from ajolo_fanout.testing import Answer, FakeBackend

KEY = "0123456789abcdef-datadog"
EU = f'[backends.dd]\ntype = "datadog"\nsite = "eu"\napi_key = "{KEY}"\n'


@attrs.frozen
class Vendor:
    """The hosts of a vendor that knows the key on some of its sites."""

    otlp: FakeBackend
    api: FakeBackend
    elsewhere: FakeBackend
    home: FakeBackend
    route: Route

    def diagnosed(self, text: str = EU, **options: object) -> Diagnosis:
        return diagnosed(text, route=self.route, **options)


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """EU's two hosts; US1, which knows the same key; and every other site, none of which does."""
    with ExitStack() as stack:

        def fake(key: str, intake: str = "otlp") -> FakeBackend:
            inputs = {"api_key": key, "intake": intake}
            return stack.enter_context(FakeBackend("datadog", inputs=inputs))

        otlp, api, elsewhere, home = fake(KEY), fake(KEY, "api"), fake("none-such"), fake(KEY)
        sites = ("us3.", "us5.", "ap1.", "ap2.", "uk1.")
        others = {f"api.{site}datadoghq.com": elsewhere.endpoint for site in sites}
        government = dict.fromkeys(("api.ddog-gov.com", "api.us2.ddog-gov.com"), elsewhere.endpoint)
        served = {
            "otlp.datadoghq.eu": otlp.endpoint,
            "api.datadoghq.eu": api.endpoint,
            "api.datadoghq.com": home.endpoint,
        }
        yield Vendor(otlp, api, elsewhere, home, hosts({**served, **others, **government}))


def of_another_org(*servers: FakeBackend) -> None:
    """What they hold is refused: the key belongs to another site."""
    for server in servers:
        server.answer = Answer(status=403, message='{"errors":["Forbidden"]}')


def test_a_good_key_is_sent_to_both_intakes(vendor: Vendor) -> None:
    found = vendor.diagnosed()
    assert found.verdict == "fine"
    assert one(found, "credentials").said.startswith("The key belongs to this site")
    assert len(vendor.otlp.spans) == len(vendor.api.spans) == 1
    assert '`intake = "api"` takes spans: taken' in one(found, "intake").said
    assert vendor.elsewhere.requests == vendor.home.requests == []


def test_a_key_of_another_site_is_found_there_when_asked(vendor: Vendor) -> None:
    of_another_org(vendor.otlp, vendor.api)
    found = vendor.diagnosed(find_site=True)
    assert found.verdict == "wrong-site"
    assert found.said == "the credentials are valid on US1, this is EU"
    assert found.next == 'set `site = "us1"`'


def test_without_being_asked_the_key_is_shown_to_no_other_site(vendor: Vendor) -> None:
    of_another_org(vendor.otlp, vendor.api)
    found = vendor.diagnosed()
    assert found.verdict == "key-refused"
    assert "--find-site asks the vendor's other sites" in found.next
    assert "ajolo-fanout doctor" not in found.next
    assert vendor.home.requests == vendor.elsewhere.requests == []


def test_a_key_that_is_good_nowhere_is_wrong_itself(vendor: Vendor) -> None:
    of_another_org(vendor.otlp, vendor.api, vendor.home)
    found = vendor.diagnosed(find_site=True)
    assert found.verdict == "key-refused"
    check = one(found, "site")
    assert check.said.startswith("valid at none of us1, us3, us5, ap1, ap2, uk1, us1_fed, us2_fed")
    assert "no clear answer" not in check.said
    assert check.next == "the key is wrong or revoked: make a new one"


def test_sites_that_give_no_answer_are_named(vendor: Vendor) -> None:
    of_another_org(vendor.otlp, vendor.api, vendor.home)
    vendor.elsewhere.answer = Answer(status=500)
    found = vendor.diagnosed(find_site=True)
    assert "(us3, us5, ap1, ap2, uk1, us1_fed, us2_fed gave no clear answer)" in one(found, "site").said


def test_a_key_only_the_other_intake_takes(vendor: Vendor) -> None:
    """The key is valid, and its own intake knows nothing of it."""
    vendor.otlp.answer = Answer(status=404)
    found = vendor.diagnosed()
    assert one(found, "credentials").status == "ok"
    assert (found.verdict, found.next) == ("wrong-intake", 'set `intake = "api"`')


def test_an_intake_that_is_busy_is_not_the_wrong_one(vendor: Vendor) -> None:
    vendor.otlp.answer = Answer(status=503)
    found = vendor.diagnosed()
    assert found.verdict == "busy"
    assert one(found, "intake").status == "ok"


def test_the_other_intake_is_judged_by_its_answer_whoever_sends(vendor: Vendor) -> None:
    """A stock exporter can't tell, and the question is where spans arrive."""
    vendor.otlp.answer = Answer(status=404)
    vendor.api.path = "/nothing"
    found = vendor.diagnosed(EU + 'exporter = "stock"\n')
    assert one(found, "intake").said.startswith('`intake = "api"` doesn\'t take it either: 404')


def test_the_older_recipes_intake_that_is_not_there(vendor: Vendor) -> None:
    vendor.api.path = "/nothing"
    found = vendor.diagnosed(EU + 'intake = "api"\n')
    assert (found.verdict, found.next) == ("wrong-intake", 'set `intake = "otlp"`')
    assert one(found, "span").code == "wrong-path"


def test_when_neither_intake_takes_the_span_the_first_answer_counts(vendor: Vendor) -> None:
    vendor.otlp.answer = Answer(status=404)
    vendor.api.path = "/nothing"
    found = vendor.diagnosed()
    assert found.verdict == "wrong-path"
    assert one(found, "intake").status == "warning"


def test_a_self_test_that_cannot_be_reached_is_no_verdict(vendor: Vendor) -> None:
    """The span decides: a firewall may let through the intake alone."""
    route = hosts({"otlp.datadoghq.eu": vendor.otlp.endpoint})
    found = diagnosed(EU, route=route)
    assert found.verdict == "fine"
    check = one(found, "credentials")
    assert check.status == "warning"
    assert "refused" in check.said


def test_langfuse_has_regions_that_are_found_alike() -> None:
    """Whatever vendor has sites, as its profile says."""
    keys = {"public_key": "pk-lf-1", "secret_key": "sk-lf-1"}
    text = '[backends.lf]\ntype = "langfuse"\nregion = "eu"\npublic_key = "pk-lf-1"\nsecret_key = "sk-lf-1"\n'
    with FakeBackend("langfuse", inputs=keys) as us, FakeBackend("langfuse") as eu:
        of_another_org(eu)
        route = hosts({"cloud.langfuse.com": eu.endpoint, "us.cloud.langfuse.com": us.endpoint})
        found = diagnosed(text, route=route, find_site=True)
    assert (found.verdict, found.next) == ("wrong-site", 'set `region = "us"`')
    assert "US, this is EU" in found.said


def test_an_endpoint_of_ones_own_has_no_other_sites() -> None:
    with FakeBackend("langfuse", inputs={"public_key": "pk-lf-1", "secret_key": "other"}) as own:
        text = (
            f'[backends.lf]\ntype = "langfuse"\nendpoint = "{own.endpoint}"\n'
            'public_key = "pk-lf-1"\nsecret_key = "sk-lf-1"\n'
        )
        found = diagnosed(text, find_site=True)
    assert found.verdict == "key-refused"
    assert "--find-site" not in found.next
    assert one(found, "site").status == "skipped"
