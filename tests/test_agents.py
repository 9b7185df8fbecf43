"""Stories of colleagues at their mail programs, on a real store: what reaches whom, what is held, what is done."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, Letter, eml
from office import NOW

ONE, TWO, THREE = "PQR-2026-000001", "PQR-2026-000002", "PQR-2026-000003"
CLARA, DIEGO = "Clara Gómez <clara@correo.test>", "Diego Paz <diego@otro.test>"
ANA, LUZ = "Ana Ruiz <ana@lohas.test>", "Luz Mora <luz@lohas.test>"
ASKS = "¿Qué molienda sirve para una greca? Quisiera saberlo."


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "desk.db")
    yield bench
    bench.close()


def later(minutes: float) -> datetime:
    return NOW + timedelta(minutes=minutes)


_count = iter(range(10**6))


def opened(bench: Bench, text: str = "El café que me llegó está vencido. Exijo mi dinero.", **more: Any) -> Letter:
    """Clara writes, Ana is told. Returns the notification."""
    fields = {"message_id": f"<c{next(_count)}@correo.test>", **more}
    bench.take(eml(text=text, **fields))
    return bench.letters("notification")[-1]


def answer(
    bench: Bench, letter: Letter, text: str, sender: str = ANA, minutes: float = 5, **more: Any
) -> dict[str, Any]:
    """A colleague answers a letter of the desk, as a mail program does. Returns what became of it."""
    fields = {
        "subject": f"Re: {letter.mail['Subject']}",
        "message_id": f"<a{next(_count)}@lohas.test>",
        "In_Reply_To": letter.mail["Message-ID"],
        "References": f"{letter.mail['References'] or ''} {letter.mail['Message-ID']}".strip(),
        **more,
    }
    return bench.take(eml(sender, text=text, **fields), later(minutes))


def to_customers(bench: Bench) -> list[Letter]:
    return [one for one in bench.letters() if not one.to.endswith("@lohas.test")]


def transcript(bench: Bench) -> str:
    return " ".join(bench.letters("transcript")[-1].text.split())


def state(bench: Bench, reference: str = ONE) -> str:
    return next(ticket["state"] for ticket in bench.tickets() if ticket["reference"] == reference)


# -- the answer ----------------------------------------------------------------------------------------------------


def test_a_reply_reaches_the_customer_under_the_agents_name(bench: Bench) -> None:
    told = opened(bench)
    words = "Buenos días, Clara:\n\nLe enviamos otra bolsa mañana."
    answer(bench, told, f"{words}\n\nAna Ruiz\nana@lohas.test{quoted(told)}")
    (letter,) = bench.letters("answer")
    assert letter.to == "clara@correo.test"
    assert letter.mail["From"] == '"Ana Ruiz, Lohas Beans SAS BIC" <info@lohas.test>'
    assert letter.mail["Subject"] == f"[{ONE}] Café vencido"
    assert letter.mail["In-Reply-To"] == told_of(bench)["message_id"]
    assert (letter.mail["Auto-Submitted"], letter.mail["X-Auto-Response-Suppress"]) == (None, None)
    assert "Le enviamos otra bolsa mañana." in letter.text
    for secret in ("ana@lohas.test", "Correo interno", "pqr.", "#resolver", "El café que me llegó"):
        assert secret not in letter.mail.as_string().partition("\n\n")[2], secret
    case = bench.tickets()[0]
    assert (case["state"], case["first_answered_at"]) == ("open", "2026-06-01T15:47:00.000000Z")
    assert [(row["direction"], row["author"]) for row in bench.messages(ONE)][-1] == ("out", "ana@lohas.test")
    assert "clara@correo.test" in transcript(bench)


def quoted(letter: Letter) -> str:
    lines = "\n".join(f"> {line}" for line in letter.text.splitlines())
    return f"\n\nEl lun, 1 jun 2026 a las 10:54, Lohas Beans SAS BIC (<info@lohas.test>) escribió:\n{lines}"


def told_of(bench: Bench, reference: str = ONE) -> dict[str, Any]:
    return next(row for row in bench.messages(reference) if row["direction"] == "in")


def test_the_customers_side_of_the_thread(bench: Bench) -> None:
    """Outlook's own headers are passed on as they were."""
    told = opened(bench, References="<viejo@correo.test>", Thread_Topic="Café vencido", Thread_Index="AdJ4cXo0Zg==")
    answer(bench, told, "Le enviamos otra.")
    mail = bench.letters("answer")[0].mail
    assert (mail["Thread-Topic"], mail["Thread-Index"]) == ("Café vencido", "AdJ4cXo0Zg==")
    assert mail["References"].split()[:2] == ["<viejo@correo.test>", told_of(bench)["message_id"]]


def test_the_customer_answers_and_the_thread_goes_on(bench: Bench) -> None:
    answer(bench, opened(bench), "Le enviamos otra.")
    ours = bench.letters("answer")[0].mail
    bench.take(eml(subject=f"Re: {ours['Subject']}", text="Llegó, gracias.", message_id="<c2@correo.test>",
                   In_Reply_To=ours["Message-ID"]), later(60))  # fmt: skip
    assert [row["direction"] for row in bench.messages(ONE)] == ["in", "out", "out", "in"]
    answer(bench, bench.letters("notification")[-1], "Con gusto.", minutes=70)
    assert bench.letters("answer")[-1].mail["In-Reply-To"] == "<c2@correo.test>"


def test_files_go_along_and_logos_do_not(bench: Bench) -> None:
    told = opened(bench)
    answer(bench, told, "Va la factura.", attachments=["factura.jpg"])
    (letter,) = bench.letters("answer")
    assert [part.get_filename() for part in letter.mail.iter_attachments()] == ["factura.jpg"]
    assert bench.messages(ONE)[-1]["attachments"].startswith('[{"filename": "factura.jpg"')


def test_the_customers_files_go_along_with_the_notification(bench: Bench) -> None:
    told = opened(bench, attachments=["bolsa.jpg"])
    assert [part.get_filename() for part in told.mail.iter_attachments()] == ["bolsa.jpg"]


def test_copies_go_to_who_takes_part(bench: Bench) -> None:
    told = opened(bench)
    answer(bench, told, "#cc +tio@correo.test")
    assert to_customers(bench)[1:] == []
    answer(bench, told, "Le enviamos otra.", minutes=9)
    assert [str(one) for one in bench.letters("answer")] == ["answer>clara@correo.test", "answer>tio@correo.test"]
    assert [row["letter"] for row in bench.messages(ONE)] == [None, "acknowledgement", "answer"]


def test_answers_go_where_the_customer_asked(bench: Bench) -> None:
    answer(bench, opened(bench, Reply_To="otra@correo.test"), "Listo.")
    assert bench.letters("answer")[0].to == "otra@correo.test"


# -- held ----------------------------------------------------------------------------------------------------------

HELD = [
    ("a typo", "#resolvr\n\nListo, Clara.", "¿Quiso decir #resolver?"),
    ("an order under a greeting", "Hola:\n#resolver\nListo.", "parece una orden"),
    ("an order at the end", "Listo, Clara.\n\n#resolver", "parece una orden"),
    ("an order that cannot be", "#prorrogar 2026-07-30 no alcanzamos\n\nEstimada Clara", "no admite prórroga"),
    ("a claim is never paused", "#esperar\n\nMándenos la foto.", "no se suspende"),
    ("an unknown type", "#tipo cosa\n\nListo.", "los tipos son"),
    ("another case", f"Lo mismo que en {TWO}.", TWO),
    ("another customer's address", "Escríbale a diego@otro.test, le pasó igual.", "diego@otro.test"),
    ("a colleague's address", "Escríbale a luz@lohas.test.", "luz@lohas.test"),
    ("the inner footer", "Correo interno: no lo reenvíe al cliente.", "pie de un correo interno"),
    ("words of our own letter", "Si ninguna palabra lo indica, este caso vence el miércoles 24 de junio de 2026: "
     "quedan 15 días hábiles.", "correo interno"),
    ("words of a note", "Sepa que el proveedor cambió la bodega sin avisarnos nada ayer en la tarde.", "nota interna"),
]  # fmt: skip


@pytest.mark.parametrize(("case", "text", "said"), HELD, ids=[case for case, _, _ in HELD])
def test_held(bench: Bench, case: str, text: str, said: str) -> None:
    """Nothing is sent, nothing changes, and the transcript says why."""
    told = opened(bench)
    bench.take(eml(DIEGO, "Otra cosa", ASKS, "<d1@otro.test>"), later(1))
    answer(bench, told, "#nota\nEl proveedor cambió la bodega sin avisarnos nada ayer en la tarde.", minutes=2)
    before, letters = bench.tickets(), len(to_customers(bench))
    answer(bench, told, text)
    assert bench.tickets() == before
    assert len(to_customers(bench)) == letters
    assert said in transcript(bench), transcript(bench)
    assert "RETENIDO" in transcript(bench)


def test_the_customer_may_be_told_their_own_words(bench: Bench) -> None:
    words = "compré tres bolsas de café en la tienda de la setenta y llegaron vencidas el lunes"
    answer(bench, opened(bench, text=f"Exijo mi dinero: {words}."), f"Usted dice que {words}; lo revisamos.")
    assert len(bench.letters("answer")) == 1


def test_somebody_else_answered_meanwhile(bench: Bench) -> None:
    told = opened(bench)
    answer(bench, told, "#asignar luz@lohas.test", minutes=1)
    answer(bench, bench.letters("notification")[-1], "Ya va en camino.", LUZ, minutes=3)
    answer(bench, told, "Le enviamos otra.")
    assert [one.text.splitlines()[0] for one in bench.letters("answer")] == ["Ya va en camino."]
    assert "Luz Mora ya respondió" in transcript(bench)


def test_the_customer_wrote_again_meanwhile(bench: Bench) -> None:
    told = opened(bench)
    bench.take(eml(subject=f"Re: [{ONE}]", text="Ya apareció, olvídenlo.", message_id="<c2@x>"), later(2))
    answer(bench, told, "Le enviamos otra.")
    assert bench.letters("answer") == []
    assert "volvió a escribir" in transcript(bench)


def test_enviar_sends_what_was_held_once(bench: Bench) -> None:
    told = opened(bench)
    bench.take(eml(subject=f"Re: [{ONE}]", text="¿Hola?", message_id="<c2@x>"), later(2))
    answer(bench, told, "#resolver\n\nLe enviamos otra.")
    held = bench.letters("transcript")[-1]
    answer(bench, held, "#enviar", minutes=7)
    (letter,) = bench.letters("resolved")
    assert "Le enviamos otra." in letter.text
    assert state(bench) == "resolved"
    answer(bench, held, "#enviar", minutes=9)
    assert len(bench.letters("resolved")) == 1
    assert "ya se envió antes" in transcript(bench)


def test_enviar_does_not_help_against_a_typo(bench: Bench) -> None:
    answer(bench, opened(bench), "#resolvr\n\nListo.")
    answer(bench, bench.letters("transcript")[-1], "#enviar", minutes=7)
    assert (to_customers(bench)[1:], state(bench)) == ([], "new")


def test_enviar_at_the_top_lets_this_text_pass(bench: Bench) -> None:
    answer(bench, opened(bench), "#enviar\n\nEscríbale a luz@lohas.test.")
    assert "luz@lohas.test" in bench.letters("answer")[0].text


def test_a_digit_after_the_sign_is_no_order(bench: Bench) -> None:
    answer(bench, opened(bench), "#1 revise la bolsa\n#2 mándenos la foto")
    assert "#1 revise la bolsa" in bench.letters("answer")[0].text
