"""What is wrong with the desk now: named problems, told by `status` and by alarms alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from pqr_mailbot.domain.spanish import long_date

REMEMBERED = timedelta(days=7)  # what went wrong is a problem for so long; then it is history
LATE = timedelta(minutes=10)  # a letter due for longer than this without having left is a problem,
PUT_OFF = timedelta(hours=4)  # one that its server takes "later" only after this (RFC 5321 section 4.5.4.1: a delay
# that senders are told of),
SEVERAL = 3  # unless so many wait and nothing gets out at all: then it is our own server that says "later"
SILENCE = timedelta(minutes=5)  # without a fetch, or three times what is usual if that is more
BACK_WITHIN = timedelta(minutes=10)  # a probe that was sent is in the mailbox
MINUTE = timedelta(minutes=1)

STORE, IMAP, SMTP, OAUTH2 = "store", "imap", "smtp", "oauth2"  # names of problems that others speak of


@dataclass(frozen=True, slots=True)
class Expected:
    """What a healthy desk does. `patience`: how long a server may fail before people hear of it, and must be well
    before they hear of that. `heartbeat`: how often a probe goes out and comes back, None: never."""

    fetch_every: timedelta = MINUTE
    patience: timedelta = timedelta(minutes=5)
    heartbeat: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """A provider that fails. `refused`: it was the login, which waiting does not mend."""

    name: str  # imap, smtp, oauth2
    problem: str
    since: datetime
    refused: bool


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store says at an instant; letters of the last `REMEMBERED` only."""

    servers: tuple[Server, ...] = ()
    last_fetch_at: datetime | None = None
    failed_mails: int = 0
    rescans: int = 0
    uncertain: int = 0
    dead: int = 0
    untold: int = 0  # of those dead, letters that nobody heard of
    alarm_letters: int = 0  # alarms and all-clears that did not get through
    late: int = 0  # letters
    untried: int = 0  # of those late, letters that were never tried
    moving: bool = True  # has a letter left since the oldest late one was due?
    put_off: int = 0
    probe_missing_since: datetime | None = None  # when the probe that did not come back was sent
    move_problem: str = ""
    sent_problem: str = ""
    held: str = ""  # why nothing is handled or sent since a restore
    missing: str = ""  # what the daily look found on the server without a row and a reason


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. `text`: English, one line. `said`: Spanish, for letters. `patience`: an alarm begins
    when it has been seen for so long; None: somebody was told in another way. `count`: of things that went wrong each
    for itself, how many."""

    name: str
    text: str
    said: str
    patience: timedelta | None
    count: int = 0


def problems(seen: Seen, expected: Expected, zone: ZoneInfo, now: datetime) -> list[Problem]:
    """Everything that is wrong. What only follows from another problem is not named beside it."""
    failing = {server.name for server in seen.servers}
    no_token = next((_whose(server) for server in seen.servers if server.name == OAUTH2), None)
    deaf = [] if IMAP in failing else list(_silence(seen, expected, zone, now))
    return [
        *_after_a_restore(seen),
        *(_server(one, expected, zone) for one in seen.servers if one.name == OAUTH2 or _whose(one) != no_token),
        *deaf,
        *_mails_and_letters(seen, expected),
        *([] if SMTP in failing or seen.held else _queue(seen, expected)),
        *([] if deaf or failing or seen.held else _heartbeat(seen, expected, zone)),
        *_folders(seen, expected),
        *_missing(seen),
    ]


def _whose(server: Server) -> str:
    """The endpoint whose trouble it is: a mail server for which there was no access token fails with the words of the
    token endpoint, those of that moment."""
    return server.problem.partition(": ")[0]


def store_trouble(words: str, expected: Expected) -> Problem:
    """The store cannot be written, or its machine has run out of something: known only from memory."""
    said = f"La mesa no puede escribir en su almacén ni abrir lo que necesita (¿disco lleno?): {words}."
    return Problem(STORE, words, said, min(MINUTE, expected.patience))


def _after_a_restore(seen: Seen) -> Iterator[Problem]:
    if words := seen.held:
        said = "Se restauró una copia de seguridad: nada se procesa ni se envía hasta que alguien ejecute `reconcile`."
        yield Problem("restored", words, said, timedelta())


def _server(server: Server, expected: Expected, zone: ZoneInfo) -> Problem:
    words = {
        IMAP: "No se puede leer el buzón: el correo de los clientes no entra",
        SMTP: "No se puede enviar correo: nadie recibe nuestras cartas, que esperan",
        OAUTH2: "El proveedor no nos da acceso (OAuth2): sin él no se lee ni se envía correo",
    }[server.name]
    return Problem(
        server.name,
        f"{server.name}: {server.problem} (since {_iso(server.since, zone)})",
        f"{words} (desde {hour(server.since, zone)}). {server.problem}",
        timedelta() if server.refused else expected.patience,
    )


def _silence(seen: Seen, expected: Expected, zone: ZoneInfo, now: datetime) -> Iterator[Problem]:
    last = seen.last_fetch_at
    if last is None:
        said = "El buzón no se ha podido leer ni una vez."
        yield Problem("fetch", "no successful fetch yet", said, expected.patience)
    elif now - last > max(SILENCE, 3 * expected.fetch_every):
        said = f"El buzón no se lee desde {hour(last, zone)}."
        text = f"no successful fetch since {_iso(last, zone)}"
        yield Problem("fetch", text, said, min(MINUTE, expected.patience))


def _mails_and_letters(seen: Seen, expected: Expected) -> Iterator[Problem]:
    """Things that went wrong one by one, and that a person has to look at."""
    rows = (
        ("failed_mails", seen.failed_mails, "mail", "could not be handled (`inbox --state failed`)",
         "correo no se pudo procesar", "correos no se pudieron procesar", timedelta()),
        ("uncertain_letters", seen.uncertain, "letter", "may or may not have arrived (`outbox --state uncertain`)",
         "carta quizás no llegó", "cartas quizás no llegaron", expected.patience),
        ("dead_letters", seen.dead, "letter", "could not be delivered (`outbox --state dead`)",
         "carta no se pudo entregar", "cartas no se pudieron entregar", timedelta() if seen.untold else None),
        ("alarm_letters", seen.alarm_letters, "letter", "about the desk's health did not get through (`outbox`)",
         "aviso de alarma no llegó", "avisos de alarma no llegaron", timedelta()),
        ("rescans", seen.rescans, "mail", "looked old and got no answer (`inbox --state set_aside`)",
         "correo parecía viejo y no se respondió", "correos parecían viejos y no se respondieron", timedelta()),
    )  # fmt: skip
    for name, count, noun, words, one, many, patience in rows:
        if count:
            said = f"{count} {one if count == 1 else many}."
            told = {"dead_letters": seen.untold, "alarm_letters": 0}.get(name, count)
            yield Problem(name, f"{_counted(count, noun)} {words}", said, patience, told)


def _queue(seen: Seen, expected: Expected) -> Iterator[Problem]:
    minutes, hours = LATE // MINUTE, PUT_OFF // timedelta(hours=1)
    if seen.untried or (seen.late >= SEVERAL and not seen.moving):
        text = f"{_counted(seen.late, 'letter')} in the queue for more than {minutes} minutes"
        said = f"{_cartas(seen.late)} sin salir hace más de {minutes} minutos."
        yield Problem("queue", text, said, expected.patience)
    if seen.put_off:
        text = f"{_counted(seen.put_off, 'letter')} put off by the receiving server for more than {hours} hours"
        said = f"{_cartas(seen.put_off)} que el servidor de destino aplaza hace más de {hours} horas."
        yield Problem("put_off", text, said, timedelta())


def _heartbeat(seen: Seen, expected: Expected, zone: ZoneInfo) -> Iterator[Problem]:
    if expected.heartbeat and (sent := seen.probe_missing_since):
        text = f"heartbeat: the probe sent at {_iso(sent, zone)} is not back"
        said = (
            f"El correo de prueba enviado {_at(hour(sent, zone))} no ha vuelto al buzón: algo se pierde en el camino."
        )
        yield Problem("heartbeat", text, said, min(MINUTE, expected.patience))


def _folders(seen: Seen, expected: Expected) -> Iterator[Problem]:
    """What is wrong with folders beside the inbox stops nothing."""
    if words := seen.move_problem:
        yield Problem("move_to", words, f"El correo leído no se puede mover a su carpeta: {words}", expected.patience)
    if words := seen.sent_problem:
        said = f"La carpeta de enviados no se puede leer, y lo que se responda desde el buzón no cuenta: {words}"
        yield Problem("sent_folder", words, said, expected.patience)


def _missing(seen: Seen) -> Iterator[Problem]:
    if words := seen.missing:
        said = "En el buzón hay correo que la mesa no tiene, sin que se sepa por qué: `reconcile` lo nombra."
        yield Problem("missing_mail", words, said, timedelta())


def hour(instant: datetime, zone: ZoneInfo) -> str:
    """`las 10:42 del 1 de junio`."""
    local = instant.astimezone(zone)
    article = "la" if local.hour == 1 else "las"
    return f"{article} {local:%H:%M} del {long_date(local.date(), weekday=False, year=False)}"


def _at(hour: str) -> str:
    return f"a {hour}"


def _iso(instant: datetime, zone: ZoneInfo) -> str:
    return instant.astimezone(zone).isoformat(timespec="seconds")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else noun + 's'}"


def _cartas(number: int) -> str:
    return "1 carta espera" if number == 1 else f"{number} cartas esperan"
