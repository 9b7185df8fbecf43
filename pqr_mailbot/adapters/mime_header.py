"""The header of a mail: bytes -> fields, decoded values, addresses, dates and ids; in linear time, never raising.

mail-parser reads the address and date fields: it is right where the standard library can be led to a spoofed sender.
"""

from __future__ import annotations

import binascii
import codecs
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice

import mailparser

from pqr_mailbot.adapters.charsets import decoded
from pqr_mailbot.domain.model import SYNTHETIC_DOMAIN, Address, Mail

logging.getLogger("mailparser").setLevel(logging.CRITICAL)  # its warnings quote the mail

MAX_FIELDS = 2_000  # header fields of a mail
MAX_VALUE = 8_000  # characters of a header's value
MAX_ADDRESSES = 200
_MAX_RAW_VALUE = 64_000  # bytes of a field read at all: References and To may be long
_MAX_PEOPLE = 32_000  # characters of an address field
_MAX_PERSON = 1_000  # characters of one name and address
_MAX_PEOPLE_MARKS = 4 * MAX_ADDRESSES  # commas, semicolons and @ in one: mail-parser is slow at them
_FIRST_REFERENCES, _LAST_REFERENCES = 20, 80
_MAX_JUNK = 20  # lines in a header that are none of its fields
_FIELD = re.compile(rb"([!-9;-~]{1,200}+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_ENVELOPE = re.compile(rb">?From [^\n]*+(?:\n|\Z)")  # mbox leaves one before the headers
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# The marks that turn the reading direction round, to disguise a file name or a sender, and what no text can hold.
_INVISIBLE = re.compile(r"[\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_WORD = re.compile(r"=\?([^?\s=<>\"]{1,60})\?([bBqQ])\?")  # the beginning of an encoded word
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/=\s]*")
_WORD_STOPS = re.compile(r"[<>\",]")
# A name that should have been in quotes: Pérez, Ana <ana@x.co>
_NAME_WITH_COMMA = re.compile(r"""(?:^|(?<=,))\s?((?:[^,;<>@"():\\]{1,80}+,\s?){1,2}[^,;<>@"():\\]{1,80}+)(?=<)""")
# `From: juan perez@x.co`: no brackets say where the address begins, and an answer to perez@x.co may reach a stranger.
_CUT_ADDRESS = re.compile(r"\A[^<>;:@]*[^\s<>,;:@\ue001]\s*[\s,]\s*[^\s<>,;:@\[\]]{1,64}@[^\s<>,;:@\[\]]+\s*(?:,|\Z)")
_QUOTED_OR_SEMICOLON = re.compile(r'"(?:[^"\\]++|\\.)*+"|;')
_SCHEME = re.compile(r"(?i)\A(?:mailto|smtp):")
_LOCAL_PART = re.compile(r"[^\s<>()\[\],;:\\\"@\ue000-\uf8ff]{1,64}")
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*+")
_IN_BRACKETS = re.compile(r"<([^<>\s]{3,400})>")
_BRACKETED_ID = re.compile(r"<([^<>]{1,998})>")
_ID = re.compile(r"[!-;=?-~]{1,900}")
_BARE_ID = re.compile(r"[!-;=?A-~]{1,400}@[!-;=?A-~]{1,400}")
# Names a header may have; a block without a single one of them is text that happens to contain colons.
_HEADER_NAME = re.compile(
    r"from|to|b?cc|subject|date|received|message-id|mime-version|return-path|sender|reply-to|delivered-to|references"
    r"|in-reply-to|auto-submitted|precedence|errors-to|envelope-to|apparently-to|status|path|newsgroups|user-agent"
    r"|organi[sz]ation|comments|keywords|importance|priority|authentication-results|return-receipt-to"
    r"|(?:content|list|resent|thread|dkim|arc|disposition|original|x)-.*"
)
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}\s?(?:Z|[+-][0-9]{2}:?[0-9]{2})?")
_OFFSET = re.compile(r"\b(?:GMT|UTC|UT)\s?([+-])([0-9]{1,2}):?([0-9]{2})?\b")
_EncodedWord = tuple[str, str, str]  # charset, "b" or "q", payload
_MONTHS = {"ene": "Jan", "abr": "Apr", "ago": "Aug", "dic": "Dec"}  # the others begin as in English
_SPANISH_MONTH = re.compile(r"\b(ene|feb|mar|abr|may|jun|jul|ago|sep|oct|nov|dic)[a-z]*\.?", re.IGNORECASE)
NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_PEOPLE = ("from", "reply-to", "to", "cc", "bcc")
READ_WHOLE = frozenset((*_PEOPLE, "date", "message-id", "in-reply-to", "references"))


def fields_of(raw: bytes, start: int, end: int, whole: bool = False) -> tuple[list[tuple[str, bytes]], int]:
    """The fields of the header at `start` as (lower-case name, raw value), and where the body begins.

    `whole`: the header of the mail itself, which may have a byte order mark, blank lines or an mbox line before it.
    """
    found: list[tuple[str, bytes]] = []
    position, junk, usual = _header_start(raw, start, end) if whole else start, 0, False
    while len(found) < MAX_FIELDS:
        match = _FIELD.match(raw, position, end)
        if match:
            name = match[1].decode("ascii").lower()
            usual = usual or _HEADER_NAME.fullmatch(name) is not None
            found.append((name, _clipped(raw, *match.span(2))))
            position = match.end()
        elif junk < _MAX_JUNK and (after := _after_junk(raw, position, end, whole)):
            position, junk = after, junk + 1
        else:
            break
    if found and not usual:
        return [], start  # "Buenos días: ..." and so on
    if len(found) == MAX_FIELDS:
        blank = _BLANK_LINE.search(raw, position - 1, end)
        return found, blank.end() if blank else end
    for line_end in (b"\r\n", b"\n"):
        if raw.startswith(line_end, position, end):
            return found, position + len(line_end)
    return found, position  # a line that is no field: the body has begun


def _header_start(raw: bytes, start: int, end: int) -> int:
    position = start + 3 * raw.startswith(codecs.BOM_UTF8, start)
    blank = re.compile(rb"[\s\0]*+").match(raw, position, end)
    envelope = _ENVELOPE.match(raw, blank.end() if blank else position, end)
    position = envelope.end() if envelope else blank.end() if blank else position
    return position if _FIELD.match(raw, position, end) or _after_junk(raw, position, end, True) else start


def _after_junk(raw: bytes, start: int, end: int, whole: bool) -> int:
    """Where the header goes on after a line that is no field, when that is certain; 0 when the body has begun."""
    line_end = raw.find(b"\n", start, min(end, start + 1_000)) + 1
    match = _FIELD.match(raw, line_end, end) if line_end and raw[start:line_end].strip() else None
    name = match[1].decode("ascii").lower() if match else ""
    certain = name.startswith("content-") or (whole and _HEADER_NAME.fullmatch(name))
    return line_end if certain else 0


def _clipped(raw: bytes, start: int, end: int) -> bytes:
    """A value of bounded length, the beginning and the end of it: the last references are those that matter."""
    if end - start <= _MAX_RAW_VALUE:
        return raw[start:end]
    return raw[start : start + _MAX_RAW_VALUE // 4] + b" " + raw[end - _MAX_RAW_VALUE * 3 // 4 : end]


def unhalved(name: str, value: bytes) -> bytes:
    """Of a clipped list of people the beginning, to the last comma: never half an address."""
    if name not in _PEOPLE or len(value) <= _MAX_RAW_VALUE:
        return value
    return value[: _MAX_RAW_VALUE // 4].rpartition(b",")[0]


def unfolded(value: bytes, charset: str = "") -> str:
    """One line of text without controls, encoded words still encoded; raw 8-bit is UTF-8, `charset` or Windows."""
    return clean(decoded(value, charset, cut=len(value) >= MAX_VALUE))


def header_value(value: bytes, charset: str = "") -> str:
    return clean(words_decoded(unfolded(value[: MAX_VALUE * 2], charset)))[:MAX_VALUE].rstrip()


def clean(value: str) -> str:
    if not value.isascii():
        value = _INVISIBLE.sub("", value)
    return " ".join(_CONTROLS.sub(" ", value).split())


def words_decoded(value: str) -> str:
    """`value` with its RFC 2047 words decoded."""
    return _words_replaced(value, _run_decoded, cautious=False) if "=?" in value else value


def _words_replaced(value: str, replaced: Callable[[list[_EncodedWord]], str], cautious: bool) -> str:
    """`value` with each run of encoded words replaced; the white space between two words does not count."""
    out: list[str] = []
    run: list[_EncodedWord] = []
    for piece in _cut_at_words(value, cautious):
        if not isinstance(piece, str):
            run.append(piece)
        elif run and piece.strip():
            out += (replaced(run), piece)
            run = []
        elif not run:
            out.append(piece)
    return "".join(out) + (replaced(run) if run else "")


def _cut_at_words(value: str, cautious: bool) -> Iterator[str | _EncodedWord]:
    """Plain text and encoded words by turns, one look at each character.

    A word without its end goes on to the next word or the end of the value; `cautious`, in an address field, no further
    than to the next bracket, quote or comma.
    """
    position, close, start = 0, 0, _WORD.search(value)
    while start:
        begin = start.end()
        following = _WORD.search(value, begin)
        if 0 <= close < begin:
            close = value.find("?=", begin)
        limit = following.start() if following else len(value)
        whole = 0 <= close <= limit
        end = close if whole else limit
        if cautious and (not whole or "<" in value[begin:end] or ">" in value[begin:end]):
            stop = _WORD_STOPS.search(value, begin, end)
            end, whole = (stop.start(), False) if stop else (end, whole)
        if not whole and start[2] in "bB" and (letters := _BASE64_RUN.match(value, begin, end)):
            end = letters.end()
        yield value[position : start.start()]
        yield (start[1].partition("*")[0].lower(), start[2].lower(), value[begin:end])
        position = end + (2 if whole else value[end:] == "?")
        start = following if following is None or following.start() >= position else _WORD.search(value, position)
    yield value[position:]


def _run_decoded(run: list[_EncodedWord]) -> str:
    """The text of neighbouring words. They are joined as bytes, for some are split inside a character, and base64 as
    letters, for some are split inside four of them."""
    pieces: list[tuple[str, bytearray]] = []
    rest = ""  # letters of base64 that still make no byte
    for number, (charset, encoding, payload) in enumerate(run):
        if encoding == "b":
            payload = rest + "".join(payload.split())
            following = run[number + 1][:2] if number + 1 < len(run) else None
            odd = len(payload) % 4 if following == (charset, "b") and "=" not in payload else 0
            rest = payload[len(payload) - odd :]
            payload = payload[: len(payload) - odd]
            data = from_base64(payload.encode("utf-8", "replace")) if payload else b""
        else:
            data = binascii.a2b_qp(payload.encode("utf-8", "replace"), header=True)
        if pieces and pieces[-1][0] == charset:
            pieces[-1][1].extend(data)
        else:
            pieces.append((charset, bytearray(data)))
    return "".join(decoded(bytes(data), charset) for charset, data in pieces)


def people_of(
    values: dict[str, str], defect: Callable[[str], None]
) -> tuple[dict[str, tuple[Address, ...]], datetime | None]:
    """The addresses of the address fields and the Date, as mail-parser reads them. `defect` is told what is wrong.

    Encoded words are replaced by single private-use atoms first: what an encoded word says must never become an
    address, and mail-parser raises on broken ones.
    """
    atoms: list[str] = []
    sealed = {name: _sealed(values[name], atoms) for name in _PEOPLE if values.get(name)}
    date = values.get("date", "")[:200]
    lines = [f"{name}: {value}\n" for name, value in (*sealed.items(), ("date", date))]
    try:
        parsed = mailparser.parse_from_string("".join(lines) + "\n")
        read = {"from": parsed.from_, "reply-to": parsed.reply_to, "to": parsed.to, "cc": parsed.cc,
                "bcc": parsed.bcc}  # fmt: skip
        sent_at = parsed.date
    except Exception as error:  # noqa: BLE001  # it lets exceptions of the standard library through
        defect(f"mail-parser: {type(error).__name__}")
        read, sent_at = {}, None
    if _CUT_ADDRESS.search(_outside_quotes(sealed.get("from", ""))):
        read, sealed = {**read, "from": []}, {**sealed, "from": ""}
    people = {}
    for name in _PEOPLE:
        some = _addresses(read.get(name) or (), atoms)
        value, only_one = sealed.get(name, ""), name in ("from", "reply-to")
        people[name] = _with_missed(some, value, only_one) or _bare_addresses(value, atoms, only_one)
    return people, sent_at if isinstance(sent_at, datetime) else _lenient_date(date, defect)


def _sealed(value: str, atoms: list[str]) -> str:
    """`value` with each run of encoded words put away in `atoms`."""

    def put_away(run: list[_EncodedWord]) -> str:
        atoms.append(clean(_run_decoded(run)))
        return f" \ue000{len(atoms) - 1}\ue001 "

    def name_put_away(name: re.Match[str]) -> str:
        atoms.append(_unsealed(name[1].strip(), atoms))
        return f" \ue000{len(atoms) - 1}\ue001 "

    value = value.replace("\ue000", "").replace("\ue001", "")
    if ";" in value and ":" not in _outside_quotes(value):  # no group: semicolons are somebody's commas
        value = _QUOTED_OR_SEMICOLON.sub(lambda found: "," if found[0] == ";" else found[0], value)
    enough = next(islice(re.finditer("[,;@]", value), _MAX_PEOPLE_MARKS, None), None)
    if enough or len(value) > _MAX_PEOPLE:
        value = value[: min(enough.start() if enough else _MAX_PEOPLE, _MAX_PEOPLE)]
        value = value.rpartition(",")[0]  # never half an address
    value = _words_replaced(value, put_away, cautious=True) if "=?" in value else value
    if len(value) > _MAX_PERSON:
        value = ",".join(_shortened(person) for person in value.split(","))
    return _NAME_WITH_COMMA.sub(name_put_away, value) if "," in value else value


def _shortened(person: str) -> str:
    """Of an endless name and address the end, from a place where an address can begin: mail-parser is slow."""
    if len(person) <= _MAX_PERSON:
        return person
    start = re.compile(r"[\s<]").search(person, len(person) - _MAX_PERSON)
    return person[start.start() :] if start else ""


def _unsealed(value: str, atoms: list[str]) -> str:
    return re.sub("\ue000([0-9]{1,6})\ue001", lambda seal: atoms[int(seal[1])], value) if "\ue000" in value else value


def _addresses(found: Iterable[tuple[str, str]], atoms: list[str]) -> tuple[Address, ...]:
    out: dict[str, Address] = {}
    for name, address in found:
        if len(out) == MAX_ADDRESSES:
            break
        if (safe := safe_address(address)) and safe not in out:
            out[safe] = Address(safe, _display_name(name, atoms))
    return tuple(out.values())


def _display_name(name: str, atoms: list[str]) -> str:
    return clean(_unsealed(name, atoms)).strip("\"' ")[:200]


def safe_address(address: str) -> str | None:
    """`address` in lower case, its domain in ASCII, when it can be named in SMTP without any quoting; else None."""
    local, at, domain = address.strip(" \t'\"").rstrip(".").rpartition("@")
    local, domain = local.strip("\"'").lower(), domain.lower()
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode("ascii") if len(domain) < 256 else ""
        except UnicodeError:
            return None
    if at and local.isprintable() and _LOCAL_PART.fullmatch(local) and len(domain) < 254 and _DOMAIN.fullmatch(domain):
        return f"{local}@{domain}"
    return None


def _outside_quotes(value: str) -> str:
    return re.sub(r'"[^"]*+"|\([^()]*+\)', " ", value)


def _bare_addresses(value: str, atoms: list[str], only_one: bool) -> tuple[Address, ...]:
    """The addresses outside quotes in a field that follows no grammar (`Ana <a@x.co`); `only_one`: or none."""
    bare = _outside_quotes(value)
    if only_one and "<" in bare and "@" in bare.partition("<")[0]:
        return ()  # a name that poses as an address
    words = [_SCHEME.sub("", word) for word in re.split(r"[\s<>\[\](),;\"]+", bare) if "@" in word]
    found = dict.fromkeys(safe for word in words[:MAX_ADDRESSES] if (safe := safe_address(word)))
    if len(found) == 1 and len(words) <= 50:
        return (Address(next(iter(found)), _display_name(value.partition("<")[0] if "<" in value else "", atoms)),)
    return () if only_one else tuple(Address(safe) for safe in found)


def _with_missed(some: tuple[Address, ...], value: str, only_one: bool) -> tuple[Address, ...]:
    """Of a list that follows no grammar everywhere, those behind the place where mail-parser gave up as well."""
    if only_one or not some or value.count("@") <= len(some):
        return some
    found = {one.address: one for one in some}
    for person in _outside_quotes(value).split(","):
        for word in _IN_BRACKETS.findall(person) if "<" in person else person.split():
            safe = safe_address(word)
            if safe and len(found) < MAX_ADDRESSES:
                found.setdefault(safe, Address(safe))
    return tuple(found.values())


def _lenient_date(value: str, defect: Callable[[str], None]) -> datetime | None:
    """A Date that mail-parser refuses: in Spanish, as ISO 8601, or without a zone (then it counts as UTC)."""
    if not value:
        return None
    try:
        moment = _iso_date(value) or parsedate_to_datetime(_english_date(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except Exception:  # noqa: BLE001  # ValueError, TypeError, OverflowError, IndexError: it depends on the version
        defect("Date could not be read")
        return None


def _iso_date(value: str) -> datetime | None:
    found = _ISO_DATE.match(value)
    return datetime.fromisoformat(found[0].replace(" ", "T", 1).replace(" ", "")) if found else None


def _english_date(value: str) -> str:
    value = _OFFSET.sub(lambda zone: f"{zone[1]}{int(zone[2]):02}{zone[3] or '00'}", value)
    value = re.sub(r"^[^\W\d]{2,12}\.?,?\s+(?=[0-9])", "", value)
    value = re.sub(r"\b([0-9]{1,2})\.([0-9]{2})(?:\.([0-9]{2}))?(?=\s|$)", r"\1:\2:\3", value).replace(": ", " ")
    value = re.sub(r"\b([0-9]{1,2}) de ([a-z]+) del? ", r"\1 \2 ", value, flags=re.IGNORECASE)
    return _SPANISH_MONTH.sub(lambda month: _MONTHS.get(month[1].lower(), month[1]), value)


def ids_in(value: str) -> tuple[str, ...]:
    """The message ids of a header in order, the first and the last ones of very many."""
    value = words_decoded(value) if "=?" in value else value
    bracketed = ("".join(inside.split()) for inside in _BRACKETED_ID.findall(value))
    ids = [f"<{inside}>" for inside in bracketed if _ID.fullmatch(inside)]
    if not ids:
        ids = [f"<{word}>" for word in re.split(r"[\s<>,;\"]+", value) if _BARE_ID.fullmatch(word)]
    if len(ids) > _FIRST_REFERENCES + _LAST_REFERENCES:
        ids = ids[:_FIRST_REFERENCES] + ids[-_LAST_REFERENCES:]
    return tuple(ids)


def made_id(content_hash: str, fields: Mapping[str, bytes]) -> str:
    """For a mail without one: from its content and the fields no gateway changes. Two people who both write "Gracias"
    have two ids; the same mail that comes by two aliases has one."""
    seen = hashlib.sha256(content_hash.encode())
    for name in ("from", "date", "subject"):
        seen.update(b"\0" + b" ".join(fields.get(name, b"").split()))
    return f"<{seen.hexdigest()[:32]}@{SYNTHETIC_DOMAIN}>"


def received_at(mail: Mail) -> datetime | None:
    """When the last server on the way says it took the mail (RFC 5321 section 4.4), UTC; None when it does not say."""
    _, mark, date = mail.header("received").rpartition(";")
    return _lenient_date(date.strip(), lambda defect: None) if mark else None


def decode_text(data: bytes) -> str:
    """Text of unknown charset: UTF-8 if it is, else Windows."""
    return decoded(data, "")


def from_base64(data: bytes) -> bytes:
    """Base64 in one piece, or in several that are each padded."""
    out = bytearray()
    for letters in data.translate(None, NOT_BASE64).split(b"="):
        whole = letters[:-1] if len(letters) % 4 == 1 else letters  # six bits make no byte
        out += binascii.a2b_base64(whole + b"==")
    return bytes(out)
