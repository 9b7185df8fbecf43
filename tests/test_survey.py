"""What customers' short answers say: ratings and refusals in many forms, and what is thanks and nothing more."""

from __future__ import annotations

import pytest

from pqr_mailbot.domain.survey import Answer, disagrees, only_thanks, read_answer

ANSWERS: list[tuple[str, Answer]] = [
    *((text, Answer(5)) for text in (
        "5", "5/5", "5 de 5", "10/10", "cinco", "CINCO (5)", "5 (muy satisfecho)", "cinco estrellas", "⭐⭐⭐⭐⭐",
        "*5*", "5️⃣", "El 5", "Mi calificación es 5", "Número 5", "Les doy un 5", "Hola, 5", "Cordial saludo\n\n5",
        "5 excelente servicio", "5, pero la bolsa llegó rota", "five stars", "nota 10",
    )),
    ("8/10", Answer(4)), ("3 porque tardó", Answer(3)), ("1 (muy insatisfecho)", Answer(1)), ("0/10", Answer(1)),
    *((text, Answer(solved=False)) for text in (
        "NO", "No.", "No, sigue igual", "no fue resuelto", "no estoy conforme", "No quedé satisfecho", "não",
        "Todavía no me han llamado",
    )),
    *((text, Answer(no_surveys=True)) for text in (
        "NO ENCUESTA", "No más encuestas por favor", "no quiero encuestas", "No me envíen más encuestas",
    )),
    *((text, Answer()) for text in (
        "5 bolsas llegaron rotas", "5 paquetes rotos", "1 llegó rota", "3er reclamo que hago", "3 cajas rotas",
        "2 empleados me gritaron", "5 junio llegó", "4-5", "2,5", "1 a 5: 5", "no tengo quejas", "", "   ",
    )),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer"), ANSWERS, ids=[repr(text) for text, _ in ANSWERS])
def test_an_answer_to_the_survey(text: str, answer: Answer) -> None:
    assert read_answer(text) == answer


THANKS = [
    "gracias", "Muchas gracias!", "Mil gracias por su ayuda", "Muito obrigada pela ajuda", "Thank you so much!", "Ok",
    "Perfecto, muchas gracias por la pronta respuesta", "Gracias, quedo atenta", "Dios los bendiga",
    "Todo en orden, gracias 😊", "Gracias por la gestión realizada. Feliz tarde", "Gracias!!\n\nClara Gómez",
]  # fmt: skip
MORE = [
    "Gracias, el café llegó roto", "Gracias por nada", "Gracias por nada, pésimo servicio", "¿Gracias?", "Clara",
    "Gracias. Mi cuenta es Bancolombia ahorros", "Ok, entonces devuelvan mi dinero", "Gracias, espero la devolución",
    "Gracias, por favor envíenme la factura", "Thanks, it arrived broken", "obrigado mas ainda nao chegou",
    "Thanks, can you send the invoice", "Gracias, lamentable la demora", "Perfecto, procedan con el reembolso",
]  # fmt: skip


@pytest.mark.parametrize(("text", "thanks"), [*((one, True) for one in THANKS), *((one, False) for one in MORE)])
def test_thanks_and_what_is_more_than_thanks(text: str, thanks: bool) -> None:
    assert only_thanks(text, "Clara Gómez") is thanks


@pytest.mark.parametrize(
    ("text", "disagreement"),
    [
        ("No estoy de acuerdo con la respuesta.", True),
        ("no quedé satisfecha", True),
        ("no estoy nada conforme", True),
        ("No me sirve esa respuesta", True),
        ("I disagree", True),
        ("Não estou de acordo", True),
        ("Estoy de acuerdo", False),
        ("Quedé satisfecha", False),
    ],
)
def test_disagreement(text: str, disagreement: bool) -> None:
    assert disagrees(text) is disagreement
