"""A day is lost and found again: the desk as a process, its backup, and a provider that saves what was sent."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from bench import eml
from desk_process import DeskProcess
from servers import OFFICE, Dovecot, Received, SmtpServer, wait_until

from pqr_mailbot.adapters.sqlite_verify import damages

CLARA, DIEGO, EVA, ROSA = "clara@correo.test", "diego@otro.test", "eva@lejos.test", "rosa@lejos.test"


class Office:
    """Customers write, the provider saves what the desk sends, and somebody looks into the store."""

    def __init__(self, directory: Path, dovecot: Dovecot, smtp: SmtpServer) -> None:
        dovecot.reset()
        smtp.route = self.saves
        self.dovecot, self.smtp = dovecot, smtp
        self.desk = DeskProcess(directory, dovecot, smtp, imap={"poll_seconds": 1})

    def saves(self, letter: Received) -> None:
        with self.dovecot.client(OFFICE) as client:
            client.append("Enviadas", letter.data)

    def write(self, sender: str, number: int) -> None:
        raw = eml(sender, f"Café {number}", f"El café {number} llegó vencido.", f"<m{number}@correo.test>")
        self.dovecot.deliver(raw, OFFICE, sender=sender)

    def customers(self) -> dict[str, int]:
        """How many letters each customer got."""
        letters = [message_from_bytes(letter.data, policy=default) for letter in self.smtp.received]
        counts = Counter(str(letter["To"]).split("<")[-1].rstrip(">") for letter in letters)
        return {address: count for address, count in counts.items() if not address.endswith("lohas.test")}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        db = sqlite3.connect(self.desk.store)
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()

    def await_letters(self, count: int) -> None:
        """Sent, and known to be."""
        sql = "SELECT count(*) FROM outbox WHERE state = 'sent'"
        wait_until(lambda: self.rows(sql) == [(count,)], what=f"{count} letters:\n{self.desk.log[-2000:]}")


def test_the_lost_day(tmp_path: Path, dovecot: Dovecot, smtp: SmtpServer) -> None:
    office, backup = Office(tmp_path, dovecot, smtp), str(tmp_path / "backup.db")
    desk, tickets = office.desk, "SELECT reference, customer, due_on FROM ticket ORDER BY id"
    with desk.running():
        wait_until(lambda: "watching the Sent folder" in desk.log, what="the first look")
        office.write(CLARA, 1)
        office.await_letters(2)
        desk.say("backup", backup)
        office.write(DIEGO, 2)
        office.write(EVA, 3)
        office.await_letters(6)
    before = office.rows(tickets)
    desk.say("restore", "--force", backup)

    held = desk.say("run", "--once", status=1)  # it reads, and does nothing else
    assert "nothing is sent until `reconcile`" in held.stderr
    assert (len(office.rows(tickets)), len(smtp.received)) == (1, 6)
    second = int(time.time())  # IMAP's dates have no fraction: in the second of the restore her mail would be in doubt
    wait_until(lambda: time.time() >= second + 1, what="the next second")
    with desk.running():
        office.write(ROSA, 4)
        waiting = "SELECT count(*) FROM inbound WHERE state = 'new' AND folder = 'inbox'"
        wait_until(lambda: office.rows(waiting) == [(3,)], what="the mail of the lost day and Rosa's")
        report = desk.json("reconcile")["after_restore"]
        assert (report["same_reference"], report["letters_held"]) == (2, 0)
        office.await_letters(8)  # Rosa's, by the daemon that had waited
    after = office.rows(tickets)
    assert after[:-1] == before
    assert (after[-1][0] > before[-1][0], after[-1][1]) == (True, ROSA)
    assert office.rows("SELECT count(*) FROM ticket WHERE acknowledged_at IS NULL") == [(0,)]
    assert office.customers() == {CLARA: 1, DIEGO: 1, EVA: 1, ROSA: 1}
    assert len(smtp.received) == 8
    assert damages(desk.store) == []
