"""A mail of the Sent folder on its way to a decision: whose it is and which cases it may answer is read here."""

from __future__ import annotations

from datetime import datetime

from pqr_mailbot.adapters.sqlite_store import Inbound, Store
from pqr_mailbot.adapters.tokens import carried_by
from pqr_mailbot.domain import decide
from pqr_mailbot.domain.decide_sent import SentMail, on_sent, pointers
from pqr_mailbot.domain.effects import Effect
from pqr_mailbot.domain.identify import thread_ids
from pqr_mailbot.domain.model import Address, Mail, Verdict
from pqr_mailbot.domain.policy import Policy
from pqr_mailbot.domain.reference import find_references
from pqr_mailbot.domain.reply_text import split


def decide_sent(
    store: Store, policy: Policy, inbound: Inbound, mail: Mail, content_key: str, now: datetime
) -> list[Effect]:
    """Neither the robot gate nor the classification has a say: nothing is answered and nothing is opened."""
    own = store.letter_carrying(carried_by(mail))
    if own is None and (twin := store.same_mail(inbound.id, mail.message_id, content_key, "out")):
        return decide.on_duplicate(twin[0], Verdict.OWN, twin[1])
    known = store.known_ids(thread_ids(mail))
    clues = pointers(mail, known, find_references(mail.subject, policy.reference_prefix))
    named = {clue.reference for clue in clues if clue.reference}
    cases = {reference: case for reference in named if (case := store.case(reference))}
    office = Address(policy.office.address, policy.office.name)
    sent = SentMail(mail, inbound.received_at, split(mail.text).new, own, clues, cases, office)
    return on_sent(sent, now)
