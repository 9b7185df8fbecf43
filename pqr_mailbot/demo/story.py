"""The demo's story: who writes what on which day, told as it happens with what every person received."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from email.utils import make_msgid
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo

import aiosmtplib
import click

from pqr_mailbot import wiring
from pqr_mailbot.adapters.sqlite_views import Filter, Views
from pqr_mailbot.config import Settings, load
from pqr_mailbot.daemon import Daemon
from pqr_mailbot.demo.servers import LOOPBACK, PASSWORD, Internet
from pqr_mailbot.domain.business_days import local_day

Found = TypeVar("Found")
BOGOTA = ZoneInfo("America/Bogota")
OFFICE, ANA, LUIS = "info@lohasbeans.example", "ana@lohasbeans.example", "luis@lohasbeans.example"
CLARA, BRUNO, DIEGO = "clara@correo.example", "bruno@tienda.example", "diego@otro.example"
FIRST_DAY = datetime(2026, 6, 1, 10, 42, tzinfo=BOGOTA)

CONFIG = """\
# The demo's configuration: servers on loopback without TLS, which no real office may use.
[office]
name = "Lohas Beans SAS BIC"
address = "{office}"
phone = "+57 318 6126496"
privacy_notice_url = "https://lohasbeans.example/datos-personales"

[imap]
host = "{host}"
port = {imap_port}
tls = "none"
username = "{office}"
password = "file:password"
start_from = 2026-06-01

[smtp]
host = "{host}"
port = {smtp_port}
tls = "none"

[store]
path = "{store}"

[[agents]]
address = "{ana}"
name = "Ana Ruiz"

[[levels]]
name = "Servicio al cliente"
addresses = ["{ana}"]

[[levels]]
name = "Coordinación"
addresses = ["{luis}"]
"""


class DemoClock:
    """Time as everybody in the demo sees it: it runs, and it can jump ahead."""

    def __init__(self, start: datetime) -> None:
        self._offset = start - datetime.now(UTC)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self._offset

    def jump(self, to: datetime) -> None:
        self._offset = to - datetime.now(UTC)


def show(keep: Path | None, serve: bool) -> None:
    """Runs the demo. `keep`: a folder that holds the store, the configuration and all mail afterwards."""
    logging.getLogger().setLevel(logging.ERROR)
    logging.getLogger("pqr_mailbot").setLevel(logging.ERROR)
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise click.ClickException(f"{keep}: is not empty; nothing was overwritten")
        keep.mkdir(parents=True, exist_ok=True)
        asyncio.run(_run(keep.absolute(), serve))
        click.echo(
            f"\nKept in {keep}: desk.db, config.toml, mail/. Try:\n"
            f"  pqr-mailbot --config {keep}/config.toml show PQR-2026-000001"
        )
        return
    with tempfile.TemporaryDirectory(prefix="pqr-mailbot-demo-") as folder:
        asyncio.run(_run(Path(folder), serve))


async def _run(folder: Path, serve: bool) -> None:
    clock = DemoClock(FIRST_DAY)
    async with Internet(OFFICE, (ANA, LUIS, CLARA, BRUNO, DIEGO), clock) as internet:
        settings = _settings(folder, internet)
        daemon = Daemon(settings, wiring.Secrets(PASSWORD, ""), clock)
        try:
            work = asyncio.create_task(daemon.run())
            story = asyncio.create_task(Story(internet, settings, clock).tell())
            await asyncio.wait([work, story], return_when=asyncio.FIRST_COMPLETED)
            story.cancel() if not story.done() else story.result()
            if serve and not work.done():
                _explain_serving(internet)
                await work
            daemon.stop()
            await work
        finally:
            daemon.close()
        _keep_mail(folder, internet)


def _settings(folder: Path, internet: Internet) -> Settings:
    (folder / "password").write_text(PASSWORD)
    (folder / "config.toml").write_text(
        CONFIG.format(
            host=LOOPBACK, imap_port=internet.imap_port, smtp_port=internet.smtp_port, store=folder / "desk.db",
            office=OFFICE, ana=ANA, luis=LUIS,
        ),
        encoding="utf-8",
    )  # fmt: skip
    return load(folder / "config.toml")


def _keep_mail(folder: Path, internet: Internet) -> None:
    (folder / "mail").mkdir()
    for number, (recipient, raw) in enumerate(internet.raw, start=1):
        (folder / "mail" / f"{number:02d}-{recipient}.eml").write_bytes(raw)


def _explain_serving(internet: Internet) -> None:
    people = ", ".join((CLARA, BRUNO, DIEGO, ANA, LUIS))
    click.echo(
        f"\nThe desk stays open. Point a mail client at it (no TLS, loopback only):\n"
        f"  IMAP {LOOPBACK} port {internet.imap_port}, SMTP {LOOPBACK} port {internet.smtp_port} without login\n"
        f"  user: one of {people}; password: {PASSWORD}\n"
        f"Write to {OFFICE} and watch the answer arrive. Ctrl+C ends it."
    )


class Story:
    """One telling."""

    def __init__(self, internet: Internet, settings: Settings, clock: DemoClock) -> None:
        self._internet, self._settings, self._clock = internet, settings, clock
        self._calendar = wiring.desk_of(settings).calendar

    async def tell(self) -> None:
        click.secho("pqr_mailbot: a customer-service desk in a mailbox", bold=True)
        click.echo("Real IMAP and SMTP servers on this machine, a real daemon, and a clock that can jump.\n")
        await self._two_customers_write()
        await self._a_machine_answers()
        await self._the_customer_replies()
        await self._the_agent_answers()
        await self._a_stranger_and_an_urgent_case()
        await self._until(_all_sent)
        await self._days_go_by()
        click.secho("\nThat was the desk. Next: pqr-mailbot init, then check, then run.", bold=True)

    async def _two_customers_write(self) -> None:
        self._day("Two customers write to the office.")
        clara = await self._writes(
            "Clara Gómez", CLARA, "Café vencido",
            "Buenos días:\n\nEl café que me llegó ayer está vencido. Exijo la devolución de mi dinero.\n\nClara Gómez",
        )  # fmt: skip
        await self._gets("Clara", CLARA, 1, "acknowledgement", clara)
        await self._gets("Ana (agent)", ANA, 1, "notification", clara)
        bruno = await self._writes(
            "Bruno Díaz", BRUNO, "Precios al por mayor",
            "Buen día, quisiera saber el precio de 50 kilos de café en grano y si hacen envíos a Cali. Gracias.",
        )  # fmt: skip
        await self._gets("Bruno", BRUNO, 1, "acknowledgement", bruno)
        await self._gets("Ana (agent)", ANA, 2, "notification", bruno)
        self._letter("What Clara holds in her hands:", self._internet.letters[CLARA][0], 24)
        self._letter("What Ana was told:", self._internet.letters[ANA][0], 30)

    async def _a_machine_answers(self) -> None:
        await self._later(2, "Bruno's mailbox answers by itself. A desk that answered back would never stop.")
        robot = _mail("Bruno Díaz", BRUNO, "Respuesta automática: fuera de la oficina", "Vuelvo el lunes.")
        robot["Auto-Submitted"] = "auto-replied"
        robot["In-Reply-To"] = self._internet.letters[BRUNO][0]["Message-ID"]
        await self._send(robot)
        await self._until(lambda views: len(views.inbox("set_aside")) == 1)
        self._say("The desk set it aside and answered nobody.", "green")

    async def _the_customer_replies(self) -> None:
        await self._later(25, "Clara answers, and her mail program mangles the subject.")
        reply = _mail("Clara Gómez", CLARA, "RV: re: pqr 2026 1 café", "Adjunto la foto de la bolsa. ¿Qué sigue?")
        await self._send(reply)
        told = await self._internet.received(ANA, 3)
        self._say(f"Ana gets: {told['Subject']}", "cyan")
        self._say("It is on Clara's case; no second acknowledgement went out.", "green")

    async def _the_agent_answers(self) -> None:
        told = self._internet.letters[ANA][2]
        await self._later(30, "Ana answers that notification from her own mail program, with a slip in her order.")
        await self._answers(told, "#resolvr\n\nBuenos días, Clara: hoy le devolvimos el dinero.")
        held = await self._internet.received(ANA, 4)
        self._letter("Ana gets at once, and Clara nothing:", held, 12)
        await self._later(2, "She writes it again.")
        await self._answers(told, "#resolver\n\nBuenos días, Clara: hoy le devolvimos el dinero.")
        answer = await self._internet.received(CLARA, 2)
        self._letter("What Clara gets:", answer, 14)
        done = await self._internet.received(ANA, 5)
        self._letter("And what Ana is told:", done, 12)
        await self._until(lambda views: _is_resolved(views, local_day(self._clock(), BOGOTA)))
        self._say("Clara's case is resolved; no inner word, address or order reached her.", "green")

    async def _answers(self, told: EmailMessage, text: str) -> None:
        """Ana's mail program answers a letter of the desk, with all of it quoted below."""
        part = told.get_body(("plain",))
        quoted = "\n".join(f"> {line}" for line in (part.get_content() if part else "").splitlines())
        below = f"El lun, 1 jun 2026 a las 11:40, Lohas Beans SAS BIC (<{OFFICE}>) escribió:\n{quoted}"
        reply = _mail("Ana Ruiz", ANA, f"Re: {told['Subject']}", f"{text}\n\nAna Ruiz\n\n{below}")
        reply["In-Reply-To"] = told["Message-ID"]
        reply["References"] = told["Message-ID"]
        await self._send(reply)

    async def _a_stranger_and_an_urgent_case(self) -> None:
        await self._later(40, "Somebody else quotes Clara's reference, and writes of his health.")
        diego = await self._writes(
            "Diego Paz", DIEGO, "PQR-2026-000001",
            "Tomé su café y terminé en urgencias con una reacción alérgica. Necesito que me respondan.",
        )  # fmt: skip
        await self._gets("Diego", DIEGO, 1, "acknowledgement", diego)
        told = await self._internet.received(LUIS, 1)
        self._say(f"Luis (level 2) is told at once: {told['Subject']}", "cyan")
        self._say("A case of its own, linked for the agent's eyes; Diego learned nothing of Clara's.", "green")

    async def _days_go_by(self) -> None:
        for day, words in (
            (date(2026, 6, 3), "Two business days later: Clara is asked, and who did not answer Bruno is reminded."),
            (date(2026, 6, 12), "Days go by; weekends and holidays do not count. The ladder climbs by itself."),
            (date(2026, 6, 24), "The promised day."),
            (date(2026, 6, 25), "One day later somebody is late, and the desk is honest about it."),
        ):
            before = len(self._internet.raw)
            self._clock.jump(datetime.combine(day, time(9, 0), BOGOTA))
            self._day(words)
            await self._until(lambda views, day=day: views.looked_on(day))  # type: ignore[misc]
            await self._until(_all_sent)
            for recipient, raw in self._internet.raw[before:]:
                self._say(f"{recipient} gets: {message_from_bytes(raw, policy=default)['Subject']}", "cyan")
            self._list()

    # -- telling ---------------------------------------------------------------------------------------------------

    async def _later(self, minutes: int, words: str) -> None:
        """Some minutes go by, once every letter of the scene before is out."""
        await self._until(_all_sent)
        self._clock.jump(self._clock() + timedelta(minutes=minutes))
        self._day(words)

    def _day(self, words: str) -> None:
        now = self._clock().astimezone(BOGOTA)
        click.secho(f"\n{now:%a %Y-%m-%d %H:%M}  ", fg="yellow", bold=True, nl=False)
        click.secho(words, bold=True)

    def _say(self, words: str, colour: str) -> None:
        click.secho(f"  {words}", fg=colour)

    async def _writes(self, name: str, address: str, subject: str, text: str) -> datetime:
        self._say(f"{name} <{address}> writes: “{subject}”", "blue")
        await self._send(_mail(name, address, subject, text))
        return datetime.now(UTC)

    async def _gets(self, who: str, address: str, number: int, letter: str, since: datetime) -> None:
        message = await self._internet.received(address, number)
        waited = (datetime.now(UTC) - since).total_seconds()
        self._say(f"{who} gets, {waited:.2f} s later, the {letter}: {message['Subject']}", "cyan")

    def _letter(self, title: str, message: EmailMessage, lines: int) -> None:
        click.secho(f"\n  {title}", underline=True)
        part = message.get_body(("plain",))
        text = part.get_content().splitlines() if part else []
        for line in (f"Subject: {message['Subject']}", "", *text[:lines]):
            click.secho(f"  │ {line}", dim=True)
        if len(text) > lines:
            click.secho("  │ …", dim=True)

    def _list(self) -> None:
        today = local_day(self._clock(), BOGOTA)
        for row in self._views(lambda views: views.tickets(Filter(), today)):
            if row["state"] in ("resolved", "closed"):
                self._say(f"{row['reference']}  {row['type']:10}  {row['state']}", "green")
                continue
            left = self._calendar.days_left(today, date.fromisoformat(row["due_on"]))
            words = f"{left} business days left" if left > 0 else "due today" if left == 0 else f"OVERDUE by {-left}"
            self._say(
                f"{row['reference']}  {row['type']:10}  due {row['due_on']}  {words}", "red" if left < 0 else "cyan"
            )

    def _views(self, read: Callable[[Views], Found]) -> Found:
        views = Views(self._settings.store.path, BOGOTA, self._calendar)
        try:
            return read(views)
        finally:
            views.close()

    async def _until(self, true: Callable[[Views], bool]) -> None:
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(self._views, true):
                await asyncio.sleep(0.05)  # the store is another process's as far as we know: look again

    async def _send(self, message: EmailMessage) -> None:
        message["Date"] = self._clock().astimezone(BOGOTA)
        await aiosmtplib.send(message, hostname=LOOPBACK, port=self._internet.smtp_port, start_tls=False)


def _mail(name: str, address: str, subject: str, text: str) -> EmailMessage:
    """A person's mail to the office, as a mail client writes it."""
    message = EmailMessage()
    message["From"] = f"{name} <{address}>"
    message["To"] = OFFICE
    message["Subject"] = subject
    message["Message-ID"] = make_msgid(domain=address.partition("@")[2])
    message.set_content(text)
    return message


def _all_sent(views: Views) -> bool:
    return not views.outbox("queued") and not views.outbox("sending")


def _is_resolved(views: Views, today: date) -> bool:
    case = views.ticket("PQR-2026-000001", today)
    return case is not None and case["state"] == "resolved"
