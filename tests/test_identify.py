"""Two keys: a clue to the case and a right to it. One line a case; most lines are somebody's bug report."""

from __future__ import annotations

from typing import Any

import pytest
from office import ANA, CLARA, DIEGO, POLICY, mail, ticket

from pqr_mailbot.domain.identify import KnownId, clues, identify
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.reference import find_references

REF, OTHER = "PQR-2026-000001", "PQR-2026-000002"
ACK, OLD, NOTICE, ALARM, THEIRS = "<ack@us>", "<old@us>", "<notice@us>", "<alarm@us>", "<m0@correo.test>"
KNOWN = {
    ACK: KnownId(REF, CLARA.address),
    OLD: KnownId(REF, "antes@correo.test"),
    NOTICE: KnownId(REF, ANA.address, internal=True),
    ALARM: KnownId(None, "sistemas@lohas.test", internal=True),
    THEIRS: KnownId(REF),
}
TICKETS = {REF: ticket(REF), OTHER: ticket(OTHER, customer=DIEGO)}


@pytest.mark.parametrize(
    ("sender", "subject", "answers", "trust", "joins", "linked"),
    [
        (CLARA, "Café", (), "newcomer", None, None),
        (CLARA, f"Re: [{REF}] Café", (), "customer", REF, None),
        (CLARA, "Re: Café", (ACK,), "customer", REF, None),
        (CLARA, "Re: Café", (THEIRS,), "customer", REF, None),  # answers their own first mail
        (CLARA, f"Re: [{OTHER}] Café", (ACK,), "customer", REF, None),  # our signed id is stronger than a subject
        (CLARA, f"[{OTHER}] y también [{REF}]", (), "customer", REF, None),  # of two references, the one they own
        ("antes@correo.test", "Re: Café", (OLD,), "addressed", REF, None),  # we wrote to that address
        ("x@guest.test", f"[{REF}]", (), "participant", REF, None),
        (DIEGO, f"[{REF}] hola", (), "stranger", None, REF),  # Zammad #5064
        (DIEGO, "Re: Café", (ACK,), "stranger", None, REF),  # a forwarded acknowledgement
        (CLARA, "Re: notificación", (NOTICE,), "customer", REF, None),
        (DIEGO, "Re: notificación", (NOTICE,), "stranger", None, REF),  # an agent forwarded our internal letter
        ("ana@lohas.test", "Re: notificación", (NOTICE,), "staff", REF, None),
        ("ana.ruiz@casa.test", f"[{REF}]", (), "staff", REF, None),
        ("gerencia@lohas.test", f"[{REF}]", (), "staff", REF, None),
        ("sistemas@lohas.test", "Re: alarma", (ALARM,), "staff", None, None),
        ("ana@lohas.test", "Me quejo del casino", (), "newcomer", None, None),  # an employee is a customer too
        (CLARA, "[PQR-2026-999999] hola", (), "newcomer", None, None),  # never issued
        (CLARA, "Re: Café", ("<x@y>",), "newcomer", None, None),
    ],
)
def test_who_and_which(
    sender: Any, subject: str, answers: tuple[str, ...], trust: str, joins: str | None, linked: str | None
) -> None:
    tickets = {**TICKETS, REF: ticket(REF, participants=("x@guest.test",))}
    message = mail(sender, subject, in_reply_to=answers)
    found = identify(message, clues(message, KNOWN, find_references(subject, "PQR")), tickets, POLICY)
    assert (found.trust, found.ticket and found.ticket.reference, found.linked) == (trust, joins, linked)


def test_the_customer_of_a_form_is_in_reply_to() -> None:
    message = mail("web@lohas.test", reply_to=(CLARA,))
    assert identify(message, [], {}, POLICY).author == CLARA


def test_a_later_reply_to_gives_no_right() -> None:
    message = mail(DIEGO, f"[{REF}]", reply_to=(CLARA,))
    assert identify(message, clues(message, {}, [REF]), TICKETS, POLICY).trust == "stranger"


def test_nearest_of_our_letters_first() -> None:
    message = mail(CLARA, references=("<x@y>", OLD, ACK, THEIRS))
    assert [clue.said for clue in clues(message, KNOWN, [REF])] == [ACK, OLD, THEIRS, REF]


def test_an_office_alias_is_not_a_person() -> None:
    message = mail("web@lohas.test", reply_to=(Address("hola@lohas.test"),))
    assert identify(message, [], {}, POLICY).author.address == "web@lohas.test"
