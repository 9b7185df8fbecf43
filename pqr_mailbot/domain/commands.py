"""The orders an agent may write: one row an order, and how they are read from the top of a mail.

Orders are lines `#word` at the very top, each with its arguments; the first other line ends them. Whatever looks like
an order and is none holds the whole mail: a typo must never reach a customer (as in Debbugs' control mails).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pqr_mailbot.domain.reference import leading_references
from pqr_mailbot.domain.spanish import folded


@dataclass(frozen=True, slots=True)
class Command:
    """A row: the order's Spanish name, other names for it, its arguments as shown in the help, and what it does.

    `about_case`: it needs a case, that of the letter answered or the one named first. `lookup`: it changes nothing.
    `names_case`: its last reference is an argument (`#unir REF`), not the case it is about.
    `takes_text`: what stands below the orders belongs to it and is no answer to the customer.
    """

    name: str
    synonyms: tuple[str, ...]
    arguments: str
    help: str
    about_case: bool = True
    lookup: bool = False
    names_case: bool = False
    takes_text: bool = False
    button: bool = False
    example: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        return (self.name, *self.synonyms)


COMMANDS: tuple[Command, ...] = (
    Command("nota", ("note", "interna"), "TEXTO", "el texto queda como nota interna; el cliente no lo recibe",
            takes_text=True, button=True),
    Command("resolver", ("resuelto", "resolve", "resolved", "solucionado"), "",
            "envía su texto como la respuesta definitiva y da el caso por resuelto", button=True),
    Command("cerrar", ("cerrado", "close", "closed"), "",
            "cierra el caso; un correo posterior abre uno nuevo, enlazado"),
    Command("reabrir", ("reopen",), "", "vuelve a abrir un caso resuelto o cerrado"),
    Command("esperar", ("wait", "pendiente"), "",
            "envía su texto como solicitud de información; el plazo se suspende si la ley lo permite", button=True),
    Command("prorrogar", ("prorroga", "extend", "ampliar"), "FECHA MOTIVO",
            "avisa al cliente la nueva fecha y el motivo",
            example="#prorrogar 2026-07-07 esperamos el informe del laboratorio"),
    Command("asignar", ("assign",), "PERSONA", "pasa el caso a otro agente (dirección o nombre)",
            example="#asignar Luz Mora"),
    Command("tomar", ("take", "mio"), "", "usted queda a cargo del caso", button=True),
    Command("soltar", ("release",), "", "devuelve el caso: pasa al siguiente agente"),
    Command("escalar", ("escalate",), "MOTIVO", "pasa el caso al nivel superior", button=True,
            example="#escalar pide hablar con un superior"),
    Command("tipo", ("type",), "TIPO", "corrige el tipo y recalcula la fecha desde el recibo",
            example="#tipo queja"),
    Command("urgente", ("urgent",), "", "marca el caso como urgente y avisa al nivel 2"),
    Command("normal", (), "", "quita la marca de urgente"),
    Command("unir", ("merge",), "RADICADO", "este caso sigue dentro de otro del mismo cliente", names_case=True,
            example="#unir PQR-2026-000123"),
    Command("vincular", ("link", "enlazar"), "RADICADO", "enlaza dos casos; cada uno sigue aparte", names_case=True),
    Command("separar", ("split",), "", "el último correo del cliente pasa a un caso nuevo, enlazado"),
    Command("cc", ("copia",), "+DIRECCIÓN -DIRECCIÓN", "agrega o quita a quienes participan en el caso",
            example="#cc +esposo@correo.com -antes@correo.com"),
    Command("cliente", ("customer",), "DIRECCIÓN", "cambia el cliente del caso",
            example="#cliente clara@correo.com Clara Gómez"),
    Command("registrar", ("register",), "DIRECCIÓN NOMBRE", "abre un caso por una llamada (su texto es lo que dijo el "
            "cliente) o por un correo reenviado, y le envía la constancia", about_case=False, takes_text=True,
            example="#registrar clara@correo.com Clara Gómez"),
    Command("acusar", ("acknowledge",), "", "envía el acuse de recibo que estaba retenido"),
    Command("spam", (), "", "cierra el caso sin escribirle a nadie"),
    Command("abrir", ("open",), "NÚMERO", "procesa un correo apartado como si fuera de una persona", about_case=False),
    Command("ausente", ("away", "ausencia"), "DESDE..HASTA",
            "no recibe casos nuevos esos días; los urgentes pasan a otro agente. “#ausente no” lo deja sin efecto",
            about_case=False,
            example="#ausente 2026-12-20..2027-01-05"),
    Command("ver", ("show",), "RADICADO", "muestra un caso", about_case=False, lookup=True, names_case=True),
    Command("lista", ("list",), "", "muestra sus casos abiertos", about_case=False, lookup=True),
    Command("buscar", ("search",), "TEXTO", "busca en todas las conversaciones", about_case=False, lookup=True,
            example="#buscar molienda gruesa"),
    Command("historial", ("history",), "DIRECCIÓN", "muestra los casos de un cliente", about_case=False, lookup=True),
    Command("enviar", ("send",), "", "envía lo que quedó retenido, o este texto sin más revisión", about_case=False),
    Command("confirmar", ("confirm",), "", "confirma que usted escribió el correo que no pudimos comprobar",
            about_case=False),
    Command("ayuda", ("help",), "", "le envía la página de ayuda", about_case=False, lookup=True),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ordered:
    """One order as given: its row, the references it begins with, and the rest of its line."""

    command: Command
    references: tuple[str, ...] = ()
    arguments: str = ""

    @property
    def case(self) -> str | None:
        """The case it names as the one it is about; None: the case of the letter answered."""
        named = self.references[:-1] if self.command.names_case else self.references
        return named[0] if named else None

    @property
    def other(self) -> str | None:
        """The reference that is its argument (`#unir REF`)."""
        return self.references[-1] if self.command.names_case and self.references else None

    def __str__(self) -> str:
        return " ".join((f"#{self.command.name}", *self.references, *filter(None, [self.arguments])))


@dataclass(frozen=True, slots=True)
class Reading:
    """The orders at the top of a text, what stands below them, and what looks like an order but is none (Spanish, for
    the one who wrote it): at the top it holds the mail for good, within the text `#enviar` lets it pass."""

    orders: tuple[Ordered, ...]
    text: str
    unknown: tuple[str, ...] = ()
    stray: tuple[str, ...] = ()

    def names(self, name: str) -> bool:
        return any(order.command.name == name for order in self.orders)


_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_ALIKE = str.maketrans({"＃": "#", "﹟": "#", "\u00a0": " "})
_BLANK = re.compile(r"[\s\u00a0\u2000-\u200f\u202f\u205f\u2060-\u2064\u3000\u00ad\ufeff]*")
_DECORATION = r"[*_\"'«“”‘’(\[¡!.,;:\s]*"
_ORDER = re.compile(rf"{_DECORATION}#\s?(?P<word>[^\W\d_][^\W_]*)(?P<rest>.*)", re.DOTALL)
# A line that begins with # and a letter whatever stands around: "- #resolvr", "2) #resolvr", "##resolvr", "> #resolvr".
_BEGINS = re.compile(r"(?:[^\w#]|_)*+(?:\d{1,3}\s?[.)\]:-])?(?:[^\w#]|_)*+#(?:\W|_){0,4}[^\W\d_]")
_STRAY = re.compile(r"(?:^|(?<=[\s(\[*_\"'«“¡>]))#[^\W\d_]\w*")
MOST_ORDERS = 50  # in one mail
MOST_STRAYS = 5  # that are named
_AROUND = "*_\"'«»“”‘’)]!.,;:\u00a0 \t"


def read(text: str, prefix: str) -> Reading:
    """Reads an agent's new text. `prefix`: of references, which an order may begin with."""
    lines = text.split("\n")
    orders: list[Ordered] = []
    unknown: list[str] = []
    at = 0
    for at, line in enumerate([*lines, "."]):  # noqa: B007  # where the orders end
        if _BLANK.fullmatch(line):
            continue
        found = _ORDER.fullmatch(_plain(line))
        if found is None:
            break
        if len(orders) + len(unknown) == MOST_ORDERS:
            unknown.append(f"Son más de {MOST_ORDERS} órdenes en un solo correo: divídalas en varios.")
            break
        command = find(found["word"])
        if command is None:
            unknown.append(_unknown(found["word"]))
        else:
            orders.append(_ordered(command, found["rest"], prefix))
    below = "\n".join(lines[at:]).strip("\n")
    stray = [f"Dentro del texto hay una línea que parece una orden: “{said[:60]}”." for said in _strays(below)]
    stray[MOST_STRAYS:] = [f"Hay {len(stray) - MOST_STRAYS} líneas más como esas."] if len(stray) > MOST_STRAYS else []
    text_below = below if not _BLANK.fullmatch(below) else ""
    return Reading(tuple(orders), text_below, tuple(dict.fromkeys(unknown)), tuple(stray))


def find(word: str) -> Command | None:
    """The order of this name, whatever its case and accents."""
    return _BY_WORD.get(folded(word))


def suggestion(word: str) -> Command | None:
    """The order that was probably meant."""
    close = get_close_matches(folded(word[:40]), _BY_WORD, n=1, cutoff=0.6)
    return _BY_WORD[close[0]] if close else None


def _ordered(command: Command, rest: str, prefix: str) -> Ordered:
    references, arguments = leading_references(rest.lstrip(_AROUND.replace("+", "")), prefix)
    return Ordered(command, tuple(references), arguments.strip().rstrip('*_"”»'))


def _plain(line: str) -> str:
    """The line as it is read: composed letters, any kind of # and of blank, nothing invisible."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", line)).translate(_ALIKE).strip()


def _unknown(word: str) -> str:
    meant = suggestion(word)
    hint = f" ¿Quiso decir #{meant.name}?" if meant else " Con #ayuda recibe la lista de órdenes."
    return f"#{word[:40]} no es una orden.{hint}"


def _strays(text: str) -> list[str]:
    """Lines of the text that begin with # and a letter, or hold a known order: people put “Hola:” above an order, and
    gateways put banners there."""
    found = []
    for line in text.split("\n"):
        plain = _plain(line) if "#" in line or not line.isascii() else ""
        begins = _BEGINS.match(plain) is not None
        within = any(find(word[1:]) for word in _STRAY.findall(plain))
        if begins or within:
            found.append(plain)
    return found


_BY_WORD = {folded(word): command for command in COMMANDS for word in command.words}


def shown(commands: Sequence[Command] = COMMANDS) -> list[dict[str, object]]:
    """The table as letters show it."""
    return [
        {"order": f"#{c.name}", "arguments": c.arguments, "help": c.help, "button": c.button, "example": c.example}
        for c in commands
        if c.name != "confirmar"
    ]
