"""What colleagues and customers read in a real story of orders: each says what is so, and no more."""

from __future__ import annotations

import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from html import unescape
from itertools import count
from pathlib import Path
from urllib.parse import unquote

import pytest
from bench import Bench, Letter, eml
from office import ANA, CLARA, NOW

from pqr_mailbot.domain.commands import COMMANDS
from pqr_mailbot.domain.signature import without_signature

ONE, TWO = "PQR-2026-000001", "PQR-2026-000002"
_count = count()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "desk.db")
    yield bench
    bench.close()


def writes(bench: Bench, text: str, subject: str = "Café vencido", **more: str) -> Letter:
    """Clara writes. Returns what her agent is told."""
    bench.take(eml(str(CLARA), subject, text, f"<c{next(_count)}@correo.test>", **more))
    return bench.letters("notification")[-1]


def answers(bench: Bench, letter: Letter, text: str, files: tuple[str, ...] = ()) -> Letter:
    """The agent who got a letter answers it. Returns the transcript."""
    raw = eml(
        f"Ana Ruiz <{letter.to}>", f"Re: {letter.mail['Subject']}", text, f"<a{next(_count)}@lohas.test>", files,
        In_Reply_To=letter.mail["Message-ID"], References=letter.mail["Message-ID"],
    )  # fmt: skip
    bench.take(raw)
    return bench.letters("transcript")[-1]


def html(letter: Letter) -> str:
    part = letter.mail.get_body(("html",))
    assert part is not None
    return str(part.get_content())


def flat(letter: Letter) -> str:
    return " ".join(letter.text.split())


def test_the_history_says_who_answered(bench: Bench) -> None:
    answers(bench, writes(bench, "Exijo mi dinero, el café está vencido."), "Hoy mismo se lo devolvemos.")
    told = writes(bench, "¿A qué hora?", f"Re: [{ONE}] Café vencido")
    assert "respondió ana@lohas.test" in flat(told)
    assert "se le envió" not in flat(told)


def test_whoever_hears_of_a_case_later_reads_its_history(bench: Bench) -> None:
    """A superior who is told of an escalation sees more than the customer's last words."""
    told = writes(bench, "Exijo mi dinero, el café está vencido.")
    answers(bench, told, "Hoy mismo se lo devolvemos.")
    answers(bench, told, "#escalar pide hablar con un superior")
    (letter,) = bench.letters("escalation")
    assert "acuse de recibo a clara@correo.test" in flat(letter)
    assert "respondió ana@lohas.test" in flat(letter)


def test_a_later_mail_does_not_move_the_receipt_of_its_case(bench: Bench) -> None:
    """The term counts from the first mail; the day of this one is told beside it."""
    writes(bench, "Exijo mi dinero, el café está vencido.")
    at = NOW.replace(day=3)
    bench.take(eml(str(CLARA), f"Re: [{ONE}]", "¿Qué pasó?", "<tarde@correo.test>"), at)
    told = flat(bench.letters("notification")[-1])
    assert "Recibido: lunes 1 de junio de 2026, 10:42" in told
    assert "Este mensaje: miércoles 3 de junio de 2026, 10:42" in told


def test_the_first_mail_of_a_case_is_its_receipt(bench: Bench) -> None:
    assert "Este mensaje" not in writes(bench, "Exijo mi dinero.").text


def test_a_lookup_names_automatic_letters_and_quotes_people(bench: Bench) -> None:
    told = writes(bench, "Exijo mi dinero, el café está vencido.")
    answers(bench, told, "Hoy mismo se lo devolvemos.")
    shown = flat(answers(bench, told, "#ver"))
    assert "acuse de recibo" in shown and "Hoy mismo se lo devolvemos." in shown and "Exijo mi dinero" in shown
    assert "Cordial saludo" not in shown


def test_a_button_sends_no_placeholder(bench: Bench) -> None:
    """Pressed and sent as it is, `#escalar MOTIVO` would escalate for the reason "MOTIVO"."""
    told = writes(bench, "Exijo mi dinero.")
    orders = [unquote(body) for body in re.findall(r"body=([^\"&]*)", unescape(html(told)))]
    assert {order.strip() for order in orders} == {f"#{row.name}" for row in COMMANDS if row.button}
    shown = flat(answers(bench, told, next(one for one in orders if "#escalar" in one)))
    assert "RETENIDO" in shown and "falta el motivo" in shown


def test_a_held_mail_that_cannot_be_sent_says_how_to_go_on(bench: Bench) -> None:
    shown = flat(answers(bench, writes(bench, "Exijo mi dinero."), "#resolvr\n\nListo."))
    assert "¿Quiso decir #resolver?" in shown
    assert "Corríjalo y responda de nuevo el correo del caso" in shown
    assert "Si de todos modos debe salir" not in shown


def test_the_types_are_named_as_people_write_them(bench: Bench) -> None:
    shown = flat(answers(bench, writes(bench, "Exijo mi dinero."), "#tipo cosa"))
    assert "derecho de petición" in shown and "derecho_de_peticion" not in shown


def test_the_merged_case_is_named_by_its_own_subject(bench: Bench) -> None:
    writes(bench, "Exijo mi dinero, el café está vencido.", "Café vencido")
    told = writes(bench, "Sigo sin mi dinero, el café está vencido.", "Pedido 4471")
    answers(bench, told, f"#unir {ONE}")
    facts = re.findall(r"^(Radicado|Asunto): +(.*)$", bench.letters("merged")[0].text.replace("\r", ""), re.MULTILINE)
    assert facts == [("Radicado", ONE), ("Asunto", "Café vencido")]


def test_the_flags_of_urgency_are_spelled_right(bench: Bench) -> None:
    assert "señales de: reiteración" in flat(writes(bench, "Soy yo otra vez: exijo mi dinero."))


def test_the_challenge_says_what_would_happen(bench: Bench) -> None:
    writes(bench, "Exijo mi dinero.")
    bench.take(eml("Ana Ruiz <ana@lohas.test>", f"[{ONE}]", "#resolver\n\nListo.", "<suelto@lohas.test>"))
    asked = flat(bench.letters("challenge")[0])
    assert "- se cumple la orden #resolver" in asked
    assert "- el texto del correo sale para clara@correo.test" in asked


def test_no_letter_but_the_page_of_orders_calls_itself_that_page(bench: Bench) -> None:
    told = writes(bench, "Exijo mi dinero.")
    assert "muestra esta página" not in flat(told)
    assert "(#unir <" in html(answers(bench, told, "#ayuda"))  # the reference of the example stays on one line


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Listo.\n\nCordialmente,\nAna", "Listo.\n\nCordialmente,"),
        ("Listo.\n\nAna", "Listo."),
        ("Lo reciben:\nPedro\nAna", "Lo reciben:\nPedro\nAna"),
        ("Ana", "Ana"),
        ("La atiende Ana", "La atiende Ana"),
    ],
)
def test_who_signs_with_a_first_name_signs_once(text: str, kept: str) -> None:
    assert without_signature(text, ANA.name, ANA.addresses) == kept


@pytest.mark.parametrize("order", ["#nota", "#registrar marta@correo.test Marta León"])
def test_an_order_within_the_text_of_an_order_is_not_swallowed(bench: Bench, order: str) -> None:
    """What looks like an order and was not taken as one holds the mail; `#enviar` lets it pass as words."""
    told = writes(bench, "Exijo mi dinero.")
    held = answers(bench, told, f"{order}\nLlamó molesta.\n#urgente")
    assert "parece una orden" in flat(held)
    assert len(bench.tickets()) == 1 and [row["direction"] for row in bench.messages(ONE)] == ["in", "out"]
    answers(bench, held, "#enviar")
    assert (len(bench.tickets()), len(bench.messages(ONE))) in ((1, 3), (2, 2))


def test_an_answer_without_a_word_is_told_so(bench: Bench) -> None:
    """The send button pressed too early, or a picture that only adorns."""
    shown = flat(answers(bench, writes(bench, "Exijo mi dinero."), ""))
    assert f"Su correo sobre el caso {ONE}" in shown
    assert "no trae texto ni órdenes: no se envió nada" in shown
    assert bench.letters("answer") == []


def test_a_logo_is_no_answer(bench: Bench) -> None:
    """Sent too early, below it the signature that the mail program adds, with its picture."""
    told = writes(bench, "Exijo mi dinero.")
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = "Ana Ruiz <ana@lohas.test>", "info@lohas.test", told.mail["Subject"]
    mail["Message-ID"], mail["In-Reply-To"] = "<vacio@lohas.test>", told.mail["Message-ID"]
    mail.set_content("Ana Ruiz\nServicio al cliente")
    mail.add_alternative("<p>Ana Ruiz<br>Servicio al cliente<br><img src='cid:logo'></p>", subtype="html")
    mail.get_payload()[1].add_related(b"\x89PNG" + b"x" * 5000, "image", "png", cid="<logo>")  # type: ignore[union-attr, index]
    bench.take(mail.as_bytes())
    assert bench.letters("answer") == []
    assert bench.tickets()[0]["first_answered_at"] is None
    assert "no trae texto ni órdenes" in flat(bench.letters("transcript")[-1])


def test_what_went_along_is_named_in_the_transcript(bench: Bench) -> None:
    told = writes(bench, "Exijo mi dinero.")
    assert "Con su texto salieron: guia.jpg" in flat(answers(bench, told, "Va la guía.", ("guia.jpg",)))
    assert "salieron" not in flat(answers(bench, told, "#ver"))
