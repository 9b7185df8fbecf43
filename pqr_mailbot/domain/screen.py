"""May a machine have sent this? One ordered table of named checks; the first hit wins and is remembered.

A hit never loses a mail: it is stored and set aside, and nobody is answered. RFC 3834 section 2 asks for exactly that.
Words alone decide only where no person writes them; else two weak signs have to meet (`machine_phrases`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pqr_mailbot.domain import machine_phrases as phrases
from pqr_mailbot.domain.model import Mail, Verdict
from pqr_mailbot.domain.policy import Policy
from pqr_mailbot.domain.spam_words import spam_signs

LETTER_HEADER = "x-pqr-letter"  # every letter of ours carries it: our loop header


@dataclass(frozen=True, slots=True)
class Screening:
    """The outcome: a verdict, the check that reached it ("" for a person), and the header line it saw."""

    verdict: Verdict
    check: str = ""
    header: str = ""


Check = Callable[[Mail, Policy], str | None]  # the header line that gave the machine away, or None


# -- ourselves ---------------------------------------------------------------------------------------------------------


def own_letter(mail: Mail, policy: Policy) -> str | None:
    """A letter of this or another such desk that came back: our loop header."""
    return _line(mail, LETTER_HEADER) if mail.has_header(LETTER_HEADER) else None


def own_address(mail: Mail, policy: Policy) -> str | None:
    """From the office's own address, and in nobody's name: answering would answer ourselves."""
    if mail.sender is None or mail.sender.address not in policy.office.addresses:
        return None
    return None if form_customer(mail, policy) else f"From: {mail.sender.address}"


# -- reports about mail ------------------------------------------------------------------------------------------------


def read_receipt(mail: Mail, policy: Policy) -> str | None:
    """RFC 8098: a disposition notification."""
    return _report(mail, "disposition-notification", "message/disposition-notification")


def abuse_report(mail: Mail, policy: Policy) -> str | None:
    """RFC 5965: a feedback loop's complaint; RFC 8460 and RFC 7489: daily reports on TLS and DMARC;
    Microsoft's JMRP, which is no ARF."""
    if _DOMAIN_REPORT.match(mail.subject) or _COMPLAINT.match(mail.subject):
        return f"Subject: {mail.subject[:120]}"
    return _report(mail, "feedback-report", "message/feedback-report") or _report(mail, "tlsrpt", "application/tlsrpt")


def delivery_report(mail: Mail, policy: Policy) -> str | None:
    """RFC 3464, RFC 6533, and RFC 6522 in general: whatever else a report says, it is no person's."""
    if mail.content_type == "multipart/report":
        return f"Content-Type: {mail.content_type}"
    return _report(mail, "delivery-status", "message/delivery-status", "message/global-delivery-status")


def bounce_header(mail: Mail, policy: Policy) -> str | None:
    """Exim and Gmail name who was not reached; Exchange marks its own reports."""
    return _named(mail, ("x-failed-recipients", "x-ms-exchange-message-is-ndr"))


def challenge(mail: Mail, policy: Policy) -> str | None:
    """ "Confirm that you are human" (BoxTrapper, TMDA, Spam Arrest, UOL): two desks must not ask one another that."""
    if mail.has_header("x-boxtrapper") or mail.header("x-delivery-agent").lower().startswith("tmda"):
        return _named(mail, ("x-boxtrapper", "x-delivery-agent"))
    if mail.sender and phrases.CHALLENGE_SENDER.search(mail.sender.address):
        return f"From: {mail.sender.address}"
    subject = phrases.plain_subject(mail.subject)
    if phrases.is_forward(subject):
        return None
    if phrases.CHALLENGE_SUBJECT.search(subject) or phrases.CHALLENGE_TEXT.search(phrases.opening(mail.text)):
        return _subject(mail)
    return None


def mailer_daemon(mail: Mail, policy: Policy) -> str | None:
    """The mail system itself, also where its From has no domain."""
    if mail.sender is None:
        return "From: " + mail.header("from")[:120] if _MAIL_SYSTEM_NAME.search(mail.header("from")) else None
    return _from(mail, _MAIL_SYSTEM)


def bounce_words(mail: Mail, policy: Policy) -> str | None:
    """Returned mail in the shapes from before RFC 3464, known by nothing but how a mail system speaks."""
    subject, text = phrases.plain_subject(mail.subject), phrases.opening(mail.text)
    if phrases.is_answer(subject) or phrases.is_forward(subject):
        return None  # a person writes about a bounce
    outside = (
        _null_path(mail),
        _MAIL_SYSTEM_NAME.search(mail.header("from")) is not None,
        "@" in text and bool(_RETURNED_PARTS & _part_types(mail)),
    )
    if not any(outside) and phrases.speaks_for_oneself(text):
        return None  # and so does this one, in a mail that looks like nothing but a person's
    words = (phrases.hints_at_return(subject), phrases.sounds_returned(text), phrases.has_smtp_code(text))
    return _subject(mail) if phrases.says_returned(subject, mail.subject) or sum(words + outside) > 1 else None


def calendar_answer(mail: Mail, policy: Policy) -> str | None:
    """RFC 6047: an invitation or the answer to one; an .ics file that a person attached is neither."""
    if mail.content_type == "text/calendar":
        return f"Content-Type: {mail.content_type}"
    if mail.header("content-class").lower().endswith("calendarmessage"):
        return _line(mail, "content-class")
    parts = _part_types(mail)
    if _CALENDAR_TALK & parts:
        return f"Content-Type: {min(_CALENDAR_TALK & parts)}"
    if "text/calendar" not in parts:
        return None
    if "calendar-notification@" in mail.header("sender").lower():
        return _line(mail, "sender")
    named = phrases.CALENDAR_SUBJECT.match(phrases.plain_subject(mail.subject))
    return _subject(mail) if named or mail.content_type == "multipart/alternative" else None


def plain_receipt(mail: Mail, policy: Policy) -> str | None:
    """Receipts that no longer say they are: "Leído: …" with the sentence of Outlook, Thunderbird or Notes."""
    subject = phrases.plain_subject(mail.subject)
    if not phrases.is_forward(subject) and phrases.NOTES_RECEIPT.search(phrases.opening(mail.text)):
        return _subject(mail)
    if not phrases.RECEIPT_SUBJECT.match(subject):
        return None
    return _subject(mail) if phrases.RECEIPT_TEXT.search(phrases.opening(mail.text)) else None


# -- automatic answers -------------------------------------------------------------------------------------------------


def auto_submitted(mail: Mail, policy: Policy) -> str | None:
    """RFC 3834 section 5: any value but `no`, whatever its parameters and case (`no` is a person: FreeScout).

    What a list or one of our forms generated is a list's or a form's mail.
    """
    value = re.split(r"[;\s(]", mail.header("auto-submitted").strip().lower(), maxsplit=1)[0]
    if value in ("", "no"):
        return None
    generated = value == "auto-generated" and (mail.has_header("list-id") or form_customer(mail, policy))
    return None if generated else _line(mail, "auto-submitted")


def auto_response_header(mail: Mail, policy: Policy) -> str | None:
    """The headers autoresponders invented before RFC 3834; one that says `no` says no."""
    for name, value in mail.headers:
        said = value.strip().lower()
        if name in _MACHINE_VALUES:
            if _MACHINE_VALUES[name] in said:
                return _line(mail, name)
        elif (name in _MACHINE_HEADERS or _AUTORESPONDER_HEADER.fullmatch(name)) and said not in _NOTHING:
            return _line(mail, name)
    return None


def precedence_auto(mail: Mail, policy: Policy) -> str | None:
    """`Precedence: auto_reply`, which some autoresponders borrow from each other."""
    return _precedence(mail, ("auto_reply", "auto-reply", "autoreply"))


def autoresponder_sender(mail: Mail, policy: Policy) -> str | None:
    """An address that says an autoresponder writes from it."""
    return _from(mail, _AUTORESPONDER)


def out_of_office(mail: Mail, policy: Policy) -> str | None:
    """Autoresponders without any header but a subject. "Ausentismo laboral" is a person's subject, and so is "RE:
    Respuesta automática: …": somebody answers an autoresponder."""
    return _subject(mail) if phrases.says_automatic(phrases.plain_subject(mail.subject), mail.subject) else None


def automatic_words(mail: Mail, policy: Policy) -> str | None:
    """Autoresponders without even that: what their first lines say, with a second weak sign (Discourse, Zammad)."""
    subject = phrases.plain_subject(mail.subject)
    if phrases.is_forward(subject) or _recipients(mail) > 1 or _named(mail, ("list-id", *_LIST_HEADERS)):
        return None  # an automatic answer goes to one: to whom it answers
    signs = phrases.Signs(
        subject=phrases.hints_at_absence(subject),
        named=phrases.names_automatic(subject),
        received=phrases.says_received(subject),
        answers=bool(mail.in_reply_to or mail.references) or phrases.is_answer(subject),
        role=mail.sender is not None and _ROLE.match(mail.sender.address) is not None,
        envelope=_passed_by_machine(mail),
        answered=phrases.answers_automatic(subject),
        quotes=phrases.quotes(mail.text),
    )
    kind = phrases.sounds_automatic(phrases.opening(mail.text), signs)
    return f"{_subject(mail)} ({kind})" if kind else None


# -- many at once, nobody there ----------------------------------------------------------------------------------------


def mailing_list(mail: Mail, policy: Policy) -> str | None:
    """RFC 2369 and RFC 2919 headers, and what lists and campaigns set before and beside them, unless the list is the
    office's own (info@ may be a Google Group). No more than a way to unsubscribe is a person's whose sales program or
    gateway put it there: on an answer, on what was written to us with a program for people, and on what speaks to us
    as only a customer does and names no way out. `Feedback-ID` is on every mail of Proton, Zoho and Amazon SES and
    says nothing."""
    foreign = next((v for name, v in mail.headers if name == "list-id" and not _is_own(v, policy)), None)
    if foreign is not None:
        return f"List-Id: {foreign[:120]}"
    if _through_own_list(mail, policy):
        return None
    if found := _named(mail, _LIST_HEADERS):
        return found
    answers = bool(mail.in_reply_to or mail.references)
    if answers or (_written_to_us(mail, policy) and not mail.has_header("list-unsubscribe-post")):
        return None
    ways_out = phrases.VIEW_ONLINE, phrases.UNSUBSCRIBE
    campaign = any(
        way.search(said) for way in ways_out for said in (phrases.opening(mail.text), phrases.closing(mail.text))
    )
    if _to_office(mail, policy) and phrases.asks_as_customer(phrases.opening(mail.text)) and not campaign:
        return None  # no campaign speaks of its own order, and none hides the way out
    return _named(mail, ("list-unsubscribe",))


def list_sender(mail: Mail, policy: Policy) -> str | None:
    """Sent by a list's own address (majordomo, LISTSERV, Mailman): owner-…, …-bounces, …-owner. A From …-owner may be
    a shop owner's."""
    if _through_own_list(mail, policy):
        return None
    if found := _from(mail, _LIST_FROM):
        return found
    return next((_line(mail, name) for name in ("sender", "return-path") if _LIST_OWNER.match(mail.header(name))), None)


def campaign_words(mail: Mail, policy: Policy) -> str | None:
    """A newsletter that lost its headers: how to see it in a browser and how to be rid of it, or one of them from an
    address such as boletin@."""
    subject = phrases.plain_subject(mail.subject)
    if mail.in_reply_to or mail.references or phrases.is_answer(subject) or phrases.is_forward(subject):
        return None
    signs = (
        phrases.VIEW_ONLINE.search(phrases.opening(mail.text)) is not None,
        phrases.UNSUBSCRIBE.search(phrases.closing(mail.text)) is not None,
        mail.sender is not None and _CAMPAIGN_ROLE.match(mail.sender.address) is not None,
    )
    return _subject(mail) if sum(signs) > 1 else None


def precedence_bulk(mail: Mail, policy: Policy) -> str | None:
    """`Precedence: bulk|list|junk` in any case (FreeScout #4363); RFC 2076 calls it discouraged, and some companies'
    gateways put it on all they send."""
    if _through_own_list(mail, policy) or _written_to_us(mail, policy):
        return None
    return _precedence(mail, ("bulk", "list", "junk"))


def null_sender(mail: Mail, policy: Policy) -> str | None:
    """RFC 5321 section 4.5.5: the null reverse path belongs to notifications about mail."""
    return "Return-Path: <>" if _null_path(mail) else None


def null_sender_answers(mail: Mail, policy: Policy) -> str | None:
    """RFC 3834 section 3.3: an automatic answer, too, is sent from the null path, but it answers something."""
    answers = bool(mail.in_reply_to) or phrases.is_answer(phrases.plain_subject(mail.subject))
    return "Return-Path: <>" if answers and _null_path(mail) else None


def no_reply_sender(mail: Mail, policy: Policy) -> str | None:
    """An address that says nobody reads it, or a program's account on a server (Request Tracker: root)."""
    return _from(mail, _NO_REPLY)


def marked_spam(mail: Mail, policy: Policy) -> str | None:
    """The receiving server's own filter said so."""
    for name in ("x-spam-flag", "x-spam-status", "x-barracuda-spam-flag", "x-spam"):
        if re.match(r"\s*yes\b", mail.header(name), re.IGNORECASE):
            return _line(mail, name)
    return None


def spam_words(mail: Mail, policy: Policy) -> str | None:
    """Strangers' mass mail by plain signs; never an answer, and never a colleague's mail."""
    ours = {address for agent in policy.agents for address in (agent.address, *agent.other_addresses)}
    ours |= {address for level in policy.levels for address in level.addresses}
    if mail.in_reply_to or mail.references or (mail.sender and mail.sender.address in ours):
        return None
    return spam_signs(mail.subject, mail.text)


def no_sender(mail: Mail, policy: Policy) -> str | None:
    """Nobody to answer (Mailman's `no-senders`): no From, or one that cannot be read."""
    return None if mail.sender else "From: " + mail.header("from")[:120]


# The order is the meaning: what could loop first, then what the standards name, then what only looks like a machine.
# Bounces stand before automatic answers (Postfix marks them auto-replied too), those before lists (BSD vacation says
# Precedence: bulk), and a null path decides only when nothing else did.
CHECKS: tuple[tuple[Check, Verdict], ...] = (
    (own_letter, Verdict.OWN),
    (own_address, Verdict.OWN),
    (read_receipt, Verdict.RECEIPT),
    (abuse_report, Verdict.REPORT),
    (delivery_report, Verdict.BOUNCE),
    (bounce_header, Verdict.BOUNCE),
    (challenge, Verdict.CHALLENGE),
    (mailer_daemon, Verdict.BOUNCE),
    (bounce_words, Verdict.BOUNCE),
    (calendar_answer, Verdict.CALENDAR),
    (plain_receipt, Verdict.RECEIPT),
    (auto_submitted, Verdict.AUTO_REPLY),
    (auto_response_header, Verdict.AUTO_REPLY),
    (precedence_auto, Verdict.AUTO_REPLY),
    (autoresponder_sender, Verdict.AUTO_REPLY),
    (out_of_office, Verdict.AUTO_REPLY),
    (automatic_words, Verdict.AUTO_REPLY),
    (mailing_list, Verdict.LIST),
    (list_sender, Verdict.LIST),
    (campaign_words, Verdict.LIST),
    (precedence_bulk, Verdict.LIST),
    (null_sender_answers, Verdict.AUTO_REPLY),
    (null_sender, Verdict.BOUNCE),
    (no_reply_sender, Verdict.NO_REPLY),
    (marked_spam, Verdict.SPAM),
    (spam_words, Verdict.SPAM),
    (no_sender, Verdict.UNREADABLE),
)

# A website's form is a machine that writes what a person wrote: these say nothing about the person.
NOT_OF_FORMS: frozenset[Check] = frozenset(
    {
        out_of_office,
        automatic_words,
        autoresponder_sender,
        mailing_list,
        list_sender,
        campaign_words,
        precedence_bulk,
        null_sender_answers,
        null_sender,
        no_reply_sender,
    }
)


def screen(mail: Mail, policy: Policy) -> Screening:
    """Runs the table; a mail that no check hits was written by a person."""
    of_form = form_customer(mail, policy)
    for check, verdict in CHECKS:
        if of_form and check in NOT_OF_FORMS:
            continue
        if (header := check(mail, policy)) is not None:
            return Screening(verdict, check.__name__, header)
    return Screening(Verdict.PERSON)


def wants_no_acknowledgement(mail: Mail) -> bool:
    """`X-Auto-Response-Suppress` on incoming mail: a person asks for no automatic answer (MS-OXCMAIL 2.2.3.2.14)."""
    return bool(_suppressed(mail) & {"all", "autoreply", "oof"})


def form_customer(mail: Mail, policy: Policy) -> bool:
    """Was this written in the name of whoever is in Reply-To: by one of the office's website forms, or by its own
    Google Group, which puts itself into From where the customer's domain has a DMARC policy?"""
    if mail.sender is None or not mail.reply_to:
        return False
    sender, customer = mail.sender.address, mail.reply_to[0].address
    if customer in policy.office.addresses:
        return False
    if sender in {form.sender for form in policy.forms}:
        return True
    if sender not in policy.office.addresses or not _through_own_list(mail, policy):
        return False
    said = f"{mail.header('x-original-from')} {mail.header('x-original-sender')}".lower()
    return customer in re.split(r"[\s<>,;\"]+", said)


# -- what the checks look for ------------------------------------------------------------------------------------------

_NOTHING = frozenset({"no", "false", "0", "none", "never"})
_AUTORESPONDER_HEADER = re.compile(
    r"(?:x-)?(?:\w{1,12}-)?(?!auto-?response-suppress)auto-?(?:mat(?:ic|ed)-?)?(?:repl(?:y|ied)|respon(?:d|der|se))"
    r"(?:-(?!suppress)[a-z-]{1,20})?|x-vacation(?:-[a-z-]{1,20})?"
)
_MACHINE_HEADERS = frozenset(
    {
        "delivered-by-the-graces-of",  # BSD vacation
        "x-cron-env",
        "x-facebook-notify",
        "x-fc-machinegenerated",  # FirstClass
        "x-linkedin-template",
        "x-otobo-loop",
        "x-otrs-loop",
        "x-znuny-loop",
        "x-roundup-loop",
        "x-rt-loop-prevention",
    }
)
_MACHINE_VALUES = {  # header: what its value must contain
    "delivered-to": "autoresponder",  # qmail, ezmlm
    "user-agent": "vacation",
    "x-amazon-mail-relay-type": "notification",
    "x-apple-action": "vacation",
    "x-autogenerated": "reply",  # CommuniGate; its mirror and redirect pass a person's mail on
    "x-mailer": "autorespond",
    "x-post-messageclass": "autoresponder",  # GMX, 1&1
}
_LIST_HEADERS = (
    "list-post",
    "list-help",
    "list-subscribe",
    "list-archive",
    "list-owner",
    "mailing-list",
    "x-mailing-list",
    "x-mailman-version",
    "x-beenthere",
    "x-ml-name",
    "x-list-name",
    "x-listname",
    "x-list",
    "x-listserver",
    "x-listserv",
    "x-sympa-to",
    "x-google-group-id",
    "x-campaign",
    "x-campaignid",
    "x-campaign-id",
    "x-mc-user",
    "x-mailchimp-campaignid",
    "x-csa-complaints",
    "x-roving-id",
    "x-list-administrivia",
)
_MAIL_SYSTEM = re.compile(
    r"(?:[^@]*[-_.+])?(?:mailer[-_.]?daemon|mail[-_.]?daemon|postmaster|mmdf|mdaemon|mail[-_.]delivery(?:[-_.]\w+)?"
    r"|microsoftexchange[0-9a-f]{32})(?:[-_.+][^@]*)?@|bounces?@",
    re.IGNORECASE,
)
_MAIL_SYSTEM_NAME = re.compile(
    r"mailer[-_. ]?daemon|mail delivery (?:sub)?system|mail delivery service|postmaster|mail administrator"
    r"|microsoft (?:outlook|exchange)|system administrator|administrador del sistema|mail router|mail system"
    r"|sistema de (?:entrega de )?correo",
    re.IGNORECASE,
)
_AUTORESPONDER = re.compile(
    r"(?:[^@]*[-_.+])?(?:auto[-_.]?(?:reply|respond(?:er)?|response|respuesta)|respuesta[-_.]?automatica)"
    r"(?:[-_.+][^@]*)?@",
    re.IGNORECASE,
)
_NO_REPLY = re.compile(
    r"(?:[^@]*[-_.+])?(?:no[-_.]?reply|do[-_.]?not[-_.]?(?:reply|respond)|no[-_.]?responde[rn]?|no[-_.]?responda"
    r"|no[-_.]?contestar?|no[-_.]?conteste|nao[-_.]?respond[ae]r?|ne[-_.]?pas[-_.]?repondre|nicht[-_.]?antworten"
    r"|non[-_.]?rispondere)(?:[-_.+][^@]*|\d{0,4})?@|(?:[^@]{2,30})?no-?reply@"
    r"|(?![^@]*judicial)[^@]{0,30}(?:notifica|alert|avisos)[^@]{0,30}@(?:[\w-]{1,40}\.){0,3}(?:notifi|alert|avisos)[\w-]*\."
    r"|(?:root|cron|daemon|nobody|www-data|apache|nagios|icinga|zabbix|munin|logwatch|fail2ban|logcheck)@",
    re.IGNORECASE,
)
_ROLE = re.compile(  # programs write from such an address, and departments too: a weak sign
    r"(?:notificacion(?:es)?|notifications?|notify|alertas?|alerts?|avisos?|informa|informacion|sistemas?|system"
    r"|mailer)@",
    re.IGNORECASE,
)
_CAMPAIGN_ROLE = re.compile(
    r"(?:boletin(?:es)?|newsletters?|news|noticias|novedades|ofertas|promociones|promo(?:s|tions)?|mailing"
    r"|marketing|deals"
    r"|offers|e-?mail(?:ing)?|publicidad)@",
    re.IGNORECASE,
)
_WRITTEN_WITH = re.compile(  # older Outlooks stand in the headers of every second spammer
    r"microsoft outlook 1[4-9]|microsoft-macoutlook|(?:iphone|ipad|apple) mail|mozilla/.{0,80} thunderbird|roundcube"
    r"|zimbra|k-9 mail",
    re.IGNORECASE,
)
_LIST_FROM = re.compile(r"(?:owner-[^@]{1,60}|[^@]{1,60}-bounces(?:\+[^@]{0,80})?)@", re.IGNORECASE)
_LIST_OWNER = re.compile(
    r"(?:[^<]{0,100}<)?\s*(?:owner-[^@<>]{1,60}|[^@<>]{1,60}-owner|[^@<>]{1,60}-bounces(?:\+[^@<>]{0,80})?)@"
    r"|(?:[^<]{0,100}<)?\s*[^@<>]{1,60}@(?:listserv|lists?|listas)\.",
    re.IGNORECASE,
)
_CALENDAR_TALK = frozenset(  # RFC 5546: one calendar speaks to another; `publish` is a file for anybody
    f"text/calendar; method={method}"
    for method in ("request", "reply", "cancel", "counter", "declinecounter", "refresh", "add")
)
_RETURNED_PARTS = frozenset({"message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"})
_COMPLAINT = re.compile(r"complaint about message from [0-9a-f.:]{3,45}\s*$", re.IGNORECASE)
_DOMAIN_REPORT = re.compile(r"(?:\[preview\] ?)?report domain: ?\S+ .{0,20}submitter: ?\S+", re.IGNORECASE)


def _line(mail: Mail, name: str) -> str:
    return f"{name.title()}: {mail.header(name)[:120]}"


def _subject(mail: Mail) -> str:
    return f"Subject: {mail.subject[:120]}"


def _named(mail: Mail, names: tuple[str, ...]) -> str | None:
    return next((_line(mail, name) for name in names if mail.has_header(name)), None)


def _from(mail: Mail, pattern: re.Pattern[str]) -> str | None:
    return f"From: {mail.sender.address}" if mail.sender and pattern.match(mail.sender.address) else None


def _part_types(mail: Mail) -> set[str]:
    return {*mail.part_types, *(part.content_type for part in mail.attachments)}


def _recipients(mail: Mail) -> int:
    return len({address.address for address in (*mail.to, *mail.cc)})


def _null_path(mail: Mail) -> bool:
    return mail.header("return-path").replace(" ", "") == "<>"


def _precedence(mail: Mail, values: tuple[str, ...]) -> str | None:
    for name in ("precedence", "x-precedence"):
        if mail.header(name).strip().lower() in values:
            return _line(mail, name)
    return None


def _suppressed(mail: Mail) -> set[str]:
    return {word.strip() for word in mail.header("x-auto-response-suppress").lower().split(",")}


def _passed_by_machine(mail: Mail) -> bool:
    """Headers that machines set, and forwarding rules too: a weak sign."""
    rules = mail.has_header("x-ms-exchange-inbox-rules-loop") or mail.has_header("x-loop")
    generated = mail.has_header("x-ms-exchange-generated-message-source") or mail.has_header("x-autogenerated")
    bulk = _precedence(mail, ("bulk", "junk", "list")) is not None
    return rules or generated or bulk or _null_path(mail) or wants_no_acknowledgement(mail)


def _written_to_us(mail: Mail, policy: Policy) -> bool:
    """Written with a program for people, and to the office itself: a list's or a campaign's copy is addressed to the
    list, and keeps the author's X-Mailer."""
    program = _WRITTEN_WITH.match(mail.header("x-mailer") or mail.header("user-agent"))
    return program is not None and _to_office(mail, policy)


def _to_office(mail: Mail, policy: Policy) -> bool:
    return any(to.address in policy.office.addresses for to in (*mail.to, *mail.cc))


def _report(mail: Mail, kind: str, *parts: str) -> str | None:
    """The report's type as its header says, or as its parts show where the header is silent or was rewritten. A
    forwarded report keeps its parts with some mail programs, and its forwarder's subject."""
    if mail.content_type == "multipart/report":
        said = re.search(r"report-type\s{0,5}=\s{0,5}\"?([\w-]{1,60})", mail.header("content-type"), re.IGNORECASE)
        if said:
            return f"Content-Type: multipart/report; {kind}" if said[1].lower() == kind else None
    subject = phrases.plain_subject(mail.subject)
    if phrases.is_forward(subject) or phrases.is_answer(subject):
        return None
    return next((f"Content-Type: {part}" for part in parts if part in _part_types(mail)), None)


def _is_own(list_id: str, policy: Policy) -> bool:
    """Is this List-Id one of `own_lists` (RFC 2919: what stands in angle brackets, or all of it)?"""
    inside = (re.findall(r"<([^<>]*)>", list_id) or [list_id])[-1].strip().lower()
    return inside in {own.lower().strip("<> ") for own in policy.own_lists}


def _through_own_list(mail: Mail, policy: Policy) -> bool:
    return any(name == "list-id" and _is_own(value, policy) for name, value in mail.headers)
