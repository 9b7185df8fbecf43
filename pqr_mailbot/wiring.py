"""Settings to the parts they describe: rules, words, letters, servers and secrets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path

from pqr_mailbot.adapters.connection import AccessToken, Endpoint
from pqr_mailbot.adapters.holidays import business_calendar
from pqr_mailbot.adapters.imap_mailbox import Mailbox
from pqr_mailbot.adapters.letters import Letters, TemplateProblem
from pqr_mailbot.adapters.oauth import client_of
from pqr_mailbot.adapters.smtp_mailer import Mailer
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.config import ConfigError, ImapTable, SecretError, Settings, SmtpTable, resolve_secret
from pqr_mailbot.domain.classify import Learned, Lexicon, LexiconError, concepts_of
from pqr_mailbot.domain.features import Concepts
from pqr_mailbot.domain.language import ENGLISH, PORTUGUESE
from pqr_mailbot.domain.situation import Desk
from pqr_mailbot.flows.books import Books
from pqr_mailbot.flows.handle import Handler
from pqr_mailbot.flows.providers import Standing, secret_mark
from pqr_mailbot.flows.receive import Reading, Receiver
from pqr_mailbot.flows.reconcile import Reconciliation
from pqr_mailbot.flows.restored import Aftermath, Settled
from pqr_mailbot.flows.token_source import Access, Tokens, TokenSource, with_token
from pqr_mailbot.flows.watch_sent import NoSentFolder, SentWatch

DATA = Path(__file__).parent / "data"


def desk_of(settings: Settings) -> Desk:
    """The rules in force."""
    return Desk(settings.policy(), business_calendar(settings.calendar.weekend, settings.calendar.holidays))


def letters_of(settings: Settings) -> Letters:
    """Raises ConfigError when the admin's directory is none."""
    directory = settings.templates.directory
    if directory and not directory.is_dir():
        raise ConfigError([f"templates.directory: {directory}: no such directory"])
    return Letters(settings.templates.directory, settings.policy().office)


def proven_letters_of(settings: Settings) -> Letters:
    """Letters that all render. Raises ConfigError naming the template, the line and what is wrong there."""
    letters = letters_of(settings)
    try:
        letters.prove()
    except TemplateProblem as problem:
        raise ConfigError([f"templates.directory: {problem}"]) from problem
    return letters


def handler_of(settings: Settings, store: Store) -> Handler:
    """What decides, on an open store; for a command beside the daemon."""
    letters = letters_of(settings)
    return Handler(store, desk_of(settings), lexicon_of(settings), letters, store.signer(), store.last_inbound_id())


def lexicon_of(settings: Settings) -> Lexicon:
    """The words in force, the admin's own on top. Raises ConfigError naming the key of a bad file."""
    extra = {}
    for key, path in settings.lexicons.items():
        extra[key] = _words_of(f"types.{key}.lexicon", path)
        try:
            Lexicon.parse("", "", {key: extra[key]})
        except LexiconError as error:
            raise ConfigError([f"types.{key}.lexicon: {path}: {error}"]) from error
    model = settings.classification.model
    if model is None or not model.exists():  # `learn` has not written it yet
        return _lexicon(tuple(sorted(extra.items())), None)
    try:
        return _lexicon(tuple(sorted(extra.items())), _words_of("classification.model", model))
    except LexiconError as error:
        raise ConfigError([f"classification.model: {model}: {error}"]) from error


def _words_of(key: str, path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError([f"{key}: {path}: {reason}"]) from error


def shipped_lexicon() -> Lexicon:
    return _lexicon((), None)


def shipped(name: str) -> str:
    """A table of words of the package."""
    return (DATA / name).read_text("utf-8")


def shipped_concepts() -> Concepts:
    return concepts_of(shipped("concepts.tsv"), shipped("lexicon.tsv"))


@lru_cache(maxsize=4)
def _lexicon(extra: tuple[tuple[str, str], ...], model: str | None) -> Lexicon:
    learned = Learned(shipped("weights.tsv") if model is None else model, shipped("concepts.tsv"))
    languages = {ENGLISH: shipped("lexicon_en.tsv"), PORTUGUESE: shipped("lexicon_pt.tsv")}
    lexicon = Lexicon.parse(shipped("lexicon.tsv"), shipped("urgency.tsv"), dict(extra), learned, languages)
    if model is not None:
        lexicon.prove()
    return lexicon


# -- servers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secrets:
    """The login secrets, read once at start. Never shown."""

    imap: str = field(repr=False)
    smtp: str = field(repr=False)
    oauth_client: str = field(repr=False, default="")
    oauth_refresh: str = field(repr=False, default="")

    @classmethod
    def read(cls, settings: Settings, environ: Mapping[str, str]) -> Secrets:
        """Raises ConfigError naming each key whose secret cannot be read."""
        imap, smtp, oauth2 = settings.imap, settings.smtp, settings.oauth2 if uses_oauth2(settings) else None
        wanted = {
            "imap": ("imap.password", imap.password if imap.auth == "password" else ""),
            "smtp": ("smtp.password", smtp.password if smtp.auth == "password" and smtp.username else ""),
            "oauth_client": ("oauth2.client_secret", oauth2.client_secret if oauth2 else ""),
            "oauth_refresh": ("oauth2.refresh_token", oauth2.refresh_token if oauth2 else ""),
        }
        mistakes, found = [], dict.fromkeys(wanted, "")
        for name, (key, reference) in wanted.items():
            if reference:
                try:
                    found[name] = resolve_secret(reference, settings.config_dir, environ)
                except SecretError as error:
                    mistakes.append(f"{key}: {error}")
        if mistakes:
            raise ConfigError(mistakes)
        return cls(**found)


def uses_oauth2(settings: Settings) -> bool:
    return "oauth2" in (settings.imap.auth, settings.smtp.auth)


def access_of(settings: Settings, secrets: Secrets) -> Access | None:
    """The [oauth2] table with its secrets; None when no login is by it."""
    table, refresh_token = settings.oauth2, secrets.oauth_refresh
    if table is None or not uses_oauth2(settings):
        return None
    client = client_of(
        table.provider, table.tenant, table.client_id, secrets.oauth_client, not refresh_token,
        table.token_url, table.scope, str(table.ca_file or ""),
    )  # fmt: skip
    return Access(client, refresh_token, secret_mark(f"{client.token_url} {client.client_id}", refresh_token))


def token_source(
    settings: Settings, secrets: Secrets, books: Books, clock: Callable[[], datetime]
) -> TokenSource | None:
    """None when no login is by OAuth2."""
    access = access_of(settings, secrets)
    return TokenSource(books, access, Standing("oauth2", _oauth2_mark(access, secrets)), clock) if access else None


def imap_endpoint(settings: Settings) -> Endpoint:
    return _endpoint(settings.imap)


def smtp_endpoint(settings: Settings) -> Endpoint:
    return _endpoint(settings.smtp)


def _endpoint(table: ImapTable | SmtpTable) -> Endpoint:
    return Endpoint(table.host, table.port, table.tls, str(table.ca_file or ""), table.username)


def open_mailbox(settings: Settings, secrets: Secrets, tokens: Tokens | None = None, readonly: bool = False) -> Mailbox:
    """Connects, logs in, selects the folder. `tokens`: for a login by OAuth2. Raises Trouble."""

    def opened(secret: str | AccessToken) -> Mailbox:
        folder, idle = settings.imap.folder, settings.imap.idle
        return Mailbox.open(imap_endpoint(settings), secret, folder, readonly=readonly, idle=idle)

    if settings.imap.auth == "password":
        return opened(secrets.imap)
    assert tokens, "the configuration has an [oauth2] table"
    return with_token(tokens, opened)


def sent_mailbox(settings: Settings, secrets: Secrets, tokens: Tokens | None = None) -> Mailbox:
    """Connects, logs in, opens the Sent folder for reading only. Raises Trouble, NoSentFolder."""
    mailbox = open_mailbox(settings, secrets, tokens, readonly=True)
    try:
        turn_to_sent(settings, mailbox)
    except BaseException:
        mailbox.close()
        raise
    return mailbox


def turn_to_sent(settings: Settings, mailbox: Mailbox) -> None:
    """Opens the Sent folder instead, for reading only. Raises Trouble, NoSentFolder."""
    name = settings.imap.sent_folder
    if name == "auto":
        found = mailbox.sent_folder()
        if found is None or found.casefold() == settings.imap.folder.casefold():
            raise NoSentFolder("no folder for sent mail found: name it in imap.sent_folder (empty: do not look for it)")
        name = found
    mailbox.examine(name)


def mailer_of(settings: Settings, secrets: Secrets, tokens: Tokens | None = None) -> Mailer:
    """`tokens`: for a login by OAuth2."""
    endpoint, width = smtp_endpoint(settings), settings.smtp.max_connections
    if settings.smtp.auth == "password":
        return Mailer(endpoint, secrets.smtp or None, width)
    assert tokens, "the configuration has an [oauth2] table"
    give = tokens

    async def supply(refused: AccessToken | None) -> AccessToken:
        return await asyncio.to_thread(give, refused)

    return Mailer(endpoint, supply, width)


def reconciliation_of(
    settings: Settings, secrets: Secrets, books: Books, clock: Callable[[], datetime], tokens: Tokens | None = None
) -> Reconciliation:
    """The mailbox beside the store, on a connection of its own that changes nothing. `tokens`: for OAuth2."""
    reading, open_inbox = reading_of(settings), partial(open_mailbox, settings, secrets, tokens, readonly=True)
    receiver = Receiver(books, open_inbox, imap_standing(settings, secrets), replace(reading, move_to=""), clock)
    sent = SentWatch(books, partial(sent_mailbox, settings, secrets, tokens), reading.max_bytes, clock)
    return Reconciliation(
        books, open_inbox, partial(turn_to_sent, settings), receiver, sent if settings.imap.sent_folder else None,
        reading, settings.policy(), clock,
    )  # fmt: skip


def settle(
    settings: Settings,
    clock: Callable[[], datetime],
    progress: Callable[[Sequence[int]], Iterable[int]],
    store: Store,
    arrived: int,
) -> Settled:
    """What has to be done after a restore."""
    return Aftermath(handler_of(settings, store), clock(), arrived, progress).settle()


def imap_standing(settings: Settings, secrets: Secrets) -> Standing:
    return Standing("imap", _login_mark(settings, settings.imap, secrets.imap, secrets))


def smtp_standing(settings: Settings, secrets: Secrets) -> Standing:
    return Standing("smtp", _login_mark(settings, settings.smtp, secrets.smtp, secrets))


def _login_mark(settings: Settings, table: ImapTable | SmtpTable, password: str, secrets: Secrets) -> str:
    access = access_of(settings, secrets) if table.auth == "oauth2" else None
    return secret_mark(table.username, _oauth2_mark(access, secrets) if access else password)


def _oauth2_mark(access: Access, secrets: Secrets) -> str:
    """Of all that an admin may have changed after a refusal."""
    client = access.client
    return secret_mark(
        f"{client.token_url} {client.client_id} {client.scope}", f"{client.client_secret}\0{secrets.oauth_refresh}"
    )


def reading_of(settings: Settings) -> Reading:
    imap = settings.imap
    return Reading(
        folder=imap.folder,
        move_to=imap.move_to,
        start_from=None if imap.start_from == "now" else imap.start_from,
        poll_seconds=imap.poll_seconds,
        max_bytes=settings.limits.max_message_bytes,
        zone=settings.office.zone,
    )
