"""What must always hold in a simulated office, each rule with its source; and an oracle for deadlines that calls none
of the code it judges: holidays from Easter and the statutes, terms from colombia.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from email import message_from_bytes
from email.header import decode_header, make_header
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from office import BOGOTA
from simulated_people import OFFICE, Letter

from pqr_mailbot.adapters.sqlite_store import Store

if TYPE_CHECKING:
    from simulation import Year

DAY = timedelta(days=1)

RULES: Mapping[str, str] = {
    "nothing is lost": "design 2, colombia.md “nothing may be dropped”: a person's mail is in exactly one case, a "
    "machine's is set aside with a reason, none fails",
    "one acknowledgement": "contract, colombia.md: one a case, none where it is withheld, more only by order",
    "never twice": "design 8: the same letter reaches nobody twice, but after a crash in its middle",
    "no holes": "contract “The reference”: a counter without holes within the year",
    "nothing internal": "policy 7, design 5: no note, key, or address of colleagues or other customers in a letter to "
    "a customer, no words that had to be held, no forger's words",
    "no other case": "design 4: a reference proves no right: a stranger's mail joins no case, and a customer's letter "
    "names only cases of theirs",
    "reminded once": "design 7: a rule fires once a (case, rule, cycle), and nobody is told twice of it",
    "hours": "design 7: letters that can wait go in office hours of business days",
    "surveys": "Ley 2300/2023: Monday to Friday 7-19, Saturday 8-15, no Sunday or holiday; one a case; not after NO "
    "ENCUESTA; none for a sugerencia or felicitacion",
    "deadline": "colombia.md “Counting days”: from the receipt, by the term of its type, its extension and its pauses",
    "never earlier": "design 7: neither a pause nor a holiday nor anything but another type makes a deadline earlier",
    "overdue is told": "colombia.md “The ladder”: each business day",
    "every case ends": "colombia.md “The ladder”: what is not closed is young, told as overdue, or waits lawfully",
    "bounded": "design 3: five acknowledgements a day and mailbox; a few dozen letters to anybody in a day",
    "machines hear nothing": "design 3: no letter to a machine",
    "history": "design 9: each row carries the hash of the one before",
    "states": "contract “States”: only along allowed moves",
    "threads": "contract “The reference”, design 4: a reply joins its case, or one that is linked with it",
    "pauses": "colombia.md: a term stands still only while the case waits for its customer",
}


@dataclass(frozen=True)
class Violation:
    """What was broken, when by the office's clock, and by what."""

    rule: str
    at: datetime
    what: str

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.rule}: {self.what}"


# -- the oracle ----------------------------------------------------------------------------------------------------

TERMS = {
    "reclamo": 15, "queja": 15, "solicitud": 15, "derecho_de_peticion": 10, "habeas_data": 10, "sugerencia": 15,
    "felicitacion": 5,
}  # fmt: skip
LONGEST_EXTENSION = {"queja": 15, "solicitud": 15, "derecho_de_peticion": 10, "habeas_data": 5}
MONTHS_TO_COMPLETE = {"solicitud": 1, "derecho_de_peticion": 1, "habeas_data": 2}  # the others know no pause
COURTESIES = ("sugerencia", "felicitacion")


@lru_cache(maxsize=64)
def holidays(year: int) -> frozenset[date]:
    """Ley 51/1983 and Ley 2578/2026, from Easter (Gauss, as Meeus has it)."""
    a, b, c = year % 19, year // 100, year % 100
    h = (19 * a + b - b // 4 - (b - (b + 8) // 25 + 1) // 3 + 15) % 30
    k = (32 + 2 * (b % 4) + 2 * (c // 4) - h - c % 4) % 7
    m = (a + 11 * h + 22 * k) // 451
    month, day = divmod(h + k - 7 * m + 114, 31)
    easter = date(year, month, day + 1)
    fixed = [date(year, *one) for one in ((1, 1), (5, 1), (7, 20), (8, 7), (12, 8), (12, 25))]
    moved = [(1, 6), (3, 19), (6, 29), (8, 15), (10, 12), (11, 1), (11, 11), *([(7, 9)] if year >= 2026 else [])]
    mondays = [day + DAY * (-day.weekday() % 7) for day in (date(year, *one) for one in moved)]
    return frozenset((*fixed, *mondays, *(easter + DAY * n for n in (-3, -2, 43, 64, 71))))


def is_business_day(day: date, more: Iterable[date]) -> bool:
    return day.weekday() < 5 and day not in holidays(day.year) and day not in more


def last_day(received: date, days: int, pauses: Iterable[tuple[date, date]], more: Iterable[date]) -> date:
    """The day of receipt is excluded, days of a pause do not count, the term ends with its last business day."""
    day = received
    while days:
        day += DAY
        days -= is_business_day(day, more) and not any(asked < day <= came for asked, came in pauses)
    return day


def term_of(kind: str, said: Mapping[str, Any]) -> int:
    """A type that is sure has its own term; else the shortest of those at least half as probable counts."""
    if said["confidence"] >= 0.9:
        return TERMS[kind]
    enough = said["scores"].get(kind, 0.0) / 2
    likely = [TERMS[one] for one, score in said["scores"].items() if score >= enough and one not in COURTESIES]
    return min(likely, default=TERMS[kind])


# -- what is watched -----------------------------------------------------------------------------------------------

CAN_WAIT = ("reminder", "progress", "overdue", "digest", "closed", "withdrawal")
MOVES = {
    "new": {"open", "waiting", "resolved", "closed"}, "open": {"waiting", "resolved", "closed"},
    "waiting": {"open", "resolved", "closed"}, "resolved": {"open", "waiting", "closed"},
    "closed": {"open", "resolved", "waiting"},  # the latter two by two orders of one mail
}  # fmt: skip
_UNFOLDED = re.compile(r"\r\n[ \t]+")
_MARK = re.compile(r"z([a-z])[0-9a-f]{10}")
_ADDRESS = re.compile(r"[\w.+-]+@[\w.-]+\w")
_TOKEN = re.compile(r"[a-z2-7]{13}\.[a-z2-7]{16}")
_REFERENCE = re.compile(r"PQR-\d{4}-\d{6}")
_WATCHED = (
    """CREATE TEMP TABLE moves (reference TEXT, state TEXT, state_now TEXT, due TEXT, due_now TEXT, type TEXT,
        type_now TEXT)""",
    """CREATE TEMP TRIGGER moved AFTER UPDATE OF state, due_on, type ON main.ticket
        WHEN old.state <> new.state OR old.due_on <> new.due_on BEGIN INSERT INTO moves
        VALUES (new.reference, old.state, new.state, old.due_on, new.due_on, old.type, new.type);
    END""",
)


@dataclass
class Watch:
    """Looks at every letter that leaves, at the store after every round, and at everything when the year is over."""

    year: Year
    violations: list[Violation] = field(default_factory=list)
    store: Store = field(init=False)
    accepted: Counter[str] = field(default_factory=Counter)  # letters, by token
    daily: Counter[tuple[str, date]] = field(default_factory=Counter)  # letters to a customer's mailbox in a day
    answers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # tokens, by an answer's mark
    known_to: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # who may hear of a case
    staff: frozenset[str] = frozenset()
    trusts_clock: bool = True

    def __post_init__(self) -> None:
        policy = self.year.policy
        groups = [agent.addresses for agent in policy.agents] + [level.addresses for level in policy.levels]
        self.staff = frozenset().union(*groups, policy.alarms_to, policy.reports_to)

    def broken(self, rule: str, what: str) -> None:
        assert rule in RULES
        self.violations.append(Violation(rule, self.year.clock().astimezone(BOGOTA), what))

    def opened(self, store: Store) -> None:
        self.store = store
        for statement in _WATCHED:
            store.db.conn.execute(statement)

    def skewed(self) -> None:
        """From now on the office's clock is not to be trusted: what it was told of when, proves nothing."""
        self.trusts_clock = False

    # -- a letter leaves -------------------------------------------------------------------------------------------

    def letter(self, recipient: str, raw: bytes) -> Letter:
        head = _UNFOLDED.sub(" ", raw.partition(b"\r\n\r\n")[0].decode())
        fields = dict(line.split(": ", 1) for line in head.split("\r\n"))
        token = fields["X-PQR-Letter"]
        row = self.store._first("SELECT * FROM outbox WHERE token = ?", token)
        assert row, "a letter that is in no outbox"
        letter = Letter(
            row["letter"], recipient, row["reference"], token, fields["Message-ID"], fields["References"],
            str(make_header(decode_header(fields["Subject"]))), _text(raw), row["about"], bool(row["customer_facing"]),
        )  # fmt: skip
        self.accepted[token] += 1
        if self.accepted[token] > 1 + row["interrupted"]:
            self.broken("never twice", f"{letter.name} to {recipient} went {self.accepted[token]} times")
        if recipient in self.year.people.machines and not self.store._first(_OPENED_BY_HAND, recipient):
            self.broken("machines hear nothing", f"{letter.name} to {recipient}")
        self._hours(letter, row)
        if letter.to_customer:
            self._to_customer(letter, head)
        return letter

    def _hours(self, letter: Letter, row: Mapping[str, Any]) -> None:
        local = self.year.clock().astimezone(BOGOTA)
        day, more = local.date(), self.year.holidays
        if letter.name == "survey":
            opens, closes = (time(8), time(15)) if day.weekday() == 5 else (time(7), time(19))
            off = day.weekday() == 6 or day in holidays(day.year) or day in more
            if off or not opens <= local.time() < closes or day in self.year.policy.closures:
                self.broken("surveys", f"left on {local:%A %Y-%m-%d %H:%M} (attempt {row['attempts']})")
            return
        of_clock = self.store.reasons(row["id"])
        if (letter.name in CAN_WAIT or of_clock) and not (
            is_business_day(day, more) and time(8) <= local.time() < time(17) and day not in self.year.policy.closures
        ):
            self.broken("hours", f"{letter.name} left on {local:%A %Y-%m-%d %H:%M} (attempt {row['attempts']})")

    def _to_customer(self, letter: Letter, head: str) -> None:
        self.daily[letter.recipient, self.year.now.astimezone(BOGOTA).date()] += 1
        text = f"{letter.subject}\n{letter.text}"
        self._marks(letter, text)
        self._addresses(letter, text)
        if "Correo interno" in text:
            self.broken("nothing internal", f"the internal footer stands in {letter.name} of {letter.reference}")
        for token in set(_TOKEN.findall(head + text)) - {letter.token}:
            row = self.store._first("SELECT customer_facing, recipient FROM outbox WHERE token = ?", token)
            if row and not row["customer_facing"]:
                self.broken("nothing internal", f"the key of {row['recipient']} stands in {letter.name}")
        for reference in set(_REFERENCE.findall(text)):
            if letter.recipient not in {*self._people_of(reference), self._opened_by(reference)}:
                self.broken("no other case", f"{reference} stands in {letter.name} to {letter.recipient}")

    def _marks(self, letter: Letter, text: str) -> None:
        for found in _MARK.finditer(text):
            if found[1] in "nlfc":
                self.broken("nothing internal", f"{found[0]} stands in {letter.name} of {letter.reference}")
            elif found[1] == "a":
                self._answered(found[0], letter)

    def _addresses(self, letter: Letter, text: str) -> None:
        case = self._people_of(letter.reference)
        allowed = {OFFICE, letter.recipient, *case}
        for address in _ADDRESS.findall(text):
            if address in self.staff or (
                address in self.year.people.customers and address not in allowed and letter.name != "admit_question"
            ):
                self.broken("nothing internal", f"{address} stands in {letter.name} to {letter.recipient}")

    def _people_of(self, reference: str | None) -> set[str]:
        """Who is or was of a case."""
        known = self.known_to[reference or ""]
        row = self.store._first("SELECT customer, reply_address FROM ticket WHERE reference = ?", reference)
        guests = self.store._all("SELECT address FROM participant WHERE reference = ?", reference)
        known.update(filter(None, (row or {}).values()), (guest["address"] for guest in guests))
        return known

    def _opened_by(self, reference: str) -> str:
        """Whose case it was before an order gave it to somebody else; an acknowledgement may have waited."""
        sql = "SELECT author FROM message WHERE reference = ? AND direction = 'in' ORDER BY id LIMIT 1"
        return str((self.store._first(sql, reference) or {}).get("author"))

    def _answered(self, mark: str, letter: Letter) -> None:
        """The same words of a colleague reach one mailbox by as many letters as they wrote mails of them."""
        told = self.answers[f"{mark} {letter.recipient}"]
        told.add(letter.token)
        if len(told) > self.year.people.said[mark]:
            self.broken("never twice", f"the answer {mark} went to {letter.recipient} in {len(told)} letters")

    # -- after a round ---------------------------------------------------------------------------------------------

    def after_clock(self) -> None:
        """The clock has just struck: whoever has to hear today of a case that is overdue, was told."""
        local = self.year.clock().astimezone(BOGOTA)
        today, more = local.date(), self.year.handler.desk.calendar.holiday
        if not is_business_day(today, ()) or more(today) or today in self.year.policy.closures:
            return
        if not time(8) <= local.time() < time(17):
            return
        rows = self.store._all(
            """SELECT reference, state, type FROM ticket WHERE state IN ('new', 'open', 'waiting') AND due_on < ?1
            AND NOT EXISTS (SELECT 1 FROM fired WHERE about = reference AND rule = 'vencido' AND cycle = ?1)""",
            today.isoformat(),
        )
        for row in rows:
            if row["state"] != "waiting" or row["type"] not in MONTHS_TO_COMPLETE:
                self.broken("overdue is told", f"{row['reference']} ({row['state']}) not on {today}")

    def after_round(self) -> None:
        moves = self.store._all("SELECT * FROM temp.moves")
        for row in moves:
            state, now = row["state"], row["state_now"]
            if state != now and now not in MOVES[state]:
                self.broken("states", f"{row['reference']} went from {state} to {now}")
            if row["due_now"] < row["due"] and row["type"] == row["type_now"] and not self._retyped(row["reference"]):
                self.broken("never earlier", f"{row['reference']}: {row['due']} -> {row['due_now']}")
        if moves:
            self.store._run("DELETE FROM temp.moves")

    def _retyped(self, reference: str) -> bool:
        """Was it made another type and back, or sure of what it was only likely, in this very mail?"""
        sql = "SELECT event FROM ticket_event WHERE reference = ? ORDER BY id DESC LIMIT 8"
        return any(row["event"] == "reclassified" for row in self.store._all(sql, reference))

    # -- the year is over ------------------------------------------------------------------------------------------

    def look_over(self) -> None:
        looks: tuple[Callable[[], None], ...] = (
            self._nothing_lost, self._acknowledgements, self._numbers, self._reminders, self._surveys, self._deadlines,
            self._endings, self._bounds, self._history, self._threads,
        )  # fmt: skip
        for look in looks:
            look()

    def _nothing_lost(self) -> None:
        arrived = {row["sha256"]: row for row in self.store._all(_ARRIVED)}
        for sha256, written in self.year.written.items():
            row = arrived.get(sha256)
            if row is None:
                self.broken("nothing is lost", f"a mail of {written.author} is not in the store")
                continue
            told = f"inbound {row['id']} of {written.author} ({written.kind}) is {row['state']}: {row['reason']}"
            if row["state"] not in ("done", "set_aside") or not row["reason"] or not row["verdict"]:
                self.broken("nothing is lost", f"{told} {(row['error'] or '')[-300:]}")
            elif row["state"] == "done" and written.kind in ("customer", "stranger", "robot"):
                if row["messages"] != 1 and not row["reason"].startswith("duplicate of"):
                    self.broken("nothing is lost", f"{told}; it is {row['messages']} messages")
            elif written.kind == "customer" and row["verdict"] != "rescan":
                self.broken("nothing is lost", f"a person's: {told}")
            elif written.kind == "customer" and self.trusts_clock:
                self.broken("nothing is lost", f"new mail taken for old: {told}")

    def _acknowledgements(self) -> None:
        for row in self.store._all(_ACKNOWLEDGED):
            wanted = (0 if row["withheld"] else 1) + row["released"]
            if row["letters"] != wanted:
                self.broken("one acknowledgement", f"{row['reference']} has {row['letters']}, not {wanted}")

        for row in self.store._all(_ACKNOWLEDGED_BY_NOTHING):
            self.broken("one acknowledgement", f"{row['reference']} is acknowledged, and {row['customer']} has nothing")

    def _numbers(self) -> None:
        counters = {row["year"]: row["last"] for row in self.store._all("SELECT * FROM reference_counter")}
        for year, last in counters.items():
            found = [r["number"] for r in self.store._all("SELECT number FROM ticket WHERE year = ? ORDER BY 1", year)]
            if found != list(range(1, last + 1)):
                self.broken("no holes", f"{year}: {len(found)} numbers up to {last}")
        for row in self.store._all("SELECT reference, year, opened_at FROM ticket"):
            if _local(row["opened_at"]).year != row["year"]:
                self.broken("no holes", f"{row['reference']} was received on {_local(row['opened_at'])}")

    def _reminders(self) -> None:
        for row in self.store._all(_TOLD_TWICE):
            self.broken(
                "reminded once", f"{row['recipient']} was told {row['n']} times of {row['rule']} {row['cycle']}"
            )

    def _surveys(self) -> None:
        for row in self.store._all(_SURVEYS):
            if row["n"] > 1:
                self.broken("surveys", f"{row['n']} for {row['reference']}")
            if row["type"] in COURTESIES and not row["retyped"]:
                self.broken("surveys", f"one for {row['reference']}, a {row['type']}")
        for row in self.store._all(_SURVEY_AFTER_REFUSAL):
            self.broken("surveys", f"to {row['recipient']}, who wants none")

    def _deadlines(self) -> None:
        pauses = defaultdict(list)
        for row in self.store._all("SELECT * FROM pause"):
            pauses[row["reference"]].append((row["asked_on"], row["completed_on"]))
        for row in self.store._all("SELECT * FROM ticket"):
            self._deadline(row, pauses[row["reference"]])

    def _deadline(self, row: Mapping[str, Any], pauses: list[tuple[str, str | None]]) -> None:
        kind, reference = row["type"], row["reference"]
        days = term_of(kind, json.loads(row["classification"]))
        if row["business_days"] != days:
            self.broken("deadline", f"{reference}: a term of {row['business_days']} days, not {days}")
        days += min(row["extension_days"], LONGEST_EXTENSION.get(kind, 0))
        held = [(date.fromisoformat(one), date.fromisoformat(other)) for one, other in pauses if other]
        counts, known = held if kind in MONTHS_TO_COMPLETE else (), self.year.holidays
        # A case that is over keeps the date it had, whatever is made a holiday afterwards.
        over = row["state"] in ("resolved", "closed")
        lawful = [known[:n] for n in range(len(known) + 1)] if over else [known]
        due = {last_day(_local(row["opened_at"]), days, counts, more).isoformat() for more in lawful}
        if row["due_on"] not in due:
            wanted = " or ".join(sorted(due))
            self.broken("deadline", f"{reference} ({kind}, {row['state']}): {row['due_on']}, not {wanted}")
        if row["state"] != "waiting" and any(other is None for _, other in pauses):
            self.broken("pauses", f"{reference} is {row['state']} and its term stands still")
        if row["state"] == "waiting" and all(other for _, other in pauses):
            self.broken("pauses", f"{reference} waits and its term runs")

    def _endings(self) -> None:
        """Fifteen quiet days have passed since the last mail."""
        today = self.year.clock().astimezone(BOGOTA).date()
        for row in self.store._all(_UNENDED):
            due, kind, told = date.fromisoformat(row["due_on"]), row["type"], f"{row['reference']} is {row['state']}"
            if row["state"] == "waiting" and kind in MONTHS_TO_COMPLETE:
                if row["asked_on"] and (today - date.fromisoformat(row["asked_on"])).days > 100:
                    self.broken("every case ends", f"{told} since {row['asked_on']}")
            elif row["state"] == "resolved":
                if self.trusts_clock and (today - _local(row["resolved_at"])).days > 60 and not row["word"]:
                    self.broken("every case ends", f"{told} since {row['resolved_at']}")
            elif (today - due).days > 7 and not row["told"]:
                self.broken("every case ends", f"{told}, due on {due}, and nobody was told")

    def _bounds(self) -> None:
        for (mailbox, day), count in self.daily.items():
            if count > MOST_A_DAY and self.year.post.weather == "fair":
                self.broken("bounded", f"{count} letters to {mailbox} on {day}")
        if not self.trusts_clock:
            return
        times: dict[str, list[datetime]] = defaultdict(list)
        for row in self.store._all(_AUTOMATIC_ACKNOWLEDGEMENTS):
            mailbox = re.sub(r"\+.*@", "@", row["recipient"])
            times[mailbox].append(datetime.fromisoformat(row["not_before"]))
        for mailbox, found in times.items():
            for first, sixth in zip(found, found[5:], strict=False):
                if sixth - first < DAY:
                    self.broken("bounded", f"six acknowledgements to {mailbox} within {sixth - first}")

    def _history(self) -> None:
        previous = ""
        for row in self.store._all("SELECT * FROM ticket_event ORDER BY id"):
            salted = [hashlib.sha256(row["salt"] + row[name].encode()).hexdigest() for name in ("actor", "detail")]
            said = [previous, row["id"], row["reference"], row["at"], row["event"], *salted]
            previous = hashlib.sha256(json.dumps(said).encode()).hexdigest()
            if previous != row["hash"]:
                self.broken("history", f"row {row['id']} does not follow")
                break

    def _threads(self) -> None:
        """References that belong together, by merging, by links, by history."""
        near: dict[str, set[str]] = defaultdict(set)
        for row in self.store._all(_TOGETHER):
            near[row["one"]].add(row["other"])
            near[row["other"]].add(row["one"])
        arrived = {row["sha256"]: row for row in self.store._all(_ARRIVED)}
        for sha256, written in self.year.written.items():
            row = arrived.get(sha256)
            joined = written.kind == "stranger" and row and written.about == row["message_of"]
            if joined and written.author not in self._people_of(written.about):
                self.broken("no other case", f"{written.author} wrote to {written.about} without a right to it")
            if written.kind == "customer" and written.about and row and row["state"] == "done" and row["message_of"]:
                family, todo = {written.about}, [written.about]
                while todo:
                    todo = [one for name in todo for one in near[name] - family]
                    family.update(todo)
                if row["message_of"] not in family:
                    what = f"inbound {row['id']} about {written.about} is in {row['message_of']}"
                    self.broken("threads", what)


MOST_A_DAY = 40

_OPENED_BY_HAND = "SELECT 1 FROM inbound WHERE sender = ? AND as_person"
_ARRIVED = """SELECT inbound.id, sha256, state, verdict, reason, error,
    (SELECT count(*) FROM message WHERE inbound_id = inbound.id) AS messages,
    (SELECT reference FROM message WHERE inbound_id = inbound.id) AS message_of
    FROM inbound WHERE folder = 'inbox' ORDER BY id DESC"""  # the first copy counts
_ACKNOWLEDGED = """SELECT reference, (SELECT count(DISTINCT outbox.id) FROM outbox JOIN message
        ON message.outbox_id = outbox.id WHERE message.reference = ticket.reference
        AND outbox.letter IN ('acknowledgement', 'phone_receipt')) AS letters,
    EXISTS (SELECT 1 FROM ticket_event e WHERE e.reference = ticket.reference AND event = 'acknowledgement_withheld')
        AS withheld,
    (SELECT count(*) FROM ticket_event e WHERE e.reference = ticket.reference AND event = 'acknowledgement_released')
        AS released FROM ticket"""
_ACKNOWLEDGED_BY_NOTHING = """SELECT reference, customer FROM ticket WHERE acknowledged_at IS NOT NULL AND NOT EXISTS (
    SELECT 1 FROM outbox JOIN message ON message.outbox_id = outbox.id WHERE message.reference = ticket.reference
    AND outbox.letter IN ('acknowledgement', 'phone_receipt') AND outbox.recipient = customer AND sent_at IS NOT NULL
    AND outbox.state = 'sent')"""
_TOLD_TWICE = """SELECT letter_reason.about, rule, cycle, recipient, count(*) AS n FROM letter_reason JOIN outbox
    ON outbox.id = outbox_id WHERE state <> 'dead' OR sent_at IS NOT NULL
    GROUP BY letter_reason.about, rule, cycle, recipient HAVING count(*) > 1"""
_SURVEYS = """SELECT outbox.reference, ticket.type, count(*) AS n,
    EXISTS (SELECT 1 FROM ticket_event e WHERE e.reference = ticket.reference AND event = 'reclassified') AS retyped
    FROM outbox JOIN ticket USING (reference)
    WHERE letter = 'survey' AND (outbox.state <> 'dead' OR sent_at IS NOT NULL) GROUP BY outbox.reference"""
_SURVEY_AFTER_REFUSAL = """SELECT recipient FROM outbox WHERE letter = 'survey' AND created_at >
    (SELECT min(e.at) FROM ticket_event e WHERE event = 'surveys_refused' AND actor = recipient)"""
_UNENDED = """SELECT reference, state, type, due_on, resolved_at,
    (SELECT max(asked_on) FROM pause WHERE pause.reference = ticket.reference) AS asked_on,
    EXISTS (SELECT 1 FROM fired WHERE about = ticket.reference AND rule = 'vencido') AS told,
    EXISTS (SELECT 1 FROM message WHERE message.reference = ticket.reference AND direction <> 'note'
        AND coalesce(letter, '') NOT IN ('survey') AND at > resolved_at) AS word
    FROM ticket WHERE state <> 'closed'"""
_AUTOMATIC_ACKNOWLEDGEMENTS = """SELECT recipient, not_before FROM outbox WHERE letter = 'acknowledgement'
    AND NOT EXISTS (SELECT 1 FROM ticket_event e WHERE e.reference = outbox.reference
        AND event IN ('acknowledgement_released', 'registered', 'split')) ORDER BY not_before"""
_TOGETHER = """SELECT reference AS one, other FROM ticket_link UNION
    SELECT reference, merged_into FROM ticket WHERE merged_into IS NOT NULL"""


def _local(stamp: str) -> date:
    return datetime.fromisoformat(stamp).astimezone(BOGOTA).date()


def _text(raw: bytes) -> str:
    """Everything readable of a letter, both parts."""
    head, _, body = raw.partition(b"\r\n\r\n")
    if b"multipart" not in head:
        return body.decode()
    parts = [part for part in message_from_bytes(raw).walk() if part.get_content_maintype() == "text"]
    return "\n".join(bytes(part.get_payload(decode=True)).decode() for part in parts)


__all__ = ["RULES", "Violation", "Watch", "holidays", "is_business_day", "last_day"]
