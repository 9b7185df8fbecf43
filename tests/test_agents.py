"""Stories of colleagues at their mail programs, on a real store: what reaches whom, what is held, what is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from bench import Bench, Letter, eml
from office import DESK, NOW, POLICY

from pqr_mailbot.domain.decide_agent import ANSWERS_PER_DAY
from pqr_mailbot.domain.situation import Desk

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


def test_a_letter_passed_on_to_the_customer_does_not_spread_its_key(bench: Bench) -> None:
    told = opened(bench)
    answer(bench, told, "#cc +tio@correo.test", minutes=2)
    answer(bench, told, "Me llegó esto.", CLARA, minutes=3)
    answer(bench, bench.letters("notification")[-1], "Le enviamos otra.", minutes=5)
    for letter in bench.letters("answer"):
        assert told.mail["X-PQR-Letter"] not in letter.mail.as_string()
        assert ".caso@" not in letter.mail.as_string()


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


@pytest.mark.parametrize(
    ("asked", "goes_to"),
    [
        ("otra@correo.test", "otra@correo.test"),
        ("info@lohas.test", "clara@correo.test"),  # a Google Group's own
        ("info@lohas.test, otra@correo.test", "otra@correo.test"),
        ("web@lohas.test", "clara@correo.test"),
        ("ana@lohas.test", "clara@correo.test"),
    ],
)
def test_answers_go_where_the_customer_asked_and_never_to_the_office(bench: Bench, asked: str, goes_to: str) -> None:
    answer(bench, opened(bench, Reply_To=asked), "Listo.")
    assert bench.letters("answer")[0].to == goes_to


def test_a_participant_in_copy_is_not_the_customer(bench: Bench) -> None:
    told = opened(bench)
    answer(bench, told, "#cc +tio@correo.test")
    answer(bench, told, "Le enviamos otra.", minutes=9, Cc="tio@correo.test")
    assert [str(one) for one in bench.letters("answer")] == ["answer>clara@correo.test"]


LEFT_OUT = [
    ("a logo", "image", "png", "inline", "", 0),
    ("a logo under an order", "image", "png", "inline", "#tomar", 0),
    ("a signature", "application", "pkcs7-signature", "attachment", "Listo.", 1),
    ("a key", "application", "pgp-keys", "attachment", "Listo.", 1),
]


@pytest.mark.parametrize(
    ("case", "kind", "subtype", "how", "text", "letters"), LEFT_OUT, ids=[row[0] for row in LEFT_OUT]
)
def test_what_a_mail_program_adds_is_no_file_for_the_customer(
    bench: Bench, case: str, kind: str, subtype: str, how: str, text: str, letters: int
) -> None:
    told = opened(bench)
    mail = EmailMessage(policy=SMTP)
    for name, value in (("From", ANA), ("To", "info@lohas.test"), ("Subject", "Re"), ("Message-ID", "<p1@lohas.test>")):
        mail[name] = value
    mail["In-Reply-To"] = told.mail["Message-ID"]
    mail.set_content(f'<p>{text}</p><p>Ana Ruiz</p><img src="cid:l1">', subtype="html")
    cid = "<l1>" if how == "inline" else "<other>"
    mail.add_attachment(b"ana@lohas.test", kind, subtype, disposition=how, cid=cid, filename="f.bin")
    bench.take(mail.as_bytes(), later(5))
    assert len(bench.letters("answer")) == letters
    assert not any(list(one.mail.iter_attachments()) for one in bench.letters("answer"))


def test_files_under_an_order_wait_for_their_text(bench: Bench) -> None:
    answer(bench, opened(bench), "#resolver", attachments=["informe.jpg"])
    assert (to_customers(bench)[1:], state(bench)) == ([], "new")
    assert "trae archivos" in transcript(bench)
    answer(bench, bench.letters("transcript")[-1], "#enviar", minutes=9)
    assert [part.get_filename() for part in bench.letters("resolved")[0].mail.iter_attachments()] == ["informe.jpg"]


def test_our_own_letter_is_no_file_for_the_customer(bench: Bench) -> None:
    answer(bench, opened(bench), "Va la copia.", attachments=["Caso nuevo.eml"])
    assert bench.letters("answer") == []
    assert "lleva adjunto otro correo: Caso nuevo.eml" in transcript(bench)


# -- held ----------------------------------------------------------------------------------------------------------

HELD = [
    ("a typo", "#resolvr\n\nListo, Clara.", "¿Quiso decir #resolver?"),
    ("an order under a greeting", "Hola:\n#resolver\nListo.", "parece una orden"),
    ("a typo behind a bullet", "- #resolvr\n\nListo, Clara.", "parece una orden"),
    ("a typo behind a number", "Listo, Clara.\n1) #resolvr", "parece una orden"),
    ("two signs", "##resolver\n\nListo, Clara.", "parece una orden"),
    ("blanks behind the sign", "#  resolver\n\nListo, Clara.", "parece una orden"),
    ("decomposed letters", "#pro\u0301rrogar 2026-07-30 no alcanzamos\n\nListo.", "no admite prórroga"),
    ("the small sign", "\ufe5fresolvr\n\nListo, Clara.", "¿Quiso decir #resolver?"),
    ("more orders than anybody writes", "#tomar\n" * 60, "más de 50 órdenes"),
    ("two cases in one order", f"#cerrar {ONE} {TWO}", "una línea por cada uno"),
    ("an order for another case over a text", f"#resolver {TWO}\n\nListo, Diego.", "saldría al cliente de"),
    ("words of an order that the customer would read",
     f"#tipo queja\n#prorrogar 2026-07-07 igual que {TWO} de diego@otro.test", "la dirección de otro cliente"),
    ("a gateway's banner", "CAUTION: This email came from outside the organization.\n\nListo, Clara.", "un aviso"),
    ("a gateway's mark", "[EXTERNO]\n\nListo, Clara.", "un aviso"),
    ("a colleague in copy", "#cc +luz@lohas.test", "es de la oficina"),
    ("an autoresponder without marks", "Estoy fuera de la oficina.", "respuesta automática"),
    ("a number of thousands of digits", f"#abrir {'9' * 5000}", "escriba el número"),
    ("an address that no header carries", "#registrar a\\b@otro.test Ana\n\nLlamó.", "no es una dirección"),
    ("an extension of centuries", "#tipo queja\n#prorrogar 9999-12-31 x", "se admiten 15 días"),
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


# -- trust ---------------------------------------------------------------------------------------------------------


def test_without_our_token_nothing_is_done_and_the_registered_address_is_asked(bench: Bench) -> None:
    opened(bench)
    claims = eml(ANA, f"Re: [{ONE}] Café", "#resolver\n\nYa está.", "<x1@afuera.test>")
    assert bench.take(claims, later(5))["state"] == "done"
    assert (to_customers(bench)[1:], state(bench)) == ([], "new")
    (question,) = bench.letters("challenge")
    assert (question.to, question.mail["Auto-Submitted"]) == ("ana@lohas.test", "auto-replied")
    assert bench.messages(ONE)[-1]["verified"] == 0
    answer(bench, question, "#confirmar", minutes=9)
    assert "Ya está." in bench.letters("resolved")[0].text
    assert state(bench) == "resolved"
    answer(bench, question, "#confirmar", minutes=12)
    assert len(bench.letters("resolved")) == 1


NOT_CONFIRMED = [
    ("too late", "#confirmar", ANA, 60 * 24 * 2 + 9, {}),
    ("somebody else's From", "#confirmar", LUZ, 9, {}),
    ("a stranger", "#confirmar", DIEGO, 9, {}),
    ("an autoresponder", "#confirmar", ANA, 9, {"Auto_Submitted": "auto-replied"}),
    ("another word", "sí, fui yo", ANA, 9, {}),
    ("without the token", "#confirmar", ANA, 9, {"In_Reply_To": "", "References": ""}),
]


@pytest.mark.parametrize(
    ("case", "text", "sender", "minutes", "headers"), NOT_CONFIRMED, ids=[case for case, *_ in NOT_CONFIRMED]
)
def test_not_confirmed(
    bench: Bench, case: str, text: str, sender: str, minutes: float, headers: dict[str, str]
) -> None:
    opened(bench)
    bench.take(eml(ANA, f"Re: [{ONE}] Café", "#resolver\n\nYa está.", "<x1@afuera.test>"), later(5))
    answer(bench, bench.letters("challenge")[0], text, sender, minutes, **headers)
    assert (bench.letters("resolved"), state(bench)) == ([], "new")


NOT_AN_AGENT = [
    ("a notification forwarded to the customer", CLARA),
    ("a notification forwarded outside", "Juan <juan@afuera.test>"),
    ("another agent's notification", LUZ),
]


@pytest.mark.parametrize(("case", "sender"), NOT_AN_AGENT, ids=[case for case, _ in NOT_AN_AGENT])
def test_a_token_in_other_hands_gives_no_orders(bench: Bench, case: str, sender: str) -> None:
    answer(bench, opened(bench), "#cerrar", sender)
    assert state(bench) == "new"
    assert bench.letters("answer") == []


def test_whoever_has_left_changes_nothing_and_the_owner_hears(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "desk.db")
    told = opened(bench)
    bench.close()
    left = replace(POLICY, agents=tuple(a for a in POLICY.agents if a.address == "luz@lohas.test"), levels=())
    bench = Bench(tmp_path / "desk.db", Desk(left, DESK.calendar))
    with bench.store.transaction():
        bench.store._run("UPDATE ticket SET owner = 'luz@lohas.test'")
    answer(bench, told, "Le enviamos otra.")
    assert to_customers(bench)[1:] == []
    assert bench.letters("alarm")[0].to == "luz@lohas.test"
    assert "former_colleague_wrote" in events(bench)
    bench.close()


def test_with_a_trusted_server_its_word_is_the_third_key(tmp_path: Path) -> None:
    desk = Desk(replace(POLICY, trusted_authserv_ids=("mx.lohas.test",)), DESK.calendar)
    bench = Bench(tmp_path / "desk.db", desk)
    told = opened(bench)
    answer(bench, told, "Le enviamos otra.")
    assert (bench.letters("answer"), len(bench.letters("challenge"))) == ([], 1)
    passes = "mx.lohas.test; dkim=pass header.d=lohas.test; dmarc=pass header.from=lohas.test"
    answer(bench, told, "Le enviamos la otra bolsa.", minutes=8, Authentication_Results=passes)
    assert len(bench.letters("answer")) == 1
    bench.close()


def test_exchange_says_internal(tmp_path: Path) -> None:
    desk = Desk(replace(POLICY, exchange_internal_is_authenticated=True), DESK.calendar)
    bench = Bench(tmp_path / "desk.db", desk)
    told = opened(bench)
    answer(bench, told, "Le enviamos otra.", X_MS_Exchange_Organization_AuthAs="Anonymous")
    assert bench.letters("answer") == []
    answer(bench, told, "Le enviamos la otra.", minutes=8, X_MS_Exchange_Organization_AuthAs="Internal")
    assert len(bench.letters("answer")) == 1
    bench.close()


def test_an_agents_out_of_office_reaches_nobody(bench: Bench) -> None:
    told = opened(bench)
    count = len(bench.letters())
    answer(bench, told, "Estoy de vacaciones.", subject=f"Respuesta automática: {told.mail['Subject']}")
    answer(bench, told, "Estoy de vacaciones.", Auto_Submitted="auto-replied")
    assert (len(bench.letters()), state(bench)) == (count, "new")


def test_an_autoresponder_that_nobody_recognises_ends(bench: Bench) -> None:
    """FreeScout #4806. It answers each letter of ours with new words."""
    opened(bench)
    answered = 0
    for minute in range(1, 300):
        mine = [one for one in bench.letters() if one.to == "ana@lohas.test"]
        if len(mine) == answered:
            break
        answer(bench, mine[answered], f"Hoy no puedo leerlo {minute}", minutes=minute)
        answered += 1
    assert answered < 20


def test_an_answer_from_the_offices_own_address_is_not_lost_in_silence(bench: Bench) -> None:
    told = opened(bench)
    for number in range(20):
        answer(bench, told, f"Le enviamos otra {number}.", "Lohas Beans <info@lohas.test>", minutes=5 + number)
    assert to_customers(bench)[1:] == []
    assert {one.to for one in bench.letters("alarm")} == {"ana@lohas.test"}
    assert len(bench.letters("alarm")) == 10


def test_a_busy_day_does_not_silence_the_desk(bench: Bench) -> None:
    """What a colleague wrote is never lost without a word, however much they wrote before."""
    told = opened(bench)
    for number in range(12):
        answer(bench, told, f"#nota\nLlamada {number}.")
    answer(bench, bench.letters("transcript")[-1], "Clara, va otra.", minutes=8)
    assert "RETENIDO" in transcript(bench)
    bench.take(eml(ANA, f"Re: [{ONE}] Café", "Ya está.", "<x1@afuera.test>"), later(9))
    assert len(bench.letters("challenge")) == 1


def test_a_release_that_is_not_proved_is_asked_about(tmp_path: Path) -> None:
    desk = Desk(replace(POLICY, trusted_authserv_ids=("mx.lohas.test",)), DESK.calendar)
    bench = Bench(tmp_path / "desk.db", desk)
    passes = {"Authentication_Results": "mx.lohas.test; dmarc=pass header.from=lohas.test"}
    answer(bench, opened(bench), "Escríbale a luz@lohas.test.", **passes)
    answer(bench, bench.letters("transcript")[-1], "#enviar", minutes=7)
    assert bench.letters("answer") == []
    answer(bench, bench.letters("challenge")[-1], "#confirmar", minutes=9, **passes)
    assert len(bench.letters("answer")) == 1
    bench.close()


def test_a_second_address_and_a_level_count_too(bench: Bench) -> None:
    told = opened(bench, text="Mi hija está en urgencias, intoxicada por el café.")
    assert told.to == "coordinacion@lohas.test"
    answer(bench, told, "La llamamos ya.", "Coordinación <coordinacion@lohas.test>", minutes=2)
    assert bench.letters("answer")[0].mail["From"] == "Lohas Beans SAS BIC <info@lohas.test>"
    answer(bench, bench.letters("notification")[0], "#nota\nLlamé.", "Ana <ana.ruiz@casa.test>", minutes=3)
    assert bench.messages(ONE)[-1]["text"] == "Llamé."


def test_whoever_gets_alarms_never_becomes_a_customer(bench: Bench) -> None:
    for number in range(POLICY.acknowledgements_per_sender_per_day + 1):
        bench.take(eml(text=f"texto {number}", message_id=f"<m{number}@correo.test>"), later(number))
    (alarm,) = bench.letters("alarm")
    count = len(bench.letters())
    answer(bench, alarm, "#cerrar\n\nGracias, ya lo vi.", "sistemas@lohas.test", minutes=30)
    assert len(bench.letters()) == count


def events(bench: Bench) -> list[str]:
    return [row["event"] for row in bench.rows("SELECT event FROM ticket_event ORDER BY id")]


# -- the customer in copy, buttons, digests ------------------------------------------------------------------------


def test_the_customer_had_it_already(bench: Bench) -> None:
    answer(bench, opened(bench), "Le enviamos otra.", Cc="clara@correo.test")
    assert (to_customers(bench)[1:], state(bench)) == ([], "open")
    assert bench.messages(ONE)[-1]["direction"] == "out"
    assert "no se envió otra vez" in transcript(bench)


def test_the_customer_had_it_already_but_nobody_vouches_for_the_writer(bench: Bench) -> None:
    opened(bench)
    bench.take(eml(ANA, f"Re: [{ONE}]", "Le enviamos otra.", "<x1@lohas.test>", Cc="clara@correo.test"), later(5))
    assert [row["direction"] for row in bench.messages(ONE)] == ["in", "out", "note"]
    assert (state(bench), bench.letters("challenge")) == ("new", [])


def test_a_button_needs_no_thread_and_its_token_is_cut(bench: Bench) -> None:
    told = opened(bench)
    token = told.mail["X-PQR-Letter"]
    subject = f"{told.mail['Subject']} (pqr.{token})"
    assert f"pqr.{token}" in told.mail.as_string().replace("=\n", "").replace("%20", " ")
    bench.take(eml(ANA, subject, "#tomar\n#nota\nYa la llamo.", "<b1@lohas.test>"), later(5))
    note = bench.messages(ONE)[-1]
    assert (note["text"], token in note["subject"]) == ("Ya la llamo.", False)
    bench.take(eml(ANA, subject, "Le enviamos otra.", "<b2@lohas.test>"), later(6))
    (letter,) = bench.letters("answer")
    assert token not in letter.mail.as_string()


def test_a_subject_that_names_another_case_holds(bench: Bench) -> None:
    told = opened(bench)
    bench.take(eml(DIEGO, "Otra cosa", ASKS, "<d1@otro.test>"), later(1))
    answer(bench, told, "Le enviamos otra.", subject=f"Re: [{TWO}] Otra cosa")
    assert bench.letters("answer") == []
    assert f"el asunto nombra {TWO}" in transcript(bench)


# -- orders --------------------------------------------------------------------------------------------------------

ORDERS: list[tuple[str, dict[str, Any], str]] = [
    ("#resolver", {"state": "resolved"}, "no ha recibido ninguna respuesta"),
    ("#Resuelto.", {"state": "resolved"}, "quedó resuelto"),
    ("#CERRAR", {"state": "closed"}, "quedó cerrado"),
    ("#cerrar\n#reabrir", {"state": "open"}, "quedó abierto otra vez"),
    ("#reabrir", {"state": "new"}, "ya estaba abierto"),
    ("#tipo queja", {"type": "queja", "due_on": "2026-06-24"}, "es de tipo queja"),
    ("#tipo felicitación", {"type": "felicitacion", "due_on": "2026-06-09"}, "martes 9 de junio"),
    ("#tipo habeas data", {"type": "reclamo"}, "los tipos son"),
    ("#tipo habeas_data\n#tipo reclamo", {"type": "reclamo", "due_on": "2026-06-24"}, "es de tipo reclamo"),
    ("#urgente", {"urgent": 1}, "coordinacion@lohas.test"),
    ("#urgente\n#normal", {"urgent": 0}, "ya no es urgente"),
    ("#asignar luz", {"owner": "luz@lohas.test"}, "a cargo de Luz Mora"),
    ("#asignar LUZ@lohas.test", {"owner": "luz@lohas.test"}, "a cargo de Luz Mora"),
    ("#asignar nadie", {"owner": "ana@lohas.test"}, "no hay un único agente"),
    ("#tomar", {"owner": "ana@lohas.test"}, "ya estaba a cargo"),
    ("#soltar", {"owner": "luz@lohas.test"}, "a cargo de Luz Mora"),
    ("#escalar pide gerente", {"level": 2}, "nivel 2 (Coordinación)"),
    ("#escalar", {"level": 1}, "falta el motivo"),
    ("#escalar a\n#escalar b\n#escalar c", {"level": 1}, "nivel más alto"),
    ("#tipo queja\n#prorrogar 2026-07-07 llega el lote", {"due_on": "2026-07-07", "extension_days": 8}, "se le avisó"),
    ("#tipo queja\n#prorrogar 7/7/2026 llega el lote", {"due_on": "2026-07-07"}, "se le avisó"),
    ("#tipo queja\n#prorrogar 2026-07-07", {"extension_days": 0, "type": "reclamo"}, "falta el motivo"),
    ("#tipo queja\n#prorrogar 2026-07-04 porque sí", {"extension_days": 0}, "no es día hábil"),
    ("#tipo queja\n#prorrogar 2026-06-23 porque sí", {"extension_days": 0}, "no es posterior"),
    ("#tipo queja\n#prorrogar 2026-07-31 porque sí", {"extension_days": 0}, "se admiten 15"),
    ("#tipo queja\n#prorrogar 2026-13-31 porque sí", {"extension_days": 0}, "no es una fecha"),
    ("#prorrogar 2026-07-07 llega el lote", {"due_on": "2026-06-24"}, "no admite prórroga"),
    ("#cliente diego@otro.test Diego Paz", {"customer": "diego@otro.test", "acknowledged_at": None}, "#acusar"),
    ("#cliente diego", {"customer": "clara@correo.test"}, "no es una dirección"),
    ("#spam", {"state": "closed"}, "correo basura"),
    ("#acusar", {"state": "new"}, "ya está por salir"),
    ("#nota", {"state": "new"}, "escriba el texto"),
    ("#unir", {"state": "new"}, "escriba el otro radicado"),
    (f"#unir {ONE}", {"state": "new"}, "ya es este mismo caso"),
    ("#unir PQR-2026-77", {"state": "new"}, "no existe el caso PQR-2026-000077"),
    ("#separar", {"state": "new"}, "un solo correo"),
    ("#cc nadie", {"state": "new"}, "escriba las direcciones"),
    ("#cc +info@lohas.test", {"state": "new"}, "dirección de la oficina"),
    ("#abrir 99", {"state": "new"}, "no existe"),
    ("#ausente mañana", {"state": "new"}, "desde y hasta"),
    ("#resolve", {"state": "resolved"}, "quedó resuelto"),
    ("#confirmar", {"state": "new"}, "no hay nada que confirmar"),
    ("#enviar", {"state": "new"}, "no hay nada retenido"),
    ("#resolver ya", {"state": "new"}, "va sola en su línea"),
]


@pytest.mark.parametrize(("text", "after", "said"), ORDERS, ids=[text.replace("\n", " ") for text, _, _ in ORDERS])
def test_an_order(bench: Bench, text: str, after: dict[str, Any], said: str) -> None:
    """A mail of orders alone sends the customer nothing but what the order itself is about."""
    told = opened(bench)
    answer(bench, told, text)
    ticket = bench.tickets()[0]
    assert {name: ticket[name] for name in after} == after
    assert said in transcript(bench), transcript(bench)
    if "prorrogar" not in text:
        assert len(to_customers(bench)) == 1


def test_an_order_with_text_below_answers_and_does(bench: Bench) -> None:
    answer(bench, opened(bench), "#resolver\n#urgente\n\nLe devolvimos el dinero.")
    assert "Le devolvimos el dinero." in bench.letters("resolved")[0].text
    assert (state(bench), bench.tickets()[0]["urgent"]) == ("resolved", 1)


def test_an_order_on_a_closed_case_does_not_let_the_text_pass(bench: Bench) -> None:
    told = opened(bench)
    answer(bench, told, "#urgente\n#cerrar")
    answer(bench, told, "#normal\n\nLe enviamos otra.", minutes=9)
    assert bench.letters("answer") == []


def test_an_order_names_its_case(bench: Bench) -> None:
    told = opened(bench)
    bench.take(eml(DIEGO, "Otra cosa", ASKS, "<d1@otro.test>"), later(1))
    answer(bench, told, f"#cerrar [{TWO}]")
    assert (state(bench, ONE), state(bench, TWO)) == ("new", "closed")


def test_waiting_pauses_the_term_and_the_customers_word_ends_it(tmp_path: Path) -> None:
    """colombia.md: received 1 September, asked on the 7th, completed on the 21st, due on 6 October."""
    bench = Bench(tmp_path / "desk.db")
    at = datetime(2026, 9, 1, 15, 0, tzinfo=NOW.tzinfo)
    bench.take(eml(subject="Solicitud de cotización", text="Solicito una cotización para 20 kilos."), at)
    told = bench.letters("notification")[0]
    reply = {"In_Reply_To": told.mail["Message-ID"], "message_id": "<a1@lohas.test>"}
    bench.take(eml(ANA, f"Re: [{ONE}]", "#tipo solicitud\n#esperar\n\n¿A qué ciudad?", **reply), at + timedelta(days=6))
    assert state(bench) == "waiting"
    (question,) = bench.letters("request_for_information")
    assert "¿A qué ciudad?" in question.text
    assert "7 de octubre" in question.text
    bench.take(eml(subject=f"Re: [{ONE}]", text="A Cali.", message_id="<c2@x>"), at + timedelta(days=20))
    assert (state(bench), bench.tickets()[0]["due_on"]) == ("open", "2026-10-06")
    bench.close()


def test_merged_cases_go_on_under_one_number(bench: Bench) -> None:
    opened(bench)
    told = opened(bench, text="Otra vez lo mismo: llegó vencido, exijo mi dinero.", subject="Café otra vez")
    answer(bench, told, f"#unir {ONE}", LUZ)
    assert (state(bench, TWO), state(bench, ONE)) == ("closed", "new")
    assert bench.letters("merged")[0].to == "clara@correo.test"
    later_mail = eml(subject=f"Re: [{TWO}] Café otra vez", text="¿Qué pasó?", message_id="<c9@x>")
    assert bench.take(later_mail, later(30))["reference"] == ONE
    answer(bench, bench.letters("notification")[-1], "Ya va en camino.", minutes=40)
    assert bench.letters("answer")[0].mail["Subject"].startswith(f"[{ONE}]")


def test_a_merged_case_never_mixes_two_customers(bench: Bench) -> None:
    opened(bench)
    bench.take(eml(DIEGO, "Otra cosa", ASKS, "<d1@otro.test>"), later(1))
    answer(bench, bench.letters("notification")[-1], f"#unir {ONE}", LUZ)
    assert "otro cliente" in transcript(bench)
    assert state(bench, TWO) == "new"


def test_a_mail_is_split_off_into_a_case_of_its_own(bench: Bench) -> None:
    opened(bench)
    bench.take(eml(subject=f"Re: [{ONE}]", text="Además quiero una cotización.", message_id="<c2@x>"), later(2))
    answer(bench, bench.letters("notification")[-1], "#separar")
    assert [row["text"] for row in bench.messages(TWO) if row["direction"] == "in"] == ["Además quiero una cotización."]
    assert len([one for one in to_customers(bench) if one.reference == TWO]) == 1
    again = eml(subject="gracias", text="ok", message_id="<c3@x>", In_Reply_To="<c2@x>")
    assert bench.take(again, later(20))["reference"] == TWO


def test_a_telephone_call_becomes_a_case_with_its_constancia(bench: Bench) -> None:
    told = opened(bench)
    said = "Llamó: el café le llegó roto y exige que le devuelvan la plata."
    answer(bench, told, f"#registrar diego@otro.test Diego Paz\n\n{said}", subject="llamada")
    ticket = bench.tickets()[1]
    assert (ticket["customer"], ticket["owner"], ticket["type"]) == ("diego@otro.test", "ana@lohas.test", "reclamo")
    (receipt,) = bench.letters("phone_receipt")
    assert receipt.to == "diego@otro.test"
    assert TWO in receipt.text
    assert "Ana Ruiz" in receipt.text
    assert TWO in transcript(bench)
    assert len(to_customers(bench)) == 2


OUTLOOK = (
    "\n\n________________________________\nDe: Lohas Beans SAS BIC <info@lohas.test>\n"
    "Enviado: lunes, 1 de junio de 2026 10:42\nPara: Ana Ruiz <ana@lohas.test>\nAsunto: [{}] Café\n\n{}"
)
GMAIL = "\n\nEl lun, 1 jun 2026 a las 10:42, Lohas (<info@lohas.test>) escribió:\n{1}"


@pytest.mark.parametrize("quote", [OUTLOOK, GMAIL], ids=["Outlook", "Gmail"])
def test_the_letter_that_a_call_is_registered_with_is_not_the_customers_mail(bench: Bench, quote: str) -> None:
    """Else the words of one customer would stand in the case of another."""
    forwarded = "De: Pedro <pedro@afuera.test>\nAsunto: cuentas\nFecha: lun, 1 jun 2026 a las 9:00\n\nEl número es 77."
    told = opened(bench, text=f"Miren esto y exijo mi dinero.\n\n{forwarded}", subject="Fwd: cuentas")
    words = f"#registrar diego@otro.test Diego Paz\n\nLlamó porque llegó roto.{quote.format(ONE, told.text)}"
    answer(bench, told, words)
    assert [row["text"] for row in bench.messages(TWO) if row["direction"] == "in"] == ["Llamó porque llegó roto."]
    assert bench.tickets()[1]["subject"] == "Llamó porque llegó roto."


def test_nobody_answers_their_own_complaint(bench: Bench) -> None:
    answer(bench, opened(bench), "#registrar ana@lohas.test Ana Ruiz\n\nEl casino cobra de más.")
    assert (bench.tickets()[1]["customer"], bench.tickets()[1]["owner"]) == ("ana@lohas.test", "luz@lohas.test")


APPLE = "#registrar\n\n> Inicio del mensaje reenviado:\n>\n> De: Diego Paz <diego@otro.test>\n> Asunto: Molienda\n>\n"


def test_the_marks_of_a_forward_are_not_the_customers_words(bench: Bench) -> None:
    answer(bench, opened(bench), f"{APPLE}> ¿Cuál sirve?\n> > La gruesa.", subject="Fwd: Molienda")
    assert bench.messages(TWO)[0]["text"] == "¿Cuál sirve?\n> La gruesa."


FORWARD = """#registrar

Me llegó esto al correo personal.

---------- Forwarded message ---------
De: Diego Paz <diego@otro.test>
Date: lun, 1 jun 2026 a las 9:00
Subject: Molienda
To: <ana@lohas.test>

¿Qué molienda sirve para una greca?
"""


def test_a_forwarded_mail_becomes_its_writers_case(bench: Bench) -> None:
    answer(bench, opened(bench), FORWARD, subject="Fwd: Molienda")
    ticket = bench.tickets()[1]
    assert (ticket["customer"], ticket["subject"]) == ("diego@otro.test", "Molienda")
    assert [(row["direction"], row["text"]) for row in bench.messages(TWO)][:2] == [
        ("in", "¿Qué molienda sirve para una greca?"),
        ("note", "Me llegó esto al correo personal."),
    ]
    assert [str(one) for one in to_customers(bench)][1:] == ["acknowledgement>diego@otro.test"]


def test_a_mail_attached_as_it_was_is_surer_than_one_quoted(bench: Bench) -> None:
    told = opened(bench)
    inner = eml(DIEGO, "Molienda", ASKS, "<d1@otro.test>")
    outer = eml(ANA, "Fwd", "#registrar", "<a1@lohas.test>", In_Reply_To=told.mail["Message-ID"])
    boundary = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    head = outer.split(b"\r\n\r\n")[0].replace(b"MIME-Version: 1.0\r\n", b"")
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith(b"Content-"))
    raw = head + b"\r\n" + boundary + b"--b\r\nContent-Type: text/plain\r\n\r\n#registrar\r\n--b\r\n"
    raw += b"Content-Type: message/rfc822\r\n\r\n" + inner + b"\r\n--b--\r\n"
    bench.take(raw, later(5))
    assert bench.tickets()[1]["customer"] == "diego@otro.test"
    assert bench.messages(TWO)[0]["message_id"] == "<d1@otro.test>"


def test_a_set_aside_mail_is_opened_after_all(bench: Bench) -> None:
    told = opened(bench)
    aside = bench.take(eml(DIEGO, "Boletín", ASKS, "<d1@otro.test>", Precedence="bulk"), later(1))
    answer(bench, told, f"#abrir {aside['id']}")
    bench.work(later(6))
    assert bench.tickets()[1]["customer"] == "diego@otro.test"


def test_a_withheld_acknowledgement_goes_when_an_agent_says_so(tmp_path: Path) -> None:
    desk = Desk(replace(POLICY, trusted_authserv_ids=("mx.lohas.test",)), DESK.calendar)
    bench = Bench(tmp_path / "desk.db", desk)
    told = opened(bench, Authentication_Results="mx.lohas.test; dmarc=fail (p=reject) header.from=correo.test")
    assert to_customers(bench) == []
    passes = "mx.lohas.test; dmarc=pass header.from=lohas.test"
    answer(bench, told, "#acusar", Authentication_Results=passes)
    assert [str(one) for one in to_customers(bench)] == ["acknowledgement>clara@correo.test"]
    bench.close()


# -- lookups, the morning, the same mail twice ---------------------------------------------------------------------


def test_lookups_are_answered_by_mail(bench: Bench) -> None:
    told = opened(bench)
    bench.take(eml(DIEGO, "Otra cosa", ASKS, "<d1@otro.test>"), later(1))
    answer(bench, told, f"#lista\n#ver {TWO}\n#buscar greca\n#historial clara@correo.test\n#ayuda")
    text = transcript(bench)
    for words in (f"{ONE} · Café vencido", ASKS, "Casos con “greca”", "Casos de clara@correo.test", "#prorrogar"):
        assert words in text
    assert len(to_customers(bench)) == 2


def test_lookups_are_for_colleagues_only(bench: Bench) -> None:
    opened(bench)
    bench.take(eml(text=f"#ver {ONE}\n#ayuda", message_id="<c2@x>", subject=f"[{ONE}]"), later(1))
    assert bench.letters("transcript") == []


def test_the_same_mail_twice_orders_once(bench: Bench) -> None:
    told = opened(bench)
    mail = eml(ANA, f"Re: [{ONE}]", "#escalar pide gerente", "<a1@lohas.test>", In_Reply_To=told.mail["Message-ID"])
    bench.take(mail, later(5))
    again = bench.take(mail, later(6))
    assert again["reason"].startswith("duplicate")
    assert (bench.tickets()[0]["level"], len(bench.letters("transcript"))) == (2, 1)


def test_the_same_answer_under_another_id_is_sent_once(bench: Bench) -> None:
    told = opened(bench)
    for number in range(2):
        answer(bench, told, "Le enviamos otra.", minutes=5 + number)
    assert len(bench.letters("answer")) == 1
    assert "ya se le envió" in transcript(bench)
    bench.take(eml(subject=f"Re: [{ONE}]", text="¿Seguro?", message_id="<c2@x>"), later(9))
    answer(bench, bench.letters("notification")[-1], "Le enviamos otra.", minutes=12)
    assert len(bench.letters("answer")) == 2


def test_who_is_away_gets_no_new_case_and_urgent_ones_pass_on(bench: Bench) -> None:
    told = opened(bench, text="Mi hija está en urgencias, intoxicada por el café.")
    answer(bench, bench.letters("notification")[0], "#ausente 2026-06-01..2026-06-05")
    assert told.to == "coordinacion@lohas.test"
    assert bench.tickets()[0]["owner"] == "luz@lohas.test"
    for number in range(3):
        bench.take(eml(DIEGO, "Otra cosa", f"{ASKS} {number}", f"<d{number}@otro.test>"), later(10 + number))
    assert {ticket["owner"] for ticket in bench.tickets()} == {"luz@lohas.test"}
    bench.take(eml(DIEGO, "Otra", ASKS, "<d9@otro.test>"), NOW + timedelta(days=5))
    assert bench.tickets()[-1]["owner"] == "ana@lohas.test"


def test_two_programs_that_answer_each_other_come_to_an_end(bench: Bench) -> None:
    """Neither marks what it writes: the colleague's words went to the customer as often as the customer's program
    wrote, 168 times in a simulated day."""
    letter = opened(bench)
    for number in range(30):
        answer(bench, letter, "Leeré su correo en cuanto pueda.", minutes=5 + 4 * number)
        again = eml(subject=f"Re: [{ONE}]", text="Recibimos su mensaje.", message_id=f"<r{number}@correo.test>")
        bench.take(again, later(7 + 4 * number))
        letter = bench.letters("notification")[-1]
    assert len(bench.letters("answer")) == ANSWERS_PER_DAY
    assert "quizá se contestan dos programas" in " ".join(bench.letters("transcript")[-1].text.split())


def test_a_constancia_to_who_is_no_longer_the_customer_acknowledges_nothing(bench: Bench) -> None:
    """It had waited, or came back, when the case was somebody else's: #acusar and the ladder took it for theirs."""
    letter, store = opened(bench), bench.store
    with store.transaction():
        (waiting, *_) = store.claim_letters(NOW, 1)
    answer(bench, letter, "#cliente diego@otro.test Diego Paz")
    with store.transaction():
        store.letter_sent(waiting, "250 ok", later(6))
    assert (waiting.letter, bench.tickets()[0]["acknowledged_at"]) == ("acknowledgement", None)
    answer(bench, letter, "#acusar", minutes=7)
    with store.transaction():
        (owed,) = [one for one in store.claim_letters(later(8), 100) if one.letter == "acknowledgement"]
        store.letter_sent(owed, "250 ok", later(8))
        store.letter_bounced(waiting.id, "550 5.1.1")
    assert owed.recipient == "diego@otro.test"
    assert bench.tickets()[0]["acknowledged_at"] is not None
