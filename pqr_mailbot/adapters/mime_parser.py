"""Raw bytes of a mail -> Mail: never raises, in time linear in the bytes, with bounded memory.

mail-parser reads the address and date fields: it is right where the standard library can be led to a spoofed sender.
Its walk over the body merges forwarded text into the customer's, drops nameless attachments, loses letters of wrongly
declared charsets, and holds a 30 MB attachment in memory several times over. So the body is split here, in place, by
offsets into the raw bytes; base64 never goes through a parser, but is measured and hashed piece by piece.

The rule where a mail is broken: what may be words of the customer is kept, in the order it stands.
"""

from __future__ import annotations

import binascii
import codecs
import contextlib
import hashlib
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property, lru_cache
from itertools import chain, islice
from urllib.parse import unquote_to_bytes

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
MAX_DEPTH = 50  # multiparts inside one another: each level reads its bytes once more
_MAX_TEXT_BYTES = 2_000_000  # of all text parts together, decoded; the rest is only hashed
_MAX_RAW_VALUE = 64_000  # bytes of a field read at all: References and To may be long
_MAX_PEOPLE = 32_000  # characters of an address field
_MAX_PERSON = 1_000  # characters of one name and address
_MAX_PEOPLE_MARKS = 4 * MAX_ADDRESSES  # commas, semicolons and @ in one: mail-parser is slow at them
_MAX_TYPE = 16_000  # bytes of Content-Type and the like
_MAX_NAME = 150  # characters of a file name
_CHUNK = 1 << 20
_FIRST_REFERENCES, _LAST_REFERENCES = 20, 80
_MAX_PADDED = 100  # pieces of base64 in one text, each with its padding, that are looked at one by one
_MAX_JUNK = 20  # lines in a header that are none of its fields
_MAX_INSIDE = 200  # files listed out of one winmail.dat or one text of uuencoded files
_MAX_CONTAINER = 40_000_000  # bytes of a winmail.dat or a signed envelope that is opened

logging.getLogger("mailparser").setLevel(logging.CRITICAL)  # its warnings quote the mail

_FIELD = re.compile(rb"([!-9;-~]{1,200}+)[ \t]*:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_ENVELOPE = re.compile(rb">?From [^\n]*+(?:\n|\Z)")  # mbox leaves one before the headers
_BLANK_LINE = re.compile(rb"\n\r?\n")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
# The marks that turn the reading direction round, to disguise a file name or a sender, and what no text can hold.
_INVISIBLE = re.compile(r"[\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_UNSAFE_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_LINE_BREAKS = ("\r\r\n", "\r\n", "\r", "\x85", "\u2028", "\u2029")
_WORD = re.compile(r"=\?([^?\s=<>\"]{1,60})\?([bBqQ])\?")  # the beginning of an encoded word
_WORD_STOPS = re.compile(r"[<>\",]")
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/=\s]*")
# A name that should have been in quotes: Pérez, Ana <ana@x.co>
_NAME_WITH_COMMA = re.compile(r"""(?:^|(?<=,))\s?((?:[^,;<>@"():\\]{1,80}+,\s?){1,2}[^,;<>@"():\\]{1,80}+)(?=<)""")
# `From: juan perez@x.co`: no brackets say where the address begins, and an answer to perez@x.co may reach a stranger.
_CUT_ADDRESS = re.compile(r"\A[^<>,;:@]*[^\s<>,;:@\ue001]\s+[^\s<>,;:@\[\]]{1,64}@[^\s<>,;:@\[\]]+\s*\Z")
_LOCAL_PART = re.compile(r"[^\s<>()\[\],;:\\\"@\ue000-\uf8ff]{1,64}")
_DOMAIN = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*+")
_BRACKETED_ID = re.compile(r"<([^<>]{1,998})>")
_ID = re.compile(r"[!-;=?-~]{1,900}")
_BARE_ID = re.compile(r"[!-;=?A-~]{1,400}@[!-;=?A-~]{1,400}")
_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126})(?=$|[\s;,(\"'])")
# Unquoted values with spaces are read to their end, unless what follows is the next parameter without its semicolon.
_PARAMETER = re.compile(
    r"""(?:^|[;,\s])\s?([^\s;=,*"()]{1,80})(?:\*([0-9]{1,4}))?(\*)?\s?=\s?"""
    r"""(?:"((?:[^"\\]++|\\.)*+)|([^;\s]*+(?:\s(?![\w*-]{1,40}\s?=)[^;\s]++)*+))"""
)
# Names a header may have; a block without a single one of them is text that happens to contain colons.
_HEADER_NAME = re.compile(
    r"from|to|b?cc|subject|date|received|message-id|mime-version|return-path|sender|reply-to|delivered-to|references"
    r"|in-reply-to|auto-submitted|precedence|errors-to|envelope-to|apparently-to|status|path|newsgroups|user-agent"
    r"|organi[sz]ation|comments|keywords|importance|priority|authentication-results|return-receipt-to"
    r"|(?:content|list|resent|thread|dkim|arc|disposition|original|x)-.*"
)
_GUESSED_BOUNDARY = re.compile(rb"(?i)(?:\A|\n)--([^\r\n]{1,200}?)[ \t]{0,20}\r?\ncontent-[a-z-]{3,30}:")
_FIRST_BOUNDARY = re.compile(rb"\s*--([^\s-][^\r\n]{0,70})")
# What stands before the first part: a word to programs that do not know MIME.
_PREAMBLE = re.compile(r"(?i)mime\b|multi-?part|varias partes|plusieurs|mehrteilig")
# A plain part that only says that the other one is to be read.
_STUB = re.compile(
    r"(?is)html.*(?:support|soport|display|vi[es]|admit|compatib|client|lector|read|browser|navegador|enabl|habilit|format)"
    r"|(?:support|soport|display|vi[es]|admit|compatib|client|lector|read|browser|navegador|enabl|habilit|format).*html"
    r"|\b(?:view|see|open|ver|vea|abr[ae]|visuali[cz]\w+)\b.{0,80}\b(?:browser|navegador|online|en l[ií]nea)\b"
    r"|\A\s*(?:https?://\S+\s*)+\Z"
)
_MAX_STUB = 400
_UUENCODED = re.compile(r"(?m)^begin [0-7]{3,4} ([^\n]{1,200})\n((?:[ -`]{1,90}\n|\n)++)(end[ \t]*$)?")
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_SOFT_BREAK = re.compile(rb"=[ \t]*+(?:\r?\n|\r|\Z)")
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="))
_BLANKS = b" \t\r\n\f\v"
_CHARSET = re.compile(r"[a-z0-9][a-z0-9_.:-]{0,40}")
_NO_CHARSETS = frozenset({"punycode", "idna", "undefined", "unicode_escape", "raw_unicode_escape"})  # slow, or no text
_CP1252 = frozenset({"ascii", "iso8859-1", "cp1252"})  # what they are declared by is Windows, mostly
_STATEFUL = re.compile(r"utf-(?:7|16|32)|iso2022|hz")  # their bytes look like UTF-8 and are not
_EASTERN = frozenset({"gb18030", "gbk", "gb2312", "big5", "cp950", "big5hkscs", "cp932", "euc_jp", "cp949", "euc_kr"})
# Names the standard library does not know, and those whose bytes are in truth of a larger set.
_CHARSET_NAMES = (
    (re.compile(r"(?:x-|cs)?(?:windows|win|cp|ms)-?(125[0-8]|874|932|936|949|950)(?:[^0-9].*)?"), r"cp\1"),
    (re.compile(r"(?:x-|cs)?iso-?8859-?([0-9]{1,2})(?:-[ie]|[^0-9].*)?"), r"iso-8859-\1"),
    (re.compile(r"(?:x-)?(?:unicode-[0-9]-[0-9]-)?utf-?(7|8|16|32)(?:mb4|-?sig|-bom)?"), r"utf-\1"),
    (re.compile(r"(?:x-)?(?:gbk|gb_?2312(?:-80)?|gb18030|euc-cn|cp936)"), "gb18030"),
    (re.compile(r"(?:x-)?(?:s(?:hift)?[_-]?jis|windows-31j|ms_kanji)"), "cp932"),
    (re.compile(r"(?:x-)?(?:euc-kr|ks_?c_?5601(?:-1987)?|ksc5601)"), "cp949"),
    (re.compile(r"(?:x-)?(?:mac|macintosh|mac-?roman|x-mac-roman)"), "mac_roman"),
    (re.compile(r"(?:x-)?big-?5(?:-eten)?"), "cp950"),
    (re.compile(r"hz-gb-2312"), "hz"),
    (re.compile(r"latin-?([1-9])"), r"latin_\1"),
)
_HIGH_BYTES = {0xDC00 + byte: bytes([byte]).decode("cp1252", "replace") for byte in range(0x80, 0x100)}
_SURROGATES = re.compile(r"[\udc80-\udcff]")
_ENCODINGS = {
    "quotedprintable": "quoted-printable",
    "quoted printable": "quoted-printable",
    "base-64": "base64",
    "b": "base64",
    "q": "quoted-printable",
} | dict.fromkeys(("uuencode", "x-uue", "uue", "x-uu"), "x-uuencode")
# Text that is a file or another rendering of what stands beside it, not what somebody wrote here.
_NOT_PROSE = frozenset(
    {"text/calendar", "text/x-vcalendar", "text/vcard", "text/x-vcard", "text/directory", "text/rfc822"}
    | {"text/csv", "text/tab-separated-values", "text/css", "text/javascript", "text/xml", "text/rtf"}
    | {"text/rfc822-headers", "text/x-patch", "text/x-diff"}
)
_RENDERINGS = frozenset({"text/x-amp-html", "text/watch-html"})
_HTML = frozenset({"text/html", "text/xhtml", "text/x-html", "application/xhtml+xml"})
_READABLE_NAME = re.compile(r"(?i)[^.]*|.*\.(?:te?xt|html?|log|md|asc)")
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
_TYPES = {extension: kind for kind, extension in _EXTENSIONS.items()}
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{5,15}\s?(?:Z|[+-][0-9]{2}:?[0-9]{2})?")
_OFFSET = re.compile(r"\b(?:GMT|UTC|UT)\s?([+-])([0-9]{1,2}):?([0-9]{2})?\b")
_EncodedWord = tuple[str, str, str]  # charset, "b" or "q", payload
_MONTHS = {"ene": "Jan", "abr": "Apr", "ago": "Aug", "dic": "Dec"}  # the others begin as in English
_SPANISH_MONTH = re.compile(r"\b(ene|feb|mar|abr|may|jun|jul|ago|sep|oct|nov|dic)[a-z]*\.?", re.IGNORECASE)


@dataclass(slots=True)
class _Body:
    """What the walk over the parts has gathered."""

    attachments: list[Attachment] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)  # of the attachments' content
    defects: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)  # of every part, containers too
    found: list[_Text] = field(default_factory=list)  # text inside attached containers, for a mail that has no other
    parts: int = 0
    room: int = _MAX_TEXT_BYTES  # bytes of text that may still be kept
    text_hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def defect(self, what: str) -> None:
        if what not in self.defects and len(self.defects) < 20:
            self.defects.append(what)

    def content_hash(self) -> str:
        return hashlib.sha256(self.text_hash.digest() + b"".join(self.digests)).hexdigest()


@dataclass(frozen=True)
class _Text:
    """One readable part, decoded; HTML still as HTML."""

    html: bool
    text: str

    @cached_property
    def readable(self) -> str:
        return _clean_text(html_text(self.text) if self.html else self.text)


@dataclass(frozen=True, slots=True)
class _Head:
    """What the header of a part says about how it is to be read."""

    kind: str  # type/subtype, always one
    declared: bool  # did the mail itself say so?
    encoding: str
    disposition: str
    parameters: Mapping[str, str]  # of Content-Type
    filename: str  # of Content-Disposition

    @property
    def name(self) -> str:
        return self.filename or self.parameters.get("name", "")


@dataclass(frozen=True, slots=True)
class _Part:
    """One part: the range of the raw bytes that is its body, and what its header says of it."""

    raw: bytes
    start: int
    end: int
    head: _Head

    @property
    def kind(self) -> str:
        return self.head.kind


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
    raw = _straightened(raw)
    found, start = _fields(raw, 0, len(raw), whole=True)
    first = dict(reversed(found))
    body = _Body()
    root = _root(raw, start, first)
    text = _joined(_texts(root, body, 0)) or _joined(body.found) or _around_the_parts(root)
    charset = _charset_of_headers(root)
    content_hash = body.content_hash()
    values = {name: _unfolded(_unhalved(name, first[name]), charset) for name in _READ_WHOLE if name in first}
    people, sent_at = _people(values, body)
    ids = {name: _ids(values.get(name, "")) for name in ("message-id", "in-reply-to", "references")}
    if not people["from"]:
        body.defect("From could not be read" if "from" in first else "no From")
    if not ids["message-id"]:
        body.defect("no usable Message-ID")
    return Mail(
        message_id=ids["message-id"][0] if ids["message-id"] else _made_id(content_hash, first),
        sender=people["from"][0] if people["from"] else None,
        subject=_header_value(first.get("subject", b""), charset)[:MAX_SUBJECT],
        text=text,
        content_hash=content_hash,
        headers=tuple((name, _header_value(value, charset)) for name, value in found),
        reply_to=people["reply-to"],
        to=people["to"],
        cc=people["cc"],
        in_reply_to=ids["in-reply-to"],
        references=ids["references"],
        attachments=tuple(body.attachments),
        content_type=root.kind,
        part_types=tuple(body.types),
        sent_at=sent_at,
        complete=complete,
        defects=tuple(body.defects),
    )


def _straightened(raw: bytes) -> bytes:
    """The same mail in the shape every mail has: bytes of ASCII and lines that end in a line feed."""
    if raw[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        raw = raw.decode("utf-16", "replace").encode("utf-8", "replace")
    return raw.replace(b"\r", b"\n") if b"\r" in raw and b"\n" not in raw else raw


def _root(raw: bytes, start: int, fields: dict[str, bytes]) -> _Part:
    """The whole mail as a part. Without a Content-Type, a body that begins like a multipart is one."""
    root = _Part(raw, start, len(raw), _head(fields))
    if "content-type" not in fields:
        near = raw[start : start + 2_000]
        guess = _GUESSED_BOUNDARY.search(near)
        before = near[: guess.start()].strip() if guess else b""
        if guess and (not before or _PREAMBLE.search(_decoded(before, ""))):
            return _Part(raw, start, len(raw), _head({**fields, "content-type": b"multipart/mixed"}))
    return root


def _charset_of_headers(root: _Part) -> str:
    """What raw 8-bit header values are probably in: what the text says of itself, where letters stay letters."""
    charset = root.head.parameters.get("charset", "")
    return "" if _STATEFUL.match(_codec(charset).replace("_", "-")) else charset


def _joined(texts: Iterable[_Text]) -> str:
    return "\n\n".join(filter(None, (piece.readable for piece in texts)))[:MAX_TEXT]


# --- header fields ---------------------------------------------------------------------------------------------------

_PEOPLE = ("from", "reply-to", "to", "cc")
_READ_WHOLE = frozenset((*_PEOPLE, "date", "message-id", "in-reply-to", "references"))


def _fields(raw: bytes, start: int, end: int, whole: bool = False) -> tuple[list[tuple[str, bytes]], int]:
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


def _unhalved(name: str, value: bytes) -> bytes:
    """Of a clipped list of people the beginning, to the last comma: never half an address."""
    if name not in _PEOPLE or len(value) <= _MAX_RAW_VALUE:
        return value
    return value[: _MAX_RAW_VALUE // 4].rpartition(b",")[0]


def _unfolded(value: bytes, charset: str = "") -> str:
    """One line of text without controls, encoded words still encoded; raw 8-bit is UTF-8, `charset` or Windows."""
    return _clean(_decoded(value, charset, cut=len(value) >= MAX_VALUE))


def _header_value(value: bytes, charset: str = "") -> str:
    return _clean(_words_decoded(_unfolded(value[: MAX_VALUE * 2], charset)))[:MAX_VALUE].rstrip()


def _clean(value: str) -> str:
    if not value.isascii():
        value = _INVISIBLE.sub("", value)
    return " ".join(_CONTROLS.sub(" ", value).split())


def _words_decoded(value: str) -> str:
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
            data = _from_base64(payload[: len(payload) - odd].encode("utf-8", "replace"))
        else:
            data = binascii.a2b_qp(payload.encode("utf-8", "replace"), header=True)
        if pieces and pieces[-1][0] == charset:
            pieces[-1][1].extend(data)
        else:
            pieces.append((charset, bytearray(data)))
    return "".join(_decoded(bytes(data), charset) for charset, data in pieces)


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
    if _CUT_ADDRESS.search(_outside_quotes(sealed.get("from", ""))):
        read, sealed = {**read, "from": []}, {**sealed, "from": ""}
    people = {}
    for name in _PEOPLE:
        some = _addresses(read.get(name) or (), atoms)
        people[name] = some or _bare_addresses(sealed.get(name, ""), atoms, only_one=name in ("from", "reply-to"))
    return people, sent_at if isinstance(sent_at, datetime) else _lenient_date(date, body)


def _sealed(value: str, atoms: list[str]) -> str:
    """`value` with each run of encoded words put away in `atoms`."""

    def put_away(run: list[_EncodedWord]) -> str:
        atoms.append(_clean(_run_decoded(run)))
        return f" \ue000{len(atoms) - 1}\ue001 "

    def name_put_away(name: re.Match[str]) -> str:
        atoms.append(_unsealed(name[1].strip(), atoms))
        return f" \ue000{len(atoms) - 1}\ue001 "

    value = value.replace("\ue000", "").replace("\ue001", "")
    if ":" not in value:  # no group: semicolons are somebody's commas
        value = value.replace(";", ",")
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
    return _clean(_unsealed(name, atoms)).strip("\"' ")[:200]


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
    words = [word.removeprefix("mailto:") for word in re.split(r"[\s<>\[\](),;\"]+", bare) if "@" in word]
    found = dict.fromkeys(safe for word in words[:MAX_ADDRESSES] if (safe := safe_address(word)))
    if len(found) == 1 and len(words) <= 50:
        return (Address(next(iter(found)), _display_name(value.partition("<")[0] if "<" in value else "", atoms)),)
    return () if only_one else tuple(Address(safe) for safe in found)


def _lenient_date(value: str, body: _Body) -> datetime | None:
    """A Date that mail-parser refuses: in Spanish, as ISO 8601, or without a zone (then it counts as UTC)."""
    if not value:
        return None
    try:
        moment = _iso_date(value) or parsedate_to_datetime(_english_date(value))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except Exception:  # noqa: BLE001  # ValueError, TypeError, OverflowError, IndexError: it depends on the version
        body.defect("Date could not be read")
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


def _head(fields: Mapping[str, bytes], default: str = "text/plain") -> _Head:
    """What the three fields say that matter. RFC 2045 section 5.2: a type that is none counts as text/plain."""
    if not fields:
        return _BARE_HEADS[default]
    said = {name: _unfolded(fields[name][:_MAX_TYPE]) for name in _READING if name in fields}
    encoding = said.get("content-transfer-encoding", "").partition(";")[0].partition("(")[0].strip("\"' ").lower()
    encoding = _ENCODINGS.get(encoding, encoding)
    kind, disposition = said.get("content-type", ""), said.get("content-disposition", "")
    return _Head(
        _kind(kind.lower(), encoding) if kind else default,
        bool(kind),
        encoding,
        re.split(r"[;\s]", disposition, maxsplit=1)[0].strip("\"'").lower(),
        _parameters(kind),
        _parameters(disposition).get("filename", ""),
    )


_BARE_HEADS = {kind: _Head(kind, False, "", "", {}, "") for kind in ("text/plain", "message/rfc822")}
_READING = ("content-type", "content-disposition", "content-transfer-encoding")


def _kind(value: str, encoding: str) -> str:
    found = _TYPE.match(value.lstrip("\"' "))
    if found:
        return found[1]
    if value.startswith("html"):
        return "text/html"
    return "application/octet-stream" if encoding == "base64" and not value.startswith("text") else "text/plain"


def _parameters(value: str) -> dict[str, str]:
    """The parameters of a field by lower-case name, RFC 2231 and RFC 2047 decoded, free of controls; the first of
    repeated ones counts, and what was said in RFC 2231 before what was said for older programs."""
    if "=" not in value:
        return {}
    plain: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    start = min((place for place in (value.find(";"), value.find(" ")) if place >= 0), default=0)
    for name, number, encoded, quoted, bare in _PARAMETER.findall(value, start):
        text = quoted.replace("\\\\", "\\").replace('\\"', '"') if quoted else bare.strip()
        if number or encoded:
            pieces.setdefault(name.lower(), {}).setdefault(int(number or 0), (bool(encoded), text))
        else:
            plain.setdefault(name.lower(), text)
    extended = {name: _extended(parts) for name, parts in pieces.items()}
    named = chain(plain.items(), ((name, text) for name, text in extended.items() if text.strip()))
    return {name: _clean(_words_decoded(text)) for name, text in named}


def _extended(pieces: Mapping[int, tuple[bool, str]]) -> str:
    """A value of RFC 2231, put together as bytes: some are split inside a character."""
    charset, data = "", bytearray()
    for place, number in enumerate(sorted(pieces)):
        encoded, text = pieces[number]
        if encoded and place == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        data += unquote_to_bytes(text) if encoded else text.encode("utf-8", "replace")
    return _decoded(bytes(data), charset)


def _texts(part: _Part, body: _Body, depth: int, within: str = "") -> Iterator[_Text]:
    """The readable texts of a part in order; its attachments go to `body`. `within`: the type of what it is in."""
    kind = part.kind
    body.types.append(kind)
    if kind.startswith("multipart/") and depth < MAX_DEPTH:
        children = list(_children(part, body))
        if children:
            groups = [list(_texts(child, body, depth + 1, kind)) for child in children]
            yield from _preferred(groups) if kind == "multipart/alternative" else chain.from_iterable(groups)
            return
        inside = _decoded_multipart(part)
        if inside:
            yield from _texts(inside, body, depth + 1, within)
            return
        body.defect("multipart without parts")
        if any(_delimiters(part)):
            return
        # What stands there may still be what the customer wrote.
    elif kind.startswith("multipart/"):
        body.defect("parts nested too deep")
    prose, file = _uses(part, depth, within)
    if prose:
        yield from _prose(part, body)
    if file:
        yield from _attach(part, body, depth)


def _uses(part: _Part, depth: int, within: str) -> tuple[bool, bool]:
    """(is it to be read, is it to be listed as a file). A named text shown in line is both; the only text of a mail is
    read whatever it is called."""
    head = part.head
    if head.kind in _RENDERINGS and not head.name:
        return False, False
    multipart = head.kind.startswith("multipart/")
    if multipart:
        return depth < MAX_DEPTH, depth >= MAX_DEPTH
    if not (head.kind in _HTML or (head.kind.startswith("text/") and head.kind not in _NOT_PROSE)):
        return False, True
    attached = head.disposition == "attachment"
    if depth == 0:
        return True, attached or bool(head.filename)
    if attached or not head.name:
        return not attached, attached
    readable = head.declared and head.kind in ("text/plain", "text/html") and _READABLE_NAME.fullmatch(head.name)
    alternative = within == "multipart/alternative"
    return bool(readable), not (readable and alternative)


def _preferred(groups: list[list[_Text]]) -> list[_Text]:
    """Of alternatives the plain ones, unless they say nothing, or nothing but that the HTML is to be read. A group is
    what one alternative is made of: HTML and a footer of the list, say."""
    plain = [text for group in groups if not any(one.html for one in group) for text in group if text.readable]
    rich = [text for group in groups if any(one.html for one in group) for text in group]
    if plain and not (rich and _is_stub(plain)):
        return _without_repetition(plain)
    return _without_repetition(rich) if any(text.readable for text in rich) else plain


def _is_stub(texts: list[_Text]) -> bool:
    said = "\n".join(text.readable for text in texts[:3])
    return len(said) < _MAX_STUB and _STUB.search(said) is not None


def _without_repetition(texts: list[_Text]) -> list[_Text]:
    if len(texts) < 2:
        return texts
    return list({"".join(text.readable.split()): text for text in reversed(texts)}.values())[::-1]


def _decoded_multipart(part: _Part) -> _Part | None:
    """The parts of a multipart that was encoded as a whole, against RFC 2045 section 6.4."""
    if part.head.encoding not in ("base64", "quoted-printable"):
        return None
    data = b"".join(_content(part))
    return _Part(data, 0, len(data), replace(part.head, encoding="")) if b"--" in data else None


def _around_the_parts(root: _Part) -> str:
    """What stands before and behind the parts of a mail without any text: programs forget boundaries."""
    if not root.kind.startswith("multipart/"):
        return ""
    marks = list(_delimiters(root))
    if not marks:
        return ""
    behind = marks[-1][1] if marks[-1][2] else root.end
    pieces = ((root.start, min(marks[0][0], root.start + MAX_TEXT)), (behind, min(root.end, behind + MAX_TEXT)))
    texts = (_clean_text(_decoded(root.raw[start : max(start, end)], "")) for start, end in pieces)
    return "\n\n".join(text for text in texts if text and not (len(text) < 300 and _PREAMBLE.search(text)))[:MAX_TEXT]


def _children(part: _Part, body: _Body) -> Iterator[_Part]:
    default = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
    for start, end in _ranges(part):
        body.parts += 1
        if body.parts > MAX_PARTS:
            body.defect("too many parts")
            return
        fields, begin = _fields(part.raw, start, end)
        yield _Part(part.raw, begin, max(begin, end), _head(dict(reversed(fields)), default))


def _ranges(part: _Part) -> Iterator[tuple[int, int]]:
    """Where the parts of a multipart begin and end. A boundary that is missing at the end counts as being there, and
    what follows a last boundary that was not the last is a part as well."""
    raw, start = part.raw, -1
    for line_start, line_end, closing in _delimiters(part):
        if start >= 0:
            end = line_start - 1  # the line break before a boundary belongs to the boundary
            end -= raw[end - 1 : end] == b"\r"
            yield start, max(start, end)
        start = -1 if closing else line_end
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
    """The boundary as declared when it occurs, else as it looks from the lines that precede parts."""
    declared = part.head.parameters.get("boundary", "").encode("utf-8", "replace")[:200]
    for boundary in dict.fromkeys((declared, declared.strip(b"'\" "))):
        if boundary and (
            part.raw.startswith(b"--" + boundary, part.start, part.end)
            or part.raw.find(b"\n--" + boundary, part.start, part.end) >= 0
        ):
            return boundary
    near = part.raw[part.start : min(part.end, part.start + 64_000)]
    guess = _GUESSED_BOUNDARY.search(near) or (None if declared else _FIRST_BOUNDARY.match(near))
    return guess[1].rstrip() if guess else b""


def _prose(part: _Part, body: _Body) -> Iterator[_Text]:
    """A text part as it is to be read; files inside it, as uuencode has them, go to `body`."""
    text, head = _decoded_text(part, body), part.head
    if head.kind in _HTML:
        yield _Text(True, text)
    elif head.kind == "text/richtext":  # RFC 1341: HTML but for two names
        yield _Text(True, text.replace("<nl>", "<br>").replace("<lt>", "&lt;"))
    elif head.kind == "text/enriched":
        yield _Text(False, _from_enriched(text))
    else:
        text = _lines(text)
        if "\nbegin " in text or text.startswith("begin "):
            text = _UUENCODED.sub(lambda block: _uuencoded_file(block, body), text)
        flowed = head.parameters.get("format", "").lower() == "flowed"
        yield _Text(False, _unflowed(text, head.parameters.get("delsp", "").lower() == "yes") if flowed else text)


def _decoded_text(part: _Part, body: _Body) -> str:
    """A text part decoded; all of it goes into the hash, white space aside, which gateways change."""
    kept = bytearray()
    chunks = _text_content(part)
    for chunk in chunks:
        kept += chunk
        if len(kept) > body.room:
            break
    head, tail = bytes(kept[: body.room]), bytes(kept[body.room :])
    body.room -= len(head)
    charset = part.head.parameters.get("charset", "").strip("'\" ").lower()
    if charset and not _codec(charset):
        body.defect(f"charset {charset if _CHARSET.fullmatch(charset) else ''} unknown")
    if not charset and part.kind in _HTML and (meta := _META_CHARSET.search(head, 0, 4_000)):
        charset = meta[1].decode("ascii").lower()
    text = _decoded(head, charset, cut=bool(tail))
    for start in range(0, len(text), _CHUNK):
        body.text_hash.update("".join(text[start : start + _CHUNK].split()).encode("utf-8", "replace"))
    for chunk in chain((tail,), chunks):
        body.text_hash.update(chunk.translate(None, _BLANKS))
    if tail:
        body.defect("text cut")
    return text


def _unflowed(text: str, delete_space: bool) -> str:
    """Text of RFC 3676 with the lines of each paragraph joined, those of one quoting depth with each other."""
    out: list[str] = []
    paragraph: list[str] = []
    depth = 0
    for line in text.split("\n"):
        marks = len(line) - len(line.lstrip(">"))
        words = line[marks:].removeprefix(" ")
        if paragraph and (marks != depth or words == "-- "):
            out.append(_quoted_line(depth, paragraph))
            paragraph = []
        depth = marks
        flows = words.endswith(" ") and words != "-- "
        paragraph.append(words[:-1] if flows and delete_space else words)
        if not flows:
            out.append(_quoted_line(depth, paragraph))
            paragraph = []
    if paragraph:
        out.append(_quoted_line(depth, paragraph))
    return "\n".join(out)


def _quoted_line(depth: int, paragraph: list[str]) -> str:
    line = "".join(paragraph)
    return f"{'>' * depth} {line}".rstrip(" ") if depth else line


def _from_enriched(text: str) -> str:
    """Text of RFC 1896: one line break is a space, one more is a line break; << is <."""
    text = re.sub(r"\n(\n*+)", lambda breaks: breaks[1] or " ", _lines(text))
    text = re.sub(r"(?i)<param>[^<]{0,500}</param>", "", text)
    return re.sub(r"<(<)|</?[A-Za-z0-9-]{1,60}>", r"\1", text)


def _attach(part: _Part, body: _Body, depth: int) -> Iterator[_Text]:
    """Lists a part as a file, and what is inside it when it is a known container of mail."""
    size, digest = 0, hashlib.sha256()
    lines = part.head.encoding != "base64" or part.kind.startswith(("text/", "message/"))
    for chunk in _content(part):
        size += len(chunk)
        digest.update(chunk.translate(None, b"\r") if lines else chunk)  # line ends change on the way
    named = safe_file_name(part.head.name)
    body.attachments.append(Attachment(named or _name_for(part.kind, len(body.attachments) + 1), part.kind, size))
    body.digests.append(digest.digest())
    if part.kind == "text/calendar":
        _note_method(part, body)
    elif size > _MAX_CONTAINER or depth >= MAX_DEPTH:
        return
    elif part.kind in ("application/ms-tnef", "application/vnd.ms-tnef") or named.lower() == "winmail.dat":
        _open_tnef(b"".join(_content(part)), body)
    elif part.kind in ("application/pkcs7-mime", "application/x-pkcs7-mime") or named.lower() == "smime.p7m":
        yield from _signed_texts(b"".join(_content(part)), body, depth)


def _note_method(part: _Part, body: _Body) -> None:
    """A calendar part's method (RFC 6047 section 2.4) as one more part type: it tells an answer from an invitation."""
    found = re.search(rb"(?im)^METHOD[ \t]*:[ \t]*([a-z-]{1,30})", next(_content(part), b"")[:4_000])
    method = part.head.parameters.get("method", "") or (found[1].decode("ascii") if found else "")
    if re.fullmatch(r"[A-Za-z-]{1,30}", method):
        body.types.append(f"text/calendar; method={method.lower()}")


def _uuencoded_file(block: re.Match[str], body: _Body) -> str:
    """Lists a uuencoded file; "" instead of it, or the text as it was when it is no such file."""
    first = block[2].partition("\n")[0].rstrip()
    length = (ord(first[0]) - 32) & 63 if first else 0
    whole = length > 0 and abs(1 + (length + 2) // 3 * 4 - len(first)) <= 1  # some add a checksum, some lose a blank
    size = len(_from_uuencode(block[2].encode())) if whole and (block[3] or length == 45) else 0
    if not size or len(body.attachments) >= MAX_PARTS:
        return block[0]
    name = safe_file_name(block[1]) or _name_for("application/octet-stream", len(body.attachments) + 1)
    body.attachments.append(Attachment(name, _type_for(name), size))
    return ""


def _type_for(name: str) -> str:
    return _TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


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
    if part.head.encoding == "base64":
        yield from _base64_pieces(part)
        return
    start = part.start
    if part.head.encoding == "x-uuencode":
        begin = re.compile(rb"(?m)^begin [0-7]{3,4} [^\n]*\n").search(part.raw, start, min(part.end, start + 10_000))
        start = begin.end() if begin else start
    while start < part.end:
        end = min(start + _CHUNK, part.end)
        if end < part.end:
            end = part.raw.rfind(b"\n", start, end) + 1 or end
        piece = part.raw[start:end]
        if part.head.encoding == "quoted-printable":
            piece = binascii.a2b_qp(_SOFT_BREAK.sub(b"", piece))
        yield _from_uuencode(piece) if part.head.encoding == "x-uuencode" else piece
        start = end


def _text_content(part: _Part) -> Iterator[bytes]:
    """The same for what a person wrote: text that was declared base64 and is not is text, and so is what follows the
    base64, the footer of a list say."""
    if part.head.encoding != "base64":
        yield from _content(part)
        return
    lines = re.findall(rb"[^\s][^\n]*", part.raw[part.start : min(part.end, part.start + 2_000)])[:2]
    if lines and not (_is_base64(lines[0]) and (len(lines[0]) > 40 or b"=" in lines[0] or _is_base64(lines[-1]))):
        yield from _content(replace(part, head=replace(part.head, encoding="")))
        return
    start = part.start
    for _ in range(_MAX_PADDED):
        padding = re.compile(rb"=[=\s]*+").search(part.raw, start, part.end)
        end = padding.end() if padding else part.end
        yield from _base64_pieces(replace(part, start=start, end=end))
        following = re.compile(rb"[^\n]*").match(part.raw, end, min(part.end, end + 2_000))
        line = following[0].strip() if following else b""
        if not (_is_base64(line) and len(line) % 4 == 0):
            if line:
                yield b"\n" + part.raw[end : part.end]
            return
        start = end
    yield _from_base64(part.raw[start : part.end])


def _is_base64(line: bytes) -> bool:
    line = line.strip()
    return bool(line) and b" " not in line and len(line.translate(None, _NOT_BASE64)) * 4 >= len(line) * 3


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
    """Base64 in one piece, or in several that are each padded."""
    out = bytearray()
    for letters in data.translate(None, _NOT_BASE64).split(b"="):
        whole = letters[:-1] if len(letters) % 4 == 1 else letters  # six bits make no byte
        out += binascii.a2b_base64(whole + b"==")
    return bytes(out)


def _from_uuencode(data: bytes) -> bytes:
    out = bytearray()
    for line in data.split(b"\n"):
        line = line.rstrip(b"\r")
        if line == b"end":
            break
        length = (line[0] - 32) & 63 if line else 0
        if length:
            with contextlib.suppress(binascii.Error):  # a damaged line takes no other with it
                out += binascii.a2b_uu(line[: 1 + (length + 2) // 3 * 4])
    return bytes(out)


@lru_cache(maxsize=256)
def _codec(charset: str) -> str:
    """The codec for a declared charset, "" when there is none that reads text."""
    charset = charset.strip("'\" ").lower().replace(" ", "-")
    if not _CHARSET.fullmatch(charset):
        return ""
    for pattern, name in _CHARSET_NAMES:
        if found := pattern.fullmatch(charset):
            charset = found.expand(name)
            break
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # refuses codecs that are not between text and bytes
    except (LookupError, ValueError, UnicodeError, TypeError):
        return ""
    return "" if name.replace("-", "_") in _NO_CHARSETS else name


def _decoded(data: bytes, charset: str, cut: bool = False) -> str:
    """Text from bytes: UTF-8 if it is, else as declared, else Windows. `cut`: the end may be half a character."""
    codec = _codec(charset) if charset else ""
    if b"\x1b$" in data and (codec in _CP1252 or codec in ("", "utf-8")):
        codec = "iso2022_jp"
    stateful = _STATEFUL.match(codec.replace("_", "-")) is not None
    if not stateful and data.isascii():
        return data.decode("ascii")
    if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and not codec.startswith("utf-16"):
        codec, stateful = "utf-16", True
    for name in _order(data, codec, stateful):
        text = _decoded_as(data, name, cut)
        if text is not None:
            return text
    return _mended(data, codec, stateful)


def _order(data: bytes, codec: str, stateful: bool) -> tuple[str, ...]:
    """The codecs to try, those that cannot fail left out."""
    if codec in _CP1252 or codec in ("", "utf-8"):
        return ("utf-8",)
    if codec.startswith(("utf-16", "utf-32")) and b"\0" not in data and _decoded_as(data, "utf-8", True) is not None:
        return ("utf-8",)  # declared wide, and narrow
    if codec == "utf-16" and data[:2] not in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        big = data[:2_000:2].count(0) > data[1:2_000:2].count(0)
        return ("utf-16-be" if big else "utf-16-le", "utf-8")
    if stateful:
        return (codec, "utf-8")
    if codec in _EASTERN and (text := _decoded_as(data, "utf-8", True)) and not re.search(r"[\u0800-\U0010ffff]", text):
        # Two-byte letters only: either alphabet would do. Western ones are UTF-8 with the wrong name.
        return ("utf-8",) if all(letter < "\u0100" for letter in text) else (codec, "utf-8")
    if codec not in _EASTERN and (text := _decoded_as(data, "utf-8", True)) and not _is_likely(text, codec):
        return (codec, "utf-8")
    return ("utf-8", codec)


def _is_likely(text: str, codec: str) -> bool:
    """May `text` be UTF-8 with the wrong name? Three letters of a Russian charset can be one Thai letter by chance; but
    letters of the West, signs, and letters the named charset has as well do not come by chance."""
    return any(
        letter < "\u0100" or "\u2000" <= letter <= "\u20ff" or letter > "\uffff" or _encodable(letter, codec)
        for letter in set(text)
        if letter > "\x7f"
    )


def _encodable(letter: str, codec: str) -> bool:
    try:
        return bool(letter.encode(codec))
    except (UnicodeError, ValueError):
        return False


def _decoded_as(data: bytes, codec: str, cut: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)().decode(data, not cut)
    except (UnicodeError, LookupError, ValueError, AssertionError):
        return None


def _mended(data: bytes, codec: str, stateful: bool) -> str:
    """Text that is damaged in any charset: UTF-8 with Windows letters among it, or the declared one with gaps, when
    that explains nearly all of it; else Windows."""
    text = data.decode("utf-8", "surrogateescape")
    strays = len(_SURROGATES.findall(text))
    if len(data) - len(text) > 2 * strays:  # bytes that are parts of good letters
        return text.translate(_HIGH_BYTES)
    if stateful or codec in _EASTERN:
        text = data.decode(codec, "replace")
        if text.count("\ufffd") * 20 <= len(text) + 20:  # one gap is borne in any text
            return text
    return data.decode("cp1252", "replace")


def _lines(text: str) -> str:
    for line_break in _LINE_BREAKS:
        text = text.replace(line_break, "\n")
    return text


def _clean_text(text: str) -> str:
    lines = _UNSAFE_IN_TEXT.sub("", _lines(text[: 2 * MAX_TEXT]))
    return lines.strip("\n") if lines.strip() else ""


# --- containers ------------------------------------------------------------------------------------------------------
# Read here, in bounds: the one package for TNEF on PyPI (tnefparse, last released in 2021) copies the rest of the file
# for each of its records and believes each count it finds, which makes a few bytes of winmail.dat run for hours.

_TNEF_SIGNATURE = b"\x78\x9f\x3e\x22"
_NEW_FILE, _FILE_TITLE, _FILE_DATA, _FILE_PROPERTIES = 0x9002, 0x8010, 0x800F, 0x9005
_BODY, _PROPERTIES, _CODEPAGE = 0x800C, 0x9003, 0x9007
_LONG_NAME, _DISPLAY_NAME, _DATA, _TEXT_BODY, _HTML_BODY = 0x3707, 0x3001, 0x3701, 0x1000, 0x1013
_FIXED_SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}  # of MAPI types, padded


def _open_tnef(data: bytes, body: _Body) -> None:
    """Lists the files inside Outlook's winmail.dat ([MS-OXTNEF]); its text serves when the mail has no other."""
    if not data.startswith(_TNEF_SIGNATURE):
        return
    files: list[tuple[str, int]] = []
    codepage = "cp1252"
    for number, value in _tnef_records(data):
        if number == _CODEPAGE:
            codepage = _codec(f"cp{int.from_bytes(value[:4], 'little')}") or codepage
        elif number == _BODY:
            body.found.append(_Text(False, _decoded(value.rstrip(b"\0"), codepage)))
        elif number == _PROPERTIES:
            body.found += _tnef_bodies(value, codepage)
        elif number == _NEW_FILE:
            files.append(("", 0))
        elif files:
            files[-1] = _tnef_file(files[-1], number, value, codepage)
    for name, size in files[:_MAX_INSIDE]:
        safe = safe_file_name(name) or _name_for("application/octet-stream", len(body.attachments) + 1)
        body.attachments.append(Attachment(safe, _type_for(safe), size))


def _tnef_records(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 6
    while position + 11 <= len(data):
        length = int.from_bytes(data[position + 5 : position + 9], "little")
        yield int.from_bytes(data[position + 1 : position + 3], "little"), data[position + 9 : position + 9 + length]
        position += 11 + length


def _tnef_file(file: tuple[str, int], number: int, value: bytes, codepage: str) -> tuple[str, int]:
    name, size = file
    if number == _FILE_TITLE:
        return name or _decoded(value.partition(b"\0")[0], codepage), size
    if number == _FILE_DATA:
        return name, len(value)
    if number == _FILE_PROPERTIES:
        found = dict(_mapi(value))
        title = found.get(_LONG_NAME) or (b"" if name else found.get(_DISPLAY_NAME, b""))
        return _wide_or_narrow(title, codepage) or name, size or max(0, len(found.get(_DATA, b"")) - 16)
    return file


def _tnef_bodies(value: bytes, codepage: str) -> Iterator[_Text]:
    found = dict(_mapi(value))
    if _TEXT_BODY in found:
        yield _Text(False, _wide_or_narrow(found[_TEXT_BODY], codepage))
    elif _HTML_BODY in found:
        yield _Text(True, _wide_or_narrow(found[_HTML_BODY], codepage))


def _wide_or_narrow(value: bytes, codepage: str) -> str:
    wide = len(value) > 1 and value[1::2].count(0) * 2 > len(value) // 2
    return _decoded(value, "utf-16-le" if wide else codepage).rstrip("\0")


def _mapi(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(identifier, value) of the properties in a property list; stops where it makes no sense."""

    def number(place: int, size: int = 4) -> int:
        return int.from_bytes(data[place : place + size], "little")

    position = 4
    for _ in range(min(number(0), len(data) // 4)):
        kind, identifier = number(position, 2), number(position + 2, 2)
        position += 4
        if identifier >= 0x8000:  # a name of its own stands before the value
            named = number(position + 16)
            position += 24 + (-(-number(position + 20) // 4) * 4 if named else 0)
        many, kind = kind & 0x1000, kind & 0x0FFF
        if kind in _FIXED_SIZES:
            position += (4 + _FIXED_SIZES[kind] * number(position)) if many else _FIXED_SIZES[kind]
        elif kind in (0x0D, 0x1E, 0x1F, 0x102):
            count, position = number(position), position + 4
            for _ in range(min(count, len(data) // 4)):
                length, position = number(position), position + 4
                yield identifier, data[position : position + length]
                position += -(-length // 4) * 4
                if position > len(data):
                    return
        else:
            return
        if position > len(data):
            return


def _signed_texts(data: bytes, body: _Body, depth: int) -> Iterator[_Text]:
    """The texts of a mail inside its signature (RFC 8551 section 3.5.2); nothing of one that is encrypted."""
    inside = _signed_content(data)
    if not inside:
        body.defect("encrypted, or signed in an unknown way")
        return
    fields, start = _fields(inside, 0, len(inside))
    yield from _texts(_Part(inside, start, len(inside), _head(dict(reversed(fields)))), body, depth + 1)


_SIGNED_DATA = bytes.fromhex("06092a864886f70d010702")  # its object identifier


def _signed_content(data: bytes) -> bytes:
    """The octets a SignedData (RFC 5652 section 5.1) is about, in BER of definite or indefinite length; b"" if none."""
    position = data.find(_SIGNED_DATA, 0, 40)
    if position < 0:
        return b""
    position += len(_SIGNED_DATA)
    for expected in (0xA0, 0x30, -0x02, -0x31, 0x30, -0x06, 0xA0):  # go into, or behind when negative
        tag, start, length = _ber(data, position)
        if tag != abs(expected) or (expected < 0 and length < 0):
            return b""
        position = start + length if expected < 0 else start
    tag, start, length = _ber(data, position)
    if tag == 0x04:
        return data[start : start + length]
    pieces = bytearray()
    end = start + length if length >= 0 else len(data)
    while tag == 0x24 and start < end:
        inner, begin, size = _ber(data, start)
        if inner != 0x04 or size < 0:
            break
        pieces += data[begin : begin + size]
        start = begin + size
    return bytes(pieces)


def _ber(data: bytes, position: int) -> tuple[int, int, int]:
    """(tag, where the content begins, its length or -1 when that is not said); a tag of 0 behind the end."""
    head = data[position : position + 6]
    if len(head) < 2:
        return 0, len(data), 0
    if head[1] < 0x80:
        return head[0], position + 2, head[1]
    count = head[1] - 0x80
    length = int.from_bytes(head[2 : 2 + count], "big") if 0 < count <= 4 else -1
    return head[0], position + 2 + count, length
