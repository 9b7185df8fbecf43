"""A rendered letter and its envelope -> the finished bytes of a mail; no word of a stranger becomes a header line.

The standard library writes the header and the two bodies; enclosures are put behind that by hand and piece by piece,
for it would go through 25 MB of base64 line by line, and hold it several times over.
"""

from __future__ import annotations

import re
from base64 import encodebytes
from codecs import getincrementaldecoder
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.header import Header
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage, Message
from email.policy import EmailPolicy
from html import escape
from urllib.parse import quote as percent_encoded

from pqr_mailbot.adapters.letter_words import clean, one_line, repeatable
from pqr_mailbot.domain.effects import Automatic
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.reply_text import ANSWER_ABOVE

_ADDRESS = re.compile(r'[^\s<>()\[\],;:\\"@]{1,64}@(?:[^\s<>()\[\],;:\\"@]{1,255}|\[[0-9A-Za-z.:]{3,60}\])')
_ID = re.compile(r"<(?!.*=\?)[!-;=?-~]{1,900}>")  # "=?" would be taken for an encoded word
_AS_THEY_ARE = frozenset({"message-id", "in-reply-to", "references", "thread-index"})
_NOT_IN_BOUNDARIES = re.compile(r"[^0-9A-Za-z._-]")
_REFERENCES, _REFERENCES_LENGTH = 9, 980  # RFC 5322: a line has at most 998 characters
_NAME_LENGTH = 64  # characters of a person's name beside the address
# Not `All`: that would also suppress the bounce we need to hear.
_SUPPRESSED = "DR, RN, NRN, OOF, AutoReply"
_THREAD_INDEX = re.compile(r"(?=.{4,980}\Z)[0-9A-Za-z+/]+={0,2}")  # it cannot be folded, so it fits into a line
_THREAD_TOPIC_LENGTH = 250


@dataclass(frozen=True, slots=True)
class Rendered:
    """The two parts of a letter, saying the same."""

    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Enclosure:
    """A file that goes along with a letter, named and typed as whoever sent it said: believed in neither."""

    filename: str
    content_type: str
    pieces: Callable[[], Iterable[bytes]]  # of the content


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything of a mail but its words. Message-IDs carry their angle brackets; `date` is aware.

    `references` is the whole chain, oldest first, the token's own id last. `in_reply_to`: "" or None when the letter
    answers nothing. `automatic` None: a person's words, without the marks of a machine. `thread_topic`,
    `thread_index`: Outlook's own, from the mail that is answered; left out when they are not as Outlook writes them.
    """

    message_id: str
    from_name: str
    from_address: str
    recipient: Address
    subject: str
    date: datetime
    in_reply_to: str | None
    references: tuple[str, ...]
    automatic: Automatic | None
    token: str
    reply_to: str | None = None
    attachments: Collection[Enclosure] = ()
    thread_topic: str = ""
    thread_index: str = ""


def compose(envelope: Envelope, rendered: Rendered) -> bytes:
    """The whole mail as it goes over the wire: CRLF, 7-bit ASCII unless an address itself is not (RFC 6532).

    Raises ValueError, in one line, for an address or Message-ID that no header can carry.
    """
    begin, more = in_pieces(envelope, rendered)
    return b"".join([begin, *more()])


def in_pieces(envelope: Envelope, rendered: Rendered) -> tuple[bytes, Callable[[], Iterable[bytes]]]:
    """The same as its beginning, with all the words, and what follows: the same pieces each time it is called."""
    people = (envelope.from_address, envelope.recipient.address, envelope.reply_to or "")
    message = EmailMessage(policy=_LetterPolicy(utf8=not "".join(people).isascii()))
    for name, value in _headers(envelope):
        message[name] = value
    _set_words(message, rendered, envelope.token)
    message["Content-Language"] = "es"
    raw = message.as_bytes()
    return _with_enclosures(raw, envelope.attachments, envelope.token) if envelope.attachments else (raw, tuple)


def _set_words(message: EmailMessage, rendered: Rendered, token: str) -> None:
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    message.set_boundary(_boundary("alt", token))


def _boundary(kind: str, token: str) -> str:
    """In quoted-printable "=" is never followed by "_", and base64 has no "_": no part can contain this."""
    return f"=_{kind}.{_NOT_IN_BOUNDARIES.sub('', token)[:50]}"


def own_words(raw: bytes) -> str:
    """The text of a finished letter without what it quotes: what we ourselves said in it."""
    texts = (part for part in message_from_bytes(raw).walk() if part.get_content_type() == "text/plain")
    body = next(texts, None)
    lines = bytes(body.get_payload(decode=True)).decode().splitlines() if body else []
    return "\n".join(line for line in lines if not line.startswith(">"))


# -- the header ----------------------------------------------------------------------------------------------------


class _LetterPolicy(EmailPolicy):
    """The standard rules of SMTP, but an id is never split or encoded: one a line, as it is.

    The standard library encodes any id longer than a line, and no mail program recognises its thread by that.
    """

    linesep = "\r\n"
    max_line_length = 76  # RFC 2045: lines of quoted-printable

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() in _AS_THEY_ARE:
            return f"{name}: {f'{self.linesep} '.join(value.split())}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


def _headers(envelope: Envelope) -> Iterable[tuple[str, object]]:
    yield "From", _mailbox(envelope.from_name, envelope.from_address)
    yield "To", _mailbox(repeatable(envelope.recipient.name), envelope.recipient.address)
    if envelope.reply_to:
        yield "Reply-To", _mailbox("", envelope.reply_to)
    yield "Subject", _header_words(envelope.subject)
    yield "Date", envelope.date
    if not _ID.fullmatch(envelope.message_id):
        raise ValueError(f"no Message-ID: {envelope.message_id!r}")
    yield "Message-ID", envelope.message_id
    yield from _thread_headers(envelope)
    yield "X-PQR-Letter", _header_words(envelope.token)  # our loop header: `screen.LETTER_HEADER`
    if envelope.automatic:
        yield "Auto-Submitted", envelope.automatic
        yield "X-Auto-Response-Suppress", _SUPPRESSED


def _thread_headers(envelope: Envelope) -> Iterable[tuple[str, str]]:
    """What mail programs keep a conversation together by: ids everywhere, and Outlook's own two."""
    answered = envelope.in_reply_to or ""
    if _ID.fullmatch(answered):
        yield "In-Reply-To", answered
    if chain := _thread(envelope.references, answered):
        yield "References", " ".join(chain)
    if _is_thread_topic(envelope.thread_topic):
        yield "Thread-Topic", envelope.thread_topic
    if _THREAD_INDEX.fullmatch(envelope.thread_index):
        yield "Thread-Index", envelope.thread_index


def _is_thread_topic(topic: str) -> bool:
    plain = clean(topic) == topic == topic.strip() and not re.search(r"=\?|[\n\t]", topic)
    return plain and 0 < len(topic) <= _THREAD_TOPIC_LENGTH


def _thread(ids: Sequence[str], answered: str) -> list[str]:
    """The first and the last of the chain, each id once, so that the whole fits into one line. The id that is answered
    goes only when it must, and the last never."""
    chain = list(dict.fromkeys(one for one in ids if _ID.fullmatch(one)))
    while len(chain) > _REFERENCES or len(" ".join(chain)) > _REFERENCES_LENGTH:
        spare = (at for at, one in enumerate(chain[:-1]) if at and one != answered)
        del chain[next(spare, 0)]
    return chain


def _mailbox(name: str, address: str) -> HeaderAddress:
    if not _ADDRESS.fullmatch(address) or clean(address) != address:
        raise ValueError(f"no address that a header can carry: {address!r}")
    local, _, domain = address.rpartition("@")
    return HeaderAddress(_header_words(name)[:_NAME_LENGTH].strip(), local, domain)


def _header_words(text: str) -> str:
    """One line that the standard library takes as it stands: it would decode what looks like an encoded word."""
    return one_line(text).replace("=?", "= ?")


# -- enclosures ----------------------------------------------------------------------------------------------------

_CONTENT_TYPE = re.compile(rb"^Content-Type:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*", re.MULTILINE | re.IGNORECASE)
# What a mail program only ever saves or hands to a viewer. Everything else, such as a page, a mail, an invitation or a
# drawing that can carry a script, arrives as a file without a type.
_HARMLESS = re.compile(
    r"(?:audio|video|font)/[a-z0-9][a-z0-9.+-]{0,80}|image/(?!svg)[a-z0-9][a-z0-9.+-]{0,80}|text/(?:plain|csv)"
    r"|application/(?:pdf|zip|rtf|json|msword|vnd\.ms-(?:excel|powerpoint)"
    r"|vnd\.(?:openxmlformats-officedocument|oasis\.opendocument)\.[a-z0-9.+-]{1,80})"
)
_UNTYPED = "application/octet-stream"
_NOT_IN_FILENAMES = re.compile(r'[/\\:*?"<>|\x00-\x1f]+')
_FILENAME_LENGTH = 120
_NO_NAME = "adjunto"
_PIECE = 60  # characters of a name in one line (RFC 2231 section 3)


_LINES = 57 * 2**14  # bytes of a file encoded at once: whole lines (RFC 2045: 76 characters)


def _with_enclosures(
    raw: bytes, enclosures: Iterable[Enclosure], token: str
) -> tuple[bytes, Callable[[], Iterable[bytes]]]:
    """The finished letter with files beside its two bodies: what stands above them, and they."""
    head, _, body = raw.partition(b"\r\n\r\n")
    head += b"\r\n"
    bodies = _CONTENT_TYPE.search(head)
    assert bodies
    boundary = _boundary("mix", token).encode()
    line = b"\r\n--" + boundary
    mixed = b'Content-Type: multipart/mixed; boundary="' + boundary + b'"\r\n'
    begin = [_CONTENT_TYPE.sub(b"", head), mixed, line, b"\r\n", bodies[0], b"\r\n", body.removesuffix(b"\r\n")]

    def files() -> Iterator[bytes]:
        for enclosure in enclosures:
            yield line + b"\r\n" + _enclosure_head(enclosure).encode("ascii")
            for piece in _in_lines(enclosure.pieces()):  # the first of these line breaks ends the head
                yield b"\r\n" + encodebytes(piece).rstrip(b"\n").replace(b"\n", b"\r\n")
        yield line + b"--\r\n"

    return b"".join(begin), files


def _in_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, at least one piece, cut so that each but the last is whole lines of base64."""
    rest = b""
    for piece in pieces:
        rest += piece
        while len(rest) > _LINES:
            yield rest[:_LINES]
            rest = rest[_LINES:]
    yield rest


def _enclosure_head(enclosure: Enclosure) -> str:
    name, kind = _safe_filename(enclosure.filename), enclosure.content_type.partition(";")[0].strip().lower()
    kind = kind if _HARMLESS.fullmatch(kind) else _UNTYPED
    # Twice: as the standard wants it, and in the encoded words that older programs of Outlook's kind look for.
    words = name if _is_short(name) else Header(name, "utf-8", maxlinelen=66).encode(linesep="\r\n")
    charset = '; charset="utf-8"' if kind.startswith("text/") and _is_utf8(enclosure.pieces()) else ""
    return (
        f'Content-Type: {kind}{charset};\r\n name="{words}"\r\n'
        f"Content-Disposition: attachment{_filename_parameter(name)}\r\n"
        "Content-Transfer-Encoding: base64\r\n"
    )


def _safe_filename(name: str) -> str:
    """A name that is only a name: no path, no controls, not long, its ending kept."""
    name = _NOT_IN_FILENAMES.sub("_", one_line(name).replace("=?", "=_")).strip(" ._") or _NO_NAME
    stem, _, ending = name.rpartition(".")
    if len(name) > _FILENAME_LENGTH and stem and len(ending) <= 10:
        return f"{stem[: _FILENAME_LENGTH - 1 - len(ending)]}.{ending}"
    return name[:_FILENAME_LENGTH]


def _is_short(name: str) -> bool:
    return name.isascii() and len(name) <= _PIECE


def _filename_parameter(name: str) -> str:
    """RFC 2231: one parameter, or numbered pieces of it when one line would be too long."""
    if _is_short(name):
        return f';\r\n filename="{name}"'
    pieces, piece = [], "utf-8''"
    for letter in name:
        encoded = percent_encoded(letter, safe="")
        if len(piece) + len(encoded) > _PIECE:
            pieces.append(piece)
            piece = ""
        piece += encoded
    pieces.append(piece)
    if len(pieces) == 1:
        return f";\r\n filename*={piece}"
    return "".join(f";\r\n filename*{number}*={piece}" for number, piece in enumerate(pieces))


def _is_utf8(pieces: Iterable[bytes]) -> bool:
    decoder = getincrementaldecoder("utf-8")()
    try:
        for piece in pieces:
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def without_enclosures(raw: bytes, message_id: str = "", token: str = "") -> bytes | None:
    """A letter of ours without its files, naming them in both bodies; None when it has none.

    With `message_id` and `token` it is another letter: the new ones stand wherever the old ones did, also in the links
    of its words.
    """
    letter = message_from_bytes(raw)
    if letter.get_content_type() != "multipart/mixed":
        return None
    bodies, *files = _parts(letter)
    text, html = (bytes(part.get_payload(decode=True)).decode().replace("\r\n", "\n") for part in _parts(bodies))
    names = ", ".join(str(part.get_filename(_NO_NAME)) for part in files)
    said = f"No se adjuntaron por su tamaño: {names}; están en el correo original."
    text, html = _below(_TOP_OF_TEXT, text, f"\n{said}\n"), _below(_TOP_OF_HTML, html, f"\n<p>{escape(said)}</p>")
    head = _CONTENT_TYPE.sub(b"", raw.partition(b"\r\n\r\n")[0] + b"\r\n").decode()
    if message_id:
        head = head.replace(letter["Message-ID"], message_id)
    if token:
        head, text, html = (part.replace(letter["X-PQR-Letter"], token) for part in (head, text, html))
    message = EmailMessage(policy=_LetterPolicy())
    _set_words(message, Rendered(text, html), token or letter["X-PQR-Letter"])
    del message["MIME-Version"]  # it stands in the head
    return head.encode() + message.as_bytes()


def _parts(multipart: Message) -> list[Message]:
    return [part for part in multipart.get_payload() if isinstance(part, Message)]


# Below the mark, so that the line counts as quoted when the letter is answered.
_TOP_OF_TEXT = (re.compile(rf"^{re.escape(ANSWER_ABOVE)}\n", re.MULTILINE),)
_TOP_OF_HTML = (re.compile(rf"{re.escape(ANSWER_ABOVE)}\s*</\w+>"), re.compile(r"<body\b[^>]*>"))


def _below(tops: Sequence[re.Pattern[str]], words: str, said: str) -> str:
    """The words with a line more at their top."""
    at = next((found.end() for top in tops if (found := top.search(words))), 0)
    return words[:at] + (said if at else said.lstrip()) + words[at:]
