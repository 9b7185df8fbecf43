"""Letters: plain facts -> a text and an HTML part from one template, and those -> the finished bytes of a mail.

One file a letter, rendered twice with two layouts that define the same macros, so that the parts cannot drift apart.
Text from a mail is only ever a value: it is cleaned, escaped, wrapped; it is never a template and never a header line.
"""

from __future__ import annotations

import re
import textwrap
import traceback
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from email.headerregistry import Address as HeaderAddress
from email.message import EmailMessage
from email.policy import EmailPolicy
from pathlib import Path
from urllib.parse import quote as percent_encoded

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateNotFound, TemplateSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from pqr_mailbot.domain.effects import Automatic, Facts
from pqr_mailbot.domain.model import Address
from pqr_mailbot.domain.policy import Office
from pqr_mailbot.domain.reference import find_references

WIDTH = 72  # columns of the text part
SUBJECT_LENGTH = 80  # characters of a customer's subject that we repeat
NO_SUBJECT = "(sin asunto)"

_PACKAGE = Path(__file__).parent.parent
_TEMPLATES = (_PACKAGE / "templates", _PACKAGE.parent / "templates")  # in a wheel; in a checkout
_LAYOUTS = ("_text.j2", "_html.j2")

_BREAKS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class TemplateProblem(Exception):
    """A template that cannot be used: one line naming the file, the line and what is wrong there."""

    def __init__(self, file: str, line: int, what: str) -> None:
        super().__init__(f"{file}, line {line}: {' '.join(what.split())}")
        self.file, self.line, self.what = file, line, what


@dataclass(frozen=True, slots=True)
class Rendered:
    """The two parts of a letter, saying the same."""

    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """Everything in the header of a letter. Message-IDs carry their angle brackets; `date` is aware.

    `references` is the whole chain, oldest first, the token's own id last. `in_reply_to`: "" or None when the letter
    answers nothing. `automatic` None: a person's words, without the marks of a machine.
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


class Letters:
    """Renders and composes. `directory`: the admin's own templates, which win over the shipped ones; None: no such.

    A template is read when it is first used and kept: what `check` found sound is what runs until the next start.
    """

    def __init__(self, directory: Path | None, office: Office) -> None:
        shipped = next((path for path in _TEMPLATES if path.is_dir()), _TEMPLATES[0])
        loader = ChoiceLoader([FileSystemLoader(path) for path in (directory, shipped) if path])
        self._environments = tuple(_environment(loader, office, html) for html in (False, True))

    def render(self, letter: str, facts: Facts) -> Rendered:
        """Both parts of `letter`. Raises TemplateProblem; TypeError for a fact that is no plain value."""
        values = {name: _plain(value) for name, value in facts.items()}
        file = f"{letter}.j2"
        try:
            text, html = (
                environment.get_template(file).render({**values, "layout": layout})
                for environment, layout in zip(self._environments, _LAYOUTS, strict=True)
            )
        except Exception as error:
            raise _problem(file, error) from error
        return Rendered(_tidy_lines(text), _tidy_lines(html))

    def prove(self) -> None:
        """Renders every letter once: a broken template is known at the start, and nothing is compiled while a customer
        waits. Raises TemplateProblem."""
        for letter, facts in SAMPLE_FACTS.items():
            self.render(letter, facts)

    def compose(self, envelope: Envelope, rendered: Rendered) -> bytes:
        """The whole mail as it goes over the wire: CRLF, 7-bit ASCII unless an address itself is not (RFC 6532).

        Raises ValueError, in one line, for an address or Message-ID that no header can carry.
        """
        people = (envelope.from_address, envelope.recipient.address, envelope.reply_to or "")
        message = EmailMessage(policy=_LetterPolicy(utf8=not "".join(people).isascii()))
        for name, value in _headers(envelope):
            message[name] = value
        message.set_content(rendered.text, cte="quoted-printable")
        message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
        message["Content-Language"] = "es"
        # In quoted-printable "=" is never followed by "_": no text can contain this boundary.
        message.set_boundary(f"=_{_NOT_IN_BOUNDARIES.sub('', envelope.token)[:60]}")
        return message.as_bytes()


# -- rendering -----------------------------------------------------------------------------------------------------


def _environment(loader: ChoiceLoader, office: Office, html: bool) -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        loader=loader,
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(_FILTERS)
    environment.globals["office"] = {
        "name": office.name,
        "address": office.address,
        "phone": office.phone,
        "privacy_notice_url": office.privacy_notice_url,
        "clock": _clock_name(str(office.timezone)),
    }
    return environment


def _plain(value: object) -> object:
    """The value as templates may have it: without methods of ours, without what no mail can carry."""
    if value is None or isinstance(value, bool | int | date):
        return value
    if isinstance(value, str):
        return _clean(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    raise TypeError(f"a letter is told plain values only, not {type(value).__name__}")


def _clean(text: str) -> str:
    """Plain text with \\n and tabs as its only controls: no lone surrogate, no mark that turns the direction round."""
    return _CONTROLS.sub("", _BREAKS.sub("\n", text)).encode("utf-8", "ignore").decode("utf-8")


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


def _problem(file: str, error: Exception) -> TemplateProblem:
    """Where in a template it went wrong; the innermost of the template's own lines."""
    if isinstance(error, TemplateSyntaxError):
        return TemplateProblem(error.filename or file, error.lineno, error.message or "syntax error")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.endswith(".j2")]
    path, line = (frames[-1].filename, frames[-1].lineno or 1) if frames else (file, 1)
    what = f"there is no template {error.name}" if isinstance(error, TemplateNotFound) else str(error)
    return TemplateProblem(path, line, what or type(error).__name__)


def _tidy_lines(text: str) -> str:
    """No blanks at the end of a line, and never two empty lines together."""
    lines = "\n".join(line.rstrip() for line in text.split("\n"))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"


# -- what templates can do with a value ----------------------------------------------------------------------------

_DAYS = ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo")
_MONTHS = (
    *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
    *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
)
_STATES = {
    "new": "sin respuesta todavía",
    "open": "en curso",
    "waiting": "en espera del cliente",
    "resolved": "resuelto",
    "closed": "cerrado",
}


def long_date(day: date, weekday: bool = True, year: bool = True) -> str:
    """`miércoles 24 de junio de 2026`."""
    named = f"{_DAYS[day.weekday()]} " if weekday else ""
    return f"{named}{day.day} de {_MONTHS[day.month - 1]}" + (f" de {day.year}" if year else "")


def _clock_name(zone: str) -> str:
    """Whose hour it is, for a customer: `hora de Colombia`."""
    return "hora de Colombia" if zone == "America/Bogota" else f"hora de {zone.rpartition('/')[2].replace('_', ' ')}"


def _size(size: int) -> str:
    """`245 kB`, `3,1 MB`."""
    if size < 1_000_000:
        return f"{max(1, round(size / 1000))} kB" if size else "0 kB"
    return f"{size / 1_000_000:.1f} MB".replace(".", ",")


def _state(state: str) -> str:
    return _STATES.get(state, state)


def _mailto(address: str, subject: str) -> str:
    """RFC 6068. A plus sign too is encoded: some programs read it as a blank."""
    return f"mailto:{percent_encoded(address, safe='@')}?subject={percent_encoded(subject, safe='')}"


def _https(url: str) -> str:
    """The address when a letter may link to it, else ""."""
    return url if url.startswith("https://") else ""


def _fill(text: object, first: str = "", rest: str = "") -> str:
    """One paragraph of the text part. Long words, such as addresses, stay whole."""
    return textwrap.fill(
        " ".join(str(text).split()),
        WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Labels and values side by side, values aligned."""
    width = max((len(label) for label, _ in rows), default=0) + 3
    return "\n".join(_fill(value, f"{label + ':':{width}}", " " * width) for label, value in rows)


def _quoted(text: str) -> str:
    """A person's words behind "> ", their lines kept apart; only a line too long to read is broken, at a blank."""
    return "\n".join(f"> {piece}" for line in text.strip("\n").split("\n") for piece in _pieces(line))


def _pieces(line: str) -> list[str]:
    if len(line) <= WIDTH:
        return [line]
    plain: dict[str, bool] = dict.fromkeys(
        ("expand_tabs", "replace_whitespace", "break_long_words", "break_on_hyphens"), False
    )
    return textwrap.wrap(line, WIDTH, **plain) or [""]  # type: ignore[arg-type]


def _html_lines(text: str) -> Markup:
    """A person's words in HTML with their line breaks and indents, which Outlook loses under `pre-wrap`."""
    lines = (re.sub(r"^ +", lambda blanks: "\u00a0" * len(blanks[0]), line) for line in text.strip("\n").split("\n"))
    return Markup("<br>\n").join(escape(line) for line in lines)


# -- subjects, and other words of strangers that we repeat ---------------------------------------------------------

# What an attacker would have us carry to a forged sender: anything that a mail program makes a link of. A dotted word
# is one too, unless it ends like a file ("factura.pdf"; .zip and .mov are domains as well) or is a sentence's end
# without its blank ("Comí.Como").
_FILE_ENDINGS = (
    "pdf|jpe?g|png|gif|heic|webp|tiff?|bmp|docx?|xlsx?|pptx?|odt|ods|csv|txt|xml|html?|eml|msg|mp[34]|m4a|ogg|opus"
)
_LINK = re.compile(
    r"(?:[a-z0-9+.-]{0,20}://|\bwww\.|\bmailto:"
    rf"|(?<![\w-])(?:[\w.+-]{{1,64}}@)?(?:[\w-]+\.)+(?!(?:{_FILE_ENDINGS})\b(?!\.))"
    r"(?-i:[a-zà-ÿ]|[A-Z](?=[A-Z]))[^\W\d_]+\b)[^\s)\]>]*",
    re.IGNORECASE,
)
_DOTS = re.compile("[\u3002\uff0e\uff61\u2024]")  # what browsers take for the dot of a domain
_ANSWERED = re.compile(
    r"^(?:(?:re|rv|fwd?|res|rm|enc|wg|aw|sv|vs|tr)\s?(?:\[[0-9]{1,3}\]|\([0-9]{1,3}\))?\s?[:：]\s*)+", re.IGNORECASE
)
_EMPTY_BRACKETS = re.compile(r"\[\s*\]|\(\s*\)|<\s*>")
_DASHES = re.compile(r"[\u2010-\u2015\u2043\u2212\u2e3a\u2e3b\ufe58\ufe63\uff0d]")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_LOOKED_AT = 1_000  # characters of a name or subject; more would be none


def letter_subject(reference: str, subject: str) -> str:
    """`[PQR-2026-000123] Café vencido`: the case's own reference, the only one, then the customer's subject made safe.

    Without Re: and the like, links, control characters and other references of the same prefix; at most
    SUBJECT_LENGTH characters of it, cut at a word. `reference` "": a letter about no case, the subject alone.
    """
    return f"[{reference}] {plain_subject(subject, reference)}" if reference else plain_subject(subject)


def plain_subject(subject: str, reference: str = "") -> str:
    """The customer's subject made safe as in `letter_subject`, without the tag: the reference stands beside it."""
    text, before = _one_line(subject[:_LOOKED_AT]), None
    while text != before:  # taking one thing out may bring another together
        before = text
        text = _without_references(text.removeprefix(f"[{reference}]"), reference.rsplit("-", 2)[0])
        text = _shortened(_ANSWERED.sub("", _unlinked(text)).lstrip(" :;,|-–—"), SUBJECT_LENGTH)
    return text or NO_SUBJECT


def _without_references(text: str, prefix: str) -> str:
    """Every reference of that prefix taken out, however it is written (see `domain.reference`)."""
    gap = r"[\s\-_./]{0,3}"
    tag = re.compile(rf"[\[(#]*{re.escape(prefix)}{gap}\d{{4}}{gap}\d{{1,9}}[\])]*", re.IGNORECASE)
    while prefix and find_references(text, prefix):
        plain = _DASHES.sub("-", _INVISIBLE.sub("", unicodedata.normalize("NFKC", _INVISIBLE.sub("", text))))
        text = tag.sub(" ", plain)
    return text


def _unlinked(text: str) -> str:
    return " ".join(_EMPTY_BRACKETS.sub(" ", _LINK.sub(" ", _DOTS.sub(".", text))).split())


def _shortened(text: str, length: int) -> str:
    """At most `length` characters, cut at a word where there is one in the second half."""
    if len(text) <= length:
        return text
    cut = text[:length]
    at = cut.rfind(" ")
    return f"{cut[: at if at > length // 2 else length - 1].rstrip()}…"


def _repeatable(text: str, length: int = SUBJECT_LENGTH) -> str:
    """A stranger's words fit for an automatic letter: one line, no links, not long."""
    return _shortened(_unlinked(_one_line(text[:_LOOKED_AT])), length)


_FILTERS = {
    "columns": _columns,
    "fill": _fill,
    "html_lines": _html_lines,
    "https": _https,
    "letter_subject": lambda subject, reference="": letter_subject(reference, subject),
    "long_date": long_date,
    "mailto": _mailto,
    "plain_subject": plain_subject,
    "quoted": _quoted,
    "repeatable": _repeatable,
    "size": _size,
    "state": _state,
}


# -- composing -----------------------------------------------------------------------------------------------------

_ADDRESS = re.compile(r'[^\s<>()\[\],;:\\"@]{1,64}@(?:[^\s<>()\[\],;:\\"@]{1,255}|\[[0-9A-Za-z.:]{3,60}\])')
_ID = re.compile(r"<(?!.*=\?)[!-;=?-~]{1,900}>")  # "=?" would be taken for an encoded word
_ID_HEADERS = frozenset({"message-id", "in-reply-to", "references"})
_NOT_IN_BOUNDARIES = re.compile(r"[^0-9A-Za-z._-]")
_FIRST_REFERENCES, _LAST_REFERENCES, _REFERENCES_LENGTH = 1, 8, 980  # RFC 5322: a line has at most 998 characters
_NAME_LENGTH = 64  # characters of a person's name beside the address
# Not `All`: that would also suppress the bounce we need to hear.
_SUPPRESSED = "DR, RN, NRN, OOF, AutoReply"


class _LetterPolicy(EmailPolicy):
    """The standard rules of SMTP, but an id is never split or encoded: one a line, as it is.

    The standard library encodes any id longer than a line, and no mail program recognises its thread by that.
    """

    linesep = "\r\n"
    max_line_length = 76  # RFC 2045: lines of quoted-printable

    def fold_binary(self, name: str, value: str) -> bytes:
        if name.lower() in _ID_HEADERS:
            return f"{name}: {f'{self.linesep} '.join(value.split())}{self.linesep}".encode("ascii")
        return super().fold_binary(name, value)


def _headers(envelope: Envelope) -> Iterable[tuple[str, object]]:
    yield "From", _mailbox(envelope.from_name, envelope.from_address)
    yield "To", _mailbox(_repeatable(envelope.recipient.name), envelope.recipient.address)
    if envelope.reply_to:
        yield "Reply-To", _mailbox("", envelope.reply_to)
    yield "Subject", _header_words(envelope.subject)
    yield "Date", envelope.date
    if not _ID.fullmatch(envelope.message_id):
        raise ValueError(f"no Message-ID: {envelope.message_id!r}")
    yield "Message-ID", envelope.message_id
    if envelope.in_reply_to and _ID.fullmatch(envelope.in_reply_to):
        yield "In-Reply-To", envelope.in_reply_to
    if chain := _thread(envelope.references):
        yield "References", " ".join(chain)
    yield "X-PQR-Letter", _header_words(envelope.token)  # our loop header: `screen.LETTER_HEADER`
    if envelope.automatic:
        yield "Auto-Submitted", envelope.automatic
        yield "X-Auto-Response-Suppress", _SUPPRESSED


def _thread(ids: Sequence[str]) -> list[str]:
    """The first and the last of the chain, each id once, so that the whole fits into one line."""
    sound = [one for one in ids if _ID.fullmatch(one)]
    chain = list(dict.fromkeys(sound))
    if len(chain) > _FIRST_REFERENCES + _LAST_REFERENCES:
        chain = [*chain[:_FIRST_REFERENCES], *chain[-_LAST_REFERENCES:]]
    while len(" ".join(chain)) > _REFERENCES_LENGTH:
        del chain[1 if len(chain) > 2 else 0]
    return chain


def _mailbox(name: str, address: str) -> HeaderAddress:
    if not _ADDRESS.fullmatch(address) or _clean(address) != address:
        raise ValueError(f"no address that a header can carry: {address!r}")
    local, _, domain = address.rpartition("@")
    return HeaderAddress(_header_words(name)[:_NAME_LENGTH].strip(), local, domain)


def _header_words(text: str) -> str:
    """One line that the standard library takes as it stands: it would decode what looks like an encoded word."""
    return _one_line(text).replace("=?", "= ?")


# -- samples -------------------------------------------------------------------------------------------------------

_SAMPLE_CASE: Facts = {
    "reference": "PQR-2026-000123",
    "customer_name": "Clara Gómez",
    "subject": "Café vencido en el último pedido",
    "type_name": "reclamo",
    "certain": True,
    "is_claim": True,
    "received_on": date(2026, 6, 1),
    "received_hour": "10:42",
    "business_days": 15,
    "due_on": date(2026, 6, 24),
    "skipped": [
        {"date": date(2026, 6, 8), "name": "Corpus Christi"},
        {"date": date(2026, 6, 15), "name": "Sagrado Corazón"},
    ],
}

# One row a letter, every fact it is told: what `check` renders, and the list of the letters there are.
SAMPLE_FACTS: Mapping[str, Facts] = {
    "acknowledgement": {
        **_SAMPLE_CASE,
        "attachments": ["bolsa.jpg", "factura 4711.pdf"],
        "others": [
            {
                "reference": "PQR-2026-000122",
                "subject": "Molienda para greca",
                "received_on": date(2026, 5, 29),
                "due_on": date(2026, 6, 23),
            }
        ],
    },
    "notification": {
        **_SAMPLE_CASE,
        "agent_name": "Ana Ruiz",
        "is_new": True,
        "customer_address": "clara@correo.example",
        "answer_to": "clara@correo.example",
        "writer": "",
        "text": "Buenos días:\n\nEl café que compré llegó vencido. Exijo que me devuelvan el dinero.\n\nClara Gómez",
        "attachments": [
            {"filename": "bolsa.jpg", "content_type": "image/jpeg", "size": 245_310},
            {"filename": "factura 4711.pdf", "content_type": "application/pdf", "size": 3_100_400},
        ],
        "confidence": 95,
        "evidence": ["vencido", "devuelvan el dinero"],
        "urgent": True,
        "urgency": ["salud"],
        "days_left": 15,
        "earlier": [
            {
                "reference": "PQR-2026-000007",
                "subject": "Molienda para greca",
                "state": "closed",
                "opened_on": date(2026, 2, 3),
            }
        ],
        "history": [{"at": "2026-06-01 10:42", "what": "escribió clara@correo.example"}],
        "related": ["PQR-2026-000007"],
        "warning": "El caso PQR-2026-000007 ya estaba cerrado: se abrió este, enlazado.",
        "note_author": "",
    },
    "admit_question": {**_SAMPLE_CASE, "stranger": "diego@correo.example"},
    "alarm": {
        "title": "pqr-mailbot necesita atención",
        "problem": "no mail could be fetched since 2026-06-01 10:42",
        "details": ["imap.example:993: connection refused"],
        "advice": "El comando “pqr-mailbot status” muestra el estado actual.",
    },
}
