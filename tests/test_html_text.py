"""Quoted parts of HTML mail come out as those of text mail do; nothing of the sender's own is marked as quoted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pqr_mailbot.adapters.html_text import html_text

RULER = "_" * 32
BOX = "border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0cm 0cm 0cm"

QUOTES = [
    # (what marks it, HTML, text)
    ("its type", "<blockquote type='cite'>a<br>b</blockquote>c", "> a\n> b\n\nc"),
    ("Gmail's class", "<blockquote class='gmail_quote' style='margin:0'>a</blockquote>", "> a"),
    ("Gmail's class, renamed by Outlook", '<blockquote class="x_gmail_quote">a</blockquote>', "> a"),
    ("Proton's class", "<blockquote class=protonmail_quote>a</blockquote>", "> a"),
    ("Zoho's id", '<blockquote id="blockquote_zmail">a</blockquote>', "> a"),
    ("a line at its left", "<blockquote style='border-left:2px solid #1010FF'>a</blockquote>", "> a"),
    ("in one another", "<blockquote type=cite>a<blockquote type=cite>b</blockquote></blockquote>", "> a\n\n> > b"),
    ("Outlook web's box", "a<div id=divRplyFwdMsg><b>Od:</b> &lt;a@x&gt;</div>b", f"a\n{RULER}\nOd: <a@x>\nb"),
    ("Outlook's box", f"a<div style='{BOX}'><p><b>De:</b> a@x.test</p></div>b", f"a\n\n{RULER}\nDe: a@x.test\n\nb"),
    ("a box in a quote", f"<blockquote type=cite><div style='{BOX}'>A: a@x</div></blockquote>", f"> {RULER}\n> A: a@x"),
]


@pytest.mark.parametrize(("mark", "html", "text"), QUOTES, ids=[mark for mark, _, _ in QUOTES])
def test_a_quote_is_marked(mark: str, html: str, text: str) -> None:
    assert html_text(html).replace("\n\n", "\n") == text.replace("\n\n", "\n")


OWN = [
    ("indented in Gmail", "<blockquote style='margin:0 0 0 40px;border:none;padding:0px'>a</blockquote>b", "a\n\nb"),
    ("no line at its left", "<blockquote style='border-left:none'>a</blockquote>", "a"),
    ("a box without fields", f"a<div style='{BOX}'>¿cuánto?</div>", "a\n¿cuánto?"),
    ("a box with one's own field", f"a<div style='{BOX}'>Total: 3</div>De: x@y.test", "a\nTotal: 3\nDe: x@y.test"),
]


@pytest.mark.parametrize(("name", "html", "text"), OWN, ids=[name for name, _, _ in OWN])
def test_what_is_no_quote_is_not_marked(name: str, html: str, text: str) -> None:
    assert html_text(html) == text


@pytest.mark.parametrize("dashes", ["-- <br>", "--&nbsp;<br>", "<div>-- </div>"])
def test_the_dashes_of_a_signature_keep_their_blank(dashes: str) -> None:
    assert html_text(f"<div>Sí.</div>{dashes}<div>Rosa</div>") == "Sí.\n-- \nRosa"


def test_other_dashes_are_what_they_are() -> None:
    assert html_text("<div>--</div><div>- - </div><div>a -- </div>") == "--\n- -\na --"


@given(st.lists(st.text("abcñ1", min_size=1, max_size=9), min_size=1, max_size=6), st.integers(0, 6))
def test_law_the_depth_of_a_quote_is_the_number_of_its_marks(lines: list[str], depth: int) -> None:
    html = "<blockquote type=cite>" * depth + "<br>".join(lines) + "</blockquote>" * depth
    assert html_text(html) == "\n".join("> " * depth + line for line in lines)


HOSTILE = {
    "classes": "<blockquote class='" + "a" * 190 + "'>",
    "unclosed class": "<blockquote class=",
    "borders": "<blockquote style='" + "border-left:none;" * 20 + "'>",
    "boxes": f"<div style='{BOX}'>De: x@y",
    "boxes of nothing": "<div id=divRplyFwdMsg>",
    "dashes": "-- <br>",
    "blanks and dashes": " " * 50 + "--",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_two_megabytes_of_hostile_html_become_text(unit: str) -> None:
    """Anything but linear work would run into the suite's timeout."""
    assert isinstance(html_text((unit * (2_000_000 // len(unit) + 1))[:2_000_000]), str)
