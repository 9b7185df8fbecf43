"""How well mail is sorted when nobody learned from its writer: each writer is held out in turn; class words, the raw
lexicon, TF-IDF with logistic regression, and ours are tried on the same mail. Needs the extra `learn`.

    python benchmarks/classification.py [--from FILE.jsonl …]    FILE: further mail, held out too
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union

from pqr_mailbot import learn
from pqr_mailbot.domain.classify import Learned, Lexicon, classify
from pqr_mailbot.domain.fold import plain
from pqr_mailbot.learn import TYPES, Example
from pqr_mailbot.wiring import shipped, shipped_concepts

CLASS_WORDS = (
    "solicitud\t3\tsolicit*\nqueja\t3\tquej*\nreclamo\t3\treclam*\nsugerencia\t3\t(suger*|sugier*)\n"
    "felicitacion\t3\tfelicit*\nhabeas_data\t3\t(habeas|datos)"
)
TENTHS = (0.0, 0.5, 0.6, 0.7, 0.8, 0.9, 1.01)


def by_rows(mails: Sequence[Example], lexicon: Lexicon) -> numpy.ndarray:
    """Chances by a table of hand-written rows; a petition is a request."""
    chances = []
    for mail in mails:
        scores = dict(classify(mail.subject, mail.text, lexicon).scores)
        scores["solicitud"] = scores.get("solicitud", 0.0) + scores.pop("derecho_de_peticion", 0.0)
        chances.append([scores.get(label, 0.0) for label in TYPES])
    return numpy.array(chances)


def by_tfidf(mails: Sequence[Example], characters: bool) -> numpy.ndarray:
    texts = [plain(f"{mail.subject}\n{mail.text}") for mail in mails]
    chances = numpy.zeros((len(mails), len(TYPES)))
    for group in sorted({mail.group for mail in mails}):
        inside = [at for at, mail in enumerate(mails) if mail.group == group]
        outside = [at for at, mail in enumerate(mails) if mail.group != group]
        views = [TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)]
        if characters:
            views.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3))
        machine = make_pipeline(
            make_union(*views),
            OneVsRestClassifier(LogisticRegression(C=20, class_weight="balanced", solver="liblinear")),
        )
        machine.fit([texts[at] for at in outside], [mails[at].label for at in outside])
        columns = [list(machine.classes_).index(label) for label in TYPES]
        chances[inside] = machine.predict_proba([texts[at] for at in inside])[:, columns]
    return chances


def by_ours(mails: Sequence[Example]) -> numpy.ndarray:
    """Weights learned without the writer, calibrated on the other writers' mail alone."""
    kinds = learn.read(mails, shipped_concepts())
    types, scores = learn.held_out(kinds, mails)
    chances = numpy.zeros((len(mails), len(TYPES)))
    groups = numpy.array([mail.group for mail in mails])
    labels = numpy.array([mail.label for mail in mails])
    for group in sorted(set(groups)):
        inside = groups == group
        sharpness, starts = learn.calibrated(scores[~inside], list(labels[~inside]), types)
        powers = numpy.exp(scores[inside] * sharpness + starts)
        columns = [types.index(label) for label in TYPES]
        chances[inside] = (powers / powers.sum(1, keepdims=True))[:, columns]
    return chances


def without_cues(mails: Sequence[Example]) -> numpy.ndarray:
    """Which mails hold no class word and no word or phrase of the raw lexicon."""
    lexicon = Lexicon.parse(shipped("lexicon.tsv") + "\n" + CLASS_WORDS, "")
    return numpy.array([not classify(mail.subject, mail.text, lexicon).evidence for mail in mails])


def told(name: str, chances: numpy.ndarray, mails: Sequence[Example], bare: numpy.ndarray) -> None:
    labels = numpy.array([mail.label for mail in mails])
    groups = numpy.array([mail.group for mail in mails])
    guessed, sure = numpy.array(TYPES)[chances.argmax(1)], chances.max(1)
    right = guessed == labels
    certain = sure >= 0.9
    f1 = f1_score(labels, guessed, average="macro")
    print(f"\n{name}: right {right.mean():.1%}, macro-F1 {f1:.3f}; certain {certain.mean():.0%}, of these right "
          f"{right[certain].mean() if certain.any() else 0:.1%}; of {bare.sum()} without any cue word right "
          f"{right[bare].mean():.1%}")  # fmt: skip
    print("  by writer: " + ", ".join(f"{group} {right[groups == group].mean():.0%}" for group in sorted(set(groups))))
    print("  F1 by type: " + ", ".join(
        f"{label} {value:.2f}"
        for label, value in zip(TYPES, f1_score(labels, guessed, average=None, labels=list(TYPES)), strict=True)
    ))  # fmt: skip
    said = []
    for low, high in pairwise(TENTHS):
        inside = (sure >= low) & (sure < high)
        if inside.any():
            said.append(f"{low:.1f}+ said {sure[inside].mean():.0%} right {right[inside].mean():.0%} ({inside.sum()})")
    print("  calibration: " + "; ".join(said))


def speed(mails: Sequence[Example]) -> None:
    since = time.process_time()
    learned = Learned(shipped("weights.tsv"), shipped("concepts.tsv"))
    lexicon = Lexicon.parse(shipped("lexicon.tsv"), shipped("urgency.tsv"), learned=learned)
    loaded = time.process_time() - since
    since = time.process_time()
    for mail in mails:
        classify(mail.subject, mail.text, lexicon)
    each = (time.process_time() - since) / len(mails) * 1000
    print(f"\nloaded in {loaded:.2f} s; {each:.2f} ms a mail, quotes and urgency included")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="files", action="append", type=Path, default=[])
    mails = learn.shipped_examples()
    for file in parser.parse_args().files:
        mails += learn.examples_of(file)
    print(f"{len(mails)} mails by {len({mail.group for mail in mails})} writers, each held out in turn")
    bare = without_cues(mails)
    told("Class words only", by_rows(mails, Lexicon.parse(CLASS_WORDS, "")), mails, bare)
    told("The raw lexicon", by_rows(mails, Lexicon.parse(shipped("lexicon.tsv"), "")), mails, bare)
    told("TF-IDF and logistic regression, words and pairs", by_tfidf(mails, characters=False), mails, bare)
    told("TF-IDF and logistic regression, characters too", by_tfidf(mails, characters=True), mails, bare)
    told("Ours", by_ours(mails), mails, bare)
    speed(mails)


if __name__ == "__main__":
    main()
