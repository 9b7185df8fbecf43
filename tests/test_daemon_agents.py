"""People at their mail programs between a real Dovecot and a real SMTP server, the desk a process of its own: what
agents answer and order, what that causes, and that a killed desk does each of it once."""

from __future__ import annotations

import re
import signal
import smtplib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import make_msgid
from html import escape, unescape
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from bench import eml
from desk_process import DeskProcess
from servers import OFFICE, SMTP_PASSWORD, Dovecot, SmtpServer, wait_until

ANA, CLARA, DIEGO = "ana@lohas.test", "clara@correo.test", "diego@otro.test"
CLAIM = "El café que me llegó está vencido. Exijo la devolución de mi dinero."
SECRETS = ("ana@lohas.test", "Correo interno", "#resolver", "#enviar", "Escriba su respuesta por encima", "pqr.")


@pytest.fixture
def desk(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> Iterator[DeskProcess]:
    """Configured, not started; it takes whatever lies in its mailbox. Empty mailboxes; what anybody sends arrives in
    them."""
    dovecot.reset()
    smtp.route = dovecot.route
    desk = DeskProcess(tmp_path, dovecot, smtp)
    desk.configure(imap={"start_from": "2026-01-01"})
    yield desk
    if desk.process:
        desk.process.kill()
        desk.process.wait(10)


@dataclass
class Person:
    """Somebody with a mailbox and a mail program."""

    desk: DeskProcess
    name: str
    address: str

    def inbox(self) -> list[EmailMessage]:
        return list(map(parsed, self.desk.dovecot.mails(self.address)))

    def waits(self, count: int) -> None:
        """Until so many mails to this person were delivered."""

        def came() -> int:
            return sum(self.address in letter.rcpt_to for letter in list(self.desk.smtp_server.received))

        wait_until(lambda: came() >= count, what=f"mail {count} for {self.address}:\n{self.desk.log[-3000:]}")

    def gets(self, count: int) -> EmailMessage:
        """The `count`-th mail in the mailbox, waited for; there is none beyond it."""
        self.waits(count)
        mails = self.inbox()
        assert len(mails) == count, [mail["Subject"] for mail in mails]
        return mails[-1]

    def writes(self, subject: str, text: str, html: str = "", files: tuple[str, ...] = (), **headers: str) -> bytes:
        """A new mail to the office, by SMTP. Returns it as it was sent."""
        mail = EmailMessage(policy=SMTP)
        mail["From"], mail["To"], mail["Subject"] = f"{self.name} <{self.address}>", OFFICE, subject
        mail["Message-ID"] = make_msgid(domain=self.address.partition("@")[2])
        for name, value in headers.items():
            mail[name.replace("_", "-")] = value
        mail.set_content(text)
        if html:
            mail.add_alternative(html, subtype="html")
        for name in files:
            mail.add_attachment(b"\xff\xd8" + b"x" * 30_000, maintype="image", subtype="jpeg", filename=name)
        with smtplib.SMTP("localhost", self.desk.smtp_server.port, timeout=20) as server:
            server.starttls(context=self.desk.smtp_server.authority.client_context())  # type: ignore[union-attr]
            server.login(OFFICE, SMTP_PASSWORD)
            server.sendmail(self.address, [OFFICE], mail.as_bytes())
        return mail.as_bytes()

    def answers(self, mail: EmailMessage, text: str, **more: tuple[str, ...]) -> bytes:
        """As Gmail does: the whole mail quoted below in both parts, In-Reply-To and References."""
        said = f"El mié, 25 nov 2026 a las 10:54, Lohas Beans SAS BIC (<{OFFICE}>) escribió:"
        quoted = "\n".join(f"> {line}" for line in words(mail).splitlines())
        lines = "".join(f"<div>{escape(line) or '<br>'}</div>" for line in text.splitlines())
        html = (
            f'<div dir="ltr">{lines}</div><br><div class="gmail_quote"><div dir="ltr" class="gmail_attr">'
            f'{escape(said)}<br></div><blockquote class="gmail_quote">{words(mail, "html")}</blockquote></div>'
        )
        return self.writes(
            f"Re: {mail['Subject']}", f"{text}\n\n{said}\n\n{quoted}\n", html, **more,  # type: ignore[arg-type]
            In_Reply_To=mail["Message-ID"], References=f"{mail['References'] or ''} {mail['Message-ID']}".strip(),
        )  # fmt: skip

    def presses(self, button: str, mail: EmailMessage) -> bytes:
        """The mail program opens a new mail as the link says, and it is sent as it stands."""
        links = [unescape(link) for link in re.findall(r'href="(mailto:[^"]*)"', words(mail, "html"))]
        fields = next(query for link in links if (query := parse_qs(urlsplit(link).query))["body"][0] == button)
        return self.writes(fields["subject"][0], fields["body"][0])


def parsed(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def words(mail: EmailMessage, kind: str = "plain") -> str:
    part = mail.get_body((kind,))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


def flat(mail: EmailMessage) -> str:
    return " ".join(words(mail).split())


def rows(desk: DeskProcess, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(f"file:{desk.store}?mode=ro", uri=True, timeout=10)) as store:
        return store.execute(sql).fetchall()


def people(desk: DeskProcess) -> tuple[Person, Person, Person]:
    return Person(desk, "Ana Ruiz", ANA), Person(desk, "Clara Gómez", CLARA), Person(desk, "Diego Paz", DIEGO)


def state(desk: DeskProcess) -> str:
    return str(rows(desk, "SELECT state FROM ticket ORDER BY id")[0][0])


# -- the main story ------------------------------------------------------------------------------------------------


def test_from_the_customers_mail_to_the_end_of_the_case(desk: DeskProcess) -> None:
    ana, clara, _ = people(desk)
    with desk.running():
        wrote = parsed(clara.writes("Café vencido", CLAIM, files=("bolsa.jpg",)))
        clara.gets(1)
        told = ana.gets(1)
        assert [part.get_filename() for part in told.iter_attachments()] == ["bolsa.jpg"]
        assert CLAIM in flat(told)

        ana.answers(told, "Buenos días, Clara:\n\nMañana recogemos la bolsa.\n\nAna Ruiz", files=("guia.jpg",))
        letter, script = clara.gets(2), ana.gets(2)
        assert letter["From"] == '"Ana Ruiz, Lohas Beans SAS BIC" <info@lohas.test>'
        assert (letter["In-Reply-To"], letter["Auto-Submitted"]) == (wrote["Message-ID"], None)
        assert flat(letter).startswith("Buenos días, Clara: Mañana recogemos la bolsa. Ana Ruiz Lohas Beans SAS BIC")
        assert [part.get_filename() for part in letter.iter_attachments()] == ["guia.jpg"]
        for part in (words(letter), words(letter, "html")):
            assert not [secret for secret in SECRETS if secret in part]
        assert "Su respuesta salió para clara@correo.test" in flat(script)

        clara.answers(letter, "Gracias. ¿A qué hora?")
        told = ana.gets(3)
        assert "> Gracias. ¿A qué hora?\n" in words(told)

        ana.answers(told, "#resolvr\n\nA las tres.")
        assert "¿Quiso decir #resolver?" in flat(ana.gets(4))
        assert (len(clara.inbox()), state(desk)) == (2, "open")

        ana.presses("#resolver", told)
        assert "#resolver: " in flat(ana.gets(5))
        assert state(desk) == "resolved"
    shown = desk.json("show", re.findall(r"PQR-[\d-]+", told["Subject"])[0])
    assert [(m["direction"], m["letter"], m["verified"]) for m in shown["messages"]] == [
        ("in", None, None), ("out", "acknowledgement", None), ("out", "answer", None), ("in", None, None),
    ]  # fmt: skip
    assert "pqr." not in str([shown["subject"], *(m["subject"] for m in shown["messages"])])
    assert len(clara.inbox()) == 2


def test_held_and_sent_after_all_and_proved_by_a_word(desk: DeskProcess) -> None:
    """`#enviar` and `#confirmar`, each once."""
    ana, clara, _ = people(desk)
    with desk.running():
        clara.writes("Café vencido", CLAIM)
        told = ana.gets(1)
        ana.answers(told, "Le escribimos a coordinacion@lohas.test.")
        held = ana.gets(2)
        assert "RETENIDO" in flat(held) and "dirección interna" in flat(held)
        ana.answers(held, "#enviar")
        assert "Su respuesta salió" in flat(ana.gets(3))
        assert "coordinacion@lohas.test" in words(clara.gets(2))
        ana.presses("#enviar", held)
        assert "ya se envió antes" in flat(ana.gets(4))

        ana.writes(told["Subject"], "#resolver\n\nYa quedó.")  # from a phone, as a new mail: no letter is answered
        asked = ana.gets(5)
        assert "¿Escribió usted este correo?" in flat(asked)
        assert (state(desk), len(clara.inbox())) == ("open", 2)
        ana.answers(asked, "#confirmar")
        assert "Ya quedó." in words(clara.gets(3))
        assert "quedó resuelto" in flat(ana.gets(6))
        ana.answers(asked, "#confirmar")
        assert "ya se envió antes" in flat(ana.gets(7))
    assert (state(desk), len(clara.inbox())) == ("resolved", 3)


def test_a_machines_mail_opened_by_order(desk: DeskProcess) -> None:
    ana, clara, diego = people(desk)
    with desk.running():
        diego.writes("Molienda", "¿Qué molienda sirve para una greca?", Precedence="bulk")
        clara.writes("Café vencido", CLAIM)
        told = ana.gets(1)
        assert diego.inbox() == []
        ((number, _),) = rows(desk, "SELECT id, verdict FROM inbound WHERE state = 'set_aside'")
        ana.answers(told, f"#abrir {number}")
        ana.waits(3)
        assert "Molienda" in diego.gets(1)["Subject"]
        assert any(f"el correo {number} se procesa" in flat(mail) for mail in ana.inbox()[1:])
        assert len(clara.inbox()) == 1


def test_what_lies_in_sent(desk: DeskProcess) -> None:
    """An answer written straight from the office's mailbox counts; our own letters saved there do not."""
    ana, clara, _ = people(desk)
    with desk.running():
        clara.writes("Café vencido", CLAIM)
        acknowledged, _ = clara.gets(1), ana.gets(1)
        wait_until(lambda: "watching the Sent folder" in desk.log, what="a look at Sent")
        with desk.dovecot.client(OFFICE) as client:
            client.append("Enviadas", acknowledged.as_bytes(policy=SMTP))
            wait_until(lambda: rows(desk, "SELECT count(*) FROM inbound WHERE folder = 'sent'") == [(1,)], what="ours")
            wait_until(lambda: not rows(desk, "SELECT 1 FROM inbound WHERE state = 'new'"), what="handling")
            assert rows(desk, "SELECT state, first_answered_at FROM ticket") == [("new", None)]
            subject = f"Re: {acknowledged['Subject']}"
            client.append("Enviadas", eml(OFFICE, subject, "Hoy le llega.", "<s@lohas.test>", To=CLARA))
        wait_until(lambda: state(desk) == "open", what="the answer")
    assert rows(desk, "SELECT count(*) FROM ticket WHERE first_answered_at IS NOT NULL") == [(1,)]
    assert (len(clara.inbox()), len(ana.inbox())) == (1, 1)


# -- beside the daemon ---------------------------------------------------------------------------------------------


def test_an_admins_order_beside_the_daemon(desk: DeskProcess) -> None:
    """It acts within two seconds (contract), and a second desk is refused."""
    ana, clara, _ = people(desk)
    with desk.running():
        clara.writes("Molienda", "¿Qué molienda sirve para una greca? Quisiera saberlo.")
        told = ana.gets(1)
        (reference,) = re.findall(r"PQR-\d{4}-\d{6}", told["Subject"])
        assert "desk.db" in desk.say("run", status=1).stderr
        clara.gets(1)
        desk.say("order", reference, "#urgente")
        level2, said = Person(desk, "", "coordinacion@lohas.test"), time.monotonic()
        level2.gets(1)
        assert time.monotonic() - said < 2
        assert reference in desk.say("order", reference, "#resolver").stdout
        assert state(desk) == "resolved"
        refused = desk.say("order", reference, "#prorrogar mañana", status=1).stderr
        assert len(refused.strip().splitlines()) == 1
    assert (len(clara.inbox()), len(ana.inbox())) == (1, 1)


# -- killed --------------------------------------------------------------------------------------------------------


def test_killed_between_an_agents_mail_stored_and_handled(desk: DeskProcess) -> None:
    """A heavy mail before it is being read while the desk dies."""
    ana, clara, diego = people(desk)
    clara.writes("Café vencido", CLAIM)
    desk.say("run", "--once")
    told = ana.gets(1)
    diego.writes("Foto", "\n".join(f"renglón {number} de un correo muy largo" for number in range(60_000)))
    ana.answers(told, "#resolver\n\nListo, Clara.")
    desk.start()
    wait_until(lambda: rows(desk, "SELECT count(*) FROM inbound") == [(3,)], what="the mail stored")
    desk.stop(signal.SIGKILL)
    assert rows(desk, "SELECT state FROM inbound ORDER BY id") == [("done",), ("new",), ("new",)]
    for _ in range(2):
        desk.say("run", "--once")
    once(desk)


def test_killed_between_an_agents_mail_handled_and_its_letters_delivered(desk: DeskProcess) -> None:
    ana, clara, _ = people(desk)
    clara.writes("Café vencido", CLAIM)
    desk.say("run", "--once")
    ana.answers(ana.gets(1), "#resolver\n\nListo, Clara.")
    desk.smtp_server.answers = {"RCPT": 30.0}
    desk.start()
    wait_until(lambda: bool(rows(desk, "SELECT 1 FROM outbox WHERE letter = 'resolved'")), what="the answer queued")
    desk.stop(signal.SIGKILL)
    desk.smtp_server.drop_all()
    desk.smtp_server.answers = {}
    assert len(clara.inbox()) == 1
    desk.say("run", "--once")
    once(desk)


def once(desk: DeskProcess) -> None:
    """Each letter of the story lies once in its mailbox, and the case is resolved."""
    ana, clara, _ = people(desk)
    assert [mail["Auto-Submitted"] for mail in clara.inbox()] == ["auto-replied", None]
    assert words(clara.inbox()[1]).startswith("Listo, Clara.")
    assert sum("quedó resuelto" in flat(mail) for mail in ana.inbox()) == 1
    letters = Counter(rows(desk, "SELECT letter, recipient, reference FROM outbox"))
    assert set(letters.values()) == {1}
    assert state(desk) == "resolved"
    assert rows(desk, "SELECT count(*) FROM message WHERE letter = 'resolved'") == [(1,)]
