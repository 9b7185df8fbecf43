"""What is new in a mail, what is quoted and what is a signature: replies of many programs, what must be kept, the laws.

tests/replies/*.txt hold the replies, written for these tests: "# name", then each line under its mark: "+" new,
"-" quoted, "~" signature, "=" HTML (then + and ~ say what must be found in it). Unseen blanks are drawn: ⍽ no-break,
⎵ narrow no-break, ␠ one at the end of a line.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pqr_mailbot.adapters.html_text import html_text
from pqr_mailbot.domain.reply_text import ANSWER_ABOVE, Parts, split, without_signature

REPLIES = Path(__file__).parent / "replies"
_DRAWN = str.maketrans({"⍽": "\xa0", "⎵": "\u202f", "␠": " "})

OLD = "Su solicitud fue recibida."
GMAIL = "El lun, 1 jun 2026 a la(s) 10:54 p. m., Ana Ruiz (<ana@lohas.test>) escribió:"
OUTLOOK = "De: Ana Ruiz <ana@lohas.test>\nEnviado: lunes, 1 de junio de 2026 10:54\nPara: Rosa\nAsunto: RE: Pedido"


@dataclass(frozen=True)
class Reply:
    """One labelled mail: (mark, line) in order."""

    name: str
    lines: tuple[tuple[str, str], ...]

    def of(self, marks: str) -> str:
        return "\n".join(line for mark, line in self.lines if mark in marks)

    @property
    def history(self) -> str:
        """The quote that this program sets below what one types, when nothing of one's own comes after it."""
        below = re.fullmatch(r"\+[+~]*(-+)", "".join(mark for mark, _ in self.lines))
        return "\n".join(line for _, line in self.lines[below.start(1) :]) if below else ""


def replies(*names: str) -> Iterator[Reply]:
    for name in names or sorted(path.stem for path in REPLIES.iterdir()):
        for record in re.split(r"^# ", (REPLIES / f"{name}.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]:
            title, _, body = record.partition("\n")
            lines = [(line[0], line[2:].translate(_DRAWN)) for line in body.split("\n") if line]
            yield Reply(f"{name}: {title}", tuple(lines))


WRITTEN = [reply for reply in replies() if not reply.of("=")]
HTML = [reply for reply in replies() if reply.of("=")]
# Lines that a customer types and that look like a program's: none may draw the rest into a quote below.
TYPED = (
    *("Buenos días,", "Gracias", "Cordialmente,", "Rosa Peña", "CC 52.111.222", "¿Llegó?", "no", "Total: $45.000", ""),
    *("El lunes Ana escribió: que no hay café", "El 14/04/2026 a las 9:05 la asesora me escribió:", "Ana escribió:"),
    *("El 1 de junio de 2026 pedí:", "me respondieron:", "escribió:", "El"),
    *("De: Bogotá", "Para: Cali", "Asunto: flete", "Enviado: 3 cajas", "Fecha: 14/04/2026", "Fecha: 14/04/2026 9:05"),
    *("De: Rosa Gil", "Para: rosa@correo.test", "A: nombre de Rosa", "De: Bogotá Para: Cali Asunto: flete", "CC: 52"),
    *("> 2 libras", "> y un filtro", "->", "--", "---", "________________", "* 1", "- 2", "1. tres"),
    *(
        "Enviado por Servientrega",
        "Enviado desde mi celular ayer",
        "https://fotos.test/1",
        "rosa@correo.test",
        "Mensaje",
    ),
    *("On Monday Ana wrote:", "On 4/14/2026 I wrote to you:", "From: London", "To: Leeds", "Subject: no", "Sent: two"),
    *("Em 14/04/2026 a Ana me escreveu:", "Assunto: frete", "Data: amanhã", "PD: va la foto"),
)
HISTORIES = [reply.history for reply in WRITTEN if reply.history.strip()]


def words(text: str) -> list[str]:
    """The lines that say something, white space aside."""
    return [" ".join(line.split()) for line in text.split("\n") if line.strip()]


def test_there_are_replies_enough_to_learn_from() -> None:
    assert len(WRITTEN) + len(HTML) >= 150 and len(HISTORIES) >= 100
    assert all({mark for mark, _ in reply.lines} <= set("+-~=") for reply in (*WRITTEN, *HTML))


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("reply", WRITTEN, ids=lambda reply: reply.name)
def test_reply(reply: Reply, newline: str) -> None:
    parts = split(reply.of("+-~").replace("\n", newline))
    assert words(parts.new) == words(reply.of("+"))
    assert words(parts.quoted) == words(reply.of("-"))
    assert words(parts.signature) == words(reply.of("~"))


@pytest.mark.parametrize("reply", HTML, ids=lambda reply: reply.name)
def test_reply_in_html_alone(reply: Reply) -> None:
    parts = split(html_text(reply.of("=")))
    assert words(parts.new) == words(reply.of("+"))
    assert words(parts.signature) == words(reply.of("~"))


KEPT = [
    # (name, a text that is new from end to end)
    ("opens with > on purpose", "> 18 años: ¿puedo trabajar con ustedes?\nGracias"),
    ("all lines marked", "> Quiero 2 libras\n> y un filtro"),
    ("one marked line", "El precio que vi:\n> 30.000\n¿es por libra?"),
    ("a sentence like a header", "En su carta ustedes escribieron:\nque llegaba el lunes"),
    ("someone wrote, no date", "Hola\nEl señor de la tienda me escribió:\nvenga mañana"),
    ("a shipment", "Buenas, cotizar envío\nDe: Medellín\nPara: Tunja\nFecha: 12/03/2026\nA: nombre de Rosa"),
    ("a shipment with an address", "Buenas\nDe: Medellín\nPara: Tunja\nFecha: mañana\nA: rosa@x.test\nUrgente"),
    ("the head of a letter", "Buenos días\nDe: Rosa Gil\nPara: Lohas Beans\nAsunto: queja\nEl café llegó roto."),
    ("a ruler of one's own", "Pedido:\n____________________________\n2 libras"),
    ("only a quote", f"{GMAIL}\n> {OLD}"),
    ("only a forward", f"---------- Forwarded message ---------\nDe: Ana <a@x.test>\n\n{OLD}\n\n-- \nAna"),
    ("only a forward from a phone", f"Enviado desde mi iPhone\n\nInicio del mensaje reenviado:\n\n> {OLD}"),
    ("only a phone signature", "Enviado desde mi iPhone"),
    ("only a signature", "-- \nRosa"),
    ("phone in the middle", "Enviado desde mi iPhone\nporque no tengo computador"),
    ("phone in a sentence", "No llegó.\nEnviado desde mi celular ayer a las 5"),
]


@pytest.mark.parametrize(("name", "text"), KEPT, ids=[name for name, _ in KEPT])
def test_what_is_kept(name: str, text: str) -> None:
    assert split(text) == Parts(new=text, quoted="", signature="")


def test_what_is_left_out_leaves_a_blank_line() -> None:
    parts = split(f"Respondo.\n{GMAIL}\n> ¿Qué pedido?\nEl 4412.\n> ¿Qué día?\n\n\nEl lunes.\n")
    assert parts.new == "Respondo.\n\nEl 4412.\n\nEl lunes."
    assert parts.quoted == f"{GMAIL}\n> ¿Qué pedido?\n\n> ¿Qué día?"


def test_own_is_all_that_is_the_senders() -> None:
    assert split(f"Sí.\n\n-- \nRosa\n\n{GMAIL}\n> {OLD}").own == "Sí.\n\n-- \nRosa"
    assert split("Sí.").own == "Sí."


DOUBTS = [
    # (does a quote seem left in what is new?, the mail)
    (False, "Buenos días:\nsu pedido sale el 2/06/2026 a las 9:00.\n\nCordialmente,\nAna"),
    (False, f"Sí.\n\n{GMAIL}\n> {OLD}"),
    (False, f"Sí.\n\n{OUTLOOK}\n\n{OLD}"),
    (False, "Para: le recuerdo el horario\nde 8:00 a 17:00"),
    (True, f"{GMAIL}\n> {OLD}"),
    (True, f"{OUTLOOK}\n\n{OLD}"),
    (True, f"Sí.\n> {OLD}"),
    (True, "Sí.\n\nEl 1/06/2026 a las 10:54, Rosa Gil escribió:\n\nno llegó"),
    (True, "Sí.\n\nDe: Rosa Gil\nAsunto: queja\n\nno llegó"),
    (True, f"Respondo abajo.\n\n{OUTLOOK}\n\n{OLD}\nSí."),
    (True, "Sí.\n\nma 1. kesäk. 2026 klo 10:54 Rosa (<rosa@x.test>) kirjoitti:\n\nno llegó"),
    (True, "---------- Forwarded message ---------\nno llegó"),
]


@pytest.mark.parametrize(("doubtful", "text"), DOUBTS, ids=range(len(DOUBTS)))
def test_doubt_is_told(doubtful: bool, text: str) -> None:
    assert split(text).doubtful is doubtful


SIGNED = [
    # (name, what stands after "¿Hasta qué hora abren?")
    ("closing", "\n\nCordialmente,\n\nRosa Gil\nJefe de compras\nTel. 300 000 0000"),
    ("dashes", "\n-- \nRosa Gil"),
    ("legal footer", "\n\nAviso legal: este mensaje es confidencial y para su destinatario. Ley 1581."),
    ("two legal footers", "\n\nEste correo es confidencial.\n\nPor error: elimínelo. Ley 1581.\n"),
    ("both", "\n\nAtentamente\nRosa\n\nEste correo es confidencial.\nSi lo recibió por error, elimínelo."),
]


@pytest.mark.parametrize(("name", "ending"), SIGNED, ids=[name for name, _ in SIGNED])
def test_signatures_are_not_read(name: str, ending: str) -> None:
    assert without_signature("Buenas.\n¿Hasta qué hora abren?" + ending) == "Buenas.\n¿Hasta qué hora abren?"


UNSIGNED = [
    # texts that look a little like a signature
    "Cordialmente les pido que me devuelvan la plata.",
    "Cordial saludo,\nQuiero cotizar.",
    "Atentamente\n" + "y con mucha pena les cuento que la cafetera que me vendieron llegó con la jarra rota.",
    "Buenas.\n\nSegún la Ley 1581 solicito eliminar mis datos personales, son confidenciales.",
    "Este mensaje es confidencial y para su destinatario. Ley 1581.",
    "-- \nRosa",
]


@pytest.mark.parametrize("text", UNSIGNED)
def test_what_is_no_signature_stays(text: str) -> None:
    assert without_signature(text) == text


# --- laws -------------------------------------------------------------------------------------------------------------

_TELLING = sorted({line for reply in WRITTEN for _, line in reply.lines if len(line) < 120})
_LINES = st.one_of(st.sampled_from(_TELLING), st.sampled_from(("", "> ", "-- ")), st.text(max_size=30))
_MAIL_TEXTS = st.lists(_LINES, max_size=25).map("\n".join)
HOSTILE = {
    "marked": "> a\n",
    "verbs": "El " + "escribió " * 40 + "\n",
    "fields": "De: a@x.test\nEnviado: x\n",
    "half blocks": "De: a <a@x>\nPara: b\n\nCC: a@x;\n" + "a@x;\n" * 20,
    "attributions": f"{GMAIL}\n",
    "attributions with quotes": f"{GMAIL}\n> x\n",
    "never ending attributions": "El 1/1/2026 <\nx <\nx <\nx:\n",
    "addresses": "El 1/1/2026 " + "<a@1 " * 60 + "escribió:x\n",
    "clocks": "El 1/1/2026 " + "1:11, " * 55 + " escribió: x:\n> a\n",
    "blank lines": "\n",
    "rulers": "_" * 32 + "\n\n",
    "dashes": "--\n",
    "signatures": "-- \nRosa\n\n",
    "phones": "Enviado desde mi iPhone\n",
    "footers": "este mensaje es confidencial para su destinatario, elimínelo\n\n",
}


def told(text: str) -> Counter[str]:
    """The lines with anything on them, and how often each stands there."""
    return Counter(line for line in text.replace("\r\n", "\n").split("\n") if line.strip())


def holds(text: str) -> None:
    parts = split(text)
    assert told(parts.new) + told(parts.quoted) + told(parts.signature) == told(text)
    assert bool(parts.new.strip()) == bool(text.strip())
    for part in (parts.new, parts.quoted, parts.signature):
        left = iter(text.replace("\r\n", "\n").split("\n"))
        assert all(line in left for line in part.split("\n") if line.strip()), "lines changed their order"


@settings(deadline=None)
@given(_MAIL_TEXTS)
def test_law_each_line_is_in_one_part_in_order_and_something_is_always_new(text: str) -> None:
    holds(text)


@settings(deadline=None)
@given(_MAIL_TEXTS)
def test_law_what_is_new_is_new_again(text: str) -> None:
    new = split(text).new
    assert split(new).new == new


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.text("abcdeñóABC012 .,;!?¿:()", min_size=1, max_size=60), min_size=1, max_size=6),
    st.sampled_from(HISTORIES),
)
def test_law_a_quote_below_takes_nothing_from_what_is_above(typed: list[str], history: str) -> None:
    text = "\n".join(typed)
    parts = split(f"{text}\n\n{history}")
    assert words(parts.new) == (words(text) or words(history))


@settings(deadline=None, max_examples=1_000)
@given(st.lists(st.sampled_from(TYPED), min_size=1, max_size=8), st.sampled_from(HISTORIES), st.booleans())
def test_law_whatever_is_typed_above_a_quote_is_the_senders(typed: list[str], history: str, blank: bool) -> None:
    text = "\n".join(["Hola", *typed, *[""] * (blank or history.startswith(">")), ""])
    lost = told(text) - told(split(text + history).own)
    assert not any(re.search(r"\w", line.replace("_", "")) for line in lost)  # a rule may be the program's


@settings(deadline=None)
@given(_MAIL_TEXTS)
@example("a\n\n" + "este mensaje es confidencial\n\n" * 2_000)
def test_law_a_signature_is_only_ever_cut_at_the_end(text: str) -> None:
    rest = without_signature(text)
    assert rest.strip("\n") in text
    assert bool(rest.strip()) == bool(text.strip())


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_law_twice_the_mail_is_twice_the_work(unit: str) -> None:
    """Counted in calls, not in seconds; a pattern itself never sees more than a header's 400 characters."""

    def work(size: int) -> int:
        calls = 0

        def count(_frame: FrameType, _event: str, _argument: object) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(count)
        try:
            without_signature(split(unit * (size // len(unit))).new)
        finally:
            sys.setprofile(None)
        return calls

    assert work(40_000) < 2.5 * work(20_000) + 1_000


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_the_laws_hold_for_large_hostile_mail(unit: str) -> None:
    holds(unit * (300_000 // len(unit)))


def test_our_own_mark_is_found_in_a_long_line() -> None:
    assert split(f"Sí\n{'x' * 500} {ANSWER_ABOVE}\n{OLD}").new == "Sí"
    assert split(f"Sí\n{OUTLOOK}\n{OLD}").new == "Sí"
