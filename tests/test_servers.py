"""That the servers the tests rely on do what they promise."""

from __future__ import annotations

import smtplib
import ssl

import pytest
from servers import DROP, OFFICE, SMTP_PASSWORD, Authority, Dovecot, Received, SmtpServer

CLARA = "clara@correo.test"
MAIL = b"From: clara@correo.test\r\nTo: info@lohas.test\r\nSubject: Hola\r\n\r\nBuenas:\r\n.\r\n..dos\r\n"


def logged_in(smtp: SmtpServer, authority: Authority) -> smtplib.SMTP:
    client = smtplib.SMTP("localhost", smtp.port, timeout=10)
    client.starttls(context=authority.client_context())
    client.login(OFFICE, SMTP_PASSWORD)
    return client


def test_mail_sent_by_smtp_is_read_by_imap(dovecot: Dovecot, smtp: SmtpServer, authority: Authority) -> None:
    dovecot.reset(CLARA, OFFICE)
    smtp.route = dovecot.route
    with logged_in(smtp, authority) as client:
        client.sendmail(OFFICE, [CLARA, "nadie@lejos.test"], MAIL)
    (letter,) = smtp.wait_for(1)
    assert (letter.mail_from, letter.rcpt_to, letter.data) == (OFFICE, (CLARA, "nadie@lejos.test"), MAIL)
    assert (letter.login, letter.encrypted) == (OFFICE, True)
    (mail,) = dovecot.mails(CLARA)
    assert mail.startswith(b"Return-Path: <info@lohas.test>\r\nDelivered-To: clara@correo.test\r\n")
    assert mail.endswith(MAIL)
    assert dovecot.mails(OFFICE) == []


def test_dovecot_goes_away_and_comes_back(dovecot: Dovecot) -> None:
    dovecot.reset(OFFICE)
    dovecot.deliver(MAIL, OFFICE)
    with dovecot.client(OFFICE) as client:
        client.create_folder("Hechas")
        uidvalidity = client.folder_status("INBOX")[b"UIDVALIDITY"]
    dovecot.stop()
    assert not dovecot.running
    with pytest.raises(OSError), dovecot.client(OFFICE):
        pass
    dovecot.start()
    assert len(dovecot.mails(OFFICE)) == 1
    dovecot.reset()
    with dovecot.client(OFFICE) as client:
        assert [name for _, _, name in client.list_folders()] == ["Enviadas", "INBOX"]
        assert client.folder_status("INBOX")[b"UIDVALIDITY"] == uidvalidity


def test_no_mailbox_no_delivery(dovecot: Dovecot) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        dovecot.deliver(MAIL, "nadie@lejos.test")


FAULTS = [
    ("MAIL", "451 4.3.0 later", smtplib.SMTPSenderRefused),
    ("RCPT", "550 5.1.1 unknown", smtplib.SMTPRecipientsRefused),
    (f"RCPT {CLARA}", "550 5.1.1 unknown", smtplib.SMTPRecipientsRefused),
    ("DATA", "451 4.3.0 later", smtplib.SMTPDataError),
    ("DOT", "554 5.6.0 no", smtplib.SMTPDataError),
    ("DOT", DROP, smtplib.SMTPServerDisconnected),
    ("RCPT", DROP, smtplib.SMTPServerDisconnected),
]


@pytest.mark.parametrize(("verb", "fault", "error"), FAULTS)
def test_faults_happen_once_and_are_over(
    smtp: SmtpServer, authority: Authority, verb: str, fault: str, error: type[Exception]
) -> None:
    smtp.answers[verb] = [fault]
    with logged_in(smtp, authority) as client, pytest.raises(error):
        client.sendmail(OFFICE, [CLARA], MAIL)
    assert len(smtp.received) == (fault == DROP and verb == "DOT")
    smtp.received.clear()
    with logged_in(smtp, authority) as client:
        client.sendmail(OFFICE, [CLARA], MAIL)
    assert [letter.data for letter in smtp.wait_for(1)] == [MAIL]


@pytest.mark.parametrize("fault", ["421 4.3.2 closing", DROP])
def test_no_greeting(smtp: SmtpServer, fault: str) -> None:
    smtp.answers["CONNECT"] = fault
    with pytest.raises((smtplib.SMTPConnectError, smtplib.SMTPServerDisconnected)):
        smtplib.SMTP("localhost", smtp.port, timeout=10)


def test_smtp_takes_nothing_in_clear_and_nobody_without_password(smtp: SmtpServer, authority: Authority) -> None:
    with smtplib.SMTP("localhost", smtp.port, timeout=10) as client, pytest.raises(smtplib.SMTPSenderRefused):
        client.sendmail(OFFICE, [CLARA], MAIL)
    with smtplib.SMTP("localhost", smtp.port, timeout=10) as client:
        client.starttls(context=authority.client_context())
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login(OFFICE, "otra")
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail(OFFICE, [CLARA], MAIL)
    assert smtp.received == []


def test_smtp_goes_away_and_comes_back_over_tls(authority: Authority) -> None:
    with SmtpServer(authority, "implicit", (OFFICE, SMTP_PASSWORD)) as server:
        for _ in range(2):
            client = smtplib.SMTP_SSL("localhost", server.port, timeout=10, context=authority.client_context())
            client.login(OFFICE, SMTP_PASSWORD)
            client.sendmail("", [CLARA], MAIL)
            server.stop()
            with pytest.raises((smtplib.SMTPServerDisconnected, ssl.SSLError)):
                client.noop()
            client.close()
            server.start()
        assert [(letter.mail_from, letter.encrypted) for letter in server.received] == [("", True)] * 2


def test_what_route_raises_is_not_lost() -> None:
    def broken(_letter: Received) -> None:
        raise LookupError("nobody there")

    with (
        pytest.raises(LookupError, match="nobody there"),
        SmtpServer(route=broken) as server,
        smtplib.SMTP("localhost", server.port) as client,
    ):
        client.sendmail(OFFICE, [CLARA], MAIL)
