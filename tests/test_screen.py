"""The robot gate: one line a signal, with where it comes from; and people who only look like machines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office import POLICY, mail

from pqr_mailbot.domain.model import Address, Verdict
from pqr_mailbot.domain.screen import CHECKS, screen, wants_no_acknowledgement

CLARA = "clara@correo.test"
REPORT = "multipart/report; report-type="


def h(**headers: str) -> dict[str, dict[str, str]]:
    return {"headers": {name.replace("_", "-"): value for name, value in headers.items()}}


@pytest.mark.parametrize(
    ("sender", "subject", "more", "verdict", "check"),
    [
        # RFC 3834 section 5
        (CLARA, "Hola", h(auto_submitted="auto-replied"), "auto_reply", "auto_submitted"),
        (CLARA, "Hola", h(auto_submitted="AUTO-REPLIED; owner-email=x@y.test"), "auto_reply", "auto_submitted"),
        (CLARA, "Hola", h(auto_submitted="auto-generated (rejected)"), "auto_reply", "auto_submitted"),
        (CLARA, "Hola", h(auto_submitted="auto-notified"), "auto_reply", "auto_submitted"),
        # before RFC 3834
        (CLARA, "Hola", h(x_autoreply="yes"), "auto_reply", "auto_response_header"),
        (CLARA, "Hola", h(x_autorespond="OOO"), "auto_reply", "auto_response_header"),
        (CLARA, "Hola", h(x_autoresponse=""), "auto_reply", "auto_response_header"),
        (CLARA, "Hola", h(precedence="auto_reply"), "auto_reply", "precedence_auto"),
        (CLARA, "Hola", h(x_precedence="Auto_Reply"), "auto_reply", "precedence_auto"),
        # lists: RFC 2369, RFC 2919; case (FreeScout #4363)
        (CLARA, "Hola", h(precedence="List"), "list", "precedence_bulk"),
        (CLARA, "Hola", h(precedence="BULK"), "list", "precedence_bulk"),
        (CLARA, "Hola", h(precedence="junk"), "list", "precedence_bulk"),
        (CLARA, "Hola", h(list_id="<noticias.otro.test>"), "list", "mailing_list"),
        (CLARA, "Hola", h(list_unsubscribe="<mailto:x@otro.test>"), "list", "mailing_list"),
        # the mail system: RFC 5321 section 4.5.5, RFC 3464, RFC 8098, RFC 5965, RFC 6047
        (CLARA, "Hola", h(return_path="<>"), "bounce", "null_sender"),
        ("MAILER-DAEMON@otro.test", "Hola", {}, "bounce", "mailer_daemon"),
        ("postmaster@otro.test", "Hola", {}, "bounce", "mailer_daemon"),
        (CLARA, "Hola", {"content_type": "multipart/report"}, "bounce", "delivery_report"),
        (
            CLARA, "Leído", {"content_type": "multipart/report", **h(content_type=f"{REPORT}disposition-notification")},
            "receipt", "read_receipt",
        ),
        (
            CLARA, "Abuse", {"content_type": "multipart/report", **h(content_type=f"{REPORT}feedback-report")},
            "report", "abuse_report",
        ),
        (CLARA, "Aceptado: reunión", {"content_type": "text/calendar"}, "calendar", "calendar_answer"),
        # nobody reads there (FreeScout #3670, #634)
        ("no-reply@tienda.test", "Hola", {}, "no_reply", "no_reply_sender"),
        ("noreply@tienda.test", "Hola", {}, "no_reply", "no_reply_sender"),
        ("no_responder@tienda.test", "Hola", {}, "no_reply", "no_reply_sender"),
        ("notificaciones-no-reply@tienda.test", "Hola", {}, "no_reply", "no_reply_sender"),
        ("do-not-reply+x@tienda.test", "Hola", {}, "no_reply", "no_reply_sender"),
        # autoresponders with nothing but a subject
        (CLARA, "Respuesta automática: Café", {}, "auto_reply", "out_of_office"),
        (CLARA, "RE: Fuera de la oficina – María López", {}, "auto_reply", "out_of_office"),
        (CLARA, "Out of Office: coffee", {}, "auto_reply", "out_of_office"),
        (CLARA, "Automatic reply: coffee", {}, "auto_reply", "out_of_office"),
        (CLARA, "Gane dinero", h(x_spam_flag="YES"), "spam", "marked_spam"),
        # ourselves
        (CLARA, "[PQR-2026-000001] Café", h(x_pqr_letter="abc"), "own", "own_letter"),
        ("info@lohas.test", "Café", {}, "own", "own_address"),
        ("hola@lohas.test", "Café", {"reply_to": (Address("x@y.test"),)}, "own", "own_address"),
        (None, "Hola", {}, "unreadable", "no_sender"),
        # people
        (CLARA, "Hola", {}, "person", ""),
        (CLARA, "Hola", h(auto_submitted="no"), "person", ""),
        (CLARA, "Hola", h(auto_submitted=" No ; x=y"), "person", ""),
        (CLARA, "Hola", h(precedence="normal"), "person", ""),
        (CLARA, "Ausentismo laboral", {}, "person", ""),
        (CLARA, "Re: Ausencias de personal", {}, "person", ""),
        (CLARA, "Queja: me dejaron fuera de la oficina", {}, "person", ""),
        (CLARA, "Hola", h(return_path="<clara@correo.test>"), "person", ""),
        (CLARA, "Hola", h(x_spam_flag="NO"), "person", ""),
        (CLARA, "Hola", h(x_auto_response_suppress="All"), "person", ""),  # no machine: only wants no answer
        ("norberto.replica@correo.test", "Hola", {}, "person", ""),
        (CLARA, "Hola", h(list_id="Info <info.lohas.test>", precedence="list"), "person", ""),  # the office's own group
        ("web@lohas.test", "Formulario", {"reply_to": (Address(CLARA),)}, "person", ""),  # a website form
        ("no-reply@lohas.test", "Formulario", {"reply_to": (Address(CLARA),)}, "person", ""),
    ],
)  # fmt: skip
def test_verdict(sender: str | None, subject: str, more: dict[str, object], verdict: str, check: str) -> None:
    found = screen(mail(sender, subject, **more), POLICY)
    assert (found.verdict, found.check) == (verdict, check)


def test_every_check_has_its_line_above() -> None:
    marks = test_verdict.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {line[4] for line in marks} - {""} == {check.__name__ for check, _ in CHECKS}


@pytest.mark.parametrize(
    ("value", "wants_none"),
    [("All", True), ("DR, AutoReply", True), ("OOF", True), ("DR, RN, NRN", False), ("None", False), ("", False)],
)
def test_who_asks_for_no_automatic_answer(value: str, wants_none: bool) -> None:
    assert wants_no_acknowledgement(mail(headers={"X-Auto-Response-Suppress": value})) is wants_none


@given(
    st.sampled_from(["auto-replied", "auto-generated", "auto-notified", "x-token"]), st.text(" \t;=abc", max_size=20)
)
def test_no_machine_that_says_so_passes(value: str, tail: str) -> None:
    found = screen(mail(headers={"Auto-Submitted": f"{value} {tail}"}), POLICY)
    assert found.verdict is not Verdict.PERSON
