"""Learning: where labelled mail comes from, what is shown, and that nothing is replaced by something worse."""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from pathlib import Path

import click
import pytest
from bench import Bench, eml
from click.testing import CliRunner
from office import NOW

from pqr_mailbot import cli, learn, wiring
from pqr_mailbot.adapters.sqlite_store import Store
from pqr_mailbot.config import ConfigError, load
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
    (
        '{"subject": null, "body": "b", "label": "queja"}',
        "line 1: expected JSON with subject, body and label, each a text",
    ),
    ("[" * 100_000, "line 1: expected JSON"),
    ('\ufeff\n{"subject": "a", "body": "b", "label": "spam"}', "line 2: label 'spam': expected one of solicitud"),
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
    (HEADING + "plata\t1e308\t1", "'plata': expected 2 weights from -1000 to 1000"),
    (HEADING + "x" * 9_000, "x': expected 2 weights"),
    ("feature\tqueja\treclamo \x1b[31m\n", "expected a heading"),
    ("feature\t\t\n", "expected a heading"),
    ("feature\tqueja\tqueja\n", "a type stands twice"),
    ("queja\t3.2\tplata\nreclamo\t1\tcaja\n", "expected a heading"),  # as it was written before it was a table
    (HEADING + "(start)\t1\t2\t3", "'(start)': expected 2 weights"),
]


@pytest.mark.parametrize(("tsv", "message"), BAD_WEIGHTS)
def test_weights_that_cannot_be_used(tsv: str, message: str) -> None:
    with pytest.raises(WeightsError, match=re.escape(message)):
        Weights.parse(tsv, shipped_concepts()).prove()


def test_an_empty_cell_says_nothing() -> None:
    tsv = "\ufeff# a comment\n" + HEADING + "(start)\t\t-1\nplata\t\t30\n"
    scores, voices = Weights.parse(tsv, shipped_concepts()).score("", "la plata")
    assert scores["queja"] == 0 and scores["reclamo"] > 0
    assert [(voice.words, voice.type) for voice in voices] == [("plata", "reclamo")]


def test_a_question_mark_speaks_as_itself_and_not_as_the_word_after_it() -> None:
    tsv = HEADING + "?\t\t30\n"
    _, voices = Weights.parse(tsv, shipped_concepts()).score("", "¿Cuándo llega? Mañana no estoy. ¿Y hoy?")
    assert [(voice.words, voice.type) for voice in voices] == [("?", "reclamo")]


def test_the_shipped_weights_can_be_used() -> None:
    Weights.parse(shipped("weights.tsv"), shipped_concepts()).prove()


@pytest.fixture
def some_mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of the shipped mails: to learn from all takes half a minute."""
    everything = lzma.decompress(learn.SHIPPED.read_bytes()).splitlines(keepends=True)
    lines = [line for line in everything if json.loads(line)["group"] in ("writer 1", "writer 5", "writer 9")]
    some = tmp_path / "some.jsonl.xz"
    some.write_bytes(lzma.compress(b"".join(lines[::4])))
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


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "weights: expected a heading"),
        ("feature\tqueja\tlecheros\n", "type lecheros: expected solicitud"),
        (None, "Is a directory"),
    ],
)
def test_a_model_that_cannot_be_used_is_named(written: str | None, message: str, tmp_path: Path) -> None:
    model = tmp_path / "weights.tsv"
    model.mkdir() if written is None else model.write_text(written, "utf-8")
    with pytest.raises(ConfigError) as caught:
        wiring.lexicon_of(load(_configured(tmp_path, str(model))))
    assert caught.value.mistakes[0].startswith(f"classification.model: {model}: ")
    assert message in caught.value.mistakes[0]


def test_a_model_beside_the_configuration_and_one_whose_name_is_too_long(tmp_path: Path) -> None:
    (tmp_path / "weights.tsv").write_text(HEADING + "plata\t\t30\n", "utf-8")
    assert classify("", "plata", wiring.lexicon_of(load(_configured(tmp_path, "weights.tsv")))).type == "reclamo"
    with pytest.raises(ConfigError, match=r"classification\.model: .*: File name too long"):
        wiring.lexicon_of(load(_configured(tmp_path, "w" * 300)))


def _examples(writer: str, label: str, text: str, count: int = 8) -> list[learn.Example]:
    return [learn.example(writer, "", f"{text} {number} {number}", label) for number in range(count)]


KNOWN = [
    *_examples("rosa", "felicitacion", "muchas gracias, excelente atención de la sede"),
    *_examples("juan", "felicitacion", "mil gracias, qué atención tan excelente en la sede"),
    *_examples("rosa", "queja", "nadie contesta y la asesora fue grosera"),
    *_examples("juan", "queja", "la asesora estuvo grosera y nadie contesta"),
]


def test_labels_that_spoil_what_was_known_replace_nothing() -> None:
    """They agree with one another, so held out they are right; nothing of them is known before."""
    wrong = _examples("file 1", "queja", "gracias, excelente atención") + _examples("file 2", "queja", "mil gracias")
    found = learn.learned_from(KNOWN, wrong * 4, shipped_concepts())
    assert found.before.mails == len(KNOWN) and found.before.right == 1.0
    assert (found.new, found.new_before) == (64, 0) and found.new_after > 0
    assert found.after.right < 0.9 and not found.better


def test_labels_that_fit_are_learned() -> None:
    right = _examples("file 1", "queja", "grosera la del zumbambico") + _examples("file 2", "queja", "nadie contesta")
    found = learn.learned_from(KNOWN, right, shipped_concepts())
    assert found.better and found.new_after == len(right)


@pytest.mark.parametrize("model", ["", "missing/weights.tsv", "w" * 300])
def test_where_nothing_can_be_written_nothing_is_learned(model: str, tmp_path: Path) -> None:
    (tmp_path / "mails.jsonl").write_text("", "utf-8")
    target = str(tmp_path / model)
    command = ["--config", str(_configured(tmp_path, target)), "learn", "--from", str(tmp_path / "mails.jsonl")]
    ran = CliRunner().invoke(cli.pqr_mailbot, command)
    assert ran.exit_code == 1 and "no file can be written there" in ran.output


def test_half_a_file_is_never_left(tmp_path: Path) -> None:
    (tmp_path / "weights.tsv.new").mkdir()
    with pytest.raises(click.ClickException, match="nothing is replaced"):
        cli._replace(tmp_path / "weights.tsv", "x")
    (tmp_path / "weights.tsv.new").rmdir()
    with pytest.raises(UnicodeEncodeError):
        cli._replace(tmp_path / "weights.tsv", "\ud800")
    assert not list(tmp_path.iterdir())


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
