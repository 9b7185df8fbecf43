"""What is new in this mail, what is quoted, and what is only a signature. Spanish mail programs first.

Every line of a mail goes to one of the three as it stands: nothing is deleted, and when in doubt a line is new, for a
customer's words that are cut cost more than old words that are shown twice. Most of the rules below are about the
doubt: customers tell stories ("El 1 de junio la asesora me escribió:"), head letters ("De: … Para: … Asunto: …") and
make lists with ">" or "--".

Linear: a line is looked at together with a bounded number of neighbours, and lines over 400 characters are no header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile

ANSWER_ABOVE = "##- Escriba su respuesta por encima de esta línea -##"  # a letter may carry it: quoted from there on

_LONGEST_HEADER = 400
_WRAPPED = 4  # lines that an attribution is wrapped over, at most
_LONGEST_BLOCK = 30  # lines of a block of fields, with its blank ones
_MACHINE_WIDTH = 60  # characters: a ">" line this long was wrapped by a program, not written as a list

# --- words of the attribution: "El lun, 1 jun 2026 a las 10:54, Ana (<ana@x>) escribió:" ------------------------------

_OPENING = (
    r"(?:[-–]{2,5} ?)?(?:El(?: El)?|En|On|Em|Le|Il(?: giorno)?|Am|Op|Den|O|A las?|Às|A|Al|At|No dia|Con fecha(?: de)?)"
)
_VERB = (
    r"(?:escribi[oó]|ha escrito|wrote|writes|escreveu|escribiu|va escriure|a écrit|ha scritto|schrieb|schreef|skrev"
    r"|(?:heeft )?geschreven)"
)
_VERB_FIRST = "schrieb|schreef|skrev"
# Before a machine's verb stands a name; before a storyteller's one of these.
_TOLD = re.compile(
    r"\b(?:me|nos|le|les|se|te|lo|que|quien|ella|[eé]l|ellos|usted|ustedes|ya|no|y|tambi[eé]n|he|she|they|you|we|who|it"
    rf"|lhe|ele|ela|você)\s+{_VERB}\b"
    r"|\b(?:en (?:el|la) (?:que|cual)"
    r"|(?:el|la|su|un|una) (?:señor|doctor|asesor|funcionari|emplead|vendedor|gerente)\w*)\b",
    re.IGNORECASE,
)
_ARTICLE = r"(?!(?:el|la|los|las|un|una|su|sus|mi|mis|esta?|ese|esa|your|the|my|a|an|o|os|as|um|uma|seu|sua)\s)"
_DATE = (
    r"(?:\d{1,4}[/.-]\d{1,2}[/.-]\d{1,4}"
    r"|\d{1,2}(?:st|nd|rd|th|º|\.)?\s+(?:de\s+|d['’])?[^\W\d]{3,12}\.?,?\s+(?:del?\s+)?(?:19|20)\d\d"
    r"|[^\W\d]{3,12}\.?\s+\d{1,2}(?:st|nd|rd|th)?,?\s+(?:19|20)\d\d)"
)
_CLOCK = r"\b\d{1,2}[:h]\d\d(?!\d)"
_MAILBOX = r"[<(]\s?(?:mailto:)?[^\s<>()@]{1,100}+@[^\s<>()@]"  # an address in brackets, as programs write it
_NAME = r"[\"']?[^\W\d][^,:<>@]{0,100}"
_PROPER = r"(?-i:[A-ZÀ-ÖØ-Þ])[\w.'-]*"  # one word of a name
_PROPER_NAME = rf"{_PROPER}(?:\s(?:(?:de|del|la|las|los|y|e|da|do|das|dos|of|and|&|-)\s){{0,3}}{_PROPER}){{0,5}}"

_FEW_WORDS = r"(?:[^\W\d][^\s\d]*\s){0,4}"  # "lunes,", "giorno lun", "Mon, Jun"
_BEGINS = re.compile(rf"{_OPENING}\s{_FEW_WORDS}{_DATE}")
_ENDS_OPEN = re.compile(r"[<(]\s*$|<[^<>]*@[^<>]*>?$")

# Each attribution in one line (programs' line breaks joined); the sure ones need nothing else.
_SURE = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("date, address, verb", rf"{_OPENING}\s{_FEW_WORDS}\d(?=.*{_MAILBOX}).*\b{_VERB}\s?:$"),
        ("address, date, verb", rf"{_OPENING}\s(?:{_PROPER_NAME}\s)?{_MAILBOX}[^\s<>()@]*+>,\s\d.*\b{_VERB}\s?:$"),
        ("date, bare address, verb", rf"{_OPENING}\s(?=.{{0,60}}{_DATE}).*[\s,(][^\s@]++@[^\s@]++\s{_VERB}\s?:$"),
        ("the quote on the same line", rf"{_OPENING}\s(?=.{{0,60}}\d).*{_MAILBOX}[^\s<>()@]*+>\)?\s?{_VERB}\s?:\s+\S"),
        ("verb before the name", rf"(?:Am|Op|Den)\s(?=.{{0,80}}{_CLOCK}).*?\s(?:{_VERB_FIRST})\s.{{1,200}}:$"),
        ("address, verb, date", rf"[^:]{{0,100}}{_MAILBOX}[^\s<>()@]*+>?\)?\s{_VERB}\s[^:]{{0,40}}{_DATE}.{{0,40}}:$"),
        ("Gmail of 2013: no verb", rf"\d{{4}}[-/]\d{{1,2}}[-/]\d{{1,2}}\s.{{0,160}}{_MAILBOX}[^\s<>()@]*+>:?$"),
        ("AOL", r"(?:In a message dated|En un mensaje con fecha)\s(?=.{0,20}\d).*@.*\s(?:writes|escribe)\s?:$"),
        ("between dashes", rf"[-=]{{2,10}}\s?\S.{{0,300}}\s{_VERB}[:\s]{{0,3}}[-=]{{2,10}}$"),
    )
)
# These could be said by a customer too: believed only when quote marks follow.
_IF_MARKED = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        ("date, comma, name", rf"{_OPENING}\s(?=.{{0,40}}\d).{{0,100}},\s{_ARTICLE}{_NAME}\s{_VERB}\s?:$"),
        ("date, clock, Name", rf"{_OPENING}\s(?=.{{0,80}}{_CLOCK}).*[\dAMP.]\s{_PROPER_NAME}\s{_VERB}\s?:$"),
        ("address and verb", rf"[^:]{{0,100}}{_MAILBOX}[^\s<>()@]*+>?\)?\s{_VERB}\s?:$"),
        ("bare address and verb", rf"[^\s@]++@[^\s@]++\s{_VERB}\s?:$"),
        ("Tuta: date, clock, bare address", rf"{_DATE},?\s{_CLOCK}.{{0,20}}\s[^\s@]++@[^\s@:]++:$"),
        ("quoting", rf"(?:Quoting|Citando a?|Mensaje citado por)\s.{{0,100}}{_MAILBOX}[^\s<>()@]*+>?\)?\s?:$"),
        ("address and clock, any language", rf"(?=.*\b\d{{1,2}}[:.h]\d\d).{{0,200}}{_MAILBOX}.{{0,80}}:$"),
    )
)
_SAYS = re.compile(rf"\b{_VERB}\b", re.IGNORECASE)
_NAME_ALONE = re.compile(rf"(?!{_OPENING}\s)(?=\S+\s\S+\s\S){_PROPER_NAME}\s{_VERB}\s?:$", re.IGNORECASE)
_YOU_WROTE = re.compile(  # The Bat; no storyteller knows the second
    rf".{{0,20}}{_DATE},?\s\d{{1,2}}(?::\d\d){{2}}.{{0,10}},\s(?:you wrote|usted escribió|você escreveu):$",
    re.IGNORECASE,
)

# --- separators -------------------------------------------------------------------------------------------------------

_SEPARATORS = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        (
            "between rules",
            r"[-_*=~‐-―]{2,60}\s?(?:mensaje original|original (?:message|appointment)|mensagem original"
            r"|ursprüngliche nachricht|message d['’]origine|messaggio originale|oorspronkelijk bericht"
            r"|correo original|cita original|reply message|mensaje de respuesta|mensagem de resposta"
            r"|mensaje reenviado|forwarded (?:message|by)|mensagem (?:re)?encaminhada|message transféré"
            r"|weitergeleitete nachricht|messaggio inoltrato|missatge reenviat|reenviado por)\b",
        ),
        (
            "Apple's forward",
            r"(?:inicio del mensaje reenviado|comienzo del mensaje reenviado|begin forwarded message"
            r"|início da mensagem (?:re)?encaminhada|anfang der weitergeleiteten (?:nachricht|e-mail)"
            r"|début du message (?:réexpédié|transféré)|inizio messaggio inoltrato)\s?:",
        ),
        ("a desk's own mark", r"##-.{0,120}-##$"),
        ("GroupWise", rf".{{1,200}}\s{_DATE}\s\d{{1,2}}:\d\d.{{0,10}}\s>>>$"),
        ("Notes", rf"[^-]{{1,80}}---\s?{_DATE}\s\d{{1,2}}:\d\d.{{0,20}}---"),
    )
)
_RULER = re.compile(r"[-_=*]{5,}$")
_RULER_ABOVE = re.compile(r"[-_=*]{10,}$")
_TITLE_ABOVE = re.compile(r"(?:mensaje original|original message|mensagem original)$", re.IGNORECASE)  # BlackBerry

# --- blocks of fields: Outlook's "De: … Enviado el: … Para: … Asunto: …" in many languages ----------------------------

_ROLES = {
    "sender": "De|From|Von|Da|Van|Remitente",
    "sent": "Enviado(?: el| em)?|Enviados|Enviada(?: em)?|Sent|Gesendet|Envoyé|Inviato|Verzonden",
    "date": "Fecha(?: de envío)?|Date|Data|Datum",
    "to": "Para|To|An|À|A|Aan|Destinatario",
    "copy": r"CC|CCO|BCC|C\.C\.|Cc\s?n",
    "subject": "Asunto|Subject|Assunto|Betreff|Objet|Oggetto|Onderwerp",
    "other": "Responder a|Reply-To|Importancia|Importance|Prioridad|Datos adjuntos|Archivos adjuntos|Adjuntos|Anexos"
    "|Attachments",
}
_FIELD = re.compile(
    r"[*_]{0,2}(?:" + "|".join(f"(?P<{role}>{labels})" for role, labels in _ROLES.items()) + r")\s?[*_]{0,2}\s?:",
    re.IGNORECASE,
)
_INNER_FIELD = re.compile(
    r"(?:^|\s)[*_]{0,2}(?:(?P<sender>De|From)|(?P<sent>Enviado(?: el)?|Sent|Fecha|Date)|(?P<to>Para|To)"
    r"|(?P<subject>Asunto|Subject|Assunto)):"
)
_WRAPPED_ROLES = frozenset({"sender", "sent", "date", "to", "copy"})
_GOES_ON_BELOW = re.compile(r"@|;|^\d{1,2}[:.]\d\d|^m\.$")  # the rest of a list of addresses, or of a date
_ANY_FIELD = re.compile(r"[*_]{0,2}[^\W\d][^:@<>]{0,25}:[*_]{0,2}\s")
_A_DATE = re.compile(_DATE, re.IGNORECASE)
_HAS_CLOCK = re.compile(r"(?<![\d.])\d{1,2}[:.h]\d\d(?!\.?\d)")  # not 1.06.2026
_HAS_MAILBOX = re.compile(rf"{_MAILBOX}|\[mailto:")
_BARE_MAILBOX = re.compile(r"[^:]{1,20}:[*\s]{0,3}[^\s@]++@[^\s@]++$")

# --- signatures -------------------------------------------------------------------------------------------------------

_PRODUCT = (
    r"(?:iPhone|iPad|iPod|iOS|iCloud|Android|Samsung|Galaxy|Huawei|Honor|Xiaomi|Redmi|Motorola|Moto|Nokia|LG|Sony|OPPO"
    r"|vivo|realme|TCL|ZTE|Tecno|Infinix|Pixel|Alcatel|BlackBerry|smartphone|tel[eé]fono|celular|m[oó]vil|m[oó]bil"
    r"|tablet|dispositivo|device|phone|mobile|Outlook|Hotmail|Yahoo|Gmail|Proton ?Mail|BlueMail|TypeApp|myMail|Spark"
    r"|Airmail|AOL|Zoho(?: Mail)?|Thunderbird|Windows|Mail|E-?mail|Correo|webmail)"
)
# Words with which a customer goes on: "Enviado desde mi celular y no llegó", "Enviado desde mi correo el lunes".
_GOES_ON = re.compile(
    r"\b(?:y|pero|que|hoy|ayer|hace|porque|ustedes|al|lunes|martes|mi[eé]rcoles|jueves|viernes|s[aá]bado|domingo|el \d+"
    r"|a (?:mi|su|la|nombre)|tienda|bodega|casa|sucursal|almac[eé]n|pedido|and|but|never|because|yesterday|today|you"
    r"|no(?! Android| iPhone| iPad| iOS| Windows))\b|[?¿!¡]",
    re.IGNORECASE,
)
_MADE_BY_A_PROGRAM = tuple(
    (name, re.compile(pattern, re.IGNORECASE))
    for name, pattern in (
        (
            "sent from",
            r"(?:(?:mensaje |correo )?(?:enviad[oa]|escrito)|sent|inviato|envoyé|verstuurd|skickat)\s"
            r"(?:desde|do|da|de|con|com|via|vía|usando|mediante|pelo|from|with|using|vanaf|från|a partir d[eo])\b"
            rf"\s?(?:\S{{1,60}}\s){{0,5}}?\W?{_PRODUCT}\b.{{0,70}}$",
        ),
        ("sent from a brand", r"(?:enviado desde mi|sent from my)\s(?-i:[A-Z0-9])[\w-]*(?:\s[\w-]+){0,3}\.?$"),
        ("gesendet", rf"von mein\w{{0,2}}\s.{{0,30}}{_PRODUCT}\b.{{0,30}}\sgesendet\.?$"),
        (
            "get the program",
            r"(?:obt[eé]n(?:er|ga)?|consig[au]e?|descarg(?:ar?|ue)|get|obter(?: o)?|baixe o|download)\s"
            r"(?:<\S{1,200}>\s?)?\[?(?:outlook|bluemail|yahoo|typeapp|mymail|spark|proton)\b.{0,200}$",
        ),
        ("scanned", r"(?:libre de virus|virus-free|livre de vírus)\b.{0,20}avast.{0,60}$"),
        ("tracked", r"(?:remitente notificado con|sender notified by) mailtrack\b.{0,30}$"),
        ("Yahoo's slogan", r"yahoo mail: .{0,20}(?:organizar|organize)\b.{0,20}$"),
    )
)
_LINK = re.compile(r"[<(]\S*+")
_LINK_ALONE = re.compile(r"<?(?:https?://|#)\S+$|\[image:[^]]*\]$")
_PICTURE_LINK = re.compile(r"<https?://\S+>$")  # above such a line; a link without brackets is the sender's own
_SIGNED = re.compile(r"(?:-{2,3}|_{2,3}|—)$")
_NOT_SIGNED = re.compile(r"[?¿]|^\W?(?:P\.?\s?[DS]\b|nota\b)", re.IGNORECASE)
_LIST_FOOTER = re.compile(r"mailing list|lista de correo|suscrito al grupo|subscribed to the", re.IGNORECASE)
_SIGNATURE_LINES = 12
_SIGNATURE_WIDTH = 160  # characters

# Not "Cordial saludo" and "Saludos": many letters open with them.
_CLOSING = re.compile(
    r"^(?:muy )?(?:cordialmente|atentamente|atte|respetuosamente|(?:best |kind )?regards|sincerely)\s*[.,:]*$",
    re.IGNORECASE,
)
_SHORT = 60  # characters: names, posts and phone numbers under a closing
_FOOTER_CUES = tuple(
    re.compile(cue, re.IGNORECASE)
    for cue in (
        r"confiden[ct]ial",
        r"destinatario|destinatário|intended (?:solely )?(?:recipient|for)",
        r"\b(?:este|esta|el presente) (?:mensaje|correo|e-?mail|mensagem)|this (?:message|e-?mail)",
        r"ley (?:estatutaria )?1581",
        r"datos personales|tratamiento de (?:sus |los )?datos|pol[ií]tica de (?:tratamiento|privacidad)",
        r"aviso legal|disclaimer|por (?:error|engano)|received .{0,30}in error|elim[ií]nelo|delete it",
        r"antes de imprimir|before printing",
        r"medio ambiente|environment",
    )
)
_SURE_FOOTER, _LIKELY_FOOTER = 3, 2  # cues: to set it apart in the record; not to read it for its type
# Whoever asks about their own data writes in the first person; a footer does not.
_FIRST_PERSON = re.compile(
    r"\b(?:mi|mis|me|yo|solicito|exijo|pido|quiero|necesito|revoco|autoric[eé]|deseo)\b", re.IGNORECASE
)

# "Respondo en rojo": without quote marks nobody can tell the answers from the questions, so all of it stays.
_ANSWERS_BELOW = re.compile(
    r"\b(?:respond\w+|respuestas?|contest\w+|comentarios|observaciones|answer\w*|comments?|repl(?:y|ies)|respost\w+)\b"
    r"[^.\n]{0,60}\b(?:(?:en|in|em) (?:rojo|azul|verde|negrilla|negrita|may[uú]sculas?|red|blue|bold|caps|vermelho)"
    r"|resaltad\w+|entre l[ií]neas|inline|in-line|en el cuerpo|(?:m[aá]s )?abajo(?! firmante)|below|abaixo)\b",
    re.IGNORECASE,
)

_INVISIBLE = dict.fromkeys((*range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))


@dataclass(frozen=True, slots=True)
class Parts:
    """A mail's text in three: each holds whole lines of it, in order, without blank lines around them.

    `new`: what the person typed now, with a name typed under it. `signature`: what a program put there by itself (the
    lines under "-- ", "Enviado desde mi iPhone", legal footers). `quoted`: older mail, forwarded mail.
    """

    new: str
    quoted: str
    signature: str = ""

    @property
    def own(self) -> str:
        """New text and signature: for a reader who may need the telephone number that stands there."""
        return f"{self.new}\n\n{self.signature}" if self.signature else self.new

    @property
    def doubtful(self) -> bool:
        """Does anything in `new` still look like a quote or the head of one? A customer's mail is taken as it is; an
        answer that goes out to a customer must not carry what was kept in doubt."""
        page = _Page.of(self.new)
        roles = {found.lastgroup for line in page.bare if (found := _FIELD.match(line))}
        resembling = (_separator_size(page, at) or _resembles_attribution(page.bare[at]) for at in range(len(page.raw)))
        return any(page.marked) or len(roles - {"other", "copy"}) > 1 or any(resembling)


@dataclass(frozen=True, slots=True)
class _Page:
    """The lines of a mail as they are, and as the rules look at them."""

    raw: Sequence[str]
    bare: Sequence[str]  # without quote marks, invisible characters and needless blanks; "" when too long for a header
    marked: Sequence[bool]  # begins with ">"

    @classmethod
    def of(cls, text: str) -> _Page:
        raw = text.replace("\r\n", "\n").split("\n")
        seen = [line[:_LONGEST_HEADER].translate(_INVISIBLE).strip() for line in raw]
        fits = (len(line) <= _LONGEST_HEADER for line in raw)
        bare = [" ".join(line.lstrip("> ").split()) if short else "" for line, short in zip(seen, fits, strict=True)]
        # GroupWise heads a quote, which it does not mark, by ">>> Ana 1/6/2026 10:54 >>>".
        return cls(raw, bare, [line.startswith(">") and not line.endswith(" >>>") for line in seen])

    def blank(self, at: int) -> bool:
        return not self.raw[at].strip()

    def next_line(self, at: int, end: int | None = None) -> int | None:
        """The first line from `at` on that has anything on it, but not further than a screen."""
        until = min(len(self.raw) if end is None else end, at + _LONGEST_BLOCK)
        return next((line for line in range(at, until) if not self.blank(line)), None)


@dataclass(frozen=True, slots=True)
class _Header:
    """A mail program's "here begins the quote"."""

    start: int
    end: int
    attribution: bool  # "El … escribió:": below it, quote marks may begin late, under a first answer


def split(text: str) -> Parts:
    """What the sender wrote now, what they quoted, and their signature.

    Every line with anything on it is in one of the three. `new` is empty only when `text` is blank: where nobody typed
    anything (only a quote, a forward, a signature) the mail is taken as written, for a forward may be all the evidence.
    """
    page = _Page.of(text)
    headers = list(_headers(page))
    quoted = _quoted_lines(page, headers)
    signed = _signature_lines(page, quoted, headers[0].start if headers else len(quoted))
    kinds = ["quoted" if is_quoted else "signature" if at in signed else "new" for at, is_quoted in enumerate(quoted)]
    if not any(kind == "new" and not page.blank(at) for at, kind in enumerate(kinds)):
        return Parts(_trimmed(page.raw), "")
    return Parts(*(_gathered(page, [kind == part for kind in kinds]) for part in ("new", "quoted", "signature")))


def without_signature(text: str) -> str:
    """`text` (one's own, already split) without the closing, name and legal footer at its end: for reading by
    machine only, since now and then a fact stands there. Never empty unless `text` is blank."""
    lines = text.split("\n")
    end = len(lines)
    while (start := _footer_start(lines, end, _LIKELY_FOOTER)) is not None:
        end = start
    del lines[end:]
    below = 0
    for at in range(len(lines) - 1, 0, -1):  # the first line is never a signature
        line = lines[at].strip()
        if line == "--" or (len(line) <= _SHORT and _CLOSING.match(line)):
            return _trimmed(lines[:at]) or text
        below += bool(line)
        if below > _SIGNATURE_LINES or len(line) > _SHORT:
            break
    return _trimmed(lines) or text


# --- where a quote begins ---------------------------------------------------------------------------------------------


def _headers(page: _Page) -> Iterator[_Header]:
    at, free = 0, 0
    while at < len(page.raw):
        if page.blank(at):
            at += 1
            continue
        size = _attribution_size(page, at)
        plain = size or _separator_size(page, at)
        end = at + (plain or _fields_size(page, at))
        if end > at:
            above = _above(page, at, free)
            ruled = _RULER_ABOVE.match(page.bare[above]) or (not plain and _TITLE_ABOVE.match(page.bare[above]))
            yield _Header(above if ruled else at, end, bool(size))
            free = end
        at = max(end, at + 1)


def _above(page: _Page, start: int, free: int) -> int:
    """The first line with anything on it right above `start`, but not before `free`; `start` if there is none."""
    lines = range(start - 1, max(free, start - _WRAPPED) - 1, -1)
    return next((at for at in lines if not page.blank(at)), start)


def _separator_size(page: _Page, at: int) -> int:
    line = page.bare[at]
    return int(ANSWER_ABOVE in page.raw[at] or any(pattern.match(line) for _, pattern in _SEPARATORS))


def _attribution_size(page: _Page, at: int) -> int:
    """How many lines the "El … escribió:" that begins here takes (programs wrap it); 0: none begins here."""
    joined = ""
    for size in range(1, _WRAPPED + 1):
        line = page.bare[at + size - 1] if at + size <= len(page.bare) else ""
        wraps = size == 1 or _goes_on_below(joined, page.bare[at])
        if not line or not wraps or (size > 1 and (_BEGINS.match(line) or _FIELD.match(line) or joined[-1] in ":?!")):
            return 0  # the line above the one where an attribution begins is the customer's
        joined = f"{joined} {line}".strip()
        if len(joined) > _LONGEST_HEADER:
            return 0
        if (":" in line or line.endswith(("-", "=", ">"))) and _is_attribution(page, joined, at + size):
            return size
    return 0


def _goes_on_below(joined: str, first: str) -> bool:
    """May the text that begins like `first` be an attribution cut off at the right margin?"""
    return _BEGINS.match(first) is not None or _ENDS_OPEN.search(joined) is not None


def _resembles_attribution(line: str) -> bool:
    """Whoever says it, in whatever language; nothing is cut by this."""
    return ":" in line and (_SAYS.search(line) is not None or ("@" in line and _HAS_CLOCK.search(line) is not None))


def _is_attribution(page: _Page, joined: str, below: int) -> bool:
    told = _TOLD.search(joined) is not None
    if not told and any(pattern.match(joined) for _, pattern in _SURE):
        return True
    first = page.next_line(below)
    if first is None or not page.marked[first]:
        return False
    if told:
        return _YOU_WROTE.match(joined) is not None
    if any(pattern.match(joined) for _, pattern in _IF_MARKED):
        return True
    return _NAME_ALONE.match(joined) is not None and page.marked[first + 1 : first + 2] == [True]


def _fields_size(page: _Page, at: int) -> int:
    """How many lines the block "De: … Enviado: … Para: … Asunto: …" that begins here takes; 0: none begins here.

    A customer may list "De: Cali, Para: Tunja, Fecha: …" too, or head a letter like that: so a time of sending as a
    program writes it must be there, and a subject; Outlook leaves out an empty one, then all else must be certain.
    """
    line = page.bare[at]
    if _RULER.match(line):
        below = page.next_line(at + 1)
        return 0 if below is None else _foreign_fields_size(page, below) and below - at + 1
    if _has_all_fields(line):
        return 1
    roles, end = _fields_from(page, at)
    if not _is_header(roles):
        return 0
    # A customer's own "Para: mi hermana" may stand right above a header that needs it not.
    starts = (line for line in range(at + 1, end) if _FIELD.match(page.bare[line]))
    return 0 if any(_is_header(_fields_from(page, start)[0]) for start in starts) else end - at


def _is_header(roles: dict[str, str]) -> bool:
    """Did a program write these fields (in their order)?"""
    if "sender" not in roles or len(roles) < 3:
        return False
    sent = roles.get("sent", "")
    clock = _HAS_CLOCK.search(sent or roles.get("date", "")) is not None
    dated = _A_DATE.search(sent) is not None
    mailbox = (_HAS_MAILBOX.search(roles["sender"]) or _BARE_MAILBOX.match(roles["sender"])) is not None
    if "subject" not in roles:
        return "to" in roles and clock and dated and mailbox and next(iter(roles)) == "sender"
    if sent:
        return clock or (dated and (mailbox or len(roles) >= 4))
    return clock and (mailbox or "/" in roles["sender"])  # "Ana Ruiz/BOG/LOHAS": Notes; else a memorandum's head


def _has_all_fields(line: str) -> bool:
    inner = {str(found.lastgroup) for found in _INNER_FIELD.finditer(line)}
    return inner >= {"sender", "sent", "subject"} and _HAS_CLOCK.search(line) is not None


def _fields_from(page: _Page, at: int) -> tuple[dict[str, str], int]:
    """The fields of one block by their roles, and the line after it. Long values may be wrapped."""
    roles: dict[str, str] = {}
    role, end = "", at
    for line in range(at, min(len(page.bare), at + _LONGEST_BLOCK)):
        text = page.bare[line]
        if text and (page.marked[line] != page.marked[at] or _has_all_fields(text)):
            break
        found = _FIELD.match(text)
        if found is not None:
            role = str(found.lastgroup)
            if role in roles:
                break
            roles[role] = text
            end = line + 1
        elif text and line == end and role in _WRAPPED_ROLES and _GOES_ON_BELOW.search(text) and text[-1] != ":":
            roles[role] += f" {text}"
            end = line + 1
        elif text or not roles:
            break
    return roles, end


def _foreign_fields_size(page: _Page, at: int) -> int:
    """Under Outlook's ruler: three fields of whatever language, of which one is the sender and one the time."""
    block = page.bare[at : at + 5]
    fields = [line for line in block if _ANY_FIELD.match(line)]
    if len(fields) < 3 or fields[0] != block[0] or not _HAS_MAILBOX.search(fields[0]):
        return 0
    return int(any(_HAS_CLOCK.search(line) for line in fields[1:]))


# --- what of it is quoted ---------------------------------------------------------------------------------------------


def _quoted_lines(page: _Page, headers: Sequence[_Header]) -> list[bool]:
    """For each line: is it quoted?"""
    total = len(page.raw)
    quoted = _quoted_without_header(page, headers[0].start if headers else total)
    for header, following in pairwise([*headers, _Header(total, total, False)]):
        quoted += [True] * (header.end - header.start)
        kinds = _kinds_below(page, header, following.start)
        if kinds is None:
            above = "\n".join(page.bare[: headers[0].start])[-2_000:]
            return [False] * total if _ANSWERS_BELOW.search(above) else [*quoted, *[True] * (total - len(quoted))]
        quoted += kinds
    return quoted


def _kinds_below(page: _Page, header: _Header, until: int) -> list[bool] | None:
    """Which lines from the header to the next one are quoted; None: this program sets no ">" before what it quotes,
    so that all below is quoted. Where it does, lines without ">" are answers in between."""
    segment = range(header.end, until)
    written = [at for at in segment if not page.blank(at)]
    between_headers = not written and until < len(page.raw)
    marks = [page.marked[at] for at in (written if header.attribution else written[:1])]
    if any(marks) or between_headers or page.marked[header.start]:
        return [page.marked[at] for at in segment]
    return None


def _quoted_without_header(page: _Page, end: int) -> list[bool]:
    """No program said where the quote begins: blocks of two and more ">" lines in which a program's hand is seen are
    one. Others may be the sender's own list."""
    quoted = [False] * end
    start = 0
    while start < end:
        stop = start + 1
        if page.marked[start]:
            while stop < end and page.marked[stop]:
                stop += 1
            if stop - start > 1 and _by_program(page, start, stop) and not _cited(page, start):
                quoted[start:stop] = [True] * (stop - start)
        start = stop
    return quoted


def _by_program(page: _Page, start: int, stop: int) -> bool:
    """An empty ">", a ">>" or a long line: nobody types these by hand."""
    lines = (page.raw[at].strip() for at in range(start, stop))
    return any(line == ">" or line[1:].lstrip().startswith(">") or len(line) >= _MACHINE_WIDTH for line in lines)


def _cited(page: _Page, start: int) -> bool:
    """Does the sender introduce what stands from here on? "Según el artículo 23:", right above."""
    above = page.bare[start - 1] if start else ""
    return above.endswith(":") and not page.marked[start - 1] and "@" not in above and not _HAS_CLOCK.search(above)


# --- what is only a signature -----------------------------------------------------------------------------------------


def _signature_lines(page: _Page, quoted: Sequence[bool], first_header: int) -> set[int]:
    """The lines of signatures at the end of what is new, and right above the first quote."""
    own = [at for at, is_quoted in enumerate(quoted) if not is_quoted and not page.blank(at)]
    signed = _signature_at_end(page, [at for at in own if at < first_header])
    return signed | _signature_at_end(page, [at for at in own if at not in signed])


def _signature_at_end(page: _Page, own: list[int]) -> set[int]:
    left = list(own)
    while left and (size := _signature_size(page, left)):
        del left[-size:]
    return set(own[len(left) :])


def _signature_size(page: _Page, own: Sequence[int]) -> int:
    """How many of the last lines of `own` are a signature of one kind; 0: none."""
    last = page.bare[own[-1]]
    if _SIGNED.match(last):
        return 1
    if size := _program_line_size(page, own):
        return size
    for size in range(2, min(_SIGNATURE_LINES + 1, len(own)) + 1):
        if _SIGNED.match(page.bare[own[-size]]) or _RULER.match(page.bare[own[-size]]):
            if _is_signature(page, own[-size:]):
                return size
            break
    return _footer_size(page, own)


def _program_line_size(page: _Page, own: Sequence[int]) -> int:
    """How many of the last lines are one "Enviado desde …", wrapped and with the links that programs put around it."""
    joined = ""
    for size in range(1, min(_WRAPPED + 1, len(own)) + 1):
        line = page.bare[own[-size]]
        if size > 1 and own[-size + 1] - own[-size] > 1:
            break
        joined = f"{'' if _LINK_ALONE.match(line) else line} {joined}".strip()
        if joined and _is_made_by_a_program(joined):
            above = (page.bare[at] for at in own[-size - 1 :: -1])
            return size + sum(1 for _ in takewhile(_PICTURE_LINK.match, above))
    return 0


def _is_made_by_a_program(line: str) -> bool:
    if not any(pattern.match(line) for _, pattern in _MADE_BY_A_PROGRAM):
        return False
    return _GOES_ON.search(_LINK.sub("", line)) is None


def _is_signature(page: _Page, lines: Sequence[int]) -> bool:
    """Is what stands under the dashes a signature? "-- " with its blank is a program's (RFC 3676 section 4.3); other
    dashes a customer may draw too, so a name must stand under them, and nobody may speak."""
    below = [page.bare[at] for at in lines[1:]]
    if any(_NOT_SIGNED.search(line) or not line or len(line) > _SIGNATURE_WIDTH for line in below):
        return False
    if page.raw[lines[0]].rstrip("\r") == "-- ":
        return True
    if _LIST_FOOTER.search(" ".join(below)):
        return True
    if len(page.bare[lines[0]]) > 3 or any(_FIRST_PERSON.search(line) for line in below):
        return False
    words = [word for word in re.findall(r"[^\W\d_][\w.'-]*", below[0]) if len(word) > 3]
    return len(below[0]) <= _SHORT and bool(words) and all(word[0].isupper() for word in words)


def _footer_size(page: _Page, own: Sequence[int]) -> int:
    """How many of the last lines are one legal paragraph, without a name and post that stand right above it."""
    size = 1
    while size < len(own) and own[-size] - own[-size - 1] == 1 and not _RULER.match(page.bare[own[-size - 1]]):
        size += 1
    lines = [page.raw[at] for at in own[-size:]]
    if size == len(own) or _footer_start(["", *lines], size + 1, _SURE_FOOTER) is None:
        return 0
    named = takewhile(lambda line: len(line) <= _SHORT and not any(cue.search(line) for cue in _FOOTER_CUES), lines)
    size -= sum(1 for _ in named)
    return size + bool(_RULER.match(page.bare[own[-size - 1]]))


def _footer_start(lines: Sequence[str], end: int, needed: int) -> int | None:
    """Where the last paragraph before `end` begins, if it is a legal footer: never the first, and never one in the
    first person."""
    while end > 0 and not lines[end - 1].strip():
        end -= 1
    start = end
    while start > 0 and lines[start - 1].strip():
        start -= 1
    if start == 0 or start == end:
        return None
    paragraph = " ".join(lines[start:end])
    cues = sum(1 for cue in _FOOTER_CUES if cue.search(paragraph))
    return start if cues >= needed and not _FIRST_PERSON.search(paragraph) else None


# --- lines put together -----------------------------------------------------------------------------------------------


def _gathered(page: _Page, mine: Sequence[bool]) -> str:
    """The lines that are `mine`, blank lines between them as they stood; a blank line where others were left out."""
    gathered: list[str] = []
    left_out = False
    for at, line in enumerate(page.raw):
        if not page.blank(at) and not mine[at]:
            left_out = True
        elif page.blank(at):
            if gathered and not left_out:
                gathered.append(line)
        else:
            if left_out and gathered and gathered[-1].strip():
                gathered.append("")
            gathered.append(line)
            left_out = False
    return _trimmed(gathered)


def _trimmed(lines: Sequence[str]) -> str:
    """Lines without the blank ones around them."""
    start, end = 0, len(lines)
    while start < end and not lines[start].strip():
        start += 1
    while end > start and not lines[end - 1].strip():
        end -= 1
    return "\n".join(lines[start:end])
