"""workalendar -> Colombia's days off by law, by their Spanish names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from functools import lru_cache

from workalendar.america import Colombia
from workalendar.core import MON

from pqr_mailbot.domain.business_days import SATURDAY_AND_SUNDAY, BusinessCalendar

LAST_KNOWN_YEAR = 2999  # beyond it Easter's arithmetic is nobody's business

_SPANISH = {
    "New year": "Año Nuevo",
    "Epiphany": "Reyes Magos",
    "Saint Joseph": "San José",
    "Holy Thursday": "Jueves Santo",
    "Good Friday": "Viernes Santo",
    "Labour Day": "Día del Trabajo",
    "Ascension": "Ascensión del Señor",
    "Corpus Christi": "Corpus Christi",
    "Sacred Heart": "Sagrado Corazón",
    "Saint Peter and Saint Paul": "San Pedro y San Pablo",
    "Our Lady of the Rosary": "Nuestra Señora del Rosario de Chiquinquirá",
    "Independence Day": "Día de la Independencia",
    "Boyacá Battle": "Batalla de Boyacá",
    "Assumption of Mary to Heaven": "Asunción de la Virgen",
    "Day of the Races and Hispanity": "Día de la Diversidad Étnica y Cultural",
    "All Saints": "Todos los Santos",
    "Cartagena's Independence": "Independencia de Cartagena",
    "Immaculate Conception": "Inmaculada Concepción",
    "Christmas Day": "Navidad",
}


class _ColombiaByLaw(Colombia):  # type: ignore[misc]  # workalendar ships no types
    """Ley 51/1983 with Ley 2578/2026: workalendar 17 (2023) does not know the 9 July holiday and names two Sundays."""

    include_palm_sunday = False
    include_easter_sunday = False

    def get_variable_days(self, year: int) -> list[tuple[date, str]]:
        days: list[tuple[date, str]] = super().get_variable_days(year)
        if year >= 2026:
            days.append((self.get_first_weekday_after(date(year, 7, 9), MON), "Our Lady of the Rosary"))
        return days


_LAW = _ColombiaByLaw()


@lru_cache(maxsize=128)
def colombian_holidays(year: int) -> Mapping[date, str]:
    """Day off -> its Spanish name(s), in order; two that fall on one day (2025-06-30) are one day with both names."""
    days: dict[date, str] = {}
    for day, label in sorted(_LAW.holidays(year)):
        name = _SPANISH.get(label, label)
        days[day] = f"{days[day]} y {name}" if day in days and name not in days[day] else name
    return days


def business_calendar(
    weekend: frozenset[int] = SATURDAY_AND_SUNDAY, extra: Mapping[date, str] | None = None
) -> BusinessCalendar:
    """The calendar of Colombia with the office's weekend and the days off by law that the library does not know yet."""
    added = dict(extra or {})

    @lru_cache(maxsize=128)
    def holidays_of(year: int) -> Mapping[date, str]:
        of_year = {day: name for day, name in added.items() if day.year == year}
        return {**colombian_holidays(year), **of_year}

    return BusinessCalendar(holidays_of, weekend)
