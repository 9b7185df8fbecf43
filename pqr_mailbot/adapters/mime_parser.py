"""Raw bytes of a mail -> Mail: never raises, in time linear in the bytes, with bounded memory.

mail-parser reads the address and date fields: it is right where the standard library can be led to a spoofed sender.
Its walk over the body merges forwarded text into the customer's, drops nameless attachments, loses letters of wrongly
declared charsets, and holds a 30 MB attachment in memory several times over. So the body is split here, in place, by
offsets into the raw bytes; base64 never goes through a parser, but is measured and hashed piece by piece.
"""

from __future__ import annotations

import binascii
import codecs
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from functools import lru_cache
from itertools import chain

import mailparser

from pqr_mailbot.adapters.html_text import html_text
from pqr_mailbot.domain.model import SYNTHETIC_DOMAIN, Address, Attachment, Mail

MAX_TEXT = 1_000_000  # characters of readable text kept
MAX_FIELDS = 2_000  # header fields of a mail
MAX_VALUE = 8_000  # characters of a header's value
MAX_SUBJECT = 1_000
MAX_ADDRESSES = 200
MAX_PARTS = 1_000
_MAX_MARKS = 10 * MAX_PARTS  # lines looked at that begin like a boundary
MAX_DEPTH = 20  # multiparts inside one another: each level reads its bytes once more
_MAX_TEXT_BYTES = 2_000_000  # of all text parts together, decoded; the rest is only hashed
_MAX_RAW_VALUE = 64_000  # bytes of a field read at all: References and To may be long
_MAX_PEOPLE = 32_000  # characters of an address field
_MAX_TYPE = 4_000  # bytes of Content-Type and the like, whose parameters the standard library reads in the square
_MAX_NAME = 150  # characters of a file name
_CHUNK = 1 << 20
_FIRST_REFERENCES, _LAST_REFERENCES = 20, 80

logging.getLogger("mailparser").setLevel(logging.CRITICAL)  # its warnings quote the mail

_FIELD = re.compile(rb"([!-9;-~]{1,200}+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_ENVELOPE = re.compile(rb">?From [^\n]*+(?:\n|\Z)")  # mbox leaves one before the headers
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# The marks that turn the reading direction round, to disguise a file name or a sender, and what no text can hold.
_INVISIBLE = re.compile(r"[\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_UNSAFE_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_LINE_BREAK = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?<>\"]{0,2000})\?=")
_ENCODED_WORDS = re.compile(rf"{_ENCODED_WORD.pattern}(?:\s+{_ENCODED_WORD.pattern})*")
_LOCAL_PART = re.compile(r"[^\s<>()\[\],;:\\\"@\ue000-\uf8ff]{1,64}")
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*+")
_BRACKETED_ID = re.compile(r"<([^<>]{1,998})>")
_ID = re.compile(r"[!-;=?-~]{1,900}")
_BARE_ID = re.compile(r"[!-;=?A-~]{1,400}@[!-;=?A-~]{1,400}")
_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_BLANKS = b" \t\r\n\f\v"
_CHARSET = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,40}")
_NO_CHARSETS = frozenset({"punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape"})  # slow, or no text
_CP1252 = frozenset({"ascii", "iso8859-1", "cp1252"})  # what they are declared by is Windows, mostly
_STATEFUL = re.compile(r"utf-(?:7|16|32)|iso2022|hz")  # their bytes look like UTF-8 and are not
_EXTENSIONS = {
    "application/msword": "doc",
    "application/octet-stream": "bin",
    "application/pdf": "pdf",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/xml": "xml",
    "application/zip": "zip",
    "audio/mpeg": "mp3",
    "image/jpeg": "jpg",
    "image/svg+xml": "svg",
    "message/rfc822": "eml",
    "text/calendar": "ics",
    "text/plain": "txt",
}
_MONTHS = {"ene": "Jan", "abr": "Apr", "ago": "Aug", "sept": "Sep", "dic": "Dec"}  # the others begin as in English
_SPANISH_MONTH = re.compile(r"\b(ene|abr|ago|sept|dic)[a-z]*\.?", re.IGNORECASE)


@dataclass(slots=True)
class _Body:
    """What the walk over the parts has gathered."""

    attachments: list[Attachment] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)  # of the attachments' content
    defects: list[str] = field(default_factory=list)
    parts: int = 0
    room: int = _MAX_TEXT_BYTES  # bytes of text that may still be kept
    text_hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def defect(self, what: str) -> None:
        if what not in self.defects and len(self.defects) < 20:
            self.defects.append(what)

    def content_hash(self) -> str:
        return hashlib.sha256(self.text_hash.digest() + b"".join(self.digests)).hexdigest()


@dataclass(frozen=True, slots=True)
class _Text:
    """One readable part, decoded; HTML still as HTML."""

    html: bool
    text: str

    @property
    def blank(self) -> bool:
        return not self.readable

    @property
    def readable(self) -> str:
        return _clean_text(html_text(self.text) if self.html else self.text)


@dataclass(frozen=True, slots=True)
class _Part:
    """One part: the range of the raw bytes that is its body, and what its header says of it."""

    raw: bytes
    start: int
    end: int
    header: Message

    @property
    def kind(self) -> str:
        try:
            kind = self.header.get_content_type().lower()
        except Exception:  # noqa: BLE001  # the standard library trips over some parameters in many ways
            kind = ""
        return kind if _TYPE.fullmatch(kind) else "application/octet-stream"

    @property
    def disposition(self) -> str:
        return str(self.header.get("content-disposition", "")).partition(";")[0].strip().lower()

    @property
    def encoding(self) -> str:
        return str(self.header.get("content-transfer-encoding", "")).partition(";")[0].strip().lower()

    def parameter(self, name: str, header: str = "content-type") -> str:
        """A parameter of a header, RFC 2231 and RFC 2047 decoded and free of controls; "" when absent."""
        try:
            value = self.header.get_param(name, header=header)
        except Exception:  # noqa: BLE001  # as above; then by the naked eye
            found = re.search(rf'(?i);\s{{0,9}}{name}\s{{0,9}}=\s{{0,9}}"?([^";]+)', str(self.header.get(header, "")))
            value = found[1] if found else ""
        if isinstance(value, tuple):  # RFC 2231: (charset, language, value with one character a byte)
            charset, _, text = value
            value = _decoded(text.encode("latin-1", "replace"), charset or "")
        return _clean(_words_decoded(str(value or "")))


def parse(raw: bytes, complete: bool = True) -> Mail:
    """The mail in `raw`, whatever that is. `complete` False: the bytes are only the beginning of a mail too big.

    Never raises: what cannot be read is left empty and named in `defects`.
    """
    try:
        return _parse(raw, complete)
    except Exception as error:  # noqa: BLE001  # a mail must never stand in the way of the next one
        digest = hashlib.sha256(raw).hexdigest()
        defects = (f"unreadable: {type(error).__name__}",)
        return Mail(_made_id(digest, {}), None, "", "", digest, complete=complete, defects=defects)


def _parse(raw: bytes, complete: bool) -> Mail:
    found, start = _fields(raw, 0, len(raw))
    first = dict(reversed(found))
    body = _Body()
    root = _Part(raw, start, len(raw), _type_header(first))
    texts = list(_texts(root, body, 0))
    text = "\n\n".join(filter(None, (piece.readable for piece in texts)))[:MAX_TEXT]
    content_hash = body.content_hash()
    values = {name: _unfolded(value) for name, value in first.items() if name in _READ_WHOLE}
    people, sent_at = _people(values, body)
    ids = {name: _ids(values.get(name, "")) for name in ("message-id", "in-reply-to", "references")}
    if not people["from"]:
        body.defect("From could not be read" if "from" in first else "no From")
    if not ids["message-id"]:
        body.defect("no usable Message-ID")
    return Mail(
        message_id=ids["message-id"][0] if ids["message-id"] else _made_id(content_hash, first),
        sender=people["from"][0] if people["from"] else None,
        subject=_header_value(first.get("subject", b""))[:MAX_SUBJECT],
        text=text,
        content_hash=content_hash,
        headers=tuple((name, _header_value(value)) for name, value in found),
        reply_to=people["reply-to"],
        to=people["to"],
        cc=people["cc"],
        in_reply_to=ids["in-reply-to"],
        references=ids["references"],
        attachments=tuple(body.attachments),
        content_type=root.kind,
        sent_at=sent_at,
        complete=complete,
        defects=tuple(body.defects),
    )


# --- header fields ---------------------------------------------------------------------------------------------------

_PEOPLE = ("from", "reply-to", "to", "cc")
_READ_WHOLE = frozenset((*_PEOPLE, "date", "message-id", "in-reply-to", "references"))


def _fields(raw: bytes, start: int, end: int) -> tuple[list[tuple[str, bytes]], int]:
    """The fields of the header at `start` as (lower-case name, raw value), and where the body begins."""
    found: list[tuple[str, bytes]] = []
    position = start + 3 * raw.startswith(codecs.BOM_UTF8, start)
    envelope = _ENVELOPE.match(raw, position, end)
    if envelope:
        position = envelope.end()
    while len(found) < MAX_FIELDS and (match := _FIELD.match(raw, position, end)):
        found.append((match[1].decode("ascii").lower(), _clipped(raw, *match.span(2))))
        position = match.end()
    if len(found) == MAX_FIELDS:
        blank = _BLANK_LINE.search(raw, position - 1, end)
        return found, blank.end() if blank else end
    for line_end in (b"\r\n", b"\n"):
        if raw.startswith(line_end, position, end):
            return found, position + len(line_end)
    return found, position  # a line that is no field: the body has begun


def _clipped(raw: bytes, start: int, end: int) -> bytes:
    """A value of bounded length, the beginning and the end of it: the last references are those that matter."""
    if end - start <= _MAX_RAW_VALUE:
        return raw[start:end]
    return raw[start : start + _MAX_RAW_VALUE // 4] + b" " + raw[end - _MAX_RAW_VALUE * 3 // 4 : end]


def _unfolded(value: bytes) -> str:
    """One line of text without controls, encoded words still encoded; raw 8-bit is UTF-8 or else Windows."""
    return _clean(_decoded(value, "", cut=len(value) >= MAX_VALUE))


def _header_value(value: bytes) -> str:
    return _clean(_words_decoded(_unfolded(value[: MAX_VALUE * 2])))[:MAX_VALUE].rstrip()


def _clean(value: str) -> str:
    if not value.isascii():
        value = _INVISIBLE.sub("", value)
    return " ".join(_CONTROLS.sub(" ", value).split())


def _words_decoded(value: str) -> str:
    """`value` with its RFC 2047 words decoded; neighbours are joined as bytes, for some split inside a character."""
    if "=?" not in value:
        return value
    return _ENCODED_WORDS.sub(lambda run: _run_decoded(run[0]), value)


def _run_decoded(run: str) -> str:
    pieces: list[tuple[str, bytearray]] = []
    for charset, encoding, payload in _ENCODED_WORD.findall(run):
        charset = charset.partition("*")[0].lower()
        data = _from_base64(payload.encode()) if encoding in "bB" else _from_quoted(payload)
        if pieces and pieces[-1][0] == charset:
            pieces[-1][1].extend(data)
        else:
            pieces.append((charset, bytearray(data)))
    return "".join(_decoded(bytes(data), charset) for charset, data in pieces)


def _from_quoted(payload: str) -> bytes:
    return binascii.a2b_qp(payload.encode("utf-8", "replace"), header=True)


def _people(values: dict[str, str], body: _Body) -> tuple[dict[str, tuple[Address, ...]], datetime | None]:
    """The addresses of the four address fields and the Date, as mail-parser reads them.

    Encoded words are replaced by single private-use atoms first: what an encoded word says must never become an
    address, and mail-parser raises on broken ones.
    """
    atoms: list[str] = []
    sealed = {name: _sealed(values[name], atoms) for name in _PEOPLE if values.get(name)}
    date = values.get("date", "")[:200]
    lines = [f"{name}: {value}\n" for name, value in (*sealed.items(), ("date", date))]
    try:
        parsed = mailparser.parse_from_string("".join(lines) + "\n")
        read = {"from": parsed.from_, "reply-to": parsed.reply_to, "to": parsed.to, "cc": parsed.cc}
        sent_at = parsed.date
    except Exception as error:  # noqa: BLE001  # it lets exceptions of the standard library through
        body.defect(f"mail-parser: {type(error).__name__}")
        read, sent_at = {}, None
    people = {}
    for name in _PEOPLE:
        some = _addresses(read.get(name) or (), atoms)
        people[name] = some or _only_address(sealed.get(name, ""), atoms)
    return people, sent_at if isinstance(sent_at, datetime) else _lenient_date(date, body)


def _sealed(value: str, atoms: list[str]) -> str:
    """`value` with each run of encoded words put away in `atoms`."""

    def put_away(run: re.Match[str]) -> str:
        atoms.append(_clean(_run_decoded(run[0])))
        return f"\ue000{len(atoms) - 1}\ue001"

    value = value.replace("\ue000", "").replace("\ue001", "")
    if ":" not in value:  # no group: semicolons are somebody's commas
        value = value.replace(";", ",")
    if len(value) > _MAX_PEOPLE:
        value = value[:_MAX_PEOPLE].rpartition(",")[0]  # never half an address
    return _ENCODED_WORDS.sub(put_away, value) if "=?" in value else value


def _unsealed(value: str, atoms: list[str]) -> str:
    return re.sub("\ue000([0-9]{1,6})\ue001", lambda seal: atoms[int(seal[1])], value) if "\ue000" in value else value


def _addresses(found: Iterable[tuple[str, str]], atoms: list[str]) -> tuple[Address, ...]:
    out: dict[str, Address] = {}
    for name, address in found:
        if len(out) == MAX_ADDRESSES:
            break
        if (safe := safe_address(address)) and safe not in out:
            out[safe] = Address(safe, _clean(_unsealed(name, atoms)).strip("\"' ")[:200])
    return tuple(out.values())


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


def _only_address(value: str, atoms: list[str]) -> tuple[Address, ...]:
    """The address in a field that follows no grammar (`Ana <a@x.co`), when there is exactly one outside quotes."""
    bare = re.sub(r'"[^"]*+"|\([^()]*+\)', " ", value)
    if "<" in bare and "@" in bare.partition("<")[0]:
        return ()  # a name that poses as an address
    words = [word.removeprefix("mailto:") for word in re.split(r"[\s<>\[\](),;\"]+", bare) if "@" in word]
    found = {safe for word in words[:50] if (safe := safe_address(word))}
    if len(found) != 1 or len(words) > 50:
        return ()
    name = value.partition("<")[0] if "<" in value else ""
    return (Address(found.pop(), _clean(_unsealed(name, atoms)).strip("\"' ")[:200]),)


def _lenient_date(value: str, body: _Body) -> datetime | None:
    """A Date that mail-parser refuses: in Spanish, or without a zone (then it counts as UTC)."""
    if not value:
        return None
    value = re.sub(r"^[^\W\d]{2,12}\.?,?\s+", "", value)
    value = _SPANISH_MONTH.sub(lambda month: _MONTHS[month[1].lower()], value)
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except Exception:  # noqa: BLE001  # ValueError, TypeError, OverflowError, IndexError: it depends on the version
        body.defect("Date could not be read")
        return None


def _ids(value: str) -> tuple[str, ...]:
    """The message ids of a header in order, the first and the last ones of very many."""
    value = _words_decoded(value) if "=?" in value else value
    bracketed = ("".join(inside.split()) for inside in _BRACKETED_ID.findall(value))
    ids = [f"<{inside}>" for inside in bracketed if _ID.fullmatch(inside)]
    if not ids:
        ids = [f"<{word}>" for word in re.split(r"[\s<>,;\"]+", value) if _BARE_ID.fullmatch(word)]
    if len(ids) > _FIRST_REFERENCES + _LAST_REFERENCES:
        ids = ids[:_FIRST_REFERENCES] + ids[-_LAST_REFERENCES:]
    return tuple(ids)


def _made_id(content_hash: str, fields: Mapping[str, bytes]) -> str:
    """For a mail without one: from its content and the fields no gateway changes. Two people who both write "Gracias"
    have two ids; the same mail that comes by two aliases has one."""
    seen = hashlib.sha256(content_hash.encode())
    for name in ("from", "date", "subject"):
        seen.update(b"\0" + b" ".join(fields.get(name, b"").split()))
    return f"<{seen.hexdigest()[:32]}@{SYNTHETIC_DOMAIN}>"


def received_at(mail: Mail) -> datetime | None:
    """When the last server on the way says it took the mail (RFC 5321 section 4.4), UTC; None when it does not say."""
    _, mark, date = mail.header("received").rpartition(";")
    return _lenient_date(date.strip(), _Body()) if mark else None


def decode_text(data: bytes) -> str:
    """Text of unknown charset: UTF-8 if it is, else Windows."""
    return _decoded(data, "")


# --- parts -----------------------------------------------------------------------------------------------------------


def _type_header(fields: dict[str, bytes], default: str = "text/plain") -> Message:
    """What says how a part is to be read, as the standard library's Message, which knows about parameters."""
    header = Message()
    header.set_default_type(default)
    for name in ("content-type", "content-disposition", "content-transfer-encoding"):
        if name in fields:
            header[name] = _unfolded(fields[name][:_MAX_TYPE])
    return header


def _texts(part: _Part, body: _Body, depth: int) -> Iterator[_Text]:
    """The readable texts of a part in order; its attachments go to `body`."""
    kind = part.kind
    if kind.startswith("multipart/") and depth < MAX_DEPTH:
        children = list(_children(part, body))
        if children:
            texts = [text for child in children for text in _texts(child, body, depth + 1)]
            yield from _preferred(texts) if kind == "multipart/alternative" else texts
            return
        body.defect("multipart without parts")
        kind = "text/plain"  # what stands there may still be what the customer wrote
    elif kind.startswith("multipart/"):
        body.defect("parts nested too deep")
    if kind in ("text/plain", "text/html") and not _is_file(part, depth):
        yield _text_of(part, kind == "text/html", body)
    else:
        _attach(part, body)


def _is_file(part: _Part, depth: int) -> bool:
    if part.disposition == "attachment" or part.parameter("filename", "content-disposition"):
        return True
    return depth > 0 and bool(part.parameter("name"))  # a mail of one part may well name its only text


def _preferred(texts: list[_Text]) -> list[_Text]:
    """Of alternatives the plain ones, unless they say nothing."""
    plain = [text for text in texts if not text.html and not text.blank]
    return plain or [text for text in texts if text.html]


def _children(part: _Part, body: _Body) -> Iterator[_Part]:
    default = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
    for start, end in _ranges(part):
        body.parts += 1
        if body.parts > MAX_PARTS:
            body.defect("too many parts")
            return
        fields, begin = _fields(part.raw, start, end)
        yield _Part(part.raw, begin, max(begin, end), _type_header(dict(reversed(fields)), default))


def _ranges(part: _Part) -> Iterator[tuple[int, int]]:
    """Where the parts of a multipart begin and end. A boundary that is missing at the end counts as being there."""
    raw, start = part.raw, -1
    for line_start, line_end, closing in _delimiters(part):
        if start >= 0:
            end = line_start - 1  # the line break before a boundary belongs to the boundary
            end -= raw[end - 1 : end] == b"\r"
            yield start, max(start, end)
        start = line_end
        if closing:
            return
    if start >= 0:
        yield start, part.end


def _delimiters(part: _Part) -> Iterator[tuple[int, int, bool]]:
    """(start, end, is it the last) of each boundary line."""
    raw, boundary = part.raw, _boundary(part)
    mark = b"\n--" + boundary
    at_once = raw.startswith(mark[1:], part.start, part.end)
    position = part.start - 1 if at_once else raw.find(mark, part.start, part.end)
    if not boundary or (position < 0 and not at_once):
        return
    for _ in range(_MAX_MARKS):
        after = position + len(mark)
        line_end = raw.find(b"\n", after, min(after + 200, part.end)) + 1 or min(part.end, after + 200)
        rest = raw[after:line_end].strip()
        if rest in (b"", b"--"):
            yield position + 1, line_end, rest == b"--"
        position = raw.find(mark, max(line_end - 1, after), part.end)
        if position < 0:
            return


def _boundary(part: _Part) -> bytes:
    try:
        declared = part.header.get_boundary() or ""
    except Exception:  # noqa: BLE001  # as for parameters
        declared = ""
    if declared:
        return declared.encode("utf-8", "replace")[:200]
    guess = re.compile(rb"\s*--([^\s-][^\r\n]{0,70})").match(part.raw, part.start, part.end)
    return guess[1].rstrip() if guess else b""


def _text_of(part: _Part, html: bool, body: _Body) -> _Text:
    """A text part decoded; all of it goes into the hash, white space aside, which gateways change."""
    kept = bytearray()
    chunks = _content(part)
    for chunk in chunks:
        kept += chunk
        if len(kept) > body.room:
            break
    head, tail = bytes(kept[: body.room]), bytes(kept[body.room :])
    body.room -= len(head)
    charset = part.parameter("charset").strip("'\" ").lower()
    if charset and not _codec(charset):
        body.defect(f"charset {charset if _CHARSET.fullmatch(charset) else ''} unknown")
    text = _decoded(head, charset, cut=bool(tail))
    for start in range(0, len(text), _CHUNK):
        body.text_hash.update("".join(text[start : start + _CHUNK].split()).encode("utf-8", "replace"))
    for chunk in chain((tail,), chunks):
        body.text_hash.update(chunk.translate(None, _BLANKS))
    if tail:
        body.defect("text cut")
    return _Text(html, text)


def _attach(part: _Part, body: _Body) -> None:
    size, digest = 0, hashlib.sha256()
    lines = part.encoding != "base64" or part.kind.startswith(("text/", "message/"))
    for chunk in _content(part):
        size += len(chunk)
        digest.update(chunk.translate(None, b"\r") if lines else chunk)  # line ends change on the way
    name = part.parameter("filename", "content-disposition") or part.parameter("name")
    named = safe_file_name(name) or _name_for(part.kind, len(body.attachments) + 1)
    body.attachments.append(Attachment(named, part.kind, size))
    body.digests.append(digest.digest())


def _name_for(kind: str, number: int) -> str:
    main, _, sub = kind.partition("/")
    if kind == "message/rfc822":
        return f"mensaje-adjunto-{number}.eml"
    fallback = "txt" if main in ("message", "text") else "bin"
    telling = main in ("image", "audio", "video", "text") and sub.isalnum() and len(sub) < 10
    return f"adjunto-{number}.{_EXTENSIONS.get(kind, sub if telling else fallback)}"


def safe_file_name(name: str) -> str:
    """The last component of `name` without what a file system or a reader's eye trips over; "" when none is left."""
    name = _clean(re.split(r"[/\\]", name)[-1]).lstrip(". ").rstrip(" ")
    stem, dot, extension = name.rpartition(".")
    if len(name) > _MAX_NAME and dot and 0 < len(extension) <= 20:
        return f"{stem[: _MAX_NAME - len(extension) - 1]}.{extension}"
    return name[:_MAX_NAME]


# --- bytes -----------------------------------------------------------------------------------------------------------


def _content(part: _Part) -> Iterator[bytes]:
    """The decoded content of a leaf, in pieces."""
    if part.encoding == "base64":
        yield from _base64_pieces(part)
        return
    start = part.start
    while start < part.end:
        end = min(start + _CHUNK, part.end)
        if end < part.end:
            end = part.raw.rfind(b"\n", start, end) + 1 or end
        piece = part.raw[start:end]
        yield binascii.a2b_qp(piece) if part.encoding == "quoted-printable" else piece
        start = end


def _base64_pieces(part: _Part) -> Iterator[bytes]:
    """As a mail client reads it: what is not of the alphabet is skipped, and padding is the end."""
    rest = b""
    for start in range(part.start, part.end, _CHUNK):
        letters = rest + part.raw[start : min(start + _CHUNK, part.end)].translate(None, _NOT_BASE64)
        letters, padding, _ = letters.partition(b"=")
        whole = len(letters) // 4 * 4
        rest = letters[whole:]
        yield binascii.a2b_base64(letters[:whole])
        if padding:
            break
    yield _from_base64(rest)


def _from_base64(data: bytes) -> bytes:
    letters = data.translate(None, _NOT_BASE64).partition(b"=")[0]
    if len(letters) % 4 == 1:
        letters = letters[:-1]  # six bits make no byte
    return binascii.a2b_base64(letters + b"==")


@lru_cache(maxsize=256)
def _codec(charset: str) -> str:
    """The codec for a declared charset, "" when there is none that reads text."""
    if not _CHARSET.fullmatch(charset):
        return ""
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # refuses codecs that are not between text and bytes
    except (LookupError, ValueError, UnicodeError, TypeError):
        return ""
    return "" if name.replace("-", "_") in _NO_CHARSETS else name


def _decoded(data: bytes, charset: str, cut: bool = False) -> str:
    """Text from bytes: UTF-8 if it is, else as declared, else Windows. `cut`: the end may be half a character."""
    codec = _codec(charset.strip().lower()) if charset else ""
    order = [codec, "utf-8"] if _STATEFUL.match(codec.replace("_", "-")) else ["utf-8", codec]
    for name in order:
        if name and name not in _CP1252:
            try:
                return codecs.getincrementaldecoder(name)().decode(data, not cut)
            except (UnicodeError, LookupError, ValueError, AssertionError):
                continue
    return data.decode("cp1252", "replace")


def _clean_text(text: str) -> str:
    lines = _UNSAFE_IN_TEXT.sub("", _LINE_BREAK.sub("\n", text[: 2 * MAX_TEXT]))
    return lines.strip("\n") if lines.strip() else ""
