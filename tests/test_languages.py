"""Mail that is not Spanish: which language it is, what it is about, and two lines of it in the acknowledgement."""

from __future__ import annotations

import pytest
from office import POLICY

from pqr_mailbot.adapters.letter_samples import SAMPLE_FACTS
from pqr_mailbot.adapters.letters import Letters
from pqr_mailbot.domain.classify import classify
from pqr_mailbot.domain.language import ENGLISH, PORTUGUESE, SPANISH, language_of
from pqr_mailbot.wiring import shipped_lexicon

OFFICE = POLICY.office

IN_ENGLISH = [
    # (subject, text, type)
    ("Opening hours", "Hello, what time do you open on Sunday? We are in town for two days.", "solicitud"),
    ("Wholesale", "Hi, we run a bakery in Austin. Could you send us your wholesale price list?", "solicitud"),
    ("Gluten", "Does the banana bread contain gluten? My daughter is celiac.", "solicitud"),
    ("Shipping to Canada", "Do you ship to Canada, and how much would it cost?", "solicitud"),
    ("Tour", "We would like to book the coffee tour for four people on the 12th.", "solicitud"),
    ("", "hi is it possible to visit the farm with two kids and a dog", "solicitud"),
    ("Invoice copy", "Please send me a copy of the invoice for my order of May.", "solicitud"),
    ("Rude waiter", "The waiter was rude and rolled his eyes when we asked for water.", "queja"),
    ("Disappointed", "I am very disappointed with the service, we waited an hour and nobody apologized.", "queja"),
    ("", "The coffee was cold and the place was dirty. Never again.", "queja"),
    ("Phone line", "I have called five times and nobody ever answers. This is unacceptable.", "queja"),
    ("Not what it used to be", "Your breakfast used to be better, now it is tasteless and overpriced.", "queja"),
    ("Noise", "The room was noisy all night and the staff at the desk was unprofessional.", "queja"),
    ("Charged twice", "I was charged twice for the same booking. I want a refund.", "reclamo"),
    ("Broken mug", "The mug I ordered arrived broken. Please send a replacement.", "reclamo"),
    ("Missing bags", "Two of the five bags were missing. Please send the missing ones.", "reclamo"),
    ("Order 4471", "My order never arrived. I want my money back.", "reclamo"),
    ("Claim", "The grinder stopped working after a week, please repair it or exchange it.", "reclamo"),
    ("Wrong size", "You sent the wrong size; how are you going to fix this?", "reclamo"),
    ("", "you overcharged me 20 dollars, please reverse it", "reclamo"),
    ("Idea", "It would be great if you had the menu in English.", "sugerencia"),
    ("Suggestion", "I suggest adding bike racks at the entrance.", "sugerencia"),
    ("", "Have you considered selling smaller bags for travellers?", "sugerencia"),
    ("A thought", "You could add a vegan option to the brunch, many of us would love it.", "sugerencia"),
    ("Thank you", "Thank you so much for the wonderful tour, the guide was amazing.", "felicitacion"),
    ("Great coffee", "Best coffee we had in Colombia. Keep it up!", "felicitacion"),
    ("Maria", "I just wanted to say how kind and helpful Maria was with my mother.", "felicitacion"),
    ("", "Absolutely delicious, congratulations to the whole team", "felicitacion"),
    ("Delete my data", "Please delete my personal data from your systems.", "habeas_data"),
    ("Mailing list", "Please remove me from your mailing list, I never signed up for this.", "habeas_data"),
    ("My picture", "You posted my photo on your website without my permission.", "habeas_data"),
    ("Phone number", "Where did you get my number? Stop calling me.", "habeas_data"),
]

IN_PORTUGUESE = [
    ("Horário", "Olá, qual é o horário de funcionamento aos domingos? Obrigado.", "solicitud"),
    ("Cotação", "Bom dia, gostaríamos de receber uma cotação para 20 sacas.", "solicitud"),
    ("Envio", "Vocês fazem envio para São Paulo? Quanto custa o frete?", "solicitud"),
    ("Visita", "Gostaria de agendar uma visita à fazenda para quatro pessoas.", "solicitud"),
    ("Nota fiscal", "Poderiam me enviar a segunda via da nota fiscal, por favor?", "solicitud"),
    ("", "oi, tem estacionamento aí na loja? vamos em um carro grande", "solicitud"),
    ("Curso", "Queria saber se vocês têm curso de barista em janeiro.", "solicitud"),
    ("Atendimento", "O atendimento foi péssimo, o garçom foi grosseiro com a minha mãe.", "queja"),
    ("Decepção", "Fiquei muito decepcionada com o café, veio frio e sem gosto.", "queja"),
    ("", "Esperamos uma hora na fila e ninguém explicou nada. Um absurdo.", "queja"),
    ("Loja suja", "A loja estava suja e com mau cheiro, uma vergonha.", "queja"),
    ("Telefone", "Ninguém atende o telefone há três dias, que descaso.", "queja"),
    ("Piorou", "O pão de vocês piorou muito, não volto mais.", "queja"),
    ("Reembolso", "Vocês cancelaram o passeio e eu quero o meu dinheiro de volta.", "reclamo"),
    ("Produto quebrado", "A xícara chegou quebrada. Solicito a troca.", "reclamo"),
    ("Cobrança", "Me cobraram duas vezes a mesma compra, quero o estorno.", "reclamo"),
    ("Faltando", "Recebi só três pacotes, faltam dois. Por favor enviem o restante.", "reclamo"),
    ("Pedido 88", "Meu pedido nunca chegou, exijo uma solução.", "reclamo"),
    ("", "o moedor veio com defeito e não funciona, como vocês vão resolver isso?", "reclamo"),
    ("Tamanho errado", "Mandaram o tamanho errado, quero trocar pelo certo.", "reclamo"),
    ("Sugestão", "Seria ótimo se vocês tivessem cardápio em português.", "sugerencia"),
    ("Ideia", "Que tal vender pacotes menores para quem viaja? Fica a dica.", "sugerencia"),
    ("", "Vocês poderiam colocar mais mesas do lado de fora, seria muito bom.", "sugerencia"),
    ("Bicicletas", "Sugiro instalar um lugar para as bicicletas na entrada.", "sugerencia"),
    ("Parabéns", "Parabéns pelo atendimento, a Ana foi muito gentil com a gente.", "felicitacion"),
    ("Obrigada", "Adoramos tudo, o melhor café que já tomamos na viagem.", "felicitacion"),
    ("Elogio", "Quero elogiar o guia Carlos, uma pessoa maravilhosa. Nota dez!", "felicitacion"),
    ("", "que lugar incrível, a comida deliciosa e a equipe muito simpática", "felicitacion"),
    ("Meus dados", "Peço que apaguem os meus dados pessoais do sistema de vocês.", "habeas_data"),
    ("LGPD", "Com base na LGPD, quero saber que dados vocês têm sobre mim.", "habeas_data"),
    ("Mensagens", "Não autorizei essas mensagens. Parem de me enviar propaganda.", "habeas_data"),
    ("Foto", "Vocês publicaram a minha foto sem a minha autorização, tirem por favor.", "habeas_data"),
]


@pytest.mark.parametrize(("subject", "text", "expected"), [*IN_ENGLISH, *IN_PORTUGUESE])
def test_what_a_mail_in_another_language_is(subject: str, text: str, expected: str) -> None:
    assert classify(subject, text, shipped_lexicon()).type == expected


SPOKEN = [
    *((ENGLISH, subject, text) for subject, text, _ in IN_ENGLISH),
    *((PORTUGUESE, subject, text) for subject, text, _ in IN_PORTUGUESE),
    (SPANISH, "", ""),
    (SPANISH, "Re: Fwd", "ok"),
    (SPANISH, "delivery", "el delivery nunca llegó y el tracking dice on hold"),
    (SPANISH, "Order #12", "Me llegó el pedido sin el toner, please ayuda"),
    (SPANISH, "gracias", "muy bueno todo"),
]


@pytest.mark.parametrize(("language", "subject", "text"), SPOKEN)
def test_which_language_it_is(language: str, subject: str, text: str) -> None:
    assert language_of(subject, text) == language


@pytest.mark.parametrize(("language", "words"), [("es", ""), ("en", "In English: we"), ("pt", "Em português:")])
def test_the_acknowledgement_has_two_lines_of_that_language(language: str, words: str) -> None:
    facts = {**SAMPLE_FACTS["acknowledgement"], "language": language}
    text = Letters(None, OFFICE).render("acknowledgement", facts).text
    assert words in text
    assert ("In English" in text, "Em português" in text) == (language == "en", language == "pt")
    assert text.index("Cordial saludo") < text.index("Radicado")
