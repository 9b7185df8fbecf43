"""After a restore: the same numbers, nobody written to twice, no mail lost; what is not proved waits for a person."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from bench import SENT, Bench, eml
from office import ANA, BOGOTA, CLARA, DESK, NOW, POLICY

from pqr_mailbot.adapters.sqlite_files import back_up, restore
from pqr_mailbot.adapters.sqlite_ledger import DOUBT, Ledger
from pqr_mailbot.adapters.sqlite_store import StoreProblem, instant, only_daemon
from pqr_mailbot.adapters.sqlite_verify import damages
from pqr_mailbot.config import SHIPPED_REMINDERS, rules_of
from pqr_mailbot.domain.effects import QueueLetter
from pqr_mailbot.domain.lost_time import (
    FoundLetter,
    LostMail,
    LostWork,
    counters,
    references_then,
    skipped_numbers,
    skipped_words,
)
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.clock import ClockRound
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.restored import Aftermath, Settled, must_not_be_held

HOUR = timedelta(hours=1)
BACKUP, LOST, RESTORE = NOW + 4 * HOUR, NOW + 5 * HOUR, NOW + 20 * HOUR
LADDER = Desk(replace(POLICY, reminders=rules_of(SHIPPED_REMINDERS)), DESK.calendar)
ONE, TWO, THREE, FOUR = (f"PQR-2026-{number:06d}" for number in range(1, 5))
DIEGO = "Diego Paz <diego@otro.test>"


class Disaster:
    """A desk with a backup of its first hours; what happens afterwards is lost, but for what the mailbox has of it."""

    def __init__(self, directory: Path) -> None:
        self.path, self.copy = directory / "desk.db", directory / "backup.db"
        self.bench = Bench(self.path)
        self.inbox: list[tuple[bytes, Any]] = []  # what lies in the mailbox of the lost time
        self.saved: list[tuple[bytes, Any]] = []

    def deliver(self, at: Any = NOW) -> None:
        """Every letter that is due leaves."""
        with self.bench.store.transaction():
            for letter in self.bench.store.claim_letters(at, 1000):
                self.bench.store.letter_sent(letter, "250 2.0.0 ok", at)

    def back_up(self) -> None:
        back_up(self.path, self.copy)

    def receive(self, raw: bytes, at: Any = LOST) -> dict[str, Any]:
        """A mail of the lost time, handled by the lost desk."""
        self.inbox.append((raw, at))
        closed = self.bench.take(raw, at)
        self.deliver(at)
        return closed

    def letters(self) -> dict[str, str]:
        """Every letter so far: token and to whom."""
        rows = self.bench.rows("SELECT token, letter, recipient FROM outbox")
        return {row["token"]: f"{row['letter']}>{row['recipient']}" for row in rows}

    def provider_saves(self) -> None:
        """Copies of what was sent in the lost time lie in the Sent folder."""
        rows = self.bench.rows("SELECT raw, sent_at FROM outbox WHERE sent_at >= ? ORDER BY id", str(BACKUP)[:10])
        late = [(row["raw"], instant(row["sent_at"])) for row in rows]
        self.saved = [(raw, at + timedelta(seconds=1)) for raw, at in late if at > BACKUP]

    def strike(self) -> Bench:
        """The store is lost and the backup restored; the mailbox is read again. Nothing is handled yet."""
        self.bench.close()
        with only_daemon(self.path):
            restore(self.copy, self.path, RESTORE, force=True)
        self.bench = Bench(self.path)
        for raw, at in self.inbox:
            self.bench.post(raw, at)
        for raw, at in self.saved:
            self.bench.post(raw, at, folder=SENT)
        return self.bench

    def settle(self, arrived: int | None = None) -> Settled:
        count = len(self.inbox) if arrived is None else arrived
        return Aftermath(self.bench.handler, RESTORE + HOUR, count).settle()

    def states(self, where: str = "1") -> list[str]:
        rows = self.bench.rows(f"SELECT letter, recipient, state FROM outbox WHERE {where} ORDER BY id")
        return [f"{row['letter']}>{row['recipient']} {row['state']}" for row in rows]

    def events(self, name: str) -> list[str]:
        return [row["detail"] for row in self.bench.rows("SELECT detail FROM ticket_event WHERE event = ?", name)]


@pytest.fixture
def day(tmp_path: Path) -> Iterator[Disaster]:
    """One case before the backup: Clara's."""
    day = Disaster(tmp_path)
    day.bench.take(eml())
    day.deliver()
    day.back_up()
    yield day
    day.bench.close()


def from_diego(number: int, subject: str = "Molienda", **more: Any) -> bytes:
    return eml(DIEGO, subject, f"¿Qué molienda sirve para greca? {number}", f"<d{number}@otro.test>", **more)


def reply(raw: bytes, to: str, subject: str, number: int = 9, thread: str = "") -> bytes:
    """What a customer answers to a letter of ours."""
    letter = message_from_bytes(raw, policy=default)
    ours = letter["Message-ID"]
    return eml(
        to, f"Re: {subject}", f"Y otra cosa: {number}", f"<r{number}@otro.test>", In_Reply_To=ours,
        References=f"{thread} {ours}".strip(),
    )  # fmt: skip


# -- with the copies that the provider saved -----------------------------------------------------------------------


def test_a_case_goes_on_under_its_number_and_nobody_is_written_to_twice(day: Disaster) -> None:
    for number in (1, 2):
        assert day.receive(from_diego(number), LOST + number * HOUR)["reference"] == (TWO, THREE)[number - 1]
    before, tickets = day.letters(), day.bench.tickets()
    raws = {row["token"]: row["raw"] for row in day.bench.rows("SELECT token, raw FROM outbox")}
    day.provider_saves()
    bench = day.strike()
    settled = day.settle()
    assert (settled.mails, settled.same_reference, settled.letters_held) == (6, 2, 0)
    assert day.letters() == before
    assert {row["token"]: row["raw"] for row in bench.rows("SELECT token, raw FROM outbox")} == raws
    assert {row["state"] for row in bench.rows("SELECT state FROM outbox")} == {"sent"}
    for name in ("reference", "customer", "subject", "opened_at", "due_on", "owner"):
        assert [row[name] for row in bench.tickets()] == [row[name] for row in tickets], name
    assert all(row["acknowledged_at"] for row in bench.tickets())
    assert bench.take(from_diego(3), RESTORE + 2 * HOUR)["reference"] == FOUR
    assert damages(day.path) == []


def test_large_mails_and_letters_of_the_lost_time_are_kept_whole(day: Disaster) -> None:
    more = b"".join(b"%r\r\n" % (number * 7**40) for number in range(2**15))  # over 1 MB
    day.receive(from_diego(1) + more)
    day.provider_saves()
    day.saved = [(raw + more, at) for raw, at in day.saved]
    bench = day.strike()
    assert (day.settle().letters_held, len(day.saved)) == (0, 2)
    kept = [
        bench.store.letter_raw(row["id"]) for row in bench.rows("SELECT id FROM outbox WHERE length(raw) > 1 << 20")
    ]
    assert sorted(kept) == sorted(raw for raw, _ in day.saved)
    mail = bench.rows("SELECT id FROM inbound WHERE folder = 'inbox' ORDER BY id DESC LIMIT 1")[0]["id"]
    assert bench.store.raw_mail(mail) == from_diego(1) + more
    assert damages(day.path) == []


def test_an_answer_to_a_letter_that_was_found_belongs_to_its_case(day: Disaster) -> None:
    day.receive(from_diego(1))
    ack = day.bench.letters("acknowledgement")[1].raw
    day.provider_saves()
    bench = day.strike()
    day.settle()
    closed = bench.take(reply(ack, DIEGO, "sin número"), RESTORE + 2 * HOUR)
    assert (closed["reference"], closed["reason"]) == (TWO, "joined as customer")


def test_a_letter_whose_id_the_provider_rewrote_is_found(day: Disaster) -> None:
    day.receive(from_diego(1))
    day.provider_saves()
    given = b"<0100018f-0000@email.amazonses.test>"
    saved = []
    for raw, at in day.saved:
        head, _, rest = raw.partition(b"Message-ID: ")
        saved.append((head + b"Message-ID: " + given + rest[rest.index(b"\r\n") :], at))
    day.saved = saved[:1]
    bench = day.strike()
    assert day.settle().same_reference == 1
    answer = eml(DIEGO, "Re: x", "Gracias. ¿Y el envío?", "<r1@otro.test>", In_Reply_To=given.decode())
    assert bench.take(answer, RESTORE + 2 * HOUR)["reference"] == TWO


def test_somebody_elses_mail_in_sent_proves_nothing(day: Disaster) -> None:
    """A token counts only when we signed it for the one it was sent to."""
    day.receive(from_diego(1))
    day.provider_saves()
    day.saved = [(raw.replace(b"diego@otro.test", b"eva@lejos.test"), at) for raw, at in day.saved[:1]]
    day.strike()
    settled = day.settle()
    assert (settled.letters_found, settled.same_reference, settled.letters_held) == (0, 0, 1)


def test_a_persons_answer_in_sent_is_one(day: Disaster) -> None:
    """What an agent answered in the lost time went to the customer: the copy says so."""
    day.receive(from_diego(1))
    day.provider_saves()
    words = eml("Ana <info@lohas.test>", f"Re: [{TWO}] Molienda", "Molienda media.", "<a1@lohas.test>",
                To="diego@otro.test", In_Reply_To="<d1@otro.test>")  # fmt: skip
    day.saved.append((words, LOST + HOUR))
    bench = day.strike()
    day.settle()
    assert (bench.tickets()[1]["state"], bench.messages(TWO)[-1]["text"].strip()) == ("open", "Molienda media.")


# -- without them --------------------------------------------------------------------------------------------------


def test_without_a_proof_the_number_is_new_and_the_acknowledgement_waits(day: Disaster) -> None:
    day.receive(from_diego(1))
    bench = day.strike()
    settled = day.settle(arrived=7)
    assert (settled.mails, settled.same_reference, settled.letters_held) == (1, 0, 1)
    ticket = bench.tickets()[1]
    assert (ticket["reference"], ticket["acknowledged_at"]) == ("PQR-2026-000009", None)  # seven mails may have had one
    assert day.events("references_skipped") == [skipped_words(2026, 2, 8)]
    assert day.states("reference <> 'PQR-2026-000001'") == [
        "acknowledgement>diego@otro.test uncertain",
        "notification>luz@lohas.test queued",
    ]
    told = bench.letters("notification")[-1].text
    assert "se perdieron al restaurar una copia" in " ".join(told.split()) and "#acusar" in told
    assert damages(day.path) == []


def test_numbers_are_skipped_once_however_often_it_is_begun(day: Disaster) -> None:
    day.receive(from_diego(1))
    bench = day.strike()

    def dies(_: Sequence[int]) -> Iterable[int]:
        raise InterruptedError

    for _ in range(2):
        with pytest.raises(InterruptedError):
            Aftermath(bench.handler, RESTORE + HOUR, 1, dies).settle()
    day.settle()
    assert [row["reference"] for row in bench.tickets()] == [ONE, THREE]
    assert day.events("references_skipped") == [skipped_words(2026, 2, 2)]


def test_numbers_are_not_given_again_when_the_server_has_renumbered_the_inbox(day: Disaster) -> None:
    """Then its UIDs do not tell how many mails came: those that are there do."""
    for number in (1, 2, 3):
        day.receive(from_diego(number), LOST + number * HOUR)
    bench = day.strike()
    day.settle(arrived=0)
    assert [row["number"] for row in bench.tickets()] == [1, 5, 6, 7]
    assert damages(day.path) == []


def test_an_agent_lets_a_held_acknowledgement_go(day: Disaster) -> None:
    day.receive(from_diego(1))
    bench = day.strike()
    day.settle()
    case = bench.tickets()[1]["reference"]
    said, _, effects = bench.handler.colleagues().order(case, "#acusar", RESTORE + 2 * HOUR)
    with bench.store.transaction():
        bench.handler.applying(RESTORE + 2 * HOUR).all(effects)
    assert said[0].ok and day.states("letter = 'acknowledgement'")[1:] == [
        "acknowledgement>diego@otro.test uncertain",
        "acknowledgement>diego@otro.test queued",
    ]


def test_a_customers_answer_proves_the_number(day: Disaster) -> None:
    """Nothing lies in Sent, but Diego answered our acknowledgement, with its number and its id."""
    day.receive(from_diego(1))
    ack = day.bench.letters("acknowledgement")[1].raw
    day.receive(reply(ack, DIEGO, f"[{TWO}] Molienda", thread="<d1@otro.test>"), LOST + HOUR)
    bench = day.strike()
    settled = day.settle()
    assert settled.same_reference == 1
    assert [(row["reference"], row["customer"]) for row in bench.tickets()] == [
        (ONE, CLARA.address), (TWO, "diego@otro.test"),
    ]  # fmt: skip
    assert len([m for m in bench.messages(TWO) if m["direction"] == "in"]) == 2
    assert [s for s in day.states() if "queued" in s and "lohas" not in s] == []
    assert bench.take(from_diego(5, "otra cosa"), RESTORE + 2 * HOUR)["reference"] > TWO


def test_a_number_in_a_subject_alone_is_skipped_but_given_to_nobody(day: Disaster) -> None:
    """Whoever writes a number in a subject may have made it up: the counter goes above it, if it is a likely one."""
    for number, said in enumerate(("PQR-2026-000041", "PQR-2026-999999", "PQR-2031-000005"), 1):
        day.inbox.append((from_diego(number, f"Re: [{said}] Molienda"), LOST))
    bench = day.strike()
    day.settle(arrived=0)
    numbers = [row["reference"] for row in bench.tickets()[1:]]
    assert numbers == ["PQR-2026-000042", "PQR-2026-000043", "PQR-2026-000044"]
    assert damages(day.path) == []


def test_a_number_made_up_in_an_answer_to_a_letter_of_ours_is_given_to_nobody(day: Disaster) -> None:
    """Clara has a letter of ours, and with it a proof of nothing but that."""
    ack = day.bench.letters("acknowledgement")[0].raw
    day.receive(eml(subject="Molienda", text="¿Cuál sirve?", message_id="<d1@otro.test>"))
    day.receive(reply(ack, CLARA.address, "[PQR-2026-900000] Molienda", thread="<d1@otro.test>"), LOST + HOUR)
    bench = day.strike()
    day.settle()
    assert [row["reference"] for row in bench.tickets()] == [ONE, FOUR]
    assert damages(day.path) == []


def test_mail_after_the_restore_is_answered_as_always(day: Disaster) -> None:
    bench = day.strike()
    day.settle()
    bench.take(from_diego(1), RESTORE + HOUR)
    assert day.states("reference = 'PQR-2026-000002'")[0] == "acknowledgement>diego@otro.test queued"


def test_a_mail_that_somebody_puts_back_into_the_inbox_is_as_doubtful(day: Disaster) -> None:
    """The lost desk had acknowledged it before a colleague filed it; `reconcile` names it, nobody has handled it."""
    day.receive(from_diego(1))
    raw, at = day.inbox.pop()
    bench = day.strike()
    day.settle(arrived=1)
    bench.take(raw, at)
    assert day.states("reference = 'PQR-2026-000003'") == [
        "acknowledgement>diego@otro.test uncertain",
        "notification>luz@lohas.test queued",
    ]


# -- letters that were in the queue, and those of the clock --------------------------------------------------------


def test_letters_in_the_queue_of_the_backup(tmp_path: Path) -> None:
    """To customers they may have gone: held. Colleagues rather get one twice, with the same id."""
    day = Disaster(tmp_path)
    day.bench.take(eml())
    day.back_up()
    day.strike()
    assert day.settle().letters_held == 1
    assert day.states() == ["acknowledgement>clara@correo.test uncertain", "notification>ana@lohas.test queued"]
    assert day.bench.rows("SELECT error FROM outbox")[0]["error"] == DOUBT
    day.bench.close()


def test_a_letter_in_the_queue_that_lies_in_sent_did_go(tmp_path: Path) -> None:
    day = Disaster(tmp_path)
    day.bench.take(eml())
    day.back_up()
    day.saved = [(day.bench.letters("acknowledgement")[0].raw, LOST)]
    day.strike()
    assert day.settle().letters_held == 0
    assert day.states("customer_facing") == ["acknowledgement>clara@correo.test sent"]
    assert day.bench.tickets()[0]["acknowledged_at"]
    day.bench.close()


def test_what_the_clock_wrote_to_customers_in_the_lost_time_is_not_written_again(day: Disaster) -> None:
    """The term is long over at the restore: the lost desk told Clara so, on each day that asked for it."""
    day.bench.close()
    end = NOW + timedelta(days=40)
    with only_daemon(day.path):
        restore(day.copy, day.path, end, force=True)
    day.bench = Bench(day.path, LADDER)
    Aftermath(day.bench.handler, end + HOUR).settle()
    letters = day.states("customer_facing AND letter <> 'acknowledgement'")
    assert letters and {line.split()[-1] for line in letters} == {"uncertain"}
    told = "NOT customer_facing AND letter IN ('reminder', 'escalation')"
    assert day.states(told) == []
    morning = datetime(2026, 7, 14, 9, tzinfo=BOGOTA)
    ClockRound(day.bench.handler).run(morning)
    assert day.states(told)  # colleagues hear of it in the hours of the office
    assert day.states("customer_facing AND letter <> 'acknowledgement'") == letters


def test_a_night_without_letters_leaves_nothing_in_doubt(tmp_path: Path) -> None:
    """In the hours that were lost no letter to a customer could go: what is due goes in the morning as always."""
    bench = Bench(tmp_path / "desk.db", LADDER)
    bench.take(eml())
    clock, evening = ClockRound(bench.handler), datetime(2026, 7, 13, 20, tzinfo=BOGOTA)
    night, noon = evening + 10 * HOUR, evening + 16 * HOUR
    assert clock.make_up(LostWork(), evening, night, night) == 0
    assert clock.make_up(LostWork(), evening, noon, noon) == 1
    bench.close()


@pytest.mark.parametrize("hours", [0, 7], ids=["at once", "in the evening"])
def test_a_survey_of_the_lost_time_came_before_its_answer(tmp_path: Path, hours: int) -> None:
    """Else the answer reopens a case that is over, and the survey that lies in Sent is nobody's."""
    day = Disaster(tmp_path)
    day.bench.close()
    day.bench = Bench(day.path, LADDER)
    day.bench.take(eml())
    day.deliver()
    day.bench.take(answered(day, "#resolver\n\nLe enviamos otro café."), BACKUP - HOUR)
    day.deliver(BACKUP - HOUR)
    day.back_up()
    lost, night = datetime(2026, 6, 3, 10, tzinfo=BOGOTA), datetime(2026, 6, 3, 20, tzinfo=BOGOTA)
    ClockRound(day.bench.handler).run(lost)
    day.deliver(lost)
    survey = day.bench.letters("survey")[0].raw
    answer = reply(survey, CLARA.address, "Café vencido").replace(b"Y otra cosa: 9", b"5, gracias.")
    day.receive(answer, lost + hours * HOUR)
    day.provider_saves()
    day.bench.close()
    with only_daemon(day.path):
        restore(day.copy, day.path, night, force=True)
    day.bench = bench = Bench(day.path, LADDER)
    for raw, at in day.inbox:
        bench.post(raw, at)
    for raw, at in day.saved:
        bench.post(raw, at, folder=SENT)
    Aftermath(bench.handler, night + HOUR).settle()
    assert day.states("letter = 'survey'") == ["survey>clara@correo.test sent"]
    assert [row["rating"] for row in bench.rows("SELECT rating FROM rating")] == [5]
    assert [row["state"] for row in bench.tickets()] == ["resolved"]
    bench.close()


# -- colleagues ----------------------------------------------------------------------------------------------------


def answered(day: Disaster, text: str = "Le enviamos otro café.") -> bytes:
    """What Ana answers to her notification of Clara's case, which the backup knows."""
    letter = day.bench.letters("notification")[0].mail
    return eml("Ana Ruiz <ana@lohas.test>", f"Re: {letter['Subject']}", text, "<ana1@lohas.test>",
               In_Reply_To=letter["Message-ID"], References=letter["Message-ID"])  # fmt: skip


def test_what_a_colleague_answered_in_the_lost_time_does_not_go_again_by_itself(day: Disaster) -> None:
    day.receive(answered(day))
    assert "answer>clara@correo.test" in day.letters().values()
    bench = day.strike()
    day.settle()
    assert "answer>clara@correo.test" not in day.letters().values()
    (held,) = bench.letters("transcript")
    assert held.to == ANA.address and "puede haberse hecho ya" in " ".join(held.text.split())
    word = eml("Ana Ruiz <ana@lohas.test>", f"Re: {held.mail['Subject']}", "#enviar", "<ana2@lohas.test>",
               In_Reply_To=held.mail["Message-ID"])  # fmt: skip
    bench.take(word, RESTORE + 2 * HOUR)
    assert day.states("letter = 'answer'") == ["answer>clara@correo.test queued"]


def test_an_answer_that_reached_the_customer_by_itself_is_recorded(day: Disaster) -> None:
    """There is nothing left to send, so there is nothing to doubt."""
    raw = answered(day).replace(b"To: info@lohas.test", b"To: clara@correo.test, info@lohas.test")
    day.receive(raw)
    bench = day.strike()
    day.settle()
    assert bench.messages(ONE)[-1]["author"] == ANA.address
    assert bench.tickets()[0]["first_answered_at"]
    assert [name for name in day.letters().values() if name.startswith("answer")] == []


# -- until it is settled -------------------------------------------------------------------------------------------


def test_nothing_is_done_before_the_mailbox_was_read(day: Disaster) -> None:
    day.receive(from_diego(1))
    bench = day.strike()
    ledger = Ledger(bench.store)
    assert ledger.held() == "restored from a backup of 2026-06-01 15:42 UTC: nothing is sent until `reconcile`"
    with pytest.raises(StoreProblem, match="nothing is sent until `reconcile`"):
        must_not_be_held(bench.store)
    day.settle()
    assert ledger.held() == ""
    must_not_be_held(bench.store)


def test_a_backup_of_a_held_desk_knows_what_was_lost_before(day: Disaster) -> None:
    """The nightly backup went on while nobody had run `reconcile`, and was restored in its turn."""
    for number in (1, 2):
        day.receive(from_diego(number), LOST + number * HOUR)
    day.provider_saves()
    bench = day.strike()
    first = Ledger(bench.store).lost_time()
    bench.close()
    back_up(day.path, day.path.with_name("held.db"))
    restore(day.path.with_name("held.db"), day.path, RESTORE + 9 * HOUR, force=True)
    day.bench = bench = Bench(day.path)
    ledger = Ledger(bench.store)
    again = ledger.lost_time()
    assert first and again and (again.begin, again.end) == (first.begin, RESTORE + 9 * HOUR)
    assert ledger.arrived_since("INBOX", 1, 4) == 2
    assert day.settle().same_reference == 2


def test_restored_twice_no_number_is_given_to_two_customers(day: Disaster) -> None:
    """Nothing lies in Sent. Between the two the desk worked, and gave Eva a number."""
    for number in (1, 2, 3):
        day.receive(from_diego(number), LOST + number * HOUR)
    day.strike()
    day.settle()
    eva = eml("eva@lejos.test", "Pedido", "¿Cuánto vale la libra?", "<e1@lejos.test>")
    given = day.receive(eva, RESTORE + 2 * HOUR)["reference"]
    day.strike()
    day.settle()
    assert given not in [row["reference"] for row in day.bench.tickets()]
    assert damages(day.path) == []


def test_the_numbers_of_another_desk_are_nobodys(day: Disaster, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other.db")
    for number in (1, 2, 3):
        other.take(from_diego(number))
    other.close()
    restore(day.copy, tmp_path / "other.db", RESTORE, force=True)
    other = Bench(tmp_path / "other.db")
    assert Ledger(other.store).given() == {}
    other.close()
    day.bench.close()
    restore(day.copy, day.path, RESTORE, force=True)
    day.bench = Bench(day.path)
    assert Ledger(day.bench.store).given() == {2026: 1}


def test_a_settlement_that_was_broken_off_is_taken_up_again(day: Disaster, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2, 3):
        day.receive(from_diego(number), LOST + number * HOUR)
    before = day.letters()
    day.provider_saves()
    bench = day.strike()
    handled = []

    def killed(handler: Handler, inbound_id: int, now: Any) -> None:
        if len(handled) == 3:
            raise KeyboardInterrupt
        handled.append(inbound_id)
        alone(handler, inbound_id, now)

    alone = Handler.alone
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Handler, "alone", killed)
        day.settle()
    assert Ledger(bench.store).held()
    day.settle()
    assert not Ledger(bench.store).held()
    assert day.letters() == before
    assert [row["reference"] for row in bench.tickets()] == [ONE, TWO, THREE, FOUR]
    assert damages(day.path) == []


def test_a_mail_that_fails_stays_doubtful(day: Disaster) -> None:
    """Handled again later, it does not write to the customer either."""
    day.receive(from_diego(1))
    bench = day.strike()
    good, bad = bench.handler, replace(bench.handler, desk=None)  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        Aftermath(bad, RESTORE + HOUR).settle()
    with bench.store.transaction():
        Ledger(bench.store).doubt_mails(Ledger(bench.store).lost_time())  # type: ignore[arg-type]
        bench.store.fail_inbound(2, "it broke")
    day.settle()
    with bench.store.transaction():
        bench.store.retry(2, as_person=False)
    good.round(lambda: RESTORE + 2 * HOUR)
    assert day.states("letter = 'acknowledgement'")[1:] == ["acknowledgement>diego@otro.test uncertain"]


# -- the rules, pure -----------------------------------------------------------------------------------------------


def letter(number: int, reference: str, answers: str, to: str = "diego@otro.test", **more: Any) -> FoundLetter:
    fields: dict[str, Any] = {"automatic": "auto-replied", "at": LOST, **more}
    return FoundLetter(
        number, f"t{number}", f"<l{number}>", to, answers=(answers,), references=(reference,), **fields
    )  # fmt: skip


def lost(number: int, references: tuple[str, ...] = (), proven: bool = False, **more: Any) -> LostMail:
    fields: dict[str, Any] = {"author": "diego@otro.test", "subject": "Molienda", "thread": (), "at": LOST, **more}
    return LostMail(number, f"<m{number}>", references=references, proven=proven, **fields)


EVA = {"author": "eva@lejos.test"}
THEN: list[tuple[str, list[FoundLetter], list[LostMail], dict[int, str]]] = [
    ("an acknowledgement names it", [letter(1, TWO, "<m1>")], [lost(1)], {1: TWO}),
    ("a letter to somebody else", [letter(1, TWO, "<m1>", "eva@lejos.test")], [lost(1)], {}),
    ("a number of the store's own", [letter(1, ONE, "<m1>")], [lost(1)], {}),
    ("two letters about one case", [letter(1, TWO, "<m1>"), letter(2, TWO, "<m2>")], [lost(1), lost(2)], {1: TWO}),
    ("a notification", [letter(1, TWO, "", "ana@lohas.test", internal=True)], [lost(1)], {}),
    ("an answer names the mail", [], [lost(1), lost(2), lost(3, (TWO,), True, thread=("<m2>",))], {2: TWO}),
    ("an answer with its subject", [], [lost(1, subject="Otra"), lost(2), lost(3, (TWO,), True)], {2: TWO}),
    ("an answer, its mail gone", [], [lost(1, subject="Otra"), lost(3, (TWO,), True)], {3: TWO}),
    ("a subject alone", [], [lost(1), lost(3, (TWO,))], {}),
    ("an answer about another's case", [letter(1, TWO, "<m1>")], [lost(1), lost(3, (TWO,), True, **EVA)], {1: TWO}),
    ("a number made up", [], [lost(1), lost(3, ("PQR-2026-900000",), True)], {}),
    ("a number of another year", [], [lost(1), lost(3, ("PQR-2031-000001",), True)], {}),
    ("a number that is none", [], [lost(1), lost(3, ("PQR-2026-000000",), True)], {}),
    ("two who claim one number", [], [lost(1, (TWO,), True), lost(2, (TWO,), True, **EVA)], {1: TWO}),
]


@pytest.mark.parametrize(("letters", "mails", "then"), [row[1:] for row in THEN], ids=[row[0] for row in THEN])
def test_which_number_a_case_had(letters: list[FoundLetter], mails: list[LostMail], then: dict[int, str]) -> None:
    assert references_then(letters, mails, {ONE}, {2026: 9}) == then


COUNTERS: list[tuple[list[str], list[str], dict[int, int]]] = [  # of letters, of subjects, what comes of it
    ([], [], {}),
    ([TWO], [], {2026: 2}),
    ([ONE], [ONE], {}),
    (["PQR-2026-700000"], [], {2026: 700000}),  # our own word
    ([], ["PQR-2026-700000"], {}),  # anybody's
    ([], ["PQR-2026-005000"], {2026: 5000}),
    ([], ["PQR-2027-000004"], {2027: 4}),
    ([], ["PQR-2028-000004"], {}),
]


@pytest.mark.parametrize(("letters", "subjects", "highest"), COUNTERS)
def test_where_the_counter_goes_on(letters: list[str], subjects: list[str], highest: dict[int, int]) -> None:
    found = [letter(n, reference, "<m>") for n, reference in enumerate(letters)]
    assert counters(found, [(subject,) for subject in subjects], {2026: 1}, (2026, 2027)) == highest


def test_skipped_numbers_are_read_as_they_were_noted() -> None:
    assert skipped_numbers(skipped_words(2026, 2, 8)) == [(2026, 2, 8)]


def test_a_found_letter_is_taken_once() -> None:
    wanted = QueueLetter("acknowledgement", Address("diego@otro.test"), "x", {}, "auto-replied", NOW, TWO, "<m1>",
                         customer_facing=True)  # fmt: skip
    work = LostWork([letter(1, TWO, "<m1>")])
    assert work.take(replace(wanted, automatic="auto-generated"), LOST) is None
    assert work.take(replace(wanted, answers="<m2>"), LOST) is None
    assert work.take(wanted, LOST + 2 * HOUR) is None  # sent before the mail that it would answer
    assert work.take(wanted, LOST) is not None
    assert work.take(wanted, LOST) is None
