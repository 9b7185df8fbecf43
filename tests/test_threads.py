"""Laws over headers: a case is one conversation for the customer and one for the agent, in any mail program.

Gmail joins what has the same subject and shares ids in References; Thunderbird follows References to the last id it
knows; Outlook goes by Thread-Topic and Thread-Index. None of them is asked to know the others' ways.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_letters import ANY_TEXT, REF, head, headed, reread

from pqr_mailbot.adapters.letters import letter_subject
from pqr_mailbot.adapters.tokens import Signer, message_id, thread_id

SIGNER, DOMAIN = Signer(b"k" * 32), "lohas.test"
CASE = f"<{REF.lower()}.caso@{DOMAIN}>"
PREFIXES = st.sampled_from(["", "Re: ", "RE: RV: ", "Fwd: Re: ", "Re[2]: ", "RES: ", "re : "])
OF_PROGRAMS = st.sampled_from(["<CA+{}@mail.gmail.test>", "<{}@prod.outlook.test>", "<{}.JavaMail@x>"])
IDS = st.builds(
    lambda shape, size, n: shape.format(f"{n:x}" + "x" * size), OF_PROGRAMS, st.integers(1, 180), st.integers(0)
)
CHAINS = st.lists(IDS, min_size=1, max_size=15, unique=True)


LAW = settings(deadline=None, max_examples=30)


@dataclass(frozen=True)
class Seen:
    """A mail as the reader's program keeps it."""

    id: str
    references: tuple[str, ...]
    subject: str


def letter(answered: Seen | None, subject: str, ours: tuple[str, ...] = (), **more: str) -> Seen:
    """What we send: the chain of the mail that is answered, that mail, what we add, our own id last."""
    token = SIGNER.mint("clara@correo.test")
    chain = (*answered.references, answered.id) if answered else ()
    raw = headed(
        message_id=message_id(token, DOMAIN),
        token=token,
        in_reply_to=answered.id if answered else "",
        references=(*chain, *ours, thread_id(token, DOMAIN)),
        subject=letter_subject(REF, subject),
        **more,
    )
    message = reread(raw)
    if answered:
        assert message["In-Reply-To"] == answered.id
    assert all(len(line) <= 998 for line in head(raw).split(b"\r\n"))
    return Seen(message["Message-ID"], tuple(message["References"].split()), message["Subject"])


def answer(to: Seen, own_id: str, prefix: str = "Re: ") -> Seen:
    """What a program makes of "reply" (RFC 5322 section 3.6.4)."""
    return Seen(own_id, (*to.references, to.id), prefix + to.subject)


def conversation(ids: list[str], subject: str, prefix: str, ours: tuple[str, ...] = ()) -> list[tuple[Seen, Seen]]:
    """Reader and desk in turns: each of the reader's mails with our letter that answers it."""
    mails, mail = [], Seen(ids[0], (), subject)
    for following in [*ids[1:], ""]:
        ours_now = letter(mail, mail.subject, ours)
        mails.append((mail, ours_now))
        mail = answer(ours_now, following, prefix)
    return mails


def bare(subject: str) -> str:
    """As Gmail compares subjects."""
    return re.sub(r"^(?:(?:re|rv|fwd?|res|enc)\s?(?:\[\d+\])?\s?:\s*)+", "", subject, flags=re.IGNORECASE).strip()


@LAW
@given(CHAINS, ANY_TEXT, PREFIXES)
@example([f"<{n}{'y' * 180}@x>" for n in range(60)], "Re: Café", "RV: ")
def test_law_of_gmail(ids: list[str], subject: str, prefix: str) -> None:
    """One subject all along, and each letter shares with the thread the id it answers and an earlier one."""
    mails = conversation(ids, subject, prefix)
    assert {bare(ours.subject) for _, ours in mails} == {bare(mails[0][1].subject)}
    for at, (theirs, ours) in enumerate(mails):
        assert theirs.id in ours.references
        earlier = {one.id for pair in mails[:at] for one in pair}
        assert not at or earlier & set(ours.references)
        assert ids[0] in ours.references


@LAW
@given(CHAINS, st.sampled_from([(), (CASE,)]))
def test_law_of_thunderbird(ids: list[str], added: tuple[str, ...]) -> None:
    """Going back through References, the first id that the reader has is the one answered; each id stands once."""
    known: set[str] = set()
    for theirs, ours in conversation(ids, "Café", "Re: ", added):
        known |= {theirs.id}
        assert next(one for one in reversed(ours.references) if one in known) == theirs.id
        assert len(set(ours.references)) == len(ours.references)
        known |= {ours.id}


TOPICS = st.text(
    st.characters(categories=["L", "N", "P", "S"], include_characters=" "), min_size=1, max_size=250
).filter(lambda topic: topic == topic.strip() and "=?" not in topic)


@LAW
@given(TOPICS, st.integers(0, 140), st.randoms(use_true_random=False))
@example("Café  vencido,\u00a0ya", 140, None)
@example("x" * 250, 0, None)
def test_law_of_outlook(topic: str, answers: int, dice: object) -> None:
    """Topic and index arrive as they came, however long the conversation: 22 bytes, and five for each answer."""
    size = 22 + 5 * answers
    index = base64.b64encode(dice.randbytes(size) if dice else bytes(size)).decode()  # type: ignore[attr-defined]
    raw = headed(thread_topic=topic, thread_index=index)
    message = reread(raw)
    assert message["Thread-Topic"] == topic
    assert f"\r\nThread-Index: {index}\r\n".encode() in head(raw)
    assert raw.isascii()


def test_what_outlook_would_never_write_is_left_out() -> None:
    for topic in ("", " a", "a\r\nBcc: e@x", "a\nb", "a\u2028b", "=?utf-8?q?=0D=0A?=", "x" * 251, "a\x00", "\ud800"):
        assert reread(headed(thread_topic=topic))["Thread-Topic"] is None, ascii(topic)
    for index in ("", "AdK", "Ad K8AdK8", "AdK8\r\nBcc: e@x", "ñdK8", "AdK8===", "A" * 1_001, "AdK8\n"):
        assert reread(headed(thread_index=index))["Thread-Index"] is None, ascii(index)


@LAW
@given(st.lists(IDS, min_size=1, max_size=20, unique=True), ANY_TEXT)
def test_law_of_the_agents_side(ids: list[str], subject: str) -> None:
    """Notifications of a case begin no thread of their own, and a transcript stands under the mail it is about."""
    first, later = letter(None, subject, (CASE,)), letter(None, subject, (CASE,))
    assert CASE in first.references and CASE in later.references and first.subject == later.subject
    for own_id in ids:
        mail = answer(later, own_id)
        later = letter(mail, mail.subject, (CASE,))
        assert {CASE, mail.id} <= set(later.references) and later.subject == first.subject


@LAW
@given(ANY_TEXT, st.lists(PREFIXES, max_size=5).map("".join))
def test_an_answer_does_not_change_the_subject(subject: str, prefix: str) -> None:
    ours = letter_subject(REF, subject)
    assert letter_subject(REF, prefix + ours) == ours
    assert reread(headed(subject=ours))["Subject"] == ours
