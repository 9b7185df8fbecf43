"""Stories of single mails on a real store: what is opened, joined, noted, said, and to whom nothing is said."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from bench import Bench, Letter, eml
from hypothesis import given, settings
from hypothesis import strategies as st
from office import DESK, NOW, POLICY

from pqr_mailbot.adapters.sqlite_store import stamp
from pqr_mailbot.domain.decide import SHOUTS_PER_DAY
from pqr_mailbot.domain.effects import Effect
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.apply import DEEDS
from pqr_mailbot.flows.handle import ATTEMPTS, BATCH

ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
CLARA, DIEGO = "Clara Gómez <clara@correo.test>", "Diego Paz <diego@otro.test>"
ACK, TELL_ANA = "acknowledgement>clara@correo.test", "notification>ana@lohas.test"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "desk.db")
    yield bench
    bench.close()


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


# -- the first mail ------------------------------------------------------------------------------------------------


def test_a_customer_writes(bench: Bench) -> None:
    closed = bench.take(eml(attachments=["bolsa.jpg"]))
    (ticket,) = bench.tickets()
    assert (closed["state"], closed["verdict"], closed["reference"]) == ("done", "person", ONE)
    assert (ticket["customer"], ticket["state"], ticket["type"]) == ("clara@correo.test", "new", "reclamo")
    assert (ticket["due_on"], ticket["business_days"], ticket["owner"]) == ("2026-06-24", 15, "ana@lohas.test")
    assert bench.said() == [ACK, TELL_ANA]


def test_the_acknowledgement_is_an_answer_of_a_machine(bench: Bench) -> None:
    bench.take(eml())
    (letter,) = bench.letters("acknowledgement")
    mail = letter.mail
    assert mail["Subject"] == f"[{ONE}] Café vencido"
    assert (mail["From"], mail["To"]) == ("Lohas Beans SAS BIC <info@lohas.test>", CLARA)
    assert mail["Auto-Submitted"] == "auto-replied"
    assert mail["In-Reply-To"] == "<m1@correo.test>"
    assert mail["References"].split()[0] == "<m1@correo.test>"
    assert mail["X-PQR-Letter"]
    for words in (ONE, "24 de junio de 2026", "Corpus Christi", "Sagrado Corazón", "reclamo", "10:42"):
        assert words in letter.text


def test_nothing_the_customer_wrote_is_echoed_to_a_sender_who_may_be_forged(bench: Bench) -> None:
    bench.take(eml(text="compre en http://malo.test/x ya", subject="Gane https://malo.test/premio dinero"))
    assert b"malo" not in bench.letters("acknowledgement")[0].raw


def test_the_notification_tells_the_agent_what_was_written(bench: Bench) -> None:
    bench.take(eml(attachments=["bolsa.jpg"]))
    (letter,) = bench.letters("notification")
    assert letter.mail["Auto-Submitted"] == "auto-generated"
    for words in ("> El café que me llegó está vencido.", "bolsa.jpg", "clara@correo.test", "Correo interno"):
        assert words in letter.text


@pytest.mark.parametrize(
    ("received", "due_on"),
    [
        (datetime(2026, 6, 1, 15, 42, tzinfo=UTC), "2026-06-24"),
        (datetime(2026, 7, 1, 15, 42, tzinfo=UTC), "2026-07-24"),
    ],
)
def test_the_letter_promises_the_date_of_the_ticket(bench: Bench, received: datetime, due_on: str) -> None:
    bench.take(eml(), received)
    assert bench.tickets()[0]["due_on"] == due_on
    day = date.fromisoformat(due_on)
    assert f"{day.day} de {'junio' if day.month == 6 else 'julio'} de 2026" in bench.letters("acknowledgement")[0].text


def test_the_year_of_the_reference_is_the_offices(bench: Bench) -> None:
    """23:30 of 31 December in Bogotá is already January in UTC."""
    bench.take(eml(), datetime(2027, 1, 1, 4, 30, tzinfo=UTC))
    bench.take(eml(message_id="<m2@correo.test>"), datetime(2027, 1, 1, 5, 0, tzinfo=UTC))
    assert [ticket["reference"] for ticket in bench.tickets()] == [ONE, "PQR-2027-000001"]


# -- what comes after ----------------------------------------------------------------------------------------------


def test_two_mails_and_three_mangled_replies(bench: Bench) -> None:
    """Two tickets, two acknowledgements, the owner told of all five, and a second round that does nothing."""
    bench.take(eml())
    bench.take(eml(DIEGO, "Molienda para greca", "¿Qué molienda sirve?", "<d1@otro.test>"))
    for number, subject in enumerate(("RE: RV: pqr 2026 1 Café vencido", "Fwd: [PQR–2026–000001]", "re: (pqr‑2026‑1)")):
        bench.take(eml(subject=subject, text=f"Respuesta {number}", message_id=f"<r{number}@correo.test>"), later(5))
    assert [ticket["reference"] for ticket in bench.tickets()] == [ONE, TWO]
    owners = {ticket["reference"]: ticket["owner"] for ticket in bench.tickets()}
    told = [(letter.name, letter.to) for letter in bench.letters()]
    assert [one for one in told if one[0] == "acknowledgement"] == [
        ("acknowledgement", "clara@correo.test"),
        ("acknowledgement", "diego@otro.test"),
    ]
    assert [to for name, to in told if name == "notification"] == [owners[ONE], owners[TWO], *[owners[ONE]] * 3]
    assert [to for name, to in told if name == "escalation"] == ["coordinacion@lohas.test"]  # three and no answer
    assert bench.work(later(10)) == 0
    assert len(bench.letters()) == 8


def test_a_reply_is_threaded_by_its_references_when_the_subject_is_lost(bench: Bench) -> None:
    bench.take(eml())
    ours = bench.letters("acknowledgement")[0].mail["Message-ID"]
    assert bench.take(eml(subject="", message_id="<m2@correo.test>", In_Reply_To=ours), later(5))["reference"] == ONE


def test_a_provider_that_rewrites_our_message_id_leaves_the_token_in_references(bench: Bench) -> None:
    bench.take(eml())
    kept = bench.letters("acknowledgement")[0].mail["References"].split()[-1]
    reply = eml(subject="gracias", message_id="<m2@correo.test>", In_Reply_To="<rewritten@ses.test>", References=kept)
    assert bench.take(reply, later(5))["reference"] == ONE


def test_a_stranger_who_quotes_a_reference_learns_nothing(bench: Bench) -> None:
    """Zammad #5064."""
    bench.take(eml())
    closed = bench.take(eml(DIEGO, f"Re: [{ONE}] Café vencido", "¿Qué pasó?", "<d1@otro.test>"), later(5))
    assert closed["reference"] == TWO
    (letter,) = [one for one in bench.letters("acknowledgement") if one.to == "diego@otro.test"]
    assert letter.mail["Subject"].startswith(f"[{TWO}]")
    assert ONE not in letter.raw.decode("ascii")
    assert "Clara" not in letter.text
    assert b"clara" not in letter.raw
    warned = [one for one in bench.letters("notification") if one.reference == TWO]
    assert ONE in warned[0].text
    assert len(bench.messages(ONE)) == 2


def test_a_notification_forwarded_to_a_stranger_opens_nothing_of_the_case(bench: Bench) -> None:
    bench.take(eml())
    internal = bench.letters("notification")[0].mail
    reply = eml("Juan <juan@afuera.test>", f"RE: {internal['Subject']}", "Me lo reenviaron.", "<j1@afuera.test>",
                In_Reply_To=internal["Message-ID"])  # fmt: skip
    assert bench.take(reply, later(5))["reference"] == TWO
    assert len(bench.messages(ONE)) == 2


def test_an_employee_may_be_a_customer(bench: Bench) -> None:
    closed = bench.take(eml("Ana Ruiz <ana@lohas.test>", "Mi pedido personal", "No llegó.", "<a1@lohas.test>"))
    assert closed["reference"] == ONE
    assert bench.said() == ["acknowledgement>ana@lohas.test", "notification>luz@lohas.test"]


def test_an_agents_autoresponder_without_any_header_begins_no_loop(bench: Bench) -> None:
    """FreeScout #4806: 1, 4, 16, 64, 5,000."""
    bench.take(eml())
    answered, mine = 0, "SELECT id FROM outbox WHERE recipient = 'ana@lohas.test' AND not_before <= ?"
    for minute in range(200):
        if len(bench.rows(mine, stamp(later(minute)))) == answered:
            break
        away = eml("ana@lohas.test", "Estoy de viaje", f"Vuelvo el lunes. {answered}", f"<v{answered}@lohas.test>")
        bench.take(away, later(minute))
        answered += 1
    assert answered == 1 + POLICY.acknowledgements_per_sender_per_day


def test_a_copy_is_handled_when_the_first_was_taken_for_a_machines(bench: Bench) -> None:
    """And the first, handled as a person's after all, is then the copy."""
    aside = bench.take(eml(List_Id="<boletin.otro.test>"))
    assert bench.take(eml(), later(1))["reference"] == ONE
    with bench.store.transaction():
        bench.store.retry(aside["id"], as_person=True)
    bench.work(later(2))
    assert (bench.inbound(aside["id"])["state"], len(bench.tickets())) == ("done", 1)


def test_a_failed_mail_and_its_copy_are_not_each_others_duplicates(tmp_path: Path) -> None:
    (tmp_path / "acknowledgement.j2").write_text("{{ nothing }}")
    bench = Bench(tmp_path / "desk.db", templates=tmp_path)
    first, copy = bench.take(eml()), bench.take(eml(), later(1))
    assert (first["state"], copy["state"]) == ("failed", "failed")
    bench.close()
    (tmp_path / "acknowledgement.j2").unlink()
    bench = Bench(tmp_path / "desk.db", templates=tmp_path)
    with bench.store.transaction():
        bench.store.retry(None, as_person=False)
    bench.work(later(2))
    assert len(bench.tickets()) == 1
    bench.close()


def test_a_mail_bomb_delays_nobody_else(bench: Bench) -> None:
    for number in range(80):
        bench.take(eml(text=f"texto {number}", message_id=f"<m{number}@correo.test>"), later(number / 60))
    bench.take(eml(DIEGO, message_id="<d1@otro.test>"), later(3))
    (due,) = bench.rows("SELECT not_before FROM outbox WHERE recipient = 'diego@otro.test'")
    assert due["not_before"].startswith("2026-06-01T15:45")


def test_the_same_mail_by_two_aliases_is_one(bench: Bench) -> None:
    bench.take(eml())
    again = bench.take(eml(Delivered_To="hola@lohas.test"), later(1))
    assert (again["state"], again["reference"]) == ("done", ONE)
    assert "duplicate" in again["reason"]
    assert bench.said() == [ACK, TELL_ANA]


def test_the_same_message_id_with_other_words_is_another_mail(bench: Bench) -> None:
    bench.take(eml())
    bench.take(eml(text="Otra cosa: no me llegó el pedido de mayo."), later(1))
    assert len(bench.tickets()) == 2


def test_mail_without_a_message_id_is_taken(bench: Bench) -> None:
    """Chatwoot drops it."""
    assert bench.take(eml(message_id=""))["reference"] == ONE
    assert bench.letters("acknowledgement")[0].mail["In-Reply-To"] is None


def test_a_customer_of_a_closed_case_gets_a_new_one_linked(bench: Bench) -> None:
    bench.take(eml())
    with bench.store.transaction():
        bench.store._run("UPDATE ticket SET state = 'closed'")
    again = eml(subject=f"Re: [{ONE}]", text="Volvió a pasar", message_id="<m2@correo.test>")
    assert bench.take(again)["reference"] == TWO
    assert bench.rows("SELECT count(*) AS n FROM ticket_link") == [{"n": 1}]


def test_a_website_form_writes_for_the_customer(bench: Bench) -> None:
    bench.take(eml("Formulario <web@lohas.test>", Reply_To=CLARA))
    assert bench.tickets()[0]["customer"] == "clara@correo.test"
    assert bench.said() == [ACK, TELL_ANA]


def test_an_urgent_case_is_told_to_level_two_at_once(bench: Bench) -> None:
    bench.take(eml(subject="Intoxicación", text="Mi hija está en urgencias, intoxicada por el café."))
    assert bench.said() == [ACK, TELL_ANA, "notification>coordinacion@lohas.test"]


# -- machines, and others who get no answer ------------------------------------------------------------------------

NOBODY: list[tuple[str, bytes, str]] = [
    ("RFC 3834", eml(Auto_Submitted="auto-replied; owner-email=x@y.test"), "auto_reply"),
    ("only a subject", eml(subject="Fuera de la oficina – María López"), "auto_reply"),
    ("a list", eml(List_Id="<noticias.otro.test>"), "list"),
    ("bulk in capitals", eml(Precedence="BULK"), "list"),
    ("the null sender", eml(Return_Path="<>"), "bounce"),
    ("the mail system", eml("MAILER-DAEMON@correo.test"), "bounce"),
    ("no reply", eml("Banco <no-reply@banco.test>"), "no_reply"),
    ("another desk like ours", eml(X_PQR_Letter="t.1"), "own"),
    ("ourselves", eml("info@lohas.test"), "own"),
    ("our alias", eml("Hola <hola@lohas.test>"), "own"),
    ("no From", eml(""), "unreadable"),
    ("a From that cannot be read", eml("").replace(b"To:", b"From: yo <a@b@c@>>\r\nTo:", 1), "unreadable"),
    ("zero bytes", b"", "unreadable"),
    ("only line ends", b"\r\n\r\n", "unreadable"),
    ("not mail at all", bytes(range(256)) * 40, "unreadable"),
]


@pytest.mark.parametrize(("case", "raw", "verdict"), NOBODY, ids=[case for case, _, _ in NOBODY])
def test_set_aside_and_never_answered(bench: Bench, case: str, raw: bytes, verdict: str) -> None:
    closed = bench.take(raw)
    assert (closed["state"], closed["verdict"]) == ("set_aside", verdict)
    assert (bench.tickets(), bench.letters()) == ([], [])


def test_auto_submitted_no_is_a_person(bench: Bench) -> None:
    """FreeScout counted any value."""
    assert bench.take(eml(Auto_Submitted="no"))["verdict"] == "person"


def test_our_own_acknowledgement_coming_back_is_ours(bench: Bench) -> None:
    bench.take(eml())
    assert bench.take(bench.letters("acknowledgement")[0].raw)["verdict"] == "own"
    assert len(bench.letters()) == 2


def test_a_machine_is_handled_as_a_person_when_the_admin_says_so(bench: Bench) -> None:
    aside = bench.take(eml(Precedence="bulk"))
    with bench.store.transaction():
        assert bench.store.retry(aside["id"], as_person=True) == 1
    bench.work(later(5))
    assert bench.inbound(aside["id"])["verdict"] == "person"
    assert bench.said() == [ACK, TELL_ANA]


def test_retrying_a_set_aside_mail_of_our_own_does_not_answer_ourselves(bench: Bench) -> None:
    aside = bench.take(eml("info@lohas.test"))
    with bench.store.transaction():
        bench.store.retry(aside["id"], as_person=True)
    bench.work(later(5))
    assert bench.letters() == []


def test_who_asks_for_no_automatic_answer_gets_none_and_the_agent_is_warned(bench: Bench) -> None:
    bench.take(eml(X_Auto_Response_Suppress="All"))
    assert bench.said() == [TELL_ANA]
    assert "no recibir respuestas automáticas" in bench.letters()[0].text


def test_old_mail_that_a_moved_mailbox_shows_again_is_not_answered(bench: Bench) -> None:
    closed = bench.take(eml(Date="Fri, 01 May 2026 10:00:00 -0500"), suspect_before=later(-3000))
    assert (closed["state"], closed["verdict"]) == ("set_aside", "rescan")
    assert bench.letters() == []


# -- strangers, forged senders, courts -----------------------------------------------------------------------------


def test_a_stranger_is_admitted_by_the_customers_yes(bench: Bench) -> None:
    bench.take(eml())
    ours = bench.letters("acknowledgement")[0].mail["Message-ID"]
    hello = eml(DIEGO, "RV: Café vencido", "Soy el esposo de Clara.", "<d1@otro.test>", In_Reply_To=ours)
    assert bench.take(hello, later(5))["reference"] == TWO
    (question,) = bench.letters("admit_question")
    assert (question.to, question.reference) == ("clara@correo.test", ONE)
    assert "diego@otro.test" in question.text
    assert "esposo" not in question.text
    yes = eml(subject="Re: " + question.mail["Subject"], text="Sí, por favor.", message_id="<m2@correo.test>",
              In_Reply_To=question.mail["Message-ID"])  # fmt: skip
    assert bench.take(yes, later(9))["reference"] == ONE
    again = eml(DIEGO, f"Re: [{ONE}]", "Gracias, envío la foto.", "<d2@otro.test>")
    assert bench.take(again, later(20))["reference"] == ONE


def test_the_customer_is_asked_once(bench: Bench) -> None:
    bench.take(eml())
    ours = bench.letters("acknowledgement")[0].mail["Message-ID"]
    for number in range(3):
        stranger = eml(f"e{number}@otro.test", "RV", f"hola {number}", f"<e{number}@x>", In_Reply_To=ours)
        bench.take(stranger, later(number))
    assert len(bench.letters("admit_question")) == 1


def test_a_forged_sender_gets_no_acknowledgement(tmp_path: Path) -> None:
    desk = Desk(replace(POLICY, trusted_authserv_ids=("mx.lohas.test",)), DESK.calendar)
    bench = Bench(tmp_path / "desk.db", desk)
    bench.take(eml(Authentication_Results="mx.lohas.test; dmarc=fail (p=reject) header.from=correo.test"))
    assert bench.said() == [TELL_ANA]
    assert "puede ser falso" in " ".join(bench.letters()[0].text.split())
    bench.close()


def test_a_court_that_nobody_can_answer_is_heard_by_level_two(bench: Bench) -> None:
    court = eml("Juzgado 3 <no-reply@ramajudicial.test>", "Notificación acción de tutela", "Se admite la tutela.")
    assert bench.take(court)["verdict"] == "no_reply"
    assert bench.said() == ["alarm>coordinacion@lohas.test"]
    assert bench.tickets() == []


def test_machines_that_shout_without_end_do_not_flood_level_two(bench: Bench) -> None:
    for number in range(SHOUTS_PER_DAY + 5):
        court = eml(f"no-reply@j{number}.test", "Tutela", f"Acción de tutela {number}", f"<{number}@j.test>")
        bench.take(court, later(number))
    assert len(bench.letters("alarm")) == SHOUTS_PER_DAY
    bench.take(eml("no-reply@otro.test", "Tutela", "Acción de tutela", "<z@j.test>"), later(60 * 25))
    assert len(bench.letters("alarm")) == SHOUTS_PER_DAY + 1


def test_the_admin_hears_once_that_acknowledgements_wait(bench: Bench) -> None:
    for number in range(POLICY.acknowledgements_per_sender_per_day + 3):
        bench.take(eml(text=f"texto {number}", message_id=f"<m{number}@correo.test>"), later(number))
    assert [letter.to for letter in bench.letters("alarm")] == ["sistemas@lohas.test"]


# -- quotes --------------------------------------------------------------------------------------------------------

QUOTED = "\n\nEl lun, 1 jun 2026 a las 10:54, Lohas Beans (<info@lohas.test>) escribió:\n> Recibimos su mensaje"


def test_what_is_quoted_is_not_what_was_written(bench: Bench) -> None:
    bench.take(eml())
    bench.take(eml(subject=f"Re: [{ONE}]", text=f"Va la foto.\n\n-- \nClara\n310 555{QUOTED}", message_id="<m2@x>"))
    reply = bench.messages(ONE)[-1]
    assert reply["text"] == "Va la foto."
    assert "Recibimos su mensaje" in reply["full_text"]
    told = bench.letters("notification")[-1].text
    assert "310 555" in told  # a signature may hold the number to call
    assert "Recibimos su mensaje" not in told


def test_a_forward_that_opens_a_case_is_shown_whole(bench: Bench) -> None:
    forwarded = "Ver abajo.\n\n---------- Forwarded message ---------\nDe: Juan <j@x.test>\n\nEl café llegó vencido."
    bench.take(eml(subject="RV: pedido", text=forwarded))
    assert "El café llegó vencido" in bench.letters("notification")[0].text


# -- bounces -------------------------------------------------------------------------------------------------------


def dsn(letter: Letter, about: str = "", status: str = "5.1.1", action: str = "failed", message_id: str = "") -> bytes:
    """A delivery report (RFC 3464) about a letter of ours."""
    returned = letter.raw.split(b"\r\n\r\n", 1)[0].decode("ascii")
    if message_id:  # a provider gave it another Message-ID
        returned = returned.replace(letter.mail["Message-ID"], message_id)
    return "\r\n".join(
        [
            "From: Mail Delivery System <MAILER-DAEMON@mx.test>", "To: info@lohas.test", "Return-Path: <>",
            "Subject: Undelivered Mail Returned to Sender", f"Message-ID: <{status}.{action}.{about}@mx.test>",
            'MIME-Version: 1.0', 'Content-Type: multipart/report; report-type=delivery-status; boundary="b"', "",
            "--b", "Content-Type: text/plain", "", "I'm sorry.", "",
            "--b", "Content-Type: message/delivery-status", "", "Reporting-MTA: dns; mx.test", "",
            f"Final-Recipient: rfc822; {about or letter.to}", f"Action: {action}", f"Status: {status}",
            "Diagnostic-Code: smtp; 550 no such user", "",
            "--b", "Content-Type: text/rfc822-headers", "", returned, "", "--b--", "",
        ]
    ).encode("ascii")  # fmt: skip


def acknowledged(bench: Bench) -> Letter:
    """Clara wrote, and a server took her acknowledgement."""
    bench.take(eml("Clara <clara@gmial.com>"))
    with bench.store.transaction():
        for letter in bench.store.claim_letters(NOW, 10):
            bench.store.letter_sent(letter, "250 ok", NOW)
    assert bench.tickets()[0]["acknowledged_at"]
    return bench.letters("acknowledgement")[0]


@pytest.mark.parametrize(
    ("case", "report", "still_acknowledged", "told"),
    [
        ("no such user", {}, False, True),
        ("the provider rewrote our Message-ID", {"message_id": "<0102@eu-west-1.amazonses.com>"}, False, True),
        ("delayed", {"status": "4.4.1", "action": "delayed"}, True, False),
        ("about somebody else", {"about": "otra@correo.test"}, True, False),  # a forged bounce changes nothing
    ],
)
def test_a_bounced_acknowledgement_never_happened(
    bench: Bench, case: str, report: dict[str, str], still_acknowledged: bool, told: bool
) -> None:
    letter = acknowledged(bench)
    closed = bench.take(dsn(letter, **report), later(1))
    assert (closed["state"], closed["verdict"]) == ("set_aside", "bounce")
    assert bool(bench.tickets()[0]["acknowledged_at"]) is still_acknowledged
    alarms = bench.letters("alarm")
    assert [one.to for one in alarms] == (["ana@lohas.test"] if told else [])
    assert all("clara@gmail.com" in one.text for one in alarms)


@pytest.mark.parametrize("report", [{}, {"action": "", "status": ""}], ids=["for good", "it does not say"])
def test_a_mail_system_that_repeats_itself_is_told_once(bench: Bench, report: dict[str, str]) -> None:
    letter = acknowledged(bench)
    for number in range(5):
        again = dsn(letter, **report).replace(b"Message-ID: <", b"Message-ID: <%d" % number, 1)
        bench.take(again.replace(b"I'm sorry.", b"I'm sorry, %d." % number), later(number))
    assert len(bench.letters("alarm")) == 1


def test_a_bounce_of_a_letter_to_an_agent_causes_no_letter(bench: Bench) -> None:
    """FreeScout #4806."""
    acknowledged(bench)
    bench.take(dsn(bench.letters("notification")[0]), later(1))
    assert len(bench.letters()) == 2
    assert bench.rows("SELECT event FROM ticket_event ORDER BY id DESC LIMIT 1") == [{"event": "letter_bounced"}]


def test_a_bounce_of_the_letter_about_a_bounce_causes_no_letter(bench: Bench) -> None:
    bench.take(dsn(acknowledged(bench)), later(1))
    bench.take(dsn(bench.letters("alarm")[0]), later(2))
    assert len(bench.letters()) == 3


# -- pacing --------------------------------------------------------------------------------------------------------


def test_many_mails_of_one_sender_are_acknowledged_more_slowly_and_none_is_dropped(bench: Bench) -> None:
    limit = POLICY.acknowledgements_per_sender_per_day
    for number in range(limit + 2):
        bench.take(eml(subject=f"Asunto {number}", text=f"texto {number}", message_id=f"<m{number}@correo.test>"))
    acknowledgements = "SELECT next_attempt_at FROM outbox WHERE letter = 'acknowledgement' ORDER BY id"
    due = [row["next_attempt_at"][:10] for row in bench.rows(acknowledgements)]
    assert due == ["2026-06-01"] * limit + ["2026-06-02"]
    last = bench.letters("acknowledgement")[-1]  # one letter for all that wait
    assert all(f"PQR-2026-00000{number}" in last.text for number in (limit + 1, limit + 2))
    assert last.mail["Subject"].startswith(f"[PQR-2026-00000{limit + 2}]")
    assert len(bench.letters("notification")) == limit + 2
    with bench.store.transaction():
        claimed = bench.store.claim_letters(NOW + timedelta(days=1), 20)
        letter = [one for one in claimed if one.letter == "acknowledgement"][-1]
        bench.store.letter_sent(letter, "250 ok", NOW + timedelta(days=1))
    acknowledged = [ticket["reference"] for ticket in bench.tickets() if ticket["acknowledged_at"]]
    assert acknowledged == [f"PQR-2026-00000{number}" for number in (limit + 1, limit + 2)]


def test_one_mailbox_has_one_allowance_whatever_stands_after_a_plus(bench: Bench) -> None:
    """A bomb at victim+1@, victim+2@ …, and a help desk that answers from an address a ticket: 2, 4, 8 … cases."""
    limit = POLICY.acknowledgements_per_sender_per_day
    for number in range(limit + 1):
        bench.take(eml(f"clara+{number}@correo.test", text=f"texto {number}", message_id=f"<m{number}@correo.test>"))
    for other in ("clara@correo.test.co", "clarab+1@correo.test", "clar@correo.test"):
        bench.take(eml(other, text=other, message_id=f"<{other}>"))
    rows = bench.rows("SELECT next_attempt_at FROM outbox WHERE letter = 'acknowledgement' ORDER BY id")
    due = [row["next_attempt_at"][:10] for row in rows]
    assert due == ["2026-06-01"] * limit + ["2026-06-02"] + ["2026-06-01"] * 3


# -- nothing is lost -----------------------------------------------------------------------------------------------


def test_a_template_that_breaks_fails_the_mail_and_not_the_next_one(tmp_path: Path) -> None:
    """The mail waits as `failed`, with nothing half done, and goes through once the template is mended."""
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "acknowledgement.j2").write_text("{{ attachments[7].nothing }}")
    bench = Bench(tmp_path / "desk.db", templates=templates)
    failed = bench.take(eml())
    assert failed["state"] == "failed"
    assert "acknowledgement.j2, line 1" in failed["error"]
    assert (bench.tickets(), bench.letters()) == ([], [])
    assert bench.take(eml(X_Auto_Response_Suppress="All", message_id="<m2@correo.test>"))["reference"] == ONE
    bench.close()
    (templates / "acknowledgement.j2").unlink()
    bench = Bench(tmp_path / "desk.db", templates=templates)
    with bench.store.transaction():
        assert bench.store.retry(None, as_person=False) == 1
    bench.work(later(60))
    assert bench.inbound(failed["id"])["reference"] == TWO
    assert ACK in bench.said()
    bench.close()


def test_references_have_no_holes_when_mails_fail(tmp_path: Path) -> None:
    templates = tmp_path / "templates"
    templates.mkdir()
    (templates / "acknowledgement.j2").write_text("{{ 1 // (0 if 'mala' in subject else 1) }}")
    bench = Bench(tmp_path / "desk.db", templates=templates)
    for number in range(9):
        subject = "mala" if number % 3 == 1 else "buena"
        bench.post(eml(subject=subject, text=f"texto {number}", message_id=f"<m{number}@x.test>"))
    bench.work()
    assert [ticket["reference"] for ticket in bench.tickets()] == [f"PQR-2026-{n:06}" for n in range(1, 7)]
    assert bench.rows("SELECT count(*) AS n FROM inbound WHERE state = 'failed'") == [{"n": 3}]
    bench.close()


def test_a_mail_that_kills_the_program_is_set_apart_after_three_deaths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "desk.db")
    deadly, harmless = bench.post(eml()), bench.post(eml(message_id="<m2@correo.test>", text="otra"))
    for _ in range(ATTEMPTS):
        bench.close()
        bench = Bench(tmp_path / "desk.db")  # the program starts anew
        with pytest.raises(KeyboardInterrupt):
            _dying(bench).round(lambda: NOW)
    bench.close()
    bench = Bench(tmp_path / "desk.db")
    bench.work()
    assert bench.inbound(deadly)["state"] == "failed"
    assert "died 3 times" in bench.inbound(deadly)["error"]
    assert bench.inbound(harmless)["state"] == "done"
    bench.close()


def _dying(bench: Bench) -> Any:
    """A handler that ends the way a killed process does: in the middle, with nothing cleaned up by it."""

    class Dying(type(bench.handler)):  # type: ignore[misc]
        def handle(self, inbound: object, now: datetime) -> Any:
            raise KeyboardInterrupt

    fields = ("store", "desk", "lexicon", "letters", "signer", "suspects_until")
    return Dying(*(getattr(bench.handler, name) for name in fields))


def test_a_store_that_is_busy_is_no_fault_of_the_mail(bench: Bench) -> None:
    inbound_id = bench.post(eml())
    bench.store._run("PRAGMA busy_timeout = 1")
    with sqlite3.connect(bench.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError):
            bench.work()
        other.execute("ROLLBACK")
    other.close()
    assert bench.work() == 1
    assert bench.inbound(inbound_id)["state"] == "done"


def test_more_than_one_batch(bench: Bench) -> None:
    for number in range(BATCH + 5):
        bench.post(eml(f"c{number}@x.test", text=f"texto {number}", message_id=f"<m{number}@x.test>"))
    assert bench.work() == BATCH + 5
    assert len(bench.tickets()) == BATCH + 5


HARD: list[tuple[str, Callable[[], bytes]]] = [
    ("thirty megabytes", lambda: eml() + b"A" * 76 * 1000 + (b"A" * 76 + b"\r\n") * 400_000),
    ("a thousand nested parts", lambda: _nested(1000)),
    ("five thousand links", lambda: eml(text="http://x.test/a " * 5000)),
    ("a name of thirty thousand letters", lambda: eml(f"{'x' * 30_000} <clara@correo.test>")),
    ("a subject of thirty thousand letters", lambda: eml(subject="a " * 15_000)),
    ("bytes that are no text", lambda: eml().replace(b"vencido", b"\xff\xfe\x00\x80")),
    ("References over 4 KB", lambda: eml(References=" ".join(f"<{n:030}@correo.test>" for n in range(300)))),
    ("newlines in a name", lambda: eml().replace(b"From: ", b"From: =?utf-8?q?a=0D=0ABcc=3A_x=40y=2Etest?= ", 1)),
]


def _nested(depth: int) -> bytes:
    start = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(depth))
    return b"From: clara@correo.test\r\nSubject: hondo\r\n" + start + b"Content-Type: text/plain\r\n\r\nhola\r\n"


@pytest.mark.parametrize(("case", "raw"), HARD, ids=[case for case, _ in HARD])
def test_hard_mail_becomes_a_case_and_is_never_in_the_way(bench: Bench, case: str, raw: Callable[[], bytes]) -> None:
    assert bench.take(raw())["state"] == "done"
    assert bench.take(eml(DIEGO, message_id="<d1@otro.test>"), later(1))["reference"] == TWO
    acknowledgements = bench.letters("acknowledgement")
    assert [letter.to for letter in acknowledgements][-1] == "diego@otro.test"
    assert all(not letter.mail["Bcc"] and letter.raw.isascii() for letter in acknowledgements)
    assert all(len(line) <= 998 for letter in bench.letters() for line in letter.raw.split(b"\r\n"))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(["new", "reply", "stranger", "agent", "robot", "again"]), max_size=12))
def test_laws_over_any_order_of_mails(tmp_path_factory: pytest.TempPathFactory, kinds: list[str]) -> None:
    """One acknowledgement a case, to its own customer and to nobody else; references without holes; a second round
    does nothing; no letter to a customer holds another customer's words."""
    bench = Bench(tmp_path_factory.mktemp("desk") / "desk.db")
    for number, kind in enumerate(kinds):
        bench.take(_mail_of(kind, number, bench), later(number))
    tickets = bench.tickets()
    assert [ticket["reference"] for ticket in tickets] == [f"PQR-2026-{n + 1:06}" for n in range(len(tickets))]
    acknowledged = bench.rows(
        """SELECT message.reference, recipient FROM message JOIN outbox ON outbox.id = outbox_id
        WHERE outbox.letter = 'acknowledgement' ORDER BY message.id"""
    )
    assert [tuple(row.values()) for row in acknowledged] == [(t["reference"], t["customer"]) for t in tickets]
    staff = {"ana@lohas.test", "luz@lohas.test", "coordinacion@lohas.test"}
    assert {letter.to for letter in bench.letters("notification")} <= staff
    own = {ticket["customer"]: set[str]() for ticket in tickets}
    for ticket in tickets:
        own[ticket["customer"]].add(ticket["reference"])
    assert all(_reveals_nothing(letter, own[letter.to]) for letter in bench.letters("acknowledgement"))
    assert {row["state"] for row in bench.rows("SELECT state FROM inbound")} <= {"done", "set_aside"}
    assert bench.work(later(100)) == 0
    bench.close()


def _mail_of(kind: str, number: int, bench: Bench) -> bytes:
    one = f"<{number}@x.test>"
    match kind:
        case "reply":
            return eml(subject=f"Re: pqr 2026 1 ({number})", text=f"respuesta secreta {number}", message_id=one)
        case "stranger":
            return eml(f"e{number}@otro.test", f"RV: [{ONE}]", f"ajeno secreto {number}", one)
        case "agent":
            return eml("ana@lohas.test", f"Re: [{ONE}]", f"nota secreta {number}", one)
        case "robot":
            return eml(subject=f"[{ONE}]", message_id=one, Auto_Submitted="auto-replied")
        case "again":
            return eml(text="la misma secreta", message_id="<again@x.test>")
    return eml(f"c{number}@x.test", f"Asunto {number}", f"palabra secreta {number}", one)


def _reveals_nothing(letter: Letter, own: set[str]) -> bool:
    """Nobody's words, and no case but the recipient's own."""
    return "secret" not in letter.text and set(re.findall(r"PQR-2026-\d+", letter.text)) <= own


# -- the machinery -------------------------------------------------------------------------------------------------


def test_every_effect_can_be_applied() -> None:
    assert set(DEEDS) == set(get_args(Effect))


def test_the_trail_tells_why(bench: Bench) -> None:
    bench.take(eml())
    closed = bench.take(eml(subject=f"Re: {ONE}", text="gracias", message_id="<m2@correo.test>"), later(1))
    trail = json.loads(closed["trail"])
    assert trail["key"] == "the case's customer"
    assert trail["sender_trust"] == "clara@correo.test; no server we trust looked at it"
    assert trail["clue"] == f"subject {ONE}"
    assert f"record the mail on {ONE} (in)" in trail["effects"]


def test_whoever_takes_no_mail_of_a_type_is_not_asked(tmp_path: Path) -> None:
    """Round robin among those who take the type; everybody in turn."""
    ana, luz = POLICY.agents
    desk = Desk(replace(POLICY, agents=(replace(ana, types=("queja",)), luz)), DESK.calendar)
    bench = Bench(tmp_path / "desk.db", desk)
    for number in range(3):
        bench.take(eml(f"c{number}@x.test", text=f"Café vencido, exijo mi dinero {number}", message_id=f"<{number}@x>"))
    assert {ticket["owner"] for ticket in bench.tickets()} == {"luz@lohas.test"}
    bench.close()
