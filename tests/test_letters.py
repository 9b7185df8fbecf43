"""Letters say what they must in both parts, and nothing that a stranger wrote can steer them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from office import CLARA, DESK, NOW, POLICY, mail, ticket

from pqr_mailbot.adapters.html_text import html_text
from pqr_mailbot.adapters.letter_words import mailto
from pqr_mailbot.adapters.letters import (
    NO_SUBJECT,
    SAMPLE_FACTS,
    SUBJECT_LENGTH,
    Envelope,
    Letters,
    Rendered,
    TemplateProblem,
    letter_subject,
    long_date,
)
from pqr_mailbot.domain.decide import on_mail
from pqr_mailbot.domain.effects import Facts, QueueLetter
from pqr_mailbot.domain.identify import Identity
from pqr_mailbot.domain.model import Address, Attachment, Classification, Evidence, State
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.reply_text import ANSWER_ABOVE, Parts, split
from pqr_mailbot.domain.screen import LETTER_HEADER
from pqr_mailbot.domain.situation import Earlier, Occasion, Situation

REF = "PQR-2026-000123"
NOTICE = "https://lohas.test/datos"
OFFICE = replace(POLICY.office, privacy_notice_url=NOTICE)
LETTERS = Letters(None, OFFICE)
ACK, NOTE = "acknowledgement", "notification"
ASK, SCRIPT = "request_for_information", "transcript"
FILE = {"filename": "a.pdf", "content_type": "application/pdf", "size": 900, "enclosed": True}
TOKEN = "pqr.abcdefghijklm.abcdefghijklmnop"
REMIND, MANY = "reminder", "reminder of many cases"
ROW = {**SAMPLE_FACTS["digest"]["mine"][0], "reason": "sin respuesta, 2 días"}  # type: ignore[index]
LATE = {**ROW, "reference": "PQR-2026-000098", "subject": "Factura", "state": "open", "days_left": -2, "urgent": False}
LATE["reason"] = "vencido"
# Every letter there is, and the second shape that a reminder has.
SHAPES: Mapping[str, Facts] = {
    **SAMPLE_FACTS,
    MANY: {
        "reference": "",
        "agent_name": "Ana Ruiz",
        "today": date(2026, 6, 3),
        "cases": [ROW, LATE],
        "cases_total": 2,
        "orders": SAMPLE_FACTS[NOTE]["orders"],
        "token": TOKEN,
    },
}
ENVELOPE = Envelope(
    message_id="<pqr.abc.def@lohas.test>",
    from_name=OFFICE.name,
    from_address=OFFICE.address,
    recipient=CLARA,
    subject=f"[{REF}] Café vencido",
    date=NOW.astimezone(OFFICE.timezone),
    in_reply_to="<m1@correo.test>",
    references=("<m0@correo.test>", "<m1@correo.test>", "<pqr.abc.def.t@lohas.test>"),
    automatic="auto-replied",
    token="abc.def",
)


def flat(text: str) -> str:
    return " ".join(re.sub(r"^> ?", "", text, flags=re.MULTILINE).split())


def render(letter: str, changed: Mapping[str, object] | None = None, letters: Letters = LETTERS) -> Rendered:
    return letters.render(REMIND if letter == MANY else letter, {**SHAPES[letter], **(changed or {})})


def both(letter: str, changed: Mapping[str, object] | None = None, letters: Letters = LETTERS) -> tuple[str, str]:
    """The words of the text part and of the HTML part as a person sees them, each on one line."""
    rendered = render(letter, changed, letters)
    return flat(rendered.text), flat(html_text(rendered.html))


def composed(letter: str = ACK, facts: Mapping[str, object] | None = None, **changed: object) -> bytes:
    rendered = render(letter, facts)
    return LETTERS.compose(replace(ENVELOPE, **changed), rendered)  # type: ignore[arg-type]


def headed(**changed: object) -> bytes:
    """A letter of two words under this envelope."""
    return LETTERS.compose(replace(ENVELOPE, **changed), Rendered("Hola\n", "<p>Hola</p>\n"))  # type: ignore[arg-type]


def reread(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def words_of(message: EmailMessage) -> tuple[str, str]:
    text, html = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert isinstance(text, EmailMessage) and isinstance(html, EmailMessage) and not message.defects
    return text.get_content().replace("\r\n", "\n"), html.get_content().replace("\r\n", "\n")


def head(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[0] + b"\r\n"


# -- what each letter says -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("letter", "changed", "said"),
    [
        (ACK, {}, f"radicado con el número {REF}"),
        (ACK, {}, "Cordial saludo, Clara Gómez:"),
        (ACK, {"customer_name": ""}, "Cordial saludo:"),
        (ACK, {}, "lunes 1 de junio de 2026, 10:42 (hora de Colombia)"),
        (ACK, {}, "Café vencido en el último pedido"),
        (ACK, {"subject": ""}, NO_SUBJECT),
        (ACK, {}, "Lo registramos como reclamo. Si no corresponde, respóndanos"),
        (ACK, {"certain": False}, "Por ahora lo registramos como reclamo; un asesor confirmará el tipo"),
        (ACK, {}, "2: bolsa.jpg, factura 4711.pdf"),
        (ACK, {"attachments": []}, "ninguno"),
        (ACK, {"attachments": [f"f{n}.pdf" for n in range(25)]}, "25: f0.pdf,"),
        (ACK, {"attachments": [f"f{n}.pdf" for n in range(25)]}, "f19.pdf y 5 más"),
        (ACK, {}, "a más tardar el miércoles 24 de junio de 2026"),
        (ACK, {}, "15 días hábiles desde el día siguiente al recibo, sin contar estos festivos:"),
        (ACK, {"skipped": []}, "15 días hábiles desde el día siguiente al recibo."),
        (ACK, {"business_days": 1}, "un día hábil"),
        (ACK, {}, "lunes 8 de junio de 2026: Corpus Christi"),
        (ACK, {}, "lunes 15 de junio de 2026: Sagrado Corazón"),
        (ACK, {}, f"responda este correo y conserve [{REF}] en el asunto"),
        (ACK, {}, "puede llamarnos al +57 318 6126496"),
        (ACK, {}, "Superintendencia de Industria y Comercio"),
        (ACK, {}, "Este mensaje es automático"),
        (ACK, {}, "el responsable es Lohas Beans SAS BIC"),
        (ACK, {}, "solo para atender este caso"),
        (ACK, {}, "el tiempo que ordena la ley"),
        (ACK, {}, "rectificarlos o pedir que se supriman, escriba a info@lohas.test"),
        (ACK, {}, f"Política de tratamiento de datos: {NOTICE}"),
        (NOTE, {}, f"Caso nuevo: {REF}"),
        (NOTE, {"event": "El cliente escribió"}, f"El cliente escribió: {REF}"),
        (NOTE, {"note": ""}, "Ana Ruiz: Este caso vence el miércoles 24 de junio de 2026: quedan 15 días hábiles."),
        (
            NOTE,
            {"agent_name": "", "days_left": 1},
            "Este caso vence el miércoles 24 de junio de 2026: queda 1 día hábil.",
        ),
        (NOTE, {"days_left": 0}, "Este caso vence hoy, miércoles 24 de junio de 2026."),
        (NOTE, {"days_left": -2}, "VENCIDO: el plazo terminó el miércoles 24 de junio de 2026, hace 2 días hábiles"),
        (NOTE, {"days_left": -1}, "hace 1 día hábil"),
        (NOTE, {}, "URGENTE: salud"),
        (NOTE, {"urgent": False}, "señales de: salud"),
        (NOTE, {}, "ya estaba cerrado: se abrió este, enlazado."),
        (NOTE, {}, "El café que compré llegó vencido. Exijo que me devuelvan el dinero."),
        (NOTE, {"text": " \n", "note": ""}, "(El mensaje no trae texto nuevo.)"),
        (NOTE, {"text": "a " * 10_000}, "el texto se muestra hasta aquí; el correo completo está guardado"),
        (NOTE, {}, "bolsa.jpg · image/jpeg · 245 kB"),
        (NOTE, {}, "factura 4711.pdf · application/pdf · 23,1 MB · no va en este correo"),
        (NOTE, {}, "Lo que no va en este correo está en el correo original, en el buzón de la oficina."),
        (NOTE, {}, "Clara Gómez <clara@correo.example>"),
        (NOTE, {"writer": "hijo@correo.test"}, "Lo que escribió hijo@correo.test"),
        (NOTE, {}, "Luz Mora: ya hablé con bodega, el lote es el 118."),
        (NOTE, {"answer_to": "casa@correo.test"}, "Responder a"),
        (NOTE, {}, "Café vencido en el último pedido"),
        (NOTE, {}, "lunes 1 de junio de 2026, 10:42 (hora de Colombia)"),
        (NOTE, {}, "reclamo (95 % de certeza)"),
        (NOTE, {"certain": False, "confidence": 50}, "reclamo (por confirmar, 50 % de certeza)"),
        (NOTE, {}, "“vencido”, “devuelvan el dinero”"),
        (NOTE, {"evidence": []}, "ninguna palabra lo indica"),
        (NOTE, {}, "lunes 8 de junio de 2026: Corpus Christi"),
        (NOTE, {}, "PQR-2026-000007 · Molienda para greca · cerrado · 3 de febrero de 2026"),
        (NOTE, {}, "2026-06-01 10:42 · escribió clara@correo.example"),
        (NOTE, {}, "su texto le llega al cliente, desde info@lohas.test y con su nombre."),
        (NOTE, {}, "#resolver marca el caso como resuelto"),
        (NOTE, {}, "#prorrogar FECHA MOTIVO amplía el plazo"),
        (NOTE, {}, "Correo interno: no lo reenvíe al cliente."),
        (NOTE, {"event": "Urgente"}, f"Urgente: {REF}"),
        (NOTE, {"text": "", "event": "Nota interna"}, "Ana Ruiz: Nota interna"),
        (NOTE, {"attachments": [FILE]}, "a.pdf · application/pdf · 1 kB El caso"),
        ("escalation", {}, f"Escalado a Coordinación: {REF}"),
        ("escalation", {}, "Motivo: el cliente no está de acuerdo con la respuesta"),
        ("escalation", {}, "Lo escaló Ana Ruiz."),
        ("escalation", {}, "El café que compré llegó vencido."),
        ("escalation", {}, "#resolver marca el caso como resuelto"),
        ("answer", {}, "Buenos días, doña Clara: Le devolvemos el dinero de las dos bolsas: 84.000 pesos."),
        ("answer", {}, "Llega en tres días hábiles. Ana Ruiz Lohas Beans SAS BIC"),
        ("answer", {}, f"Caso [{REF}]: para seguir la conversación, responda este correo."),
        ("answer", {}, "Lohas Beans SAS BIC es responsable de sus datos personales y los usa solo para"),
        ("answer", {}, f"Política de tratamiento de datos: {NOTICE}"),
        ("resolved", {}, "Le devolvemos el dinero de las dos bolsas"),
        ("resolved", {"text": " \n"}, f"Cordial saludo, Clara Gómez: Su caso {REF} quedó resuelto. Ana Ruiz"),
        ("resolved", {}, "Con esto damos por resuelto su caso (reclamo)."),
        ("resolved", {}, "responda este correo y díganos por qué: su caso pasará a un nivel superior."),
        ("resolved", {}, "Superintendencia de Industria y Comercio"),
        (ASK, {}, "nos falta la foto del lote"),
        (ASK, {}, "necesitamos su respuesta a más tardar el miércoles 8 de julio de 2026."),
        (ASK, {"reply_by": None}, "Para seguir con su caso necesitamos su respuesta. Mientras"),
        (ASK, {}, "el plazo para resolverlo queda suspendido y después continúa."),
        (ASK, {"paused": False}, "sigue corriendo: le responderemos a más tardar el miércoles 24 de junio de 2026."),
        (ASK, {}, "desiste de su solicitud (desistimiento tácito). Podrá presentarla de nuevo"),
        ("extension", {}, f"su caso {REF} a más tardar el miércoles 24 de junio de 2026, como le habíamos informado."),
        ("extension", {}, "Este es el motivo: El laboratorio entrega el análisis"),
        ("extension", {}, "a más tardar el viernes 17 de julio de 2026"),
        ("extension", {}, "El plazo total es ahora de 30 días hábiles desde el día siguiente al recibo, sin contar"),
        ("extension", {}, "lunes 8 de junio de 2026: Corpus Christi"),
        ("merged", {}, "Su caso PQR-2026-000124 trata del mismo asunto que su caso PQR-2026-000123."),
        ("merged", {}, "a más tardar el miércoles 24 de junio de 2026"),
        ("merged", {}, "con cualquiera de los dos números"),
        ("phone_receipt", {}, "Ana Ruiz registró a su nombre lo que usted nos informó por teléfono o por otro medio."),
        ("phone_receipt", {}, f"Quedó radicado con el número {REF}. Si algún dato no es correcto, respóndanos"),
        ("phone_receipt", {}, "lunes 1 de junio de 2026, 10:42 (hora de Colombia)"),
        ("phone_receipt", {}, "lunes 15 de junio de 2026: Sagrado Corazón"),
        ("phone_receipt", {}, "Este mensaje es su constancia de recibo"),
        ("phone_receipt", {}, "el responsable es Lohas Beans SAS BIC"),
        (SCRIPT, {}, f"Su correo sobre el caso {REF}"),
        (SCRIPT, {}, "RETENIDO: no se envió nada y nada cambió"),
        (SCRIPT, {}, "responda este correo con #enviar en la primera línea."),
        (SCRIPT, {}, "#resolver: El caso quedó resuelto."),
        (SCRIPT, {}, "#asignar lucas: NO. No hay nadie con ese nombre"),
        (SCRIPT, {}, "Su respuesta salió para clara@correo.example: Buenos días, doña Clara:"),
        (SCRIPT, {}, "El café que compré llegó vencido. Cómo se trabaja por correo"),
        (SCRIPT, {}, "#asignar PERSONA pasa el caso a otra persona (#asignar luz)"),
        ("challenge", {}, "Ana Ruiz: llegó un correo a su nombre que no pudimos comprobar. No se hizo nada con él."),
        ("challenge", {"agent_name": ""}, "Llegó un correo a su nombre"),
        ("challenge", {}, "se cumple la orden #resolver"),
        ("challenge", {}, "responda este correo con #confirmar en la primera línea, a más tardar el jueves 4 de junio"),
        ("challenge", {}, "Si no lo escribió, no haga nada y avise"),
        ("digest", {}, "VENCIDO hace 2 días hábiles · PQR-2026-000098 · Factura"),
        ("digest", {}, f"Quedan 15 días hábiles · URGENTE · {REF} · Café vencido"),
        ("digest", {"waiting": []}, "sin respuesta todavía Correos automáticos apartados: 4"),
        ("digest", {}, "#abrir 341 · no recibe respuestas · notificaciones@juzgado.example · Traslado de demanda"),
        ("digest", {}, "Y 3 más."),
        ("digest", {}, "por ejemplo #asignar PQR-2026-000123 Luz Mora."),
        (REMIND, {}, f"Recordatorio: {REF}"),
        (REMIND, {}, "Motivo: sin respuesta, 2 días"),
        (REMIND, {"note": ""}, "Este caso vence el miércoles 24 de junio de 2026: quedan 15 días hábiles."),
        (REMIND, {"days_left": -2}, "VENCIDO: el plazo terminó el miércoles 24 de junio de 2026, hace 2 días hábiles"),
        (REMIND, {}, "El café que compré llegó vencido."),
        (REMIND, {}, "su texto le llega al cliente, desde info@lohas.test y con su nombre."),
        (REMIND, {}, "#resolver marca el caso como resuelto"),
        (MANY, {}, "Recordatorio del miércoles 3 de junio de 2026"),
        (MANY, {}, "Ana Ruiz: Casos que necesitan algo de usted: 2"),
        (
            MANY,
            {},
            "VENCIDO hace 2 días hábiles · PQR-2026-000098 · Factura · Clara Gómez · en curso · motivo: vencido",
        ),
        (MANY, {}, f"Quedan 15 días hábiles · URGENTE · {REF} · Café vencido"),
        (MANY, {}, "sin respuesta todavía · motivo: sin respuesta, 2 días"),
        (MANY, {"cases": [{**ROW, "days_left": 0}]}, f"Vence hoy · URGENTE · {REF}"),
        (MANY, {"cases": [{**ROW, "days_left": 1}]}, "Queda 1 día hábil"),
        (MANY, {}, "su respuesta no le llega a ningún cliente."),
        (MANY, {}, "órdenes que nombren el caso, por ejemplo #ver PQR-2026-000098."),
        ("progress", {}, f"Seguimos trabajando en su caso {REF}. Esto es lo que se ha hecho:"),
        ("progress", {}, "lunes 1 de junio de 2026: su mensaje quedó radicado"),
        ("progress", {}, "martes 2 de junio de 2026: un asesor lo tiene a cargo"),
        (
            "progress",
            {},
            "La fecha que le prometimos no cambia: le responderemos a más tardar el miércoles 24 de junio",
        ),
        ("progress", {}, "de 2026 (quedan 7 días hábiles)."),
        ("progress", {"days_left": 1}, "(queda un día hábil)."),
        ("progress", {"days_left": 0}, "a más tardar el miércoles 24 de junio de 2026."),
        ("progress", {"steps": []}, f"Seguimos trabajando en su caso {REF}. La fecha"),
        ("overdue", {}, f"responder su caso {REF} a más tardar el miércoles 24 de junio de 2026 y no lo hicimos."),
        ("overdue", {}, "no lo hicimos. Le ofrecemos disculpas. Su caso"),
        ("overdue", {}, "Su caso está ahora a cargo de Gerencia y le responderemos lo antes posible."),
        ("overdue", {"level_name": ""}, "Su caso sigue abierto y le responderemos lo antes posible."),
        ("overdue", {}, "responda este correo o llámenos al +57 318 6126496."),
        ("overdue", {}, "puede acudir a la Superintendencia de Industria y Comercio (SIC)."),
        (
            "withdrawal",
            {},
            f"El viernes 5 de junio de 2026 le pedimos la información que falta para seguir con su caso {REF}.",
        ),
        ("withdrawal", {}, "Debía llegarnos a más tardar el lunes 6 de julio de 2026 y no la recibimos."),
        ("withdrawal", {}, "desistió de su solicitud (desistimiento tácito) y archivamos el caso."),
        ("withdrawal", {}, "Puede presentarla de nuevo en cualquier momento: responda este correo"),
        ("survey", {}, "Responda con un número de 1 (muy insatisfecho) a 5 (muy satisfecho)."),
        ("survey", {}, "Si su caso no quedó resuelto, responda NO."),
        ("survey", {}, "Si no desea encuestas, responda NO ENCUESTA."),
        ("reopened", {}, f"Reabrimos su caso {REF} y pasó a Coordinación."),
        ("reopened", {"level_name": ""}, f"Reabrimos su caso {REF}. Le responderemos"),
        ("reopened", {}, "Le responderemos a más tardar el viernes 17 de julio de 2026."),
        ("closed", {}, f"Ya respondimos su caso {REF} y no hemos recibido más mensajes suyos: lo cerramos."),
        ("closed", {}, "responda este correo cuando quiera: abriremos un caso nuevo, enlazado con este."),
        ("alarm", {}, "No se puede leer el buzón"),
        ("alarm", {}, "imap.example:993: connection refused"),
        ("all_clear", {}, "Desde las 10:42 del 1 de junio hasta las 11:05 del 1 de junio: No se puede enviar correo"),
        ("all_clear", {}, "1 correo no se pudo procesar."),
        ("all_clear", {"still": []}, "Todo está bien otra vez"),
    ],
)
def test_says(letter: str, changed: dict[str, object], said: str) -> None:
    text, html = both(letter, changed)
    assert said in text
    assert said in html


@pytest.mark.parametrize(
    ("letter", "changed", "unsaid"),
    [
        (ACK, {"is_claim": False}, "Superintendencia"),
        (ACK, {"skipped": []}, "festivos"),
        (ACK, {"certain": False}, "Lo registramos"),
        (ACK, {"customer_name": "Gane en http://evil.test/x ya"}, "evil"),
        (ACK, {"subject": "Gane www.evil.test"}, "evil"),
        (ACK, {"attachments": ["https://evil.test/a.pdf"]}, "evil"),
        (ACK, {"subject": "x" * 10_000}, "x" * (SUBJECT_LENGTH + 1)),
        (ACK, {}, "None"),
        (NOTE, {"urgent": False, "urgency": []}, "URGENTE"),
        (NOTE, {"skipped": []}, "Festivos"),
        (NOTE, {"earlier": []}, "Otros casos"),
        (NOTE, {"history": []}, "Historia"),
        (NOTE, {"attachments": []}, "Adjuntos"),
        (NOTE, {"related": []}, "Enlazado"),
        (NOTE, {}, "Escribe:"),
        (NOTE, {}, "Responder a"),
        (NOTE, {}, "VENCIDO"),
        (NOTE, {"days_left": -1}, "vence el"),
        (NOTE, {}, "None"),
        (SCRIPT, {"reference": ""}, "sobre el caso"),
        (NOTE, {"orders": []}, "Para dar una orden"),
        (NOTE, {"note": ""}, "Nota interna"),
        (NOTE, {"text": ""}, "Lo que escribió"),
        (NOTE, {"attachments": [FILE]}, "no va en este correo"),
        ("resolved", {"is_claim": False}, "SIC"),
        (ASK, {"reply_by": None}, "desistimiento"),
        (ASK, {"paused": False}, "suspendido"),
        ("phone_receipt", {}, "automático"),
        (SCRIPT, {"held": []}, "RETENIDO"),
        (SCRIPT, {"held": []}, "para enviarlo"),
        (SCRIPT, {"can_send": False}, "debe salir así"),
        (SCRIPT, {"sent_to": [], "sections": []}, "doña"),
        (SCRIPT, {"help": False}, "Cómo se trabaja"),
        ("challenge", {"would": []}, "esto es lo que pasará"),
        ("challenge", {"subject": "Gane en http://evil.test/x"}, "evil"),
        ("challenge", {"reference": ""}, "Caso"),
        ("digest", {"mine": []}, "Sus casos"),
        ("digest", {"machines": [], "machines_more": 0}, "apartados"),
        (REMIND, {"reason": "vencido"}, "sin respuesta, 2 días"),
        (MANY, {"cases": [{**ROW, "reason": ""}]}, "motivo"),
        (MANY, {"agent_name": ""}, "Ana Ruiz"),
        ("progress", {"days_left": 0}, "hábil"),
        ("progress", {"days_left": -1}, "hábil"),
        ("progress", {"steps": []}, "se ha hecho"),
        ("overdue", {"is_claim": False}, "SIC"),
        ("overdue", {"level_name": ""}, "a cargo"),
        ("reopened", {"level_name": ""}, "pasó a"),
        ("alarm", {"details": []}, "connection refused"),
    ],
)
def test_does_not_say(letter: str, changed: dict[str, object], unsaid: str) -> None:
    for part in both(letter, changed):
        assert unsaid not in part


def test_an_office_without_phone_and_notice_leaves_them_out() -> None:
    for part in both(ACK, letters=Letters(None, replace(OFFICE, phone="", privacy_notice_url=""))):
        assert "llamarnos" not in part
        assert "Política" not in part


@pytest.mark.parametrize("letter", SHAPES)
def test_both_parts_carry_the_same_words(letter: str) -> None:
    """Layout apart: labels of the text part end in a colon, its lists and notices have marks."""

    def words(part: str) -> set[str]:
        return {word.strip(":") for word in part.split() if re.search(r"\w", word)}

    text, html = (words(part) for part in both(letter))
    around = {"pqr-mailbot", *OFFICE.name.split()}  # HTML's letterhead
    assert text - html == set()
    assert html - text <= around


@pytest.mark.parametrize("letter", SHAPES)
def test_the_text_part_keeps_to_its_width(letter: str) -> None:
    lines = render(letter).text.splitlines()
    assert max(map(len, lines)) <= 76
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("uno\ndos", "> uno\n> dos"),
        ("uno\n\n\n\ndos", "> uno\n>\n>\n>\n> dos"),
        ("    sangría\n\ttab", ">     sangría\n> \ttab"),
        ("> citado\n>> dos veces", "> > citado\n> >> dos veces"),
        ("x" * 200, f"> {'x' * 200}"),
        ("palabra " * 10, f"> {'palabra ' * 8}palabra\n> palabra"),
    ],
)
def test_quoted_words_keep_their_lines(text: str, quoted: str) -> None:
    assert f"\n{quoted}\n" in LETTERS.render(NOTE, {**SAMPLE_FACTS[NOTE], "text": text}).text


def test_line_breaks_and_indents_survive_in_html() -> None:
    html = LETTERS.render(NOTE, {**SAMPLE_FACTS[NOTE], "text": "uno\n  <b>dos</b>"}).html
    assert "uno<br>\n\u00a0\u00a0&lt;b&gt;dos&lt;/b&gt;" in html


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (date(2026, 6, 24), "miércoles 24 de junio de 2026"),
        (date(2027, 1, 1), "viernes 1 de enero de 2027"),
        (date(2026, 9, 5), "sábado 5 de septiembre de 2026"),
        (date(2026, 12, 27), "domingo 27 de diciembre de 2026"),
    ],
)
def test_long_date(day: date, said: str) -> None:
    assert long_date(day) == said


# -- whose letters they are ----------------------------------------------------------------------------------------

OF_THE_CLOCK = ("progress", "overdue", "withdrawal", "survey", "reopened", "closed")
TO_CUSTOMERS = (
    *(ACK, "answer", "resolved", ASK, "extension", "phone_receipt", "merged", "admit_question"),
    *OF_THE_CLOCK,
)
TO_THE_OFFICE = (NOTE, "escalation", SCRIPT, "challenge", "digest", REMIND, MANY)


def test_every_letter_is_a_customers_or_the_offices() -> None:
    assert {*TO_CUSTOMERS, *TO_THE_OFFICE, "alarm", "all_clear"} == set(SHAPES)


@pytest.mark.parametrize("letter", TO_CUSTOMERS)
def test_nothing_internal_reaches_a_customer(letter: str) -> None:
    rendered = render(letter)
    for part in (rendered.text, rendered.html, unquote(rendered.html)):
        assert TOKEN.removeprefix("pqr.") not in part
        assert "interno" not in part and ANSWER_ABOVE not in part
        assert letter == "survey" or "mailto:" not in part
        assert not re.search(r"(?<![&\w])#[^\W\d]+\b(?!;)", re.sub(r'style="[^"]*"|bgcolor="[^"]*"', "", part))
        assert set(re.findall(r"[\w.]+@[\w.-]+\w", part)) <= {OFFICE.address, "diego@correo.example"}


@pytest.mark.parametrize("letter", TO_THE_OFFICE)
def test_letters_to_the_office_begin_with_the_mark_and_end_with_the_warning(letter: str) -> None:
    rendered = render(letter)
    assert rendered.text.startswith(f"{ANSWER_ABOVE}\n")
    assert rendered.text.endswith("\nCorreo interno: no lo reenvíe al cliente.\n")
    assert html_text(rendered.html).strip().startswith(ANSWER_ABOVE)
    assert "Correo interno: no lo reenvíe al cliente." in rendered.html
    assert TOKEN not in rendered.text + re.sub(r'href="[^"]*"', "", rendered.html)


@pytest.mark.parametrize("letter", TO_THE_OFFICE)
@pytest.mark.parametrize("attribution", ["", "El lun, 1 jun 2026 a las 10:54, Lohas (<info@lohas.test>) escribió:\n"])
def test_an_answer_above_the_whole_letter_is_the_only_new_text(letter: str, attribution: str) -> None:
    """Some programs quote without any mark, and the orders in the letter must not become orders of the answer."""
    rendered = render(letter)
    for part in (rendered.text, html_text(rendered.html)):
        assert split(f"#nota\nLo llamo mañana.\n\n{attribution}{part}").new == "#nota\nLo llamo mañana."


@pytest.mark.parametrize("letter", ["answer", "resolved", ASK])
@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("uno\ndos\n\ntres", ">uno<br>\ndos</p>"),
        ("  sangría", ">\u00a0\u00a0sangría</p>"),
        ("1. uno\n2. dos", ">1. uno<br>\n2. dos</p>"),
        ("a < b & c", ">a &lt; b &amp; c</p>"),
    ],
)
def test_a_person_is_read_as_they_wrote(letter: str, text: str, html: str) -> None:
    rendered = render(letter, {"text": text})
    assert rendered.text.startswith(f"{text}\n\nAna Ruiz\n")
    assert html in rendered.html


@pytest.mark.parametrize("letter", OF_THE_CLOCK)
def test_a_letter_of_the_clock_says_whose_it_is_and_is_short(letter: str) -> None:
    text, html = both(letter)
    for part in (text, html):
        assert "Cordial saludo, Clara Gómez:" in part and REF in part and "Café vencido en el último pedido" in part
        assert "Lohas Beans SAS BIC es responsable de sus datos personales" in part
        assert "Este mensaje es automático" in part and NOTICE in part
    assert len(text.split()) <= 140
    assert all("Cordial saludo:" in part for part in both(letter, {"customer_name": ""}))
    for words in ("Gane en http://evil.test/x ya", "Gane evil.test/x"):
        assert not any("evil" in part for part in both(letter, {"customer_name": words, "subject": words}))
    silent = Letters(None, replace(OFFICE, phone="", privacy_notice_url=""))
    assert not re.search(r"[Ll]l[aá]m|Política", " ".join(both(letter, letters=silent)))


@pytest.mark.parametrize("quote", ["", "> "], ids=["without marks", "with marks"])
@pytest.mark.parametrize("letter", OF_THE_CLOCK)
def test_a_customers_answer_above_a_letter_of_the_clock_is_the_only_new_text(letter: str, quote: str) -> None:
    """A digit of the letter must not become the customer's, nor its words an order to close or reopen."""
    rendered = render(letter)
    for part in (rendered.text, html_text(rendered.html)):
        quoted = "\n".join(quote + line for line in part.splitlines())
        said = f"4\n\nEl lun, 1 jun 2026 a las 10:54, Lohas (<info@lohas.test>) escribió:\n\n{quoted}\n"
        assert split(said).new == "4"


def test_a_survey_is_answered_by_a_digit_with_the_reference_and_no_token() -> None:
    html = unescape(render("survey").html)
    links = [parse_qsl(query) for query in re.findall(r'href="mailto:info@lohas\.test\?([^"]*)"', html)]
    subject = f"[{REF}] Café vencido en el último pedido"
    assert links == [[("subject", subject), ("body", typed)] for typed in ("1", "2", "3", "4", "5", "NO")]
    assert set(re.findall(r'href="(?!mailto:)([^"]*)"', html)) == {NOTICE}
    assert "pqr." not in html


def test_a_reminder_of_many_cases_tells_them_by_days_left_and_takes_no_answer_for_a_customer() -> None:
    for part in both(MANY):
        assert part.index("PQR-2026-000098") < part.index(REF)
        assert "su texto le llega al cliente" not in part and "#resolver" not in part


def test_buttons_carry_the_letters_own_token_and_one_order() -> None:
    buttons = {
        NOTE: (
            f"[{REF}] Café vencido en el último pedido",
            ["#resolver", "#nota", "#esperar", "#escalar ", "#ayuda"],
        ),
        REMIND: (
            f"[{REF}] Café vencido en el último pedido",
            ["#resolver", "#nota", "#esperar", "#escalar ", "#ayuda"],
        ),
        MANY: ("Recordatorio del 3 de junio de 2026", ["#ver PQR-2026-000098", f"#ver {REF}"]),
        SCRIPT: (f"[{REF}] Café vencido en el último pedido", ["#enviar"]),
        "challenge": (f"[{REF}] Café vencido en el último pedido", ["#confirmar"]),
        "digest": (
            "Resumen del 3 de junio de 2026",
            ["#ver PQR-2026-000098", f"#ver {REF}", "#ver PQR-2026-000110", "#abrir 341"],
        ),
    }
    for letter, (subject, orders) in buttons.items():
        html = unescape(render(letter).html)
        links = [dict(parse_qsl(query)) for query in re.findall(r'href="mailto:info@lohas\.test\?([^"]*)"', html)]
        assert links == [{"subject": f"{subject} ({TOKEN})", "body": order} for order in orders], letter


# -- as the rules tell them ----------------------------------------------------------------------------------------


def test_every_letter_of_the_rules_renders_and_the_samples_know_its_facts() -> None:
    """What `decide` tells a letter is what the sample tells it, so `check` proves the templates for real mail."""
    kind = Classification("queja", 0.5, ("salud",), True, (Evidence("vencido", "queja", 2.0),))
    files = (Attachment("a.pdf", "application/pdf", 10),)
    situation = Situation(REF, "ana@lohas.test", (Earlier("PQR-2026-000007", "", State.OPEN, NOW),), ((NOW, "algo"),))
    queued = []
    for case in (None, ticket(state=State.OPEN), ticket(state=State.CLOSED)):
        identity = Identity(CLARA, "customer" if case else "newcomer", None, case)
        occasion = Occasion(mail(attachments=files), NOW, Parts("Hola", ""), identity, kind)
        queued += [e for e in on_mail(occasion, situation, DESK, NOW) if isinstance(e, QueueLetter)]
    assert {letter.letter for letter in queued} == {ACK, NOTE}
    for letter in queued:
        assert set(letter.facts) - {"is_claim"} <= set(SAMPLE_FACTS[letter.letter])
        assert set(SAMPLE_FACTS[letter.letter]) - {"token"} <= set(letter.facts) | {"customer_name"}
        assert str(letter.reference) in LETTERS.render(letter.letter, {**letter.facts, "token": "pqr.a.b"}).text


# -- hostile words -------------------------------------------------------------------------------------------------

HOSTILE = [
    "{{ 1111 * 7 }}{% for x in y %}",
    "{{ office.__class__.__mro__ }}",
    "<script>alert(1)</script>",
    '"><img src=http://evil.test/x onerror=alert(1)>',
    "a\r\nBcc: evil@evil.test\r\n\r\ncuerpo",
    "a\u2028Bcc: evil@evil.test\u2029b\x85c",
    "cero\x00uno\x1b[2J\x07",
    "solo\ud800suelto",
    "\u202egnp.exe",
    "=?utf-8?q?=0D=0ABcc=3A_evil=40evil.test?=",
    "x" * 10_000,
    "ñ" * 10_000,
    ", ; : <a@b> (c) \\ \"d'",
]


def spoilt(fact: object, words: str, key: str = "") -> object:
    """The fact with a stranger's words in place of every text of it."""
    if isinstance(fact, Mapping):
        return {name: spoilt(value, words, name) for name, value in fact.items()}
    if isinstance(fact, list):
        return [spoilt(item, words[:1_000]) for item in fact]
    return words if isinstance(fact, str) and key not in ("reference", "into") else fact


@pytest.mark.parametrize("words", HOSTILE, ids=lambda words: ascii(words)[:60])
@pytest.mark.parametrize("letter", SHAPES)
def test_strangers_words_are_only_values(letter: str, words: str) -> None:
    """Said in every text at once: no markup, no template, no header, and the mail stays one mail."""
    facts = spoilt(SHAPES[letter], words)
    assert isinstance(facts, dict)
    raw = composed(letter, facts, recipient=Address("clara@correo.test", words), subject=letter_subject(REF, words))
    message = reread(raw)
    text, html = words_of(message)
    assert "7777" not in text + html
    assert not re.search(r"<(?:script|img)", html)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ud800-\udfff]", text + html)
    assert_sound(raw)


def assert_sound(raw: bytes) -> None:
    """The laws of every letter on the wire."""
    assert raw.isascii()
    assert all(len(line) <= 998 and not re.search(rb"[\r\n\0]", line) for line in raw.split(b"\r\n"))
    message = reread(raw)
    assert sorted(name.lower() for name in message) == sorted(ALL_HEADERS)
    assert [address.addr_spec for address in message["To"].addresses] == [CLARA.address]
    assert message["Subject"].startswith(f"[{REF}] ")


ALL_HEADERS = [
    *("from", "to", "subject", "date", "message-id", "in-reply-to", "references", LETTER_HEADER),
    *("auto-submitted", "x-auto-response-suppress", "mime-version", "content-type", "content-language"),
]


def test_a_privacy_notice_is_linked_over_https_only() -> None:
    for url in ("javascript:alert(1)", "http://lohas.test/datos", "data:text/html,x"):
        html = Letters(None, replace(OFFICE, privacy_notice_url=url)).render(ACK, SAMPLE_FACTS[ACK]).html
        assert not re.search(r"<a\b", html)


@pytest.mark.parametrize("letter", SHAPES)
def test_html_reaches_for_nothing(letter: str) -> None:
    html = render(letter, {"text": "https://evil.test"} if letter in (NOTE, REMIND) else {}).html
    assert set(re.findall(r'(?:href|src)="([^":]*)', html)) <= {"mailto", "https"}
    assert not re.search(r"<(?:img|link|script|style|iframe|form)\b|\burl\(|@import", html)
    assert '<html lang="es">' in html


@pytest.mark.parametrize("subject", ["¿Café & té? 100 % + más", 'a"b<c>&bcc=evil', "ñ#x"])
def test_a_button_fills_in_recipient_subject_and_order(subject: str) -> None:
    letters = Letters(None, replace(OFFICE, address="ana+b&c@x.test"))
    html = letters.render(NOTE, {**SAMPLE_FACTS[NOTE], "subject": subject}).html
    address, _, query = unescape(re.findall(r'href="mailto:([^"]*)"', html)[0]).partition("?")
    assert (unquote(address), "&" in address) == ("ana+b&c@x.test", False)
    assert parse_qsl(query) == [("subject", f"[{REF}] {subject} ({TOKEN})"), ("body", "#resolver")]
    assert re.fullmatch(r"subject=[A-Za-z0-9%._~-]+&body=[A-Za-z0-9%._~-]+", query)


@pytest.mark.parametrize(
    ("body", "said"), [("", ""), ("#nota", "&body=%23nota"), ("a\nb\r\nc", "&body=a%0D%0Ab%0D%0Ac")]
)
def test_mailto(body: str, said: str) -> None:
    assert mailto("info@x.test", "a b", body) == f"mailto:info@x.test?subject=a%20b{said}"


@pytest.mark.parametrize("value", [object(), b"x", 1.5, {1}, [object()], {"a": object()}])
def test_only_plain_values(value: object) -> None:
    with pytest.raises(TypeError, match="plain values"):
        LETTERS.render("alarm", {"problem": value, "details": []})


# -- on the wire ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letter", SHAPES)
def test_reads_back_as_it_was_rendered(letter: str) -> None:
    rendered, raw = render(letter), composed(letter)
    message = reread(raw)
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert words_of(message) == (rendered.text, rendered.html)
    assert max(map(len, raw.split(b"\r\n"))) <= 78
    assert raw == composed(letter)
    assert_sound(raw)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("From", "Lohas Beans SAS BIC <info@lohas.test>"),
        ("To", "Clara Gómez <clara@correo.test>"),
        ("Subject", f"[{REF}] Café vencido"),
        ("Date", "Mon, 01 Jun 2026 10:42:00 -0500"),
        ("Message-ID", "<pqr.abc.def@lohas.test>"),
        ("In-Reply-To", "<m1@correo.test>"),
        ("References", "<m0@correo.test> <m1@correo.test> <pqr.abc.def.t@lohas.test>"),
        ("X-PQR-Letter", "abc.def"),
        ("Auto-Submitted", "auto-replied"),
        ("X-Auto-Response-Suppress", "DR, RN, NRN, OOF, AutoReply"),
        ("Reply-To", None),
    ],
)
def test_headers(header: str, value: str | None) -> None:
    assert reread(composed())[header] == value


def test_a_persons_words_carry_no_mark_of_a_machine() -> None:
    message = reread(composed(automatic=None, in_reply_to="", references=(), reply_to="otra@lohas.test"))
    absent = ("Auto-Submitted", "X-Auto-Response-Suppress", "In-Reply-To", "References")
    assert [message[name] for name in absent] == [None] * 4
    assert message["Reply-To"] == "otra@lohas.test"


LONG = "<" + "DM6PR-" * 40 + "@prod.outlook.test>"


@pytest.mark.parametrize("header", ["Message-ID", "In-Reply-To", "References"])
def test_long_ids_stay_as_they_are(header: str) -> None:
    ids = {"message_id": LONG, "in_reply_to": LONG, "references": (LONG, "<b@x>")}
    assert f"\n{header}: {LONG}\r\n".encode() in head(composed(**ids))  # type: ignore[arg-type]
    assert LONG in reread(composed(**ids))[header].split()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chain", "kept"),
    [
        ([f"<{n}@x>" for n in range(9)], list(range(9))),
        ([f"<{n}@x>" for n in range(50)], [0, *range(42, 50)]),
    ],
)
def test_references_are_trimmed_to_the_first_and_the_last(chain: list[str], kept: list[int]) -> None:
    assert reread(composed(references=tuple(chain)))["References"].split() == [f"<{n}@x>" for n in kept]


@pytest.mark.parametrize("size", [100, 300, 880])
def test_references_fit_into_one_line_and_end_with_ours(size: int) -> None:
    chain = reread(composed(references=(*(f"<{n}{'a' * size}@x>" for n in range(30)), "<t.t@x>")))["References"].split()
    assert len(" ".join(chain)) < 998 - len("References: ")
    assert chain[-1] == "<t.t@x>"


@pytest.mark.parametrize(
    "bad", ["", "sin corchetes@x", "<a b@x>", "<a@x>\r\nBcc: e@x", "<ñ@x>", "<=?utf-8?q?a?=@x>", "<>"]
)
def test_ids_of_strangers_that_no_header_can_carry_are_left_out(bad: str) -> None:
    message = reread(composed(in_reply_to=bad, references=(bad, "<b@x>")))
    assert (message["In-Reply-To"], message["References"]) == (None, "<b@x>")
    with pytest.raises(ValueError, match="no Message-ID"):
        composed(message_id=bad)


@pytest.mark.parametrize("address", ["a..b@x.test", "a.@x.test", "a+b@x.test", "o'brien@x.test", "a@[192.0.2.1]"])
def test_odd_addresses_survive(address: str) -> None:
    assert f"<{address}>\r\n".encode() in head(composed(recipient=Address(address, "Ñ")))


def test_an_address_outside_ascii_survives() -> None:
    raw = composed(recipient=Address("josé@correo.test", "José"))
    assert "To: José <josé@correo.test>\r\n".encode() in head(raw)
    assert raw[len(head(raw)) :].isascii()


@pytest.mark.parametrize(
    "address", ["", "x", "a@b@c", "a b@x", "a@x\r\nBcc: e@x", "a,b@x", "a<b@x", "a\x00@x", "a\ud800@x", "a@x\u2028"]
)
def test_an_address_that_no_header_can_carry_is_refused_in_one_line(address: str) -> None:
    with pytest.raises(ValueError, match="no address that a header can carry") as refused:
        composed(recipient=Address(address))
    assert len(str(refused.value).splitlines()) == 1


ANY_TEXT = st.text(st.characters(), max_size=200)  # lone surrogates too


@given(ANY_TEXT, ANY_TEXT, ANY_TEXT)
@example("=?utf-8?q?=0D=0ABcc:x?=", "=?utf-8?b?DQpCY2M6IHg=?=", "\r\n\r\n")
@example("a" * 64, " =? ?= ", "=?")
def test_no_words_break_out_of_a_header(name: str, subject: str, office: str) -> None:
    raw = composed(recipient=Address(CLARA.address, name), subject=letter_subject(REF, subject), from_name=office)
    assert_sound(raw)
    assert [address.addr_spec for address in reread(raw)["From"].addresses] == [OFFICE.address]


# -- the subject ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "rest"),
    [
        ("Café vencido", "Café vencido"),
        ("RE: Rv: FWD: re[2]: RES: Café", "Café"),
        ("Re：Café", "Café"),
        ("Reclamo: café", "Reclamo: café"),
        ("Ref: pedido 4711", "Ref: pedido 4711"),
        (f"Re: [{REF}] Café", "Café"),
        ("RV: [PQR-2026-000007] Re: pqr 2026 8 café", "café"),
        ("PQR\u20112026\u20119 café", "café"),
        ("PQR [PQR-2026-1] 2026 5 café", "café"),
        ("[XYZ-2026-000007] café", "[XYZ-2026-000007] café"),
        ("Gane en https://evil.test/x?y=z ya", "Gane en ya"),
        ("Gane WWW.evil.test", "Gane"),
        ("Gane evil.test/premio hoy", "Gane hoy"),
        ("Gane evil.test?x=1 hoy", "Gane hoy"),
        ("Gane evil.test:8080 hoy", "Gane hoy"),
        ("ftp://evil.test", NO_SUBJECT),
        ("(https://evil.test)", NO_SUBJECT),
        ("¿Compró en cafe.com.co?", "¿Compró en"),
        ("Gane en premios-cafe.com hoy", "Gane en hoy"),
        ("Gane en evil.es, evil.store y evil。com ya", "Gane en y ya"),
        ("Vea EVIL.COM", "Vea"),
        ("Pague en banco.zip", "Pague en"),
        ("Comí.Como siempre, factura.pdf", "Comí.Como siempre, factura.pdf"),
        ("Pedido 01/06/2026 s/n, 1.500/kg", "Pedido 01/06/2026 s/n, 1.500/kg"),
        ("a\r\nBcc: x@y", "a Bcc: x@y"),
        ("a\u2028b\x00c\ud800d\u202ee", "a bcde"),
        ("  muchos \t blancos\u00a0 ", "muchos blancos"),
        ("", NO_SUBJECT),
        ("Re:", NO_SUBJECT),
        (REF, NO_SUBJECT),
        ("palabra " * 20, "palabra " * 9 + "palabra…"),
        ("x" * 10_000, "x" * 79 + "…"),
    ],
)
def test_letter_subject(subject: str, rest: str) -> None:
    assert letter_subject(REF, subject) == f"[{REF}] {rest}"


def test_a_letter_about_no_case_has_no_tag() -> None:
    assert letter_subject("", "Alarma: IMAP") == "Alarma: IMAP"
    assert letter_subject("", "") == NO_SUBJECT


PIECES = st.sampled_from(
    [
        "PQR",
        "pqr",
        "-",
        "\u2011",
        " ",
        "2026",
        "000007",
        "[",
        "]",
        "RE:",
        "rv: ",
        "http://",
        "www.",
        "a.co/",
        "ñ",
        "½",
        "…",
    ]
)


@given(st.one_of(ANY_TEXT, st.lists(PIECES, max_size=40).map("".join)))
@example("PQR-2026-000123" * 20)
@example("x" * 64 + "PQR-2026-0001234567")
@example("re:" * 300)
def test_laws_of_the_subject(subject: str) -> None:
    said = letter_subject(REF, subject)
    assert letter_subject(REF, said) == said
    assert find_references(said, "PQR") == [REF]
    assert find_references(said.removeprefix(f"[{REF}]"), "PQR") == []
    assert said.startswith(f"[{REF}] ") and len(said) <= len(f"[{REF}] ") + SUBJECT_LENGTH
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]|://", said)


# -- templates of the admin ----------------------------------------------------------------------------------------


def test_the_admins_letter_wins_and_the_others_stay(tmp_path: Path) -> None:
    (tmp_path / "alarm.j2").write_text("{% import layout as ui %}{{ ui.p('Nuestra: ' ~ problem) }}", "utf-8")
    letters = Letters(tmp_path, OFFICE)
    assert letters.render("alarm", {"problem": "a < b"}).text == "Nuestra: a < b\n"
    assert "Nuestra: a &lt; b" in letters.render("alarm", {"problem": "a < b"}).html
    assert letters.render(ACK, SAMPLE_FACTS[ACK]) == LETTERS.render(ACK, SAMPLE_FACTS[ACK])


@pytest.mark.parametrize(
    ("source", "line", "what"),
    [
        ("uno\n{% if %}", 2, "Expected an expression"),
        ("{% endif %}", 1, "unknown tag 'endif'"),
        ("uno\ndos {{ no_such_fact }}", 2, "'no_such_fact' is undefined"),
        ("{{ problem.nothing }}", 1, "has no attribute 'nothing'"),
        ("\n\n{{ problem | nothing }}", 3, "No filter named 'nothing'"),
        ("{{ 1 / 0 }}", 1, "division by zero"),
        ("{{ problem.__class__ }}", 1, "unsafe"),
        ("{{ details.append('x') }}", 1, "unsafe"),
        ("{{ problem | long_date }}", 1, "weekday"),
        ("{% include 'none.j2' %}", 1, "there is no template none.j2"),
        ("{% import layout as ui %}\n{{ ui.nothing() }}", 2, "has no attribute 'nothing'"),
    ],
)
def test_a_broken_template_is_told_in_one_line(tmp_path: Path, source: str, line: int, what: str) -> None:
    (tmp_path / "alarm.j2").write_text(source, "utf-8")
    with pytest.raises(TemplateProblem) as problem:
        Letters(tmp_path, OFFICE).render("alarm", SAMPLE_FACTS["alarm"])
    said = str(problem.value)
    assert said.startswith(f"{tmp_path / 'alarm.j2'}, line {line}: ") and what in said
    assert len(said.splitlines()) == 1


def test_a_template_in_another_encoding_or_none_at_all(tmp_path: Path) -> None:
    (tmp_path / "alarm.j2").write_bytes("Atención".encode("latin-1"))
    with pytest.raises(TemplateProblem, match=r"alarm\.j2, line 1: .*utf-8"):
        Letters(tmp_path, OFFICE).render("alarm", SAMPLE_FACTS["alarm"])
    with pytest.raises(TemplateProblem, match=r"there is no template unknown\.j2"):
        LETTERS.render("unknown", {})
