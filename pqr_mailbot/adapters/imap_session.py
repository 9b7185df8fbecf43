"""The library's IMAP client with an end to every answer, in bytes and in time, whatever the server promises or repeats.

The standard library allots what a literal announces, collects lines as long as they come, and waits for every byte
anew. Here the socket is read by hand: one command is answered by so much in so long, or the conversation is over.
"""

from __future__ import annotations

import imaplib
import socket
import ssl
import time
from typing import Any

from imapclient import IMAPClient
from imapclient.imap4 import IMAP4WithTimeout
from imapclient.tls import IMAP4_TLS

ANSWER = 64 * 2**20  # bytes of one answer: more than a mail of the largest size, or the changes of 500,000 mails
LINE = 16 * 2**20  # bytes of one line of it: a SEARCH that finds two million mails
PATIENCE = 600.0  # seconds for one answer: 4 MB over a slow link, or a search that the server thinks about
ENDLESS = "an answer without end"
_PIECE = 2**18
_OF_A_LINE = 64  # bytes that the library needs to keep a line, however short
_KEPT = {"EXISTS", "READ-ONLY", "BYE", "CAPABILITY"}  # what is still true when the next command is given


class _Bounded(imaplib.IMAP4):
    """Laid over the library's two kinds of session. An answer that is too long is an `abort`, one that takes too long a
    TimeoutError."""

    _from: socket.socket | None = None

    def open(self, *args: Any, **options: Any) -> None:
        self._heard = bytearray()
        self._begin_answer()
        super().open(*args, **options)

    def _new_tag(self) -> bytes:
        """Called once a command, by the library and by the client on top of it."""
        self._begin_answer()
        told = self.untagged_responses
        for name in told.keys() - _KEPT:  # told unasked: the library would take it for part of the next answer
            del told[name]
        for name, words in told.items():
            told[name] = words[-1:]
        tag: bytes = super()._new_tag()  # type: ignore[misc]
        return tag

    def _begin_answer(self) -> None:
        self._left, self._deadline = ANSWER, time.monotonic() + PATIENCE

    def heard(self) -> bool:
        """Whether something the server said lies here unread, where no poll of the socket would see it."""
        return bool(self._heard) or (isinstance(self.sock, ssl.SSLSocket) and bool(self.sock.pending()))

    def readline(self) -> bytes:
        self._forget_what_was_said_before_tls()
        looked = 0
        while (end := self._heard.find(b"\n", looked)) < 0:
            looked = len(self._heard)
            self._must_have_room(looked, min(LINE, self._left))
            if not self._receive():
                return self._taken(looked)
        return self._taken(end + 1)

    def read(self, size: int) -> bytes:
        self._forget_what_was_said_before_tls()
        self._must_have_room(size, self._left)
        while len(self._heard) < size and self._receive():
            pass
        return self._taken(size)

    def _receive(self) -> bool:
        """Waits for more; False when the server has closed."""
        if time.monotonic() > self._deadline:
            raise TimeoutError
        piece = self.sock.recv(_PIECE)
        self._heard += piece
        return bool(piece)

    def _taken(self, length: int) -> bytes:
        with memoryview(self._heard) as view:
            piece = bytes(view[:length])
        del self._heard[:length]
        self._left -= len(piece) + _OF_A_LINE
        return piece

    def _must_have_room(self, size: int, room: int) -> None:
        if size > room:
            raise self.abort(ENDLESS)

    def _forget_what_was_said_before_tls(self) -> None:
        """Words put behind the answer to STARTTLS are anybody's (CVE-2011-0411)."""
        if self.sock is not self._from:
            self._heard.clear()
            self._from = self.sock

    def _log(self, line: str) -> None:
        """The library's memory of the last lines, for its debugging."""


class _InClear(_Bounded, IMAP4WithTimeout):  # type: ignore[misc]
    pass


class _OverTls(_Bounded, IMAP4_TLS):  # type: ignore[misc]
    pass


class Client(IMAPClient):  # type: ignore[misc]
    """The library's client on such a session. `timeout` is a SocketTimeout."""

    def _create_IMAP4(self) -> _Bounded:  # noqa: N802  # named by the library
        if self.ssl:
            return _OverTls(self.host, self.port, self.ssl_context, self._timeout.connect)  # type: ignore[call-arg]
        return _InClear(self.host, self.port, timeout=self._timeout.connect)
