"""Which language a mail is in, guessed by its small words: Spanish unless others clearly have more to say."""

from __future__ import annotations

from pqr_mailbot.domain.fold import words

SPANISH, ENGLISH, PORTUGUESE = "es", "en", "pt"
READ = 200  # words that are looked at
ENOUGH = 2  # small words of another language

# Words of one language only: "de", "me", "a", "no" are shared and say nothing.
_SPANISH = """
    el los las un una unos unas y con pero muy mas es son esta este esto eso ese lo le les yo usted ustedes
    su sus mi mis hay ya si hola buenas buenos gracias senores quiero quisiera necesito tengo tiene tienen
    cuando donde como porque hasta desde sin ni fue han he ha hace hacen pedido nos al del sobre estoy saber
    puedo pueden ser todo nada cafe libra libras buen cordial saludo hoy manana ayer llego plata dinero
"""
_ENGLISH = """
    the and you your i my is are was were it this that of to for with have has had we our not but be can
    could would please thank thanks hello hi dear from at on in an do does did how what when where which
    there their they been will am us if any get got order ordered coffee refund
"""
_PORTUGUESE = """
    o os um uma nao voces voce com em meu minha meus minhas seu sua seus suas obrigado obrigada gostaria
    pedido ola bom boa tarde noite muito muita mais eu foi sao esta isso isto pelo pela ao aos das da nas na
    quem fica dica essas esses essa esse ninguem equipe ainda quero quanto quando onde tenho tem fazer
    comprei recebi chegou dinheiro prezados agradeco atendimento veio loja ate sem fui estou estao queria
    poderiam podem preciso voltar parabens produto
"""
_SMALL = {
    SPANISH: frozenset(_SPANISH.split()),
    ENGLISH: frozenset(_ENGLISH.split()),
    PORTUGUESE: frozenset(_PORTUGUESE.split()),
}


def language_of(subject: str, text: str) -> str:
    """One of SPANISH, ENGLISH, PORTUGUESE."""
    seen = words(f"{subject}\n{text[:4_000]}")[:READ]
    said = {language: sum(word in small for word in seen) for language, small in _SMALL.items()}
    said[PORTUGUESE] += sum(text.count(letter) for letter in "ãõçÃÕÇ")  # no Spanish word has them
    spanish = said.pop(SPANISH)
    best = max(said, key=lambda language: said[language])
    return best if said[best] >= ENOUGH and said[best] > spanish else SPANISH
