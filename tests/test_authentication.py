"""Authentication-Results in the shapes that servers write, and in those that attackers write."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office import mail

from pqr_mailbot.domain.authentication import Authentication, authentication

GOOGLE = (
    "mx.google.com; dkim=pass header.i=@correo.test header.s=s1 header.b=Ab3; spf=pass (google.com: domain of "
    "clara@correo.test designates 192.0.2.1 as permitted sender) smtp.mailfrom=clara@correo.test; "
)
MICROSOFT = (
    "spf={} (sender IP is 192.0.2.1) smtp.mailfrom=correo.test; dkim=none (message not signed) header.d=none;"
    "dmarc={} action={} header.from=correo.test;compauth=fail reason=000"
)
TRUSTED = ("mx.google.com", "microsoft", "mx.oficina.test")


def read(*values: str) -> Authentication:
    headers = tuple(("authentication-results", value) for value in values)
    message = mail("clara@correo.test")
    return authentication(type(message)(**{**_fields(message), "headers": headers}), TRUSTED)


def _fields(message: object) -> dict[str, object]:
    return {name: getattr(message, name) for name in message.__slots__}  # type: ignore[attr-defined]


FORGED: list[tuple[str, str, bool]] = [
    ("Google, reject", GOOGLE + "dmarc=fail (p=REJECT sp=REJECT dis=REJECT) header.from=correo.test", True),
    ("Google, quarantine", GOOGLE + "dmarc=fail (p=QUARANTINE dis=NONE) header.from=correo.test", True),
    ("Google, none", GOOGLE + "dmarc=fail (p=NONE sp=NONE dis=NONE) header.from=correo.test", False),
    ("Google, pass", GOOGLE + "dmarc=pass (p=REJECT) header.from=correo.test", False),
    ("Microsoft, reject overridden", MICROSOFT.format("fail", "fail", "oreject"), True),
    ("Microsoft, quarantine", MICROSOFT.format("fail", "fail", "quarantine"), True),
    ("Microsoft, none", MICROSOFT.format("fail", "fail", "none"), False),
    ("Microsoft, best guess", MICROSOFT.format("none", "bestguesspass", "none"), False),
    ("a property", "mx.oficina.test; dmarc=fail policy.published-domain-policy=reject header.from=correo.test", True),
    ("the policy is not said", "mx.oficina.test; dmarc=fail header.from=correo.test", True),
    ("with a version", "mx.oficina.test 1; dmarc=fail (p=reject) header.from=correo.test", True),
    ("upper case", "MX.Oficina.Test; DMARC=FAIL (P=REJECT) header.from=correo.test", True),
    ("temporary error", "mx.oficina.test; dmarc=temperror header.from=correo.test", False),
    ("no findings", "mx.oficina.test; none", False),
    ("only spf fails", "mx.oficina.test; spf=fail smtp.mailfrom=correo.test", False),
    ("another server", "mx.otro.test; dmarc=fail (p=reject) header.from=correo.test", False),
    ("no header", "", False),
    ("a comment that plays a finding", "mx.oficina.test; spf=none (; dmarc=fail (p=reject))", False),
    ("quotes that play a finding", 'mx.oficina.test; spf=none reason="; dmarc=fail (p=reject)"', False),
]


@pytest.mark.parametrize(("case", "value", "forged"), FORGED, ids=[case for case, _, _ in FORGED])
def test_forged(case: str, value: str, forged: bool) -> None:
    assert read(value).forged() is forged


VOUCHED: list[tuple[str, str, str, bool]] = [
    ("dmarc", "mx.oficina.test; dmarc=pass header.from=correo.test", "clara@correo.test", True),
    ("dkim", "mx.oficina.test; dkim=pass header.d=correo.test", "clara@correo.test", True),
    ("dkim by identity", "mx.oficina.test; dkim=pass header.i=@correo.test", "clara@correo.test", True),
    ("spf", "mx.oficina.test; spf=pass smtp.mailfrom=clara@correo.test", "clara@correo.test", True),
    ("a subdomain signs", "mx.oficina.test; dkim=pass header.d=mail.correo.test", "clara@correo.test", True),
    ("somebody else signs", "mx.oficina.test; dkim=pass header.d=malo.test", "clara@correo.test", False),
    ("the same ending", "mx.oficina.test; dkim=pass header.d=malcorreo.test", "clara@correo.test", False),
    ("a top-level domain signs", "mx.oficina.test; dkim=pass header.d=test", "clara@correo.test", False),
    ("dkim fails", "mx.oficina.test; dkim=fail header.d=correo.test", "clara@correo.test", False),
    ("another server", "mx.malo.test; dmarc=pass header.from=correo.test", "clara@correo.test", False),
    ("a quoted local part", 'mx.oficina.test; spf=pass smtp.mailfrom="x@correo.test"@malo.test', "clara@correo.test",
     False),
    ("a quoted finding", 'mx.oficina.test; spf=pass smtp.mailfrom="smtp.mailfrom=correo.test"@malo.test',
     "clara@correo.test", False),
    ("spf, but dmarc fails", "mx.oficina.test; spf=pass smtp.mailfrom=correo.test; dmarc=fail (p=none) "
     "header.from=correo.test", "clara@correo.test", False),
    ("Microsoft", MICROSOFT.format("pass", "pass", "none"), "clara@correo.test", True),
]  # fmt: skip


@pytest.mark.parametrize(("case", "value", "address", "vouched"), VOUCHED, ids=[case for case, *_ in VOUCHED])
def test_vouched_for(case: str, value: str, address: str, vouched: bool) -> None:
    assert read(value).vouches_for(address) is vouched


def test_only_the_topmost_header_counts() -> None:
    """What stands below it may have come with the mail."""
    bad, good = (f"mx.oficina.test; dmarc={outcome} header.from=correo.test" for outcome in ("fail", "pass"))
    assert read(bad, good).forged()
    assert not read(bad, good).vouches_for("clara@correo.test")
    assert read("mx.otro.test; none", good) == Authentication()


def test_without_a_trusted_server_nothing_is_believed() -> None:
    message = mail(headers={"Authentication-Results": GOOGLE + "dmarc=fail (p=reject)"})
    assert authentication(message, ()) == Authentication()


@given(st.text(alphabet='mx.oficina;tes=("\\) dmarcfilp\t', max_size=300))
def test_nothing_raises_and_nothing_is_made_up(value: str) -> None:
    found = read("mx.oficina.test; " + value)
    assert found.forged() is False or "dmarc" in value
