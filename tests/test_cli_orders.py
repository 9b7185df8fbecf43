"""An admin's orders: every order of the table from the command line, good and bad, and what the commands show of it."""

from __future__ import annotations

import sqlite3
import stat
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from bench import Bench, eml
from office import ANA, CLARA, DIEGO
from test_cli import BAD_STORES, EXPLAINED, INBOX, OUTBOX, SHOWN, TICKET, Command, configure, fits
from test_cli import say as say  # the fixture

from pqr_mailbot import daemon
from pqr_mailbot.adapters import sqlite_store, tokens
from pqr_mailbot.domain.commands import COMMANDS

ONE, TWO, THREE = (f"PQR-2026-00000{number}" for number in (1, 2, 3))
NOW = datetime(2026, 6, 1, 15, 42, tzinfo=UTC)


@pytest.fixture
def office(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a desk with a claim and a request of Clara's, a question of Diego's, and a machine's mail."""
    bench = Bench(tmp_path / "desk.db")
    bench.take(eml(str(CLARA)))
    bench.take(eml(str(DIEGO), "Molienda", "Quisiera saber qué molienda sirve para una greca.", "<d1@otro.test>"))
    bench.take(eml(str(CLARA), "Factura", "Quisiera pedir una copia de la factura.", "<c2@correo.test>"))
    bench.take(eml("Robot <robot@otro.test>", "Ofertas", "Compre", "<r1@otro.test>", Precedence="bulk"))
    bench.close()
    configure(tmp_path)
    monkeypatch.setattr("pqr_mailbot.cli.utc_now", lambda: NOW + timedelta(hours=1))
    return tmp_path


GOOD: dict[str, tuple[str, str]] = {  # order -> what is ordered about the second case, what is said
    "nota": ("#nota llamar mañana", "la nota quedó"),
    "resolver": ("#resolver", "quedó resuelto. Atención: el cliente no ha recibido ninguna respuesta."),
    "cerrar": ("cerrar", "quedó cerrado"),
    "reabrir": ("#reopen", "ya estaba abierto"),
    "prorrogar": ("#prorrogar 2026-07-07 falta el informe", "vence ahora el martes 7 de julio de 2026"),
    "asignar": ("#ASIGNAR Ana Ruiz", "a cargo de Ana Ruiz"),
    "soltar": ("#soltar", "a cargo de Ana Ruiz"),
    "tipo": ("#tipo derecho de petición", "es de tipo derecho de petición"),
    "urgente": ("#urgente", "es urgente"),
    "normal": ("#normal", "no era urgente"),
    "vincular": (f"#vincular {ONE}", "quedaron enlazados"),
    "cc": ("#cc +tio@otro.test", "participa"),
    "cliente": ("#cliente otro@otro.test Otro Paz", "es ahora otro@otro.test"),
    "registrar": ("#registrar marta@correo.test Marta León\nEl domiciliario fue grosero.", "se abrió PQR-2026-000004"),
    "acusar": ("#acusar", "el acuse de recibo"),
    "spam": ("#spam", "correo basura"),
    "abrir": ("#abrir 4", "el correo 4 se procesa"),
    "ver": ("#ver", "Cliente       Diego Paz <diego@otro.test>"),
    "lista": ("#lista", "Sus casos abiertos"),
    "buscar": ("#buscar greca", f"{TWO} · Molienda"),
    "historial": ("#historial clara@correo.test", f"{THREE} · Factura"),
    "ayuda": ("#ayuda", "#prorrogar FECHA MOTIVO  "),
}
BAD: dict[str, tuple[str, str]] = {
    "esperar": ("#esperar", "escriba debajo qué debe enviar el cliente"),
    "tomar": ("#tomar", "solo un agente"),
    "escalar": ("#escalar", "falta el motivo"),
    "unir": (f"#unir {ONE}", "es de otro cliente"),
    "separar": ("#separar", "un solo correo"),
    "ausente": ("#ausente 2026-12-20", "solo un agente"),
    "enviar": ("#enviar", "no hay nada retenido"),
    "confirmar": ("#confirmar", "no hay nada que confirmar"),
    "unknown": ("#resolvr", "¿Quiso decir #resolver?"),
    "no order": ("Hola", "#Hola no es una orden"),
    "one good, one bad": ("#urgente\n#tipo cosa", "los tipos son"),
    "words for nobody": ("#urgente\n\nHola, Diego.", "no se le escribe al cliente desde aquí"),
    "words that no order takes": ("#ver\nHola, Diego.", "no se le escribe al cliente desde aquí"),
}


def test_every_order_is_tried() -> None:
    assert {command.name for command in COMMANDS} <= {*GOOD, *BAD}


@pytest.mark.parametrize(("order", "said"), GOOD.values(), ids=list(GOOD))
def test_a_good_order(say: Command, office: Path, order: str, said: str) -> None:
    done = say("order", TWO, order, office=office)
    assert (done.code, done.err) == (0, "")
    assert said in done.out


@pytest.mark.parametrize(("order", "said"), BAD.values(), ids=list(BAD))
def test_a_bad_order_changes_nothing_and_is_one_line(say: Command, office: Path, order: str, said: str) -> None:
    before = [say(*words, "--json", office=office).out for words in (("show", TWO), ("outbox",))]
    done = say("order", TWO, order, office=office)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert said in done.err
    assert [say(*words, "--json", office=office).out for words in (("show", TWO), ("outbox",))] == before


@pytest.mark.parametrize(
    ("reference", "order", "code", "said"),
    [
        ("PQR-2026-000777", "#resolver", 1, "no existe ese caso"),
        ("nada", "#resolver", 2, "expected a reference"),
        (TWO, " ", 2, "expected some text"),
    ],
)
def test_a_case_or_an_order_that_is_none(
    say: Command, office: Path, reference: str, order: str, code: int, said: str
) -> None:
    done = say("order", reference, order, office=office)
    assert (done.code, done.out, done.err.count("\n")) == (code, "", 1)
    assert said in done.err


@pytest.mark.parametrize(("spoil", "words"), [row[1:3] for row in BAD_STORES], ids=[row[0] for row in BAD_STORES])
def test_a_store_that_cannot_be_used(say: Command, office: Path, spoil: Callable[[Path], object], words: str) -> None:
    spoil(office / "desk.db")
    for command in (("order", ONE, "#resolver"), ("rotate-key",)):
        done = say(*command, office=office)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), done
        assert words in done.err


def test_a_writer_that_does_not_let_go(say: Command, office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.05)
    bench = Bench(office / "desk.db")
    with bench.store.transaction():
        done = say("order", ONE, "#resolver", office=office)
    bench.close()
    assert (done.code, done.err) == (1, f"{office}/desk.db: locked by another program\n")


def test_a_case_that_is_over_is_not_late(say: Command, office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say("order", TWO, "#cerrar", office=office)
    monkeypatch.setattr("pqr_mailbot.cli.utc_now", lambda: NOW + timedelta(days=90))
    for order in ("#ver", "#historial diego@otro.test"):
        assert "vencido" not in say("order", TWO, order, office=office).out
        assert "vencido hace" in say("order", ONE, order.replace("diego@otro", "clara@correo"), office=office).out


def test_another_customer_gets_an_acknowledgement_of_their_own(say: Command, office: Path) -> None:
    """The one that waits in the queue is the first customer's."""
    say("order", TWO, "#cliente otro@otro.test Otro Paz", office=office)
    assert "sale para otro@otro.test" in say("order", TWO, "#acusar", office=office).out
    assert "ya está por salir" in say("order", TWO, "#acusar", office=office).out


# -- what the commands show ----------------------------------------------------------------------------------------


def test_the_shapes_of_cases_that_were_worked_on(say: Command, office: Path) -> None:
    """Extended, merged, noted, answered: every message has its direction, letter and word on who wrote it."""
    bench = Bench(office / "desk.db")
    told = bench.letters("notification")[0].mail
    bench.take(
        eml(f"Ana <{ANA.address}>", f"Re: {told['Subject']}", "Hoy se lo devolvemos.", "<a1@lohas.test>",
            In_Reply_To=told["Message-ID"], References=told["Message-ID"]),
        NOW + timedelta(minutes=9),
    )  # fmt: skip
    bench.take(eml(f"Ana <{ANA.address}>", f"[{ONE}]", "#cerrar", "<a2@lohas.test>"), NOW + timedelta(minutes=10))
    bench.close()
    say("order", THREE, f"#unir {ONE}", office=office)
    say("order", TWO, "#prorrogar 2026-07-07 falta el informe", office=office)
    for reference in (ONE, TWO, THREE):
        assert fits(say("show", reference, "--json", office=office).json, SHOWN) == []
    assert fits(say("tickets", "--json", office=office).json, [TICKET]) == []
    assert fits(say("inbox", "--json", office=office).json, [INBOX]) == []
    assert fits(say("outbox", "--json", office=office).json, [OUTBOX]) == []
    for number in range(1, 7):
        assert fits(say("explain", str(number), "--json", office=office).json, EXPLAINED) == []

    one, two = (say("show", reference, "--json", office=office).json for reference in (ONE, TWO))
    assert [(m["direction"], m["letter"], m["verified"]) for m in one["messages"]] == [
        ("in", None, None), ("out", "acknowledgement", None), ("in", None, None), ("out", "acknowledgement", None),
        ("out", "answer", None), ("note", None, False), ("out", "merged", None),
    ]  # fmt: skip
    assert one["related"] == [THREE]
    assert (two["deadline"]["due_on"], two["deadline"]["business_days"]) == ("2026-07-07", 23)
    assert [day["date"] for day in two["deadline"]["skipped"]] == ["2026-06-08", "2026-06-15", "2026-06-29"]
    for command in (("show", ONE), ("tickets",), ("inbox",), ("outbox",), ("explain", "5"), ("explain", "6")):
        done = say(*command, office=office)
        assert (done.code, done.err) == (0, "")


# -- the signing key -----------------------------------------------------------------------------------------------


def test_a_new_key_signs_and_the_old_one_counts(say: Command, office: Path) -> None:
    bench = Bench(office / "desk.db")
    told = bench.letters("notification")[0].mail
    bench.close()
    assert say("rotate-key", office=office).code == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in office.glob("desk.db*")} == {0o600}
    bench = Bench(office / "desk.db")
    became = bench.take(
        eml(f"Ana <{ANA.address}>", f"Re: {told['Subject']}", "#resolver", "<a1@lohas.test>",
            In_Reply_To=told["Message-ID"], References=told["Message-ID"])
    )  # fmt: skip
    bench.close()
    assert became["reason"] == "a colleague's mail"


def test_a_running_desk_takes_the_new_key_at_once(say: Command, office: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing commands work beside a running daemon, which acts on them (contract)."""
    monkeypatch.setenv("PQR_TEST_PASSWORD", "x")
    from pqr_mailbot import config, wiring

    settings = config.load(office / "config.toml")
    desk = daemon.Daemon(settings, wiring.Secrets("x", "x"))
    try:
        assert say("rotate-key", office=office).code == 0
        with sqlite3.connect(office / "desk.db") as db:
            newest = tokens.Signer(db.execute("SELECT key FROM signing_key ORDER BY id DESC").fetchone()[0])
        db.close()
        minted = desk.books.do_now(lambda store: desk._handler(store).signer.mint("a@x.test"))
    finally:
        desk.close()
    assert newest.genuine(minted, "a@x.test")
