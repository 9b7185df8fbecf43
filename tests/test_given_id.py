"""The id a server gives a letter instead of ours: what its answers tell, and what they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqr_mailbot.domain.given_id import comparable, id_given

SES = "0100018f6e2c1a2b-1a2b3c4d-1234-5678-9abc-def012345678-000000"
OUTLOOK = "<DM6PR11MB4457A1B2@DM6PR11MB4457.namprd11.prod.outlook.com>"


@pytest.mark.parametrize(
    ("reply", "message_id"),
    [
        (f"250 Ok {SES}", f"<{SES}@amazonses.com>"),  # Amazon SES
        (f"250 2.0.0 OK {SES}", f"<{SES}@amazonses.com>"),
        (f"250 Ok {SES.upper()}", f"<{SES}@amazonses.com>"),
        (f"250 2.0.0 OK {OUTLOOK} [Hostname=DM6PR11MB4457.namprd11.prod.outlook.com]", OUTLOOK),
        (f"250 2.6.0 {OUTLOOK} [InternalId=123, Hostname=x.prod.outlook.com] 9876 bytes Queued mail", OUTLOOK),
        (f"250 2.6.0 {OUTLOOK} {OUTLOOK} Queued mail for delivery", OUTLOOK),
        ("250 2.0.0 OK: queued as <202606011542.12345678901@smtp-relay.mailin.fr>",
         "<202606011542.12345678901@smtp-relay.mailin.fr>"),  # Brevo
        # no id, or not certainly one
        ("250 2.0.0 OK 1699000000 a1-20020a1709029f8100b001 - gsmtp", None),  # Gmail keeps ours
        ("250 2.0.0 Ok: queued as 4QXYZ12345z1", None),  # Postfix: the queue's name
        ("250 OK id=1abCDe-0001AB-2C", None),  # Exim
        ("250 Ok: queued as Wr4S1abcSDeqTyu_kXPmLg", None),  # SendGrid
        ("250 ok 1717256520 qp 12345", None),  # qmail
        ("250 ok", None),
        ("250", None),
        ("", None),
        ("250 Accepted for <clara@correo.test>", None),  # anybody could write that as an id
        ("250 Accepted for <notificacionesjudiciales@rama.test>", None),
        ("250 <pqr2026.aaaaaaaaaaa@a.test> replaces <pqr2026.bbbbbbbbbbb@a.test>", None),  # which?
        (f"250 Ok {SES[:-2]}", None),
        (f"250 Ok {SES} and more", None),
        (f"451 4.3.0 {OUTLOOK} later", None),
        (f"250 {OUTLOOK[:-1]}\r\nBcc: x@y.test>", None),
    ],
)  # fmt: skip
def test_what_an_answer_names(reply: str, message_id: str | None) -> None:
    assert id_given(reply) == message_id


@pytest.mark.parametrize(
    ("said", "as_compared"),
    [
        (f"<{SES}@email.amazonses.com>", f"<{SES}@amazonses.com>"),
        (f"<{SES}@eu-west-1.amazonses.com>", f"<{SES}@amazonses.com>"),
        (f"<{SES}@amazonses.com>", f"<{SES}@amazonses.com>"),
        (f"<{SES}@amazonses.com.otro.test>", f"<{SES}@amazonses.com.otro.test>"),
        (f"<{SES}@otroamazonses.com>", f"<{SES}@otroamazonses.com>"),
        ("<x@email.amazonses.com>", "<x@email.amazonses.com>"),
        (OUTLOOK, OUTLOOK),
    ],
)
def test_ids_are_compared_by_what_is_certain(said: str, as_compared: str) -> None:
    assert comparable(said) == as_compared


@given(st.text(max_size=200))
def test_any_answer(reply: str) -> None:
    found = id_given(f"250 {reply}")
    assert found is None or (found.isprintable() and found.startswith("<") and found.endswith(">"))
