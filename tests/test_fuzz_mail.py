"""Mail nobody chose: whatever a library composes is read back whole, and no damage is a way out of the parser.

The long runs are `benchmarks/fuzz_mail.py`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from email.headerregistry import Address as Person
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_mime_parser import check_invariants

from pqr_mailbot.adapters.mime_parser import parse, safe_file_name
from pqr_mailbot.domain.model import Mail

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
import fuzz_mail

# The letters each charset has, beside ASCII. Of the western ones no signs: the bytes of "á––" are a letter in UTF-8,
# and UTF-8 under a western name is far more frequent than such words.
ALPHABETS = {
    "utf-8": "áéñ¿€“”咖啡Жש🙂",
    "iso-8859-1": "áéíóúñÑüÜ",
    "windows-1252": "áéñÁÑÜ",
    "iso-8859-15": "áéñÁÑÜ",
    "iso-8859-2": "Łódźáé",
    "koi8-r": "Жалобаяё",
    "windows-1251": "Жалобаяё",
    "gb18030": "咖啡投诉",
    "big5": "咖啡",
    "shift_jis": "コーヒー苦情",
    "euc-jp": "苦情コ",
    "iso-2022-jp": "苦情コ",
    "euc-kr": "커피",
    "utf-7": "áéñ咖",
}  # UTF-16 is missing: the standard library composes it with line ends of one byte
ASCII_WORD = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789", min_size=1, max_size=12)


@dataclass(frozen=True)
class Written:
    text: str
    charset: str
    encoding: str


@dataclass(frozen=True)
class File:
    name: str
    content: bytes
    kind: str


@st.composite
def written(draw: st.DrawFn) -> Written:
    charset = draw(st.sampled_from(sorted(ALPHABETS)))
    # One ASCII word stands first, as in any letter: three foreign letters alone may be valid in many charsets.
    words = draw(st.lists(st.text(ALPHABETS[charset], min_size=3, max_size=12), min_size=1, max_size=8))
    text = f"{draw(ASCII_WORD)} {' '.join(words)} {draw(ASCII_WORD)}"
    assume(charset == "utf-8" or _is_no_utf8(text.encode(charset)))  # what reads as UTF-8 is UTF-8, whatever it says
    return Written(text, charset, draw(st.sampled_from(["base64", "quoted-printable"])))


def _is_no_utf8(raw: bytes) -> bool:
    """ASCII, or bytes that UTF-8 does not know."""
    try:
        return raw.decode("utf-8").isascii()
    except UnicodeDecodeError:
        return True


FILES = st.builds(
    File,
    st.text("abcñé咖 ._-()[]';,=%\"🙂", min_size=1, max_size=40).map(lambda name: safe_file_name(f"x{name}y.pdf")),
    st.binary(max_size=300),
    st.sampled_from(["application/pdf", "image/png", "application/octet-stream", "text/csv", "text/calendar"]),
)


def leaf(what: Written | File) -> MIMEPart:
    part = MIMEPart(SMTP)
    if isinstance(what, Written):
        part.set_content(f"{what.text}\n", charset=what.charset, cte=what.encoding)
    else:
        part.set_content(what.content, *what.kind.split("/"), filename=what.name, disposition="attachment")
    return part


@st.composite
def trees(draw: st.DrawFn, depth: int = 0) -> tuple[MIMEPart, list[Written], list[File]]:
    """(a part, the texts in it in order, the files in it in order)."""
    if depth == 3 or draw(st.booleans()):
        what = draw(st.one_of(written(), FILES))
        return leaf(what), [what] if isinstance(what, Written) else [], [what] if isinstance(what, File) else []
    part = MIMEPart(SMTP)
    kind = draw(st.sampled_from(["mixed", "related", "parallel", "signed", "report", "form-data"]))
    part["Content-Type"] = f"multipart/{kind}"
    part.set_payload([])
    texts: list[Written] = []
    files: list[File] = []
    for child, its_texts, its_files in draw(st.lists(trees(depth + 1), min_size=1, max_size=4)):
        part.attach(child)
        texts, files = texts + its_texts, files + its_files
    return part, texts, files


def sent(part: MIMEPart, subject: str = "s", name: str = "Ana") -> Mail:
    mail = EmailMessage(SMTP)
    mail["From"] = Person(name, "ana", "x.co")
    mail["Subject"] = subject
    mail["Message-ID"] = "<1@x.co>"
    mail["Content-Type"] = "multipart/mixed"
    mail.set_payload([part])
    return parse(mail.as_bytes())


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(trees())
def test_every_text_and_file_of_a_composed_mail_is_found(tree: tuple[MIMEPart, list[Written], list[File]]) -> None:
    part, texts, files = tree
    found = sent(part)
    assert found.text.split() == " ".join(text.text for text in texts).split()
    expected = [(" ".join(file.name.split()), len(file.content), file.kind) for file in files]
    assert [(a.filename, a.size, a.content_type) for a in found.attachments] == expected
    check_invariants(found)


HEADER_LETTERS = "abc áéñ¿?=_.,;:<>()@\"'咖🙂Ж\\"
HEADER_TEXT = st.text(HEADER_LETTERS, min_size=1, max_size=120).map(lambda text: " ".join(text.split()))


@settings(max_examples=150, deadline=None)
@given(HEADER_TEXT)
def test_every_composed_subject_is_read_back(subject: str) -> None:
    if "=?" not in subject:
        assert sent(leaf(File("a.pdf", b"", "image/png")), subject).subject == subject


@settings(max_examples=150, deadline=None)
@given(HEADER_TEXT)
def test_no_name_changes_the_address(name: str) -> None:
    found = sent(leaf(File("a.pdf", b"", "image/png")), name=name)
    assert found.sender is not None
    assert found.sender.address == "ana@x.co"


@pytest.mark.parametrize("seed", range(4))
def test_mutated_mails(seed: int) -> None:
    """A thousand of what the long run does a hundred thousand of; only there time counts."""
    for raw in fuzz_mail.mails(250, seed):
        assert not fuzz_mail.complaint(raw), raw[:2_000]
