"""Files of `tls` that can't be used are found in the plan: with their line, offline, before any request."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from tests.plan.support import plan_of, problems_of

FILE = """
service.name = "agent"
[backends.one]
type = "otlp"
endpoint = "https://collector.example.com"
tls.ca_file = "ca.pem"
tls.cert_file = "cert.pem"
tls.key_file = "key.pem"
"""

AUTHORITY = trustme.CA()
ONE, TWO = AUTHORITY.issue_cert("one.example"), AUTHORITY.issue_cert("two.example")
CA = AUTHORITY.cert_pem.bytes()
CERT, KEY = ONE.cert_chain_pems[0].bytes(), ONE.private_key_pem.bytes()
OTHER_KEY = TWO.private_key_pem.bytes()
LINES = {"ca_file": 7, "cert_file": 8, "key_file": 9}


def encrypted(key: bytes) -> bytes:
    loaded = serialization.load_pem_private_key(key, None)
    how = serialization.BestAvailableEncryption(b"hush")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def damaged(pem: bytes) -> bytes:
    lines = pem.splitlines(keepends=True)
    return b"".join([*lines[:3], b"!!!!\n", *lines[4:]])


@pytest.fixture
def problems(tmp_path: Path) -> Callable[..., list[tuple[str, int | None, str]]]:
    """The errors of the file with these contents; what isn't given is right."""

    def found(ca: bytes = CA, cert: bytes = CERT, key: bytes = KEY) -> list[tuple[str, int | None, str]]:
        for name, content in (("ca", ca), ("cert", cert), ("key", key)):
            (tmp_path / f"{name}.pem").write_bytes(content)
        errors = problems_of(FILE, path=tmp_path / "tracing.toml")
        return [(one.key.rpartition(".")[2], one.line, one.message) for one in errors]

    return found


def test_files_that_fit_are_fine(problems: Callable[..., object]) -> None:
    assert problems() == []
    assert problems(ca=CA + b"\nsome words\n" + CA) == []


@pytest.mark.parametrize(
    ("wrong", "key", "said"),
    [
        ({"ca": b"nothing"}, "ca_file", "holds no certificate as PEM"),
        ({"ca": b"\x00\xff" * 9}, "ca_file", "holds no certificate as PEM"),
        ({"ca": ssl.PEM_cert_to_DER_cert(CA.decode())}, "ca_file", "openssl x509 -inform der -in ca.pem"),
        ({"ca": KEY}, "ca_file", "holds a private key, and no certificate"),
        ({"ca": damaged(CA)}, "ca_file", "can't be read"),
        ({"ca": CA[: len(CA) // 2]}, "ca_file", "can't be read"),
        ({"cert": b"nothing"}, "cert_file", "holds no certificate as PEM"),
        ({"cert": KEY}, "cert_file", "holds a private key, and no certificate"),
        ({"cert": damaged(CERT)}, "cert_file", "can't be read"),
        ({"key": CERT}, "key_file", "holds a certificate, and no private key"),
        ({"key": b"\x30\x82"}, "key_file", "openssl pkey -inform der -in key.pem"),
        ({"key": encrypted(KEY)}, "key_file", "without a passphrase"),
        ({"key": OTHER_KEY}, "key_file", "is not that of the certificate"),
    ],
)
def test_each_flaw_is_one_error_on_its_line(
    wrong: dict[str, bytes], key: str, said: str, problems: Callable[..., list[tuple[str, int, str]]]
) -> None:
    [(found, line, message)] = problems(**wrong)
    assert (found, line) == (key, LINES[key])
    assert said in message
    assert "PRIVATE KEY-----\n" not in message, "nothing of a key is shown"


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_bytes(KEY + CERT)
    text = FILE.replace('tls.ca_file = "ca.pem"\n', "").replace("cert.pem", "both.pem")
    assert problems_of(text.replace("key.pem", "both.pem"), path=tmp_path / "tracing.toml") == []


def test_where_nothing_is_encrypted_they_are_not_looked_at(tmp_path: Path) -> None:
    """That they do nothing is a warning already."""
    for name in ("ca", "cert", "key"):
        (tmp_path / f"{name}.pem").write_bytes(b"x")
    plan = plan_of(FILE.replace("https", "http"), path=tmp_path / "tracing.toml")
    assert [one.code for one in plan.warnings] == ["tls"]
