"""The IMAP adapter: what it tells of a failing server, against scripted ones; what it does, against a real Dovecot."""

from __future__ import annotations

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hostile import DROP, OK, PASSWORD, RESET, SELECTED, Endless, ScriptedImap, Step, answer, frugal
from servers import CERTIFICATES, Authority, Dovecot

from pqr_mailbot.adapters import imap_mailbox, imap_session
from pqr_mailbot.adapters.connection import Endpoint, Trouble
from pqr_mailbot.adapters.imap_mailbox import Envelope, Mailbox

NEVER = lambda: False  # noqa: E731


# -- opening -----------------------------------------------------------------------------------------------------------

LOGIN_NO: list[tuple[str, str]] = [
    ("[AUTHENTICATIONFAILED] Authentication failed.", "login"),
    ("[AUTHENTICATIONFAILED] Invalid credentials, try again later (Failure)", "login"),
    ("[AUTHORIZATIONFAILED] not you", "login"),
    ("[EXPIRED] password expired", "login"),
    ("[ALERT] Application-specific password required: https://support.example", "login"),
    ("LOGIN failed.", "login"),
    ("[UNAVAILABLE] Temporary authentication failure.", "login-later"),
    ("[INUSE] mailbox in use", "login-later"),
    ("[LIMIT] Rate limit hit", "login-later"),
    ("[ALERT] Too many simultaneous connections. (Failure)", "login-later"),
    ("User is authenticated but not connected.", "login-later"),
    ("[PRIVACYREQUIRED] Plaintext authentication disallowed", "tls"),
]


@pytest.mark.parametrize(("words", "kind"), LOGIN_NO)
def test_a_refused_login_is_told_from_one_that_cannot_be_had_now(words: str, kind: str) -> None:
    with ScriptedImap({"LOGIN": [f"TAG NO {words} {PASSWORD}\r\n".encode()]}) as server:
        with pytest.raises(Trouble) as caught:
            server.open()
        assert caught.value.kind == kind
        assert f"127.0.0.1:{server.port}" in str(caught.value)
        assert PASSWORD not in str(caught.value)


OPENING: list[tuple[str, dict[str, Any], str, str]] = [
    ("turned away", {"greeting": (b"* BYE [UNAVAILABLE] too many connections\r\n", DROP)}, "unreachable", "too many"),
    ("gone in the greeting", {"greeting": (DROP,)}, "unreachable", "closed"),
    ("reset in the greeting", {"greeting": (RESET,)}, "unreachable", ""),
    ("not IMAP", {"greeting": (b"220 smtp here\r\n", DROP)}, "unreachable", "understood"),
    ("gone at login", {"script": {"LOGIN": [DROP]}}, "dropped", "closed by the server"),
    ("reset at login", {"script": {"LOGIN": [RESET]}}, "dropped", ""),
    ("no login in clear", {"caps": "IMAP4rev1 LOGINDISABLED"}, "tls", "without TLS"),
    ("no such folder", {"script": {"SELECT": [b"TAG NO unknown\r\n"]}}, "folder", '"PQR" does not exist'),
    ("not just now", {"script": {"SELECT": [b"TAG NO [UNAVAILABLE] later\r\n"]}}, "login-later", "[UNAVAILABLE] later"),
    ("SELECT not understood", {"script": {"SELECT": [b"TAG BAD what\r\n"]}}, "folder", "refused SELECT: what)"),
    ("folders there are", {"script": {"SELECT": [b"TAG NO unknown\r\n"]}}, "folder", "INBOX, Enviados"),
    ("no UIDVALIDITY", {"script": {"SELECT": [b"* 1 EXISTS\r\n" + OK]}}, "folder", "UIDVALIDITY"),
    ("gone at SELECT", {"script": {"SELECT": [DROP]}}, "dropped", "closed"),
]


@pytest.mark.parametrize(("case", "server", "kind", "words"), OPENING, ids=[row[0] for row in OPENING])
def test_what_can_go_wrong_while_opening(case: str, server: dict[str, Any], kind: str, words: str) -> None:
    with ScriptedImap(**{"script": {}, **server}) as scripted:
        with pytest.raises(Trouble) as caught:
            Mailbox.open(scripted.endpoint(), PASSWORD, "PQR")
        assert (caught.value.kind, words in str(caught.value)) == (kind, True), str(caught.value)
        assert "\n" not in str(caught.value)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for host, words in (("127.0.0.1", "refused"), ("no-such-host.invalid", "resolved")):
        with pytest.raises(Trouble, match=words) as caught:
            Mailbox.open(Endpoint(host, port, "none", "", "u"), PASSWORD, "INBOX")
        assert caught.value.kind == "unreachable"


PLACES = ["greeting", "CAPABILITY", "LOGIN", "SELECT", "UID SEARCH", "UID FETCH", "IDLE", "DONE"]


@pytest.mark.parametrize("where", PLACES)
def test_silence(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imap_mailbox, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(imap_mailbox, "READ_SECONDS", 0.2)
    silent = {"greeting": (1.0,), "script": {}} if where == "greeting" else {"script": {"LOGIN": [1.0]}}
    with ScriptedImap(**silent) as server, pytest.raises(Trouble, match="no answer in time") as caught:
        server.open()
    assert caught.value.kind == ("unreachable" if where == "greeting" else "dropped")


STRIPPED: list[tuple[str, dict[str, Any]]] = [
    ("not offered", {"script": {}}),
    ("refused", {"script": {"STARTTLS": [b"TAG NO not today\r\n"]}, "caps": "IMAP4rev1 STARTTLS"}),
    ("logged in already", {"script": {}, "greeting": (b"* PREAUTH hi\r\n",), "caps": "IMAP4rev1 STARTTLS"}),
    ("nonsense", {"script": {"STARTTLS": [OK, 0.1, b"not TLS at all"]}, "caps": "IMAP4rev1 STARTTLS"}),
]


@pytest.mark.parametrize(("case", "server"), STRIPPED, ids=[row[0] for row in STRIPPED])
def test_without_starttls_nothing_is_said_in_clear(case: str, server: dict[str, Any]) -> None:
    with ScriptedImap(**server) as scripted:
        with pytest.raises(Trouble) as caught:
            Mailbox.open(scripted.endpoint("starttls"), PASSWORD, "INBOX")
        assert caught.value.kind == "tls"
        assert not [line for line in scripted.heard if line.startswith(("LOGIN", "AUTHENTICATE"))]


@pytest.mark.parametrize(
    ("password", "echo"),
    [
        ("clave-secreta", b"TAG BAD LOGIN clave-secreta\r\n"),
        ('con "comillas"', b'TAG NO no such user: LOGIN "con \\"comillas\\""\r\n'),
        ("contrase\u00f1a", b"TAG BAD AGluZm9Ab2ZpY2luYS50ZXN0AGNvbnRyYXNlw7Fh\r\n"),
    ],
)
def test_a_password_that_the_server_repeats_is_not_told(password: str, echo: bytes) -> None:
    with ScriptedImap({"LOGIN": [echo], "AUTHENTICATE": [echo]}) as server:
        with pytest.raises(Trouble, match=r"\*\*\*") as caught:
            Mailbox.open(server.endpoint(), password, "INBOX")
        assert not any(form in str(caught.value) for form in (password, "comillas", "Nvbn"))


@pytest.mark.parametrize("password", ["con\r\nA LOGOUT", "nul\0", "contraseña"])
def test_a_password_that_cannot_be_sent_is_not_sent(password: str) -> None:
    with ScriptedImap({}, caps="IMAP4rev1") as server:
        with pytest.raises(Trouble) as caught:
            Mailbox.open(server.endpoint(), password, "INBOX")
        assert caught.value.kind == "login"
        assert server.heard == ["CAPABILITY"]


# -- TLS ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize(("case", "host", "days", "known", "words"), CERTIFICATES, ids=[row[0] for row in CERTIFICATES])
def test_certificates_not_to_trust(
    authority: Authority, tls: str, case: str, host: str, days: tuple[int, int], known: bool, words: str
) -> None:
    context = authority.server_context(host, days)
    script: dict[str, list[Step]] = {}
    with ScriptedImap(script, caps="IMAP4rev1 STARTTLS", tls=context if tls == "implicit" else None) as server:
        if tls == "starttls":
            script["STARTTLS"] = [OK, UPGRADE]
            server._play = _upgrading(server._play, context)  # type: ignore[method-assign]
        with pytest.raises(Trouble, match=words) as caught:
            Mailbox.open(server.endpoint(tls, authority.ca_file if known else "", "localhost"), PASSWORD, "INBOX")
        assert caught.value.kind == "certificate"


UPGRADE = "upgrade"


def _upgrading(play: Callable[..., bool], context: ssl.SSLContext) -> Callable[..., bool]:
    def play_and_upgrade(link: socket.socket, steps: list[Step], tag: bytes) -> bool:
        done = play(link, [step for step in steps if step != UPGRADE], tag)
        if UPGRADE in steps:
            with context.wrap_socket(link, server_side=True):
                pass
        return done

    return play_and_upgrade


def test_tls_against_a_server_that_speaks_none() -> None:
    with ScriptedImap({}) as server, pytest.raises(Trouble, match="does not speak TLS") as caught:
        Mailbox.open(server.endpoint("implicit"), PASSWORD, "INBOX")
    assert caught.value.kind == "tls"


def test_a_ca_file_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    for name in ("text", "absent"):
        with pytest.raises(Trouble, match=name) as caught:
            Mailbox.open(Endpoint("localhost", 1, "implicit", str(tmp_path / name), "u"), PASSWORD, "INBOX")
        assert caught.value.kind == "certificate"


# -- a session that breaks off -----------------------------------------------------------------------------------------

BROKEN: list[tuple[str, list[Step], str]] = [
    ("closed", [DROP], "closed by the server"),
    ("reset", [RESET], ""),
    ("BYE", [b"* BYE server going down\r\n", DROP], "the server said goodbye: server going down"),
    ("half a line", [b"* SEAR", DROP], ""),
    ("two results", [b"* SEARCH 1 x 2\r\n* SEARCH y\r\n" + OK], "understood"),
    ("refused", [b"TAG NO [SERVERBUG] internal error\r\n"], "refused SEARCH: [SERVERBUG]"),
    ("not understood by it", [b"TAG BAD syntax\r\n"], "refused SEARCH: syntax"),
    ("another's tag", [b"ZZZ9 OK\r\n"], ""),
    ("silence", [1.0], "no answer in time"),
    ("words of a mail", [b"Estimados: mi clave es 1234\r\n"], "understood"),
]


@pytest.mark.parametrize(("case", "steps", "words"), BROKEN, ids=[row[0] for row in BROKEN])
def test_every_break_is_trouble_and_the_end(
    case: str, steps: list[Step], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_mailbox, "READ_SECONDS", 0.3)
    with ScriptedImap({"UID SEARCH": steps}) as server:
        mailbox = server.open()
        with pytest.raises(Trouble) as caught:
            mailbox.uids_after(0)
        assert (caught.value.kind, words in str(caught.value)) == ("dropped", True), str(caught.value)
        assert "1234" not in str(caught.value)
        for call in (lambda: mailbox.uids_after(0), mailbox.refresh, lambda: mailbox.wait(1, NEVER)):
            with pytest.raises(Trouble, match="lost before"):
                call()
        mailbox.close()
        mailbox.close()
        assert "LOGOUT" not in server.heard


def test_a_folder_that_becomes_read_only_ends_the_conversation() -> None:
    with ScriptedImap({"NOOP": [b"* OK [READ-ONLY] from now on\r\n" + OK]}) as server:
        mailbox = server.open()
        mailbox.refresh()
        with pytest.raises(Trouble, match="the folder became read-only"):
            mailbox.refresh()
        mailbox.close()


def test_abort_ends_what_waits_for_the_server() -> None:
    with ScriptedImap({"UID SEARCH": [20.0]}) as server:
        mailbox = server.open()
        threading.Timer(0.1, mailbox.abort).start()
        with pytest.raises(Trouble):
            mailbox.uids_after(0)
        mailbox.close()
        mailbox.wake()
        mailbox.abort()


WITHOUT_END: list[tuple[str, Endless]] = [
    ("lines", Endless(b"", b"* OK x\r\n")),
    ("a line", Endless(b"* OK ", b"x")),
    ("a literal", Endless(b"* 1 FETCH (UID 5 BODY[] {900000}\r\n", b"x")),
    ("a literal of 100 TB", Endless(b"* 1 FETCH (UID 5 BODY[] {100000000000000}\r\n", b"x")),
]


@pytest.mark.parametrize(
    "where", ["greeting", "CAPABILITY", "LOGIN", "SELECT", "UID SEARCH", "UID FETCH", "IDLE", "DONE"]
)
@pytest.mark.parametrize(("case", "flood"), WITHOUT_END, ids=[row[0] for row in WITHOUT_END])
def test_an_answer_without_end_is_trouble_before_it_fills_the_memory(where: str, case: str, flood: Endless) -> None:
    script: dict[str, list[Step]] = {"UID SEARCH": answer(b"SEARCH")}
    if where == "IDLE":
        script[where] = [b"+ idling\r\n", flood]
    elif where != "greeting":
        script[where] = [flood]
    with frugal(2**19), ScriptedImap(script, greeting=(flood if where == "greeting" else b"* OK here\r\n",)) as server:
        with pytest.raises(Trouble, match="an answer without end") as caught:
            mailbox = server.open()
            try:
                mailbox.uids_after(0)
                mailbox.bodies([5])
                mailbox.wait(0.2, NEVER)
            finally:
                mailbox.close()
        assert caught.value.kind == ("unreachable" if where in ("greeting", "CAPABILITY") else "dropped")
        assert server.poured < 2**24  # what lies in the sockets included


def test_an_answer_that_trickles_in_for_ever_is_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes in time; the answer does not."""
    monkeypatch.setattr(imap_session, "PATIENCE", 0.3)
    with ScriptedImap({"UID SEARCH": [b"* SEA", *[0.05, b"R"] * 100]}) as server:
        mailbox = server.open()
        with pytest.raises(Trouble, match="no answer in time"):
            mailbox.uids_after(0)
        mailbox.close()


def test_a_search_that_finds_200_000_mails() -> None:
    found = range(2_000_000_001, 2_000_200_001)
    line = b"SEARCH " + b" ".join(b"%d" % uid for uid in found)
    assert len(line) > 2 * 10**6
    with ScriptedImap({"UID SEARCH": answer(line)}) as server:
        mailbox = server.open()
        assert mailbox.uids_after(0) == list(found)
        assert mailbox.uids_after(found[-3]) == list(found[-2:])
        mailbox.close()


def test_what_was_put_behind_the_answer_to_starttls_is_no_answer(authority: Authority) -> None:
    """CVE-2011-0411: words of anybody in clear must not be taken for the server's own."""
    context, heard = authority.server_context(), []
    with ScriptedImap({"STARTTLS": [UPGRADE]}, caps="IMAP4rev1 STARTTLS") as server:
        play = server._play

        def play_and_inject(link: socket.socket, steps: list[Step], tag: bytes) -> bool:
            if steps != [UPGRADE]:
                return play(link, steps, tag)
            following = re.sub(rb"\d+$", lambda number: b"%d" % (int(number[0]) + 1), tag)
            link.sendall(tag + b" OK go on\r\n* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n" + following + b" OK done\r\n")
            with context.wrap_socket(link, server_side=True) as encrypted:
                encrypted.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    while line := encrypted.recv(2**16):
                        heard.append(line)
            return False

        server._play = play_and_inject  # type: ignore[method-assign]
        with pytest.raises(Trouble):
            Mailbox.open(server.endpoint("starttls", authority.ca_file, "localhost"), PASSWORD, "INBOX")
    assert [line.split()[1] for line in heard] == [b"CAPABILITY"]  # and it waits for the answer to that


NO_NUMBERS: list[tuple[str, bytes]] = [
    ("UID SEARCH", b"SEARCH 1 99999999999999999999"),
    ("UID SEARCH", b"SEARCH 4294967296"),
    ("UID FETCH", b"1 FETCH (UID 5 RFC822.SIZE NIL)"),
    ("UID FETCH", b"1 FETCH (UID 5 RFC822.SIZE much)"),
    ("UID FETCH", b"1 FETCH (UID 5 RFC822.SIZE (1 2))"),
    ("UID FETCH", b"1 FETCH (UID 5 RFC822.SIZE 99999999999999999999)"),
    ("UID FETCH", b"1 FETCH (UID 5 X " + b"(" * 5000 + b")" * 5000 + b")"),
    ("UID FETCH", b"1 FETCH (UID 5 ENVELOPE 7)"),
    ("SELECT", b"OK [UIDVALIDITY 99999999999999999999] v"),
    ("SELECT", b"OK [UIDVALIDITY 7] v\r\n* OK [UIDNEXT 99999999999999999999] n"),
]


@pytest.mark.parametrize(("command", "line"), NO_NUMBERS)
def test_what_no_store_could_keep_is_trouble(command: str, line: bytes) -> None:
    with ScriptedImap({command: answer(line)}) as server, pytest.raises(Trouble, match="understood") as caught:
        mailbox = server.open()
        try:
            mailbox.headers_of(mailbox.uids_after(0) or [5])
        finally:
            mailbox.close()
    assert caught.value.kind == "dropped"


# -- what answers mean -------------------------------------------------------------------------------------------------


BODIES: list[tuple[str, list[bytes], dict[int, bytes]]] = [
    ("a literal", [b"1 FETCH (UID 5 BODY[] {3}\r\nabc)"], {5: b"abc"}),
    ("NIL", [b"1 FETCH (UID 5 BODY[] NIL)"], {}),
    ("empty", [b'1 FETCH (UID 5 BODY[] "")'], {5: b""}),
    ("digits", [b"1 FETCH (UID 5 BODY[] 42)"], {5: b"42"}),
    ("expunged", [], {}),
    ("somebody flags number 5", [b"5 FETCH (FLAGS (\\Seen))"], {}),
    ("flags of the same mail", [b"1 FETCH (UID 5 FLAGS (\\Seen))"], {}),
    ("flags among bodies", [b"5 FETCH (FLAGS ())", b"1 FETCH (UID 5 BODY[] {1}\r\nx)"], {5: b"x"}),
    ("unasked", [b"2 FETCH (UID 6 BODY[] {1}\r\nx)"], {}),
]


@pytest.mark.parametrize(("case", "lines", "bodies"), BODIES, ids=[row[0] for row in BODIES])
def test_bodies(case: str, lines: list[bytes], bodies: dict[int, bytes]) -> None:
    with ScriptedImap({"UID FETCH": answer(*lines)}) as server:
        mailbox = server.open()
        assert mailbox.bodies([5]) == bodies
        assert server.heard[-1] == "UID FETCH 5 (BODY.PEEK[])"
        mailbox.close()


def test_news_told_before_is_no_part_of_ananswer() -> None:
    script = {"NOOP": answer(b'5 FETCH (UID 5 BODY[] "old")'), "UID FETCH": answer()}
    with ScriptedImap(script) as server:
        mailbox = server.open()
        mailbox.refresh()
        assert mailbox.bodies([5]) == {}
        mailbox.close()


DATES: list[tuple[bytes, datetime | None]] = [
    (b'INTERNALDATE " 1-Jun-2026 10:42:00 -0500"', datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    (b'INTERNALDATE "31-Dec-2026 23:30:00 -0500"', datetime(2027, 1, 1, 4, 30, tzinfo=UTC)),
    (b'INTERNALDATE "31-Foo-2026 23:30:00 -0500"', None),
    (b'INTERNALDATE "31-Dec-9999 23:30:00 -0500"', None),
    (b"INTERNALDATE NIL", None),
    (b"FLAGS ()", None),
]


@pytest.mark.parametrize(("item", "moment"), DATES)
def test_the_instant_of_receipt(item: bytes, moment: datetime | None) -> None:
    with ScriptedImap({"UID FETCH": answer(b"1 FETCH (UID 5 RFC822.SIZE 10 " + item + b")")}) as server:
        mailbox = server.open()
        assert mailbox.headers_of([5]) == [Envelope(5, 10, moment)]
        mailbox.close()


SLICES: list[tuple[str, bytes, bytes | None]] = [
    ("a part", b"1 FETCH (UID 5 BODY[]<0> {4}\r\nabcd)", b"abcd"),
    ("the whole, from a server of old", b"1 FETCH (UID 5 BODY[] {6}\r\nabcdef)", b"abcd"),
    ("gone", b"5 FETCH (FLAGS ())", None),
]


@pytest.mark.parametrize(("case", "line", "head"), SLICES, ids=[row[0] for row in SLICES])
def test_a_piece_of_a_mail(case: str, line: bytes, head: bytes | None) -> None:
    with ScriptedImap({"UID FETCH": answer(line)}) as server:
        mailbox = server.open()
        if head is None:
            with pytest.raises(Trouble, match="removed"):
                mailbox.head(5, 4)
        else:
            assert mailbox.head(5, 4) == head
        mailbox.close()


@pytest.mark.parametrize("named", [True, False])
def test_no_more_of_a_mail_is_its_end_or_that_it_was_removed(named: bool) -> None:
    pieces = [b"1 FETCH (UID 5 BODY[]<0> {4}\r\nabcd)", b"1 FETCH (UID 5 BODY[]<4> NIL)"]

    def fetch(_: str) -> bytes:
        return b"* " + pieces.pop(0) + b"\r\n" + OK

    script: dict[str, list[Step]] = {"UID FETCH": [fetch], "UID SEARCH": answer(b"SEARCH 5" if named else b"SEARCH")}
    with ScriptedImap(script) as server:
        mailbox = server.open()
        if named:
            assert b"".join(mailbox.slices(5)) == b"abcd"
        else:
            with pytest.raises(Trouble, match="removed"):
                list(mailbox.slices(5))
        mailbox.close()


def test_a_server_that_gives_less_than_asked_for_gives_it_all_in_the_end() -> None:
    """A short piece taken for the end would make half a mail of a whole one."""
    script: dict[str, list[Step]] = {}
    with ScriptedImap(script) as server:
        mailbox, whole = server.open(), b"0123456789"
        pieces = mailbox.slices(5, length=4)
        for start, end in ((0, 3), (3, 7), (7, 8), (8, 10)):
            piece = whole[start:end]
            script["UID FETCH"] = answer(b"1 FETCH (UID 5 BODY[]<%d> {%d}\r\n%s)" % (start, len(piece), piece))
            assert next(pieces) == piece
            assert server.heard[-1] == f"UID FETCH 5 (BODY.PEEK[]<{start}.4>)"
        script["UID FETCH"] = answer(b'1 FETCH (UID 5 BODY[]<10> "")')
        assert list(pieces) == []
        mailbox.close()


SENT: list[tuple[str, list[bytes], str | None]] = [
    ("special use, any case", [b'(\\HasNoChildren \\sENT) "/" "Salida"', b'() "/" Sent'], "Salida"),
    ("Spanish", [b'() "/" INBOX', b'() "/" "Elementos enviados"'], "Elementos enviados"),
    ("below INBOX", [b'() "." INBOX.Sent'], "INBOX.Sent"),
    ("Gmail without special use", [b'() "/" "[Gmail]/Enviados"', b'() "/" "[Gmail]/Todos"'], "[Gmail]/Enviados"),
    ("with accents", [b'() "/" "Correo electr&APM-nico enviado"'], "Correo electrónico enviado"),
    ("the nearest", [b'() "/" "Compartidas/Ana/Enviados"', b'() "/" Enviados'], "Enviados"),
    ("no separator", [b"() NIL Sent"], "Sent"),
    ("cannot be opened", [b'(\\Noselect \\Sent) "/" Sent'], None),
    ("none", [b'() "/" INBOX', b'() "/" Consentimientos'], None),
]


@pytest.mark.parametrize(("case", "rows", "name"), SENT, ids=[row[0] for row in SENT])
def test_the_sent_folder(case: str, rows: list[bytes], name: str | None) -> None:
    with ScriptedImap({"LIST": answer(*(b"LIST " + row for row in rows))}) as server:
        mailbox = server.open()
        assert mailbox.sent_folder() == name
        mailbox.close()


MOVES: list[tuple[str, list[str]]] = [
    ("MOVE UIDPLUS", ['UID MOVE 1,2 "Hechas"']),
    ("UIDPLUS", ['UID COPY 1,2 "Hechas"', "UID STORE 1,2 +FLAGS.SILENT (\\Deleted)", "UID EXPUNGE 1,2"]),
    ("IDLE", ['UID COPY 1,2 "Hechas"', "UID STORE 1,2 +FLAGS.SILENT (\\Deleted)"]),
]


@pytest.mark.parametrize(("caps", "commands"), MOVES)
def test_moving_never_expunges_what_others_deleted(caps: str, commands: list[str]) -> None:
    with ScriptedImap({}, caps=f"IMAP4rev1 {caps}") as server:
        mailbox = server.open()
        server.heard.clear()
        mailbox.move([1, 2], "Hechas")
        mailbox.close()
        assert [line for line in server.heard if line not in ("CAPABILITY", "LOGOUT")] == commands


def test_a_move_that_is_refused_leaves_the_mailbox_in_use() -> None:
    script = {"UID MOVE": [b"TAG NO [TRYCREATE] no such folder\r\n"], "UID SEARCH": answer(b"SEARCH 9")}
    with ScriptedImap(script) as server:
        mailbox = server.open()
        with pytest.raises(Trouble, match=r'moved to "Hechas".*TRYCREATE') as caught:
            mailbox.move([1], "Hechas")
        assert caught.value.kind == "folder"
        assert mailbox.uids_after(3) == [9]
        mailbox.close()


def test_a_folder_we_may_only_read_is_read() -> None:
    read_only = SELECTED.replace(b"OK done", b"OK [READ-ONLY] done")
    with ScriptedImap({"SELECT": [read_only], "EXAMINE": [read_only]}) as server:
        mailbox = server.open()
        assert mailbox.uidvalidity == 77
        with pytest.raises(Trouble, match="read-only"):
            mailbox.move([1], "Hechas")
        mailbox.close()


# -- waiting -----------------------------------------------------------------------------------------------------------

EXISTS, FLAGS, DONE = b"* 4 EXISTS\r\n", b"* 1 FETCH (FLAGS (\\Seen))\r\n", b"TAG OK idle over\r\n"
TROUBLE = "trouble"

WAITS: list[tuple[str, dict[str, list[Step]], bool | str]] = [
    ("mail", {"IDLE": [b"+ idling\r\n", 0.05, EXISTS]}, True),
    ("mail in one packet with the +", {"IDLE": [b"+ idling\r\n" + EXISTS]}, True),
    ("mail before the +", {"IDLE": [EXISTS, 0.05, b"+ idling\r\n"]}, True),
    ("mail and + turned round in one packet", {"IDLE": [EXISTS + b"+ idling\r\n"]}, True),
    ("half a line, then the rest", {"IDLE": [b"+ idling\r\n", 0.05, b"* 4 EX", 0.2, b"ISTS\r\n"]}, True),
    ("mail told with DONE", {"DONE": [EXISTS + DONE]}, True),
    ("nothing", {}, False),
    ("flags only", {"IDLE": [b"+ idling\r\n", 0.05, FLAGS]}, False),
    ("still here", {"IDLE": [b"+ idling\r\n", 0.05, b"* OK Still here\r\n"]}, False),
    ("closed", {"IDLE": [b"+ idling\r\n", 0.05, DROP]}, TROUBLE),
    ("reset", {"IDLE": [b"+ idling\r\n", 0.05, RESET]}, TROUBLE),
    ("BYE", {"IDLE": [b"+ idling\r\n", 0.05, b"* BYE Autologout\r\n", DROP]}, TROUBLE),
    ("BYE, and the link stays", {"IDLE": [b"+ idling\r\n", 0.05, b"* BYE Autologout\r\n"]}, TROUBLE),
    ("half-open", {"DONE": [1.0]}, TROUBLE),
    ("IDLE refused", {"IDLE": [b"TAG NO not for you\r\n"]}, False),
    ("IDLE not known", {"IDLE": [b"TAG BAD what\r\n"]}, False),
    ("closed at IDLE", {"IDLE": [DROP]}, TROUBLE),
]


@pytest.mark.parametrize(("case", "script", "expected"), WAITS, ids=[row[0] for row in WAITS])
def test_waiting(
    case: str, script: dict[str, list[Step]], expected: bool | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imap_mailbox, "READ_SECONDS", 0.6)
    with ScriptedImap({"DONE": [DONE], "UID SEARCH": answer(b"SEARCH"), **script}) as server:
        mailbox = server.open()
        mailbox.uids_after(3)
        try:
            result: bool | str = mailbox.wait(0.4, NEVER)
        except Trouble as trouble:
            assert trouble.kind == "dropped"
            result = TROUBLE
        assert result == expected
        if expected != TROUBLE:
            assert mailbox.uids_after(3) == []  # in step
        mailbox.close()


@pytest.mark.parametrize("command", ["UID SEARCH", "UID FETCH", "NOOP"])
def test_mail_announced_in_passing_is_not_waited_for(command: str) -> None:
    """IDLE would not announce it again: this mail would wait for the end of the window."""
    with ScriptedImap({"UID SEARCH": answer(b"SEARCH"), "DONE": [DONE], command: answer(b"4 EXISTS")}) as server:
        mailbox = server.open()
        mailbox.uids_after(3)
        mailbox.bodies([1])
        mailbox.refresh()
        assert mailbox.wait(30, NEVER)
        assert "IDLE" not in server.heard
        assert not mailbox.wait(0.05, NEVER)
        mailbox.close()


def test_a_server_that_chatters_is_listened_to_less_and_less() -> None:
    """It says something else each time we listen; asked at its own speed, that would be thousands of times a second."""
    with ScriptedImap({"IDLE": [b"+ idling\r\n" + FLAGS], "DONE": [DONE], "UID SEARCH": answer(b"SEARCH")}) as server:
        mailbox = server.open()
        mailbox.uids_after(3)
        assert not mailbox.wait(1.2, NEVER)
        assert server.heard.count("IDLE") < 12
        threading.Timer(0.1, mailbox.wake).start()
        assert not mailbox.wait(30, NEVER)
        assert mailbox.uids_after(3) == []
        mailbox.close()


@pytest.mark.parametrize("idle", [True, False])
def test_wake_and_stop_end_the_waiting(idle: bool) -> None:
    with ScriptedImap({"DONE": [DONE], "UID SEARCH": answer(b"SEARCH")}) as server:
        mailbox = server.open(idle=idle)
        mailbox.uids_after(3)
        threading.Timer(0.1, mailbox.wake).start()
        assert not mailbox.wait(30, NEVER)
        stop = threading.Event()
        threading.Timer(0.1, stop.set).start()
        assert not mailbox.wait(30, stop.is_set)
        assert mailbox.uids_after(3) == []
        mailbox.close()


@pytest.mark.parametrize(("caps", "idle"), [("IMAP4rev1", True), ("IMAP4rev1 IDLE", False)])
def test_without_idle_the_server_is_asked(caps: str, idle: bool) -> None:
    with ScriptedImap({"UID SEARCH": answer(b"SEARCH")}, caps=caps) as server:
        mailbox = server.open(idle=idle)
        mailbox.uids_after(3)
        assert not mailbox.wait(0.05, NEVER)
        assert server.heard[-1] == "NOOP"
        server.script["NOOP"] = answer(b"4 EXISTS")
        assert mailbox.wait(0.05, NEVER)
        mailbox.close()


# -- a real server -----------------------------------------------------------------------------------------------------

OFFICE_PASSWORD = 'clave "con" \\ y espacio: dos'
OFFICE, OTHER, OTHER_PASSWORD = "info@oficina.test", "otra@oficina.test", "contraseña"


@pytest.fixture(scope="module")
def dovecot(dovecot: Dovecot) -> Dovecot:
    """With mailboxes whose passwords are hard to say."""
    dovecot.add(OFFICE, OFFICE_PASSWORD)
    dovecot.add(OTHER, OTHER_PASSWORD)
    return dovecot


def opened(dovecot: Dovecot, folder: str = "INBOX", **options: Any) -> Mailbox:
    return Mailbox.open(dovecot.endpoint(OFFICE), OFFICE_PASSWORD, folder, **options)


@pytest.fixture
def mail(dovecot: Dovecot) -> Iterator[Callable[..., int]]:
    """Puts a mail into a folder and tells its UID; empties the office's mailbox first."""
    dovecot.reset(OFFICE)
    with dovecot.client(OFFICE) as client:

        def put(text: bytes, folder: str = "INBOX", at: datetime | None = None, flags: tuple[bytes, ...] = ()) -> int:
            answer = client.append(folder, b"Subject: x\r\n\r\n" + text, flags, at)
            return int(answer.split()[2].rstrip(b"]"))

        yield put


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_logging_in_encrypted(dovecot: Dovecot, tls: str) -> None:
    mailbox = Mailbox.open(dovecot.endpoint(OFFICE, tls), OFFICE_PASSWORD, "INBOX")
    assert mailbox.uidvalidity > 0
    mailbox.close()


def test_a_password_outside_ascii(dovecot: Dovecot) -> None:
    Mailbox.open(dovecot.endpoint(OTHER), OTHER_PASSWORD, "INBOX").close()


@pytest.mark.parametrize("password", ["wrong", "equivocada ñ", ""])
def test_a_wrong_password(dovecot: Dovecot, password: str) -> None:
    with pytest.raises(Trouble, match=r"login refused for info@oficina\.test") as caught:
        Mailbox.open(dovecot.endpoint(OFFICE), password, "INBOX")
    assert caught.value.kind == "login"


def test_in_clear_dovecot_takes_no_login(dovecot: Dovecot) -> None:
    """It trusts whoever comes from its own address, so it is asked at another."""
    with pytest.raises(Trouble) as caught:
        Mailbox.open(replace(dovecot.endpoint(OFFICE, "none"), host="127.0.0.2"), OFFICE_PASSWORD, "INBOX")
    assert caught.value.kind == "tls"


def test_a_missing_folder_names_those_there_are(dovecot: Dovecot) -> None:
    with pytest.raises(Trouble, match=r'folder "Peticiones" does not exist .*there are: .*INBOX') as caught:
        opened(dovecot, "Peticiones")
    assert caught.value.kind == "folder"


def test_uids(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    first, second, third = mail(b"1"), mail(b"2", flags=(b"\\Deleted",)), mail(b"3", flags=(b"\\Seen",))
    mailbox = opened(dovecot)
    again = opened(dovecot, readonly=True)
    assert mailbox.uids_after(0) == [first, second, third]
    assert mailbox.uids_after(first) == [second, third]
    assert mailbox.uids_after(third) == mailbox.uids_after(third + 1000) == []  # the server names the last mail
    assert mailbox.uidnext == third + 1
    assert mailbox.present(second) == [first]
    assert mailbox.present(third + 1000) == [first, third]
    assert mailbox.present(0) == []
    assert again.uidvalidity == mailbox.uidvalidity
    mailbox.close()
    again.close()


def test_dates_and_sizes(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    bogota = timezone(timedelta(hours=-5))
    old = mail(b"viejo", at=datetime(2026, 6, 1, 10, 42, tzinfo=bogota))
    new = mail("año".encode(), at=datetime(2026, 6, 30, 23, 30, tzinfo=bogota))
    mailbox = opened(dovecot)
    assert mailbox.headers_of([old, new, new + 50]) == [
        Envelope(old, 19, datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
        Envelope(new, 18, datetime(2026, 7, 1, 4, 30, tzinfo=UTC)),
    ]
    assert mailbox.uids_since(date(2026, 6, 15)) == [new]
    assert mailbox.headers_of([]) == []
    mailbox.close()


def test_reading_leaves_no_trace(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    raw = b"Subject: x\r\n\r\n" + "Señores: \x00 .\r\n.\r\n".encode().replace(b"\0", b"\x80")
    uid = mail(raw.partition(b"\r\n\r\n")[2])
    mailbox = opened(dovecot)
    assert mailbox.bodies([uid, uid + 7]) == {uid: raw}
    assert mailbox.head(uid, 10) == raw[:10]
    mailbox.close()
    with dovecot.client(OFFICE) as client:
        assert b"\\Seen" not in client.get_flags([uid])[uid]


@pytest.mark.parametrize("size", [0, 1, 2**20 - 16, 2**20, 3 * 2**20 + 5])
def test_slices_make_the_whole(dovecot: Dovecot, mail: Callable[..., int], size: int) -> None:
    uid = mail(b"x" * size)
    mailbox = opened(dovecot)
    whole = mailbox.bodies([uid])[uid]
    assert b"".join(mailbox.slices(uid)) == whole
    assert b"".join(mailbox.slices(uid, upto=size)) == whole[:size]
    assert b"".join(mailbox.slices(uid, start=7, length=2**19)) == whole[7:]
    mailbox.close()


def test_a_mail_removed_under_our_hands_is_no_half_mail(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    mailbox = opened(dovecot)
    with pytest.raises(Trouble, match="removed"):
        list(mailbox.slices(10**6))
    mailbox.close()


def test_moving_and_folder_names(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    name = 'Correspondencia Año & ✉ "PQR"'
    with dovecot.client(OFFICE) as client:
        client.create_folder(name)
    keep, go = mail(b"queda"), mail(b"va")
    mailbox = opened(dovecot)
    assert name in mailbox.folders()
    assert mailbox.sent_folder() == "Enviadas"
    mailbox.move([go], name)
    mailbox.move([go], name)  # once more, as after a crash
    mailbox.move([], name)
    assert mailbox.uids_after(0) == [keep]
    with pytest.raises(Trouble, match="Nada"):
        mailbox.move([keep], "Nada")
    assert mailbox.uids_after(0) == [keep]
    mailbox.close()
    there = opened(dovecot, name, readonly=True)
    assert len(there.uids_after(0)) == 1
    there.close()


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_mail_ends_the_waiting(dovecot: Dovecot, mail: Callable[..., int], tls: str) -> None:
    mailbox = Mailbox.open(dovecot.endpoint(OFFICE, tls), OFFICE_PASSWORD, "INBOX")
    last = 0
    for number in range(3):
        assert mailbox.uids_after(last) == []
        arrival = threading.Timer(0.1, mail, [b"carta %d" % number])
        arrival.start()
        assert mailbox.wait(30, NEVER)
        arrival.join()
        last = mailbox.uids_after(last)[-1]
    assert not mailbox.wait(0.2, NEVER)
    mailbox.close()


def test_mail_that_comes_while_we_are_busy_ends_the_waiting(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    mailbox = opened(dovecot)
    mailbox.uids_after(0)
    first = mail(b"entre la busqueda y la espera")
    assert mailbox.wait(30, NEVER)
    assert mailbox.uids_after(0) == [first]
    second = mail(b"antes de leer la primera")
    mailbox.bodies([first])  # its answer may announce the second
    assert mailbox.wait(30, NEVER)
    assert mailbox.uids_after(first) == [second]
    mailbox.close()


def test_what_lmtp_delivers_ends_the_waiting(dovecot: Dovecot) -> None:
    dovecot.reset(OFFICE)
    mailbox = opened(dovecot)
    assert mailbox.uids_after(0) == []
    arrival = threading.Timer(0.1, dovecot.deliver, [b"Subject: x\r\n\r\nHola\r\n", OFFICE, "clara@correo.test"])
    arrival.start()
    assert mailbox.wait(30, NEVER)
    arrival.join()
    (uid,) = mailbox.uids_after(0)
    assert mailbox.bodies([uid])[uid].endswith(b"Subject: x\r\n\r\nHola\r\n")
    mailbox.close()


@pytest.mark.parametrize("waiting", [True, False])
def test_a_server_that_goes_away_and_comes_back(dovecot: Dovecot, mail: Callable[..., int], waiting: bool) -> None:
    uid = mail(b"antes")
    mailbox = opened(dovecot)
    uidvalidity = mailbox.uidvalidity
    assert mailbox.uids_after(0) == [uid]
    leaving = threading.Timer(0.1 if waiting else 0, dovecot.stop)
    leaving.start()
    try:
        if not waiting:
            leaving.join()
        with pytest.raises(Trouble) as caught:
            mailbox.wait(30, NEVER)
            mailbox.refresh()
        assert caught.value.kind == "dropped"
        mailbox.close()
        leaving.join()
        with pytest.raises(Trouble, match=f"localhost:{dovecot.tls_port}: connection refused"):
            opened(dovecot)
    finally:
        leaving.join()
        dovecot.start()
    mailbox = opened(dovecot)
    assert (mailbox.uidvalidity, mailbox.uids_after(0)) == (uidvalidity, [uid])
    mailbox.close()


def test_a_folder_made_anew_has_another_uidvalidity(dovecot: Dovecot, mail: Callable[..., int]) -> None:
    numberings = set()
    for _ in range(2):
        with dovecot.client(OFFICE) as client:
            client.create_folder("Peticiones")
        mail(b"una", "Peticiones")
        mailbox = opened(dovecot, "Peticiones")
        numberings.add(mailbox.uidvalidity)
        assert mailbox.uids_after(0) == [1]  # the same number, of another mail
        mailbox.close()
        with dovecot.client(OFFICE) as client:
            client.delete_folder("Peticiones")
    assert len(numberings) == 2
