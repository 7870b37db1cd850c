"""Data: what `redaction.detect` can find, one row a detector.

Adding one is adding a row: its patterns, and texts in which it is found and in which it isn't, which the
tests and the reference page read from here.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ajolo_fanout.steps.redaction import api_keys, checks, patterns
from ajolo_fanout.steps.redaction.patterns import Pattern

__all__ = ["DETECTORS", "Detector"]


@attrs.frozen
class Detector:
    """One thing that can be detected. It is replaced by its name in brackets.

    Attributes:
        name: As written in `redaction.detect`.
        description: One sentence for the reference page.
        patterns: Its forms.
        names: RE2 patterns for names of attributes and JSON keys that give their value away, each with a
            function that says whether a value is one.
        examples: Texts in which it is found.
        look_alikes: Texts in which it isn't.
        replace: What stands for what was found; None: the name in brackets. Where something else is found in
            the same place, that one's name stands there.
    """

    name: str
    description: str
    patterns: tuple[Pattern, ...]
    names: tuple[tuple[str, Callable[[str], bool]], ...] = ()
    examples: tuple[str, ...] = ()
    look_alikes: tuple[str, ...] = ()
    replace: Callable[[str], str] | None = None

    @property
    def replacement(self) -> str:
        """What stands in the secret's place."""
        return f"[{self.name}]"


DETECTORS: dict[str, Detector] = {
    row.name: row
    for row in (
        Detector(
            "email",
            "An e-mail address, also percent-encoded in a URL.",
            (patterns.EMAIL,),
            examples=(
                "alice@example.com",
                "write to bob.o'neil+trace@mail.example.co.uk, please",
                "https://example.com/login?user=carol%40example.org&next=/",
                "<dave_99@sub-domain.example.io>",
                "müller@bücher.example.de",
                "mailto:eve@example.museum?subject=hi",
                "an address in Punycode: x@xn--bcher-kva.example.xn--p1ai",
                "alice@例え.example",
                "日本alice@example.com日本",
                "alice%2540example.com",
                "alice&#64;example.com",
                "alice@10.20.example.com",
                "“alice@example.com”",
            ),
            look_alikes=(
                "logo@2x.png",
                "npm install @scope/package@1.2.3",
                "@types/node@22.10.1-beta.rc",
                "git@github.com:org/repo.git",
                "@app.get('/users')",
                "meet me @ noon",
                "user@localhost",
                "a@b",
            ),
        ),
        Detector(
            "phone",
            "A telephone number: international with +, North American, or national with a 0 and gaps.",
            (patterns.PHONE,),
            examples=(
                "+49 30 901820",
                "+1 (212) 555-0147",
                "call +442079460958 now",
                "(212) 555-0147",
                "212-555-0147",
                "1-800-555-0199",
                "212.555.0147",
                "020 7946 0958",
                "030/901820-15",
                "01 23 45 67 89",
                "0049 30 901820",
                "(030) 90 18 20",
                "tel:+442079460958",
                "Tel.:030 901820",
                "8 (912) 345-67-89",
                "Hauptstr. 5 030 901820",
            ),
            look_alikes=(
                "2024-11-23T10:15:30+01:00",
                "order 4500012345",
                "version 10.15.7",
                "EUR 12,345.67",
                "1795450533879494520",
                "2024-11-23",
                "10:15:30.123456",
                "3+12345678901",
                "0x00ff00ff",
                "pages 100-200",
                "12345678-90ab-cdef-1234-567890123456",
                "+12345678 points",
                "ticket #0502-9893",
                "ZIP 00990-1633",
                "3652 0610 6117 9003",
                "04 09 93 03 99 51 17",
                "f9 07 89 88 86 77 ab",
                "1,234,567.89",
            ),
        ),
        Detector(
            "credit_card",
            "A payment card's number: a known network's range and length, and a right Luhn sum.",
            (patterns.CARD,),
            examples=(
                "5500 0055 5555 5559",
                "4111111111111111",
                "card=4111-1111-1111-1111;",
                "3782 822463 10005",
                "6011000990139424",
                "3530111333300000",
                "30569309025904",
                "invoice 1234 4111 1111 1111 1111",
                "card_4012888888881881_x",
                "4111\u20131111\u20131111\u20131111",
                "4111\u20091111\u20091111\u20091111",
                '{"pan":"2223003122003222"}',
                "https://pay.example.com/?pan=6759649826438453&cvc=1",
                "日本4111111111111111日本",
            ),
            look_alikes=(
                "4111111111111112",
                "order 1234567890123456",
                "0.4111111111111111",
                "1795450533879494520",
                "0000000000000000",
                "41111111111111111111111111111111",
                "4111.1111.1111.1111",
                "EAN 4006381333931",
                "4bf92f3577b34da64111111111111111",
                "1795450533879494",
            ),
        ),
        Detector(
            "iban",
            "An International Bank Account Number: its country's length and a right checksum.",
            (patterns.IBAN,),
            examples=(
                "DE89 3704 0044 0532 0130 00",
                "GB82WEST12345698765432",
                "pay to FR14 2004 1010 0505 0001 3M02 606 THANKS",
                "NO9386011117947",
                "de89370400440532013000",
                "IBAN:CH9300762011623852957.",
                "De89 3704 0044 0532 0130 00",
                "?iban=LC55HEMM000100010012001200023015&x=1",
            ),
            look_alikes=(
                "DE88 3704 0044 0532 0130 00",
                "GB82WEST1234569876543",
                "XX89370400440532013000",
                "AB12CD34EF56GH78IJ90",
                "pi_ES92txXbOvKY7W8E4bqbJQIz",
            ),
        ),
        Detector(
            "ip",
            "An IPv4 or IPv6 address other than loopback and 0.0.0.0.",
            (patterns.IPV4, patterns.IPV6),
            examples=(
                "from 203.0.113.7",
                "http://198.51.100.23:8080/x",
                "[2001:db8::8a2e:370:7334]",
                "2001:0db8:85a3:0000:0000:8a2e:0370:7334",
                "fe80::1ff:fe23:4567:890a",
                "::ffff:203.0.113.7",
                "addr=10.1.2.3.",
                "client 198.51.100.23, port 443",
                "2001:db8::%eth0",
            ),
            look_alikes=(
                "127.0.0.1",
                "0.0.0.0",  # noqa: S104 - no binding, an example
                "version 1.2.3",
                "v1.2.3.4",
                "version 10.0.19045.3",
                "opentelemetry==1.45.2.1",
                "build 17.5.7.12",
                "mask 255.255.255.0",
                "x[5::4]",
                "2fea::8Qxi::38CA",
                "Chrome/120.0.0.0",
                "300.1.1.1",
                "1.2.3.4.5",
                "std::vector<int>",
                "10:15:30",
                "00:1a:2b:3c:4d:5e",
                "::1",
                "a::b",
            ),
        ),
        Detector(
            "us_ssn",
            "A United States Social Security number, with its gaps.",
            (patterns.SSN,),
            examples=("219-09-9999", "SSN: 219 09 9999.", "ssn=457-55-5462,", "219\u201109\u20119999"),
            look_alikes=(
                "000-12-3456",
                "666-12-3456",
                "912-12-3456",
                "219-00-9999",
                "219-09-0000",
                "219-09 9999",
                "2024-11-2345",
                "12345-6789",
                "1219-09-9999",
                "219-09-99991",
            ),
        ),
        Detector(
            "jwt",
            "A JSON Web Token.",
            (patterns.JWT,),
            examples=(
                "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THs",
                "Cookie: s=eyJ0eXAiOiJKV1QiLCJhbGciOiJub25lIn0.eyJhIjoxfQ.",
                "eyAiYWxnIjogIkhTMjU2IiB9.eyJzdWIiOiIxIn0.abcdefghijklmnop",
                '{"id_token":"eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJhIn0.c2ln"}',
            ),
            look_alikes=("eyJhbGciOiJIUzI1NiJ9", "eyJust.a.sentence", "eyJabcdefghijkl.one.two"),
        ),
        Detector(
            "api_key",
            "Common vendors' keys by their prefix, and what stands behind `api_key=`, `password=`, `Bearer`.",
            patterns.API_KEYS,
            names=(
                (api_keys.SECRET_NAMES, checks.looks_secret),
                (api_keys.PASSWORD_NAMES, checks.looks_like_a_password),
            ),
            examples=(
                *(row.example for row in api_keys.VENDOR_KEYS),
                "AKIA" + "QWERTYUIOPASDFGH",
                "ghp_" + "abcdEFGHijklMNOPqrstUVWXyzabcdEFGHij",
                "https://bot:pk-lf-" + "550e8400-e29b-41d4-a716-446655440000@example.com",
                "Authorization: Bearer mF_9.B5f-4.1JqM",
                "Authorization: ApiKey VnVhQ2ZHY0JDZGJrUW0tZTVhT3g6dWkybHAyYXhU",
                "Authorization: Basic dXNlcjpwYXNz",
                "DD_API_KEY=0123456789abcdef0123456789abcdef",
                "x-honeycomb-team: k8sJ2hd82hsk20dk3sAB",
                "password: hunter2",
                "run --token abcdef0123456789",
                "https://blob.example.com/x?sig=abc%2Bdef0123456789ghijkl",
                "authorization: Basic dXNlcjpwYXNzd29yZDE=",
                "api_key=0123abcd4567",
                '{"client_secret": "x9Kd83jdk2"}',
                "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                "https://example.com/v1?key=k8sJ2hd82hsk20dk3s",
                "password=correcthorse",
                '"password": "hunter2"',
                "x-api-key: 8f14e45fceea167a5a36dedd4bea2543",
            ),
            look_alikes=(
                "sk-loading-indicator-component",
                "task-0123456789abcdef0123",
                "max_tokens=12345678",
                "token: 12345678",
                "api_key=${OPENAI_API_KEY}",
                "api_key=YOUR_API_KEY",
                "api_key: required",
                "password: please choose one",
                "password = getpass.getpass()",
                "Login(password=self.password)",
                "api_key = get_secret_2()",
                "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
                "Basic arithmetic1234",
                "xoxb-your-token-goes-here",
                "password=***",
                "primary_key=order_items_by_customer",
                "cache?key=user_profile_page_header",
                "Bearer authentication is required here",
                "key=550e8400-e29b-41d4-a716-446655440000",
                "the secret: nobody knows",
                "AKIA is a prefix",
                "hf_hub_download",
            ),
        ),
        Detector(
            "private_key",
            "A private key in PEM or PGP armour, cut off ones included.",
            (patterns.PRIVATE_KEY,),
            examples=(
                "-----BEGIN RSA PRIVATE" + " KEY-----\nMIIEpAIBAAKCAQEA7bq\n-----END RSA PRIVATE KEY-----",
                "-----BEGIN PRIVATE" + " KEY-----\nMIIEvQIBADANBgkqhkiG9w0B",
                "-----BEGIN PGP PRIVATE" + " KEY BLOCK-----\nVersion: 1\n\nlQOYBF\n-----END PGP PRIVATE KEY",
            ),
            look_alikes=(
                "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG\n-----END PUBLIC KEY-----",
                "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIB\n-----END CERTIFICATE-----",
                "your PRIVATE KEY stays with you",
            ),
        ),
        Detector(
            "url_credentials",
            "User and password, or a token, in a URL; the rest of the URL stays.",
            (patterns.CREDENTIALS,),
            examples=(
                "postgres://app:s3cret@db.internal:5432/app",
                "https://:token@example.com/repo.git",
                "amqp://user:p@ss@broker/",
                "https://0123456789abcdef0123@sentry.example.com/1",
            ),
            look_alikes=(
                "https://example.com/@user",
                "http://localhost:8080/path?x=a@b",
                "ssh://git@example.com/repo.git",
                "https://example.com:8443/",
            ),
        ),
    )
}
"""By name, in the order of the documentation."""
