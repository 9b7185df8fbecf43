"""Four days of an office in real mail: customers, an agent and machines write, and answer what the desk sends them."""

from __future__ import annotations

import hashlib
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zoneinfo import ZoneInfo

from bench import eml
from desk_process import DeskProcess
from servers import OFFICE, SMTP_PASSWORD, Authority, Dovecot, Received, SmtpServer, mailboxes
from steps import STEPS

from pqr_mailbot.adapters.sqlite_store import stamp

BOGOTA = ZoneInfo("America/Bogota")
ANA, LEVEL_2 = "Ana Ruiz <ana@lohas.test>", "<coordinacion@lohas.test>"
BERTA = "Berta Niño <berta@correo.test>"
FABIO, GLORIA, HUGO, INES = (
    "Fabio Mora <fabio@correo.test>",
    "Gloria Rey <gloria@otro.test>",
    "Hugo Sanz <hugo@correo.test>",
    "Inés Vega <ines@otro.test>",
)
CLARA, DIEGO, EMILIA = (
    "Clara Gómez <clara@correo.test>",
    "Diego Paz <diego@otro.test>",
    "Emilia Ruiz <emilia@gmial.test>",
)
SENT = "Enviadas"
CLAIM = "El café que me llegó ayer está vencido. Exijo la devolución de mi dinero."
QUESTION = "¿Qué molienda sirve para una greca de seis tazas?"
ILL = "Mi hijo tomó su bebida y terminó en urgencias con una reacción alérgica. ¿Qué contiene?"
PRICE = "Quisiera saber el precio de 50 kilos de café en grano y si hacen envíos a Cali."
PHOTO = "Adjunto la foto de la bolsa. ¿Qué sigue?"
BROKEN, BILL = "El molino que me enviaron llegó roto. Quiero que lo cambien.", "Adjunto la factura del molino."
PAPER, THANKS = "¿Venden filtros de papel para la cafetera?", "Gracias, ¿y cuánto cuesta el envío a Pasto?"


# -- who writes by themselves ------------------------------------------------------------------------------------------


def _first_mails() -> list[bytes]:
    claim = eml(CLARA, "Café vencido", CLAIM, "<c1@correo.test>", ["bolsa.jpg"])
    return [
        claim,
        claim.replace(b"To: info@", b"To: hola@", 1),  # the same mail again, by the other address
        eml(DIEGO, "Molienda", QUESTION, "<d1@otro.test>"),
        eml("Boletín <boletin@noticias.test>", "Ofertas", "Compre ya.", "<n1@noticias.test>", Precedence="bulk"),
        eml(BERTA, "Alergia", ILL, "<b1@correo.test>"),
        eml(EMILIA, "Precios", PRICE, "<e1@gmial.test>"),
        eml("", "Nadie", "¿Quién escribe?", "<x1@nadie.test>"),
    ]


# When something is done, and what then arrives by itself. The clock does what is due at each.
MOMENTS: tuple[tuple[datetime, Callable[[], list[bytes]]], ...] = (
    (datetime(2026, 6, 1, 6, 30, tzinfo=BOGOTA), _first_mails),  # before office hours: mail and answers only
    (datetime(2026, 6, 1, 9, 0, tzinfo=BOGOTA), list),  # the digest
    (datetime(2026, 6, 3, 9, 0, tzinfo=BOGOTA), list),  # a reminder, a survey
    (datetime(2026, 6, 9, 9, 0, tzinfo=BOGOTA), list),  # who was not answered: level 2
    (datetime(2026, 6, 17, 9, 0, tzinfo=BOGOTA), list),  # a word on how it goes, and a quiet case closes
)


def _mails_of_the_lost_day() -> list[bytes]:
    return [
        eml(FABIO, "Molino roto", BROKEN, "<f1@correo.test>"),  # he answers our acknowledgement,
        eml(GLORIA, "Filtros", PAPER, "<g1@otro.test>"),  # she our answer,
        eml(HUGO, "Horario", "¿Hasta qué hora abren los sábados?", "<h1@correo.test>"),  # and he is silent
    ]


def _mails_after_the_restore() -> list[bytes]:
    return [eml(INES, "Café molido", "¿Tienen café descafeinado en grano?", "<i1@otro.test>")]


BACKUP, RESTORE = datetime(2026, 6, 2, 2, 30, tzinfo=BOGOTA), datetime(2026, 6, 4, 7, 30, tzinfo=BOGOTA)
LOST_DAY, AFTERWARDS = 2, 3  # which of these moments
RESTORED_MOMENTS = (
    *MOMENTS[:LOST_DAY],
    (MOMENTS[LOST_DAY][0], _mails_of_the_lost_day),
    (datetime(2026, 6, 4, 9, 0, tzinfo=BOGOTA), _mails_after_the_restore),
    *MOMENTS[AFTERWARDS:],
)


# -- who answers -------------------------------------------------------------------------------------------------------


Answer = Callable[[EmailMessage], bytes]


def reaction_to(letter: EmailMessage, recipient: str) -> tuple[int, Answer] | None:
    """What a letter, as its recipient sees it, makes them write, and the number of this reaction."""
    text = _words(letter)
    for number, (who, says, answer) in enumerate(REACTIONS):
        if who.endswith(f"<{recipient}>") and re.search(says, text):
            return number, answer
    return None


def _words(letter: EmailMessage) -> str:
    part = letter.get_body(("plain",))
    assert part
    return " ".join(str(part.get_content()).split())


def _reply(who: str, text: str, subject: str = "", files: tuple[str, ...] = ()) -> Answer:
    def reply(letter: EmailMessage) -> bytes:
        seen = letter["Message-ID"]
        mark = hashlib.sha256(f"{text} {letter['X-PQR-Letter']}".encode()).hexdigest()[:16]
        thread = {"In_Reply_To": seen, "References": f"{letter['References'] or ''} {seen}".strip()}
        domain = who.rpartition("@")[2].rstrip(">")
        return eml(who, subject or f"Re: {letter['Subject']}", text, f"<{mark}@{domain}>", files, **thread)

    return reply


def _from_the_mailbox(_: EmailMessage) -> bytes:
    """A colleague answers Berta straight from the office's mailbox."""
    about = {"To": "berta@correo.test", "In_Reply_To": "<b1@correo.test>", "References": "<b1@correo.test>"}
    return eml(f"Lohas Beans <{OFFICE}>", "Re: Alergia", "Solo café y panela.", "<s1@lohas.test>", **about)


def _bounce(letter: EmailMessage) -> bytes:
    """The address does not exist, says the customer's server: RFC 3464 as Postfix writes it."""
    report = EmailMessage(policy=default.clone(linesep="\r\n"))
    report["From"], report["To"] = "MAILER-DAEMON@mx.test (Mail Delivery System)", OFFICE
    report["Subject"], report["Auto-Submitted"] = "Undelivered Mail Returned to Sender", "auto-replied"
    report["Message-ID"] = f"<{letter['X-PQR-Letter']}@mx.test>"
    report.set_content("I'm sorry to have to inform you that your message could not be delivered.\r\n")
    status = message_from_bytes(
        b"Reporting-MTA: dns; mx.test\r\n\r\nFinal-Recipient: rfc822; emilia@gmial.test\r\nAction: failed\r\n"
        b"Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 User unknown\r\n", policy=default,
    )  # fmt: skip
    report.make_mixed()
    part = EmailMessage(policy=default)
    part["Content-Type"] = "message/delivery-status"
    part.set_payload([status])
    report.attach(part)
    report.add_attachment(letter)
    report.set_param("report-type", "delivery-status")
    return b"Return-Path: <>\r\n" + report.as_bytes().replace(b"multipart/mixed", b"multipart/report", 1)


_TOLD = r"^(?!.*(?:Motivo:|Resumen|Su correo|Recordatorio)).*"  # a notification, and no letter about it
# Who reacts, to which words of a letter, how. The first row that fits.
REACTIONS: tuple[tuple[str, str, Answer], ...] = (
    (CLARA, "cómo fue nuestra atención", _reply(CLARA, "5, muchas gracias.")),
    (CLARA, "[Rr]ecibimos", _reply(CLARA, PHOTO, "RV: re: pqr 2026 1 café", ("foto.jpg",))),
    (EMILIA, "[Rr]ecibimos", _bounce),
    (FABIO, "[Rr]ecibimos", _reply(FABIO, BILL, files=("factura.jpg",))),
    (GLORIA, "de papel y de tela", _reply(GLORIA, THANKS)),
    (ANA, "¿Escribió usted este correo.*Filtros", _reply(ANA, "#confirmar")),
    (ANA, "RETENIDO(?!.*horas que se perdieron)", _reply(ANA, "#enviar")),  # else she knows what she has done already
    (ANA, _TOLD + re.escape(BILL), _reply(ANA, "#nota Le enviamos otro.")),
    (ANA, _TOLD + "filtros de papel", _reply(ANA, "Sí, de papel y de tela.\n\nAna Ruiz")),
    (ANA, _TOLD + re.escape(PHOTO), _reply(ANA, "#resolver\n\nMañana le devolvemos su dinero, Clara.\n\nAna Ruiz")),
    (ANA, _TOLD + "greca", _reply(ANA, "La media. Pregunte también a coordinacion@lohas.test.\n\nAna Ruiz")),
    (ANA, _TOLD + "urgencias", _reply(ANA, "#nota La llamé y no contesta.")),
    (LEVEL_2, _TOLD + "urgencias", _from_the_mailbox),
)


# -- what lies between the desk and the people -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Variant:
    """What a provider does with mail, and what befalls the mailbox."""

    name: str
    rewrites: bool = False  # gives each letter another Message-ID, and names it in every second of its answers
    saves: bool = False  # keeps a copy of each letter among the sent mail
    moved: bool = False  # on the third day all mail is copied into a new mailbox, as if it came in only now
    set_back: bool = (
        False  # on the third day the mailbox is as it was before anybody answered, and counts on from there
    )
    restored: bool = False  # on the fourth day the store is lost, and a backup of the first is put in its place

    @property
    def moments(self) -> tuple[tuple[datetime, Callable[[], list[bytes]]], ...]:
        return RESTORED_MOMENTS if self.restored else MOMENTS


VARIANTS = (
    Variant("plain"),
    Variant("Message-ID rewritten", rewrites=True),
    Variant("letters saved in Sent", saves=True),
    Variant("rewritten and saved", rewrites=True, saves=True),
    Variant("mailbox moved", moved=True),
    Variant("mailbox set back by its provider", set_back=True),
    Variant("old backup restored, letters saved in Sent", restored=True, saves=True),
    Variant("old backup restored, Sent has none", restored=True),
)


class Provider(SmtpServer):
    """An SMTP server that can rewrite Message-IDs as Amazon SES does."""

    rewrites = False

    async def handle_DATA(self, *words: Any) -> str:  # noqa: N802  # named by the library
        said = await super().handle_DATA(*words)
        if not (self.rewrites and said.startswith("250")):
            return said
        given = _given_id(self.received[-1])
        return f"250 Ok {given}" if int(given[-8], 16) % 2 else said


def _copy(folder: Path, to: Path) -> None:
    """With owners and times, which Dovecot looks at."""
    subprocess.run(["cp", "-a", folder, to], check=True)


def _given_id(letter: Received) -> str:
    """Another one for each time a letter is sent."""
    mark = hashlib.sha256(letter.data + letter.at.isoformat().encode()).hexdigest()
    parts = [mark[at : at + length] for at, length in ((0, 16), (16, 8), (24, 4), (28, 4), (32, 4), (36, 12))]
    return "-".join([*parts, "000000"])


def rewritten(letter: Received) -> bytes:
    mail = _parsed(letter.data)
    mail.replace_header("Message-ID", f"<{_given_id(letter)}@email.amazonses.com>")
    return mail.as_bytes(policy=SMTP)


def _parsed(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


# -- an office that lives through it -----------------------------------------------------------------------------------


@dataclass
class Site:
    """The servers, for one story after another."""

    authority: Authority
    dovecot: Dovecot

    @classmethod
    @contextmanager
    def open(cls) -> Iterator[Site]:
        with TemporaryDirectory(prefix="site-") as folder:
            authority = Authority(Path(folder))
            with Dovecot(authority, mailboxes([OFFICE])) as dovecot:
                yield cls(authority, dovecot)


class Story:
    """One desk and everybody who writes to it. The caller runs the desk, and lets people `act` in between.

    It can be kept as it is at a moment, and another story begun from there.
    """

    def __init__(self, site: Site, variant: Variant, directory: Path, begin: Path | None = None) -> None:
        """`begin`: where a story of this variant was kept."""
        self.variant, self._dovecot = variant, site.dovecot
        self.server = Provider(site.authority, "starttls", (OFFICE, SMTP_PASSWORD))
        self.server.rewrites = variant.rewrites
        self.server.route = self._route if variant.saves else None
        self.folder = "Entrada" if variant.moved else "INBOX"
        self.desk = DeskProcess(
            directory, site.dovecot, self.server, imap={"start_from": "2026-05-01", "folder": self.folder},
            hours="08:00-17:00", environ={STEPS: str(directory / "steps")},
        )  # fmt: skip
        self.crashes = 0  # of what befell it
        self._answered: set[str] = set()  # letters, each known by the token it carries,
        self._seen = 0  # and how many copies were looked at
        self.moment = -1
        self._begin(begin) if begin else self._dovecot.reset(OFFICE)

    def __enter__(self) -> Story:
        self.server.start()
        try:
            self._connect()
            if not self._mailbox.folder_exists(self.folder):
                self._mailbox.create_folder(self.folder)
        except BaseException:
            self.server.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self.desk.process:
                self.desk.stop(signal.SIGKILL)
        finally:
            self._link.close()
            self.server.stop()
        if self.server.errors:
            raise self.server.errors[0]

    def _connect(self) -> None:
        self._link = ExitStack()
        self._mailbox = self._link.enter_context(self._dovecot.client(OFFICE))

    def keep(self, place: Path) -> None:
        """The desk is not running."""
        place.mkdir()
        _copy(self._mail, place / "mail")
        for file in self.desk.directory.glob(_KEPT):
            _copy(file, place / file.name)
        now = self.now if self.moment >= 0 else None
        kept = (self.moment, now, self._answered, self._seen, self.server.received)
        (place / "story").write_bytes(pickle.dumps(kept))

    def _begin(self, place: Path) -> None:
        self._put_back(place / "mail")
        for file in place.glob(_KEPT):
            _copy(file, self.desk.directory / file.name)
        kept = pickle.loads((place / "story").read_bytes())
        self.moment, now, self._answered, self._seen, self.server.received = kept
        if now:
            self.desk.time_is(now)

    def _put_back(self, mail: Path) -> None:
        shutil.rmtree(self._mail)
        _copy(mail, self._mail)

    @property
    def _mail(self) -> Path:
        return self._dovecot.home / "mail" / OFFICE

    # -- time ----------------------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.desk.ahead)

    def next_moment(self) -> bool:
        """Time goes on, and what comes by itself arrives. False: the story is over."""
        self.moment += 1
        if self.moment == len(self.variant.moments):
            return False
        begins, mails = self.variant.moments[self.moment]
        self._befalls(begins)
        self.desk.time_is(begins)
        for mail in mails():
            self._arrives(self.folder, mail)
        if self.variant.set_back and self.moment == 0:
            _copy(self._mail, self.desk.directory / _EARLIER)
        return True

    def _befalls(self, now: datetime) -> None:
        if self.variant.moved and self.moment == 2:
            self._move(now)
        if self.variant.restored and self.moment == LOST_DAY:
            self.desk.time_is(BACKUP)
            assert self._said("backup", str(self.desk.directory / _BACKUP)) == 0
        if self.variant.restored and self.moment == AFTERWARDS:
            self._lose_the_store()
        if self.variant.set_back and self.moment == 2:
            self._link.close()
            self._put_back(self.desk.directory / _EARLIER)
            self._connect()

    def _lose_the_store(self) -> None:
        """And what an admin does then, as often as it takes."""
        self.desk.time_is(RESTORE)
        self.desk.store.rename(self.lost_store)
        for beside in self.desk.directory.glob("desk.db-*"):
            if beside.name.endswith(("-wal", "-shm")):
                beside.rename(beside.with_name(beside.name.replace("desk.db", self.lost_store.name)))
        while self._said("restore", "--force", str(self.desk.directory / _BACKUP)):
            self.crashes += 1
        while self._said("reconcile"):
            self.crashes += 1
            self._said("run", "--once", held=True)  # the service starts again

    def _said(self, *words: str, held: bool = False) -> int:
        """Returns 0, or less when it was killed."""
        done = self.desk.say(*words, status=None)
        if held and done.returncode == 1:
            assert "nothing is sent until `reconcile`" in done.stderr, done.stderr
            return 0
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    @property
    def lost_store(self) -> Path:
        return self.desk.directory / "desk.db-lost"

    def _move(self, now: datetime) -> None:
        """All mail in another order, so that other UIDs stand for it, and received just now."""
        client, mails = self._mailbox, self._dovecot.mails(OFFICE, self.folder)
        client.create_folder("Nueva")
        for mail in (b"Subject: another\r\n\r\n", *mails[::-1]):
            client.append("Nueva", mail, (), now)
        client.delete_folder(self.folder)
        client.rename_folder("Nueva", self.folder)

    # -- people --------------------------------------------------------------------------------------------------------

    def act(self) -> int:
        """Everybody reads what came and answers, each letter once, however often it came. Returns how many answers."""
        answers = []
        for letter in self.server.received[self._seen :]:
            self._seen += 1
            mail = _parsed(rewritten(letter) if self.variant.rewrites else letter.data)
            if reaction := reaction_to(mail, letter.rcpt_to[0]):
                number, answer = reaction
                # Who is told again, by a desk that knows no better, does not do it again.
                known = str(number) if self.variant.restored else mail["X-PQR-Letter"]
                if known not in self._answered:
                    self._answered.add(known)
                    answers.append((SENT if answer is _from_the_mailbox else self.folder, answer(mail)))
        for folder, written in sorted(answers):
            self._arrives(folder, written)
        return len(answers)

    def _arrives(self, folder: str, mail: bytes) -> None:
        self._mailbox.append(folder, mail, (), self.now)

    def _route(self, letter: Received) -> None:
        """Another thread's: it has a connection of its own."""
        with self._dovecot.client(OFFICE, SENT) as client:
            client.append(SENT, rewritten(letter) if self.variant.rewrites else letter.data, ("\\Seen",), self.now)

    def settled(self) -> bool:
        """Is there nothing left to do at this moment, for the desk or for anybody else?"""
        return not self.left()

    def left(self) -> str:
        """What is still to be done, in words."""
        if not self.desk.store.exists() or any(one["waiting"] for one in self._rows(_WAITING, stamp(self.now))):
            return "mails or letters wait"
        if self.variant.moments[self.moment][0].hour > 7 and not self._clock_struck():
            return "the clock has not struck"
        if not all(map(self._read_to_the_end, (self.folder, SENT))):
            return "the mailbox is not read to its end"
        return "people answer" if self.act() else ""

    def _clock_struck(self) -> bool:
        today = self.now.astimezone(BOGOTA).date().isoformat()
        return bool(self._rows("SELECT 1 FROM fired WHERE rule = 'morning' AND cycle = ?", today)) and not self._rows(
            "SELECT 1 FROM ticket WHERE look_on <= ? AND state <> 'closed'", today
        )

    def _read_to_the_end(self, folder: str) -> bool:
        is_now = self._mailbox.folder_status(folder, ["UIDNEXT", "UIDVALIDITY"])
        read = self._rows("SELECT uidvalidity, last_uid FROM mailbox_cursor WHERE mailbox = ?", folder)
        return [(row["uidvalidity"], row["last_uid"] + 1) for row in read] == [
            (is_now[b"UIDVALIDITY"], is_now[b"UIDNEXT"])
        ]

    def uncertain(self) -> set[tuple[str, str]]:
        """Letters that may have gone, each by its name and its case."""
        rows = self._rows("SELECT letter, reference FROM outbox WHERE state = 'uncertain'")
        return {(row["letter"], row["reference"]) for row in rows}

    def _rows(self, sql: str, *values: object) -> list[sqlite3.Row]:
        try:
            with closing(sqlite3.connect(self.desk.store, timeout=10)) as store:
                store.row_factory = sqlite3.Row
                return store.execute(sql, values).fetchall()
        except sqlite3.OperationalError:  # it died before the schema was made
            return []


_EARLIER = "desk.db-mail"  # how the mailbox was
_BACKUP = "desk.db-backup"
_KEPT = "desk.db*"
_WAITING = """SELECT EXISTS (SELECT 1 FROM inbound WHERE state = 'new') OR EXISTS (
    SELECT 1 FROM outbox WHERE state = 'sending' OR (state = 'queued' AND next_attempt_at <= ?)) AS waiting"""
