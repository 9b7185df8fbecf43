"""Who writes to a simulated office, and what letters make them do: customers, colleagues, strangers, machines, forgers.

Words that must not go astray carry a mark of their own, `z`, a letter for what they are, and ten hex digits:
`zn` an internal note, `za` an answer, `zl` an answer that must be held, `zf` a forger's words, `zc` a customer's.
"""

from __future__ import annotations

import base64
import quopri
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import format_datetime
from random import Random
from typing import TYPE_CHECKING

from office import BOGOTA, LUZ

from pqr_mailbot.domain.policy import Agent

if TYPE_CHECKING:
    from simulation import Year

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
OFFICE = "info@lohas.test"

MATTERS = (
    ("Café vencido", "El café que recibí está vencido. Exijo la devolución de mi dinero."),
    ("Pedido que no llega", "Pagué un pedido hace dos semanas y no ha llegado. Reclamo el reembolso."),
    ("Cobro doble", "Me cobraron dos veces la misma compra; solicito la devolución del valor cobrado de más."),
    ("Mala atención", "Quiero poner una queja por la mala atención del asesor, que me gritó por teléfono."),
    ("Demoras", "Presento una queja: nadie contesta el teléfono y llevo una semana llamando."),
    ("Cotización", "Solicito una cotización para 20 kilos de café en grano para mi cafetería."),
    ("Cotización de molidos", "Agradezco me coticen 40 bolsas de café molido con envío a Pasto."),
    ("Horario", "¿A qué hora abren la tienda los sábados?"),
    ("Derecho de petición", "En ejercicio del derecho de petición del artículo 23 de la Constitución solicito copia "
     "del contrato de suministro."),
    ("Mis datos", "En ejercicio del habeas data, Ley 1581 de 2012, solicito conocer qué datos personales míos tienen."),
    ("Sugerencia", "Les sugiero vender bolsas de media libra; sería muy práctico para las oficinas."),
    ("Felicitaciones", "Quiero felicitarlos por el excelente café y por el servicio tan amable."),
    ("Intoxicación", "Mi hija está en urgencias, intoxicada por el café que compramos."),
    ("", "hola"),
    ("Consulta", "Buenas tardes, tengo una inquietud con lo de la otra vez."),
    ("Coffee order", "I would like to know when my order will arrive, thank you."),
)  # fmt: skip
THANKS = ("Gracias, muy amables.", "Mil gracias por todo.", "Muchas gracias")
MORE = (
    "Les cuento algo más: hoy volvió a pasar.", "¿Qué ha pasado con mi caso?", "No estoy de acuerdo con su respuesta.",
    "Sigo esperando una solución.", "Adjunto lo que me pidieron: la ciudad es Cali.", "Gracias, pero no me ha llegado.",
)  # fmt: skip
SURVEYED = ("5", "4, gracias", "3", "2, tardaron mucho", "1", "NO", "cinco", "NO ENCUESTA", "10/10", "No, sigue igual.")
TYPES = ("solicitud", "derecho de petición", "queja", "reclamo", "sugerencia", "felicitación", "habeas_data")


@dataclass(frozen=True)
class Written:
    """What the world knows of a mail that it wrote: by whom, what it is, and the case it was meant for."""

    kind: str  # customer, stranger, machine, bounce, colleague, forged, robot
    author: str
    about: str | None = None
    doubtful: bool = False  # its author sees that it was wrong, and never lets it pass


@dataclass(frozen=True)
class Letter:
    """A letter of the desk as it reached somebody, and what the outbox knows of it."""

    name: str
    recipient: str
    reference: str | None
    token: str
    message_id: str
    references: str
    subject: str
    text: str
    about: str
    to_customer: bool


@dataclass
class Customer:
    """Somebody outside. `habit`: how their mail program or they themselves answer."""

    address: str
    name: str
    habit: str
    letters: int = 0


@dataclass
class People:
    """Everybody, and what they do when time passes or a letter comes."""

    year: Year
    customers: dict[str, Customer] = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)  # addresses that the mail server knows not to exist
    machines: set[str] = field(default_factory=set)  # that must never hear from us
    cases: dict[str, list[Letter]] = field(default_factory=dict)  # letters of each case that left for its customer
    notes: dict[str, str] = field(default_factory=dict)  # by case, the words of a note
    held: dict[int, bool] = field(default_factory=dict)  # by inbound id: does its author stand by it?
    away: set[str] = field(default_factory=set)  # colleagues whose mail program answers by itself
    quiet: bool = False  # nobody writes any more
    said: Counter[str] = field(default_factory=Counter)  # in how many mails a colleague wrote these words
    mails: int = 0
    budget: int = 0

    @property
    def rng(self) -> Random:
        return self.year.rng

    # -- the year's plan -------------------------------------------------------------------------------------------

    def plan(self) -> None:
        rng, share = self.rng, min(1.0, self.year.days / 365)
        self.budget = int(rng.randrange(60, 150) * share)
        for number in range(rng.randrange(12, 40)):
            habits = ("plain", "vacation", "bouncing", "refused", "robot")
            habit = rng.choices(habits, (82, 6, 5, 3, 10 * self.year.noisy))[0]
            address = f"cliente{number}@{rng.choice(('correo.test', 'otro.test', 'gmial.com'))}"
            self.customers[address] = Customer(address, f"Cliente Número {number}", habit)
            if habit == "refused":
                self.refused.add(address)
        for _ in range(int(rng.randrange(20, 50) * share)):
            self._some_day(self.complain)
        for often, act in (
            (8, self.advertise), (5, self.stranger), (5, self.forge), (6, self.from_the_mailbox),
            (2, self.stray_bounce), (4 * self.year.noisy, self.helpdesk), (8 * self.year.noisy, self.robot_colleague),
        ):  # fmt: skip
            for _ in range(round(rng.randrange(often + 1) * share)):
                self._some_day(act)

    def _some_day(self, act: Callable[[], object]) -> None:
        self.year.later(timedelta(days=self.rng.uniform(0, self.year.days)), act)

    def _soon(self, chance: float, longest: timedelta, act: Callable[[], object]) -> None:
        if not self.quiet and self.rng.random() < chance:
            self.year.later(MINUTE + longest * self.rng.random() ** 2, act)

    def _mark(self, kind: str) -> str:
        return f"z{kind}{self.rng.getrandbits(40):010x}"

    # -- customers -------------------------------------------------------------------------------------------------

    def complain(self, customer: Customer | None = None) -> None:
        rng = self.rng
        customer = customer or rng.choice(list(self.customers.values()))
        subject, text = rng.choice(MATTERS)
        subject = encoded(subject)
        copies = 2 if rng.random() < 0.05 else 1  # by two of our addresses
        more = "X-Auto-Response-Suppress: All\r\n" if rng.random() < 0.02 else ""
        text = f"{text}\n{self._mark('c')}\n\n{customer.name}\n"
        self._from_customer(customer, subject, text, None, more, copies)

    def _from_customer(
        self, customer: Customer, subject: str, text: str, letter: Letter | None, more: str = "", copies: int = 1,
        readable: bool = False, kind: str = "customer",
    ) -> None:  # fmt: skip
        if self.quiet or self.mails >= self.budget:
            return
        self.mails += 1
        ids = self._thread(letter) if letter and self.rng.random() < 0.7 else ""
        if self.rng.random() < 0.03:
            more += "X-No-Message-ID: 1\r\n"
        verdict = "dmarc=fail (p=reject)" if self.rng.random() < 0.02 else "dmarc=pass (p=none)"
        raw = self._mail(customer.name, customer.address, subject, text, ids + more, verdict)
        about = letter.reference if letter and (ids or readable) else None
        self.year.write(raw, Written(kind, customer.address, about), copies)

    def reply(self, customer: Customer, letter: Letter, text: str, kind: str = "customer") -> None:
        """As people and their programs answer: the subject mangled, the letter quoted or not."""
        subject, readable = mangled(self.rng, letter.subject, letter.reference)
        quoted = self._quoted(letter) if self.rng.random() < 0.6 else ""
        self._from_customer(customer, subject, f"{text}\n{quoted}", letter, readable=readable, kind=kind)

    def stranger(self) -> None:
        """Knows a reference, perhaps a letter of it, and has no right to the case."""
        if not self.cases:
            return
        letter = self.rng.choice(self.rng.choice(list(self.cases.values())))
        address = f"extrano{self.rng.randrange(10**6)}@afuera.test"
        customer = self.customers[address] = Customer(address, "Un Extraño", "plain")
        self.reply(customer, letter, f"¿Qué pasó con esto? {self._mark('c')}", "stranger")

    def helpdesk(self) -> None:
        """Another help desk: each of our letters gets an answer from an address and with a subject of its own."""
        address = f"mesa{self.rng.randrange(10**6)}@ayuda.test"
        self.customers[address] = Customer(address, "Mesa de Ayuda", "helpdesk")
        self.complain(self.customers[address])

    def received(self, letter: Letter) -> None:
        """What a letter makes somebody do."""
        if self.quiet:
            return
        if letter.to_customer:
            if letter.reference:
                self.cases.setdefault(letter.reference, []).append(letter)
            base = re.sub(r"\+.*@", "@", letter.recipient)
            if customer := self.customers.get(letter.recipient) or self.customers.get(base):
                customer.letters += 1
                self._customer_received(customer, letter)
        else:
            self._colleague_received(letter)

    def _customer_received(self, customer: Customer, letter: Letter) -> None:
        match customer.habit:
            case "bouncing":
                self._soon(0.9, HOUR, lambda: self.bounce(letter))
                return
            case "vacation" | "robot":
                if customer.letters > 100:  # somebody has noticed
                    return
                self._soon(1.0, 5 * MINUTE, lambda: self.answer_by_itself(customer, letter))
                return
            case "helpdesk":
                if customer.letters < 25:
                    self._soon(1.0, 5 * MINUTE, lambda: self.open_there(customer))
                return
        answers = {
            "survey": (0.5, SURVEYED), "resolved": (0.3, (*THANKS, *MORE)), "answer": (0.3, (*THANKS, *MORE)),
            "request_for_information": (0.6, MORE), "admit_question": (0.5, ("SÍ", "No, no la conozco.")),
            "closed": (0.08, (*THANKS, *MORE)), "progress": (0.1, MORE), "overdue": (0.2, MORE),
            "acknowledgement": (0.2, (*THANKS, *MORE)), "extension": (0.1, MORE), "withdrawal": (0.2, MORE),
        }  # fmt: skip
        chance, words = answers.get(letter.name, (0.05, MORE))
        long = 25 * DAY if letter.name == "request_for_information" else 6 * DAY
        self._soon(chance, long, lambda: self.reply(customer, letter, self.rng.choice(words)))

    def answer_by_itself(self, customer: Customer, letter: Letter) -> None:
        """A vacation notice with its marks, or a program that nobody can tell from a person."""
        marked = customer.habit == "vacation"
        text = "Estoy de vacaciones hasta el lunes." if marked else "Recibimos su mensaje; pronto lo leeremos."
        subject = encoded(f"{'Respuesta automática: ' if marked else 'RE: '}{letter.subject}")
        more = self._thread(letter) + ("Auto-Submitted: auto-replied\r\n" if marked else "")
        raw = self._mail(customer.name, customer.address, subject, text, more)
        self.year.write(raw, Written("machine" if marked else "robot", customer.address, letter.reference))

    def open_there(self, customer: Customer) -> None:
        number = self.rng.randrange(10**6)
        address = customer.address.replace("@", f"+caso{number}@")
        text = f"Hola, tomamos nota de lo que nos escriben, {number}."  # nothing that is known for a machine's words
        raw = self._mail(customer.name, address, f"Conversación {number}", text)
        self.year.write(raw, Written("robot", address))

    # -- machines --------------------------------------------------------------------------------------------------

    def advertise(self) -> None:
        number = self.rng.randrange(10**6)
        signs, local = self.rng.choice(
            (("List-Id: <ofertas.tienda.test>\r\n", "ofertas"), ("Precedence: bulk\r\n", "boletin"), ("", "no-reply"),
             ("Auto-Submitted: auto-generated\r\n", "sistema"))
        )  # fmt: skip
        address = f"{local}@m{number}.tienda.test"
        self.machines.add(address)
        raw = self._mail("Tienda", address, "Gran oferta de la semana", "Todo a mitad de precio.", signs)
        self.year.write(raw, Written("machine", address))

    def bounce(self, letter: Letter) -> None:
        self._bounced(letter.recipient, letter.message_id, letter.token)

    def stray_bounce(self) -> None:
        """About a letter that never was."""
        self._bounced("nadie@correo.test", "<pqr.aaaaaaaaaaaaa.bbbbbbbbbbbbbbbb@lohas.test>", "a" * 13 + "." + "b" * 16)

    def _bounced(self, recipient: str, message_id: str, token: str) -> None:
        raw = (
            "Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.test\r\nTo: info@lohas.test\r\nSubject: Undelivered Mail\r\n"
            f"Message-ID: <{self.rng.getrandbits(60)}@mx.test>\r\nDate: {self._date()}\r\nMIME-Version: 1.0\r\n"
            "Auto-Submitted: auto-replied\r\n"
            'Content-Type: multipart/report; report-type=delivery-status; boundary="d"\r\n\r\n--d\r\n\r\nFailed.\r\n'
            "--d\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n"
            f"Final-Recipient: rfc822; {recipient}\r\nAction: failed\r\nStatus: 5.1.1\r\n"
            "Diagnostic-Code: smtp; 550 5.1.1 User unknown\r\n\r\n--d\r\nContent-Type: text/rfc822-headers\r\n\r\n"
            f"Message-ID: {message_id}\r\nX-PQR-Letter: {token}\r\n\r\n--d--\r\n"
        )
        self.year.write(raw.encode(), Written("bounce", "MAILER-DAEMON@mx.test"))

    def forge(self) -> None:
        """Pretends to be a colleague: knows a reference and what customers are sent, not what colleagues are."""
        if not self.cases:
            return
        letter = self.rng.choice(self.rng.choice(list(self.cases.values())))
        agent = self.rng.choice(self.year.policy.agents)
        order = self.rng.choice(("", "#resolver\n\n", "#cliente ladron@malo.test\n\n", "#cc +ladron@malo.test\n\n"))
        ids = self._thread(letter) if self.rng.random() < 0.5 else ""
        text = f"{order}Le devolvemos todo {self._mark('f')}."
        raw = self._mail(agent.name, agent.address, f"Re: {encoded(letter.subject)}", text, ids, "dmarc=fail (p=none)")
        self.year.write(raw, Written("forged", agent.address, letter.reference, doubtful=True))

    # -- colleagues ------------------------------------------------------------------------------------------------

    def robot_colleague(self) -> None:
        """For some days a colleague's program answers whatever comes, in words that nobody knows for a machine's."""
        agent = self.rng.choice(self.year.policy.agents).address
        self.away.add(agent)
        for customer in [one for one in self.customers.values() if one.habit == "robot"]:
            self.complain(customer)  # and so does the customer's
        self.year.later(3 * DAY * self.rng.random(), lambda: self.away.discard(agent))

    def _colleague_received(self, letter: Letter) -> None:
        if letter.recipient in self.away:
            text = "Leeré su correo en cuanto pueda."
            self._soon(1.0, 3 * MINUTE, lambda: self.say(letter, text, doubtful=True, by_itself=True))
            return
        match letter.name:
            case "notification":
                self._soon(0.6, self.rng.choice((3 * HOUR, 3 * DAY, 25 * DAY)), lambda: self.work(letter))
            case "escalation":
                self._soon(0.5, DAY, lambda: self.rng.choice((self.work, self.catch_up))(letter))
            case "reminder":
                self._soon(0.5, 2 * DAY, lambda: self.catch_up(letter))
            case "digest" | "alarm":
                self._soon(0.03, DAY, lambda: self.work(letter))
            case "transcript" | "challenge":
                self._asked(letter)

    def _asked(self, letter: Letter) -> None:
        """What waits for a word of its writer: only they know whether they meant it."""
        kind, _, number = letter.about.partition(" ")
        if number.isdigit():
            word = "#enviar" if kind == "held" else "#confirmar"
            row = self.year.found("SELECT sha256 FROM inbound WHERE id = ?", int(number))
            written = self.year.written.get(row["sha256"]) if row else None
            if written and written.kind == "colleague" and not written.doubtful:
                self._soon(0.8, DAY, lambda: self.say(letter, word))
                self._soon(0.1, 3 * DAY, lambda: self.say(letter, word))
        elif letter.reference:
            self._soon(0.02, DAY, lambda: self.work(letter))

    def work(self, letter: Letter) -> None:
        """A colleague answers or orders, rightly or not, once or twice, now and then by a button or from home."""
        if self.quiet:
            return
        texts: tuple[tuple[int, Callable[[Letter], tuple[str, bool]]], ...] = (
            (30, self._answer), (25, self._resolve), (8, self._ask), (6, self._extend), (6, self._note),
            (8, self._about_case), (5, self._about_people), (5, self._other_case), (4, self._look_up),
            (6, self._mistaken), (4, self._leaking), (2, self._register), (3, self._retype), (2, self._be_away),
        )  # fmt: skip
        (make,) = self.rng.choices([one for _, one in texts], [often for often, _ in texts])
        text, doubtful = make(letter)
        self.say(letter, text, doubtful)

    def catch_up(self, letter: Letter) -> None:
        """What has waited too long is answered; from a letter about many cases, by their names."""
        if letter.reference:
            self.say(letter, self._resolve(letter)[0])
        else:
            named = re.findall(r"PQR-\d{4}-\d{6}", letter.text)
            self.say(letter, "\n".join(f"#resolver {one}" for one in dict.fromkeys(named) if self.rng.random() < 0.8))

    def say(self, letter: Letter, text: str, doubtful: bool = False, by_itself: bool = False) -> None:
        rng = self.rng
        agent = self.year.policy.agent_of(letter.recipient) or Agent(letter.recipient, "")
        sender = rng.choice((letter.recipient,) * 9 + (agent.other_addresses or (letter.recipient,))[:1])
        subject, ids = f"RE: {encoded(letter.subject)}", self._thread(letter)
        match "reply" if by_itself else rng.choices(("reply", "button", "loose"), (92, 5, 3))[0]:
            case "button":
                subject, ids = f"[{letter.reference or ''}] pqr.{letter.token}", ""
            case "loose":
                ids = ""
        body = f"{text}\n\n{agent.name}\n{self._quoted(letter) if rng.random() < 0.7 else ''}"
        raw = self._mail(agent.name, sender, subject, body, ids)
        written = Written("colleague", sender, letter.reference, doubtful)
        self.said.update(re.findall(r"za\w{10}", text))
        self.year.write(raw, written, 2 if rng.random() < 0.03 else 1)
        self._soon(0.03, 2 * DAY, lambda: self.year.write(self._again(raw), written))

    def _again(self, raw: bytes) -> bytes:
        """Sent a second time by hand: another Message-ID, the same words."""
        self.said.update(re.findall(r"za\w{10}", raw.decode().partition("Lohas")[0]))
        return re.sub(rb"Message-ID: <\d+@", b"Message-ID: <%d@" % self.rng.getrandbits(60), raw, count=1)

    def _answer(self, letter: Letter) -> tuple[str, bool]:
        return f"Revisamos su caso y ya lo estamos atendiendo {self._mark('a')}.", False

    def _resolve(self, letter: Letter) -> tuple[str, bool]:
        order = self.rng.choice(("#resolver", "#resolver", "#cerrar", "#Resuelto", "*#resolver*"))
        alone = self.rng.random() < 0.15
        return (order if alone else f"{order}\n\nListo: le enviamos lo acordado {self._mark('a')}."), False

    def _ask(self, letter: Letter) -> tuple[str, bool]:
        kind = self.rng.choice(("", "#tipo solicitud\n", "#tipo habeas_data\n"))
        return f"{kind}#esperar\n\n¿Nos dice por favor a qué ciudad va el pedido? {self._mark('a')}", False

    def _extend(self, letter: Letter) -> tuple[str, bool]:
        day = self.year.now.astimezone(BOGOTA).date() + DAY * self.rng.randrange(-3, 60)
        reason = self.rng.choice(("esperamos el informe del laboratorio", "llega el lote en camino", ""))
        return f"#prorrogar {day} {reason}", False

    def _note(self, letter: Letter) -> tuple[str, bool]:
        note = f"{self._mark('n')} ojo que este cliente ya nos demandó dos veces"
        if letter.reference:
            self.notes[letter.reference] = note
        return f"#nota {note}" if self.rng.random() < 0.5 else f"#nota\n\n{note}", False

    def _about_case(self, letter: Letter) -> tuple[str, bool]:
        return self.rng.choice(
            ("#tomar", "#soltar", "#asignar Luz Mora", "#escalar pide hablar con un superior", "#urgente", "#normal",
             "#reabrir", "#acusar", "#spam", "#separar", "#reabrir\n#resolver", "#normal\n#tomar")
        ), False  # fmt: skip

    def _about_people(self, letter: Letter) -> tuple[str, bool]:
        other, guest = self.rng.choice(list(self.customers)), f"pariente{self.rng.randrange(30)}@familia.test"
        return self.rng.choice(
            (f"#cc +{guest}", f"#cc -{guest}",
             f"#cliente {other} Otro Nombre", f"#cc +{LUZ.address}")
        ), False  # fmt: skip

    def _other_case(self, letter: Letter) -> tuple[str, bool]:
        row = self.year.found(
            """SELECT reference FROM ticket WHERE customer = (SELECT customer FROM ticket WHERE reference = ?1)
            AND reference <> ?1 ORDER BY id DESC LIMIT 1""",
            letter.reference,
        )
        other = row["reference"] if row else self.rng.choice(list(self.cases) or ["PQR-2026-999999"])
        return f"{self.rng.choice(('#unir', '#unir', '#vincular'))} {other}", False

    def _look_up(self, letter: Letter) -> tuple[str, bool]:
        other = self.rng.choice(list(self.customers))
        aside = self.year.found("SELECT max(id) AS id FROM inbound WHERE state = 'set_aside' AND verdict = 'list'")
        return self.rng.choice(
            ("#ver", "#lista", "#buscar café vencido", f"#historial {other}", "#ayuda",
             f"#abrir {aside['id'] if aside and self.rng.random() < 0.1 else 999999}")
        ), False  # fmt: skip

    def _mistaken(self, letter: Letter) -> tuple[str, bool]:
        answer = f"Ya le despachamos su pedido {self._mark('l')}."
        return self.rng.choice(
            (f"#resolvr\n\n{answer}", f"Hola:\n#resolver\n\n{answer}", f"#nada de nada\n\n{answer}",
             f"{answer}\n\n#nota no le digan", f"#unir PQR-2019-000001\n\n{answer}")
        ), True  # fmt: skip

    def _leaking(self, letter: Letter) -> tuple[str, bool]:
        """What a person would not send if they looked again."""
        note = self.notes.get(letter.reference or "", "")
        others = [one for one in self.cases if one != letter.reference]
        words = [f"Pregunte también a {one.address}" for one in self.year.policy.agents]
        words += [f"Lo mismo que en {self.rng.choice(others)}"] if others else []
        words += [f"Entre nosotros: {note}"] if note else []
        return f"{self.rng.choice(words)}. {self._mark('l')}", True

    def _register(self, letter: Letter) -> tuple[str, bool]:
        number = self.rng.randrange(10)
        return f"#registrar llamo{number}@correo.test Quien Llamó\n\nLlamó a preguntar por su pedido de café.", False

    def _retype(self, letter: Letter) -> tuple[str, bool]:
        return "\n".join(f"#tipo {self.rng.choice(TYPES)}" for _ in range(self.rng.randrange(1, 4))), False

    def _be_away(self, letter: Letter) -> tuple[str, bool]:
        first = self.year.now.astimezone(BOGOTA).date() + DAY * self.rng.randrange(-1, 5)
        return self.rng.choice((f"#ausente {first}..{first + DAY * self.rng.randrange(20)}", "#ausente no")), False

    def from_the_mailbox(self) -> None:
        """Somebody answers a customer straight from the shared mailbox; the server keeps a copy in Sent."""
        if not self.cases:
            return
        letter = self.rng.choice(self.rng.choice(list(self.cases.values())))
        raw = self._mail(
            "Lohas Beans", OFFICE, f"RE: {encoded(letter.subject)}", "Le escribo yo mismo.", self._thread(letter)
        )
        raw = raw.replace(b"To: info@lohas.test", f"To: {letter.recipient}".encode(), 1)
        self.year.sent_folder.receive(raw, self.year.now)

    # -- a mail ----------------------------------------------------------------------------------------------------

    def _mail(self, name: str, sender: str, subject: str, text: str, more: str = "", checked: str = "") -> bytes:
        """As a mail program and the office's server write it. `more`: whole lines of the header."""
        domain = sender.partition("@")[2]
        own_id = "" if "X-No-Message-ID" in more else f"Message-ID: <{self.rng.getrandbits(60)}@{domain}>\r\n"
        return (
            f"Authentication-Results: mx.lohas.test; {checked or 'dmarc=pass (p=none)'} header.from={domain}\r\n"
            f"From: {encoded(name)} <{sender}>\r\nTo: {OFFICE}\r\nSubject: {subject}\r\nDate: {self._date()}\r\n"
            f"{own_id}{more}MIME-Version: 1.0\r\n"
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
            + text.replace("\n", "\r\n")
        ).encode()

    def _date(self) -> str:
        moment: datetime = self.year.now.astimezone(BOGOTA)
        return format_datetime(moment)

    def _thread(self, letter: Letter) -> str:
        return f"In-Reply-To: {letter.message_id}\r\nReferences: {letter.references}\r\n {letter.message_id}\r\n"

    def _quoted(self, letter: Letter) -> str:
        """The letter below, as programs quote it."""
        moment = self.year.now.astimezone(BOGOTA)
        lines = letter.text.splitlines()
        if self.rng.random() < 0.5:
            head = f"El {moment.day} jun {moment.year} a las {moment:%H:%M}, Lohas Beans <{OFFICE}> escribió:"
            return "\n".join(("", head, *(f"> {line}" for line in lines)))
        head = f"De: Lohas Beans <{OFFICE}>\nEnviado: {moment:%d/%m/%Y %H:%M}\nPara: X\nAsunto: {letter.subject}\n"
        return "\n".join(("", "________________________________", head, *lines))


def encoded(text: str) -> str:
    """A header's words; what is not ASCII as an encoded word."""
    return text if text.isascii() else f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def mangled(rng: Random, subject: str, reference: str | None) -> tuple[str, bool]:
    """A subject after people and programs had it, in each way that the contract promises to read, or with a typo or
    without the reference, where it does not. And whether it is to be read."""
    subject = rng.choice(("RE: ", "RV: ", "Re: RE: ", "Fwd: ", "RES: ", "WG: ", "")) + subject
    if reference is None:
        return encoded(subject), False
    prefix, year, number = reference.split("-")
    shown = rng.choice(
        (f"[{reference}]", reference, reference.lower(), f"{prefix} {year} {number}", f"{prefix}-{year}-{int(number)}",
         f"({prefix.lower()} {year} {int(number)})", f"{prefix}\u00a0{year}\u00a0{number}",
         f"{prefix}\u2013{year}\u2011{number}", f"{prefix}\u2212{year}\u2010{int(number)}", f"PQRS-{year}-{number}", "")
    )  # fmt: skip
    words = subject.replace(f"[{reference}]", shown)
    if rng.random() < 0.3:
        words = words.replace(" ", "\r\n ", 1) if words.isascii() and " " in words.strip() else words
    readable = shown != "" and not shown.startswith("PQRS")
    if words.isascii():
        return words, readable
    quoted = quopri.encodestring(words.encode(), header=True).decode().replace("=\n", "").replace("?", "=3F")
    return rng.choice((encoded(words), words, f"=?UTF-8?q?{quoted}?=")), readable
