"""The one path of a mail: parse, screen, identify, classify, decide, apply; one transaction, all or nothing.

Several mails share one commit through savepoints, so long as a bad one takes down only itself. A mail that raises
becomes `failed` with its reason; a mail that kills the process leaves its count of attempts behind and is set apart
after three. A busy or broken store is weather, not the mail's fault: it passes through, and the round is tried again.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from pqr_mailbot.adapters import memory, mime_header, mime_parser
from pqr_mailbot.adapters.bounces import read_bounce
from pqr_mailbot.adapters.letters import Letters
from pqr_mailbot.adapters.sqlite_ledger import Ledger
from pqr_mailbot.adapters.sqlite_store import Inbound, Store, is_damage
from pqr_mailbot.adapters.tokens import Signer, carried_by, cut_subject_token, message_id, token_in
from pqr_mailbot.domain import decide, letter_facts
from pqr_mailbot.domain.authentication import authentication
from pqr_mailbot.domain.bounce import BouncedRecipient, SentLetter, bounced_letters
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.classify import Lexicon, classify
from pqr_mailbot.domain.effects import Effect
from pqr_mailbot.domain.identify import Clue, Identity, KnownId, clues, identify, thread_ids
from pqr_mailbot.domain.lost_time import LostWork
from pqr_mailbot.domain.machine_phrases import is_forward, plain_subject
from pqr_mailbot.domain.model import Classification, Mail, Ticket, Verdict
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.reply_text import Parts, split
from pqr_mailbot.domain.screen import Screening, screen
from pqr_mailbot.domain.situation import QUESTION, Desk, MachineMail, Occasion, Situation
from pqr_mailbot.flows.apply import Applying, Doubt
from pqr_mailbot.flows.colleagues import Arrived, Colleagues
from pqr_mailbot.flows.handle_sent import decide_sent
from pqr_mailbot.flows.weather import weather_in

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ATTEMPTS = 3  # a mail that kills the process this often is set apart (Mailman's switchboard does the same)
LARGE = 4 * 2**20  # bytes of a mail after which memory is given back
BATCH = 50  # mails that share one commit

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handler:
    """What handling needs beside the mail: the store, the rules, the words, the letters and the signature."""

    store: Store
    desk: Desk
    lexicon: Lexicon
    letters: Letters
    signer: Signer
    suspects_until: int  # mails up to this id were waiting when we started: one of them may have killed us
    lost: LostWork = field(default_factory=LostWork)  # what is known of the time that a restored backup does not know

    def round(self, now: Callable[[], datetime]) -> int:
        """Handles what is waiting, at most one batch. Returns how many mails were taken; 0: nothing waits."""
        waiting = self.store.waiting_ids(BATCH)
        if not waiting:
            return 0
        if waiting[0] <= self.suspects_until:
            self.alone(waiting[0], now())
            return 1
        with self.store.transaction():
            for inbound_id in waiting:
                self._one(inbound_id, now())
        return len(waiting)

    def alone(self, inbound_id: int, now: datetime) -> None:
        """Handles one mail in a transaction of its own, counted before it is touched."""
        with self.store.transaction():
            attempts = self.store.count_attempt(inbound_id)
            if attempts > ATTEMPTS:
                self.store.fail_inbound(inbound_id, f"the program died {ATTEMPTS} times while handling this mail")
                return
        with self.store.transaction():
            self._one(inbound_id, now)

    def _one(self, inbound_id: int, now: datetime) -> None:
        try:
            with self.store.savepoint():
                self.handle(self.store.inbound(inbound_id), now)
        except Exception as error:  # a bad mail must not stand in the way of the next one
            if weather_in(error) or is_damage(error) or isinstance(error, MemoryError):
                raise
            where = traceback.extract_tb(error.__traceback__)[-1]
            log.error("inbound %d failed: %s in %s line %s", inbound_id, type(error).__name__, where.name, where.lineno)
            self.store.fail_inbound(inbound_id, "".join(traceback.format_exception(error))[-4000:])

    # -- the path --------------------------------------------------------------------------------------------------

    def handle(self, inbound: Inbound, now: datetime) -> list[Effect]:
        """Decides one stored mail and applies what was decided, inside the caller's transaction."""
        if not inbound.doubtful and Ledger(self.store).doubt_late(inbound.id, inbound.received_at):
            inbound = replace(inbound, doubtful=True)
        mail, large = parsed(inbound)
        author = mail.sender.address if mail.sender else ""
        # A constant Message-ID tells nobody apart: the same mail has the same author and content too.
        content_key = self.signer.content_key(f"{author} {mail.content_hash}")
        mail, token = _without_token(mail)
        self.store.describe_inbound(inbound.id, mail, content_key)
        effects, trail = self._decide(inbound, mail, token, content_key, now)
        doubt = Doubt(self.lost, inbound.received_at) if inbound.doubtful else None
        self.applying(now, inbound.id, doubt).all(effects, trail)
        if large:
            memory.trim()
        return effects

    def applying(self, now: datetime, inbound_id: int | None = None, doubt: Doubt | None = None) -> Applying:
        return Applying(self.store, self.desk.policy.office, self.letters, self.signer, now, inbound_id, doubt)

    def _decide(
        self, inbound: Inbound, mail: Mail, token: str | None, content_key: str, now: datetime
    ) -> tuple[list[Effect], dict[str, object]]:
        if inbound.from_sent:
            return decide_sent(self.store, self.desk.policy, inbound, mail, content_key, now), {}
        if probe := self._awaited_probe(mail):
            return decide.on_heartbeat(probe, now), {}
        screening = self._screen(inbound, mail)
        if twin := self.store.same_mail(inbound.id, mail.message_id, content_key):
            return decide.on_duplicate(twin[0], screening.verdict, twin[1]), {}
        if inbound.suspect_before and decide.predates(_dates(inbound, mail), inbound.suspect_before):
            return decide.on_rescan(), {}
        identity, found_clues = self._identify(mail, token) if mail.sender else (None, [])
        parts = split(mail.text)
        if screening.verdict is not Verdict.PERSON or identity is None:
            about = decide.OFFICE if screening.check == decide.OFFICE else decide.MACHINE
            told = self.store.mails_told_of("alarm", about, now - DAY)
            urgency = self._classified(mail, parts).urgency
            machine = MachineMail(mail, inbound.received_at, screening, identity, urgency, told)
            if screening.verdict is Verdict.BOUNCE and (hits := self._hits(inbound, mail)):
                return decide.on_bounce(machine, hits, self._owners(hits), self.desk, now), {}
            return decide.on_machine(machine, self.desk, now), {}
        checked = authentication(mail, self.desk.policy.trusted_authserv_ids)
        arrived = Arrived(inbound, mail, parts, identity, found_clues, checked)
        if (decided := self.colleagues().decide(arrived, now)) is not None:
            *others, mine = decided
            for other in others:
                self.applying(now, other.inbound_id).all(other.effects)
            return mine.effects, {}
        found = self._classified(mail, parts)
        occasion = Occasion(mail, inbound.received_at, parts, identity, found, checked, inbound.doubtful)
        trail: dict[str, object] = {"classification": _shown(found)}
        return decide.on_mail(occasion, self._situation(occasion, inbound, now), self.desk, now), trail

    def _awaited_probe(self, mail: Mail) -> int | None:
        """Only our own signature for ourselves, and only once: neither a forged probe nor one shown again proves
        anything."""
        to_us = self.desk.policy.office.address
        return self.store.awaited_probe([one for one in carried_by(mail) if self.signer.genuine(one, to_us)])

    def _classified(self, mail: Mail, parts: Parts) -> Classification:
        passed_on = is_forward(plain_subject(mail.subject))  # then what is quoted may be the whole matter
        return classify(mail.subject, mail.text if passed_on else parts.new, self.lexicon)

    def _screen(self, inbound: Inbound, mail: Mail) -> Screening:
        if inbound.as_person and mail.sender and mail.sender.address not in self.desk.policy.office.addresses:
            return Screening(Verdict.PERSON, "retry --as-person")
        return screen(mail, self.desk.policy)

    def _hits(self, inbound: Inbound, mail: Mail) -> list[tuple[SentLetter, BouncedRecipient]]:
        bounce = read_bounce(inbound.raw, mail)
        letters = self.store.letters_named(bounce.tokens, bounce.message_ids) if bounce else []
        hits = bounced_letters(bounce, letters) if bounce else []
        return [(replace(letter, told=self._told(letter)), found) for letter, found in hits]

    def _told(self, letter: SentLetter) -> bool:
        return self.store.last_letter_about("alarm", decide.about_bounce(letter.outbox_id)) is not None

    def _owners(self, hits: Sequence[tuple[SentLetter, BouncedRecipient]]) -> dict[str, str | None]:
        cases = (self.store.ticket(letter.reference) for letter, _ in hits if letter.reference)
        return {case.reference: case.owner for case in cases if case}

    def colleagues(self) -> Colleagues:
        return Colleagues(self.store, self.desk, self.lexicon, self._arrived)

    def _arrived(self, inbound_id: int) -> Arrived:
        """A mail that came before, as far as it can be worked out again."""
        inbound = self.store.inbound(inbound_id)
        mail, token = _without_token(mime_parser.parse(inbound.raw, inbound.complete))
        identity, found = self._identify(mail, token)
        checked = authentication(mail, self.desk.policy.trusted_authserv_ids)
        return Arrived(inbound, mail, split(mail.text), identity, found, checked)

    def _is_ours(self, said: str, known: KnownId) -> bool:
        """A row of the outbox is not enough: the token must be one that we signed for this very recipient."""
        token = token_in(said)
        return token is None or known.sent_to is None or self.signer.genuine(token, known.sent_to)

    def _identify(self, mail: Mail, token: str | None) -> tuple[Identity, list[Clue]]:
        button = message_id(token, "boton.invalid") if token else None
        said = list(filter(None, (button, *thread_ids(mail))))
        known = {one: known for one, known in self.store.known_ids(said).items() if self._is_ours(one, known)}
        found = clues(mail, known, find_references(mail.subject, self.desk.policy.reference_prefix), button)
        references = {clue.reference for clue in found if clue.reference}
        tickets = {reference: ticket for reference in references if (ticket := self.store.case(reference))}
        return identify(mail, found, tickets, self.desk.policy), found

    def _next_reference(self, inbound: Inbound) -> str:
        """The next one, or the one that the case had in the lost time."""
        then = self.lost.references.get(inbound.id) if inbound.doubtful else None
        if then and self.store.ticket(then) is None:
            return then
        policy = self.desk.policy
        year = local_day(inbound.received_at, policy.office.timezone).year
        return self.store.next_reference(policy.reference_prefix, year)

    def _situation(self, occasion: Occasion, inbound: Inbound, now: datetime) -> Situation:
        policy, store = self.desk.policy, self.store
        author, ticket, case = occasion.identity.author.address, occasion.identity.ticket, occasion.identity.pointed_at
        kind = ticket.classification.type if ticket else occasion.classification.type
        away = store.away(local_day(now, policy.office.timezone))
        able = [a.address for a in policy.agents_for(kind) if author not in a.addresses]
        here = [one for one in able if one not in away] or [
            a.address for a in policy.agents if a.address not in away and author not in a.addresses
        ]
        return Situation(
            next_reference=self._next_reference(inbound),
            next_owner=next(iter(store.in_turn(here or able)), None),
            away=away,
            surveyed=ticket is not None and store.fired(ticket.reference, "survey", ""),
            mails_before=store.mails_of(ticket.reference) if ticket else 0,
            went_up=store.fired_in(ticket.reference, str(ticket.reopened)) if ticket else frozenset(),
            earlier=store.earlier_tickets(
                ticket.customer.address if ticket else author, ticket.reference if ticket else None
            ),
            history=self._history(ticket),
            recent_acknowledgements=store.letters_to(author, "acknowledgement", now - DAY),
            recent_automatic=store.automatic_letters(now - HOUR),
            waiting=store.waiting_acknowledgement(author, now),
            fuse_told_at=store.last_letter_about("alarm", decide.FUSE),
            admission_asked=case is not None
            and store.asked_since(case.reference, case.customer.address, QUESTION, now - DAY),
        )

    def _history(self, ticket: Ticket | None) -> tuple[tuple[datetime, str], ...]:
        if ticket is None:
            return ()
        return letter_facts.history(self.store.conversation_brief(ticket.reference), ticket.customer.address)


def _without_token(mail: Mail) -> tuple[Mail, str | None]:
    """The mail without the token that a button put into its subject: it is cut before anything is recorded."""
    subject, token = cut_subject_token(mail.subject)
    return (replace(mail, subject=subject), token) if token else (mail, None)


def _dates(inbound: Inbound, mail: Mail) -> list[datetime]:
    """Every instant that says how old a mail is: INTERNALDATE, the topmost Received, its own Date."""
    received = mime_header.received_at(mail)
    return [instant for instant in (inbound.received_at, received, mail.sent_at) if instant]


def _shown(found: Classification) -> str:
    """The type, each word with its weight for a type, and what every type scored, in one line."""
    words = [f"{one.words} {one.weight:+.2f} {one.type}" for one in found.evidence]
    ranked = sorted(found.scores.items(), key=lambda score: -score[1])
    scores = ", ".join(f"{kind} {score:.2f}" for kind, score in ranked)
    return f"{found.type} ({found.confidence:.0%}): {', '.join(words) or 'no word spoke'}; scores: {scores}"


def parsed(inbound: Inbound) -> tuple[Mail, bool]:
    """The mail, and whether it was a large one."""
    raw = inbound.raw
    mail, large = mime_parser.parse(raw, inbound.complete), len(raw) > LARGE
    del raw
    if large:
        memory.trim()
    return mail, large
