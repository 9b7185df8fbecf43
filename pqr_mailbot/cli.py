"""The admin's commands, a few lines each: read the arguments, call what does the work, print.

Exit codes (contract): 0 done, 1 it could not be done or something is wrong, 2 usage or configuration error.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date, datetime
from functools import partial
from pathlib import Path
from shutil import get_terminal_size
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import click

from pqr_mailbot import __version__, config, plain, wiring
from pqr_mailbot import learn as learning
from pqr_mailbot.adapters import memory, mime_header, mime_parser, sqlite_files
from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.adapters.letters import TemplateProblem
from pqr_mailbot.adapters.sqlite_store import Store, StoreProblem, only_daemon, problem_of, words_of
from pqr_mailbot.adapters.sqlite_verify import damages
from pqr_mailbot.adapters.sqlite_views import INBOUND_STATES, LARGEST_ID, OUTBOX_STATES, Filter, Views
from pqr_mailbot.adapters.systemd import log_to_stderr
from pqr_mailbot.check import findings
from pqr_mailbot.daemon import Daemon, utc_now
from pqr_mailbot.domain.business_days import BusinessCalendar, local_day
from pqr_mailbot.domain.classify import classify as classify_text
from pqr_mailbot.domain.commands import shown
from pqr_mailbot.domain.model import State
from pqr_mailbot.domain.policy import TicketType
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.restored import must_not_be_held

FIRST_YEAR, LAST_YEAR = 1984, 2999  # Ley 51/1983 moved the holidays from 1984 on
SHIPPED_ZONE = ZoneInfo("America/Bogota")
PACKAGE = Path(__file__).parent

as_json = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")


class Office:
    """What the commands share: where the configuration is, loaded when first needed."""

    def __init__(self, given: str | None, verbose: bool) -> None:
        self.given, self.verbose = given, verbose

    def settings(self) -> config.Settings:
        return config.load(config.find_config(self.given, os.environ))

    def settings_if_any(self) -> config.Settings | None:
        """For commands that need no configuration: None when none was asked for and none can be read."""
        path = config.find_config(self.given, os.environ)
        if self.given or os.environ.get("PQR_MAILBOT_CONFIG") or os.access(path, os.R_OK):
            return self.settings()
        if os.path.lexists(path):
            click.echo(f"{path}: cannot be read by this user; what is shipped holds", err=True)
        return None

    @contextmanager
    def views(self) -> Iterator[tuple[Views, config.Settings]]:
        settings = self.settings()
        views = Views(settings.store.path, settings.office.zone, wiring.desk_of(settings).calendar, settings.types)
        try:
            yield views, settings
        finally:
            views.close()

    def rules(self) -> tuple[BusinessCalendar, dict[str, TicketType], dict[date, str], ZoneInfo]:
        """The calendar, the types, the closures and the zone in force, or the shipped ones."""
        settings = self.settings_if_any()
        if settings is None:
            return business_calendar(), config.merged_types(), {}, SHIPPED_ZONE
        calendar = wiring.desk_of(settings).calendar
        return calendar, settings.types, settings.calendar.closures, settings.office.zone


class Text(click.ParamType[str]):
    """Words that can be looked for: UTF-8, and not only blanks."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        text = str(value)
        if not text.strip() or any("\ud800" <= character <= "\udfff" for character in text):
            self.fail("expected some text in UTF-8", param, context)
        return text


class Instant(click.ParamType[datetime]):
    """An ISO day or instant. Without an offset it is the office's time."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> datetime:
        try:
            found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r}: expected a day such as 2026-06-01", param, context)
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            self.fail(f"{value!r}: expected a day of the years {FIRST_YEAR} to {LAST_YEAR}", param, context)
        return found


office = click.make_pass_decorator(Office)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--config", "given", metavar="FILE", help="Default: $PQR_MAILBOT_CONFIG, then /etc/pqr-mailbot/config.toml."
)
@click.option("--verbose", is_flag=True, help="More in the log, and a traceback when the program itself is at fault.")
@click.version_option(__version__)
@click.pass_context
def pqr_mailbot(context: click.Context, given: str | None, verbose: bool) -> None:
    """A customer-service desk that lives entirely in a mailbox."""
    log_to_stderr(verbose)
    if os.environ.get("NO_COLOR"):
        context.color = False  # click shows colours on a terminal only, but does not know this wish
    context.obj = Office(given, verbose)


# -- setting up and running ----------------------------------------------------------------------------------------


@pqr_mailbot.command()
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Leave store, configuration and mail here."
)
@click.option("--serve", is_flag=True, help="Stay up for a real mail client.")
def demo(keep: Path | None, serve: bool) -> None:
    """Show the desk at work, with servers of its own on loopback and no configuration."""
    try:
        from pqr_mailbot.demo import show  # the extra `demo` may not be installed
    except ModuleNotFoundError as missing:
        raise click.ClickException(
            f"the demo needs the extra: pip install 'pqr-mailbot[demo]' (missing: {missing.name})"
        ) from None
    show(keep, serve)


@pqr_mailbot.command()
@click.option("--to", "directory", default=".", type=click.Path(file_okay=False, path_type=Path), help="Default: here.")
def init(directory: Path) -> None:
    """Write a commented config.toml to start from."""
    target = directory / "config.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        _write_new(target, _example().read_bytes())
    except FileExistsError as error:
        raise click.ClickException(f"{error.filename}: exists already; nothing was overwritten") from None
    except OSError as error:
        raise click.ClickException(f"{target}: {error.strerror}") from None
    click.echo(plain.next_steps(target))


def _write_new(target: Path, content: bytes) -> None:
    """The whole file or none. It holds no secret, so its mode is the usual one: the service has to read it."""
    with target.open("xb", buffering=0) as file:
        try:
            file.write(content)
        except OSError:
            target.unlink()
            raise


def _example() -> Path:
    """In an installed package beside the code, in a checkout at the root."""
    return next(p for p in (PACKAGE / "config.example.toml", PACKAGE.parent / "config.example.toml") if p.exists())


@pqr_mailbot.command()
@click.option("--offline", is_flag=True, help="Connect to nothing.")
@as_json
@office
def check(office: Office, offline: bool, as_json: bool) -> None:
    """Look over configuration, letters, calendar, store, and both servers."""
    found = []
    for finding in findings(office.settings(), os.environ, utc_now(), offline):
        found.append(finding.as_json())
        if not as_json:
            click.echo(plain.finding(found[-1]))
    if as_json:
        _print_json(found)
    if bad := sum(finding["level"] == "FAIL" for finding in found):
        raise click.ClickException(f"check: {plain.counted(bad, 'finding')} FAIL")


@pqr_mailbot.command()
@click.option("--once", is_flag=True, help="One whole round, then exit.")
@office
def run(office: Office, once: bool) -> None:
    """The daemon."""
    settings = office.settings()
    memory.give_back()
    daemon = Daemon(settings, wiring.Secrets.read(settings, os.environ))
    memory.trim()  # of reading the learned weights
    try:
        if not once:
            asyncio.run(daemon.run())
            return
        problems = asyncio.run(daemon.round())
    finally:
        daemon.close()
    if problems:
        _complain(problems)
        raise click.exceptions.Exit(1)


@pqr_mailbot.command()
@as_json
@office
def status(office: Office, as_json: bool) -> None:
    """Is the desk healthy? Exit 1 when it is not."""
    with office.views() as (views, settings):
        report = views.status(utc_now(), settings.expected())
    _print_json(report) if as_json else click.echo(plain.status(report))
    if not report["healthy"]:
        raise click.ClickException(f"unhealthy: {'; '.join(report['problems'])}")


@pqr_mailbot.command()
@click.argument("file", type=click.Path(path_type=Path))
@office
def backup(office: Office, file: Path) -> None:
    """Copy the store, signing keys included, while the daemon runs. Never over an existing file."""
    size = sqlite_files.back_up(office.settings().store.path, file)
    click.echo(f"{plain.harmless(file)}: {plain.counted(size, 'byte')}, checked; it holds the keys and all mail")


@pqr_mailbot.command()
@as_json
@office
def verify(office: Office, as_json: bool) -> None:
    """Look for damage in the store: the file, the chain of the history, rows that do not fit each other."""
    settings = office.settings()
    found = [damage.as_json() for damage in damages(settings.store.path)]
    _print_rows(found, plain.damages, as_json)
    if found:
        raise click.ClickException(f"{settings.store.path}: {plain.counted(len(found), 'damage')}")


@pqr_mailbot.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="There is a store already: keep it beside, under another name.")
@office
def restore(office: Office, file: Path, force: bool) -> None:
    """Put a backup in the place of the store. Nothing is sent afterwards until `reconcile`."""
    path = office.settings().store.path
    with only_daemon(path) as lock:
        kept = sqlite_files.restore(file, path, utc_now(), force)
        lock.write("")  # what was wrong was wrong with the other store
    click.echo(plain.restored(path, kept))


@pqr_mailbot.command()
@as_json
@office
def reconcile(office: Office, as_json: bool) -> None:
    """Compare mailbox and store: mail without a row, rows without mail, and why. After a restore: let the desk work."""
    settings = office.settings()
    secrets = wiring.Secrets.read(settings, os.environ)
    with office.views():
        pass  # whoever only reads knows best what is wrong with a store that cannot be used
    with ExitStack() as resources:
        books = resources.enter_context(closing(Books(lambda: Store.attach(settings.store.path))))
        source = wiring.token_source(settings, secrets, books, utc_now)
        if source:
            source.in_haste = True
            resources.callback(source.close)
        task = wiring.reconciliation_of(settings, secrets, books, utc_now, source.token if source else None)
        report = task.whole(partial(wiring.settle, settings, utc_now, plain.with_bar))
    _print_json(plain.reconciled_json(report)) if as_json else click.echo(plain.reconciled(report, _width()))


# -- tickets -------------------------------------------------------------------------------------------------------


@pqr_mailbot.command()
@click.option("--state", type=click.Choice([state.value for state in State]))
@click.option("--type", "type_", metavar="TYPE")
@click.option("--owner", type=Text(), metavar="ADDRESS")
@click.option("--overdue", is_flag=True)
@as_json
@office
def tickets(
    office: Office, state: str | None, type_: str | None, owner: str | None, overdue: bool, as_json: bool
) -> None:
    """List tickets."""
    with office.views() as (views, settings):
        if type_ and type_ not in settings.types:
            raise click.UsageError(f"--type {type_}: expected one of {', '.join(settings.types)}")
        today = local_day(utc_now(), settings.office.zone)
        rows = views.tickets(Filter(state, type_, owner.lower() if owner else None, overdue), today)
    _print_rows(rows, lambda rows, width: plain.tickets(rows, width, today), as_json)


@pqr_mailbot.command()
@click.argument("reference")
@as_json
@office
def show(office: Office, reference: str, as_json: bool) -> None:
    """Show one ticket: facts, deadline with its derivation, conversation, history."""
    with office.views() as (views, settings):
        found = find_one(reference, settings.reference.prefix)
        row = views.ticket(found, local_day(utc_now(), settings.office.zone))
    if row is None:
        raise click.ClickException(f"{found}: no such ticket")
    _print_json(row) if as_json else click.echo(plain.ticket(row, _width()))


def find_one(text: str, prefix: str) -> str:
    """The reference an admin typed, as tolerantly as in a subject; the number alone is not enough."""
    found = find_references(text, prefix)
    if len(found) != 1:
        raise click.UsageError(f"{text!r}: expected a reference such as {prefix}-2026-000123")
    return found[0]


@pqr_mailbot.command()
@click.argument("text", type=Text())
@as_json
@office
def search(office: Office, text: str, as_json: bool) -> None:
    """Full-text search over the conversations."""
    with office.views() as (views, _):
        rows = views.search(text)
    _print_rows(rows, plain.search, as_json)


@pqr_mailbot.command()
@click.argument("reference")
@click.argument("command", type=Text(), metavar="COMMAND")
@office
def order(office: Office, reference: str, command: str) -> None:
    """Order about a case what an agent can order by mail, such as "#resolver"; "#ayuda" lists the orders."""
    settings = office.settings()
    found = find_one(reference, settings.reference.prefix)
    now = utc_now()
    with _writing(office) as store:
        must_not_be_held(store)
        handler = wiring.handler_of(settings, store)
        said, sections, effects = handler.colleagues().order(found, command, now)
        handler.applying(now).all(effects)
    if refused := [line for line in said if not line.ok]:
        raise click.ClickException("; ".join(f"{line.order}: {line.said.rstrip('.')}" for line in refused))
    click.echo(plain.orders([line.said for line in said], sections, _width()))
    if any(line.order == "#ayuda" for line in said):
        click.echo("\n" + plain.help_page(shown()))


@pqr_mailbot.command("rotate-key")
@office
def rotate_key(office: Office) -> None:
    """Sign letters with a new key from now on; answers to earlier letters still count."""
    with _writing(office) as store:
        store.rotate_key()
    click.echo("letters are signed with a new key from now on")


@contextmanager
def _writing(office: Office) -> Iterator[Store]:
    """The store beside a running daemon, in one transaction."""
    with office.views() as (_, settings):
        pass  # whoever only reads knows best what is wrong with a store that cannot be used
    store = Store.attach(settings.store.path)
    try:
        with store.transaction():
            yield store
    except sqlite3.Error as error:
        raise problem_of(settings.store.path, error) from error
    finally:
        store.close()


# -- mail in and out -----------------------------------------------------------------------------------------------


@pqr_mailbot.command()
@click.option("--state", type=click.Choice(INBOUND_STATES))
@as_json
@office
def inbox(office: Office, state: str | None, as_json: bool) -> None:
    """Mails as received."""
    with office.views() as (views, _):
        rows = views.inbox(state)
    _print_rows(rows, plain.inbox, as_json)


@pqr_mailbot.command()
@click.argument("inbound_id", type=click.IntRange(1, LARGEST_ID), metavar="ID", required=False)
@click.option("--all", "everything", is_flag=True, help="Every failed mail.")
@click.option("--as-person", is_flag=True, help="Handle a machine's mail after all.")
@office
def retry(office: Office, inbound_id: int | None, everything: bool, as_person: bool) -> None:
    """Handle failed mails again, or a set-aside one as a person's."""
    if (inbound_id is None) is not everything:
        raise click.UsageError("expected the ID of a mail (see `inbox`), or --all")
    with office.views() as (views, _):
        ids = [row["id"] for row in views.inbox("failed")] if inbound_id is None else [inbound_id]
        state = views.inbound_state(inbound_id) if inbound_id else None
    with _writing(office) as store:
        count = sum(store.retry(one, as_person) for one in ids)
    if inbound_id and not count:
        hint = "; a machine's mail is handled with --as-person" if state == "set_aside" else ""
        reason = f"is {state}, expected a failed mail{hint}" if state else "no such mail"
        raise click.ClickException(f"inbound {inbound_id}: {reason}")
    waits = "waits" if count == 1 else "wait"
    click.echo(f"{plain.counted(count, 'mail')} {waits} to be handled again; the daemon does it, or `run --once`")


@pqr_mailbot.command()
@click.option("--state", type=click.Choice(OUTBOX_STATES))
@as_json
@office
def outbox(office: Office, state: str | None, as_json: bool) -> None:
    """Letters queued, sent, uncertain, dead."""
    with office.views() as (views, _):
        rows = views.outbox(state)
    _print_rows(rows, plain.outbox, as_json)


@pqr_mailbot.command()
@click.argument("mail", type=Text(), metavar="ID")
@as_json
@office
def explain(office: Office, mail: str, as_json: bool) -> None:
    """The decision trail of one inbound mail, by its inbound id or Message-ID."""
    with office.views() as (views, _):
        rows = views.explain(mail)
    if not rows:
        raise click.ClickException(f"{mail}: no such mail in the store")
    _print_json(rows[0]) if as_json else click.echo("\n\n".join(plain.trail(row) for row in rows))


# -- without a store -----------------------------------------------------------------------------------------------


@pqr_mailbot.command()
@click.argument("file", type=click.File("rb"), default="-")
@as_json
@office
def classify(office: Office, file: Any, as_json: bool) -> None:
    """Type, urgency and the words that decided, for a text or a mail."""
    raw = file.read()
    subject, text = "", mime_header.decode_text(raw)
    if _begins_with_header_fields(text):
        mail = mime_parser.parse(raw)
        subject, text = mail.subject, mail.text
    settings = office.settings_if_any()
    found = classify_text(subject, text, wiring.lexicon_of(settings) if settings else wiring.shipped_lexicon())
    report = {
        "type": found.type,
        "urgent": found.urgent,
        "urgency": list(found.urgency),
        "confidence": found.confidence,
        "evidence": [{"words": e.words, "type": e.type, "weight": e.weight} for e in found.evidence],
        "scores": dict(found.scores),
    }
    _print_json(report) if as_json else click.echo(plain.classification(report))


@pqr_mailbot.command()
@click.option("--from", "files", multiple=True, type=click.Path(path_type=Path), help="Labelled mail, JSON lines.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@office
def learn(office: Office, files: tuple[Path, ...], yes: bool) -> None:
    """New word weights from labelled mail and from the types agents corrected; tried on mail held out first."""
    settings = office.settings()
    target = settings.classification.model
    if target and not _can_be_written(target):
        raise click.ClickException(f"classification.model: {target}: no file can be written there")
    with office.views() as (views, _):
        corrections = views.corrections()
    try:
        found = _learned(files, corrections)
    except learning.LearnProblem as problem:
        raise click.ClickException(str(problem)) from problem
    click.echo(plain.learned(found))
    if not found.better:
        raise click.ClickException("nothing is replaced: held-out mail would be sorted worse than before")
    if target is None:
        raise click.ClickException("nothing is replaced: classification.model names no file to write the weights to")
    if yes or click.confirm(f"Write these weights to {target}?"):
        _replace(target, found.tsv)
        click.echo(f"{target} written. It holds from the next start of the daemon on; delete it to go back.")
    else:
        click.echo("Nothing is replaced.")


def _can_be_written(target: Path) -> bool:
    try:
        return os.access(target.parent, os.W_OK) and not target.is_dir()
    except OSError:  # such a name can never be a file's
        return False


def _replace(target: Path, text: str) -> None:
    """The whole file in the place of the old one, or the old one stays."""
    half = target.with_name(f"{target.name}.new")
    try:
        with half.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        half.replace(target)
    except BaseException as error:
        with suppress(OSError):
            half.unlink()
        if isinstance(error, OSError):
            raise click.ClickException(f"nothing is replaced: {half}: {error.strerror}") from error
        raise


def _learned(files: Sequence[Path], corrections: Sequence[dict[str, Any]]) -> learning.Learned:
    new = [example for file in files for example in learning.examples_of(file)]
    new += learning.corrected_examples(corrections)
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise learning.LearnProblem("scikit-learn is missing: pip install 'pqr-mailbot[learn]'") from None
    watched = partial(plain.with_bar, label="held out")
    return learning.learned_from(learning.shipped_examples(), new, wiring.shipped_concepts(), watched)


def _begins_with_header_fields(text: str) -> bool:
    """Mail, not plain text: it opens with header fields, one of which every mail has ("Hola:" is none)."""
    head = text.lstrip("\ufeff\r\n").replace("\r\n", "\n").split("\n\n", 1)[0]
    fields = re.findall(r"^([!-9;-~]+):", head, re.MULTILINE)
    known = {"from", "subject", "received", "return-path", "message-id", "date", "mime-version"}
    return bool(re.match(r"[!-9;-~]+:", head)) and any(field.lower() in known for field in fields)


@pqr_mailbot.command()
@click.option("--from", "received", type=Instant(), required=True, help="The day of receipt, office time.")
@click.option("--type", "type_", metavar="TYPE", help="Default: every type.")
@as_json
@office
def deadlines(office: Office, received: datetime, type_: str | None, as_json: bool) -> None:
    """Spell out when a mail received on a day must be resolved."""
    calendar, types, _, zone = office.rules()
    if type_ and type_ not in types:
        raise click.UsageError(f"--type {type_}: expected one of {', '.join(types)}")
    received_on = local_day(received, zone) if received.tzinfo else received.date()
    kinds = [types[type_]] if type_ else types.values()
    _print_rows([_deadline(calendar, received_on, kind) for kind in kinds], plain.deadlines, as_json)


def _deadline(calendar: BusinessCalendar, received_on: date, kind: TicketType) -> dict[str, Any]:
    term = calendar.term(received_on, kind.resolve_days)
    return {
        "type": kind.key,
        "received_on": received_on.isoformat(),
        "business_days": kind.resolve_days,
        "due_on": term.due_on.isoformat(),
        "skipped": [{"date": day.date.isoformat(), "name": day.name} for day in term.skipped],
    }


@pqr_mailbot.command()
@click.argument("year", type=click.IntRange(FIRST_YEAR, LAST_YEAR))
@as_json
@office
def calendar(office: Office, year: int, as_json: bool) -> None:
    """The days off of a year by name, and the office's closures."""
    days, _, closures, _ = office.rules()
    rows = [{"date": day.isoformat(), "name": name, "kind": "holiday"} for day, name in days.holidays_of(year).items()]
    rows += [
        {"date": day.isoformat(), "name": name, "kind": "closure"} for day, name in closures.items() if day.year == year
    ]
    rows.sort(key=lambda row: row["date"])
    _print_json(rows) if as_json else click.echo(plain.calendar(rows))


# -- printing and failing ------------------------------------------------------------------------------------------


def _print_json(document: object) -> None:
    encoding = sys.stdout.encoding or "ascii"
    click.echo(plain.document(document, ascii_only=not encoding.lower().startswith("utf")))


def _print_rows(rows: list[Any], in_words: Callable[[list[Any], int], str], as_json: bool) -> None:
    _print_json(rows) if as_json else click.echo(in_words(rows, _width()))


def _width() -> int:
    """The terminal's columns; 0 when the output goes elsewhere."""
    return get_terminal_size().columns if sys.stdout.isatty() else 0


def _complain(lines: Iterable[str]) -> None:
    with suppress(OSError):  # nobody listens
        for line in lines:
            click.echo(plain.harmless(line), err=True)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """The program's entry: every failure is a line and an exit code, never a traceback. None: the process's own."""
    _open_streams()
    try:
        sys.exit(pqr_mailbot(arguments, prog_name="pqr-mailbot", standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as nothing:
        nothing.show()
        sys.exit(nothing.exit_code)
    except Exception as error:
        lines, code = _said(error)
        if code is None:
            if "--verbose" in (sys.argv if arguments is None else arguments):
                raise
            lines, code = [f"the program itself failed: {type(error).__name__}: {error} (--verbose shows where)"], 1
        _complain(lines)
        sys.exit(code)


def _open_streams() -> None:
    """What the shell has closed goes nowhere: else the next file opened would take its place."""
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that is not UTF-8


def _said(error: Exception) -> tuple[list[str], int | None]:
    """What an admin is told of a failure, and the exit code; no code: it is the program's own fault."""
    match error:
        case config.ConfigError():
            return error.mistakes, 2
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "pqr-mailbot"
            return [f"{command}: {error.format_message().rstrip('.')} (see `{command} --help`)"], 2
        case click.ClickException():
            return [error.format_message()], 1
        case click.Abort():
            return ["interrupted"], 1
        case StoreProblem() | TemplateProblem() | Trouble():
            return [str(error)], 1
        case sqlite3.Error():
            return [f"store: {words_of(error)}"], 1
        case OSError(errno=errno.EPIPE | errno.ENOSPC | errno.EIO, filename=None):
            _silence_output()
            return [] if error.errno == errno.EPIPE else [f"the output could not be written: {error.strerror}"], 1
    return [], None


def _silence_output() -> None:
    """The reader of our output went away, or its disk is full: what is left to write goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
