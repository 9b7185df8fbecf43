"""parse(): what each kind of mail says, and what holds for any bytes at all."""

from __future__ import annotations

import base64
import re
import string
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pqr_mailbot.adapters.html_text import html_text
from pqr_mailbot.adapters.mime_header import MAX_ADDRESSES, received_at
from pqr_mailbot.adapters.mime_parser import MAX_TEXT, open_attachments, parse, safe_file_name
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
    ("apple_mixed", "Mire:\n\ny esto."),
    ("outlook_related", "Buenos días, \n[cid:image001.png@01DB]"),
    ("pgp_signed", "El café llegó mojado."),
    ("smime_opaque", "hola año"),
    ("smime_encrypted", ""),
    ("calendar_reply", "Ana ha aceptado."),
    ("uuencoded", "Adjunto el texto.\n\n\n\nGracias."),
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


B64_SUBJECT = base64.b64encode("Petición del año".encode()).decode()
SUBJECTS = [  # RFC 2047, and what is made of it
    ("=?utf-8?Q?=C2=BFQu=C3=A9_pas=C3=B3??=", "¿Qué pasó?"),
    ("=?utf-8?Q?Hola a todos?=", "Hola a todos"),
    ("=?utf-8?Q?a?= =?utf-8?Q?b?= c", "ab c"),
    ("=?utf-8?Q?a?==?utf-8?Q?b?=", "ab"),
    ("=?utf-8?Q?a?=\r\n\t=?utf-8?Q?b?=", "ab"),
    ("Re: =?utf-8?q?caf=c3=a9?=, x", "Re: café, x"),
    (f"=?utf-8?B?{B64_SUBJECT[:9]}?= =?utf-8?B?{B64_SUBJECT[9:]}?=", "Petición del año"),
    (f"=?utf-8?B?{B64_SUBJECT[:9]} {B64_SUBJECT[9:]}?=", "Petición del año"),
    ("=?utf-8?B?SG9s?=abc=?utf-8?B?YQ==?=", "Holabca"),
    ("=?utf-8?B?SG8=bGE=?=", "Hola"),
    ("=?utf-8?B?UGV0aWNpw7M?=", "Petició"),
    ("=?utf-8?Q?Petici=C3=B3n_del_a=C3=B1o", "Petición del año"),
    ("=?utf-8?Q?Petici=C3=B3n=?utf-8?Q?_x?=", "Petición x"),
    ("=?UTF-8?B?SG9sYQ==", "Hola"),
    ("=?UTF-8?B?SG9sYQ==?", "Hola"),
    ('"=?iso-8859-1?Q?Petici=F3n?="', '"Petición"'),
    ('=?iso-8859-1?Q?la "Petici=F3n" <x>?=', 'la "Petición" <x>'),
    ("=?x-unknown?Q?Petici=F3n?=", "Petición"),
    ("=?utf-8?Q?Petici=F3n?=", "Petición"),
    ("=?us-ascii?Q?Petici=C3=B3n?=", "Petición"),
    ("=?iso-8859-1*es?Q?Petici=F3n?=", "Petición"),
    ("=?windows-1252?Q?5_=80?= =?utf-8?Q?_=E2=82=AC?=", "5 € €"),
    ("=?koi8-r?B?9sHMz8LB?=", "Жалоба"),
    ("=?gb2312?B?v6e3yA==?=", "咖啡"),
    ("=?big5?B?qUCw2A==?=", "咖啡"),
    ("=?shift_jis?Q?=83R=81[=83q=81[?=", "コーヒー"),
    ("=?iso-2022-jp?B?GyRCNmw+cBsoQg==?=\r\n =?iso-2022-jp?B?GyRCNmw+cBsoQg==?=", "苦情苦情"),
    ("=?utf-7?Q?Petici+APM-n?=", "Petición"),
    ("=?iso-8859-8-i?Q?=F9=EC=E5=ED?=", "שלום"),
    ("=?utf-8?X?abc?=", "=?utf-8?X?abc?="),
    ("=??Q?abc?=", "=??Q?abc?="),
    ("a =?utf-8?Q??= b", "a b"),
    ("=?utf-8?Q?100%?= =?utf-8?Q?_m=C3=?= =?utf-8?Q?=A1s?=", "100% más"),
    ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a Bcc: x"),
    ("uno\r\n\tdos\r\n  tres", "uno dos tres"),
    ("a\0b", "a b"),
    ("", ""),
    ("Petición 🙂", "Petición 🙂"),
]


@pytest.mark.parametrize(("value", "subject"), SUBJECTS)
def test_every_shape_of_subject(value: str, subject: str) -> None:
    assert with_header(f"Subject: {value}").subject == subject


@pytest.mark.parametrize(
    ("text", "charset", "declared"),
    [
        ("Petición", "cp1252", "utf-8"),
        ("Жалоба", "koi8-r", "koi8-r"),
        ("Łódź", "iso-8859-2", "iso-8859-2"),
        ("咖啡投诉", "gb18030", "gb2312"),
        ("苦情", "iso2022_jp", "us-ascii"),
        ("Petición", "utf-8", "utf-7"),
        ("Petición", "utf-8", "utf-16"),
    ],
)
def test_raw_8_bit_subjects(text: str, charset: str, declared: str) -> None:
    header = b"Subject: " + text.encode(charset) + b"\r\nContent-Type: text/plain; charset=" + declared.encode()
    assert with_header(header).subject == text


SHAPES = [  # (raw, subject, text)
    (b"From ana@x Mon Jun  1\nSubject: s\n\nx", "s", "x"),
    (b">From ana@x Mon Jun  1\nSubject: s\n\nx", "s", "x"),
    (b"\r\n\r\nSubject: s\r\n\r\nx", "s", "x"),
    (b"\xef\xbb\xbfSubject: s\r\n\r\nx", "s", "x"),
    ("\ufeffSubject: ñ\r\n\r\nÑandú".encode("utf-16-le"), "ñ", "Ñandú"),
    (b"Subject: s\rFrom: a@x.co\r\rx\ry", "s", "x\ny"),
    (b"Subject: s\r\r\nFrom: a@x.co\r\r\n\r\r\nx\r\r\ny\r\r\n", "s", "x\ny"),
    (b"Subject: s\n\nx\ny", "s", "x\ny"),
    (b"Subject: s\nsin dos puntos\nTo: a@x.co\n\nx", "s", "x"),
    (b"+OK 123 octets\nSubject: s\n\nx", "s", "x"),
    (b"Asunt\xf3: x\nSubject: s\n\nx", "s", "x"),
    (b"Subject: s\nHola\nadios", "s", "Hola\nadios"),
    (b"Hola a todos\nadios", "", "Hola a todos\nadios"),
    (b"Nota: hola\nadios\n\nx", "", "Nota: hola\nadios\n\nx"),
    (b"From here on: nothing\nwas: well\n", "", "From here on: nothing\nwas: well"),
    (b"\nHola: a\n", "", "Hola: a"),
    (b"Subject : s\n\nx", "s", "x"),
    (b"Subject:\n\ts\n\tt\n\nx", "s t", "x"),
    (b"Subject: s\0\nX-\0a: b\nTo: a@x.co\n\nx", "s", "x"),
    (b"Subject: s", "s", ""),
    (b"Subject: s\n\n--x\nContent-Type: text/plain\n\nhola\n--x--", "s", "hola"),
    (b"Subject: s\n\nhola\n--x\nContent-Type: text/plain\n", "s", "hola\n--x\nContent-Type: text/plain"),
]


@pytest.mark.parametrize(("raw", "subject", "text"), SHAPES)
def test_every_shape_of_mail(raw: bytes, subject: str, text: str) -> None:
    found = parse(raw)
    assert (found.subject, found.text) == (subject, text)


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


FILES = [
    ("apple_mixed", [("factura a\u0301rbol.pdf", 9)]),
    ("outlook_related", [("image001.png", 3)]),
    ("pgp_signed", [("signature.asc", 62)]),
    ("smime_opaque", [("smime.p7m", 1445), ("a.png", 3)]),
    ("smime_encrypted", [("smime.p7m", 538)]),
    ("calendar_reply", [("adjunto-1.ics", 44)]),
    ("uuencoded", [("nota.txt", 4)]),
]


@pytest.mark.parametrize(("name", "files"), FILES)
def test_files_of_many_clients(name: str, files: list[tuple[str, int]]) -> None:
    assert [(a.filename, a.size) for a in mail(name).attachments] == files


NAMES = [  # Content-Disposition of a part whose Content-Type says name="otro.pdf"
    ('attachment; filename="a.pdf"', "a.pdf"),
    ("attachment; filename=mi factura.pdf", "mi factura.pdf"),
    ('attachment; filename="=?utf-8?B?YcOxby5wZGY=?="', "año.pdf"),
    ("attachment; filename==?utf-8?B?YcOxby5wZGY=?=", "año.pdf"),
    ('attachment; filename="=?utf-8?Q?fact=C3=?=\r\n =?utf-8?Q?=A1.pdf?="', "factá.pdf"),
    ("attachment; filename*=utf-8''a%C3%B1o.pdf", "año.pdf"),
    ("attachment; filename=ano.pdf; filename*=utf-8''a%C3%B1o.pdf", "año.pdf"),
    ("attachment; filename*=x-nada''a%C3%B1o.pdf", "año.pdf"),
    ("attachment; filename*=iso-8859-1'es'a%F1o.pdf", "año.pdf"),
    ("attachment; filename*=a%C3%B1o.pdf", "año.pdf"),
    ("attachment; filename*1=o.pdf; filename*0*=utf-8''a%C3%B1", "año.pdf"),
    ("attachment; filename*0*=utf-8''a%C3; filename*1*=%B1o.pdf", "año.pdf"),
    ('attachment; filename*0="mi "; filename*1="carta.pdf"', "mi carta.pdf"),
    ('attachment; filename="C:\\temp\\carta.pdf"', "carta.pdf"),
    ('attachment; filename="a\\"b.pdf"', 'a"b.pdf'),
    ('attachment; filename="a;b.pdf"', "a;b.pdf"),
    ("ATTACHMENT; FILENAME=A.PDF", "A.PDF"),
    ('attachment; filename=""', "otro.pdf"),
    ("attachment", "otro.pdf"),
    ("attachment filename=a.pdf", "a.pdf"),
    ("filename=a.pdf", "a.pdf"),
    ('attachment; filename="a.pdf', "a.pdf"),
    ('attachment; filename = "a.pdf" ; size=3', "a.pdf"),
    ('attachment; filename="a\tb.pdf"', "a b.pdf"),
    ('attachment; filename="año.pdf"', "año.pdf"),
]


@pytest.mark.parametrize(("disposition", "name"), NAMES)
def test_file_names(disposition: str, name: str) -> None:
    header = f'Content-Type: application/pdf; name="otro.pdf"\r\nContent-Disposition: {disposition}'
    found = with_header(f"{header}\r\nContent-Transfer-Encoding: base64", b"JVBERi0xLjQK")
    assert found.attachments == (Attachment(name, "application/pdf", 9),)


@pytest.mark.parametrize(
    ("header", "text", "listed"),
    [
        ("Content-Type: text/plain\r\nContent-Disposition: inline; filename=nota.txt", "hola\n\nnota", ["nota.txt"]),
        ("Content-Type: text/plain; name=nota.txt", "hola\n\nnota", ["nota.txt"]),
        ("Content-Type: text/plain\r\nContent-Disposition: inline", "hola\n\nnota", []),
        ("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=nota.txt", "hola", ["nota.txt"]),
        ("Content-Type: text/plain; name=a.pdf", "hola", ["a.pdf"]),
        ("Content-Disposition: inline; filename=nota.txt", "hola", ["nota.txt"]),
        ("Content-Type: text/x-vcard; name=ana.vcf", "hola", ["ana.vcf"]),
        ("Content-Type: text/csv", "hola", ["adjunto-1.csv"]),
        ("Content-Type: text/markdown", "hola\n\nnota", []),
        ("Content-Type: message/rfc822", "hola", ["mensaje-adjunto-1.eml"]),
        ("Content-Type: message/global", "hola", ["adjunto-1.txt"]),
        ("Content-Type: message/partial; id=x; number=1", "hola", ["adjunto-1.txt"]),
        ("Content-Type: message/external-body; access-type=URL", "hola", ["adjunto-1.txt"]),
    ],
)
def test_what_is_read_and_what_is_listed(header: str, text: str, listed: list[str]) -> None:
    found = parse(multipart(b"\r\nhola", header.encode() + b"\r\n\r\nnota"))
    assert (found.text, [a.filename for a in found.attachments]) == (text, listed)


def test_the_only_text_of_a_mail_is_read_whatever_it_is_called() -> None:
    found = with_header("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt")
    assert (found.text, found.attachments) == ("Hola", (Attachment("a.txt", "text/plain", 6),))


# --- attachments opened ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(path.stem for path in MAILS.glob("*.eml")))
def test_opened_attachments_are_those_of_the_mail(name: str) -> None:
    raw = (MAILS / f"{name}.eml").read_bytes()
    opened = list(open_attachments(raw))
    assert tuple(one.attachment for one in opened) == parse(raw).attachments
    assert [one.attachment.size for one in opened] == [len(one.content) for one in opened]


CONTENTS = [
    ("apple_mixed", [b"%PDF-1.4\n"]),
    ("attachments", [None, b"%PDF-1.4\n", None, None, None, None]),
    ("outlook_related", [b"abc"]),
    ("smime_opaque", [None, b"abc"]),
    ("uuencoded", [b"Hola"]),
]


@pytest.mark.parametrize(("name", "contents"), CONTENTS)
def test_the_content_of_attachments(name: str, contents: list[bytes | None]) -> None:
    opened = list(open_attachments((MAILS / f"{name}.eml").read_bytes()))
    assert [one.content if want else None for one, want in zip(opened, contents, strict=True)] == contents


IN_THE_HTML = b'Content-Type: text/html\r\n\r\n<img src="cid:logo%40x"><img src=CID:b@x>'
PICTURES = [  # (header of a picture, does the mail say inline, is it shown)
    ("Content-ID: <logo@x>\r\nContent-Disposition: inline; filename=a.png", True, True),
    ("Content-ID: <logo@x>\r\nContent-Disposition: attachment", False, True),
    ("Content-ID: b@x", False, True),
    ("Content-ID: <c@x>\r\nContent-Disposition: inline", True, False),
    ("Content-Disposition: INLINE", True, False),
    ("Content-ID:", False, False),
]


@pytest.mark.parametrize(("header", "inline", "shown"), PICTURES)
def test_pictures_of_the_html_are_told_from_files(header: str, inline: bool, shown: bool) -> None:
    picture = f"Content-Type: image/png\r\n{header}\r\n\r\nx".encode()
    (opened,) = open_attachments(multipart(multipart(b"\r\nllano", IN_THE_HTML, kind="alternative"), picture))
    assert (opened.inline, opened.shown, opened.content) == (inline, shown, b"x")


@pytest.mark.parametrize(
    ("name", "types"),
    [
        ("bounce", ("multipart/report", "text/plain", "message/delivery-status", "text/rfc822-headers")),
        ("calendar_reply", ("multipart/alternative", "text/plain", "text/calendar", "text/calendar; method=reply")),
        ("pgp_signed", ("multipart/signed", "text/plain", "application/pgp-signature")),
        ("smime_opaque", ("application/pkcs7-mime", "multipart/mixed", "text/plain", "image/png")),
        ("forwarded", ("multipart/mixed", "text/plain", "message/rfc822")),
    ],
)
def test_the_types_of_all_parts(name: str, types: tuple[str, ...]) -> None:
    assert mail(name).part_types == types


def test_the_method_of_a_calendar_that_says_it_only_inside() -> None:
    found = with_body("text/calendar", b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\n")
    assert found.part_types == ("text/calendar", "text/calendar; method=request")


@pytest.mark.parametrize(("method", "talks"), [("REQUEST", False), ("CANCEL", False), ("REPLY", True)])
def test_an_invitation_attached_as_a_file_is_a_file(method: str, talks: bool) -> None:
    found = with_body(
        "text/calendar", f"METHOD:{method}\r\n".encode(), "8bit\r\nContent-Disposition: attachment; filename=cita.ics"
    )
    assert (f"text/calendar; method={method.lower()}" in found.part_types) is talks


# --- winmail.dat -----------------------------------------------------------------------------------------------------


def record(level: int, number: int, data: bytes) -> bytes:
    return struct.pack("<BHHI", level, number, 6, len(data)) + data + b"\0\0"


def properties(*values: tuple[int, int, bytes]) -> bytes:
    out = struct.pack("<I", len(values))
    for kind, number, data in values:
        out += struct.pack("<HHII", kind, number, 1, len(data)) + data + b"\0" * (-len(data) % 4)
    return out


def winmail(*records: bytes) -> bytes:
    return b"\x78\x9f\x3e\x22\x01\0" + b"".join(records)


A_FILE = (record(2, 0x9002, b"\0" * 14), record(2, 0x8010, b"FACTUR~1.PDF\0"), record(2, 0x800F, b"%PDF-1.4"))
LONG_NAME = record(2, 0x9005, properties((0x1F, 0x3707, "factura año.pdf\0".encode("utf-16-le"))))
ITS_TEXT = record(1, 0x9003, properties((0x1E, 0x1000, "Adjunto el año\0".encode("cp1252"))))
NAMED_PROPERTY = struct.pack("<IHH", 1, 0x1E, 0x8001) + b"\0" * 16 + struct.pack("<III", 0, 9, 0xFFFFFFFF)
WINMAILS = [  # (what is in it, text, files)
    (winmail(*A_FILE), "", [("FACTUR~1.PDF", 8)]),
    (winmail(ITS_TEXT, *A_FILE, LONG_NAME), "Adjunto el año", [("factura año.pdf", 8)]),
    (winmail(*A_FILE, *A_FILE)[:-4], "", [("FACTUR~1.PDF", 8), ("FACTUR~1.PDF", 6)]),
    (winmail(record(1, 0x800C, b"Hola\0")), "Hola", []),
    (winmail(record(1, 0x9003, struct.pack("<I", 0xFFFFFFFF))), "", []),
    (winmail(record(1, 0x9003, struct.pack("<IHHI", 0xFFFFFFFF, 0x1E, 0x1000, 0xFFFFFFFF))), "", []),
    (winmail(record(1, 0x9003, NAMED_PROPERTY)), "", []),
    (winmail(struct.pack("<BHHI", 1, 0x800C, 6, 0xFFFFFFFF) + b"Hola\0\0"), "Hola", []),
    (b"nada de eso", "", []),
]


@pytest.mark.parametrize(("content", "text", "files"), WINMAILS)
def test_winmail_dat_is_opened(content: bytes, text: str, files: list[tuple[str, int]]) -> None:
    part = b"Content-Type: application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    found = parse(multipart(part + base64.b64encode(content)))
    listed = [(a.filename, a.size) for a in found.attachments]
    assert (found.text, listed) == (text, [("winmail.dat", len(content)), *files])
    check_invariants(found)


def test_files_in_winmail_dat_have_their_content() -> None:
    shown = record(2, 0x9005, properties((0x1E, 0x3712, b"logo@x\0"), (0x0D, 0x3701, b"\0" * 16 + b"GIF")))
    html = record(1, 0x9003, properties((0x102, 0x1013, b"<img src=cid:logo@x>")))
    content = winmail(html, *A_FILE, A_FILE[0], shown)
    opened = list(open_attachments(b"Content-Type: application/ms-tnef; name=winmail.dat\r\n\r\n" + content))
    assert [(one.content, one.shown) for one in opened] == [(content, False), (b"%PDF-1.4", False), (b"GIF", True)]


def test_a_text_beside_winmail_dat_is_the_text() -> None:
    part = b"Content-Type: application/octet-stream; name=WINMAIL.DAT\r\n\r\n" + winmail(ITS_TEXT)
    assert parse(multipart(b"\r\nhola", part)).text == "hola"


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
    ("Pérez, Ana <a@x.co>", "a@x.co", "Pérez, Ana"),
    ("=?utf-8?q?P=C3=A9rez, Ana?= <a@x.co>", "a@x.co", "Pérez, Ana"),
    ("=?utf-8?q?P=C3=A9rez <a@x.co>", "a@x.co", "Pérez"),
    ("=?utf-8?q?Ana?=<a@x.co>", "a@x.co", "Ana"),
    ('=?iso-8859-1?Q?"P=E9rez"?= <a@x.co>', "a@x.co", "Pérez"),
    ("=?utf-8?Q?Ana_?==?utf-8?Q?P=C3=A9?= <a@x.co>", "a@x.co", "Ana Pé"),
    ("Ana @ Casa <a@x.co>", "a@x.co", "Ana @ Casa"),
    ("<@a.b,@c.d:ana@x.co>", "ana@x.co", ""),
    ("ana @ x.co", "ana@x.co", ""),
    ("Ana <ana @x.co>", "ana@x.co", "Ana"),
    ('Ana "la jefa" P <a@x.co>', "a@x.co", "Ana la jefa P"),
    ("Ana. B. P <a@x.co>,", "a@x.co", "Ana. B. P"),
    ("Ana <mailto:a@x.co>;", "a@x.co", "Ana"),
    ("ana@x.co>", "ana@x.co", ""),
    ("Ana O'Brien <o'brien@x.co>", "o'brien@x.co", "Ana O'Brien"),
    ("a@x.co b@y.co", None, ""),
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
    spaced = with_header("To: a@x.co b@y.co\r\nCc: Pérez, Ana <a@x.co>, Grupo: b@y.co, L <l@y.co>;, undisclosed:;")
    assert [one.address for one in spaced.to] == ["a@x.co", "b@y.co"]
    assert spaced.cc == (Address("a@x.co", "Pérez, Ana"), Address("b@y.co"), Address("l@y.co", "L"))
    many = ", ".join(f"Ana {n} <a{n}@x.co>" for n in range(1_000))
    found = with_header(f"To: {many}\r\nCc: B <b@x.co>, roto, c@x.co\r\nReply-To: R <r@x.co>")
    assert found.to[0] == Address("a0@x.co", "Ana 0")
    assert len(found.to) == MAX_ADDRESSES
    assert [one.address for one in found.cc] == ["b@x.co", "c@x.co"]
    assert found.reply_to == (Address("r@x.co", "R"),)


def test_of_ten_thousand_people_none_is_cut_in_half() -> None:
    everybody = [f"persona{n:05}@x.co" for n in range(10_000)]
    assert [one.address for one in with_header(f"To: {', '.join(everybody)}").to] == everybody[:MAX_ADDRESSES]
    long = [f"{'ñ' * 40}{n:05}@x.co" for n in range(10_000)]
    assert {one.address for one in with_header(f"To: {', '.join(long)}").to} < set(long)


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("juan perez@gmail.test", None),  # an answer to perez@ would reach a stranger
        ("Ana María ana@x.co", None),
        ("Ruiz, Ana ana@x.co", None),
        ("juan,perez@x.co", None),
        ("juan perez@x.co, otro@x.co", None),  # nor does the next one stand in for it
        ("juan\tperez@x.co", None),
        ("juan\u00a0perez@x.co", None),
        ("juan perez@x.co (Juan)", None),
        ("juan perez @x.co", None),
        ("ana@x.co, otro@x.co", "ana@x.co"),
        ("Ana <ana@x.co>", "ana@x.co"),
        ("ana@x.co (Ana Ruiz)", "ana@x.co"),
        ('"Ana Ruiz" ana@x.co', "ana@x.co"),
        ("=?utf-8?q?Ana_Ruiz?= ana@x.co", "ana@x.co"),
        ("  ana@x.co  ", "ana@x.co"),
    ],
)
def test_an_address_is_never_cut_out_of_words_that_may_belong_to_it(value: str, address: str | None) -> None:
    sender = parse(f"From: {value}\r\nSubject: x\r\n\r\nhola".encode()).sender
    assert (sender.address if sender else None) == address


def test_an_endless_name_lends_nothing_to_the_address() -> None:
    found = with_header(f"From: {'ana@y.co ' * 500}<ana@x.co>").sender
    assert found is not None
    assert (found.address, len(found.name)) == ("ana@x.co", 200)
    assert with_header(f"From: {'a' * 50_000}@x.co").sender is None
    assert [one.address for one in with_header(f"To: {'a' * 5_000}@x.co, b@x.co").to] == ["b@x.co"]


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
    ("Mon, 1 Jun 26 10:42:00 EST", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("1 Jun 2026 10:42 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("1 Jun 99 10:42:00 +0000", datetime(1999, 6, 1, 10, 42, tzinfo=UTC)),
    ("Mon, 1 Jun 2026 10:42:00 GMT-5", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("Mon, 1 Jun 2026 10.42.00 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("Mon, 1-Jun-2026 10:42:00 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("Mon Jun  1 10:42:00 2026", datetime(2026, 6, 1, 10, 42, tzinfo=UTC)),
    ("2026-06-01T10:42:00-05:00", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("2026-06-01 10:42:00 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("lun., 1 de junio de 2026 10:42:00 -0500", datetime(2026, 6, 1, 15, 42, tzinfo=UTC)),
    ("mar, 3 de marzo de 2026 10:42:00 -0500", datetime(2026, 3, 3, 15, 42, tzinfo=UTC)),
    ("2026-13-01T10:42:00-05:00", None),
    ("Mon, 1 Jun 2026 25:42:00 -0500", None),
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
    ("TEXT/PLAIN; charset=utf-8", "BASE64", "aG9s\r\nYQ==\r\n-- \r\npie de lista", "hola\n-- \npie de lista"),
    ("text/plain", "base64", "Buenos días: sin codificar.\nNada.", "Buenos días: sin codificar.\nNada."),
    ("text/plain", "base64", "SG9sYQ==\r\nIG11bmRv\r\n", "Hola mundo"),
    ("text/plain", "base64", "SG9s!!YQ==", "Hola"),
    ("text/plain", '"base64" ', "SG9sYQ==", "Hola"),
    ("text/plain", "base64 (c)", "SG9sYQ==", "Hola"),
    ("text/plain", "quoted printable", "a=C3=B1o", "año"),
    ("text/plain", "quoted-printable", "a=c3=b1o= \t\r\n!", "año!"),
    ("text/plain", "quoted-printable", "uno=\rdos", "unodos"),
    ("text/plain", "quoted-printable", "100% = todo =", "100% = todo "),
    ("text/plain", "x-uuencode", "begin 644 x\n$2&]L80``\n`\nend\n", "Hola"),
    ("text/plain", "x-raro", "Hola", "Hola"),
    ("text/plain", "8bit", "begin 644 es lo que dice\ny nada más", "begin 644 es lo que dice\ny nada más"),
    ("text/plain", "8bit", "begin 644 x\nHELLO\nend", "begin 644 x\nHELLO\nend"),
    ("text/plain; charset=utf-8 format=flowed", "8bit", "ñ", "ñ"),
    ("text/plain; charset='iso-8859-1'", "8bit", "ñ", "ñ"),
    ('text/plain;; charset = "utf-8" ;', "8bit", "ñ", "ñ"),
    ('text/plain; charset="utf-8', "8bit", "ñ", "ñ"),
    ("text/plain (c); charset=utf-8", "8bit", "ñ", "ñ"),
    ("html", "8bit", "<p>a", "a"),
    ('"text/html"', "8bit", "<p>a", "a"),
    ("a/b/c", "8bit", "hola", "hola"),
    ("text/enriched", "8bit", "<bold>Hola</bold>\nmundo\n\n<<a> <param>x</param>fin", "Hola mundo\n<a> fin"),
    ("text/richtext", "8bit", "<bold>Hola</bold><nl>mundo", "Hola\nmundo"),
    (
        "text/plain; format=flowed",
        "8bit",
        "uno \ndos\n> cita \n> sigue\n>> más\n  sangría\n-- \nAna",
        "uno dos\n> cita sigue\n>> más\n sangría\n-- \nAna",
    ),
    ("text/plain; format=flowed; delsp=yes", "8bit", "ca \nfé\n", "café"),
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


PARTS = [  # (multipart/…, body, text)
    ("mixed", "\n--x\nContent-Type: text/plain\n\nhola\n--x--", "hola"),
    ("mixed; boundary=otra", "--x\nContent-Type: text/plain\n\nhola\n--x--", "hola"),
    ("mixed; boundary='x'", "--x\nContent-Type: text/plain\n\nhola\n--x--", "hola"),
    ('mixed; boundary="x"', "--x  \nContent-Type: text/plain\n\nhola\n--x-- \n", "hola"),
    ('mixed; boundary*0="a"; boundary*1="b"', "--ab\n\nhola\n--ab--", "hola"),
    ("mixed; boundary=x", "--x\nsin línea en blanco\n--x--", "sin línea en blanco"),
    ("mixed; boundary=x", "--x\nNota: hola\n\nfin\n--x--", "Nota: hola\n\nfin"),
    ("mixed; boundary=x", "--x\n\nuno\n--x--\n\n--x\n\ndos\n--x--", "uno\n\ndos"),
    ("mixed; boundary=x", "preámbulo\n--x\n\nuno\n--x--\nepílogo", "uno"),
    ("mixed; boundary=x", "olvidado\n--x\nContent-Type: image/png\n\nx\n--x--\ny más", "olvidado\n\ny más"),
    ("mixed; boundary=x", "This is MIME.\n--x\nContent-Type: image/png\n\nx\n--x--\n", ""),
    ("mixed; boundary=x", "--x\n\n\n--x--", ""),
    ("mixed; boundary=x", "--x--", ""),
    (
        "mixed; boundary=x",
        "--x\nContent-Type: multipart/mixed; boundary=x\n\n--x\n\nuno\n--x\n\ndos\n--x--",
        "uno\n\ndos",
    ),
    ("form-data; boundary=x", '--x\nContent-Disposition: form-data; name="queja"\n\nhola\n--x--', "hola"),
    ("parallel; boundary=x", "--x\n\nuno\n--x\n\ndos\n--x--", "uno\n\ndos"),
    (
        "mixed; boundary=x",
        "--x\n\nuno\n--x\nContent-Type: image/png\n\n..\n--x\n\ndos\n--x\nContent-Type: text/html\n\n<p>tres\n--x--",
        "uno\n\ndos\n\ntres",
    ),
]


@pytest.mark.parametrize(("kind", "body", "text"), PARTS)
def test_every_shape_of_multipart(kind: str, body: str, text: str) -> None:
    assert with_body(f"multipart/{kind}", body.encode()).text == text
    assert with_body(f"multipart/{kind}", body.encode().replace(b"\n", b"\r\n")).text == text


def test_a_multipart_encoded_as_a_whole() -> None:
    assert with_body("multipart/mixed; boundary=x", base64.b64encode(b"--x\n\nhola\n--x--"), "base64").text == "hola"


PLAIN, RICH = b"\r\nllano", b"Content-Type: text/html\r\n\r\n<p>rico"
FOOTED = multipart(RICH, b"\r\npie", boundary=b"f")
ALTERNATIVES: list[tuple[list[bytes], str]] = [
    ([PLAIN, RICH], "llano"),
    ([RICH, PLAIN], "llano"),
    ([b"\r\n", RICH], "rico"),
    ([b"\r\nYour email client does not support HTML messages.", RICH], "rico"),
    ([b"\r\nSu cliente de correo no puede mostrar HTML", RICH], "rico"),
    ([b"\r\nVer este correo en el navegador: https://x.co/v", RICH], "rico"),
    ([b"\r\nhttps://x.co/v?id=1", RICH], "rico"),
    ([b"\r\nhttps://x.co/v?id=1", b"Content-Type: text/html\r\n\r\n"], "https://x.co/v?id=1"),
    ([PLAIN, FOOTED], "llano"),
    ([FOOTED], "rico\n\npie"),
    ([PLAIN, PLAIN, b"\r\npie"], "llano\n\npie"),
    ([b"Content-Type: text/enriched\r\n\r\n<bold>llano</bold>", PLAIN], "llano"),
    ([PLAIN, b"Content-Type: text/x-amp-html\r\n\r\n<p>x", RICH], "llano"),
    ([b"Content-Type: text/plain; name=cuerpo.txt\r\n\r\nllano", RICH], "llano"),
]


@pytest.mark.parametrize(("parts", "text"), ALTERNATIVES)
def test_alternatives(parts: list[bytes], text: str) -> None:
    found = parse(multipart(*parts, kind="alternative"))
    assert (found.text, found.attachments) == (text, ())


CHARSETS = [  # (text, what its bytes are, what it is said to be)
    ("Hola ñ", "utf-16", "utf-16"),
    ("Hola ñ", "utf-16-be", "utf-16"),
    ("Hola ñ", "utf-16-le", "utf-16"),
    ("Hola!ñ", "utf-8", "utf-16"),
    ("Hola ñ", "utf-16", ""),
    ("Hola ñ", "utf-8-sig", ""),
    ("Hola ñ", "utf-32", "utf-32"),
    ("año", "mac_roman", "macintosh"),
    ("año", "mac_roman", "x-mac-roman"),
    ("año", "utf-7", "unicode-1-1-utf-7"),
    ("año", "cp1252", "ansi_x3.4-1968"),
    ("año", "cp1252", "unknown-8bit"),
    ("“5 €”", "cp1252", "iso-8859-1"),
    ("5 € año", "iso-8859-15", "iso8859-15"),
    ("Łódź", "iso-8859-2", '"iso 8859-2"'),
    ("Жалоба", "cp1251", "windows-1251"),
    ("Жалоба", "cp1251", "cp-1251"),
    ("Жалоба", "koi8-r", "KOI8-R"),
    ("שלום", "iso-8859-8", "iso-8859-8-i"),
    ("커피", "cp949", "ks_c_5601-1987"),
    ("커피", "cp949", "euc-kr"),
    ("咖啡", "gb18030", "gb18030"),
    ("咖啡", "gbk", "gb2312"),
    ("咖啡", "hz", "hz-gb-2312"),
    ("咖啡", "big5", "big5"),
    ("苦情", "euc_jp", "euc-jp"),
    ("①コーヒー", "cp932", "shift_jis"),
    ("苦情", "iso2022_jp", "iso-2022-jp"),
    ("苦情", "iso2022_jp", ""),
    ("mañana café", "utf-8", "gb2312"),
    ("络络妈", "gb2312", "gb2312"),
    ("аёё", "cp1251", "cp1251"),
    ("Жалоба", "utf-8", "cp1251"),
    ("5 €", "utf-8", "koi8-r"),
    ("mañana 🙂", "utf-8", "koi8-r"),
    ("ñ", "utf-8", "utf8mb4"),
    ("ñ", "utf-8", "utf_8"),
]


@pytest.mark.parametrize(("text", "charset", "declared"), CHARSETS)
def test_charsets(text: str, charset: str, declared: str) -> None:
    kind = f"text/plain; charset={declared}" if declared else "text/plain"
    assert with_body(kind, base64.b64encode(text.encode(charset)), "base64").text == text


def test_text_with_damage_keeps_the_rest() -> None:
    mixed = "El café y la petición ".encode() * 3 + b"llegaron este a\xf1o"
    assert with_body("text/plain; charset=utf-8", mixed).text == "El café y la petición " * 3 + "llegaron este año"
    assert with_body("text/plain; charset=gb2312", "咖啡".encode("gbk") * 20 + b"\xff").text == "咖啡" * 20 + "\ufffd"


def test_html_says_its_charset_itself() -> None:
    html = b'<meta http-equiv="Content-Type" content="text/html; charset=koi8-r"><p>' + "Жалоба".encode("koi8-r")
    assert with_body("text/html", html).text == "Жалоба"


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
    ("<td style='font-size:0px;padding:0'><div style='font-size:13px'>a</div></td>", "a"),
    ("<a style='mso-hide:all'>a</a>", "a"),
    ("<div title='a hidden one' aria-hidden=true>a</div>", "a"),
    ("<div title='display:none'>a</div>", "a"),
    ("<div style=display:none>x</div>a", "a"),
    ("a<!-->b<!--->c<!-- x --!>d<!-- <!-- -->e", "abcde"),
    ("a<!-- x <p>b", "ab"),
    ("<style>x</head><body>a", "a"),
    ("<title>x<body>a", "a"),
    ("<script>if (a<b) x</script>a<style>x</style >b", "ab"),
    ("<html><body>a</body></html>b", "a\nb"),
    ("<select><option>a<option>b</select>c", "a\nbc"),
    ("a&shy;b&#8203;c", "abc"),
    ("", ""),
    ("\x00\ud800", ""),
    ("<p", ""),
]


@pytest.mark.parametrize(("html", "text"), HTML)
def test_html_text(html: str, text: str) -> None:
    assert html_text(html) == text


@settings(deadline=None)
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
    "unclosed words in 1,000 headers": lambda: (b"X-A: " + b"=?u?q?x" * 2_000 + b"?=\n") * 300 + b"\nhola",
    "words in brackets": lambda: b"To: " + b"=?u?q?<" * 50_000 + b"?=\n\n",
    "names with commas": lambda: b"To: " + b"Perez, " * 50_000 + b"\n\n",
    "blanks at the end of lines": lambda: HEAD + b"Content-Transfer-Encoding: quoted-printable\n\n=" + b" " * 2_000_000,
    "base64 that ends 100,000 times": lambda: HEAD + b"Content-Transfer-Encoding: base64\n\n" + b"YQ==\n" * 100_000,
    "uuencoded files without end": lambda: HEAD + b"\n" + b"begin 644 a\n#86)C\n" * 100_000,
    "1,000,000 parameters": lambda: HEAD + b"Content-Type: text/plain" + b";a*1*=%41" * 1_000_000 + b"\n\nx",
    "boundary that never comes": lambda: (
        HEAD + b"Content-Type: multipart/mixed; boundary=q\n\n" + b"--x\nContent-Type: a/b\n\n" * 100_000
    ),
    "a last boundary again and again": lambda: (
        HEAD + b"Content-Type: multipart/mixed; boundary=q\n\n" + b"--q--\n--q\n\nx\n" * 100_000
    ),
    "flowed without end": lambda: HEAD + b"Content-Type: text/plain; format=flowed\n\n" + b"a \n" * 600_000,
    "winmail.dat of records": lambda: (
        HEAD + b"Content-Type: application/ms-tnef\n\n" + winmail(record(2, 0x9002, b"") * 100_000)
    ),
    "winmail.dat of properties": lambda: (
        HEAD
        + b"Content-Type: application/ms-tnef\n\n"
        + winmail(record(1, 0x9003, b"\xff" * 4 + struct.pack("<HHI", 0x1E, 0x1000, 0xFFFFFFFF) + b"\0" * 1_000_000))
    ),
    "base64 of 30 MB": lambda: (
        HEAD
        + b"Content-Type: image/jpeg\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + b"QUJD" * 19
        + b"\r\nQUJD" * 5_000_000
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name: str) -> None:
    raw = HOSTILE[name]()
    found = parse(raw)
    check_invariants(found)
    assert not any(defect.startswith("unreadable") for defect in found.defects)
    for opened, listed in zip(open_attachments(raw), found.attachments, strict=True):
        assert (opened.attachment, len(opened.content)) == (listed, listed.size)


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=300, deadline=None)
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


@settings(max_examples=200, deadline=None)
@given(TREES)
def test_any_tree_of_parts_is_survived(tree: bytes) -> None:
    found = parse(HEAD + tree)
    check_invariants(found)
    assert tuple(one.attachment for one in open_attachments(HEAD + tree)) == found.attachments
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


@settings(deadline=None)
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


@settings(deadline=None)
@given(WORDS, WORDS, st.binary(max_size=40), st.binary(max_size=40))
def test_other_content_other_hash(text: str, other: str, content: bytes, others: bytes) -> None:
    same_text = "".join(text.split()) == "".join(other.split())
    same = parse(a_mail(text, content)).content_hash == parse(a_mail(other, others)).content_hash
    assert same == (same_text and content == others)


@settings(deadline=None)
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
