"""Strangers' mass mail by its words; and that no customer's mail is taken for it."""

from __future__ import annotations

import pytest
from office import ANA, POLICY, mail

from pqr_mailbot import learn
from pqr_mailbot.domain.model import Verdict
from pqr_mailbot.domain.screen import screen
from pqr_mailbot.domain.spam_words import spam_signs

SPAM = [
    ("Crédito preaprobado", "Hasta 80 millones sin codeudor, escríbanos ya."),
    ("Seguidores", "Compre 5.000 seguidores reales para su Instagram"),
    ("SEO", "Posicionamos su página en Google, auditoría gratis"),
    ("Base de datos", "Vendemos una base de datos de gerentes de Colombia"),
    ("Ganaste", "Fuiste seleccionado para recibir un celular, paga el envío"),
    ("Embargo", "Descargue el auto de embargo en http://dian.example/a.exe"),
    ("Su cuenta", "Su cuenta ha sido suspendida: actualice sus datos aquí"),
    ("Fund", "I am the lawyer of the deceased client who left 8 million USD"),
    ("", "Tengo acceso a tu dispositivo y un video tuyo; si no me pagas en bitcoin lo publico"),
    ("", "Su cuenta fue suspendida. No pudimos verificar su pago, actualice sus datos aquí"),
    ("", "Fui nombrada albacea de mi esposo difunto, cliente del banco; busco un beneficiario para 8 millones de USD"),
    ("Loan", "We offer business loans at 2% interest rate"),
]
CUSTOMERS = [
    ("Oferta", "¿La oferta de 2x1 sigue hoy? ¿Cupos para el curso?"),
    ("Factura", "Descargué la factura y el valor está mal"),
    ("Crédito", "¿Manejan crédito a 30 días para restaurantes?"),
    ("Base de datos", "Bórrenme de su base de datos"),
    ("premio", "Gané el concurso y quiero reclamar mi premio"),
    ("Cuenta suspendida", "Me suspendieron la cuenta sin avisar, la necesito activa"),
    ("Cancelar suscripción", "Quiero cancelar la suscripción de café de cada mes"),
    ("Oferta", "Compré con la oferta y el descuento no me lo aplicaron, devuélvanme la diferencia"),
    ("", "¿La oferta de esta semana tiene envío gratis?"),
    ("", "¿El 2x1 del diplomado tiene descuento para empresas?"),
    ("", "Vi la promoción solo por hoy con descuento y el sistema cobró el precio completo"),
    ("¿Es de ustedes?", "Recibí un correo que dice que mi cuenta fue suspendida y que actualice sus datos aquí"),
    ("", "Me llegó un mensaje de que mi paquete está retenido y que haga un pago"),
    ("", "Mi paquete no pudo ser entregado y ya hice el pago"),
    ("", "Me reportaron a centrales de riesgo y no puedo descargar el archivo de paz y salvo"),
    ("", "Quiero cancelar suscripción, hice clic y no funciona. Dejen de cobrarme"),
    ("", "No puedo descargar la factura en zip"),
    ("última llamada", "Si no me devuelven el descuento pongo demanda"),
    ("", "Leí en su empaque: rebaje 5 kilos en dos semanas. Publicidad engañosa"),
    ("", "Su asesor me dijo que gane dinero desde casa vendiendo café"),
    ("Unsubscribe", "Please unsubscribe me, click here does not work"),
    ("", "Mi esposo difunto, el ingeniero Pérez, tenía una suscripción con ustedes"),
    ("seguidora", "Soy seguidora de su página y me encanta el café"),
]


@pytest.mark.parametrize(("subject", "text"), SPAM)
def test_what_is_spam(subject: str, text: str) -> None:
    assert screen(mail("gana@mucho.example", subject, text=text), POLICY).verdict is Verdict.SPAM


@pytest.mark.parametrize(("subject", "text"), CUSTOMERS)
def test_what_a_customer_writes(subject: str, text: str) -> None:
    assert screen(mail(subject=subject, text=text), POLICY).verdict is Verdict.PERSON


def test_an_answer_and_a_colleague_are_no_spam() -> None:
    subject, text = SPAM[0]
    assert screen(mail(subject=subject, text=text, in_reply_to=("<a@b>",)), POLICY).verdict is Verdict.PERSON
    assert screen(mail(ANA.address, subject, text=text), POLICY).verdict is Verdict.PERSON


def test_none_of_the_labelled_customer_mail_is_spam() -> None:
    assert not [one for one in learn.shipped_examples() if spam_signs(one.subject, one.text)]
