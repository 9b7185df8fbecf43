"""A colleague's mail on its way to a decision: what it answers, what it orders, and what the store knows of that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from pqr_mailbot.adapters import mime_parser
from pqr_mailbot.adapters.mime_parser import OpenedAttachment, open_attachments
from pqr_mailbot.adapters.sqlite_cases import Cases
from pqr_mailbot.adapters.sqlite_store import Inbound, Store
from pqr_mailbot.domain import decide_agent
from pqr_mailbot.domain.authentication import Authentication
from pqr_mailbot.domain.business_days import local_day
from pqr_mailbot.domain.casework import CHALLENGE, HELD, AgentMail, Book, CaseFile, Forwarded, HeldMail, Said, prove
from pqr_mailbot.domain.classify import Lexicon, classify
from pqr_mailbot.domain.commands import Reading, read
from pqr_mailbot.domain.decide import DESK
from pqr_mailbot.domain.effects import Effect, ReleaseMail
from pqr_mailbot.domain.forwarded import inline_forward
from pqr_mailbot.domain.identify import Clue, Identity
from pqr_mailbot.domain.leak_guard import addresses_in
from pqr_mailbot.domain.model import Mail, Ticket
from pqr_mailbot.domain.orders import Work, carry_out, pass_on_urgent
from pqr_mailbot.domain.policy import Agent
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.reply_text import Parts
from pqr_mailbot.domain.signature import without_signature
from pqr_mailbot.domain.situation import Desk

DAY = timedelta(days=1)
_SIGNATURES = frozenset({"pkcs7-signature", "pgp-signature", "pgp-keys"})  # they name the colleague's own address
ADMIN = Agent("admin", "Administración")  # who orders from the command line


@dataclass(frozen=True, slots=True)
class Arrived:
    """A mail as far as it was worked out: parsed, without the token in its subject, its clues and what they name."""

    inbound: Inbound
    mail: Mail
    parts: Parts
    identity: Identity
    found: Sequence[Clue]
    checked: Authentication


@dataclass(frozen=True, slots=True)
class Decided:
    """What is to be done for one inbound mail."""

    inbound_id: int
    effects: list[Effect]


@dataclass(frozen=True, slots=True)
class Colleagues:
    """Decides what colleagues write. `arrive` brings back a mail that was held, by its inbound id."""

    store: Store
    desk: Desk
    lexicon: Lexicon
    arrive: Callable[[int], Arrived]

    def decide(self, arrived: Arrived, now: datetime) -> list[Decided] | None:
        """None: not written as a colleague. Else what is to be done; for the mail at hand last."""
        mail = self._read(arrived)
        return self._decided(mail, now) if mail else None

    def _decided(self, mail: AgentMail, now: datetime) -> list[Decided]:
        """A mail that was held and is carried out now may itself be the word for an earlier one."""
        waiting = self._held(mail)
        released = waiting is not None and decide_agent.releases(mail, waiting, now)
        # Whoever is no colleague any more, or has become the customer, carries nothing out.
        inner = self._read(self.arrive(waiting.inbound_id)) if waiting and released else None
        if waiting and inner:
            forced, confirmed = waiting.kind == HELD, waiting.kind == CHALLENGE
            carried = replace(inner, forced=forced, confirmed=confirmed, seen=mail.seen if forced else inner.seen)
            *others, own = self._decided(carried, now)
            return [
                *others,
                Decided(own.inbound_id, [ReleaseMail(inner.inbound_id), *own.effects]),
                Decided(mail.inbound_id, [decide_agent.spoke_for(mail, waiting)]),
            ]
        if waiting and self._speaks_for(mail, waiting):
            mail = replace(mail, released=waiting)
        return [Decided(mail.inbound_id, self._effects(mail, now))]

    def _effects(self, mail: AgentMail, now: datetime) -> list[Effect]:
        return decide_agent.on_agent_mail(mail, self._book(mail, now), self._classify(), self.desk, now)

    def _classify(self) -> decide_agent.Classify:
        return partial(classify, lexicon=self.lexicon)

    def _held(self, mail: AgentMail) -> HeldMail | None:
        kind, _, number = mail.about.partition(" ")
        return Cases(self.store).held(int(number)) if kind in (HELD, CHALLENGE) else None

    @staticmethod
    def _speaks_for(mail: AgentMail, waiting: HeldMail) -> bool:
        word = "confirmar" if waiting.kind == CHALLENGE else "enviar"
        return bool(mail.reading.orders) and mail.reading.orders[0].command.name == word and not mail.reading.text

    # -- what it says ----------------------------------------------------------------------------------------------

    def _read(self, arrived: Arrived) -> AgentMail | None:
        identity, mail, policy = arrived.identity, arrived.mail, self.desk.policy
        if identity.trust not in ("staff", "newcomer"):
            return None
        proof = prove(mail, identity.author, arrived.found, arrived.checked, policy)
        if proof is None:
            return None
        parts = arrived.parts
        text = without_signature(parts.new, proof.agent.name, proof.agent.addresses)
        reading = read(text, policy.reference_prefix)
        if identity.trust == "newcomer" and not reading.orders:
            return None  # an employee writes as anybody may
        clue, ticket = proof.clue, identity.ticket
        named = {one.reference for one in self._cases(find_references(mail.subject, policy.reference_prefix))}
        return AgentMail(
            mail, arrived.inbound.id, arrived.inbound.received_at, proof, reading, ticket,
            about=clue.about if clue else "", letter=clue.letter if clue else "", seen=clue.seen if clue else None,
            named=tuple(sorted(named - {ticket.reference})) if ticket else (),
            doubtful=parts.doubtful,
            forwarded=self._forwarded(arrived.inbound, mail) if reading.names("registrar") else None,
            enclosed=_files(arrived.inbound, mail),
            perhaps_done=arrived.inbound.doubtful,
        )  # fmt: skip

    def _forwarded(self, inbound: Inbound, mail: Mail) -> Forwarded | None:
        """The customer's mail that came along: attached as it was, else quoted below. A letter of ours is none."""
        ours = self.desk.policy.office.addresses
        for opened in open_attachments(inbound.raw):
            if opened.attachment.content_type == "message/rfc822":
                inner = mime_parser.parse(opened.content)
                if inner.sender and inner.sender.address not in ours:
                    text = inner.text.strip("\n")
                    return Forwarded(inner.sender, inner.subject, text, inner.sent_at, inner.message_id)
        return inline_forward(mail.text, ours)

    # -- what the store knows of it --------------------------------------------------------------------------------

    def _book(self, mail: AgentMail, now: datetime) -> Book:
        reading = mail.reading
        names = [mail.ticket.reference] if mail.ticket else []
        said = addresses_in("\n".join((reading.text, *map(str, reading.orders), *(f.filename for f in mail.files()))))
        transcripts, asked = Cases(self.store).transcripts_to(mail.proof.agent.address, now - DAY)
        return replace(
            self._book_of(mail.proof.agent, reading, names, mail.received_at, now),
            customers=Cases(self.store).customers_among(said),
            transcripts=transcripts,
            asked=asked,
        )

    def _book_of(
        self, agent: Agent, reading: Reading, names: Iterable[str], received_at: datetime, now: datetime
    ) -> Book:
        policy, cases = self.desk.policy, Cases(self.store)
        said = [ordered.arguments for ordered in reading.orders]
        mine = cases.owned_by(agent.addresses) if reading.names("lista") or reading.names("ausente") else ()
        wanted = {*names, *(name for ordered in reading.orders for name in ordered.references)}
        if reading.names("ausente"):
            wanted |= {found.reference for found in mine if found.urgent}
        year = local_day(received_at, policy.office.timezone).year
        return Book(
            cases=self._files(sorted(wanted)),
            queue=self.queue(now),
            next_reference=self.store.next_reference(policy.reference_prefix, year),
            mine=mine,
            found={text: cases.with_words(text) for text in said if reading.names("buscar")},
            histories={
                address: cases.of_customer(address)
                for address in (addresses_in(" ".join(said)) if reading.names("historial") else ())
            },
            inbound_states=cases.inbound_states([int(one) for one in map(str.strip, said) if _is_number(one)]),
        )

    def queue(self, now: datetime) -> tuple[str, ...]:
        """The agents who are here today, whoever has waited longest for a new case first."""
        away = self.store.away(local_day(now, self.desk.policy.office.timezone))
        here = [agent.address for agent in self.desk.policy.agents if agent.address not in away]
        return self.store.in_turn(here)

    def _files(self, names: Iterable[str]) -> dict[str, CaseFile]:
        files: dict[str, CaseFile] = {}
        for name in names:
            if ticket := self.store.case(name):
                files[name] = files.get(ticket.reference) or Cases(self.store).file(ticket)
                files[ticket.reference] = files[name]
        return files

    def _cases(self, names: Iterable[str]) -> list[Ticket]:
        return [ticket for name in names if (ticket := self.store.case(name))]

    # -- without a mail --------------------------------------------------------------------------------------------

    def pass_on(self, agent: Agent, references: list[str], now: datetime) -> list[Effect]:
        """The urgent cases of an agent who is away go to whoever is next."""
        book = Book(cases=self._files(references), queue=self.queue(now))
        work = Work(Agent(DESK, ""), book, self.desk, now, now)
        pass_on_urgent(work, agent, references)
        return work.results()

    # -- the command line ------------------------------------------------------------------------------------------

    def order(
        self, reference: str, line: str, now: datetime
    ) -> tuple[list[Said], list[dict[str, object]], list[Effect]]:
        """What an admin orders about a case: one line for each order, answers to lookups, and what is to be done,
        nothing when one of them was refused."""
        policy = self.desk.policy
        reading = read(line if line.lstrip().startswith("#") else f"#{line.lstrip()}", policy.reference_prefix)
        book = self._book_of(ADMIN, reading, [reference], now, now)
        work = Work(ADMIN, book, self.desk, now, now, reference, reading.text, classify=self._classify())
        if reference not in book.cases:
            return [Said(reference, "no existe ese caso.", ok=False)], [], []
        work.case = book.cases[reference].ticket.reference
        if reading.unknown or not reading.orders:
            return [Said(line, problem, ok=False) for problem in reading.unknown or ("falta la orden.",)], [], []
        if reading.text and not any(ordered.command.takes_text for ordered in reading.orders):
            return [Said(f"“{reading.text[:40]}”", "no se le escribe al cliente desde aquí.", ok=False)], [], []
        done = carry_out(work, reading.orders)
        sections = decide_agent.sections(reading.orders, work, book, self.desk, now) if done else []
        return work.said, sections, work.results() if done else []


def _files(inbound: Inbound, mail: Mail) -> tuple[int, ...]:
    """Which attachments are files: not logos and what counts readers, nor the signature of the colleague's program."""
    opened = open_attachments(inbound.raw) if mail.attachments else ()
    return tuple(at for at, one in enumerate(opened) if not one.adorns and not _signs(one))


def _signs(opened: OpenedAttachment) -> bool:
    return opened.attachment.content_type.removeprefix("application/x-").removeprefix("application/") in _SIGNATURES


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19
