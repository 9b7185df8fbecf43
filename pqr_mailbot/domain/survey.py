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
    r"(?:(?:mi |la |una |les? doy (?:un |una )?|califico(?: con)?(?: un| una)?|calificacion:?|nota:?"
    r"|puntaje:?|rating:?|un |una )\s*)?"
    r"(?P<number>\d{1,2}|" + "|".join(_NUMBERS) + r")"
    r"(?:\s*(?:/|de|sobre|out of)\s*(?P<scale>5|10|cinco|diez))?"
    r"(?:\s*(?:estrellas?|puntos?|stars?|\*+))?[\s.,;:!)*_-]*",
)
_COUNTS_THINGS = re.compile(r"[\d%]|(?:dias?|bolsas?|kilos?|libras?|pesos|mil|meses|horas?|veces|cafes?|pedidos?)\b")
_UNSOLVED = re.compile(
    r"no(?:[.,;:!\s]*$|[,.;:]"
    r"|\s+(?:(?:me|se|lo|la|nos)\s+)*(?:ha\b|han\b|fue|quedo|esta|solucion|resolv|resuel|respond|llego|devolv|dier)"
    r"|\s+(?:hay (?:solucion|respuesta)|estoy (?:conforme|de acuerdo|satisfech)))"
    r"|(?:aun|todavia) no\b|sigue (?:igual|sin)\b|sin (?:resolver|solucion)"
)
_NO_SURVEYS = re.compile(r"no\s*,?\s*(?:mas\s+)?encuestas?\b")
_THANKS = re.compile(
    r"\b(?:gracias|agradezco|agradecid[oa]s?|muy amables?|excelente|perfecto|ok|vale|listo|recibido|entendido|thanks"
    r"|thank you|obrigad[oa]|que este[ns]? bien|buen dia|feliz (?:dia|tarde|noche|semana)|bendiciones)\b"
)
_MORE_THAN_THANKS = re.compile(
    r"[?¿]|\d|\b(?:pero|no|nunca|aun|todavia|falta\w*|cuando|como|donde|por que|sin embargo|necesito|quiero|quisiera"
    r"|solicito|exijo|reclamo|queja|mal[oa]?|danad\w*|vencid\w*|otra vez|de nuevo|nuevamente|adjunt\w*|but|porem)\b"
)
_DISAGREES = re.compile(
    r"\bno (?:estoy|estamos|me encuentro) (?:para nada |en absoluto )?(?:de acuerdo|conforme|satisfech[oa]s?)\b"
    r"|\b(?:inconforme|en desacuerdo|insatisfech[oa])\b|\bno (?:acepto|comparto|aceptamos) (?:su|la|esa|esta|dicha) "
    r"(?:respuesta|solucion|decision|propuesta)\b"
    r"|\b(?:su|la|esa) respuesta no (?:me )?(?:sirve|resuelve|soluciona|satisface)\b"
    r"|\bi (?:do not|don't) agree\b|\bnao concordo\b"
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
    found = _RATING.match(line)
    if found is None or _COUNTS_THINGS.match(line, found.end()):
        return None
    number = _NUMBERS.get(found["number"]) or (int(found["number"]) if found["number"].isdigit() else 0)
    if found["scale"] in ("10", "diez") or (number > 5 and found["scale"] is None):
        return max(1, -(-number // 2)) if 0 <= number <= 10 else None
    return number if 1 <= number <= 5 else None


def only_thanks(text: str) -> bool:
    """Is this no more than a courtesy? Short, thankful, and nothing in it asks, objects or tells of more."""
    said = folded(text)
    words = said.split()
    return 0 < len(words) <= LONGEST_THANKS and bool(_THANKS.search(said)) and not _MORE_THAN_THANKS.search(said)


def disagrees(text: str) -> bool:
    """Does the customer say that they do not accept the answer?"""
    return _DISAGREES.search(folded(text)) is not None
