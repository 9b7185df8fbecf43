"""Words that letters and transcripts share: days, states, and text as people compare it."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from datetime import date

DAYS = ("lunes", "martes", "miércoles", "jueves", "viernes", "sábado", "domingo")
MONTHS = (
    *("enero", "febrero", "marzo", "abril", "mayo", "junio"),
    *("julio", "agosto", "septiembre", "octubre", "noviembre", "diciembre"),
)
STATES: Mapping[str, str] = {
    "new": "sin respuesta todavía",
    "open": "en curso",
    "waiting": "en espera del cliente",
    "resolved": "resuelto",
    "closed": "cerrado",
}

LETTERS: Mapping[str, str] = {  # what an automatic letter to a customer is, for a colleague
    "acknowledgement": "acuse de recibo",
    "phone_receipt": "constancia",
    "admit_question": "pregunta si autoriza a otra persona",
    "extension": "aviso de prórroga",
    "merged": "aviso de casos unidos",
}
_ACCENTED = {"reiteracion": "reiteración", "reputacion": "reputación"}


def flag(name: str) -> str:
    """A flag of urgency, which data files name without accents, as people write it."""
    return _ACCENTED.get(name, name.replace("_", " "))


def long_date(day: date, weekday: bool = True, year: bool = True) -> str:
    """`miércoles 24 de junio de 2026`."""
    named = f"{DAYS[day.weekday()]} " if weekday else ""
    return f"{named}{day.day} de {MONTHS[day.month - 1]}" + (f" de {day.year}" if year else "")


def folded(text: str) -> str:
    """Lower case, without accents, with single blanks."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())
