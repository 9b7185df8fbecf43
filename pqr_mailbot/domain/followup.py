"""What a customer's mail on a known case says beyond its words: a rating, thanks, failure; and when it goes up."""

from __future__ import annotations

from dataclasses import dataclass

from pqr_mailbot.domain.model import State, Ticket
from pqr_mailbot.domain.situation import Occasion, Situation
from pqr_mailbot.domain.survey import Answer, disagrees, only_thanks, read_answer

SURVEY = "survey"  # the letter whose answer is a rating
BUTTON_WORDS = 2  # of a mail that a button of the survey wrote
UNANSWERED = 3  # a customer's mails without a person's answer that take a case one level up (colombia.md)
IGNORED, DISAGREES = "tres correos sin respuesta", "no estoy de acuerdo"
REOPENED = 2  # so does opening it again so often


@dataclass(frozen=True, slots=True)
class Heard:
    """`answer`: to the survey, when this is one. `event`: its name in the history. `courtesy`: nothing is opened."""

    event: str
    answer: Answer | None = None
    courtesy: bool = False
    disagrees: bool = False


def heard(occasion: Occasion, ticket: Ticket, surveyed: bool) -> Heard:
    """Only a resolved case has something to be rated or thanked for; a rating only answers the survey: the very letter,
    or, from its button, a mail that says nothing else. `surveyed`: the customer of the case was asked."""
    text, clue = occasion.parts.new, occasion.identity.clue
    over = ticket.state in (State.RESOLVED, State.CLOSED)
    asked = clue is not None and (clue.letter == SURVEY or (surveyed and len(text.split()) <= BUTTON_WORDS))
    if over and asked and not occasion.mail.attachments:
        answer = read_answer(text)
        if answer.says_something:
            event = "unhappy" if answer.unhappy else "surveys_refused" if answer.no_surveys else "rated"
            return Heard(event, answer, courtesy=not answer.unhappy)
    if over and not occasion.mail.attachments and only_thanks(text, occasion.identity.author.name):
        return Heard("thanked", courtesy=True)
    return Heard("customer_wrote", disagrees=ticket.first_answered_at is not None and disagrees(text))


def why_up(ticket: Ticket, after: Ticket, said: Heard, situation: Situation) -> str:
    """Why a case goes one level up now; "": it does not. Each reason once in a round of the case (colombia.md)."""
    if said.answer and said.answer.unhappy:
        rating = said.answer.rating
        return f"calificación {rating}" if rating else "el cliente dice que no quedó resuelto"
    if said.disagrees and DISAGREES not in situation.went_up:
        return DISAGREES
    if after.reopened > ticket.reopened and after.reopened >= REOPENED:
        return f"reabierto {after.reopened} veces"
    ignored = ticket.first_answered_at is None and situation.mails_before + 1 >= UNANSWERED
    return IGNORED if ignored and IGNORED not in situation.went_up else ""
