"""Learning: where labelled mail comes from, what is shown, and that nothing is replaced by something worse."""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from pathlib import Path

import pytest
from bench import Bench, eml
from click.testing import CliRunner
from office import NOW

from pqr_mailbot import cli, learn, wiring
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.config import load
from pqr_mailbot.domain.classify import Learned, Lexicon, classify
from pqr_mailbot.domain.weights import Weights, WeightsError
from pqr_mailbot.wiring import shipped, shipped_concepts


def test_the_shipped_mail_is_labelled_and_knows_its_writers() -> None:
    mails = learn.shipped_examples()
    assert {one.label for one in mails} == set(learn.TYPES)
    assert min(Counter(one.group for one in mails).values()) > 100


BAD = [
    ("no json", "line 1: expected JSON with subject, body and label"),
    ('["a"]', "line 1: expected JSON"),
    ('{"subject": "a", "body": "b"}', "line 1: expected JSON"),
    ('\n{"subject": "a", "body": "b", "label": "spam"}', "line 2: label 'spam': expected one of solicitud"),
]


@pytest.mark.parametrize(("lines", "message"), BAD)
def test_a_bad_line_is_named(lines: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mails.jsonl"
    file.write_text(lines, "utf-8")
    with pytest.raises(learn.LearnProblem) as caught:
        learn.examples_of(file)
    assert message in str(caught.value)


def test_what_agents_corrected() -> None:
    rows = [
        {"detail": "queja -> reclamo", "subject": "Caja", "text": "Faltan dos"},
        {"detail": "solicitud -> derecho_de_peticion", "subject": "Petición", "text": "copia"},
        {"detail": "queja -> lecheros", "subject": "Leche", "text": "ofrecemos"},
        {"detail": "queja -> reclamo", "subject": "", "text": ""},
    ]
    assert [one.label for one in learn.corrected_examples(rows)] == ["reclamo", "solicitud"]


HEADING = "feature\tqueja\treclamo\n"
BAD_WEIGHTS = [
    ("", "expected a heading"),
    ("queja\t1\tplata", "expected a heading"),
    (HEADING + "plata\tmucho\t1", "'plata': expected 2 weights"),
    (HEADING + "plata\tnan\t1", "'plata': expected 2 weights"),
    (HEADING + "plata\t1", "'plata': expected 2 weights"),
    (HEADING + "plata 1 2", "'plata 1 2': expected 2 weights"),
    (HEADING + "(start)\t1\t2\t3", "'(start)': expected 2 weights"),
]


@pytest.mark.parametrize(("tsv", "message"), BAD_WEIGHTS)
def test_weights_that_cannot_be_used(tsv: str, message: str) -> None:
    with pytest.raises(WeightsError, match=re.escape(message)):
        Weights.parse(tsv, shipped_concepts()).prove()


def test_an_empty_cell_says_nothing() -> None:
    tsv = "# a comment\n" + HEADING + "(start)\t\t-1\nplata\t\t30\n"
    scores, voices = Weights.parse(tsv, shipped_concepts()).score("", "la plata")
    assert scores["queja"] == 0 and scores["reclamo"] > 0
    assert [(voice.words, voice.type) for voice in voices] == [("plata", "reclamo")]


def test_the_shipped_weights_can_be_used() -> None:
    Weights.parse(shipped("weights.tsv"), shipped_concepts()).prove()


@pytest.fixture
def some_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the shipped mails: to learn from all takes half a minute."""
    lines = lzma.decompress(learn.SHIPPED.read_bytes()).splitlines(keepends=True)
    some = tmp_path / "some.jsonl.xz"
    some.write_bytes(lzma.compress(b"".join(lines[::16])))
    monkeypatch.setattr(learn, "SHIPPED", some)


def _configured(folder: Path, model: str) -> Path:
    config = folder / "config.toml"
    config.write_text(
        '[office]\nname = "Lohas"\naddress = "info@lohas.test"\n[smtp]\nhost = "h"\n'
        '[imap]\nhost = "h"\nusername = "u"\npassword = "env:P"\n'
        f'[[agents]]\naddress = "ana@lohas.test"\nname = "Ana"\n[store]\npath = "{folder / "desk.db"}"\n'
        f'[classification]\nmodel = "{model}"\n',
        "utf-8",
    )
    Store.open(folder / "desk.db", NOW).close()
    return config


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    ran = CliRunner().invoke(cli.pqr_mailbot, ["--config", str(_configured(tmp_path, "")), "learn"])
    assert ran.exit_code == 1
    assert "nothing to learn from" in ran.output or "scikit-learn is missing" in ran.output


@pytest.mark.usefixtures("some_mail")
def test_weights_are_learned_asked_about_and_used(tmp_path: Path) -> None:
    model, mails = tmp_path / "weights.tsv", tmp_path / "mails.jsonl"
    config = _configured(tmp_path, str(model))
    row = {"subject": "pregunta {}", "body": "¿el zumbambico de {} litros sirve para la finca?", "label": "solicitud"}
    lines = [{key: value.format(number) for key, value in row.items()} for number in range(10)]
    mails.write_text("\n".join(json.dumps(line) for line in lines), "utf-8")
    command = ["--config", str(config), "learn", "--from", str(mails)]
    asked = CliRunner().invoke(cli.pqr_mailbot, command, input="n\n")
    assert "Nothing is replaced." in asked.output and not model.exists(), asked.output
    assert "before  right" in asked.output and "Weights that move most" in asked.output
    ran = CliRunner().invoke(cli.pqr_mailbot, [*command, "--yes"])
    assert ran.exit_code == 0, ran.output
    learned = Learned(model.read_text("utf-8"), shipped("concepts.tsv"))
    lexicon = Lexicon.parse(shipped("lexicon.tsv"), "", learned=learned)
    assert any("zumbambico" in one.words for one in classify("", "el zumbambico sirve?", lexicon).evidence)


@pytest.mark.usefixtures("some_mail")
def test_the_types_that_agents_corrected_are_learned(tmp_path: Path) -> None:
    model = tmp_path / "weights.tsv"
    config = _configured(tmp_path, str(model))
    desk = Bench(tmp_path / "desk.db")
    for number in range(8):
        text = f"El zumbambico de la caja {number} quedó en la portería, y yo en la acera."
        mail = eml(f"c{number}@correo.test", f"zumbambico {number}", text, f"<z{number}@correo.test>")
        reference = desk.take(mail)["reference"]
        other = "felicitacion" if desk.tickets()[-1]["type"] != "felicitacion" else "sugerencia"
        said, _, effects = desk.handler.colleagues().order(reference, f"#tipo {other}", NOW)
        assert all(line.ok for line in said)
        with desk.store.transaction():
            desk.handler.applying(NOW).all(effects)
    desk.close()
    ran = CliRunner().invoke(cli.pqr_mailbot, ["--config", str(config), "learn", "--yes"])
    assert ran.exit_code == 0, ran.output
    assert re.search(r"Of the 8 new mails, right before 0, after [1-8]\.", ran.output), ran.output
    found = classify("", "un zumbambico", wiring.lexicon_of(load(config)))
    assert any("zumbambico" in one.words and one.type == "felicitacion" for one in found.evidence)
