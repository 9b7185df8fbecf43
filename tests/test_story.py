"""Twenty-five days of an office, letter by letter, against a written calendar; and the same with a week of downtime."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from bench import Bench, eml
from office import BOGOTA, DESK, POLICY

from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.adapters.sqlite_views import Filter, Views
from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound

LADDER = Desk(replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS)), DESK.calendar)
ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
CLARA, DIEGO = "Clara Gómez <clara@correo.test>", "Diego Paz <diego@otro.test>"
HOURS = (7, 8, 11, 14, 20)  # before office hours, at their begin, in them, after them
ANA, LUZ = "Ana Ruiz <ana@lohas.test>", "Luz Mora <luz@lohas.test>"


@dataclass
class Days:
    """The office day by day: mails at their hour, the clock at some hours of the day, letters leaving at once."""

    bench: Bench
    down: tuple[date, date] | None = None  # no program runs on these days; mail waits in the mailbox
    seen: int = 0
    said: list[str] = field(default_factory=list)
    waiting: list[tuple[datetime, bytes]] = field(default_factory=list)

    def until(self, last: date, mails: dict[datetime, bytes]) -> None:
        self.waiting = sorted(mails.items())
        self.between(date(2026, 6, 1), last)

    def between(self, first: date, last: date) -> None:
        for day in (first + timedelta(n) for n in range((last - first).days + 1)):
            if not (self.down and self.down[0] <= day <= self.down[1]):
                for hour in HOURS:
                    self._tick(datetime.combine(day, time(hour), BOGOTA))

    def _tick(self, now: datetime) -> None:
        while self.waiting and self.waiting[0][0] <= now:
            received, raw = self.waiting.pop(0)
            self.bench.post(raw, received)
        self.bench.work(now)
        ClockRound(self.bench.handler).run(now)
        with self.bench.store.transaction():
            for letter in self.bench.store.claim_letters(now, 100):
                self.bench.store.letter_sent(letter, "250 ok", now)
        letters = self.bench.letters()
        for letter in letters[self.seen :]:
            if letter.name != "digest":
                about = letter.reference[-1] if letter.reference else "-"
                self.said.append(f"{now:%m-%d} {letter.name} {about} > {letter.to.partition('@')[0]}")
        self.seen = len(letters)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "desk.db", LADDER)
    yield bench
    bench.close()


def at(day: int, hour: int = 10, minute: int = 42) -> datetime:
    return datetime(2026, 6, day, hour, minute, tzinfo=BOGOTA)


NOBODY_ANSWERS = """\
06-01 acknowledgement 1 > clara
06-01 notification 1 > ana
06-03 reminder 1 > ana
06-09 escalation 1 > coordinacion
06-12 progress 1 > clara
06-12 reminder 1 > ana
06-12 reminder 1 > coordinacion
06-19 escalation 1 > coordinacion
06-23 escalation 1 > gerencia
06-25 overdue 1 > clara
06-25 escalation 1 > ana
06-25 escalation 1 > gerencia
"""


def test_a_claim_that_nobody_answers(bench: Bench) -> None:
    days = Days(bench)
    days.until(date(2026, 6, 25), {at(1): eml()})
    assert "\n".join(days.said) + "\n" == NOBODY_ANSWERS
    assert bench.tickets()[0]["level"] == 3


WITH_A_WEEK_DOWN = """\
06-01 acknowledgement 1 > clara
06-01 notification 1 > ana
06-03 reminder 1 > ana
06-16 progress 1 > clara
06-16 reminder 1 > ana
06-16 reminder 1 > coordinacion
06-19 escalation 1 > coordinacion
06-23 escalation 1 > gerencia
06-25 overdue 1 > clara
06-25 escalation 1 > ana
06-25 escalation 1 > gerencia
"""


def test_the_same_with_the_daemon_stopped_for_a_week(bench: Bench) -> None:
    """From Monday 8 to Monday 15 June: everybody hears the last word once, and nothing twice."""
    days = Days(bench, down=(date(2026, 6, 8), date(2026, 6, 15)))
    days.until(date(2026, 6, 25), {at(1): eml()})
    assert "\n".join(days.said) + "\n" == WITH_A_WEEK_DOWN
    assert bench.tickets()[0]["level"] == 3


def resolved(bench: Bench, days: Days) -> None:
    """Clara's claim is answered for good on Tuesday 2 June."""
    days.until(date(2026, 6, 1), {at(1): eml()})
    told = bench.letters("notification")[0].mail["Message-ID"]
    bench.take(by(ANA, "#resolver\n\nLe devolvimos el dinero.", told), at(2))


def by(sender: str, text: str, told: str, reference: str = ONE) -> bytes:
    """A colleague's answer to a letter of the desk."""
    return eml(sender, f"Re: [{reference}]", text, f"<{abs(hash(text))}@lohas.test>", In_Reply_To=told)


HAPPY = """\
06-01 acknowledgement 1 > clara
06-01 notification 1 > ana
06-02 resolved 1 > clara
06-02 transcript 1 > ana
06-04 survey 1 > clara
06-10 closed 1 > clara
"""


def continued(days: Days, first: int, last: int) -> str:
    """The days from `first` to `last`, after what was done by hand."""
    days.between(date(2026, 6, first), date(2026, 6, last))
    return "\n".join(days.said) + "\n"


def test_a_resolved_case_is_asked_about_and_closes_quietly(bench: Bench) -> None:
    days = Days(bench)
    resolved(bench, days)
    assert continued(days, 2, 12) == HAPPY
    assert bench.tickets()[0]["state"] == "closed"


SURVEYED = [
    ("5", "resolved", 5, True),
    ("4, gracias por todo.\n\nClara", "resolved", 4, True),
    ("cinco", "resolved", 5, True),
    ("10/10", "resolved", 5, True),
    ("2, tardaron mucho", "open", 2, True),
    ("1", "open", 1, True),
    ("NO", "open", None, False),
    ("No, sigue igual.", "open", None, False),
]


@pytest.mark.parametrize(("text", "state", "rating", "solved"), SURVEYED, ids=[row[0][:9] for row in SURVEYED])
def test_the_survey_is_answered_with_a_digit(
    bench: Bench, text: str, state: str, rating: int | None, solved: bool
) -> None:
    days = Days(bench)
    resolved(bench, days)
    continued(days, 2, 4)
    survey = bench.letters("survey")[0].mail
    before = len(bench.letters())
    said = eml(subject=f"Re: {survey['Subject']}", text=text, message_id="<s@x>", In_Reply_To=survey["Message-ID"])
    bench.take(said, at(5))
    (ticket,) = bench.tickets()
    (rated,) = bench.rows("SELECT rating, resolved FROM rating")
    assert (ticket["state"], rated["rating"], bool(rated["resolved"])) == (state, rating, solved)
    after = [str(one) for one in bench.letters()[before:]]
    unhappy = ["escalation>coordinacion@lohas.test", "reopened>clara@correo.test", "notification>ana@lohas.test"]
    assert after == (unhappy if state == "open" else [])
    assert ticket["level"] == (2 if state == "open" else 1)


def test_who_wants_no_surveys_gets_none_again(bench: Bench) -> None:
    days = Days(bench)
    resolved(bench, days)
    continued(days, 2, 4)
    survey = bench.letters("survey")[0].mail
    bench.take(eml(subject="Re: x", text="NO ENCUESTA", message_id="<s@x>", In_Reply_To=survey["Message-ID"]), at(5))
    assert bench.tickets()[0]["state"] == "resolved"
    bench.take(eml(text="Otra cosa: solicito una cotización.", message_id="<c9@x>"), at(5, 11))
    told = bench.letters("notification")[-1].mail["Message-ID"]
    bench.take(by(LUZ, "#resolver\n\nVa la cotización.", told, TWO), at(5, 12))
    continued(days, 8, 19)
    assert len(bench.letters("survey")) == 1


WORDS = [
    ("gracias, muy amables", "resolved", []),
    ("Mil gracias, quedé muy contenta.", "resolved", []),
    ("Gracias, pero no me ha llegado.", "open", ["reopened>clara@correo.test", "notification>ana@lohas.test"]),
    ("No estoy de acuerdo con su respuesta.", "open",
     ["escalation>coordinacion@lohas.test", "reopened>clara@correo.test", "notification>ana@lohas.test"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "state", "letters"), WORDS, ids=[text for text, _, _ in WORDS])
def test_what_the_customer_says_after_the_resolution(bench: Bench, text: str, state: str, letters: list[str]) -> None:
    days = Days(bench)
    resolved(bench, days)
    before = len(bench.letters())
    bench.take(eml(subject=f"Re: [{ONE}]", text=text, message_id="<c2@x>"), at(2, 15))
    assert bench.tickets()[0]["state"] == state
    assert [str(one) for one in bench.letters()[before:]] == letters


@pytest.mark.parametrize(("text", "cases"), [("Mil gracias", 1), ("Gracias, pero llegó otra bolsa rota", 2)])
def test_thanks_for_a_closed_case_open_no_new_one(bench: Bench, text: str, cases: int) -> None:
    days = Days(bench)
    resolved(bench, days)
    continued(days, 2, 12)
    closing = bench.letters("closed")[0].mail["Message-ID"]
    bench.take(eml(subject=f"Re: [{ONE}]", text=text, message_id="<c2@x>", In_Reply_To=closing), at(12))
    assert [one["state"] for one in bench.tickets()] == ["closed", "new"][:cases]


def test_a_second_reopening_goes_up(bench: Bench) -> None:
    days = Days(bench)
    resolved(bench, days)
    for number in (1, 2):
        again = eml(subject=f"Re: [{ONE}]", text=f"Sigue fallando {number}.", message_id=f"<c{number}@x>")
        bench.take(again, at(2, 12 + number))
        told = bench.letters("notification")[-1].mail["Message-ID"]
        bench.take(by(ANA, f"#resolver\n\nListo {number}.", told), at(2, 12 + number, 50))
    assert (bench.tickets()[0]["reopened"], bench.tickets()[0]["level"]) == (2, 2)


def test_an_acknowledgement_that_never_left_is_watched(bench: Bench) -> None:
    """The policy's outer limit is five business days: the owner hears on the second, level 2 on the fourth."""
    bench.take(eml(), at(1))
    clock = ClockRound(bench.handler)
    heard = []
    for day in range(1, 9):
        before = len(bench.letters())
        clock.run(at(day, 9))
        said = [one for one in bench.letters()[before:] if "acuse de recibo" in " ".join(one.text.split())]
        heard += [f"{day} {one}" for one in said]
    assert heard == ["3 reminder>ana@lohas.test", "5 reminder>coordinacion@lohas.test"]


def test_what_was_asked_for_and_never_came_is_withdrawn(bench: Bench) -> None:
    bench.take(eml(subject="Solicitud de cotización", text="Solicito una cotización para 20 kilos."), at(1))
    told = bench.letters("notification")[0].mail["Message-ID"]
    bench.take(by(ANA, "#tipo solicitud\n#esperar\n\n¿A qué ciudad?", told), at(2))
    clock = ClockRound(bench.handler)
    for day in range(31):
        clock.run(datetime(2026, 7, 1, 9, 0, tzinfo=BOGOTA) + timedelta(day))
        if bench.tickets()[0]["state"] == "closed":
            break
    assert (day, bench.tickets()[0]["state"]) == (2, "closed")  # a month from 2 June ends on 2 July
    (letter,) = bench.letters("withdrawal")
    assert "2 de julio de 2026" in letter.text


def test_many_reminders_to_one_person_are_one_letter(bench: Bench) -> None:
    for number in range(6):
        bench.take(eml(f"c{number}@x.test", text=f"hola {number}", message_id=f"<{number}@x.test>"), at(1, 11))
    before = len(bench.letters())
    ClockRound(bench.handler).run(at(3, 8, 0))
    reminders = [one for one in bench.letters()[before:] if one.name == "reminder"]
    assert [one.to for one in reminders] == ["ana@lohas.test", "luz@lohas.test"]
    assert all(one.reference is None for one in reminders)
    assert reminders[0].text.count("PQR-2026-") >= 3


def test_a_clock_that_jumps_back_sends_nothing_twice(bench: Bench) -> None:
    bench.take(eml(), at(1))
    clock = ClockRound(bench.handler)
    clock.run(at(9, 9))
    count = len(bench.letters())
    for moment in (at(3, 9), at(9, 9), at(5, 9), at(9, 10)):
        clock.run(moment)
    assert len([one for one in bench.letters()[count:] if one.name != "digest"]) == 0


def test_nothing_that_can_wait_leaves_at_night_or_on_a_holiday(bench: Bench) -> None:
    bench.take(eml(), at(1))
    count = len(bench.letters())
    clock = ClockRound(bench.handler)
    for moment in (at(10, 6, 59), at(10, 17), at(13, 10), at(14, 10), at(15, 10)):
        clock.run(moment)
    assert len(bench.letters()) == count


# -- an outage of the server that takes letters --------------------------------------------------------------------


def leaving(bench: Bench, now: datetime) -> list[str]:
    """What goes when the server takes letters again."""
    clock, store = ClockRound(bench.handler), bench.store
    with store.transaction():
        gone = clock.decided_again(store.claim_letters(now, 100), now)
        for letter in gone:
            store.letter_sent(letter, "250 ok", now)
    return [f"{letter.letter}>{letter.recipient.partition('@')[0]}" for letter in gone]


def struck(bench: Bench, *moments: datetime) -> None:
    for moment in moments:
        ClockRound(bench.handler).run(moment)


def superseded(bench: Bench) -> list[str]:
    rows = bench.rows("SELECT letter, recipient FROM outbox WHERE state = 'dead' AND error = 'superseded' ORDER BY id")
    return [f"{row['letter']}>{row['recipient'].partition('@')[0]}" for row in rows]


def test_two_days_of_outage_then_resolved_what_the_clock_wrote_is_superseded(bench: Bench) -> None:
    bench.take(eml(), at(1))
    assert leaving(bench, at(1)) == ["acknowledgement>clara", "notification>ana"]
    struck(bench, at(10, 9), at(11, 9), at(12, 9))
    told = bench.letters("notification")[0].mail["Message-ID"]
    bench.take(by(ANA, "#resolver\n\nLe devolvimos el dinero.", told), at(12, 11))
    assert leaving(bench, at(12, 12)) == ["digest>ana", "resolved>clara", "transcript>ana"]
    assert superseded(bench) == [
        "reminder>ana", "escalation>coordinacion", "digest>ana", "digest>ana", "progress>clara", "reminder>ana",
        "reminder>coordinacion",
    ]  # fmt: skip
    events = bench.rows("SELECT detail FROM ticket_event WHERE event = 'letter_superseded'")
    assert {"detail": "progress to clara@correo.test"} in events


def test_that_an_acknowledgement_never_left_is_told_by_letters_that_do_leave(bench: Bench) -> None:
    """Its reason was remembered by the words of the letter, under which nothing is ever due: it was superseded."""
    bench.take(eml(), at(1))
    with bench.store.transaction():
        bench.store._run("UPDATE outbox SET state = 'uncertain' WHERE letter = 'acknowledgement'")
    leaving(bench, at(1))
    struck(bench, at(3, 9))
    assert leaving(bench, at(3, 9)) == ["reminder>ana", "digest>ana"]
    struck(bench, at(5, 9))
    assert leaving(bench, at(5, 9)) == ["reminder>coordinacion", "digest>ana"]


def test_what_still_holds_goes_after_an_outage_in_office_hours(bench: Bench) -> None:
    bench.take(eml(), at(1))
    leaving(bench, at(1))
    struck(bench, at(12, 16, 59))
    assert leaving(bench, at(12, 17, 1)) == []
    assert leaving(bench, at(13, 10)) == []
    assert leaving(bench, at(16, 8, 15)) == ["progress>clara", "reminder>ana", "reminder>coordinacion"]
    assert superseded(bench) == ["digest>ana"]


def test_a_letter_that_a_server_put_off_waits_for_office_hours_too(bench: Bench) -> None:
    """Greylisted at ten to five, it would have gone at night, and a survey on a Sunday (Ley 2300/2023)."""
    bench.take(eml(), at(1))
    leaving(bench, at(1))
    struck(bench, at(12, 16, 50))
    with bench.store.transaction():
        for letter in bench.store.claim_letters(at(12, 16, 50), 100):
            bench.store.letter_back(letter, at(12, 17, 51), "451 greylisted")
    assert leaving(bench, at(12, 17, 51)) == []
    assert sorted(leaving(bench, at(16, 8, 15))) == [
        "digest>ana", "progress>clara", "reminder>ana", "reminder>coordinacion",
    ]  # fmt: skip


def test_a_repeated_letter_of_yesterday_is_not_sent_beside_that_of_today(bench: Bench) -> None:
    bench.take(eml(), at(1))
    leaving(bench, at(1))
    struck(bench, at(24, 9))
    leaving(bench, at(24, 9))
    struck(bench, at(25, 9), at(26, 9))
    sent = leaving(bench, at(26, 9))
    assert sorted(sent) == ["digest>ana", "escalation>ana", "escalation>gerencia", "overdue>clara"]


def test_a_survey_that_never_left_is_asked_after_the_next_resolution(bench: Bench) -> None:
    days = Days(bench)
    resolved(bench, days)
    leaving(bench, at(2))
    struck(bench, at(4, 9))
    bench.take(eml(subject=f"Re: [{ONE}]", text="Sigue fallando.", message_id="<c2@x>"), at(4, 10))
    assert "survey>clara" not in leaving(bench, at(4, 11))
    told = bench.letters("notification")[-1].mail["Message-ID"]
    bench.take(by(ANA, "#resolver\n\nListo.", told), at(5))
    struck(bench, at(10, 9))
    assert "survey>clara" in leaving(bench, at(10, 9))


# -- an office that changes ----------------------------------------------------------------------------------------


def other_office(bench: Bench, **changes: object) -> Bench:
    """The same store under another configuration."""
    return Bench(bench.path, Desk(replace(LADDER.policy, **changes), LADDER.calendar))  # type: ignore[arg-type]


def said_at(bench: Bench, now: datetime) -> list[str]:
    before = len(bench.letters())
    struck(bench, now)
    return [str(one) for one in bench.letters()[before:] if one.name != "digest"]


def test_an_escalated_case_outlives_the_levels_it_rose_to(bench: Bench) -> None:
    bench.take(eml(), at(1))
    struck(bench, at(23, 9))
    assert bench.tickets()[0]["level"] == 3
    smaller = other_office(bench, levels=POLICY.levels[:1])
    told = said_at(smaller, at(25, 9))
    assert told == ["overdue>clara@correo.test", "escalation>ana@lohas.test"]
    again = eml(subject=f"Re: [{ONE}]", text="No estoy de acuerdo.", message_id="<c2@x>")
    assert smaller.take(again, at(25, 10))["state"] == "done"


def test_who_has_left_hears_nothing_any_more(bench: Bench) -> None:
    bench.take(eml(), at(1))
    level = replace(POLICY.levels[0], addresses=("luz@lohas.test",))
    without = other_office(bench, agents=POLICY.agents[1:], levels=(level, *POLICY.levels[1:]))
    assert said_at(without, at(3, 9)) == ["reminder>luz@lohas.test"]


def test_the_desk_hears_what_an_owner_who_is_away_would_miss(bench: Bench) -> None:
    level = replace(POLICY.levels[0], addresses=("ana@lohas.test", "luz@lohas.test"))
    both = other_office(bench, levels=(level, *POLICY.levels[1:]))
    both.take(eml(), at(1))
    with both.store.transaction():
        both.store._run("UPDATE ticket SET acknowledged_at = opened_at")
        both.store.note_absence("ana@lohas.test", date(2026, 6, 2), date(2026, 6, 30))
    assert said_at(both, at(3, 9)) == ["reminder>luz@lohas.test"]


def test_the_owner_who_is_the_level_too_hears_once_why(bench: Bench) -> None:
    small = other_office(bench, levels=POLICY.levels[:1])
    small.take(eml(), at(1))
    with small.store.transaction():
        small.store._run("UPDATE ticket SET acknowledged_at = opened_at")
    struck(small, at(12, 9))
    (letter,) = small.letters("reminder")
    assert " ".join(letter.text.split()).count("sin resolver, 8 días") == 1


def test_a_clock_that_was_ahead_forgets_no_case(bench: Bench) -> None:
    bench.take(eml(), at(1))
    told = bench.letters("notification")[0].mail["Message-ID"]
    leaving(bench, at(1))
    struck(bench, at(30, 9))  # everything was said, too early
    bench.take(by(ANA, "#resolver\n\nListo.", told), at(2))
    struck(bench, at(30, 10), at(3, 9))
    look_on = bench.tickets()[0]["look_on"]
    assert look_on <= "2026-06-10"


def test_a_thousand_letters_of_the_clock_keep_no_acknowledgement_waiting(bench: Bench) -> None:
    bench.take(eml(), at(1))
    with bench.store.transaction():
        for number in range(300):
            bench.store._run(
                """INSERT INTO outbox (letter, recipient, sender, automatic, message_id, token, raw, created_at,
                not_before, next_attempt_at, customer_facing) SELECT 'survey', recipient, sender, 1, ?1, ?1, raw,
                created_at, ?2, next_attempt_at, 1 FROM outbox LIMIT 1""",
                f"<{number}@x>", f"{at(2, 9).astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}",
            )  # fmt: skip
    bench.take(eml(DIEGO, text="Otro asunto.", message_id="<d1@x>"), at(2, 9, 1))
    (_, acknowledged) = bench.rows("SELECT not_before FROM outbox WHERE letter = 'acknowledgement' ORDER BY id")
    assert acknowledged["not_before"] < "2026-06-02T14:02"


def test_a_type_and_back_again_gives_back_the_extension_and_the_pause(bench: Bench) -> None:
    bench.take(eml(subject="Solicitud de cotización", text="Solicito una cotización para 20 kilos."), at(1))
    told = bench.letters("notification")[0].mail["Message-ID"]
    bench.take(by(ANA, "#tipo solicitud\n#prorrogar 2026-07-07 llega el lote", told), at(2))
    bench.take(by(ANA, "#esperar\n\n¿A qué ciudad?", told), at(3))
    bench.take(eml(subject=f"Re: [{ONE}]", text="A Cali.", message_id="<c2@x>"), at(10))
    was = bench.tickets()[0]["due_on"]
    assert was == "2026-07-14"  # 23 business days and four that were waited for; 13 July is a holiday
    dates = []
    for number, kind in enumerate(("reclamo", "habeas_data", "queja", "solicitud")):
        bench.take(by(ANA, f"#tipo {kind}", told), at(11, 10, number))
        dates.append(bench.tickets()[0]["due_on"])
    assert dates == ["2026-06-24", "2026-07-01", "2026-07-07", "2026-07-14"]


def test_who_owes_us_something_is_not_told_that_we_are_late(bench: Bench) -> None:
    bench.take(eml(subject="Solicitud de cotización", text="Solicito una cotización para 20 kilos."), at(1))
    told = bench.letters("notification")[0].mail["Message-ID"]
    bench.take(by(ANA, "#tipo solicitud\n#esperar\n\n¿A qué ciudad?", told), at(17))
    struck(bench, at(25, 9), at(26, 9))
    assert bench.letters("overdue") == []
    with closing(Views(bench.path, BOGOTA, LADDER.calendar)) as views:
        assert views.tickets(Filter(overdue=True), date(2026, 6, 26)) == []
    bench.take(by(ANA, "#tipo reclamo", told), at(26, 10))
    with closing(Views(bench.path, BOGOTA, LADDER.calendar)) as views:
        assert len(views.tickets(Filter(overdue=True), date(2026, 6, 26))) == 1


def test_progress_promises_no_day_that_has_passed(bench: Bench) -> None:
    bench.take(eml(), at(1))
    told = bench.letters("notification")[0].mail["Message-ID"]
    bench.take(by(ANA, "Estamos averiguando.", told), at(17))
    clock = ClockRound(bench.handler)
    for day in range(1, 15):
        clock.run(datetime(2026, 7, day, 9, tzinfo=BOGOTA))
    assert bench.letters("progress")
    for letter in bench.letters("progress"):
        assert "no cambia" not in letter.text
        assert "lo antes posible" in letter.text


# -- another calendar ----------------------------------------------------------------------------------------------


def test_a_new_holiday_moves_the_open_dates_once_and_is_noted(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db", LADDER)
    ClockRound(bench.handler).adopt_rules(at(1))
    bench.take(eml(), at(1))
    bench.close()
    civic = Desk(LADDER.policy, business_calendar(extra={date(2026, 6, 10): "Día cívico"}))
    bench = Bench(tmp_path / "desk.db", civic)
    assert bench.tickets()[0]["due_on"] == "2026-06-24"
    assert [ClockRound(bench.handler).adopt_rules(at(2)) for _ in range(2)] == [1, 0]
    assert bench.tickets()[0]["due_on"] == "2026-06-25"
    events = bench.rows("SELECT detail FROM ticket_event WHERE event = 'due_recounted'")
    assert events == [{"detail": "2026-06-24 -> 2026-06-25"}]
    bench.close()


def test_a_rule_with_another_name_sends_nothing_twice(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db", LADDER)
    ClockRound(bench.handler).adopt_rules(at(1))
    bench.take(eml(), at(1))
    with bench.store.transaction():
        bench.store._run("UPDATE ticket SET acknowledged_at = opened_at")
    ClockRound(bench.handler).run(at(3, 9))
    bench.close()
    renamed = tuple(replace(rule, name=f"{rule.name}, otra vez") for rule in LADDER.policy.reminders)
    bench = Bench(tmp_path / "desk.db", Desk(replace(LADDER.policy, reminders=renamed), LADDER.calendar))
    clock, before = ClockRound(bench.handler), len(bench.letters())
    clock.adopt_rules(at(3, 10))
    clock.run(at(3, 11))
    assert [str(one) for one in bench.letters()[before:]] == []
    bench.close()


def test_a_rule_that_is_new_takes_effect_at_the_next_round(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db", Desk(replace(POLICY, reminders=()), DESK.calendar))
    ClockRound(bench.handler).adopt_rules(at(1))
    bench.take(eml(), at(1))
    ClockRound(bench.handler).run(at(4, 9))
    bench.close()
    bench = Bench(tmp_path / "desk.db", LADDER)
    clock = ClockRound(bench.handler)
    clock.adopt_rules(at(4, 10))
    before = len(bench.letters())
    clock.run(at(4, 10))
    assert [str(one) for one in bench.letters()[before:]] == ["reminder>ana@lohas.test"]
    bench.close()


def test_the_button_of_the_survey_writes_a_mail_without_a_thread(bench: Bench) -> None:
    days = Days(bench)
    resolved(bench, days)
    continued(days, 2, 4)
    bench.take(eml(subject=f"[{ONE}] Café vencido", text="5", message_id="<s@x>"), at(5))
    assert bench.rows("SELECT rating FROM rating") == [{"rating": 5}]
    assert bench.tickets()[0]["state"] == "resolved"
