"""How much memory the desk needs for the largest mails, one after the other: mails of 35 MB of every kind to a real
Dovecot, the daemon as its own process, each notification out to a real SMTP server.

    python benchmarks/large_mails.py [--mails 20]
"""

from __future__ import annotations

import argparse
import base64
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from desk_process import DeskProcess
from servers import EVERYBODY, OFFICE, SMTP_PASSWORD, Authority, Dovecot, SmtpServer, mailboxes, wait_until

MEGABYTE = 10**6
ALLOWED = 200  # MB, with all that the tests' process shares with it
SIZE = 35 * MEGABYTE  # below limits.max_message_bytes
SMTP_LIMIT = 50 * MEGABYTE


def _mail(number: int, kind: str, body: bytes) -> bytes:
    head = f"From: Clara <c{number}@correo.test>\r\nTo: info@lohas.test\r\nSubject: Fotos del pedido {number}\r\n"
    head += f"Message-ID: <grande{number}@correo.test>\r\nMIME-Version: 1.0\r\nContent-Type: {kind}\r\n"
    return head.encode() + body


def attachment(number: int, size: int) -> bytes:
    """One photograph in base64, of bytes that do not compress."""
    bulk = base64.encodebytes(random.Random(number).randbytes(size * 54 // 73 // 57 * 57)).replace(b"\n", b"\r\n")
    words = "El café llegó vencido, va la foto.".encode()
    return _mail(number, 'multipart/mixed; boundary="x"', b"\r\n--x\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
                 + words + b"\r\n--x\r\nContent-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n"
                 b'Content-Disposition: attachment; filename="foto.jpg"\r\n\r\n' + bulk + b"--x--\r\n")  # fmt: skip


def text(number: int, size: int) -> bytes:
    line = "El café llegó vencido y exijo la devolución de mi dinero número {}.\r\n".format
    lines = b"".join(line(n).encode() for n in range(size // 74))
    return _mail(number, "text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit", b"\r\n" + lines)


def html(number: int, size: int) -> bytes:
    row = "<tr><td class='x'>Pedido {}</td><td>vencido &amp; molido</td></tr>\r\n".format
    rows = b"".join(row(n).encode() for n in range(size // 73))
    page = b"<html><body><table>\r\n" + rows + b"</table></body></html>\r\n"
    return _mail(number, "text/html; charset=utf-8", b"\r\n" + page)


def parts(number: int, size: int, count: int = 20_000) -> bytes:
    filling = b"a" * max(0, size // count - 90)
    head = b"--x\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment\r\n\r\n"
    one = head + filling + b"\r\n"
    begin = b"\r\n--x\r\nContent-Type: text/plain\r\n\r\nVencido\r\n"
    return _mail(number, 'multipart/mixed; boundary="x"', begin + one * count + b"--x--\r\n")


def line(number: int, size: int) -> bytes:
    return _mail(number, "text/plain", b"\r\n" + b"vencido " * (size // 8) + b"\r\n")


def both(number: int, size: int) -> bytes:
    """A page of HTML as large as is read, and a photograph that goes along to the colleague."""
    photograph = attachment(number, 13 * MEGABYTE).partition(b"\r\n\r\n")[2]
    page = html(number, size - len(photograph)).partition(b"\r\n\r\n")[2]
    begin = b"\r\n--x\r\nContent-Type: text/html\r\n\r\n"
    return _mail(number, 'multipart/mixed; boundary="x"', begin + page + photograph)


KINDS: dict[str, Callable[[int, int], bytes]] = {
    "an attachment": attachment,
    "one text": text,
    "one page of HTML": html,
    "20,000 parts": parts,
    "a single line": line,
    "a page and an attachment": both,
}


def peak(pid: int) -> float:
    """The most memory a process ever had, in MB (VmHWM: RSS, with what it shares)."""
    said = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert said
    return int(said[1]) * 1024 / MEGABYTE


def run(place: Path, dovecot: Dovecot, smtp: SmtpServer, mails: list[bytes]) -> tuple[tuple[int, int, int, int], float]:
    """Gives all of them to the desk. Returns (mails tried, letters owed, lost, sent twice) and the peak in MB."""
    desk = DeskProcess(place, dovecot, smtp)
    desk.say("run", "--once")
    before = len(smtp.received)
    with desk.running():
        assert desk.process
        for raw in mails:
            dovecot.deliver(raw, OFFICE, "somebody@correo.test")
        owed = 2 * len(mails)  # the customer's and the agent's
        wait_until(lambda: len(smtp.received) - before >= owed, 60 + 20 * len(mails), f"{owed} letters\n{desk.log}")
        most = peak(desk.process.pid)
    letters = smtp.received[before:]
    ids = [re.search(rb"(?im)^message-id:\s*(\S+)", letter.data[:20_000])[1] for letter in letters]  # type: ignore[index]
    states = [row["state"] for row in desk.json("outbox")]
    lost = owed - states.count("sent") + sum(row["state"] != "done" for row in desk.json("inbox"))
    return (len(mails), owed, lost, len(ids) - len(set(ids))), most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=20)
    parser.add_argument("--kind", choices=[*KINDS])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        authority, login = Authority(place), (OFFICE, SMTP_PASSWORD)
        smtp = SmtpServer(authority, "starttls", login, size_limit=SMTP_LIMIT)
        with Dovecot(authority, mailboxes(EVERYBODY)) as dovecot, smtp:
            for kind, make in KINDS.items():
                if asked.kind in (None, kind):
                    (place / make.__name__).mkdir()
                    since = time.perf_counter()
                    mails = [make(number, SIZE) for number in range(asked.mails)]
                    (tried, owed, lost, twice), most = run(place / make.__name__, dovecot, smtp, mails)
                    print(f"{kind}: {tried} mails, {owed} letters owed, {lost} lost, {twice} twice, ", end="")
                    print(f"peak {most:.0f} MB, {time.perf_counter() - since:.0f} s", flush=True)
                    smtp.received.clear()
                    dovecot.reset()


if __name__ == "__main__":
    main()
