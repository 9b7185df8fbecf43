"""What is new in a mail and what is quoted: mail programs one line a case, what must be kept, and the laws."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pqr_mailbot.domain.reply_text import ANSWER_ABOVE, split, without_signature

OLD = "Su solicitud fue recibida."
GMAIL = "El lun, 1 jun 2026 a la(s) 10:54 p. m., Ana Ruiz (<ana@lohas.test>) escribió:"
OUTLOOK = "De: Ana Ruiz <ana@lohas.test>\nEnviado: lunes, 1 de junio de 2026 10:54\nPara: Rosa\nAsunto: RE: Pedido"

CUT = [
    # (name, quote below "Gracias, ya llegó.")
    ("Gmail", f"{GMAIL}\n> {OLD}"),
    ("Gmail wrapped", f"El lun, 1 jun 2026 a la(s) 10:54 p. m., Ana Ruiz (\n<ana@lohas.test>) escribió:\n\n> {OLD}"),
    ("wrapped over three", f"El lun, 1 jun 2026\na la(s) 10:54 p. m., Ana Ruiz (<ana@lohas.test>)\nescribió:\n> {OLD}"),
    ("Gmail, no marks", f"{GMAIL}\n\n{OLD}\nCordialmente"),
    ("Gmail in English", f"On Mon, Jun 1, 2026 at 10:54 PM Ana <ana@lohas.test> wrote:\n\n> {OLD}"),
    ("Gmail in Portuguese", f"Em seg., 1 de jun. de 2026 às 10:54, Ana <ana@lohas.test> escreveu:\n> {OLD}"),
    ("Apple Mail marks the line itself", f"> El 1/06/2026, a las 10:54, Ana <ana@lohas.test> escribió:\n>\n> {OLD}"),
    ("Thunderbird", f"El 1/06/26 a las 10:54, Ana Ruiz escribió:\n> {OLD}"),
    ("no-break spaces", f"El lun, 1 jun 2026 a las 10:54\xa0p.\xa0m., Ana <ana@lohas.test> escribió:\xa0\n> {OLD}"),
    ("Outlook", f"{OUTLOOK}\n\n{OLD}"),
    ("Outlook bold", "**De:** Ana <ana@x.test>\n**Enviado el:** lunes\n**Asunto:** Pedido\n\n" + OLD),
    ("Outlook under a ruler", f"________________________________\n{OUTLOOK}\n\n{OLD}"),
    ("Outlook in English", f"From: Ana <ana@x.test>\nSent: Monday, June 1, 2026\nTo: Rosa\nSubject: Order\n\n{OLD}"),
    ("Outlook.com, date named Fecha", f"De: Ana <ana@x.test>\nFecha: lunes, 1 jun 2026\nAsunto: Pedido\n\n{OLD}"),
    ("original message", f"-----Mensaje original-----\nDe: Ana\n{OLD}"),
    ("forwarded", f"---------- Forwarded message ---------\nDe: Ana\n{OLD}"),
    ("iPhone forward", f"Inicio del mensaje reenviado:\n\n{OLD}"),
    ("our own mark", f"{ANSWER_ABOVE}\n\n{OLD}"),
    ("two marked lines, no header", f"> {OLD}\n> Cordialmente"),
    ("phone signature", "Enviado desde mi iPhone"),
    ("phone signature and Outlook link", "Enviado desde mi Samsung Galaxy\nObtener Outlook para Android<https://aka.test/x>"),
    ("phone signature above the quote", f"Enviado desde mi iPhone\n\n{GMAIL}\n> {OLD}"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "quote"), CUT, ids=[name for name, _ in CUT])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_is_cut(name: str, quote: str, newline: str) -> None:
    parts = split(f"Gracias, ya llegó.\n\n{quote}\n".replace("\n", newline))
    assert parts.new == "Gracias, ya llegó."
    assert parts.quoted.replace("\r", "") == quote


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
    ("only a forward", f"---------- Forwarded message ---------\nDe: Ana <a@x.test>\n\n{OLD}"),
    ("only a phone signature", "Enviado desde mi iPhone"),
    ("phone in the middle", "Enviado desde mi iPhone\nporque no tengo computador"),
]


@pytest.mark.parametrize(("name", "text"), KEPT, ids=[name for name, _ in KEPT])
def test_what_is_kept(name: str, text: str) -> None:
    assert split(text) == (parts := split(text))
    assert parts.new == text
    assert parts.quoted == ""


def test_answers_between_the_quoted_lines_are_new() -> None:
    parts = split(f"Respondo abajo.\n\n{GMAIL}\n> ¿Qué pedido?\nEl 4412.\n> ¿Qué día?\n\nEl lunes.\n")
    assert [line for line in parts.new.split("\n") if line] == ["Respondo abajo.", "El 4412.", "El lunes."]
    assert parts.quoted.split("\n")[0] == GMAIL


def test_an_answer_below_the_quote_is_new() -> None:
    assert split(f"{GMAIL}\n> {OLD}\n\nGracias, ya llegó.\n").new == "Gracias, ya llegó."


SIGNED = [
    # (name, what stands after "¿Hasta qué hora abren?")
    ("closing", "\n\nCordialmente,\n\nRosa Gil\nJefe de compras\nTel. 300 000 0000"),
    ("dashes", "\n-- \nRosa Gil"),
    ("legal footer", "\n\nAviso legal: este mensaje es confidencial y para su destinatario. Ley 1581."),
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


_LINES = st.one_of(
    st.sampled_from(
        (
            GMAIL,
            *OUTLOOK.split("\n"),
            "El lun, 1 jun 2026",
            "escribió:",
            "-----Mensaje original-----",
            "_" * 32,
            ANSWER_ABOVE,
            "> uno",
            ">> dos",
            "",
            "   ",
            "Gracias",
            "Enviado desde mi iPhone",
            "Cordialmente,",
            "--",
        )
    ),
    st.text(max_size=30),
)
_MAILS = st.lists(_LINES, max_size=25).map("\n".join)


def _told(text: str) -> Counter[str]:
    """The lines with anything on them, and how often each stands there."""
    return Counter(line for line in text.replace("\r\n", "\n").split("\n") if line.strip())


@settings(deadline=None)
@given(_MAILS)
@example("> a\n" * 50_000)
@example("El " + "escribió " * 20_000)
@example("De: a@x.test\nEnviado: x\n" * 8_000)
@example(f"{GMAIL}\n" * 2_000)
@example("\n" * 200_000)
@example("--\n" * 60_000)
def test_law_no_line_is_lost_and_something_is_always_new(text: str) -> None:
    parts = split(text)
    assert _told(parts.new) + _told(parts.quoted) == _told(text)
    assert bool(parts.new.strip()) == bool(text.strip())
    assert split(text) == parts


@settings(deadline=None)
@given(_MAILS)
def test_law_lines_keep_their_order(text: str) -> None:
    for part in (split(text).new, split(text).quoted):
        left = iter(text.replace("\r\n", "\n").split("\n"))
        assert all(line in left for line in part.split("\n") if line.strip())


@settings(deadline=None)
@given(_MAILS)
@example("a\n\n" + "este mensaje es confidencial\n\n" * 2_000)
def test_law_a_signature_is_only_ever_cut_at_the_end(text: str) -> None:
    rest = without_signature(text)
    assert rest.strip("\n") in text
    assert bool(rest.strip()) == bool(text.strip())
