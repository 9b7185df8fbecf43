"""Bounces: each shape read, what it says of our letter, and how little a forged one can do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from office import POLICY

from pqr_mailbot.adapters.bounces import read_bounce
from pqr_mailbot.adapters.mime_parser import parse
from pqr_mailbot.domain.bounce import (
    Bounce,
    BouncedRecipient,
    SentLetter,
    bounced_letters,
    likely_address,
    outcome_for,
    reading_for,
)
from pqr_mailbot.domain.model import Verdict
from pqr_mailbot.domain.screen import screen

MAILS = Path(__file__).parent / "bounces"
CLARA, JOSE = "clara@correo.test", "josé@correo.test"
TOKEN = "aaaaaaaaaaaaa.bbbbbbbbbbbbbbbb"
OURS = f"<pqr.{TOKEN}@lohas.test>"
LETTER = SentLetter(7, CLARA, TOKEN, OURS)
ALIAS = "<0100018f-abc-000000@email.amazonses.test>"


def read(name: str) -> Bounce | None:
    raw = (MAILS / f"{name}.eml").read_bytes()
    return read_bounce(raw, parse(raw))


def test_every_mail_has_its_line() -> None:
    said = {line[0] for line in test_what_it_says_of_our_letter.pytestmark[0].args[1]}  # type: ignore[attr-defined]
    assert {path.stem for path in MAILS.glob("*.eml")} - {"person_about_a_bounce", "person_plain"} == said


@pytest.mark.parametrize(
    ("name", "recipient", "action", "status", "outcome"),
    [
        # RFC 3464 as Postfix, Gmail, Exchange, sendmail and Amazon SES write it
        ("postfix", CLARA, "failed", "5.1.1", "hard"),
        ("postfix_delay", CLARA, "delayed", "4.4.1", "soft"),
        ("postfix_success", CLARA, "delivered", "2.0.0", None),
        ("expired", CLARA, "failed", "4.4.7", "hard"),  # five days in vain: it did not arrive
        ("gmail", CLARA, "failed", "5.1.1", "hard"),
        ("exchange_es", CLARA, "failed", "5.1.10", "hard"),
        ("headers_only", CLARA, "failed", "5.2.2", "hard"),  # text/rfc822-headers
        ("ses_rewritten", CLARA, "failed", "5.1.1", "hard"),  # another Message-ID; our token in References
        ("ses_only_alias", CLARA, "failed", "5.1.1", None),  # known only by the id the server gave it: see below
        ("loop_header_only", CLARA, "failed", "5.1.1", "hard"),
        ("thread_only", CLARA, "failed", "5.1.1", "hard"),
        ("several_mixed", "otro@correo.test", "failed", "5.1.1", None),  # ours arrived, another's did not
        ("several_ours", "otro@correo.test", "delivered", "2.0.0", "soft"),
        ("forwarded_on", "clara.otra@gmail.test", "failed", "5.1.1", "hard"),  # Original-Recipient names ours
        ("forwarded_silently", "clara.otra@gmail.test", "failed", "5.1.1", None),
        ("somebody_else", "diego@otro.test", "failed", "5.1.1", None),
        ("forged_without_id", CLARA, "failed", "5.1.1", None),
        ("no_original", CLARA, "failed", "5.1.1", None),
        ("global", JOSE, "failed", "5.1.1", None),  # RFC 6533
        ("global_escaped", JOSE, "failed", "5.6.7", None),
        ("encoded_status", CLARA, "failed", "5.1.1", "hard"),
        ("vague_status", CLARA, "failed", "5.7.1", "hard"),  # the diagnostic tells more than 5.0.0
        ("no_action", CLARA, "delayed", "4.2.2", "soft"),
        ("odd_action", CLARA, "failed", "5.0.0", "hard"),
        ("crooked_report", CLARA, "failed", "5.1.1", "hard"),
        ("nested", CLARA, "failed", "5.1.1", "hard"),  # a gateway wrapped the report
        # before RFC 3464
        ("qmail", CLARA, "failed", "5.1.1", "hard"),
        ("exim", CLARA, "failed", "5.1.1", "hard"),
        ("exim_warning", CLARA, "delayed", "", "soft"),
        ("postfix_old", CLARA, "failed", "", "hard"),
        ("sendmail_old", CLARA, "failed", "5.0.0", "hard"),
        ("yahoo", CLARA, "failed", "5.1.1", "hard"),
        ("hotmail", CLARA, "failed", "", "hard"),
        ("exchange55", CLARA, "failed", "", "hard"),
        ("html_only", CLARA, "failed", "5.1.1", "hard"),
        ("qp_text", CLARA, "failed", "5.1.1", "hard"),  # the token is broken over two lines
        ("no_domain", CLARA, "failed", "5.1.2", "hard"),  # From: MAILER-DAEMON, and nothing else
        # in other languages
        ("outlook_es", CLARA, "failed", "5.1.1", "hard"),
        ("office365_es_texto", CLARA, "failed", "", "hard"),
        ("telco_es", CLARA, "failed", "5.1.1", "hard"),
        ("telco_es_lleno", CLARA, "delayed", "4.2.2", "soft"),
        ("portuguese", CLARA, "failed", "5.1.1", "hard"),
        ("german", CLARA, "failed", "5.1.1", "hard"),
        # nobody is named: those the returned letter was addressed to
        ("nobody_named", CLARA, "", "", "unknown"),
        ("nobody_named_coded", CLARA, "", "5.7.1", "hard"),
    ],
)  # fmt: skip
def test_what_it_says_of_our_letter(name: str, recipient: str, action: str, status: str, outcome: str | None) -> None:
    bounce = read(name)
    assert bounce
    first = bounce.recipients[0]
    assert (first.address, first.action, first.status) == (recipient, action, status)
    assert outcome_for(bounce, LETTER) == outcome


@pytest.mark.parametrize("path", sorted(MAILS.glob("*.eml")), ids=lambda path: path.stem)
def test_the_gate_knows_them(path: Path) -> None:
    verdict = screen(parse(path.read_bytes()), POLICY).verdict
    assert verdict is (Verdict.PERSON if path.stem.startswith("person") else Verdict.BOUNCE)


@pytest.mark.parametrize("name", ["person_about_a_bounce", "person_plain"])
def test_a_person_who_names_addresses_reports_nothing(name: str) -> None:
    assert read(name) is None


def test_what_is_returned_of_the_letter() -> None:
    bounce = read("postfix")
    assert bounce
    assert bounce.subject == "[PQR-2026-000001] Café vencido"
    assert bounce.tokens == (TOKEN,)
    assert set(bounce.message_ids) == {OURS, "<m1@correo.test>", f"<pqr.{TOKEN}.t@lohas.test>"}
    assert bounce.recipients[0].diagnostic == "smtp; 550 5.1.1 User unknown"


def test_the_subject_inside_a_text() -> None:
    bounce = read("qmail")
    assert bounce and bounce.subject == "[PQR-2026-000001] Café vencido"


def test_the_id_a_server_gave_instead_of_ours() -> None:
    bounce = read("ses_only_alias")
    assert bounce
    assert outcome_for(bounce, SentLetter(7, CLARA, TOKEN, OURS, (ALIAS,))) == "hard"


def test_a_letter_to_an_address_beyond_ascii() -> None:
    for name in ("global", "global_escaped"):
        bounce = read(name)
        assert bounce and outcome_for(bounce, SentLetter(8, JOSE, TOKEN, OURS)) == "hard"


# -- the tie: two keys ---------------------------------------------------------------------------------------------

GONE = BouncedRecipient(CLARA, "failed", "5.1.1")


@pytest.mark.parametrize(
    ("bounce", "outcome"),
    [
        (Bounce((GONE,), (OURS,), ()), "hard"),
        (Bounce((GONE,), (), (TOKEN,)), "hard"),
        (Bounce((BouncedRecipient("CLARA@Correo.test", "failed"),), (OURS,)), "hard"),
        (Bounce((BouncedRecipient(CLARA, "delayed", "4.4.1"),), (OURS,)), "soft"),
        (Bounce((BouncedRecipient(CLARA, "delayed"), GONE), (OURS,)), "hard"),  # the gravest line counts
        (Bounce((BouncedRecipient(CLARA, "", "4.2.2"),), (OURS,)), "soft"),
        (Bounce((BouncedRecipient(CLARA),), (OURS,)), "unknown"),
        (Bounce((BouncedRecipient(CLARA, "relayed", "2.0.0"),), (OURS,)), None),
        (Bounce((BouncedRecipient(CLARA, "expanded"),), (OURS,)), None),
        # one key is none
        (Bounce((GONE,)), None),
        (Bounce((GONE,), ("<pqr.ccccccccccccc.bbbbbbbbbbbbbbbb@lohas.test>",), ("ccccccccccccc.bb",)), None),
        (Bounce((BouncedRecipient("diego@otro.test", "failed"),), (OURS,), (TOKEN,)), None),
        (Bounce((), (OURS,), (TOKEN,)), None),
    ],
)  # fmt: skip
def test_a_bounce_counts_by_id_and_recipient_together(bounce: Bounce, outcome: str | None) -> None:
    assert outcome_for(bounce, LETTER) == outcome


def test_only_the_letters_it_speaks_of() -> None:
    other = SentLetter(8, "diego@otro.test", "ccccccccccccc.dddddddddddddddd", "<x@lohas.test>")
    bounce = Bounce((GONE, BouncedRecipient(other.recipient, "failed")), (OURS,))
    assert bounced_letters(bounce, [LETTER, other]) == [(LETTER, GONE)]
    assert reading_for(bounce, other) is None


@pytest.mark.parametrize(
    ("status", "diagnostic", "wrong"),
    [
        ("5.1.1", "", True),
        ("5.4.4", "", True),
        ("5.0.0", "smtp; 550 User unknown", True),
        ("", "El usuario no existe", True),
        ("5.2.2", "smtp; 552 mailbox full", False),
        ("5.7.1", "smtp; 550 message refused by policy", False),
        ("4.4.7", "delivery time expired", False),
    ],
)
def test_is_the_address_wrong(status: str, diagnostic: str, wrong: bool) -> None:
    assert BouncedRecipient(CLARA, "failed", status, diagnostic).no_such_address is wrong


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("ana@gmial.com", "ana@gmail.com"),
        ("ana@gmail.co", "ana@gmail.com"),
        ("ana@gmai.com", "ana@gmail.com"),
        ("ana@gmaill.com", "ana@gmail.com"),
        ("ana@hotmial.com", "ana@hotmail.com"),
        ("ana@hotnail.com", "ana@hotmail.com"),
        ("ana@yahoo.com.c", "ana@yahoo.com.co"),
        ("ana@outlok.com", "ana@outlook.com"),
        ("ana@gmail.com", None),
        ("ana@lohas.test", None),
        ("ana@mail.com", None),  # a provider of its own
        ("@", None),
        ("", None),
    ],
)
def test_the_address_that_was_meant(said: str, meant: str | None) -> None:
    assert likely_address(said) == meant


# -- hostile input -------------------------------------------------------------------------------------------------

SHAPES = sorted(path.read_bytes() for path in MAILS.glob("*.eml"))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SHAPES), st.integers(0, 3_000), st.binary(max_size=40), st.integers(0, 200))
def test_nothing_raises_and_nothing_is_made_up(raw: bytes, at: int, put: bytes, cut: int) -> None:
    broken = raw[:at] + put + raw[at + cut :]
    bounce = read_bounce(broken, parse(broken))
    for one in bounce.recipients if bounce else ():
        assert one.diagnostic.isprintable() and len(one.diagnostic) <= 500
        assert one.action in ("failed", "delayed", "delivered", "relayed", "expanded", "")


@given(st.binary(max_size=500))
def test_any_bytes(raw: bytes) -> None:
    read_bounce(raw, parse(raw))


@pytest.mark.parametrize(
    "body",
    [b"\n \n" * 60_000, b"a.b@c.de " * 20_000, b"<" * 200_000, b"Message-ID: <a@b>\n" * 10_000, b"--copy " * 30_000],
    ids=["blank lines", "addresses", "brackets", "ids", "rulers"],
)
def test_long_bounces_are_bounded(body: bytes) -> None:
    raw = b"From: MAILER-DAEMON@x.test\nTo: info@lohas.test\nSubject: failure notice\n\n" + body
    bounce = read_bounce(raw, parse(raw))
    assert bounce is None or (len(bounce.recipients) <= 100 and len(bounce.message_ids) <= 300)


def test_multiparts_within_multiparts() -> None:
    nested = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(2_000))
    raw = b"From: MAILER-DAEMON@x.test\nTo: info@lohas.test\nSubject: failure notice\n" + nested
    assert read_bounce(raw, parse(raw)) is None
