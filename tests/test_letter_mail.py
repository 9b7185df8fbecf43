"""Files go along with a letter as files and nothing else, and a letter can go again without them."""

from __future__ import annotations

from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_letters import ACK, ENVELOPE, LETTERS, NOTE, SAMPLE_FACTS, composed, head, headed, reread

from pqr_mailbot.adapters import mime_parser
from pqr_mailbot.adapters.letters import Enclosure, Rendered, without_enclosures

PDF_BYTES = b"%PDF-1.7\r\n" + bytes(range(256)) * 40
PDF = Enclosure("factura 4711.pdf", "application/pdf", lambda: [PDF_BYTES])
ENVELOPE_TOKEN, OTHER_TOKEN = "abcdefghijklm.abcdefghijklmnop", "bbbbbbbbbbbbb.bbbbbbbbbbbbbbbb"
TOKENS = {"token": ENVELOPE_TOKEN, "message_id": f"<pqr.{ENVELOPE_TOKEN}@lohas.test>"}


def files(raw: bytes) -> list[EmailMessage]:
    return [part for part in reread(raw).iter_attachments() if isinstance(part, EmailMessage)]


def test_files_stand_beside_the_two_bodies() -> None:
    raw = composed(attachments=(PDF, replace(PDF, filename="otra.pdf")))
    message, rendered = reread(raw), LETTERS.render(ACK, SAMPLE_FACTS[ACK])
    assert [part.get_content_type() for part in message.walk()] == [
        *("multipart/mixed", "multipart/alternative", "text/plain", "text/html", "application/pdf", "application/pdf")
    ]
    bodies = [message.get_body((kind,)) for kind in ("plain", "html")]
    said = [body.get_content().replace("\r\n", "\n") for body in bodies if isinstance(body, EmailMessage)]
    assert said == [rendered.text, rendered.html]
    assert [(file.get_filename(), file.get_content()) for file in files(raw)] == [
        ("factura 4711.pdf", PDF_BYTES),
        ("otra.pdf", PDF_BYTES),
    ]
    assert not any(part.defects for part in message.walk())
    assert sorted(message) == sorted(reread(composed()))
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("application/pdf", "application/pdf"),
        ("APPLICATION/PDF; name=x", "application/pdf"),
        ("image/jpeg", "image/jpeg"),
        ("audio/ogg", "audio/ogg"),
        ("video/mp4", "video/mp4"),
        ("text/plain", "text/plain"),
        ("text/csv; charset=latin-1", "text/csv"),
        ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", None),
        ("application/vnd.oasis.opendocument.text", None),
        ("message/rfc822", "application/octet-stream"),
        ("message/delivery-status", "application/octet-stream"),
        ("multipart/mixed; boundary=x", "application/octet-stream"),
        ("text/html", "application/octet-stream"),
        ("text/calendar", "application/octet-stream"),
        ("image/svg+xml", "application/octet-stream"),
        ("application/xhtml+xml", "application/octet-stream"),
        ("application/javascript", "application/octet-stream"),
        ("application/ms-tnef", "application/octet-stream"),
        ("application/pkcs7-mime", "application/octet-stream"),
        ("image/png\r\nBcc: e@x", "application/octet-stream"),
        ("image/png\nX: y", "application/octet-stream"),
        ("image", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("ímage/png", "application/octet-stream"),
    ],
)
def test_what_could_run_is_only_a_file(said: str, sent: str | None) -> None:
    (file,) = files(headed(attachments=(replace(PDF, content_type=said),)))
    assert (file.get_content_type(), file.get_content_disposition()) == (sent or said, "attachment")
    assert file["Content-Transfer-Encoding"] == "base64"


@pytest.mark.parametrize(
    ("content", "charset"), [("año".encode(), "utf-8"), ("año".encode("cp1252"), None), (b"", "utf-8")]
)
def test_a_text_is_said_to_be_utf_8_only_when_it_is(content: bytes, charset: str | None) -> None:
    (file,) = files(headed(attachments=(Enclosure("a.txt", "text/plain", lambda: [content]),)))
    assert file.get_content_charset() == charset
    assert file.get_payload(decode=True) == content


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("bolsa.jpg", "bolsa.jpg"),
        ("Reclamación nº 1.pdf", "Reclamación nº 1.pdf"),
        ("信.pdf", "信.pdf"),
        ("../../etc/passwd", "etc_passwd"),
        ("..\\..\\x.exe", "x.exe"),
        ("C:\\x\\a.pdf", "C_x_a.pdf"),
        ('a"b.pdf', "a_b.pdf"),
        ("a\r\nBcc: e@x.pdf", "a Bcc_ e@x.pdf"),
        ("a\u2028b\x00c\ud800d\u202efdp.exe", "a bcdfdp.exe"),
        ("=?utf-8?q?=0D=0A?=.pdf", "=_utf-8_q_=0D=0A_=.pdf"),
        ("100%41.pdf", "100%41.pdf"),
        (".htaccess", "htaccess"),
        ("", "adjunto"),
        (" . ", "adjunto"),
        ("x" * 300 + ".pdf", "x" * 116 + ".pdf"),
        ("ñ" * 300 + ".pdf", "ñ" * 116 + ".pdf"),
        ("x" * 300, "x" * 120),
        ("a." + "x" * 300, "a." + "x" * 118),
    ],
)
def test_names_of_files_are_only_names(said: str, sent: str) -> None:
    raw = headed(attachments=(replace(PDF, filename=said),))
    (file,) = files(raw)
    assert file.get_filename() == sent
    (read,) = mime_parser.parse(raw).attachments
    assert read.filename == sent
    assert max(map(len, raw.split(b"\r\n"))) <= 78


@settings(deadline=None)
@given(st.text(st.characters(), max_size=150), st.text(max_size=60), st.binary(max_size=300))
@example("\r\n\r\n--=_mix.abc.def--", "text/plain", b"\r\n--=_mix.abc.def--\r\n.\r\n")
def test_no_file_breaks_out_of_its_part(name: str, kind: str, content: bytes) -> None:
    raw = headed(attachments=(Enclosure(name, kind, lambda: [content]), PDF))
    assert raw.isascii() and b"\0" not in raw
    assert all(len(line) <= 78 and b"\r" not in line and b"\n" not in line for line in raw.split(b"\r\n"))
    first, second = files(raw)
    assert (first.get_payload(decode=True), second.get_content()) == (content, PDF_BYTES)
    assert first.get_filename() and sorted(reread(raw)) == sorted(reread(headed()))


@pytest.mark.parametrize("token", ["", "a", "mix.a", "=_alt", "x" * 200, 'a"b\r\nc'])
def test_no_boundary_is_the_beginning_of_another(token: str) -> None:
    message = reread(headed(token=token, attachments=(PDF,)))
    outer, inner = (part.get_boundary() or "" for part in list(message.walk())[:2])
    assert not outer.startswith(inner) and not inner.startswith(outer) and max(len(outer), len(inner)) <= 70


# -- again, without them -------------------------------------------------------------------------------------------


def refused(letter: str = NOTE, **changed: object) -> bytes:
    facts = {"token": f"pqr.{ENVELOPE_TOKEN}"} if letter == NOTE else {}
    two = (PDF, replace(PDF, filename="Reclamación <1>.jpg", content_type="image/jpeg"))
    return composed(letter, facts, **{**TOKENS, "attachments": two, **changed})


def test_a_letter_goes_again_without_its_files_and_names_them() -> None:
    raw = refused()
    again = without_enclosures(raw)
    assert again is not None
    before, message = reread(raw), reread(again)
    assert message.get_content_type() == "multipart/alternative"
    for name in before:
        assert name == "Content-Type" or message[name] == before[name]
    said = "No se adjuntaron por su tamaño: factura 4711.pdf, Reclamación _1_.jpg; están en el correo original."
    for kind, words in (("plain", said), ("html", f"<p>{said}</p>")):
        body, old = (one.get_body((kind,)) for one in (message, before))
        assert isinstance(body, EmailMessage) and isinstance(old, EmailMessage)
        assert body.get_content().count(words) == 1
        lines = body.get_content().splitlines()
        assert [line for line in lines if line and words not in line] == [
            li for li in old.get_content().splitlines() if li
        ]
        assert [n for n, line in enumerate(lines) if words in line] > [
            n for n, line in enumerate(lines) if "Escriba su respuesta por encima" in line
        ]
    assert again.isascii() and max(map(len, again.split(b"\r\n"))) <= 78


def test_it_can_be_another_letter() -> None:
    again = without_enclosures(refused(), f"<pqr.{OTHER_TOKEN}@lohas.test>", OTHER_TOKEN)
    assert again is not None
    message = reread(again)
    html = message.get_body(("html",))
    assert isinstance(html, EmailMessage)
    assert message["Message-ID"] == f"<pqr.{OTHER_TOKEN}@lohas.test>" and message["X-PQR-Letter"] == OTHER_TOKEN
    assert ENVELOPE_TOKEN not in again.decode() + html.get_content()
    assert f"pqr.{OTHER_TOKEN}" in html.get_content()


def test_a_letter_without_files_has_nothing_to_leave_out() -> None:
    assert without_enclosures(composed()) is None


def test_templates_of_the_admin_have_no_mark() -> None:
    raw = LETTERS.compose(replace(ENVELOPE, attachments=(PDF,)), Rendered("Hola\n", "<b>Hola</b>\n"))
    again = without_enclosures(raw)
    assert again is not None
    said = "No se adjuntaron por su tamaño: factura 4711.pdf; están en el correo original."
    parts = [part.get_content() for part in reread(again).iter_parts() if isinstance(part, EmailMessage)]
    assert [part.replace("\r\n", "\n") for part in parts] == [f"{said}\nHola\n", f"<p>{said}</p><b>Hola</b>\n"]


def test_an_address_outside_ascii_survives_that_too() -> None:
    raw = LETTERS.compose(
        replace(ENVELOPE, from_address="año@lohas.test", attachments=(PDF,)), LETTERS.render(ACK, SAMPLE_FACTS[ACK])
    )
    again = without_enclosures(raw)
    assert again is not None and "año@lohas.test".encode() in head(again)
