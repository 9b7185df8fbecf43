"""What a mail causes: tables one line a case, and laws over all combinations."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from office import ANA, CLAIM, CLARA, DESK, DIEGO, LUZ, NOW, POLICY, mail, ticket

from pqr_mailbot.domain.authentication import NOTHING_KNOWN, Authentication, Result
from pqr_mailbot.domain.decide import on_duplicate, on_machine, on_mail, on_rescan, paced, predates
from pqr_mailbot.domain.effects import (
    AddParticipant,
    CloseInbound,
    Effect,
    NoteEvent,
    OpenTicket,
    QueueLetter,
    RecordMessage,
)
from pqr_mailbot.domain.identify import Clue, Identity
from pqr_mailbot.domain.model import SYNTHETIC_DOMAIN, Address, Attachment, Classification, Mail, State, Ticket, Verdict
from pqr_mailbot.domain.reply_text import Parts
from pqr_mailbot.domain.screen import Screening
from pqr_mailbot.domain.situation import MachineMail, Occasion, Situation, says_yes

REF, NEXT = "PQR-2026-000001", "PQR-2026-000002"
CLUE = Clue("subject", REF, REF)
SITUATION = Situation(next_reference=NEXT, next_owner=LUZ.address)


def decided(
    trust: str = "newcomer",
    case: Ticket | None = None,
    message: Mail | None = None,
    kind: Classification = CLAIM,
    author: Address = CLARA,
    situation: Situation = SITUATION,
    **more: Any,
) -> list[Effect]:
    identity = Identity(author, trust, CLUE if case or trust == "stranger" else None, case, **more)  # type: ignore[arg-type]
    return on_mail(
        Occasion(message or mail(author), NOW, Parts("El café llegó.", ""), identity, kind), situation, DESK, NOW
    )


def told(effects: list[Effect]) -> list[str]:
    """Each effect in a word or two; history lines are left out."""
    words = {
        "OpenTicket": lambda e: f"open {e.reference}",
        "RecordMessage": lambda e: f"{e.direction} {e.reference}",
        "SaveTicket": lambda e: f"{e.ticket.state}, {e.ticket.owner}",
        "AddParticipant": lambda e: f"admit {e.address}",
        "LinkTickets": lambda e: f"link {e.other}",
        "QueueLetter": lambda e: f"{e.letter}>{e.recipient.address}",
        "CloseInbound": lambda e: e.state,
    }
    return [words[type(e).__name__](e) for e in effects if not isinstance(e, NoteEvent)]


ACK, TELL_LUZ, TELL_ANA = (
    "acknowledgement>clara@correo.test",
    "notification>luz@lohas.test",
    "notification>ana@lohas.test",
)


@pytest.mark.parametrize(
    ("trust", "case", "more", "effects"),
    [
        ("newcomer", None, {}, [f"open {NEXT}", f"in {NEXT}", ACK, TELL_LUZ, "done"]),
        ("customer", ticket(), {}, [f"in {REF}", TELL_ANA, "done"]),
        ("participant", ticket(), {}, [f"in {REF}", TELL_ANA, "done"]),
        ("addressed", ticket(), {}, [f"in {REF}", TELL_ANA, "done"]),
        ("customer", ticket(state=State.WAITING), {}, [f"in {REF}", "open, ana@lohas.test", TELL_ANA, "done"]),
        (
            "customer",
            ticket(state=State.RESOLVED),
            {},
            [f"in {REF}", "reopened>clara@correo.test", "open, ana@lohas.test", TELL_ANA, "done"],
        ),
        ("customer", ticket(state=State.OPEN), {}, [f"in {REF}", TELL_ANA, "done"]),
        (
            "customer",
            ticket(state=State.CLOSED),
            {},
            [f"open {NEXT}", f"in {NEXT}", f"link {REF}", ACK, TELL_LUZ, "done"],
        ),
        ("customer", ticket(owner="se.fue@lohas.test"), {}, [f"in {REF}", "new, luz@lohas.test", TELL_LUZ, "done"]),
        ("customer", ticket(owner=None), {}, [f"in {REF}", "new, luz@lohas.test", TELL_LUZ, "done"]),
        ("stranger", None, {"linked": REF}, [f"open {NEXT}", f"in {NEXT}", f"link {REF}", ACK, TELL_LUZ, "done"]),
        ("staff", ticket(), {}, [f"note {REF}", "done"]),
        ("staff", None, {}, ["done"]),
    ],
)
def test_a_persons_mail(trust: str, case: Ticket | None, more: dict[str, Any], effects: list[str]) -> None:
    assert told(decided(trust, case, **more)) == effects


def test_an_urgent_case_is_told_to_level_two_at_once() -> None:
    urgent = Classification("queja", 0.95, ("salud",), urgent=True)
    assert told(decided(kind=urgent))[-3:] == [TELL_LUZ, "notification>coordinacion@lohas.test", "done"]


def letter(effects: list[Effect], name: str) -> QueueLetter:
    return next(e for e in effects if isinstance(e, QueueLetter) and e.letter == name)


def opened(effects: list[Effect]) -> OpenTicket:
    return next(e for e in effects if isinstance(e, OpenTicket))


@pytest.mark.parametrize(
    ("received", "due_on"),
    [
        (datetime(2026, 6, 1, 15, 42, tzinfo=UTC), date(2026, 6, 24)),
        (datetime(2026, 7, 1, 15, 0, tzinfo=UTC), date(2026, 7, 24)),
        (datetime(2026, 6, 6, 4, 50, tzinfo=UTC), date(2026, 7, 1)),  # Friday 23:50 in Bogotá, already Saturday in UTC
        (datetime(2026, 6, 7, 17, 0, tzinfo=UTC), date(2026, 7, 1)),  # a Sunday
    ],
)
def test_the_promised_date_counts_from_the_receipt(received: datetime, due_on: date) -> None:
    identity = Identity(CLARA, "newcomer")
    effects = on_mail(
        Occasion(mail(), received, Parts("", ""), identity, Classification("queja", 0.99)), SITUATION, DESK, received
    )
    assert opened(effects).due_on == letter(effects, "acknowledgement").facts["due_on"] == due_on


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        (Classification("reclamo", 0.95), 15),
        (Classification("habeas_data", 0.95), 10),
        (Classification("felicitacion", 0.95), 5),
        (Classification("solicitud", 0.5, scores={"solicitud": 0.5, "derecho_de_peticion": 0.3}), 10),
        (Classification("solicitud", 0.5, scores={"solicitud": 0.5, "derecho_de_peticion": 0.2}), 15),
        (Classification("solicitud", 0.5, scores={"solicitud": 0.5, "felicitacion": 0.4}), 15),
    ],
)
def test_when_unsure_the_shortest_likely_term_counts(kind: Classification, days: int) -> None:
    assert opened(decided(kind=kind)).business_days == days


def test_the_acknowledgement_says_what_it_must_and_never_the_body() -> None:
    message = mail(attachments=(Attachment("foto.jpg", "image/jpeg", 10),), text="SECRETO")
    facts = letter(decided(message=message), "acknowledgement").facts
    assert facts["reference"] == NEXT
    assert (facts["received_on"], facts["received_hour"]) == (date(2026, 6, 1), "10:42")
    assert (facts["type_name"], facts["certain"], facts["is_claim"]) == ("reclamo", True, True)
    assert facts["attachments"] == ["foto.jpg"]
    assert facts["skipped"] == [
        {"date": date(2026, 6, 8), "name": "Corpus Christi"},
        {"date": date(2026, 6, 15), "name": "Sagrado Corazón"},
    ]
    assert "SECRETO" not in str(facts) and "café llegó" not in str(facts)


@pytest.mark.parametrize(
    ("message", "answers", "thread"),
    [
        (mail(message_id="<a@x>", references=("<r@x>",)), "<a@x>", ("<r@x>",)),
        (mail(message_id=f"<0123@{SYNTHETIC_DOMAIN}>"), "", ()),  # a mail without Message-ID: nobody knows ours
    ],
)
def test_the_acknowledgement_answers_the_customers_mail(message: Mail, answers: str, thread: tuple[str, ...]) -> None:
    found = letter(decided(message=message), "acknowledgement")
    assert (found.answers, found.thread, found.automatic) == (answers, thread, "auto-replied")


def test_who_asks_for_no_automatic_answer_gets_none_and_the_agent_is_told() -> None:
    effects = decided(message=mail(headers={"X-Auto-Response-Suppress": "All"}))
    assert ACK not in told(effects)
    assert "acuse" in str(letter(effects, "notification").facts["warning"])


def test_a_reply_to_on_the_opening_mail_is_for_human_answers() -> None:
    effects = decided(message=mail(reply_to=(DIEGO,)))
    assert opened(effects).reply_address == DIEGO.address
    assert letter(effects, "acknowledgement").recipient == CLARA


def test_a_machines_mail_is_set_aside_and_nothing_is_sent() -> None:
    screening = Screening(Verdict.AUTO_REPLY, "auto_submitted", "Auto-Submitted: auto-replied")
    machine = MachineMail(mail(), NOW, screening, Identity(CLARA, "customer", CLUE, ticket()), ("judicial",))
    (closing,) = on_machine(machine, DESK, NOW)
    assert isinstance(closing, CloseInbound)
    assert (closing.state, closing.verdict, closing.reference) == ("set_aside", "auto_reply", REF)


def test_a_duplicate_changes_nothing() -> None:
    (closing,) = on_duplicate(7, Verdict.PERSON, REF)
    assert isinstance(closing, CloseInbound)
    assert (closing.state, closing.reference, closing.reason) == ("done", REF, "duplicate of inbound 7")


def test_old_mail_shown_again_is_set_aside() -> None:
    assert predates([NOW, NOW - timedelta(days=3)], NOW - timedelta(days=2))
    assert not predates([NOW], NOW - timedelta(days=2))
    (closing,) = on_rescan()
    assert isinstance(closing, CloseInbound) and (closing.state, closing.verdict) == ("set_aside", "rescan")


# -- fuses -----------------------------------------------------------------------------------------------------------

DAY = timedelta(days=1)


def test_too_many_acknowledgements_to_one_person_go_later() -> None:
    recent = tuple(NOW - timedelta(hours=n) for n in (5, 4, 3, 2, 1))
    effects = decided(situation=replace(SITUATION, recent_acknowledgements=recent))
    assert letter(effects, "acknowledgement").not_before == recent[0] + DAY
    assert letter(effects, "notification").not_before == NOW  # the agent is told at once all the same


@given(st.integers(1, 6), st.lists(st.timedeltas(timedelta(0), timedelta(hours=30)), max_size=40))
def test_never_more_than_the_limit_in_any_window_and_none_is_dropped(limit: int, gaps: list[timedelta]) -> None:
    now, times = NOW, list[datetime]()
    for gap in gaps:
        now += gap
        times.append(paced(times, limit, DAY, now))
        assert times[-1] >= now
    assert times == sorted(times)
    assert all(later - earlier >= DAY for earlier, later in zip(times, times[limit:], strict=False))


# -- laws ------------------------------------------------------------------------------------------------------------

TRUSTS = st.sampled_from(["customer", "participant", "addressed", "staff", "stranger", "newcomer"])
CASES = st.none() | st.builds(
    ticket, state=st.sampled_from(State), owner=st.sampled_from([None, ANA.address, "x@y.test"]), urgent=st.booleans()
)
KINDS = st.builds(Classification, st.sampled_from(list(POLICY.types)), st.floats(0, 1), urgent=st.booleans())
MAILS = st.builds(
    mail,
    st.sampled_from([CLARA, DIEGO]),
    st.text(max_size=30),
    headers=st.sampled_from([{}, {"X-Auto-Response-Suppress": "All"}]),
    complete=st.booleans(),
)


@given(TRUSTS, CASES, MAILS, KINDS)
def test_laws(trust: str, case: Ticket | None, message: Mail, kind: Classification) -> None:
    if (trust == "newcomer") is (case is not None) and trust != "stranger":
        case = None if trust == "newcomer" else ticket()
    if trust == "stranger":
        case = None
    linked = {"linked": REF} if trust == "stranger" else {}
    effects = decided(trust, case, message, kind, message.sender or CLARA, **linked)
    closings = [e for e in effects if isinstance(e, CloseInbound)]
    letters = [e for e in effects if isinstance(e, QueueLetter)]
    assert closings == effects[-1:]  # exactly one, and last
    for one in letters:
        assert one.recipient.address not in POLICY.office.addresses  # never a letter to ourselves
        assert one.customer_facing or POLICY.is_staff(one.recipient.address)  # nothing internal to customers
    acknowledgements = [one for one in letters if one.letter == "acknowledgement"]
    assert len(acknowledgements) <= len([e for e in effects if isinstance(e, OpenTicket)]) <= 1
    assert not (trust == "staff" and letters)  # a colleague's mail sends nothing
    assert all(e.direction == "note" for e in effects if isinstance(e, RecordMessage)) or trust != "staff"


# -- machines that shout, senders who are forged, strangers who ask ------------------------------------------------

NEWCOMER, JOINED = Identity(CLARA, "newcomer"), Identity(CLARA, "customer", CLUE, ticket())


@pytest.mark.parametrize(
    ("verdict", "identity", "urgency", "told_level_two"),
    [
        (Verdict.NO_REPLY, NEWCOMER, ("judicial",), True),
        (Verdict.AUTO_REPLY, NEWCOMER, ("salud",), True),
        (Verdict.LIST, NEWCOMER, ("salud", "fraude"), True),
        (Verdict.NO_REPLY, NEWCOMER, ("fraude",), False),
        (Verdict.NO_REPLY, NEWCOMER, (), False),
        (Verdict.BOUNCE, NEWCOMER, ("judicial",), False),  # it quotes a letter of ours: the beginning of a loop
        (Verdict.OWN, NEWCOMER, ("judicial",), False),
        (Verdict.AUTO_REPLY, JOINED, ("judicial",), False),
        (Verdict.UNREADABLE, None, ("judicial",), False),
    ],
)
def test_a_court_writes_from_an_address_that_nobody_reads(
    verdict: Verdict, identity: Identity | None, urgency: tuple[str, ...], told_level_two: bool
) -> None:
    effects = on_machine(MachineMail(mail(), NOW, Screening(verdict, "check", "X: y"), identity, urgency), DESK, NOW)
    assert told(effects) == [*(["alarm>coordinacion@lohas.test"] if told_level_two else []), "set_aside"]


FORGED = Authentication("mx.test", (Result("dmarc", "fail", {"header.from": "correo.test"}, "p=REJECT"),))


def on_checked(identity: Identity, text: str = "Hola", checked: Authentication = FORGED) -> list[Effect]:
    occasion = Occasion(mail(identity.author), NOW, Parts(text, ""), identity, CLAIM, checked)
    return on_mail(occasion, SITUATION, DESK, NOW)


def test_whoever_is_forged_gets_no_acknowledgement_and_the_owner_is_warned() -> None:
    effects = on_checked(NEWCOMER)
    assert told(effects) == [f"open {NEXT}", f"in {NEXT}", TELL_LUZ, "done"]
    assert "puede ser falso" in str(letter(effects, "notification").facts["warning"])


def test_a_forged_reply_joins_with_a_warning() -> None:
    assert "puede ser falso" in str(letter(on_checked(JOINED), "notification").facts["warning"])


ANSWERED = Clue("message_id", "<t@us>", REF, CLARA.address)
CASE = ticket()


@pytest.mark.parametrize(
    ("clue", "case", "asked", "checked", "question"),
    [
        (ANSWERED, CASE, False, NOTHING_KNOWN, True),
        (replace(ANSWERED, sent_to=None), CASE, False, NOTHING_KNOWN, True),  # a mail of the customer's own
        (CLUE, CASE, False, NOTHING_KNOWN, False),  # a subject can be guessed
        (replace(ANSWERED, internal=True), CASE, False, NOTHING_KNOWN, False),  # an agent forwarded a notification
        (ANSWERED, CASE, True, NOTHING_KNOWN, False),
        (ANSWERED, CASE, False, FORGED, False),
        (ANSWERED, ticket(state=State.CLOSED), False, NOTHING_KNOWN, False),
    ],
)
def test_the_customer_is_asked_once_whether_a_stranger_may_write(
    clue: Clue, case: Ticket, asked: bool, checked: Authentication, question: bool
) -> None:
    stranger = Identity(DIEGO, "stranger", clue, linked=REF, pointed_at=case)
    situation = replace(SITUATION, admission_asked=asked)
    effects = on_mail(Occasion(mail(DIEGO), NOW, Parts("Hola", ""), stranger, CLAIM, checked), situation, DESK, NOW)
    assert ("admit_question>clara@correo.test" in told(effects)) is question


ASKED = Clue("message_id", "<q@us>", REF, CLARA.address, letter="admit_question", about=DIEGO.address)


@pytest.mark.parametrize(
    ("author", "clue", "text", "checked", "admitted"),
    [
        (CLARA, ASKED, "SÍ", NOTHING_KNOWN, True),
        (CLARA, ASKED, "si, autorizo.\n\nClara", NOTHING_KNOWN, True),
        (CLARA, ASKED, "Si no me responden voy a la SIC", NOTHING_KNOWN, False),
        (CLARA, ASKED, "No", NOTHING_KNOWN, False),
        (CLARA, ASKED, "SÍ", FORGED, False),
        (CLARA, CLUE, "SÍ", NOTHING_KNOWN, False),
        (CLARA, replace(ASKED, letter="acknowledgement"), "SÍ", NOTHING_KNOWN, False),
        (DIEGO, ASKED, "SÍ", NOTHING_KNOWN, False),  # the stranger himself, with the customer's letter in hand
    ],
)
def test_only_the_customers_yes_to_the_question_admits(
    author: Address, clue: Clue, text: str, checked: Authentication, admitted: bool
) -> None:
    effects = on_checked(Identity(author, "customer", clue, CASE), text, checked)
    assert [e for e in effects if isinstance(e, AddParticipant)] == (
        [AddParticipant(REF, DIEGO.address)] if admitted else []
    )


@pytest.mark.parametrize(
    ("text", "yes"),
    [
        ("SÍ", True), ("si", True), ("Sí.", True), ("\n\n  Sí, señor\nGracias", True), ("«SÍ»", True),
        ("Sí, claro, por favor", True), ("Si no me contestan demando", False), ("Sí, pero no a ese", False),
        ("Si\u0301", True), ("Siii", True), ("“SÍ”", True), ("Buenas tardes, sí", True), ("Buenos días\n\nSI", True),
        ("Señores Lohas Beans: SÍ", True), ("Claro que sí", True), ("Sí, es mi esposo", True), ("Lo autorizo", True),
        ("¿Sí?", False), ("Sí? quién es", False), ("Hola, no", False), ("Sí, es mi ex y no lo autorizo", False),
        ("Siempre", False), ("", False), ("No", False), ("Quiero decir sí", False),
    ],
)  # fmt: skip
def test_what_is_a_yes(text: str, yes: bool) -> None:
    assert says_yes(text) is yes


def test_the_admin_hears_once_a_day_that_acknowledgements_wait() -> None:
    full = replace(SITUATION, recent_acknowledgements=(NOW,) * POLICY.acknowledgements_per_sender_per_day)
    assert "alarm>sistemas@lohas.test" in told(decided(situation=full))
    told_today = replace(full, fuse_told_at=NOW - timedelta(hours=23))
    assert "alarm>sistemas@lohas.test" not in told(decided(situation=told_today))
    told_before = replace(full, fuse_told_at=NOW - timedelta(hours=25))
    assert "alarm>sistemas@lohas.test" in told(decided(situation=told_before))
