"""May a machine have sent this? One ordered table of named checks; the first hit wins and is remembered.

A hit never loses a mail: it is stored and set aside, and nobody is answered. RFC 3834 section 2 asks for exactly that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pqr_mailbot.domain.model import Mail, Verdict
from pqr_mailbot.domain.policy import Policy

LETTER_HEADER = "x-pqr-letter"  # every letter of ours carries it: our loop header


@dataclass(frozen=True, slots=True)
class Screening:
    """The outcome: a verdict, the check that reached it ("" for a person), and the header line it saw."""

    verdict: Verdict
    check: str = ""
    header: str = ""


Check = Callable[[Mail, Policy], str | None]  # the header line that gave the machine away, or None


def no_sender(mail: Mail, policy: Policy) -> str | None:
    """Nobody to answer (Mailman's `no-senders`): no From, or one that cannot be read."""
    return None if mail.sender else "From: " + mail.header("from")[:120]


def own_letter(mail: Mail, policy: Policy) -> str | None:
    """A letter of this or another such desk that came back: our loop header."""
    return _line(mail, LETTER_HEADER) if mail.has_header(LETTER_HEADER) else None


def own_address(mail: Mail, policy: Policy) -> str | None:
    """From the office's own address, and not by one of its website forms: answering would answer ourselves."""
    if mail.sender is None or mail.sender.address not in policy.office.addresses:
        return None
    return None if form_customer(mail, policy) else f"From: {mail.sender.address}"


def delivery_report(mail: Mail, policy: Policy) -> str | None:
    """RFC 3464 delivery reports and RFC 3462 in general; receipts and abuse reports have their own checks before."""
    return f"Content-Type: {mail.content_type}" if mail.content_type == "multipart/report" else None


def null_sender(mail: Mail, policy: Policy) -> str | None:
    """RFC 5321 section 4.5.5: the null reverse path belongs to notifications about mail."""
    return "Return-Path: <>" if mail.header("return-path").replace(" ", "") == "<>" else None


def mailer_daemon(mail: Mail, policy: Policy) -> str | None:
    """The mail system itself."""
    return _from(mail, _MAIL_SYSTEM)


def read_receipt(mail: Mail, policy: Policy) -> str | None:
    """RFC 8098: a disposition notification."""
    return _report_type(mail, "disposition-notification")


def abuse_report(mail: Mail, policy: Policy) -> str | None:
    """RFC 5965: a feedback loop's complaint."""
    return _report_type(mail, "feedback-report")


def calendar_answer(mail: Mail, policy: Policy) -> str | None:
    """RFC 6047: an invitation or the answer to one."""
    return f"Content-Type: {mail.content_type}" if mail.content_type == "text/calendar" else None


def auto_submitted(mail: Mail, policy: Policy) -> str | None:
    """RFC 3834 section 5: any value but `no`, whatever its parameters and case (`no` is a person: FreeScout)."""
    value = re.split(r"[;\s(]", mail.header("auto-submitted").strip().lower(), maxsplit=1)[0]
    return _line(mail, "auto-submitted") if value not in ("", "no") else None


def auto_response_header(mail: Mail, policy: Policy) -> str | None:
    """The headers autoresponders invented before RFC 3834."""
    return next((_line(mail, name) for name in _AUTORESPONDER_HEADERS if mail.has_header(name)), None)


def precedence_auto(mail: Mail, policy: Policy) -> str | None:
    return _precedence(mail, ("auto_reply", "auto-reply"))


def mailing_list(mail: Mail, policy: Policy) -> str | None:
    """RFC 2369 and RFC 2919 headers, unless the list is the office's own (info@ may be a Google Group)."""
    list_id = mail.header("list-id").lower()
    if any(own.lower() in list_id for own in policy.own_lists):
        return None
    return next((_line(mail, name) for name in _LIST_HEADERS if mail.has_header(name)), None)


def precedence_bulk(mail: Mail, policy: Policy) -> str | None:
    """`Precedence: bulk|list|junk` in any case (FreeScout #4363)."""
    if any(own.lower() in mail.header("list-id").lower() for own in policy.own_lists):
        return None
    return _precedence(mail, ("bulk", "list", "junk"))


def no_reply_sender(mail: Mail, policy: Policy) -> str | None:
    """An address that says nobody reads it, unless it is one of the office's website forms."""
    return None if form_customer(mail, policy) else _from(mail, _NO_REPLY)


def out_of_office(mail: Mail, policy: Policy) -> str | None:
    """Autoresponders without any header but a subject; "Ausentismo laboral" is a person's subject."""
    return f"Subject: {mail.subject[:120]}" if _OUT_OF_OFFICE.match(mail.subject) else None


def marked_spam(mail: Mail, policy: Policy) -> str | None:
    """The receiving server's own filter said so."""
    return _line(mail, "x-spam-flag") if mail.header("x-spam-flag").strip().lower() == "yes" else None


# The order is the meaning: what could loop first, then what the standards name, then what only looks like a machine.
CHECKS: tuple[tuple[Check, Verdict], ...] = (
    (no_sender, Verdict.UNREADABLE),
    (own_letter, Verdict.OWN),
    (own_address, Verdict.OWN),
    (read_receipt, Verdict.RECEIPT),
    (abuse_report, Verdict.REPORT),
    (delivery_report, Verdict.BOUNCE),
    (null_sender, Verdict.BOUNCE),
    (mailer_daemon, Verdict.BOUNCE),
    (calendar_answer, Verdict.CALENDAR),
    (auto_submitted, Verdict.AUTO_REPLY),
    (auto_response_header, Verdict.AUTO_REPLY),
    (precedence_auto, Verdict.AUTO_REPLY),
    (mailing_list, Verdict.LIST),
    (precedence_bulk, Verdict.LIST),
    (no_reply_sender, Verdict.NO_REPLY),
    (out_of_office, Verdict.AUTO_REPLY),
    (marked_spam, Verdict.SPAM),
)


def screen(mail: Mail, policy: Policy) -> Screening:
    """Runs the table; a mail that no check hits was written by a person."""
    for check, verdict in CHECKS:
        if (header := check(mail, policy)) is not None:
            return Screening(verdict, check.__name__, header)
    return Screening(Verdict.PERSON)


def wants_no_acknowledgement(mail: Mail) -> bool:
    """`X-Auto-Response-Suppress` on incoming mail: a person asks for no automatic answer (MS-OXCMAIL 2.2.3.2.14)."""
    asked = {word.strip() for word in mail.header("x-auto-response-suppress").lower().split(",")}
    return bool(asked & {"all", "autoreply", "oof"})


def form_customer(mail: Mail, policy: Policy) -> bool:
    """Did one of the office's website forms write this in the name of the customer in Reply-To?"""
    if mail.sender is None or mail.sender.address not in {form.sender for form in policy.forms}:
        return False
    return bool(mail.reply_to) and mail.reply_to[0].address not in policy.office.addresses


_AUTORESPONDER_HEADERS = (
    "x-autoreply",
    "x-autorespond",
    "x-autoresponder",
    "x-autoresponse",
    "x-mail-autoreply",
    "x-autoreply-from",
    "x-fc-machinegenerated",
)
_LIST_HEADERS = ("list-id", "list-unsubscribe", "list-post", "x-mailman-version")
_MAIL_SYSTEM = re.compile(r"(mailer[-_.]?daemon|postmaster|mail-daemon)@", re.IGNORECASE)
_NO_REPLY = re.compile(
    r"(?:[^@]*[-_.+])?(?:no[-_.]?reply|do[-_.]?not[-_.]?reply|no[-_.]?responder?|no[-_.]?contestar|nao[-_.]?responda)"
    r"(?:[-_.+][^@]*)?@",
    re.IGNORECASE,
)
_OUT_OF_OFFICE = re.compile(
    r"\s*(?:re:\s*)?(?:respuesta\s+autom[aá]tica|respuesta\s+de\s+ausencia|mensaje\s+autom[aá]tico"
    r"|auto(?:matic)?[\s-]*repl(?:y|ies)|auto(?:matic)?[\s-]*response|autosvar|resposta\s+autom[aá]tica"
    r"|fuera\s+de\s+(?:la\s+)?oficina|out\s+of\s+(?:the\s+)?office|ausente\s+de\s+la\s+oficina)\b",
    re.IGNORECASE,
)


def _line(mail: Mail, name: str) -> str:
    return f"{name.title()}: {mail.header(name)[:120]}"


def _from(mail: Mail, pattern: re.Pattern[str]) -> str | None:
    return f"From: {mail.sender.address}" if mail.sender and pattern.match(mail.sender.address) else None


def _precedence(mail: Mail, values: tuple[str, ...]) -> str | None:
    for name in ("precedence", "x-precedence"):
        if mail.header(name).strip().lower() in values:
            return _line(mail, name)
    return None


def _report_type(mail: Mail, kind: str) -> str | None:
    header = mail.header("content-type")
    return f"Content-Type: multipart/report; {kind}" if _is_report(mail) and kind in header.lower() else None


def _is_report(mail: Mail) -> bool:
    return mail.content_type == "multipart/report"
