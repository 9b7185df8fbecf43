"""Mutated mails through the parser: none may raise, break a promise of `Mail`, or take more than 100 ms of
processor time per 100 KB.

    python benchmarks/fuzz_mail.py [--mails 100000] [--seed 1] [--keep DIRECTORY]
    python benchmarks/fuzz_mail.py --coverage [--mails 1000000]     led by coverage; needs `pip install atheris`

Ends with 1 and leaves the mail in DIRECTORY when one fails.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))

SECONDS_PER_BYTE = 0.1 / 100_000
SMALLEST = 20_000  # bytes a mail counts for at least: a call has its price
LARGEST = 300_000

# What parsers stumble over; the mails themselves bring the rest.
TOKENS = [
    *(b"=?utf-8?B?", b"?=", b"=?x?q?=0D=0A?=", b"=?iso-2022-jp?B?GyRC?=", b"=?utf-8?q?=C3?= =?utf-8?q?=B1?=", b"=?"),
    *(b"<", b">", b"@", b'"', b"(", b")", b",", b";", b":", b"\\", b"'", b"=", b"%", b"*0*=utf-8''%C3", b"*1*=%B1"),
    *(b"\r\n", b"\n", b"\r", b"\r\n ", b"\n\n", b"\t", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\xf1", b"\xc3\xb1"),
    *(b"\x1b$B", b"\x1b(B", b"+AGE-", b"--", b"\r\n--=_m\r\n", b"\r\n--=_m--\r\n", b"From ana Mon\n", b"a@x.co"),
    *(b"Content-Type: ", b"multipart/mixed; boundary=b", b"multipart/alternative", b"message/rfc822", b"text/html"),
    *(b"Content-Transfer-Encoding: ", b"base64", b"quoted-printable", b"x-uuencode", b"application/ms-tnef"),
    *(b"charset=", b"utf-16", b"utf-7", b"gb2312", b"iso-2022-jp", b"hz", b"format=flowed; delsp=yes", b"; name=a.txt"),
    *(b"Content-Disposition: attachment; filename*0*=", b"\nbegin 644 a.txt\n#86)C\n`\nend\n", b"x\x9f\x3e\x22\0\0"),
    *(b"<p>", b"</div>", b"<!--", b"&#", b"<blockquote type=cite>", b"<meta charset=koi8-r>", b"<pre", b"<style>"),
]


def seeds() -> list[bytes]:
    torture = importlib.import_module("test_torture_mails")
    files = [path.read_bytes() for path in sorted((TESTS / "mails").glob("*.eml"))]
    return files + [case.raw for case in torture.CASES if len(case.raw) < LARGEST // 10]


def mutated(raw: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """`raw` after one to twelve changes, `LARGEST` bytes at most."""
    out = bytearray(raw)
    for _ in range(chance.choice((1, 2, 3, 5, 8, 12))):
        place, length = chance.randrange(len(out) + 1), chance.choice((1, 1, 2, 5, 20, 200, 2_000))
        match chance.randrange(8):
            case 0:
                out[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del out[place : place + length]
            case 2:
                out[place:place] = chance.choice(TOKENS)
            case 3:
                out[place : place + length] = chance.choice(TOKENS)
            case 4:
                out[place:place] = chance.choice(TOKENS) * chance.choice((2, 10, 100, 1_000, 10_000))
            case 5:
                out[place:place] = out[place : place + length] * chance.choice((1, 2, 50))
            case 6:
                other = chance.choice(others)
                start = chance.randrange(len(other))
                out[place : place + length] = other[start : start + 10 * length]
            case 7:
                del out[place:]
        del out[LARGEST:]
    return bytes(out)


def mails(count: int, seed: int) -> Iterator[bytes]:
    chance, originals = random.Random(seed), seeds()
    for _ in range(count):
        yield mutated(chance.choice(originals), originals, chance)


def complaint(raw: bytes) -> str:
    """What is wrong with how `raw` was read, "" when nothing is."""
    laws = importlib.import_module("test_mime_parser")
    mail = laws.parse(raw)
    try:
        laws.check_invariants(mail)
    except AssertionError as error:
        return f"broken promise: {str(error)[:300]}"
    unreadable = any(defect.startswith("unreadable") for defect in mail.defects)
    return f"raised: {mail.defects}" if unreadable else ""


def slowness(raw: bytes, attempts: int) -> str:
    """The least time of so many attempts when that is too long, "" when one of them is fast enough."""
    parse = importlib.import_module("test_mime_parser").parse
    times = []
    for _ in range(attempts):
        since = time.thread_time()
        parse(raw)
        times.append(time.thread_time() - since)
        if times[-1] <= max(len(raw), SMALLEST) * SECONDS_PER_BYTE:
            return ""
    return f"{min(times) * 1000:.0f} ms for {len(raw)} bytes"


def run(count: int, seed: int, keep: Path) -> int:
    bad, size, slow, since = 0, 0, [], time.perf_counter()
    for raw in mails(count, seed):
        size += len(raw)
        if what := complaint(raw):
            bad += 1
            print(f"{_kept(raw, keep)}: {what}")
        elif slowness(raw, attempts=3):
            slow.append(raw)
    taken = time.perf_counter() - since
    # A machine that is busy makes anything slow for a moment, in processor time too.
    still = [(raw, what) for raw in slow if (what := slowness(raw, attempts=30))]
    for raw, what in still:
        print(f"{_kept(raw, keep)}: {what}")
    print(f"{count:,} mails, {size / 1e6:,.0f} MB, {taken:,.0f} s, {count / taken:,.0f} mails/s")
    print(f"{bad} failed, {len(slow)} slow three times, {len(still)} of them when measured again")
    return 1 if bad or still else 0


def _kept(raw: bytes, keep: Path) -> Path:
    path = keep / f"{hashlib.sha256(raw).hexdigest()[:16]}.eml"
    path.write_bytes(raw)
    return path


def run_by_coverage(count: int, keep: Path) -> int:
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["pqr_mailbot"]):
        importlib.import_module("pqr_mailbot.adapters.mime_parser")

    def one(raw: bytes) -> None:
        if what := complaint(raw):
            raise RuntimeError(what)

    for number, raw in enumerate(seeds()):
        (keep / f"seed-{number}").write_bytes(raw)
    atheris.Setup([sys.argv[0], f"-runs={count}", "-max_len=20000", f"-artifact_prefix={keep}/", str(keep)], one)
    atheris.Fuzz()
    return 0


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--mails", type=int, default=100_000)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--keep", type=Path, default=Path("fuzz-findings"))
    arguments.add_argument("--coverage", action="store_true")
    asked = arguments.parse_args()
    asked.keep.mkdir(parents=True, exist_ok=True)
    return run_by_coverage(asked.mails, asked.keep) if asked.coverage else run(asked.mails, asked.seed, asked.keep)


if __name__ == "__main__":
    sys.exit(main())
