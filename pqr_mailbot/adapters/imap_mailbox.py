"""One folder of an IMAP server, read by one thread: UIDs, bodies, moves, and waiting for news by IDLE.

A Mailbox is used by the thread that opened it; only `wake` and `abort` may be called from another. After any Trouble
but one of kind "folder" it is of no more use: close it and open another, for the library's link is then out of step.
"""

from __future__ import annotations

import ast
import imaplib
import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from imapclient import DELETED, SocketTimeout
from imapclient.exceptions import InvalidCriteriaError, LoginError

from pqr_mailbot.adapters.connection import (
    AccessToken,
    Endpoint,
    Trouble,
    connect_trouble,
    masked,
    one_line,
    tls_context,
    xoauth2,
)
from pqr_mailbot.adapters.imap_session import ENDLESS, Client

SLICE = 2**20  # bytes of a large mail asked for at once
CONNECT_SECONDS = 15.0
READ_SECONDS = 60.0
_FAREWELL_SECONDS = 2.0  # for the last words of a conversation that we end
_TICK = 0.5  # seconds between two looks at `stop`
_CHATTER = 5  # times that a server may talk of something else than mail in one waiting before we listen less often
_MOVED_AT_ONCE = 200  # servers limit the length of a command line
_LARGEST = 2**63 - 1  # bytes of a mail (RFC 9051 section 9)

# What a drop, a refusal or nonsense from the server comes out as: TLS errors and time-outs are OSErrors, too many
# brackets within each other a RuntimeError.
_NONSENSE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
_LOST = (OSError, imaplib.IMAP4.error, *_NONSENSE)
_LATER_CODES = {"UNAVAILABLE", "INUSE", "LIMIT", "SERVERBUG", "OVERQUOTA"}
_LATER_WORDS = re.compile(r"too many|try again|temporar|simultaneous|but not connected|\blater\b", re.IGNORECASE)
_REFUSAL = re.compile(r"(\w+)(?: failed: | command error: (?:BAD )?)(.*)", re.DOTALL)
_SENT_NAMES = {
    "sent", "sent items", "sent mail", "sent messages",
    "enviados", "enviadas", "elementos enviados", "correo enviado", "correos enviados", "mensajes enviados",
    "correo electrónico enviado", "ítems enviados",
}  # fmt: skip
_JUNK_NAMES = {
    "junk", "spam", "bulk", "bulk mail", "junk email", "junk e-mail", "junk mail",
    "correo no deseado", "correo electrónico no deseado", "no deseado", "no deseados", "correo basura",
}  # fmt: skip
_NO_PLACE_OF_THEIR_OWN = {b"\\all", b"\\flagged", b"\\important", b"\\drafts"}  # other folders' mails, or no mails


@dataclass(frozen=True, slots=True)
class Envelope:
    """What is known of a mail before it is fetched. `size` in bytes, as the server states it (some are not exact);
    `received_at` is INTERNALDATE in UTC, None where the server gives none that can be read."""

    uid: int
    size: int
    received_at: datetime | None


class Mailbox:
    """An open folder and its name. `uidvalidity` numbers the numbering; `uidnext` is what the server foretold when
    it was opened."""

    folder: str
    uidvalidity: int
    uidnext: int | None

    def __init__(self, endpoint: Endpoint, client: Any, idle: bool) -> None:
        """Use `open`."""
        self._endpoint = endpoint
        self._client = client
        self._idle = idle
        self._readonly = self._asked_readonly = False
        self._lost = False
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)

    @classmethod
    def open(
        cls, endpoint: Endpoint, secret: str | AccessToken, folder: str, readonly: bool = False, idle: bool = True
    ) -> Mailbox:
        """Connects, logs in with a password or an access token, and selects the folder (EXAMINE when `readonly`).
        `idle` False: `wait` only polls.

        Raises Trouble.
        """
        client = _connected(endpoint)
        try:
            mailbox = cls(endpoint, client, idle)
        except OSError as error:  # no file handles
            client.shutdown()
            raise connect_trouble(endpoint, error) from error
        try:
            with mailbox._weather():
                mailbox._start_tls()
                mailbox._log_in(secret)
                mailbox._select(folder, readonly)
                mailbox._idle = idle and mailbox._client.has_capability("IDLE")
        except BaseException:
            mailbox.close()
            raise
        return mailbox

    def close(self) -> None:
        """Ends the conversation, politely if it is intact. Never raises, and waits two seconds at most."""
        try:
            if not self._lost:
                with suppress(*_LOST):
                    self._client.socket().settimeout(_FAREWELL_SECONDS)
                    self._client.logout()
        finally:
            self._lost = True
            with suppress(*_LOST):
                self._client.shutdown()
            self._bell.close()
            self._ear.close()

    # -- reading ---------------------------------------------------------------------------------------------------

    def uids_after(self, last: int) -> list[int]:
        """The UIDs above `last`, ascending."""
        with self._weather():
            self._told_of_mail()  # this search sees all that was told before it
            # `n:*` names the last mail even when its UID is below n (RFC 3501 section 6.4.8).
            return sorted(_number(uid) for uid in self._client.search(["UID", f"{last + 1}:*"]) if uid > last)

    def uids_since(self, day: date) -> list[int]:
        """The UIDs of mail received on `day` or later, ascending; the server judges days without regard to zones."""
        with self._weather():
            return sorted(map(_number, self._client.search(["SINCE", day])))

    def present(self, upto: int) -> list[int]:
        """The UIDs up to and including `upto` of mail that is still here and not marked as deleted, ascending."""
        if upto < 1:
            return []
        with self._weather():
            return sorted(uid for uid in self._client.search(["UNDELETED", "UID", f"1:{upto}"]) if uid <= upto)

    def refresh(self) -> None:
        """NOOP: a dead link is noticed, and the server may tell of new mail."""
        with self._weather():
            self._client.noop()

    def header_fields(self, uids: Sequence[int], names: Sequence[str]) -> dict[int, bytes]:
        """Of each mail that is still there the named header fields as they stand, and nothing else."""
        answers = self._fetch(uids, [f"BODY.PEEK[HEADER.FIELDS ({' '.join(names)})]"])
        parts = {uid: [v for k, v in answer.items() if k.startswith(b"BODY[")] for uid, answer in answers.items()}
        return {uid: _bytes(found[0]) for uid, found in parts.items() if found}

    def headers_of(self, uids: Sequence[int]) -> list[Envelope]:
        """Size and date of each mail that is still there, in the order asked for."""
        answers = self._fetch(uids, ["RFC822.SIZE", "INTERNALDATE"])
        with self._weather():
            return [
                Envelope(uid, _number(answer[b"RFC822.SIZE"], 0, _LARGEST), _utc(answer.get(b"INTERNALDATE")))
                for uid, answer in answers.items()
                if b"RFC822.SIZE" in answer
            ]

    def bodies(self, uids: Sequence[int]) -> dict[int, bytes]:
        """Whole mails, in one command and without marking them as read; one removed meanwhile is absent."""
        answers = self._fetch(uids, ["BODY.PEEK[]"])
        # Without BODY[] an answer is a mere flag change that happened to come along, and NIL is what Dovecot says of a
        # mail that was removed: neither is an empty mail.
        parts = {uid: answer.get(b"BODY[]") for uid, answer in answers.items()}
        return {uid: _bytes(part) for uid, part in parts.items() if part is not None}

    def withheld(self, uids: Collection[int]) -> list[int]:
        """Those of a few mails that were not handed out whose UIDs the server still names: the others were removed."""
        if not uids:
            return []
        with self._weather():
            named = self._client.search(["UID", ",".join(map(str, sorted(uids)))])
            return sorted(set(uids).intersection(named))

    def withholds(self, uids: Collection[int]) -> Trouble:
        """What to say of that. The link itself is as good as before."""
        return self._endpoint.trouble("withheld", f"the server names {len(uids)} mails that it does not hand out")

    def head(self, uid: int, length: int) -> bytes:
        """The first `length` bytes of a mail. Raises Trouble when it is gone."""
        return self._slice(uid, 0, length)

    def slices(self, uid: int, start: int = 0, length: int = SLICE, upto: int | None = None) -> Iterator[bytes]:
        """A large mail piece by piece, from byte `start` up to `upto` (None: its end).

        Raises Trouble when it is gone: half a mail must never pass for a whole one.
        """
        while upto is None or start < upto:
            wanted = length if upto is None else min(length, upto - start)
            piece = self._slice(uid, start, wanted)
            if not piece:  # a short one is no sign of the end: servers may give less than was asked for
                return
            yield piece
            start += len(piece)

    def _slice(self, uid: int, start: int, length: int) -> bytes:
        answer = self._fetch([uid], [f"BODY.PEEK[]<{start}.{length}>"]).get(uid, {})
        part = b"BODY[]<%d>" % start
        if part in answer and (answer[part] is not None or self.withheld([uid])):  # NIL: removed, or beyond its end
            return _bytes(answer[part])[:length]
        if b"BODY[]" in answer:  # a server that knows no partial fetch
            return _bytes(answer[b"BODY[]"])[start : start + length]
        self._lost = True
        raise self._endpoint.trouble("dropped", f"mail {uid} was removed from the folder while it was being read")

    def _fetch(self, uids: Sequence[int], items: list[str]) -> dict[int, dict[bytes, Any]]:
        if not uids:
            return {}
        with self._weather():
            answers: dict[int, dict[bytes, Any]] = self._client.fetch(list(uids), items)
            return answers

    def reopen(self) -> None:
        """Opens the folder of this name anew: a server goes on showing one that was renamed, or made anew, as it was.

        Raises Trouble; of kind "folder" when it is gone, after which there is none open.
        """
        with self._weather():
            self._select(self.folder, self._asked_readonly)

    # -- waiting ---------------------------------------------------------------------------------------------------

    def wait(self, seconds: float, stop: Callable[[], bool]) -> bool:
        """Until the server tells of mail (True); False when the time is over, `stop()` is true, or somebody called
        `wake`. Search again afterwards in any case.

        At most 60 seconds a call are sensible: IDLE notices a half-open link only when it is ended. Without IDLE it
        waits for the whole time, then asks the server. Raises Trouble.
        """
        with self._weather():
            if self._told_of_mail():  # it came along with an answer after the last search, and IDLE will not repeat it
                return True
            end, chatter = time.monotonic() + seconds, 0
            while self._idle and not stop() and (left := end - time.monotonic()) > 0:
                if chatter > _CHATTER and not self._doze(min(left, _TICK * (chatter - _CHATTER)), stop, None):
                    return False
                if not self._start_idle():
                    break
                chatter += 1
                told = self._client._imap.heard()  # in one packet with the "+", where no poll would see it
                woken = not told and not self._doze(left, stop, self._client.socket())
                if woken:  # we are leaving: no time for a server that has gone silent
                    self._client.socket().settimeout(min(_FAREWELL_SECONDS, READ_SECONDS))
                self._end_idle()
                if self._told_of_mail():
                    return True
                if woken:
                    return False
            if self._idle or stop():
                return False
            if not self._doze(end - time.monotonic(), stop, None):
                return False
            self._client.noop()
            return self._told_of_mail()

    def wake(self) -> None:
        """From any thread: `wait` returns at once. Harmless at any other time."""
        with suppress(OSError):
            self._bell.send(b"!")

    def abort(self) -> None:
        """From any thread: whatever waits for the server ends at once with Trouble."""
        self._lost = True
        self.wake()
        with suppress(*_LOST):  # the plain shutdown: the one of SSLSocket would pull the floor from under the reader
            socket.socket.shutdown(self._client.socket(), socket.SHUT_RDWR)

    def _start_idle(self) -> bool:
        """False: the server says IDLE and does not mean it; from now on we poll."""
        try:
            self._client.idle()
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            if re.search(r" (?:NO|BAD)\b", str(error)[:80]):
                self._idle = False
                return False
            # News before the "+" is lawful, though not to the library: IDLE has begun all the same.
            while self._client._imap._get_response() is not None:
                pass
        return True

    def _doze(self, seconds: float, stop: Callable[[], bool], link: socket.socket | None) -> bool:
        """True when the link has something to read or the time is over; False when somebody wants us out."""
        poll = select.poll()
        poll.register(self._ear, select.POLLIN)
        if link is not None:
            poll.register(link, select.POLLIN)
        end = time.monotonic() + seconds
        while not stop() and (left := end - time.monotonic()) > 0:
            ready = [number for number, _ in poll.poll(min(left, _TICK) * 1000)]
            if self._ear.fileno() in ready:
                with suppress(BlockingIOError):
                    self._ear.recv(64)
                return False
            if ready:
                return True
        return not stop()

    def _end_idle(self) -> None:
        """DONE. Its answer carries what was told meanwhile, and only it shows that a link is dead: whatever made the
        link readable, even nothing but TLS housekeeping, is found out here."""
        _, lines = self._client.idle_done()
        if any(line and line[0] == b"BYE" for line in lines):
            raise self._endpoint.trouble("dropped", "the server said goodbye")
        self._client.socket().settimeout(READ_SECONDS)

    def _told_of_mail(self) -> bool:
        """Whether the server has announced mail (EXISTS) since this was last asked."""
        return self._client._imap.untagged_responses.pop("EXISTS", None) is not None

    # -- changing the folder ---------------------------------------------------------------------------------------

    def move(self, uids: Sequence[int], folder: str) -> None:
        """Moves mail. Raises Trouble of kind "folder", after which the Mailbox is still good, when the server will not.

        Without MOVE: COPY and mark as deleted; other people's deletions are never expunged.
        """
        if uids and self._readonly:
            raise self._endpoint.trouble("folder", f'mail cannot be moved to "{folder}": this folder is read-only')
        for start in range(0, len(uids), _MOVED_AT_ONCE):
            some = list(uids[start : start + _MOVED_AT_ONCE])
            with self._weather():
                try:
                    self._move(some, folder)
                except imaplib.IMAP4.abort:
                    raise
                except imaplib.IMAP4.error as error:
                    words = _reason(error)
                    raise self._endpoint.trouble("folder", f'mail cannot be moved to "{folder}": {words}') from error

    def _move(self, uids: list[int], folder: str) -> None:
        client = self._client
        if client.has_capability("MOVE"):
            client.move(uids, folder)
            return
        client.copy(uids, folder)
        client.add_flags(uids, [DELETED], silent=True)
        if client.has_capability("UIDPLUS"):
            client.uid_expunge(uids)

    # -- folders ---------------------------------------------------------------------------------------------------

    def folders(self) -> list[str]:
        """The names of the folders that can be opened."""
        return [name for _, _, name in self._folder_rows()]

    def sent_folder(self) -> str | None:
        """Where copies of sent mail lie: the folder the server marks as such, or one of a well-known name."""
        return self._folder_of(b"\\sent", _SENT_NAMES)

    def junk_folder(self) -> str | None:
        """Where the server puts what it takes for spam."""
        return self._folder_of(b"\\junk", _JUNK_NAMES)

    def places(self) -> list[str]:
        """The folders in which a mail may lie that is in no other."""
        return [name for flags, _, name in self._folder_rows() if not flags & _NO_PLACE_OF_THEIR_OWN]

    def _folder_of(self, flag: bytes, names: set[str]) -> str | None:
        """The folder with this flag (RFC 6154), else one of these names."""
        rows = self._folder_rows()
        for flags, _, name in rows:
            if flag in flags:
                return name
        near = sorted(rows, key=lambda row: row[2].count(row[1]) if row[1] else 0)  # not somebody's shared folder
        return next((n for _, mark, n in near if (n.split(mark)[-1] if mark else n).casefold() in names), None)

    def examine(self, folder: str) -> None:
        """Opens this folder, or the same one anew, for reading only: what is asked afterwards is asked of it as it is
        now, however it was renamed, emptied or renumbered.

        Raises Trouble; of kind "folder" when it cannot be opened, after which there is none open.
        """
        with self._weather():
            self._select(folder, readonly=True)

    def _folder_rows(self) -> list[tuple[set[bytes], str, str]]:
        """Flags in lower case, hierarchy separator, name."""
        with self._weather():
            rows = [
                ({bytes(flag).lower() for flag in flags}, (mark or b"").decode("ascii", "replace"), str(name))
                for flags, mark, name in self._client.list_folders()
            ]
        return [row for row in rows if not row[0] & {b"\\noselect", b"\\nonexistent"}]

    # -- the conversation ------------------------------------------------------------------------------------------

    @contextmanager
    def _weather(self) -> Iterator[None]:
        """Every way in which the library shows a failing server becomes Trouble, after which nothing more is said."""
        if self._lost:
            raise self._endpoint.trouble("dropped", "the connection was lost before")
        try:
            yield
        except Trouble as trouble:
            self._lost = trouble.kind != "folder"
            raise
        except _LOST as error:
            self._lost = True
            raise self._endpoint.trouble("dropped", f"the conversation broke off: {_reason(error)}") from error

    def _start_tls(self) -> None:
        if self._endpoint.tls != "starttls":
            return
        context = tls_context(self._endpoint)
        try:
            self._client.starttls(context)
        except (ssl.SSLError, TimeoutError) as error:
            raise connect_trouble(self._endpoint, error) from error
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:  # not offered, refused, or logged in unasked (PREAUTH)
            raise self._endpoint.trouble("tls", f"no STARTTLS to be had, nothing was sent: {_reason(error)}") from error

    def _log_in(self, secret: str | AccessToken) -> None:
        try:
            if isinstance(secret, AccessToken):
                self._log_in_by_token(secret)
            else:
                self._log_in_by_password(secret)
        except LoginError as error:
            if isinstance(error.__context__, imaplib.IMAP4.abort):  # a drop, which the library disguises
                raise error.__context__ from None
            raise _login_trouble(self._endpoint, secret, str(error)) from None

    def _log_in_by_token(self, token: AccessToken) -> None:
        if not self._client.has_capability("AUTH=XOAUTH2"):
            raise self._endpoint.trouble("login-later", "the server offers no login by XOAUTH2")
        answers = iter([xoauth2(self._endpoint.username, token)])
        # The library's own would answer the challenge of a refusal with the token once more.
        self._client.sasl_login("XOAUTH2", lambda _: next(answers, b""))

    def _log_in_by_password(self, password: str) -> None:
        client, username = self._client, self._endpoint.username
        if re.search(r"[\x00-\x1f\x7f]", username + password):
            raise self._endpoint.trouble("login", "user name or password contains a control character")
        plain = client.has_capability("AUTH=PLAIN")
        if client.has_capability("LOGINDISABLED") and not plain:
            raise self._endpoint.trouble("tls", "the server takes no login without TLS")
        needs_plain = not (username + password).isascii()
        if needs_plain and not plain:
            raise self._endpoint.trouble("login", "the password is not ASCII and the server offers no AUTH=PLAIN")
        if needs_plain or client.has_capability("LOGINDISABLED"):
            client.plain_login(username, password)
        else:
            client.login(_quoted(username), password)

    def _select(self, folder: str, readonly: bool) -> None:
        asked = readonly
        try:
            try:
                answer = self._client.select_folder(folder, readonly=readonly)
            except imaplib.IMAP4.readonly:  # reading is all we need
                readonly = True
                answer = self._client.select_folder(folder, readonly=True)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            if match := _REFUSAL.match(str(error)):
                words = _unwrapped(match[2])
                if _code(words) in _LATER_CODES:
                    what = f'folder "{folder}" cannot be opened just now: {one_line(words)}'
                    raise self._endpoint.trouble("login-later", what) from error
            there = self.folders()
            some = ", ".join(there[:12]) + (", …" if len(there) > 12 else "")
            what = "cannot be opened" if folder in there else "does not exist"
            raise self._endpoint.trouble(
                "folder", f'folder "{folder}" {what} ({_reason(error)}); there are: {some}'
            ) from error
        if not answer.get(b"UIDVALIDITY"):
            raise self._endpoint.trouble("folder", f'folder "{folder}" has no UIDVALIDITY: no mail in it can be named')
        self._readonly, self._asked_readonly, self.folder = readonly, asked, folder
        self.uidvalidity, uidnext = _number(answer[b"UIDVALIDITY"]), answer.get(b"UIDNEXT")
        self.uidnext = _number(uidnext) if uidnext else None


def _connected(endpoint: Endpoint) -> Any:
    context = tls_context(endpoint) if endpoint.tls == "implicit" else None
    try:
        client = Client(
            endpoint.host,
            port=endpoint.port,
            ssl=context is not None,
            ssl_context=context,
            timeout=SocketTimeout(CONNECT_SECONDS, READ_SECONDS),
        )
    except imaplib.IMAP4.error as error:  # refused in the greeting, or gone during it
        raise endpoint.trouble("unreachable", f"the server did not let us in: {_reason(error)}") from error
    except _LOST as error:
        raise connect_trouble(endpoint, error) from error
    client.normalise_times = False  # else dates lose their zone
    client._imap.debug = 0  # else every line is formatted for a log that nobody keeps
    link = client.socket()
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4)):
        link.setsockopt(socket.IPPROTO_TCP, option, value)
    return client


def _login_trouble(endpoint: Endpoint, secret: str | AccessToken, text: str) -> Trouble:
    """What the server's NO to a login means. Only a refusal of our name and secret is of kind "login": it must not be
    repeated soon, or the provider locks the account. Response codes: RFC 5530."""
    words = masked(_unwrapped(text), endpoint, secret)
    code = _code(words)
    if code == "PRIVACYREQUIRED":
        return endpoint.trouble("tls", f"the server takes no login without TLS: {words}")
    if code in _LATER_CODES or (not code.endswith("FAILED") and _LATER_WORDS.search(words)):
        return endpoint.trouble("login-later", f"no login just now for {endpoint.username}: {words}")
    return endpoint.trouble("login", f"login refused for {endpoint.username}: {words}")


def _reason(error: BaseException) -> str:
    """Why, without anything that could be part of a mail: the libraries quote what they could not read."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = str(error)
    if isinstance(error, imaplib.IMAP4.error):
        if isinstance(error, InvalidCriteriaError):  # the library adds its own advice to what the server said
            return f"the server refused SEARCH: {one_line(_unwrapped(text.splitlines()[0]))}"
        if match := _REFUSAL.match(text):
            return f"the server refused {match[1].upper()}: {one_line(_unwrapped(match[2]))}"
        if isinstance(error, imaplib.IMAP4.abort) and (why := _why_aborted(error, text)):
            return why
        if "BYE" in text:
            return one_line(_unwrapped(text))
        if text.startswith("Server does not support"):
            return one_line(text)
    return f"an answer that cannot be understood ({type(error).__name__})"


def _why_aborted(error: imaplib.IMAP4.abort, text: str) -> str | None:
    """What the library gives up for; None when it quotes what it could not read."""
    if ENDLESS in text:
        return ENDLESS
    if "EOF" in text or "socket error" in text:
        return "closed by the server"
    if isinstance(error, imaplib.IMAP4.readonly):
        return "the folder became read-only"
    if "unexpected" in text:
        return None
    return f"the server said goodbye: {one_line(text.rpartition(' => ')[2])}"  # what is left are the words of its BYE


def _unwrapped(text: str) -> str:
    """A server's words out of the representation of bytes, or of a list of bytes, in which the libraries quote them."""
    if not re.match(r"\[?b['\"]", text):
        return text
    try:
        said = ast.literal_eval(text)
        return b" ".join(said if isinstance(said, list) else [said]).decode("utf-8", "replace")
    except (ValueError, TypeError, SyntaxError):
        return text


def _code(words: str) -> str:
    """The response code (RFC 5530) that a server's words begin with, in capitals; "" for none."""
    return match[1].upper() if (match := re.match(r"\[([A-Za-z-]+)", words)) else ""


def _number(said: object, least: int = 1, most: int = 2**32 - 1) -> int:
    """A number of the protocol (nz-number, RFC 3501 section 9). Raises ValueError for what is none."""
    if not isinstance(said, int) or not least <= said <= most:
        raise ValueError("not a number that can be")
    return said


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is None:
        return None
    try:
        return moment.astimezone(UTC)
    except OverflowError:  # a date at the end of time
        return None


def _bytes(value: object) -> bytes:
    """A body as it came; NIL is none, and the library reads an unquoted number as one."""
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode()


def _quoted(text: str) -> str:
    """As an IMAP quoted string: the standard library quotes the password but not the name."""
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))
