"""parse(): what each kind of mail says, and what holds for any bytes at all."""

from __future__ import annotations

import base64
import re
import string
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pqr_mailbot.adapters.html_text import html_text
from pqr_mailbot.adapters.mime_parser import MAX_ADDRESSES, MAX_TEXT, parse, received_at, safe_file_name
from pqr_mailbot.domain.model import Address, Attachment, Mail, is_synthetic_id

MAILS = Path(__file__).parent / "mails"
SAFE_ADDRESS = re.compile(r"[^\s<>()\[\],;:\\\"@]+@[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*")
FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def mail(name: str) -> Mail:
    return parse((MAILS / f"{name}.eml").read_bytes())


def with_header(header: str | bytes, body: bytes = b"Hola\r\n") -> Mail:
    header = header.encode() if isinstance(header, str) else header
    return parse(header + b"\r\n\r\n" + body)


def with_body(content_type: str, body: bytes, encoding: str = "8bit") -> Mail:
    return with_header(f"Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}", body)


def multipart(*parts: bytes, kind: str = "mixed", boundary: bytes = b"b") -> bytes:
    lines = b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts)
    head = b"Content-Type: multipart/" + kind.encode() + b'; boundary="' + boundary + b'"\r\n\r\n'
    return head + lines + b"--" + boundary + b"--\r\n"


TEXTS = [
    ("plain_utf8", "Buenos días:\n\nEl pedido 4521 llegó con dos bolsas rotas.\n\nGracias,\nAna"),
    ("cp1252_as_latin1", "Atención: cuesta 5 € – “muy caro”…"),
    ("cp1252_as_ascii", "Atención al señor Núñez"),
    ("utf8_as_latin1", "Atención al señor Núñez"),
    ("unknown_charset", "El café llegó mojado"),
    ("iso2022jp", "コーヒーの苦情"),
    ("alternative", "El café llegó mojado."),
    ("alternative_blank_plain", "El café llegó mojado."),
    ("attachments", "Adjunto lo pedido."),
    ("only_attachment", ""),
    ("forwarded", "Les reenvio esto."),
    ("bounce", "I could not deliver your message."),
    ("digest", ""),
    ("missing_boundary", "Sin frontera declarada."),
    (
        "html_only",
        "Señores:\n\nEl café llegó\nmojado.\nVea la foto.\n\nPedido 4521\n\n> Hola Ana:\n> ¿qué pasó?",
    ),
]


@pytest.mark.parametrize(("name", "text"), TEXTS)
def test_text(name: str, text: str) -> None:
    assert mail(name).text == text


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("plain_utf8", "Petición sobre el pedido 4521"),
        ("raw_8bit_headers", "Petición del año"),
        ("split_encoded_word", "Petición del año"),
        ("repeated_headers", "uno"),
        ("folded_injection", "Re: [PQR-2026-000001] Bcc: victima@example.test largo"),
    ],
)
def test_subject(name: str, subject: str) -> None:
    assert mail(name).subject == subject


def test_fields_of_an_ordinary_mail() -> None:
    found = mail("plain_utf8")
    assert found.sender == Address("ana.perez@example.test", "Ana Pérez")
    assert found.to == (Address("info@lohasbeans.test"),)
    assert found.message_id == "<plain@example.test>"
    assert found.in_reply_to == ("<pqr.a@lohasbeans.test>",)
    assert found.references == ("<uno@example.test>", "<pqr.a@lohasbeans.test>")
    assert found.sent_at == datetime(2026, 6, 1, 15, 42, tzinfo=UTC)
    assert [name for name, _ in found.headers][:4] == ["received", "from", "to", "subject"]
    assert found.header("content-type") == "text/plain; charset=utf-8"
    assert (found.content_type, found.complete, found.defects) == ("text/plain", True, ())


def test_first_of_repeated_headers_counts_and_all_are_kept() -> None:
    found = mail("repeated_headers")
    assert (found.sender, found.message_id) == (Address("uno@example.test"), "<uno@example.test>")
    assert [value for name, value in found.headers if name == "subject"] == ["uno", "dos"]


def test_attachments() -> None:
    assert mail("attachments").attachments == (
        Attachment("adjunto-1.png", "image/png", 1024),
        Attachment("factura año.pdf", "application/pdf", 9),
        Attachment("cédulafdp.exe", "application/octet-stream", 4),
        Attachment("adjunto-4.txt", "text/plain", 20),
        Attachment("winmail.dat", "application/ms-tnef", 4),
        Attachment("adjunto-6.ics", "text/calendar", 30),
    )


def test_forwarded_mail_is_an_attachment_and_lends_nothing() -> None:
    found = mail("forwarded")
    assert [attachment.filename for attachment in found.attachments] == ["mensaje-adjunto-1.eml"]
    assert found.message_id == "<fwd@example.test>"
    assert "ajeno" not in found.text
    assert [attachment.content_type for attachment in mail("digest").attachments] == ["message/rfc822"] * 2


def test_report() -> None:
    found = mail("bounce")
    assert found.content_type == "multipart/report"
    assert found.header("return-path") == "<>"
    assert [a.content_type for a in found.attachments] == ["message/delivery-status", "text/rfc822-headers"]


def test_a_mail_without_message_id_gets_one_from_its_content() -> None:
    found = mail("no_message_id")
    assert is_synthetic_id(found.message_id)


def test_made_ids_tell_people_and_days_apart_and_no_more() -> None:
    def made(header: str) -> str:
        return with_header(header).message_id

    clara, diego = made("From: clara@x.co\r\nDate: 1"), made("From: diego@x.co\r\nDate: 1")
    assert len({clara, diego, made("From: clara@x.co\r\nDate: 2"), made("From: clara@x.co")}) == 4
    assert made("Received: by alias\r\nFrom: clara@x.co\r\nDate: 1\r\nTo: other@x.co") == clara


@pytest.mark.parametrize(
    ("header", "instant"),
    [
        (
            "Received: from a by b; Mon, 1 Jun 2026 10:42:00 -0500\r\nReceived: by a; Sun, 1 Feb 2026 00:00:00 +0000",
            "2026-06-01 15:42",
        ),
        ("Received: from a by b", None),
        ("Received: from a by b; nunca", None),
        ("Subject: hola", None),
    ],
)
def test_the_topmost_received_says_when(header: str, instant: str | None) -> None:
    found = received_at(with_header(header))
    assert (f"{found:%Y-%m-%d %H:%M}" if found else None) == instant


SENDERS = [
    ("ana@x.co <otro@y.co>", "otro@y.co", "ana@x.co"),
    ("Ana <a@x.co", "a@x.co", "Ana"),
    ("=?utf-8?B?a?= <a@x.co>", "a@x.co", ""),
    ("=?utf-8?q?=3Cevil=40y=2Eco=3E?= <a@x.co>", "a@x.co", "<evil@y.co>"),
    ("=?utf-8?q?Ana_=3Cana=40x=2Eco=3E?=", None, ""),
    ("=?utf-8?q?ana?=@x.co", None, ""),
    ("", None, ""),
    ("<>", None, ""),
    ("MAILER-DAEMON", None, ""),
    ("undisclosed-recipients:;", None, ""),
    ("Grupo: ana@x.co, b@x.co;", "ana@x.co", ""),
    ("a@x.co, b@y.co", "a@x.co", ""),
    ("a@x.co; b@y.co", "a@x.co", ""),
    ("Ana <a@x.co> <b@y.co>", None, ""),
    ('"ceo@bank.co" <>', None, ""),
    ("ceo@bank.co <>", None, ""),
    ("<a@x.co <b@y.co>", None, ""),
    ('"Pérez, Ana" <ANA@X.CO.>', "ana@x.co", "Pérez, Ana"),
    ("'ana@x.co'", "ana@x.co", ""),
    ("<<ana@x.co>>", "ana@x.co", ""),
    ("mailto:ana@x.co", "ana@x.co", ""),
    ("ana@x.co (Ana)", "ana@x.co", "Ana"),
    ("Ana [ana@x.co]", "ana@x.co", ""),
    ("peña@x.co", "peña@x.co", ""),
    ("ana@ñandú.co", "ana@xn--and-6ma2c.co", ""),
    ("ana@[192.0.2.1]", None, ""),
    ('"ana perez"@x.co', None, ""),
    ("ana@x.co\r\n <b@y.co>", "b@y.co", "ana@x.co"),
    ("=?iso-8859-1?Q?Jos=E9?= =?iso-8859-1?Q?_P=E9rez?= <j@x.co>", "j@x.co", "José Pérez"),
    ('"=?utf-8?q?Ana?=" <a@x.co>', "a@x.co", "Ana"),
    ("Ana\x00 <a@x.co\x00>", "a@x.co", "Ana"),
]


@pytest.mark.parametrize(("value", "address", "name"), SENDERS)
def test_sender(value: str, address: str | None, name: str) -> None:
    found = with_header(f"From: {value}\r\nMessage-ID: <1@x>")
    assert found.sender == (Address(address, name) if address else None)
    assert found.defects == (() if address else ("From could not be read",))


def test_no_from_at_all() -> None:
    assert with_header("Subject: x").sender is None
    assert "no From" in with_header("Subject: x").defects


def test_address_lists_are_read_and_bounded() -> None:
    many = ", ".join(f"Ana {n} <a{n}@x.co>" for n in range(1_000))
    found = with_header(f"To: {many}\r\nCc: B <b@x.co>, roto, c@x.co\r\nReply-To: R <r@x.co>")
    assert found.to[0] == Address("a0@x.co", "Ana 0")
    assert len(found.to) == MAX_ADDRESSES
    assert [one.address for one in found.cc] == ["b@x.co", "c@x.co"]
    assert found.reply_to == (Address("r@x.co", "R"),)


IDS = [
    ("Message-ID: <a@b>", "message_id", "<a@b>"),
    ("Message-ID: <a\r\n b@c>", "message_id", "<ab@c>"),
    ("Message-ID: a@b", "message_id", "<a@b>"),
    ("Message-ID: <a@b> <c@d>", "message_id", "<a@b>"),
    ("In-Reply-To: =?utf-8?q?=3Cpqr=2Ex=40y=3E?=", "in_reply_to", ("<pqr.x@y>",)),
    ("In-Reply-To: mail of ana@x.co on Monday <a@b>", "in_reply_to", ("<a@b>",)),
    ("References: <a@b>\r\n\t<c@d> <e\x01@f>", "references", ("<a@b>", "<c@d>", "<e@f>")),
    ("References: a@b, c@d nada", "references", ("<a@b>", "<c@d>")),
    ("References: <a\u00f1o@b> <c@d>", "references", ("<c@d>",)),
]


@pytest.mark.parametrize(("header", "field", "value"), IDS)
def test_ids(header: str, field: str, value: object) -> None:
    assert getattr(with_header(header), field) == value


@pytest.mark.parametrize("value", ["", "<>", "nada", "<ñ@x>", "< >", "a b"])
def test_unusable_message_id(value: str) -> None:
    assert with_header(f"Message-ID: {value}").message_id.endswith("@sin-message-id.invalid>")


@pytest.mark.parametrize("count", [99, 100, 101, 500, 5_000])
def test_of_many_references_the_first_and_the_last_are_kept(count: int) -> None:
    found = with_header("References: " + "\r\n ".join(f"<{n}@x>" for n in range(count))).references
    assert found[:20] == tuple(f"<{n}@x>" for n in range(20))
    assert found[-80:-1] == tuple(f"<{n}@x>" for n in range(count - 80, count - 1))
    assert len(found) == min(count, 100)


DATES = [
    ("Mon, 1 Jun 2026 10:42:00 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("Mon, 1 Jun 2026 10:42:00 -0500 (COT)", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("lun, 1 jun 2026 10:42:00 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("sáb, 01 ago. 2026 10:42:00 -0500", datetime(2026, 8, 1, 15, 42, tzinfo=UTC)),
    ("Mon, 1 Jun 2026 10:42:00", datetime(2026, 6, 1, 10, 42, tzinfo=UTC)),
    ("Thu, 1 Jan 1970 00:00:00 +0000", datetime(1970, 1, 1, tzinfo=UTC)),
    ("Thu, 1 Jan 2099 00:00:00 GMT", datetime(2099, 1, 1, tzinfo=UTC)),
    ("Mon, 1 Jun 99999 10:42:00 +0000", None),
    ("Fri, 31 Dec 9999 23:59:59 -1200", None),
    ("ayer", None),
    ("", None),
]


@pytest.mark.parametrize(("value", "moment"), DATES)
def test_date(value: str, moment: datetime | None) -> None:
    assert with_header(f"Date: {value}").sent_at == moment


FILE_NAMES = [
    ("../../etc/passwd", "passwd"),
    ("..\\..\\x.exe", "x.exe"),
    (".htaccess", "htaccess"),
    ("a\r\nb.pdf", "a b.pdf"),
    ("fac\u202efdp.exe", "facfdp.exe"),
    ("x" * 300 + ".pdf", "x" * 146 + ".pdf"),
    ("x" * 300, "x" * 150),
    ("..", ""),
    ("/", ""),
]


@pytest.mark.parametrize(("name", "safe"), FILE_NAMES)
def test_safe_file_name(name: str, safe: str) -> None:
    assert safe_file_name(name) == safe


BODIES = [
    ("text/plain", "8bit", "uno\r\ndos\rtres\x00\x1b[31m", "uno\ndos\ntres[31m"),
    ("text/plain; charset=utf-8", "8bit", "\ufeffHola", "Hola"),
    ("text/plain; charset=punycode", "7bit", "a-b", "a-b"),
    ("text/plain; charset=base64", "7bit", "aG9sYQ==", "aG9sYQ=="),
    ("text/plain; charset=undefined", "7bit", "a", "a"),
    ("text/plain; charset=utf-7", "7bit", "+2AA- a", " a"),
    ("text/plain; charset*=utf-8''utf-8", "8bit", "ñ", "ñ"),
    ("text/plain; name=carta.txt", "8bit", "un solo texto con nombre", "un solo texto con nombre"),
    ("TEXT/PLAIN; charset=utf-8", "BASE64", "aG9s\r\nYQ==\r\n-- \r\npie de lista", "hola"),
    ("text/plain", "base64", "aG9sYQ", "hola"),
    ("text/plain", "base64", "aG9sY", "hol"),
    ("text/plain", "quoted-printable", "a=C3=B1=\r\no =ZZ", "año =ZZ"),
    ("text", "8bit", "tipo a medias", "tipo a medias"),
    ("text/html", "8bit", "<p>uno<p>dos", "uno\n\ndos"),
    ("multipart/mixed; boundary=x", "8bit", "ninguna parte", "ninguna parte"),
    ("message/rfc822", "8bit", "Subject: ajeno\r\n\r\najeno", ""),
]


@pytest.mark.parametrize(("content_type", "encoding", "body", "text"), BODIES)
def test_body(content_type: str, encoding: str, body: str, text: str) -> None:
    assert with_body(content_type, body.encode(), encoding).text == text


def test_parts_whose_end_is_missing_or_whose_boundaries_begin_alike() -> None:
    inner = multipart(b"\r\ndos", boundary=b"bb").removesuffix(b"--bb--\r\n")
    assert parse(multipart(b"\r\nuno", inner, b"\r\ntres")).text == "uno\n\ndos\n\ntres"
    assert parse(multipart(b"\r\nuno").removesuffix(b"--b--\r\n")).text == "uno"


def test_alternative_with_the_html_among_pictures() -> None:
    related = multipart(
        b"Content-Type: text/html\r\n\r\n<p>con foto", b"Content-Type: image/gif\r\n\r\nGIF", boundary=b"r"
    )
    both = parse(multipart(b"\r\nsin foto", related, kind="alternative"))
    assert both.text == "sin foto"
    assert both.attachments == (Attachment("adjunto-1.gif", "image/gif", 3),)
    assert parse(multipart(b"\r\n \r\n", related, kind="alternative")).text == "con foto"


def test_incomplete_mail_says_so() -> None:
    raw = (MAILS / "attachments.eml").read_bytes()
    found = parse(raw[: len(raw) // 2], complete=False)
    assert (found.complete, found.text) == (False, "Adjunto lo pedido.")


def test_defects_quote_nothing() -> None:
    found = with_header("From: SECRETO\r\nDate: SECRETO\r\nContent-Type: text/plain; charset=nada")
    assert set(found.defects) == {
        "From could not be read",
        "Date could not be read",
        "charset nada unknown",
        "no usable Message-ID",
    }


# --- html ------------------------------------------------------------------------------------------------------------

HTML = [
    ("<div>a</div><div><br></div><div>b\n c</div>", "a\n\nb c"),
    ("<p>a<p>b<br>c", "a\n\nb\nc"),
    ("a <b>b</b>c &amp; &lt;d&gt; &eacute;&nbsp;e", "a bc & <d> é e"),
    ("3 < 4 y 5 > 2", "3 < 4 y 5 > 2"),
    ("<div STYLE='Display : NONE'>x<div hidden>y</div>z</div>a", "a"),
    ("<p hidden>x<p>a", "a"),
    ("<span style='font-size:0px'>x</span><span style='font-size:0.9em'>a</span>", "a"),
    ("<a title='a > b' href=x>enlace</a>", "enlace"),
    ("<pre>uno\n dos</pre>tres", "uno\ndos\n\ntres"),
    ("<!-- x -->a<!--[if mso]>x<![endif]--><![if !mso]>b<![endif]><o:p></o:p>", "ab"),
    ("<blockquote type=cite>a<blockquote type=cite>b</blockquote></blockquote>c", "> a\n\n> > b\n\nc"),
    ("a&#30;b&#x1;c&#&#30;30;", "a b c&# 30;"),
    ("<ul><li>a<li>b</ul>c", "a\nb\n\nc"),
    ("", ""),
    ("\x00\ud800", ""),
    ("<p", ""),
]


@pytest.mark.parametrize(("html", "text"), HTML)
def test_html_text(html: str, text: str) -> None:
    assert html_text(html) == text


@given(st.text(alphabet="<>/!-=\"'&#;x1 abp\n", max_size=200))
def test_any_html_becomes_text(html: str) -> None:
    assert not FORBIDDEN.search(html_text(html).replace("\n", ""))


# --- hostile input: each of these took minutes, gigabytes or the process somewhere ------------------------------------

HEAD = b"From: ana@x.co\r\nSubject: s\r\nMessage-ID: <1@x>\r\n"


def nested(depth: int) -> bytes:
    return HEAD + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(depth)
    )


HOSTILE: dict[str, Callable[[], bytes]] = {
    "zero bytes": lambda: b"",
    "all bytes": lambda: bytes(range(256)) * 1_000,
    "1,000 nested parts": lambda: nested(1_000),
    "5,000 nested parts": lambda: nested(5_000),
    "nested, then long": lambda: nested(19) + b"x\r\n" * 2_000_000,
    "type of 39 KB": lambda: HEAD + b"Content-Type: text/plain" + b';"' * 19_500 + b"\r\n\r\nhola",
    "many such parts": lambda: HEAD + multipart(*[b"Content-Type: a/b" + b';"' * 9_000 + b"\r\n\r\nx"] * 300),
    "100,000 headers": lambda: b"".join(b"X-%d: y\r\n" % n for n in range(100_000)) + b"\r\nhola",
    "one line of 50 MB": lambda: HEAD + b"\r\n" + b"x" * 50_000_000,
    "one header of 50 MB": lambda: b"Subject: " + b"x" * 50_000_000,
    "no header, 50 MB": lambda: b"x" * 50_000_000,
    "header folded a million times": lambda: b"Subject: x" + b"\r\n y" * 1_000_000,
    "encoded words without end": lambda: HEAD + b"To: " + b"=?utf-8?q?" * 50_000 + b"\r\n\r\n",
    "To of commas": lambda: HEAD + b"To: " + b"a," * 100_000 + b"\r\n\r\n",
    "To of angles": lambda: HEAD + b"To: " + b"<" * 100_000 + b"\r\n\r\n",
    "To of comments": lambda: HEAD + b"To: " + b"(" * 100_000 + b"\r\n\r\n",
    "100,000 parts": lambda: HEAD + multipart(*[b"\r\nx"] * 100_000),
    "boundary of dashes": lambda: HEAD + b'Content-Type: multipart/mixed; boundary="-"\r\n\r\n' + b"---x\n" * 1_000_000,
    "5 MB of paragraphs": lambda: HEAD + b"Content-Type: text/html\r\n\r\n" + b"<p>x" * 1_250_000,
    "html formatted again and again": lambda: (
        HEAD + b"Content-Type: text/html\r\n\r\n" + b"".join(b"<b a=%d>" % n for n in range(1_000)) + b"<p>x" * 200_000
    ),
    "html deep, then scanned": lambda: (
        HEAD + b"Content-Type: text/html\r\n\r\n" + b"<div><object></div></object>" * 30_000 + b"<p>x" * 200_000
    ),
    "html of attributes": lambda: (
        HEAD + b"Content-Type: text/html\r\n\r\n<p " + b" ".join(b"a%d" % n for n in range(200_000)) + b">x"
    ),
    "20 html parts": lambda: HEAD + multipart(*[b"Content-Type: text/html\r\n\r\n" + b"<p>x" * 100_000] * 20),
    "base64 of 30 MB": lambda: (
        HEAD
        + b"Content-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"QUJD" * 19
        + b"\r\nQUJD" * 5_000_000
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    found = parse(HOSTILE[name]())
    check_invariants(found)
    assert not any(defect.startswith("unreadable") for defect in found.defects)


def check_invariants(found: Mail) -> None:
    addresses = [*found.to, *found.cc, *found.reply_to, *([found.sender] if found.sender else [])]
    assert all(SAFE_ADDRESS.fullmatch(one.address) for one in addresses)
    assert all(re.fullmatch(r"<[!-;=?-~]+>", one) for one in (found.message_id, *found.in_reply_to, *found.references))
    assert re.fullmatch(r"[0-9a-f]{64}", found.content_hash)
    one_line = [found.subject, found.content_type, *found.defects, *(one.name for one in addresses)]
    one_line += [value for header in found.headers for value in header]
    one_line += [value for a in found.attachments for value in (a.filename, a.content_type)]
    assert not [value for value in one_line if FORBIDDEN.search(value)]
    assert not FORBIDDEN.search(found.text.replace("\n", "").replace("\t", ""))
    assert len(found.text) <= MAX_TEXT
    assert all(
        a.filename and "/" not in a.filename and len(a.filename) <= 150 and a.size >= 0 for a in found.attachments
    )
    assert found.sent_at is None or found.sent_at.utcoffset() == UTC.utcoffset(None)


# --- laws ------------------------------------------------------------------------------------------------------------

SAMPLES = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 5_000), st.binary(max_size=6)), max_size=8))
def test_damaged_mail_never_raises(raw: bytes, changes: list[tuple[int, bytes]]) -> None:
    damaged = bytearray(raw)
    for place, data in changes:
        start = place % (len(damaged) + 1)
        damaged[start : start + max(1, len(data))] = data
    check_invariants(parse(bytes(damaged)))


NASTY = [
    b"=?utf-8?B?",
    b"?=",
    b"=?x?q?=0D=0A",
    b"<",
    b">",
    b"@",
    b'"',
    b"(",
    b",",
    b";",
    b"\r\n ",
    b"\xff",
    b"\xf1",
    b"\0",
]


@settings(max_examples=300)
@given(
    st.sampled_from(
        ["From", "To", "Subject", "Date", "Message-ID", "References", "Content-Type", "Content-Disposition"]
    ),
    st.lists(st.one_of(st.sampled_from(NASTY), st.binary(max_size=8), st.just(b"a@x.co")), max_size=12),
)
@example("From", [b"=?utf-8?B?", b"a", b"?=", b" <a@x.co>"])
def test_any_header_value_is_survived(name: str, pieces: list[bytes]) -> None:
    found = with_header(name.encode() + b": " + b"".join(pieces))
    check_invariants(found)
    assert not any(defect.startswith("unreadable") for defect in found.defects)


LEAVES = st.builds(
    lambda kind, encoding, name, body: (
        f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n{name}\r\n".encode() + body
    ),
    st.sampled_from(
        ["text/plain", "text/html; charset=x", "image/png", "message/rfc822", "multipart/mixed", "/", "a/b/c"]
    ),
    st.sampled_from(["7bit", "base64", "quoted-printable", "nada"]),
    st.sampled_from(
        ["", "Content-Disposition: attachment\r\n", 'Content-Disposition: inline; filename="../ñ\t.pdf"\r\n']
    ),
    st.binary(max_size=60),
)
TREES = st.recursive(
    LEAVES,
    lambda children: st.builds(
        lambda parts, kind, boundary: multipart(*parts, kind=kind, boundary=boundary),
        st.lists(children, max_size=4),
        st.sampled_from(["mixed", "alternative", "related", "digest", "report"]),
        st.sampled_from([b"b", b"bb", b"b b", b"--", b"="]),
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(TREES)
def test_any_tree_of_parts_is_survived(tree: bytes) -> None:
    found = parse(HEAD + tree)
    check_invariants(found)
    assert not any(defect.startswith("unreadable") for defect in found.defects)


WORDS = st.text(alphabet=string.ascii_letters + "áéñ ", min_size=1, max_size=60).filter(str.strip)


def a_mail(
    text: str, content: bytes, width: int = 76, boundary: str = "b", head: str = "", text_as: str = "8bit"
) -> bytes:
    encoded = base64.b64encode(content).decode()
    lines = "\r\n".join(encoded[n : n + width] for n in range(0, len(encoded), width))
    body = base64.b64encode(text.encode()).decode() if text_as == "base64" else text
    return (
        f'{head}Content-Type: multipart/mixed; boundary="{boundary}"\r\n\r\n--{boundary}\r\n'
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {text_as}\r\n\r\n{body}\r\n"
        f"--{boundary}\r\n"
        f"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n{lines}\r\n--{boundary}--\r\n"
    ).encode()


@given(WORDS, st.binary(max_size=400), st.integers(4, 200), st.sampled_from(["x", "=_y", "b b"]))
def test_content_hash_sees_content_alone(text: str, content: bytes, width: int, boundary: str) -> None:
    plain = a_mail(text, content)
    variants = [
        a_mail(text, content, width),
        a_mail(text, content, boundary=boundary),
        a_mail(text, content, head="Received: by gateway\r\nSubject: [SPAM?] x\r\n"),
        a_mail(text, content, text_as="base64"),
        a_mail(text.replace(" ", "\r\n"), content),
        plain.replace(b"\r\n", b"\n"),
        plain,
    ]
    assert {parse(one).content_hash for one in variants} == {parse(plain).content_hash}
    assert [a.size for a in parse(variants[0]).attachments] == [len(content)]


@given(WORDS, WORDS, st.binary(max_size=40), st.binary(max_size=40))
def test_other_content_other_hash(text: str, other: str, content: bytes, others: bytes) -> None:
    same_text = "".join(text.split()) == "".join(other.split())
    same = parse(a_mail(text, content)).content_hash == parse(a_mail(other, others)).content_hash
    assert same == (same_text and content == others)


@given(st.binary(max_size=3_000), st.sampled_from([1, 3, 4, 76, 998]))
def test_base64_is_measured_exactly_however_wrapped(content: bytes, width: int) -> None:
    encoded = base64.b64encode(content)
    wrapped = b"\r\n".join(encoded[n : n + width] for n in range(0, len(encoded), width))
    assert with_body("application/pdf", wrapped, "base64").attachments[0].size == len(content)


@pytest.mark.parametrize("name", ["attachments", "bounce", "forwarded", "digest", "html_only"])
def test_line_ends_do_not_change_the_content(name: str) -> None:
    raw = (MAILS / f"{name}.eml").read_bytes()
    assert b"\r\n" in raw
    assert parse(raw).content_hash == parse(raw.replace(b"\r\n", b"\n")).content_hash


def test_large_base64_is_measured_exactly_across_pieces() -> None:
    content = bytes(range(251)) * 13_001
    one, other = (with_body("image/png", wrap(base64.b64encode(content)), "base64") for wrap in (bytes, _in_lines))
    assert (one.attachments[0].size, other.attachments[0].size) == (len(content), len(content))
    assert one.content_hash == other.content_hash


def _in_lines(encoded: bytes) -> bytes:
    return b"\r\n".join(encoded[n : n + 76] for n in range(0, len(encoded), 76))
