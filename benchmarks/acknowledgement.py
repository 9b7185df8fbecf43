"""How long a customer waits for the acknowledgement: from the moment the office's server has the mail to the moment the
customer's server has the letter; a real Dovecot over TLS, a real SMTP server, the daemon as its own process.

    python benchmarks/acknowledgement.py [--mails 50] [--burst 500]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import eml
from desk_process import DeskProcess
from servers import EVERYBODY, OFFICE, SMTP_PASSWORD, Authority, Dovecot, SmtpServer, mailboxes, wait_until


def one_by_one(desk: DeskProcess, count: int) -> list[float]:
    """Seconds each customer waited."""
    waited = []
    for number in range(count):
        before = len(desk.smtp_server.received)
        write(desk, f"uno{number}")
        since = time.perf_counter()
        while len(desk.smtp_server.received) == before:
            time.sleep(0.001)
        waited.append(time.perf_counter() - since)
        desk.smtp_server.wait_for(before + 2)
    return waited


def all_at_once(desk: DeskProcess, count: int) -> float:
    """Seconds until the last of many letters is out."""
    before, since = len(desk.smtp_server.received), time.perf_counter()
    for number in range(count):
        write(desk, f"rafaga{number}")
    wait_until(lambda: len(desk.smtp_server.received) == before + 2 * count, 600, "every letter")
    return time.perf_counter() - since


def write(desk: DeskProcess, name: str) -> None:
    address = f"{name}@correo.test"
    raw = eml(address, text=f"El café llegó vencido, {name}.", message_id=f"<{address}>")
    desk.dovecot.deliver(raw, OFFICE, address)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=50)
    parser.add_argument("--burst", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        authority = Authority(place)
        login = (OFFICE, SMTP_PASSWORD)
        with Dovecot(authority, mailboxes(EVERYBODY)) as dovecot, SmtpServer(authority, "starttls", login) as smtp:
            desk = DeskProcess(place, dovecot, smtp, more="\n[limits]\nautomatic_letters_per_hour = 100000\n")
            desk.say("run", "--once")
            with desk.running():
                waited = sorted(one_by_one(desk, asked.mails))
                median, most, slowest = statistics.median(waited), waited[int(len(waited) * 0.95)], waited[-1]
                print(f"one by one, {asked.mails} mails: median {median:.3f} s, 95 % within {most:.3f} s, ", end="")
                print(f"slowest {slowest:.3f} s")
                seconds = all_at_once(desk, asked.burst)
                print(f"a burst of {asked.burst}: all {2 * asked.burst} letters out in {seconds:.1f} s")


if __name__ == "__main__":
    main()
