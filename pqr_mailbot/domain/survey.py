"""What a customer's short answer says: a rating by a digit, that it was not solved, thanks, disagreement.

No links are sent, so no mail scanner can vote (FreeScout #1743). Thanks alone never open a case again (brimir #88).
When in doubt an answer is a customer's words like any other, and a person reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pqr_mailbot.domain.spanish import folded

LONGEST_THANKS = 25  # words
_NUMBERS = {"uno": 1, "una": 1, "dos": 2, "tres": 3, "cuatro": 4, "cinco": 5, "one": 1, "two": 2, "three": 3, "four": 4,
            "five": 5, "um": 1, "dois": 2, "quatro": 4}  # fmt: skip
_RATING = re.compile(
    r"(?:(?:(?:mi|la|una?|el|les? doy|califico(?: con)?|califica(?:cion)?|puntuacion|puntaje|numero|nota|rating|es"
    r"|note)\b:?\s*)+)?"
    r"(?P<number>\d{1,2}|" + "|".join(_NUMBERS) + r")"
    r"(?:\s*(?:/|de|sobre|out of)\s*(?P<scale>5|10|cinco|diez))?"
    r"(?:\s*(?:estrellas?|puntos?|stars?|\*+))?[\s.,;:!)*_\ufe0f\u20e3-]*",
)
_STARS = re.compile("[\u2b50\u2605\ufe0f ]+")
# What may follow the number without a sign between them: "5 bolsas" counts things, "5 excelente" does not.
_REMARK = re.compile(
    r"$|[(/]|(?:muy|muchas?|mil|gracias|excelente|buen[oa]?s?|bien|perfecto|todo|por|porque|pero|aunque|satisfech[oa]s?"
    r"|mal[oa]?s?|pesim[oa]|regular|y|ya|thanks|thank|great|very|because|but|obrigad[oa]|e|porem|mas)\b"
)
_SIGN = re.compile(r"[.,;:!)*_-]")
_COUNTS_THINGS = re.compile(r"[\d%]|(?:dias?|bolsas?|kilos?|libras?|pesos|mil|meses|horas?|veces|cafes?|pedidos?)\b")
_UNSOLVED = re.compile(
    r"(?:no|nao)(?:[.,;:!\s]*$|[,.;:]"
    r"|\s+(?:(?:me|se|lo|la|nos|foi)\s+)*"
    r"(?:ha\b|han\b|fue|quede?\b|quedo|esta|solucion|resolv|resuel|respond|llego|devolv|dier)"
    r"|\s+(?:hay (?:solucion|respuesta)|estoy (?:conforme|de acuerdo|satisfech)))"
    r"|(?:aun|todavia) no\b|sigue (?:igual|sin)\b|sin (?:resolver|solucion)|not (?:re)?solved"
)
_NO_SURVEYS = re.compile(r"no\b(?:\W+\w+){0,4}?\W+encuestas?\b")
_GREETING = re.compile(r"(?:hola|buen[oa]s? (?:dias?|tardes?|noches?)|cordial saludo|hello|hi)\b[\s.,:;!]*")
_THANKS = re.compile(
    r"\b(?:gracias|agradezco|agradecid[oa]s?|agradecemos|muy amables?|excelente|perfecto|ok|okay|vale|listo|recibido"
    r"|entendido|thanks|thx|thank you|obrigad[oa]s?|que este[ns]? bien|buen dia|feliz (?:dia|tarde|noche|semana)"
    r"|bendiciones|bendiga|satisfech[oa]s?|todo (?:bien|en orden))\b"
)
# A courtesy is made of these words alone: whoever tells of more, however kindly, is read by a person.
_COURTESY = frozenset(
    re.findall(
        r"\w+",
        """
    gracias muchas muchisimas mil muchos mucho agradezco agradecemos agradecida agradecido agradecidos
    agradecidas muy amable amables excelente perfecto perfecta ok okay vale listo recibido recibida entendido
    thanks thx thank you so much very many for your the help obrigado obrigada obrigados muito pela pelo ajuda
    atencao que este esten bien bueno buen buena buenos buenas dia dias tarde tardes noche noches semana fin
    feliz linda lindo bendiciones dios los las les lo la el le bendiga por de del y e a en con su sus mi todo
    toda todos todas ayuda atencion respuesta servicio gestion solucion colaboracion apoyo pronta pronto
    prontitud rapida rapido oportuna tiempo informacion realizada prestada brindada saludo saludos cordial
    cordialmente atentamente hola senores senoras senor senora equipo orden quede contenta contento contentos
    satisfecha satisfecho satisfechos feliz encantada encantado si claro genial super excelentes quedamos quedo
    atenta atento ustedes usted un una abrazo great good service reply answer nice day regards best
""",
    )
)
_DISAGREES = re.compile(
    r"\bno (?:estoy|estamos|me encuentro|quede|quedo|quedamos) "
    r"(?:para nada |en absoluto |nada |muy )?(?:de acuerdo|conforme|satisfech[oa]s?)\b"
    r"|\b(?:inconforme|en desacuerdo|insatisfech[oa])\b|\bno (?:acepto|comparto|aceptamos) (?:su|la|esa|esta|dicha) "
    r"(?:respuesta|solucion|decision|propuesta)\b"
    r"|\b(?:su|la|esa) respuesta no (?:me |nos )?(?:sirve|resuelve|soluciona|satisface)\b"
    r"|\bno (?:me|nos) (?:sirve|satisface|convence) (?:su|la|esa|esta) respuesta\b"
    r"|\brespuesta no (?:es )?satisfactoria\b"
    r"|\bi (?:do not|don't) agree\b|\bi disagree\b|\bnao (?:concordo|estou de acordo)\b"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer to the survey says. `rating` 1..5; `solved` False: the customer says that it was not."""

    rating: int | None = None
    solved: bool | None = None
    no_surveys: bool = False

    @property
    def unhappy(self) -> bool:
        """Then the case is opened again, one level up (colombia.md)."""
        return self.solved is False or (self.rating is not None and self.rating <= 2)

    @property
    def says_something(self) -> bool:
        return self.rating is not None or self.solved is not None or self.no_surveys


def read_answer(text: str) -> Answer:
    """Reads what stands first: the rest are words that are kept with it. "10/10" is a five, "2 de 10" a one."""
    lines = [folded(line).strip(" *_\"'“”«».") for line in text.splitlines() if line.strip()]
    if not lines:
        return Answer()
    first = lines[0]
    if len(lines) > 1 and not _GREETING.sub("", first, count=1):
        first = lines[1]
    first = _GREETING.sub("", first, count=1)
    if _NO_SURVEYS.match(first):
        return Answer(no_surveys=True)
    rating = _rating(first)
    if rating is not None:
        return Answer(rating=rating)
    if _UNSOLVED.match(first):
        return Answer(solved=False)
    return Answer()


def _rating(line: str) -> int | None:
    """The number a line begins with, when it stands for itself: "5, muy bien", "cinco", "4 porque tardó"."""
    if _STARS.fullmatch(line):
        return max(1, min(5, sum(sign in "\u2b50\u2605" for sign in line)))
    found = _RATING.match(line)
    if found is None or _COUNTS_THINGS.match(line, found.end()):
        return None
    if not (_SIGN.search(found[0]) or _REMARK.match(line, found.end())):
        return None
    number = _NUMBERS.get(found["number"]) or (int(found["number"]) if found["number"].isdigit() else 0)
    if found["scale"] in ("10", "diez") or (number > 5 and found["scale"] is None):
        return max(1, -(-number // 2)) if 0 <= number <= 10 else None
    return number if 1 <= number <= 5 else None


def only_thanks(text: str, name: str = "") -> bool:
    """Is this no more than a courtesy, signed by somebody of this name? What tells of more is no courtesy."""
    said = folded(text)
    words = re.findall(r"\w+", said)
    known = set(words) - set(re.findall(r"\w+", folded(name))) <= _COURTESY
    return known and "?" not in said and 0 < len(words) <= LONGEST_THANKS and bool(_THANKS.search(said))


def disagrees(text: str) -> bool:
    """Does the customer say that they do not accept the answer?"""
    return _DISAGREES.search(folded(text)) is not None
