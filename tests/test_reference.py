"""The reference is found however people and mail clients mangle it, and never guessed (contract)."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pqr_mailbot.domain.reference import find_references, format_reference

REF = "PQR-2026-000123"


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        (f"[{REF}] Café vencido", [REF]),
        (f"RE: RV: Fwd: [{REF}] Café vencido", [REF]),
        ("re: [pqr-2026-000123] café", [REF]),
        (f"Re: {REF}", [REF]),
        (f"({REF}): gracias", [REF]),
        (f"#{REF}.", [REF]),
        ("Re: PQR 2026 000123", [REF]),
        ("Re: pqr 2026 123", [REF]),
        ("PQR-2026-123", [REF]),
        ("PQR_2026_000123", [REF]),
        ("PQR/2026/123", [REF]),
        ("PQR2026-000123", [REF]),
        ("PQR2026000123", [REF]),
        ("PQR - 2026 - 000123", [REF]),
        ("[PQR\u00a02026\u00a0000123]", [REF]),
        ("PQR\u20112026\u2011000123", [REF]),
        ("PQR\u20132026\u2014000123", [REF]),
        ("PQR\u22122026\u2212000123", [REF]),
        ("ＰＱＲ－２０２６－０００１２３", [REF]),
        ("PQR-2026-\u200b000123", [REF]),
        ("P\u00adQR-2026-000123", [REF]),
        ("\u202aPQR-2026-000123\u202c", [REF]),
        ("PQR-2026- 000123", [REF]),  # a folded subject
        (f"[{REF}] [PQR-2026-000007] las dos", [REF, "PQR-2026-000007"]),
        (f"[{REF}] Re: [{REF}]", [REF]),
        (f"[{REF}] 2 bolsas", [REF]),
        ("PQR-2026-1234567", ["PQR-2026-1234567"]),
        ("PRQ-2026-000123", []),  # a typo in the prefix word is not found
        ("PQ-2026-000123", []),
        ("PQRS-2026-000123", []),
        ("XPQR-2026-000123", []),
        ("PQR-26-000123", []),
        ("PQR-2026-000000", []),
        ("PQR-2026-12-05", []),  # a date after the word PQR
        ("PQR-2026-000123x", []),
        ("PQR 2026", []),
        ("2026-000123", []),
        ("", []),
    ],
)
def test_in_a_subject(subject: str, found: list[str]) -> None:
    assert find_references(subject, "PQR") == found


def test_the_prefix_is_the_offices_own() -> None:
    assert find_references("re: lohas 2026 5", "LOHAS") == ["LOHAS-2026-000005"]
    assert find_references("re: pqr 2026 5", "LOHAS") == []


GAPS = st.text(st.sampled_from(" -\u00a0\u2010\u2011\u2012\u2013\u2014\u2212\u202f_."), min_size=1, max_size=3)
BRACKETS = st.sampled_from([("", ""), ("[", "]"), ("(", ")"), ("#", ""), ("«", "»"), ("*", "*")])
AROUND = st.sampled_from(["", "Re: ", "RV: RE: ", "Fwd:  ", "Aw: ", "Café vencido ", "¿? "])


@given(
    st.integers(2020, 2099), st.integers(1, 9_999_999), GAPS, GAPS, BRACKETS, AROUND, st.booleans(), st.integers(0, 6)
)
@example(2026, 123, "-", "-", ("[", "]"), "Re: ", False, 6)
def test_any_mangling_is_undone(
    year: int, number: int, one: str, two: str, brackets: tuple[str, str], around: str, lower: bool, width: int
) -> None:
    word = "pqr" if lower else "PQR"
    subject = f"{around}{brackets[0]}{word}{one}{year}{two}{number:0{width}d}{brackets[1]} {around}".strip()
    assert find_references(subject, "PQR") == [format_reference("PQR", year, number)]


@given(st.text())
def test_whatever_is_found_is_canonical_and_stable(subject: str) -> None:
    for reference in find_references(subject, "PQR"):
        assert find_references(reference, "PQR") == [reference]


@given(st.text(string.ascii_uppercase, min_size=2, max_size=5).filter(lambda word: not word.endswith("PQR")))
def test_another_word_is_never_taken_for_the_prefix(word: str) -> None:
    assert find_references(f"[{word}-2026-000123]", "PQR") == []
