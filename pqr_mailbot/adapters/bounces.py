"""Raw bytes of a bounce -> what it says of which recipient, and every id of ours in it, in linear time.

Reports after RFC 3464 and RFC 6533 are read here; the shapes from before it by flufl.bounce, which Mailman lives on;
what neither knows, Spanish ones among them, by the addresses that stand between the mail system's sentence and the
returned letter. Only for mail that the screening took for a bounce: a customer's words can look like one.
"""

from __future__ import annotations

import binascii
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email import message_from_bytes

from flufl.bounce import all_failures

from pqr_mailbot.adapters import mime_header, mime_parser
from pqr_mailbot.adapters.tokens import token_in
from pqr_mailbot.domain import machine_phrases as phrases
from pqr_mailbot.domain.bounce import Bounce, BouncedRecipient
from pqr_mailbot.domain.fold import plain
from pqr_mailbot.domain.model import Mail, is_synthetic_id

_MAX_READ = 1_000_000  # bytes of a bounce; what matters stands before the returned letter's attachments
_MAX_PARTS = 60
_MAX_DEPTH = 5
_MAX_STATUS = 200_000  # bytes of a status report
_MAX_RETURNED = 64_000  # bytes of the returned letter: its header
_MAX_OLD_SHAPE = 100_000  # bytes given to flufl.bounce,
_MAX_LINES = 800  # and lines, for it reads each some fifty times over
_MAX_LINE = 1_000
_MAX_RECIPIENTS = 100
_MAX_IDS = 300
_MAX_TEXT = 20_000  # characters of the mail system's own words
_MAX_DIAGNOSTIC = 500

logging.getLogger("flufl.bounce").setLevel(logging.CRITICAL)  # its tracebacks would carry people's words

_STATUS_PARTS = frozenset(
    {"message/delivery-status", "message/global-delivery-status", "message/x-delivery-status", "text/delivery-status"}
)
_RETURNED_PARTS = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/partial",
        "text/rfc822-headers",
        "message/rfc822-headers",
        "message/global-headers",
        "text/rfc822",
    }
)
_ACTION_STEMS = {
    "fail": "failed",
    "undeliv": "failed",
    "dela": "delayed",
    "deliv": "delivered",
    "relay": "relayed",
    "expand": "expanded",
}
_STATUS = re.compile(r"(?<![\d.])([245]\.\d{1,3}\.\d{1,3})(?![\d.]*\d)")
_REPLY_CODE = re.compile(r"(?<![\d.])([45])\d\d(?=[ -])")
_ID = re.compile(r"<[!-;=?-~]{1,500}@[!-;=?-~]{1,300}>")
_OUR_ID = re.compile(r"<?pqr\.[a-z2-7]{13}\.[a-z2-7]{16}(?:\.t)?@")
_OUR_HEADER = re.compile(r"x-pqr-letter\s{0,3}:\s{0,9}([a-z2-7]{13}\.[a-z2-7]{16})", re.IGNORECASE)
_ID_FIELD = re.compile(
    r"^[> \t]{0,9}(?:[\w-]{0,30}message-id|references|in-reply-to)\s{0,3}:([^\n]{0,900})", re.IGNORECASE | re.MULTILINE
)
_SUBJECT_FIELD = re.compile(r"^[> \t]{0,9}(?:subject|asunto)\s{0,3}:([^\n]{1,300})", re.IGNORECASE | re.MULTILINE)
_TO_FIELD = re.compile(
    r"^[> \t]{0,9}(?:to|para|x-original-to|envelope-to)\s{0,3}:([^\n]{1,300})", re.IGNORECASE | re.MULTILINE
)
_ADDRESS = re.compile(r"(?<![\w.+%@-])[\w.+%='-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_WIDE_ADDRESS = re.compile(r"[^\s<>;,:\"()\[\]]{1,64}@[^\s<>;,:\"()\[\]]{1,200}")
_UNICODE_ESCAPE = re.compile(r"\\x\{([0-9a-fA-F]{1,6})\}")
_BOUNDARY = re.compile(r"boundary\s{0,5}=\s{0,5}(?:\"([^\"]{1,200})\"|([^;\s]{1,200}))", re.IGNORECASE)
_BLANK_LINES = re.compile(rb"\n(?:[ \t]{0,80}+\n){2,}+")
_HELPERS = re.compile(r"(?:postmaster|mailer-daemon|abuse|support|soporte|help)@", re.IGNORECASE)
# Where the mail system stops speaking and the returned letter begins.
_LETTER_BEGINS = re.compile(
    r"^[> \t]{0,9}(?:-{2,}[^\n]{0,80}\b(?:copy|original|returned|message follows|body of|below|unsent|headers?"
    r"|copia|encabezados|mensaje|undelivered)\b|(?:return-path|received|message-id|mime-version|x-pqr-letter)\s?:"
    r"|(?:original message headers|encabezados (?:originales|de mensajes? original\w*))\b)",
    re.IGNORECASE | re.MULTILINE,
)
_STILL_TRYING = re.compile(
    r"\b(?:delay(?:ed)?|warning|still (?:being )?(?:retried|trying|queued)|not yet been delivered"
    r"|will (?:keep|continue)|no action is required|temporar(?:y|ily)|retrasad[oa]|demorad[oa]|aun no se ha"
    r"|sigue intentando|seguira intentando|se (?:seguira|volvera a) intent\w+|verzogert|retarde|en attente|atrasad[oa])"
)
_GAVE_UP = re.compile(
    r"\b(?:permanent|given up|giving up|gave up|fatal|could not be delivered|no pudo (?:ser )?entregad|definitiv\w+"
    r"|no se pudo entregar|undeliverable)"
)


@dataclass(frozen=True, slots=True)
class _Part:
    kind: str
    body: bytes


def read_bounce(raw: bytes, mail: Mail) -> Bounce | None:
    """What the bounce in `raw` says; None when it neither reports nor returns anything.

    `mail`: the same bytes as `mime_parser.parse` read them.
    """
    raw = raw[:_MAX_READ]
    parts = list(_parts(raw))
    reports = [part.body[:_MAX_STATUS] for part in parts if part.kind in _STATUS_PARTS]
    returned = [
        mime_parser.parse(part.body[:_MAX_RETURNED], complete=False) for part in parts if part.kind in _RETURNED_PARTS
    ]
    words = _own_words(mail)
    recipients = [one for report in reports for one in _reported(report)]
    recipients = recipients or _failed_header(mail, words) or _old_shape(raw, mail, words)
    if not recipients and (reports or returned or _speaks_of_return(mail)):
        recipients = _named_in(words, mail) or _addressed(returned, mail, words)
    ids, tokens = _ids(mail, returned, reports)
    if not (reports or returned or recipients):
        return None
    subject = next((letter.subject for letter in returned if letter.subject), "") or _quoted_subject(mail)
    return Bounce(tuple(recipients[:_MAX_RECIPIENTS]), ids, tokens, subject)


# -- parts -------------------------------------------------------------------------------------------------------------


def _parts(raw: bytes) -> Iterator[_Part]:
    """The leaves that report or return, in order; each level of multiparts reads its bytes once."""
    waiting, seen = [(raw, 0)], 0
    while waiting and seen < _MAX_PARTS:
        entity, depth = waiting.pop(0)
        seen += 1
        fields, body = _fields(entity)
        kind = fields.get("content-type", "text/plain").partition(";")[0].strip().lower()
        if kind.startswith("multipart/") and depth < _MAX_DEPTH:
            waiting[:0] = [(child, depth + 1) for child in _children(fields.get("content-type", ""), body)]
        elif kind in _STATUS_PARTS or kind in _RETURNED_PARTS:
            yield _Part(kind, _decoded(body, fields.get("content-transfer-encoding", "")))


def _fields(entity: bytes) -> tuple[dict[str, str], bytes]:
    """The header fields (first of each) and the body of an entity."""
    blank = re.compile(rb"\r?\n\r?\n|\A\r?\n").search(entity)
    head, body = (entity[: blank.start()], entity[blank.end() :]) if blank else (entity, b"")
    return _lines_of_fields(mime_header.decode_text(head[:_MAX_STATUS])), body


def _lines_of_fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in re.sub(r"\r?\n[ \t]+", " ", text).splitlines():
        name, colon, value = line.partition(":")
        if colon and len(name) < 100:
            found.setdefault(name.strip().lower(), " ".join(value.split()))
    return found


def _children(content_type: str, body: bytes) -> list[bytes]:
    match = _BOUNDARY.search(content_type)
    if not match:
        return []
    mark = b"\n--" + (match[1] or match[2]).encode("utf-8", "replace")
    pieces = (b"\n" + body).split(mark, _MAX_PARTS)[1:]
    return [piece.split(b"\n", 1)[-1] for piece in pieces if not piece.startswith(b"--")]


def _decoded(body: bytes, encoding: str) -> bytes:
    """A body as it was before its transfer encoding; RFC 6533 allows one, and others use one anyway."""
    encoding = encoding.strip().lower()
    try:
        if encoding == "base64":
            return binascii.a2b_base64(body)
        if encoding == "quoted-printable":
            return binascii.a2b_qp(body)
    except binascii.Error:
        pass
    return body


# -- reports after RFC 3464 --------------------------------------------------------------------------------------------


def _reported(report: bytes) -> Iterator[BouncedRecipient]:
    """Each recipient of a status report: groups of fields with blank lines between, the first about the message."""
    text = mime_header.decode_text(report).replace("\r\n", "\n")
    for group in re.split(r"\n[ \t]*\n", text)[: 2 * _MAX_RECIPIENTS]:
        fields = _lines_of_fields(group)
        final, original = _typed_address(fields.get("final-recipient", "")), fields.get("original-recipient", "")
        asked = _typed_address(original)
        if not final and not asked:
            continue
        diagnostic = fields.get("diagnostic-code", "")[:_MAX_DIAGNOSTIC]
        status = _status(fields.get("status", ""), diagnostic)
        action = _action(fields.get("action", ""), status)
        yield BouncedRecipient(final or asked, action, status, _one_line(diagnostic), asked)


def _typed_address(value: str) -> str:
    """The address of `rfc822; ana@x.co`, `utf-8; josé@x.co`, `RFC822;<ana@x.co> (Ana)`; "" when there is none."""
    kind, semicolon, rest = value.partition(";")
    said = rest if semicolon else kind
    if "\\x{" in said:  # RFC 6533 section 3
        said = _UNICODE_ESCAPE.sub(lambda escape: _character(escape[1]), said)
    found = _WIDE_ADDRESS.search(said)
    return (mime_header.safe_address(found[0]) or found[0].lower()) if found else ""


def _character(code: str) -> str:
    number = int(code, 16)
    return chr(number) if number <= 0x10FFFF and not 0xD800 <= number <= 0xDFFF else "?"


def _status(said: str, diagnostic: str) -> str:
    """The status code; where it is only a class (5.0.0), the more telling one of the diagnostic."""
    first, told = _STATUS.search(said), _STATUS.search(diagnostic)
    if first and (not first[1].endswith(".0.0") or not told or told[1][0] != first[1][0]):
        return first[1]
    if told:
        return told[1]
    code = _REPLY_CODE.search(diagnostic)
    return f"{code[1]}.0.0" if code else ""


def _action(said: str, status: str) -> str:
    word = said.strip().lower()
    known = next((action for stem, action in _ACTION_STEMS.items() if word.startswith(stem)), "")
    return known or {"5": "failed", "4": "delayed", "2": "delivered"}.get(status[:1], "")


# -- older shapes ------------------------------------------------------------------------------------------------------


def _own_words(mail: Mail) -> str:
    """What the mail system itself says, up to the returned letter."""
    text = mail.text[:_MAX_TEXT]
    begins = _LETTER_BEGINS.search(text)
    return text[: begins.start()] if begins and text[: begins.start()].strip() else text


def _failed_header(mail: Mail, words: str) -> list[BouncedRecipient]:
    """Exim's and Gmail's `X-Failed-Recipients`."""
    said = [value for name, value in mail.headers if name == "x-failed-recipients"]
    return _all(_ADDRESS.findall(",".join(said)), words, mail)


def _old_shape(raw: bytes, mail: Mail, words: str) -> list[BouncedRecipient]:
    """What flufl.bounce finds in the beginning of the mail."""
    if raw.lower().count(b"multipart/") > 20:
        return []
    lines = _BLANK_LINES.sub(b"\n\n", raw[:_MAX_OLD_SHAPE].replace(b"\r\n", b"\n")).split(b"\n")
    short = b"\n".join(line[:_MAX_LINE] for line in lines[:_MAX_LINES])
    try:
        temporary, permanent = all_failures(message_from_bytes(short))
    except Exception:  # noqa: BLE001  # its detectors were written for well-formed mail
        return []
    failed = _all(sorted(one.decode("ascii", "replace") for one in permanent), words, mail, "failed")
    return failed + _all(sorted(one.decode("ascii", "replace") for one in temporary), words, mail, "delayed")


def _speaks_of_return(mail: Mail) -> bool:
    subject = phrases.plain_subject(mail.subject)
    if phrases.is_answer(subject) or phrases.is_forward(subject):
        return False
    return phrases.says_returned(subject, mail.subject) or phrases.sounds_returned(phrases.opening(mail.text))


def _named_in(words: str, mail: Mail) -> list[BouncedRecipient]:
    """The addresses between the mail system's sentence and the returned letter, its own and ours not among them."""
    own = {address.address for address in (mail.sender, *mail.to, *mail.cc) if address}
    others = (one for one in _ADDRESS.findall(words) if one.lower() not in own and not _HELPERS.match(one))
    return _all(others, words, mail)


def _addressed(returned: list[Mail], mail: Mail, words: str) -> list[BouncedRecipient]:
    """Nobody is named: then it is about those to whom the returned letter was addressed, and how grave is unknown."""
    people = [address.address for letter in returned for address in (*letter.to, *letter.cc)]
    if not people:
        inline = _TO_FIELD.findall(mail.text[:_MAX_TEXT])
        people = [address for line in inline for address in _ADDRESS.findall(line)]
    status = _status("", words)
    return [BouncedRecipient(one.lower(), "", status) for one in dict.fromkeys(people)]


def _all(addresses: Iterable[str], words: str, mail: Mail, action: str = "") -> list[BouncedRecipient]:
    """Each address with what the words around it say."""
    safe = (mime_header.safe_address(said.strip("<>'\"")) for said in addresses)
    each = list(dict.fromkeys(address for address in safe if address))[:_MAX_RECIPIENTS]
    found = []
    for address in each:
        near = _near(address, words)
        status = _status("", near) or (_status("", words) if len(each) == 1 else "")
        found.append(BouncedRecipient(address, action or _guess(mail, words, status), status, _one_line(near)))
    return found


def _near(address: str, words: str) -> str:
    """The line that names an address and the three after it, up to the next address."""
    start = words.lower().find(address)
    if start < 0:
        return ""
    lines = words[start + len(address) : start + 800].split("\n")[:4]
    kept = lines[:1]
    for line in lines[1:]:
        if _ADDRESS.match(line.strip(" <")):
            break
        kept.append(line)
    return " ".join(kept).strip(" >:;,\t-")[:_MAX_DIAGNOSTIC]


def _guess(mail: Mail, words: str, status: str) -> str:
    """failed or delayed, by the words: a mail system says at once when it has not given up."""
    said = plain(f"{mail.subject[:200]} {words[:1_000]}")
    final = status.startswith("5") or (_GAVE_UP.search(said) and not status.startswith("4"))
    return "delayed" if _STILL_TRYING.search(said) and not final else "failed"


def _one_line(text: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_MAX_DIAGNOSTIC]


# -- ids ---------------------------------------------------------------------------------------------------------------


def _ids(mail: Mail, returned: list[Mail], reports: list[bytes]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Every Message-ID and every token of ours in the returned header, the report, the text, the bounce's thread."""
    ids: dict[str, None] = dict.fromkeys((*mail.in_reply_to, *mail.references))
    texts = [mail.text[:_MAX_READ], *(mime_header.decode_text(report) for report in reports)]
    for letter in returned:
        own = () if is_synthetic_id(letter.message_id) else (letter.message_id,)
        ids |= dict.fromkeys((*own, *letter.in_reply_to, *letter.references))
        texts.append("\n".join(f"{name}: {value}" for name, value in letter.headers))
        texts.append(letter.text[:_MAX_TEXT])
    tokens: dict[str, None] = {}
    for text in texts:
        for line in _ID_FIELD.findall(text):
            ids |= dict.fromkeys(_ID.findall(line))
        tokens |= dict.fromkeys(_OUR_HEADER.findall(text))
        tokens |= dict.fromkeys(filter(None, (token_in(found) for found in _OUR_ID.findall(text))))
    tokens |= dict.fromkeys(filter(None, (token_in(one) for one in ids)))
    return tuple(ids)[:_MAX_IDS], tuple(tokens)[:_MAX_IDS]


def _quoted_subject(mail: Mail) -> str:
    found = _SUBJECT_FIELD.search(mail.text[:_MAX_TEXT])
    return mime_parser.parse(f"Subject: {_one_line(found[1])}\n\n".encode()).subject if found else ""
