"""Mails off a mailbox, in commands of bounded size: none is held up by a large one, or by one that cannot be had."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pqr_mailbot.adapters.connection import Trouble
from pqr_mailbot.adapters.imap_mailbox import Envelope, Mailbox
from pqr_mailbot.adapters.sqlite_store import Cursor, Packed, RawMail

AT_ONCE = 4 * 2**20  # bytes: mails up to this size together are fetched in one command, larger ones in slices
MAILS_AT_ONCE = 100
HEAD = 256 * 2**10  # bytes kept of a mail above the size limit
FETCHES = 5  # a mail that could not be had so often is set apart

log = logging.getLogger(__name__)


@dataclass
class Fetcher:
    """Fetches from one folder, and remembers which of its mails could not be had."""

    max_bytes: int
    clock: Callable[[], datetime]
    _failures: dict[int, int] = field(default_factory=dict)  # UIDs whose mail could not be had, and how often

    def batches(self, mailbox: Mailbox, uids: Sequence[int]) -> Iterator[list[Envelope]]:
        """Groups small enough to fetch in one command; a large mail is a group of its own."""
        for start in range(0, len(uids), MAILS_AT_ONCE):
            envelopes, hidden = self._envelopes(mailbox, uids[start : start + MAILS_AT_ONCE])
            group: list[Envelope] = []
            for envelope in envelopes:
                alone = bool(self._failures.keys() & {envelope.uid, *(e.uid for e in group)})
                if group and (alone or sum(e.size for e in group) + envelope.size > AT_ONCE):
                    yield group
                    group = []
                group.append(envelope)
            if group:
                yield group
            if hidden:
                self._failed(hidden)
                raise mailbox.withholds(hidden)

    def _envelopes(self, mailbox: Mailbox, uids: Sequence[int]) -> tuple[list[Envelope], list[int]]:
        """Of the mails that are there, ascending; and those that the server names without showing them. They were not
        removed, so what lies above them is not looked at yet; one that was named in vain often enough is set apart."""
        shown = mailbox.headers_of(uids)
        unseen = mailbox.withheld(set(uids) - {envelope.uid for envelope in shown})
        hidden = [uid for uid in unseen if self._failures.get(uid, 0) < FETCHES]
        apart = [Envelope(uid, 0, None) for uid in unseen if uid not in hidden]
        envelopes = sorted((*shown, *apart), key=lambda envelope: envelope.uid)
        return [envelope for envelope in envelopes if not hidden or envelope.uid < hidden[0]], hidden

    def _failed(self, uids: Iterable[int]) -> None:
        for uid in uids:
            self._failures[uid] = self._failures.get(uid, 0) + 1

    def mails(
        self,
        mailbox: Mailbox,
        wanted: Sequence[Envelope],
        suspect_before: Callable[[Envelope], datetime | None] = lambda _: None,
    ) -> list[RawMail]:
        """The mails; what the server cannot hand out is asked for alone, then kept as failed: the rest must come."""
        if len(wanted) == 1 and self._failures.get(wanted[0].uid, 0) >= FETCHES:
            (envelope,) = wanted
            log.error("the server cannot hand out the mail with UID %d: kept as failed", envelope.uid)
            error = f"the server failed {FETCHES} times to hand out this mail (UID {envelope.uid}); it is still there"
            received_at = envelope.received_at or self.clock()
            return [RawMail(envelope.uid, received_at, envelope.size, b"", complete=False, error=error)]
        try:
            mails = [mail for mail in self._fetch(mailbox, wanted, suspect_before) if mail is not None]
        except Trouble:
            self._failed(envelope.uid for envelope in wanted)
            raise
        for envelope in wanted:
            self._failures.pop(envelope.uid, None)
        return mails

    def _fetch(
        self, mailbox: Mailbox, envelopes: Sequence[Envelope], suspect_before: Callable[[Envelope], datetime | None]
    ) -> Iterator[RawMail | None]:
        small = [e.uid for e in envelopes if e.size <= AT_ONCE]
        bodies = mailbox.bodies(small) if small else {}
        if withheld := mailbox.withheld(set(small) - bodies.keys()):
            raise mailbox.withholds(withheld)
        for envelope in envelopes:
            complete = envelope.size <= self.max_bytes
            raw: bytes | Packed | None
            if envelope.size <= AT_ONCE:
                raw = bodies.get(envelope.uid)  # absent: somebody removed it meanwhile
            else:
                # To the end, not to the announced size: servers understate it.
                raw = Packed.of(mailbox.slices(envelope.uid, upto=self.max_bytes if complete else HEAD))
            received_at = envelope.received_at or self.clock()
            yield (
                None
                if raw is None
                else RawMail(envelope.uid, received_at, envelope.size, raw, complete, suspect_before(envelope))
            )


def next_uid(mailbox: Mailbox) -> int:
    """UIDNEXT, or one above the last mail where the server does not tell."""
    return mailbox.uidnext or max(mailbox.uids_after(0), default=0) + 1


def counts_again(mailbox: Mailbox, cursor: Cursor) -> bool:
    """Has what was just opened a UIDNEXT that it had before? Only a restore by the provider does that (RFC 3501 section
    2.3.1.1 forbids it)."""
    same_numbering = mailbox.uidvalidity == cursor.uidvalidity
    return same_numbering and mailbox.uidnext is not None and mailbox.uidnext <= cursor.last_uid
