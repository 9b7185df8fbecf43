"""HTML of a mail -> the text a person would read, in linear time whatever was sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser

MAX_HTML = 2_000_000  # characters; the rest is cut off
MAX_DEPTH = 200  # open elements; tree builders walk them for each tag, so unbounded depth would cost its square

# What stands in the text while the tree is still needed. Control characters cannot come from the mail: they are
# dropped first, and character references to them are dropped too.
_BREAK, _LINE, _PARAGRAPH, _CELL = "\x1e", "\x03", "\x04", "\x1f"  # line break; new line; blank line; next cell
_QUOTE, _UNQUOTE, _HIDE, _SHOW = "\x1c", "\x1d", "\x01", "\x02"
_REPLY = "\x05"  # Outlook's box around "De: … Enviado: …"

_LINE_MARKS = frozenset((_BREAK, _LINE, _PARAGRAPH, _QUOTE, _UNQUOTE, _REPLY))
_RULER = "_" * 32  # what Outlook itself sets above that box in a text mail
_ADDRESSED_FIELD = re.compile(r"[^\W\d][^:@<>]{0,25}:\s[^@]{0,200}@")  # "De: Ana <ana@…>", in any language
_SIGNATURE_DASHES = re.compile(r"\s*--[ \xa0]\s*")  # RFC 3676 section 4.3: the blank says that a program wrote them

_TOKEN = re.compile(
    r"<!--.*?(?:-->|\Z)"
    r"|<(?P<dropped>script|style|title|template)\b[^>]*>.*?(?:</(?P=dropped)\s*>|\Z)"
    r"|<(?P<closing>/?)(?P<name>[a-z][a-z0-9:_-]*+)"
    r"""(?P<attributes>(?:[^"'>]++|"[^"<>]*+"|'[^'<>]*+'|"[^"]{0,500}+"|'[^']{0,500}+'|["'])*+)>?"""
    r"|<[!?/][^>]*>?",
    re.IGNORECASE | re.DOTALL,
)
_HIDDEN = re.compile(
    r"""(?:^|\s)hidden(?=\s|=|/|$)|display\s{0,9}:\s{0,9}none|visibility\s{0,9}:\s{0,9}hidden"""
    r"""|mso-hide\s{0,9}:\s{0,9}all|font-size\s{0,9}:\s{0,9}0(?:px|pt|em|%)?\s{0,9}(?=[;!"']|$)""",
    re.IGNORECASE,
)
# A blockquote alone may be the sender's own (Gmail indents by it); a quote has a kind, a name or a line at its left.
_CITED = re.compile(
    r"""type\s{0,9}=\s{0,9}["']?cite|(?:class|id)\s{0,9}=\s{0,9}(?:"[^"<>]{0,200}|'[^'<>]{0,200}|[^\s"'<>]{0,200})quote"""
    r"""|border-left(?:-\w{1,9})?\s{0,9}:\s{0,9}(?!none|0(?:px|pt)?\b)""",
    re.IGNORECASE,
)
_OUTLOOK_BOX = re.compile(
    r"""id\s{0,9}=\s{0,9}["']?(?:x_){0,9}divRplyFwdMsg|border-top\s{0,9}:\s{0,9}solid\s{1,9}#[0-9a-f]{3,6}\s{1,9}1\.0pt"""
    r"""|border-(?:top|width)\s{0,9}:\s{0,9}1pt\s{1,9}(?:solid\s{1,9}rgb|medium)""",  # as other programs write it anew
    re.IGNORECASE,
)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_CONTROL_REFERENCE = re.compile(
    r"&#(?:x0*+(?:[1-8bcef]|1[0-9a-f]|7f)(?![0-9a-f])|0*+(?:[1-8]|1[124-9]|2[0-9]|3[01]|127)(?![0-9]));?", re.IGNORECASE
)
# Shown with space around them.
_PARAGRAPHS = frozenset(("blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "ol", "p", "pre", "table", "ul"))
_LINES = frozenset(
    ("address", "article", "aside", "center", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form", "header",
     "li", "main", "nav", "section", "tbody", "tfoot", "thead", "tr")
)  # fmt: skip
_BLOCKS = _PARAGRAPHS | _LINES
_MARKS = {
    **dict.fromkeys(_LINES, _LINE), **dict.fromkeys(_PARAGRAPHS, _PARAGRAPH),
    "td": _CELL, "th": _CELL, "br": _BREAK, "hr": _LINE,
}  # fmt: skip
_VOID = frozenset(
    ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")
)
_SELF_CLOSING = frozenset({"p", "li"})  # opened again, they close the one before: they cannot nest by themselves


def html_text(html: str) -> str:
    """The readable text of `html`: one line a block, hidden parts, scripts and styles left out, links by their words.

    Quoted blocks as mail clients mark them (blockquotes of type cite, of a name with "quote", or with a line at their
    left) come out with "> " before each line, and Outlook's box of fields under a ruler, as in a text mail, so that one
    set of rules recognises quotes in both.
    """
    plain = _CONTROL_REFERENCE.sub(" ", _CONTROL.sub("", html[:MAX_HTML]))
    tree = LexborHTMLParser(f"<body>{''.join(_tamed(plain))}</body>")
    if tree.body is None:
        return ""
    for selector, before, after in ((".h", _HIDE, _SHOW), (".q", _QUOTE, _UNQUOTE)):
        for node in tree.css(selector):
            node.insert_before(before)
            node.insert_after(after)
    return _laid_out(_shown(tree.body.text(deep=True)))


def _tamed(html: str) -> Iterator[str]:
    """The same HTML with nothing in it that a tree builder could choke on.

    Formatting elements (which are built again in each paragraph), tables (whose strays are moved about) and attributes
    (compared with one another) cost the square of a hostile input's length. None of them says what is readable, so
    only four kinds of element are left, with at most one attribute, and not too many inside one another.
    """
    position, opened, preformatted = 0, list[str](), 0
    for token in _TOKEN.finditer(html):
        yield _text(html[position : token.start()], preformatted > 0)
        position = token.end()
        name, closing = (token["name"] or "").lower(), bool(token["closing"])
        if name == "pre":
            preformatted = max(0, preformatted - 1) if closing else preformatted + 1
        if name:
            yield from _tag(name, closing, token["attributes"], opened)
    yield _text(html[position:], preformatted > 0)


def _tag(name: str, closing: bool, attributes: str, opened: list[str]) -> Iterator[str]:
    """What stands for one tag; `opened` are the elements open now and is kept up to date."""
    yield _REPLY if name == "div" and _OUTLOOK_BOX.search(attributes) else _MARKS.get(name, "")
    if name in _VOID:
        return
    element = name if name in _SELF_CLOSING else "div" if name in _BLOCKS else "span"
    if closing:
        if opened and opened[-1] == element:
            opened.pop()
        yield f"</{element}>"
    elif len(opened) < MAX_DEPTH:
        if element not in _SELF_CLOSING:
            opened.append(element)
        yield f"<{element}{_class(name, attributes)}>"


def _class(name: str, attributes: str) -> str:
    if not attributes:
        return ""
    if _HIDDEN.search(attributes):
        return " class=h"
    return " class=q" if name == "blockquote" and _CITED.search(attributes) else ""


def _text(text: str, preformatted: bool) -> str:
    text = text.replace("<", "&lt;")
    return text.replace("\n", _BREAK) if preformatted else text


def _shown(text: str) -> str:
    """`text` without what lies between the marks of hidden parts, which may lie in one another."""
    depth, shown = 0, list[str]()
    for piece in re.split(f"([{_HIDE}{_SHOW}])", text):
        if piece == _HIDE:
            depth += 1
        elif piece == _SHOW:
            depth -= 1
        elif depth == 0:
            shown.append(piece)
    return "".join(shown)


def _laid_out(text: str) -> str:
    """Lines from marks: white space as a browser shows it, quote marks before quoted lines, one blank line at most."""
    quoted, line, boxed, lines = 0, "", False, [""]
    for piece in re.split(f"([{''.join(_LINE_MARKS)}])", f"{text}{_LINE}"):
        if piece not in _LINE_MARKS:
            line = _one_line(piece)
            continue
        if line:
            if boxed and _ADDRESSED_FIELD.match(line):
                lines.append("> " * min(quoted, 9) + _RULER)
            lines.append("> " * min(quoted, 9) + line)
            boxed = False
        if lines[-1] and (piece == _PARAGRAPH or (piece == _BREAK and not line)):
            lines.append("")
        line = ""
        boxed |= piece == _REPLY
        quoted += (piece == _QUOTE) - (piece == _UNQUOTE)
    return "\n".join(lines).strip("\n")


def _one_line(piece: str) -> str:
    if _SIGNATURE_DASHES.fullmatch(piece):
        return "-- "
    return " ".join(piece.replace("\u200b", "").replace(_CELL, " ").split())
