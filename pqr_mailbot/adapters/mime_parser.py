"""Raw bytes of a mail -> Mail: never raises, in time linear in the bytes, with bounded memory.

mail-parser reads the header (`mime_header`); its walk over the body merges forwarded text into the customer's, drops
nameless attachments, loses letters of wrongly declared charsets, and holds a 30 MB attachment in memory several times
over. So the body is split here, in place, by offsets into the raw bytes; base64 never goes through a parser, but is
measured and hashed piece by piece.

The rule where a mail is broken: what may be words of the customer is kept, in the order it stands.
"""

from __future__ import annotations

import binascii
import codecs
import contextlib
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from itertools import chain
from urllib.parse import unquote, unquote_to_bytes

from pqr_mailbot.adapters.charsets import codec_of, decoded, is_name, is_stateful
from pqr_mailbot.adapters.html_text import html_text
from pqr_mailbot.adapters.mime_header import (
    NOT_BASE64,
    READ_WHOLE,
    clean,
    fields_of,
    from_base64,
    header_value,
    ids_in,
    made_id,
    people_of,
    unfolded,
    unhalved,
    words_decoded,
)
from pqr_mailbot.adapters.smime import signed_content
from pqr_mailbot.adapters.tnef import read_tnef
from pqr_mailbot.domain.model import Attachment, Mail

MAX_TEXT = 1_000_000  # characters of readable text kept
MAX_SUBJECT = 1_000
MAX_PARTS = 1_000
_MAX_MARKS = 10 * MAX_PARTS  # lines looked at that begin like a boundary
MAX_DEPTH = 50  # multiparts inside one another: each level reads its bytes once more
_MAX_TEXT_BYTES = 2_000_000  # of all text parts together, decoded; the rest is only hashed
_MAX_TYPE = 16_000  # bytes of Content-Type and the like
_MAX_BOUNDARY = 1_000  # bytes; RFC 2046 section 5.1.1 allows 70
_MAX_NAME = 150  # characters of a file name
_CHUNK = 1 << 20
_MAX_PADDED = 100  # pieces of base64 in one text, each with its padding, that are looked at one by one
_MAX_INSIDE = 200  # files listed out of one winmail.dat or one text of uuencoded files
_MAX_CONTAINER = 40_000_000  # bytes of a winmail.dat or a signed envelope that is opened

_UNSAFE_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]+")
_LINE_BREAKS = ("\r\r\n", "\r\n", "\r", "\x85", "\u2028", "\u2029")
_TYPE = re.compile(r"([a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126})(?=$|[\s;,(\"'])")
# Unquoted values with spaces are read to their end, unless what follows is the next parameter without its semicolon.
_PARAMETER = re.compile(
    r"""(?:^|[;,\s])\s?([^\s;=,*"()]{1,80})(?:\*([0-9]{1,4}))?(\*)?\s?=\s?"""
    r"""(?:"((?:[^"\\]++|\\.)*+)|([^;\s]*+(?:\s(?![\w*-]{1,40}\s?=)[^;\s]++)*+))"""
)
_FORGOTTEN_STAR = re.compile(r"(?i)(?:utf-8|iso-8859-[0-9]{1,2}|windows-125[0-9])'[a-z-]{0,10}'")
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
_LONG_WORD = re.compile(r"[^\W\d_]{3,40}")
_UUENCODED = re.compile(r"(?m)^begin [0-7]{3,4} ([^\n]{1,200})\n((?:[ -`]{1,90}\n|\n)++)(end[ \t]*$)?")
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s{0,9}=\s{0,9}["']?([A-Za-z0-9_:.-]{2,40})""", re.IGNORECASE)
_SOFT_BREAK = re.compile(rb"=[ \t]*+(?:\r?\n|\r|\Z)")
_BLANKS = b" \t\r\n\f\v"
ADORNMENT = 20_000  # bytes of a picture in the text that is taken for a logo, or for what counts readers
_SHOWN_PICTURE = re.compile(r"""(?i)\bcid:([^\s"'<>()]{1,998})""")  # RFC 2392
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


@dataclass(frozen=True, slots=True)
class OpenedAttachment:
    """An attachment with its content, in `pieces`. Part of the HTML, such as a picture in a signature, when `shown`."""

    attachment: Attachment
    pieces: Callable[[], Iterable[bytes]]
    inline: bool  # Content-Disposition says so
    shown: bool  # the HTML of the mail has it as a picture, by its Content-ID

    @property
    def content(self) -> bytes:
        return b"".join(self.pieces())

    @property
    def adorns(self) -> bool:
        """A small picture of the text: a logo, or what counts readers."""
        return self.shown and self.attachment.size <= ADORNMENT


@dataclass(frozen=True, slots=True)
class _File:
    """An attachment that can be opened."""

    attachment: Attachment
    pieces: Callable[[], Iterable[bytes]]
    inline: bool
    content_id: str


@dataclass(slots=True)
class _Body:
    """What the walk over the parts has gathered."""

    keeps_files: bool = False
    files: list[_File] = field(default_factory=list)  # when they are kept: they hold on to opened containers
    shown: set[str] = field(default_factory=set)  # what the HTML says it shows, then too
    attachments: list[Attachment] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)  # of the attachments' content
    defects: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)  # of every part, containers too
    found: list[_Text] = field(default_factory=list)  # text inside attached containers, for a mail that has no other
    attached: list[_Part] = field(default_factory=list)  # texts that are attached, for the same
    parts: int = 0
    room: int = _MAX_TEXT_BYTES  # bytes of text that may still be kept
    text_hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    def defect(self, what: str) -> None:
        if what not in self.defects and len(self.defects) < 20:
            self.defects.append(what)

    def add(
        self, attachment: Attachment, pieces: Callable[[], Iterable[bytes]], inline: bool = False, content_id: str = ""
    ) -> None:
        self.attachments.append(attachment)
        if self.keeps_files:
            self.files.append(_File(attachment, pieces, inline, content_id))

    def note_pictures(self, html: str) -> None:
        if self.keeps_files:
            self.shown.update(clean(unquote(name)) for name in _SHOWN_PICTURE.findall(html))

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
    content_id: str  # without its brackets

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
        return Mail(made_id(digest, {}), None, "", "", digest, complete=complete, defects=defects)


def open_attachments(raw: bytes) -> Iterator[OpenedAttachment]:
    """What `Mail.attachments` of the same bytes names, in that order, each with its content, decoded when asked for.

    Files out of a winmail.dat, a signed envelope or uuencoded text are among them, as they are there. Never raises.
    """
    body = _Body(keeps_files=True)
    with contextlib.suppress(Exception):  # as in parse()
        root, _ = _opened(raw)
        list(_texts(root, body, 0))
    for file in body.files:
        shown = file.content_id in body.shown
        yield OpenedAttachment(file.attachment, file.pieces, file.inline, shown)


def _opened(raw: bytes) -> tuple[_Part, list[tuple[str, bytes]]]:
    """The whole mail as a part, and the fields of its header."""
    raw = _straightened(raw)
    found, start = fields_of(raw, 0, len(raw), whole=True)
    return _root(raw, start, dict(reversed(found))), found


def _parse(raw: bytes, complete: bool) -> Mail:
    root, found = _opened(raw)
    first = dict(reversed(found))
    body = _Body()
    text = _joined(_texts(root, body, 0)) or _joined(body.found) or _attached_text(body) or _around_the_parts(root)
    charset = _charset_of_headers(root)
    content_hash = body.content_hash()
    values = {name: unfolded(unhalved(name, first[name]), charset) for name in READ_WHOLE if name in first}
    people, sent_at = people_of(values, body.defect)
    headers = tuple((name, header_value(value, charset)) for name, value in found)
    ids = {name: ids_in(values.get(name, "")) for name in ("message-id", "in-reply-to", "references")}
    if not people["from"]:
        body.defect("From could not be read" if "from" in first else "no From")
    if not ids["message-id"]:
        body.defect("no usable Message-ID")
    return Mail(
        message_id=ids["message-id"][0] if ids["message-id"] else made_id(content_hash, first),
        sender=people["from"][0] if people["from"] else None,
        subject=next((value for name, value in headers if name == "subject"), "")[:MAX_SUBJECT],
        text=text,
        content_hash=content_hash,
        headers=headers,
        reply_to=people["reply-to"],
        to=people["to"],
        cc=people["cc"],
        bcc=people["bcc"],
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
        if guess and (not before or _PREAMBLE.search(decoded(before, ""))):
            return _Part(raw, start, len(raw), _head({**fields, "content-type": b"multipart/mixed"}))
    return root


def _charset_of_headers(root: _Part) -> str:
    """What raw 8-bit header values are probably in: what the text says of itself, where letters stay letters."""
    charset = root.head.parameters.get("charset", "")
    return "" if is_stateful(charset) else charset


def _joined(texts: Iterable[_Text]) -> str:
    return "\n\n".join(filter(None, (piece.readable for piece in texts)))[:MAX_TEXT]


# --- parts -----------------------------------------------------------------------------------------------------------


def _head(fields: Mapping[str, bytes], default: str = "text/plain") -> _Head:
    """What the fields say that matter. RFC 2045 section 5.2: a type that is none counts as text/plain."""
    if not fields:
        return _BARE_HEADS[default]
    said = {name: unfolded(fields[name][:_MAX_TYPE]) for name in _READING if name in fields}
    encoding = _COMMENT.sub("", said.get("content-transfer-encoding", "")).partition(";")[0].strip("\"' ").lower()
    encoding = _ENCODINGS.get(encoding, encoding)
    kind, disposition = said.get("content-type", ""), said.get("content-disposition", "")
    return _Head(
        _kind(kind.lower(), encoding) if kind else default,
        bool(kind),
        encoding,
        re.split(r"[;\s]", disposition, maxsplit=1)[0].strip("\"'").lower(),
        _parameters(kind),
        _parameters(disposition).get("filename", ""),
        said.get("content-id", "").strip("<> "),
    )


_COMMENT = re.compile(r"\([^()]{0,200}\)?")
_BARE_HEADS = {kind: _Head(kind, False, "", "", {}, "", "") for kind in ("text/plain", "message/rfc822")}
_READING = ("content-type", "content-disposition", "content-transfer-encoding", "content-id")


def _kind(value: str, encoding: str) -> str:
    found = _TYPE.match(value.lstrip("\"' "))
    if found:
        return found[1]
    if value.startswith("html"):
        return "text/html"
    if value.startswith("multipart"):
        return "multipart/mixed"
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
    return {name: text if name == "boundary" else clean(words_decoded(_starred(text))) for name, text in named}


def _starred(text: str) -> str:
    """A value that is written as RFC 2231 has it, under a name that does not say so."""
    return _extended({0: (True, text)}) if "%" in text and _FORGOTTEN_STAR.match(text) else text


def _extended(pieces: Mapping[int, tuple[bool, str]]) -> str:
    """A value of RFC 2231, put together as bytes: some are split inside a character."""
    charset, data = "", bytearray()
    for place, number in enumerate(sorted(pieces)):
        encoded, text = pieces[number]
        if encoded and place == 0 and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        data += unquote_to_bytes(text) if encoded else text.encode("utf-8", "replace")
    return decoded(bytes(data), charset)


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
    if file and not prose and _is_readable(part.head):
        body.attached.append(part)


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
    readable = _is_readable(head)
    return readable, not (readable and within == "multipart/alternative")


def _is_readable(head: _Head) -> bool:
    texts = ("text/plain", "text/html")
    return head.declared and head.kind in texts and _READABLE_NAME.fullmatch(head.name) is not None


def _preferred(groups: list[list[_Text]]) -> list[_Text]:
    """Of alternatives the plain ones, unless they say nothing, or nothing but that the HTML is to be read. A group is
    what one alternative is made of: HTML and a footer of the list, say."""
    plain = [text for group in groups if not any(one.html for one in group) for text in group if text.readable]
    rich = [text for group in groups if any(one.html for one in group) for text in group]
    if plain and not (rich and _is_stub(plain, rich)):
        return _without_repetition(plain)
    return _without_repetition(rich) if any(text.readable for text in rich) else plain


def _is_stub(plain: list[_Text], rich: list[_Text]) -> bool:
    """Does the plain text say only that the HTML is to be read, or no more than a part of what the HTML says?"""
    said = "\n".join(text.readable for text in plain[:3])
    if len(said) >= _MAX_STUB:
        return False
    if _STUB.search(said):
        return True
    words, all_words = set(_LONG_WORD.findall(said)), set(_LONG_WORD.findall("\n".join(text.readable for text in rich)))
    return words <= all_words and len(all_words) >= max(2 * len(words), len(words) + 3)


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


def _attached_text(body: _Body) -> str:
    """The text of a mail that consists of attached texts: some programs attach the letter itself."""
    return _joined(_Text(part.kind in _HTML, _decoded_text(part, body)) for part in body.attached)


def _around_the_parts(root: _Part) -> str:
    """What stands before and behind the parts of a mail without any text: programs forget boundaries."""
    if not root.kind.startswith("multipart/"):
        return ""
    marks = list(_delimiters(root))
    if not marks:
        return ""
    behind = marks[-1][1] if marks[-1][2] else root.end
    pieces = ((root.start, min(marks[0][0], root.start + MAX_TEXT)), (behind, min(root.end, behind + MAX_TEXT)))
    texts = (_clean_text(decoded(root.raw[start : max(start, end)], "")) for start, end in pieces)
    return "\n\n".join(text for text in texts if text and not (len(text) < 300 and _PREAMBLE.search(text)))[:MAX_TEXT]


def _children(part: _Part, body: _Body) -> Iterator[_Part]:
    default = "message/rfc822" if part.kind == "multipart/digest" else "text/plain"
    for start, end in _ranges(part):
        body.parts += 1
        if body.parts > MAX_PARTS:
            body.defect("too many parts")
            return
        fields, begin = fields_of(part.raw, start, end)
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
    declared = part.head.parameters.get("boundary", "").encode("utf-8", "replace")[:_MAX_BOUNDARY]
    for boundary in dict.fromkeys((declared, declared.strip(b"'\" "), declared.partition(b" (")[0])):
        if boundary and (
            part.raw.startswith(b"--" + boundary, part.start, part.end)
            or part.raw.find(b"\n--" + boundary, part.start, part.end) >= 0
        ):
            return boundary
    near = part.raw[part.start : min(part.end, part.start + 64_000)]
    alike = re.escape(declared).replace(b"\\ ", b"[ \\t]+")  # in another case, or with more blanks
    if declared and (found := re.search(rb"(?i)(?:\A|\n)--(" + alike + rb")\s", near)):
        return found[1]
    guess = _GUESSED_BOUNDARY.search(near) or (None if declared else _FIRST_BOUNDARY.match(near))
    return guess[1].rstrip() if guess else b""


def _prose(part: _Part, body: _Body) -> Iterator[_Text]:
    """A text part as it is to be read; files inside it, as uuencode has them, go to `body`."""
    text, head = _decoded_text(part, body), part.head
    if head.kind in _HTML:
        body.note_pictures(text)
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
    if charset and not codec_of(charset):
        body.defect(f"charset {charset if is_name(charset) else ''} unknown")
    if not charset and part.kind in _HTML and (meta := _META_CHARSET.search(head, 0, 4_000)):
        charset = meta[1].decode("ascii").lower()
    text = decoded(head, charset, cut=bool(tail))
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
    attachment = Attachment(named or _name_for(part.kind, len(body.attachments) + 1), part.kind, size)
    inline = part.head.disposition == "inline"
    body.add(attachment, partial(_content, part), inline, part.head.content_id)
    body.digests.append(digest.digest())
    if part.kind == "text/calendar":
        _note_method(part, body)
    elif size > _MAX_CONTAINER or depth >= MAX_DEPTH:
        return
    elif part.kind in ("application/ms-tnef", "application/vnd.ms-tnef") or named.lower() == "winmail.dat":
        _open_winmail(b"".join(_content(part)), body)
    elif part.kind in ("application/pkcs7-mime", "application/x-pkcs7-mime") or named.lower() == "smime.p7m":
        yield from _signed_texts(b"".join(_content(part)), body, depth)


def _note_method(part: _Part, body: _Body) -> None:
    """A calendar part's method (RFC 6047 section 2.4) as one more part type: it tells an answer from an invitation.
    An invitation that was attached as a file is somebody's file; what calendars send one another stands in the text."""
    found = re.search(rb"(?im)^METHOD[ \t]*:[ \t]*([a-z-]{1,30})", next(_content(part), b"")[:4_000])
    method = part.head.parameters.get("method", "") or (found[1].decode("ascii") if found else "")
    passed_on = part.head.disposition == "attachment" and method.lower() in ("request", "cancel", "add")
    if re.fullmatch(r"[A-Za-z-]{1,30}", method) and not passed_on:
        body.types.append(f"text/calendar; method={method.lower()}")


def _uuencoded_file(block: re.Match[str], body: _Body) -> str:
    """Lists a uuencoded file; "" instead of it, or the text as it was when it is no such file."""
    first = block[2].partition("\n")[0].rstrip()
    length = (ord(first[0]) - 32) & 63 if first else 0
    whole = length > 0 and abs(1 + (length + 2) // 3 * 4 - len(first)) <= 1  # some add a checksum, some lose a blank
    encoded = block[2].encode()
    size = len(_from_uuencode(encoded)) if whole and (block[3] or length == 45) else 0
    if not size or len(body.attachments) >= MAX_PARTS:
        return block[0]
    name = safe_file_name(block[1]) or _name_for("application/octet-stream", len(body.attachments) + 1)
    body.add(Attachment(name, _type_for(name), size), lambda: [_from_uuencode(encoded)])
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
    name = clean(re.split(r"[/\\]", name)[-1]).lstrip(". ").rstrip(" ")
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
    lines = re.findall(rb"[A-Za-z0-9][^\n]*", part.raw[part.start : min(part.end, part.start + 2_000)])[:2]
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
    yield from_base64(part.raw[start : part.end])


def _is_base64(line: bytes) -> bool:
    line = line.strip()
    return bool(line) and b" " not in line and len(line.translate(None, NOT_BASE64)) * 4 >= len(line) * 3


def _base64_pieces(part: _Part) -> Iterator[bytes]:
    """As a mail client reads it: what is not of the alphabet is skipped, and padding is the end."""
    rest = b""
    for start in range(part.start, part.end, _CHUNK):
        letters = rest + part.raw[start : min(start + _CHUNK, part.end)].translate(None, NOT_BASE64)
        letters, padding, _ = letters.partition(b"=")
        whole = len(letters) // 4 * 4
        rest = letters[whole:]
        yield binascii.a2b_base64(letters[:whole])
        if padding:
            break
    yield from_base64(rest)


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


def _lines(text: str) -> str:
    for line_break in _LINE_BREAKS:
        text = text.replace(line_break, "\n")
    return text


def _clean_text(text: str) -> str:
    lines = _UNSAFE_IN_TEXT.sub("", _lines(text[: 2 * MAX_TEXT]))
    return lines.strip("\n") if lines.strip() else ""


# --- containers ------------------------------------------------------------------------------------------------------


def _open_winmail(data: bytes, body: _Body) -> None:
    """Lists the files inside; its text serves when the mail has no other."""
    found = read_tnef(data)
    if found is None:
        return
    for html, text in found.bodies:
        body.found.append(_Text(html, text))
        body.note_pictures(text if html else "")
    for file in found.files[:_MAX_INSIDE]:
        safe = safe_file_name(file.name) or _name_for("application/octet-stream", len(body.attachments) + 1)
        attachment = Attachment(safe, _type_for(safe), len(file.content))
        body.add(attachment, partial(iter, (file.content,)), False, file.content_id)


def _signed_texts(data: bytes, body: _Body, depth: int) -> Iterator[_Text]:
    """The texts of a mail inside its signature; nothing of one that is encrypted."""
    inside = signed_content(data)
    if not inside:
        body.defect("encrypted, or signed in an unknown way")
        return
    fields, start = fields_of(inside, 0, len(inside))
    yield from _texts(_Part(inside, start, len(inside), _head(dict(reversed(fields)))), body, depth + 1)
